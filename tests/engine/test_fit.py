"""New code in a function that exists: its cells stay what they are, whatever the new text makes of the names."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import suture
from suture.engine.facts import compile_text, inner_codes
from suture.engine.fit import fit, fit_node
from suture.errors import Refused


def codes(report: Any) -> set[str]:
    return {f.code for f in report.findings}


def closure(first: str, inner: str) -> str:
    return f"def make({first}):\n    def inner(x):\n        {inner}\n    return inner\nheld = make(1)\n"


# What the maker's line is, the inner body before and after, and what the one that exists gives for 3 before and after.
CLOSURES = {
    "a cell that becomes a local": ("a", "return a + x", "a = 7\n        return a + x", 4, 10),
    "a cell that becomes a cell of the inner one's own": ("a", "return a + x", "a = x\n        return (lambda: a)()", 4, 3),
    "a cell that becomes a global": ("a", "return a + x", "global glob\n        glob = x\n        return glob", 4, 3),
    "a cell's own name declared global": (
        "a",
        "return a + x",
        "global a\n        a = x\n        return a, globals()['a']",
        4,
        (3, 3),
    ),
    "cells that change order": ("a, b=2", "return a, b", "return b, a", (1, 2), (2, 1)),
    "a cell that is written": ("a", "return a + x", "nonlocal a\n        a += x\n        return a", 4, 4),
    "a cell kept, another dropped": ("a, b=2", "return a + b + x", "return b + x, 'new'", 6, (5, "new")),
    "all cells dropped": ("a, b=2", "return a + b + x", "return x, 'new'", 6, (3, "new")),
    "dropped under a docstring": ("a, b=2", "'said'\n        return a + b + x", "'said'\n        return a + x", 6, 4),
    "itself, for which it has no cell": ("a", "return a + x", "return inner(x - 1) if x else 'end'", 4, "end"),
    "itself, for which it has one": ("a", "return inner(0) if x else a", "return inner(x - 1) if x else (a, 'end')", 1, (1, "end")),
    "a comprehension over what it keeps": ("a, b=2", "return a + b", "return [a + i for i in range(x)]", 3, [1, 2, 3]),
}


@pytest.mark.parametrize("case", CLOSURES, ids=list(CLOSURES))
def test_a_closure_that_exists_runs_the_new_text(world: Any, case: str) -> None:
    """With its own cells, the very same objects; one that is made later gives the same; back again after the revert."""
    first, old, new, before, after = CLOSURES[case]
    m = world.module(closure(first, old))
    cells = [(c, c.cell_contents) for c in m.held.__closure__]
    names = m.held.__code__.co_freevars
    assert m.held(3) == before
    world.old[m.__name__] = closure(first, old)
    patch = world.patch(closure(first, new))
    assert not patch.left_out, patch.left_out
    report = suture.apply(patch)
    assert report.ok, report.words()
    assert "closures-left" not in codes(report), report.words()
    assert m.held(3) == after
    assert m.held.__code__.co_freevars == names
    assert m.held.__code__.co_name == "inner"
    assert m.held.__doc__ == m.make(1).__doc__
    assert m.make(1)(3) == after
    assert suture.revert(report.patch_id).ok
    assert [c for c, _ in cells] == list(m.held.__closure__)
    for cell, value in cells:
        cell.cell_contents = value
    assert m.held(3) == before


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters came with 3.12")
def test_a_generic_closure_that_exists_runs_the_new_text(world: Any) -> None:
    """Its type parameters belong to the code around it."""
    text = "def make(a, b):\n    def inner[T](x: T) -> T:\n        return a + b + x\n    return inner\nheld = make(1, 2)\n"
    m = world.module(text)
    report = suture.apply(world.replace(("a + b + x", "b + x")))
    assert report.ok, report.words()
    assert "closures-left" not in codes(report), report.words()
    assert (m.held(3), m.make(1, 2)(3)) == (5, 5)


# Before and after, and why the closure that exists stays old.
LEFT = {
    "a cell that it doesn't have": ("a, b=2", "return a", "return a, b", "no cell"),
    "a name in the way of the stand-in": ("a, a0=2", "return a, a0", "a = 5\n        return a, a0", "'a0' in function definition"),
}


@pytest.mark.parametrize("case", LEFT, ids=list(LEFT))
def test_a_closure_that_cannot_follow_stays_whole(world: Any, case: str) -> None:
    """It keeps its old code and says why; what is made from now on is new."""
    first, old, new, why = LEFT[case]
    m = world.module(closure(first, old))
    before, code = m.held(3), m.held.__code__
    report = suture.apply(world.patch(closure(first, new)))
    assert report.ok, report.words()
    (left,) = [f for f in report.findings if f.code == "closures-left"]
    assert why in left.message
    assert m.held.__code__ is code
    assert m.held(3) == before != m.make(1)(3)


def test_parameters_of_a_closure_that_change(world: Any) -> None:
    """Its defaults were computed when it was made: it stays old; so does one whose place in the text is gone."""
    m = world.module(
        "def make(a):\n    def inner(x):\n        return a + x\n    def gone():\n        return a\n    return inner, gone\nbox = []\n"
    )
    m.box.extend(m.make(1))
    report = suture.apply(
        world.replace(
            ("def inner(x):\n        return a + x", "def inner(x, y=5):\n        return a + x + y"),
            ("    def gone():\n        return a\n    return inner, gone", "    return inner, None"),
        )
    )
    assert report.ok, report.words()
    reasons = sorted(f.message.rpartition(": ")[2] for f in report.findings if f.code == "closures-left")
    assert len(reasons) == 2
    assert reasons[0].startswith("its parameters") and reasons[1].startswith("the new source has no function")
    held, other = m.box
    assert (held(3), other(), m.make(1)[0](3)) == (4, 1, 9)


def test_closures_that_the_module_makes_are_made_anew(world: Any) -> None:
    """What several names at the top level hold is worked out again with the function that makes them."""
    text = "def make(a):\n    def inner(x):\n        return a + x\n    return inner, a\nheld, other = make(1)\n"
    m = world.module(text)
    had = m.held
    report = suture.apply(
        world.patch(text.replace("def inner(x):\n        return a + x", "def inner(x, y=5):\n        return a + x + y"))
    )
    assert report.ok, report.words()
    assert (m.held(3), m.other, had(3)) == (9, 1, 4)
    assert "closures-left" in codes(report)
    assert suture.revert(report.patch_id).ok
    assert m.held is had


def test_lambdas_on_one_line_that_cannot_be_told_apart(world: Any) -> None:
    """Which of them an inner code was made by isn't guessed, where it has to be made to fit."""
    text = "def make(a, b):\n    return (lambda: a + b), (lambda: (a, b))\nheld, other = make(1, 2)\n"
    m = world.module(text)
    report = suture.apply(world.replace(("lambda: a + b", "lambda: a")))
    assert report.ok, report.words()
    (left,) = [f for f in report.findings if f.code == "closures-left"]
    assert "can't be told" in left.message
    assert (m.held(), m.other(), m.make(1, 2)[0]()) == (3, (1, 2), 1)


def test_functions_of_a_table_are_made_to_fit_from_their_own_lines(world: Any) -> None:
    """A lambda of a statement that isn't run again loses a cell: it gets its own text, not that of the line above."""
    text = (
        "x = 0\nT = [\n    lambda: 'first',\n    *[lambda: ('one', i, j) for i, j in [(1, 2)]],\n"
        "    *[lambda: ('two', i, j) for i, j in [(1, 2)]],\n]\n"
    )
    m = world.module(text)
    held = m.T[2]
    report = suture.apply(world.replace(("('two', i, j)", "('new', j)")))
    assert report.ok, report.words()
    assert "closures-left" not in codes(report), report.words()
    assert [f() for f in m.T] == ["first", ("one", 1, 2), ("new", 2)]
    assert held.__code__.co_freevars == ("i", "j")
    assert suture.revert(report.patch_id).ok
    assert held() == ("two", 1, 2)


# ---------------------------------------------------------------- super


@pytest.mark.parametrize(
    ("new", "value"),
    [
        ("return super().f(*args), x", ("B", 3)),
        ("return (lambda: __class__)().__name__, [super(A, self).f() for _ in range(1)]", ("A", ["B"])),
        ("def deep(self):\n            return super().f()\n        return deep(self)", "B"),
        ("'said'\n        return super().f()", "B"),
        ("__class__ = 5\n        return __class__, super(A, self).f()", (5, "B")),
    ],
)
def test_super_in_a_method_that_had_none(world: Any, new: str, value: object) -> None:
    """The live method has no cell for its class: it gets the class all the same, at any depth."""
    text = "class B:\n    def f(self):\n        return 'B'\nclass A(B):\n    def f(self, x=3, *args):\n        return 'old'\n"
    m = world.module(text)
    bound = m.A().f
    report = suture.apply(world.replace(("return 'old'", new)))
    assert report.ok, report.words()
    assert bound() == value
    assert bound.__func__.__closure__ is None
    assert suture.revert(report.patch_id).ok
    assert bound() == "old"


def test_super_where_there_is_no_first_parameter(world: Any) -> None:
    """It raises as it does in a file."""
    m = world.module("class A:\n    @staticmethod\n    def f():\n        return 'old'\n")
    assert suture.apply(world.replace(("'old'", "super()"))).ok
    with pytest.raises(RuntimeError, match=r"super\(\)"):
        m.A.f()


def test_super_where_the_class_is_not_there_by_name(world: Any) -> None:
    """Only its name would do: refused, and the method keeps its code."""
    m = world.module(
        "class B:\n    def f(self):\n        return 'B'\nclass _A(B):\n    def f(self):\n        return 'old'\nKept = _A\ndel _A\n"
    )
    report = suture.apply(world.replace(("'old'", "super().f()")))
    assert not report.ok
    assert codes(report) == {"does-not-fit"}, report.words()
    assert m.Kept().f() == "old"


def test_private_names_in_a_closure_of_a_method(world: Any) -> None:
    """Cells and attributes are mangled as the class would."""
    text = (
        "class A:\n    __p = 'private'\n    def f(self, a):\n        __x = 'x'\n        def inner():\n            return __x, a\n"
        "        return inner\nheld = A().f(1)\n"
    )
    m = world.module(text)
    report = suture.apply(world.replace(("return __x, a", "return __x, A.__p")))
    assert report.ok, report.words()
    assert "closures-left" not in codes(report), report.words()
    assert m.held() == ("x", "private")
    assert m.held.__code__.co_freevars == ("_A__x", "a")


# ---------------------------------------------------------------- the room itself


def test_what_fits_is_given_back() -> None:
    """No new code object where none is needed."""
    definition = compile_text("def f(a):\n    def g():\n        return a\n    return g\n")
    assert definition.code is not None
    inner = inner_codes(definition.code)[(("g", 0),)]
    assert fit(definition, inner, ("a",), {}) is inner


def test_another_order_of_cells_is_refused() -> None:
    """Whoever made that function: never a guess."""
    definition = compile_text("def f():\n    return a, b\n")
    assert definition.code is not None
    with pytest.raises(Refused, match="would have the cells a, b, the live function has b, a") as caught:
        fit_node(definition.parse_function(), definition.code, ("b", "a"), {}, mangle=None, filename="x", flags=0)
    assert (caught.value.code, bool(caught.value.hint)) == ("does-not-fit", True)


def test_the_text_of_a_function_with_a_decorator_starts_at_the_decorator(world: Any) -> None:
    """Its inner functions are found by their lines all the same."""
    text = (
        "import functools\n\n@functools.lru_cache(\n    maxsize=None,\n)\ndef make(a, b):\n    @functools.lru_cache\n    def inner():\n"
        "        return a + b\n    return inner\nheld = make(1, 2)\n"
    )
    m = world.module(text)
    report = suture.apply(world.replace(("return a + b", "return a, 'new'")))
    assert report.ok, report.words()
    m.held.cache_clear()
    assert m.held() == (1, "new")
    assert m.make(5, 6)() == (5, "new")
