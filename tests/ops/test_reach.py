"""Which names of a tree come to run what changes: written into the patch, for modules that the builder never sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from suture.ops.build import build
from suture.ops.build.reach import MOST
from suture.patch import Patch, dump, load

G = "def g(*a):\n    return 1\n"
NEW = ("return 1", "return 2")


@pytest.fixture
def made(tmp_path: Path):
    """Build a patch of files in which a piece of text is replaced; a text alone is m.py."""

    def make(files: str | dict[str, str], replaced: tuple[str, str] = NEW) -> Patch:
        for path, text in (files if isinstance(files, dict) else {"m.py": files}).items():
            for side in ("old", "new"):
                file = tmp_path / side / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text.replace(*replaced) if side == "new" else text)
        return build(tmp_path / "old", tmp_path / "new", name="fix")

    return make


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (G, "g"),
        (G + "def h():\n    return g()\ndef i():\n    return h()\ndef j():\n    return g", "g h i j()"),
        (G + "h = g\ndef i():\n    return h()", "g i"),
        (G + "class A:\n    def m(self):\n        return g()\n    def n(self):\n        return self.m()", "A.m A.n g"),
        ("class A:\n    def __init__(self):\n        self.x = g()\ndef h():\n    return A()\n" + G, "A.__init__ g h"),
        ("class A:\n    def __init__(self):\n        return 1\nclass B(A): pass\ndef h():\n    return B()", "A.__init__ h"),
        ("def d(f):\n    def inner():\n        return 1\n    return inner", "d()"),
        ("def d(a):\n    def e(f):\n        f.x = g()\n        return f\n    return e\n" + G, "d() g"),
        ("class C:\n    def __call__(self, f):\n        return 1\ndef c(x):\n    return C()", "C.__call__ c()"),
        ("class A:\n    def m(self):\n        return self.n()\nclass B(A):\n    def n(self):\n        return 1", "B.m B.n"),
        (
            "class A:\n    @classmethod\n    def m(cls):\n        return cls.n()\n    @staticmethod\n    def n():\n        return 1",
            "A.m A.n",
        ),
        ("class A:\n    def __init_subclass__(cls):\n        return 1", "A.__init_subclass__"),
        ("def d(f):\n    def inner():\n        return 1\n    return inner\n@d\ndef h():\n    return 0", "d() h"),
    ],
)
def test_callers_are_found(made, text: str, names: str) -> None:
    """Functions, methods, makers of classes; ``f()`` for what a call of what it gives runs; a reference is no call."""
    assert made(text).reach == {"m": names}


def test_it_goes_through_modules_and_says_which_it_has_read(made) -> None:
    """An unchanged module that calls it is named, one that has nothing to do with it isn't."""
    patch = made(
        {
            "p/__init__.py": "from .a import h\n",
            "p/a.py": "from .b import g\ndef h():\n    return g()\n",
            "p/b.py": G,
            "q.py": "x = 1\n",
        }
    )
    assert patch.reach == {"p.a": "h", "p.b": "g"}
    assert set(patch.judged) == {"p", "p.a", "p.b"}


def test_a_constant_that_is_read_counts(made) -> None:
    """Who reads a value that changes gives another one."""
    assert made("LIMIT = 1\ndef f():\n    return LIMIT\ndef g():\n    return f()\n", ("= 1", "= 2")).reach == {"m": "f g"}


def test_what_nobody_calls_at_once_leads_nowhere(made) -> None:
    """Annotations, docstrings, additions: no name leads to a change, and the patch says nothing."""
    patch = made("def f(x):\n    '''a'''\n    return x\n", ("'a'", "'b'"))
    assert (patch.reach, patch.judged) == ({}, ())
    assert b"reach" not in dump(patch)


def test_it_survives_the_file_and_is_not_in_the_id(made) -> None:
    """Parse after dump is identity; the id is that of the changes alone."""
    patch = made(G + "def h():\n    return g()\n")
    again = load(dump(patch))
    assert again == patch
    assert again.reach == {"m": "g h"}
    assert Patch(patch.name, patch.changes, patch.files).id == patch.id


def test_the_closest_are_taken_where_there_are_too_many(made) -> None:
    """The patch file stays small: the change and those that call it directly come first."""
    more = "".join(f"def f{n}():\n    return g()\n" for n in range(MOST + 50))
    names = made(f"{more}{G}").reach["m"].split()
    assert len(names) == MOST
    assert "g" in names
