"""A KeyboardInterrupt at each line of the transaction and of the revert: all of it or nothing, and the engine goes on."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import suture
from suture.engine import account, process, transaction
from suture.engine import revert as revert_room
from suture.engine.pace import Pace

pytestmark = pytest.mark.whole_world

OLD = """
LIMIT = 1
def f(a=1, *, b=1):
    return 'old', a, b
class A:
    def m(self):
        return 'old'
"""
NEW = OLD.replace("'old'", "'new'").replace("=1", "=2").replace("= 1", "= 2") + "def added():\n    return 1\n"
WATCHED = {process.__file__, transaction.__file__, account.__file__, revert_room.__file__}


class Striker:
    """Raises KeyboardInterrupt at the first line of the watched files that wasn't struck before."""

    def __init__(self) -> None:
        self.struck: set[tuple[str, int]] = set()
        self.armed = False

    def __call__(self, frame: Any, event: str, arg: object) -> Any:
        if frame.f_code.co_filename not in WATCHED:
            return None
        if event == "line" and self.armed and (at := (frame.f_code.co_name, frame.f_lineno)) not in self.struck:
            self.struck.add(at)
            self.armed = False
            raise KeyboardInterrupt(f"{at[0]}:{at[1]}")
        return self

    def during(self, run: Callable[[], Any]) -> str:
        """Where it struck; "" if there is no new line."""
        before = sys.gettrace()
        self.armed = True
        sys.settrace(self)
        try:
            run()
        except KeyboardInterrupt as error:
            return str(error)
        finally:
            sys.settrace(before)
        return ""


def stuck() -> list[str]:
    """What an interrupt left behind that would keep the next caller out; mended, so that the test can go on."""
    engine = suture._engine()
    got: list[bool] = []

    def take() -> None:
        got.append(engine._lock.acquire(blocking=False))
        if got[0]:
            engine._lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    if not got[0]:
        engine._lock.release()
    return [] if got[0] else ["locked"]


def test_interrupt_at_each_line(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Wherever it strikes in an apply or a revert, everything is old or everything is new, and the opposite verb works right after.

    A patch is in the status if it is live; neither the lock nor the note that a transaction is under way outlives the call.
    """
    if sys.gettrace() is not None:
        pytest.skip("needs the tracer for itself")
    # Hundreds of applies: without the rests, and without the look for holders in all of the test's own process.
    for room in (process, revert_room):
        monkeypatch.setattr(room, "Pace", partial(Pace, rests=False), raising=False)
    monkeypatch.setattr(account.census, "holders", lambda functions, rest, **_: {})
    m = world.module(OLD)
    patch = world.patch(NEW)
    names, a = set(vars(m)), m.A()

    def seen() -> Any:
        return m.f(), a.m(), m.LIMIT, set(vars(m)) - names

    old = seen()
    assert suture.apply(patch).ok
    new = seen()
    assert suture.revert(patch.id).ok
    assert seen() == old != new
    torn: list[Any] = []
    unsaid: list[Any] = []
    left: list[Any] = []
    striker = Striker()
    for forward in (True, False):
        if not forward:
            assert suture.apply(patch).ok
        for _ in range(1000):
            at = striker.during(lambda: suture.apply(patch) if forward else suture.revert(patch.id))  # noqa: B023
            now = seen()
            if now not in (old, new):
                torn.append((at, now))
            left += [(at, what) for what in stuck()]
            if bool(suture.status()) is not (now == new):
                unsaid.append(at)
            if (now == new) is forward:  # back to where this direction begins
                back = suture.revert(patch.id) if forward else suture.apply(patch)
                assert back.ok, (at, back.words())
            assert seen() == (old if forward else new), at
            if not at:
                break
        else:
            pytest.fail("struck for ever")
    assert len(striker.struck) > 150
    assert (torn, unsaid, left) == ([], [], [])
