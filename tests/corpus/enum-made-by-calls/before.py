import enum
import os


def first():
    os.environ["LEVEL"] = "1"
    return 1


class Level(enum.Enum):
    LOW = first()
    HIGH = 2


@enum.unique
class Kind(enum.IntEnum):
    A = 1


SIZES = len(Kind)


class Sized(dict):
    pass


BY_SIZE = Sized(kind=list(Kind))
