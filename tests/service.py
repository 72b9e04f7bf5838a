"""
A service for tests of the operator's side: real processes with agents, each with a side channel through which it's told things.

The processes are started one by one (``start``) or forked from one that has loaded everything (``fork``: cheap, for many).
The operator's command is run as it is run by a person (``suture``): its words are looked at each time.
"""

from __future__ import annotations

import ast
import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schema import problems
from suture import __version__
from suture.agent import rundir
from suture.ops.build import build
from suture.ops.client import Agent
from suture.patch import dump
from waiting import PATIENCE_S, until

SRC = Path(__file__).parent.parent / "src"
SCHEMA = json.loads((SRC.parent / "docs" / "reference" / "operator.schema.json").read_text())
CACHE = tempfile.mkdtemp(prefix="sut")  # compiled modules, once a run and not beside the source
atexit.register(shutil.rmtree, CACHE, ignore_errors=True)

OLD = """
    K = "old"
    def f():
        return "old", g()
    def g():
        return "old"
    class C:
        def m(self):
            return "old", self.s()
        @staticmethod
        def s():
            return "old"
"""

PROGRAM = """
    import os, signal, socket, sys, threading, time
    signal.alarm(300)
    import app, suture
    from suture.engine import pace
    pace.SLICE_NS *= 20  # nobody waits for us here
    c = app.C()
    held = [app.f, app.g, c.m]

    def words():
        "All that the functions say: one word, or the process is half old and half new."
        return sorted({*app.f(), app.g(), *c.m(), app.C.s(), app.K, *held[0](), held[1](), *held[2]()})

    def prints():
        "Identity of all that a patch changes."
        return [id(x.__code__) for x in (app.f, app.g, app.C.m, app.C.s)] + [id(app.K)]

    def codes():
        "The same, as far as it's equal: what was taken back is an equal code, not always the same object."
        return [hash(x.__code__) for x in (app.f, app.g, app.C.m, app.C.s)] + [hash(app.K)]

    def install(service="game", **more):
        suture.install(service=service, **more)

    def settled():
        "What the agent holds."
        held = sys.modules["suture.agent.boot"].server().desk.held
        return held and held.patch_id

    def say():
        global side
        side = socket.socket(socket.AF_UNIX)
        side.connect(sys.argv[1])
        file = side.makefile("rw")
        print(os.getpid(), file=file, flush=True)
        for line in file:
            signal.alarm(300)  # one that nobody asks any more ends by itself
            try:
                value = eval(line, globals())
            except Exception as error:
                value = repr(error)
            print(repr(value), file=file, flush=True)
        os._exit(0)

    def fork(n, service="game"):
        "Children with agents of their own, if this one has none."
        for _ in range(n):
            if os.fork() == 0:
                os.close(side.detach())
                if sys.modules.get("suture.agent.boot") is None or sys.modules["suture.agent.boot"].server() is None:
                    install(service)
                say()

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children don't stay as zombies
"""


@dataclass
class Said:
    """What a run of the command gave."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        return self.out + self.err

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def state(self) -> dict[int, str]:
        """State by pid, of a JSON answer."""
        return {row["pid"]: row["state"] for row in self.json["processes"]}


class Process:
    """One process of the service."""

    def __init__(self, side: socket.socket) -> None:
        side.settimeout(PATIENCE_S)
        self.side = side
        self.file = side.makefile("rw")
        self.pid = int(self.file.readline())

    def ask(self, expression: str) -> Any:
        """Value of an expression in the process."""
        print(expression, file=self.file, flush=True)
        line = self.file.readline()
        assert line, f"pid {self.pid} has ended"
        return ast.literal_eval(line)

    def alive(self) -> bool:
        """False once its side channel is closed, or the kernel has forgotten it."""
        try:
            return rundir.identity(self.pid).pid == self.pid
        except ProcessLookupError:
            return False

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.pid, number)

    def end(self) -> None:
        """Kill it and wait until it's gone."""
        self.kill()
        self.side.close()
        until(lambda: not self.alive())


class Service:
    """Processes, their run directory, and a patch for them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.short = Path(tempfile.mkdtemp(prefix="sut"))
        self.run_dir = str(self.short / "run")
        self.started: list[subprocess.Popen[bytes]] = []
        self.processes: list[Process] = []
        self.side = socket.socket(socket.AF_UNIX)
        self.side.bind(str(self.short / "side"))
        self.side.listen(200)
        self.side.settimeout(PATIENCE_S)
        (folder / "app.py").write_text(textwrap.dedent(OLD))
        (folder / "program.py").write_text(textwrap.dedent(PROGRAM) + "exec(sys.argv[2])\nsay()\n")
        self.patch = self.made("fix", [('"old"', '"new"')])

    def made(self, name: str, pairs: list[tuple[str, str]], *, start: str = OLD, reason: str = "it was old") -> Path:
        """A patch file: the text with some of it exchanged."""
        text = start
        for a, b in pairs:
            assert a in text, a
            text = text.replace(a, b)
        for side, body in (("a", start), ("b", text)):
            (self.folder / name / side).mkdir(parents=True)
            (self.folder / name / side / "app.py").write_text(textwrap.dedent(body))
        path = self.folder / f"{name}.suture"
        meta = {"reason": reason, "author": "ops"}
        path.write_bytes(dump(build(self.folder / name / "a", self.folder / name / "b", name=name, meta=meta)))
        return path

    # ------------------------------------------------------------ processes

    def env(self, **more: str) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SUTURE", "XDG_"))}
        return clean | {"PYTHONPATH": str(SRC), "PYTHONPYCACHEPREFIX": CACHE, "SUTURE_DIR": self.run_dir, "COLUMNS": "80"} | more

    def start(self, count: int = 1, begin: str = "install()", *, python: str = sys.executable, **env: str) -> list[Process]:
        """Start processes, each by itself."""
        for _ in range(count):
            argv = [python, "program.py", str(self.short / "side"), begin]
            self.started.append(subprocess.Popen(argv, cwd=self.folder, env=self.env(**env), stderr=subprocess.DEVNULL))
        new = self.accept(count)
        for process in new:
            if "install" in begin:
                process.ask("settled()")
                until(lambda: self.entry(process.pid))
        return new

    def fork(self, parent: Process, count: int, service: str = "game") -> list[Process]:
        """Let a process fork others."""
        parent.ask(f"fork({count}, {service!r})")
        new = self.accept(count)
        for process in new:
            process.ask("settled()")
            until(lambda: self.entry(process.pid))
        return new

    def accept(self, count: int) -> list[Process]:
        new = sorted((Process(self.side.accept()[0]) for _ in range(count)), key=lambda p: p.pid)
        self.processes += new
        return new

    def entry(self, pid: int) -> rundir.Entry | None:
        """Its socket, once it's there."""
        return next((e for e in rundir.entries(self.run_dir) if e.identity.pid == pid and e.state == "here"), None)

    def agents(self, processes: list[Process], kind: type[Agent] = Agent) -> list[Agent]:
        """Connections, for what drives the two phases by itself."""
        found = []
        for process in processes:
            entry = self.entry(process.pid)
            assert entry is not None
            found.append(kind(entry, __version__))
        return found

    def close(self) -> None:
        for process in self.processes:
            process.file.close()
            process.side.close()
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for started in self.started:
            started.kill()
            started.wait()
        self.side.close()
        shutil.rmtree(self.short, ignore_errors=True)

    # ------------------------------------------------------------ the command

    def popen(
        self,
        *args: object,
        python: str = sys.executable,
        through: tuple[object, ...] = ("-m", "suture"),
        env: dict[str, str] | None = None,
        **more: Any,
    ) -> subprocess.Popen[bytes]:
        """Begin a run of the command; *through*: what stands for ``-m suture``."""
        argv = [python, *map(str, through), *map(str, args)]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        return subprocess.Popen(argv, cwd=self.folder, env=self.env(**(env or {})), **pipes)

    def suture(self, *args: object, stdin: bytes | None = None, **more: Any) -> Said:
        """Run the command."""
        if stdin is not None:
            more["stdin"] = subprocess.PIPE
        return self.said(self.popen(*args, **more), *args, stdin=stdin)

    def said(self, running: subprocess.Popen[bytes], *args: object, stdin: bytes | None = None) -> Said:
        """What a run gave, once it has ended; whatever it was, a person can read it and a program can."""
        out, err = (text.decode() for text in running.communicate(stdin, timeout=2 * PATIENCE_S))
        assert "Traceback" not in err, err
        assert "\033" not in out + err
        if "--json" in args and out:
            assert problems(json.loads(out), SCHEMA) == [], out
        else:
            wide = [line for line in (out + err).splitlines() if len(line) > 80]
            assert not wide, wide
        return Said(running.returncode, out, err)
