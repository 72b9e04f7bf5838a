"""A module of all sorts, and what differs once one thing in its source is another: for the engine's tests, and for each Python."""

from __future__ import annotations

TEXT = '''
"""A module of all sorts."""
import enum
import functools
import os.path
from dataclasses import dataclass, field

LIMIT = 10
NAMES = ["a", "b"]
TABLE = {"one": 1, "two": {"deep": [1, 2]}}
SEEN = set()
PAIR, OTHER = 1, "x"
COMPUTED = LIMIT * 2
_private = None


def plain(a, b=2, *, c="c", d=LIMIT):
    """Doc."""
    return os.path.join(a, str(b)) + c, d


def deco(f):
    @functools.wraps(f)
    def wrapper(*args):
        return f(*args)
    return wrapper


@deco
def decorated(x):
    return x


@functools.lru_cache(8)
def cached(x):
    return [y * x for y in range(3) if (lambda z: z)(y)]


def outer(n):
    def inner(m=n):
        return lambda: n + m
    return inner


made = outer(3)
short = lambda x: x + 1

if os.path:
    def which():
        return "yes"
else:
    def which():
        return "no"

try:
    from nowhere_at_all import helper
except ImportError:
    def helper():
        return None


def twice():
    return 1


def twice():
    return 2


class Base:
    kind = "base"
    __secret = 7
    __slots__ = ()

    def m(self):
        return super().__repr__(), self.__hidden()

    def __hidden(self):
        return self.__secret

    @property
    def p(self):
        return 1

    @p.setter
    def p(self, value):
        raise AttributeError(value)

    @staticmethod
    def s():
        return "s"

    @classmethod
    def c(cls):
        return cls

    borrowed = plain
    table = {"k": ("v", 1.5)}

    class Inner:
        depth = 2

        def f(self):
            return self.depth


class Child(Base):
    def m(self):
        def local():
            return super().m
        return local()


@dataclass
class Data:
    x: int = 1
    y: list = field(default_factory=list)

    def total(self):
        return self.x


class Colour(enum.Enum):
    RED = 1
    BLUE = "b"


@functools.singledispatch
def single(a):
    return "any"


@single.register
def _(a: int):
    return "int"


@single.register
def _(a: str):
    return "str"


plain.note = "n"
'''

# Old text, new text, and what differs: kinds by name.
DIFFERENCES: list[tuple[str, str, dict[str, str]]] = [
    ("return os.path.join(a, str(b)) + c, d", "return os.path.join(a, str(b)), d", {"plain": "code"}),
    ("b=2", "b=3", {"plain": "default"}),
    ('c="c"', 'c="C"', {"plain": "default"}),
    ("a, b=2, *", "a, b, *", {"plain": "default"}),
    ("def decorated(x):\n    return x", "def decorated(x):\n    return -x", {"decorated": "code"}),
    ("y * x for", "y + x for", {"cached": "code"}),
    ("lambda: n + m", "lambda: n - m", {"outer": "code"}),
    ("short = lambda x: x + 1", "short = lambda x: x + 2", {"short": "code"}),
    ("def twice():\n    return 2", "def twice():\n    return 3", {"twice": "code"}),
    ("def helper():\n        return None", "def helper():\n        return 0", {"helper": "code"}),
    ("LIMIT = 10", "LIMIT = 11", {"LIMIT": "value"}),
    ("_private = None", "_private = 0", {"_private": "value"}),
    ('NAMES = ["a", "b"]', 'NAMES = ["a", "c"]', {"NAMES": "value"}),
    ('"deep": [1, 2]', '"deep": [1, 3]', {"TABLE": "value"}),
    ('PAIR, OTHER = 1, "x"', 'PAIR, OTHER = 1, "y"', {"OTHER": "value"}),
    ('kind = "base"', 'kind = "b"', {"Base.kind": "value"}),
    ("__secret = 7", "__secret = 8", {"Base.__secret": "value"}),
    ("return self.__secret", "return -self.__secret", {"Base.__hidden": "code"}),
    ("def p(self):\n        return 1", "def p(self):\n        return 2", {"Base.p": "code"}),
    ("raise AttributeError(value)", "raise TypeError(value)", {"Base.p": "code"}),
    ('return "s"\n', 'return "S"\n', {"Base.s": "code"}),
    ("return cls", "return cls()", {"Base.c": "code"}),
    ("depth = 2", "depth = 3", {"Base.Inner.depth": "value"}),
    ("return self.depth", "return 1", {"Base.Inner.f": "code"}),
    ("return super().m\n", "return super().p\n", {"Child.m": "code"}),
    ("class Child(Base)", "class Child(Base.Inner, Base)", {}),  # can't be told without running it
    ("class Child(Base)", "class Child(Exception)", {"Child": "bases"}),
    ("class Child(Base)", "class Child", {"Child": "bases"}),
    ("x: int = 1", "x: int = 2", {"Data.x": "value"}),
    ("return self.x", "return self.y", {"Data.total": "code"}),
    ("RED = 1", "RED = 2", {"Colour.RED": "value"}),
    ('return "int"', 'return "INT"', {"_": "code"}),
    ('return "str"', 'return "STR"', {"_": "code"}),
    ('plain.note = "n"', 'plain.note = "m"', {"plain.note": "value"}),
    ("LIMIT = 10", "LIMIT = 10\nMORE = 1", {"MORE": "missing"}),
    ("def deco(f)", "def more():\n    pass\n\n\ndef deco(f)", {"more": "missing"}),
    ("    borrowed = plain", "    def more(self): pass\n    borrowed = plain", {"Base.more": "missing"}),
    ("class Child(", "class More: pass\nclass Child(", {"More": "missing"}),
    ("def which():\n        return", "def whichever():\n        return", {"which": "extra"}),
    ("def deco(f)", "def deco2(f)", {"deco": "extra", "deco2": "missing"}),
    ("def __hidden", "def __hid", {"Base._Base__hidden": "extra", "Base.__hid": "missing"}),
    ("class Data:", "class Datum:", {"Data": "extra", "Datum": "missing"}),
]

# Syntax of 3.12.
GENERIC = """
class A[T]:
    def m(self):
        return T, [T for _ in ()]

    def n[U](self, x: U) -> U:
        return x


class B(A[int]):
    k = 1


def f[T](x: T):
    return T


type X = int
"""
GENERIC_DIFFERENCES: list[tuple[str, str, dict[str, str]]] = [
    ("return T, [T", "return T, [1", {"A.m": "code"}),
    ("-> U:\n        return x", "-> U:\n        return -x", {"A.n": "code"}),
    ("k = 1", "k = 2", {"B.k": "value"}),
    ("return T\n", "return x\n", {"f": "code"}),
]
