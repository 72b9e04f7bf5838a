"""The journal survives crashes, full disks and many writers."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture.agent.journal import Journal, Lines, login_uid, read
from suture.errors import Denied


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    monkeypatch.delenv("SUTURE_JOURNAL", raising=False)
    return Journal(str(tmp_path), "game")


def unwritable(journal: Journal) -> Denied:
    with pytest.raises(Denied) as caught:
        journal.write({"verb": "commit"})
    assert caught.value.code == "journal-unwritable"
    assert "--no-journal" in caught.value.hint
    return caught.value


def test_a_line_says_who_what_and_where(journal: Journal) -> None:
    """One JSON object with all that an auditor asks for; for its owner alone."""
    patch = '{"format":1}\n{"after":"def f():\\n    return \'ä\'\\n"}\n'
    journal.write({"verb": "prepare", "peer_pid": 1, "peer_uid": 2, "verdict": "ok", "state": "prepared"}, text=patch.encode())
    (record,) = read(journal.path).records
    assert record["patch"] == patch
    assert record["time"].endswith("Z")
    assert {k: record[k] for k in ("service", "pid", "uid", "login_uid", "host", "verb")} == {
        "service": "game",
        "pid": os.getpid(),
        "uid": os.geteuid(),
        "login_uid": login_uid(),
        "host": os.uname().nodename,
        "verb": "prepare",
    }
    assert stat.S_IMODE(os.stat(journal.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(journal.path)).st_mode) == 0o700


def test_place_by_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SUTURE_JOURNAL names the file itself: a run directory is often gone after a restart of the machine."""
    monkeypatch.setenv("SUTURE_JOURNAL", str(tmp_path / "audit.log"))
    made = Journal("/nowhere", "game")
    made.write({"verb": "commit"})
    assert len(read(str(tmp_path / "audit.log")).records) == 1


@settings(deadline=None)  # a disk may be busy
@given(cut=st.integers(1, 400))
def test_a_torn_line_stays_alone(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever a crash left of the last line: the ones before are read, and the next starts afresh."""
    journal = Journal(str(tmp_path_factory.mktemp("run")), "game")
    for n in range(3):
        journal.write({"n": n}, text=b"x" * 50)
    size = os.path.getsize(journal.path)
    os.truncate(journal.path, max(0, size - cut))
    before = read(journal.path).records
    assert [r["n"] for r in before] == list(range(len(before)))
    journal.write({"n": 9})
    after = read(journal.path)
    assert after.records[: len(before)] == before
    assert after.records[-1]["n"] == 9
    assert after.torn <= 1


def test_a_full_disk_is_refused_and_mended(journal: Journal) -> None:
    """Half a line written: refused by name; with room again the next line is whole."""
    code = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parent.parent.parent / "src")!r})
from suture.agent.journal import Journal
from suture.errors import Denied
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal({os.path.dirname(os.path.dirname(journal.path))!r}, "game")
journal.write({{"n": 0}})
resource.setrlimit(resource.RLIMIT_FSIZE, (400, resource.RLIM_INFINITY))
try:
    journal.write({{"n": 1}}, text=b"y" * 1000)
except Denied as error:
    print(error.code)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.write({{"n": 2}})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("journal-unwritable\n", "")
    found = read(journal.path)
    assert ([r["n"] for r in found.records], found.torn) == ([0, 2], 1)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 400


def test_unwritable_places(journal: Journal, tmp_path: Path) -> None:
    """A folder in the way, a link, a pipe: refused by name, none is followed, opened for ever or changed."""
    os.makedirs(journal.path)
    unwritable(journal)
    os.rmdir(journal.path)
    target = tmp_path / "precious"
    target.write_text("whole")
    os.symlink(target, journal.path)
    unwritable(journal)
    assert target.read_text() == "whole"
    os.unlink(journal.path)
    os.mkfifo(journal.path)
    assert "regular" in unwritable(journal).message


def test_many_writers(journal: Journal) -> None:
    """Processes of one service share the file; no line is lost or mixed."""
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent.parent.parent / "src")!r})
from suture.agent.journal import Journal
for n in range(30):
    Journal({os.path.dirname(os.path.dirname(journal.path))!r}, sys.argv[1]).write({{"n": n}}, text=b"z" * 3000)
"""
    children = [subprocess.Popen([sys.executable, "-c", code, str(i)]) for i in range(4)]
    assert [c.wait(60) for c in children] == [0] * 4
    found = read(journal.path)
    assert found.torn == 0
    assert {(r["service"], r["n"]) for r in found.records} == {(str(i), n) for i in range(4) for n in range(30)}


def test_reading(journal: Journal) -> None:
    """The last ones, of what can be read; no file is no lines."""
    assert read(journal.path) == Lines((), 0)
    for n in range(5):
        journal.write({"n": n})
    with open(journal.path, "ab") as file:
        file.write(b"[1]\n\xff\xfe\n" + b"[" * 100_000)
    found = read(journal.path, last=2)
    assert ([r["n"] for r in found.records], found.torn) == ([3, 4], 3)


def test_patch_that_is_no_text(journal: Journal) -> None:
    """Any bytes that somebody sent are kept, readable."""
    journal.write({"n": 1}, text=b"\xff\x00\n")
    assert read(journal.path).records[0]["patch"] == "\\xff\x00\n"
