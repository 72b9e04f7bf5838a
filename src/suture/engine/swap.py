"""
Write to live objects.

Rule 1: nothing else in suture assigns to an object that it didn't create.
Rule 2: what undoes every store is known before the first store.
Rule 3: a commit is one C call, so no other thread runs between its stores (docs/adr/0004).

Called by the transaction, after the point of no return; ``lent`` is the one exception, and only adds names that nothing can
see yet (docs/adr/0011).
"""

from __future__ import annotations

import contextlib
import gc
import operator
import re
import sys
import types
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import partial
from itertools import chain, repeat
from typing import Any, Final

from suture.engine.facts import KIND_FLAGS, equal_copy
from suture.engine.hooks import audit_hook_present
from suture.errors import Fault, Refused
from suture.record import made_by, record

__all__ = [
    "ABSENT",
    "CLEARS_VERSION",
    "Contents",
    "Entry",
    "Guard",
    "Prepared",
    "Quiet",
    "Store",
    "Undo",
    "Via",
    "commit",
    "lent",
    "lent_to_class",
    "moved",
    "read",
    "undo",
]


class _Absent:
    """As a new value: delete.  As an old one: it wasn't there."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()


class Via(Enum):
    """How a store is made; none of them runs Python code."""

    SETATTR = "setattr"  # fields of functions, attributes of plain objects
    TYPE_SETATTR = "type.__setattr__"  # classes: passes over a metaclass's own __setattr__
    SETITEM = "dict"  # names of modules, items of dictionaries
    LISTITEM = "list"
    CONTENTS = "contents"  # all that a list, a set or a dict holds; the name is a Contents


class Contents(str):
    """
    As the name of a place: all that a table holds, order included.

    Attributes:
        path: The table, for a person.
        seen: Copies of what it held; ``read`` gives the one that is there now, so that places can be compared by identity.
    """

    path: str
    seen: list[Any]

    def __new__(cls, path: str, becomes: Any) -> Contents:
        """One for each table; *becomes* is what it's going to hold."""
        made = super().__new__(cls, "[:]")
        made.path, made.seen = path, [becomes]
        return made

    def of(self, table: Any) -> Any:
        """The copy that is what the table holds; made if there is none."""
        known = next((c for c in self.seen if _same_contents(table, c)), None)
        if known is None:
            known = table.copy()  # of a defaultdict too
            self.seen.append(known)
        return known


def _same_contents(a: Any, b: Any) -> bool:
    """True if both hold the very same objects; a set has no order."""
    if len(a) != len(b):
        return False
    if isinstance(a, dict):
        return all(map(operator.is_, a, b)) and all(map(operator.is_, a.values(), b.values()))
    if type(a) is list:
        return all(map(operator.is_, a, b))
    return set(map(id, a)) == set(map(id, b))


@record(frozen=True, slots=True)
class Store:
    """One assignment, worked out before the commit."""

    owner: Any
    name: Any
    via: Via
    new: Any


@record(frozen=True, slots=True)
class Guard:
    """What a place must hold (the same object) inside the commit, before the first store."""

    owner: Any
    name: Any
    via: Via
    was: Any


@record(frozen=True, slots=True)
class Entry:
    """A store and what it replaced; for code an *equal copy*, so that the original can die and say so."""

    store: Store
    old: Any


@record(slots=True)
class Quiet:
    """
    Counts who is inside old code at the very moment of the commit.

    References to a code object = functions made from it + enclosing constants + ours + one a running frame.  What is ours is
    the same for *control*, a code object that nobody else has.

    Attributes:
        codes: Old code objects, *control* last.
        extra: References to each that aren't calls, beyond those that *control* has too.
        insist: Stop before the first store if anybody is inside.
        counts: Filled by the commit.
    """

    codes: list[types.CodeType]
    extra: list[int]
    insist: bool = False
    counts: list[int] = made_by(default_factory=list)

    def inside(self) -> int:
        """Calls inside, of all the codes together."""
        if not self.counts:
            return 0
        return sum(max(0, n) for n in self.each())

    def each(self) -> list[int]:
        """Calls inside, a code."""
        return [n - self.counts[-1] - e for n, e in zip(self.counts[:-1], self.extra, strict=False)]


@record(slots=True)
class Undo:
    """What takes a commit back.  ``done`` isn't empty once the commit's C call has run to its end."""

    entries: list[Entry] = made_by(default_factory=list)
    done: list[bool] = made_by(default_factory=list)


_class_dict = type.__dict__["__dict__"].__get__
_class_bases = type.__dict__["__bases__"].__get__  # type: ignore[attr-defined]
# Collections start inside allocations on 3.10 and 3.11, and run finalisers; later they start between bytecodes only.
_GC_RUNS_INSIDE = sys.version_info < (3, 12)
CLEARS_VERSION = frozenset(("__code__", "__defaults__", "__kwdefaults__"))  # of a function, 3.13+: calls are slower then
_AUDITED = CLEARS_VERSION
_AUDITED_OF_CLASS = frozenset(("__bases__", "__doc__", "__module__", "__name__", "__qualname__"))
# Of a class, 3.14+: the one name forgets what had been worked out of the other.
_KEPT_AS = {"__annotate__": "__annotate_func__"} if sys.version_info >= (3, 14) else {}
_TRIES = 3

Records = Sequence[tuple[Callable[[Any], Any], Any]]
Step = Callable[[], tuple[Store, Any]]  # a store and what it replaces, told when asked


def _no_annotations(_format: int, /) -> dict[str, Any]:
    """Annotations of a class that has none."""
    return {}


def read(owner: Any, name: Any, via: Via) -> Any:
    """What is there now, raw (no descriptor is bound), or ABSENT."""
    if via is Via.CONTENTS:
        return name.of(owner)
    look, *arguments = _reader(owner, name, via)
    return look(*arguments)


def _reader(owner: Any, name: Any, via: Via) -> Sequence[Any]:
    """A function of C and its arguments."""
    if via is Via.TYPE_SETATTR and name == "__bases__":
        return _class_bases, owner
    if via is Via.TYPE_SETATTR:
        return types.MappingProxyType.get, _class_dict(owner), _KEPT_AS.get(name, name), ABSENT
    if via is Via.SETITEM:
        return dict.get, owner, name, ABSENT
    if via is Via.LISTITEM:
        return list.__getitem__, owner, name
    return getattr, owner, name, ABSENT


def _writers(store: Store) -> Iterator[Sequence[Any]]:
    """Functions of C and their arguments."""
    owner, name, via, value = store.owner, store.name, store.via, store.new
    if via is Via.TYPE_SETATTR and name in _KEPT_AS:
        # It can't be deleted, and None (somebody has asked, and there were none) leaves there what was worked out.
        yield type.__setattr__, owner, name, _no_annotations if value is ABSENT or value is None else value
    elif via is Via.TYPE_SETATTR:
        yield (type.__delattr__, owner, name) if value is ABSENT else (type.__setattr__, owner, name, value)
    elif via is Via.LISTITEM:
        yield list.__setitem__, owner, name, value
    elif via is Via.SETITEM:
        yield (dict.pop, owner, name, None) if value is ABSENT else (dict.__setitem__, owner, name, value)
    elif via is Via.CONTENTS and type(owner) is list:
        yield list.__setitem__, owner, slice(None), value
    elif via is Via.CONTENTS:  # from a copy, which knows the hashes: nobody's __hash__ runs
        yield type(owner).clear, owner
        yield type(owner).update, owner, value
    else:
        yield (delattr, owner, name) if value is ABSENT else (setattr, owner, name, value)


class _Calls:
    """
    Calls of C functions, in order, as columns of arguments a run of the same function.

    So a thousand stores are a few lists: an object each would bring on collections.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[Any, list[list[Any]]]] = []

    def add(self, function: Any, *arguments: Any) -> None:
        """One more."""
        if not self._runs or self._runs[-1][0] is not function:
            self._runs.append((function, [[] for _ in arguments]))
        for column, argument in zip(self._runs[-1][1], arguments, strict=True):
            column.append(argument)

    def go(self) -> Iterator[Any]:
        """An iterator, all in C, that makes them."""
        return chain(*[map(function, *columns) for function, columns in self._runs])


def commit(
    stores: Sequence[Store],
    guards: Sequence[Guard] = (),
    *,
    record: Records = (),
    hooked: bool | None = None,
    into: Undo | None = None,
    copies: dict[int, types.CodeType] | None = None,
    quiet: Quiet | None = None,
) -> Undo:
    """
    Make all stores in one step that no other thread can see half done.

    Args:
        stores: In order.  None may run Python code (the judge's business).
        guards: Checked inside the same C call; one that is off stops it before the first store.
        record: C callables and their argument, called behind the last store in the same C call (``list.append``).
            What one of them did isn't taken back if a later one raises.
        hooked: A Python audit hook is there; None looks for one.  It would run between the stores, so then the
            switch is a flip (see _flip).
        into: Undo to fill in, for a caller that records it.
        copies: Equal copies of code objects by id, to keep in the undo instead of a fresh one; fresh ones are put in.
        quiet: Code whose references are counted in the same C call; see Quiet.

    Returns:
        The undo.

    Raises:
        Refused: moved-meanwhile: a guard is off; busy: *quiet* insists and somebody is inside.  Nothing was changed.
        Fault: undo-failed: a store raised, and so did putting back what was there.
        BaseException: Whatever else was raised, an interrupt too.  Unless ``undo.done``, the very objects that were there
            are there again; if ``undo.done``, all stores are made.
    """
    return Prepared(stores, guards, into=into, copies=copies).commit(record=record, hooked=hooked, quiet=quiet)


class Prepared:
    """
    A commit worked out up to its C call, in slices; the call may be tried again.

    Args:
        rest: Called between steps; may give the GIL away.  Then guards have to cover the places of the stores, for what is
            there may be another by the time of the call.
        stores, guards, into, copies: As for ``commit``.
    """

    def __init__(
        self,
        stores: Sequence[Store],
        guards: Sequence[Guard] = (),
        *,
        into: Undo | None = None,
        copies: dict[int, types.CodeType] | None = None,
        rest: Callable[[], None] = lambda: None,
    ) -> None:
        self._taken = Undo() if into is None else into
        self._stores, self._guards = stores, guards
        self._warns = False
        self._old: list[Any] = []  # kept until the end: a value that dies inside could run a finaliser in the middle
        entries = []
        made: dict[int, types.CodeType] = {} if copies is None else copies
        for store in stores:
            was = read(store.owner, store.name, store.via)
            self._old.append(was)
            self._warns |= _turns_kind(was, store.new)
            entries.append(Entry(store, equal_copy(was, made) if type(was) is types.CodeType else was))
            rest()
        self._call = _Call(stores, self._old, guards, rest)
        self._taken.entries[:] = entries

    def commit(self, *, record: Records = (), hooked: bool | None = None, quiet: Quiet | None = None) -> Undo:
        """As the function of that name."""
        if hooked is None:
            hooked = audit_hook_present()
        with _unwarned() if self._warns else contextlib.nullcontext():
            if hooked and any(map(_raises_event, self._stores)):
                _flip(self._stores, self._old, self._guards, record, self._taken, quiet)
            else:
                self._call.make(record, self._taken, quiet)
        return self._taken


_KIND_WARNING = ("ignore", re.compile("Assigning a code object of non-matching type"), DeprecationWarning, None, 0)


def _turns_kind(was: Any, new: Any) -> bool:
    """True if that store warns (3.13+): a generator's code for a plain function's, and so on."""
    return type(was) is types.CodeType and type(new) is types.CodeType and bool((was.co_flags ^ new.co_flags) & KIND_FLAGS)


@contextlib.contextmanager
def _unwarned() -> Iterator[None]:
    """That one warning isn't given: showing it would run Python between two stores, and as an error it would end the commit."""
    filters: list[Any] = warnings.filters  # type: ignore[assignment]
    try:
        filters.insert(0, _KIND_WARNING)
        yield
    finally:
        with contextlib.suppress(ValueError):  # another thread has put back what it had saved
            filters.remove(_KIND_WARNING)


def _is_field(store: Store | Guard) -> bool:
    return store.via is Via.SETATTR and store.name in _AUDITED


def _raises_event(store: Store | Guard) -> bool:
    """True if an audit event comes with this store; of all that a patch stores, these few have one."""
    return _is_field(store) or (issubclass(type(store.owner), type) and store.name in _AUDITED_OF_CLASS)


class _Call:
    """
    Guards and stores as what one C call runs through.

    A for loop was seen half done on 3.10 to 3.15, this in none of millions of calls.  Whatever runs Python inside voids it:
    audit hooks, finalisers of dropped values, a metaclass's __setattr__, warnings.  Raising the switch interval is no lock.
    """

    def __init__(
        self, stores: Sequence[Store], old: Sequence[Any], guards: Sequence[Guard], rest: Callable[[], None] = lambda: None
    ) -> None:
        self._stores, self._old = stores, old
        self._reads, self._was, self._writes = _Calls(), list[Any](), _Calls()
        # Looking at a function's fields raises audit events too: first, so that no hook runs behind the other guards.
        for fields in (True, False):
            for guard in guards:
                if _is_field(guard) is fields and guard.via is Via.CONTENTS:
                    self._reads.add(type(guard.owner).__eq__, guard.owner, guard.was)  # identity decides, element by element
                    self._was.append(True)
                elif _is_field(guard) is fields:
                    self._reads.add(*_reader(guard.owner, guard.name, guard.via))
                    self._was.append(guard.was)
                rest()
        for store in stores:
            for call in _writers(store):
                self._writes.add(*call)
            rest()

    def make(self, record: Records, taken: Undo, quiet: Quiet | None) -> None:
        """Look at the guards, make the stores, and say so in *record* and *taken*."""
        checks: Iterator[Any] = map(operator.truediv, repeat(1), map(operator.is_, self._reads.go(), self._was))
        if quiet is not None:
            checks = chain(checks, _counting(quiet))
        begun: list[bool] = []
        marks = _Calls()
        for function, argument in record:
            marks.add(function, argument)
        steps = chain(checks, map(begun.append, (True,)), self._writes.go(), marks.go(), map(taken.done.append, (True,)))
        collecting = _GC_RUNS_INSIDE and gc.isenabled()
        try:
            if collecting:
                gc.disable()
            deque(steps, maxlen=0)
        except BaseException as error:
            if begun and not taken.done:
                _put_back(list(zip(self._stores, self._old, strict=True)))
            if isinstance(error, TypeError) and any(s.name == "__bases__" for s in self._stores):
                raise moved() from error  # a class that came since the look has no order of bases then
            if begun or not isinstance(error, ZeroDivisionError):
                raise
            if quiet is not None and quiet.inside():
                raise Refused("busy", "somebody is inside what would be changed", hint="apply again") from error
            raise moved() from error
        finally:
            if collecting:
                gc.enable()


def moved() -> Refused:
    """What to say where a guard is off."""
    return Refused("moved-meanwhile", "something else changed a target between the look and the commit", hint="apply again")


def _counting(quiet: Quiet) -> Iterator[Any]:
    """Iterators, all in C, that note the reference counts and, if it insists, divide by zero where one is too many."""
    quiet.counts.clear()
    note = map(quiet.counts.append, map(sys.getrefcount, quiet.codes))
    if not quiet.insist:
        return note
    last = map(operator.getitem, repeat(quiet.counts), repeat(-1))
    surplus = map(operator.sub, map(operator.sub, quiet.counts, last), quiet.extra)
    fits = map(operator.le, surplus, repeat(0))
    return chain(note, map(operator.truediv, repeat(1), fits))


def _put_back(places: Sequence[tuple[Store, Any]]) -> None:
    """Restore the very objects that were there, last store first."""
    back = [Store(s.owner, s.name, s.via, old) for s, old in reversed(places)]
    try:
        calls = _Calls()
        for store in _missing(back):
            for call in _writers(store):
                calls.add(*call)
        deque(calls.go(), maxlen=0)
    except BaseException as error:
        _insist(back)
        missing = _missing(back)
        if not missing:
            raise
        raise Fault(
            "undo-failed",
            f"{len(missing)} of {len(back)} old values couldn't be put back, {missing[0].name!r} of "
            f"{object.__repr__(missing[0].owner)} first: {type(error).__name__}: {error}; the process may hold a part of the patch",
            hint="restart this process",
        ) from error


def _missing(stores: Iterable[Store]) -> list[Store]:
    return [s for s in stores if read(s.owner, s.name, s.via) is not s.new]


def _insist(stores: Sequence[Store]) -> list[BaseException]:
    """
    Make stores that can't be left out, one by one: what an interrupt or a hook costs is one try of one store.

    A function one of whose fields can't be set keeps its code, which is a trampoline then and right as it is.

    Returns:
        What was raised.
    """
    raised: list[BaseException] = []
    stuck: set[int] = set()
    for store in stores:
        for _ in range(0 if id(store.owner) in stuck else _TRIES):
            try:
                if _missing([store]):
                    for write, *arguments in _writers(store):
                        write(*arguments)
                break
            except BaseException as error:  # noqa: BLE001 - handed to the caller, who raises it
                raised.append(error)
        else:
            if _is_field(store):
                stuck.add(id(store.owner))
    return raised


def undo(taken: Undo, *, record: Records = (), into: Undo | None = None) -> Undo:
    """
    Put back what a commit replaced, in one step as well.

    Returns:
        The undo of the undo.
    """
    back = [Store(e.store.owner, e.store.name, e.store.via, e.old) for e in reversed(taken.entries)]
    return commit(back, record=record, into=into)


# ---------------------------------------------------------------- under a Python audit hook


class _Generation:
    """Which of two functions the trampolines of one flip call: 0 the old ones, 1 the new ones."""

    __slots__ = ("v",)

    def __init__(self) -> None:
        self.v = 0


@record(frozen=True, slots=True)
class _Switched:
    """One function under a flip.  Holds its old code by a clone alone, so that Quiet counts what it counts without a flip."""

    function: types.FunctionType
    new: dict[str, Any]
    old: types.FunctionType
    trampoline: types.CodeType

    def first(self) -> tuple[Store, Any]:
        """The store of the first phase, and what it replaces."""
        return Store(self.function, "__code__", Via.SETATTR, self.trampoline), self.old.__code__

    def last(self) -> Iterator[Store]:
        """The stores of the third phase."""
        for name, value in self.new.items():
            if name != "__code__":
                yield Store(self.function, name, Via.SETATTR, value)
        # The code last, whatever the order of the stores: the trampoline ignores defaults, the code doesn't.
        yield Store(self.function, "__code__", Via.SETATTR, self.new.get("__code__", self.old.__code__))


def _flip(
    stores: Sequence[Store],
    old: Sequence[Any],
    guards: Sequence[Guard],
    record: Records,
    taken: Undo,
    quiet: Quiet | None,
) -> None:
    """
    Commit although a Python audit hook runs at each store to a function's code or defaults.

    Three phases.  First each function gets a trampoline to a clone of its own old self (nothing to see).  Then one C call
    looks at the guards, makes the data stores, which raise no audit event, and flips all trampolines to clones of the new
    selves: that is the switch.  Then defaults and code go in, one by one (nothing to see: a ``(*a, **k)`` code ignores its
    function's defaults).  A class's ``__doc__`` and names do raise an event; they go with the first phase.

    Trampolines of exactly a function's parameters are 10 times cheaper (0.03 ms for 20 functions instead of 0.3), but torn
    where defaults change; the one kind that is always right is enough for a process with an audit hook.
    """
    generation = _Generation()
    early, data, switched = _divide(stores, old, generation)
    if any(read(g.owner, g.name, g.via) is not g.was for g in guards if _raises_event(g)):
        raise moved()
    made: list[Step] = []
    first = [*early, *(s.first for s in switched)]
    try:  # no comprehensions here: on 3.12 and 3.13 what a tracer raises inside one passes by the handler of its own frame
        for step in first:
            _first_phase(step, made)
        _switch(data, guards, generation, made, record, taken, quiet)
        raised = _insist(_last(switched))
        if raised:
            raise raised[0]
    except BaseException:
        if taken.done:
            _insist(_last(switched))
        else:
            _put_back([step() for step in made])
        raise


def _switch(
    data: Sequence[tuple[Store, Any]],
    guards: Sequence[Guard],
    generation: _Generation,
    made: Sequence[Step],
    record: Records,
    taken: Undo,
    quiet: Quiet | None,
) -> None:
    """The second phase.  Guards of what the first one wrote look for what it wrote."""
    now = {(id(s.owner), s.name): s.new for s, _ in (step() for step in made)}
    moved = [_raises_event(g) and (id(g.owner), g.name) in now for g in guards]
    checks = [Guard(g.owner, g.name, g.via, now[id(g.owner), g.name]) if m else g for g, m in zip(guards, moved, strict=True)]
    counted = [g.was for g, m in zip(guards, moved, strict=True) if m]  # the references that a guard would have in the call
    stores, old = [s for s, _ in data], [v for _, v in data]
    _Call([*stores, Store(generation, "v", Via.SETATTR, 1)], [*old, 0], checks).make(record, taken, quiet)
    del counted


def _last(switched: Sequence[_Switched]) -> list[Store]:
    return [store for s in switched for store in s.last()]


def _divide(
    stores: Sequence[Store], old: Sequence[Any], generation: _Generation
) -> tuple[list[Step], list[tuple[Store, Any]], list[_Switched]]:
    """What goes in the first phase, what goes with the switch, and the functions."""
    early: dict[tuple[int, str], Step] = {}
    data = []
    fields: dict[int, tuple[types.FunctionType, dict[str, Any]]] = {}
    for store, was in zip(stores, old, strict=True):
        if _is_field(store):
            fields.setdefault(id(store.owner), (store.owner, {}))[1][store.name] = store.new
        elif _raises_event(store):
            early[id(store.owner), store.name] = partial(_same, (store, was))  # the last one, if there are two
        else:
            data.append((store, was))
    was = None  # no reference more than the old values have without a flip
    switched = []
    for function, new in fields.values():
        # Without new code the new clone has an equal copy: a second reference would be counted as a call.
        pair = _clone(function, {}), _clone(function, {"__code__": function.__code__.replace(), **new})
        switched.append(_Switched(function, new, pair[0], _trampoline(function, pair, generation)))
    return list(early.values()), data, switched


def _same(place: tuple[Store, Any]) -> tuple[Store, Any]:
    return place


def _first_phase(step: Step, made: list[Step]) -> None:
    store, was = step()
    if read(store.owner, store.name, store.via) is not was:
        raise moved()
    made.append(step)  # first: a store that raised is looked at by what undoes it
    for write, *arguments in _writers(store):
        write(*arguments)


def _clone(function: types.FunctionType, new: Mapping[str, Any]) -> types.FunctionType:
    made = types.FunctionType(
        new.get("__code__", function.__code__),
        function.__globals__,
        function.__name__,
        new.get("__defaults__", function.__defaults__),
        function.__closure__,
    )
    made.__kwdefaults__ = new.get("__kwdefaults__", function.__kwdefaults__)
    made.__qualname__ = function.__qualname__
    return made


_PAIR, _GENERATION = "\0suture:pair", "\0suture:generation"


def _pass_on(*a: Any, **k: Any) -> Any:
    return "\0suture:pair"["\0suture:generation".v](*a, **k)  # type: ignore[attr-defined,call-overload,operator]


def _trampoline(function: types.FunctionType, pair: tuple[Any, Any], generation: _Generation) -> types.CodeType:
    code = _pass_on.__code__
    # 3.10 acts on the flag itself; later ones only show it, and warn (inside the store) if it differs.
    kind = function.__code__.co_flags & KIND_FLAGS if sys.version_info >= (3, 11) else 0
    put = {_PAIR: pair, _GENERATION: generation}
    return code.replace(
        co_consts=tuple(put.get(c, c) if isinstance(c, str) else c for c in code.co_consts),  # type: ignore[misc]
        co_flags=code.co_flags | kind,
        co_freevars=function.__code__.co_freevars,
    )


@contextlib.contextmanager
def lent(space: dict[str, Any], names: Mapping[str, Any]) -> Iterator[None]:
    """Names that aren't in the module's namespace are in it while the block runs; taken back whatever happens."""
    given = {n: v for n, v in names.items() if n not in space}
    try:
        space.update(given)
        yield
    finally:
        for name, value in given.items():
            if space.get(name, ABSENT) is value:
                del space[name]


@contextlib.contextmanager
def lent_to_class(owner: type, names: Mapping[str, Any]) -> Iterator[None]:
    """The same of a class that exists: attributes that neither it nor a base of it has."""
    given = {n: v for n, v in names.items() if all(n not in (_class_dict(c) or ()) for c in type.mro(owner))}
    try:
        for name, value in given.items():
            type.__setattr__(owner, name, value)
        yield
    finally:
        for name, value in given.items():
            if _class_dict(owner).get(name, ABSENT) is value:
                type.__delattr__(owner, name)
