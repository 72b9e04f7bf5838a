"""
What is computed from a value that changes: it is worked out again with it, in order, wherever in the tree it is.

Starts at a changed value and goes from reader to reader: constants, class attributes, default arguments; a module that took
the name gets the new value.  Where a reader can't be worked out again (a decorator's argument, a base, a statement that acts),
the place is given back, and the value isn't carried.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from suture.engine.values import is_table
from suture.ops.build import members, nodes
from suture.ops.build.diff import rule_for
from suture.ops.build.filling import can_be_filled
from suture.ops.build.knots import Knot, Knots
from suture.ops.build.nodes import FunctionNode
from suture.ops.build.readers import Readers
from suture.ops.build.tree import Source, Tree
from suture.patch import Change, Decision, Expect, Kind, Scope, Target
from suture.record import replace

__all__ = ["Key", "Ripple", "Wave"]

Key = tuple[str, tuple[str, ...], str]  # path, classes, name


@dataclass
class Wave:
    """
    What one changed value takes with it.

    Attributes:
        changes: Values and defaults that are worked out again, by place.
        rebind: ``module:name`` of modules that took a name, by the place of what they took.
        knots: Names of knots that are worked out again.
        stuck: Places that read it and can't be worked out again, with the reason.
        acted: Places of statements that bind nothing and ran with the old value.
    """

    changes: dict[Key, Change] = field(default_factory=dict)
    rebind: dict[Key, list[str]] = field(default_factory=dict)
    knots: dict[Knot, set[str]] = field(default_factory=dict)
    stuck: list[str] = field(default_factory=list)
    acted: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Unit:
    """A statement that runs at import, or the header of a class or block; without what it contains."""

    source: Source
    classes: tuple[str, ...]
    node: ast.stmt
    block: bool
    parts: tuple[ast.AST, ...]


class Ripple:
    """Questions about two trees; *mine* are the changes that are there anyway, by place."""

    def __init__(self, old: Tree, new: Tree, readers: Readers, mine: Mapping[Key, Change], knots: Knots) -> None:
        self._old, self._new, self._readers, self._mine, self._knots = old, new, readers, mine, knots
        self._units: dict[str, list[_Unit]] = {}
        self._lineages: dict[str, nodes.Lineage] = {}

    def table(self, path: str, classes: tuple[str, ...], name: str) -> Change | None:
        """A table that is filled in another way, as a change of its own text, which is the same."""
        source = self._new.source(path)
        old = self._old.source(path) if path in self._old.files else source
        sides = ((old, self._body(old, classes)), (source, self._body(source, classes)))
        unit = next((u for u in self._units_of(source) if u.classes == classes and _name_of(u.node) == name), None)
        if unit is None or not all(can_be_filled(s, b, name) for s, b in sides):
            return None
        made = self._again(unit, name)
        return made if isinstance(made, Change) else None

    def fillers(self, change: Change) -> list[Change]:
        """What fills a table that is worked out again, on both sides."""
        path, classes, name = change.target.path, change.scope.classes, change.target.name
        out = []
        for source, rule in ((self._old.source(path), "fill-old"), (self._new.source(path), "fill-new")):
            for node in nodes.fillers(self._body(source, classes), name):
                line = nodes.first_line(node)
                scope = Scope(classes, source.future_flags, source.future_flags, line, line)
                target = Target(change.target.module, ".".join([*classes, f"<{rule} {name}, line {line}>"]), path)
                decision = Decision(rule, "builder", "the table is worked out again with all that fills it")
                text = nodes.text(source, node)
                out.append(Change(0, Kind.STATEMENT, target, None, text, scope, Expect.ABSENT, again=(name,), decision=decision))
        return out

    def at(self, path: str, line: int) -> Wave | None:
        """The same for a value of the old tree that code which changes has made; None if it can't be worked out again."""
        for knot in self._knots.of(path):
            if (names := knot.made_on(line)) and (knot.touched or not knot.differs):
                return self._follow(Wave(knots={knot: names}), [(knot.home, (), name) for name in sorted(names)])
        old = self._old.source(path)
        unit = next((u for u in _units(old, old.tree.body, (), False) if u.node.lineno == line and _name_of(u.node)), None)
        if unit is None or path not in self._new.files or not isinstance(unit.node, ast.Assign | ast.AnnAssign):
            return None
        want = nodes.dump_of(old, unit.node)
        source = self._new.source(path)
        same = [u for u in self._units_of(source) if u.classes == unit.classes and nodes.dump_of(source, u.node) == want]
        if len(same) != 1 or self._why_not(same[0]) is not None:
            return None
        made = self._again(same[0], _name_of(unit.node))
        if not isinstance(made, Change):
            return None
        wave = self.of(source, made)
        wave.changes[path, unit.classes, _name_of(unit.node)] = made
        return wave

    def of(self, source: Source, change: Change) -> Wave:
        """Follow one changed value."""
        return self._follow(Wave(), [(source, change.scope.classes, _last(change))])

    def of_knot(self, knot: Knot) -> Wave:
        """Follow the names of a knot that differs."""
        return self._follow(Wave(knots={knot: set(knot.touched)}), [(knot.home, (), name) for name in sorted(knot.touched)])

    def _renamed(self, knot: Knot, names: set[str], wave: Wave) -> list[str]:
        """Importers that call one of several names something else: a patch can't say which they took."""
        taken = [(place, n) for n in names for place in wave.rebind.get((knot.home.path, (), n), ())]
        return [f"{place} (imported under another name)" for place, n in taken if len(names) > 1 and place.partition(":")[2] != n]

    def _follow(self, wave: Wave, todo: list[tuple[Source, tuple[str, ...], str]]) -> Wave:
        seen = {(s.path, c, n) for s, c, n in todo}
        return self._spread(wave, todo, seen)

    def _spread(self, wave: Wave, todo: list[tuple[Source, tuple[str, ...], str]], seen: set[Key]) -> Wave:
        for home, classes, name in todo:  # grows while it is walked
            if not classes:
                wave.rebind[home.path, (), name] = self._readers.of_name(home.module, name)[1]
            for unit in self._reading(home, classes, name):
                for key in self._take(unit, home, classes, name, wave):
                    if key not in seen:
                        seen.add(key)
                        todo.append((unit.source, key[1], key[2]))
        for knot, names in wave.knots.items():
            wave.stuck += self._renamed(knot, names, wave)
        return wave

    def of_members(self, source: Source, change: Change) -> Wave:
        """Follow an enumeration whose members change: who went through all of them, or made something of another value."""
        wave = Wave()
        classes, name = change.scope.classes, change.target.name
        old, new = self._class(self._old.source(source.path), (*classes, name)), self._class(source, (*classes, name))
        assert old is not None and new is not None
        other = members.renumbered(old, new, self._lineage(source))
        known = members.names(old) | members.names(new)
        todo: list[tuple[Source, tuple[str, ...], str]] = []
        for unit in self._reading(source, classes, name):
            means = partial(self._is_read, unit, home=source, classes=classes, name=name)
            if unit.node is new or not any(members.uses(p, means, known, other) for p in unit.parts):
                continue
            place = f"{unit.source.path}:{unit.node.lineno}"
            if other and any(members.uses(p, means, known, other) and not members.uses(p, means, known, ()) for p in unit.parts):
                wave.stuck.append(f"{place} (made of the value of a member, which may change: {', '.join(sorted(other)[:5])})")
            elif self._is_added(unit):
                wave.acted.append(f"{place} (which is new, and made while the new members aren't there yet)")
            else:
                todo += [(unit.source, key[1], key[2]) for key in self._take(unit, source, classes, name, wave)]
        return self._spread(wave, todo, {(s.path, c, n) for s, c, n in todo})

    def _is_added(self, unit: _Unit) -> bool:
        """True for a statement that the patch adds: it's run in the live module, where the members aren't yet."""
        mine = self._mine.get((unit.source.path, unit.classes, _name_of(unit.node)))
        if mine is not None:
            return mine.before is None
        return isinstance(unit.node, ast.ClassDef | ast.Assign | ast.AnnAssign) and self._twin(unit, "") is None

    # ------------------------------------------------------------ one reader

    def _take(self, unit: _Unit, home: Source, classes: tuple[str, ...], name: str, wave: Wave) -> Iterator[Key]:
        """Work a reader out again; yields the place of what it binds, which has readers too."""
        node, place = unit.node, f"{unit.source.path}:{unit.node.lineno}"
        own = _name_of(node)
        if unit.source is home and unit.classes == classes and own == name:
            return
        key = (unit.source.path, unit.classes, own)
        mine = self._mine.get(key)
        if isinstance(node, FunctionNode):
            self._defaults(unit, key, home, classes, name, wave)
        elif (found := self._tied(unit)) is not None:
            knot, names = found
            wave.knots.setdefault(knot, set()).update(names)
            yield from ((unit.source.path, (), n) for n in sorted(names))
        elif mine is not None and mine.kind is Kind.NESTED:
            wave.stuck.append(f"{place} (the functions that it makes change too)")
        elif mine is not None:
            if mine.decision is not None:
                yield key
        elif (table := nodes.filled(node)) and not unit.block:
            if unit.classes == classes and table == name and unit.source is home:
                return  # worked out with it
            whole = self.table(unit.source.path, unit.classes, table)
            if whole is None:
                wave.stuck.append(f"{place} ({nodes.head(node)})")
                return
            wave.changes.setdefault((unit.source.path, unit.classes, table), whole)
            yield unit.source.path, unit.classes, table
        elif isinstance(node, ast.Expr) and not _mutates(node, name):
            if self._twin(unit, own) is not None:  # one that is new hasn't run
                wave.acted.append(f"{place} ({nodes.head(node)})")
        elif not isinstance(node, ast.ClassDef) and (unit.block or not own) and self._is_new(unit):
            return  # evaluated anyway; or it is said that it changes
        elif not isinstance(node, ast.Assign | ast.AnnAssign) or not own or nodes.value_of(node) is None:
            wave.stuck.append(f"{place} ({nodes.head(node)})")
        elif (why := self._why_not(unit)) is not None:
            wave.stuck.append(f"{place} ({why})")
        elif (made := self._again(unit, own)) is None:
            return  # added: it's evaluated anyway
        elif isinstance(made, str):
            wave.stuck.append(f"{place} ({made})")
        else:
            wave.changes[key] = made
            yield key

    def _tied(self, unit: _Unit) -> tuple[Knot, set[str]] | None:
        """The knot that a statement is in, and what it makes of it; None for one that a person's choice is about."""
        for knot in self._knots.of(unit.source.path) if not unit.classes else ():
            names = knot.made_at(unit.node)
            if names:
                return (knot, names) if knot.touched or not knot.differs else None
        return None

    def _why_not(self, unit: _Unit) -> str | None:
        node = unit.node
        value = nodes.value_of(node)
        if unit.block:
            return "in a block that runs under a condition"
        if len(nodes.target_names(node)) != 1 or "." in nodes.target_names(node)[0]:
            return "more than one name, or not a plain one"
        body = self._body(unit.source, unit.classes)
        name = nodes.target_names(node)[0]
        if name in nodes.bound_often(body) and not can_be_filled(unit.source, body, name):
            return "bound more than once"
        owner = self._class(unit.source, unit.classes)
        if owner is not None and nodes.is_field(node, self._lineage(unit.source).kind(owner)):
            return "a field or a member that its class was made from"
        if not unit.source.is_quiet(value):
            return f"calls that may do more: {nodes.head(node)}"
        return None

    def _again(self, unit: _Unit, own: str) -> Change | str | None:
        """The statement as a change without a difference; None if the old side hasn't got it."""
        old = self._twin(unit, own)
        if old is None:
            return None
        source, node = unit.source, unit.node
        decision = rule_for(old, node, unit.classes) or (_MERGE if is_table(nodes.value_of(node)) else None)
        if decision is None or (is_table(nodes.value_of(node)) and not self._old.source(source.path).is_quiet(nodes.value_of(old))):
            return "a table made by calls"
        decision = Decision(decision.rule, "builder", "computed from what changes")
        return _change(Kind.VALUE, self._old.source(source.path), source, old, node, unit.classes, (own,), decision=decision)

    def _defaults(self, unit: _Unit, key: Key, home: Source, classes: tuple[str, ...], name: str, wave: Wave) -> None:
        node = unit.node
        assert isinstance(node, FunctionNode)
        place = f"{unit.source.path}:{node.lineno}"
        if any(self._reads(unit, part, home, classes, name) for part in node.decorator_list):
            wave.stuck.append(f"{place} (an argument of a decorator of {node.name})")
            return
        args = node.args
        positional = [*args.posonlyargs, *args.args]
        pairs = [*zip(positional[len(positional) - len(args.defaults) :], args.defaults, strict=True)]
        pairs += [(a, d) for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True) if d is not None]
        again = tuple(a.arg for a, d in pairs if self._reads(unit, d, home, classes, name))
        if not again:
            return
        if unit.block:
            wave.stuck.append(f"{place} (in a block that runs under a condition)")
            return
        before = wave.changes.get(key) or self._mine.get(key)
        if before is None:
            old = self._twin(unit, node.name)
            if old is None:
                return
            before = _change(Kind.FUNCTION, self._old.source(unit.source.path), unit.source, old, node, unit.classes, ())
        if before.before is None:
            return
        names = tuple(dict.fromkeys((*before.again, *again)))
        wave.changes[key] = replace(before, again=names)

    # ------------------------------------------------------------ who reads

    def _reading(self, home: Source, classes: tuple[str, ...], name: str) -> Iterator[_Unit]:
        sources = {home.path: home, **{s.path: s for s in self._readers.containing(name)}}
        if not classes:  # under another name, perhaps
            sources |= {path: self._new.source(path) for _, path in self._takers(home, name)}
        for source in sources.values():
            for unit in self._units_of(source):
                if any(self._reads(unit, part, home, classes, name) for part in unit.parts):
                    yield unit

    def _reads(self, unit: _Unit, part: ast.AST, home: Source, classes: tuple[str, ...], name: str) -> bool:
        return any(self._is_read(unit, node, home, classes, name) for node in nodes.running([part]))

    def _is_read(self, unit: _Unit, node: ast.AST, home: Source, classes: tuple[str, ...], name: str) -> bool:
        """True for a node that reads the name."""
        if _reads_all(node) and unit.source is home and unit.classes == classes:
            return True
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load):
            if unit.source is home and unit.classes == classes:
                return True
            if not classes and unit.source is home and not self._bound_in_class(unit, name):
                return True
        if not classes and isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            if (node.id, unit.source.path) in self._takers(home, name) and not self._bound_in_class(unit, node.id):
                return True
        if isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.ctx, ast.Load):
            if classes and self._is_class(unit, node.value, f"{home.module}.{'.'.join(classes)}", name):
                return True
            if not classes and self._readers.means(unit.source, node) == f"{home.module}.{name}":
                return True
        return False

    def _is_class(self, unit: _Unit, node: ast.expr, wanted: str, name: str) -> bool:
        """True if an expression is the class *wanted*, or one that has *name* from it, as far as the text says."""
        path = self._path_of(unit.source, node)
        if not path:
            return nodes.last_name(node) == wanted.rpartition(".")[2]
        seen: set[str] = set()
        todo = [path]
        while todo:
            here = todo.pop()
            if here == wanted:
                return True
            found = self._class_at(here) if here not in seen else None
            seen.add(here)
            if found is not None and (here == path or name not in nodes.bound_names(found[1].body)):
                todo += filter(None, (self._path_of(found[0], base) for base in found[1].bases))
            if found is not None and name in nodes.bound_names(found[1].body):
                return False
        return False

    def _path_of(self, source: Source, node: ast.expr) -> str:
        """Dotted path of a name or an attribute, from the module down; "" if the text doesn't say."""
        if isinstance(node, ast.Name) and any(
            isinstance(n, ast.ClassDef) and n.name == node.id for n in nodes.statements(source.tree.body)
        ):
            return f"{source.module}.{node.id}"
        if isinstance(node, ast.Attribute):
            before = self._path_of(source, node.value)
            return f"{before}.{node.attr}" if before else ""
        return self._readers.means(source, node)

    def _class_at(self, path: str) -> tuple[Source, ast.ClassDef] | None:
        module, _, rest = path.rpartition(".")
        classes = [rest]
        while module:
            source = self._readers.home(module)
            if source is not None:
                found = self._class(source, tuple(classes))
                return (source, found) if found is not None else None
            module, _, rest = module.rpartition(".")
            classes.insert(0, rest)
        return None

    def _takers(self, home: Source, name: str) -> set[tuple[str, str]]:
        """(what they call it, path) of files that took the name."""
        return self._readers.took(home.module, name)

    def _bound_in_class(self, unit: _Unit, name: str) -> bool:
        """True if a class's body has the name itself; ``x = x`` reads the one outside."""
        return (
            bool(unit.classes) and name != _name_of(unit.node) and name in nodes.bound_names(self._body(unit.source, unit.classes))
        )

    def _units_of(self, source: Source) -> list[_Unit]:
        if source.path not in self._units:
            self._units[source.path] = list(_units(source, source.tree.body, (), False))
        return self._units[source.path]

    def _body(self, source: Source, classes: tuple[str, ...]) -> Sequence[ast.stmt]:
        owner = self._class(source, classes)
        return source.tree.body if owner is None else owner.body

    def _class(self, source: Source, classes: tuple[str, ...]) -> ast.ClassDef | None:
        body: Sequence[ast.stmt] = source.tree.body
        found = None
        for name in classes:
            found = next((n for n in nodes.statements(body) if isinstance(n, ast.ClassDef) and n.name == name), None)
            body = found.body if found is not None else ()
        return found

    def _lineage(self, source: Source) -> nodes.Lineage:
        if source.path not in self._lineages:
            self._lineages[source.path] = nodes.Lineage(source.tree)
        return self._lineages[source.path]

    def _is_new(self, unit: _Unit) -> bool:
        """True if the old file has no such statement, nor a block of such a header, in that body or its blocks."""
        if unit.source.path not in self._old.files:
            return True
        old, want = self._old.source(unit.source.path), _shape_of(unit.source, unit.node)
        body = self._body(old, unit.classes)
        return not any(type(n) is type(unit.node) and _shape_of(old, n) == want for n in nodes.statements(body))

    def _twin(self, unit: _Unit, name: str) -> ast.stmt | None:
        """The same statement in the old tree."""
        if unit.source.path not in self._old.files:
            return None
        old = self._old.source(unit.source.path)
        want = nodes.dump_of(unit.source, unit.node)
        body = self._body(old, unit.classes) if not unit.classes or self._class(old, unit.classes) is not None else ()
        return next((n for n in body if type(n) is type(unit.node) and nodes.dump_of(old, n) == want), None)


_MERGE = Decision("merge", "builder", "")


def _shape_of(source: Source, node: ast.stmt) -> str:
    """A block's header, or another statement."""
    return nodes.header(node) if isinstance(node, nodes.BLOCKS) else nodes.dump_of(source, node)


def _mutates(node: ast.Expr, name: str) -> bool:
    """True for ``NAME.method(...)``: it may change the value itself."""
    call = node.value
    target = call.func.value if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) else None
    return isinstance(target, ast.Name | ast.Attribute) and nodes.last_name(target) == name.rpartition(".")[2]


def _units(source: Source, body: Iterable[ast.stmt], classes: tuple[str, ...], block: bool) -> Iterator[_Unit]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            header = (*node.decorator_list, *node.bases, *node.keywords)
            yield _Unit(source, classes, node, block, header)
            yield from _units(source, node.body, (*classes, node.name), block)
        elif isinstance(node, nodes.BLOCKS):
            if nodes.is_typing(node) or nodes.is_main(node):
                continue
            inner = list(nodes.inner_statements(node))
            held = {id(n) for n in inner}
            header = tuple(n for n in ast.iter_child_nodes(node) if id(n) not in held and not isinstance(n, ast.ExceptHandler))
            yield _Unit(source, classes, node, block, header)
            yield from _units(source, inner, classes, True)
        elif not isinstance(node, ast.Import | ast.ImportFrom):
            yield _Unit(source, classes, node, block, (node,))


def _reads_all(node: ast.AST) -> bool:
    """True for ``locals()`` and its like: what is made from it may be made from any name."""
    name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
    return name in ("locals", "globals", "vars", "dir") and isinstance(node, ast.Call) and not node.args


def _name_of(node: ast.stmt) -> str:
    if isinstance(node, FunctionNode | ast.ClassDef):
        return node.name
    names = nodes.target_names(node) if isinstance(node, ast.Assign | ast.AnnAssign) else ()
    return names[0] if len(names) == 1 else ""


def _last(change: Change) -> str:
    return change.target.qualname if not change.scope.classes else change.target.name


def _change(
    kind: Kind,
    old_source: Source,
    new_source: Source,
    old: ast.stmt,
    new: ast.stmt,
    classes: tuple[str, ...],
    names: tuple[str, ...],
    *,
    decision: Decision | None = None,
) -> Change:
    """A change whose text is the same on both sides."""
    scope = Scope(
        classes,
        old_source.future_flags,
        new_source.future_flags,
        nodes.first_line(old),
        nodes.first_line(new),
        nodes.reads_through(old_source, old),
        nodes.reads_through(new_source, new),
    )
    slot = nodes.slot(new) if isinstance(new, FunctionNode) else ""
    target = Target(new_source.module, ".".join([*classes, _name_of(new)]), new_source.path, slot)
    before, after = nodes.text(old_source, old), nodes.text(new_source, new)
    return Change(0, kind, target, before, after, scope, Expect.SOURCE, names, decision=decision)
