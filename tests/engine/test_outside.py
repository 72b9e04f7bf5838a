"""Modules that no patch was built from, and that called what changes when they were imported: named, and nothing else is."""

from __future__ import annotations

import importlib
import sys
import textwrap
import types
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import suture
from suture.engine import outside
from suture.engine.uses import uses
from suture.ops.build import build
from suture.patch import Patch, dump, load

LIB = """
import functools

def deco(f):
    f.marked = "old"
    return f

def wrapping(f):
    @functools.wraps(f)
    def inner(*a):
        return "old inner"
    return inner

def with_args(name):
    def apply(f):
        f.named = "old name"
        return f
    return apply

def table():
    return {"v": "old table"}

def indirect(x=1):
    return _through(x)

def _through(x):
    return table()

def plain():
    return 1

class Base:
    def __init_subclass__(cls):
        cls.tag = "old tag"

class App:
    def __init__(self):
        self.rules = []

    def route(self, rule):
        def decorator(f):
            self.add(rule, f)
            return f
        return decorator

    def add(self, rule, f):
        raise NotImplementedError

class Web(App):
    def add(self, rule, f):
        self.rules.append("old rule")

class Plugin:
    def __init__(self):
        self.value = "old plugin"
"""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Patch]]:
    """Import ``outside_lib`` and modules that aren't in its tree; a patch in which some of its text is replaced."""
    for side in ("old", "new", "out"):
        (tmp_path / side).mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "old"))
    monkeypatch.syspath_prepend(str(tmp_path / "out"))
    before = set(sys.modules)

    def make(out: str, *replaced: tuple[str, str], name: str = "outside_user") -> Patch:
        new = LIB
        for a, b in replaced:
            assert a in new, a
            new = new.replace(a, b)
        (tmp_path / "old" / "outside_lib.py").write_text(LIB)
        (tmp_path / "new" / "outside_lib.py").write_text(new)
        (tmp_path / "out" / f"{name}.py").write_text(textwrap.dedent(out))
        importlib.invalidate_caches()
        importlib.import_module(name)
        return build(tmp_path / "old", tmp_path / "new", name="fix")

    yield make
    for report in reversed(suture.status()):
        suture.revert(report.patch_id)
    for name in set(sys.modules) - before:
        if name.startswith("outside_"):
            del sys.modules[name]


def said(patch: Patch) -> list[str]:
    """Targets of what is stale, the same when it's planned, and after a way through a file."""
    planned = suture.plan(patch)
    report = suture.apply(load(dump(patch)))
    assert planned.ok, planned.findings
    assert report.ok, report.findings
    found, before = (
        [(f.target, f.message) for f in r.findings if f.code == "value-stale" and "outside_lib:" not in f.target]
        for r in (report, planned)
    )
    assert found == before
    return [t for t, _ in found]


OLD = ("old", "new")  # everything


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("@outside_lib.deco\ndef f(): pass", "f"),
        ("from outside_lib import deco as d\n@d\nclass C: pass", "C"),
        ("class C:\n    @outside_lib.deco\n    def m(self): pass", "C.m"),
        ("class C:\n    class D:\n        x = outside_lib.table()", "C.D.x"),
        ("@outside_lib.with_args(\n    'x'\n)\ndef f(): pass", "f"),
        ("X = outside_lib.table()['v']", "X"),
        ("X: dict = [outside_lib.table() for _ in range(2)]", "X"),
        ("def f(a, b=outside_lib.table()): pass", "f"),
        ("if True:\n    X = outside_lib.indirect()", "X"),
        ("try:\n    X = outside_lib.indirect()\nfinally:\n    pass", "X"),
        ("class C(outside_lib.Base): pass", "C"),
        ("app = outside_lib.Web()\n@app.route('/')\ndef f(): pass", "f"),
        ("class Mine(outside_lib.Web): pass\napp = Mine()\n@app.route('/')\ndef f(): pass", "f"),
        ("p = outside_lib.Plugin()", "p"),
        ("class Mine(outside_lib.Plugin): pass\np = Mine()", "p"),
        ("from functools import partial\nt = partial(outside_lib.table)\nX = t()", "X"),
        ("outside_lib.table()", "3"),
        ("with open(__file__):\n    X = outside_lib.table()", "X"),
        ("def g(): pass; X = 1\nX = outside_lib.table()", "X"),
        ('def g():\n    """\nX\n    """\n    return 1\nX = outside_lib.table()', "X"),
    ],
)
def test_what_ran_at_import_is_named(made: Callable[..., Patch], text: str, target: str) -> None:
    """Decorators, values, defaults, class statements, methods of objects: by whatever name it's held."""
    assert said(made(f"import outside_lib\n\n{text}\n", OLD)) == [f"outside_user:{target}"]


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    return outside_lib.table()",
        "def f():\n    @outside_lib.deco\n    def g(): pass\n    return g",
        "class C:\n    def m(self):\n        return outside_lib.table()",
        "f = lambda: outside_lib.table()",
        "fs = [lambda x=1: outside_lib.table(), 2]",
        "f = outside_lib.table",
        "TABLE = {'t': outside_lib.table}",
        "X = outside_lib.plain()",
        "if False:\n    pass\nX = outside_lib.plain()",
        "if __name__ == '__main__':\n    X = outside_lib.table()",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    X = outside_lib.table()",
        "def table(): return 1\nX = table()",
        "X = 'outside_lib.table()'",
        "# X = outside_lib.table()",
        "app = outside_lib.App()",
        "class C:\n    table = dict\n    x = table()",
        "@outside_lib.wrapping\ndef f(): pass",
        "X = outside_lib.missing() if hasattr(outside_lib, 'missing') else 1",
    ],
)
def test_who_only_holds_it_or_calls_it_later_isnt(made: Callable[..., Patch], text: str) -> None:
    """References follow, calls in functions run anew, names that mean something else don't count."""
    assert said(made(f"import outside_lib\n\n{text}\n", OLD)) == []


def test_a_change_in_what_a_decorator_made_follows(made: Callable[..., Patch]) -> None:
    """Only its inner function changes: what was decorated runs the new code, and nothing is said."""
    patch = made("import outside_lib\n@outside_lib.wrapping\ndef f(): pass\n", ('"old inner"', '"new inner"'))
    assert said(patch) == []
    assert sys.modules["outside_user"].f() == "new inner"


def test_it_says_by_what_where_and_what_to_do(made: Callable[..., Patch]) -> None:
    """The decorator that changes, the line, the way round; the object is as the old one left it."""
    patch = made("import outside_lib\n\n@outside_lib.deco\ndef f(): pass\n\nX = outside_lib.indirect()\n", OLD)
    report = suture.apply(patch)
    f, x = sorted((f for f in report.findings if f.code == "value-stale"), key=lambda f: f.target, reverse=True)
    assert (f.target, f.evidence["through"]) == ("outside_user:f", "outside_lib:deco")
    assert f.evidence["place"].endswith("outside_user.py:3")
    assert "which changes" in f.message
    assert "which comes to call what changes" in x.message
    assert "hotfix" in f.hint
    assert sys.modules["outside_user"].f.marked == "old"


def test_many_become_one(made: Callable[..., Patch]) -> None:
    """More than six by the same way are one finding that counts the others."""
    text = "import outside_lib\n" + "".join(f"@outside_lib.deco\ndef f{n}(): pass\n" for n in range(40))
    report = suture.apply(made(text, ('f.marked = "old"', 'f.marked = "new"')))
    (found,) = [f for f in report.findings if f.code == "value-stale"]
    assert found.target == "outside_user:f0"
    assert "and 39 more" in found.message
    assert len(found.evidence["also"].split(", ")) == outside.MAX_PLACES


def test_a_hotfix_looks_at_all_modules(made: Callable[..., Patch], tmp_path: Path) -> None:
    """Nobody has judged a tree there: what a replaced function made at import is named, of the functions that changed alone."""
    made("import outside_lib\n\nX = outside_lib.table()\nY = outside_lib.plain()\n", OLD)
    file = tmp_path / "hot.py"
    file.write_text("import suture, outside_lib\n@suture.replace_func(outside_lib)\ndef table():\n    return {'v': 'hot'}\n")
    report = suture.do_hotfix(str(file))
    assert report.ok, report.findings
    assert [f.target for f in report.findings if f.code == "value-stale"] == ["outside_user:X"]


def test_odd_modules_do_no_harm(made: Callable[..., Patch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file, one that is gone or broken, a name that isn't a text, ``__getattr__``, a lazy module: looked at, never asked."""
    patch = made("import outside_lib\n\nX = outside_lib.table()\n", OLD)
    asked: list[str] = []

    class Lazy(types.ModuleType):
        def __getattribute__(self, name: str) -> object:
            asked.append(name)
            raise RuntimeError(name)

    class Odd:
        def __getattr__(self, name: str) -> object:
            asked.append(name)
            raise RuntimeError(name)

    def add(name: str, text: bytes | None, kind: type[types.ModuleType] = types.ModuleType) -> None:
        module = kind(name)
        space = types.ModuleType.__dict__["__dict__"].__get__(module)
        space |= {"lib": sys.modules["outside_lib"], "odd": Odd(), 1: 2, "__getattr__": asked.append}
        if text is not None:
            (tmp_path / f"{name}.py").write_bytes(text)
            space["__file__"] = str(tmp_path / f"{name}.py")
        monkeypatch.setitem(sys.modules, name, module)

    add("outside_none", None)
    add("outside_lazy", b"X = lib.table()\n", Lazy)
    add("outside_broken", b"X = lib.table()\n@\ndef (((:\n  '''\nodd.x.y()\n")
    add("outside_bytes", b"X = '\xff' # lib.table()\n")
    add("outside_odd", b"X = odd.lib.table()\nY = lib.odd.table()\nZ = odd()\n")
    add("outside_big", b"X = lib.table()\n" + b"#" * outside.MAX_TEXT)
    add("outside_gone", b"")
    (tmp_path / "outside_gone.py").unlink()
    report = suture.apply(patch)
    asked_of_lazy = [n for n in asked if n != "__class__"]
    assert report.ok
    assert asked_of_lazy == []
    assert sorted(f.target for f in report.findings if f.code == "value-stale") == [
        "outside_broken:X",
        "outside_lazy:X",
        "outside_user:X",
    ]
    (note,) = [f for f in report.findings if f.code == "import-unseen"]
    assert all(n in note.message for n in ("outside_bytes", "outside_big", "outside_gone"))


def test_a_module_of_an_archive_is_read(made: Callable[..., Patch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter's own zip importer has the text."""
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        archive.writestr("outside_zipped.py", "import outside_lib\nX = outside_lib.table()\n")
    monkeypatch.syspath_prepend(str(tmp_path / "out.zip"))
    patch = made("import outside_lib, outside_zipped\n", OLD)
    assert said(patch) == ["outside_zipped:X"]


def test_modules_of_the_tree_are_the_builders(made: Callable[..., Patch], tmp_path: Path) -> None:
    """What the builder judged isn't judged twice: its finding has another text."""
    for side in ("old", "new"):
        (tmp_path / side / "outside_inner.py").write_text("import outside_lib\n\n@outside_lib.deco\ndef f(): pass\n")
    patch = made("import outside_inner\n", ('f.marked = "old"', 'f.marked = "new"'))
    report = suture.apply(patch)
    assert [f.target for f in report.findings if f.code == "value-stale"] == ["outside_inner:f"]
    assert "outside_inner" in patch.judged


@pytest.mark.whole_world
def test_a_test_of_the_tree_is_looked_at(made: Callable[..., Patch], tmp_path: Path) -> None:
    """The builder leaves tests out; one that is loaded is outside."""
    for side in ("old", "new"):
        (tmp_path / side / "test_outside_x.py").write_text("import outside_lib\n\n@outside_lib.deco\ndef test_f(): pass\n")
    patch = made("import test_outside_x\n", ('f.marked = "old"', 'f.marked = "new"'))
    try:
        assert said(patch) == ["test_outside_x:test_f"]
    finally:
        sys.modules.pop("test_outside_x", None)


def test_the_text_is_read_in_slices(made: Callable[..., Patch]) -> None:
    """A long module has a rest every few lines."""
    rests: list[None] = []
    text = "import m\n" + "def f():\n    return 1\n" * 1000 + "X = m.f()\n"
    (found,) = uses(text, ["m"], lambda: rests.append(None), main=False)
    assert (found.names, found.owner, found.line) == (("m", "f"), "X", 2002)
    assert len(rests) == 500


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x = a(b(1), c=d.e(2))", ["a", "b", "d.e"]),
        ("@a\n@b.c(1)\n\n# word\n@d(\n e(2))\nasync def f(x=g()) -> h: i()", ["a", "b.c", "d", "e", "g"]),
        ("x = (lambda a, b=c(1): d(2), e(3))", ["c", "e"]),
        ("x = f(lambda: (a(), b()), c())", ["c", "f"]),
        (
            "class A(b(1), metaclass=c):\n    '''\n    d()\n    '''\n    e = f(1) # g()\n    def h(self):\n        i()\n    j(1)",
            ["A", "b", "f", "j"],
        ),
        ('x = "a()" \'b()\' r"\\\\" + c("""\nd()\n""")', ["c"]),
        ("x = 'a \\\n b()' + c(1)\nd(1)", ["c", "d"]),
        ("x = 1 + \\\n  a(1)\ndef f():\n    b(1); c(2)\nif d(1): e(2)\nelse:\n    g(3)", ["a", "d", "e", "g"]),
        ("def f(a,\n  b=c(1),\n):\n  d(1)\n(e(1))\nx[f(2)] = g", ["c", "e", "f"]),
        ("with a(1) as b, c(2):\n\td(3)\n\tdef e():\n\t\tf()\n\tg(4)", ["a", "c", "d", "g"]),
        ("for x in a(1): b(x)\nwhile c(): d()", ["a", "b", "c", "d"]),
        ("a(1).b(2)\nc[0].d(3)\nif TYPE_CHECKING:\n  e()\nelse:\n  f()", ["a", "f"]),
    ],
)
def test_the_reader_finds_what_runs(text: str, found: list[str]) -> None:
    """Calls, decorators and defaults, not what is in functions, lambdas, strings or comments."""
    words = set("abcdefghij")
    assert sorted({".".join(u.names) for u in uses(text, words, lambda: None, main=False)}) == found
