"""
One verb in many processes: all of them, or none.

    prepare everywhere -> all ready? -> commit everywhere
                            | no: discard everywhere; nothing was changed
                                        | one says no: those that have switched go back

Rule: no process switches before every process is ready to, be it to a patch or back from one.

Prints nothing.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from suture import wire
from suture.errors import Refused, SutureError
from suture.ops import standing
from suture.ops.client import Agent, Lost
from suture.ops.seats import LISTEN_S, OK, Outcome, Seat, Stop, asked, codes_of, each, said

__all__ = ["apply", "not_asked", "plan", "revert"]

LEASE_S = 10.0
_RENEW_S = 3.0
_TRIES = 3  # where another operator has prepared
_BACK_TRIES = 40  # the same for what has to go back: longer than a lease


def plan(agents: Sequence[Agent], patch: bytes, **options: Any) -> Outcome:
    """Ask each what the patch would do.  Changes nothing."""
    outcome = Outcome("plan", [Seat(a) for a in agents])

    def ask(seat: Seat) -> None:
        answer = asked(seat, wire.Plan, patch, **options)
        if answer is not None:
            seat.state = "would go in" if answer.ok else "refused"

    with Stop() as stop:
        outcome.interrupted = not each(outcome.seats, ask, stop, hang_up_at=1)
    return outcome


def not_asked(agents: Sequence[Agent], verb: str = "apply", patch_id: str = "") -> Outcome:
    """What comes of it where some that are meant can't be asked: they can't be prepared, so nobody is."""
    return Outcome(verb, [Seat(a, "not asked") for a in agents], asked_id=patch_id)


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

    def prepare(seat: Seat) -> None:
        answer = asked(seat, wire.Prepare, patch, lease_s=LEASE_S, journal=journal, **options)  # can't have switched anything
        if answer is None:
            return
        seat.token = answer.token
        seat.state = "" if answer.token else "live already" if answer.ok else "refused"

    with nullcontext(stop) if stop is not None else Stop() as heard:
        with _kept(outcome.seats):
            if not _all_ready(outcome, prepare, heard):
                return outcome
            outcome.interrupted = not each(outcome.ready(), lambda seat: _commit(seat, "live"), heard, hang_up_at=2)
        if outcome.interrupted or outcome.having("refused", "unknown"):
            _take_back(outcome.seats, journal, heard)
    return outcome


def revert(
    agents: Sequence[Agent], patch_id: str, *, journal: bool = True, drop: bool = False, stop: Stop | None = None
) -> Outcome:
    """
    Take a patch back in all that have it, or in none; who doesn't have it is left out.

    Ctrl-C before the first switch changes nothing.  Behind it all that are ready go on: all were told at once, and a service
    that has gone back by half is what nobody wants; a second one hangs up on those that don't answer.  Should one say no behind
    the first switch, those that have gone back get the patch again.

    Args:
        agents: Who.
        patch_id: Its id, or the start of it.
        journal: False: go on where it can't be written.
        drop: A service in which it's live nowhere, and whose journal has it as live: note there that it isn't wanted any more.
        stop: What Ctrl-C is told to; None: one of its own.
    """
    outcome = Outcome("revert", [Seat(a) for a in agents], asked_id=patch_id)
    with nullcontext(stop) if stop is not None else Stop() as heard:
        if _who_has_it(outcome, heard):
            with _kept(outcome.seats):
                if not _all_ready(outcome, lambda seat: _prepare_back(seat, outcome.asked_id, journal), heard):
                    return outcome
                # An old agent can't be prepared: it goes first, while all others can still be let go.
                old = [s for s in outcome.seats if not s.state and not s.token]
                each(old, lambda seat: _in_one_step(seat, outcome.asked_id, journal, heard), heard, hang_up_at=2)
                if outcome.having("refused", "unknown"):
                    _discard(outcome.seats)
                each(outcome.ready(), lambda seat: _commit(seat, "reverted"), heard, hang_up_at=2)
            outcome.interrupted = heard.came > 0
            if outcome.having("refused", "unknown"):
                _have_it_again(outcome, journal, heard)
        if outcome.exit_code() == OK and drop:
            _drop(outcome)
            for seat in outcome.having("not live") if outcome.dropped else ():
                seat.error = None
    if outcome.seats and not outcome.dropped and len(outcome.having("not live")) == len(outcome.seats):
        for seat in outcome.seats:  # nobody has it: a name that was mistyped isn't a success
            seat.state = "refused"
            if seat.error is not None and not drop:
                seat.error["hint"] += "; a service that has lost it is told to do without by --service"
    return outcome


# ---------------------------------------------------------------- steps


def _all_ready(outcome: Outcome, prepare: Callable[[Seat], None], stop: Stop) -> bool:
    """Prepare all that have no state yet; False: one isn't ready, and all have been let go.  Within ``_kept``."""
    start = time.monotonic()
    for tries in range(_TRIES, 0, -1):
        todo = [s for s in outcome.seats if not s.state]
        # Two operators meet at the first: who has it goes on, and they don't stop each other at two others.
        outcome.interrupted = not each(todo[:1], prepare, stop, hang_up_at=1)
        if not outcome.interrupted and not any(said(s) == "busy" for s in todo[:1]):
            outcome.interrupted = not each(todo[1:], prepare, stop, hang_up_at=1)
        if outcome.interrupted or not outcome.having("refused", "unknown"):
            break
        _discard(outcome.seats)
        if tries == 1 or not _only_busy(outcome) or not _rested(stop):
            break
        for seat in outcome.having("refused", "discarded"):
            seat.state, seat.error, seat.report = "", None, None
    outcome.prepared_s = time.monotonic() - start
    ready = not outcome.interrupted and not outcome.having("refused", "unknown")
    if not ready:
        _discard(outcome.seats)
    return ready


def _only_busy(outcome: Outcome) -> bool:
    """True if nothing stands in the way but another operator."""
    return all(said(s) == "busy" for s in outcome.having("refused", "unknown"))


def _rested(stop: Stop) -> bool:
    """Give the other one time to end; of two that have stopped each other, one comes back first.  False: Ctrl-C came."""
    limit, before = time.monotonic() + random.uniform(0.1, 0.8), stop.came
    while time.monotonic() < limit and stop.came == before:
        time.sleep(LISTEN_S)
    return stop.came == before


def _commit(seat: Seat, done: str) -> None:
    answer = asked(seat, wire.Commit, token=seat.token)
    seat.token = ""
    if answer is not None:
        seat.state = done if answer.ok else "refused"


def _discard(seats: Sequence[Seat]) -> None:
    """Nothing has switched: let go what is prepared.  One that doesn't answer lets go by itself, at its lease's end."""
    for seat in seats:
        if seat.token:
            seat.agent.tell(wire.Discard, token=seat.token)
            seat.token, seat.state = "", "discarded"
        elif not seat.state:
            seat.state = "discarded"


def _insisting(ask: Callable[[bool], Any], seat: Seat, journal: bool, stop: Stop, tries: int) -> Any:
    """What has to go back: asked again where another operator has prepared, and without the journal where it can't be written."""
    answer = ask(journal)
    while said(seat) == "busy" and (tries := tries - 1) > 0 and _rested(stop):
        answer = ask(journal)
    if said(seat) == "journal-unwritable" and journal and tries > _TRIES:
        return _insisting(ask, seat, False, stop, tries)  # not now
    return answer


def _take_back(seats: Sequence[Seat], journal: bool, stop: Stop) -> None:
    """An apply that was stopped behind its first switch: back to the code before."""

    def ask(seat: Seat) -> None:
        patch_id = (seat.report or {}).get("patch_id", "")
        if seat.state != "live" or not patch_id:
            return
        answer = _insisting(lambda j: asked(seat, wire.Revert, patch_id=patch_id, journal=j), seat, journal, stop, _BACK_TRIES)
        if answer is not None:
            seat.state = "put back" if answer.ok else "still live"
        elif seat.state == "refused":
            seat.state = "still live"

    each(seats, ask, stop, hang_up_at=stop.came + 2)


# ---------------------------------------------------------------- the steps of a revert


def _who_has_it(outcome: Outcome, stop: Stop) -> bool:
    """Find out which patch is meant, and tell apart who doesn't have it; False: nothing to take back, or it can't be told which."""
    facts: dict[int, wire.PsAnswer] = {}

    def ask(seat: Seat) -> None:
        if (answer := asked(seat, wire.Ps)) is not None:
            facts[id(seat)] = answer

    outcome.interrupted = not each(outcome.seats, ask, stop, hang_up_at=1)
    if outcome.interrupted or outcome.having("refused"):
        _discard(outcome.seats)
        return False
    name = outcome.asked_id
    live = {patch_id for f in facts.values() for patch_id in f.patches}
    meant = sorted({name} & live or {i for i in live if i.startswith(name)})
    if len(meant) == 1:
        outcome.asked_id = meant[0]
    for seat in outcome.seats:
        fact = facts.get(id(seat))
        # One that is held may have it in a moment, one with a failure can't tell: both are asked.
        if fact is not None and not seat.state and not (fact.holder or fact.failure or {*meant} & {*fact.patches}):
            seat.state = "not live"
    if len(meant) == 1:
        return True
    for seat in outcome.seats if meant else outcome.seats[:1]:
        how_many, there = ("more than one", ", ".join(meant)) if meant else ("no", ", ".join(sorted(live)) or "none")
        words = f"{how_many} live patch of these processes is called {name!r}; live: {there}"
        seat.error = _word("patch-unknown", words, "give the id that apply reported" if live else "see what was done: suture log")
        seat.state = "refused" if meant else seat.state
    return not meant and bool([s for s in outcome.seats if not s.state])


def _word(code: str, message: str, hint: str) -> dict[str, str]:
    return {"code": code, "target": "", "message": message, "hint": hint}


def _prepare_back(seat: Seat, patch_id: str, journal: bool) -> None:
    if seat.agent.version < wire.TWO_STEPS_BACK:
        with suppress(Lost, SutureError):  # of a patch that the program has applied by itself there is no text
            seat.text = seat.agent.ask(wire.Show, patch_id=patch_id)[1]
        return
    answer = asked(seat, wire.PrepareRevert, patch_id=patch_id, lease_s=LEASE_S, journal=journal)
    if answer is not None:
        seat.token = answer.token
        seat.state = "" if answer.token else "not live" if codes_of(seat) == {"patch-unknown"} else "refused"


def _in_one_step(seat: Seat, patch_id: str, journal: bool, stop: Stop) -> None:
    """What an agent of wire version 1 can do."""

    def ask(_: bool) -> Any:
        return asked(seat, wire.Revert, patch_id=patch_id, journal=journal)

    if (answer := _insisting(ask, seat, journal, stop, _TRIES)) is not None:
        seat.state = "reverted" if answer.ok else "not live" if codes_of(seat) == {"patch-unknown"} else "refused"
        words = f"its suture ({seat.agent.hello.suture or 'unknown'}) can't prepare a revert: it went first, in one step"
        seat.error = _word("old-agent", words, "") if answer.ok else None


def _have_it_again(outcome: Outcome, journal: bool, stop: Stop) -> None:
    """A revert that was stopped behind its first switch: the patch goes in again where it was taken out."""

    def ask(seat: Seat) -> None:
        if seat.state != "reverted":
            return
        report, ran = seat.report, seat.ran
        try:
            shown = None if seat.text else seat.agent.ask(wire.Show, patch_id=outcome.asked_id)
        except (Lost, SutureError) as error:
            seat.error = _out(seat, str(error))
            return
        text = seat.text if shown is None else shown[1]
        options = {} if shown is None else {name: getattr(shown[0], name) for name in ("accept", "partial", "replace")}

        def prepare(journal: bool) -> Any:
            return asked(seat, wire.Prepare, text, lease_s=LEASE_S, journal=journal, **options)

        answer = _insisting(prepare, seat, journal, stop, _BACK_TRIES)
        if answer is not None and answer.token:
            seat.token = answer.token
            _commit(seat, "live again")
        if answer is not None and not answer.token and answer.ok:
            seat.state = "live again"  # somebody else was faster
        if seat.state in ("refused", "discarded", "reverted"):
            why = seat.error["message"] if seat.error else ", ".join(sorted(codes_of(seat))) or "no reason was given"
            seat.state, seat.error, seat.report, seat.ran = "reverted", _out(seat, why), report, seat.ran or ran

    each(outcome.seats, ask, stop, hang_up_at=stop.came + 2)


def _out(seat: Seat, why: str) -> dict[str, str]:
    words = f"it was taken back here and couldn't be put in again: {why}"
    return _word("not-again", words, f"suture apply FILE --pid {seat.agent.pid}, or revert the others by their --pid")


def _drop(outcome: Outcome) -> None:
    """Services in which nobody has it: their journals are told that it isn't wanted any more, if they have it as live."""
    services: dict[str, list[Seat]] = {}
    for seat in outcome.seats:
        services.setdefault(seat.agent.hello.service, []).append(seat)
    for service, seats in services.items():
        if any(seat.state != "not live" for seat in seats):
            continue
        able = [s for s in seats if s.agent.version >= wire.TWO_STEPS_BACK and not s.agent.hello.observe]
        seat = (able or seats)[0]
        try:
            known = standing.wanted(seat.agent)
            meant = [i for i in known if i == outcome.asked_id] or [i for i in known if i.startswith(outcome.asked_id)]
            if len(meant) != 1:
                continue
            if not able:
                raise Refused("old-agent", "its suture can't note that a patch isn't wanted any more", hint="apply and revert it")
            seat.agent.ask(wire.Drop, patch_id=meant[0])
            outcome.dropped[service] = meant[0]
        except SutureError as error:
            seat.state, seat.error = "refused", _word(error.code, error.message, error.hint)
        except Lost as error:
            seat.state, seat.error = "refused", _word("lost", f"the connection was lost: {error}", "ask again; see its log")


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
