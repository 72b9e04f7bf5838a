"""
Processes that are asked the same thing, and what became of each.

Rule 1: every process that was asked has a seat in the outcome, whatever became of it.
Rule 2: the exit code is worked out from the seats alone.

Prints nothing.  A process that has ended can't run anything, so it holds nobody up; but it is said.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from suture import wire
from suture.errors import Fault, SutureError
from suture.ops.client import Agent, Lost

__all__ = ["LISTEN_S", "OK", "STATES", "Outcome", "Seat", "Stop", "asked", "codes_of", "each", "has_ended", "said"]

LISTEN_S = 0.05  # how soon Ctrl-C is heard
_MOST_AT_ONCE = 64
OK, NO, MIXED = 0, 1, 2
_CHANGES = frozenset({wire.Commit, wire.Revert})  # the messages after which a process may be another than before

# What a process can end as, and whether it is then as it was before.
STATES: Mapping[str, bool] = {
    "live": False,  # switched by this command
    "live already": True,  # there was nothing to do
    "reverted": False,
    "not live": True,  # nothing to take back
    "would go in": True,
    "refused": True,
    "discarded": True,  # was ready, but another one wasn't
    "not asked": True,  # another one that was meant can't be asked
    "put back": True,  # had switched, and was taken back
    "live again": True,  # the same of a revert: had gone back, and has the patch again
    "still live": False,  # had switched, was to go back, and said no
    "ended": True,  # the process is no more
    "unknown": False,
}


@dataclass
class Seat:
    """
    One process and what became of it.

    Attributes:
        state: A key of STATES; "" while it's asked.
        report: Its last report, as JSON.
        error: Why it said no, or what is known, if there is no report.
        ran: A statement of the patch ran there, and what it did stays, whatever the state.
        token: Of what is prepared there now.
        text: Of the patch, fetched before an agent that can't prepare a revert takes it back.
    """

    agent: Agent
    state: str = ""
    report: dict[str, Any] | None = None
    error: dict[str, str] | None = None
    ran: bool = False
    token: str = field(default="", repr=False)
    text: bytes = field(default=b"", repr=False)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        row: dict[str, Any] = {"pid": self.agent.pid, "service": self.agent.hello.service, "state": self.state}
        return row | {"report": self.report, "error": self.error, "ran": self.ran}


@dataclass
class Outcome:
    """
    What came of one verb.

    Attributes:
        verb: Which.
        seats: One a process, by pid.
        prepared_s: Seconds until the last one was ready.
        interrupted: Ctrl-C came before the end.
        asked_id: What was asked for by its id, or the start of it.
        dropped: By service, a patch that is live nowhere in it and that its journal doesn't expect any more.
    """

    verb: str
    seats: list[Seat]
    prepared_s: float = 0.0
    interrupted: bool = False
    asked_id: str = ""
    dropped: dict[str, str] = field(default_factory=dict)

    @property
    def patch_id(self) -> str:
        """Of the first report that names one; else as it was asked for."""
        return next((s.report["patch_id"] for s in self.seats if s.report and s.report["patch_id"]), self.asked_id)

    def having(self, *states: str) -> list[Seat]:
        """Seats in one of these states."""
        return [s for s in self.seats if s.state in states]

    def ready(self) -> list[Seat]:
        """Seats in which something waits for its commit."""
        return [s for s in self.seats if s.token]

    def exit_code(self) -> int:
        """0: what was asked holds in every process asked; 1: no, and every process is as before; 2: anything else."""
        wanted = {"apply": ("live", "live already"), "revert": ("reverted", "not live"), "plan": ("would go in", "live already")}
        if len(self.having(*wanted[self.verb])) == len(self.seats):
            return OK if self.seats else NO
        return NO if all(STATES[s.state] and not s.ran for s in self.seats) else MIXED

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "patch_id": self.patch_id,
            "prepared_s": round(self.prepared_s, 3),
            "interrupted": self.interrupted,
            "dropped": [{"service": service, "patch_id": patch_id} for service, patch_id in self.dropped.items()],
            "processes": [s.to_json() for s in self.seats],
        }


class Stop:
    """
    Ctrl-C (a hang-up, a SIGTERM), for the length of a ``with``: told to whoever looks, never an exception in the midst of things.

    So it may come at any moment: between two steps it would leave half of a service switched, and nobody to say so.  Only the
    main thread of a program gets signals; elsewhere this does nothing.

    Attributes:
        came: How often.
    """

    def __init__(self) -> None:
        self.came = 0
        self._was: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):  # nohup is to hold
                    self._was[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, *_: object) -> None:
        for number, was in self._was.items():
            signal.signal(number, was)
        self._was.clear()

    def _heard(self, *_: object) -> None:
        self.came += 1


def asked(seat: Seat, kind: Any, attached: bytes = b"", **fields: Any) -> Any:
    """An answer with its report in the seat; None if there was none, and then the seat says why."""
    try:
        answer, body = seat.agent.ask(kind, attached, **fields)
    except Lost as error:
        _lost(seat, error, kind in _CHANGES)
        return None
    except SutureError as error:
        seat.state = "unknown" if isinstance(error, Fault) and kind in _CHANGES else "refused"
        seat.error = {"code": error.code, "target": error.target, "message": error.message, "hint": error.hint}
        return None
    seat.report = json.loads(body) if body else None
    seat.ran = seat.ran or "ran-once" in codes_of(seat)
    seat.error = None
    return answer


def said(seat: Seat) -> str:
    """Code of what it said no with, without a report."""
    return seat.error["code"] if seat.error is not None else ""


def codes_of(seat: Seat) -> set[str]:
    """Codes of its report's findings."""
    return {f["code"] for f in (seat.report or {}).get("findings", ())}


def _lost(seat: Seat, error: Lost, changes: bool) -> None:
    if seat.agent.closed and not changes:
        seat.state = "discarded"  # interrupted: hanging up discards
        return
    if has_ended(seat.agent):
        seat.state, words, hint = "ended", "the process has ended", ""
    elif changes:
        seat.state, words = "unknown", f"the connection was lost: {error}"
        hint = f"it may run the old code or the new: suture status --pid {seat.agent.pid}"
    else:
        seat.state, words, hint = "refused", f"the connection was lost: {error}", "ask again; see the program's log"
    seat.error = {"code": "lost", "target": "", "message": words, "hint": hint}


def has_ended(agent: Agent) -> bool:
    """A killed process may be there for some moments more."""
    limit = time.monotonic() + 1.0
    while not (gone := agent.ended()) and time.monotonic() < limit:
        time.sleep(0.02)
    return gone


def each(seats: Sequence[Seat], work: Callable[[Seat], None], stop: Stop, *, hang_up_at: int) -> bool:
    """
    Do it for all at once, and wait for what has begun.

    Returns:
        False if Ctrl-C came.  At the *hang_up_at*-th those that haven't answered are hung up on (an agent discards then).
    """
    if not seats:
        return not stop.came
    with ThreadPoolExecutor(min(len(seats), _MOST_AT_ONCE), thread_name_prefix="suture") as pool:
        futures = {pool.submit(work, seat): seat for seat in seats}
        left = set(futures)
        while left:
            done, left = wait(left, LISTEN_S)
            for future in done:
                future.result()
            if stop.came >= hang_up_at:
                for future in left:
                    futures[future].agent.close()
    return not stop.came
