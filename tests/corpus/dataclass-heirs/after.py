from dataclasses import dataclass


@dataclass(order=True)
class Base:
    a: int
    c: str = "c"


class Between(Base):
    def f(self):
        return "between"


@dataclass
class Sub(Between):
    b: int = 5

    def f(self):
        return super().f()
