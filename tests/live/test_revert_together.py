"""A patch is taken back in all processes that have it, or in none: refusals, faults, killed processes, operators at once."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from typing import Any

import pytest

from service import Process, Service
from suture import wire
from suture.ops import together
from suture.ops.client import Agent, hanging_up
from suture.ops.seats import Outcome
from waiting import until
from watching import (
    NEWS,
    OLDS,
    OTHER,
    STEPS,
    begun,
    codes,
    killing,
    nothing_held,
    prints,
    states,
    stopped,
    taken,
    told,
    watched,
    words,
)

LONG = bool(os.environ.get("SUTURE_LONG"))
OLD_SUTURE = (
    "[setattr(sys.modules['suture.wire'], 'WIRE', (1,))]"
    " + [sys.modules['suture.wire']._ASKED.pop(verb) and 0 for verb in ('prepare-revert', 'drop')]"
)


@pytest.fixture
def patched(service: Service, parent: Process) -> list[Process]:
    """Five processes of one service, in which the patch is live."""
    processes = service.fork(parent, 5)
    applied(service, processes)
    return processes


def applied(service: Service, processes: list[Process]) -> None:
    agents = service.agents(processes)
    with hanging_up(agents):
        assert together.apply(agents, service.patch.read_bytes()).exit_code() == 0
    assert words(processes) == [NEWS] * len(processes)


def reverted(service: Service, processes: list[Process], kind: type[Agent] = Agent, **more: Any) -> Outcome:
    agents = service.agents(processes, kind)
    with hanging_up(agents):
        return together.revert(agents, "fix", **more)


# ---------------------------------------------------------------- one says no


def test_one_no_stops_all(service: Service, patched: list[Process]) -> None:
    """One of five can't go back: nobody does, the report names it, and the others can by their pids."""
    odd, others = patched[2], [*patched[:2], *patched[3:]]
    odd.ask(OTHER)
    before = prints(patched)
    said = service.suture("revert", "fix", "--service", "game")
    assert (said.code, said.out, prints(patched) == before) == (1, "", True)
    assert "error: Refused the revert of fix-" in said.err
    assert "1 of 5 processes said no" in " ".join(said.err.split())
    assert f"pid {odd.pid}" in said.err
    assert "changed-since" in said.err
    assert "Nothing was changed in any process" in said.err
    again = service.suture("revert", "fix", "--service", "game", "--json")
    assert (again.code, again.state()) == (1, {p.pid: "refused" if p is odd else "discarded" for p in patched})
    assert prints(patched) == before
    nothing_held(patched)
    chosen = [word for p in others for word in ("--pid", p.pid)]
    assert service.suture("revert", "fix", *chosen).code == 0
    assert words(others) == [OLDS] * 4


def late_no(service: Service, processes: list[Process], odd: Process) -> Outcome:
    """A revert in which one process changes its own function after all are ready, and the others have gone back before it."""
    switched = threading.Semaphore(0)

    def before(agent: Agent, kind: Any) -> None:
        if kind is wire.Commit and agent.pid == odd.pid:
            for _ in processes[1:]:
                assert switched.acquire(timeout=60)
            odd.ask(OTHER)

    def after(agent: Agent, kind: Any) -> None:
        if kind is wire.Commit:
            switched.release()

    return reverted(service, processes, watched(before=before, after=after))


def test_no_behind_the_first_switch(service: Service, patched: list[Process]) -> None:
    """Those that have gone back have the patch again, and can go back again; the report names each."""
    odd, others = patched[1], [patched[0], *patched[2:]]
    outcome = late_no(service, patched, odd)
    assert states(outcome) == {p.pid: "refused" if p is odd else "live again" for p in patched}
    assert (outcome.exit_code(), words(others)) == (1, [NEWS] * 4)
    text = told(outcome, service).replace("\n  ", " ")
    assert "4 had gone back, and have it again" in text
    assert "changed-since" in text
    nothing_held(patched)
    assert reverted(service, others).exit_code() == 0
    assert words(others) == [OLDS] * 4


def test_what_cannot_go_in_again_is_said(service: Service, parent: Process) -> None:
    """The program had applied it by itself, so nobody has its text: exit 2, and who runs what, and what to do."""
    own, odd = processes = service.fork(parent, 2)
    for process in processes:
        process.ask(f"suture.apply({str(service.patch)!r}).ok")
    outcome = late_no(service, processes, odd)
    assert states(outcome) == {own.pid: "reverted", odd.pid: "refused"}
    assert (outcome.exit_code(), words([own])) == (2, [OLDS])
    text = " ".join(told(outcome, service).split())
    assert f"! pid {own.pid}: it was taken back here and couldn't be put in again" in text
    assert f"suture apply FILE --pid {own.pid}" in text


def test_options_go_in_again(service: Service, parent: Process) -> None:
    """What was let in with --accept is let in again with it."""
    accepted = service.made("kind", [("def g():", "async def g():")])
    odd, *others = processes = service.fork(parent, 3)
    agents = service.agents(processes)
    with hanging_up(agents):
        refused = together.apply(agents, accepted.read_bytes(), partial=True)
        assert refused.exit_code() == 1
        taken_on = sorted({f["code"] for s in refused.seats for f in (s.report or {})["findings"] if f["severity"] == "error"})
        assert together.apply(agents, accepted.read_bytes(), partial=True, accept=tuple(taken_on)).exit_code() == 0
    switched = threading.Semaphore(0)

    def before(agent: Agent, kind: Any) -> None:
        if kind is wire.Commit and agent.pid == odd.pid:
            for _ in others:
                assert switched.acquire(timeout=60)
            odd.ask("setattr(app.g, '__code__', app.f.__code__)")

    agents = service.agents(processes, watched(before=before, after=lambda _, kind: kind is wire.Commit and switched.release()))
    with hanging_up(agents):
        outcome = together.revert(agents, "kind")
    assert states(outcome) == {odd.pid: "refused", **{p.pid: "live again" for p in others}}, outcome.to_json()
    assert [p.ask("app.g.__code__.co_flags & 128 != 0") for p in others] == [True, True]


# ---------------------------------------------------------------- who is meant


def test_who_does_not_have_it_is_named(service: Service, patched: list[Process], parent: Process) -> None:
    """One that started later is left out, and said."""
    (late,) = service.fork(parent, 1)
    said = service.suture("revert", "fix", "--service", "game")
    assert (said.code, said.out.startswith("reverted in 5 of 6  fix-")) == (0, True), said
    assert f"1 process didn't have it: pid {late.pid}" in " ".join(said.out.split())
    assert words([*patched, late]) == [OLDS] * 6


def test_two_patches_of_that_name(service: Service, parent: Process) -> None:
    """The start of an id that means another patch elsewhere is refused: the same id is meant everywhere."""
    one, two = processes = service.fork(parent, 2)
    other = service.made("fixed", [('return "old", g()', 'return "other", g()')])
    assert service.suture("apply", service.patch, "--pid", one.pid).code == 0
    assert service.suture("apply", other, "--pid", two.pid).code == 0
    before = prints(processes)
    said = service.suture("revert", "fix", "--all")
    assert (said.code, prints(processes) == before) == (1, True)
    assert "more than one live patch of these processes is called 'fix'; live: fix-" in " ".join(said.err.split())
    assert service.suture("revert", "fixed", "--all").code == 0
    assert words(processes) == [NEWS, OLDS]


def test_what_cannot_be_asked_stops_all(service: Service, patched: list[Process]) -> None:
    """A stopped process may have it too: nobody goes back, and the command for the others is printed."""
    patched[0].kill(signal.SIGSTOP)
    until(lambda: stopped(patched[0]))
    said = service.suture("revert", "fix", "--service", "game")
    others = " ".join(f"--pid {p.pid}" for p in patched[1:])
    assert (said.code, words(patched[1:])) == (1, [NEWS] * 4)
    command = said.err.partition("Without those: suture ")[2].replace("\\\n", "").split()  # as a shell takes it
    assert command == ["revert", "fix", *others.replace("--pid ", "--pid=").split()]
    assert service.suture(*command).code == 0
    patched[0].kill(signal.SIGCONT)
    assert words(patched) == [NEWS] + [OLDS] * 4


# ---------------------------------------------------------------- agents of an older suture


def test_old_agents_go_first(service: Service, patched: list[Process]) -> None:
    """Two can't prepare a revert: they go back in one step before the others do, and it's said."""
    old = patched[:2]
    for process in old:
        process.ask(OLD_SUTURE)
    said = service.suture("revert", "fix", "--service", "game")
    assert (said.code, words(patched)) == (0, [OLDS] * 5), said
    assert "can't prepare a revert: it went first, in one step (old-agent)" in " ".join(said.out.split())


def test_old_agent_that_says_no(service: Service, patched: list[Process]) -> None:
    """It's asked before the others go back: they don't, and another old one that did has the patch again."""
    odd, fine = patched[:2]
    for process in (odd, fine):
        process.ask(OLD_SUTURE)
    odd.ask(OTHER)
    outcome = reverted(service, patched)
    assert states(outcome) == {odd.pid: "refused", fine.pid: "live again", **{p.pid: "discarded" for p in patched[2:]}}
    assert (outcome.exit_code(), words(patched[1:])) == (1, [NEWS] * 4)
    nothing_held(patched)


# ---------------------------------------------------------------- killed processes


def test_killed_at_any_step(service: Service, parent: Process, capsys: pytest.CaptureFixture[str]) -> None:
    """8 processes, kill -9 of one at a random step of a revert: every survivor is as the report says, and all are alike."""
    seed, runs = int(os.environ.get("SUTURE_SEED", random.randrange(10**6))), 200 if LONG else 6
    chance, processes = random.Random(seed), service.fork(parent, 8)
    came: dict[tuple[str, str, int], int] = {}
    began = time.monotonic()
    for run in range(runs):
        applied(service, processes)
        victim, step = chance.choice(processes), chance.choice(STEPS)
        delay_s = chance.choice((0, 0.001, 0.01, 0.05)) * chance.random()
        where = f"seed {seed}, run {run}: pid {victim.pid} killed while {step}, after {delay_s:.4f} s"
        outcome = reverted(service, processes, killing(victim, step, delay_s, wire.PrepareRevert))
        until(lambda: not victim.alive())
        told(outcome, service)
        said, alive = states(outcome), [p for p in processes if p is not victim]
        runs_now = {p.pid: p.ask("words()") for p in alive}
        truth = {"reverted": OLDS, "discarded": NEWS, "live again": NEWS, "refused": NEWS}
        assert runs_now == {p.pid: truth[said[p.pid]] for p in alive}, (where, said, runs_now)
        assert len({tuple(w) for w in runs_now.values()}) == 1, (where, said, runs_now)
        assert said[victim.pid] in ("ended", "reverted"), (where, said)
        code = outcome.exit_code()
        assert code == (0 if said[victim.pid] == "reverted" else 2) if OLDS in runs_now.values() else code == 1, (where, said)
        came[step, said[victim.pid], code] = came.get((step, said[victim.pid], code), 0) + 1
        nothing_held(alive)
        victim.side.close()
        processes = alive + service.fork(parent, 1)
    with capsys.disabled():
        counts = ", ".join(f"{n} {step} -> {state}, exit {code}" for (step, state, code), n in sorted(came.items()))
        print(f"\n{runs} kills at reverts, seed {seed}, {time.monotonic() - began:.0f} s: {counts}")


# ---------------------------------------------------------------- the operator is stopped


def test_ctrl_c_before_the_first_switch(service: Service, patched: list[Process]) -> None:
    """One hangs while it's looked over: exit 1, and nothing is changed anywhere, not even when it goes on."""
    *others, victim = patched
    before = prints(patched)
    running = begun(service, "revert", "PrepareRevert", victim, others)
    running.send_signal(signal.SIGINT)
    said = service.said(running)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("error: Interrupted fix-")
    assert "Nothing was changed in any process" in said.err
    victim.kill(signal.SIGCONT)
    nothing_held(patched)
    assert prints(patched) == before
    assert service.suture("revert", "fix", "--service", "game").code == 0


def test_ctrl_c_behind_the_first_switch(service: Service, patched: list[Process]) -> None:
    """All were told: all go back, none is left half way."""
    *others, victim = patched
    running = begun(service, "revert", "Commit", victim, others, "--json")
    running.send_signal(signal.SIGINT)
    taken(running)
    victim.kill(signal.SIGCONT)
    said = service.said(running, "--json")
    if said.code == 0:
        assert (set(said.state().values()), words(patched)) == ({"reverted"}, [OLDS] * 5)
    else:  # the stopped one's lease was over by then: it said no
        assert (said.code, said.state()[victim.pid], words(patched)) == (1, "refused", [NEWS] * 5)


def test_second_ctrl_c(service: Service, patched: list[Process]) -> None:
    """It doesn't wait for the stopped one: of that nothing is known, the others have the patch again: exit 2."""
    *others, victim = patched
    running = begun(service, "revert", "Commit", victim, others, "--json")
    running.send_signal(signal.SIGINT)
    taken(running)
    running.send_signal(signal.SIGINT)
    said = service.said(running, "--json")
    assert (said.code, said.json["interrupted"]) == (2, True)
    assert said.state() == {victim.pid: "unknown", **{p.pid: "live again" for p in others}}
    assert words(others) == [NEWS] * 4
    victim.kill(signal.SIGCONT)
    nothing_held(patched)
    assert victim.ask("words()") in (OLDS, NEWS)


def test_killed_operator(service: Service, patched: list[Process]) -> None:
    """kill -9 while all but one are ready: all let go, nothing is changed, and the next revert works."""
    *others, victim = patched
    before = codes(patched)
    running = begun(service, "revert", "PrepareRevert", victim, others)
    running.kill()
    running.communicate()
    nothing_held(others)
    victim.kill(signal.SIGCONT)
    nothing_held(patched)
    assert codes(patched) == before
    assert service.suture("revert", "fix", "--service", "game").code == 0
    assert words(patched) == [OLDS] * 5


# ---------------------------------------------------------------- two operators


def test_who_holds_it_is_told(service: Service, patched: list[Process]) -> None:
    """Another one is at a revert: exit 1 with that one's pid, for apply and revert; when it has let go, all is well."""
    (holder,) = service.agents(patched[1:2])
    with hanging_up([holder]):
        ready, _ = holder.ask(wire.PrepareRevert, patch_id="fix", lease_s=60.0)
        said = service.suture("revert", "fix", "--all")
        assert said.code == 1
        assert f"pid {os.getpid()} (uid {os.geteuid()}) has prepared the revert of fix-" in " ".join(said.err.split())
        assert words(patched) == [NEWS] * 5
        assert f"held by pid {os.getpid()} (uid {os.geteuid()}), the revert of fix-" in " ".join(service.suture("ps").out.split())
        holder.ask(wire.Discard, token=ready.token)
    assert service.suture("revert", "fix", "--all").code == 0
    assert words(patched) == [OLDS] * 5


def test_two_operators_at_once(service: Service, patched: list[Process]) -> None:
    """Two reverts: whoever comes second finds nothing to take back, or is told who is at it; all run the same."""
    for _ in range(3):
        running = [service.popen("revert", "fix", "--all", "--json") for _ in range(2)]
        said = [service.said(r, "--json") for r in running]
        ends = sorted(s.code for s in said)
        assert ends in ([0, 0], [0, 1], [1, 1]), [s.out for s in said]
        nothing_held(patched)
        assert words(patched) == [OLDS if 0 in ends else NEWS] * 5
        applied(service, patched)
