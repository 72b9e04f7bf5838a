from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True, eq=False)
class P:
    x: int
    y: int = 1
    count: ClassVar[int] = 0

    def __repr__(self):
        return "mine"

    def __eq__(self, other):
        return self is other

    def __hash__(self):
        return 1
