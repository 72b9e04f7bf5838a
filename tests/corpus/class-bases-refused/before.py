class Slotted:
    __slots__ = ("x",)


class Other:
    __slots__ = ("y", "z")


class Told:
    made = []

    def __init_subclass__(cls):
        Told.made.append(cls.__name__)


class Plain:
    pass


class A(Plain):
    pass


class B(Slotted):
    pass


class C(Plain):
    pass


class X(Plain):
    pass


class Y(Plain, X if False else object):
    pass
