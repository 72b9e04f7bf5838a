"""
Work in slices: hold the GIL for some 50 us, then let the program go on.

One def at a time and a rest of 20 us between keep the longest extra gap of a 0.25 ms ticker at the noise of the machine
(measured with 1,000 functions on 3.11 and 3.14).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

__all__ = ["Pace"]

# Taken early: a program under gevent or freezegun replaces the ones in the module.
_sleep, _wall, _cpu = time.sleep, time.perf_counter_ns, time.thread_time_ns

SLICE_NS = 50_000
REST_S = 0.000_02


class Pace:
    """
    Call it between two steps; it rests when a slice is used up.

    Attributes:
        longest_ns: Longest slice of our own work, wall clock.
        longest_cpu_ns: Longest slice in CPU time of this thread (what the machine did meanwhile left out).
        longest_in: The phase of the longest slice by CPU time.
        phase_ms: Milliseconds a phase, rests included.
    """

    def __init__(self, *, rests: bool = True) -> None:
        self.longest_ns = 0
        self.longest_cpu_ns = 0
        self.longest_in = ""
        self.phase_ms: dict[str, float] = {}
        self._phase = ""
        self._rests = rests
        self._wall, self._cpu = _wall(), _cpu()

    def __call__(self) -> None:
        if _wall() - self._wall >= SLICE_NS:
            self.rest()

    def rest(self) -> None:
        """End the slice now."""
        self._note()
        if self._rests:
            _sleep(REST_S)
        self._wall, self._cpu = _wall(), _cpu()

    def _note(self) -> None:
        cpu = _cpu() - self._cpu
        self.longest_ns = max(self.longest_ns, _wall() - self._wall)
        if cpu > self.longest_cpu_ns:
            self.longest_cpu_ns, self.longest_in = cpu, self._phase

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Name what is done inside, and time it."""
        before, self._phase = self._phase, name
        start = _wall()
        try:
            yield
        finally:
            self._note()
            self._phase = before
            self.phase_ms[name] = self.phase_ms.get(name, 0.0) + (_wall() - start) / 1e6
            self._wall, self._cpu = _wall(), _cpu()
