"""Records behave like frozen dataclasses."""

from __future__ import annotations

import pytest
from suture.records import Record


class Point(Record):
    """Two numbers."""

    x: int
    y: int = 2


def test_made_and_compared() -> None:
    """By position or name, with defaults; equal by fields and type."""
    assert Point(1) == Point(x=1, y=2)
    assert Point(1) != Point(1, 3)
    assert Point(1) != (1, 2)
    assert hash(Point(1)) == hash(Point(1, 2))
    assert repr(Point(1)) == "Point(x=1, y=2)"
    assert Point(1).but(y=5).row() == {"x": 1, "y": 5}


def test_frozen() -> None:
    """Nothing can be set."""
    with pytest.raises(AttributeError, match="frozen"):
        Point(1).x = 2  # type: ignore[misc]


@pytest.mark.parametrize(("values", "named"), [((), {}), ((1, 2, 3), {}), ((1,), {"z": 1})])
def test_wrong_fields(values: tuple[int, ...], named: dict[str, int]) -> None:
    """Missing, too many, unknown."""
    with pytest.raises(TypeError, match="fields x, y"):
        Point(*values, **named)
