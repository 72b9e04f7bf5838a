"""``suture drift`` on real processes: each Python compiles for itself; what differs is named, with its exit code."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from pathlib import Path

import pytest

from drifts import DIFFERENCES, GENERIC, GENERIC_DIFFERENCES, TEXT
from pythons import WANTED, Run, found, out
from service import OLD, Process, Service


def tree(service: Service, *pairs: tuple[str, str], name: str = "tree") -> str:
    """A tree whose app.py is what the processes were started from, with some text exchanged."""
    text = (service.folder / "app.py").read_text()
    for a, b in pairs:
        assert a in text, a
        text = text.replace(a, b)
    (service.folder / name).mkdir(exist_ok=True)
    (service.folder / name / "app.py").write_text(text)
    (service.folder / name / "never_loaded.py").write_text("x = 1\n")
    return name


def differences(said: object, process: Process) -> dict[str, str]:
    rows = {row["pid"]: row for row in said.json["processes"]}  # type: ignore[attr-defined]
    report = rows[process.pid]["report"]
    return {d["target"]: d["kind"] for m in [report, *report["modules"]] for d in m["differences"]}


def test_one_story(service: Service, python: str) -> None:
    """Before, under and after a patch, with a process on each Python."""
    (process,) = service.start(1, python=python)
    old, new = tree(service), tree(service, ('"old"', '"new"'), name="new")
    said = service.suture("drift", old, "--service", "game")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"same  game  1 of 1: pid {process.pid}\n")
    assert "1 same, 1 not loaded" in said.out
    drifted = service.suture("drift", new, "--all", "--json")
    want = {"app:K": "value", **{f"app:{n}": "code" for n in ("f", "g", "C.m", "C.s")}}
    assert (drifted.code, differences(drifted, process)) == (1, want)
    assert process.ask("words()") == ["old"]

    assert service.suture("apply", service.patch, "--all").code == 0
    for folder in (old, new):
        said = service.suture("drift", folder, "--json")
        assert (said.code, differences(said, process)) == (0, {}), folder
    assert service.suture("drift", old, "--patch", service.patch).code == 0
    alone = service.suture("drift", old, "--no-patch", "--json")
    assert (alone.code, set(differences(alone, process).values())) == (1, {"not expected", "code", "value"})
    assert service.suture("revert", "fix", "--all").code == 0
    assert service.suture("drift", old).code == 0
    missing = service.suture("drift", old, "--patch", service.patch, "--json")
    assert (missing.code, list(differences(missing, process).values())) == (1, ["not live"])


@pytest.mark.parametrize("version", [v for v in WANTED if f"3.{sys.version_info[1]}" != v][::2])
def test_operator_on_another_python(service: Service, version: str) -> None:
    """The command runs on another Python than the process."""
    if version not in found():
        pytest.skip(f"no Python {version} on this machine")
    (process,) = service.start()
    assert service.suture("drift", tree(service), python=found()[version]).code == 0
    said = service.suture("drift", tree(service, ('K = "old"', 'K = "x"')), "--json", python=found()[version])
    assert (said.code, differences(said, process)) == (1, {"app:K": "value"})


EACH = r"""
import json, sys
import suture, sorts
cases, optimized = json.load(open(sys.argv[1])), sys.flags.optimize
def differs(text):
    return {d.target.partition(":")[2]: d.kind for d in suture.drift({"sorts": text}).all_differences()}
text = open("sorts.py").read()
assert differs(text) == {}, differs(text)
for old, new, want in cases:
    assert old in text, old
    got = differs(text.replace(old, new))
    assert got == want, (old, new, got, want)
print(len(cases))
"""


@pytest.mark.parametrize("level", ["", "2"])
@pytest.mark.parametrize(
    ("text", "cases", "since"), [(TEXT, DIFFERENCES, 10), (GENERIC, GENERIC_DIFFERENCES, 12)], ids=["plain", "generic"]
)
def test_each_difference_on_each_python(
    python: str, level: str, text: str, cases: list[object], since: int, tmp_path: Path, run_child: Run
) -> None:
    """Untouched source is the same, and one thing that is another is named, with -OO too."""
    (tmp_path / "sorts.py").write_text(text)
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    version = next(v for v, path in found().items() if path == python)
    if int(version.partition(".")[2]) < since:
        pytest.skip(f"syntax of 3.{since}")
    done = run_child(python, EACH, str(tmp_path / "cases.json"), PYTHONOPTIMIZE=level)
    assert out(done) == str(len(cases))


def test_some_differ(service: Service) -> None:
    """Of three processes one was changed by hand: it's named, the others are together."""
    first, second, third = service.start(3)
    second.ask("setattr(app, 'K', 'by hand')")
    second.ask("setattr(app, 'h', app.g) or exec(compile('def more(): pass', app.__file__, 'exec'), vars(app))")
    said = service.suture("drift", tree(service))
    assert (said.code, said.err) == (1, "")
    assert f"same  game  2 of 3: pid {first.pid}, {third.pid}" in said.out
    assert f"differs  game  1 of 3: pid {second.pid}" in said.out
    assert "K  value: is 'by hand', expected 'old'" in said.out
    assert "more  extra: function more" in said.out
    state = service.suture("drift", tree(service), "--json").state()
    assert state == {first.pid: "same", second.pid: "differs", third.pid: "same"}


def test_observing(service: Service) -> None:
    """SUTURE=observe lets it in."""
    service.start(SUTURE="observe")
    assert service.suture("drift", tree(service)).code == 0


def test_what_cannot_be_compared(service: Service) -> None:
    """A text that isn't Python, an old suture, no such tree, a tree of something else: each has its word and its code."""
    (process,) = service.start()
    bad = service.suture("drift", tree(service, ("def f():", "def f(:")))
    assert (bad.code, "not compared" in bad.out, "syntax-error" in bad.out) == (2, True, True)
    (service.folder / "tree" / "app.py").write_bytes(b"x = '\xff'\n")
    undecodable = service.suture("drift", "tree")
    assert (undecodable.code, "encoding" in undecodable.out) == (2, True)
    nowhere = service.suture("drift", "nowhere", "--json")
    assert (nowhere.code, nowhere.json["findings"][0]["code"]) == (1, "unreadable")
    (service.folder / "other").mkdir()
    (service.folder / "other" / "never_loaded.py").write_text("x = 1\n")
    other = service.suture("drift", "other", "--json")
    assert (other.code, other.state()) == (1, {process.pid: "not loaded"})
    assert service.suture("drift", tree(service), "--pid", 4194303).code == 1
    process.ask("[__import__('suture.wire') and sys.modules['suture.wire']._ASKED.pop(v) and 0 for v in ('loads', 'drift')]")
    old = service.suture("drift", tree(service))
    assert (old.code, "is too old to be asked for drift (verb-unknown)" in " ".join(old.out.split())) == (2, True), old
    assert process.ask("words()") == ["old"]


def test_big_file(service: Service) -> None:
    """A file of more than one frame goes over in pieces."""
    text = OLD + "".join(f"    def g{n}():\n        return {n}, 'some words to make it long enough'\n" for n in range(1500))
    (service.folder / "app.py").write_text(textwrap.dedent(text))
    (process,) = service.start()
    assert os.path.getsize(service.folder / "app.py") > 90_000
    assert service.suture("drift", tree(service)).code == 0
    said = service.suture("drift", tree(service, ("return 1499,", "return 0,")), "--json")
    assert differences(said, process) == {"app:g1499": "code"}
