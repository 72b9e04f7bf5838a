"""Records behave like dataclasses with slots."""

from __future__ import annotations

import copy
import pickle

import pytest

from suture.record import fields, made_by, optional, record, replace, row_of


@record(frozen=True, slots=True)
class Point:
    """Two numbers."""

    x: int
    y: int = 2


@record(slots=True)
class Bag:
    """Things."""

    name: str
    things: list[int] = made_by(default_factory=list)


def test_made_and_compared() -> None:
    """By position or name, with defaults; equal by fields and type."""
    assert Point(1) == Point(x=1, y=2)
    assert Point(1) != Point(1, 3)
    assert Point(1) != (1, 2)
    assert hash(Point(1)) == hash(Point(1, 2))
    assert repr(Point(1)) == "Point(x=1, y=2)"
    assert row_of(replace(Point(1), y=5)) == {"x": 1, "y": 5}
    assert dict(fields(Point))["y"] == 2
    assert optional(Point) == {"y"} and optional(Bag) == {"things"}


def test_defaults_are_made_anew() -> None:
    """Not shared between two records; those that aren't frozen can be set, and can't be hashed."""
    one, two = Bag("a"), Bag("a")
    one.things.append(1)
    assert two.things == [] and one != two
    two.name = "b"
    assert two.name == "b"
    with pytest.raises(TypeError, match="unhashable"):
        hash(two)
    assert not hasattr(one, "__dict__")


def test_frozen() -> None:
    """Nothing can be set or deleted."""
    with pytest.raises(AttributeError, match="frozen"):
        Point(1).x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match="frozen"):
        del Point(1).x
    with pytest.raises(AttributeError):
        Point(1).z = 2  # type: ignore[attr-defined]


def test_copied() -> None:
    """Pickled and copied as values."""
    assert pickle.loads(pickle.dumps(Point(1))) == Point(1) == copy.deepcopy(Point(1))


@pytest.mark.parametrize(("values", "named"), [((), {}), ((1, 2, 3), {}), ((1,), {"z": 1}), ((1,), {"x": 1})])
def test_wrong_fields(values: tuple[int, ...], named: dict[str, int]) -> None:
    """Missing, too many, unknown, twice."""
    with pytest.raises(TypeError, match="Point"):
        Point(*values, **named)
