"""
Processes of a service watched while one verb goes through all of them: somebody beside each connection, and what they run.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service import Process, Service
from suture import wire
from suture.ops.cli import tables
from suture.ops.client import Agent
from suture.ops.seats import Outcome
from suture.patch import load
from waiting import until

OLDS, NEWS = ["old"], ["new"]
OTHER = "setattr(app.f, '__code__', (lambda: ('other', 'other')).__code__)"


class Watched(Agent):
    """An agent's connection with somebody beside it, who may do something before and after each question."""

    before: Callable[[Agent, Any], object] = staticmethod(lambda agent, kind: None)
    after: Callable[[Agent, Any], object] = staticmethod(lambda agent, kind: None)

    def ask(self, kind: Any, attached: bytes = b"", **fields: Any) -> tuple[Any, bytes]:
        self.before(self, kind)
        try:
            return super().ask(kind, attached, **fields)
        finally:
            self.after(self, kind)


def watched(**hooks: Callable[[Agent, Any], object]) -> type[Agent]:
    return type("Watched", (Watched,), {name: staticmethod(hook) for name, hook in hooks.items()})


def prints(processes: list[Process]) -> list[list[int]]:
    return [p.ask("prints()") for p in processes]


def codes(processes: list[Process]) -> list[list[int]]:
    return [p.ask("codes()") for p in processes]


def words(processes: list[Process]) -> list[list[str]]:
    return [p.ask("words()") for p in processes]


def nothing_held(processes: list[Process]) -> None:
    for process in processes:
        until(lambda: process.ask("settled()") is None, "something is still prepared")


def told(outcome: Outcome, service: Service) -> str:
    """Its words; they fit a screen."""
    text = tables.outcome(outcome, [], load(service.patch.read_bytes()), "--service game")
    assert [line for line in text.splitlines() if len(line) > 80] == []
    return text


def states(outcome: Outcome) -> dict[int, str]:
    return {s.agent.pid: s.state for s in outcome.seats}


# ---------------------------------------------------------------- killed, stopped

STEPS = ("preparing", "prepared", "committing", "committed")


def killing(victim: Process, step: str, delay_s: float, first: Any = wire.Prepare) -> type[Agent]:
    """Connections under which one process is killed at a step; *first*: what prepares."""
    asked = first if step.startswith("prepar") else wire.Commit

    def kill() -> None:
        time.sleep(delay_s)  # somewhere in the midst of the answer: there is no event to wait for
        victim.kill()

    def before(agent: Agent, kind: Any) -> None:
        if agent.pid == victim.pid and kind is asked and step.endswith("ing"):
            threading.Thread(target=kill).start()

    def after(agent: Agent, kind: Any) -> None:
        if agent.pid == victim.pid and kind is asked and step.endswith("ed"):
            victim.kill()

    return watched(before=before, after=after)


STOPS = """
import json, os, resource, signal, sys, threading
from suture import wire
from suture.ops import client
asked, pid = sys.argv[1], int(sys.argv[2])
real = client.Agent.ask
def ask(self, kind, attached=b"", **fields):
    if kind.__name__ == asked and self.pid == pid:
        os.kill(pid, signal.SIGSTOP)
    answer = real(self, kind, attached, **fields)
    open(f"{kind.__name__}.{self.pid}", "w").close()
    return answer
client.Agent.ask = ask
from suture.ops.cli.main import main
code = main(sys.argv[3:])
if not pid:
    sys.stdout.flush()
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(used.ru_maxrss / 1024, used.ru_utime + used.ru_stime, threading.active_count(), file=sys.stderr)
sys.exit(code)
"""


def stopped(process: Process) -> bool:
    return Path(f"/proc/{process.pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"T"


def begun(service: Service, verb: str, asked: str, victim: Process, others: list[Process], *more: str) -> subprocess.Popen[bytes]:
    """A verb during which one process is stopped when it's asked something; the others have done it."""
    before = words(others)
    argv = (verb, service.patch if verb == "apply" else "fix", "--service", "game", *more)
    running = service.popen(*argv, through=("-c", STOPS, asked, victim.pid))
    until(lambda: stopped(victim))
    until(lambda: all((service.folder / f"{asked}.{process.pid}").exists() for process in others))
    assert (words(others) == before) is asked.startswith("Prepare")
    return running


def taken(running: subprocess.Popen[bytes]) -> None:
    """Wait until a signal has come: two of a kind that wait are one."""
    until(lambda: b"ShdPnd:\t0000000000000000" in Path(f"/proc/{running.pid}/status").read_bytes())
    used = _switches(running.pid)
    until(lambda: _switches(running.pid) > used + 4)  # and its main thread has looked up a few times since


def _switches(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("voluntary_ctxt_switches:")[2].split()[0])
