"""
``suture drift``: is a running process what we think?
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from suture.difference import module_words
from suture.ops.cli import tables
from suture.ops.cli.live import asked_for, choosing, head, nobody, print_json
from suture.ops.client import Trouble
from suture.ops.drift import Answer, drift, exit_code
from suture.patch import load

__all__ = ["Drift"]

_MOST_PIDS = 8


class Drift:
    """
    Hold running processes against a source tree and the patches that are live in them.

    Compares code, literal constants and defaults, and bases of classes; runs nothing.  Exit 0: all the same in every process; 1:
    something differs; 2: something couldn't be compared.
    """

    name = "drift"

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add what the verb takes."""
        parser.add_argument("tree", type=Path, metavar="TREE", help="a folder (the import root) or a file")
        words = "this patch is expected, and no other that isn't named; may be given again"
        parser.add_argument("--patch", action="append", type=Path, default=[], metavar="FILE", help=words)
        parser.add_argument("--no-patch", action="store_true", help="none is expected")
        choosing(parser, must=False)

    def run(self, args: argparse.Namespace) -> int:
        """Ask each, file by file."""
        patches = [load(p.read_bytes(), source=str(p)).id for p in args.patch] if args.patch or args.no_patch else None
        with asked_for(args) as (agents, troubles):
            if not agents:
                return nobody(args, troubles)
            answers = drift(agents, args.tree, patches)
        code = exit_code(answers, len(troubles))
        if args.json:
            print_json(head(args, code, troubles) | {"tree": str(args.tree), "processes": [a.to_json() for a in answers]})
        else:
            print("".join(f"{line}\n" for line in _lines(answers, troubles)), end="")
        return code


def _lines(answers: Sequence[Answer], troubles: Sequence[Trouble]) -> Iterator[str]:
    """Processes that say the same, together."""
    groups: dict[str, list[Answer]] = {}
    for answer in answers:
        row = answer.to_json() | {"pid": 0}
        if answer.report is not None:
            row["report"] |= {"process": {}, "longest_slice_ms": 0}
        groups.setdefault(json.dumps(row), []).append(answer)
    for group in groups.values():
        first = group[0]
        pids = ", ".join(str(a.agent.pid) for a in group[:_MOST_PIDS]) + (" ..." if len(group) > _MOST_PIDS else "")
        live = f"  with {', '.join(first.report.patches)}" if first.report is not None and first.report.patches else ""
        service = f"  {first.agent.hello.service}" if first.agent.hello.service else ""
        yield from tables.wrap(f"{first.state}{service}  {len(group)} of {len(answers)}: pid {pids}{live}")
        if first.report is not None:
            yield from module_words(first.report.modules, first.report.differences)
        elif first.error is not None:
            yield from tables.wrap(f"{first.error['message']} ({first.error['code']})", "  ", "  ")
            yield from tables.wrap(first.error["hint"], "  -> ", "     ")
    yield from tables.of_troubles(troubles)
