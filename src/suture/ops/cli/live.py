"""
The verbs that reach running processes: ps, plan, apply, status, revert, log, and show of what is live.

Nothing ever prompts.  Verbs that write need to be told which processes: ``--pid``, ``--service`` or ``--all``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from suture import __version__, wire
from suture.agent.journal import Lines
from suture.errors import Refused, SutureError
from suture.ops import standing, together
from suture.ops.cli import history, render, tables
from suture.ops.client import Agent, Choice, Lost, Trouble, find, hanging_up
from suture.ops.seats import Outcome, Stop
from suture.patch import MAX_BYTES, Patch, load

__all__ = ["VERBS", "Show", "asked_for", "choosing", "head", "nobody", "print_json"]

OK, NO, MIXED, USAGE = 0, 1, 2, 64
_RECORDS_A_LINE = 3  # of the journal: prepared, intended, done


def choosing(parser: argparse.ArgumentParser, *, must: bool) -> None:
    """Let a verb be told which processes are meant; *must*: all isn't what is meant if none is named."""
    which = parser.add_argument_group("which processes" + ("" if must else " (default: all)"))
    which.add_argument("--pid", type=int, action="append", default=[], metavar="PID", help="this one; may be given again")
    which.add_argument("--service", action="append", default=[], metavar="NAME", help="all of this service; may be given again")
    which.add_argument("--all", action="store_true", help="all that have an agent")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of words")
    parser.set_defaults(must_choose=must)


def _judging(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("patch", metavar="FILE", help="a .suture file; - reads standard input")
    parser.add_argument(
        "--accept", action="append", default=[], metavar="CODE[:TARGET]", help="take an error on; may be given again"
    )
    parser.add_argument("--partial", action="store_true", help="take a patch that says that it leaves something out")
    parser.add_argument("--replace", action="store_true", help="put back what an older patch changed and this one doesn't")


def _choice(args: argparse.Namespace) -> Choice:
    if args.must_choose and not (args.pid or args.service or args.all):
        print("error: say which processes: --pid PID, --service NAME or --all", file=sys.stderr)
        raise SystemExit(USAGE)
    if args.all and (args.pid or args.service):
        print("error: --all with --pid or --service", file=sys.stderr)
        raise SystemExit(USAGE)
    return Choice(tuple(args.pid), tuple(args.service))


@contextlib.contextmanager
def asked_for(args: argparse.Namespace) -> Iterator[tuple[list[Agent], list[Trouble]]]:
    """Connections to those that are meant, for the length of a ``with``, and who can't be asked."""
    agents, troubles = find(_choice(args), __version__)
    with hanging_up(agents):
        yield agents, troubles


def _patch(args: argparse.Namespace) -> tuple[bytes, Patch]:
    """The bytes, and the patch as it was read here: what can't be read isn't sent."""
    data = sys.stdin.buffer.read(MAX_BYTES + 1) if args.patch == "-" else Path(args.patch).read_bytes()
    return data, load(data, source="standard input" if args.patch == "-" else args.patch)


def _options(args: argparse.Namespace) -> dict[str, Any]:
    return {"accept": tuple(args.accept), "partial": args.partial, "replace": args.replace}


def print_json(row: dict[str, Any]) -> None:
    """One object on stdout."""
    json.dump(row, sys.stdout, indent=1)
    print()


def head(args: argparse.Namespace, code: int, troubles: Sequence[Trouble]) -> dict[str, Any]:
    """What every answer in JSON begins with."""
    row: dict[str, Any] = {"format": 1, "verb": args.verb, "ok": code == OK, "exit": code}
    return row | {"troubles": [t.to_json() for t in troubles]}


def nobody(args: argparse.Namespace, troubles: Sequence[Trouble]) -> int:
    """No process matched."""
    choice = Choice(tuple(args.pid), tuple(args.service))
    if args.json:
        print_json(head(args, NO, troubles) | {"processes": []})
    else:
        print(tables.nobody(choice, troubles), end="", file=sys.stderr)
    return NO


class Ps:
    """List the processes of this machine that have an agent."""

    name = "ps"

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add what the verb takes."""
        choosing(parser, must=False)

    def run(self, args: argparse.Namespace) -> int:
        """Ask each for its facts; exit 1 if there is none, or one can't be asked."""
        with asked_for(args) as (agents, troubles):
            if not agents and not (troubles and not args.pid and not args.service):
                return nobody(args, troubles)
            namespaces = {a.pid: a.hello.namespace for a in agents}
            rows, silent = standing.status(agents)
        found = [facts for facts, _ in rows]
        troubles += silent
        code = OK if found and not troubles else NO
        if args.json:
            processes = [{**_facts(f), "namespace": namespaces[f.pid]} for f in found]
            print_json(head(args, code, troubles) | {"processes": processes})
        else:
            print(tables.ps(found, troubles), end="")
        return code


def _facts(facts: wire.PsAnswer) -> dict[str, Any]:
    row = {name: getattr(facts, name) for name in wire.PsAnswer.__annotations__ if name != "number"}
    return row | {"patches": list(facts.patches)}


class Plan:
    """Say what a patch would do in each process.  Changes nothing, evaluates nothing."""

    name = "plan"

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add what the verb takes."""
        _judging(parser)
        choosing(parser, must=False)

    def run(self, args: argparse.Namespace) -> int:
        """Ask all; exit 1 if it wouldn't go in everywhere."""
        _choice(args)
        data, patch = _patch(args)
        with asked_for(args) as (agents, troubles):
            if not agents:
                return nobody(args, troubles)
            outcome = together.plan(agents, data, **_options(args))
        return _say(args, outcome, troubles, patch)


class Apply:
    """
    Take a patch live in all of the processes, or in none.

    All are prepared before any switches; one that can't, or can't be asked, stops all.  Exit 0: live in all; 1: no, and every
    process is as before; 2: read the report.
    """

    name = "apply"

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add what the verb takes."""
        _judging(parser)
        choosing(parser, must=True)
        parser.add_argument("--no-journal", action="store_true", help="go on where the journal can't be written (a full disk)")

    def run(self, args: argparse.Namespace) -> int:
        """Prepare all, commit all."""
        _choice(args)
        data, patch = _patch(args)
        with asked_for(args) as (agents, troubles):
            if not agents:
                return nobody(args, troubles)
            with Stop() as stop:  # to the last word: what was done is said
                if any(t.running for t in troubles):
                    outcome = together.not_asked(agents)
                else:
                    outcome = together.apply(agents, data, journal=not args.no_journal, stop=stop, **_options(args))
                return _say(args, outcome, troubles, patch)


class Revert:
    """
    Take a live patch back in all of the processes that have it, or in none.

    As for apply.  Where no process of a service has it any more, its journal is told not to expect it (--service, --all).
    """

    name = "revert"

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add what the verb takes."""
        parser.add_argument("patch_id", metavar="ID", help="the patch's id, or the start of it")
        choosing(parser, must=True)
        parser.add_argument("--no-journal", action="store_true", help="go on where the journal can't be written (a full disk)")

    def run(self, args: argparse.Namespace) -> int:
        """Look all over, take all back."""
        with asked_for(args) as (agents, troubles):
            if not agents:
                return nobody(args, troubles)
            with Stop() as stop:
                if any(t.running for t in troubles):
                    outcome = together.not_asked(agents, "revert", args.patch_id)
                else:  # of one process alone it can't be told whether the service is to do without
                    options = {"journal": not args.no_journal, "drop": not args.pid}
                    outcome = together.revert(agents, args.patch_id, stop=stop, **options)
                return _say(args, outcome, troubles, None)


def _say(args: argparse.Namespace, outcome: Outcome, troubles: Sequence[Trouble], patch: Patch | None) -> int:
    code = outcome.exit_code()
    if troubles and code == OK:
        code = MIXED if outcome.verb != "plan" else NO  # a process that was meant may run something else
    if args.json:
        print_json(head(args, code, troubles) | outcome.to_json())
    else:
        print(tables.outcome(outcome, troubles, patch, _as_asked(args)), end="", file=sys.stderr if code else sys.stdout)
    return code


def _as_asked(args: argparse.Namespace) -> str:
    words = [f"--pid {p}" for p in args.pid] + [f"--service {s}" for s in args.service]
    return " ".join(words) or "--all"


class Status:
    """
    Say what is live where, since when, and who doesn't have it.

    Exit 1 if a process of a service lacks what others of it have, or a parent has no agent to give it to its children.
    """

    name = "status"

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add what the verb takes."""
        choosing(parser, must=False)

    def run(self, args: argparse.Namespace) -> int:
        """Ask all, compare."""
        with asked_for(args) as (agents, troubles):
            if not agents:
                return nobody(args, troubles)
            rows, silent = standing.status(agents)
            old, unasked = standing.outlived(agents, rows)
            troubles += silent + unasked
            found = tables.Services(rows, troubles)
            found.tell(standing.deployed(agents, found.lacking()), old)
        code = OK if found.as_asked() else NO
        if args.json:
            print_json(head(args, code, troubles) | found.to_json())
        else:
            print(found.words(), end="")
        return code


class Log:
    """Print the last lines of the journal: what was committed and taken back, when, and by whom."""

    name = "log"

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add what the verb takes."""
        parser.add_argument("-n", "--last", type=int, default=50, metavar="N", help="lines (--json: records); default 50")
        choosing(parser, must=False)

    def run(self, args: argparse.Namespace) -> int:
        """Ask each for its journal; each file once."""
        journals: dict[str, Lines] = {}
        with asked_for(args) as (agents, troubles):
            if not agents:
                return nobody(args, troubles)
            for agent in agents:
                try:
                    last = max(1, args.last) * (1 if args.json else _RECORDS_A_LINE)
                    answer, body = agent.ask(wire.Log, last=last)
                    journals.setdefault(answer.path, history.journal_lines(body))
                except SutureError as error:
                    troubles.append(Trouble(agent.pid, agent.hello.service, error.code, error.message, error.hint))
                except Lost as error:
                    hint = "ask again; see the program's log"
                    troubles.append(Trouble(agent.pid, agent.hello.service, "lost", f"the connection was lost: {error}", hint))
        rows = sorted((r for lines in journals.values() for r in lines.records), key=lambda r: str(r.get("time", "")))
        torn, code = sum(lines.torn for lines in journals.values()), NO if troubles else OK
        if args.json:
            print_json(head(args, code, troubles) | {"files": sorted(journals), "torn": torn, "records": rows})
        else:
            print(history.log(rows, torn, troubles, max(1, args.last)), end="")
        return code


class Show:
    """Print a patch as a diff, with who made it, why, and what it leaves out: a file, or one that is live."""

    name = "show"

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add what the verb takes."""
        parser.add_argument("patch", metavar="FILE|ID", help="a .suture file, or the id (or its start) of a live patch")
        choosing(parser, must=False)

    def run(self, args: argparse.Namespace) -> int:
        """Read and print."""
        asked = args.pid or args.service or args.all
        if Path(args.patch).is_file() or (not asked and args.patch.endswith(".suture")):
            patch = load(Path(args.patch).read_bytes(), source=args.patch)
        else:
            with asked_for(args) as (agents, troubles):
                if not agents:
                    return nobody(args, troubles)
                patch = load(_shown(agents, args.patch), source=args.patch)
        if args.json:
            print_json(render.patch_json(patch))
        else:
            print(render.patch_words(patch, colour=render.wants_colour(sys.stdout)), end="")
        return OK


def _shown(agents: Sequence[Agent], patch_id: str) -> bytes:
    error: SutureError = Refused("patch-unknown", f"no process has a patch {patch_id!r}", hint="see `suture status`")
    for agent in agents:
        try:
            return bytes(agent.ask(wire.Show, patch_id=patch_id)[1])
        except Lost:
            continue
        except SutureError as no:
            error = no
    raise error


VERBS = (Ps(), Plan(), Apply(), Status(), Revert(), Log())
