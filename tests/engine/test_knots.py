"""Blocks, loops and names that hang together, worked out again: what comes out, what is held against what, what is refused."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

import suture
from suture.patch import Severity


@pytest.fixture
def knot(world: Any) -> Iterator[Any]:
    """A live module, and the patch to another text."""

    def made(before: str, after: str, **others: tuple[str, str]) -> tuple[Any, Any]:
        module = world.module(before)
        for name, (old, _) in others.items():
            world.module(old, name)
        patch = world.patch({"m": after, **{n: new for n, (_, new) in others.items()}})
        assert not patch.left_out, patch.left_out
        return module, patch

    return made


def state(module: Any) -> dict[str, Any]:
    """Objects by name, and copies of what tables hold."""
    return {k: (id(v), type(v)(v) if type(v) in (dict, list, set) else "") for k, v in vars(module).items() if k[:2] != "__"}


def applied(patch: Any, module: Any) -> Any:
    """Applied; and a revert would put everything back."""
    before = state(module)
    report = suture.apply(patch)
    assert report.ok, report.words()
    assert suture.revert(report.patch_id).ok
    assert state(module) == before
    report = suture.apply(patch)
    assert report.ok, report.words()
    return report


def refused(patch: Any, module: Any) -> list[str]:
    """Codes of the errors; nothing was changed."""
    before = state(module)
    report = suture.apply(patch)
    assert not report.ok
    assert state(module) == before
    return [f.code for f in report.findings if f.severity is Severity.ERROR]


BLOCK = "import sys\nT = ['a']\nif {0}:\n    x = 1\n    T.append({1})\nHELD = {{'t': T}}\n"


def test_a_table_that_a_block_fills_is_merged_in_place(knot: Any) -> None:
    """Who holds it sees it; what the program has put in stays; what it has changed in front of it can't be told."""
    m, patch = knot(BLOCK.format("sys.version_info > (3,)", 1), BLOCK.format("sys.version_info > (3,)", 2))
    m.T.append("mine")
    held = m.T
    report = applied(patch, m)
    assert (m.T, m.T is held, m.HELD["t"] is held) == (["a", 2, "mine"], True, True)
    assert "merged" in {f.code for f in report.findings}
    assert [r.target.partition(":")[2] for r in report.changed] == ["T", "HELD"]


def test_a_table_that_the_program_has_taken_apart_is_a_conflict(knot: Any) -> None:
    m, patch = knot(BLOCK.format("True", 1), BLOCK.format("True", 2))
    m.T[:] = ["other"]
    assert refused(patch, m) == ["conflict"]


def test_another_branch_than_at_import_is_a_conflict(knot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The condition is asked again; that its answer isn't what it was shows in what the old source makes now."""
    text = "import os\nif os.environ.get('KNOT'):\n    A = {0}\nelse:\n    A = {1}\n"
    m, patch = knot(text.format(1, 2), text.format(10, 20))
    monkeypatch.setenv("KNOT", "1")
    assert refused(patch, m) == ["conflict"]
    monkeypatch.delenv("KNOT")
    applied(patch, m)
    assert m.A == 20


def test_a_branch_that_makes_another_name_than_at_import_is_refused(knot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "import os\nif os.environ.get('KNOT'):\n    A = {0}\nelse:\n    B = {0}\n"
    m, patch = knot(text.format(1), text.format(2))
    monkeypatch.setenv("KNOT", "1")
    assert refused(patch, m) == ["target-missing"]


def test_a_name_that_the_program_has_set_is_a_conflict(knot: Any) -> None:
    m, patch = knot("A, B = 1, 2\n", "A, B = 1, 3\n")
    m.B = 5
    assert refused(patch, m) == ["conflict"]


def test_a_name_that_is_new_and_there_is_refused(knot: Any) -> None:
    m, patch = knot("if True:\n    A = 1\n", "if True:\n    A = 1\n    B = 2\n")
    m.B = 5
    assert refused(patch, m) == ["already-defined"]


def test_a_name_that_no_branch_makes_any_more_stays_and_is_said(knot: Any) -> None:
    m, patch = knot("if True:\n    A = 1\n    B = 2\n", "if True:\n    A = 3\n")
    report = applied(patch, m)
    assert (m.A, m.B) == (3, 2)
    assert [f.target for f in report.findings if f.code == "removed-kept"] == [f"{m.__name__}:B"]


def test_what_does_not_change_keeps_its_object(knot: Any) -> None:
    """A sentinel that stands in the same block is a new object each time its statement runs."""
    text = "if True:\n    NONE = object()\n    A = {0}\n    T = {{'none': NONE, 'a': A}}\n"
    m, patch = knot(text.format(1), text.format(2))
    none = m.NONE
    applied(patch, m)
    assert (m.NONE, m.T) == (none, {"none": none, "a": 2})


def test_functions_in_tables_are_the_live_ones(knot: Any) -> None:
    """They run ahead of the commit with their new code; what is kept of them is what is live, and what was made is the module's."""
    text = (
        "def g(x):\n    return x + {0}\nT, U, V = {{}}, [], {{}}\nfor n in (1, 2):\n    T[n] = g(n)\n    U.append(g)\n"
        "    V[n] = lambda k=n: g(k)\n"
    )
    m, patch = knot(text.format(1), text.format(10))
    applied(patch, m)
    assert (m.T, m.U) == ({1: 11, 2: 12}, [m.g, m.g])
    assert [f() for f in m.V.values()] == [11, 12]
    assert all(f.__globals__ is vars(m) for f in m.V.values())


def test_an_import_that_failed_is_not_tried_again(knot: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It came to be since: another line of the block changes, and the name stays what it was."""
    text = "try:\n    import knot_late as late\nexcept ImportError:\n    late = None\n    WHY = {0}\n"
    m, patch = knot(text.format(1), text.format(2))
    (tmp_path / "knot_late.py").write_text("raise SystemExit\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    applied(patch, m)
    assert (m.late, m.WHY) == (None, 2)
    assert "knot_late" not in sys.modules


def test_an_import_that_is_new_runs(knot: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    m, patch = knot(
        "try:\n    import knot_no as x\nexcept ImportError:\n    x = None\n",
        "try:\n    import knot_new as x\nexcept ImportError:\n    x = 0\n",
    )
    assert m.x is None
    (tmp_path / "knot_new.py").write_text("Y = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    applied(patch, m)
    assert m.x.Y == 1


def test_names_that_another_module_of_the_patch_gets_are_imported(world: Any) -> None:
    """Else the import would fail, and the other branch would be taken."""
    a, n = world.module("A = 1\n", "a"), f"{world.prefix}a"
    text = "try:\n    from {0} import {1} as x, A as y\nexcept ImportError:\n    x = y = None\n"
    m = world.module(text.format(n, "NO"))
    assert m.x is None
    patch = world.patch({"a": "A = 2\nB = 3\n", "m": text.format(n, "B")})
    assert not patch.left_out
    applied(patch, m)
    assert (a.B, m.x, m.y) == (3, 3, 2)


def test_importers_follow(world: Any) -> None:
    """By name; of several names one that is called something else can't be told, and its statements are said."""
    m = world.module("A, B = 1, 2\n")
    n, s = world.module(f"from {m.__name__} import A, B\nC = B + 1\n", "n"), world.module(f"from {m.__name__} import *\n", "s")
    patch = world.patch("A, B = 5, 6\n")
    assert not patch.left_out
    applied(patch, n)
    assert (n.A, n.B, n.C, s.A, s.B) == (5, 6, 7, 5, 6)
    world.module(f"from {m.__name__} import A as Z\n", "z")
    assert [f.code for f in world.patch("A, B = 7, 8\n").left_out] == ["value-changed"]


def test_a_second_patch_stands_on_the_first(world: Any) -> None:
    text = "T = {{}}\nfor i in range({0}):\n    T[i] = i\nA, B = {0}, len(T)\n"
    m = world.module(text.format(1))
    first = suture.apply(world.patch(text.format(2)))
    world.old = {f"{world.prefix}m": text.format(2)}
    second = suture.apply(world.patch(text.format(3)))
    assert first.ok and second.ok, second.words()
    assert (m.T, m.A, m.B, m.i) == ({0: 0, 1: 1, 2: 2}, 3, 3, 2)
    assert not suture.revert(first.patch_id).ok
    assert suture.revert(second.patch_id).ok and suture.revert(first.patch_id).ok
    assert (m.T, m.A, m.B, m.i) == ({0: 0}, 1, 1, 0)


def test_a_plan_changes_nothing_and_runs_nothing(knot: Any) -> None:
    m, patch = knot("def g():\n    return 1\nA, B = g(), 1\n", "def g():\n    return 2\nA, B = g(), 2\n")
    before = state(m)
    assert suture.plan(patch).ok
    assert state(m) == before


def test_live_already(knot: Any) -> None:
    m, patch = knot("if True:\n    A = 1\n", "if True:\n    A = 2\n")
    m.A = 2
    report = suture.apply(patch)
    assert report.ok
    assert {"already-fixed", "nothing-live"} <= {f.code for f in report.findings}


def test_what_fails_is_said(knot: Any) -> None:
    m, patch = knot("if True:\n    A = 1\n", "if True:\n    A = 1 / 0\n")
    assert refused(patch, m) == ["evaluation-failed"]
