"""Choices of a person: from a file, or beside the code; what they do in a live process; bad ones are refused with their place."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import suture
from suture.errors import Refused
from suture.ops.build import build, decisions
from suture.ops.build.decisions import FILE, Decisions
from suture.ops.build.overrule import RULES
from suture.ops.cli.main import main
from suture.patch import Patch, dump, load


@pytest.fixture
def made(tmp_path: Path):
    """Build a patch of m.py with the choices of a file's text."""

    def make(old: str, new: str, decisions: str = "") -> Patch:
        for side, text in (("old", old), ("new", new)):
            (tmp_path / side).mkdir(exist_ok=True)
            (tmp_path / side / "m.py").write_text(text)
        file = tmp_path / FILE
        file.write_text(decisions)
        return build(tmp_path / "old", tmp_path / "new", name="fix", decisions=Decisions.read(file))

    return make


def codes(patch: Patch) -> list[str]:
    assert not any(f.code == "builder-fault" for f in patch.left_out), patch.left_out
    return [f.code for f in (*patch.left_out, *patch.remarks)]


OLD = "seen = []\ndef register(x):\n    seen.append(x)\n"


def test_statement_without_a_choice_says_what_can_be_chosen(made) -> None:
    """As a line to put into the file."""
    patch = made(OLD, f"{OLD}register(1)\n")
    assert codes(patch) == ["top-level-statement"]
    assert "`m: register(1) = run-once` or `skip`" in patch.left_out[0].hint


@pytest.mark.parametrize("beside", [True, False])
def test_run_once(made, beside: bool, world: Any) -> None:
    """It is in the patch with who chose it, and survives the file."""
    line = "register(1)  # suture: run-once it is needed\n" if beside else "register(1)\n"
    text = "" if beside else "# ours\n\nm: register(1) = run-once  # it is needed\n"
    patch = made(OLD, f"{OLD}{line}", text)
    assert codes(patch) == ["decided"]
    (change,) = patch.changes
    assert change.decision is not None
    assert (change.decision.rule, change.decision.by, change.decision.why) == ("run-once", "person", "it is needed")
    assert load(dump(patch)) == patch


def test_run_once_in_a_process(world: Any) -> None:
    """With names that the patch adds; once; its revert says nothing of it, takes back names only."""
    m = world.module(OLD)
    patch = world.patch(f"{OLD}def more():\n    return 5\nregister(more())  # suture: run-once\n")
    assert suture.plan(patch).ok
    assert m.seen == []
    report = suture.apply(patch)
    assert report.ok, report.words()
    assert m.seen == [5]
    assert "evaluated" in {f.code for f in report.findings}
    assert suture.revert(report.patch_id).ok
    assert (m.seen, hasattr(m, "more")) == ([5], False)


def test_skip(made) -> None:
    """Nothing is carried, and that is said."""
    patch = made(OLD, f"{OLD}register(1)\n", "m: register(1) = skip\n")
    assert (codes(patch), patch.changes) == (["decided", "no-change"], ())


@pytest.mark.parametrize(("choice", "value"), [("evaluate", 2), ("skip", 1)])
def test_value(world: Any, choice: str, value: int) -> None:
    """Made by a call that may do more; by choice it is worked out again, or keeps what it has."""
    text = "class A:\n    def __init__(self, n):\n        self.n = n\nX = A({})  # suture: {}\ndef f():\n    return {}\n"
    m = world.module(text.format(1, choice, 1))
    before = m.X
    report = suture.apply(world.patch(text.format(2, choice, 2)))
    assert report.ok, report.words()
    assert (m.X.n, m.f()) == (value, 2)
    assert suture.revert(report.patch_id).ok
    assert m.X is before


@pytest.mark.parametrize(("choice", "said"), [("carry", "value-stale"), ("skip", "decided")])
def test_value_with_a_reader_that_stays(made, choice: str, said: str) -> None:
    """By choice it goes without its reader, or not at all."""
    text = "X = {}\n@d(X)\ndef f():\n    pass\n"
    patch = made(text.format(1), text.format(2), f"m:X = {choice}\n")
    assert said in codes(patch)
    assert not patch.left_out
    assert [str(c.target) for c in patch.changes] == (["m:X"] if choice == "carry" else [])


def test_what_nothing_asks_for_is_said(made) -> None:
    """A decision that is out of date."""
    assert codes(made("", "X = 1\n", "m:Y = skip\n")) == ["decision-unused"]


@pytest.mark.parametrize("line", ["m:X", "m:X = perhaps", " = skip", "m:X=skip"])
def test_bad_line_is_refused(tmp_path: Path, line: str) -> None:
    """With its place."""
    file = tmp_path / FILE
    file.write_text(f"# ours\n{line}\n")
    with pytest.raises(Refused) as raised:
        Decisions.read(file)
    assert (raised.value.code, raised.value.target) == ("bad-decision", f"{file}:2")


def test_choice_that_does_not_fit_is_an_error(made) -> None:
    """A statement can't be merged."""
    assert "bad-decision" in codes(made(OLD, f"{OLD}register(1)\n", "m: register(1) = evaluate\n"))


def test_the_command_finds_the_file_of_the_new_tree(tmp_path: Path, capsys) -> None:
    """Or takes the one that is named."""
    for side, text in (("old", OLD), ("new", f"{OLD}register(1)\n")):
        (tmp_path / side).mkdir()
        (tmp_path / side / "m.py").write_text(text)
    argv = ["build", str(tmp_path / "old"), str(tmp_path / "new"), "-o", str(tmp_path / "fix.suture")]
    assert main(argv) == 1
    (tmp_path / "mine").write_text("m: register(1) = run-once\n")
    assert main([*argv, "--decisions", str(tmp_path / "mine")]) == 0
    (tmp_path / "new" / FILE).write_text("m: register(1) = run-once\n")
    assert main(argv) == 0
    assert main(["lint", str(tmp_path / "old"), str(tmp_path / "new"), "--require", "decided"]) == 0
    capsys.readouterr()


@pytest.mark.parametrize(
    ("block", "fits"),
    [
        ("if hasattr(os, 'x'):\n    Y = 1\nelse:\n    Y = 2\n", True),
        ("try:\n    import json\nexcept ImportError:\n    json = None\n", True),
        ("if X:\n    def f(a=1):\n        return a\n", True),
        ("if X():\n    X = 2\n", False),
        ("if X:\n    print(1)\n", False),
        ("if X():\n    Y = 1\n", False),
        ("for y in X:\n    pass\n", False),
        ("with X:\n    Y = 1\n", False),
        ("if X:\n    from os import *\n", False),
    ],
)
def test_a_block_that_only_makes_new_names_is_run(made, block: str, fits: bool) -> None:
    """Which of them depends on the process, so it runs there."""
    patch = made("import os\nX = 1\n", f"import os\nX = 1\n{block}")
    assert [c.decision.rule for c in patch.changes if c.decision] == (["evaluate"] if fits else [])
    assert bool(patch.left_out) is not fits


DECORATED = """table = {}
def route(path):
    def put(f):
        table[path] = f
        return f
    return put
@route("/a")
def page():
    return 1
held = [page]
"""
CHANGED = DECORATED.replace('@route("/a")\ndef page():\n    return 1', '@route("/a")\n@route("/b")\ndef page():\n    return 2')


def test_decorators_without_a_choice_say_what_can_be_chosen(made) -> None:
    """As a line to put into the file."""
    patch = made(DECORATED, CHANGED)
    assert codes(patch) == ["decorators-changed"]
    assert "`m:page = replace` or `skip`" in patch.left_out[0].hint


def test_decorators_are_skipped_with_their_function(made) -> None:
    """It stays as it is, and that is said."""
    patch = made(DECORATED, CHANGED + "def more():\n    return 3\n", "m:page = skip\n")
    assert (codes(patch), [c.target.name for c in patch.changes]) == (["decided"], ["more"])


def test_decorators_that_register_run_by_choice(world: Any) -> None:
    """Last of all; the registry and the name have the new one, who holds the old one has its new code."""
    m = world.module(DECORATED)
    old = m.page
    patch = world.patch(CHANGED.replace("def page():", "def page():  # suture: replace it takes the old one's place"))
    assert patch.left_out == (), patch.left_out
    assert suture.plan(patch).ok
    assert list(m.table) == ["/a"]
    report = suture.apply(patch)
    assert report.ok, report.words()
    assert {"ran-once", "rebound", "decided"} <= {f.code for f in report.findings}
    assert (m.table["/a"](), m.table["/b"](), m.page(), m.held[0]()) == (2, 2, 2, 2)
    assert m.table["/a"] is m.page is not old
    assert suture.revert(report.patch_id).ok
    assert (m.page is old, m.page(), list(m.table)) == (True, 1, ["/a", "/b"])


def test_decorators_that_are_chosen_do_not_run_where_something_else_refuses(world: Any) -> None:
    """They are the last that can fail."""
    m = world.module(DECORATED + "LIMIT = 1\n")
    text = CHANGED.replace("def page():", "def page():  # suture: replace") + "LIMIT = 2\n"
    patch = world.patch(text)
    m.LIMIT = 7
    assert not suture.apply(patch).ok
    assert (list(m.table), m.page()) == (["/a"], 1)


# ---------------------------------------------------------------- in place of the builder's own choice

TABLE = ("T = {'a': 1}\n", "T = {'a': 2, 'b': 3}\n")
COMPUTED = ("A = 1\nB = A * 2\n", "A = 4\nB = A * 2\n")
LITERAL = ("L = 1\n", "L = 2\n")
CLASS = "class A:\n    def m(self):\n        return 1\nclass C(A):\n    x = 1\n"
REMOVED = (f"{CLASS}    def m(self):\n        return 2\n", CLASS)
LACKING = (
    "class C:\n    def __init__(self):\n        self.a = 1\n    def m(self):\n        return self.a\n",
    "class C:\n    def __init__(self):\n        self.a = 1\n        self.b = 2\n    def m(self):\n        return self.b\n",
)
REBOUND = ("from math import floor as f\n", "from math import ceil as f\n")


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize(
    ("texts", "key", "builder", "choice"),
    [
        (TABLE, "T", "merge", "replace"),
        (TABLE, "T", "merge", "merge"),
        (TABLE, "T", "merge", "skip"),
        (LITERAL, "L", "", "skip"),
        (LITERAL, "L", "", "replace"),
        (COMPUTED, "B", "evaluate", "skip"),
        (COMPUTED, "A", "", "skip"),
        (REMOVED, "C.m", "remove", "keep"),
        (LACKING, "C.b", "class-default", "skip"),
        (REBOUND, "f", "rebind", "skip"),
    ],
)
def test_a_person_chooses_otherwise(made, texts: tuple[str, str], key: str, builder: str, choice: str, beside: bool) -> None:
    """In the file, or beside the line; it is in the patch, or said; nothing is lost."""
    before = {str(c.target): c.decision.rule if c.decision else "" for c in made(*texts).changes}
    assert before[f"m:{key}"] == builder
    old, new = texts
    if beside and key in ("C.m", "C.b"):
        pytest.skip("nothing of the new source to stand beside")
    if beside:
        line = next(n for n in new.splitlines() if n.startswith(f"{key} =") or n.startswith("from math"))
        new = new.replace(line, f"{line}  # suture: {choice} ours")
    patch = made(old, new, "" if beside else f"m:{key} = {choice}  # ours\n")
    assert not patch.left_out, patch.left_out
    after = {str(c.target): c.decision for c in patch.changes}
    (said,) = (f for f in patch.remarks if f.code == "decided")
    assert (said.target, "ours" in said.message) == (f"m:{key}", True)
    if choice in ("skip", "keep"):
        assert f"m:{key}" not in after
    else:
        chosen = after[f"m:{key}"]
        assert chosen is not None
        assert (chosen.rule, chosen.by, chosen.why) == (choice, "person", "ours")
    assert load(dump(patch)) == patch
    assert "new-attribute" not in codes(patch)
    if key == "A":
        assert "m:B" not in after  # nothing is worked out from what stays


def test_a_table_in_place_or_anew(world: Any) -> None:
    """Merged, a holder sees it; replaced, it keeps the old one, and the name has a new one; skipped, all is as it was."""
    for choice, (name, holder) in {"merge": (2, 2), "replace": (2, 1), "skip": (1, 1)}.items():
        m = world.module(TABLE[0])
        held = m.T
        report = suture.apply(world.patch(TABLE[1].replace("3}", f"3}}  # suture: {choice}") + f"def {choice}(): pass\n"))
        assert report.ok, report.words()
        assert (m.T["a"], held["a"], m.T is held) == (name, holder, choice != "replace"), choice
        assert suture.revert(report.patch_id).ok
        assert (m.T, m.T is held) == ({"a": 1}, True)


def test_a_value_that_the_program_changed_is_replaced_by_choice(world: Any) -> None:
    """Where the judge says conflict, a person may say that the new one goes in; importers have it, and the revert is whole."""
    text = "L = {}\nT = [{}]\n"
    m = world.module(text.format(1, 1))
    m.L, table = 7, m.T
    m.T.append(9)
    refused = suture.apply(world.patch(text.format(2, 2)))
    assert (refused.ok, m.L, m.T is table, table) == (False, 7, True, [1, 9])
    beside = "L = 2  # suture: replace\nT = [2]  # suture: replace\n"
    report = suture.apply(world.patch(beside))
    assert report.ok, report.words()
    assert (m.L, m.T, table) == (2, [2], [1, 9])
    assert [f.code for f in report.findings].count("replaced-value") == 2
    assert suture.revert(report.patch_id).ok
    assert (m.L, m.T is table, table) == (7, True, [1, 9])


@pytest.mark.parametrize(
    ("texts", "line", "code"),
    [
        (TABLE, "m:T = keep", "bad-decision"),
        (TABLE, "m:T = evaluate", "bad-decision"),
        (LITERAL, "m:L = merge", "bad-decision"),
        (("def f():\n    return 1\n", "def f():\n    return 2\n"), "m:f = skip", "bad-decision"),
        (("", "def f():\n    return 2\n"), "m:f = skip", "bad-decision"),
        (("def f():\n    return 1\n", "def f():\n    return 2\n"), "m:g = skip", "decision-unused"),
    ],
)
def test_what_cannot_be_chosen_is_refused_by_name(made, texts: tuple[str, str], line: str, code: str) -> None:
    """Never taken for another choice, nor passed over: with what can be chosen."""
    patch = made(*texts, f"{line}\n")
    found = [f for f in (*patch.left_out, *patch.remarks) if f.code in ("bad-decision", "decision-unused")]
    assert [f.code for f in found] == [code]
    assert found[0].hint
    assert bool(patch.left_out) is (code == "bad-decision")


def test_each_rule_of_the_builder_can_be_chosen_otherwise() -> None:
    """Those that its source names: in place of them, through a finding, or with the table that they fill."""
    folder = Path(decisions.__file__).parent
    calls = [n for p in folder.glob("*.py") for n in ast.walk(ast.parse(p.read_text())) if isinstance(n, ast.Call)]
    made = [n.args for n in calls if isinstance(n.func, ast.Name) and n.func.id == "Decision" and len(n.args) >= 2]
    rules = {a[0].value for a in made if isinstance(a[0], ast.Constant) and getattr(a[1], "value", "") == "builder"}
    assert rules
    # A class that is made anew is one with its methods: of it a decision says so, by name (bad-decision).
    assert rules - {"decorate", "remake"} <= RULES.keys()
    assert "replace" in decisions.CHOICES["decorators-changed"]
