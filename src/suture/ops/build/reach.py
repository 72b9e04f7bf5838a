"""
Which names of the tree come to run what the patch changes, when somebody calls them.

For modules that the builder never sees: the process looks whether one of them called such a name when it was imported
(engine/outside.py), and needs no knowledge of the tree for that.

Goes from the changes to their callers: a function is read only if it mentions a name of one that leads there.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from suture.ops.build import nodes
from suture.ops.build.calls import Calls, Class, Frame, Function, Object, Value
from suture.ops.build.stale import Side, called_by, kept_in, led_by, mentioned, words_of
from suture.ops.build.tree import Source

__all__ = ["MOST", "reach"]

MOST = 5_000  # names


def reach(side: Side) -> dict[str, str]:
    """
    Names that lead to a change, of what ran at import.

    Returns:
        By module, dotted names with one space between; those closest to a change, if there are too many.  ``f()`` says that a
        call of what ``f`` gives leads there (a decorator with arguments).  ``C.m`` is what an object of the class has under
        that name, if it inherited it too.
    """
    if not side.any:
        return {}
    out: dict[str, set[str]] = defaultdict(set)
    for module, name in _Reach(side).run():
        out[module].add(name)
    return {module: " ".join(sorted(names)) for module, names in sorted(out.items())}


@dataclass(frozen=True, eq=False)
class _Unit:
    """
    What gives a name to something that can be called.

    Attributes:
        names: What it binds.
        words: What it mentions.
        function: It, if it's one.
        value: What is assigned, and where that stands.
        kept: Attribute that a method gives its object.
    """

    names: frozenset[str]
    words: frozenset[str]
    function: Function | None = None
    value: tuple[ast.expr, Frame] | None = None
    kept: tuple[Class, str] | None = None


class _Reach:
    def __init__(self, side: Side) -> None:
        self._side, self._calls = side, side.calls
        self._by_word: dict[str, list[_Unit]] = defaultdict(list)
        self._near: set[Function] = set()
        self._found: dict[tuple[str, str], None] = {}
        for source in side.sources():
            for unit in _units(self._calls, source, source.tree.body, self._calls.module(source)):
                for word in unit.words:
                    self._by_word[word].append(unit)

    def run(self) -> Iterable[tuple[str, str]]:
        """(module, name), the closest first."""
        words, fresh = set(self._side.seeds), set(self._side.seeds)
        while fresh and len(self._found) < MOST:
            units = {id(u): u for w in sorted(fresh) for u in self._by_word.get(w, ())}
            ranked = sorted(units.values(), key=self._is_called)
            fresh = {n for u in ranked for n in self._led_on(u)} - words
            words |= fresh
        return islice(self._found, MOST)

    def _is_called(self, unit: _Unit) -> bool:
        """False for what changes itself: it comes first."""
        return unit.function is None or not self._side.end(unit.function)

    def _led_on(self, unit: _Unit) -> Iterator[str]:
        """Names that a caller mentions, if the unit leads to a change."""
        function = unit.function
        if function is None:
            if self._names_one(unit):
                yield from unit.names
            return
        self._gives(function)
        if function in self._near or not any(map(self._leads, self._calls.runs(function))):
            return
        yield from self._take(function)
        yield from self._inherited(function)

    def _names_one(self, unit: _Unit) -> bool:
        """True if a call of what it names may lead to a change; of a class and an import it's the name that counts."""
        values: Iterable[Value] = ()
        if unit.value is not None:
            values = self._calls.values(*unit.value)
        elif unit.kept is not None:
            values = self._calls.attribute(Object(unit.kept[0]), unit.kept[1])
        else:
            return True
        return any(self._leads(f) for v in values for f in self._calls.runs(v))

    def _take(self, function: Function) -> Iterator[str]:
        self._near.add(function)
        module, name = self._name(function)
        self._found.setdefault((module, name))
        *classes, last = name.split(".")
        yield from called_by(last, classes)

    def _name(self, function: Function) -> tuple[str, str]:
        """Its module and dotted name: below the class that it's bound to."""
        owner = function.me.cls if isinstance(function.me, Object) else function.me
        title = self._calls.class_body(owner).title if owner is not None else function.frame.title
        source = (owner or function).frame.source
        return source.module, ".".join(filter(None, [title, getattr(function.node, "name", "")]))

    def _inherited(self, function: Function) -> Iterator[str]:
        """What its class inherits and comes to call it: ``route`` of the base, where ``add_url_rule`` is overridden."""
        if not isinstance(function.me, Object | Class):
            return
        cls = function.me.cls if isinstance(function.me, Object) else function.me
        todo, mine = [getattr(function.node, "name", "")], self._calls.mro(cls)
        for name in todo:  # grows while it is walked
            for owner in mine[1:]:
                for node in nodes.methods(owner.node):
                    other = self._calls.method(node, owner, Object(cls))
                    if name in mentioned(owner.frame.source, node) and self._is_inherited(cls, node):
                        self._gives(other)
                        if other not in self._near and self._leads(other):
                            yield from self._take(other)
                            todo.append(node.name)

    def _is_inherited(self, cls: Class, node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
        return any(binding is node for binding, _ in self._calls.looked_up(Object(cls), node.name))

    def _gives(self, function: Function) -> None:
        """Note it if a call of what it gives leads to a change."""
        given = (f for value in self._calls.result(function) for f in self._calls.runs(value))
        if any(map(self._leads, given)):
            module, name = self._name(function)
            self._found.setdefault((module, f"{name}()"))

    def _leads(self, function: Function) -> bool:
        return self._is_near(function) or any(map(self._is_near, self._calls.steps(function)))

    def _is_near(self, function: Function) -> bool:
        if function in self._near or self._side.end(function):
            return True
        owner = function.frame.owner if function.frame.is_class else None
        if owner is None or function.me is None:
            return False
        return Function(function.node, function.frame, Object(owner)) in self._near


def _units(calls: Calls, source: Source, body: Iterable[ast.stmt], frame: Frame) -> Iterator[_Unit]:
    owner = frame.owner if frame.is_class else None
    for node in nodes.statements(body):
        if isinstance(node, nodes.FunctionNode):
            function = Function(node, frame) if owner is None else calls.method(node, owner, Object(owner))
            words = mentioned(source, node) | called_by(node.name, frame.title.split("."))
            yield _Unit(frozenset((node.name,)), words, function)
            if owner is not None:
                yield from (_Unit(frozenset((n,)), words, kept=(owner, n)) for n, words in kept_in(source, node))
        elif isinstance(node, ast.ClassDef):
            head = source.lines[nodes.first_line(node) - 1 : max(node.lineno, node.body[0].lineno - 1)]
            yield _Unit(frozenset((node.name,)), words_of("".join(head)))
            yield from _units(calls, source, node.body, calls.class_body(Class(node, frame)))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (_Unit(frozenset((a.asname,)), frozenset(a.name.split("."))) for a in node.names if a.asname)
        elif names := frozenset(n for n in led_by(node) if not nodes.is_dunder(n)):
            value = nodes.value_of(node)
            yield _Unit(names, mentioned(source, node), value=(value, frame) if value is not None else None)
