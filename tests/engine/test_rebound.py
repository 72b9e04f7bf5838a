"""Names that become something else: another object, here and where the name was imported; what it was stays as it is."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

import suture
from suture.patch import Patch

USER = "from {p}m import f\ndef go():\n    return f(1)\n"
LIB = "def f(x):\n    return 'lib', x\n"


def built(world: Any, new: str, **more: str) -> Patch:
    patch: Patch = world.patch({"m": new.replace("{p}", world.prefix), **more})
    assert patch.left_out == (), patch.left_out
    return patch


FORMS = {
    "function": "def f(x):\n    return 'old', x\n",
    "import": "from {p}lib import f\n",
    "class": "class f:\n    def __init__(self, x):\n        self.x = x\n",
    "value": "def g(x):\n    return 'g', x\nf = g\n",
}


def result(form: str, made: Any) -> bool:
    return {
        "function": made == ("old", 1),
        "import": made == ("lib", 1),
        "class": getattr(made, "x", None) == 1,
        "value": made == ("g", 1),
    }[form]


@pytest.mark.parametrize("was", FORMS)
@pytest.mark.parametrize("becomes", FORMS)
def test_a_name_becomes_something_else(world: Any, was: str, becomes: str) -> None:
    """Its module and its importers have the new one; a revert gives all of them the old object back."""
    if was == becomes:
        pytest.skip("that is another kind of change")
    tail = "\ndef run():\n    return f(1)\n"
    world.module(LIB, "lib")
    m = world.module(FORMS[was].replace("{p}", world.prefix) + tail)
    user = world.module(USER.replace("{p}", world.prefix), "user")
    old = m.f
    patch = built(world, FORMS[becomes] + tail)
    assert "rebound" in {f.code for f in patch.remarks}
    before = {k: v for k, v in vars(m).items() if k != "__builtins__"}
    assert suture.plan(patch).ok
    assert {k: v for k, v in vars(m).items() if k != "__builtins__"} == before
    report = suture.apply(patch)
    assert report.ok, report.words()
    assert result(becomes, m.f(1)) and result(becomes, m.run()) and result(becomes, user.go())
    assert user.f is m.f is not old
    assert suture.revert(report.patch_id).ok
    assert m.f is user.f is old
    assert result(was, m.run()) and result(was, user.go())


def test_module_that_a_name_stands_for(world: Any) -> None:
    """``import json as codec`` becomes another; the modules themselves are left alone."""
    text = "import {} as codec\ndef f():\n    return codec.__name__\n"
    m = world.module(text.format("json"))
    contents = dict(vars(json))
    report = suture.apply(built(world, text.format("pickle")))
    assert (m.f(), m.codec) == ("pickle", pickle)
    assert dict(vars(json)) == contents
    assert suture.revert(report.patch_id).ok
    assert m.codec is json


def test_one_name_of_an_import_of_several(world: Any) -> None:
    """The others stay as they are."""
    m = world.module("from os.path import (\n    join,\n    split as cut,\n)\ndef f():\n    return cut('a.b/c')\n")
    join = m.join
    report = suture.apply(built(world, "from os.path import join, splitext as cut\ndef f():\n    return cut('a.b/c')\n"))
    assert (m.f(), m.join) == (("a.b/c", ""), join)
    assert [r.target.partition(":")[2] for r in report.changed if r.status != "left"] == ["cut"]


def test_what_was_made_from_it_goes_along_or_is_refused(world: Any) -> None:
    """A table and a default are worked out again; a class can't be."""
    text = "from {p}lib import f\nTABLE = {'f': f}\ndef g(h=f):\n    return h(1)\n"
    new = text.replace("from {p}lib import f", "def f(x):\n    return 'mine', x")
    world.module(LIB, "lib")
    m = world.module(text.replace("{p}", world.prefix))
    table = m.TABLE
    assert suture.apply(built(world, new)).ok
    assert (m.TABLE is table, m.TABLE["f"](1), m.g()) == (True, ("mine", 1), ("mine", 1))
    old = "class Base:\n    pass\nclass Sub(Base):\n    pass\n"
    world.module(old, "n")
    left = world.patch({"n": old.replace("class Base:\n    pass", "from collections import UserDict as Base")}).left_out
    assert [f.code for f in left] == ["value-computed"]


def test_a_name_that_the_program_took_for_itself_is_a_conflict(world: Any) -> None:
    """Nothing is changed."""
    m = world.module("from os.path import join as f\n")
    patch = built(world, "from os.path import split as f\n")
    m.f = len
    report = suture.apply(patch)
    assert [f.code for f in report.findings if f.severity == "error"] == ["conflict"]
    assert m.f is len
    m.f = __import__("os").path.split
    report = suture.apply(patch)
    assert "already-fixed" in {f.code for f in report.findings}


def test_patches_stack_and_replace(world: Any) -> None:
    """One on top of the other; one built from the old source replaces."""
    first, second, third = (f"from os.path import {n} as f\n" for n in ("join", "split", "splitext"))
    m = world.module(first)
    os_path = __import__("os").path
    one = suture.apply(built(world, second))
    replacing = built(world, third)
    world.becomes(second)
    two = suture.apply(built(world, third))
    assert m.f is os_path.splitext
    assert suture.revert(two.patch_id).ok and m.f is os_path.split
    report = suture.apply(replacing)
    assert report.ok, report.words()
    assert m.f is os_path.splitext
    assert [r.patch_id for r in suture.status()] == [report.patch_id]
    assert suture.revert(report.patch_id).ok and m.f is os_path.join
    assert one.ok


def test_attribute_of_a_class_becomes_a_method_and_back(world: Any) -> None:
    """In the class itself; objects that exist see it."""
    value, method, prop = (
        "    f = 1\n",
        "    def f(self):\n        return 2\n",
        "    @property\n    def f(self):\n        return 3\n",
    )
    head = "class A:\n    g = 0\n"
    m = world.module(head + value)
    a = m.A()
    report = suture.apply(built(world, head + method))
    assert a.f() == 2
    assert suture.revert(report.patch_id).ok and a.f == 1
    report = suture.apply(built(world, head + prop))
    assert a.f == 3
    assert suture.revert(report.patch_id).ok and a.f == 1


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("import os.path\n", "import os.path\nos = 1\n", "redefined"),
        ("def f(x): pass\nf = len\n", "from os.path import join as f\nf = len\n", "redefined"),
        ("def f(x): pass\n", "f = open('x')\n", "value-changed"),
        ("class A:\n    import os as f\n", "class A:\n    f = 1\n", "redefined"),
    ],
)
def test_what_cannot_be_seen_is_refused(world: Any, old: str, new: str, code: str) -> None:
    """By name, at build."""
    world.old[f"{world.prefix}m"] = old
    patch = world.patch(new)
    assert code in {f.code for f in patch.left_out}, patch
