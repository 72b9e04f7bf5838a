import enum


class Level(enum.Enum):
    LOW = 1
    MIDDLE = 2
    HIGH = 3

    @classmethod
    def highest(cls):
        return max(cls, key=lambda one: one.value)


class Box:
    class Size(str, enum.Enum):
        S = "s"
        M = "m"
        L = "l"


def order(level):
    return level.value
