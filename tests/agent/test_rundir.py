"""The private folder and the names in it."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from suture.agent import rundir
from suture.agent.rundir import Identity
from suture.errors import Denied
from suture.record import replace


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SUTURE_DIR", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def refused(given: object = None) -> str:
    with pytest.raises(Denied) as caught:
        rundir.choose(given)  # type: ignore[arg-type]
    assert caught.value.hint
    return caught.value.code


def test_given_folder_is_made_private(tmp_path: Path) -> None:
    """With its parents, for its owner alone."""
    path = tmp_path / "a" / "b"
    assert rundir.choose(path) == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """SUTURE_DIR, else the session's folder; both are among the places where a client looks."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert rundir.choose() == f"{tmp_path}/suture"
    assert rundir.choose() in rundir.places()
    monkeypatch.setenv("SUTURE_DIR", str(tmp_path / "set"))
    assert rundir.choose() == str(tmp_path / "set") == rundir.places()[0]


def test_what_cannot_be_used_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A session folder of somebody else, or none: the next place."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "absent"))
    monkeypatch.setattr(rundir, "places", lambda: [f"{tmp_path}/absent/suture", f"{tmp_path}/file/suture", f"{tmp_path}/ours"])
    (tmp_path / "file").touch()
    assert rundir.choose() == f"{tmp_path}/ours"


def test_unsafe_folders_are_refused(tmp_path: Path) -> None:
    """Rights for others, a link, a file: each by name, and left as it was."""
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o750)
    assert refused(open_to_all) == "run-dir-unsafe"
    assert stat.S_IMODE(open_to_all.stat().st_mode) == 0o750
    (tmp_path / "link").symlink_to(tmp_path)
    assert refused(tmp_path / "link") == "run-dir-unsafe"
    (tmp_path / "file").touch()
    assert refused(tmp_path / "file") == "run-dir-unsafe"
    assert refused(tmp_path / "file" / "below") == "run-dir-unwritable"
    with pytest.raises(Denied, match="run-dir-unsafe"):
        rundir.entries(str(tmp_path / "link"))


def test_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    """Whoever made it first could answer in our place."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to give a folder away")
    path = tmp_path / "theirs"
    path.mkdir(mode=0o700)
    os.chown(path, 65534, 65534)
    assert refused(path) == "run-dir-unsafe"


def test_names_and_states(tmp_path: Path) -> None:
    """Living, ended, of another namespace: told by the name; other files aren't touched."""
    folder = rundir.choose(tmp_path / "run")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        here = rundir.identity(child.pid)
        earlier = replace(here, started=here.started - 5)
        away = replace(here, namespace=here.namespace + 1)
        for who in (here, earlier, away):
            Path(folder, rundir.name_of("shop/web 1", who)).touch()
        Path(folder, "notes.txt").touch()
        Path(folder, "x.1.sock").touch()
        found = {e.identity: (e.service, e.state) for e in rundir.entries(folder)}
        assert found == {here: ("shop_web_1", "here"), earlier: ("shop_web_1", "gone"), away: ("shop_web_1", "elsewhere")}
    finally:
        child.communicate(b"")
    assert {e.state for e in rundir.entries(folder)} == {"gone", "elsewhere"}
    assert rundir.sweep(folder) == 2
    assert sorted(os.listdir(folder)) == sorted([rundir.name_of("shop/web 1", away), "notes.txt", "x.1.sock"])


def test_nothing_there(tmp_path: Path) -> None:
    """No folder: no agents."""
    assert rundir.entries(str(tmp_path / "absent")) == []


def test_identity_of_this_process() -> None:
    """The same by itself as by its number."""
    assert rundir.identity() == rundir.identity(os.getpid())
    with pytest.raises(ProcessLookupError):
        rundir.identity(2**22 + 1)
    assert type(rundir.identity()) is Identity


def test_long_paths(tmp_path: Path) -> None:
    """A path that doesn't fit into a socket's address is bound and reached all the same."""
    folder = rundir.choose(tmp_path / ("d" * 100) / ("e" * 100))
    path = f"{folder}/{rundir.name_of('game', rundir.identity())}"
    before = len(os.listdir("/proc/self/fd"))
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        with rundir.Address(path) as name:
            server.bind(name)
        server.listen()
        with rundir.Address(path) as name:
            client.connect(name)
    assert os.path.exists(path)
    assert len(os.listdir("/proc/self/fd")) == before
    with rundir.Address("/run/x.sock") as name:
        assert name == "/run/x.sock"


def test_name_that_never_fits(tmp_path: Path) -> None:
    """Said by name."""
    with pytest.raises(Denied, match="run-dir-too-long"), rundir.Address(f"{tmp_path}/{'n' * 120}"):
        pass


def test_everybodys_folders(tmp_path: Path) -> None:
    """Root's list: folders that exist, of any user; never a link."""
    made = Path("/tmp", "suture-4004711")
    made.mkdir(mode=0o700)
    link = made.with_name("suture-4004712")
    link.symlink_to(made)
    try:
        found = list(rundir.everybodys())
        assert str(made) in found
        assert str(link) not in found
    finally:
        link.unlink()
        made.rmdir()


def test_another_users_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is set for us says nothing about them."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert rundir.places(4711)[:2] == ["/run/user/4711/suture", "/run/suture/4711"]
