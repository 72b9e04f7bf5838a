class One:
    def f(self):
        return "one"


class Two:
    word = "two"

    def f(self):
        return self.word

    def extra(self):
        return "extra"


class A(One):
    def g(self):
        return "old", super().f() if hasattr(super(), "f") else None


class Sub(A):
    pass


class Failed(ValueError):
    pass


class Plain(One):
    pass
