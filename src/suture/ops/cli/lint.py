"""
``suture lint``: what a change needs to go live, for a pull request.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from suture.ops.cli import reports
from suture.ops.cli.explain import add_explain
from suture.ops.cli.source import add_source, asked_of, built, rebuilt
from suture.ops.lint import Verdict, judged

__all__ = ["Lint"]

OK, NO = 0, 1
_FORMATS: dict[str, Callable[[Verdict], str]] = {
    "text": reports.text,
    "json": reports.json_text,
    "github": reports.github,
    "sarif": reports.sarif,
    "markdown": reports.markdown,
}


class Lint:
    """
    Say whether a change can go live in running processes: hot, hot after n decisions, or restart.

    Takes the same sources as build, writes no file, and names each finding with its file and line.  Exit 0, unless --require
    asks for more.
    """

    name = "lint"

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add what the verb takes."""
        add_source(parser)
        add_explain(parser)
        parser.add_argument("--format", choices=list(_FORMATS), default="text", help="how to say it; default: text")
        words = "exit 1 if anything needs a restart (hot), or if a decision is missing (decided); may be given again"
        parser.add_argument("--require", choices=["hot", "decided"], action="append", default=[], help=words)
        parser.set_defaults(json=False)

    def run(self, args: argparse.Namespace) -> int:
        """Judge, and say so."""
        args.json = args.format == "json"
        asked = asked_of(args)
        elsewhere = rebuilt(args, asked, args.words)
        if elsewhere is not None:
            return elsewhere
        with built(args, asked, name="lint", meta={}) as (patch, sides):
            verdict = judged(patch, sides.origins)
        print(_FORMATS[args.format](verdict), end="")
        misses = ("hot" in args.require and verdict.restarts) or ("decided" in args.require and verdict.decisions)
        return NO if misses else OK
