"""What the demo plays on: servers and their load as real children, and the operator's command."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
HANGS_S = 30  # nothing that is waited for takes near as long


def tree(folder, *changed):
    """The shop's source below *folder*, with other files over it."""
    package = Path(folder) / "shop"
    package.mkdir(parents=True)
    for path in (*(HERE / "shop").glob("*.py"), *changed):
        shutil.copyfile(path, package / path.name)
    return Path(folder)


def free_port():
    """One that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, what, timeout_s=HANGS_S):
    """Wait until it's so; what it gave."""
    limit = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > limit:
            raise SystemExit(f"demo: waited {timeout_s} s for {what}")
        time.sleep(0.02)
    return found


class House:
    """A folder that everything happens in: source, run directory, logs; and the environment of who lives there."""

    def __init__(self, folder):
        self.folder = Path(folder)
        ours = Path(find_spec("suture").origin).parent.parent
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("SUTURE", "PYTHON"))},
            "PYTHONPATH": os.pathsep.join(map(str, (self.folder / "old", ours))),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONWARNINGS": "ignore::DeprecationWarning",  # the servers' own
        }

    def move(self, name):
        """Another run directory: no journal of others."""
        self.env["SUTURE_DIR"] = str(self.folder / f"run-{name}")

    def suture(self, *words):
        """The operator's command: exit code, what it printed, and when it was called and ended."""
        began = time.monotonic()
        command = [sys.executable, "-m", "suture", *map(str, words)]
        done = subprocess.run(command, env=self.env, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False)
        return Said(words, done.returncode, done.stdout + done.stderr, began, time.monotonic())

    def reads(self, verb, *words):
        """What a verb says with --json."""
        return json.loads(self.suture(verb, *words, "--json").text)

    def pids(self):
        """The shop's processes that have an agent."""
        return {row["pid"] for row in self.reads("ps", "--service", "shop").get("processes", ())}


class Said:
    """What the command said."""

    def __init__(self, words, code, text, began, ended):
        self.words, self.code, self.text, self.began, self.ended = words, code, text, began, ended

    def __str__(self):
        return f"$ suture {' '.join(map(str, self.words))}\n{self.text}(exit {self.code})"


class Service:
    """A server with its workers, in a process group of its own; its log is in the house."""

    def __init__(self, house, name, command, **env):
        self.log = house.folder / f"{name}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *map(str, command)],
                cwd=house.folder / "old",
                env={**house.env, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def await_workers(self, house, count):
        """Wait until so many of its processes can be reached."""
        return until(lambda: self.alive() and len(pids := house.pids()) >= count and pids, f"{count} processes, see {self.log}")

    def alive(self):
        """True; or the end of the demo."""
        if self.process.poll() is not None:
            raise SystemExit(f"demo: the server ended\n{self.log.read_text()[-2000:]}")
        return True

    def close(self):
        """End it, and whoever it left."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(HANGS_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Row:
    """One answer: when it was asked for and got, of which process, right, wrong or why there is none, and who hung up first."""

    def __init__(self, asked, got, pid, word, hung_up):
        self.asked, self.got, self.pid, self.word, self.hung_up = asked, got, pid, word, hung_up

    @property
    def failed(self):
        """True if there was no answer."""
        return self.word not in ("right", "wrong")


class Load:
    """The customers; a thread reads what became of each of their requests."""

    def __init__(self, house, target, *, threads, a_second, **env):
        command = [sys.executable, str(HERE / "load.py"), target, str(threads), str(a_second)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env={**house.env, **env}, **pipes)
        self.rows = []
        self.news = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self.news:
                self.rows += [Row(*row) for row in json.loads(line)]
                self.news.notify_all()

    def at(self, a_second):
        """Ask so often from now on; 0: as fast as they can."""
        self.process.stdin.write(f"{a_second}\n")
        self.process.stdin.flush()

    def asked_since(self, start, *, count, pid=None, workers=1):
        """Requests asked after *start* (and answered by *pid*), as soon as so many are there, of so many workers."""

        def found():
            return [r for r in self.rows if r.asked >= start and pid in (None, r.pid)]

        with self.news:
            if not self.news.wait_for(lambda: len(rows := found()) >= count and len({r.pid for r in rows}) >= workers, HANGS_S):
                raise SystemExit(f"demo: {len(found())} answers in {HANGS_S} s")
            return found()

    def first(self, condition, what):
        """The first answer of that kind, as soon as it's there."""
        with self.news:
            found = self.news.wait_for(lambda: next(filter(condition, self.rows), None), HANGS_S)
        if found is None:
            raise SystemExit(f"demo: waited {HANGS_S} s for {what}")
        return found

    def close(self):
        """Let them finish; all rows are there afterwards."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.reader.join(HANGS_S)
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
