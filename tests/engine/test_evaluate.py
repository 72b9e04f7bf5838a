"""Expressions that a patch brings: what they see, what they bind, and that nothing of them stays where they fail."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import suture
from suture.ops.build import build


def applied(patch: Any) -> Any:
    assert not patch.left_out, patch.left_out
    report = suture.apply(patch)
    assert report.ok, report.words()
    return report


def refused(patch: Any, code: str) -> Any:
    """The finding that the patch is refused with."""
    report = suture.apply(patch)
    assert not report.ok, report.words()
    assert report.state == "refused"
    return next(f for f in report.findings if f.code == code)


# ---------------------------------------------------------------- additions in modules


def test_addition_that_calls_through_another_addition(world: Any) -> None:
    """A table made by a new function that uses a new constant; what was there already sees none of it meanwhile."""
    m = world.module("seen = []\ndef look(x):\n    seen.append(set(globals()) & {'LIMIT', 'twice'})\n    return x\n")
    report = applied(
        world.patch(
            "seen = []\nLIMIT = 4\ndef twice():\n    return LIMIT * 2\nTABLE = [twice() for _ in range(2)]\n"
            "def after(n=twice()):\n    return n\nALONE = look(1)\n"
            "def look(x):\n    seen.append(set(globals()) & {'LIMIT', 'twice'})\n    return x\n"
        )
    )
    assert (m.TABLE, m.after(), m.ALONE) == ([8, 8], 8, 1)
    assert m.seen == [set()]
    assert suture.revert(report.patch_id).ok
    assert not {"LIMIT", "twice", "TABLE", "after", "ALONE"} & set(vars(m))


def test_addition_that_hides_a_builtin_is_not_lent(world: Any) -> None:
    """While the expressions of a patch run, code that is live already goes on with the builtin; afterwards with the new name."""
    m = world.module("def old():\n    return len('abc')\n")
    applied(world.patch("def len(x):\n    return 'ours'\nBOTH = [old(), len('abc')]\ndef old():\n    return len('abc')\n"))
    assert m.BOTH == [3, "ours"]
    assert m.old() == "ours"


def test_decorated_addition_runs_its_decorator_with_what_is_added(world: Any) -> None:
    """A new decorator that uses a new constant works on a new function."""
    m = world.module("x = 1\n")
    applied(
        world.patch(
            "x = 1\nMARK = 'marked'\ndef marking(f):\n    f.mark = MARK\n    return f\n@marking\ndef f(a, *, b=2):\n    return a, b\n"
        )
    )
    assert (m.f.mark, m.f(1)) == ("marked", (1, 2))


def test_what_was_imported_is_said(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import that a patch adds may run other people's module bodies: the note names them."""
    m = world.module("x = 1\n")
    fresh = world.root / "live" / f"{world.prefix}fresh.py"
    fresh.write_text("loaded = True\n")
    world.modules.append(fresh.stem)
    report = applied(world.patch(f"import {fresh.stem} as fresh\nx = 1\n"))
    assert m.fresh.loaded
    (note,) = [f for f in report.findings if f.code == "evaluated"]
    assert f"imported {fresh.stem}" in note.message


@pytest.mark.parametrize("hook", ["def __init_subclass__(cls):\n        TABLE.append(cls)", "x = 1", "meta"])
def test_hooks_that_the_making_of_a_class_ran_are_said(world: Any, hook: str) -> None:
    """What a base's hook or a metaclass has entered somewhere outlives a revert: the note names it."""
    text = "TABLE = []\nclass M(type):\n    def __init__(cls, *a):\n        TABLE.append(cls)\n"
    text += "class B(metaclass=M):\n    x = 1\n" if hook == "meta" else f"class B:\n    {hook}\n"
    m = world.module(text)
    had = len(m.TABLE)
    report = applied(world.patch(text + "class C(B):\n    pass\n"))
    (note,) = [f for f in report.findings if f.code == "evaluated"]
    assert ("stays after a revert" in note.message) == (hook != "x = 1") == (len(m.TABLE) > had)
    assert suture.revert(report.patch_id).ok
    assert not hasattr(m, "C")


@pytest.mark.parametrize(
    ("added", "raised"),
    [
        ("LATER = boom(LIMIT)\n", "NameError"),
        ("LATER = [1 // (n - n) for n in [LIMIT]]\n", "ZeroDivisionError"),
        ("from no_such_module import LATER\n", "ModuleNotFoundError"),
        ("class LATER:\n    raise KeyError(LIMIT)\n", "KeyError"),
    ],
)
def test_an_addition_that_raises_leaves_nothing(world: Any, added: str, raised: str) -> None:
    """Neither its own names nor those that were evaluated, or lent, before it."""
    m = world.module("def f():\n    return 'old'\n")
    names, code = set(vars(m)), m.f.__code__
    patch = world.patch(f"LIMIT = 3\n{added}def f():\n    return 'new'\n")
    finding = refused(patch, "evaluation-failed")
    assert finding.evidence["raised"] == raised
    assert finding.target.endswith(":LATER")
    assert set(vars(m)) == names
    assert m.f.__code__ is code


# ---------------------------------------------------------------- additions in classes


def test_addition_in_a_class_is_told_its_name(world: Any) -> None:
    """A descriptor's ``__set_name__`` gets the live class, as a class statement would have given it."""
    m = world.module(
        "class Field:\n    def __set_name__(self, owner, name):\n        self.told = owner, name\n"
        "    def __get__(self, it, owner):\n        return self.told\nclass A:\n    def f(self):\n        return 1\n"
    )
    a = m.A()
    report = applied(world.replace(("class A:\n", "class A:\n    size = Field()\n    __hidden = Field()\n")))
    assert a.size == (m.A, "size")
    assert a._A__hidden == (m.A, "_A__hidden")
    assert suture.revert(report.patch_id).ok
    assert not hasattr(a, "size") and not hasattr(a, "_A__hidden")


def test_addition_in_a_nested_class_sees_members_and_new_names(world: Any) -> None:
    """New members are made from members that are there, new members and new names of the module."""
    m = world.module("class A:\n    class B:\n        base = 2\n        def f(self):\n            return self.base\n")
    b = m.A.B()
    applied(
        world.patch(
            "STEP = 10\ndef step():\n    return STEP\nclass A:\n    class B:\n        base = 2\n        double = base * 2\n"
            "        more = double + step()\n        def f(self):\n            return self.base\n"
            "        def g(self, n=more):\n            return super().__init__(), __class__, n\n"
        )
    )
    assert (b.double, b.more, b.g()) == (4, 14, (None, m.A.B, 14))
    assert m.A.B.g.__qualname__ == "A.B.g"


def test_addition_in_a_class_that_raises_leaves_nothing(world: Any) -> None:
    """A name that is to be had nowhere: neither the class nor the module keeps anything."""
    m = world.module("class A:\n    def f(self):\n        return 'old'\n")
    members, names = set(vars(m.A)), set(vars(m))
    finding = refused(
        world.patch("NEW = 1\nclass A:\n    more = nowhere\n    def f(self):\n        return NEW\n"), "evaluation-failed"
    )
    assert finding.evidence["raised"] == "NameError"
    assert (set(vars(m.A)), set(vars(m))) == (members, names)
    assert m.A().f() == "old"


# ---------------------------------------------------------------- imports between modules of one patch


@pytest.fixture
def package(tmp_path: Path) -> Iterator[Callable[[dict[str, str], dict[str, str]], Any]]:
    """Write a package and import its modules; gives them by name, and the patch to other texts."""
    top = f"pack{os.getpid()}_{abs(hash(str(tmp_path))) % 10**8}"

    def make(old: dict[str, str], new: dict[str, str]) -> Any:
        for side, texts in (("old", old), ("new", {**old, **new}), ("live", old)):
            for name, text in texts.items():
                path = tmp_path / side / top / f"{name}.py"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(textwrap.dedent(text))
        sys.path.insert(0, str(tmp_path / "live"))
        importlib.invalidate_caches()
        modules = {n: importlib.import_module(top if n == "__init__" else f"{top}.{n.replace('/', '.')}") for n in old}
        return modules, build(tmp_path / "old", tmp_path / "new", name="package")

    yield make
    for report in reversed(suture.status()):
        suture.revert(report.patch_id)
    for name in [n for n in sys.modules if n.partition(".")[0] == top]:
        del sys.modules[name]
    sys.path[:] = [p for p in sys.path if p != str(tmp_path / "live")]


def test_relative_imports_of_new_names(package: Any) -> None:
    """From the module beside it, from the one above, and together with names that were there."""
    modules, patch = package(
        {
            "__init__": "",
            "a": "def old():\n    return 'old a'\n",
            "b": "def f():\n    return 'old'\n",
            "sub/__init__": "",
            "sub/c": "def g():\n    return 'old'\n",
        },
        {
            "a": "def old():\n    return 'old a'\ndef fresh():\n    return 'fresh'\n",
            "b": "from .a import fresh as renamed, old\ndef f():\n    return renamed(), old()\n",
            "sub/c": "from ..a import fresh\nfrom .. import a as beside\ndef g():\n    return fresh(), beside.fresh()\n",
        },
    )
    report = applied(patch)
    assert modules["b"].f() == ("fresh", "old a")
    assert modules["sub/c"].g() == ("fresh", "fresh")
    assert modules["b"].renamed is modules["a"].fresh is modules["sub/c"].fresh
    assert suture.revert(report.patch_id).ok
    assert (modules["b"].f(), modules["sub/c"].g()) == ("old", "old")
    assert not any(hasattr(modules["b"], n) for n in ("renamed", "old"))


def test_import_of_a_name_that_the_other_module_does_not_get(package: Any) -> None:
    """One name is new there, the other is nowhere: refused, and neither module has anything new."""
    modules, patch = package(
        {"__init__": "", "a": "x = 1\n", "b": "def f():\n    return 'old'\n"},
        {"a": "x = 1\nfresh = 2\n", "b": "from .a import fresh, nowhere\ndef f():\n    return fresh\n"},
    )
    finding = refused(patch, "evaluation-failed")
    assert "nowhere" in finding.message
    assert not hasattr(modules["a"], "fresh")
    assert not hasattr(modules["b"], "fresh")
    assert modules["b"].f() == "old"


# ---------------------------------------------------------------- defaults and annotations


def test_default_that_raises(world: Any) -> None:
    """A changed default is evaluated at apply; what it raises is the refusal, and the function keeps its own."""
    m = world.module("def f(a=len('x'), *, b=len('y')):\n    return a, b\n")
    finding = refused(world.replace(("len('y')", "1 // 0")), "evaluation-failed")
    assert finding.evidence == {"raised": "ZeroDivisionError"}
    assert finding.target == f"{m.__name__}:f"
    assert m.f() == (1, 1)


def test_changed_defaults_see_private_and_new_members(world: Any) -> None:
    """Private names of the class, its members (new ones too) and new names of the module."""
    m = world.module(
        "class K:\n    _A__y = 'K y'\nclass A:\n    __x = 'x'\n    plain = 'plain'\n"
        "    def f(self, a=1, b=2, c=3, d=4, e=5):\n        return a, b, c, d, e\n"
    )
    a = m.A()
    bound = a.f
    report = applied(
        world.replace(
            ("class A:\n", "NEW = 'new'\nclass A:\n    member = 'member'\n"),
            ("a=1, b=2, c=3, d=4, e=5", "a=__x, b=K.__y, c=plain.upper(), d=member, e=NEW"),
        )
    )
    assert a.f() == bound() == ("x", "K y", "PLAIN", "member", "new")
    assert suture.revert(report.patch_id).ok
    assert a.f() == (1, 2, 3, 4, 5)


def test_changed_default_of_a_function_sees_new_names(world: Any) -> None:
    """A default of a module's function may be a name that the same patch adds."""
    m = world.module("def f(a=1):\n    return a\n")
    applied(world.patch("NEW = object()\ndef f(a=NEW):\n    return a\n"))
    assert m.f() is m.NEW


def test_annotations_of_methods_see_the_class(world: Any) -> None:
    """A changed annotation is evaluated where its ``def`` stands (3.14+: when it is asked for)."""
    m = world.module(
        "class A:\n    Kind = int\n    __Hidden = str\n    def f(self, a: int) -> None:\n        return super().__init__()\n"
        "    def __p(self, a: int):\n        return a\n"
    )
    report = applied(
        world.replace(
            ("def f(self, a: int) -> None", "def f(self, a: Kind, *, b: __Hidden = '') -> list[Kind]"),
            ("def __p(self, a: int)", "def __p(self, a: Kind = 5)"),
        )
    )
    assert m.A.f.__annotations__ == {"a": int, "b": str, "return": list[int]}
    assert m.A._A__p.__annotations__ == {"a": int}
    assert m.A()._A__p() == 5
    assert str(inspect.signature(m.A.f)) == "(self, a: int, *, b: str = '') -> list[int]"
    assert suture.revert(report.patch_id).ok
    assert m.A.f.__annotations__ == {"a": int, "return": None}


def test_annotation_that_raises(world: Any) -> None:
    """Refused at apply; from 3.14 on it is nobody's business until somebody asks for it."""
    m = world.module("def f(a: int):\n    return a\n")
    patch = world.replace(("a: int", "a: 1 // 0"))
    if sys.version_info < (3, 14):
        assert refused(patch, "evaluation-failed").evidence == {"raised": "ZeroDivisionError"}
        assert m.f.__annotations__ == {"a": int}
        return
    applied(patch)
    with pytest.raises(ZeroDivisionError):
        m.f.__annotations__
