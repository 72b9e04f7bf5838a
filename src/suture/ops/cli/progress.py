"""
What is done now, for whoever waits: nothing for a second, then a line a step on stderr.
"""

from __future__ import annotations

import sys
import threading
from types import TracebackType

__all__ = ["Progress"]

_QUIET_S = 1.0


class Progress:
    """
    Use as a context; call ``step`` with each step.

    Args:
        wanted: True: speak; False: never; None: on a terminal.
    """

    def __init__(self, *, wanted: bool | None = None) -> None:
        self._speaks = sys.stderr.isatty() if wanted is None else wanted
        self._lock = threading.Lock()
        self._late = False
        self._step = ""
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Progress:
        if self._speaks:
            self._timer = threading.Timer(_QUIET_S, self._now)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._lock:
            self._speaks = False
        if self._timer is not None:
            self._timer.cancel()

    def step(self, words: str) -> None:
        """Say what begins."""
        with self._lock:
            self._step = words
            self._print()

    def _now(self) -> None:
        with self._lock:
            self._late = True
            self._print()

    def _print(self) -> None:
        if self._speaks and self._late and self._step:
            print(f"suture: {self._step} ...", file=sys.stderr, flush=True)
            self._step = ""
