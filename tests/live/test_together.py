"""All processes or none: conflicts, faults, killed processes, interrupted and killed operators, two of them at once."""

from __future__ import annotations

import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service import Process, Service
from suture import wire
from suture.ops import together
from suture.ops.client import Agent, hanging_up
from waiting import until
from watching import (
    NEWS,
    OLDS,
    OTHER,
    STEPS,
    STOPS,
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


# ---------------------------------------------------------------- one says no


def test_one_conflict_stops_all(service: Service, parent: Process) -> None:
    """One of five runs other code: nobody is changed, the report names it, and the others can have the patch."""
    processes = service.fork(parent, 5)
    odd, others = processes[2], [*processes[:2], *processes[3:]]
    odd.ask(OTHER)
    before = prints(processes)
    said = service.suture("apply", service.patch, "--service", "game")
    assert (said.code, said.out, prints(processes) == before) == (1, "", True)
    assert "1 of 5 processes" in said.err
    assert f"pid {odd.pid}" in said.err
    assert "Nothing was changed in any process" in said.err
    again = service.suture("apply", service.patch, "--service", "game", "--json")
    assert (again.code, again.state()) == (1, {p.pid: "refused" if p is odd else "discarded" for p in processes})
    assert prints(processes) == before
    nothing_held(processes)
    chosen = [word for p in others for word in ("--pid", p.pid)]
    assert service.suture("apply", service.patch, *chosen).code == 0
    assert words(others) == [NEWS] * 4
    status = service.suture("status", "--json")
    assert (status.code, [r["pid"] for r in status.json["remarks"] if r["code"] == "without-patch"]) == (1, [odd.pid])


def late_no(
    service: Service, processes: list[Process], odd: Process, patch: Path | None = None, **more: Callable[[Agent, Any], object]
) -> together.Outcome:
    """An apply in which one process changes its own function after all have prepared, and the others have switched before it."""
    switched = threading.Semaphore(0)

    def before(agent: Agent, kind: Any) -> None:
        if kind is wire.Commit and agent.pid == odd.pid:
            for _ in processes[1:]:
                assert switched.acquire(timeout=60)
            odd.ask(OTHER)

    def after(agent: Agent, kind: Any) -> None:
        more.get("after", lambda *_: None)(agent, kind)
        if kind is wire.Commit:
            switched.release()

    agents = service.agents(processes, watched(before=before, after=after))
    with hanging_up(agents):
        return together.apply(agents, (patch or service.patch).read_bytes())


def test_no_behind_the_first_switch(service: Service, parent: Process) -> None:
    """Those that have switched go back to the code that they had; the report names each."""
    processes = service.fork(parent, 5)
    odd, others = processes[1], [processes[0], *processes[2:]]
    before = codes(others)
    outcome = late_no(service, processes, odd)
    assert states(outcome) == {p.pid: "refused" if p is odd else "put back" for p in processes}
    assert (outcome.exit_code(), words(others), codes(others) == before) == (1, [OLDS] * 4, True)
    assert odd.ask("app.f()") == ("other", "other")
    text = told(outcome, service)
    assert "4 had switched and went back" in text.replace("\n  ", " ")
    assert "moved-meanwhile" in text
    assert all(f"{p.pid}  put back" in text for p in others)
    nothing_held(processes)


def test_what_has_run_is_said(service: Service, parent: Process) -> None:
    """Who has switched goes back, and what a statement of the patch did there stays: exit 2, and the words say it."""
    acts = service.made("acts", [('"old"', '"new"'), ("class C", 'setattr(f, "ran", 1)  # suture: run-once\n    class C')])
    processes = service.fork(parent, 3)
    odd, *others = processes
    outcome = late_no(service, processes, odd, acts)
    assert states(outcome) == {p.pid: "refused" if p is odd else "put back" for p in processes}
    assert (outcome.exit_code(), words(others), [p.ask("hasattr(app.f, 'ran')") for p in processes]) == (
        2,
        [OLDS] * 2,
        [False, True, True],
    )
    text = told(outcome, service).replace("\n  ", " ")
    assert f"a statement of the patch has run, and what it did stays: pid {others[0].pid}, {others[1].pid}" in text
    assert [row["ran"] for row in outcome.to_json()["processes"]] == [False, True, True]
    nothing_held(processes)


def test_what_cannot_go_back_is_said(service: Service, parent: Process) -> None:
    """A revert that is refused isn't "nothing changed": exit 2.  A journal that can't be written doesn't keep one from going back."""
    processes = service.fork(parent, 4)
    odd, stuck, full, plain = processes

    def after(agent: Agent, kind: Any) -> None:
        if kind is wire.Commit and agent.pid == stuck.pid:
            stuck.ask(OTHER)
        if kind is wire.Commit and agent.pid == full.pid:
            full.ask("setattr(sys.modules['suture.agent.boot'].server().desk.journal, 'path', '/proc/none')")

    outcome = late_no(service, processes, odd, after=after)
    assert states(outcome) == {odd.pid: "refused", stuck.pid: "still live", full.pid: "put back", plain.pid: "put back"}
    assert (outcome.exit_code(), words([full, plain]), stuck.ask("app.g()")) == (2, [OLDS] * 2, "new")
    text = told(outcome, service)
    assert "still live" in text
    assert "changed-since" in text


# ---------------------------------------------------------------- killed processes


def test_killed_at_any_step(service: Service, parent: Process, capsys: pytest.CaptureFixture[str]) -> None:
    """8 processes, kill -9 of one at a random step: every survivor is wholly old or wholly new, as the report says of each."""
    seed, runs = int(os.environ.get("SUTURE_SEED", random.randrange(10**6))), 200 if LONG else 10
    chance, patch, processes = random.Random(seed), service.patch.read_bytes(), service.fork(parent, 8)
    came: dict[tuple[str, str, int], int] = {}
    began = time.monotonic()
    for run in range(runs):
        victim, step, delay_s = (
            chance.choice(processes),
            chance.choice(STEPS),
            chance.choice((0, 0.001, 0.01, 0.05)) * chance.random(),
        )
        where = f"seed {seed}, run {run}: pid {victim.pid} killed while {step}, after {delay_s:.4f} s"
        agents = service.agents(processes, killing(victim, step, delay_s))
        with hanging_up(agents):
            outcome = together.apply(agents, patch)
        until(lambda: not victim.alive())
        told(outcome, service)
        said, alive = states(outcome), [p for p in processes if p is not victim]
        runs_now = {p.pid: p.ask("words()") for p in alive}
        for process in alive:
            truth = {"live": NEWS, "discarded": OLDS, "put back": OLDS, "refused": OLDS}
            assert runs_now[process.pid] == truth[said[process.pid]], (where, said, runs_now)
        assert len({tuple(w) for w in runs_now.values()}) == 1, (where, said, runs_now)
        assert said[victim.pid] in ("ended", "live"), (where, said)
        code = outcome.exit_code()
        assert code == (0 if said[victim.pid] == "live" else 2) if NEWS in runs_now.values() else code == 1, (where, code, said)
        came[step, said[victim.pid], code] = came.get((step, said[victim.pid], code), 0) + 1
        nothing_held(alive)
        victim.side.close()
        processes = alive
        agents = service.agents(processes)
        with hanging_up(agents):
            if NEWS in runs_now.values():
                assert together.revert(agents, "fix").exit_code() == 0, where
        assert words(processes) == [OLDS] * 7, where
        processes += service.fork(parent, 1)
    with capsys.disabled():
        counts = ", ".join(f"{n} {step} -> {state}, exit {code}" for (step, state, code), n in sorted(came.items()))
        print(f"\n{runs} kills, seed {seed}, {time.monotonic() - began:.0f} s: {counts}")


# ---------------------------------------------------------------- the operator is stopped


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=["ctrl-c", "hang-up"])
def test_ctrl_c_before_the_first_switch(service: Service, parent: Process, number: int) -> None:
    """One hangs in its preparation: exit 1, and nothing is changed anywhere, not even when it goes on."""
    processes = service.fork(parent, 3)
    *others, victim = processes  # the first is asked alone
    before = prints(processes)
    running = begun(service, "apply", "Prepare", victim, others)
    running.send_signal(number)
    said = service.said(running)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("error: Interrupted fix-")
    assert "Nothing was changed in any process" in said.err
    victim.kill(signal.SIGCONT)
    nothing_held(processes)
    assert prints(processes) == before
    assert service.suture("apply", service.patch, "--service", "game").code == 0
    assert words(processes) == [NEWS] * 3


def test_ctrl_c_behind_the_first_switch(service: Service, parent: Process) -> None:
    """The first waits for all, the second doesn't: who has switched goes back, of whom nothing is known it's said, exit 2."""
    processes = service.fork(parent, 3)
    victim, *others = processes
    before = codes(others)
    running = begun(service, "apply", "Commit", victim, others, "--json")
    running.send_signal(signal.SIGINT)
    taken(running)
    running.send_signal(signal.SIGINT)
    said = service.said(running, "--json")
    assert (said.code, said.state()) == (2, {victim.pid: "unknown", **{p.pid: "put back" for p in others}})
    assert (codes(others), said.json["interrupted"]) == (before, True)
    victim.kill(signal.SIGCONT)
    nothing_held(processes)
    assert victim.ask("words()") in (OLDS, NEWS)


def test_ctrl_c_that_is_waited_for(service: Service, parent: Process) -> None:
    """Behind the first switch: all that have begun end, and all go back: exit 1."""
    processes = service.fork(parent, 3)
    victim, *others = processes
    before = codes(processes)
    running = begun(service, "apply", "Commit", victim, others)
    running.send_signal(signal.SIGINT)
    taken(running)
    victim.kill(signal.SIGCONT)
    said = service.said(running)
    assert (said.code, codes(processes)) == (1, before)
    assert re.search("[23] had switched and went back", said.err), said.err  # the stopped one's lease may be over by then


def test_killed_operator(service: Service, parent: Process) -> None:
    """kill -9 while all but one have prepared: all let go, nothing is changed, and the next apply works."""
    processes = service.fork(parent, 3)
    *others, victim = processes  # the first is asked alone
    before = prints(processes)
    running = begun(service, "apply", "Prepare", victim, others)
    running.kill()
    running.communicate()
    nothing_held(others)
    victim.kill(signal.SIGCONT)
    nothing_held(processes)
    assert prints(processes) == before
    assert service.suture("apply", service.patch, "--service", "game").code == 0
    assert words(processes) == [NEWS] * 3


def test_stuck_process_keeps_no_lease_from_being_renewed(
    service: Service, parent: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is stopped after it has prepared: the others' leases are renewed all the same."""
    monkeypatch.setattr(together, "LEASE_S", 2.0)
    monkeypatch.setattr(together, "_RENEW_S", 0.2)
    processes = service.fork(parent, 3)
    stuck, slow, plain = processes  # the first is asked alone
    renewed = threading.Event()

    def before(agent: Agent, kind: Any) -> None:
        if kind is wire.Prepare and agent.pid == slow.pid:
            for process in (stuck, plain):
                until(lambda: process.ask("settled()"))
            stuck.kill(signal.SIGSTOP)
            until(lambda: stopped(stuck))
            first = plain.ask("sys.modules['suture.agent.boot'].server().desk.lease_ends")
            until(lambda: plain.ask("sys.modules['suture.agent.boot'].server().desk.lease_ends") > first + 4)
            renewed.set()
            stuck.kill(signal.SIGCONT)

    agents = service.agents(processes, watched(before=before))
    with hanging_up(agents):
        outcome = together.apply(agents, service.patch.read_bytes())
    assert renewed.is_set()
    assert outcome.exit_code() in (0, 1), states(outcome)
    assert words(processes) == [NEWS if outcome.exit_code() == 0 else OLDS] * 3


# ---------------------------------------------------------------- two operators


def test_who_holds_it_is_told(service: Service, parent: Process) -> None:
    """Another one has prepared: exit 1 with that one's pid; nothing is changed; when it has let go, all is well."""
    processes = service.fork(parent, 3)
    (holder,) = service.agents(processes[1:2])
    with hanging_up([holder]):
        ready, _ = holder.ask(wire.Prepare, service.patch.read_bytes(), lease_s=60.0)
        said = service.suture("apply", service.patch, "--all")
        assert (said.code, f"pid {os.getpid()} (uid {os.geteuid()}) has prepared fix-" in said.err.replace("\n  ", " ")) == (
            1,
            True,
        )
        assert "(busy)" in said.err
        assert words(processes) == [OLDS] * 3
        revert = service.suture("revert", "fix", "--all", "--json")
        assert (revert.code, revert.json["processes"][1]["error"]["code"]) == (1, "busy")
        assert f"held by pid {os.getpid()}" in service.suture("ps").out
        holder.ask(wire.Discard, token=ready.token)
        assert service.suture("apply", service.patch, "--all").code == 0
    assert words(processes) == [NEWS] * 3


def test_other_operator_is_waited_for(service: Service, parent: Process) -> None:
    """It lets go while we look: we come back and go in."""
    processes = service.fork(parent, 3)
    (holder,) = service.agents(processes[1:2])
    holder.ask(wire.Prepare, service.patch.read_bytes(), lease_s=60.0)

    def after(agent: Agent, kind: Any) -> None:
        if kind is wire.Prepare and agent.pid == processes[1].pid:
            holder.close()

    agents = service.agents(processes, watched(after=after))
    with hanging_up([*agents, holder]):
        outcome = together.apply(agents, service.patch.read_bytes())
    assert (outcome.exit_code(), words(processes)) == (0, [NEWS] * 3)


def test_two_operators_at_once(service: Service, parent: Process) -> None:
    """Each goes in, or is told who is at it; whatever the order, all processes run the same."""
    processes = service.fork(parent, 4)
    ends = []
    for _ in range(4):
        running = [service.popen("apply", service.patch, "--all", "--json") for _ in range(2)]
        said = [service.said(r, "--json") for r in running]
        codes = sorted(s.code for s in said)
        assert codes in ([0, 0], [0, 1], [1, 1]), [s.out for s in said]
        nothing_held(processes)
        assert words(processes) == [NEWS if 0 in codes else OLDS] * 4
        for one in said:
            errors = {row["error"]["code"] for row in one.json["processes"] if row["error"]}
            assert errors == ({"busy"} if one.code else set())
        ends.append(codes)
        if 0 in codes:
            assert service.suture("revert", "fix", "--all").code == 0
    assert [0, 0] in ends or [0, 1] in ends, ends


# ---------------------------------------------------------------- many


def test_64_processes(service: Service, parent: Process, capsys: pytest.CaptureFixture[str]) -> None:
    """One command patches them all; what it took is printed."""
    processes = service.fork(parent, 64)
    began = time.monotonic()
    said = service.suture("apply", service.patch, "--service", "game", "--json", through=("-c", STOPS, "", 0))
    took_s = time.monotonic() - began
    assert (said.code, set(said.state().values()), len(said.state())) == (0, {"live"}, 64), said.err
    assert words(processes) == [NEWS] * 64
    mib, cpu_s, threads = said.err.split()
    with capsys.disabled():
        print(f"\n64 processes: {took_s:.1f} s, the operator {float(cpu_s):.1f} s of CPU and {float(mib):.0f} MiB; prepared in "
              f"{said.json['prepared_s']:.2f} s")  # fmt: skip
    assert threads == "1"
    table = service.suture("apply", service.patch, "--service", "game")
    assert (table.code, "live in 64 of 64" in table.out, "... and 24 more" in table.out) == (0, True, True)
    assert service.suture("status").code == 1  # their parent has no agent
    assert service.suture("revert", "fix", "--all").code == 0
    assert words(processes) == [OLDS] * 64
