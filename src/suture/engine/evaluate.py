"""
Expressions that a patch brings: new functions, classes, imports and constants, changed defaults and annotations.

Here, and in what ``anew`` runs once more for us, a patch's code runs before it is live: at apply, never by ``plan``; last before
the commit, as everything that can fail comes first.  Each statement runs in its module's (or its class's) namespace, and what it
binds is caught in an overlay; the module's top level never runs again.

A new name that another new expression *calls through* (a table made by a new function that uses a new constant) has to be
found by running code in the module's real globals.  Then the names are lent to the module while the expression runs, and
taken back; nothing that is there already can see a name that wasn't there.  docs/adr/0011.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import copy
import sys
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any

from suture.engine import swap
from suture.engine.anew import CLASS_NOISE, Anew, ClassSpace, failed, statement
from suture.engine.facts import inner_body, wrap
from suture.engine.frames import class_space, lineage, qualname_of
from suture.engine.plan import Work
from suture.engine.rerun import absolute

__all__ = ["Evaluator"]

_UNSET = object()
_QUIET_HOUSES = frozenset((None, "abc", "enum", "typing"))  # None: builtins; their hooks enter classes nowhere


class Evaluator:
    """
    Runs the expressions of one patch and keeps what they gave until the commit.

    Attributes:
        pending: New names by the id of their module.
        members: New class members by the id of their class.
        ran: What was run and what it imported, in words, for the note ``evaluated``.
        anew: Runs what has run before once more.
        shadows: What that reads.
    """

    def __init__(self, rest: Callable[[], None]) -> None:
        self.pending: dict[int, dict[str, Any]] = {}
        self.members: dict[int, dict[str, Any]] = {}
        self.ran: list[str] = []
        self.anew = Anew(self.pending, self.members, self.ran, rest)
        self.shadows = self.anew.shadows
        self._rest = rest
        self._lent = contextlib.ExitStack()

    # ------------------------------------------------------------ additions

    def add(self, work: Work) -> list[tuple[str, Any]]:
        """
        Evaluate an added statement.

        Returns:
            (name as its namespace keeps it, value) of what it binds.

        Raises:
            Refused: evaluation-failed, with what was raised.  Nothing was changed.
        """
        modules = set(sys.modules)
        try:
            made = self._class_level(work) if work.owner is not None else self._module_level(work)
        except Exception as error:
            raise failed(work, error) from error
        imported = sorted(set(sys.modules) - modules)
        words = f"{work.target}" + (f" imported {', '.join(imported[:8])}" if imported else "")
        if hooks := sorted({hook for _, value in made if issubclass(type(value), type) for hook in _hooks_of(value)}):
            words += f" (and {', '.join(hooks)}: what that has entered somewhere stays after a revert)"
        self.ran.append(words)
        self._rest()
        return made

    def _module_level(self, work: Work) -> list[tuple[str, Any]]:
        pending = self.pending.setdefault(id(work.module), {})
        overlay: dict[str, Any] = dict(pending)
        space = work.space
        node = work.after.parse()
        changed = {n: v for n, v in pending.items() if n in space}
        if isinstance(node, ast.ImportFrom) and self._from_pending(node, space, overlay):
            pass
        elif changed and any(isinstance(n, ast.Name) and n.id in changed for n in ast.walk(node)):
            with swap.lent(space, {**_ahead(changed), **{n: v for n, v in pending.items() if not hasattr(builtins, n)}}):
                exec(statement(work.after, _Ahead(changed).visit), space, overlay)
        elif _needs_lending(node, pending):
            with swap.lent(space, {n: v for n, v in pending.items() if not hasattr(builtins, n)}):
                exec(statement(work.after), space, overlay)
        else:
            exec(statement(work.after), space, overlay)
        made = [(n, v) for n, v in overlay.items() if pending.get(n, _UNSET) is not v]
        pending.update(made)
        return made

    def _from_pending(self, node: ast.ImportFrom, space: dict[str, Any], overlay: dict[str, Any]) -> bool:
        """Bind names that another module of this patch gets; True if the statement is done with that."""
        name = absolute(node, space)
        module = sys.modules.get(name) if name else None
        fresh = self.pending.get(id(module), {}) if module is not None else {}
        if not any(a.name in fresh for a in node.names):
            return False
        assert module is not None
        for alias in node.names:
            value = fresh[alias.name] if alias.name in fresh else getattr(module, alias.name)
            overlay[alias.asname or alias.name] = value
        return True

    def _class_level(self, work: Work) -> list[tuple[str, Any]]:
        owner = work.owner
        assert owner is not None
        pending = self.members.setdefault(id(owner), {})
        space = ClassSpace(pending, class_space(owner))
        space["__annotations__"] = {}  # else the statement writes into those of the live class
        fresh = self.pending.get(id(work.module), {})
        changed = {n: v for n, v in fresh.items() if n in work.space}
        code = statement(work.after, _Ahead(changed).visit)
        with swap.lent(work.space, {**_ahead(changed), **{n: v for n, v in fresh.items() if not hasattr(builtins, n)}}):
            exec(code, work.space, space)
            cell = space.pop("__classcell__", None)
            if cell is not None:
                cell.cell_contents = owner
            made = [(n, v) for n, v in dict.items(space) if n not in CLASS_NOISE]
            for name, value in made:
                named = type(value).__dict__.get("__set_name__")
                if named is not None:
                    named(value, owner, name)
        pending.update(made)
        return made

    # ------------------------------------------------------------ what comes later finds what came before

    def gets_members(self, live: type, stand_in: type, added: Mapping[str, Any]) -> None:
        """
        What an enumeration will have, for the expressions that come later.

        Those that are worked out again read the stand-in; to the others, which run in live namespaces, the names that are
        new are lent, until ``take_back``.
        """
        self.shadows.reads_as(live, stand_in)
        self.members.setdefault(id(live), {}).update(added)
        self._lent.enter_context(swap.lent_to_class(live, added))

    def take_back(self) -> None:
        """What was lent to classes goes."""
        self._lent.close()

    def will_be(self, work: Work, name: str, value: Any) -> None:
        """What a name holds after the commit, for the expressions that come later."""
        owner, spaces = (work.module, self.pending) if work.owner is None else (work.owner, self.members)
        spaces.setdefault(id(owner), {})[name] = value  # type: ignore[index]

    # ------------------------------------------------------------ changed defaults and annotations

    def expression(self, work: Work, node: ast.expr) -> Any:
        """
        Value of one default or annotation, in the namespace its ``def`` stands in.

        Raises:
            Refused: evaluation-failed.
        """
        node = _mangle(node, work.change.scope.classes)
        tree = ast.fix_missing_locations(ast.Expression(node))
        space = ClassSpace(self.pending.get(id(work.module), {}), {})
        if work.owner is not None:
            members = {**class_space(work.owner), **self.members.get(id(work.owner), {})}
            space = ClassSpace(members, self.pending.get(id(work.module), {}))
        flags = work.after.flags
        try:
            code = compile(tree, work.after.filename, "eval", flags, dont_inherit=True)
            value = eval(code, work.space, space)
        except Exception as error:
            raise failed(work, error) from error
        self._rest()
        return value

    def annotate(self, work: Work) -> Any:
        """
        The ``__annotate__`` of the new definition (3.14+), bound to the live module and class; nothing is evaluated.

        Raises:
            Refused: evaluation-failed.
        """
        made = self._bare_function(work)
        function = made.__annotate__
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False) if function else ():
            if name == "__classdict__" and work.owner is not None:
                cell.cell_contents = dict(class_space(work.owner))
            elif name == "__class__" and work.owner is not None:
                cell.cell_contents = work.owner
        return function

    def _bare_function(self, work: Work) -> Any:
        """The new ``def`` executed without its decorators and defaults: a function nobody will call."""
        source = work.after
        text = wrap(source.text, source.classes, source.imports)[1]
        tree = compile(text, source.filename, "exec", source.flags | ast.PyCF_ONLY_AST, dont_inherit=True)
        node: Any = inner_body(tree, source.wrapped, source.imports)[0]
        tree.body = tree.body[bool(source.imports) :]
        node.decorator_list = []
        node.args.defaults = [ast.copy_location(ast.Constant(None), d) for d in node.args.defaults]
        node.args.kw_defaults = [d and ast.copy_location(ast.Constant(None), d) for d in node.args.kw_defaults]
        space: dict[str, Any] = {}
        try:
            code = compile(tree, source.filename, "exec", source.flags, dont_inherit=True)
            exec(code, work.space, space)
        except Exception as error:
            raise failed(work, error) from error
        made: Any = None
        for name in work.change.scope.classes:
            made = space[name]
            space = dict(class_space(made))
        name = work.change.target.name
        classes = work.change.scope.classes
        return space.get(name) or space[f"_{classes[-1].lstrip('_')}{name}"]


_NEW = "_suture_new_"


def _hooks_of(cls: type) -> Iterator[str]:
    """What of a program's own has run when a class was made: its bases' ``__init_subclass__``, its metaclass."""
    for base in lineage(cls)[1:]:
        if "__init_subclass__" in class_space(base) and _house(base) not in _QUIET_HOUSES:
            yield f"{qualname_of(base)}.__init_subclass__"
    for meta in lineage(type(cls)):
        if _house(meta) not in _QUIET_HOUSES and not {"__new__", "__init__"}.isdisjoint(class_space(meta)):
            yield f"metaclass {qualname_of(meta)}"


def _house(cls: type) -> Any:
    """Module of a class; None for those of C, which have a getter for it."""
    return module if type(module := class_space(cls).get("__module__")) is str else None


def _needs_lending(node: ast.stmt, pending: Mapping[str, Any]) -> bool:
    """
    True if running *node* may look a pending name up in the module's globals.

    That is: it names one inside a scope of its own that runs at once, or it may call a pending function or class.
    """
    if not pending or isinstance(node, ast.Import | ast.ImportFrom):
        return False
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        if not node.decorator_list and not any(isinstance(n, ast.Call) for d in _defaults(node) for n in ast.walk(d)):
            return False
    return any(isinstance(n, ast.Name) and n.id in pending for n in ast.walk(node))


def _ahead(changed: Mapping[str, Any]) -> dict[str, Any]:
    """New values under names of ours, which can be lent."""
    return {f"{_NEW}{name}": value for name, value in changed.items()}


class _Ahead(ast.NodeTransformer):
    """Makes what runs at once read the new values of names that change; bodies of functions, which live on, stay as they are."""

    def __init__(self, changed: Container[str]) -> None:
        self._changed = changed
        self._own: list[set[str]] = []

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in self._changed and isinstance(node.ctx, ast.Load) and not any(node.id in own for own in self._own):
            return ast.copy_location(ast.Name(f"{_NEW}{node.id}", ast.Load()), node)
        return node

    def _function(self, node: Any) -> ast.AST:
        node.decorator_list = [self.visit(d) for d in node.decorator_list]
        node.args.defaults = [self.visit(d) for d in node.args.defaults]
        node.args.kw_defaults = [d and self.visit(d) for d in node.args.kw_defaults]
        return node  # type: ignore[no-any-return]

    visit_FunctionDef = visit_AsyncFunctionDef = _function

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        node.args.defaults = [self.visit(d) for d in node.args.defaults]
        node.args.kw_defaults = [d and self.visit(d) for d in node.args.kw_defaults]
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.decorator_list, node.bases = [self.visit(d) for d in node.decorator_list], [self.visit(b) for b in node.bases]
        node.keywords = [self.visit(k) for k in node.keywords]
        self._own.append({n.id for s in node.body for n in ast.walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)})
        node.body = [self.visit(s) for s in node.body]
        self._own.pop()
        return node

    def _comprehension(self, node: Any) -> ast.AST:
        self._own.append({n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)})
        self.generic_visit(node)
        self._own.pop()
        return node  # type: ignore[no-any-return]

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.value = node.value and self.visit(node.value)
        return node


def _defaults(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.expr]:
    yield from node.args.defaults
    yield from (d for d in node.args.kw_defaults if d is not None)


class _Mangler(ast.NodeTransformer):
    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id.startswith("__") and not node.id.endswith("__"):
            return ast.copy_location(ast.Name(self.prefix + node.id, node.ctx), node)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if node.attr.startswith("__") and not node.attr.endswith("__"):
            return ast.copy_location(ast.Attribute(node.value, self.prefix + node.attr, node.ctx), node)
        return node


def _mangle(node: ast.expr, classes: tuple[str, ...]) -> ast.expr:
    if not classes:
        return node
    return _Mangler(f"_{classes[-1].lstrip('_')}").visit(copy.deepcopy(node))  # type: ignore[no-any-return]
