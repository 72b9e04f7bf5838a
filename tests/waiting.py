"""Wait for what another process or thread will do, without a bound that a busy machine breaks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE_S = 60.0


def until(holds: Callable[[], T], what: object = "it", *, patience_s: float = PATIENCE_S) -> T:
    """What *holds* gives once that is true; fails with *what* if it never is."""
    limit = time.monotonic() + patience_s
    while not (got := holds()):
        assert time.monotonic() < limit, f"{what() if callable(what) else what} didn't come"
        time.sleep(0.005)  # nothing tells us: we look again
    return got
