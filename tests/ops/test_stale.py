"""Values that an import computed with code that changes are named; references, and calls of other code, aren't."""

from __future__ import annotations

from pathlib import Path

import pytest

from suture.ops.build import build
from suture.ops.build.ripple import Ripple
from suture.patch import Patch, Severity

G = "def g(*a):\n    return 1\n"
NEW = ("return 1", "return 2")


@pytest.fixture
def made(tmp_path: Path):
    """Build a patch of files in which a piece of text is replaced; a text alone is m.py."""

    def make(files: str | dict[str, str], *replaced: tuple[str, str]) -> Patch:
        for path, text in (files if isinstance(files, dict) else {"m.py": files}).items():
            for side in ("old", "new"):
                file = tmp_path / side / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
                for before, after in replaced or [NEW]:
                    text = text.replace(before, after)
        return build(tmp_path / "old", tmp_path / "new", name="fix")

    return make


@pytest.fixture(autouse=True)
def nothing_is_worked_out_again(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here it's about what is found; a test that is marked takes along what can be."""
    if "again" not in request.keywords:
        monkeypatch.setattr(Ripple, "at", lambda self, path, line: None)


def stale(patch: Patch) -> list[str]:
    """Targets of what is stale."""
    found = [f for f in patch.remarks if f.code == "value-stale"]
    assert all(f.severity is Severity.WARNING for f in found)
    assert not any(f.code == "builder-fault" for f in patch.left_out)
    return [f.target for f in found]


def test_it_says_by_what_and_where(made) -> None:
    """Place, the way down, the change at its end, the way round."""
    patch = made({"a.py": G, "b.py": "import a\ndef h():\n    return a.g()\nX = h()\n"})
    (found,) = patch.remarks
    assert (found.target, found.evidence) == ("b:X", {"place": "b.py:4", "changed": "a:g", "through": "b:h, a:g"})
    assert found.message == "X was made at import by b:h, which calls a:g; a:g changes, what the old one gave stays"
    assert "hotfix" in found.hint
    assert not patch.left_out


@pytest.mark.parametrize(
    "line",
    [
        "X = g()",
        "X: int = g()",
        "X = Y = [g()]",
        "X = {k: g(k) for k in 'ab'}",
        "X = f'{g()}'",
        "X = 1 + (g() if Z else 0)",
        "X = list(map(g, [1]))",
        "X = (lambda: g())()",
        "X = functools.partial(g)()",
        "X += g()",
        "if Z:\n    X = g()",
        "try:\n    X = g()\nexcept E:\n    pass",
        "with Z:\n    X = g()",
        "if __name__ == '__main__':\n    X = g()",
    ],
)
def test_what_is_computed_is_stale(made, line: str) -> None:
    """Wherever in its statement the call stands, in blocks too."""
    assert {t.partition(",")[0] for t in stale(made(f"{G}{line}\n"))} == {"m:X"}


@pytest.mark.parametrize(
    "line",
    [
        "X = g",
        "X = {'a': g}",
        "X = [g, lambda: g()]",
        "X = functools.partial(g, 1)",
        "X = register(g)",
        "X = Thread(target=g)",
        "def f():\n    return g()",
        "@functools.lru_cache\ndef f():\n    return g()",
        "@functools.wraps(g)\ndef f():\n    pass",
        "def h():\n    return 3\nX = h()",
        "def h():\n    return g\nX = h()",
        "def h():\n    def inner():\n        return g()\n    return inner\nX = h()",
        "X: g = 1",
        "import typing\nif typing.TYPE_CHECKING:\n    X = g()",
        "if __name__ == '__main__':\n    g()",
    ],
)
def test_what_follows_is_not_stale(made, line: str) -> None:
    """References, closures, calls at run time, annotations, the main block's own run."""
    assert stale(made(f"{G}{line}\n")) == []


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ("def f(a=g()):\n    pass", "m:f"),
        ("def f(*, a=g()):\n    pass", "m:f"),
        ("@route(g())\ndef f():\n    pass", "m:f"),
        ("@g\ndef f():\n    pass", "m:f"),
        ("@g\nclass A:\n    pass", "m:A"),
        ("class A(g()):\n    pass", "m:A"),
        ("class A:\n    class B:\n        x = g()", "m:A.B.x"),
        ("class A:\n    def f(self, a=g()):\n        pass", "m:A.f"),
        ("g()", "m.py:3"),
        ("for x in g():\n    pass", "m.py:3"),
        ("if g():\n    pass", "m.py:3"),
    ],
)
def test_other_things_that_run_at_import(made, line: str, target: str) -> None:
    """Defaults, decorators, bases, attributes of classes; statements without a name go by their place."""
    assert stale(made(f"{G}{line}\n")) == [target]


@pytest.mark.parametrize(
    "other",
    [
        "from a import g\nX = g()\n",
        "from a import g as k\nX = k()\n",
        "import a\nX = a.g()\n",
        "import a as k\nX = k.g()\n",
        "from a import *\nX = g()\n",
        "from c import g\nX = g()\n",
        "import c\nX = c.g()\n",
        "from c import again\nX = again()\n",
        "def f():\n    import a\n    return a.g()\nX = f()\n",
        "try:\n    from a import g\nexcept ImportError:\n    def g(): return 3\nX = g()\n",
    ],
)
def test_names_are_followed_through_imports(made, other: str) -> None:
    """By name, as an attribute, under another name, by a star, through a third module, inside functions."""
    assert stale(made({"a.py": G, "b.py": other, "c.py": "from a import g\nagain = g\n"})) == ["b:X"]


def test_main_file_is_a_main_block(made) -> None:
    """Its statements are the program's own run; values count."""
    assert stale(made({"p/__init__.py": "", "p/a.py": G, "p/__main__.py": "from p.a import g\ng()\nX = g()\n"})) == ["p.__main__:X"]


def test_names_are_followed_in_packages(made) -> None:
    """Relative imports, submodules, names that a package passes on."""
    files = {
        "p/__init__.py": "from .a import g\n",
        "p/a.py": G,
        "p/b.py": "from . import a\nX = a.g()\n",
        "q.py": "import p.a\nX = p.a.g()\nY = p.g()\n",
    }
    assert stale(made(files)) == ["p.b:X", "q:X", "q:Y"]


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("class A:\n    def __init__(self): return 1\nX = A()\nY = A\n", ["m:X"]),
        ("def g():\n    return 1\nclass A:\n    def __init__(self): self.x = g()\nX = A()\n", ["m:X"]),
        ("class A:\n    def __new__(cls): return 1\nX = A()\n", ["m:X"]),
        ("class A:\n    def f(self): return 1\nX = A()\nY = X.f()\n", ["m:Y"]),
        ("class A:\n    def f(self): return 1\nX = A().f\n", []),
        ("class A:\n    @property\n    def f(self): return 1\nX = A().f\n", ["m:X"]),
        ("class A:\n    @classmethod\n    def f(cls): return 1\nX = A.f()\n", ["m:X"]),
        ("class A:\n    @staticmethod\n    def f(): return 1\nX = A.f()\n", ["m:X"]),
        ("class A:\n    def f(self): return 1\nclass B(A):\n    pass\nX = B().f()\n", ["m:X"]),
        ("class A:\n    def f(self): return 1\nclass B(A):\n    def f(self): return 3\nX = B().f()\n", []),
        ("class A:\n    def f(self): return 1\nclass B(A):\n    def f(self): return super().f()\nX = B().f()\n", ["m:X"]),
        (
            "class A:\n    def g(self): return self.f()\n    def f(self): return 3\n"
            "class B(A):\n    def f(self): return 1\nX = B().g()\nY = A().g()\n",
            ["m:X"],
        ),
        ("class A:\n    def __getitem__(self, i): return 1\na = A()\nX = a['x']\n", ["m:X"]),
        ("class A:\n    def __enter__(self): return 1\nwith A() as x:\n    pass\n", ["m.py:3"]),
        ("class A:\n    def __init_subclass__(cls): return 1\nclass B(A):\n    pass\n", ["m:B"]),
        ("class M(type):\n    def __new__(m, *a): return 1\nclass B(metaclass=M):\n    pass\n", ["m:B"]),
        ("class D:\n    def __set_name__(self, o, n): return 1\nclass B:\n    x = D()\n", ["m:B"]),
        (
            "class D:\n    def __set_name__(self, o, n): return 1\nclass E(D): pass\nclass B:\n    @E\n    def x(self): pass\n",
            ["m:B"],
        ),
        ("class D:\n    def __set_name__(self, o, n): return 1\nclass B:\n    x = [D()]\n", []),
        ("import enum\nclass E(enum.Enum):\n    a = 1\n    def __init__(self, v): return 1\n", ["m:E"]),
        ("def g():\n    return 1\n@dataclass\nclass A:\n    x: int = field(default_factory=g)\nX = A()\n", ["m:X"]),
        ("class A:\n    def fill(self): return 1\ndef h(a: A):\n    return a.fill()\nX = h(Z)\n", ["m:X"]),
        ("class A:\n    def fill(self): return 1\ndef h(a):\n    return a.fill()\nX = h(Z)\n", ["m:X"]),
        ("class A:\n    def get(self): return 1\ndef h(a):\n    return a.get()\nX = h(Z)\n", []),
        (
            "class A:\n    def fill(self): return 1\nclass B:\n    def fill(self): return 3\n"
            "def h(a):\n    return a.fill()\nX = h(Z)\n",
            [],
        ),
        (
            "class A:\n    def fill(self): return 1\nclass B:\n    def __init__(self): self.a = A()\n"
            "    def all(self): return self.a.fill()\nX = B().all()\n",
            ["m:X"],
        ),
        (
            "class A:\n    def __getitem__(self, i): return 1\nclass B:\n    def __init__(self):\n        self.a = A()\n"
            "    def all(self): return self.a[0]\nX = B().all()\n",
            ["m:X"],
        ),
        ("class A:\n    def f(self): return 1\n    def h(self, a=Z().f()): pass\nclass Z(A): pass\n", ["m:A.h"]),
    ],
)
def test_objects_are_known_by_what_made_them(made, text: str, targets: list[str]) -> None:
    """Methods by the class, inherited and overridden; where the object isn't known, by a method's name that one class has."""
    assert stale(made(text)) == targets


def test_method_that_a_class_gets_counts(made) -> None:
    """Objects that exist weren't made by a new __init__."""
    assert stale(made("class A:\n    pass\nX = A()\n", ("pass", "def __init__(self): self.x = 1"))) == ["m:X"]


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ('def g():\n    "doc"\n    return 1\nX = g()\n', "doc", "other"),
        ("def g(a: int = 1):\n    return 1\nX = g()\n", "int", "str"),
        ("def g():\n    x: int = 1\n    return x\nX = g()\n", "int", "str"),
        ("def g():\n    return 1  # why\nX = g()\n", "why", "because"),
        ("def g() -> int:\n    return 1\nX = g()\n", "int", "str"),
    ],
)
def test_only_code_counts(made, text: str, before: str, after: str) -> None:
    """Docstrings, annotations and comments compute nothing."""
    assert stale(made(text, (before, after))) == []


def test_decorator_counts_by_its_own_body(made) -> None:
    """The wrapper follows, as it is changed in place; what was done at decoration stays."""
    text = "def deco(f):\n    seen(1)\n    def wrapper():\n        return f() + 1\n    return wrapper\n@deco\ndef f(): pass\n"
    assert stale(made(text, ("+ 1", "+ 2"))) == []
    assert stale(made(text, ("seen(1)", "seen(2)"))) == ["m:f"]


def test_decorator_with_arguments_counts_by_both_bodies(made) -> None:
    """That of the call, and that of what it returns; not the wrapper."""
    text = (
        "def deco(n):\n    a(1)\n    def inner(f):\n        b(1)\n        def wrapper():\n            return c(1)\n"
        "        return wrapper\n    return inner\n@deco(1)\ndef f(): pass\n"
    )
    assert [stale(made(text, (f"{x}(1)\n", f"{x}(2)\n"))) for x in "abc"] == [["m:f"], ["m:f"], []]


def test_call_of_what_is_decorated_runs_the_wrapper(made) -> None:
    """The wrapper that a decorator of the tree put around it."""
    text = "def deco(f):\n    def wrapper():\n        return f() + 1\n    return wrapper\n@deco\ndef f(): pass\nX = f()\n"
    assert stale(made(text, ("+ 1", "+ 2"))) == ["m:X"]


def test_constant_that_a_called_function_reads(made) -> None:
    """It's carried, as nothing reads it at import by itself; what a function made of it then stays."""
    files = {"a.py": "B = 1\nclass K:\n    n = 1\n", "b.py": "from a import B as D, K\ndef g():\n    return D + K.n\nX = g()\n"}
    assert stale(made(files, ("B = 1", "B = 2"))) == ["b:X"]
    assert stale(made(files, ("n = 1", "n = 2"))) == ["b:X"]


def test_what_a_patch_adds_is_computed_by_old_code(made) -> None:
    """It is evaluated before the changes are live: new values, defaults and class attributes."""
    text = f"{G}def f(a=g(1)):\n    pass\n"
    patch = made(text, NEW, ("g(1)", "g(2)"), ("pass\n", "pass\nX = g()\nY = g\nclass A:\n    z = g()\n"))
    assert stale(patch) == ["m:f", "m:X", "m:A.z"]
    assert all("at apply" in f.message for f in patch.remarks)


def test_statement_that_is_spoken_of_already_is_not_named_twice(made) -> None:
    """It changes itself, or is removed."""
    assert stale(made(f"{G}X = g(1)\nY = g(3)\n", NEW, ("g(1)", "g(2)"), ("Y = g(3)\n", ""))) == []


@pytest.mark.parametrize(
    "text",
    [
        "def g():\n    return g() + 1 and h()\ndef h():\n    return g()\nX = h()\n".replace("+ 1", "+ 1 if 0 else 1"),
        "class A(A):\n    def f(self): return A.f(self)\nX = A().f()\n",
        "X = X2 = X\nX2 = X2()\n",
        "from m import *\nX = g()\n",
        "from m import g\nX = g()\n",
        "def d(f): return d\n@d\n@d\ndef d(f): return d(f)\nX = d(d)(d)\n",
    ],
)
def test_circles_end(made, text: str) -> None:
    """Functions that call each other, classes and names that come from themselves."""
    made(f"{G}{text}")


def test_deep_and_long_sources_end(made) -> None:
    """Chains of calls and of elif."""
    elifs = "".join(f"    elif a == {n}:\n        return {n}\n" for n in range(600))
    chain = f"X = g(){'.x()' * 600}\n"
    assert stale(made(f"{G}{chain}def h(a):\n    if a:\n        return 1\n{elifs}Y = h(1)\n")) == ["m:X", "m:Y"]


def test_many_that_were_made_the_same_way_are_one_finding(made) -> None:
    """A registry of a hundred: the first is the target, the others are its evidence."""
    (found,) = made(G + "".join(f"X{n} = g({n})\n" for n in range(9))).remarks
    assert (found.target, found.evidence["also"].count("m:X")) == ("m:X0", 8)
    assert found.message.startswith("X0 was made (and 8 more) at import by m:g")


@pytest.mark.parametrize(
    ("line", "targets"),
    [
        ("def h(f):\n    return f()\nX = h(g)\nY = h(f=g)\nZ = h(len)\n", ["m:X", "m:Y"]),
        ("def h(f, /, *, k=None):\n    return k()\nX = h(g)\nY = h(1, k=g)\n", ["m:Y"]),
        ("class A:\n    def __init__(self, f): self.v = f()\nX = A(g)\n", ["m:X"]),
        ("def h(f):\n    def inner():\n        return f()\n    return inner\nX = h(g)\n", []),
        ("def h(f):\n    return f\nX = h(g)\n", []),
    ],
)
def test_function_that_is_handed_over_and_called(made, line: str, targets: list[str]) -> None:
    """By the function itself that it's handed to; what only keeps it keeps a reference."""
    assert stale(made(f"{G}{line}")) == targets


def test_registrations_are_run_by_the_function_they_belong_to(made) -> None:
    """Any of them: which one is decided by the argument."""
    text = (
        "import functools\n@functools.singledispatch\ndef f(x): return 0\n@f.register(int)\ndef _(x): return h()\n"
        "@f.register\ndef _(x: str): return 1\ndef h(): return 3\nX = f(3)\nY = f\n"
    )
    assert stale(made(text)) == ["m:X"]
    assert stale(made(text, ("return 3", "return 4"))) == ["m:X"]


@pytest.mark.again
def test_what_can_be_worked_out_again_is_not_stale(made) -> None:
    """A plain value made by quiet functions of the tree is carried, with what is computed from it; another call isn't followed."""
    text = f"{G}def h():\n    return g() + 1\nX = h()\nY = X * 2\nZ = open(g())\n"
    patch = made({"m.py": text, "n.py": "import m\nW = m.Y\nV = m.g()\n"})
    assert [f"{c.kind} {c.target}" for c in patch.changes] == ["function m:g", "value m:X", "value m:Y", "value n:W", "value n:V"]
    assert stale(patch) == ["m:Z"]
