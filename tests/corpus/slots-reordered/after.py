class A:
    __slots__ = ("y", "x")

    def __init__(self):
        self.x, self.y = 1, 2

    def total(self):
        return self.x - self.y


class B:
    __slots__ = "name"
