"""
Work in slices: hold the GIL for some 50 us, then let the program go on.

One def at a time and a rest of 20 us between keep the longest extra gap of a 0.25 ms ticker at the noise of the machine
(measured with 1,000 functions on 3.11 and 3.14).
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator

from suture.engine.own import original

TYPE_CHECKING = False  # as type checkers know it
if TYPE_CHECKING:
    from suture.report import Report

__all__ = ["Pace", "bite", "uncollected"]

# As CPython made them: gevent and freezegun replace the ones in the module.
_wall, _cpu = original("time", "perf_counter_ns"), original("time", "thread_time_ns")
_as_it_is, _native_id = original("time", "sleep"), original("_thread", "get_native_id")


def _sleep(seconds: float) -> None:
    """
    Let the program go on.

    Under gevent the program is the other greenlets of this very thread: there a turn of its loop is the rest.  In a thread of
    the kernel's (the agent's) gevent has nothing to do.
    """
    if time.sleep is _as_it_is or _native_id() != os.getpid():
        _as_it_is(seconds)
    else:
        time.sleep(0)


SLICE_NS = 50_000
REST_S = 0.000_02
BITE = 300  # new objects, from which on the young are collected in a slice of their own
# What a patch allocates and keeps would bring on collections of 7,000 objects at once, 1 to 3 ms each; so we collect sooner and
# less at a time.  Later Pythons collect in increments.
_BY_BITES = sys.version_info < (3, 14)


def bite() -> bool:
    """Collect the young if there are some hundred, and the program collects at all; True if it was done."""
    if not (_BY_BITES and gc.isenabled() and gc.get_count()[0] > BITE):
        return False
    gc.collect(1)
    return True


@contextlib.contextmanager
def uncollected() -> Iterator[Callable[[Callable[[], None]], None]]:
    """
    No collection starts in this thread's block, which should be short and hold the GIL.

    A collection in the middle of a compile moves a syntax tree that is about to die into an older generation, where it counts
    as one more reason for a full collection of the program's heap (28 ms per 0.1 million objects).

    Yields:
        What makes a call that lets go of the GIL: meanwhile the program collects, or doesn't, as it likes.
    """
    ours = gc.isenabled()

    def outside(call: Callable[[], None]) -> None:
        nonlocal ours
        if ours:
            gc.enable()
        try:
            call()
        finally:
            ours = gc.isenabled()
            gc.disable()

    gc.disable()
    try:
        yield outside
    finally:
        if ours:
            gc.enable()


class Pace:
    """
    Call it between two steps; it rests when a slice is used up.

    One transaction has one, and uses it in one thread.  A slice goes on from one phase into the next: only a rest ends it.
    Waiting between the making and the first phase isn't work and doesn't count.

    Attributes:
        label: What is being worked on (a target, say); whoever knows sets it.
        longest_ns: Longest slice of our own work, wall clock.
        longest_cpu_ns: Longest slice in CPU time of this thread (what the machine did meanwhile left out).
        longest_in: Phase and label at the end of the longest slice by CPU time.
        phase_ms: Milliseconds a phase, rests included, phases inside it left out: nothing counts twice.
    """

    def __init__(self, *, rests: bool = True) -> None:
        self.label = ""
        self.longest_ns = 0
        self.longest_cpu_ns = 0
        self.longest_in = ""
        self.phase_ms: dict[str, float] = {}
        self._phase = ""
        self._rests = rests
        self._wall = self._cpu = 0  # where this slice began; 0: not yet
        self._since = 0  # up to where time has been given to a phase

    def __call__(self) -> None:
        """Rest if it's time."""
        if not self._wall:
            self._begin()
        elif _wall() - self._wall >= SLICE_NS:
            self.rest()

    def breathe(self, pause_s: float = REST_S) -> None:
        """End the slice now; *pause_s* seconds of waiting aren't part of the next one."""
        self._note()
        if self._rests:
            _sleep(pause_s)
        self._begin()

    def rest(self, pause_s: float = REST_S) -> None:
        """The same, and collect what is young if it has become much: not while a syntax tree is alive that is about to die."""
        self.breathe(pause_s)
        if self._rests and bite():
            self._note()
            _sleep(REST_S)
            self._begin()

    def _begin(self) -> None:
        self._wall, self._cpu = _wall(), _cpu()

    def _note(self) -> None:
        if not self._wall:
            return
        cpu = _cpu() - self._cpu
        self.longest_ns = max(self.longest_ns, _wall() - self._wall)
        if cpu > self.longest_cpu_ns:
            self.longest_cpu_ns = cpu
            self.longest_in = " ".join(filter(None, (self._phase, self.label)))

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Name what is done inside, and time it."""
        outer, self._phase = self._phase, name
        if not self._wall:
            self._begin()
        self._give(outer)
        self()
        try:
            yield
        finally:
            self._note()
            self._give(name)
            self._phase = outer

    def measure(self, report: Report) -> None:
        """Put what was measured into a report, at the end of all work."""
        self._note()
        report.longest_slice_ms = self.longest_ns / 1e6
        report.longest_slice_cpu_ms = self.longest_cpu_ns / 1e6
        report.longest_slice_in = self.longest_in
        report.caller_blocked_ms = sum(self.phase_ms.values())

    def _give(self, phase: str) -> None:
        """The time since the last turn goes to *phase*."""
        now = _wall()
        if phase:
            self.phase_ms[phase] = self.phase_ms.get(phase, 0.0) + (now - self._since) / 1e6
        self._since = now
