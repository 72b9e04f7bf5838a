"""The agent in real processes on every Python from 3.10 to 3.15 that is found, spoken to over its socket."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from calling import Call
from suture import wire
from suture.agent import rundir
from suture.ops.build import build
from suture.patch import dump
from waiting import until

SRC = Path(__file__).parent.parent.parent / "src"


class Child:
    """A program that does what it's told through a pipe; its agent is reached over the socket."""

    LOOP = """
        import suture
        {begin}
        print("begun", flush=True)
        for line in sys.stdin:
            try:
                print(repr(eval(line)), flush=True)
            except Exception as error:
                print(repr(error), flush=True)
    """

    def __init__(self, python: str, folder: Path, begin: str, flags: tuple[str, ...], env: dict[str, str]) -> None:
        self.run_dir = env.get("SUTURE_DIR", "")
        script = folder / "program.py"
        text = textwrap.dedent(self.LOOP).replace("{begin}", textwrap.dedent(begin).strip())
        script.write_text("import os, sys, threading, time, warnings\n" + text)
        self.process = subprocess.Popen(
            [python, *flags, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            cwd=folder,
        )
        self.watch = threading.Timer(90, self.process.kill)  # a child that hangs fails its test, not the run
        self.watch.daemon = True
        self.watch.start()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line != "begun\n":
            self.process.kill()
            raise AssertionError(line + self.process.communicate()[1])

    @property
    def pid(self) -> int:
        return self.process.pid

    def ask(self, expression: str) -> str:
        """repr of an expression in the child."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(expression + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().rstrip("\n")

    def path(self, pid: int = 0) -> str:
        """Socket of the agent in it, or in a process that it made; waits until it's there."""

        def there() -> str:
            entries = rundir.entries(self.run_dir)
            return next((e.path for e in entries if e.identity.pid == (pid or self.pid) and e.state == "here"), "")

        return until(there, lambda: f"the socket of {pid or self.pid}: {os.listdir(self.run_dir)}")

    def call(self, pid: int = 0) -> Call:
        def connected() -> Call | None:
            try:
                return Call(self.path(pid))
            except (ConnectionRefusedError, FileNotFoundError):  # between unlink and listen, or just removed
                return None

        return until(connected, "its answer")

    def end(self, code: int = 0) -> str:
        """Close its input; what it said on stderr."""
        _, errors = self.process.communicate(timeout=60)
        assert self.process.returncode == code, errors
        return errors


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    children: list[Child] = []
    short = Path(tempfile.mkdtemp(prefix="sut"))

    def made(python: str, begin: str = "suture.install(service='game')", *flags: str, **env: str) -> Child:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SUTURE"))}
        clean |= {"PYTHONPATH": str(SRC), "PYTHONDONTWRITEBYTECODE": "1", "SUTURE_DIR": str(short / "run"), **env}
        children.append(Child(python, tmp_path, begin, flags, clean))
        return children[-1]

    yield made
    for child in children:
        child.watch.cancel()
        if child.process.poll() is None:
            child.process.kill()
            child.process.communicate()
    shutil.rmtree(short)


def fix(tmp_path: Path) -> bytes:
    """A module ``app`` on the child's path, and a patch for it."""
    for name, text in (("old", "def f():\n    return 'old'\n"), ("new", "def f():\n    return 'new'\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.py").write_text(text)
    shutil.copy(tmp_path / "old" / "app.py", tmp_path / "app.py")
    return dump(build(tmp_path / "old", tmp_path / "new", name="fix"))


# ---------------------------------------------------------------- the whole way


def test_whole_story(python: str, start: Callable[..., Child], tmp_path: Path) -> None:
    """Plan, prepare, commit, status, show, revert over the socket; the package is gone from the disk meanwhile."""
    patch = fix(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(SRC, copy, ignore=shutil.ignore_patterns("__pycache__"))
    begin = "import app, logging; logging.basicConfig(format='%(message)s'); held = app.f; suture.install(service='game')"
    child = start(python, begin, PYTHONPATH=str(copy))
    with child.call() as call:
        assert call.ask(wire.Ps).failure == ""
        child.ask("sys.path.clear()")
        child.ask("sys.meta_path.clear()")
        shutil.rmtree(copy)
        assert isinstance(call.welcome, wire.Hello)
        assert (call.welcome.service, call.welcome.pid) == ("game", child.pid)
        planned = call.ask(wire.Plan, patch)
        assert isinstance(planned, wire.Reported), planned
        assert planned.state == "planned"
        ready = call.ask(wire.Prepare, patch)
        assert isinstance(ready, wire.Reported), ready
        assert (ready.ok, child.ask("held()")) == (True, "'old'")
        assert call.ask(wire.Revert, patch_id="fix").code == "busy"
        assert call.ask(wire.Discard, token=ready.token).lease_s == 0
        ready = call.ask(wire.Prepare, patch)
        done = call.ask(wire.Commit, token=ready.token)
        assert (done.state, child.ask("held()")) == ("committed", "'new'")
        assert call.body["process"]["pid"] == child.pid
        assert call.ask(wire.Status).patches == 1
        patch_id = call.body[0]["patch_id"]
        assert call.ask(wire.Show, patch_id="fix").patch_id == patch_id
        assert call.body == patch
        assert call.ask(wire.Revert, patch_id=patch_id).state == "reverted"
        assert child.ask("held()") == "'old'"
        call.ask(wire.Log)
        assert call.body.count(b"\n") == 7
    path = child.path()
    said = child.end()
    assert [line.split(" for ")[0] for line in said.splitlines()] == [f"commit {patch_id}", f"revert {patch_id}"]
    assert not os.path.exists(path)


# ---------------------------------------------------------------- forks

FORKS = """
suture.install(service='game')
from suture.agent import boot
os.environ["SUTURE_TEST"] = "1"
warned = []
warnings.showwarning = lambda message, *_: warned.append(str(message))

def plain():
    pid = os.fork()
    if pid == 0:
        os._exit(boot.server().running() - 1)
    return os.waitpid(pid, 0)[1]

def one_line():
    return os.waitpid(os.fork() or os._exit(0), 0)[1]

def bare_fork():
    return os.fork()

def nested():
    return os.waitpid(bare_fork() or os._exit(0), 0)[1]

def many(kind, n=30):
    return [kind() for _ in range(n)] == [0] * n, len(warned), warned[:1]

def alive():
    limit = time.monotonic() + 10
    while not boot.server().running() and time.monotonic() < limit:
        time.sleep(0.001)  # until its thread is back
    tools = [sys.monitoring.get_tool(n) for n in (3, 4)] if hasattr(sys, "monitoring") else []
    return boot.server().running(), [t for t in tools if t], len(os.listdir("/proc/self/task"))
"""


@pytest.mark.parametrize("way", ["always", "error"])
def test_no_fork_warns(python: str, start: Callable[..., Child], way: str) -> None:
    """30 forks of each shape: no warning, the parent's agent comes back, no trace of the waiting is left."""
    child = start(python, FORKS, "-W", f"{way}::DeprecationWarning")
    child.path()
    for kind in ("plain", "one_line", "nested"):
        assert child.ask(f"many({kind})") == "(True, 0, [])", kind
        assert child.ask("alive()") == "(True, [], 2)"
    with child.call() as call:
        assert call.ask(wire.Ps).pid == child.pid
    assert child.end() == ""


def test_fork_with_other_threads(python: str, start: Callable[..., Child]) -> None:
    """A program that has threads is warned by CPython with or without us; the agent comes back all the same."""
    child = start(python, FORKS + "\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()", "-W", "always")
    assert child.ask("many(plain, 5)[0]") == "True"
    assert child.ask("alive()[0]") == "True"
    with child.call() as call:
        assert call.ask(wire.Ps).pid == child.pid


def test_a_child_has_an_agent_of_its_own(python: str, start: Callable[..., Child], tmp_path: Path) -> None:
    """Its own socket; the parent's stays, its callers and what they prepared too; the child's end removes only its own."""
    patch = fix(tmp_path)
    child = start(
        python,
        "import app; suture.install(service='game')\nread, write = os.pipe()\n"
        + textwrap.dedent("""
        def fork():
            pid = os.fork()
            if pid:
                return pid
            os.read(read, 1)
            sys.exit(0)
    """),
    )
    with child.call() as call:
        ready = call.ask(wire.Prepare, patch)
        pid = int(child.ask("fork()"))
        with child.call(pid) as other:
            facts = other.ask(wire.Ps)
            assert (facts.pid, facts.ppid, facts.service, facts.holder, facts.failure) == (pid, child.pid, "game", "", "")
            assert other.ask(wire.Prepare, patch).ok
        path = child.path(pid)
        assert call.ask(wire.Commit, token=ready.token).ok
        assert child.ask("app.f()") == "'new'"
        child.ask("os.write(write, b'x')")
        assert child.ask(f"os.waitpid({pid}, 0)") == f"({pid}, 0)"
        assert not os.path.exists(path)
        assert call.ask(wire.Ps).patches
    with child.call() as call:
        pid = int(child.ask("fork()"))
        with child.call(pid) as other:
            assert other.ask(wire.Ps).patches
            os.kill(pid, signal.SIGKILL)
            assert other.ended()
        assert child.ask(f"os.waitpid({pid}, 0)[1]") == "9"
        assert [e.state for e in rundir.entries(child.run_dir) if e.identity.pid == pid] == ["gone"]


def test_fork_while_at_work(python: str, start: Callable[..., Child]) -> None:
    """A fork waits for the request at hand; its caller is answered, and the child has an agent too."""
    begin = """
        import signal, types
        from suture.agent import boot
        class Slow:
            def status(self):
                started.set()
                time.sleep(0.4)  # at work while the fork comes
                return ()
        started = threading.Event()
        boot.install(types.SimpleNamespace(hold=int, loaded=bool, load=Slow), version="0")
    """
    child = start(python, begin)
    with child.call() as call:
        call.send(wire.Status(1))
        assert child.ask("started.wait(10)") == "True"
        pid = int(child.ask("os.fork() or signal.pause()"))
        assert call.next().message == wire.Statuses(1, 2, 0)
        with child.call(pid) as other:
            assert isinstance(other.welcome, wire.Hello)
            assert other.welcome.pid == pid
        os.kill(pid, signal.SIGKILL)


def test_fork_storm(python: str, start: Callable[..., Child], tmp_path: Path) -> None:
    """40 forks while a patch goes in and out: each child is wholly old or wholly new and can go on patching by itself."""
    patch = fix(tmp_path)
    (tmp_path / "fix.suture").write_bytes(patch)
    begin = """
        import app, signal
        suture.install(service='game')
        codes = []
        def storm():
            for _ in range(40):
                pid = os.fork()
                if pid == 0:
                    signal.alarm(20)
                    live = len(suture.status())
                    good = app.f() == ("new" if live else "old") and suture.plan("fix.suture").ok
                    os._exit(1 - good)
                codes.append(os.waitpid(pid, 0)[1])
                time.sleep(0.002)  # commits come in between, and not only forks
        thread = threading.Thread(target=storm)
    """
    child = start(python, begin, "-W", "ignore")
    with child.call() as call:
        child.ask("thread.start()")
        rounds = 0
        while child.ask("thread.is_alive()") == "True":
            ready = call.ask(wire.Prepare, patch)
            done = call.ask(wire.Commit, token=ready.token)
            assert done.ok, done
            assert call.ask(wire.Revert, patch_id="fix").ok
            rounds += 1
        assert rounds > 3
    assert child.ask("codes == [0] * 40") == "True", child.ask("codes")


def test_fork_in_the_agents_thread(python: str, start: Callable[..., Child]) -> None:
    """Code that a patch brings may fork: the parent's agent goes on, the child doesn't serve the parent's caller."""
    begin = """
        import types
        from suture.agent import boot
        class Forks:
            def status(self):
                if os.fork() == 0:
                    time.sleep(0.2)  # it outlives the answer to the parent's caller
                    os._exit(0)
                return ()
        boot.install(types.SimpleNamespace(hold=int, loaded=bool, load=Forks), version="0")
    """
    child = start(python, begin, "-W", "ignore")
    with child.call() as call:
        for _ in range(3):
            assert call.ask(wire.Status).patches == 0
    assert child.end() == ""


def test_forks_of_the_library(python: str, start: Callable[..., Child]) -> None:
    """multiprocessing's fork, a terminal, preexec_fn: each comes back to a parent with its agent."""
    begin = FORKS + textwrap.dedent("""
        import multiprocessing, pty, subprocess
        def process():
            p = multiprocessing.get_context("fork").Process(target=int)
            p.start()
            p.join()
            return p.exitcode
        def terminal():
            pid, number = pty.fork()
            if pid == 0:
                os._exit(0)
            status = os.waitpid(pid, 0)[1]
            os.close(number)
            return status
        def preexec():
            return subprocess.run(["true"], preexec_fn=int).returncode
    """)
    child = start(python, begin)
    for kind in ("process", "terminal", "preexec"):
        assert child.ask(f"many({kind}, 10)[:2]") == "(True, 0)", kind
        assert child.ask("alive()[:2]") == "(True, [])"
    with child.call() as call:
        assert call.ask(wire.Ps).pid == child.pid


# ---------------------------------------------------------------- a hostile house


def test_sigwait(python: str, start: Callable[..., Child]) -> None:
    """A program that waits for its SIGTERM in sigwait gets it; the agent's thread doesn't take it."""
    begin = """
        import signal
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        suture.install()
        print("begun", flush=True)
        print(signal.sigwait([signal.SIGTERM]) == signal.SIGTERM, flush=True)
        sys.exit(7)
    """
    child = start(python, begin)
    with child.call() as call:  # its thread runs, and waits for the next
        assert call.ask(wire.Ps).pid == child.pid
    os.kill(child.pid, signal.SIGTERM)
    assert child.process.stdout is not None
    assert child.process.stdout.readline() == "True\n"
    child.end(7)


def test_daemon(python: str, start: Callable[..., Child]) -> None:
    """Two forks, a new session, all descriptors closed and their numbers used again: reachable as before."""
    begin = """
        from suture.agent import server
        server.HEARTBEAT_S = 0.2
        suture.install(service='game')
        read, write = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            os.write(write, b"%d" % os.getpid())
            limit = time.monotonic() + 10
            while len(os.listdir("/proc/self/task")) < 2:
                time.sleep(0.001)  # until the agent's thread is back
            os.closerange(0, 4096)
            used = [os.open(os.devnull, os.O_RDWR) for _ in range(30)]
            time.sleep(30)  # it is killed sooner
            os._exit(0)
        os.wait()
        daemon = int(os.read(read, 20))
    """
    child = start(python, begin)
    pid = int(child.ask("daemon"))
    try:

        def answered() -> bool:  # it finds its socket closed, and makes another
            try:
                with Call(child.path(pid)) as call:
                    return call.ask(wire.Ps).pid == pid
            except OSError:
                return False

        until(answered, "its answer")
        with child.call(pid):

            def all_open() -> bool:  # it may answer while the program is still at it; one that was closed under it stays away
                links = [os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")]
                return links.count("/dev/null") == 30

            until(all_open, "30 descriptors of the program's own")
    finally:
        os.kill(pid, signal.SIGKILL)


def test_child_settles(python: str, start: Callable[..., Child]) -> None:
    """A forked child's thread opens nothing at first: a daemon closes all right after its fork, and a folder's listing would be
    closed by the number that the program has by then."""
    begin = """
        from suture.agent import server
        suture.install()
        server.CHILD_SETTLES_S = 3600.0
        import _thread
        main, seen = _thread.get_ident(), []
        watched = ('open', 'os.listdir', 'os.scandir', 'socket.bind')
        sys.addaudithook(lambda event, args: event in watched and _thread.get_ident() != main and seen.append(event))
        read, write = os.pipe()
        if os.fork() == 0:
            seen.clear()
            limit = time.monotonic() + 30
            while len(os.listdir("/proc/self/task")) < 2 and time.monotonic() < limit:
                time.sleep(0.001)  # until the agent's thread is back
            time.sleep(0.3)  # it would be at it by now
            os.write(write, repr(seen).encode())
            os._exit(0)
        os.wait()
        opened = os.read(read, 4096).decode()
    """
    child = start(python, begin)
    assert child.ask("opened") == "'[]'"


def test_removed_socket(python: str, start: Callable[..., Child]) -> None:
    """A log-out or a cleaner of temporary files takes it: it's bound again."""
    child = start(python, "from suture.agent import server\nserver.HEARTBEAT_S = 0.2\nsuture.install()")
    with child.call() as call:
        os.unlink(child.path())
        assert child.path()
        assert call.ask(wire.Ps).pid == child.pid
    with child.call() as call:
        assert call.ask(wire.Ps).failure == ""


def test_dropped_privileges(python: str, start: Callable[..., Child]) -> None:
    """Started by root, gone on as another user: a socket in that user's folder, and its user and root are let in."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    begin = """
        from suture.agent import server
        server.HEARTBEAT_S = 0.2
        suture.install(service='game')
        os.setgid(65534)
        os.setuid(65534)
    """
    with tempfile.TemporaryDirectory(prefix="sut") as folder:
        os.chmod(folder, 0o1777)
        os.mkdir(f"{folder}/root", 0o700)
        child = start(python, begin, SUTURE_DIR="", XDG_RUNTIME_DIR=f"{folder}/root", TMPDIR=folder)
        child.run_dir = f"{folder}/suture-65534"
        with child.call() as call:
            facts = call.ask(wire.Ps)
            assert (facts.uid, facts.failure) == (65534, "")
        assert child.end() == ""


def test_bad_callers(python: str, start: Callable[..., Child]) -> None:
    """1,000 that send rubbish, half a message or nothing: good ones in between are answered, the program doesn't notice."""
    child = start(python)
    path, bad = child.path(), []
    for n in range(1000):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        sock.send((b"\0" * 5000, b"SUT", b"SUTJ\0\0\0\x05{", b"SUTJ\xff\xff\xff\xff")[n % 4]) if n % 5 else None
        bad.append(sock)
        if len(bad) > 500:  # as many as a process may have open, and some
            bad.pop(0).close()
        if n % 50 == 0:
            with child.call() as call:
                assert call.ask(wire.Ps).pid == child.pid
    with child.call() as call:
        assert call.ask(wire.Ps).failure == ""
    for sock in bad:
        sock.close()
    assert child.end() == ""


def test_uninstall_leaves_nothing(python: str, start: Callable[..., Child]) -> None:
    """No thread, no descriptor, no socket; forks are as if it had never been; it can come back."""
    begin = """
        import logging
        suture.status()  # the engine's own: ctypes keeps a descriptor on 3.14+
        look = lambda: (os.listdir("/proc/self/task"), os.listdir("/proc/self/fd"), threading.enumerate())
        before = look()
        suture.install()
    """
    child = start(python, begin)
    with child.call() as call:
        call.ask(wire.Revert, patch_id="none", journal=False)
    path = child.path()
    assert child.ask("suture.uninstall()") == "None"
    assert not os.path.exists(path)
    assert child.ask("look() == before") == "True", child.ask("look(), before")
    assert child.ask("os.waitpid(os.fork() or os._exit(0), 0)[1]") == "0"
    assert child.ask("look() == before") == "True"
    child.ask("suture.uninstall()")
    child.ask("suture.install()")
    child.ask("suture.install(service='second call')")
    with child.call() as call:
        assert call.ask(wire.Ps).service == ""
    child.end()
    assert rundir.entries(child.run_dir) == []


@pytest.mark.parametrize("switch", ["off", "OFF", "observe"])
def test_switches(python: str, start: Callable[..., Child], switch: str) -> None:
    """SUTURE=off: as if install wasn't there.  SUTURE=observe: reading verbs alone."""
    child = start(python, SUTURE=switch)
    if switch.lower() == "off":
        assert not os.path.exists(child.run_dir)
        assert child.ask("len(os.listdir('/proc/self/task'))") == "1"
    else:
        with child.call() as call:
            assert call.ask(wire.Status).patches == 0
            assert call.ask(wire.Prepare, b"x").code == "observe-only"
    assert child.end() == ""


def test_install_never_raises(python: str, start: Callable[..., Child]) -> None:
    """What fails is one log record; the program goes on."""
    begin = """
        import logging
        said = []
        class Keep(logging.Handler):
            def emit(self, record):
                said.append(record.getMessage())
        logging.getLogger("suture").addHandler(Keep())
        suture.install(peers="everybody")
        suture.install(run_dir=3)
        os.mkdir("shared"); os.chmod("shared", 0o777)
        suture.install(run_dir="shared")
        suture.install(run_dir="shared")
    """
    child = start(python, begin)
    assert (
        child.ask("[s.split(':')[0] for s in said]") == "[\"suture isn't installed\", \"suture isn't installed\", 'run-dir-unsafe']"
    )
    assert child.end() == ""


def test_second_copy_is_told(python: str, start: Callable[..., Child]) -> None:
    """The agent is there, and says in ps that it can't serve."""
    begin = """
        suture.status()
        for name in [n for n in sys.modules if n == "suture" or n.startswith("suture.")]:
            del sys.modules[name]
        import suture
        suture.install()
    """
    child = start(python, begin)
    with child.call() as call:
        assert call.ask(wire.Ps).failure.startswith("second-copy")
        assert call.ask(wire.Status).code == "second-copy"


OTHER = """
import os, sys
sys.path[:0] = {paths!r}
os.setgid(65534)
os.setuid(65534)
from calling import Call
from suture import wire
try:
    call = Call(sys.argv[1], hello=None)
    print(call.next().message.code)
except PermissionError:
    print("permission")
"""


def test_other_user(start: Callable[..., Child]) -> None:
    """The folder and the socket keep others out, and if somebody opens both, the kernel's word does."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    child = start(sys.executable)
    path = child.path()
    code = OTHER.format(paths=[str(SRC), str(Path(__file__).parent.parent)])

    def other() -> str:
        python = next((p for p in (sys.executable, "/usr/bin/python3") if _for_all(p)), None)
        if python is None:
            pytest.skip("no Python that another user may run")
        done = subprocess.run([python, "-B", "-c", code, path], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert other() == "permission"
    for folder in (os.path.dirname(path), os.path.dirname(os.path.dirname(path))):
        os.chmod(folder, 0o755)
    os.chmod(path, 0o666)
    assert other() == "peer-denied"
    os.chmod(os.path.dirname(path), 0o700)
    with child.call() as call:
        assert call.ask(wire.Ps).denied == 1


def _for_all(python: str) -> bool:
    """True if uid 65534 can run it with our sources."""
    code = f"import os; os.setgid(65534); os.setuid(65534); import sys; sys.path.insert(0, {str(SRC)!r}); import suture.report"
    try:
        return subprocess.run([python, "-B", "-c", code], capture_output=True, timeout=60).returncode == 0
    except OSError:
        return False


GEVENT = """
from gevent import monkey
monkey.patch_all()
import gevent
suture.install(service='game')
ticks = []
def tick():
    while True:
        gevent.sleep(0.005)
        ticks.append(1)
gevent.spawn(tick)
import app
"""


def test_gevent(python: str, start: Callable[..., Child], tmp_path: Path) -> None:
    """A program whose sockets, locks and threads are gevent's: the agent sleeps in the kernel, the loop goes on."""
    if subprocess.run([python, "-c", "import gevent"], capture_output=True).returncode != 0:
        pytest.skip("gevent isn't installed for this Python")
    patch = fix(tmp_path)
    child = start(python, GEVENT)
    with child.call() as call:
        ready = call.ask(wire.Prepare, patch)
        assert call.ask(wire.Commit, token=ready.token).ok
        assert child.ask("app.f()") == "'new'"
        assert child.ask("gevent.sleep(0.2), len(ticks) > 5") == "(None, True)"
    assert child.ask("os.waitpid(os.fork() or os._exit(0), 0)[1]") == "0"
    with child.call() as call:
        assert call.ask(wire.Ps).failure == ""
