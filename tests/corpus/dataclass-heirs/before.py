from dataclasses import dataclass


@dataclass
class Base:
    a: int


class Between(Base):
    def f(self):
        return "between"


@dataclass
class Sub(Between):
    b: int = 5

    def f(self):
        return super().f()
