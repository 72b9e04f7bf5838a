"""
Statements that make something only together: a table and the loops and blocks that fill it, a name and the branches that bind
it, names that one call gives.  They are worked out again as one, or not at all.

A block or a loop is judged as a statement is: by the names that it binds, the tables that it fills, and whether it does
anything else.  Which branch ran can't be seen from here; the process runs the whole knot once more, in a shadow, as the old
source has it and as the new one does, and holds what the old one makes against what is there.  docs/adr/0018.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from suture.engine.values import is_table
from suture.ops.build import nodes
from suture.ops.build.filling import can_be_filled, parts_of
from suture.ops.build.nodes import FunctionNode
from suture.ops.build.tree import Source, Tree
from suture.patch import Change, Decision, Expect, Kind, Scope, Target
from suture.record import replace

__all__ = ["Knot", "Knots", "left_by"]

_FRESH = (ast.Constant, ast.Tuple, ast.JoinedStr, ast.BinOp)
_Definition = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class _Loud(Exception):
    """A statement may do more than make values."""


@dataclass(frozen=True)
class _Leaf:
    """
    A statement that is no block, or one name of an import.

    Attributes:
        node: It.
        path: The headers around it, with whatever else decides whether it runs.
        reads: Names that it, or a header around it, reads.
        binds: Names that it binds.
        fills: The table that it fills, or "".
        dump: Equal for equal meaning.
        by_the_way: True for what a loop counts with: it ties nothing together.
    """

    node: ast.AST
    path: tuple[str, ...]
    reads: frozenset[str]
    binds: tuple[str, ...]
    fills: str
    dump: str
    by_the_way: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.binds, self.fills) if self.fills not in ("", *self.binds) else self.binds


@dataclass(eq=False)
class _Unit:
    """
    One statement of a module's top level.

    Attributes:
        node: It.
        leaves: What is in it.
        expressions: What has to be quiet.
        definitions: Functions and classes in it: they are changes of their own.
        loud: True if it does something else, whatever its expressions do.
    """

    node: ast.stmt
    leaves: list[_Leaf] = field(default_factory=list)
    expressions: list[ast.expr] = field(default_factory=list)
    definitions: list[ast.stmt] = field(default_factory=list)
    loud: bool = False

    @property
    def ties(self) -> frozenset[str]:
        return frozenset(n for leaf in self.leaves if not leaf.by_the_way for n in leaf.names)

    @property
    def is_block(self) -> bool:
        return isinstance(self.node, ast.If | ast.Try | ast.With | ast.For)


class Knot:
    """
    Statements of one module's top level that are worked out again together.

    Attributes:
        names: All that can change with it.
        touched: Those that do; none: nothing has to be done.
        rebind: ``module:name`` of modules that took a name, by name.
    """

    def __init__(
        self,
        sides: tuple[_Side, _Side],
        units: tuple[list[_Unit], list[_Unit]],
        names: frozenset[str],
        counted: AbstractSet[str],
        left: AbstractSet[str],
    ) -> None:
        self._sides, self._units, self.names, self._left = sides, units, names | counted, left
        self._leaves = [leaf for unit in units[1] for leaf in unit.leaves]
        self.touched: set[str] = set()
        self.rebind: dict[str, list[str]] = {}

    @property
    def home(self) -> Source:
        """The new side's file."""
        return self._sides[1].source

    @property
    def differs(self) -> set[str]:
        """Names that the two sources make in another way."""
        was, becomes = (side.signatures(units) for side, units in zip(self._sides, self._units, strict=True))
        return self.with_readers({n for n in self.names if was.get(n) != becomes.get(n)})

    def with_readers(self, names: AbstractSet[str]) -> set[str]:
        """Some names of it, and those that are made with them."""
        found: set[str] = set()
        todo = sorted(names & self.names)
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo += self.made_with(name)
        return found

    def made_with(self, name: str) -> set[str]:
        """Names of it that some statement of it makes with a name, of it or not."""
        return {n for leaf in self._leaves if name in leaf.reads for n in leaf.names} & self.names

    def made_at(self, node: ast.stmt) -> set[str]:
        """Names that a statement of the new side, or what a block around it decides, makes; empty if it isn't in the knot."""
        return self._made_by(1, lambda n: n is node) if not isinstance(node, _Definition) else set()

    def made_on(self, line: int) -> set[str]:
        """The same of the old side's statement that begins on a line."""
        return self._made_by(0, lambda n: n.lineno == line)

    def _made_by(self, side: int, is_it: Callable[[ast.stmt], bool]) -> set[str]:
        for unit in self._units[side]:
            around = [s for s in nodes.statements([unit.node]) if any(map(is_it, nodes.statements([s])))]
            if around:
                whole = next((s for s in around if not isinstance(s, ast.If)), around[-1])
                inside = {id(n) for n in nodes.statements([whole])}
                return self.with_readers({n for leaf in unit.leaves if id(leaf.node) in inside for n in leaf.names})
        return set()

    def left(self) -> list[str]:
        """Names that its loops count with, and others may bind after them: they stay what they are."""
        touched = [u for units in self._units for u in units if u.ties & self.touched]
        return sorted({n for u in touched for leaf in u.leaves if leaf.by_the_way for n in leaf.binds if n in self._left})

    def statements(self) -> Iterator[tuple[int, ast.stmt]]:
        """(0 or 1 for the side, statement) of its own."""
        for side, units in enumerate(self._units):
            yield from ((side, unit.node) for unit in units)

    def taken(self) -> Iterator[ast.stmt]:
        """Statements that need no other change."""
        for units in self._units:
            for unit in units:
                yield from _without(unit.node, unit.definitions)

    def is_table(self, name: str) -> bool:
        """True for what statements of it fill."""
        return any(leaf.fills == name for leaf in self._leaves)

    def changes(self) -> list[Change]:
        """One for each statement of either side, in order; the last one says who else has the names."""
        out: list[Change] = []
        again = tuple(sorted(self.touched))
        words = again[0] + (f" and {len(again) - 1} more" if len(again) > 1 else "")
        for side, units, rule in zip(self._sides, self._units, ("again-old", "again-new"), strict=True):
            for unit in units:
                source, line = side.source, nodes.first_line(unit.node)
                through = nodes.reads_through(source, unit.node)
                scope = Scope((), source.future_flags, source.future_flags, line, line, through, through)
                target = Target(self.home.module, f"<{rule} {words}, line {line}>", self.home.path)
                decision = Decision(rule, "builder", "worked out again with all that makes it")
                text = _text(source, unit)
                out.append(Change(0, Kind.STATEMENT, target, None, text, scope, Expect.ABSENT, again=again, decision=decision))
        out[-1] = replace(out[-1], rebind=tuple(sorted({p for n in again for p in self.rebind.get(n, ())})))
        return out


class Knots:
    """The knots of two trees, by file."""

    def __init__(self, old: Tree, new: Tree) -> None:
        self._old, self._new = old, new
        self._known: dict[str, list[Knot]] = {}

    def of(self, path: str) -> list[Knot]:
        """Those of a file that both trees have."""
        if path not in self._known:
            both = path in self._old.files and path in self._new.files
            self._known[path] = list(_found(self._old.source(path), self._new.source(path))) if both else []
        return self._known[path]

    def give_up(self, knot: Knot) -> None:
        """It can't be worked out again after all."""
        self._known[knot.home.path].remove(knot)

    def touched(self) -> Iterator[Knot]:
        """Those that something changes in."""
        for path in sorted(self._known):
            yield from (k for k in self._known[path] if k.touched)


def left_by(old: Source, new: Source, node: ast.stmt) -> list[str]:
    """Names that a block has made, and tables that it has filled; empty if it did more, or something makes them now."""
    unit = _taken_apart(node)
    if unit is None or not unit.is_block or unit.loud or unit.definitions or not all(map(old.is_quiet, unit.expressions)):
        return []
    filled = {leaf.fills for leaf in unit.leaves if leaf.fills}
    own = {n for s in old.tree.body if is_table(nodes.value_of(s)) for n in nodes.target_names(s)}
    if not filled <= own or not unit.ties.isdisjoint(nodes.bound_names(new.tree.body)):
        return []
    return sorted({n for leaf in unit.leaves for n in leaf.names})


# ---------------------------------------------------------------- one side


class _Side:
    """One source, taken apart."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.units = [u for u in map(_taken_apart, source.tree.body) if u is not None]
        self.blocked = {n for u in self.units if u.loud for n in _outside(u.node)}
        self.blocked |= {d.name for u in self.units for d in u.definitions}  # type: ignore[attr-defined]
        self.blocked |= {n.name for n in source.tree.body if isinstance(n, _Definition)}
        self.bound = {n for u in self.units for n in _all_bound(u.node)}
        self.makers: dict[str, list[_Unit]] = {}  # units by name
        for unit in self.units:
            for name in unit.ties:
                self.makers.setdefault(name, []).append(unit)

    def ties(self) -> Iterator[frozenset[str]]:
        """Names that hang together: what one statement makes, and what it reads before that is finished."""
        at = {id(u): n for n, u in enumerate(self.units)}
        for unit in self.units:
            early = {r for leaf in unit.leaves for r in leaf.reads if any(at[id(m)] > at[id(unit)] for m in self.makers.get(r, ()))}
            if unit.ties:
                yield unit.ties | {r for r in early if any(at[id(m)] < at[id(unit)] for m in self.makers[r])}

    def last(self, units: Sequence[_Unit], names: AbstractSet[str]) -> set[str]:
        """Names that none of the statements behind these binds once more."""
        found: set[str] = set()
        for unit in reversed(self.units):
            mine = names & _all_bound(unit.node)
            found |= mine if unit in units else set()
            names = names - mine
        return found

    def signatures(self, units: Sequence[_Unit]) -> dict[str, list[object]]:
        """What makes each name, in order: equal lists make the same."""
        leaves = [leaf for unit in units for leaf in unit.leaves]
        total = Counter(n for leaf in leaves for n in leaf.names)
        seen: Counter[str] = Counter()
        out: dict[str, list[object]] = {}
        for leaf in leaves:
            versions = tuple((r, seen[r]) for r in sorted(leaf.reads) if total[r] > 1)
            for name in leaf.names:
                out.setdefault(name, []).append((leaf.path, leaf.dump, versions))
            seen.update(leaf.names)
        return out

    def is_quiet(self, units: Sequence[_Unit]) -> bool:
        """True if these statements make values, fill tables that they have made themselves, and do nothing else."""
        leaves = [leaf for unit in units for leaf in unit.leaves]
        own = {n for leaf in leaves for n in leaf.names}
        if any(u.loud or not all(self.source.is_quiet(e, own) for e in u.expressions) for u in units):
            return False
        return all(_is_own(name, leaves) for name in {leaf.fills for leaf in leaves if leaf.fills})


def _found(old: Source, new: Source) -> Iterator[Knot]:
    sides = (_Side(old), _Side(new))
    groups: list[set[str]] = []
    for tied in (t for side in sides for t in side.ties()):
        mine = [g for g in groups if not g.isdisjoint(tied)]
        groups = [g for g in groups if g.isdisjoint(tied)]
        groups.append(set(tied).union(*mine))
    blocked = sides[0].blocked | sides[1].blocked
    for names in groups:
        units = tuple([u for u in s.units if not names.isdisjoint(u.ties)] for s in sides)
        if names.isdisjoint(blocked) and units[1] and not _is_plain(sides, units, names):  # type: ignore[arg-type]
            if all(s.is_quiet(u) for s, u in zip(sides, units, strict=True)) and _same_around(*units):
                yield Knot(sides, units, frozenset(names), *_counted(sides, units))  # type: ignore[arg-type]


def _counted(sides: tuple[_Side, _Side], units: tuple[list[_Unit], list[_Unit]]) -> tuple[set[str], set[str]]:
    """Names that loops count with: those that are left as these loops leave them, and those that others may bind after them."""
    names = {n for u in (*units[0], *units[1]) for leaf in u.leaves if leaf.by_the_way for n in leaf.binds}
    names -= sides[0].blocked | sides[1].blocked
    here, elsewhere = zip(*((s.last(u, names), s.bound & names) for s, u in zip(sides, units, strict=True)), strict=True)
    mine = {n for n in names if all(n in h or n not in e for h, e in zip(here, elsewhere, strict=True))}
    return mine, names - mine - (sides[0].source.deleted & sides[1].source.deleted)


def _is_plain(sides: tuple[_Side, _Side], units: tuple[list[_Unit], list[_Unit]], names: set[str]) -> bool:
    """True for what needs no knot: one statement and one name, a table that plain statements fill, what is new by itself."""
    everything = [*units[0], *units[1]]
    if all(isinstance(u.node, ast.Import | ast.ImportFrom) for u in everything):
        return True
    if not any(u.is_block for u in everything):
        if len(names) == 1 and all(len(u) < 2 for u in units):
            return True
        (name, *more) = names
        fills = not more and all(can_be_filled(s.source, s.source.tree.body, name) for s in sides)
        if fills and Counter(map(_dump, units[0])) != Counter(map(_dump, units[1])):
            return True
    others = any(isinstance(u.node, ast.With) for u in units[1])  # what is new and makes names alone is an addition
    return not units[0] and not others and not any(leaf.fills or leaf.by_the_way for u in units[1] for leaf in u.leaves)


def _dump(unit: _Unit) -> str:
    return nodes.dump(unit.node)


def _same_around(old: Sequence[_Unit], new: Sequence[_Unit]) -> bool:
    """True if blocks that hold definitions are there on both sides: what is in them is compared by itself."""
    headers = [[nodes.header(u.node) for u in units if u.definitions] for units in (old, new)]
    return headers[0] == headers[1]


def _is_own(name: str, leaves: Sequence[_Leaf]) -> bool:
    """True if a name holds nothing but what these statements have made themselves, whatever branch ran."""
    made = [leaf for leaf in leaves if name in leaf.binds and not isinstance(leaf.node, ast.AugAssign)]
    first = next(leaf for leaf in leaves if name in leaf.names)
    if not made or made[0] is not first or first.path:
        return False
    return all(isinstance(m.node, ast.Assign | ast.AnnAssign) and _is_fresh(m.node, name) for m in made)


def _is_fresh(node: ast.Assign | ast.AnnAssign, name: str) -> bool:
    """True if what an assignment gives a name is a new object."""
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        pairs = [(target, node.value)]
        if isinstance(target, ast.Tuple | ast.List) and isinstance(node.value, ast.Tuple | ast.List):
            if len(target.elts) == len(node.value.elts) and not any(isinstance(e, ast.Starred) for e in node.value.elts):
                pairs = list(zip(target.elts, node.value.elts, strict=True))
        for one, value in pairs:
            if any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(one)):
                if not isinstance(one, ast.Name) or not (is_table(value) or isinstance(value, _FRESH)):
                    return False
    return True


# ---------------------------------------------------------------- one statement


def _taken_apart(node: ast.stmt) -> _Unit | None:
    """A statement with what is in it; None for a definition, and for what makes nothing when a module is imported."""
    if isinstance(node, _Definition) or nodes.is_doc(node) or nodes.is_typing(node) or isinstance(node, ast.Pass):
        return None
    if isinstance(node, ast.AnnAssign) and node.value is None:
        return None
    if isinstance(node, ast.ImportFrom) and node.module == "__future__":
        return None
    unit = _Unit(node)
    try:
        unit.leaves = list(_leaves(unit, node, (), frozenset()))
    except _Loud:
        unit.loud = True
    return unit


def _leaves(unit: _Unit, node: ast.stmt, path: tuple[str, ...], around: frozenset[str]) -> Iterator[_Leaf]:
    if isinstance(node, _Definition):
        if any(p.startswith(("For", "With")) or (p.startswith("Try") and isinstance(node, ast.ClassDef)) for p in path):
            raise _Loud  # one for each round; or what its body raises decides what comes next
        unit.definitions.append(node)
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            if alias.name == "*":
                raise _Loud
            name = alias.asname or alias.name.partition(".")[0]
            origin = f"{getattr(node, 'level', 0)} {getattr(node, 'module', '')}"
            deeper = "." in alias.name and not alias.asname  # binds a package that others may import as well
            yield _Leaf(node, path, around, (name,), "", f"import {origin} {alias.name} {name}", by_the_way=deeper)
    elif isinstance(node, ast.If | ast.Try | ast.With | ast.For):
        yield from _block(unit, node, path, around)
    elif not (nodes.is_doc(node) or isinstance(node, ast.Pass | ast.Break | ast.Continue)):
        yield _leaf(unit, node, path, around)


def _leaf(unit: _Unit, node: ast.stmt, path: tuple[str, ...], around: frozenset[str]) -> _Leaf:
    fills = nodes.filled(node)
    binds: tuple[str, ...] = ()
    if isinstance(node, ast.Raise):
        unit.expressions += node.exc.args if isinstance(node.exc, ast.Call) else []
    elif isinstance(node, ast.AugAssign) and fills:
        binds = (fills,)
        unit.expressions.append(node.value)
    elif fills:
        unit.expressions += parts_of(node)
    elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        binds = _plain_names(node.targets if isinstance(node, ast.Assign) else [node.target])
        unit.expressions.append(node.value)
    elif isinstance(node, ast.Delete):
        binds = _plain_names(node.targets)
    else:
        raise _Loud
    value = node.value if isinstance(node, ast.AnnAssign) else None
    dump = f"{binds} = {nodes.dump(value)}" if value is not None else nodes.dump(node)
    own = {fills} if fills else set()
    return _Leaf(node, path, around | _read([node]) | own, binds, fills, dump, isinstance(node, ast.Delete))


def _plain_names(targets: Iterable[ast.expr]) -> tuple[str, ...]:
    names: list[str] = []
    todo = list(targets)
    while todo:
        target = todo.pop(0)
        if isinstance(target, ast.Tuple | ast.List):
            todo = [*target.elts, *todo]
        elif isinstance(target, ast.Starred):
            todo.insert(0, target.value)
        elif isinstance(target, ast.Name):
            names.append(target.id)
        else:
            raise _Loud
    return tuple(names)


def _block(
    unit: _Unit, node: ast.If | ast.Try | ast.With | ast.For, path: tuple[str, ...], around: frozenset[str]
) -> Iterator[_Leaf]:
    if nodes.is_typing(node) or nodes.is_main(node):
        raise _Loud
    header: list[ast.expr] = []
    whole = ""
    if isinstance(node, ast.If):
        header, whole = [node.test], nodes.header(node)
    elif isinstance(node, ast.With):
        header = [e for item in node.items for e in _suppressed(item)]
    elif isinstance(node, ast.Try):
        header = [h.type for h in node.handlers if h.type is not None]
    else:
        header = [node.iter]
    # Where a statement before decides whether the next one runs, all of them together are the header.
    whole = whole or f"{type(node).__name__} {nodes.dump(nodes.without_definitions(node))}"
    unit.expressions += header
    around |= _read(header)
    if not isinstance(node, ast.If):
        around |= _read(s for s in nodes.inner_statements(node) if not isinstance(s, _Definition))
    if isinstance(node, ast.For):
        names = _plain_names([node.target])
        yield _Leaf(node, path, around, names, "", whole, by_the_way=True)
    for at, (_, body) in enumerate(nodes.blocks(node)):
        for inner in body:
            yield from _leaves(unit, inner, (*path, f"{whole} {at}"), around)


def _suppressed(item: ast.withitem) -> list[ast.expr]:
    """What ``suppress(...)`` is given; no other context is known to do nothing else."""
    call = item.context_expr
    if item.optional_vars is not None or not isinstance(call, ast.Call) or nodes.last_name(call) != "suppress":
        raise _Loud
    return [call.func, *call.args]


def _read(parts: Iterable[ast.AST]) -> frozenset[str]:
    return frozenset(n.id for n in nodes.running(parts) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))


def _outside(node: ast.stmt) -> set[str]:
    """Names that a statement which does other things binds or fills, in blocks too; not what its loops count with."""
    found: set[str] = set()
    for inner in nodes.statements([node]):
        if not isinstance(inner, ast.For | ast.AsyncFor):
            found.update(nodes.binds(inner))
        if isinstance(inner, FunctionNode):
            found.add(inner.name)
        found.add(nodes.filled(inner))
    return found - {""}


def _all_bound(node: ast.stmt) -> set[str]:
    return {name for inner in nodes.statements([node]) for name in nodes.binds(inner)}


# ---------------------------------------------------------------- text


def _without(node: ast.stmt, definitions: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """A statement, or those in it if it holds definitions."""
    inside = {id(n) for n in nodes.statements([node])}
    if node in definitions:
        return
    if not any(id(d) in inside for d in definitions):
        yield node
        return
    for inner in nodes.inner_statements(node):
        yield from _without(inner, definitions)


def _text(source: Source, unit: _Unit) -> str:
    """A statement's text, with blank lines in place of the definitions in it."""
    text = nodes.text(source, unit.node)
    if not unit.definitions:
        return text
    lines, first = text.splitlines(keepends=True), nodes.first_line(unit.node)
    for inner in nodes.statements([unit.node]):
        for _, body in nodes.blocks(inner) if isinstance(inner, nodes.BLOCKS) else [("", getattr(inner, "body", []))]:
            gone = [s for s in body if s in unit.definitions]
            left = [s for s in body if s not in unit.definitions]
            for node in gone:
                at = nodes.first_line(node) - first
                count = (node.end_lineno or node.lineno) - nodes.first_line(node) + 1
                lines[at : at + count] = ["\n"] * count
            if gone and not left:
                lines[nodes.first_line(gone[0]) - first] = f"{' ' * gone[0].col_offset}pass\n"
    return "".join(lines)
