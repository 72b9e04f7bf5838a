"""Work in slices, with a clock that the test turns."""

from __future__ import annotations

import gc

import pytest

from suture.engine import pace as module
from suture.engine.pace import REST_S, SLICE_NS, Pace, uncollected

pytestmark = pytest.mark.whole_world


@pytest.fixture(autouse=True)
def slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as they are."""
    monkeypatch.setattr(module, "SLICE_NS", SLICE_NS)


class Clock:
    """Wall and CPU time by hand; notes the rests."""

    def __init__(self) -> None:
        self.wall = self.cpu = 1_000_000
        self.rests: list[float] = []

    def work(self, wall_us: int, cpu_us: int | None = None) -> None:
        self.wall += wall_us * 1000
        self.cpu += (wall_us if cpu_us is None else cpu_us) * 1000

    def sleep(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.wall += 10_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "_wall", lambda: made.wall)
    monkeypatch.setattr(module, "_cpu", lambda: made.cpu)
    monkeypatch.setattr(module, "_sleep", made.sleep)
    monkeypatch.setattr(module, "_BY_BITES", False)
    return made


def test_it_rests_when_the_slice_is_used_up_and_not_before(clock: Clock) -> None:
    """50 us of work, then 20 us for the program."""
    pace = Pace()
    with pace.phase("walk"):
        clock.work(SLICE_NS // 1000 - 1)
        pace()
        assert clock.rests == []
        clock.work(1)
        pace()
        assert clock.rests == [REST_S]
        pace()
    assert clock.rests == [REST_S]


def test_the_rest_is_no_part_of_a_slice(clock: Clock) -> None:
    """What is measured is our work, not the sleep between."""
    pace = Pace()
    with pace.phase("walk"):
        for _ in range(3):
            clock.work(60)
            pace()
    assert pace.longest_ns == 60_000
    assert len(clock.rests) == 3


def test_a_slice_goes_on_from_one_phase_into_the_next(clock: Clock) -> None:
    """Only a rest ends a slice: two phases of 40 us without one are 80 us for the program."""
    pace = Pace()
    with pace.phase("fit"):
        clock.work(40)
    with pace.phase("guard"):
        clock.work(40)
        pace()
    assert pace.longest_ns == 80_000
    assert pace.longest_in == "guard"
    assert len(clock.rests) == 1


def test_the_longest_slice_says_what_was_running(clock: Clock) -> None:
    """By CPU time: a slice that only waited for the machine isn't ours."""
    pace = Pace()
    with pace.phase("compile"):
        pace.label = "m:long"
        clock.work(70, cpu_us=70)
        pace()
        pace.label = "m:starved"
        clock.work(900, cpu_us=5)
        pace()
    assert pace.longest_ns == 900_000
    assert pace.longest_cpu_ns == 70_000
    assert pace.longest_in == "compile m:long"


def test_phases_add_up_and_nothing_counts_twice(clock: Clock) -> None:
    """Time of an inner phase isn't the outer one's."""
    pace = Pace(rests=False)
    with pace.phase("a"):
        clock.work(1000)
        with pace.phase("b"):
            clock.work(2000)
        clock.work(4000)
    with pace.phase("a"):
        clock.work(8000)
    assert pace.phase_ms == {"a": 13.0, "b": 2.0}


def test_waiting_before_the_first_phase_is_no_work(clock: Clock) -> None:
    """A caller that waited for another's transaction to end held nobody up."""
    pace = Pace()
    clock.work(5_000_000)
    with pace.phase("read"):
        clock.work(10)
    assert pace.longest_ns == 10_000
    assert pace.phase_ms == {"read": 0.01}


def test_a_longer_pause_is_no_work_either(clock: Clock) -> None:
    """rest() takes the time to wait."""
    pace = Pace()
    with pace.phase("commit"):
        clock.work(10)
        pace.rest(0.25)
        clock.work(10)
    assert clock.rests == [0.25]
    assert pace.longest_ns == 10_000


def test_a_phase_that_raises_is_timed_and_ends(clock: Clock) -> None:
    """The name doesn't stick."""
    pace = Pace()
    with pytest.raises(KeyError), pace.phase("judge"):
        clock.work(1000)
        raise KeyError
    clock.work(2000)
    pace.rest()
    assert pace.phase_ms == {"judge": 1.0}
    assert pace.longest_ns == 3_000_000
    assert pace.longest_in == ""


def test_without_rests_it_only_measures(clock: Clock) -> None:
    """For a caller that wants no sleep at all."""
    pace = Pace(rests=False)
    with pace.phase("fit"):
        clock.work(200)
        pace()
    assert clock.rests == []
    assert pace.longest_ns == 200_000


@pytest.mark.skipif(not module._BY_BITES, reason="this Python collects in increments by itself")
def test_the_young_are_collected_in_bites_between_slices(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few hundred objects at a time, in a slice of their own, and not at all where the program has turned collections off."""
    monkeypatch.setattr(module, "_BY_BITES", True)
    kept: list[list[int]] = []
    seen: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        seen.append(info["generation"])

    def work(pace: Pace) -> None:
        with pace.phase("fit"):
            kept.extend([] for _ in range(module.BITE + 50))
            clock.work(60)
            pace()

    gc.collect()
    gc.callbacks.append(note)
    try:
        work(Pace())
        assert seen == [1, 1], "started and stopped, the young and the middle ones"
        assert len(clock.rests) == 2
        gc.collect()
        seen.clear()
        gc.disable()
        work(Pace())
        assert seen == []
    finally:
        gc.enable()
        gc.callbacks.remove(note)


def test_nothing_is_collected_in_a_compile() -> None:
    """And the program's own choice is kept."""
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), uncollected():
        _ = 1 / 0
    assert gc.isenabled()
    gc.disable()
    try:
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
