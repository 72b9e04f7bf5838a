"""
The arguments that say what a patch is made from: the same for ``build`` and ``lint``.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from suture import __version__
from suture.errors import Refused
from suture.ops.build import build
from suture.ops.build.decisions import FILE, Decisions
from suture.ops.build.sources import Asked, Interpreter, Sides, interpreter_of, opened
from suture.ops.build.sources.repository import Repository
from suture.ops.cli.progress import Progress
from suture.ops.client import Agent, Choice, find, hanging_up
from suture.ops.running import old_side
from suture.patch import Finding, Patch, Severity
from suture.record import replace

__all__ = ["add_source", "asked_of", "built", "rebuilt"]

_AGAIN = "SUTURE_REBUILD"  # set in the interpreter that a build was handed to, so that it goes no further


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add what says where both sides come from."""
    words = (
        "OLD NEW: two folders or files; TREE DIFF: a tree and a diff of it (- is standard input); A..B: two revisions; A: a "
        'revision against the working tree; "NAME==A..B": two releases of a distribution; NEW with --pid or --service: what runs '
        "there, and a folder or file"
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
    parser.add_argument("--staged", action="store_true", help="a revision against what is to be committed, not the working tree")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--python", type=Path, metavar="PATH", help="the interpreter that the target runs")
    which.add_argument("--pid", type=int, metavar="PID", help="a running target, whose interpreter is meant")
    which.add_argument("--service", metavar="NAME", help="running targets, by their service")
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
    asked = Asked(tuple(args.source), args.repo, tuple(args.path), None, args.allow_sdist, args.staged)
    if args.staged and (not asked.is_repository or ".." in asked.words[0]):
        args.fail("--staged is for one revision")
    if args.service is not None and not _is_running(args):
        args.fail("--service is for one folder or file, against what runs there")
    if _is_running(args) and (args.repo or args.path):
        args.fail("--repo and --path are for a range of revisions, and for two folders")
    if not asked.is_repository and args.repo:
        args.fail("--repo is for a range of revisions")
    if not asked.is_repository and len(asked.words) == 1 and args.path:
        args.fail("--path is for trees and revisions")
    return dataclasses.replace(asked, target=_target(args))


def _is_running(args: argparse.Namespace) -> bool:
    """
    True if the old side is what runs: a folder or file alone, with a process.

    Raises:
        Refused: bad-source: a revision has that name too.
    """
    if len(args.source) != 1 or (args.pid is None and args.service is None) or not os.path.exists(args.source[0]):
        return False
    name = args.source[0]
    if not {"/", os.sep}.intersection(name) and not name.startswith(".") and _is_revision(name, args.repo):
        raise Refused(
            "bad-source", "it is a revision and a file", target=name, hint=f"the file is ./{name}; the revision, {name}.."
        )
    return True


def _is_revision(name: str, folder: Path | None) -> bool:
    try:
        Repository(folder).commit(name)
    except Refused:
        return False
    return True


def _target(args: argparse.Namespace) -> Interpreter | None:
    if args.pid is not None:
        return interpreter_of(args.pid)
    if args.service is not None:
        with _agents(args) as agents:
            return interpreter_of(agents[0].pid)
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
    with contextlib.ExitStack() as stack:
        progress = stack.enter_context(Progress(wanted=args.progress))
        if _is_running(args):
            sides = stack.enter_context(_running(args, progress.step))
        else:
            sides = stack.enter_context(opened(asked, progress.step))
        progress.step("comparing")
        said = {**meta, "source": sides.said} if sides.said else meta
        patch = build(sides.old, sides.new, name=name, meta=said, decisions=_decisions(args, sides), rooted=sides.rooted)
        patch = replace(patch, remarks=(*patch.remarks, *sides.findings))
        yield _hinted(patch, asked), sides


@contextmanager
def _agents(args: argparse.Namespace) -> Iterator[list[Agent]]:
    """Connections to all of the processes that are meant."""
    choice = Choice((args.pid,) if args.pid is not None else (), (args.service,) if args.service is not None else ())
    agents, troubles = find(choice, __version__)
    with hanging_up(agents):
        for trouble in troubles:
            raise Refused("not-running", trouble.why, target=str(choice), hint=trouble.hint)
        if not agents:
            hint = "see `suture ps`; a process that called suture.install, or was started by suture run, has one"
            raise Refused("not-running", "no such process has an agent", target=str(choice), hint=hint)
        yield agents


@contextmanager
def _running(args: argparse.Namespace, step: Callable[[str], None]) -> Iterator[Sides]:
    """
    Both sides: what runs, and a tree.

    Raises:
        Refused: As ``old_side``; not-running (no process can be asked).
    """
    step("asking what runs")
    with _agents(args) as agents, tempfile.TemporaryDirectory(prefix="suture-") as folder:
        yield old_side(agents, Path(args.source[0]), Path(folder).resolve())


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
