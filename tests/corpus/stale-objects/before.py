from dataclasses import dataclass


class Config:
    def __init__(self, base=1):
        self.level = base

    def table(self):
        return [self.level]


class Sub(Config):
    pass


@dataclass
class Point:
    x: int

    def __post_init__(self):
        self.x += 1


CONFIG = Config()
TABLE = Config().table()
SUB = Sub(5)
POINT = Point(1)
KIND = Config
KINDS = {"config": Config}
