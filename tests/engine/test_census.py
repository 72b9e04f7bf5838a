"""Afterwards: what holds what was changed."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from suture.engine.census import MAX_PLACES, holders

pytestmark = pytest.mark.whole_world


@pytest.fixture
def live() -> Iterator[types.ModuleType]:
    made = types.ModuleType("census_live")
    sys.modules["census_live"] = made
    yield made
    del sys.modules["census_live"]


def held() -> None:
    """The function that is held."""


def census(*functions: Any, **options: Any) -> dict[int, tuple[int, list[str]]]:
    return holders(functions, lambda: None, **options)


def make() -> types.FunctionType:
    return types.FunctionType(held.__code__, {})


def test_every_place_is_counted_and_named(live: types.ModuleType) -> None:
    """Names, a class, a container, a partial and a bound method."""
    function = make()
    live.a = live.b = function
    live.C = type("C", (), {"m": function})
    live.timers = [None, function]
    live.part = functools.partial(function, 1)
    live.bound = types.MethodType(function, 1)
    count, places = census(function)[id(function)]
    assert count == 6
    assert sorted(places) == [
        "census_live.C.m",
        "census_live.a",
        "census_live.b",
        "census_live.bound.__func__",
        "census_live.part.func",
        "census_live.timers[1]",
    ]


def test_functions_are_told_apart_by_identity(live: types.ModuleType) -> None:
    """Two functions of one code are two."""
    one, two = make(), make()
    live.one, live.two = one, [two, two]
    found = census(one, two)
    assert found[id(one)] == (1, ["census_live.one"])
    assert found[id(two)] == (2, ["census_live.two[0]", "census_live.two[1]"])


def test_who_is_held_nowhere_has_no_place(live: types.ModuleType) -> None:
    """Zero is an answer."""
    function = make()
    assert census(function) == {id(function): (0, [])}
    assert census() == {}


def test_many_places_are_counted_and_the_first_named(live: types.ModuleType) -> None:
    """The list is bounded, the number isn't."""
    function = make()
    live.many = [function] * 500
    count, places = census(function)[id(function)]
    assert count == 500
    assert len(places) == MAX_PLACES


def test_registries_that_are_objects_are_looked_into_when_asked(live: types.ModuleType) -> None:
    """An application object with a table of views."""

    class App:
        def __init__(self, view: Any) -> None:
            self.views = {"home": view}

    function = make()
    live.app = App(function)
    assert census(function)[id(function)][0] == 0
    assert census(function, instances=True)[id(function)] == (1, ["census_live.app.views['home']"])


def test_what_was_not_looked_at_is_named(live: types.ModuleType) -> None:
    """Too large, or beyond the limit."""
    function = make()
    live.huge = [function] * 20_000
    skipped: list[str] = []
    assert census(function, skipped=skipped)[id(function)] == (0, [])
    assert "census_live.huge" in skipped
    skipped.clear()
    census(function, limit=3, skipped=skipped)
    assert len(skipped) == 1


def test_it_works_in_slices(live: types.ModuleType) -> None:
    """The program gets its turn."""
    rests: list[int] = []
    holders([make()], lambda: rests.append(1))
    assert len(rests) > 100
