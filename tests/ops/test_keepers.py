"""Functions that may have kept something of a value that changes are named; those that read it anew each time aren't."""

from __future__ import annotations

from pathlib import Path

import pytest

from suture.ops.build import build
from suture.patch import Severity


@pytest.fixture
def kept(tmp_path: Path):
    """Who keeps X of m.py, which changes, or C.x if that is what the text has."""

    def make(files: dict[str, str], old: str = "X = 1\n", new: str = "X = 2\n") -> list[str]:
        for side, text in (("old", old), ("new", new)):
            (tmp_path / side).mkdir()
            for name, more in {"m.py": "", **files}.items():
                (tmp_path / side / name).write_text(text + more if name == "m.py" else more)
        patch = build(tmp_path / "old", tmp_path / "new", name="fix")
        assert not patch.left_out, patch.left_out
        found = [f for f in patch.remarks if f.code == "value-kept"]
        assert all(f.severity is Severity.WARNING for f in found)
        return [f.message.partition(": ")[2] for f in found]

    return make


@pytest.mark.parametrize(
    ("files", "who"),
    [
        ({"m.py": "class A:\n    def __init__(self):\n        self.x = [f()][0]\n"}, "m:A.__init__ (m.py:4)"),
        ({"n.py": "from m import f as g\nclass A:\n    def __new__(cls):\n        cls.x = g()\n"}, "n:A.__new__ (n.py:3)"),
        ({"n.py": "import m, functools\n@functools.cache\ndef g():\n    return m.f()\n"}, "n:g (n.py:3)"),
        ({"m.py": "class A:\n    def __init__(self):\n        self.x = f\n"}, ""),
        ({"m.py": "class A:\n    def __init__(self):\n        x = f()\n"}, ""),
        ({"m.py": "class A:\n    def other(self):\n        self.x = f()\n"}, ""),
        ({"m.py": "class A:\n    def __init__(self, f):\n        self.x = f()\n"}, ""),
    ],
)
def test_function(kept, files: dict[str, str], who: str) -> None:
    """A changed function's results: those that objects were made with, and those in caches."""
    assert kept(files, "def f():\n    return 1\n", "def f():\n    return 2\n") == ([who] if who else [])


def test_method(kept) -> None:
    """Of its own class; a function that gives nothing can't have been kept."""
    text = "class A:\n    def __init__(self):\n        self.x = self.f()\n    def f(self):\n        return {}\n"
    assert kept({}, text.format(1), text.format(2)) == ["m:A.__init__ (m.py:2)"]


def test_function_that_gives_nothing(kept) -> None:
    """It can't have been kept."""
    more = "class A:\n    def __init__(self):\n        self.x = f()\n"
    assert kept({"m.py": more}, "def f():\n    print(1)\n", "def f():\n    print(2)\n") == []


@pytest.mark.parametrize(
    ("files", "who"),
    [
        ({"m.py": "class A:\n    def f(self):\n        self.x = X + 1\n"}, "m:A.f (m.py:3)"),
        ({"m.py": "class A:\n    def f(self):\n        self.add(X)\n"}, "m:A.f (m.py:3)"),
        ({"m.py": "def f():\n    global Y\n    Y = [X]\n"}, "m:f (m.py:2)"),
        ({"m.py": "def f(d):\n    d['k'] = X\n"}, "m:f (m.py:2)"),
        ({"m.py": "import functools\n@functools.lru_cache(8)\ndef f():\n    return X\n"}, "m:f (m.py:4)"),
        (
            {"m.py": "from functools import cached_property\nclass A:\n    @cached_property\n    def f(self):\n        return X\n"},
            "m:A.f (m.py:5)",
        ),
        ({"n.py": "import m\nclass A:\n    def f(self):\n        self.x = m.X\n"}, "n:A.f (n.py:3)"),
        ({"n.py": "from m import X as Z\nclass A:\n    def f(self):\n        self.x = Z\n"}, "n:A.f (n.py:3)"),
        ({"n.py": "import m\nclass A:\n    def f(self):\n        self.all = [getattr(m, k) for k in dir(m)]\n"}, "n:A.f (n.py:4)"),
        ({"n.py": "def f():\n    import m as z\n    return dict(vars(z))\n"}, "n:f (n.py:3)"),
        ({"n.py": "import m\nALL = dict(m.__dict__)\n"}, "n.py:2"),
        ({"m.py": "def f(k):\n    return globals()[k]\n"}, ""),
        ({"n.py": "import m\ndef f():\n    return getattr(m, 'Y', 1)\n"}, ""),
        ({"m.py": "def f():\n    y = X\n    return y\n"}, ""),
        ({"m.py": "class A:\n    def f(self, X):\n        self.x = X\n"}, ""),
        ({"n.py": "X = 5\nclass A:\n    def f(self):\n        self.x = X\n"}, ""),
        ({"m.py": "class A:\n    def f(self):\n        print(X)\n"}, ""),
    ],
)
def test_constant(kept, files: dict[str, str], who: str) -> None:
    """By name, through the module, in attributes, globals, items, caches, own methods; not what is read anew."""
    assert kept(files) == ([who] if who else [])


def test_class_attribute(kept) -> None:
    """Through the class, or through ``self``."""
    text = "class C:\n    x = {}\n    def f(self):\n        self.y = self.x\n    def g(self):\n        return self.x\n"
    assert kept({}, text.format(1), text.format(2)) == ["m:C.f (m.py:3)"]


def test_table_that_is_changed_in_place(kept) -> None:
    """Who holds the very table follows; who made something of it doesn't."""
    text = "X = {{'a': {}}}\nclass C:\n    def f(self):\n        self.y = X\n    def g(self):\n        self.z = list(X)\n"
    assert kept({}, text.format(1), text.format(2)) == ["m:C.g (m.py:5)"]
