import enum
import os


def first():
    os.environ["LEVEL"] = "1"
    return 1


class Level(enum.Enum):
    LOW = first()
    HIGH = 2
    TOP = 3


@enum.unique
class Kind(enum.IntEnum):
    A = 1
    B = 2


SIZES = len(Kind)


class Sized(dict):
    pass


BY_SIZE = Sized(kind=list(Kind))
