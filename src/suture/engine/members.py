"""
Members of an enumeration that exists: what a changed source adds, renumbers and changes, as stores into the class that is there.

Both sources are made once, as classes that nobody else sees (docs/adr/0020), by this Python's own ``enum``: so ``auto()``, aliases,
masks and what a ``__new__`` does are what a fresh process has.  What they differ in is merged into the live class, as tables are:
members that are there stay the objects that they are, a member that is new is made for the live class from its stand-in, and what
the program itself has put in stays.

Rule 1: writes to nothing but what it has made itself; the stores are the commit's.
Rule 2: a member's hash never changes: tables that hold it as a key would lose it.
"""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from suture.engine.frames import attributes, class_space, lineage, qualname_of
from suture.engine.plan import Work
from suture.engine.shadow import Shadows
from suture.engine.swap import ABSENT, Contents, Via
from suture.engine.values import COMPARED, TABLES, Write, merge, same, shown
from suture.errors import Refused
from suture.patch import Finding, Severity
from suture.record import made_by, record

__all__ = ["Composites", "Renewal", "is_enumeration", "places", "renew", "why_not_made_anew"]

# How a member of a mixed-in type is made from its stand-in: the plain value that it holds.
_PLAIN_OF: Mapping[type, Callable[[Any], Any]] = {
    int: int.__int__,
    str: str.__str__,
    float: float.__float__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    tuple: lambda value: tuple.__getitem__(value, slice(None)),
}
_HEAP_TYPE = 1 << 9
_MAPS = ("_member_map_", "_value2member_map_", "_unhashable_values_map_")
_LISTS = ("_member_names_", "_hashable_values_", "_unhashable_values_")
_MASKS = ("_flag_mask_", "_singles_mask_", "_all_bits_")
_OWN_KEYS = frozenset((*_MAPS, *_LISTS, *_MASKS, "_iter_member_", "_generate_next_value_", "_new_member_", "_use_args_"))
_OF_ONE = frozenset(("__objclass__", "_inverted_"))  # what a member has of its own class; a cache
# Metaclasses that make members and keep names of them, and do nothing else.
_DJANGO = "django.db.models.enums"
_PLAIN_METACLASSES = frozenset(
    (("enum", "EnumMeta"), ("enum", "EnumType"), ("abc", "ABCMeta"), (_DJANGO, "ChoicesMeta"), (_DJANGO, "ChoicesType"))
)
_MAKES = frozenset(("__new__", "__init__", "__call__", "__prepare__", "mro"))
_PLAIN_HOMES = frozenset(("enum", _DJANGO))
_DEPTH = 10
_UNLIKE = "conflict"
_RESTART = "restart, or keep the member's old value and add a new member"


@record(slots=True)
class Renewal:
    """
    What the changed source of an enumeration does to the live one.

    Attributes:
        writes: Stores that make it so.
        names: Members by name, as they will be: objects that are there, and new ones.
        added: Names that are new.
        changed: Members whose value or attributes change.
        kept: Names that the new source hasn't got: they stay.
        others: Attributes of the class that the program itself has changed: they stay.
        bits: Of a flag: those that are new.
    """

    writes: list[Write] = made_by(default_factory=list)
    names: dict[str, Any] = made_by(default_factory=dict)
    added: list[str] = made_by(default_factory=list)
    changed: list[str] = made_by(default_factory=list)
    kept: list[str] = made_by(default_factory=list)
    others: list[str] = made_by(default_factory=list)
    bits: int = 0

    def findings(self, target: str) -> Iterator[Finding]:
        """What a person should know."""
        parts = [f"{len(of)} {what}" for of, what in ((self.added, "added"), (self.changed, "changed")) if of]
        if parts:
            words = f"{', '.join(parts)}, in place: the class and the members that exist stay the objects that they are"
            yield Finding("merged", Severity.NOTE, target, words)
        if self.changed:
            words = f"{', '.join(self.changed[:5])} change in place: what was computed from what they were stays"
            hint = "see what is keyed by their values: rows of a database, messages, tables"
            yield Finding("value-kept", Severity.WARNING, target, words, hint)
        if self.others:
            words = f"the program itself has changed {', '.join(self.others[:5])}: that stays"
            yield Finding("table-kept", Severity.WARNING, target, words, "set it in a hotfix file")


def is_enumeration(cls: Any) -> bool:
    """True for a class of members."""
    enum = sys.modules.get("enum")
    return enum is not None and issubclass(type(cls), type) and issubclass(type(cls), enum.EnumMeta)


def why_not_made_anew(cls: type) -> str:
    """Why a second class from the same source can't be made on the side; "" if it can, as far as the live class tells."""
    meta = type(cls)
    for above in lineage(meta):
        known = above in (type, object) or (class_space(above).get("__module__"), qualname_of(above)) in _PLAIN_METACLASSES
        if not known and not _MAKES.isdisjoint(class_space(above)):
            return f"its metaclass {qualname_of(meta)} may do more than to make members"
    for base in lineage(cls)[1:-1]:
        if "__init_subclass__" in class_space(base) and class_space(base).get("__module__") not in _PLAIN_HOMES:
            return f"{qualname_of(base)} has an __init_subclass__, which would run once more"
    solid = _solid(cls)
    if solid is not object and solid not in _PLAIN_OF:
        return f"its members are objects of {solid.__name__}, which can't be made from a stand-in"
    if any(
        type(v) is types.MemberDescriptorType for c in lineage(cls) if c.__flags__ & _HEAP_TYPE for v in class_space(c).values()
    ):
        return "its members have slots"
    return ""


def _solid(cls: type) -> type:
    """The type of C that its members are laid out as."""
    return next(c for c in lineage(cls) if not c.__flags__ & _HEAP_TYPE)


def places(live: type) -> Iterator[tuple[int, str]]:
    """Where a renewal may write, by owner's id and name."""
    for name, value in class_space(live).items():
        yield id(live), name
        if type(value) in TABLES:
            yield id(value), "[:]"
    for member in class_space(live)["_member_map_"].values():
        yield from ((id(attributes(member)), key) for key in attributes(member))


def renew(live: type, old: type, new: type, work: Work, shadows: Shadows, before: Mapping[tuple[int, Any], Any]) -> Renewal:
    """
    Work out what a changed source does to a live enumeration; writes nothing to it.

    Args:
        live: It.
        old: What the old source makes, a class of nobody's.
        new: The same of the new source.  Becomes a stand-in that has the very members that *live* will have.
        work: The change.
        shadows: Are told what stands for what.
        before: By owner's id and name: what was there before patches that this one replaces.

    Raises:
        Refused: conflict (the live one isn't what the old source makes), enum-members (what can't be done in place).
    """
    for one in (old, new):
        if not is_enumeration(one) or "_member_map_" not in class_space(one):
            raise Refused("conflict", f"its source makes a {qualname_of(type(one))}", target=work.target, hint=_RESTART)
    return _Renewing(live, old, new, work, shadows, before).run()


class _Renewing:
    def __init__(
        self, live: type, old: type, new: type, work: Work, shadows: Shadows, before: Mapping[tuple[int, Any], Any]
    ) -> None:
        self.live, self.old, self.new = live, old, new
        self.target, self.before, self.stands_for = work.target, before, shadows.stands_for
        self.real = partial(shadows.real, code=_NO_CODE, target=work.target)
        self.stated, self.steady = _stated(work)
        self.out = Renewal()
        self.map, self.was, self.becomes = (self._held(class_space(c)["_member_map_"]) for c in (live, old, new))
        self.is_flag = issubclass(live, sys.modules["enum"].Flag)

    def run(self) -> Renewal:
        self._hold_against()
        mine = self._members()
        names = _in_order(list(self.map), list(self.becomes))
        self.out.names = {n: mine[self.becomes[n]._name_] if n in self.becomes else self.map[n] for n in names}
        self._refuse_taken()
        if self.is_flag:
            self._flag()
        for name, member in self.out.names.items():
            self._attribute(name, member)
        for name in set(self.was) & set(self.becomes):
            if self.becomes[name]._name_ == name == self.was[name]._name_:
                self._changed(name)
        self._tables()
        self._rest_of_class()
        self._stand_in()
        return self.out

    def _held(self, table: Any) -> Any:
        """A table as it was before the patches that this one replaces."""
        return self.before.get((id(table), "[:]"), table)

    def _no(self, words: str, hint: str = _RESTART, code: str = "enum-members") -> Refused:
        return Refused(code, words, target=self.target, hint=hint)

    # ------------------------------------------------------------ members

    def _hold_against(self) -> None:
        """The live members must be what the old source makes, or what the new one does."""
        hint = "set it by hand in a hotfix file, or rebuild from what the process runs"
        for name, member in self.was.items():
            there = self.map.get(name)
            if there is None:
                raise self._no(f"the process has no member {name}", hint, _UNLIKE)
            wanted = [member, *([self.becomes[name]] if name in self.becomes else [])]
            if not any(_alike(self._value(there), m._value_) for m in wanted) and self._is_told(member):
                words = (
                    f"{name} is {shown(self._value(there))}, and {shown(member._value_)} in the source this patch was built from"
                )
                raise self._no(words, hint, _UNLIKE)
        for name in self.map.keys() & self.becomes.keys() - self.was.keys():
            if not _alike(self.map[name]._value_, self.becomes[name]._value_):
                raise self._no(f"adds {name}, but the process has a member of that name", "rename it in the fix", "already-defined")

    def _value(self, member: Any) -> Any:
        space = attributes(member)
        return self.before.get((id(space), "_value_"), space.get("_value_", ABSENT))

    def _is_told(self, member: Any) -> bool:
        """True if a value is of a kind that can be held against another."""
        return type(member._value_) in _TOLD

    def _members(self) -> dict[str, Any]:
        """Members by their own names: those that are there, and new ones made for the live class from their stand-ins."""
        mine: dict[str, Any] = {}
        fresh: list[tuple[Any, Any]] = []
        for name, stand_in in self.becomes.items():
            if stand_in._name_ != name:
                there = self.map.get(name)
                if there is not None and there._name_ == name:
                    raise self._no(f"{name} becomes another name of {stand_in._name_}: who holds the member has another one then")
                continue
            there = self.map.get(name)
            if there is None or there._name_ != name:
                there = self._made(stand_in)
                fresh.append((there, stand_in))
                self.out.added.append(name)
            mine[name] = there
            self.stands_for(stand_in, there)
        self.out.added += [n for n in self.becomes if n not in self.map and n not in self.out.added]
        for name, member in self.was.items():
            if member._name_ == name:
                self.stands_for(member, self.map[name])
        self.stands_for(self.new, self.live)
        self.stands_for(self.old, self.live)
        for made, stand_in in fresh:
            space: Any = attributes(made)
            for key, value in attributes(stand_in).items():
                space[key] = self.live if key == "__objclass__" else self.real(value)
        return mine

    def _made(self, stand_in: Any) -> Any:
        solid = _solid(self.live)
        if solid is object:
            return object.__new__(self.live)
        make: Any = solid.__new__
        return make(self.live, _PLAIN_OF[solid](stand_in))

    def _refuse_taken(self) -> None:
        """A name that is gone stays, so its value can't be another member's."""
        kept = [m for n, m in self.out.names.items() if n not in self.becomes and n in self.was]
        self.out.kept = [n for n in self.map if n not in self.becomes and n in self.was]
        for member in kept:
            for name, other in self.becomes.items():
                if other._name_ == name and self.out.names[name] is not member and _alike(other._value_, self._value(member)):
                    words = f"{name} takes the value of {member._name_}, which is removed: who holds it has {member._name_}"
                    raise self._no(words, f"keep {member._name_} beside it ({name} = {member._name_}), or restart")

    def _changed(self, name: str) -> None:
        """What a member that is there has of itself: its value, what its class's own maker gave it."""
        old, new, there = self.was[name], self.becomes[name], self.map[name]
        solid = _solid(self.live)
        if solid is not object and not same(_PLAIN_OF[solid](old), _PLAIN_OF[solid](new)):
            raise self._no(f"{name} is a {solid.__name__}: it can't become another one, and tables hold it by what it is")
        had, gets, space = attributes(old), attributes(new), attributes(there)
        for key in [k for k in {**had, **gets} if k not in _OF_ONE]:
            a, b = had.get(key, ABSENT), gets.get(key, ABSENT)
            if _alike(a, b) or (name in self.steady and a is not ABSENT and type(a) not in _TOLD):
                continue
            if key == "_value_":
                self._refuse_new_value(name)
            now = self.before.get((id(space), key), space.get(key, ABSENT))
            if _alike(now, b):
                continue
            if (a is ABSENT or type(a) in _TOLD) and not _alike(now, a):
                self.out.others.append(f"{name}.{key}")
                continue
            self.out.writes.append((space, key, Via.SETITEM, self.real(b)))
            if key != "_sort_order_" and name not in self.out.changed:
                self.out.changed.append(name)

    def _refuse_new_value(self, name: str) -> None:
        enum = sys.modules["enum"]
        home = next(c for c in lineage(self.live) if "__hash__" in class_space(c))
        if self.is_flag:
            raise self._no(f"{name} is a flag of another bit then: combinations that exist were made from the old one")
        if home is not enum.Enum:
            raise self._no(f"{name} changes its value, and its hash may be made of it: tables that hold it would lose it")

    # ------------------------------------------------------------ the class

    def _flag(self) -> None:
        bits = 0
        for name in self.out.added:
            value = self.becomes[name]._value_
            bits |= value if isinstance(value, int) else 0
        for member in self.was.values():
            bits &= ~member._value_ if isinstance(member._value_, int) else -1
        self.out.bits = bits
        fresh = {self.becomes[n]._value_ for n in self.out.added}
        for value, _ in self._combined():
            # Later ones name a combination when it's made; negative ones are no more than another way to look one up.
            if value in fresh or (sys.version_info >= (3, 11) and value > 0 and value & bits):
                words = f"the program has made the combination {value}, which has bits of the new {', '.join(self.out.added)}"
                raise self._no(words, "restart")
        space, gets = class_space(self.live), class_space(self.new)
        mask = {m: gets[m] for m in _MASKS if m in gets}
        if self.out.kept and mask:
            mask = {m: gets[m] | self._now(m, space) for m in mask}
        for name, value in mask.items():
            if value != self._now(name, space):
                self.out.writes.append((self.live, name, Via.TYPE_SETATTR, value))
        by_definition = [c.get("_iter_member_") is not None for c in (space, gets)]
        if by_definition[0] is not by_definition[1]:
            how = self.live._iter_member_by_def_ if by_definition[1] else ABSENT  # type: ignore[attr-defined]
            self.out.writes.append((self.live, "_iter_member_", Via.TYPE_SETATTR, how))

    def _combined(self) -> Iterator[tuple[Any, Any]]:
        """What the program has made of a flag's members, by value."""
        known = {id(m) for m in self.map.values()}
        for value, made in self._held(class_space(self.live)["_value2member_map_"]).items():
            if id(made) not in known and isinstance(value, int):
                yield value, made

    def _now(self, name: str, space: Mapping[str, Any]) -> Any:
        return self.before.get((id(self.live), name), space.get(name, ABSENT))

    def _attribute(self, name: str, member: Any) -> None:
        """What the class itself has under a member's name: the member, or what leads to it past a descriptor of a base."""
        if name not in self.becomes or (name in self.map and self.map[name] is member):
            return
        found = class_space(self.new).get(name, ABSENT)
        if found is ABSENT:
            return
        if found is self.becomes[name]:
            found = member
        elif getattr(found, "member", None) is self.becomes[name]:  # ours, so it may be given away
            found.member, found.clsname = member, self.live.__name__
        else:
            raise self._no(f"{name} is kept in a way that isn't known: {type(found).__qualname__}", "restart")
        self.out.writes.append((self.live, name, Via.TYPE_SETATTR, found))

    def _tables(self) -> None:
        """Its lists and maps, whole: names, values, values that have no hash."""
        space, was, gets = (class_space(c) for c in (self.live, self.old, self.new))
        kept = {id(self.map[n]) for n in self.out.kept}
        combined = self.out.bits and sys.version_info >= (3, 11)
        for name in (*_MAPS, *_LISTS):
            table = space.get(name)
            if type(table) not in (dict, list) or type(gets.get(name)) is not type(table):
                continue
            now = self._held(table)
            if name == "_member_map_":
                after: Any = dict(self.out.names)
            elif name == "_member_names_":
                ours = list(gets[name])
                after = _in_order([n for n in now if n in ours or n in self.out.kept or n not in was[name]], ours)
            elif name == "_value2member_map_":
                after = {self.real(v): self.out.names[m._name_] for v, m in gets[name].items() if m._name_ in self.out.names}
                more = {v: m for v, m in now.items() if v not in after and (id(m) in kept or v not in was[name])}
                after |= {v: m for v, m in more.items() if not (combined and isinstance(v, int) and v < 0)}
            elif type(table) is dict:
                after = {**{n: v for n, v in now.items() if n not in was[name] or n in self.out.kept}, **self.real(gets[name])}
            else:
                gets_now = self.real(gets[name])
                gone = [v for v in was[name] if not _holds(gets_now, v)]
                stays = [self._value(self.map[n]) for n in self.out.kept]
                after = [*gets_now, *(v for v in now if not _holds(gets_now, v) and (_holds(stays, v) or not _holds(gone, v)))]
            if not _same_table(now, after) or not _same_table(table, after):
                self.out.writes.append((table, Contents(f"{self.target}.{name}", after), Via.CONTENTS, after))

    def _rest_of_class(self) -> None:
        """Names of the class that are no members, and what a metaclass has made of the members."""
        space, was, gets = (class_space(c) for c in (self.live, self.old, self.new))
        for name in [n for n in {**was, **gets} if self._is_beside(n, was, gets)]:
            a, b, now = was.get(name, ABSENT), gets.get(name, ABSENT), self._now(name, space)
            if _alike(a, b) or _alike(now, b):
                continue
            a, b = (v if v is ABSENT else self.real(v) for v in (a, b))
            found = merge(now, a, b, f"{self.target}.{name}") if type(now) in TABLES else None
            if found is not None:
                self.out.writes += found.writes
                self.out.others += found.kept
            elif _alike(now, a):
                self.out.writes.append((self.live, name, Via.TYPE_SETATTR, b))
            else:
                self.out.others.append(name)

    def _is_beside(self, name: str, was: Mapping[str, Any], gets: Mapping[str, Any]) -> bool:
        if name in self.was or name in self.becomes or name in _OWN_KEYS:
            return False
        if name.startswith("__") and name.endswith("__"):
            return False
        made = [s[name] for s in (was, gets) if name in s]
        return name in self.stated or not any(isinstance(v, _METHODS) for v in made)

    def _stand_in(self) -> None:
        """Give the new class the very members that the live one will have, for expressions that read it ahead of the commit."""
        space = class_space(self.new)
        for name, member in self.out.names.items():
            if name in space or name not in self.becomes:
                type.__setattr__(self.new, name, member)
        by_value = {v: self.out.names.get(m._name_, m) for v, m in space["_value2member_map_"].items()}
        for name, table in (("_member_map_", self.out.names), ("_value2member_map_", by_value)):
            space[name].clear()
            space[name].update(table)
        space["_member_names_"][:] = [
            n for n, m in self.out.names.items() if m._name_ == n and (not self.is_flag or n in space["_member_names_"])
        ]


_TOLD = (*COMPARED, types.FunctionType)
_METHODS = (types.DynamicClassAttribute, types.FunctionType, staticmethod, classmethod, property, type)


def _in_order(now: Sequence[str], new: Sequence[str]) -> list[str]:
    """The new order, with what only *now* has behind what it stood behind."""
    out = list(new)
    last = -1
    for name in now:
        if name in out:
            last = out.index(name)
        else:
            last += 1
            out.insert(last, name)
    return out


def _alike(a: Any, b: Any, depth: int = 0) -> bool:
    """As ``same``; two objects of one class of the program are, if all that they have is."""
    if same(a, b):
        return True
    kind = type(a)
    if kind is not type(b) or depth > _DEPTH or a is ABSENT:
        return False
    if kind in (list, tuple):
        return len(a) == len(b) and all(_alike(x, y, depth + 1) for x, y in zip(a, b, strict=True))
    if kind is dict:
        return list(a) == list(b) and all(_alike(a[k], b[k], depth + 1) for k in a)
    if not kind.__flags__ & _HEAP_TYPE or next(c for c in lineage(kind) if not c.__flags__ & _HEAP_TYPE) is not object:
        return False
    if kind is types.FunctionType or not attributes(a):
        return False
    mine, theirs = attributes(a), attributes(b)
    return mine.keys() == theirs.keys() and all(_alike(mine[k], theirs[k], depth + 1) for k in mine)


def _holds(values: Iterable[Any], value: Any) -> bool:
    return any(_alike(v, value) for v in values)


def _same_table(a: Any, b: Any) -> bool:
    if len(a) != len(b):
        return False
    if type(a) is dict:
        return all(_alike(x, y) for x, y in zip(a, b, strict=True)) and all(
            x is y or _alike(x, y) for x, y in zip(a.values(), b.values(), strict=True)
        )
    return all(x is y or _alike(x, y) for x, y in zip(a, b, strict=True))


class Composites:
    """What a flag remembers of combinations; looks like any cache."""

    def __init__(self, owner: type, bits: int) -> None:
        self.owner, self.bits = owner, bits

    def cache_clear(self) -> None:
        """Forget inverted members; combinations with bits that aren't the flag's own any more, too."""
        space = class_space(self.owner)
        members, by_value = space["_member_map_"], space["_value2member_map_"]
        known, own = {id(m) for m in members.values()}, 0
        for member in members.values():
            own |= member._value_ if isinstance(member._value_, int) else 0
        for value, made in list(by_value.items()):
            attributes(made).pop("_inverted_", None)  # type: ignore[attr-defined]
            if id(made) not in known and isinstance(value, int) and value & self.bits & ~own:
                by_value.pop(value, None)

    def cache_info(self) -> types.SimpleNamespace:
        """Their number isn't kept."""
        return types.SimpleNamespace(currsize=0)


_NO_CODE = compile("", "<none>", "exec")


def _stated(work: Work) -> tuple[set[str], set[str]]:
    """Names that assignments of either class body bind, and those of them that are bound in the same way in both."""
    sides = []
    for source in (work.before, work.after):
        assert source is not None
        body: list[ast.stmt] = getattr(source.parse(), "body", [])
        bound = {n: ast.dump(s) for s in body if isinstance(s, _ASSIGNS) for n in _bound(s)}
        sides.append(bound)
    return {*sides[0], *sides[1]}, {n for n in sides[0] if sides[0][n] == sides[1].get(n)}


_ASSIGNS = ast.Assign | ast.AnnAssign


def _bound(node: ast.stmt) -> Iterator[str]:
    return (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
