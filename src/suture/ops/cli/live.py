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
from suture.ops import together
from suture.ops.cli import render, tables
from suture.ops.client import Agent, Choice, Lost, Trouble, find, hanging_up
from suture.patch import MAX_BYTES, Patch, load

__all__ = ["VERBS", "Show"]

OK, NO, MIXED, USAGE = 0, 1, 2, 64


def _choosing(parser: argparse.ArgumentParser, *, must: bool) -> None:
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
def _agents(args: argparse.Namespace) -> Iterator[tuple[list[Agent], list[Trouble]]]:
    agents, troubles = find(_choice(args), __version__)
    with hanging_up(agents):
        yield agents, troubles


def _patch(args: argparse.Namespace) -> tuple[bytes, Patch]:
    """The bytes, and the patch as it was read here: what can't be read isn't sent."""
    data = sys.stdin.buffer.read(MAX_BYTES + 1) if args.patch == "-" else Path(args.patch).read_bytes()
    return data, load(data, source="standard input" if args.patch == "-" else args.patch)


def _options(args: argparse.Namespace) -> dict[str, Any]:
    return {"accept": tuple(args.accept), "partial": args.partial, "replace": args.replace}


def _print_json(row: dict[str, Any]) -> None:
    json.dump(row, sys.stdout, indent=1)
    print()


def _nobody(args: argparse.Namespace, troubles: Sequence[Trouble]) -> int:
    """No process matched."""
    choice = Choice(tuple(args.pid), tuple(args.service))
    if args.json:
        row = {"format": 1, "verb": args.verb, "ok": False, "exit": NO, "processes": []}
        _print_json(row | {"troubles": [t.to_json() for t in troubles]})
    else:
        print(tables.nobody(choice, troubles), end="", file=sys.stderr)
    return NO


class Ps:
    """List the processes of this machine that have an agent."""

    name = "ps"

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add what the verb takes."""
        _choosing(parser, must=False)

    def run(self, args: argparse.Namespace) -> int:
        """Ask each for its facts; exit 1 if there is none, or one can't be asked."""
        with _agents(args) as (agents, troubles):
            if not agents and not (troubles and not args.pid and not args.service):
                return _nobody(args, troubles)
            rows = [(a, f) for a, f, _ in together.status(agents) if f is not None]
        if args.json:
            processes = [{**_facts(f), "namespace": a.hello.namespace} for a, f in rows]
            _print_json({"format": 1, "verb": "ps", "processes": processes, "troubles": [t.to_json() for t in troubles]})
        else:
            print(tables.ps(rows, troubles), end="")
        return OK if rows and not troubles else NO


def _facts(facts: wire.PsAnswer) -> dict[str, Any]:
    row = {name: getattr(facts, name) for name in wire.PsAnswer.__annotations__ if name != "number"}
    return row | {"patches": list(facts.patches)}


class Plan:
    """Say what a patch would do in each process.  Changes nothing, evaluates nothing."""

    name = "plan"

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add what the verb takes."""
        _judging(parser)
        _choosing(parser, must=False)

    def run(self, args: argparse.Namespace) -> int:
        """Ask all; exit 1 if it wouldn't go in everywhere."""
        _choice(args)
        data, patch = _patch(args)
        with _agents(args) as (agents, troubles):
            if not agents:
                return _nobody(args, troubles)
            outcome = together.plan(agents, data, **_options(args))
        return _say(args, outcome, troubles, patch)


class Apply:
    """
    Take a patch live in all of the processes, or in none.

    All are prepared before any switches; one that can't stops all.  Exit 0: live in all; 1: no, and every process is as
    before; 2: read the report.
    """

    name = "apply"

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add what the verb takes."""
        _judging(parser)
        _choosing(parser, must=True)
        parser.add_argument("--no-journal", action="store_true", help="go on where the journal can't be written (a full disk)")

    def run(self, args: argparse.Namespace) -> int:
        """Prepare all, commit all."""
        _choice(args)
        data, patch = _patch(args)
        with _agents(args) as (agents, troubles):
            if not agents:
                return _nobody(args, troubles)
            outcome = together.apply(agents, data, journal=not args.no_journal, **_options(args))
        return _say(args, outcome, troubles, patch)


class Revert:
    """Take a live patch back in each of the processes that has it."""

    name = "revert"

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add what the verb takes."""
        parser.add_argument("patch_id", metavar="ID", help="the patch's id, or the start of it")
        _choosing(parser, must=True)
        parser.add_argument("--no-journal", action="store_true", help="go on where the journal can't be written (a full disk)")

    def run(self, args: argparse.Namespace) -> int:
        """Take it back everywhere."""
        with _agents(args) as (agents, troubles):
            if not agents:
                return _nobody(args, troubles)
            outcome = together.revert(agents, args.patch_id, journal=not args.no_journal)
        return _say(args, outcome, troubles, None)


def _say(args: argparse.Namespace, outcome: together.Outcome, troubles: Sequence[Trouble], patch: Patch | None) -> int:
    code = outcome.exit_code()
    if troubles and code == OK:
        code = MIXED if outcome.verb != "plan" else NO  # a process that was meant may run something else
    if args.json:
        _print_json(outcome.to_json() | {"ok": code == OK, "exit": code, "troubles": [t.to_json() for t in troubles]})
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
        _choosing(parser, must=False)

    def run(self, args: argparse.Namespace) -> int:
        """Ask all, compare."""
        with _agents(args) as (agents, troubles):
            if not agents:
                return _nobody(args, troubles)
            found = tables.Services([row for row in together.status(agents) if row[1] is not None], troubles)
        if args.json:
            _print_json(found.to_json())
        else:
            print(found.words(), end="")
        return OK if found.as_asked() else NO


class Log:
    """Print the last lines of the journal: what was committed and taken back, when, and by whom."""

    name = "log"

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add what the verb takes."""
        parser.add_argument("-n", "--last", type=int, default=50, metavar="N", help="records a process writes to; default 50")
        _choosing(parser, must=False)

    def run(self, args: argparse.Namespace) -> int:
        """Ask each for its journal; each file once."""
        journals: dict[str, Lines] = {}
        with _agents(args) as (agents, troubles):
            if not agents:
                return _nobody(args, troubles)
            for agent in agents:
                with contextlib.suppress(Lost, SutureError):
                    answer, body = agent.ask(wire.Log, last=max(1, args.last))
                    journals.setdefault(answer.path, tables.journal_lines(body))
        rows = sorted((r for lines in journals.values() for r in lines.records), key=lambda r: str(r.get("time", "")))
        if args.json:
            _print_json({"format": 1, "verb": "log", "files": sorted(journals), "records": rows})
        else:
            print(tables.log(rows, sum(lines.torn for lines in journals.values())), end="")
        return OK


class Show:
    """Print a patch as a diff, with who made it, why, and what it leaves out: a file, or one that is live."""

    name = "show"

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add what the verb takes."""
        parser.add_argument("patch", metavar="FILE|ID", help="a .suture file, or the id (or its start) of a live patch")
        _choosing(parser, must=False)

    def run(self, args: argparse.Namespace) -> int:
        """Read and print."""
        asked = args.pid or args.service or args.all
        if Path(args.patch).exists() or (not asked and args.patch.endswith(".suture")):
            patch = load(Path(args.patch).read_bytes(), source=args.patch)
        else:
            with _agents(args) as (agents, troubles):
                if not agents:
                    return _nobody(args, troubles)
                patch = load(_shown(agents, args.patch), source=args.patch)
        if args.json:
            _print_json(render.patch_json(patch))
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
