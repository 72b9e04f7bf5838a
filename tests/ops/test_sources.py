"""Where both sides of a patch come from: revisions, the working tree, a diff, releases, the target's interpreter."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pythons import found
from suture.errors import Refused
from suture.ops.build import sources
from suture.ops.build import tree as tree_module
from suture.ops.build.sources import Interpreter, interpreter_of, layout
from suture.ops.build.sources import command as commands
from suture.ops.cli.main import main
from suture.ops.cli.progress import Progress
from suture.patch import Patch, load

OLD, NEW = "def f():\n    return 1\n", "def f():\n    return 2\n"
SRC = Path(sources.__file__).parents[4]


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Temporary folders and the cache are the test's own; afterwards no temporary folder is left."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in [n for n in os.environ if n.startswith(("GIT_", "PIP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    (tmp_path / "gitconfig").write_text("[user]\n name = a\n email = a@example.com\n[init]\n defaultBranch = main\n")
    yield scratch
    assert not [p for p in scratch.iterdir() if p.name.startswith("suture-")], "a temporary folder is left"


class Repo:
    """A git repository."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.git("init", "-q")

    def git(self, *words: str) -> str:
        done = subprocess.run(["git", *words], cwd=self.root, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.strip()

    def write(self, files: dict[str, str | None]) -> None:
        for path, text in files.items():
            there = self.root / path
            there.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                there.unlink()
            else:
                there.write_text(text)

    def commit(self, files: dict[str, str | None], tag: str = "") -> str:
        self.write(files)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "words")
        if tag:
            self.git("tag", tag)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    """A repository that is the current folder."""
    made = Repo(tmp_path / "repo")
    monkeypatch.chdir(made.root)
    return made


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Build with these arguments: exit code, the JSON, and the patch if there is one."""

    def build(*words: str, partial: bool = False) -> tuple[int, dict[str, Any], Patch | None]:
        file = tmp_path / "fix.suture"
        code = main(["build", *words, "-o", str(file), "--json", *(["--partial"] if partial else [])])
        out = capsys.readouterr().out
        row = json.loads(out) if out else {}
        return code, row, load(file.read_bytes()) if file.exists() else None

    return build


def said(row: dict[str, Any]) -> list[str]:
    """Codes of the findings."""
    return [f["code"] for f in row["findings"]]


def carried(patch: Patch | None) -> list[tuple[str, str, str]]:
    """Target, path and new text of each change."""
    assert patch is not None
    return [(str(c.target), c.target.path, (c.after or "").split()[-1]) for c in patch.changes]


# ---------------------------------------------------------------- revisions


def test_a_range_of_revisions(repo: Repo, run) -> None:
    """Paths and modules are those of the import roots; the patch says which commits it was made from."""
    one = repo.commit({"src/shop/__init__.py": "", "src/shop/cart.py": OLD, "tests/test_cart.py": "a = 1\n"}, "v1")
    two = repo.commit({"src/shop/cart.py": NEW, "tests/test_cart.py": "a = 2\n"}, "v2")
    code, row, patch = run("v1..v2", "--reason", "why")
    assert code == 0
    assert carried(patch) == [("shop.cart:f", "src/shop/cart.py", "2")]
    assert said(row) == ["left-out-tests"]
    assert patch is not None
    assert dict(patch.meta) == {"reason": "why", "source": f"git {one[:12]}..{two[:12]}"}


def test_a_side_left_out_is_head(repo: Repo, run) -> None:
    """As with git itself: ``A..`` and ``..B``."""
    repo.commit({"m.py": OLD}, "v1")
    repo.commit({"m.py": NEW}, "v2")
    assert carried(run("v1..")[2])[0][2] == "2"
    assert carried(run("..v1")[2])[0][2] == "1"


def test_three_dots_are_from_the_merge_base(repo: Repo, run) -> None:
    """What the other branch got meanwhile isn't taken back."""
    repo.commit({"m.py": OLD, "n.py": OLD}, "base")
    repo.git("checkout", "-q", "-b", "topic")
    repo.commit({"m.py": NEW})
    repo.git("checkout", "-q", "main")
    repo.commit({"n.py": NEW})
    assert [c[0] for c in carried(run("main...topic")[2])] == ["m:f"]
    assert [c[0] for c in carried(run("main..topic")[2])] == ["m:f", "n:f"]


def test_one_revision_is_against_the_working_tree(repo: Repo, run) -> None:
    """With files that git would add, without what it ignores, whatever is in the index; a removed file is removed."""
    repo.commit({"m.py": OLD, "n.py": OLD, "gone.py": "X = 1\n", ".gitignore": "*.gen.py\nlocal/\n"}, "v1")
    repo.write({"m.py": NEW, "n.py": NEW, "gone.py": None, "added.py": "Y = 1\n", "x.gen.py": "Z = 1\n", "local/z.py": "Z = 1\n"})
    repo.git("add", "n.py")
    code, row, patch = run("HEAD", partial=True)
    assert code == 0
    assert [c[0] for c in carried(patch)] == ["added", "m:f", "n:f"]
    assert sorted((f["code"], f["target"]) for f in row["findings"]) == [("module-added", "added"), ("not-carried", "gone")]
    assert patch is not None
    assert patch.meta["source"].endswith("..working tree")


def test_other_files_of_the_working_tree_are_named(repo: Repo, run) -> None:
    """Those that git would add, or that differ from the revision."""
    repo.commit({"m.py": OLD, "a.html": "a", "same.html": "a"}, "v1")
    repo.write({"m.py": NEW, "a.html": "b", "big.bin": "x"})
    code, row, _ = run("HEAD")
    assert (code, said(row)) == (0, ["not-carried"])
    assert "2 files" in row["findings"][0]["message"]
    assert "same.html" not in row["findings"][0]["message"]


def test_what_is_staged_is_what_is_to_be_committed(repo: Repo, run) -> None:
    """Neither what was edited since, nor files that nobody has added; --staged is for one revision."""
    repo.commit({"m.py": OLD, "n.py": OLD}, "v1")
    repo.write({"m.py": NEW})
    repo.git("add", "m.py")
    repo.write({"m.py": "def f():\n    return 3\n", "n.py": NEW, "other.py": OLD})
    _, row, patch = run("HEAD", "--staged")
    assert (carried(patch), said(row)) == ([("m:f", "m.py", "2")], [])
    assert row["source"].endswith("..what is staged")
    assert sorted(c[0] for c in carried(run("HEAD")[2])) == ["m:f", "n:f", "other"]
    assert main(["lint", "v1..HEAD", "--staged"]) == 64


def test_a_stub_of_an_extension_is_said_of_a_repository_too(repo: Repo, run) -> None:
    """The extension's own source is the same on both sides."""
    repo.commit({"p/__init__.py": "", "p/m.pyx": "x = 1\n", "p/m.pyi": "x: int\n", "p/data.txt": "1"}, "v1")
    repo.commit({"p/m.pyi": "x: str\n"}, "v2")
    _, row, _ = run("v1..v2")
    assert [(f["code"], f["target"]) for f in row["findings"]][0] == ("extension-stub", "p/m.pyi")
    assert "p/m.pyx" in row["findings"][0]["message"]


def test_a_first_commit_is_all_new(repo: Repo, run) -> None:
    """A hook runs before there is a HEAD."""
    repo.write({"m.py": OLD, "n.py": OLD})
    repo.git("add", "m.py")
    assert [c[0] for c in carried(run("HEAD", "--staged")[2])] == ["m"]
    assert [c[0] for c in carried(run("HEAD")[2])] == ["m", "n"]
    code, row, _ = run("v1")
    assert (code, said(row)) == (1, ["no-revision"])


def test_an_open_merge_is_named(repo: Repo, run) -> None:
    """Which side is meant isn't guessed."""
    repo.commit({"m.py": OLD}, "v1")
    repo.git("checkout", "-qb", "other")
    repo.commit({"m.py": NEW})
    repo.git("checkout", "-q", "-")
    repo.commit({"m.py": "def f():\n    return 3\n"})
    with pytest.raises(subprocess.CalledProcessError):
        repo.git("merge", "other")
    code, row, _ = run("HEAD", "--staged")
    assert (code, said(row), row["findings"][0]["target"]) == (1, ["git-failed"], "m.py")


def test_a_clean_working_tree_is_no_change(repo: Repo, run) -> None:
    """An old time stamp is no difference, and the index isn't written."""
    repo.commit({"m.py": OLD})
    os.utime(repo.root / "m.py", (1, 1))
    index = (repo.root / ".git" / "index").read_bytes()
    code, row, _ = run("HEAD")
    assert (code, said(row)) == (1, ["no-change"])
    assert (repo.root / ".git" / "index").read_bytes() == index


def test_from_a_folder_below_and_from_elsewhere(repo: Repo, run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole repository is meant in each folder of it; ``--repo`` says which from outside; --path is relative to that."""
    repo.commit({"app/m.py": OLD, "n.py": OLD}, "v1")
    repo.commit({"app/m.py": NEW, "n.py": NEW}, "v2")
    monkeypatch.chdir(repo.root / "app")
    assert [c[1] for c in carried(run("v1..v2")[2])] == ["app/m.py", "n.py"]
    assert [c[1] for c in carried(run("v1..v2", "--path", ".")[2])] == ["m.py"]
    monkeypatch.chdir(tmp_path)
    assert [c[1] for c in carried(run("v1..v2", "--repo", str(repo.root), "--path", "n.py")[2])] == ["n.py"]
    assert [c[1] for c in carried(run("v1..v2", "--repo", str(repo.root / "app"), "--path", "m.py")[2])] == ["m.py"]
    assert [c[1] for c in carried(run("v1..v2", "--repo", str(repo.root), "--path", str(repo.root / "app"))[2])] == ["m.py"]


@pytest.mark.parametrize(
    ("paths", "targets"),
    [
        (["services/a/src"], [("pkg.m:f", "pkg/m.py")]),
        (["services/a/src/pkg"], [("pkg.m:f", "pkg/m.py")]),
        (["services/a/src/pkg/m.py"], [("pkg.m:f", "pkg/m.py")]),
        (["services/a/src", "services/b/"], [("other.n:f", "other/n.py"), ("pkg.m:f", "pkg/m.py")]),
    ],
)
def test_paths_are_import_roots_packages_or_files(repo: Repo, run, paths: list[str], targets: list[tuple[str, str]]) -> None:
    """A package, or a file of it, keeps its name; several roots become one tree."""
    for text, tag in ((OLD, "v1"), (NEW, "v2")):
        repo.commit({"services/a/src/pkg/__init__.py": "", "services/a/src/pkg/m.py": text, "services/b/other/n.py": text}, tag)
    patch = run("v1..v2", *(w for p in paths for w in ("--path", p)))[2]
    assert [c[:2] for c in carried(patch)] == targets


def test_files_of_git_stay_inside(repo: Repo, run, tmp_path: Path) -> None:
    """A link to a file of the tree is that file; one that leads outside is left out, and nothing is written out there."""
    (tmp_path / "secret.py").write_text("X = 1\n")
    repo.write({"real.py": OLD})
    (repo.root / "linked.py").symlink_to("real.py")
    (repo.root / "outside.py").symlink_to("../secret.py")
    (repo.root / "folder").symlink_to("..")
    repo.commit({}, "v1")
    repo.commit({"real.py": NEW}, "v2")
    assert [c[0] for c in carried(run("v1..v2")[2])] == ["linked:f", "real:f"]
    repo.write({"real.py": "def f():\n    return 3\n"})
    (tmp_path / "secret.py").write_text("X = 2\n")
    assert [c[0] for c in carried(run("v2")[2])] == ["linked:f", "real:f"]
    assert not layout.is_safe("../x.py")
    assert not layout.is_safe("a/.git/x.py")
    assert not layout.is_safe("/x.py")


def test_attributes_of_an_archive_leave_nothing_out(repo: Repo, run) -> None:
    """``export-ignore`` and ``export-subst`` are for release files."""
    repo.commit({".gitattributes": "m.py export-ignore\nn.py export-subst\n", "m.py": OLD, "n.py": OLD}, "v1")
    repo.commit({"m.py": NEW, "n.py": NEW + "# $Format:%H$\n"}, "v2")
    assert [c[0] for c in carried(run("v1..v2")[2])] == ["m:f", "n:f"]


def test_a_bare_repository_has_revisions(repo: Repo, run, tmp_path: Path) -> None:
    """And no working tree."""
    repo.commit({"m.py": OLD}, "v1")
    repo.commit({"m.py": NEW}, "v2")
    subprocess.run(["git", "clone", "-q", "--bare", str(repo.root), str(tmp_path / "bare")], check=True, timeout=60)
    assert len(carried(run("v1..v2", "--repo", str(tmp_path / "bare"))[2])) == 1
    code, row, _ = run("v1", "--repo", str(tmp_path / "bare"))
    assert (code, said(row)) == (1, ["no-repository"])


def test_a_submodule_that_moved_is_said(repo: Repo, run, tmp_path: Path) -> None:
    """Its files aren't looked at."""
    inner = Repo(tmp_path / "inner")
    inner.commit({"x.py": OLD})
    repo.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner.root), "inner")
    repo.commit({"m.py": OLD}, "v1")
    (repo.root / "inner" / "x.py").write_text(NEW)
    subprocess.run(["git", "commit", "-qam", "x"], cwd=repo.root / "inner", check=True, timeout=60)
    for source in ("v1", "v1..HEAD"):
        repo.write({"m.py": NEW})
        code, row, _ = run(source)
        assert (code, said(row), row["findings"][0]["target"]) == (0, ["not-carried"], "inner")
        repo.commit({})


def test_names_that_are_hard_to_write(repo: Repo, run) -> None:
    """Spaces, quotes, other letters, a line end in a file's name."""
    names = ["a b.py", 'q"uote.py', "größe.py", "new\nline.py"]
    repo.commit(dict.fromkeys(names, OLD), "v1")
    repo.commit(dict.fromkeys(names, NEW), "v2")
    assert sorted(c[1] for c in carried(run("v1..v2")[2])) == sorted(names)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["nothing..v1"], "no-revision"),
        (["v1..nothing"], "no-revision"),
        (["nothing"], "no-revision"),
        (["v1..--output=/tmp/x"], "no-revision"),
        (["v1..v1:m.py"], "no-revision"),
        (["v1..island", "--path", "nowhere"], "no-path"),
        (["v1..island", "--path", "../x"], "no-path"),
        (["v1...island"], "no-merge-base"),
        (["m.py"], "bad-source"),
        (["v1..island", "--path", "one", "--path", "two"], "paths-clash"),
        (["v1..v1"], "no-change"),
    ],
)
def test_what_the_repository_has_not_is_named(repo: Repo, run, words: list[str], code: str) -> None:
    """Exit 1, a code and a hint; an older patch of that name is removed."""
    repo.commit({"m.py": OLD, "one/a.py": OLD, "two/a.py": OLD}, "v1")
    repo.git("checkout", "-q", "--orphan", "island")
    repo.commit({"m.py": NEW})
    status, row, patch = run(*words)
    assert (status, said(row), patch) == (1, [code], None)
    assert row["findings"][0]["hint"]


@pytest.mark.parametrize("revision", ["--help", "-h", "--git-dir"])
def test_a_revision_that_looks_like_an_option_is_a_revision(repo: Repo, run, revision: str) -> None:
    """Git never reads it as one."""
    repo.commit({"m.py": OLD})
    code, row, _ = run(f"..{revision}")
    assert (code, said(row)) == (1, ["no-revision"])


def test_no_repository_is_named(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here, and where ``--repo`` says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert said(run("A..B")[1]) == ["no-repository"]
    assert said(run("A..B", "--repo", str(tmp_path))[1]) == ["no-repository"]
    assert said(run("A..B", "--repo", str(tmp_path / "none"))[1]) == ["no-repository"]


def test_a_hook_s_variables_count_unless_a_repository_is_given(repo: Repo, run, tmp_path: Path, monkeypatch) -> None:
    """``git commit`` sets GIT_DIR and GIT_INDEX_FILE for its hooks."""
    repo.commit({"m.py": OLD}, "v1")
    repo.commit({"m.py": NEW}, "v2")
    other = Repo(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other.root / ".git"))
    assert said(run("v1..v2")[1]) == ["no-revision"]
    assert len(carried(run("v1..v2", "--repo", str(repo.root))[2])) == 1


def test_no_git_is_named(repo: Repo, run, monkeypatch) -> None:
    """Two folders still work without it."""
    repo.commit({"a/m.py": OLD, "b/m.py": NEW})
    monkeypatch.setenv("PATH", str(repo.root))
    code, row, _ = run("v1..v2")
    assert (code, said(row)) == (1, ["no-command"])
    assert run("a", "b")[0] == 0


def test_a_command_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    """And said by name."""
    with pytest.raises(Refused) as caught:
        commands.run([sys.executable, "-c", "input() if 0 else __import__('time').sleep(60)"], timeout_s=0.3)
    assert caught.value.code == "timed-out"


@pytest.mark.parametrize("words", [["a..b", "-x"], [], ["a", "b", "c"], ["a", "b", "--repo", "."], ["n==1..2", "--path", "x"]])
def test_what_does_not_fit_together_is_usage(words: list[str], tmp_path: Path, capsys) -> None:
    """Exit 64."""
    assert main(["build", *words, "-o", str(tmp_path / "x.suture")]) == 64
    assert "usage" in capsys.readouterr().err


def test_options_may_stand_between_the_sources(tmp_path: Path) -> None:
    """``OLD -o FILE NEW`` too."""
    for side, text in (("old", OLD), ("new", NEW)):
        (tmp_path / side).mkdir()
        (tmp_path / side / "m.py").write_text(text)
    file = str(tmp_path / "x.suture")
    assert main(["build", str(tmp_path / "old"), "-o", file, str(tmp_path / "new")]) == 0


def test_of_a_thousand_files_those_that_matter_are_parsed(repo: Repo, run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty of them changed.  (How long that takes is in bench.)"""
    parsed: list[int] = []
    parse = ast.parse
    monkeypatch.setattr(tree_module.ast, "parse", lambda text, *a, **k: (parsed.append(len(text)), parse(text, *a, **k))[1])

    def text(number: int, value: int) -> str:
        return f"LIMIT_{number} = 1\n" + "".join(f"def f_{number}_{i}(a):\n    return a + {value}\n\n" for i in range(20))

    repo.commit({f"app/p{n // 50}/m{n}.py": text(n, 1) for n in range(1000)}, "v1")
    repo.commit({f"app/p{n // 50}/m{n}.py": text(n, 2) for n in range(0, 1000, 50)}, "v2")
    assert len(carried(run("v1..v2")[2])) == 400
    assert sum(size > 500 for size in parsed) <= 2 * 20


# ---------------------------------------------------------------- a diff


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree that is what a process runs."""
    root = tmp_path / "tree"
    (root / "pkg").mkdir(parents=True)
    (root / "pkg" / "__init__.py").write_text("")
    (root / "pkg" / "m.py").write_text("import os\n\n\n" + OLD)
    (root / "pkg" / "other.py").write_text("from pkg.m import f\n")
    return root


def diff_of(prefix: str = "", new: str = "2", before: str = "1") -> str:
    """A diff of ``pkg/m.py`` as git makes it, below a folder."""
    return (
        f"diff --git a/{prefix}pkg/m.py b/{prefix}pkg/m.py\n--- a/{prefix}pkg/m.py\n+++ b/{prefix}pkg/m.py\n"
        f"@@ -2,4 +2,4 @@ import os\n \n \n def f():\n-    return {before}\n+    return {new}\n"
    )


MAIL = "From 0123456789abcdef Mon Sep 17 00:00:00 2001\nFrom: A <a@example.com>\nSubject: [PATCH] fix\n\nwords\n---\n pkg/m.py | 2 +-\n\n"


@pytest.mark.parametrize("head", ["", MAIL], ids=["diff", "mail"])
@pytest.mark.parametrize("prefix", ["", "src/", "lib/python/"])
def test_a_tree_and_a_diff(tree: Path, run, tmp_path: Path, head: str, prefix: str) -> None:
    """As git or a mail has it; folders that its paths have more than the tree are taken off.  The tree isn't changed."""
    (tmp_path / "fix.diff").write_text(head + diff_of(prefix) + "-- \n2.39.5\n" * bool(head))
    before = {p: p.read_bytes() for p in tree.rglob("*.py")}
    code, _, patch = run(str(tree), str(tmp_path / "fix.diff"))
    assert code == 0
    assert carried(patch) == [("pkg.m:f", "pkg/m.py", "2")]
    assert patch is not None
    assert patch.meta["source"] == "diff fix.diff"
    assert {p: p.read_bytes() for p in tree.rglob("*.py")} == before


def test_a_diff_without_prefixes_and_from_standard_input(tree: Path, run, tmp_path: Path, monkeypatch) -> None:
    """``diff -u`` has no a/ and b/."""
    text = diff_of().replace(" a/", " ").replace(" b/", " ").split("\n", 1)[1]
    (tmp_path / "fix.patch").write_text(text)
    assert len(carried(run(str(tree), str(tmp_path / "fix.patch"))[2])) == 1
    with open(tmp_path / "fix.patch", encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert len(carried(run(str(tree), "-")[2])) == 1


def test_a_series_of_mails_is_one_diff(tree: Path, run, tmp_path: Path) -> None:
    """Each goes in behind the one before."""
    (tmp_path / "series.mbox").write_text(
        MAIL + diff_of() + "-- \n2.39.5\n\n" + MAIL + diff_of(new="3", before="2") + "-- \n2.39.5\n"
    )
    assert carried(run(str(tree), str(tmp_path / "series.mbox"))[2]) == [("pkg.m:f", "pkg/m.py", "3")]


def test_files_that_a_deployed_tree_lacks_are_left_out_if_they_are_tests_or_documents(tree: Path, run, tmp_path: Path) -> None:
    """And listed.  A new file of the diff is there."""
    more = (
        "--- a/src/tests/test_m.py\n+++ b/src/tests/test_m.py\n@@ -1 +1 @@\n-a = 1\n+a = 2\n"
        "--- a/CHANGES.rst\n+++ b/CHANGES.rst\n@@ -1 +1 @@\n-a\n+b\n"
        "--- /dev/null\n+++ b/src/pkg/fresh.py\n@@ -0,0 +1 @@\n+X = 1\n"
    )
    (tmp_path / "fix.diff").write_text(diff_of("src/") + more)
    code, row, patch = run(str(tree), str(tmp_path / "fix.diff"), partial=True)
    assert code == 0
    assert len(carried(patch)) == 2
    assert sorted(said(row)) == ["left-out-tests", "module-added", "not-carried"]


@pytest.mark.parametrize(
    ("text", "code", "target"),
    [
        ("", "diff-empty", ""),
        ("just words\n", "diff-empty", ""),
        (diff_of(before="7"), "diff-does-not-apply", "pkg/m.py:2"),
        (diff_of().replace("-2,4 +2,4", "-2,9 +2,9"), "diff-does-not-apply", "fix.diff:"),
        (diff_of().replace("pkg/m.py", "pkg/none.py"), "diff-does-not-apply", "pkg/none.py"),
        (diff_of().replace("pkg/m.py", "../../../x.py"), "diff-does-not-apply", "x.py"),
    ],
)
def test_a_diff_that_does_not_fit_is_refused(tree: Path, run, tmp_path: Path, text: str, code: str, target: str) -> None:
    """With the file and the line of the hunk; nothing is written."""
    (tmp_path / "fix.diff").write_text(text)
    status, row, patch = run(str(tree), str(tmp_path / "fix.diff"))
    assert (status, said(row), patch) == (1, [code], None)
    assert target in row["findings"][0]["target"]
    assert not (tmp_path / "x.py").exists()


def test_a_diff_that_is_in_already_is_said(tree: Path, run, tmp_path: Path) -> None:
    """The tree is the new side then."""
    (tmp_path / "fix.diff").write_text(diff_of())
    (tree / "pkg" / "m.py").write_text("import os\n\n\n" + NEW)
    row = run(str(tree), str(tmp_path / "fix.diff"))[1]
    assert "already" in row["findings"][0]["hint"]


def test_a_diff_applies_inside_of_a_repository_too(tree: Path, run, tmp_path: Path, repo: Repo, own_places: Path) -> None:
    """Git would skip what isn't in its current folder, if it found one around the copy."""
    subprocess.run(["git", "init", "-q", str(own_places)], check=True, timeout=60)
    (tmp_path / "fix.diff").write_text(diff_of())
    assert len(carried(run(str(tree), str(tmp_path / "fix.diff"))[2])) == 1


def test_a_link_in_a_diff_shows_no_file_of_this_machine(tree: Path, run, tmp_path: Path) -> None:
    """A diff from a stranger can't have a secret quoted as a syntax error."""
    (tmp_path / "secret").write_text("the secret is here\n")
    target = str(tmp_path / "secret")
    link = f"diff --git a/pkg/x.py b/pkg/x.py\nnew file mode 120000\n--- /dev/null\n+++ b/pkg/x.py\n@@ -0,0 +1 @@\n+{target}\n"
    (tmp_path / "fix.diff").write_text(diff_of() + link + "\\ No newline at end of file\n")
    code, row, patch = run(str(tree), str(tmp_path / "fix.diff"))
    assert (code, said(row), row["findings"][0]["target"]) == (0, ["not-carried"], "pkg/x.py")
    assert "secret is" not in json.dumps(row)
    assert len(carried(patch)) == 1


# ---------------------------------------------------------------- releases


def wheel(folder: Path, name: str, version: str, files: dict[str, str], tag: str = "py3-none-any") -> Path:
    """A wheel as an index has it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    info = f"{name}-{version}.dist-info"
    meta = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    with zipfile.ZipFile(path, "w") as file:
        for inner, text in {**files, **meta}.items():
            file.writestr(inner, text)
        file.writestr(f"{info}/RECORD", "".join(f"{inner},,\n" for inner in [*files, *meta, f"{info}/RECORD"]))
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index that is a folder, as pip is configured."""
    folder = tmp_path / "index"
    wheel(folder, "shop_cart", "1.0", {"shop/__init__.py": "", "shop/cart.py": OLD, "shop_cart-1.0.data/purelib/more.py": OLD})
    wheel(folder, "shop_cart", "1.1", {"shop/__init__.py": "", "shop/cart.py": NEW, "shop_cart-1.1.data/purelib/more.py": NEW})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_two_releases(index: Path, run) -> None:
    """Wheels come from pip, and from the cache the next time."""
    code, _, patch = run("shop.cart==1.0..1.1")
    assert code == 0
    assert [c[:2] for c in carried(patch)] == [("more:f", "more.py"), ("shop.cart:f", "shop/cart.py")]
    assert patch is not None
    assert patch.meta["source"] == "shop.cart==1.0..1.1"
    for file in index.iterdir():
        file.unlink()
    assert run("Shop_Cart==1.0..1.1")[0] == 0
    assert said(run("shop_cart==1.0..1.2")[1]) == ["no-release"]


def test_without_a_place_for_a_cache_it_works_all_the_same(index: Path, run, tmp_path: Path, monkeypatch) -> None:
    """In a container without a home; the folder is gone afterwards."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert run("shop_cart==1.0..1.1")[0] == 0


def test_another_index_is_another_cache(index: Path, run, tmp_path: Path, monkeypatch) -> None:
    """One name may mean two things on two indexes."""
    assert run("shop_cart==1.0..1.1")[0] == 0
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert said(run("shop_cart==1.0..1.1")[1]) == ["no-release"]


def test_the_installed_version_is_the_left_side(index: Path, run, tmp_path: Path, monkeypatch) -> None:
    """Its files as they stand there, whatever was done to them since."""
    site = tmp_path / "site"
    with zipfile.ZipFile(index / "shop_cart-1.0-py3-none-any.whl") as file:
        file.extractall(site)
    (site / "more.py").write_text(NEW)
    (site / "shop_cart-1.0.data").rename(tmp_path / "data")
    record = site / "shop_cart-1.0.dist-info" / "RECORD"
    record.write_text(record.read_text().replace("shop_cart-1.0.data/purelib/", "") + "../../bin/x,,\n")
    assert said(run("shop_cart==..1.1")[1]) == ["not-installed"]
    monkeypatch.setenv("PYTHONPATH", str(site))
    code, _, patch = run("shop_cart==..1.1")
    assert code == 0
    assert [c[0] for c in carried(patch)] == ["shop.cart:f"]
    assert patch is not None
    assert patch.meta["source"] == "shop_cart==1.0 (installed)..1.1"


def test_files_of_a_wheel_that_are_not_python_are_named_if_they_differ(index: Path, run) -> None:
    """Extension modules and templates are for a person."""
    for version, text in (("2.0", OLD), ("2.1", NEW)):
        wheel(index, "mixed", version, {"mixed/m.py": text, "mixed/_c.so": text, "mixed/same.txt": "same"})
    code, row, _ = run("mixed==2.0..2.1")
    assert (code, said(row), row["findings"][0]["target"]) == (0, ["not-carried"], "mixed/_c.so")


def test_a_wheel_can_write_nowhere_else(index: Path, run, tmp_path: Path) -> None:
    """Nor is one that is damaged unpacked."""
    for version, text in (("3.0", OLD), ("3.1", NEW)):
        wheel(index, "evil", version, {"evil/m.py": text, "../out.py": text, "/abs.py": text, f"{tmp_path}/abs.py": text})
    assert run("evil==3.0..3.1")[0] == 0
    assert not list(tmp_path.rglob("out.py")) + list(tmp_path.rglob("abs.py"))
    for cached in (tmp_path / "cache").rglob("evil-3.1*.whl"):
        cached.write_bytes(b"PK not a wheel")
    assert said(run("evil==3.0..3.1")[1]) == ["wheel-unreadable"]


SDIST = {
    "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
    "PKG-INFO": "Metadata-Version: 2.1\nName: sourced\nVersion: 1.1\n",
    "backend.py": """
import os, zipfile
open(os.environ["BUILT"], "w").close()
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "sourced-1.1-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as file:
        file.writestr("sourced.py", "def f():\\n    return 2\\n")
        file.writestr("sourced-1.1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: sourced\\nVersion: 1.1\\n")
        file.writestr("sourced-1.1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        file.writestr("sourced-1.1.dist-info/RECORD", "")
    return name
""",
}


def test_a_release_without_a_wheel_is_built_only_if_a_person_allows_it(index: Path, run, tmp_path: Path, monkeypatch) -> None:
    """Its build runs the project's code: without leave not a line of it."""
    import io
    import tarfile

    wheel(index, "sourced", "1.0", {"sourced.py": OLD})
    with tarfile.open(index / "sourced-1.1.tar.gz", "w:gz") as file:
        for name, text in SDIST.items():
            info = tarfile.TarInfo(f"sourced-1.1/{name}")
            info.size = len(text.encode())
            file.addfile(info, io.BytesIO(text.encode()))
    monkeypatch.setenv("BUILT", str(tmp_path / "built"))
    code, row, _ = run("sourced==1.0..1.1")
    assert (code, said(row)) == (1, ["no-wheel"])
    assert not (tmp_path / "built").exists()
    assert carried(run("sourced==1.0..1.1", "--allow-sdist")[2]) == [("sourced:f", "sourced.py", "2")]
    assert (tmp_path / "built").exists()


@pytest.mark.parametrize(
    "text", ["shop==1.0", "shop==1.0..", "==1..2", "shop==-r..2", "shop==1..2 --pre", "shop==1..2..3", "-e==1..2"]
)
def test_what_is_no_range_of_releases_is_refused(run, text: str) -> None:
    """Nothing of it reaches pip as an option."""
    code, row, _ = run(f" {text}" if text.startswith("-") else text)
    assert (code, said(row)) == (1, ["bad-source"])


def test_an_index_that_cannot_be_reached_is_named(run, monkeypatch) -> None:
    """Offline, or behind a proxy that says no."""
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "0")
    assert said(run("shop==1.0..1.1")[1]) == ["index-unreachable"]


# ---------------------------------------------------------------- the target's interpreter


def newer() -> str:
    """A Python with syntax that this one doesn't have."""
    pythons = found()
    wanted = next(
        (v for v in ("3.14", "3.15", "3.13", "3.12") if v in pythons and tuple(map(int, v.split("."))) > sys.version_info[:2]), ""
    )
    if not wanted or wanted == "3.13" or sys.version_info >= (3, 12):
        pytest.skip("no Python with newer syntax on this machine")
    return pythons[wanted]


def test_newer_syntax_is_parsed_by_the_target(tmp_path: Path, capfd) -> None:
    """The build runs in the target's interpreter, with this suture; without it a hint names the option."""
    python = newer()
    for side, value in (("old", 1), ("new", 2)):
        (tmp_path / side).mkdir()
        (tmp_path / side / "m.py").write_text(f"type X = int\ndef f[T](a: T):\n    return {value}\n")
    words = ["build", str(tmp_path / "old"), str(tmp_path / "new"), "-o", str(tmp_path / "x.suture")]
    assert main(words) == 1
    assert "--python" in capfd.readouterr().err
    assert main([*words, "--python", python]) == 0
    assert [str(c.target) for c in load((tmp_path / "x.suture").read_bytes()).changes] == ["m:f"]
    assert "1 carried" in capfd.readouterr().out


def test_the_target_s_modules_do_not_come_from_here(tmp_path: Path, capfd, monkeypatch) -> None:
    """A folder that the build runs in, or PYTHONPATH, can't stand in for the standard library."""
    python = newer()
    for side, text in (("old", OLD), ("new", NEW)):
        (tmp_path / side).mkdir()
        (tmp_path / side / "ast.py").write_text("raise SystemExit('ours was imported')\n" + text)
    monkeypatch.chdir(tmp_path / "old")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "old"))
    assert main(["build", ".", str(tmp_path / "new"), "-o", str(tmp_path / "x.suture"), "--python", python]) == 0


@pytest.mark.parametrize("what", ["none", "nopython"])
def test_an_interpreter_that_is_none_is_refused(tmp_path: Path, capsys, what: str) -> None:
    """Not there, or not Python."""
    (tmp_path / "nopython").write_text("#!/bin/sh\necho no\n")
    (tmp_path / "nopython").chmod(0o755)
    words = ["build", "a..b", "-o", str(tmp_path / "x.suture"), "--json", "--python", str(tmp_path / what)]
    assert main(words) == 1
    assert said(json.loads(capsys.readouterr().out)) == ["no-interpreter"]


def test_the_interpreter_of_a_process(tmp_path: Path) -> None:
    """In a virtual environment it is the environment's own, though the kernel sees where the link leads."""
    home = tmp_path / "env"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "python").symlink_to(os.path.realpath(sys.executable))
    (home / "pyvenv.cfg").write_text(f"home = {Path(os.path.realpath(sys.executable)).parent}\n")
    for argv, variables, wanted in (
        ([str(home / "bin" / "python")], {}, home / "bin" / "python"),
        (["worker: 1"], {"VIRTUAL_ENV": str(home)}, home / "bin" / "python"),
        (["python"], {"PATH": str(home / "bin")}, home / "bin" / "python"),
        (["worker: 1"], {}, Path(os.path.realpath(sys.executable))),
    ):
        child = subprocess.Popen(
            [*argv, "-c", "print(1, flush=True); input()"],
            executable=str(home / "bin" / "python"),
            env={"PYTHONPATH": "/some", **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            assert child.stdout is not None
            child.stdout.readline()
            seen = interpreter_of(child.pid)
            assert (seen.path, seen.version, dict(seen.variables)) == (wanted, sys.version_info[:2], {"PYTHONPATH": "/some"})
        finally:
            child.communicate(b"\n", timeout=30)
    with pytest.raises(Refused) as caught:
        interpreter_of(child.pid)
    assert caught.value.code == "no-interpreter"


def test_what_is_installed_is_asked_of_the_target(tmp_path: Path) -> None:
    """Nothing of the folder that we run in is seen there."""
    seen = Interpreter.at(Path(sys.executable)).installed("pytest")
    assert seen is not None
    assert seen.version == pytest.__version__
    assert any(p.endswith("pytest/__init__.py") for p in seen.files)


# ---------------------------------------------------------------- generated files, progress


@pytest.mark.parametrize(
    ("name", "head", "severity"),
    [
        ("x_pb2.py", "", "warning"),
        ("parser.py", "# Generated by the parser.  DO NOT EDIT.\n", "warning"),
        ("parser.py", "#!/usr/bin/env python\n# @generated by x\n", "warning"),
        ("_version.py", "# file generated by setuptools-scm\n", "note"),
        ("_version.py", "", ""),
        ("hand.py", "\n" * 12 + "# DO NOT EDIT below\n", ""),
        ("hand.py", "TEXT = 'DO NOT EDIT'\n", ""),
    ],
)
def test_generated_files_are_left_out_and_listed(tmp_path: Path, run, name: str, head: str, severity: str) -> None:
    """By their name or their first comments; a version stamp is a note, code that a process runs a warning."""
    for side, text in (("old", OLD), ("new", NEW)):
        (tmp_path / side).mkdir()
        (tmp_path / side / name).write_text(head + text)
        (tmp_path / side / "m.py").write_text(text)
    code, row, patch = run(str(tmp_path / "old"), str(tmp_path / "new"))
    assert code == 0
    assert [(f["code"], f["severity"]) for f in row["findings"]] == ([("left-out-generated", severity)] if severity else [])
    assert len(carried(patch)) == (1 if severity else 2)


def test_progress_is_a_line_a_step_behind_the_first_second(capsys, monkeypatch) -> None:
    """What is over in a second says nothing, and neither does it off a terminal."""
    from suture.ops.cli import progress as module

    with Progress(wanted=True) as quick:
        quick.step("one")
    monkeypatch.setattr(module, "_QUIET_S", 0.01)
    with Progress() as silent:
        silent.step("two")
        assert silent._timer is None
    with Progress(wanted=True) as slow:
        slow.step("three")
        assert slow._timer is not None
        slow._timer.join(10)
        slow.step("four")
    assert capsys.readouterr().err == "suture: three ...\nsuture: four ...\n"


# ---------------------------------------------------------------- several import roots


def tree_of(root: Path, files: dict[str, str]) -> str:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return str(root)


def test_two_files_of_one_name_are_not_guessed(run, tmp_path: Path) -> None:
    """Both change: neither is carried, and the way is one patch a root; one changes: carried, and said."""
    files = {"a/src/config.py": OLD, "b/src/config.py": OLD, "b/src/n.py": OLD}
    new = {p: NEW for p in files}
    old, both = tree_of(tmp_path / "old", files), tree_of(tmp_path / "both", new)
    code, row, patch = run(old, both, partial=True)
    assert code == 0
    assert [c[0] for c in carried(patch)] == ["n:f"]
    (found,) = (f for f in row["findings"] if f["severity"] == "error")
    assert (found["code"], found["target"]) == ("module-ambiguous", "config")
    assert "a/src/config.py, b/src/config.py" in found["message"]
    for root in ("a/src", str(tmp_path / "old" / "a" / "src")):
        assert [c[:2] for c in carried(run(old, both, "--path", root)[2])] == [("config:f", "config.py")]
    one = tree_of(tmp_path / "one", {**files, "a/src/config.py": NEW})
    code, row, patch = run(old, one)
    assert (code, [c[:2] for c in carried(patch)]) == (0, [("config:f", "a/src/config.py")])
    assert [(f["code"], f["severity"]) for f in row["findings"]] == [("module-ambiguous", "warning")]


def test_a_module_that_becomes_a_package_is_not_two(run, tmp_path: Path) -> None:
    """Each side has one of that name."""
    old, new = tree_of(tmp_path / "old", {"m.py": OLD}), tree_of(tmp_path / "new", {"m/__init__.py": OLD})
    assert "module-ambiguous" not in said(run(old, new)[1])


@pytest.mark.parametrize(
    ("user", "module", "severity"),
    [
        ("import x.y.p.m\n", "x.y.p.m", None),
        ("from y.p import (\n    m,\n)\n", "y.p.m", None),
        ("import p.m\n", "p.m", None),
        ("import p.m\nimport y.p.m\n", "p.m", "warning"),
        ("", "p.m", "note"),
    ],
)
def test_a_name_that_the_tree_does_not_tell_is_said(run, tmp_path: Path, user: str, module: str, severity: str | None) -> None:
    """The one that is taken, the others, and the option that says it."""
    files = {"x/y/p/__init__.py": "", "user.py": user}
    old = tree_of(tmp_path / "old", {**files, "x/y/p/m.py": OLD})
    new = tree_of(tmp_path / "new", {**files, "x/y/p/m.py": NEW})
    _, row, patch = run(old, new)
    assert [c[0] for c in carried(patch)] == [f"{module}:f"]
    found = [f for f in row["findings"] if f["code"] == "module-name"]
    assert [f["severity"] for f in found] == ([severity] if severity else [])
    assert all("--path" in f["hint"] and "y.p" in f["message"] for f in found)
    given = run(old, new, "--path", "x")[2]
    assert [c[:2] for c in carried(given)] == [("y.p.m:f", "y/p/m.py")]


def test_a_path_outside_of_the_trees_is_refused(tmp_path: Path, capsys) -> None:
    """Named; nothing is written."""
    old, new = tree_of(tmp_path / "old", {"m.py": OLD}), tree_of(tmp_path / "new", {"m.py": NEW})
    for path in ("..", "nowhere", str(tmp_path)):
        assert main(["build", old, new, "--path", path, "-o", str(tmp_path / "x.suture")]) == 1
        assert "no-path" in capsys.readouterr().err
    assert not (tmp_path / "x.suture").exists()
