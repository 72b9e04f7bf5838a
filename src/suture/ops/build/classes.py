"""
Classes whose head, fields, members or ``__init__`` change: what becomes of the class, and of the objects that exist.

Asked by the walk, which goes through the bodies itself.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace

from suture.ops.build import members, nodes, rebasing, shapes
from suture.ops.build.lacking import lacking
from suture.ops.build.ledger import Ledger, Where
from suture.ops.build.nodes import FunctionNode
from suture.patch import Decision, Kind, Severity

__all__ = ["Classes"]


class Classes:
    """
    Of one pair of versions.

    Args:
        ledger: Gets what they differ in.
        lineage: Of the new version's classes.
    """

    def __init__(self, ledger: Ledger, lineage: nodes.Lineage) -> None:
        self.ledger, self.old, self.new, self.lineage = ledger, ledger.old, ledger.new, lineage
        self.say, self.change = ledger.say, ledger.change

    def shape_changes(self, old: ast.ClassDef, new: ast.ClassDef, shape: Sequence[str], scope: Where, because: str) -> bool:
        """What becomes of the head of a class; False if its body has no say any more."""
        why = f"{', '.join(shape)} of class {new.name} change" + (f"; {because}" if because else "")
        no = rebasing.why_not(old, new, (self.lineage.kind(old), self.lineage.kind(new))) if list(shape) == ["bases"] else "."
        if scope.block == "typing" or (scope.block and new.name in scope.often):
            no = "which of its definitions is live can't be seen"
        no = no or rebasing.told(((self.old, old), (self.new, new)))
        if no:
            words = why + (f": {no}" if no != "." else "")
            self.say("class-shape", Severity.ERROR, scope, words, "restart, or add a new class", old=old, new=new, name=new.name)
            return False
        self._rebase(old, new, scope)
        return True

    def _rebase(self, old: ast.ClassDef, new: ast.ClassDef, scope: Where) -> None:
        """Other bases for the class that is there, and what objects that exist lack of them."""
        self.change(Kind.BASES, new.name, old, new, scope, names=(new.name,))
        if rebasing.from_object(old) or rebasing.from_object(new):
            words = f"{new.name} comes from object alone on one side: up to Python 3.14 its bases can't change in place"
            hint = "restart those, or add a new class"
            self.say("class-shape", Severity.WARNING, scope, words, hint, name=new.name, place=new)
        for name, base, method in rebasing.lacked(((self.old, old), (self.new, new))):
            hint = f"give {base} a default ({name} = ...), or read it with getattr(self, {name!r}, ...)"
            reads = f"what {method.name} reads, self.{name}" if method is not None else ""
            words = f"{base} is a base now, and its __init__ sets {reads}: objects that exist lack it"
            if method is None:
                words, hint = (
                    f"{base} is a base now, and what its __init__ sets isn't seen: objects that exist lack that",
                    "see what it sets",
                )
            severity = Severity.ERROR if method is not None else Severity.WARNING
            self.say("new-attribute", severity, scope, words, hint, name=new.name, place=new)

    def but_members(
        self, old: ast.ClassDef, new: ast.ClassDef, scope: Where, inner: Where
    ) -> tuple[Sequence[ast.stmt], Sequence[ast.stmt], Where]:
        """Bodies of a class; of an enumeration without the members that change, which go in together."""
        if inner.kind != "enum" or inner.block == "typing" or not members.differ(old, new):
            return old.body, new.body, inner
        sure = scope.block != "conditional" or new.name not in scope.often
        why = members.why_not(self.old, self.new, old, new) if sure else "which of its definitions is live can't be seen"
        if why:
            return old.body, new.body, replace(inner, why=why)
        self.change(Kind.MEMBERS, new.name, old, new, scope, names=(new.name,))
        for node, names in members.gone(old, new):
            words = f"{names} is removed; it stays a member in the process"
            hint = "nothing to do, unless something goes through all members"
            self.say("removed-kept", Severity.WARNING, inner, words, hint, old=node, name=names)
        return *([s for s in side.body if not nodes.is_member(s)] for side in (old, new)), inner  # type: ignore[return-value]

    def made_anew(self, shape: shapes.Shape, scope: Where) -> None:
        """A class whose decorators or fields change: they run again beside it; what objects that exist lack is said."""
        outer, all_said = replace(scope, classes=scope.classes[:-1]), list(shapes.said(shape, self.lineage))
        errors = [s for s in all_said if s.severity is Severity.ERROR]
        for said in errors:
            here = scope if said.lack is not None else outer
            self.say(
                said.code,
                Severity.ERROR,
                here,
                said.message,
                said.hint,
                old=shape.old,
                new=shape.new,
                name=said.name,
                place=said.place,
            )
        if errors:
            return
        self.ledger.out.changes.append(shapes.change_of(shape, scope.classes[:-1]))
        for said in all_said:
            here = scope if said.lack is not None else outer
            self.say(said.code, said.severity, here, said.message, said.hint, name=said.name, place=said.place)
            if said.lack is not None and said.lack.given == "value" and said.lack.value is not None:
                self._give_class(said.name, said.lack.value, next(nodes.methods(shape.new)), shape.new, scope)

    def new_attributes(self, old: ast.ClassDef, new: ast.ClassDef, scope: Where) -> None:
        """Attributes that only a new ``__init__`` sets and a changed method reads: objects that exist lack them."""
        before = {m.name: nodes.dump_of(self.old, m) for m in nodes.methods(old)}
        changed = [m for m in nodes.methods(new) if before.get(m.name) != nodes.dump_of(self.new, m)]
        for method, name, value in lacking(old, new, changed, self.lineage):
            if value is not None:
                self._class_default(name, value, method, new, scope)
                continue
            words = f"{method.name} reads self.{name}, which only the new __init__ sets: objects that exist lack it"
            hint = f"give the class a default ({name} = ...), or read it with getattr(self, {name!r}, ...)"
            self.say("new-attribute", Severity.ERROR, scope, words, hint, name=method.name, place=method)

    def _class_default(self, name: str, value: ast.expr, reader: FunctionNode, node: ast.ClassDef, scope: Where) -> None:
        """Objects that exist find in their class what a new one is given; said."""
        text = self._give_class(name, value, reader, node, scope)
        words = f"{reader.name} reads self.{name}, which only the new __init__ sets: objects that exist find {text} in its place"
        hint = "see that this is right for them, or give the class a default of your own"
        self.say("new-attribute", Severity.WARNING, scope, words, hint, name=reader.name, place=reader)

    def _give_class(self, name: str, value: ast.expr, reader: FunctionNode, node: ast.ClassDef, scope: Where) -> str:
        """Put into a class what a new object is given: a constant as it is, anything else once an object.  Returns its text."""
        text, indent = ast.unparse(value), " " * node.body[0].col_offset
        if nodes.is_plain(value) and not nodes.is_mutable(value):
            kind, lines = Kind.VALUE, f"{indent}{name} = {text}\n"
        else:
            head = f'{indent}@__import__("functools").cached_property\n{indent}def {name}({reader.args.args[0].arg}):\n'
            kind, lines = Kind.FUNCTION, f"{head}{indent} return {text}\n"
        decision = Decision("class-default", "builder", "objects that exist lack what only the new __init__ sets")
        self.change(kind, name, None, reader, scope, names=(name,), text=lines, decision=decision)
        return text
