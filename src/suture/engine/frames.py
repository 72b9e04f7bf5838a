"""
Who is inside old code, and the event of the last one leaving.

Lists come from thread stacks and await chains; the exact total comes from reference counts, which see suspended generators
too.  After the commit a weak reference to each old code object fires when nobody is inside and nobody can enter again: free,
exact, no polling (CPython 3.10 to 3.15 with the GIL).
"""

from __future__ import annotations

import _thread
import collections
import sys
import time
import types
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Drain", "Inside", "inside", "running_constants"]

Rest = Callable[[], None]
clock_ns, _sleep = time.perf_counter_ns, time.sleep  # taken early: a program may replace those in the module
QUIET_PAUSE_S = 0.000_25


def pause() -> None:
    """Let the program run, so that whoever is inside may leave."""
    _sleep(QUIET_PAUSE_S)


@dataclass(frozen=True, slots=True)
class Inside:
    """One call that runs old code: which, on whose stack, at which line."""

    code: types.CodeType
    holder: str
    line: int

    def __str__(self) -> str:
        return f"{self.holder} in {self.code.co_name}:{self.line}"


def inside(codes: Iterable[types.CodeType], rest: Rest) -> list[Inside]:
    """
    Calls that are in one of *codes* now: on thread stacks, in asyncio tasks, in generators that a frame iterates by name.

    Call from any thread; the caller's own suture frames don't count.
    """
    wanted = {id(c) for c in codes}
    found: list[Inside] = []
    seen: set[int] = set()
    loops: dict[int, Any] = {}
    names = _thread_names()
    for ident, top in list(sys._current_frames().items()):
        frame: types.FrameType | None = top
        while frame is not None:
            code = frame.f_code
            if id(code) in wanted and id(frame) not in seen:
                seen.add(id(frame))
                found.append(Inside(code, f"thread {names.get(ident, ident)}", frame.f_lineno or 0))
            elif code.co_name == "_run_once":
                loop = frame.f_locals.get("self")
                loops[id(loop)] = loop
            frame = frame.f_back
        rest()
    for loop in loops.values():
        for task in _tasks(loop):
            for code, line, key in _awaited(task):
                if id(code) in wanted and key not in seen:
                    seen.add(key)
                    found.append(Inside(code, f"task {task.get_name()}", line))
            rest()
    return found


def running_constants() -> set[int]:
    """Ids of the code objects inside module bodies that are running now (a script's ``__main__`` is, all its life)."""
    found: set[int] = set()
    for top in list(sys._current_frames().values()):
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


def _thread_names() -> dict[int, str]:
    threading = sys.modules.get("threading")
    if threading is None:
        return {}
    return {i: t.name for i, t in list(threading._active.items())}


def _tasks(loop: Any) -> list[Any]:
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or loop is None:
        return []
    for _ in range(10):
        try:
            return list(asyncio.all_tasks(loop))
        except (RuntimeError, TypeError):  # a task came or went meanwhile
            continue
    return []


def _awaited(task: Any) -> Iterator[tuple[types.CodeType, int, int]]:
    """Code, line and frame id of each coroutine and generator on a task's await chain."""
    here = task.get_coro()
    for _ in range(1000):
        if here is None:
            return
        kind = type(here)
        if kind is types.CoroutineType:
            frame, code, following = here.cr_frame, here.cr_code, here.cr_await
        elif kind is types.GeneratorType:
            frame, code, following = here.gi_frame, here.gi_code, here.gi_yieldfrom
        elif kind is types.AsyncGeneratorType:
            frame, code, following = here.ag_frame, here.ag_code, here.ag_await
        else:
            return
        if frame is not None:
            yield code, frame.f_lineno or 0, id(frame)
        here = following


class Drain:
    """
    Old code objects that somebody may still be inside.

    Holds none of them.  Its callback runs in whichever thread drops the last reference, so it only notes that, opens a raw
    lock, and calls *last*, which must be safe anywhere (clearing a C-level cache is).
    """

    def __init__(self, codes: Iterable[types.CodeType], last: Callable[[], None] | None = None) -> None:
        self._gone: collections.deque[None] = collections.deque()
        self._lock = _thread.allocate_lock()
        self._lock.acquire()
        self._last = last
        self._refs = [weakref.ref(c, self._one_gone) for c in {id(c): c for c in codes}.values()]
        self._open_if_done()

    def _one_gone(self, _: object) -> None:
        self._gone.append(None)
        self._open_if_done()

    def _open_if_done(self) -> None:
        if len(self._gone) >= len(getattr(self, "_refs", (0,))) and self._lock.locked():
            last, self._last = self._last, None
            try:
                self._lock.release()
            except RuntimeError:  # another thread was first
                return
            if last is not None:
                last()

    def left(self) -> int:
        """Old code objects that are still referenced."""
        return sum(r() is not None for r in self._refs)

    def calls(self) -> int:
        """References to old code that are left: one a running call or suspended generator (two on 3.10 and 3.11)."""
        dummy = compile("0", "", "eval")
        over = next(map(sys.getrefcount, (dummy,))) - 1
        alive = [c for c in (r() for r in self._refs) if c is not None]
        return sum(n - over - 1 for n in map(sys.getrefcount, alive))

    def done(self) -> bool:
        """True once nobody is inside and nobody can enter."""
        return self.left() == 0

    def wait(self, timeout_s: float) -> bool:
        """Wait for that, *timeout_s* seconds at the most; True if it came."""
        if self.done():
            return True
        if self._lock.acquire(timeout=timeout_s):
            self._lock.release()
            return True
        return self.done()
