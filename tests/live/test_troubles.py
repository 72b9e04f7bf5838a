"""What an operator meets on a bad night: dead sockets, stuck processes, full disks, other users.  A sentence each, never a traceback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service import SRC, Process, Service
from suture.agent import rundir
from waiting import until

OLDS, NEWS = ["old"], ["new"]
JOURNAL = "sys.modules['suture.agent.boot'].server().desk.journal"


def name(service: Service, process: Process, kind: str = "game") -> str:
    """Path of a socket with that process's name."""
    return f"{service.run_dir}/{rundir.name_of(kind, rundir.identity(process.pid))}"


# ---------------------------------------------------------------- sockets


def test_stale_socket_of_a_dead_process(service: Service) -> None:
    """Killed: its socket is nobody's; it's removed and not spoken of."""
    gone, here = service.start(2)
    path = service.entry(gone.pid).path
    gone.end()
    assert os.path.exists(path)
    said = service.suture("ps", "--json")
    assert (said.code, [p["pid"] for p in said.json["processes"]], said.json["troubles"]) == (0, [here.pid], [])
    assert not os.path.exists(path)


def test_killed_child_that_nobody_waited_for(service: Service) -> None:
    """A zombie has ended."""
    (here,) = service.start()
    pid = here.ask("signal.signal(signal.SIGCHLD, signal.SIG_DFL) and 0 or fork(1)")
    assert pid is None
    (child,) = service.accept(1)
    until(lambda: service.entry(child.pid))
    child.kill()
    until(lambda: b") Z " in Path(f"/proc/{child.pid}/stat").read_bytes())
    said = service.suture("apply", service.patch, "--service", "game", "--json")
    assert (said.code, said.state()) == (0, {here.pid: "live"})


def test_stopped_process(service: Service) -> None:
    """SIGSTOP: it's named with what to do, and nothing goes in or back anywhere: not all can be prepared."""
    stopped, here = service.start(2)
    stopped.kill(signal.SIGSTOP)
    for verb in (["ps"], ["status"], ["plan", service.patch]):
        said = service.suture(*verb)
        assert (said.code, f"! pid {stopped.pid} game: it is stopped (SIGSTOP, or a debugger) (no-answer)" in said.words) == (
            1,
            True,
        ), said
        assert f"kill -CONT {stopped.pid}" in said.words
    said = service.suture("apply", service.patch, "--service", "game", "--json")
    assert (said.code, said.state(), here.ask("words()")) == (1, {here.pid: "not asked"}, OLDS)
    assert [(t["pid"], t["code"]) for t in said.json["troubles"]] == [(stopped.pid, "no-answer")]
    words = service.suture("apply", service.patch, "--service", "game")
    assert words.code == 1
    assert f"\nWithout those: suture apply FILE --pid={here.pid}\n" in words.words
    assert service.suture("apply", service.patch, "--pid", here.pid).code == 0
    back = service.suture("revert", "fix", "--service", "game", "--json")
    assert (back.code, back.state(), here.ask("words()")) == (1, {here.pid: "not asked"}, NEWS)
    assert service.suture("revert", "fix", "--pid", here.pid).code == 0
    alone = service.suture("apply", service.patch, "--pid", stopped.pid)
    assert (alone.code, "no-answer" in alone.err) == (1, True)
    stopped.kill(signal.SIGCONT)
    assert service.suture("apply", service.patch, "--service", "game").code == 0
    assert (stopped.ask("words()"), here.ask("words()")) == (NEWS, NEWS)


def test_socket_that_was_removed(service: Service) -> None:
    """Until it binds again it can't be asked: that's said, and nothing goes in beside it."""
    gone, here = service.start(2)
    gone.ask("setattr(sys.modules['suture.agent.boot'].server(), '_heartbeat_s', 3600)")
    assert service.suture("ps").code == 0  # and sleeps that long from now on
    os.unlink(name(service, gone))
    for argv in (["ps"], ["status"], ["plan", service.patch], ["apply", service.patch, "--service", "game"]):
        said = service.suture(*argv)
        assert (said.code, f"! pid {gone.pid} game: the file of its socket was removed" in said.words) == (1, True), said
        assert "(socket-gone)" in said.words
    assert [p.ask("words()") for p in (gone, here)] == [OLDS] * 2
    assert service.suture("apply", service.patch, "--pid", here.pid).code == 0
    assert "0 services as asked, 1 differs" in service.suture("status").out
    gone.ask("setattr(sys.modules['suture.agent.boot'].server(), '_heartbeat_s', 0.1)")
    gone.ask("sys.modules['suture.agent.boot'].server()._wake_up()")
    until(lambda: service.entry(gone.pid))
    assert service.suture("apply", service.patch, "--service", "game").code == 0


def test_sockets_that_are_none(service: Service) -> None:
    """Nobody listens, nobody accepts, rubbish comes back, a file, a folder, a link: each is a sentence, and the good one is served."""
    (here, *fakes) = service.start(1) + service.start(5, "")
    listening, full, rubbish, file, folder = fakes
    closed = socket.socket(socket.AF_UNIX)
    closed.bind(name(service, listening))
    closed.close()
    never = socket.socket(socket.AF_UNIX)
    never.bind(name(service, full))
    never.listen(0)
    waiting = []
    for _ in range(3):
        waiting.append(socket.socket(socket.AF_UNIX))
        waiting[-1].setblocking(False)
        waiting[-1].connect_ex(name(service, full))
    speaks = f"s = socket.socket(socket.AF_UNIX); s.bind({name(service, rubbish)!r}); s.listen(50)\n"
    speaks += "def answer():\n while True:\n  c, _ = s.accept(); c.send(b'SUTX' * 100); keep.append(c)\n"
    rubbish.ask(f"exec({speaks + 'keep = []; threading.Thread(target=answer, daemon=True).start()'!r}, globals())")
    Path(name(service, file)).write_text("not a socket")
    os.mkdir(name(service, folder))
    Path(service.run_dir, "README").write_text("no process's")
    said = service.suture("ps", "--json")
    assert (said.code, [p["pid"] for p in said.json["processes"]]) == (1, [here.pid])
    codes = {t["pid"]: t["code"] for t in said.json["troubles"]}
    expected = {listening.pid: "stale-socket", full.pid: "no-answer", rubbish.pid: "no-answer", file.pid: "stale-socket"}
    assert codes == expected | {folder.pid: "stale-socket"}
    assert all(t["message"] and t["hint"] for t in said.json["troubles"])
    words = service.suture("ps")
    assert (words.code, words.out.count("\n! pid "), words.out.count("\n  -> ")) == (1, 5, 5)
    said = service.suture("apply", service.patch, "--service", "game", "--json")
    assert (said.code, said.state(), here.ask("words()")) == (1, {here.pid: "not asked"}, OLDS)
    said = service.suture("apply", service.patch, "--pid", here.pid, "--json")
    assert (said.code, said.state(), here.ask("words()")) == (0, {here.pid: "live"}, NEWS)
    for sock in (never, *waiting):
        sock.close()


def test_run_directory_that_is_not_private(service: Service) -> None:
    """Others could have put sockets there: it isn't read (root looks into the folders of all)."""
    service.start()
    os.chmod(service.run_dir, 0o777)
    link = service.short / "link"
    link.symlink_to(service.run_dir)
    said = service.suture("ps", env={"SUTURE_DIR": str(link)})
    assert (said.code, "it's a link or a file, not a folder" in " ".join(said.words.split())) == (1, True), said
    if os.geteuid() != 0:
        assert "run-dir-unsafe" in service.suture("ps").words


def test_process_that_was_killed_a_moment_ago(service: Service) -> None:
    """Exit 1 if it was the only one, else the others go in."""
    one, two = service.start(2)
    one.kill()
    said = service.suture("apply", service.patch, "--service", "game", "--json")
    assert (said.code in (0, 2), said.state()[two.pid]) == (True, "live")
    two.end()
    one.side.close()
    assert service.suture("apply", service.patch, "--service", "game").code == 1


# ---------------------------------------------------------------- other users

AS_NOBODY = """
import os, sys
os.setgid(65534); os.setuid(65534)
from suture.ops.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_other_user(service: Service) -> None:
    """Another user gets a sentence for the folder, for the socket's mode, and from the agent itself."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    code = (
        f"import os; os.setgid(65534); os.setuid(65534); import sys; sys.path.insert(0, {str(SRC)!r}); import suture.ops.cli.main"
    )
    others = [p for p in (sys.executable, "/usr/bin/python3") if _runs(p, code)]
    if not others:
        pytest.skip("another user can't read a Python and these sources")
    (here,) = service.start()
    path = service.entry(here.pid).path
    cache = service.short / "cache"
    cache.mkdir(mode=0o755)
    os.chown(cache, 65534, 65534)
    more: dict[str, Any] = {"through": ("-c", AS_NOBODY), "env": {"PYTHONPYCACHEPREFIX": str(cache)}, "python": others[0]}
    os.chmod(service.short, 0o755)
    said = service.suture("ps", **more)
    assert (said.code, "run-dir-unsafe" in said.words) == (1, True), said
    # Somebody has opened the folder and the socket, and the other user brings a folder of his own with a link to it.
    os.chmod(path, 0o666)
    os.chmod(service.run_dir, 0o755)
    his = service.short / "his"
    his.mkdir(mode=0o700)
    (his / Path(path).name).symlink_to(path)
    os.chown(his, 65534, 65534)
    more["env"]["SUTURE_DIR"] = str(his)
    said = service.suture("ps", "--json", **more)
    assert (said.code, [t["code"] for t in said.json["troubles"]]) == (1, ["peer-denied"]), said
    said = service.suture("apply", "-", "--all", stdin=service.patch.read_bytes(), **more)
    assert (said.code, "peer-denied" in said.err, "ask as root" in said.err) == (1, True, True), said
    os.chmod(path, 0o600)
    said = service.suture("ps", "--json", **more)
    assert (said.code, [t["code"] for t in said.json["troubles"]]) == (1, ["no-permission"]), said
    assert here.ask("words()") == OLDS


def _runs(python: str, code: str) -> bool:
    try:
        return subprocess.run([python, "-B", "-c", code], capture_output=True).returncode == 0
    except OSError:
        return False


# ---------------------------------------------------------------- the journal


def refused_and_forced(service: Service, processes: list[Process]) -> None:
    """An apply that says journal-unwritable and changes nothing, and one that goes without."""
    before = [p.ask("prints()") for p in processes]
    said = service.suture("apply", service.patch, "--service", "game", "--json")
    assert (said.code, set(said.state().values()) <= {"refused", "discarded"}) == (1, True), said.out
    errors = {row["error"]["code"] for row in said.json["processes"] if row["error"]}
    assert errors == {"journal-unwritable"}
    assert "--no-journal" in service.suture("apply", service.patch, "--service", "game").err
    assert [p.ask("prints()") for p in processes] == before
    assert service.suture("apply", service.patch, "--service", "game", "--no-journal").code == 0
    assert [p.ask("words()") for p in processes] == [NEWS] * len(processes)
    some = service.suture("revert", "fix", "--service", "game", "--json")
    assert (some.code, set(some.state().values()) <= {"refused", "discarded"}) == (1, True), some.out
    assert [p.ask("words()") for p in processes] == [NEWS] * len(processes)
    assert service.suture("revert", "fix", "--service", "game", "--no-journal").code == 0
    assert [p.ask("words()") for p in processes] == [OLDS] * len(processes)


@pytest.mark.parametrize("one", [False, True], ids=["both", "one-of-two"])
def test_journal_without_permission(service: Service, one: bool) -> None:
    """A folder where the file can't be written, of one process or all: refused everywhere, unless it's to go without."""
    processes = service.start(2)
    for process in processes[one:]:
        process.ask(f"setattr({JOURNAL}, 'path', '/proc/none/journal.jsonl')")
    refused_and_forced(service, processes)


def test_journal_on_a_full_disk(service: Service) -> None:
    """No byte is left (a limit on the file's size stands for it): refused, nothing is changed; the lines before stay readable."""
    (process,) = service.start()
    assert service.suture("apply", service.patch, "--all").code == 0
    assert service.suture("revert", "fix", "--all").code == 0
    size = os.path.getsize(f"{service.run_dir}/journal/journal.jsonl")
    process.ask(f"__import__('resource').setrlimit(__import__('resource').RLIMIT_FSIZE, ({size + 100}, {size + 100}))")
    process.ask("signal.signal(signal.SIGXFSZ, signal.SIG_IGN) and 0")
    refused_and_forced(service, [process])
    log = service.suture("log")
    assert (log.code, "can't be read: cut off" in log.out, "reverted" in log.out) == (0, True, True)


def test_full_run_directory(service: Service) -> None:
    """A file system without room, mounted for this: the process goes on, and says what it can."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small file system")
    small = service.short / "small"
    small.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "suture-test", str(small)], capture_output=True)
    if mount.returncode != 0:
        pytest.skip("this machine mounts no tmpfs")
    try:
        service.run_dir = str(small)
        processes = service.start(2)
        with pytest.raises(OSError):
            (small / "filler").write_bytes(b"x" * 10**6)
        assert service.suture("ps").code == 0
        refused_and_forced(service, processes)
        (small / "filler").unlink()
        assert service.suture("apply", service.patch, "--all").code == 0
        assert service.suture("log").code == 0
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        assert service.suture("revert", "fix", "--all").code == 1
        assert [p.ask("words()") for p in processes] == [NEWS] * 2
        assert service.suture("status").code == 0
        assert service.suture("revert", "fix", "--all", "--no-journal").code == 0
        for process in processes:
            process.end()
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_torn_journal(service: Service) -> None:
    """A crash in the middle of a line: log says so and shows the rest; the next line begins afresh."""
    service.start()
    assert service.suture("apply", service.patch, "--all").code == 0
    path = Path(service.run_dir, "journal", "journal.jsonl")
    path.write_bytes(path.read_bytes()[:-1] + b'\n{"time":"2026-01-01T00:00:00.000Z","verb":"com')
    log = service.suture("log")
    assert (log.code, "1 line can't be read: cut off by a crash or a full disk" in log.out, "committed" in log.out) == (
        0,
        True,
        True,
    )
    assert service.suture("revert", "fix", "--all").code == 0
    as_json = service.suture("log", "--json").json
    assert (as_json["torn"], as_json["records"][-1]["state"]) == (1, "reverted")


def test_unreadable_journal(service: Service) -> None:
    """The journal is a folder: log says so of the process, exit 1."""
    (process,) = service.start()
    process.ask(f"setattr({JOURNAL}, 'path', '/proc')")
    log = service.suture("log")
    assert (log.code, f"! pid {process.pid} game: " in log.out, "journal-unreadable" in log.out) == (1, True, True), log
    status = service.suture("status", "--json")  # what was live before can't be told
    assert (status.code, [t["code"] for t in status.json["troubles"]]) == (1, ["journal-unreadable"])


# ---------------------------------------------------------------- what can't be asked


def test_process_that_only_lets_look(service: Service) -> None:
    """SUTURE=observe: reading verbs work, writing ones are refused everywhere."""
    (process,) = service.start(SUTURE="observe")
    assert "observe only" in service.suture("ps").out
    assert service.suture("plan", service.patch).code == 0
    said = service.suture("apply", service.patch, "--all")
    assert (said.code, "observe-only" in said.err, process.ask("words()")) == (1, True, OLDS)


def test_engine_that_cannot_be_loaded(service: Service) -> None:
    """ps lists the process with what is wrong; status says that nothing is known of it."""
    second = """
suture.status()
for name in [n for n in sys.modules if n == "suture" or n.startswith("suture.")]:
    del sys.modules[name]
import suture
suture.install(service="game")
"""
    good, bad = service.start(1)[0], service.start(1, second)[0]
    said = service.suture("ps", "--json")
    assert [(p["pid"], p["failure"].partition(":")[0]) for p in said.json["processes"]] == [
        (good.pid, ""),
        (bad.pid, "second-copy"),
    ]
    status = service.suture("status", "--json")
    assert (status.code, [(r["pid"], r["code"]) for r in status.json["remarks"]]) == (1, [(bad.pid, "agent-fault")])
    apply = service.suture("apply", service.patch, "--all", "--json")
    assert (apply.code, apply.state()) == (1, {good.pid: "discarded", bad.pid: "refused"})
