"""Values that a patch puts another in the place of: who holds the old one is named."""

from __future__ import annotations

from typing import Any

import pytest

import suture

MADE = """
import functools, re
def f(a, b):
    return a + b
class Box:
    pass
class Slotted:
    __slots__ = ("x",)
"""


def stays(report: Any) -> list[str]:
    """Places of holders, without the module's own made-up name."""
    return [f.target.partition("_m.")[2] or f.target for f in report.findings if f.code == "stays-old"]


@pytest.mark.parametrize(
    ("value", "other"),
    [("functools.partial(f, 1)", "functools.partial(f, 2)"), ("re.compile('a')", "re.compile('b')")],
)
@pytest.mark.parametrize(
    ("hold", "where"),
    [
        ("m.held = [m.P]", ["held[0]"]),
        ("m.held = {'x': (m.P, 1)}", ["held['x'][0]"]),
        ("m.box = m.Box(); m.box.p = m.P", ["box.p"]),
        ("m.box = m.Slotted(); m.box.x = m.P", ["box.x"]),
        ("m.held = (lambda p: lambda: p)(m.P)", ["held<p>"]),
        ("pass", []),
    ],
)
def test_holders_of_a_value_are_named(world: Any, value: str, other: str, hold: str, where: list[str]) -> None:
    """In tables, attributes, slots and closures; the name itself has the new one, and after a revert the old one again."""
    m = world.module(f"{MADE}P = {value}\n")
    exec(hold, {"m": m})
    was = m.P
    report = suture.apply(world.replace((value, other)))
    assert report.ok, report.words()
    assert stays(report) == where
    assert m.P is not was
    assert suture.revert(report.patch_id).ok
    assert m.P is was


@pytest.mark.parametrize(("value", "other"), [("1000", "2000"), ("'a b'", "'c d'"), ("(1, 'x y')", "(2, 'x y')"), ("None", "5")])
def test_constants_are_everybody_s(world: Any, value: str, other: str) -> None:
    """The compiler shares them: who has an equal one hasn't taken it from there."""
    m = world.module(f"{MADE}P = {value}\ndef g(a={value}):\n    return a\n")
    m.held = [m.P]
    report = suture.apply(world.replace((f"P = {value}", f"P = {other}")))
    assert (report.ok, stays(report)) == (True, [])


def test_a_table_that_is_merged_stays(world: Any) -> None:
    """It's the same object, whoever holds it."""
    m = world.module(f"{MADE}P = {{'a': 1}}\n")
    m.held = [m.P]
    report = suture.apply(world.replace(("'a': 1", "'a': 2")))
    assert (report.ok, stays(report), m.held) == (True, [], [{"a": 2}])
