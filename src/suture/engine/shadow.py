"""
Namespaces as they will be after the commit, for expressions that are evaluated before it.

A value that is worked out again may call functions of its module and read names that change with it; neither is live yet, and
nobody else may see them.  So it runs in a *shadow*: a namespace that answers with the new values, and with twins of the
module's functions that have the new code and look names up in the shadow themselves.  What comes out is searched for twins
and gets the live functions in their place.  Nothing that is live is written.
"""

from __future__ import annotations

import ast
import collections
import copy
import functools
import gc
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from suture.engine.facts import nested_codes
from suture.engine.frames import class_space, lineage
from suture.engine.swap import Store
from suture.errors import Refused

__all__ = ["Shadow", "Shadows", "reading_anew"]

Node = TypeVar("Node", bound=ast.AST)
_GETTER = "\0suture:get"
_LOOKED_AT = 50_000  # objects of a value
_DEPTH = 50
_SURFACE = (type, types.ModuleType, types.CodeType, types.BuiltinFunctionType)


class Shadow(dict[str, Any]):
    """One module's namespace; what runs in it writes here."""

    def __init__(self, shadows: Shadows, live: dict[str, Any], pending: Mapping[str, Any]) -> None:
        super().__init__()
        self._shadows, self.live, self.pending = shadows, live, pending

    def __missing__(self, key: str) -> Any:
        if key == _GETTER:
            return self._shadows.get
        if key in self.pending:
            return self._shadows.twin(self.pending[key])
        return self._shadows.twin(self.live[key])

    def at_hand(self, names: Iterable[str]) -> None:
        """Have these in it: inside a class's body the interpreter asks the dictionary itself, and not ``__missing__``."""
        for name in (_GETTER, "__name__", *names):
            if name == _GETTER or name in self.pending or name in self.live:
                self[name] = self.__missing__(name)


class Shadows:
    """
    The shadows of one patch.

    Args:
        pending: New values by name, by id of their module.
        members: New class attributes by name, by id of their class.
    """

    def __init__(self, pending: dict[int, dict[str, Any]], members: dict[int, dict[str, Any]]) -> None:
        self._pending, self._members = pending, members
        self._by_space: dict[int, Shadow] = {}
        self._by_module: dict[int, Shadow] = {}
        self._fields: dict[int, dict[str, Any]] = {}
        self._learned = 0
        self._real: dict[int, tuple[Any, Any]] = {}  # by id of what stands in for it: that, and what is live
        self._made: dict[int, types.FunctionType] = {}  # functions that were made in a shadow, as they are live
        self._classes: dict[int, tuple[type, type]] = {}  # by id of a live class: it, and what is read in its place
        self._stand_ins: set[int] = set()
        self._given = False  # something of a shadow has been handed out

    def of(self, module: types.ModuleType, space: dict[str, Any]) -> Shadow:
        """The shadow of a module."""
        if id(space) not in self._by_space:
            made = Shadow(self, space, self._pending.setdefault(id(module), {}))
            self._by_space[id(space)] = self._by_module[id(module)] = made
        return self._by_space[id(space)]

    def learn(self, stores: Sequence[Store]) -> None:
        """Note what functions will have; *stores* grows from call to call."""
        new, self._learned = stores[self._learned :], len(stores)
        for store in new:
            if type(store.owner) is types.FunctionType:
                self._fields.setdefault(id(store.owner), {})[store.name] = store.new

    def let_go(self, rest: Callable[[], None]) -> None:
        """Drop the twins: they hold code, and who holds code is counted as being inside it."""
        self._stand_ins.clear()
        for pile in (self._real, self._made, self._fields, self._by_space, self._by_module, self._classes):
            while pile:
                pile.popitem()
                rest()

    def stands_for(self, stand_in: Any, live: Any) -> None:
        """A copy that expressions see in place of a live table."""
        self._real[id(stand_in)] = (stand_in, live)
        self._stand_ins.add(id(stand_in))
        self._given = True

    def reads_as(self, live: type, stand_in: type) -> None:
        """Expressions that are worked out again see *stand_in* in the place of a live class."""
        self._classes[id(live)] = (live, stand_in)

    def twin(self, value: Any) -> Any:
        """A function as it will be, in the shadow of its module; other values as they are."""
        if id(value) in self._classes:
            return self._classes[id(value)][1]
        if type(value) is not types.FunctionType or id(value.__globals__) not in self._by_space:
            return value
        fields = self._fields.get(id(value), {})
        made = types.FunctionType(
            fields.get("__code__", value.__code__),
            self._by_space[id(value.__globals__)],
            value.__name__,
            fields.get("__defaults__", value.__defaults__),
            value.__closure__,
        )
        made.__kwdefaults__ = fields.get("__kwdefaults__", value.__kwdefaults__)
        made.__qualname__, made.__module__ = value.__qualname__, value.__module__
        self._real[id(made)] = (made, value)
        self._given = True
        return made

    def get(self, value: Any, name: str) -> Any:
        """``value.name`` as it will be."""
        if isinstance(value, types.ModuleType) and id(value) in self._by_module:
            shadow = self._by_module[id(value)]
            if name in shadow.pending or name in shadow.live:
                return shadow[name]
        elif isinstance(value, type):
            for cls in lineage(value):
                if name in self._members.get(id(cls), ()):
                    return self._members[id(cls)][name]
                if name in class_space(cls):
                    break
        found = getattr(value, name)
        return self._classes[id(found)][1] if id(found) in self._classes else found

    # ------------------------------------------------------------ what comes out

    def inside(self, value: Any, code: types.CodeType, target: str) -> Any:
        """As ``real``; a copy of a live table stays that copy, as more will be put into it."""
        own = self._real.pop(id(value)) if id(value) in self._stand_ins else None
        try:
            return self.real(value, code, target)
        finally:
            if own is not None:
                self._real[id(value)] = own

    def real(self, value: Any, code: types.CodeType, target: str) -> Any:
        """
        A value with live functions in place of twins; *code* made it.

        Raises:
            Refused: evaluation-entangled: something keeps a twin where it can't be replaced, or may keep one.
        """
        value = self._replaced(value, {})
        if self._given or nested_codes(code):
            self._search(value, target)
        return value

    def _replaced(self, value: Any, done: dict[int, Any], depth: int = 0) -> Any:
        if id(value) in self._real:
            return self._real[id(value)][1]
        if id(value) in done or depth > _DEPTH:  # what is deeper is found by the search
            return done.get(id(value), value)
        kind = type(value)
        made: Any = value
        done[id(value)] = value
        if kind is types.FunctionType and type(value.__globals__) is Shadow:
            made = self._function(value, done, depth)
        elif kind in (tuple, frozenset):
            parts = [self._replaced(v, done, depth + 1) for v in value]
            made = value if _all_same(parts, value) else kind(parts)
        elif kind is functools.partial:
            was = (value.func, value.args, value.keywords)
            parts = [self._replaced(v, done, depth + 1) for v in was]
            made = value if _all_same(parts, was) else functools.partial(parts[0], *parts[1], **parts[2])
        elif kind in (list, set):
            parts = [self._replaced(v, done, depth + 1) for v in value]
            if not _all_same(parts, value):
                value.clear()
                (value.extend if kind is list else value.update)(parts)
        elif kind in (dict, collections.defaultdict):
            if kind is collections.defaultdict:
                value.default_factory = self._replaced(value.default_factory, done, depth + 1)
            pairs = [[self._replaced(v, done, depth + 1) for v in pair] for pair in value.items()]
            if not all(map(_all_same, pairs, value.items())):
                value.clear()
                value.update(pairs)
        done[id(value)] = made
        return made

    def _function(self, function: types.FunctionType, done: dict[int, Any], depth: int) -> types.FunctionType:
        """A function that was made in a shadow, made anew in the live module."""
        shadow: Any = function.__globals__
        cells = function.__closure__
        if cells is not None:
            cells = tuple(types.CellType(self._replaced(c.cell_contents, done, depth + 1)) for c in cells)
        defaults = self._replaced(function.__defaults__, done, depth + 1)
        made = types.FunctionType(function.__code__, shadow.live, function.__name__, defaults, cells)
        made.__kwdefaults__ = self._replaced(function.__kwdefaults__, done, depth + 1)
        made.__qualname__ = function.__qualname__
        made.__module__ = shadow.live.get("__name__", function.__module__)
        made.__dict__.update(self._replaced(function.__dict__, done, depth + 1))
        self._made[id(made)] = made
        return made

    def _search(self, value: Any, target: str) -> None:
        """Look whether something still refers to a shadow; what the live program holds already is passed by."""
        todo, seen = [value], {id(value): value}
        while todo:
            here = todo.pop()
            if type(here) is Shadow or id(here) in self._real or len(seen) > _LOOKED_AT:
                raise Refused(
                    "evaluation-entangled",
                    f"the value keeps, or may keep, a function as it ran ahead of the commit: {type(value).__qualname__}",
                    target=target,
                    hint="restart, or set it in a hotfix file after the fix is live",
                )
            live = type(here) is types.FunctionType and id(here) not in self._made and type(here.__globals__) is not Shadow
            if live or isinstance(here, _SURFACE):
                continue
            space = here.__globals__ if type(here) is types.FunctionType and id(here) in self._made else None
            for inner in gc.get_referents(here):
                if inner is not space and gc.is_tracked(inner) and id(inner) not in seen:
                    seen[id(inner)] = inner
                    todo.append(inner)


def _all_same(a: Iterable[Any], b: Iterable[Any]) -> bool:
    return all(x is y for x, y in zip(a, b, strict=True))


class _Reading(ast.NodeTransformer):
    """Turns reads of attributes into calls that know the new ones; bodies of lambdas, which live on, stay as they are."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self._private = f"_{classes[-1].lstrip('_')}" if classes else ""

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        node.args = self.visit(node.args)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load):
            return node
        private = self._private and node.attr.startswith("__") and not node.attr.endswith("__")
        name = ast.Constant(self._private + node.attr if private else node.attr)
        made = ast.Call(ast.Name(_GETTER, ast.Load()), [node.value, name], [])
        return ast.fix_missing_locations(ast.copy_location(made, node))


def reading_anew(node: Node, classes: tuple[str, ...]) -> Node:
    """The expression or statement, reading attributes as they will be."""
    return _Reading(classes).visit(copy.deepcopy(node))  # type: ignore[no-any-return]
