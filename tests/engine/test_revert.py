"""Taking a patch back: what is still ours goes, what somebody changed since stays and is said, and nothing is half done."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest

import suture
from suture.engine import census
from suture.engine.stage import MOVES, Applied, literal
from suture.engine.swap import ABSENT, Undo
from suture.errors import Fault
from suture.patch import Change, Expect, Kind, Patch, Scope, Target
from suture.report import State


def codes(report: Any) -> set[str]:
    return {f.code for f in report.findings}


def applied(patch: Any, **options: Any) -> Any:
    report = suture.apply(patch, **options)
    assert report.ok, report.words()
    return report


def test_code_that_somebody_changed_since_is_not_touched(world: Any) -> None:
    """Refused, and the rest of the patch stays live too."""
    m = world.module("def f():\n    return 'old'\ndef g():\n    return 'old'\nLIMIT = 1\n")
    report = applied(world.patch("def f():\n    return 'new'\ndef g():\n    return 'new'\nLIMIT = 2\n"))
    theirs = (lambda: "theirs").__code__
    m.g.__code__ = theirs
    back = suture.revert(report.patch_id)
    assert not back.ok
    assert codes(back) == {"changed-since"}
    assert "g.__code__" in back.findings[0].message
    assert (m.f(), m.g(), m.LIMIT) == ("new", "theirs", 2)
    assert m.g.__code__ is theirs
    assert [r.patch_id for r in suture.status()] == [report.patch_id]
    again = suture.apply(world.patch("def f():\n    return 'new'\ndef g():\n    return 'new'\nLIMIT = 2\n"))
    assert not again.ok  # it isn't called live any more
    m.g.__code__ = report_code(report)


def report_code(report: Any) -> types.CodeType:
    """What the patch had put into its second function."""
    (live,) = [a for a in suture._engine().stack if a.patch_id == report.patch_id]
    return next(e.store.new for e in live.undo.entries if e.store.name == "__code__" and e.store.owner.__name__ == "g")


def test_data_that_somebody_changed_since_stays(world: Any) -> None:
    """A constant, an added name, a class attribute, a default: each is said by name, the others go back."""
    m = world.module("LIMIT = 1\nclass A:\n    size = 1\ndef f(a=1):\n    return a\n")
    report = applied(
        world.patch("LIMIT = 2\nADDED = 3\nKEPT = 4\nclass A:\n    size = 2\n    more = 3\ndef f(a=2):\n    return a\n")
    )
    m.LIMIT, m.ADDED, m.A.size, m.f.__defaults__ = 7, 7, 7, (7,)
    del m.KEPT
    back = suture.revert(report.patch_id)
    assert back.ok, back.words()
    warned = {f.target.rpartition(".")[2] for f in back.findings if f.code == "changed-since"}
    assert warned == {"LIMIT", "ADDED", "KEPT", "size", "__defaults__"}
    assert (m.LIMIT, m.ADDED, m.A.size, m.f(), hasattr(m, "KEPT"), hasattr(m.A, "more")) == (7, 7, 7, 7, False, False)


def test_closures_made_by_the_patch_whose_cells_differ_stay(world: Any) -> None:
    """They have no cell for what the old text used: they keep the new code, and the report names them."""
    text = "made = []\ndef make(k):\n    def inner(x):\n        return 'old', x * k\n    return inner\nheld = make(3)\n"
    m = world.module(text)
    report = applied(world.replace(("'old', x * k", "'new', x")))
    m.made.append(m.make(5))
    assert (m.held(1), m.made[0](1)) == (("new", 1), ("new", 1))
    back = suture.revert(report.patch_id)
    assert back.ok, back.words()
    left = [f for f in back.findings if f.code == "closures-left"]
    assert [f.severity for f in left] == ["warning"]
    assert "made" in left[0].target
    assert (m.held(1), m.make(5)(1), m.made[0](1)) == (("old", 3), ("old", 5), ("new", 1))


def test_closures_made_by_the_patch_with_other_parameters_stay(world: Any) -> None:
    """Their defaults belong to the new text."""
    m = world.module("def make(k):\n    def inner(x):\n        return 'old', x, k\n    return inner\n")
    report = applied(world.replace(("inner(x)", "inner(x, y=2)"), ("'old', x", "'new', x, y")))
    m.held = m.make(5)
    back = suture.revert(report.patch_id)
    assert "closures-left" in codes(back), back.words()
    assert (m.held(1), m.make(5)(1)) == (("new", 1, 2, 5), ("old", 1, 5))


def test_a_revert_that_is_interrupted_before_its_commit_changes_nothing(world: Any) -> None:
    """The patch is live, says so, and can be taken back again."""
    m = world.module("def f():\n    return 'old'\n")
    report = applied(world.replace(("'old'", "'new'")))
    engine = suture._engine()
    for step in ("resolve", "guard", "commit"):

        def stop(at: str, step: str = step) -> None:
            if at == step:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            engine.revert(report.patch_id, on_step=stop)
        assert m.f() == "new"
        assert [r.state for r in suture.status()] == [State.COMMITTED]
    assert suture.revert(report.patch_id).ok
    assert m.f() == "old"


def test_names_of_patches_may_be_shortened_while_they_are_unique(world: Any) -> None:
    """More than one that starts like it is refused, and both stay."""
    m = world.module("def f():\n    return 1\ndef g():\n    return 1\n")
    one = applied(world.patch("def f():\n    return 2\ndef g():\n    return 1\n"))
    two = applied(world.patch("def f():\n    return 1\ndef g():\n    return 2\n"))
    back = suture.revert("p")
    assert codes(back) == {"patch-unknown"}
    assert one.patch_id in back.findings[0].message and two.patch_id in back.findings[0].message
    assert (m.f(), m.g()) == (2, 2)
    assert suture.revert(one.patch_id).ok
    assert (m.f(), m.g()) == (1, 2)
    assert suture.revert("p").ok


def test_a_revert_from_inside_an_expression_is_refused(world: Any) -> None:
    """The transaction under way goes on, and nothing else is done meanwhile."""
    m = world.module("import suture\nsaid = []\ndef f():\n    return 1\n")
    first = applied(world.replace(("return 1", "return 2")))
    world.becomes("import suture\nsaid = []\ndef f():\n    return 2\n")
    text = f"import suture\nsaid = []\nX = said.append(suture.revert({first.patch_id!r}))\nY = said.append(suture.plan(b''))\n"
    applied(world.patch(f"{text}def f():\n    return 3\n"))
    assert [codes(r) for r in m.said] == [{"busy"}, {"busy"}]
    assert m.f() == 3


# ---------------------------------------------------------------- states


@pytest.mark.parametrize("state", list(State))
def test_only_the_moves_of_the_table_are_possible(state: State) -> None:
    """Another one is a fault of ours, and the state stays."""
    for to in State:
        one = Applied("p-1", state, Undo())
        if to in MOVES[state]:
            one.move(to)
            assert one.state is to
            continue
        with pytest.raises(Fault) as caught:
            one.move(to)
        assert (caught.value.code, one.state) == ("illegal-move", state)


@pytest.mark.parametrize("text", ["import os", "x: int", "x = y", "x = f()", "x = [f()]", "x = 1 + y"])
def test_what_has_no_plain_value(text: str) -> None:
    """Nothing is computed to find out."""
    import ast

    assert literal(ast.parse(text).body[0]) is ABSENT
    assert literal(ast.parse("x: int = [1, -2]").body[0]) == [1, -2]


# ---------------------------------------------------------------- sources


def test_a_patch_may_come_as_a_path_or_bytes(world: Any, patch_file: Any, tmp_path: Path) -> None:
    """A file that isn't there is a refusal with its name."""
    m = world.module("def f():\n    return 1\n")
    path = patch_file(world.replace(("1", "2")))
    for source in (path, str(path), path.read_bytes()):
        report = applied(source)
        assert m.f() == 2
        assert suture.revert(report.patch_id).ok
    report = suture.apply(tmp_path / "nothing.suture")
    assert codes(report) == {"patch-unreadable"}
    assert report.findings[0].target.endswith("nothing.suture")
    assert suture.apply(tmp_path).findings[0].code == "patch-unreadable"


def test_a_change_without_a_new_text_is_refused(world: Any) -> None:
    """A removal can't be carried; a patch written by hand that asks for one is no patch."""
    m = world.module("def f():\n    return 1\n")
    change = Change(0, Kind.FUNCTION, Target(m.__name__, "f"), "def f():\n    return 1\n", None, Scope(), Expect.SOURCE, ())
    report = suture.apply(Patch("p", (change,)))
    assert codes(report) == {"bad-patch"}
    assert m.f() == 1


def test_all_texts_that_cannot_be_compiled_are_named(world: Any) -> None:
    """Not only the first."""
    m = world.module("def f():\n    return 1\n")
    changes = [
        Change(i, Kind.FUNCTION, Target(m.__name__, n), "def f():\n    return 1\n", f"def {n}(:\n", Scope(line_after=i + 1))
        for i, n in enumerate(("f", "g"))
    ]
    report = suture.apply(Patch("p", tuple(changes)))
    assert [f.code for f in report.findings] == ["syntax-error"] * 2
    assert m.f() == 1


# ---------------------------------------------------------------- what holds a function


def test_places_that_hold_a_function_are_counted_and_named(world: Any) -> None:
    """In the report's rows."""
    m = world.module("def f():\n    return 1\ntable = {'f': f}\nalso = f\n")
    report = applied(world.replace(("return 1", "return 2")))
    (row,) = report.changed
    assert row.holders >= 3
    assert {f"{m.__name__}.{p}" for p in ("f", "also", "table['f']")} <= set(row.places)
    assert len(row.places) <= census.MAX_PLACES
