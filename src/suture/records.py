"""
Frozen records, as dataclasses make them but for the price.

A dataclass costs 0.6 to 1.7 ms to make and typing 3 to 15 ms to import [3.14, 3.15], a record here 0.02; the agent has some
thirty of them, and ``install()`` has 20 ms for everything.

Lowest floor: imports nothing of suture.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers know it
if TYPE_CHECKING:
    from typing import Any, ClassVar, Self, dataclass_transform
else:

    def dataclass_transform(**_):
        return lambda kind: kind


__all__ = ["Record"]


@dataclass_transform(frozen_default=True)
class Record:
    """
    Subclasses annotate their fields; those with a default come last.

    Attributes:
        FIELDS: Name to type (as written), in order.
        DEFAULTS: Of the fields that have one.
    """

    FIELDS: ClassVar[dict[str, str]] = {}
    DEFAULTS: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        cls.FIELDS = dict(cls.__annotations__)
        cls.DEFAULTS = {name: vars(cls)[name] for name in cls.FIELDS if name in vars(cls)}

    if not TYPE_CHECKING:

        def __init__(self, *values, **named):
            given = dict(zip(self.FIELDS, values), **named)
            if (
                len(values) > len(self.FIELDS)
                or given.keys() - self.FIELDS
                or self.FIELDS.keys() - given.keys() - self.DEFAULTS.keys()
            ):
                raise TypeError(f"{type(self).__name__} has the fields {', '.join(self.FIELDS)}")
            self.__dict__.update({**self.DEFAULTS, **given})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash(tuple(self.row().values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{n}={v!r}' for n, v in self.row().items())})"

    def row(self) -> dict[str, Any]:
        """Its fields, in order."""
        return {name: self.__dict__[name] for name in self.FIELDS}

    def but(self, **named: Any) -> Self:
        """The same with other values."""
        return type(self)(**{**self.row(), **named})
