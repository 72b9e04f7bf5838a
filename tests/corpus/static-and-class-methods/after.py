class A:
    @staticmethod
    def s(x):
        return "s", x, 2

    @classmethod
    def c(cls, x):
        return cls.__name__, x, 2
