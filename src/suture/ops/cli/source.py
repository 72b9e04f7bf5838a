"""
The arguments that say what a patch is made from: the same for ``build`` and ``lint``.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from suture.ops.build import build
from suture.ops.build.decisions import FILE, Decisions
from suture.ops.build.sources import Asked, Interpreter, Sides, interpreter_of, opened
from suture.ops.cli.progress import Progress
from suture.patch import Finding, Patch, Severity
from suture.record import replace

__all__ = ["add_source", "asked_of", "built", "rebuilt"]

_AGAIN = "SUTURE_REBUILD"  # set in the interpreter that a build was handed to, so that it goes no further


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add what says where both sides come from."""
    words = (
        "OLD NEW: two folders or files; TREE DIFF: a tree and a diff of it (- is standard input); A..B: two revisions; A: a "
        'revision against the working tree; "NAME==A..B": two releases of a distribution'
    )
    parser.add_argument("source", nargs="*", metavar="SOURCE", help=words)
    parser.add_argument("--repo", type=Path, metavar="DIR", help="the git repository; default: around the current folder")
    parser.add_argument(
        "--path",
        action="append",
        default=[],
        metavar="PATH",
        help="look at this alone: an import root, a package, a file; repeatable",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--python", type=Path, metavar="PATH", help="the interpreter that the target runs")
    which.add_argument("--pid", type=int, metavar="PID", help="a running target, whose interpreter is meant")
    parser.add_argument("--allow-sdist", action="store_true", help="build a release without a wheel: runs its build code")
    parser.add_argument(
        "--decisions", type=Path, metavar="FILE", help=f"choices that were made; default: {FILE} of the new tree, or here"
    )
    parser.add_argument("--progress", action="store_true", default=None, help="say what takes long, off a terminal too")
    parser.set_defaults(fail=parser.error)


def asked_of(args: argparse.Namespace) -> Asked:
    """
    What the arguments ask for.

    Raises:
        SystemExit: 64, they don't fit together.
        Refused: no-interpreter.
    """
    if not 1 <= len(args.source) <= 2:
        args.fail("give OLD NEW, TREE DIFF, A..B, or NAME==A..B")
    asked = Asked(tuple(args.source), args.repo, tuple(args.path), None, args.allow_sdist)
    if not asked.is_repository and args.repo:
        args.fail("--repo is for a range of revisions")
    if not asked.is_repository and len(asked.words) == 1 and args.path:
        args.fail("--path is for trees and revisions")
    return dataclasses.replace(asked, target=_target(args))


def _target(args: argparse.Namespace) -> Interpreter | None:
    if args.pid is not None:
        return interpreter_of(args.pid)
    return Interpreter.at(args.python) if args.python is not None else None


def rebuilt(args: argparse.Namespace, asked: Asked, words: Sequence[str]) -> int | None:
    """
    Hand the command to the target's interpreter, if its syntax may be newer than ours.

    Args:
        args: With ``verb``.
        asked: With the target's interpreter.
        words: The verb's arguments.

    Returns:
        Its exit code; None if this interpreter will do.
    """
    if asked.target is None or not asked.target.is_newer or os.environ.get(_AGAIN):
        return None
    os.environ[_AGAIN] = "1"
    try:
        return asked.target.rebuild([args.verb, *words])
    finally:
        del os.environ[_AGAIN]


@contextmanager
def built(args: argparse.Namespace, asked: Asked, *, name: str, meta: dict[str, str]) -> Iterator[tuple[Patch, Sides]]:
    """
    Make the patch.  Its two sides are there as long as the context is open.

    Raises:
        Refused: As ``opened`` and ``build``.
    """
    with Progress(wanted=args.progress) as progress, opened(asked, progress.step) as sides:
        progress.step("comparing")
        said = {**meta, "source": sides.said} if sides.said else meta
        patch = build(sides.old, sides.new, name=name, meta=said, decisions=_decisions(args, sides), rooted=sides.rooted)
        patch = replace(patch, remarks=(*patch.remarks, *sides.findings))
        yield _hinted(patch, asked), sides


def _decisions(args: argparse.Namespace, sides: Sides) -> Decisions:
    """Those that were asked for; else of the new tree, else of the current folder."""
    if args.decisions is not None:
        return Decisions.read(args.decisions)
    found = next((p for p in (sides.new / FILE, Path(FILE)) if p.is_file()), None)
    return Decisions.read(found) if found is not None else Decisions()


def _hinted(patch: Patch, asked: Asked) -> Patch:
    """A syntax error may be one of this interpreter alone."""
    if asked.target is not None or not any(f.code == "syntax-error" for f in patch.left_out):
        return patch
    here = "{}.{}".format(*sys.version_info[:2])
    words = f"this is Python {here}: if the target's is newer, say --python PATH"

    def more(finding: Finding) -> Finding:
        mine = finding.code == "syntax-error" and finding.severity is Severity.ERROR
        return replace(finding, hint=f"{finding.hint}; {words}" if finding.hint else words) if mine else finding

    return replace(patch, left_out=tuple(map(more, patch.left_out)))
