from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(eq=False)
class P:
    y: int = 2
    x: int = field(default=4, repr=False)
    count: ClassVar[int] = 0

    def __str__(self):
        return "text"

    def __eq__(self, other):
        return self.x == other.x

    def __hash__(self):
        return 1
