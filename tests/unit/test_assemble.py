"""The text of a file with its fix in it: as the new file has it, by rule where that isn't known, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from suture.engine.assemble import CannotAssemble, assemble
from suture.engine.facts import hash_of
from suture.ops.build import build
from suture.patch import Change, Expect, Kind, Scope, Target

OLD = '''"""Doc."""
from __future__ import annotations
import os

LIMIT = 1


def f():
    return LIMIT


class A:
    size = 1

    def first(self):
        return 1

    def last(self):
        return os.sep


tail = 0
'''


def change(before: str | None, after: str, line: int, *classes: str, new_line: int = 0, name: str = "x") -> Change:
    """One, as the builder writes it."""
    target = Target("m", ".".join((*classes, name)), "m.py")
    scope = Scope(classes, 0, 0, line, new_line or line)
    expect = Expect.LIVE if before is not None else Expect.ABSENT
    return Change(1, Kind.FUNCTION, target, before, after, scope, expect=expect, names=(name,))


def built(tmp_path: Path, old: str, new: str) -> tuple[Change, ...]:
    """The changes that the builder finds between two texts."""
    for side, text in (("old", old), ("new", new)):
        (tmp_path / side).mkdir()
        (tmp_path / side / "m.py").write_text(text)
    return build(tmp_path / "old", tmp_path / "new", name="p").changes


NEW = OLD.replace("return LIMIT", "return LIMIT + more()").replace("return os.sep", "return os.sep * 2")


@pytest.mark.parametrize(
    "new",
    [
        NEW.replace("def f()", "def more():\n    return 1\n\n\ndef f()"),
        NEW.replace("class A", "def more():\n    return 1\nclass A"),
        NEW + "def more():\n    return 1\n",
        NEW.replace("    def last", "    def more(self):\n        return 3\n\n    def last"),
        NEW.replace("import os\n", "import os\nfrom json import dumps as more\n"),
        OLD.replace("LIMIT = 1", "LIMIT = 2"),
    ],
)
def test_the_new_files_own_text(tmp_path: Path, new: str) -> None:
    """Where its hash is known, each blank line is as there."""
    changes = built(tmp_path, OLD, new)
    assert assemble(OLD, changes, hash_of(new)) == (new, True)


@pytest.mark.parametrize("after", ["", "0" * 64])
def test_by_rule(tmp_path: Path, after: str) -> None:
    """Another text around it: it does what the new one does, from the first line on."""
    new = (
        NEW.replace("import os\n", "import os\nfrom json import dumps\n")
        .replace("def f()", "STEP = 2\ndef more(by=STEP):\n    return dumps(by)\n\n\ndef f()")
        .replace("    def last", "    def middle(self):\n        return 3\n\n    def last")
    )
    text, own = assemble(OLD, built(tmp_path, OLD, new), after)
    assert not own
    mine, theirs = {}, {}
    exec(compile(text, "m.py", "exec"), mine)
    exec(compile(new, "m.py", "exec"), theirs)
    assert list(vars(mine["A"])) == list(vars(theirs["A"]))
    assert (mine["f"].__code__.co_names, mine["more"]()) == (theirs["f"].__code__.co_names, "2")
    assert text.startswith('"""Doc."""\nfrom __future__ import annotations\n')


def test_an_addition_behind_the_last_change_of_its_class() -> None:
    """At the end of the class."""
    text, own = assemble(OLD, [change(None, "    def x(self):\n        return 4\n", 0, "A", new_line=99)], "")
    space: dict[str, object] = {}
    exec(compile(text, "m.py", "exec"), space)
    mine = [name for name in vars(space["A"]) if not name.startswith("__")]  # type: ignore[arg-type]
    assert (own, mine, "tail" in space) == (False, ["size", "first", "last", "x"], True)


@pytest.mark.parametrize(
    ("text", "changes", "why"),
    [
        (OLD, [change("def f():\n    return 2\n", "def f():\n    return 3\n", 8)], "isn't at its line"),
        (OLD, [change("def f():\n    return LIMIT\n", "def f():\n    return 3\n", 0)], "isn't at its line"),
        ("x = 1\ndef (:\n", [change("x = 1\n", "x = 2\n", 1)], "the old text: "),
        (OLD, [change(None, "    def x(self):\n        return 4\n", 0, "B")], "isn't there once"),
        (OLD + "class A:\n    pass\n", [change(None, "    def x(self):\n        return 4\n", 0, "A")], "isn't there once"),
        ("class A: pass\n", [change(None, "    def x(self):\n        return 4\n", 0, "A")], "is on one line"),
        (OLD, [change(None, "  def x(self):\n        return 4\n", 0, "A")], "indented in another way"),
        (OLD, [change(None, "@register\ndef x():\n    return 4\n", 0)], "runs code of the program"),
        (OLD, [change(None, "x = compute()\n", 0)], "runs code of the program"),
        (OLD, [change(None, "class x(Base):\n    pass\n", 0)], "runs code of the program"),
        (OLD, [change(None, "def x(a, b=make()):\n    return 4\n", 0)], "runs code of the program"),
        (OLD, [change(None, "x = lambda a=make(): a\n", 0)], "runs code of the program"),
        ("a = 1\n", [change("a = 1\n", "a = 2\n", 1), change("a = 1\n", "a = 3\n", 1)], "two changes on one line"),
        (
            "class A:\n    if 1:\n        def y(self):\n            return 1\n",
            [
                change(
                    "        def y(self):\n            return 1\n",
                    "        def y(self):\n            return 2\n",
                    3,
                    "A",
                    new_line=9,
                ),
                change(None, "    def x(self):\n        return 4\n", 0, "A", new_line=5),
            ],
            "stands beside a block",
        ),
    ],
)
def test_what_cannot_be_told_is_said(text: str, changes: list[Change], why: str) -> None:
    """A text that isn't the one, or a place that can't be told."""
    with pytest.raises(CannotAssemble, match=why):
        assemble(text, changes, "")
