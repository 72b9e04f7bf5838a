"""
Who is inside old code, and the event of the last one leaving.

Lists come from thread stacks, await chains and local variables; the exact total comes from reference counts, which see
suspended generators wherever they are.  After the commit a weak reference to each old code object fires when nobody is inside
and nobody can enter again: free, exact, no polling (CPython 3.10 to 3.15 with the GIL).

Rule: runs nobody's code.  Attributes of foreign objects are read through the descriptors of built-in types.
"""

from __future__ import annotations

import _thread
import collections
import gc
import sys
import time
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from suture.record import record

__all__ = [
    "Drain",
    "Inside",
    "attributes",
    "calls_of",
    "class_space",
    "count_inside",
    "inside",
    "lineage",
    "locals_of",
    "ours",
    "qualname_of",
    "references",
    "running_constants",
    "space_of",
    "stacks",
    "thread_names",
]

Rest = Callable[[], None]
clock_ns, _sleep, _monotonic = time.perf_counter_ns, time.sleep, time.monotonic  # taken early: a program may replace those
_LOOK_S = 0.01
QUIET_PAUSE_S = 0.000_25

_OPTIMIZED, _GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x1, 0x20, 0x80, 0x200  # co_flags
_SUSPENDS = _GENERATOR | _COROUTINE | _ASYNC_GENERATOR
_MAX_CHAIN = 1000
_class_dict: Callable[[type], Mapping[str, Any] | None] = type.__dict__["__dict__"].__get__  # a metaclass may answer getattr
lineage: Callable[[type], tuple[type, ...]] = type.__dict__["__mro__"].__get__  # type: ignore[attr-defined]  # the same
_qualname: Any = type.__dict__["__qualname__"].__get__
_module_dict: Any = types.ModuleType.__dict__["__dict__"].__get__  # type: ignore[index]


def class_space(cls: type) -> Mapping[str, Any]:
    """What a class itself has; a type of C that nobody has made ready has no dictionary yet (up to 3.11)."""
    return _class_dict(cls) or {}


def pause() -> None:
    """Let the program run, so that whoever is inside may leave."""
    _sleep(QUIET_PAUSE_S)


@record(frozen=True, slots=True)
class Inside:
    """
    One call that runs old code.

    Attributes:
        code: Which.
        holder: On whose stack: ``thread Ticker``, ``task Task-7``, ``generator in thread MainThread``.
        line: At which line.
        kind: "thread", "task", "generator", "coroutine" or "async generator".
    """

    code: types.CodeType
    holder: str
    line: int
    kind: str = "thread"

    @property
    def qualname(self) -> str:
        """The function's name; with its class from 3.11 on."""
        return getattr(self.code, "co_qualname", self.code.co_name)

    def __str__(self) -> str:
        return f"{self.holder} in {self.qualname}:{self.line}"


# ---------------------------------------------------------------- lists


class _Search:
    """One look at everything that runs or waits."""

    def __init__(self, codes: Iterable[types.CodeType], rest: Rest) -> None:
        self.wanted: dict[int, types.CodeType] = {}
        # Whatever can wait outside of a stack: only then are local variables looked at.
        self.suspends = False
        for code in codes:
            self.wanted[id(code)] = code
            self.suspends |= bool(code.co_flags & _SUSPENDS)
            rest()
        self.rest = rest
        self.found: list[Inside] = []
        self.seen: set[int] = set()
        self.loops: dict[int, Any] = {}
        self.held: list[tuple[Any, str]] = []  # generators and coroutines by name: looked at last, a better holder may be known

    def threads(self) -> None:
        """Stacks of all threads; on the way, event loops, and generators that a frame knows by name."""
        names = thread_names()
        for ident, top in stacks():
            holder = f"thread {names.get(ident, ident)}"
            frame: types.FrameType | None = top
            inner: Mapping[str, Any] | None = {}
            while frame is not None:
                self._note(frame.f_code, holder, frame, "thread")
                if ours(frame):
                    inner = {}
                elif self.suspends or frame.f_code.co_name in _LOOP_FUNCTIONS:
                    inner = locals_of(frame, inner)
                    for value in inner.values():
                        self._look(value, holder)
                else:
                    inner = None
                self.rest()
                frame = frame.f_back

    def tasks(self) -> None:
        """Tasks of all loops with what they await, and the loops' asynchronous generators."""
        for task in _tasks(self.loops.values()):
            holder = f"task {_task_name(task)}"
            for here in _awaited(_task_coroutine(task)):
                self._suspended(here, holder, "task")
                if self.suspends:
                    self.held += [(v, holder) for v in _inner_values(here) if id(type(v)) in _SUSPENDED]
            self.rest()
        for loop in self.loops.values():
            self.held += [(g, "event loop") for g in _members(attributes(loop).get("_asyncgens"))]
            self.rest()

    def by_name(self) -> None:
        """Generators and coroutines that a frame, a task or a loop refers to, with what they wait for."""
        for value, holder in self.held:
            for here in _awaited(value):
                kind = _SUSPENDED[id(type(here))].kind
                self._suspended(here, f"{kind} in {holder}", kind)
            self.rest()

    def _look(self, value: Any, holder: str) -> None:
        kind = type(value)
        if id(kind) in _SUSPENDED:
            self.held.append((value, holder))
        elif kind is _known("asyncio.runners", "Runner"):
            self._look(attributes(value).get("_loop"), holder)
        elif _derives(kind, _known("asyncio.events", "AbstractEventLoop")):
            self.loops[id(value)] = value

    def _suspended(self, here: Any, holder: str, kind: str) -> None:
        fields = _SUSPENDED[id(type(here))]
        frame = getattr(here, fields.frame)
        if frame is not None:
            self._note(getattr(here, fields.code), holder, frame, kind)

    def _note(self, code: types.CodeType, holder: str, frame: types.FrameType, kind: str) -> None:
        if id(code) in self.wanted and id(frame) not in self.seen:
            self.seen.add(id(frame))
            self.found.append(Inside(code, holder, frame.f_lineno or 0, kind))


def inside(codes: Iterable[types.CodeType], rest: Rest) -> list[Inside]:
    """
    Calls that are in one of *codes* now.

    On thread stacks (any thread, the caller's too), in asyncio tasks of any loop with what they await, in the loops'
    asynchronous generators, and in generators that a frame or a task has in a local variable.  On no list: generators in
    containers and in iterators of C, greenlets; the count has them.

    Args:
        codes: Old code objects.
        rest: Called between steps.
    """
    search = _Search(codes, rest)
    search.threads()
    search.tasks()
    search.by_name()
    return search.found


class _Fields:
    """Names of the attributes of one kind of suspendable object."""

    __slots__ = ("code", "frame", "kind", "waits_for")

    def __init__(self, kind: str, prefix: str, waits_for: str) -> None:
        self.kind = kind
        self.frame, self.code, self.waits_for = f"{prefix}_frame", f"{prefix}_code", f"{prefix}_{waits_for}"


_SUSPENDED: Mapping[int, _Fields] = {  # by id: a metaclass may define `__hash__`
    id(types.GeneratorType): _Fields("generator", "gi", "yieldfrom"),
    id(types.CoroutineType): _Fields("coroutine", "cr", "await"),
    id(types.AsyncGeneratorType): _Fields("async generator", "ag", "await"),
}
_LOOP_FUNCTIONS = frozenset(("_run_once", "run_forever", "run_until_complete", "run"))


def _awaited(first: Any) -> Iterator[Any]:
    """A generator or coroutine and what it waits for, down to what isn't Python code."""
    here = first
    for _ in range(_MAX_CHAIN):
        if id(type(here)) not in _SUSPENDED:
            # `async for` and `anext` put an object of C between a coroutine and the generator.  A future isn't looked
            # through: it belongs to another task, or to nobody.
            between = type(here).__module__ == "builtins" if type(type(here)) is type else False
            here = next((r for r in gc.get_referents(here) if id(type(r)) in _SUSPENDED), None) if between else None
            if here is None:
                return
        yield here
        here = getattr(here, _SUSPENDED[id(type(here))].waits_for)


def _inner_values(here: Any) -> Sequence[Any]:
    """What a suspended frame refers to, its locals among it."""
    if sys.version_info >= (3, 11):
        return gc.get_referents(here)
    frame = getattr(here, _SUSPENDED[id(type(here))].frame)
    return gc.get_referents(frame) if frame is not None else ()


def _known(module: str, name: str) -> Any:
    """Something of a module that the program has loaded; _Nothing if it hasn't."""
    loaded = sys.modules.get(module)
    return loaded.__dict__.get(name, _Nothing) if type(loaded) is types.ModuleType else _Nothing


class _Nothing:
    """No object is one of these."""


def _derives(kind: type, base: Any) -> bool:
    """``issubclass``, without a metaclass's opinion."""
    return any(c is base for c in lineage(kind))


def _tasks(loops: Iterable[Any]) -> list[Any]:
    found: dict[int, Any] = {}
    # Up to 3.13 sets of all tasks of all loops; since then C keeps them, a loop at a time.
    for name in ("_all_tasks", "_scheduled_tasks", "_eager_tasks"):
        found.update((id(t), t) for t in _members(_known("asyncio.tasks", name)))
    all_tasks = _known("asyncio.tasks", "all_tasks")
    if sys.version_info >= (3, 14) and type(all_tasks) in (types.FunctionType, types.BuiltinFunctionType):
        for loop in loops:
            try:
                found.update((id(t), t) for t in all_tasks(loop))
            except Exception:  # noqa: BLE001 - asyncio calls done() of a task class of the program's own
                continue  # its tasks are on no list; the count has them
    bases = [_known("_asyncio", "Task"), _known("asyncio.tasks", "_PyTask")]
    return [t for t in found.values() if any(_derives(type(t), b) for b in bases) and not _task_done(t)]


def _members(weak: Any) -> list[Any]:
    """What is in a set or a weak set; another thread may be writing."""
    if type(weak) not in (set, weakref.WeakSet):
        return []
    for _ in range(10):
        try:
            return list(weak)
        except RuntimeError:  # changed size meanwhile
            continue
    return []


def _of_task(task: Any, name: str) -> Any:
    """Call a method of asyncio's own task class, whatever a subclass makes of it."""
    for base in lineage(type(task)):
        if base is _known("_asyncio", "Task") or base is _known("asyncio.tasks", "_PyTask"):
            return getattr(base, name)(task)
    return None


def _task_coroutine(task: Any) -> Any:
    return _of_task(task, "get_coro")


def _task_name(task: Any) -> str:
    name = _of_task(task, "get_name")
    return name if type(name) is str else "?"


def _task_done(task: Any) -> bool:
    return bool(_of_task(task, "done"))


def running_constants() -> set[int]:
    """Ids of the code objects inside module bodies that are running now (a script's ``__main__`` is, all its life)."""
    found: set[int] = set()
    for _, top in stacks():
        frame: types.FrameType | None = top
        while frame is not None:
            if frame.f_code.co_name == "<module>":
                todo = [frame.f_code]
                while todo:
                    inner = [c for c in todo.pop().co_consts if type(c) is types.CodeType]
                    found.update(map(id, inner))
                    todo += inner
            frame = frame.f_back
    return found


# ---------------------------------------------------------------- reading frames and foreign objects


def stacks() -> list[tuple[int, types.FrameType]]:
    """
    (Thread, innermost frame that isn't suture's) of all threads.

    A frame of ours in one of our own variables would be a cycle: it, its callers and all that they hold (old code among
    it) would live until the next collection.
    """
    found: list[tuple[int, types.FrameType]] = []
    frame: types.FrameType | None
    for ident, frame in sys._current_frames().items():
        while frame is not None and ours(frame):
            frame = frame.f_back
        if frame is not None:
            found.append((ident, frame))
    frame = None
    return found


def ours(frame: types.FrameType) -> bool:
    """True if the frame runs suture itself."""
    name = dict.get(frame.f_globals, "__name__")
    return type(name) is str and name.partition(".")[0] == "suture"


def locals_of(frame: types.FrameType, inner: Mapping[str, Any] | None) -> dict[str, Any]:
    """
    Local variables of a frame, without leaving a trace in it.

    Up to 3.12 reading them makes a snapshot that stays with the frame and keeps its values alive for as long as the frame
    runs (an old generator would never drain).  It is emptied again, unless somebody else has it (``locals()`` is the same
    dictionary) or a trace function may be at work, for then the interpreter will write it back.

    Args:
        frame: A frame of any thread.
        inner: Locals of the frame that this one calls; a trace function has the traced frame among them.  {} if there is
            none, None if not known.
    """
    if not frame.f_code.co_flags & _OPTIMIZED:
        space = frame.f_locals
        return dict(space) if type(space) is dict and space is not frame.f_globals else {}
    if sys.version_info >= (3, 13):
        return dict(frame.f_locals)
    snapshot = frame.f_locals
    values = dict(snapshot)
    alone = sys.getrefcount(snapshot) <= 3  # the frame, `snapshot`, the argument
    if alone and inner is not None and frame.f_trace is None and not any(v is frame for v in inner.values()):
        snapshot.clear()
    return values


def attributes(here: object) -> Mapping[str, Any]:
    """The instance dictionary, through the descriptor that the interpreter made: a class may define its own ``__dict__``."""
    kind = type(here)
    for cls in lineage(kind):
        slot = class_space(cls).get("__dict__")
        if type(slot) is types.GetSetDescriptorType:
            try:
                own = slot.__get__(here, kind)
            except (AttributeError, TypeError):
                continue
            if type(own) is dict:
                return own
    return {}


def space_of(module: types.ModuleType) -> dict[str, Any]:
    """A module's namespace, through the module type's own descriptor: a lazy module would load itself for ``__dict__``."""
    space: dict[str, Any] = _module_dict(module)
    return space


def qualname_of(owner: object) -> str:
    """Qualified name of a class or function, of the class of anything else; no metaclass is asked."""
    if type(owner) is types.FunctionType:
        return owner.__qualname__
    return str(_qualname(owner if issubclass(type(owner), type) else type(owner)))


def thread_names() -> dict[int, str]:
    """Names of the threads by identifier, as far as ``threading`` knows them."""
    active = _known("threading", "_active")
    if type(active) is not dict:
        return {}
    names = {i: attributes(t).get("_name") for i, t in list(active.items())}
    return {i: name for i, name in names.items() if type(name) is str}


# ---------------------------------------------------------------- counts

# Free-threaded builds have no count: a code object's is a constant there.
_COUNTS = "t" not in getattr(sys, "abiflags", "")
_HELD_TWICE = sys.version_info < (3, 12)  # a generator object has its code, and its frame has it too


def references(codes: Sequence[types.CodeType]) -> list[int]:
    """
    References to each code object, what asking adds left out (a dummy tells how much that is on this version).

    Args:
        codes: A list or tuple; its own reference counts as one, the caller's variables count as any other.
    """
    # In no variable: on 3.10 a tracer or profiler makes the interpreter keep a snapshot of this frame's, one more reference.
    over = next(map(sys.getrefcount, (compile("0", "", "eval"),))) - 1  # the tuple
    return [n - over for n in map(sys.getrefcount, codes)]


def count_inside(codes: Sequence[types.CodeType], accounted: Sequence[int]) -> list[int] | None:
    """
    Calls inside each of *codes*, by the exact count.

    Args:
        codes: A list or tuple; the caller holds them nowhere else.
        accounted: For each, references that aren't calls: functions made from it, constants of enclosing code.

    Returns:
        Running frames, suspended generators and coroutines, and dead frames that a traceback keeps; None on a
        free-threaded build, which doesn't count.
    """
    if not _COUNTS:
        return None
    return [calls_of(c.co_flags, n - 1 - a) for c, n, a in zip(codes, references(codes), accounted)]


def calls_of(flags: int, held: int) -> int:
    """Calls that so many references to a code object with these flags make."""
    return max(0, (held + 1) // 2 if _HELD_TWICE and flags & _SUSPENDS else held)


class Drain:
    """
    Old code objects that somebody may still be inside.

    A script's module body runs for all of the script's life and has its functions' first codes among its constants: those
    never die, so there the count decides.

    Holds none of them.  Its callback runs in whichever thread drops the last reference, so it only notes that, opens a raw
    lock, and calls *last*, which must be safe anywhere (clearing a C-level cache is).
    """

    def __init__(self, codes: Iterable[types.CodeType], last: Callable[[], None] | None = None, rest: Rest = lambda: None) -> None:
        self._gone: collections.deque[None] = collections.deque()
        self._lock = _thread.allocate_lock()
        self._lock.acquire()
        self._once = collections.deque([last])
        constants = running_constants()
        self._kept: set[int] = set()
        self._count = sys.maxsize  # until all are made: some may go meanwhile
        refs: dict[int, weakref.ref[types.CodeType]] = {}
        for code in codes:
            if id(code) in constants:
                self._kept.add(id(code))
            refs.setdefault(id(code), weakref.ref(code, self._one_gone))
            rest()
        code = None  # type: ignore[assignment]
        del codes
        self._refs = list(refs.values())
        self._count = len(self._refs)
        self._open_if_done()

    def _one_gone(self, _: object) -> None:
        self._gone.append(None)
        self._open_if_done()

    def _open_if_done(self) -> None:
        if len(self._gone) < self._count:
            return
        try:
            last = self._once.pop()
        except IndexError:  # another thread was first
            return
        self._lock.release()
        if last is not None:
            last()

    def left(self) -> int:
        """Old code objects that are still referenced."""
        return sum(r() is not None for r in self._refs)

    def calls(self) -> int | None:
        """
        Calls still in old code, by the exact count; None on a free-threaded build.

        Who else holds a code object (a copy made of the old function, a profiler's table) counts as one.
        """
        if not _COUNTS:
            return None
        alive = list(filter(None, map(weakref.ref.__call__, self._refs)))
        calls = sum(calls_of(c.co_flags, n - 1 - (id(c) in self._kept)) for c, n in zip(alive, references(alive)))
        if not calls and self._kept:
            self._gone.extend([None] * self._count)
            self._open_if_done()
        return calls

    def done(self) -> bool:
        """True once nobody is inside and nobody can enter."""
        return self.left() == 0 or (bool(self._kept) and self.calls() == 0)

    def wait(self, timeout_s: float) -> bool:
        """Wait for that, *timeout_s* seconds at the most; True if it came."""
        limit = _monotonic() + timeout_s
        while self._kept and not self.done() and _monotonic() < limit:  # no event will come
            _sleep(_LOOK_S)
        if not self.done() and self._lock.acquire(timeout=min(max(0.0, limit - _monotonic()), _thread.TIMEOUT_MAX)):
            self._lock.release()  # for the next one who waits
        return self.done()
