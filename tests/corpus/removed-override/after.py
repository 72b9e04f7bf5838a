import enum
from collections import UserDict


class Base:
    limit = 1

    def size(self):
        return "base"


class Box(Base):
    pass


class Bag(UserDict):
    pass
