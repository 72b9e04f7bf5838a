"""The docs keep up with the code: each finding and verb has its section, each link leads somewhere, the tutorial is true."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from suture.ops.build import build
from suture.ops.cli.main import VERBS
from tutorials import Page, pid_of, plain, python_of

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src" / "suture").rglob("*.py"))
FINDINGS = ROOT / "docs" / "reference" / "findings.md"
PAGES = [p for p in (*sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*.md")))]
CALLS = {"Refused", "Denied", "Fault", "SutureError", "Finding", "finding", "_finding", "_say", "say"}


def codes(tree: ast.Module) -> Iterator[str]:
    """
    First arguments of calls that refuse or find: literals, and literals that are assigned to a name used there.

    ``code, word = ("a", "b") if x else ("c", "d")`` gives a and c.
    """
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if called in CALLS:
                first = node.args[0]
                yield from literals(first)
                names |= {first.id} if isinstance(first, ast.Name) else set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                parts = target.elts if isinstance(target, ast.Tuple) else [target]
                for at, part in enumerate(parts):
                    if isinstance(part, ast.Name) and part.id in names:
                        yield from literals(node.value, at if isinstance(target, ast.Tuple) else None)


def literals(node: ast.expr, at: int | None = None) -> Iterator[str]:
    """Strings that an expression may be (its element *at*, if it is a tuple)."""
    if isinstance(node, ast.IfExp):
        yield from literals(node.body, at)
        yield from literals(node.orelse, at)
    elif isinstance(node, ast.Tuple) and at is not None and at < len(node.elts):
        yield from literals(node.elts[at])
    elif at is None and isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def in_source() -> dict[str, str]:
    """Each code and a file that it occurs in."""
    return {code: path.name for path in SOURCES for code in codes(ast.parse(path.read_text()))}


def sections(page: Path) -> list[str]:
    """Headings that are one code word."""
    return re.findall(r"^#{2,3} `([a-z-]+)`$", page.read_text(), re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What a link may point at inside a page."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in heads}


def without_code(text: str) -> str:
    """The text without fenced blocks and inline code."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def test_collector_sees_names_and_literals() -> None:
    """A code is found as a literal, by a name assigned from a choice, and not in other calls."""
    text = 'code, word = ("a-a", "x") if y else ("b-b", "z")\nFinding(code, 1)\nself._say("c-c")\nprint("d-d")\n'
    assert set(codes(ast.parse(text))) == {"a-a", "b-b", "c-c"}


def test_each_finding_has_its_section() -> None:
    """Whatever suture says has a section with the way round."""
    missing = {code: file for code, file in in_source().items() if code not in sections(FINDINGS)}
    assert not missing, f"no section in docs/reference/findings.md for {missing}"


def test_no_section_is_stale() -> None:
    """Each section is of a code that is there, once."""
    text = "".join(p.read_text() for p in SOURCES)
    assert [c for c in sections(FINDINGS) if f'"{c}"' not in text] == []
    assert [c for c, n in Counter(sections(FINDINGS)).items() if n > 1] == []


def test_each_section_says_severity_and_who() -> None:
    """A section opens with its severity."""
    for block in re.split(r"^### ", FINDINGS.read_text(), flags=re.MULTILINE)[1:]:
        head, first = block.split("\n")[:2]
        assert re.match(r"(error|warning|note|denied|fault)\b", first), f"{head}: begins with {first[:40]!r}"


def test_each_verb_has_its_section() -> None:
    """The page of the command line has all verbs, and only those."""
    assert sections(ROOT / "docs" / "reference" / "command-line.md") == [v.name for v in VERBS]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link is a file, and its anchor a heading of it."""
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"{link} leads nowhere"
        assert there == page or there.is_relative_to(ROOT), f"{link} leaves the repository"
        assert not anchor or anchor in anchors(there), f"{link}: no such heading"


def test_each_decision_is_a_page_with_its_four_parts() -> None:
    """Each decision has context, options, decision and what would change it, and is in the list."""
    pages = sorted((ROOT / "docs" / "adr").glob("0*.md"))
    listed = (ROOT / "docs" / "adr" / "README.md").read_text()
    assert [int(p.name[:4]) for p in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        heads = re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)
        assert heads == ["Context", "Options", "Decision", "What would change our mind"], page.name
        assert f"]({page.name})" in listed, page.name


def test_the_tutorial_is_true(tmp_path: Path) -> None:
    """Its program, run as it stands, prints what its comments say; the patch has the id shown."""
    text = (ROOT / "docs" / "tutorial" / "first-fix.md").read_text()
    module, program = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    mended = re.search(r"there: `(return [^`]+)`", text)
    assert mended
    for folder, body in (("old", module), ("new", module.replace("return sum(prices)", mended[1]))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "shop.py").write_text(body)
    (tmp_path / "program.py").write_text(program)
    env = {"PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"}

    def run(*words: str) -> str:
        done = subprocess.run([sys.executable, *words], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    built = run("-m", "suture", "build", "old", "new", "-o", "tax.suture", "--reason", "tax was missing")
    assert built.splitlines()[-1] in text
    printed = [line for line in run("program.py").splitlines() if re.fullmatch(r"[\d.]+", line)]
    assert printed == re.findall(r"^print\(total.*# ([\d.]+)", program, re.MULTILINE)


def test_the_tutorial_of_a_pull_request_is_true(tmp_path: Path) -> None:
    """Each of its commands prints what the page shows, and the service answers what it shows."""
    text = (ROOT / "docs" / "tutorial" / "from-a-pull-request-to-production.md").read_text()
    (tmp_path / "work").mkdir()
    done = Page(text, tmp_path / "work", [sys.executable, "serve.py"], ROOT).run()
    assert plain(done, pid_of(done), python_of(done)) == plain(text, pid_of(text), python_of(text))


GUIDE = ROOT / "docs" / "how-to" / "write-a-change-that-can-be-hot-applied.md"
EXAMPLE = re.compile(r"^```python\n# (before|after|instead)(?:: ([^\n]*))?\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples() -> list[tuple[str, list[str]]]:
    """Code, and the texts before, after and instead."""
    found = EXAMPLE.findall(GUIDE.read_text())
    assert [f[0] for f in found] == ["before", "after", "instead"] * (len(found) // 3)
    return [(found[i][1], [body for _, _, body in found[i : i + 3]]) for i in range(0, len(found), 3)]


@pytest.mark.parametrize(("code", "texts"), examples(), ids=[code for code, _ in examples()])
def test_examples_of_the_guide_are_true(code: str, texts: list[str], tmp_path: Path) -> None:
    """The change as one would write it has the finding that is named; the other form is carried whole."""
    sides = [tmp_path / name for name in ("before", "after", "instead")]
    for side, text in zip(sides, texts, strict=True):
        side.mkdir()
        (side / "m.py").write_text(text)
    first, second = (build(sides[0], side, name="p") for side in sides[1:])
    assert code in {f.code for f in (*first.left_out, *first.remarks)}
    assert not second.left_out, second.left_out
    assert second.changes


def test_the_guide_names_what_an_author_meets() -> None:
    """Each error that the builder has about a change is in the guide, but for faults of ours and what has no way round in source."""
    whole = FINDINGS.read_text()
    said = re.findall(r"^### `([a-z-]+)`\nerror\b[^.]*· build", whole[whole.index("\n## What the builder") :], re.MULTILINE)
    text = GUIDE.read_text()
    assert [c for c in said if f"`{c}`" not in text and c not in ("no-change", "too-deep", "builder-fault", "bad-decision")] == []
