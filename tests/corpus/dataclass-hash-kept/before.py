from dataclasses import dataclass


@dataclass(frozen=True)
class Key:
    a: int
