"""
Write to live objects.

Rule 1: nothing else in suture assigns to an object that it didn't create.
Rule 2: what undoes every store is known before the first store.
Rule 3: a commit is one C call, so no other thread runs between its stores (INTERNALS of CPython: docs/adr/0004).

Called by the transaction, after the point of no return; ``lent`` is the one exception, and only adds names that nothing can
see yet (docs/adr/0011).
"""

from __future__ import annotations

import contextlib
import gc
import operator
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from itertools import chain, repeat, starmap
from typing import Any, Final

from suture.engine.facts import KIND_FLAGS
from suture.errors import Fault, Refused

__all__ = [
    "ABSENT",
    "Entry",
    "Guard",
    "Quiet",
    "Store",
    "Undo",
    "Via",
    "audit_hook_present",
    "commit",
    "lent",
    "probe",
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


@dataclass(frozen=True, slots=True)
class Store:
    """One assignment, worked out before the commit."""

    owner: Any
    name: Any
    via: Via
    new: Any


@dataclass(frozen=True, slots=True)
class Guard:
    """What a place must hold (the same object) inside the commit, before the first store."""

    owner: Any
    name: Any
    via: Via
    was: Any


@dataclass(frozen=True, slots=True)
class Entry:
    """A store and what it replaced; for code an *equal copy*, so that the original can die and say so."""

    store: Store
    old: Any


@dataclass(slots=True)
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
    counts: list[int] = field(default_factory=list)

    def inside(self) -> int:
        """Calls inside, of all the codes together."""
        if not self.counts:
            return 0
        return sum(max(0, n) for n in self.each())

    def each(self) -> list[int]:
        """Calls inside, a code."""
        return [n - self.counts[-1] - e for n, e in zip(self.counts[:-1], self.extra, strict=False)]


@dataclass(slots=True)
class Undo:
    """What takes a commit back.  ``done`` isn't empty once the commit's C call has run to its end."""

    entries: list[Entry] = field(default_factory=list)
    done: list[bool] = field(default_factory=list)


_call: Callable[..., Any] = partial.__call__
_class_dict = type.__dict__["__dict__"].__get__
# Collections start inside allocations on 3.10 and 3.11, and run finalisers; later they start between bytecodes only.
_GC_RUNS_INSIDE = sys.version_info < (3, 12)
_AUDITED = frozenset(("__code__", "__defaults__", "__kwdefaults__"))


def read(owner: Any, name: Any, via: Via) -> Any:
    """What is there now, raw (no descriptor is bound), or ABSENT."""
    return _reader(owner, name, via)()


def _reader(owner: Any, name: Any, via: Via) -> Callable[[], Any]:
    if via is Via.TYPE_SETATTR:
        return partial(_class_dict(owner).get, name, ABSENT)
    if via is Via.SETITEM:
        return partial(dict.get, owner, name, ABSENT)
    if via is Via.LISTITEM:
        return partial(list.__getitem__, owner, name)
    return partial(getattr, owner, name, ABSENT)


def _writer(owner: Any, name: Any, via: Via, value: Any) -> Callable[[], Any]:
    if via is Via.TYPE_SETATTR:
        return partial(type.__delattr__, owner, name) if value is ABSENT else partial(type.__setattr__, owner, name, value)
    if via is Via.LISTITEM:
        return partial(list.__setitem__, owner, name, value)
    if via is Via.SETITEM:
        return partial(dict.pop, owner, name, None) if value is ABSENT else partial(dict.__setitem__, owner, name, value)
    return partial(delattr, owner, name) if value is ABSENT else partial(setattr, owner, name, value)


def commit(
    stores: Sequence[Store],
    guards: Sequence[Guard] = (),
    *,
    record: Sequence[tuple[Callable[[Any], Any], Any]] = (),
    hooked: bool | None = None,
    into: Undo | None = None,
    copies: Mapping[int, types.CodeType] | None = None,
    quiet: Quiet | None = None,
) -> Undo:
    """
    Make all stores in one step that no other thread can see half done.

    Args:
        stores: In order.  None may run Python code (the judge's business).
        guards: Checked inside the same C call; one that is off stops it before the first store.
        record: C callables and their argument, called behind the last store in the same C call (``list.append``).
        hooked: A Python audit hook is there; None looks for one.  It would run between the stores, so then the
            switch is a flip (see _flip).
        into: Undo to fill in, for a caller that records it.
        copies: Equal copies of code objects by id, to keep in the undo instead of a fresh one.
        quiet: Code whose references are counted in the same C call; see Quiet.

    Returns:
        The undo.

    Raises:
        Refused: moved-meanwhile: a guard is off; busy: *quiet* insists and somebody is inside.  Nothing was changed.
        BaseException: Whatever else was raised; everything is back as it was unless ``undo.done``.
    """
    taken = Undo() if into is None else into
    old = [read(s.owner, s.name, s.via) for s in stores]
    taken.entries[:] = [Entry(s, _copy(v, copies or {})) for s, v in zip(stores, old, strict=True)]
    if hooked is None:
        hooked = audit_hook_present()
    audited = [s for s in stores if hooked and s.via is Via.SETATTR and s.name in _AUDITED]
    try:
        if audited:
            _flip(stores, guards, record, taken, quiet)
        else:
            _one_call(stores, guards, record, taken, quiet)
    except ZeroDivisionError as error:
        if taken.done:
            raise
        if quiet is not None and quiet.insist and quiet.inside():
            raise Refused("busy", "somebody is inside what would be changed", hint="apply again") from error
        raise Refused(
            "moved-meanwhile",
            "something else changed a target between the look and the commit",
            hint="apply again",
        ) from error
    except BaseException:
        if not taken.done:
            _put_back(stores, old)
        raise
    del old  # kept until here: a value that dies inside could run a finaliser in the middle
    return taken


def _copy(value: Any, copies: Mapping[int, types.CodeType]) -> Any:
    if type(value) is types.CodeType:
        return copies.get(id(value)) or value.replace()
    return value


def _one_call(
    stores: Sequence[Store],
    guards: Sequence[Guard],
    record: Sequence[tuple[Callable[[Any], Any], Any]],
    taken: Undo,
    quiet: Quiet | None,
) -> None:
    # A for loop was seen half done on 3.10 to 3.15, this in none of millions of calls.  Whatever runs Python inside voids it:
    # audit hooks, finalisers of dropped values, a metaclass's __setattr__, warnings.  Raising the switch interval is no lock.
    checks = map(
        operator.truediv,
        repeat(1),
        map(operator.is_, map(_call, [_reader(g.owner, g.name, g.via) for g in guards]), [g.was for g in guards]),
    )
    writes = map(_call, [_writer(s.owner, s.name, s.via, s.new) for s in stores])
    marks = map(_call, [partial(f, a) for f, a in record])
    if quiet is not None:
        checks = chain(checks, _counting(quiet))  # type: ignore[assignment]
    steps = chain(checks, writes, marks, map(taken.done.append, (True,)))
    with _no_collection():
        deque(steps, maxlen=0)


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


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Keep gc from running finalisers inside the call, on the versions where it could."""
    if not (_GC_RUNS_INSIDE and gc.isenabled()):
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _put_back(stores: Sequence[Store], old: Sequence[Any]) -> None:
    """Restore the very objects that were there, last store first."""
    writes = [
        _writer(s.owner, s.name, s.via, v)
        for s, v in zip(reversed(stores), reversed(old), strict=True)
        if v is not ABSENT or read(s.owner, s.name, s.via) is not ABSENT
    ]
    try:
        deque(map(_call, writes), maxlen=0)
    except BaseException as error:
        raise Fault(
            "undo-failed",
            f"putting the old values back raised {type(error).__name__}: {error}; the process may hold a part of the patch",
            hint="restart this process",
        ) from error


def undo(taken: Undo, *, record: Sequence[tuple[Callable[[Any], Any], Any]] = (), into: Undo | None = None) -> Undo:
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


def _flip(
    stores: Sequence[Store],
    guards: Sequence[Guard],
    record: Sequence[tuple[Callable[[Any], Any], Any]],
    taken: Undo,
    quiet: Quiet | None,
) -> None:
    """
    Commit although a Python audit hook runs at each store to a function's code or defaults.

    Three phases: each function gets a trampoline to a clone of its own old self (nothing to see), one C call flips all of
    them and makes the data stores, which raise no audit event (that is the switch), then the fields and the direct code go
    in one function at a time (nothing to see: a ``(*a, **k)`` code ignores its function's defaults).
    """
    fields: dict[int, tuple[types.FunctionType, dict[str, Any]]] = {}
    data = []
    for store in stores:
        if store.via is Via.SETATTR and store.name in _AUDITED:
            own = fields.setdefault(id(store.owner), (store.owner, {"__code__": store.owner.__code__}))[1]
            own[store.name] = store.new
        else:
            data.append(store)
    if quiet is not None:
        deque(_counting(quiet), maxlen=0)
    code_guards = [g for g in guards if g.via is Via.SETATTR and g.name in _AUDITED]
    for guard in code_guards:
        1 / (read(guard.owner, guard.name, guard.via) is guard.was)
    generation = _Generation()
    ready = [(f, _trampoline(f, (_clone(f, {}), _clone(f, new)), generation)) for f, new in fields.values()]
    for function, code in ready:
        function.__code__ = code
    flip = Store(generation, "v", Via.SETATTR, 1)
    _one_call([flip, *data], [g for g in guards if g not in code_guards], record, taken, None)
    order = ("__defaults__", "__kwdefaults__", "__code__")
    _settle([(f, name, new[name]) for f, new in fields.values() for name in order if name in new])


def _settle(writes: Sequence[tuple[types.FunctionType, str, Any]]) -> None:
    """Third phase.  Interrupted, it goes on where it was and raises at the end: the switch has been made."""
    raised: BaseException | None = None
    for function, name, value in writes:
        for _ in range(3):
            try:
                setattr(function, name, value)
                break
            except BaseException as error:  # noqa: BLE001 - raised below; until then the function serves by its trampoline
                raised = error
    if raised is not None:
        raise raised


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


class _Probe(BaseException):
    """Set on our own thread to see whether a hook's first instruction gets it."""


def audit_hook_present() -> bool:
    """
    True if a store may run an audit hook.  Hooks can't be listed; none of their lines runs for this.

    Up to 3.13 ``sys.audit`` looks for hooks before it looks at its argument.  Later ones don't: there an asynchronous
    exception set right before ``sys.audit``, in the same C call, comes up in a Python hook's first instruction, or behind the
    call if there is none (measured on 3.10 to 3.15).  Without ctypes the answer is True, the safe side.
    """
    if sys.version_info < (3, 14):
        try:
            sys.audit(0)  # type: ignore[arg-type]
        except TypeError:
            return True
        return False
    return _hook_takes_exception()


def _hook_takes_exception() -> bool:
    try:
        import _thread
        import ctypes

        raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    except (ImportError, AttributeError):
        return True
    raise_in.argtypes, raise_in.restype = [ctypes.c_ulong, ctypes.py_object], ctypes.c_int
    passed: list[bool] = []
    steps = chain(
        starmap(raise_in, [(_thread.get_ident(), _Probe)]), starmap(sys.audit, [("suture.probe",)]), map(passed.append, (True,))
    )
    try:
        deque(steps, maxlen=0)
        for _ in range(100):  # the exception comes up at the next look for one, here at the latest
            pass
    except _Probe:
        return not passed
    except Exception:  # noqa: BLE001 - a hook that raises is a hook
        with contextlib.suppress(_Probe):
            for _ in range(100):
                pass
    return True


def probe() -> None:
    """
    Store to a function of our own, as the commit will.

    Raises:
        Refused: audit-hook-refuses: an audit hook raised.  Nothing was changed.
    """

    def throwaway(a: int = 1, *, b: int = 2) -> int:
        return a + b

    try:
        throwaway.__code__ = throwaway.__code__.replace()
        throwaway.__defaults__ = (1,)
        throwaway.__kwdefaults__ = {"b": 2}
    except Exception as error:
        raise Refused(
            "audit-hook-refuses",
            f"an audit hook of this process forbids it: {type(error).__name__}: {error}",
            hint="let the hook pass object.__setattr__ for function code, or restart",
        ) from error


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
