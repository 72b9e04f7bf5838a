class A:
    @staticmethod
    def s(x):
        return "s", x

    @classmethod
    def c(cls, x):
        return cls.__name__, x
