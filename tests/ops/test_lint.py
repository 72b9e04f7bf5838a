"""The verdict on a change, in each form, and the exit code that a policy makes of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cases import load_all
from schema import problems
from suture.ops.build import build
from suture.ops.cli import explain, render, reports
from suture.ops.cli.main import main
from suture.ops.lint import DECIDABLE, Need, judged
from suture.patch import Finding, Patch, Severity

ROOT = Path(__file__).parents[2]
HOT = ("def f():\n    return 1\n", "def f():\n    return 2\n")
DECIDE = ("X = h(1)\n\ndef f():\n    return 1\n", "X = h(2)\n\ndef f():\n    return 2\n")
RESTART = ("class A:\n    pass\n", "import enum\nclass A(enum.Enum):\n    pass\n")
NOTHING = ("def f():\n    return 1\n", "# why\ndef f():\n    return 1\n")
SCHEMA = json.loads((ROOT / "tests" / "sarif-2.1.0.schema.json").read_text())
OWN = json.loads((ROOT / "docs" / "reference" / "operator.schema.json").read_text())


@pytest.fixture
def trees(tmp_path: Path):
    """Write two trees of one module; the arguments."""

    def make(old: str, new: str, name: str = "m.py") -> list[str]:
        for side, text in (("old", old), ("new", new)):
            (tmp_path / side).mkdir(exist_ok=True)
            (tmp_path / side / name).write_text(text)
        return ["lint", str(tmp_path / "old"), str(tmp_path / "new")]

    return make


@pytest.mark.parametrize(
    ("texts", "word"),
    [(HOT, "hot"), (DECIDE, "hot after 1 decision"), (RESTART, "restart"), (NOTHING, "hot"), ((HOT[0], HOT[0]), "hot")],
)
def test_the_verdict_comes_first(trees, capsys, texts: tuple[str, str], word: str) -> None:
    """Exit 0, whatever it is; each line below has its place."""
    assert main(trees(*texts)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == word
    for line in lines[1:]:
        assert re.match(r"(m\.py(:\d+)?: )?(error|warning|note) [a-z-]+: .", line), line


@pytest.mark.parametrize(
    ("texts", "hot", "decided"), [(HOT, 0, 0), (DECIDE, 0, 1), (RESTART, 1, 0)], ids=["hot", "decide", "restart"]
)
def test_the_exit_code_is_by_policy(trees, texts: tuple[str, str], hot: int, decided: int) -> None:
    """Hot: nothing needs a restart.  Decided: no decision is missing.  Both: both."""
    words = trees(*texts)
    assert main([*words, "--require", "hot"]) == hot
    assert main([*words, "--require", "decided"]) == decided
    assert main([*words, "--require", "decided", "--require", "hot"]) == (hot or decided)


def test_lines_are_those_of_the_repository(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under ``--path`` too, where the patch has shorter ones."""

    def git(*words: str) -> None:
        argv = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *words]
        subprocess.run(argv, cwd=tmp_path, check=True, timeout=60, capture_output=True)

    git("init", "-q")
    file = tmp_path / "services" / "shop" / "src" / "pkg" / "m.py"
    file.parent.mkdir(parents=True)
    for text in DECIDE:
        file.write_text(text)
        git("add", "-A")
        git("commit", "-q", "-m", "x")
    monkeypatch.chdir(tmp_path)
    for words in ([], ["--path", "services/shop/src"], ["--path", "services/shop/src/pkg/m.py"]):
        assert main(["lint", "HEAD~..HEAD", *words]) == 0
        line = capsys.readouterr().out.splitlines()[1]
        assert line.startswith("services/shop/src/pkg/m.py:1: error value-changed: ")


def test_a_source_that_cannot_be_had_is_exit_1(tmp_path: Path, capsys) -> None:
    """With its finding; as JSON, if that was asked for."""
    assert main(["lint", "a..b", "--repo", str(tmp_path / "none")]) == 1
    assert "no-repository" in capsys.readouterr().err
    assert main(["lint", "a..b", "--repo", str(tmp_path / "none"), "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["findings"][0]["code"] == "no-repository"
    assert main(["lint"]) == 64


def test_json_has_all(trees, capsys) -> None:
    """For programs."""
    assert main([*trees(*DECIDE), "--format", "json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["format"], row["verdict"], row["restarts"], row["decisions"], row["carried"]) == (
        1,
        "hot after 1 decision",
        0,
        1,
        1,
    )
    finding = row["findings"][0]
    assert (finding["code"], finding["file"], finding["line"], finding["need"]) == ("value-changed", "m.py", 1, "decision")


def test_github_shows_each_finding_beside_its_line(trees, capsys) -> None:
    """A restart is an error, a decision a warning."""
    assert main([*trees(*RESTART), "--format", "github"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "suture: restart"
    assert lines[1].startswith("::error file=m.py,line=2,title=suture class-shape::")
    assert main([*trees(*DECIDE), "--format", "github"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("::warning file=m.py,line=1,")


def evil() -> Patch:
    """A patch whose names come from somebody who means harm."""
    text = "x\n::set-output name=a::b\r\n<script>|`@team` [a](http://b) \033[2J % , :\ud800"
    return Patch("p", (), left_out=(Finding("value-changed", Severity.ERROR, f"{text}.py:3", text, text),))


def test_names_from_a_pull_request_stay_words() -> None:
    """No line, command, mark or mention of theirs gets through."""
    verdict = judged(evil())
    assert len(reports.text(verdict).splitlines()) == 2
    assert "\033" not in reports.text(verdict)
    lines = reports.github(verdict).splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("::warning ")
    assert "\033" not in lines[1]
    comment = reports.markdown(verdict)
    table = [line for line in comment.splitlines() if line.startswith("|")]
    assert [line.count("|") for line in table] == [5, 5, 5]
    for mark in ("<script>", "@team", "](http", "`", "\033"):
        assert mark not in comment
    json.loads(reports.json_text(verdict))
    assert problems(json.loads(reports.sarif(verdict)), SCHEMA) == []


@pytest.mark.parametrize("case", load_all(), ids=lambda c: c.name)
def test_sarif_is_as_its_schema_says(case, tmp_path: Path) -> None:
    """Each case of the corpus; rules are those that the results name."""
    log = json.loads(reports.sarif(judged(build(*case.trees(tmp_path), name="p"))))
    assert problems(log, SCHEMA) == []
    run = log["runs"][0]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    prints = [tuple(r["partialFingerprints"].values()) for r in run["results"]]
    assert len(set(prints)) == len(prints) or case.name == "main-block"  # one statement, as it was and as it is


@pytest.mark.parametrize("case", load_all(), ids=lambda c: c.name)
def test_json_is_as_its_schema_says(case, tmp_path: Path) -> None:
    """Of build and of lint, each case of the corpus: every change with its rule, every finding with its place."""
    patch = build(*case.trees(tmp_path), name="p")
    row = render.build_json(patch, tmp_path / "p.suture")
    assert problems(row, OWN) == []
    assert [c.get("rule") for c in row["carried"]] == [c.decision and c.decision.rule for c in patch.changes]
    assert all({"by", "why"} <= c.keys() for c in row["carried"] if "rule" in c)
    log = json.loads(reports.json_text(judged(patch)))
    assert problems(log, OWN) == []
    assert (log["changes"], log["carried"]) == (row["carried"], len(patch.changes))


@pytest.mark.parametrize("words", [["build"], ["lint", "--format", "json"]], ids=["build", "lint"])
def test_a_refusal_is_as_the_schema_says(tmp_path: Path, capsys, words: list[str]) -> None:
    """And a row that has something else isn't."""
    more = ["-o", str(tmp_path / "x.suture"), "--json"] if words == ["build"] else []
    assert main([words[0], "nowhere", "there", *words[1:], *more]) == 1
    row = json.loads(capsys.readouterr().out)
    assert problems(row, OWN) == []
    assert problems({**row, "more": 1}, OWN)
    assert problems({**row, "format": 2}, OWN)


def test_the_schema_check_sees_what_is_wrong() -> None:
    """A log with another version, without a tool, with a line 0."""
    good: dict[str, Any] = {"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "x"}}, "results": []}]}
    assert problems(good, SCHEMA) == []
    assert problems({**good, "version": "2.0.0"}, SCHEMA)
    assert problems({"version": "2.1.0", "runs": [{"results": []}]}, SCHEMA)
    place = {"physicalLocation": {"region": {"startLine": 0}}}
    assert problems({**good, "runs": [{**good["runs"][0], "results": [{"message": {"text": "a"}, "locations": [place]}]}]}, SCHEMA)


def test_markdown_is_a_comment(trees, capsys) -> None:
    """The verdict, a table of what stands in the way; what is only worth knowing is folded."""
    assert main([*trees("import json\n" + DECIDE[0], DECIDE[1]), "--format", "markdown"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("### suture: hot after 1 decision\n")
    assert "| decision | <code>m.py:1</code> | <code>value-changed</code> " in out
    assert "<details><summary>1 to know</summary>" in out
    assert len(reports.markdown(judged(many()))) < 65_536


def many() -> Patch:
    """A change with more findings than anybody reads."""
    found = [Finding("value-changed", Severity.ERROR, f"m.py:{n}", "x" * 200, "y" * 200) for n in range(1000)]
    return Patch("p", (), left_out=tuple(found), remarks=tuple(found))


def test_what_needs_a_restart_comes_first() -> None:
    """Then decisions, warnings, notes; by file and line."""
    words = (("type-only", "note"), ("value-changed", "error"), ("value-stale", "warning"), ("slots-changed", "error"))
    patch = Patch("p", (), left_out=tuple(Finding(code, Severity(s), "m.py:1", "x") for code, s in words))
    assert [r.need for r in judged(patch).rows] == [Need.RESTART, Need.DECISION, Need.NOTHING, Need.NOTHING]
    assert [r.finding.code for r in judged(patch).rows] == ["slots-changed", "value-changed", "value-stale", "type-only"]
    assert DECIDABLE <= explain.guide().keys()


def test_explain_prints_the_section_of_the_guide(capsys) -> None:
    """Without the rest of the arguments, in 80 columns, links as words; an unknown code names those that are near."""
    for verb in ("build", "lint"):
        assert main([verb, "--explain", "new-attribute"]) == 0
        out = capsys.readouterr().out
        assert out.startswith("new-attribute\n")
        assert "Way round" in out
        assert max(map(len, out.splitlines())) <= 80
        assert main([verb, "--explain", "new-atribute"]) == 64
        assert "new-attribute" in capsys.readouterr().err
    page = (ROOT / "docs" / "reference" / "findings.md").read_text()
    assert list(explain.guide()) == re.findall(r"^### `(.+)`$", page, re.MULTILINE)
    for code in explain.guide():
        assert explain.explained(code)
        assert explain.summary(code)[1]


def test_a_wheel_has_the_guide(tmp_path: Path) -> None:
    """It is put beside the package, and read from there."""
    text = (ROOT / "pyproject.toml").read_text()
    assert '"docs/reference/findings.md" = "suture/ops/findings.md"' in text
    copy = copied(tmp_path)
    (copy / "suture" / "ops" / "findings.md").write_text("### `armed`\nnote. From the copy.\n")
    done = explain_in(copy)
    assert (done.returncode, done.stderr) == (0, "")
    assert "From the copy." in done.stdout


def test_a_copy_without_the_page_says_so(tmp_path: Path) -> None:
    """No traceback: suture may have been copied somewhere by hand.  It judges all the same."""
    done = explain_in(copied(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    assert "unreadable" in done.stderr


def copied(root: Path) -> Path:
    """A copy of the package's modules alone."""
    shutil.copytree(ROOT / "src", root / "a" / "b" / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    return root / "a" / "b" / "copy"


def explain_in(folder: Path) -> subprocess.CompletedProcess[str]:
    """Ask a copy to explain a finding."""
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from suture.ops.cli.main import console; console()"
    argv = [sys.executable, "-I", "-c", code, str(folder), "lint", "--explain", "armed"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60)
