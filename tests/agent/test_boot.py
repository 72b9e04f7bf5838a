"""install and uninstall in this process: switches, forks, the engine itself."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import suture
from calling import Call
from suture import wire
from suture.agent import boot, rundir
from suture.patch import dump
from waiting import until


@pytest.fixture
def run_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A short path; no switches; nothing is left afterwards."""
    for name in ("SUTURE", "SUTURE_DIR", "SUTURE_JOURNAL"):
        monkeypatch.delenv(name, raising=False)
    with tempfile.TemporaryDirectory(prefix="sut") as folder:
        yield f"{folder}/run"
        suture.uninstall()


def path() -> str:
    found = boot.server()
    assert found is not None
    return until(lambda: found.path, "its socket")


def test_real_engine(run_dir: str, world: Any) -> None:
    """A patch goes in and out over the socket; a refusal is a report."""
    m = world.module("def f():\n    return 'old'\n")
    data = dump(world.replace(("old", "new")))
    suture.install(service="game", run_dir=run_dir)
    with Call(path()) as call:
        assert call.ask(wire.Plan, data).state == "planned"
        ready = call.ask(wire.Prepare, data)
        assert m.f() == "old"
        assert call.ask(wire.Commit, token=ready.token).ok
        assert m.f() == "new"
        (report,) = suture.status()
        assert call.ask(wire.Status).patches == 1
        assert call.body[0]["patch_id"] == report.patch_id
        assert call.ask(wire.Ps).patches == (report.patch_id,)
        assert call.ask(wire.Revert, patch_id=report.patch_id).state == "reverted"
        assert m.f() == "old"
        refused = call.ask(wire.Prepare, b"not a patch")
        assert (refused.ok, refused.token) == (False, "")
        discarded = call.ask(wire.Prepare, data)
        assert isinstance(call.ask(wire.Discard, token=discarded.token), wire.Done)
    assert m.f() == "old"


def test_where_the_engine_is_made(run_dir: str) -> None:
    """Read by install itself; made by the thread, for the first who asks for more than ``ps``."""
    where: list[tuple[str, bool]] = []

    class Loading:
        def hold(self) -> None:
            where.append(("hold", threading.get_ident() == here))

        def loaded(self) -> bool:
            return False

        def load(self) -> Any:
            where.append(("load", threading.get_ident() == here))
            return suture._engine()

    here = threading.get_ident()
    boot.install(Loading(), version="0", run_dir=run_dir)
    with Call(path()) as call:
        assert call.ask(wire.Ps).patches == ()
        assert where == [("hold", True)]
        assert call.ask(wire.Status).patches == 0
        assert call.ask(wire.Status).patches == 0
    assert where == [("hold", True), ("load", False)]


def test_ps_knows_what_the_program_applied_itself(run_dir: str, world: Any) -> None:
    """Without being asked for more before."""
    world.module("def f():\n    return 'old'\n")
    suture.install(run_dir=run_dir)
    report = suture.apply(dump(world.replace(("old", "new"))))
    with Call(path()) as call:
        assert call.ask(wire.Ps).patches == (report.patch_id,)
    assert suture.revert(report.patch_id).ok


def test_second_call_does_nothing(run_dir: str) -> None:
    """One agent a process."""
    suture.install(service="one", run_dir=run_dir)
    first = boot.server()
    suture.install(service="two", run_dir=run_dir)
    assert boot.server() is first
    suture.uninstall()
    suture.uninstall()
    assert boot.server() is None
    assert rundir.entries(run_dir) == []


@pytest.mark.parametrize("switch", ["off", " Off "])
def test_off(run_dir: str, monkeypatch: pytest.MonkeyPatch, switch: str) -> None:
    """As if install wasn't there."""
    monkeypatch.setenv("SUTURE", switch)
    suture.install(run_dir=run_dir)
    assert boot.server() is None
    assert not os.path.exists(run_dir)


def test_never_raises(
    run_dir: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails is one record, and the reason can be asked for."""
    suture.install(peers="all", run_dir=run_dir)
    assert "peers is 'all'" in boot.failure()
    monkeypatch.setattr(
        "suture.agent.server._start_thread", lambda *_: (_ for _ in ()).throw(RuntimeError("can't start new thread"))
    )
    suture.install(run_dir=run_dir)
    assert "can't start new thread" in boot.failure()
    assert boot.server() is None
    assert len(caplog.records) == 2
    assert capfd.readouterr() == ("", "")


def test_forks(run_dir: str) -> None:
    """30 forks: no warning of ours; the agent comes back each time, and nothing watches any more."""
    suture.install(run_dir=run_dir)
    with Call(path()) as call:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            alone = len(os.listdir("/proc/self/task")) == 2
            for _ in range(30):
                pid = os.fork()
                if pid == 0:
                    os._exit(0)
                assert os.waitpid(pid, 0)[1] == 0
        assert not alone or warned == []
        assert call.ask(wire.Ps).pid == os.getpid()
    if hasattr(sys, "monitoring"):
        assert [sys.monitoring.get_tool(n) for n in (3, 4)] == [None, None]


@pytest.mark.skipif(not hasattr(sys, "monitoring"), reason="sys.monitoring is of 3.12 and newer")
def test_later() -> None:
    """Called once, at the next event in the code that made the call; cancelled, never; without a free tool, at once."""
    done: list[int] = []
    later = boot._Later()

    def caller(cancel: bool) -> int:
        call = later.call
        call(lambda: done.append(1))
        if cancel:
            later.cancel()
        return len(done)

    assert caller(False) == 1
    assert done == [1]
    names = [sys.monitoring.get_tool(n) for n in (3, 4)]
    assert names == [None, None]
    sys.monitoring.use_tool_id(3, "a")
    sys.monitoring.use_tool_id(4, "b")
    try:
        later.call(lambda: done.append(2))
        assert done == [1, 2]
    finally:
        sys.monitoring.free_tool_id(3)
        sys.monitoring.free_tool_id(4)


def test_forks_from_threads(run_dir: str) -> None:
    """Four threads that fork at the same time: every child ends well, one agent is left."""
    suture.install(run_dir=run_dir)
    path()
    codes: list[int] = []

    def turn() -> None:
        for _ in range(8):
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            codes.append(os.waitpid(pid, 0)[1])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        threads = [threading.Thread(target=turn) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert codes == [0] * 32
    with Call(path()) as call:
        assert call.ask(wire.Ps).failure == ""


def test_what_fails_at_a_fork_is_a_record(run_dir: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook that raised would be printed by CPython."""
    suture.install(run_dir=run_dir)
    found = boot.server()
    assert found is not None
    start: Callable[..., None] = found.start
    monkeypatch.setattr(found, "start", lambda **_: 1 / 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        boot._before_fork()
        boot._guarded(boot._restart)
        assert not found.running()
    assert "at a fork" in caplog.text
    monkeypatch.setattr(found, "start", start)
    boot._after_in_parent()
    logging.getLogger("suture").info("done")
    with Call(path()) as call:
        assert call.ask(wire.Ps).pid == os.getpid()
