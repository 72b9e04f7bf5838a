"""
``suture VERB``: one small class a verb.

Data goes to stdout, words about it to stderr.  Exit codes: 0 what was asked holds, 1 no and nothing was changed, 2 anything
else, 64 usage.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
from collections.abc import Sequence
from typing import NoReturn, Protocol

from suture.errors import SutureError
from suture.ops.cli import live, render
from suture.ops.cli.build import Build
from suture.ops.cli.drift import Drift
from suture.ops.cli.lint import Lint
from suture.ops.cli.live import Show
from suture.ops.cli.run import Run
from suture.patch import Finding, Patch, Severity

__all__ = ["console", "main"]

OK, NO, BROKEN, USAGE = 0, 1, 2, 64


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(USAGE)


class Verb(Protocol):
    """One verb; its docstring is its help."""

    name: str

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add what the verb takes."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the exit code."""


VERBS: tuple[Verb, ...] = (Build(), Lint(), Show(), Run(), *live.VERBS, Drift())


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one verb.

    Returns:
        The exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 shows what it can
    parser = _Parser(prog="suture", description="Put a fix into a Python process that must not stop, and take it out again.")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        doc = verb.__doc__ or ""
        own = verbs.add_parser(verb.name, help=" ".join(doc.strip().split("\n\n")[0].split()), description=" ".join(doc.split()))
        verb.prepare_parser(own)
        own.set_defaults(run=verb.run)
    try:
        args, rest = parser.parse_known_args(argv)
        if rest and (not hasattr(args, "source") or any(w.startswith("-") for w in rest)):
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        if rest:  # OLD -o FILE NEW: argparse ends a list of arguments at the first option
            args.source += rest
        args.words = list(sys.argv[1:] if argv is None else argv)[1:]  # what the verb was given, to hand it on
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        code = int(args.run(args))
        with contextlib.suppress(BrokenPipeError):  # the verb is done; its code holds
            sys.stdout.flush()
        return code
    except SystemExit as stop:
        return int(stop.code or 0)
    except SutureError as error:
        return _no(args, Finding.of(error))
    except KeyboardInterrupt:  # apply and revert hear it themselves, once they have begun
        return _no(args, Finding("interrupted", Severity.ERROR, "", "Ctrl-C; nothing was changed"))
    except BrokenPipeError:  # who read our words has gone; what was done is done
        return BROKEN
    except OSError as error:
        found = Finding("unreadable", Severity.ERROR, str(error.filename or ""), str(error.strerror or error), "check the path")
        return _no(args, found)


def _no(args: argparse.Namespace, finding: Finding) -> int:
    output = getattr(args, "output", None)
    if output is not None:
        output.unlink(missing_ok=True)
    if args.json:
        row = {"format": 1, "verb": args.verb, "ok": False, "exit": NO, "troubles": [], "findings": [finding.to_json()]}
        json.dump(render.build_json(Patch("", (), left_out=(finding,)), None) if output is not None else row, sys.stdout, indent=1)
        print()
    else:
        print("\n".join(render.finding_words(finding)), file=sys.stderr)
    return NO


def console() -> NoReturn:
    """Entry point of the installed command."""
    code = main()
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read has gone (head, a pager); Python would say so at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(code)
