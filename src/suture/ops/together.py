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
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

from suture import wire
from suture.agent.journal import lines_of
from suture.errors import Fault, SutureError
from suture.ops.client import Agent, Lost, Trouble

__all__ = ["Outcome", "Seat", "Stop", "apply", "deployed", "not_asked", "outlived", "plan", "revert", "status"]

LEASE_S = 10.0
_RENEW_S = 3.0
_JOURNAL_LINES = 500
_MOST_AT_ONCE = 64
_LISTEN_S = 0.05  # how soon Ctrl-C is heard
_TRIES = 3  # where another operator has prepared
_BACK_TRIES = 40  # the same for what has to go back: longer than a lease
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
    """

    agent: Agent
    state: str = ""
    report: dict[str, Any] | None = None
    error: dict[str, str] | None = None
    ran: bool = False
    token: str = field(default="", repr=False)

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
        return NO if all(STATES[s.state] and not s.ran for s in self.seats) else MIXED

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "patch_id": self.patch_id,
            "prepared_s": round(self.prepared_s, 3),
            "interrupted": self.interrupted,
            "processes": [s.to_json() for s in self.seats],
        }


# ---------------------------------------------------------------- verbs


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


def plan(agents: Sequence[Agent], patch: bytes, **options: Any) -> Outcome:
    """Ask each what the patch would do.  Changes nothing."""
    outcome = Outcome("plan", [Seat(a) for a in agents])

    def ask(seat: Seat) -> None:
        answer = _asked(seat, wire.Plan, patch, **options)
        if answer is not None:
            seat.state = "would go in" if answer.ok else "refused"

    with Stop() as stop:
        outcome.interrupted = not _each(outcome.seats, ask, stop, hang_up_at=1)
    return outcome


def not_asked(agents: Sequence[Agent]) -> Outcome:
    """What comes of an apply where some that are meant can't be asked: they can't be prepared, so nobody is."""
    return Outcome("apply", [Seat(a, "not asked") for a in agents])


def apply(agents: Sequence[Agent], patch: bytes, *, journal: bool = True, stop: Stop | None = None, **options: Any) -> Outcome:
    """
    Take a patch live in all of them, or in none.

    Ctrl-C before the first switch changes nothing; later it takes back those that have switched.  A second one hangs up on
    those that don't answer.  Where another operator has prepared, all is let go and tried again a moment later.

    Args:
        agents: Who.
        patch: A patch file's bytes.
        journal: False: go on where it can't be written.
        stop: What Ctrl-C is told to; None: one of its own.
        options: As for ``suture.apply``.
    """
    outcome = Outcome("apply", [Seat(a) for a in agents])
    start = time.monotonic()

    def prepare(seat: Seat) -> None:
        answer = _asked(seat, wire.Prepare, patch, lease_s=LEASE_S, journal=journal, **options)  # can't have switched anything
        if answer is None:
            return
        seat.token = answer.token
        seat.state = "" if answer.token else "live already" if answer.ok else "refused"

    with nullcontext(stop) if stop is not None else Stop() as heard:
        with _kept(outcome.seats):
            for tries in range(_TRIES, 0, -1):
                todo = [s for s in outcome.seats if not s.state]
                # Two operators meet at the first: who has it goes on, and they don't stop each other at two others.
                outcome.interrupted = not _each(todo[:1], prepare, heard, hang_up_at=1)
                if not outcome.interrupted and not any(_said(s) == "busy" for s in todo[:1]):
                    outcome.interrupted = not _each(todo[1:], prepare, heard, hang_up_at=1)
                if outcome.interrupted or not outcome.having("refused", "unknown"):
                    break
                _discard(outcome.seats)
                if tries == 1 or not _only_busy(outcome) or not _rested(heard):
                    break
                for seat in outcome.having("refused", "discarded"):
                    seat.state, seat.error, seat.report = "", None, None
            outcome.prepared_s = time.monotonic() - start
            if outcome.interrupted or outcome.having("refused", "unknown"):
                _discard(outcome.seats)
                return outcome
            outcome.interrupted = not _each([s for s in outcome.seats if s.token], _commit, heard, hang_up_at=2)
        if outcome.interrupted or outcome.having("refused", "unknown"):
            _take_back(outcome.seats, journal, heard)
    return outcome


def _only_busy(outcome: Outcome) -> bool:
    """True if nothing stands in the way but another operator."""
    return all(_said(s) == "busy" for s in outcome.having("refused", "unknown"))


def _said(seat: Seat) -> str:
    """Code of what it said no with, without a report."""
    return seat.error["code"] if seat.error is not None else ""


def _rested(stop: Stop) -> bool:
    """Give the other one time to end; of two that have stopped each other, one comes back first.  False: Ctrl-C came."""
    limit, before = time.monotonic() + random.uniform(0.1, 0.8), stop.came
    while time.monotonic() < limit and stop.came == before:
        time.sleep(_LISTEN_S)
    return stop.came == before


def _reverted(seat: Seat, patch_id: str, journal: bool, stop: Stop, tries: int) -> Any:
    """As ``_asked``; one that another operator has prepared something in is asked again."""
    answer = _asked(seat, wire.Revert, patch_id=patch_id, journal=journal)
    while _said(seat) == "busy" and (tries := tries - 1) > 0 and _rested(stop):
        answer = _asked(seat, wire.Revert, patch_id=patch_id, journal=journal)
    return answer


def revert(agents: Sequence[Agent], patch_id: str, *, journal: bool = True, stop: Stop | None = None) -> Outcome:
    """Take a patch back in each that has it.  Ctrl-C waits for those that are at it; a second one hangs up."""
    outcome = Outcome("revert", [Seat(a) for a in agents])

    def ask(seat: Seat) -> None:
        if (answer := _reverted(seat, patch_id, journal, heard, _TRIES)) is not None:
            codes = {f["code"] for f in (seat.report or {}).get("findings", ())}
            seat.state = "reverted" if answer.ok else "not live" if codes == {"patch-unknown"} else "refused"

    with nullcontext(stop) if stop is not None else Stop() as heard:
        outcome.interrupted = not _each(outcome.seats, ask, heard, hang_up_at=2)
    if outcome.seats and len(outcome.having("not live")) == len(outcome.seats):
        for seat in outcome.seats:  # nobody has it: a name that was mistyped isn't a success
            seat.state = "refused"
    return outcome


def status(agents: Sequence[Agent]) -> tuple[list[tuple[wire.PsAnswer, list[dict[str, Any]]]], list[Trouble]]:
    """
    Facts and reports of each.

    Returns:
        By pid (no reports where the engine can't be asked; the facts say why), and who didn't answer.  One that has ended
        is in neither.
    """
    rows: dict[int, tuple[wire.PsAnswer, list[dict[str, Any]]]] = {}
    troubles: list[Trouble] = []

    def ask(seat: Seat) -> None:
        agent = seat.agent
        try:
            facts, _ = agent.ask(wire.Ps)
            rows[id(agent)] = facts, []
            _, attached = agent.ask(wire.Status)
            rows[id(agent)] = facts, json.loads(attached or b"[]")
        except Lost as error:
            if not _has_ended(agent):
                words = f"the connection was lost: {error}"
                troubles.append(Trouble(agent.pid, agent.hello.service, "lost", words, "ask again; see the program's log"))
            rows.pop(id(agent), None)
        except SutureError as error:
            if id(agent) not in rows or not rows[id(agent)][0].failure:
                troubles.append(Trouble(agent.pid, agent.hello.service, error.code, error.message, error.hint))

    with Stop() as stop:
        _each([Seat(a) for a in agents], ask, stop, hang_up_at=1)
    return [rows[id(a)] for a in agents if id(a) in rows], troubles


def deployed(agents: Sequence[Agent], lacking: Sequence[tuple[int, int, str]]) -> frozenset[tuple[int, str]]:
    """
    Who has a patch's code without the patch: it was started from source that holds the fix.

    Args:
        lacking: Each (pid that lacks it, pid that has it, patch id).

    Returns:
        Each (pid, patch id).
    """
    by_pid = {a.pid: a for a in agents}
    found: set[tuple[int, str]] = set()
    for pid, having, patch_id in lacking:
        with suppress(Lost, SutureError, KeyError):  # whoever doesn't answer stays named
            text = by_pid[having].ask(wire.Show, patch_id=patch_id)[1]
            if _would_be(by_pid[pid], text) == {"already-fixed"}:
                found.add((pid, patch_id))
    return frozenset(found)


def outlived(
    agents: Sequence[Agent], rows: Sequence[tuple[wire.PsAnswer, list[dict[str, Any]]]]
) -> tuple[dict[int, tuple[str, int]], list[Trouble]]:
    """
    Who came after all those in which a patch was live, and runs the code from before it.

    Asked of services in which nothing is live, though their journal has a patch that was committed and not taken back.  One
    that it would go into now runs the old code; one that was started from source with the fix, or from other code, doesn't.

    Returns:
        By pid, the last such patch and how many processes had it; and who couldn't be asked.
    """
    by_pid = {a.pid: a for a in agents}
    services: dict[str, list[int]] = {}
    for facts, _ in rows:
        if not facts.failure:  # that is said anyway
            services.setdefault(facts.service, []).append(facts.pid)
    found: dict[int, tuple[str, int]] = {}
    troubles: list[Trouble] = []
    for service in sorted(services.keys() - {facts.service for facts, reports in rows if reports}):
        patch_id, text, had = "", b"", 0
        for pid in services[service]:
            agent = by_pid[pid]
            try:
                if pid == services[service][0]:  # one journal a service
                    records = lines_of(agent.ask(wire.Log, last=_JOURNAL_LINES)[1]).records
                    patch_id, text, had = _last_live([r for r in records if r.get("service") == service])
                if text and "planned" in _would_be(agent, text):
                    found[pid] = patch_id, had
            except (Lost, SutureError) as error:
                code, hint = (error.code, error.hint) if isinstance(error, SutureError) else ("lost", "ask again; see its log")
                troubles.append(Trouble(pid, service, code, str(error), hint))
    return found, troubles


def _would_be(agent: Agent, text: bytes) -> set[str]:
    """States that a plan of the patch gives its changes; none if it's refused there."""
    answer, attached = agent.ask(wire.Plan, text, partial=True)  # whatever it leaves out, it was live
    changed = json.loads(attached or b"{}").get("changed", ())
    return {row["status"] for row in changed} if answer.ok else set()


def _last_live(records: Sequence[Mapping[str, Any]]) -> tuple[str, bytes, int]:
    """The patch that was committed last and not taken back, its text, and in how many it was; or "", b"", 0."""
    texts: dict[str, bytes] = {}
    live: dict[str, set[Any]] = {}
    for record in records:
        verb, patch_id, state = (str(record.get(key, "")) for key in ("verb", "patch_id", "state"))
        if isinstance(text := record.get("patch"), str):
            texts[patch_id] = text.encode("utf-8", "surrogatepass")
        if (verb, state) == ("commit", "committed"):
            live.setdefault(patch_id, set()).add(record.get("pid"))
        elif (verb, state) == ("revert", "reverted"):
            live.pop(patch_id, None)  # somebody wanted it out: who has ended since is forgotten
    last = next(reversed(live), "")
    return last, texts.get(last, b""), len(live.get(last, ()))


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
    seat.ran = seat.ran or any(f["code"] == "ran-once" for f in (seat.report or {}).get("findings", ()))
    seat.error = None
    return answer


def _lost(seat: Seat, error: Lost, changes: bool) -> None:
    if seat.agent.closed and not changes:
        seat.state = "discarded"  # interrupted: hanging up discards
        return
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
    for seat in seats:
        if seat.token:
            seat.agent.tell(wire.Discard, token=seat.token)
            seat.token, seat.state = "", "discarded"
        elif not seat.state:
            seat.state = "discarded"


def _take_back(seats: Sequence[Seat], journal: bool, stop: Stop) -> None:
    def ask(seat: Seat) -> None:
        if seat.state != "live" or seat.report is None:
            return
        patch_id = seat.report["patch_id"]
        answer = _reverted(seat, patch_id, journal, stop, _BACK_TRIES)
        if _said(seat) == "journal-unwritable":  # not now
            answer = _reverted(seat, patch_id, False, stop, _BACK_TRIES)
        if answer is not None:
            seat.state = "put back" if answer.ok else "still live"
        elif seat.state == "refused":
            seat.state = "still live"

    _each(seats, ask, stop, hang_up_at=stop.came + 2)


def _each(seats: Sequence[Seat], work: Callable[[Seat], None], stop: Stop, *, hang_up_at: int) -> bool:
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
            done, left = wait(left, _LISTEN_S)
            for future in done:
                future.result()
            if stop.came >= hang_up_at:
                for future in left:
                    futures[future].agent.close()
    return not stop.came


@contextmanager
def _kept(seats: Sequence[Seat]) -> Iterator[None]:
    """Hold the leases of those that are ready while others aren't yet; one that is stuck meanwhile keeps nobody waiting."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(_RENEW_S):
            for seat in seats:
                if token := seat.token:
                    seat.agent.tell(wire.Renew, token=token, lease_s=LEASE_S)  # were it refused, its commit will say so

    keeper = threading.Thread(target=renew, name="suture-leases", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()
