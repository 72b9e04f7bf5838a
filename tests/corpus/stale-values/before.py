import functools


def g(n=0):
    return 1 + n


def h():
    return g() + 10


DIRECT = g()
THROUGH = h()
COMPREHENSION = [g(i) for i in range(2)]
TEXT = f"{g()}"
SORTED = sorted([1, 2], key=g)


def f(a=g()):
    return a


class A:
    x = h()


try:
    CAUGHT = g()
except ValueError:
    CAUGHT = 0

if DIRECT:
    BRANCH = g()

REFERENCE = g
TABLE = {"a": g, "b": lambda: g()}
PARTIAL = functools.partial(g, 5)


def later():
    return g()


def unrelated():
    return 1


OTHER = unrelated()
