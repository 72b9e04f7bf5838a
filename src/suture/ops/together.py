"""
One verb in many processes: all of them, or none.

    prepare everywhere -> all ready? -> commit everywhere
                            | no: discard everywhere; nothing was changed
                                        | one says no: those that have switched go back

Rule 1: no process switches before every process is ready to.
Rule 2: every process that was asked has a seat in the outcome, whatever became of it.
Rule 3: the exit code is worked out from the seats alone.

Prints nothing.  A process that has ended can't run anything, so it holds nobody up; but it is said.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from suture import wire
from suture.errors import Fault, SutureError
from suture.ops.client import Agent, Lost

__all__ = ["Outcome", "Seat", "apply", "plan", "revert", "status"]

LEASE_S = 10.0
_RENEW_S = 3.0
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
    "put back": True,  # had switched, and was taken back
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
    """

    agent: Agent
    state: str = ""
    report: dict[str, Any] | None = None
    error: dict[str, str] | None = None
    token: str = field(default="", repr=False)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        row: dict[str, Any] = {"pid": self.agent.pid, "service": self.agent.hello.service, "state": self.state}
        return row | {"report": self.report, "error": self.error}


@dataclass
class Outcome:
    """
    What came of one verb.

    Attributes:
        verb: Which.
        seats: One a process, by pid.
        prepared_s: Seconds until the last one was ready.
        interrupted: Ctrl-C came.
    """

    verb: str
    seats: list[Seat]
    prepared_s: float = 0.0
    interrupted: bool = False

    @property
    def patch_id(self) -> str:
        """Of the first report that names one."""
        return next((s.report["patch_id"] for s in self.seats if s.report and s.report["patch_id"]), "")

    def having(self, *states: str) -> list[Seat]:
        """Seats in one of these states."""
        return [s for s in self.seats if s.state in states]

    def exit_code(self) -> int:
        """0: what was asked holds in every process asked; 1: no, and every process is as before; 2: anything else."""
        wanted = {"apply": ("live", "live already"), "revert": ("reverted", "not live"), "plan": ("would go in", "live already")}
        if len(self.having(*wanted[self.verb])) == len(self.seats):
            return OK if self.seats else NO
        return NO if all(STATES[s.state] for s in self.seats) else MIXED

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "format": 1,
            "verb": self.verb,
            "ok": self.exit_code() == OK,
            "exit": self.exit_code(),
            "patch_id": self.patch_id,
            "prepared_s": round(self.prepared_s, 3),
            "interrupted": self.interrupted,
            "processes": [s.to_json() for s in self.seats],
        }


# ---------------------------------------------------------------- verbs


def plan(agents: Sequence[Agent], patch: bytes, **options: Any) -> Outcome:
    """Ask each what the patch would do.  Changes nothing."""
    outcome = Outcome("plan", [Seat(a) for a in agents])

    def ask(seat: Seat) -> None:
        answer = _asked(seat, wire.Plan, patch, **options)
        if answer is not None:
            seat.state = "would go in" if answer.ok else "refused"

    _each(outcome.seats, ask)
    return outcome


def apply(agents: Sequence[Agent], patch: bytes, *, journal: bool = True, **options: Any) -> Outcome:
    """
    Take a patch live in all of them, or in none.

    Ctrl-C before the first switch changes nothing; later it takes back those that have switched.
    """
    outcome = Outcome("apply", [Seat(a) for a in agents])
    start = time.monotonic()

    def prepare(seat: Seat) -> None:
        answer = _asked(seat, wire.Prepare, patch, lease_s=LEASE_S, journal=journal, **options)  # can't have switched anything
        if answer is None:
            return
        seat.token = answer.token
        seat.state = "" if answer.token else "live already" if answer.ok else "refused"

    with _kept(outcome.seats):
        try:
            _each(outcome.seats, prepare, hang_up=True)
        except KeyboardInterrupt:
            outcome.interrupted = True
        outcome.prepared_s = time.monotonic() - start
        ready = [s for s in outcome.seats if s.token]
        if outcome.interrupted or outcome.having("refused", "unknown"):
            _discard(outcome.seats)
            return outcome
        try:
            _each(ready, _commit)
        except KeyboardInterrupt:
            outcome.interrupted = True
    if outcome.interrupted or outcome.having("refused", "unknown"):
        _take_back(outcome.seats, journal)
    return outcome


def revert(agents: Sequence[Agent], patch_id: str, *, journal: bool = True) -> Outcome:
    """Take a patch back in each that has it."""
    outcome = Outcome("revert", [Seat(a) for a in agents])

    def ask(seat: Seat) -> None:
        answer = _asked(seat, wire.Revert, patch_id=patch_id, journal=journal)
        if answer is not None:
            codes = {f["code"] for f in (seat.report or {}).get("findings", ())}
            seat.state = "reverted" if answer.ok else "not live" if codes == {"patch-unknown"} else "refused"

    _each(outcome.seats, ask)
    if len(outcome.having("not live")) == len(outcome.seats):
        for seat in outcome.seats:  # nobody has it: a name that was mistyped isn't a success
            seat.state = "refused"
    return outcome


def status(agents: Sequence[Agent]) -> list[tuple[Agent, wire.PsAnswer | None, list[dict[str, Any]]]]:
    """Facts and reports of each; None for one that has ended meanwhile."""
    rows: dict[int, tuple[wire.PsAnswer | None, list[dict[str, Any]]]] = {}

    def ask(seat: Seat) -> None:
        try:
            facts, _ = seat.agent.ask(wire.Ps)
            _, attached = seat.agent.ask(wire.Status)
            rows[id(seat.agent)] = (facts, json.loads(attached or b"[]"))
        except (Lost, SutureError) as error:
            rows[id(seat.agent)] = (None, [])
            seat.error = {"code": "lost", "message": str(error), "hint": ""}

    _each([Seat(a) for a in agents], ask)
    return [(a, *rows[id(a)]) for a in agents]


# ---------------------------------------------------------------- steps


def _asked(seat: Seat, kind: Any, attached: bytes = b"", **fields: Any) -> Any:
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
    seat.error = None
    return answer


def _lost(seat: Seat, error: Lost, changes: bool) -> None:
    if _has_ended(seat.agent):
        seat.state, words, hint = "ended", "the process has ended", ""
    elif changes:
        seat.state, words = "unknown", f"the connection was lost: {error}"
        hint = f"it may run the old code or the new: suture status --pid {seat.agent.pid}"
    else:
        seat.state, words, hint = "refused", f"the connection was lost: {error}", "ask again; see the program's log"
    seat.error = {"code": "lost", "target": "", "message": words, "hint": hint}


def _has_ended(agent: Agent) -> bool:
    """A killed process may be there for some moments more."""
    limit = time.monotonic() + 1.0
    while not (gone := agent.ended()) and time.monotonic() < limit:
        time.sleep(0.02)
    return gone


def _commit(seat: Seat) -> None:
    answer = _asked(seat, wire.Commit, token=seat.token)
    seat.token = ""
    if answer is not None:
        seat.state = "live" if answer.ok else "refused"


def _discard(seats: Sequence[Seat]) -> None:
    """Nothing has switched: let go what is prepared.  One that doesn't answer lets go by itself, at its lease's end."""

    def ask(seat: Seat) -> None:
        if seat.token:
            token, seat.token, seat.state = seat.token, "", "discarded"
            try:
                seat.agent.ask(wire.Discard, token=token)
            except (Lost, SutureError):
                seat.agent.close()  # hanging up discards as well
        elif not seat.state:
            seat.state = "discarded"

    _each(seats, ask)


def _take_back(seats: Sequence[Seat], journal: bool) -> None:
    def ask(seat: Seat) -> None:
        if seat.state == "live" and seat.report is not None:
            report = seat.report
            answer = _asked(seat, wire.Revert, patch_id=report["patch_id"], journal=journal)
            seat.state = "put back" if answer is not None and answer.ok else seat.state if answer is None else "unknown"
        elif seat.token:
            seat.state, seat.token = "discarded", ""
            seat.agent.close()

    _each(seats, ask)


def _each(seats: Sequence[Seat], work: Callable[[Seat], None], *, hang_up: bool = False) -> None:
    """
    Do it for all at once.

    Ctrl-C waits for what has begun, and then comes; *hang_up* ends what has begun first (an agent discards then).
    """
    if not seats:
        return
    with ThreadPoolExecutor(min(len(seats), _MOST_AT_ONCE), thread_name_prefix="suture") as pool:
        futures = [pool.submit(work, seat) for seat in seats]
        try:
            for future in futures:
                future.result()
        except KeyboardInterrupt:
            for seat in seats if hang_up else ():
                seat.agent.close()
            raise


@contextmanager
def _kept(seats: Sequence[Seat]) -> Iterator[None]:
    """Hold the leases of those that are ready while others aren't yet."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(_RENEW_S):
            for seat in seats:
                if token := seat.token:
                    try:
                        seat.agent.ask(wire.Renew, token=token, lease_s=LEASE_S)
                    except (Lost, SutureError):
                        continue  # its commit will say so

    keeper = threading.Thread(target=renew, name="suture-leases", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()
