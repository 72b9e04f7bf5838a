"""What the demo plays on: servers and players as real children, and ``suture build`` from two trees of source."""

import contextlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
HANGS_S = 60  # nothing that is waited for takes near as long


def tree(folder, *changes):
    """The game's source below *folder*, with other files over it: {"name.py": text}."""
    package = Path(folder) / "arena"
    package.mkdir(parents=True)
    for path in HERE.glob("*.py"):
        shutil.copyfile(path, package / path.name)
    for change in changes:
        for name, text in change.items():
            (package / name).write_text(text)
    return Path(folder)


def fixed():
    """The fixed files, by name."""
    return {path.name: path.read_text() for path in (HERE / "fixed").glob("*.py")}


def environment(*folders):
    """For a child: the game's source and the suture that we have ourselves on its path, and no caches beside the source."""
    suture = Path(find_spec("suture").origin).parent.parent
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*folders, suture))), "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass(frozen=True)
class Said:
    """What the command ``suture`` said: its exit code, and all that it printed."""

    words: tuple[str, ...]
    code: int
    text: str

    def show(self):
        """As in a terminal."""
        print(f"$ suture {shlex.join(self.words)}\n{self.text.rstrip()}")


class Terminal:
    """The operator's, in a folder; agents are found in the folder ``run`` there."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.run_dir = self.folder / "run"

    def suture(self, *words):
        """The command."""
        command = [sys.executable, "-m", "suture", *words]
        env = {**environment(), "SUTURE_DIR": str(self.run_dir)}
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=HANGS_S, check=False)
        return Said(words, done.returncode, done.stdout + done.stderr)

    def reads(self, *words):
        """What it says with ``--json``."""
        return json.loads(self.suture(*words, "--json").text)

    def report(self):
        """Of the one patch that is live in the one server, as of now."""
        (process,) = self.reads("status", "--service", "arena")["processes"]
        return process["reports"][-1]


class Child:
    """A Python process that ends with us, or with ``close``: whichever comes first closes its standard input."""

    def __init__(self, source, module, *args, **env):
        command = [sys.executable, "-m", module, *map(str, args)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, cwd=source, env={**environment(source), **env}, **pipes)

    def close(self):
        """End it."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(HANGS_S)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


@dataclass(frozen=True)
class Window:
    """What the players saw for a while."""

    seconds: float
    hits: int
    wrong_hits: int
    payouts: int
    wrong_payouts: int

    def rate(self, count):
        """So many a second, rounded."""
        return round(count / self.seconds)


class Players(Child):
    """The crowd; a thread reads their lines."""

    def __init__(self, source, port, count):
        super().__init__(source, "arena.players", port, count)
        self.rows = []
        self.news = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self._await(lambda: self.rows and self.rows[-1]["connected"] == count)

    def _read(self):
        for line in self.process.stdout:
            with self.news:
                self.rows.append(json.loads(line))
                self.news.notify_all()

    def _await(self, condition):
        with self.news:
            if not self.news.wait_for(condition, HANGS_S):
                raise SystemExit("demo: the players hang, or have ended")

    def lost(self):
        """How many lost their connection."""
        return self.rows[-1]["lost"]

    def window(self, seconds):
        """
        What they see in the next *seconds*.

        Begins with the second line from now: by then all that had been sent to them before was read.
        """
        asked = time.monotonic()

        def since():
            return [r for r in self.rows if r["since"] >= asked][1:]

        self._await(lambda: since() and since()[-1]["until"] - since()[0]["since"] >= seconds)
        rows = since()
        counts = [sum(r[name] for r in rows) for name in ("hits", "wrong_hits", "payouts", "wrong_payouts")]
        return Window(rows[-1]["until"] - rows[0]["since"], *counts)

    def first_right_ms(self, asked):
        """Milliseconds from *asked* to the first right hit after it."""
        times = [r["first_right"] for r in self.rows if (r["first_right"] or 0) >= asked]
        return (min(times) - asked) * 1e3 if times else None

    def last_wrong_ms(self, asked):
        """Milliseconds from *asked* to the last wrong hit."""
        times = [r["last_wrong"] for r in self.rows if r["last_wrong"]]
        return (max(times) - asked) * 1e3

    def close(self):
        """End them, and read what they said last."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.reader.join(HANGS_S)
        super().close()


class Arena(Child):
    """A server that runs a tree of source, its console, and its players; its agent can be found in *run_dir*."""

    def __init__(self, source, players, run_dir):
        super().__init__(source, "arena.server", SUTURE_DIR=str(run_dir))
        ports = json.loads(self.process.stdout.readline() or "{}")
        if not ports:
            raise SystemExit("demo: the server ended before it served")
        self.socket = socket.create_connection(("127.0.0.1", ports["console"]), timeout=HANGS_S)
        self.lines = self.socket.makefile("r")
        self.players = Players(source, ports["players"], players)

    def ask(self, *words):
        """One console command, and its answer."""
        self.socket.sendall(f"{' '.join(map(str, words))}\n".encode())
        answer = json.loads(self.lines.readline())
        if "error" in answer:
            raise SystemExit(f"demo: {words[0]}: {answer['error']}")
        return answer

    def fingerprint(self):
        """The digest of the server's code."""
        return self.ask("fingerprint")["fingerprint"]

    def held(self):
        """Kinds of held callbacks, how many there are, how many of them work right."""
        kinds = self.ask("status")["held"]
        return kinds, sum(k["held"] for k in kinds.values()), sum(k["right"] for k in kinds.values())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.players.close()
        self.lines.close()
        self.socket.close()
        self.close()
