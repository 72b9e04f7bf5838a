"""
How the processes of a service stand: what is live in each, who lacks it, and what the journal says of those that have ended.

Changes nothing.  Prints nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from suture import wire
from suture.agent.journal import lines_of
from suture.errors import SutureError
from suture.ops.client import Agent, Lost, Trouble
from suture.ops.seats import Seat, Stop, each, has_ended

__all__ = ["deployed", "outlived", "status", "wanted"]

_JOURNAL_LINES = 500


@dataclass(frozen=True)
class Kept:
    """
    A patch as a journal keeps it.

    Attributes:
        text: Of its file; empty if the line isn't among the last ones any more.
        accept: What it was let in with.
        had: In how many processes it was.
    """

    text: bytes = b""
    accept: tuple[str, ...] = ()
    had: int = 0


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
            if not has_ended(agent):
                words = f"the connection was lost: {error}"
                troubles.append(Trouble(agent.pid, agent.hello.service, "lost", words, "ask again; see the program's log"))
            rows.pop(id(agent), None)
        except SutureError as error:
            if id(agent) not in rows or not rows[id(agent)][0].failure:
                troubles.append(Trouble(agent.pid, agent.hello.service, error.code, error.message, error.hint))

    with Stop() as stop:
        each([Seat(a) for a in agents], ask, stop, hang_up_at=1)
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
            shown, text = by_pid[having].ask(wire.Show, patch_id=patch_id)
            if _would_be(by_pid[pid], Kept(text, shown.accept)) == {"already-fixed"}:
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
        patch_id, patch = "", Kept()
        for pid in services[service]:
            agent = by_pid[pid]
            try:
                if pid == services[service][0]:  # one journal a service
                    patch_id, patch = next(reversed(wanted(agent).items()), ("", patch))
                if patch.text and "planned" in _would_be(agent, patch):
                    found[pid] = patch_id, patch.had
            except (Lost, SutureError) as error:
                code, hint = (error.code, error.hint) if isinstance(error, SutureError) else ("lost", "ask again; see its log")
                troubles.append(Trouble(pid, service, code, str(error), hint))
    return found, troubles


def _would_be(agent: Agent, patch: Kept) -> set[str]:
    """States that a plan of the patch gives its changes; none if it's refused there."""
    answer, attached = agent.ask(wire.Plan, patch.text, accept=patch.accept, partial=True)  # whatever it leaves out, it was live
    changed = json.loads(attached or b"{}").get("changed", ())
    return {row["status"] for row in changed} if answer.ok else set()


def wanted(agent: Agent) -> dict[str, Kept]:
    """
    By id, oldest first: patches that were committed in a process of this agent's service, and not taken back or dropped since.

    Raises:
        Lost, SutureError: The journal can't be asked for.
    """
    records = lines_of(agent.ask(wire.Log, last=_JOURNAL_LINES)[1]).records
    return _wanted([r for r in records if r.get("service") == agent.hello.service])


def _wanted(records: Sequence[Mapping[str, Any]]) -> dict[str, Kept]:
    kept: dict[str, Kept] = {}
    live: dict[str, set[Any]] = {}
    for record in records:
        verb, patch_id, state = (str(record.get(key, "")) for key in ("verb", "patch_id", "state"))
        if isinstance(text := record.get("patch"), str):
            accept = record.get("accept")  # not in lines of an older suture
            accepted = tuple(map(str, accept)) if isinstance(accept, list) else ()
            kept[patch_id] = Kept(text.encode("utf-8", "surrogatepass"), accepted)
        if (verb, state) == ("commit", "committed"):
            live.setdefault(patch_id, set()).add(record.get("pid"))
        elif verb == "revert" and state in ("reverted", "dropped"):
            live.pop(patch_id, None)  # somebody wanted it out: who has ended since is forgotten
    return {patch_id: replace(kept.get(patch_id, Kept()), had=len(pids)) for patch_id, pids in live.items()}
