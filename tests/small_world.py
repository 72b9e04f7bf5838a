"""
The engine sees a small program in the tests' own process: its walks pass over the packages of the tests and the standard library.

Without it most of the time would be our census of pytest's own modules, some 5 s a transaction.  The whole process is seen by tests that
are marked ``whole_world``, and by all that run in children.
"""

from __future__ import annotations

import sys
import types

import pytest

from suture.engine import census, frames, pace, walk

PACKAGES = {"_pytest", "attr", "attrs", "coverage", "execnet", "hypothesis", "pluggy", "pytest", "sortedcontainers", "xdist"}
PACKAGES |= {"conftest", "iniconfig", "measured", "packaging", "pygments", "pythons", "small_world", "tomli"}
SKIP = sys.stdlib_module_names - {"__main__"} | PACKAGES
THERE = frozenset(sys.modules) - {"__main__"}  # plugins of all kinds, before the first test has made anything

_all_roots = walk.module_roots


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """For one test."""
    monkeypatch.setattr(walk, "ours", ours)
    monkeypatch.setattr(walk, "module_roots", roots)
    monkeypatch.setattr(census, "module_roots", roots)


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rest less often, as nobody waits for us: resting is most of the time of a walk."""
    monkeypatch.setattr(pace, "SLICE_NS", 20 * pace.SLICE_NS)


def roots() -> list[tuple[str, object]]:
    """Those that the tests make: their own modules lead to all of their framework, by fixtures and strategies."""
    made = (root for root in _all_roots() if root[0] not in THERE and not root[0].startswith("test_"))
    return [root for root in made if root[0].partition(".")[0] not in SKIP]


def ours(frame: types.FrameType) -> bool:
    """Frames that the engine passes over; those of the test's own framework lead to all of that."""
    name = frame.f_globals.get("__name__")
    return frames.ours(frame) or (isinstance(name, str) and name.partition(".")[0] in PACKAGES)
