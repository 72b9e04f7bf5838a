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
from pathlib import Path
from typing import NoReturn, Protocol

from suture.errors import SutureError
from suture.ops.build import build
from suture.ops.cli import live, render
from suture.ops.cli.drift import Drift
from suture.ops.cli.live import Show
from suture.ops.cli.run import Run
from suture.patch import Finding, Patch, Severity, dump, is_name

__all__ = ["console", "main"]

OK, NO, BROKEN, USAGE = 0, 1, 2, 64


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(USAGE)


def _patch_path(text: str) -> Path:
    """A refused build removes what is there, so it takes no other file's name."""
    path = Path(text)
    if path.suffix != ".suture" or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} isn't the name of a .suture file")
    return path


def _patch_name(text: str) -> str:
    """The name becomes a part of the id, and the id of file names."""
    if not is_name(text):
        words = "letters, digits, _, - and . can be used, up to 100 bytes"
        raise argparse.ArgumentTypeError(f"{text[:100]!r} can't be the name of a patch: {words}")
    return text


class Build:
    """
    Make a patch from two versions of the source: two folders or two files.

    Only what differs is carried, definition by definition, before and after.  Exit 1 if something can't be carried: then no
    file is written, and an older one of that name is removed.
    """

    name = "build"

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add what the verb takes."""
        parser.add_argument("old", type=Path, metavar="OLD", help="what the process runs")
        parser.add_argument("new", type=Path, metavar="NEW", help="what it should run")
        parser.add_argument("-o", "--output", type=_patch_path, required=True, metavar="FILE", help="the patch; its stem names it")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of words")
        parser.add_argument("--partial", action="store_true", help="write the patch although it leaves something out")
        parser.add_argument("--name", type=_patch_name, help="first part of the patch's id; default: the stem of FILE")
        for key in ("reason", "author", "expires"):
            parser.add_argument(f"--{key}", default="", help=f"{key}, kept in the patch; not in its id")

    def run(self, args: argparse.Namespace) -> int:
        """Build; write the file if all is carried."""
        if args.name is None and not is_name(args.output.stem):
            print(f"error: {args.output.stem[:100]!r} can't be the name of a patch; give one with --name", file=sys.stderr)
            return USAGE
        meta = {k: getattr(args, k) for k in ("reason", "author", "expires") if getattr(args, k)}
        patch = build(args.old, args.new, name=args.name or args.output.stem, meta=meta)
        carried = not patch.left_out or (args.partial and bool(patch.changes))
        if carried:
            _write(args.output, dump(patch))
        else:
            args.output.unlink(missing_ok=True)
        if args.json:
            json.dump(render.build_json(patch, args.output if carried else None), sys.stdout, indent=1)
            print()
        else:
            print(render.build_words(patch), end="")
            words = render.outcome_words(patch, args.output if carried else None)
            print(words, end="", file=sys.stdout if carried else sys.stderr)
        return OK if carried else NO


def _write(path: Path, data: bytes) -> None:
    """The whole file or none of it: somebody may be reading an older one of that name."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


class Verb(Protocol):
    """One verb; its docstring is its help."""

    name: str

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add what the verb takes."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the exit code."""


VERBS: tuple[Verb, ...] = (Build(), Show(), Run(), *live.VERBS, Drift())


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
        args = parser.parse_args(argv)
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
