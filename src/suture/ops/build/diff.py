"""
Two versions of one module, definition by definition.

Walks both syntax trees together; what differs becomes a Change, or a Finding that says why it can't.  Every difference ends
as one of the two (conservation): there is no third way out of these functions, and conserve.py counts.

Statements are matched by what they bind.  The bodies of ``if``, ``try`` and ``with`` are looked into where their headers are
the same on both sides: definitions that change there are changes like others, but nothing is *added* there, as whether the
block ran can't be seen from here.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from suture.engine.values import is_table
from suture.ops.build import nodes, shapes
from suture.ops.build.classes import Classes
from suture.ops.build.decisions import FILE, Decisions
from suture.ops.build.filling import can_be_filled
from suture.ops.build.knots import Knot, left_by
from suture.ops.build.ledger import Difference, Ledger, Where
from suture.ops.build.nodes import FunctionNode, Item
from suture.ops.build.pairing import pair, same_call
from suture.ops.build.tree import Source
from suture.patch import Decision, Expect, Kind, Severity

__all__ = ["Difference", "diff", "rule_for"]

_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
_AT_CREATION = frozenset(("__new__", "__init_subclass__", "__class_getitem__", "__set_name__", "__del__", "__getattribute__"))
_BINDERS = frozenset(("def", "class", "value", "import"))
_WORDS = {"def": "a function", "class": "a class", "value": "a variable", "import": "an import", "annotation": "an annotation"}


def diff(old: Source, new: Source, decisions: Decisions | None = None, knots: Sequence[Knot] = ()) -> Difference:
    """
    Compare two versions of one module.

    Args:
        old: One.
        new: The other.
        decisions: What somebody chose where the source doesn't say.
        knots: What can be worked out again as one; those that differ are touched, and none of their statements is said.

    Raises:
        Refused: syntax-error in either.
    """
    return _Differ(old, new, decisions or Decisions()).run(knots)


class _Differ:
    def __init__(self, old: Source, new: Source, decisions: Decisions) -> None:
        self.old, self.new, self.decisions = old, new, decisions
        self.ledger = Ledger(old, new, decisions)
        self.say, self.change, self.decided = self.ledger.say, self.ledger.change, self.ledger.decided
        self.lineage = nodes.Lineage(new.tree)
        self.classes = Classes(self.ledger, self.lineage)
        self.taken: set[int] = set()

    def run(self, knots: Sequence[Knot]) -> Difference:
        old, new = self.old.tree.body, self.new.tree.body
        for knot in knots:
            names = knot.differs
            if names and not any(self.decisions.is_about((self.old, self.new)[side], node) for side, node in knot.statements()):
                knot.touched |= names
                self.taken.update(map(id, knot.taken()))
        self._body(old, new, Where(bound=nodes.bound_names(old), often=nodes.bound_often(old) | nodes.bound_often(new)))
        if self.old.future_flags != self.new.future_flags:
            self._future_differs()
        self.ledger.out.changes.sort(key=lambda c: c.scope.line_after)
        return self.ledger.out

    def _future_differs(self) -> None:
        """Said by its place alone: what a ``__future__`` import does is counted by its flags, not by its lines."""
        words = "from __future__ imports differ: changed functions are compiled the new way, unchanged ones stay as they are"
        if self.old.has_text_annotations != self.new.has_text_annotations:
            form = "text" if self.new.has_text_annotations else "an object"
            words += f"; an annotation becomes {form} only where it changes itself, the others keep their form"
        source = self.new if self.new.future_flags & ~self.old.future_flags else self.old
        futures = (n for n in source.tree.body if isinstance(n, ast.ImportFrom) and n.module == "__future__")
        self.say("future-changed", _NOTE, Where(), words, place=next(futures))

    # ------------------------------------------------------------ walking

    def _body(self, old: Sequence[ast.stmt], new: Sequence[ast.stmt], scope: Where) -> None:
        left, right = (
            [i for i in nodes.items(body, source) if id(i.whole) not in self.taken]
            for body, source in ((old, self.old), (new, self.new))
        )
        pairs, removed, added = pair(left, right)
        for before, after in pairs:
            if before.dump != after.dump:
                self._differs(before, after, scope)
            else:
                self._same(before.node, after.node, scope)
        self._added_all(added, removed, scope)
        for item in removed:
            self._removed(item, scope)
        self._order([(b, a) for b, a in pairs if b.dump == a.dump or b.key[0] == "block"], scope)
        self._docs(old, new, scope)

    def _same(self, old: ast.stmt, new: ast.stmt, scope: Where) -> None:
        if nodes.first_line(old) == nodes.first_line(new):
            return
        if isinstance(new, FunctionNode):
            self.ledger.out.moved.append(scope.dotted(new.name))
            return
        inner = replace(scope, classes=(*scope.classes, new.name)) if isinstance(new, ast.ClassDef) else scope
        if isinstance(new, (ast.ClassDef, *nodes.BLOCKS)):
            for before, after in zip(nodes.inner_statements(old), nodes.inner_statements(new), strict=False):
                self._same(before, after, inner)

    def _order(self, pairs: Sequence[tuple[Item, Item]], scope: Where) -> None:
        """Statements that both sides have, in another order: not carried, and said."""
        last = -1
        for before, after in sorted(((b, a) for b, a in pairs if b.key[0] not in ("def", "class")), key=lambda p: p[1].at):
            if before.at < last and scope.block != "typing" and not self._is_ordered_anew(after, scope):
                words = f"statements stand in another order ({nodes.head(after.node)}); they don't run again"
                self.say("reordered", _NOTE, scope, words, place=after.node)
                return
            last = before.at

    def _is_ordered_anew(self, item: Item, scope: Where) -> bool:
        """True for a field whose class is made anew."""
        return scope.shape is not None and scope.shape.differs and item.name in scope.shape.names

    def _docs(self, old: Sequence[ast.stmt], new: Sequence[ast.stmt], scope: Where) -> None:
        if [ast.dump(n) for n in old if nodes.is_doc(n)] != [ast.dump(n) for n in new if nodes.is_doc(n)]:
            words = "the docstring, or a bare constant, differs; it isn't carried"
            name = scope.classes[-1] if scope.classes else ""
            self.say("docs-only", _NOTE, replace(scope, classes=scope.classes[:-1]), words, name=name)

    def _differs(self, before: Item, after: Item, scope: Where) -> None:
        old, new, kind = before.node, after.node, after.key[0]
        if scope.block == "typing" or kind in ("overload", "typing"):
            self.ledger.type_only(scope, old, new)
        elif isinstance(old, FunctionNode) and isinstance(new, FunctionNode):
            self._function(old, new, before, scope)
        elif isinstance(old, ast.ClassDef) and isinstance(new, ast.ClassDef):
            self._class(old, new, scope)
        elif kind == "block":
            for label, mine, theirs in nodes.paired_blocks(old, new):
                self._body(mine, theirs, replace(scope, block=scope.block or label))
        elif scope.block == "main":
            self.ledger.main_block(scope, old, new)
        elif kind == "annotation":
            self._annotation(old, new, scope, "changes")
        elif nodes.blanked_dump(old) == nodes.blanked_dump(new):
            self.change(Kind.NESTED, after.name, old, new, scope)
        elif kind == "value":
            self._value(old, new, after, scope)
        elif kind == "import" and self._may_bind_anew(before, after, scope):
            self._bind_anew(before, after, scope)
        elif kind == "import":
            words = f"{after.name} comes from elsewhere: {ast.unparse(new)}"
            self.say("import-changed", _ERROR, scope, words, "import it under a new name", old=old, new=new, name=after.name)
        else:
            self._statement(scope, old, new)

    # ------------------------------------------------------------ functions

    def _function(self, old: FunctionNode, new: FunctionNode, item: Item, scope: Where) -> None:
        if "abstractmethod" in nodes.decorators(new) and "abstractmethod" not in nodes.decorators(old):
            words, hint = f"{new.name} becomes abstract", "restart: subclasses that exist lack it"
            self.say("abstract-added", _ERROR, scope, words, hint, old=old, new=new, name=new.name)
            return
        twin = next((o for o in self._others(old, scope) if ast.dump(o) == ast.dump(old)), None)
        if twin is not None:
            place = f"{self.old.path}:{nodes.first_line(twin)}"
            words = f"{new.name} is defined twice with the same source ({place} too): which one is live can't be seen"
            self.say("redefined", _ERROR, scope, words, "rename one of them, or restart", old=old, new=new, name=new.name)
            return
        self.change(Kind.FUNCTION, new.name, old, new, scope, slot=nodes.slot(new), nth=item.nth)

    def _others(self, node: FunctionNode | ast.ClassDef, scope: Where) -> list[ast.stmt]:
        """Other definitions of the kind and name in the old scope, in its blocks too."""
        body = (scope.old_class or self.old.tree).body
        same = (s for s in nodes.statements(body) if isinstance(s, type(node)) and s is not node)
        return [s for s in same if nodes.target_name(s) == node.name]

    # ------------------------------------------------------------ classes

    def _class(self, old: ast.ClassDef, new: ast.ClassDef, scope: Where) -> None:
        parts: list[tuple[str, Sequence[ast.AST], Sequence[ast.AST]]] = [
            ("bases", old.bases, new.bases),
            ("keywords", old.keywords, new.keywords),
            ("decorators", old.decorator_list, new.decorator_list),
            ("type parameters", getattr(old, "type_params", []), getattr(new, "type_params", [])),
        ]
        differ = [name for name, a, b in parts if [ast.dump(n) for n in a] != [ast.dump(n) for n in b]]
        kind = self.lineage.kind(new)
        shape = shapes.shape_of(self.old, old, self.new, new, kind) if not scope.block else None
        why = shapes.stands_in_the_way(shape) if shape is not None else ""
        if differ and (shape is None or why or differ != ["decorators"]):
            if not self.classes.shape_changes(old, new, differ, scope, why):
                return
            shape = None
        if self._others(old, scope):
            words = f"class {new.name} is defined more than once: which one is live can't be seen"
            self.say("redefined", _ERROR, scope, words, "restart", old=old, new=new, name=new.name)
            return
        unsure = scope.block == "conditional" and new.name in scope.often  # ``except ImportError: class A``
        inner = Where(
            (*scope.classes, new.name),
            old,
            new,
            scope.block if scope.block == "typing" or unsure else "",
            nodes.bound_names(old.body),
            nodes.bound_often(old.body) | nodes.bound_often(new.body),
            kind="fields" if shape is not None else kind,
            shape=shape if not why else None,
        )
        self._body(*self.classes.but_members(old, new, scope, inner))
        if inner.shape is not None and inner.shape.differs:
            self.classes.made_anew(inner.shape, inner)
        self.classes.new_attributes(old, new, inner)

    # ------------------------------------------------------------ values

    def _value(self, old: ast.stmt, new: ast.stmt, item: Item, scope: Where) -> None:
        name = item.name
        if (table := nodes.filled(new)) and self._may_be_filled(table, scope):
            self.ledger.out.filled.append((scope.classes, table))
        elif name == "__slots__" and scope.classes and nodes.slots(old) is not None and nodes.slots(old) == nodes.slots(new):
            words = "__slots__ have the same names in another order or form; who reads them sees what the class was made with"
            self.say("reordered", _NOTE, scope, words, old=old, new=new, name=name)
        elif name == "__slots__" and scope.classes:
            words = "__slots__ change"
            self.say("slots-changed", _ERROR, scope, words, "restart: objects that exist can't carry a new slot", old=old, new=new)
        elif nodes.is_field(new, scope.kind) or nodes.is_field(old, scope.kind):
            self._field(old, new, scope, "changes")
        elif nodes.same_but_annotation(old, new):
            self.ledger.type_only(scope, old, new)
        elif (why := self._not_carried(old, new, item, scope)) is not None:
            key = f"{self.new.module}:{scope.dotted(name)}"
            chosen = self.ledger.chosen("value-changed", key, new, old)
            if chosen is not None and chosen.rule == "evaluate" and item.is_single and name not in scope.often:
                self.change(Kind.VALUE, name, old, new, scope, names=(name,), decision=chosen)
                self.decided(scope, chosen, None, None, f"{name} is worked out at apply", new)
            elif chosen is not None and chosen.rule == "skip":
                self.decided(scope, chosen, old, new, f"{name} keeps the value that it has")
            else:
                hint = f"decide ({FILE}: `{key} = evaluate` or `skip`), assign it in a hotfix file, or restart"
                self.say("value-changed", _ERROR, scope, why, hint, old=old, new=new, name=name)
        else:
            self.change(Kind.VALUE, name, old, new, scope, names=(name,), decision=rule_for(old, new, scope.classes))

    def _not_carried(self, old: ast.stmt, new: ast.stmt, item: Item, scope: Where) -> str | None:
        """Why a changed value can't be carried, or None."""
        before, after = nodes.value_of(old), nodes.value_of(new)
        if not item.is_single:
            return f"{item.name}: more than one name, or not a plain one, is assigned at once"
        if item.name in scope.often and not self._may_be_filled(item.name, scope):
            return f"{item.name} is bound more than once: which one counts can't be seen"
        if "." in item.name and (scope.classes or item.name.partition(".")[0] not in self._plain_functions()):
            return f"{item.name} is an attribute of something that isn't a plain function of this module"
        if not self.new.is_quiet(after):
            return f"{item.name} is computed when the module is imported, by calls that may do more: {nodes.head(new)}"
        if is_table(before) and is_table(after) and not self.old.is_quiet(before):
            return f"{item.name} is a table made by calls: which of its entries the program has added can't be told"
        return None

    def _plain_functions(self) -> set[str]:
        return {n.name for n in self.new.tree.body if isinstance(n, FunctionNode) and not n.decorator_list}

    def _field(self, old: ast.stmt | None, new: ast.stmt | None, scope: Where, what: str) -> None:
        code, word = ("enum-members", "member") if scope.kind == "enum" else ("class-fields", "field")
        node = new or old
        assert node is not None
        assert scope.new_class is not None
        name = nodes.target_name(node)
        if scope.shape is not None and code == "class-fields":
            scope.shape.takes(name)
            return
        words = f"{word} {name} {what}: {scope.new_class.name} was made from its {word}s" + (
            f", and {scope.why}" if scope.why else ""
        )
        self.say(code, _ERROR, scope, words, "restart, or keep it outside the class", old=old, new=new, name=name)

    def _annotation(self, old: ast.stmt | None, new: ast.stmt | None, scope: Where, what: str) -> None:
        record = scope.new_class is not None and bool(nodes.RECORDS & set(map(nodes.last_name, scope.new_class.bases)))
        if scope.kind in ("fields", "model") and not (record and old is not None and new is not None):
            self._field(old, new, scope, what)
        else:
            self.ledger.type_only(scope, old, new)

    # ------------------------------------------------------------ added

    def _added_all(self, added: list[Item], removed: list[Item], scope: Where) -> None:
        statements: dict[int, list[Item]] = defaultdict(list)
        for item in added:
            gone = [r for r in removed if r.name and r.name == item.name and r.key[0] in _WORDS]
            if item.key[0] == "statement" and (changed := same_call(item, removed)) is not None:
                removed.remove(changed)
                say = {"typing": self.ledger.type_only, "main": self.ledger.main_block}.get(scope.block, self._statement)
                say(scope, changed.node, item.node)
            elif (was := _rebound(item, gone, scope)) is not None:
                removed.remove(was)
                self._function(was.node, item.node, was, scope)  # type: ignore[arg-type]
            elif self._collides(item, gone, scope):
                for other in gone:
                    removed.remove(other)
                self._redefined(item, gone, scope)
            elif item.key[0] == "import" and not scope.block:
                statements[id(item.whole)].append(item)
            else:
                self._added(item, scope)
        for group in statements.values():
            self._added_import(group, scope)

    def _collides(self, item: Item, gone: list[Item], scope: Where) -> bool:
        """True if an added name meets one that was there."""
        if scope.block in ("typing", "main") or not item.name or item.key[0] in ("overload", "annotation", "statement", "block"):
            return False
        if gone and any(g.key[0] != "annotation" for g in gone):
            return True
        accessor = item.key[0] == "def" and (item.key[2] in ("set", "del") or item.key[2].startswith("register"))
        return any(n in scope.bound for n in item.bound) and not accessor and not (item.key[0] == "import" and "." in item.name)

    def _redefined(self, item: Item, gone: list[Item], scope: Where) -> None:
        was = next((g for g in gone if g.key[0] != "annotation"), None)
        name = item.name
        if was is not None and len(gone) == 1 and self._may_bind_anew(was, item, scope):
            self._bind_anew(was, item, scope)
            return
        if was is None:
            words = f"{name} gets another definition beside the one it has: which one counts can't be seen"
        elif was.key[0] == item.key[0]:
            words = f"{name} was {_shape(was)} and becomes {_shape(item)}: it is held as what it was"
        else:
            words = f"{name} was {_WORDS[was.key[0]]} and becomes {_WORDS[item.key[0]]}: who holds it keeps the old object"
        old = [g.node for g in gone]
        hint = "give the new one another name"
        self.say("redefined", _ERROR, scope, words, hint, new=item.node, name=name, old=old[0] if old else None)
        for other in old[1:]:
            self.say("redefined", _ERROR, scope, words, hint, old=other, name=name)

    def _may_bind_anew(self, was: Item, item: Item, scope: Where) -> bool:
        """True for one plain name that one statement makes on either side, and that the process can be asked for."""
        if scope.block or scope.kind or item.name in scope.often or "." in item.name or nodes.is_dunder(item.name):
            return False
        if not (was.is_single and item.is_single) or "*" in (was.name, item.name):
            return False
        plain = all(i.key[0] in _BINDERS and (i.key[0] != "def" or i.key[2] in ("", "get")) for i in (was, item))
        return plain and (not scope.classes or {was.key[0], item.key[0]} <= {"def", "value"})

    def _bind_anew(self, was: Item, item: Item, scope: Where) -> None:
        """A name that becomes something else: what it was stays with who else holds it."""
        kind = {"def": Kind.FUNCTION, "class": Kind.CLASS, "import": Kind.IMPORT, "value": Kind.VALUE}[item.key[0]]
        if kind is Kind.VALUE and not self.new.is_quiet(nodes.value_of(item.node)):
            why = f"{item.name} is computed when the module is imported, by calls that may do more: {nodes.head(item.node)}"
            hint = "assign it in a hotfix file, or restart"
            self.say("value-changed", _ERROR, scope, why, hint, old=was.node, new=item.node, name=item.name)
            return
        texts = [
            f"{' ' * i.whole.col_offset}{ast.unparse(i.node)}\n" if i.key[0] == "import" else nodes.text(source, i.node)
            for source, i in ((self.old, was), (self.new, item))
        ]
        decision = Decision("rebind", "builder", "another object takes the name, here and where the name was imported")
        names = (item.name,)
        self.change(kind, item.name, was.whole, item.whole, scope, names=names, before=texts[0], text=texts[1], decision=decision)
        here = was.key[0] in ("def", "class")
        origin = ast.unparse(item.node) if item.key[0] == "import" else _WORDS[item.key[0]]
        words = f"{item.name} was {_WORDS[was.key[0]]} and becomes {origin}: the name is bound anew, here and where it was imported"
        words += "; who holds the old one otherwise keeps it" if here else ""
        hint = "see who holds it: a callback, an object of the old class" if here else ""
        self.say("rebound", _WARNING if here else _NOTE, scope, words, hint, name=item.name, place=item.whole)

    def _added(self, item: Item, scope: Where) -> None:
        node, kind = item.node, item.key[0]
        if scope.block == "typing" or kind in ("overload", "typing"):
            self.ledger.type_only(scope, None, node)
        elif scope.block == "main":
            self.ledger.main_block(scope, None, node)
        elif kind == "annotation":
            self._annotation(None, node, scope, "is added")
        elif kind in ("block", "statement") or not item.is_simple:
            self._statement(scope, None, node)
        elif scope.block:
            words = f"{item.name} is added in a block that runs under a condition: whether it ran can't be seen"
            self.say("conditional-added", _ERROR, scope, words, "define it at the top level", new=node, name=item.name)
        elif isinstance(node, FunctionNode):
            self._added_function(node, item, scope)
        elif isinstance(node, ast.ClassDef):
            self.change(Kind.CLASS, node.name, None, node, scope, names=(node.name,))
        else:
            self._added_value(node, item, scope)

    def _added_function(self, node: FunctionNode, item: Item, scope: Where) -> None:
        name = node.name
        bound = nodes.bound_names(scope.new_class.body) if scope.new_class is not None else frozenset()
        if "abstractmethod" in nodes.decorators(node):
            words = f"abstract {name} is added: objects that exist may lack it, and no more are made of classes that do"
            hint = "give it to its subclasses in the same patch"
            self.say("abstract-added", _WARNING, scope, words, hint, name=name, place=node)
        if scope.shape is not None and scope.shape.differs and name in scope.shape.made:
            self.change(Kind.FUNCTION, name, None, node, scope, slot=nodes.slot(node), names=(name,), expect=Expect.LIVE)
        elif name == "__eq__" and scope.new_class is not None and not {"__hash__"} & (bound | scope.bound):
            indent, text = " " * node.col_offset, "__hash__ = None"
            decision = Decision("class-default", "builder", "what a class that has __eq__ alone is made with")
            self.change(Kind.FUNCTION, name, None, node, scope, names=(name,))
            if scope.shape is None:
                names = ("__hash__",)
                self.change(Kind.VALUE, "__hash__", None, node, scope, names=names, text=f"{indent}{text}\n", decision=decision)
                self.say("hash-changed", _WARNING, scope, *shapes.UNHASHABLE, name=name, place=node)
        elif name == "__eq__" and scope.new_class is not None and "__hash__" not in bound:
            words = "__eq__ without __hash__ makes objects unhashable, and those that exist may sit in sets and dicts"
            self.say("hash-changed", _ERROR, scope, words, "define __hash__ as well, or restart", new=node, name=name)
        elif name in _AT_CREATION and scope.classes:
            words = f"{name} is added to a class that exists: it counts when classes and objects are made"
            self.say("class-shape", _ERROR, scope, words, "restart", new=node, name=name)
        else:
            self.change(Kind.FUNCTION, name, None, node, scope, slot=nodes.slot(node), nth=item.nth, names=(name,))

    def _added_import(self, group: list[Item], scope: Where) -> None:
        """Names that an import adds: as it stands if all of them are new, else an import of just those."""
        whole = group[0].whole
        assert isinstance(whole, ast.Import | ast.ImportFrom)
        if group[0].name == "*":
            hint = "import the names that are needed"
            self.say("star-import-added", _ERROR, scope, "which names a star import binds isn't in the source", hint, new=whole)
        elif len(group) == len(whole.names):
            names = tuple(self._import_name(i, scope) for i in group)
            self.change(Kind.IMPORT, group[0].name, None, whole, scope, names=names)
        else:
            for item in group:
                text = f"{' ' * whole.col_offset}{ast.unparse(item.node)}\n"
                self.change(Kind.IMPORT, item.name, None, whole, scope, names=(self._import_name(item, scope),), text=text)

    def _import_name(self, item: Item, scope: Where) -> str:
        """What the import binds; for ``import a.b`` where ``a`` is there already: the submodule, which is what is new."""
        return item.name if item.bound[0] in scope.bound else item.bound[0]

    def _added_value(self, node: ast.stmt, item: Item, scope: Where) -> None:
        name = item.name
        if name == "__slots__" and scope.classes:
            hint = "restart: objects that exist have a dict"
            self.say("slots-changed", _ERROR, scope, "__slots__ are added", hint, new=node, name=name)
        elif nodes.is_field(node, scope.kind):
            self._field(None, node, scope, "is added")
        elif "." in name:
            first = name.partition(".")[0]
            if scope.classes or first in scope.bound or first not in self._plain_functions():
                self._statement(scope, None, node)
            else:  # an attribute of a function that is added too
                self.change(Kind.VALUE, name, None, node, scope, names=(name,))
        elif scope.classes and nodes.is_dunder(name) and name not in ("__doc__", "__hash__", "__repr__", "__str__", "__call__"):
            words = f"{name} is added to a class that exists: it counts when the class is made"
            self.say("class-shape", _ERROR, scope, words, "restart", new=node, name=name)
        else:
            self.change(Kind.VALUE, name, None, node, scope, names=nodes.target_names(node))

    # ------------------------------------------------------------ removed

    def _removed(self, item: Item, scope: Where) -> None:
        node, kind, name = item.node, item.key[0], item.name
        if (table := nodes.filled(node)) and self._may_be_filled(table, scope):
            self.ledger.out.filled.append((scope.classes, table))
        elif scope.block == "typing" or kind in ("overload", "typing"):
            self.ledger.type_only(scope, node, None)
        elif scope.block == "main":
            self.ledger.main_block(scope, node, None)
        elif kind == "annotation":
            self._annotation(node, None, scope, "is removed")
        elif kind == "import":
            self.say("removed-kept", _NOTE, scope, f"import of {name} is removed; the name stays", old=node, name=name)
        elif kind in ("block", "statement") and (names := self._left_by(node, scope)):
            words = f"a block that makes {', '.join(names)} is removed; what it has made stays in the process"
            hint = "nothing to do, unless something looks for it"
            self.say("removed-kept", _WARNING, scope, words, hint, old=node, name=", ".join(names))
        elif kind in ("block", "statement"):
            self._statement(scope, node, None)
        elif name == "__slots__" and scope.classes:
            hint = "restart: objects that exist have no dict"
            self.say("slots-changed", _ERROR, scope, "__slots__ are removed", hint, old=node, name=name)
        elif nodes.is_field(node, scope.kind):
            self._field(node, None, scope, "is removed")
        elif scope.shape is not None and shapes.generated_now(scope.shape, item):
            scope.shape.takes(name)
        elif self._may_go(item, scope):
            decision = Decision("remove", "builder", "what it hides in the class's bases is what the new source means")
            what, text = Kind.FUNCTION if kind == "def" else Kind.VALUE, nodes.text(self.old, node)
            self.change(what, name, node, node, scope, names=(name,), text=text, decision=decision)
            words = f"{name} is removed, and goes if the class inherits one; else it stays"
            self.say("removed", _NOTE, scope, words, old=node, name=name)
        else:
            inherited = scope.new_class is not None and bool(scope.new_class.bases)
            words = f"{name} is removed; it stays in the process" + (", and hides what the class inherits" if inherited else "")
            self.say("removed-kept", _WARNING, scope, words, "nothing to do, unless something looks for it", old=node, name=name)

    def _left_by(self, node: ast.stmt, scope: Where) -> list[str]:
        return left_by(self.old, self.new, node) if not scope.classes and not scope.block else []

    def _may_go(self, item: Item, scope: Where) -> bool:
        """True for what a class may inherit instead: one plain method, or one plain name."""
        if scope.new_class is None or not scope.new_class.bases or scope.block or item.name in scope.often or not item.is_single:
            return False
        if item.name in ("__eq__", "__hash__", "__init_subclass__", "__class_getitem__") or "." in item.name:
            return False
        node = item.node
        return item.key[0] == "value" or (isinstance(node, FunctionNode) and not item.key[2] and not node.decorator_list)

    # ------------------------------------------------------------ statements

    def _statement(self, scope: Where, old: ast.stmt | None, new: ast.stmt | None) -> None:
        node = new if new is not None else old
        assert node is not None
        if (table := nodes.filled(node)) and self._may_be_filled(table, scope):
            self.ledger.out.filled.append((scope.classes, table))
            return
        key = f"{self.new.module}: {nodes.head(node)}"
        chosen = self.ledger.chosen("top-level-statement", key, new, old)
        if chosen is None and old is None and new is not None and self._only_binds(new, scope):
            chosen = Decision("evaluate", "builder", "makes new names and does nothing else")
        if chosen is not None and chosen.rule != "skip" and new is not None and not scope.classes and not scope.block:
            self.change(Kind.STATEMENT, f"<line {new.lineno}>", None, new, scope, decision=chosen)
            if chosen.by == "person":
                self.decided(scope, chosen, old, None, f"is run once, at apply: {nodes.head(new)}", new)
            return
        if chosen is not None and chosen.rule == "skip":
            self.decided(scope, chosen, old, new, f"isn't run in the process: {nodes.head(node)}")
            return
        ran = "runs when the module is imported, and isn't run again" if new is not None else "is removed, and has run"
        hint = f"decide ({FILE}: `{key} = run-once` or `skip`), do it in a hotfix file, or restart"
        self.say("top-level-statement", _ERROR, scope, f"{ran}: {nodes.head(node)}", hint, old=old, new=new)

    def _may_be_filled(self, name: str, scope: Where) -> bool:
        """True if a table is made once in this scope, on both sides, and all that fills it only makes values."""
        if scope.block:
            return False
        old = scope.old_class.body if scope.old_class is not None else self.old.tree.body
        new = scope.new_class.body if scope.new_class is not None else self.new.tree.body
        return can_be_filled(self.old, old, name) and can_be_filled(self.new, new, name)

    def _only_binds(self, node: ast.stmt, scope: Where) -> bool:
        """True for an ``if`` or ``try`` at the top level that only makes names which weren't there."""
        if scope.classes or scope.block or not isinstance(node, ast.If | ast.Try):
            return False
        for inner in nodes.statements([node]):
            if isinstance(inner, ast.If):
                fits = self.new.is_quiet(inner.test)
            elif isinstance(inner, ast.Assign | ast.AnnAssign):
                names = nodes.target_names(inner)
                fits = self.new.is_quiet(nodes.value_of(inner)) and bool(names) and not any("." in n for n in names)
            elif isinstance(inner, FunctionNode):
                fits = not inner.decorator_list and all(
                    self.new.is_quiet(d) for d in (*inner.args.defaults, *filter(None, inner.args.kw_defaults))
                )
            else:
                fits = isinstance(inner, ast.Try | ast.Import | ast.ImportFrom | ast.Pass)
            if not fits or set(nodes.binds(inner)) & scope.bound or "*" in nodes.binds(inner):
                return False
        return True


def rule_for(old: ast.stmt, new: ast.stmt, classes: tuple[str, ...]) -> Decision | None:
    """What becomes of a changed value; None: both sides spell it out, and it's held against the live one as it is."""
    before, after = nodes.value_of(old), nodes.value_of(new)
    if nodes.is_plain(before) and nodes.is_plain(after):
        names = nodes.target_name(new) == "__all__" and not classes and nodes.is_names(before) and nodes.is_names(after)
        if names or not (nodes.is_mutable(before) or nodes.is_mutable(after)):
            return None
    if is_table(before) and is_table(after):
        return Decision("merge", "builder", "a table: who holds it sees the change, and what the program has put in it stays")
    return Decision("evaluate", "builder", "worked out once, at apply, in the module's namespace")


def _rebound(item: Item, gone: Sequence[Item], scope: Where) -> Item | None:
    """The one definition that a method, property, class or static method was, if it becomes another of these."""
    if scope.classes and not scope.block and len(gone) == 1 and gone[0].key[0] == item.key[0] == "def":
        if {gone[0].key[2], item.key[2]} == {"", "get"} and item.name not in scope.often:
            return gone[0]
    return None


def _shape(item: Item) -> str:
    if item.key[0] != "def":
        return _WORDS[item.key[0]]
    words = {"get": "a property", "set": "a setter", "del": "a deleter", "": "a plain function"}
    return words.get(item.key[2], "a registration")
