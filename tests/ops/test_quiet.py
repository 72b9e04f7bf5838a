"""Which functions and classes of a tree may be called once more: judged by their text, wherever an import leads."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from suture.ops.build.tree import Tree

HELPERS = """
import functools, os
from collections import namedtuple
from dataclasses import dataclass, field
from typing import NamedTuple

COUNT = []

def rename(name, flag=True):
    return lambda self, e: self.call(name, open(e))

def header(name, doc=None):
    def fget(self):
        return self.headers[name]
    fget.__doc__ = doc
    return property(fget, doc=doc)

def around(f):
    @functools.wraps(f)
    def inner(*args):
        COUNT.append(1)
        return f(*args)
    return inner

def table(*names):
    made = {}
    for name in names:
        made[name] = rename(name)
    return made

def checks(n):
    if n < 0:
        raise ValueError(f"{n} is too small")
    return n

def runs(n):
    def inner():
        return open(n)
    return inner()

def hands_on(n):
    def inner(x):
        return open(x)
    return list(map(inner, n))

def registers(f):
    COUNT.append(f)
    return f

def calls_what_it_gets(rename):
    return rename("x")

def decorated(n):
    @registers
    def inner():
        return n
    return inner

def imports(n):
    import json
    return json.loads(n)

def imports_and_calls(n):
    import requests
    return requests.get(n)

def deep(n):
    return runs(n)

def ping(n):
    return pong(n) if n else 0

def pong(n):
    return ping(n - 1)

def loud_ping(n):
    return loud_pong(n) if n else open("x")

def loud_pong(n):
    return loud_ping(n - 1)

@registers
def bound_by_another(n):
    return n

def twice(n):
    return n

def twice(n):
    return open(n)

if COUNT:
    def sometimes():
        return 1

class Pair(NamedTuple):
    a: int
    b: int = 2

@dataclass(frozen=True)
class Frozen:
    n: int
    names: list = field(default_factory=list)

@dataclass(frozen=True)
class Opens:
    n: int
    def __post_init__(self):
        open(self.n)

@dataclass(frozen=True)
class Fills:
    names: list = field(default_factory=open)

@dataclass
class Open:
    n: int

class Plain:
    def __init__(self, n):
        self.n = n
"""
USES = """
import pkg.helpers
import pkg.helpers as h
from pkg import helpers, again
from pkg.helpers import rename as ren, header
from .again import table
from .circle import nothing
"""
QUIET = """ren('a') header('a','b') h.rename('a') helpers.rename('a') pkg.helpers.rename('a') table('a','b') again.table('a')
    helpers.around(ren) helpers.checks(1) h.Pair(1,2) h.Frozen(1) h.ping(3) property(ren) staticmethod(h.rename)""".split()
LOUD = """h.runs(1) h.hands_on([1]) h.registers(1) h.calls_what_it_gets(ren) h.decorated(1) h.imports_and_calls('a') h.deep(1) h.loud_ping(1)
    h.loud_pong(1) h.bound_by_another(1) h.twice(1) h.sometimes() h.Opens(1) h.Fills() h.Open(1) h.Plain(1) h.namedtuple('A','b')
    h.os.remove('a') nothing() h.nowhere() helpers() again.other.f() h.COUNT.append(1)""".split()


@pytest.fixture(scope="module")
def uses(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A package of four modules; two import each other's name in a circle."""
    root: Path = tmp_path_factory.mktemp("tree") / "pkg"
    root.mkdir()
    (root / "__init__.py").write_text("")
    (root / "helpers.py").write_text(HELPERS)
    (root / "again.py").write_text("from pkg.helpers import table\nfrom . import broken as other\n")
    (root / "broken.py").write_text("def f(:\n")
    (root / "circle.py").write_text("from .uses import nothing\n")
    (root / "uses.py").write_text(USES)
    return Tree(root.parent)


@pytest.mark.parametrize(("call", "wanted"), [*((c, True) for c in QUIET), *((c, False) for c in LOUD)])
def test_calls(uses: Tree, call: str, wanted: bool) -> None:
    """Each call by itself, as a module of the package would make it."""
    assert uses.source("pkg/uses.py").is_quiet(ast.parse(call, mode="eval").body) == wanted


def test_both_versions_count(tmp_path: Path) -> None:
    """A file that is the same in both trees calls what the new one has made loud."""
    for side, body in (("old", "return n"), ("new", "return open(n)")):
        (tmp_path / side).mkdir()
        (tmp_path / side / "m.py").write_text("from n import f\nX = f(1)\n")
        (tmp_path / side / "n.py").write_text(f"def f(n):\n    {body}\n")
    old = Tree(tmp_path / "old")
    source, call = old.source("m.py"), ast.parse("f(1)", mode="eval").body
    assert source.is_quiet(call)
    new = Tree(tmp_path / "new", like=old)
    assert new.source("m.py") is source
    assert not source.is_quiet(call)
