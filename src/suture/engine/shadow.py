"""
Namespaces as they will be after the commit, for expressions that are evaluated before it.

A value that is worked out again may call functions of its module and read names that change with it; neither is live yet, and
nobody else may see them.  So it runs in a *shadow*: a namespace that answers with the new values, and with twins of the
module's functions that have the new code and look names up in the shadow themselves.  What comes out is searched for twins
and gets the live functions in their place.  Nothing that is live is written.
"""

from __future__ import annotations

import ast
import copy
import functools
import gc
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from suture.engine.resolve import class_space, lineage
from suture.engine.swap import Store
from suture.errors import Refused

__all__ = ["Shadow", "Shadows", "reading_anew"]

Node = TypeVar("Node", bound=ast.AST)
_GETTER = "\0suture:get"
_LOOKED_AT = 5_000  # objects of a value
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
        self._taken = 0
        self._real: dict[int, tuple[Any, Any]] = {}  # by id of what stands in for it: that, and what is live

    def of(self, module: types.ModuleType, space: dict[str, Any]) -> Shadow:
        """The shadow of a module."""
        if id(space) not in self._by_space:
            made = Shadow(self, space, self._pending.setdefault(id(module), {}))
            self._by_space[id(space)] = self._by_module[id(module)] = made
        return self._by_space[id(space)]

    def learn(self, stores: Iterable[Store]) -> None:
        """Note what functions will have."""
        for store in stores:
            if type(store.owner) is types.FunctionType:
                self._fields.setdefault(id(store.owner), {})[store.name] = store.new

    def let_go(self, rest: Callable[[], None]) -> None:
        """Drop the twins: they hold code, and who holds code is counted as being inside it."""
        for pile in (self._real, self._fields, self._by_space, self._by_module):
            while pile:
                pile.popitem()
                rest()

    def stands_for(self, stand_in: Any, live: Any) -> None:
        """A copy that expressions see in place of a live table."""
        self._real[id(stand_in)] = (stand_in, live)

    def twin(self, value: Any) -> Any:
        """A function as it will be, in the shadow of its module; other values as they are."""
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
        return getattr(value, name)

    # ------------------------------------------------------------ what comes out

    def real(self, value: Any, target: str) -> Any:
        """
        A value with live functions in place of twins.

        Raises:
            Refused: evaluation-entangled: something keeps a twin where it can't be replaced.
        """
        value = self._replaced(value, {})
        self._search(value, target)
        return value

    def _replaced(self, value: Any, done: dict[int, Any]) -> Any:
        if id(value) in self._real:
            return self._real[id(value)][1]
        if id(value) in done:
            return done[id(value)]
        kind = type(value)
        made: Any = value
        done[id(value)] = value
        if kind is types.FunctionType and type(value.__globals__) is Shadow:
            made = _live(value, self._replaced)
        elif kind in (tuple, frozenset):
            parts = [self._replaced(v, done) for v in value]
            made = value if all(a is b for a, b in zip(parts, value, strict=True)) else kind(parts)
        elif kind is functools.partial:
            parts = [self._replaced(v, done) for v in (value.func, value.args, value.keywords)]
            same = all(a is b for a, b in zip(parts, (value.func, value.args, value.keywords), strict=True))
            made = value if same else functools.partial(parts[0], *parts[1], **parts[2])
        elif kind is list:
            for at, inner in enumerate(value):
                if (real := self._replaced(inner, done)) is not inner:
                    value[at] = real
        elif kind is dict:
            for key, inner in list(value.items()):
                if (real := self._replaced(inner, done)) is not inner:
                    value[key] = real
        elif kind is set:
            for inner in list(value):
                if (real := self._replaced(inner, done)) is not inner:
                    value.discard(inner)
                    value.add(real)
        done[id(value)] = made
        return made

    def _search(self, value: Any, target: str) -> None:
        todo, seen = [value], {id(value)}
        while todo and len(seen) < _LOOKED_AT:
            here = todo.pop()
            if type(here) is Shadow or id(here) in self._real:
                raise Refused(
                    "evaluation-entangled",
                    f"the value keeps a function as it ran ahead of the commit, where it can't be told: {type(value).__qualname__}",
                    target=target,
                    hint="restart, or set it in a hotfix file after the fix is live",
                )
            if isinstance(here, _SURFACE) or (type(here) is types.FunctionType and type(here.__globals__) is not Shadow):
                continue
            for inner in gc.get_referents(here):
                if id(inner) not in seen:
                    seen.add(id(inner))
                    todo.append(inner)


def _live(function: types.FunctionType, replaced: Callable[[Any, dict[int, Any]], Any]) -> types.FunctionType:
    """A function that was made in a shadow, made anew in the live module."""
    shadow: Any = function.__globals__
    cells = function.__closure__
    made = types.FunctionType(function.__code__, shadow.live, function.__name__, function.__defaults__, cells)
    made.__kwdefaults__ = function.__kwdefaults__
    made.__qualname__ = function.__qualname__
    made.__module__ = shadow.live.get("__name__", function.__module__)
    made.__dict__.update(function.__dict__)
    return made


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
