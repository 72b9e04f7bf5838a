"""The command `suture build` and `suture show`: exit codes, streams, files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from suture.ops.cli.main import VERBS, main
from suture.patch import load


@pytest.fixture
def trees(tmp_path: Path):
    """Write two trees; the arguments of a build between them."""

    def make(old: str, new: str) -> list[str]:
        for side, text in (("old", old), ("new", new)):
            (tmp_path / side).mkdir(exist_ok=True)
            (tmp_path / side / "m.py").write_text(text)
        return ["build", str(tmp_path / "old"), str(tmp_path / "new"), "-o", str(tmp_path / "fix.suture")]

    return make


GOOD = ("def f():\n    return 1\n", "def f():\n    return 2\n")
BAD = ("X = h(1)\ndef f():\n    return 1\n", "X = h(2)\ndef f():\n    return 2\n")


def test_all_carried_is_exit_0_and_a_file(trees, tmp_path: Path, capsys) -> None:
    """The file has what was asked for; the words name the module, the definition and the file."""
    assert main([*trees(*GOOD), "--reason", "it was 1", "--author", "me", "--expires", "2030-01-01"]) == 0
    patch = load((tmp_path / "fix.suture").read_bytes())
    assert (patch.name, dict(patch.meta)) == ("fix", {"reason": "it was 1", "author": "me", "expires": "2030-01-01"})
    out = capsys.readouterr()
    assert "m  1 function" in out.out
    assert f"{patch.id}: 1 carried, 0 left out" in out.out
    assert out.err == ""


def test_something_left_out_is_exit_1_and_no_file(trees, tmp_path: Path, capsys) -> None:
    """An older file of that name is removed: nobody must apply it by mistake.  What is in the way goes to stderr."""
    file = tmp_path / "fix.suture"
    file.write_text("an older one")
    assert main(trees(*BAD)) == 1
    assert not file.exists()
    out = capsys.readouterr()
    assert "value-changed" in out.err
    assert "no file was written" in out.err
    assert "value-changed" not in out.out


def test_partial_writes_what_can_be_carried(trees, tmp_path: Path) -> None:
    """And the file says what it leaves out."""
    assert main([*trees(*BAD), "--partial", "--name", "other"]) == 0
    patch = load((tmp_path / "fix.suture").read_bytes())
    assert patch.name == "other"
    assert [f.code for f in patch.left_out] == ["value-changed"]
    assert [str(c.target) for c in patch.changes] == ["m:f"]


def test_no_difference_is_exit_1_and_comments_are_exit_0(trees, tmp_path: Path) -> None:
    """A build of two equal trees is a mistake; one of comments is an empty patch."""
    assert main(trees(GOOD[0], GOOD[0])) == 1
    assert not (tmp_path / "fix.suture").exists()
    assert main(trees(GOOD[0], f"# why\n{GOOD[0]}")) == 0
    assert load((tmp_path / "fix.suture").read_bytes()).changes == ()


@pytest.mark.parametrize(("texts", "code"), [(GOOD, 0), (BAD, 1)])
def test_json_is_one_object_on_stdout(trees, capsys, texts: tuple[str, str], code: int) -> None:
    """With all that the words have, errors first."""
    assert main([*trees(*texts), "--json"]) == code
    out = capsys.readouterr()
    row = json.loads(out.out)
    assert (row["format"], row["ok"], (row["file"] is None), (row["patch_id"] is None)) == (1, code == 0, code == 1, code == 1)
    assert row["carried"][0]["target"] == "m:f"
    assert row["carried"][0]["kind"] == "function"
    assert [f["code"] for f in row["findings"]] == ([] if code == 0 else ["value-changed"])
    assert out.err == ""


def test_words_fit_80_columns(trees, capsys) -> None:
    """Many changes too, and no colour off a terminal."""
    names = [f"function_with_a_rather_long_name_{i}" for i in range(60)]
    old = "".join(f"def {n}():\n    return 1\n" for n in names)
    assert main(trees(old, old.replace("1\n", "2\n"))) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines[:-1]) <= 80
    assert len(lines) < 24
    assert "\033" not in "".join(lines)


@pytest.mark.parametrize("argv", [[], ["build"], ["build", "a", "b"], ["nonsense"], ["show", "--what"]])
def test_usage_is_exit_64(argv: list[str], capsys) -> None:
    """Nothing is done; the usage goes to stderr."""
    assert main(argv) == 64
    out = capsys.readouterr()
    assert "usage" in out.err
    assert out.out == ""


@pytest.mark.parametrize("missing", ["old", "new"])
def test_missing_tree_is_named(trees, tmp_path: Path, capsys, missing: str) -> None:
    """Exit 1, a sentence and no traceback; an older patch of that name is removed."""
    argv = trees(*GOOD)
    (tmp_path / missing / "m.py").unlink()
    (tmp_path / missing).rmdir()
    (tmp_path / "fix.suture").write_text("an older one")
    assert main(argv) == 1
    assert "no-tree" in capsys.readouterr().err
    assert not (tmp_path / "fix.suture").exists()


def test_one_file_against_a_folder_is_refused(trees, tmp_path: Path, capsys) -> None:
    """Two of a kind are meant."""
    argv = trees(*GOOD)
    argv[1] += "/m.py"
    assert main([*argv, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["findings"][0]["code"] == "no-tree"


def test_two_files_are_named_after_the_old_one(trees, tmp_path: Path) -> None:
    """The process knows the old one's name."""
    argv = trees(*GOOD)
    (tmp_path / "new" / "m.py").rename(tmp_path / "new" / "fixed.py")
    argv[1:3] = [f"{argv[1]}/m.py", f"{argv[2]}/fixed.py"]
    assert main(argv) == 0
    target = load((tmp_path / "fix.suture").read_bytes()).changes[0].target
    assert (str(target), target.path) == ("m:f", "m.py")


def test_show_prints_a_diff_with_its_facts(trees, tmp_path: Path, capsys) -> None:
    """Who, why, what is left out, and each change with its place."""
    main([*trees(*BAD), "--partial", "--reason", "why\033[2J"])
    capsys.readouterr()
    assert main(["show", str(tmp_path / "fix.suture")]) == 0
    out = capsys.readouterr().out
    for text in ("1 left out", "value-changed", "m:f  function  m.py:2", "-    return 1\n+    return 2\n"):
        assert text in out
    assert "\033" not in out  # a patch may come from anywhere: it can't steer the terminal


def test_show_as_json(trees, tmp_path: Path, capsys) -> None:
    """The same facts, for programs."""
    main(trees(*GOOD))
    capsys.readouterr()
    assert main(["show", str(tmp_path / "fix.suture"), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["changes"][0]["after"] == GOOD[1]


@pytest.mark.parametrize("text", [b"", b"{}\n", b"not json\n", b'{"format": 1'])
def test_show_of_a_bad_file_says_so(tmp_path: Path, capsys, text: bytes) -> None:
    """Exit 1, a code, no traceback."""
    file = tmp_path / "bad.suture"
    file.write_bytes(text)
    assert main(["show", str(file)]) == 1
    assert capsys.readouterr().err.startswith("error ")
    assert main(["show", str(tmp_path / "none.suture")]) == 1


def test_every_verb_says_what_it_does(capsys) -> None:
    """Its docstring is its help."""
    for verb in VERBS:
        assert main([verb.name, "--help"]) == 0
        assert " ".join((verb.__doc__ or "").split())[:30] in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", ["", " ", "a b", "a/b", "../a", "a\nb", "a\n", "-a", ".a", "a\0", "a:b", "x" * 101, "é" * 51])
def test_name_that_is_no_part_of_a_file_name_is_exit_64(trees, tmp_path: Path, capsys, name: str) -> None:
    """Nothing is built; an older file stays."""
    file = tmp_path / "fix.suture"
    file.write_text("an older one")
    assert main([*trees(*GOOD), f"--name={name}"]) == 64
    assert file.read_text() == "an older one"
    assert "can't be the name of a patch" in capsys.readouterr().err


def test_name_comes_from_the_file_only_if_it_is_one(trees, tmp_path: Path, capsys) -> None:
    """A file may be called anything, if the patch gets a name."""
    argv = [*trees(*GOOD)[:-1], str(tmp_path / "my fix.suture")]
    assert main(argv) == 64
    assert "--name" in capsys.readouterr().err
    assert main([*argv, "--name", "my-fix_2.1é"]) == 0
    assert load((tmp_path / "my fix.suture").read_bytes()).name == "my-fix_2.1é"


def test_a_large_change_fits_on_a_screen(tmp_path: Path, capsys) -> None:
    """Forty modules, sixty findings: a line a module, what is alike together, totals last."""
    for n in range(40):
        for side, value in (("old", 1), ("new", 2)):
            (tmp_path / side).mkdir(exist_ok=True)
            more = f"class A(B1, key={value}): pass\n" if n < 30 else ""
            gone = "def gone_with_a_long_name_of_its_own(): pass\n" if side == "old" else ""
            text = f"{more}{gone}" + "".join(f"def f_{i}():\n    return {value}\n" for i in range(10))
            (tmp_path / side / f"module_{n}.py").write_text(f"B1, B2 = int, str\n{text}")
    assert main(["build", str(tmp_path / "old"), str(tmp_path / "new"), "-o", str(tmp_path / "x.suture")]) == 1
    said = capsys.readouterr()
    lines = (said.out + said.err).splitlines()
    assert len(lines) <= 50, len(lines)
    assert max(map(len, lines)) <= 80
    assert "400 carried in 40 modules, 30 left out, 40 warnings" in said.err
    assert "... and 280 in 28 more modules" in said.out
    assert "warning removed-kept  40: module_0:gone_with_a_long_name_of_its_own" in said.out
    assert 0 < said.err.count("\n  -> ") <= 5


def test_errors_that_say_the_same_are_together(trees, capsys) -> None:
    """Once in full; the others by name."""
    text = "import typing\nclass A(typing.NamedTuple):\n    X: int = 1\n"
    assert main(trees(text, f"{text}    Y: int = 2\n    Z: int = 3\n    W: int = 4\n")) == 1
    err = capsys.readouterr().err
    assert err.count("was made from its fields") == 1
    assert "the same of 2 more: A.Z, A.W" in err


@pytest.mark.parametrize(
    ("line", "shown", "at"),
    [
        ("\treturn (1", "    return (1", 11),
        ("x = (" + "a, " * 60, "x = (" + "a, " * 60, 4),
        ("y" * 100 + " = (1", None, None),
    ],
)
def test_a_caret_stands_below_its_place(trees, capsys, line: str, shown: str | None, at: int | None) -> None:
    """Behind tabs, and in a line that is wider than the screen; by build and by lint."""
    head = "def f():\n" if line.startswith("\t") else ""
    words = trees("x = 1\n", f"{head}{line}\n")
    assert main(words) == 1
    err = capsys.readouterr().err.splitlines()
    assert main(["lint", *words[1:3]]) == 0
    for lines in (err, capsys.readouterr().out.splitlines()):
        number = next(n for n, text in enumerate(lines) if text.strip() == "^")
        source, caret = lines[number - 1], lines[number]
        assert source[len(caret) - 1] == "("
        assert max(len(source), len(caret)) <= 80
        if shown is not None and at is not None:
            assert (source[4:], len(caret) - 5) == (shown[:76].rstrip(), at)


def test_files_that_count_are_named_first(tmp_path: Path, capsys) -> None:
    """A template inside of a package before documents."""
    for side in ("old", "new"):
        for path in ("AUTHORS.md", "CHANGES.rst", "Makefile", "p/__init__.py", "p/templates/page.html", "docs/a.rst"):
            (tmp_path / side / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / side / path).write_text(f"# {side}\n")
    assert main(["build", str(tmp_path / "old"), str(tmp_path / "new"), "-o", str(tmp_path / "x.suture")]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "5 files that are not Python: p/templates/page.html, Makefile, AUTHORS.md, CHANGES.rst, docs/a.rst" in words
