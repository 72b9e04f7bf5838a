"""Conservation as a law: whatever is edited, carried changes + findings = the whole difference."""

from __future__ import annotations

import ast
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from suture.ops.build.builder import build
from suture.ops.build.conserve import rebuilt, unexplained
from suture.ops.build.diff import diff
from suture.ops.build.tree import Source
from suture.patch import Severity, dump, load

NAMES = ["f", "g", "h", "A", "B", "X", "Y", "os", "join"]
EXPRESSIONS = st.sampled_from(
    ["1", "2", "'t'", "(1, 2)", "[1]", "{'a': 1}", "X", "f()", "lambda a: a + 1", "lambda a: a + 2", "None"]
)
DECORATORS = st.sampled_from(["", "", "", "@staticmethod\n", "@property\n", "@overload\n", "@x.setter\n"])


@st.composite
def function(draw: st.DrawFn) -> str:
    name, body = draw(st.sampled_from(NAMES[:5])), draw(EXPRESSIONS)
    doc = draw(st.sampled_from(["", "    'doc'\n", "    # comment\n"]))
    default = draw(st.sampled_from(["", "a=1", "a=X"]))
    kind = draw(st.sampled_from(["def", "def", "async def"]))
    return f"{draw(DECORATORS)}{kind} {name}({default}):\n{doc}    return {body}\n"


assignment = st.builds(
    "{} = {}\n".format, st.sampled_from(["X", "Y", "A", "__all__", "__slots__", "X, Y", "f.attr", "X[0]"]), EXPRESSIONS
)
imports = st.sampled_from(
    [
        "import os\n",
        "import os.path\n",
        "from os.path import join\n",
        "from os.path import join, split as s\n",
        "from m import *\n",
        "import json as os\n",
    ]
)
other = st.sampled_from(
    [
        "f(1)\n",
        "f(2)\n",
        "f(lambda: 1)\n",
        "f(lambda: 2)\n",
        "X += 1\n",
        "del X\n",
        "pass\n",
        "'a bare string'\n",
        "...\n",
        "X: int\n",
        "X: int = 1\n",
        "a = 1; b = 2\n",
        "for i in X:\n    def f(): return 1\n",
        "for i in X:\n    def f(): return 2\n",
        "# a comment\n",
    ]
)
simple = st.one_of(function(), assignment, imports, other)


def indented(text: str) -> str:
    return "".join(f"    {line}" for line in text.splitlines(keepends=True))


@st.composite
def class_(draw: st.DrawFn) -> str:
    head = draw(st.sampled_from(["class A:\n", "class B(A):\n", "@dataclass\nclass A:\n", "class A(Enum):\n"]))
    return head + indented("".join(draw(st.lists(simple, max_size=4))) + "pass\n")


@st.composite
def block(draw: st.DrawFn) -> str:
    head = draw(st.sampled_from(["if X:\n", "if TYPE_CHECKING:\n", "if __name__ == '__main__':\n", "try:\n", "with X:\n"]))
    text = head + indented("".join(draw(st.lists(st.one_of(simple, class_()), max_size=3))) + "pass\n")
    if head == "try:\n":
        return f"{text}except E:\n{indented(draw(simple) + 'pass' + chr(10))}"
    return text + (f"else:\n{indented(draw(simple) + 'pass' + chr(10))}" if head.startswith("if X") and draw(st.booleans()) else "")


statement = st.one_of(simple, simple, class_(), block())


@st.composite
def edited(draw: st.DrawFn) -> tuple[str, str]:
    """A module, and what some edits make of it: statements dropped, added, replaced, moved."""
    old = draw(st.lists(statement, max_size=7))
    new = list(old)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(new)))
        match draw(st.sampled_from(["add", "drop", "replace", "swap"])):
            case "add":
                new.insert(at, draw(statement))
            case "drop":
                del new[at : at + 1]
            case "replace":
                new[at : at + 1] = [draw(statement)]
            case _:
                new[at : at + 2] = reversed(new[at : at + 2])
    head = draw(st.sampled_from(["", "", "from __future__ import annotations\n"]))
    return "".join(old), head + "".join(new)


@given(edited())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_difference_is_carried_or_named(texts: tuple[str, str]) -> None:
    """Of two versions of a module, no statement is lost between changes and findings."""
    old, new = Source("case.py", "case", texts[0]), Source("case.py", "case", texts[1])
    found = diff(old, new)
    assert unexplained(old, new, found.changes, found.findings) == []


@given(edited())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_without_findings_the_carried_changes_are_the_new_module(texts: tuple[str, str]) -> None:
    """Where nothing is left out and nothing is remarked, OLD with the changes written in parses as NEW does."""
    old, new = Source("case.py", "case", texts[0]), Source("case.py", "case", texts[1])
    found = diff(old, new)
    if not found.findings:
        text = rebuilt(old, new, found.changes)
        assert sorted(map(ast.dump, _plain(ast.parse(text)))) == sorted(map(ast.dump, _plain(new.tree)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("from t import b, a\nX = 1\n", "from t import a, b\nX = 1\n"),
        ("from t import b, c, a\n", "from t import a\nfrom t import b, c\n"),
        ("import b.x, a\n", "import a, b.x\n"),
        (
            "if TYPE_CHECKING:\n    from t import a\nelse:\n    a = 1\n",
            "if TYPE_CHECKING:\n    from t import a, b\nelse:\n    a = 1\n",
        ),
        (
            "if TYPE_CHECKING:\n    from t import a, b\nelse:\n    a = 1\n",
            "if TYPE_CHECKING:\n    from t import b\nelse:\n    a = 1\n",
        ),
        ("from t import a, b\n", "from t import a\ndef b(): pass\n"),
        ("def b(): pass\n", "from t import a, b\n"),
        ("if __name__ == '__main__':\n    import a\n", "if __name__ == '__main__':\n    import a, b\n"),
    ],
)
def test_names_of_one_import_are_counted_one_by_one(old: str, new: str) -> None:
    """In any order; a finding about one of them says nothing of the others."""
    sides = Source("m.py", "m", old), Source("m.py", "m", new)
    found = diff(*sides)
    assert unexplained(*sides, found.changes, found.findings) == []


def test_a_lost_name_of_an_import_is_seen() -> None:
    """Whatever its order."""
    old, new = Source("m.py", "m", "from t import b, a\n"), Source("m.py", "m", "from t import a, b, c\n")
    assert unexplained(old, new, [], []) == ["m.py:1 import t.c as c"]


def _plain(tree: ast.Module) -> list[ast.stmt]:
    """Statements with imports of several names taken apart, ``pass`` left out."""
    out: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                single = ast.parse(ast.unparse(node)).body[0]
                single.names = [alias]  # type: ignore[attr-defined]
                out.append(single)
        elif isinstance(node, ast.ClassDef):
            inner = sorted(_plain(ast.Module(node.body, [])), key=ast.dump)
            node.body = [n for n in inner if not isinstance(n, ast.Pass)]
            out.append(node)
        elif not isinstance(node, ast.Pass):
            out.append(node)
    return out


@given(edited())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_builder_never_breaks_and_its_file_reads_back(texts: tuple[str, str]) -> None:
    """Any two modules give a patch that survives dump and load, and no fault of the builder's own."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{side}.py") for side in ("old", "new")]
        for path, text in zip(paths, texts):
            path.write_text(text, encoding="utf-8")
        patch = build(*paths, name="fix")
    assert load(dump(patch)) == patch
    assert not [f for f in patch.left_out if f.code == "builder-fault"]
    assert all(f.severity is Severity.ERROR for f in patch.left_out)
    assert all(f.severity is not Severity.ERROR for f in patch.remarks)
