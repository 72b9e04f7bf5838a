"""
A pytest plugin for the measurement of coverage: the engine sees a small program, and no test waits for what a tracer prevents.

Without it most of the time would be our census of pytest's own modules.  Slices are so long that the engine doesn't rest in its walks, and
the walks pass over the packages of the tests and the standard library.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator

import pytest

from suture.engine import census, frames, pace, walk

PACKAGES = {"_pytest", "attr", "attrs", "coverage", "execnet", "hypothesis", "pluggy", "pytest", "sortedcontainers", "xdist"}
PACKAGES |= {"conftest", "iniconfig", "packaging", "pygments", "pythons", "small_world", "tomli"}
SKIP = sys.stdlib_module_names - {"__main__"} | PACKAGES
# Up to 3.12 the interpreter keeps a snapshot of each traced frame's locals.
UNTRACED = {
    "test_a_look_leaves_no_garbage",
    "test_locals_of_another_thread_are_read_without_a_trace",
    "test_suspended_generators_count_once_each",
}
# Interrupts at random moments would strike the measurement too: its lock is left held, and the child hangs.
UNMEASURED = {"test_interrupted_at_random_moments"}

_all_roots, _slice_ns = walk.module_roots, pace.SLICE_NS


def roots() -> list[tuple[str, object]]:
    """Those that the tests make: their own modules lead to all of their framework, by fixtures and strategies."""
    return [root for root in _all_roots() if root[0].partition(".")[0] not in SKIP and not root[0].startswith("test_")]


def ours(frame: types.FrameType) -> bool:
    """Frames that the engine passes over; those of the test's own framework lead to all of that."""
    name = frame.f_globals.get("__name__")
    return frames.ours(frame) or (isinstance(name, str) and name.partition(".")[0] in PACKAGES)


@pytest.fixture(autouse=True)
def small_world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For all tests but those of the pace."""
    if request.module.__name__ != "test_pace":
        monkeypatch.setattr(pace, "SLICE_NS", 20_000_000)
        monkeypatch.setattr(walk, "ours", ours)
        monkeypatch.setattr(walk, "module_roots", roots)
        monkeypatch.setattr(census, "module_roots", roots)
    yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, by name, what can't hold under a tracer."""
    traced = sys.gettrace() is not None and sys.version_info < (3, 13)
    for item in items:
        name = item.name.partition("[")[0]
        if name in UNMEASURED:
            item.add_marker(pytest.mark.skip(reason="would interrupt the measurement itself"))
        elif traced and name in UNTRACED:
            item.add_marker(pytest.mark.skip(reason="up to 3.12 a traced frame's snapshot keeps its locals alive"))
