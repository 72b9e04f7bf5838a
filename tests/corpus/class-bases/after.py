class One:
    def f(self):
        return "one"


class Two:
    word = "two"

    def f(self):
        return self.word

    def extra(self):
        return "extra"


class A(Two):
    def g(self):
        return "new", super().f() if hasattr(super(), "f") else None


class Sub(A):
    pass


class Mixin:
    def shout(self):
        return str(self).upper()


class Failed(Mixin, ValueError):
    pass


class Plain(Two, One):
    pass
