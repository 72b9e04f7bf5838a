"""
What a person asked for, as two folders.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from suture.errors import Refused
from suture.ops.build.sources.applied import apply_diff, read_diff
from suture.ops.build.sources.interpreter import Interpreter, this_interpreter
from suture.ops.build.sources.layout import lay_out
from suture.ops.build.sources.release import Fetcher, Release
from suture.ops.build.sources.repository import Repository
from suture.patch import Finding, Severity

__all__ = ["Asked", "Sides", "opened"]

Step = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """
    The sources of a patch, as they were written.

    Attributes:
        words: One or two: OLD NEW, TREE DIFF, a range of revisions, a revision, ``NAME==A..B``.
        repository: A folder in a git repository; None: the current one.
        paths: What of the repository is looked at: import roots, packages, files; empty: all.
        target: Interpreter that the target runs; None: this one.
        allow_sdist: Build a release that has no wheel.
    """

    words: tuple[str, ...]
    repository: Path | None = None
    paths: tuple[str, ...] = ()
    target: Interpreter | None = None
    allow_sdist: bool = False

    @property
    def is_repository(self) -> bool:
        """True if it is a range or a revision of a git repository."""
        return len(self.words) == 1 and "==" not in self.words[0]


@dataclass(frozen=True)
class Sides:
    """
    Two folders, or two files.

    Attributes:
        old: What the process runs.
        new: What it should run.
        said: Where they come from, if the folders don't say it themselves.
        findings: What isn't looked at.
        origins: Path in the repository by path in the folders; empty where they come from elsewhere.
    """

    old: Path
    new: Path
    said: str = ""
    findings: tuple[Finding, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def opened(asked: Asked, step: Step = lambda words: None) -> Iterator[Sides]:
    """
    Make the two folders; those that are made are removed at the end.

    Args:
        asked: What for.
        step: Called with what is done now.

    Raises:
        Refused: bad-source, no-tree, and what each kind of source says: no-repository, no-revision, no-merge-base, no-path,
            paths-clash, git-failed, diff-empty, diff-does-not-apply, no-release, no-wheel, index-unreachable, not-installed,
            pip-failed, wheel-unreadable, no-command, timed-out.
    """
    with contextlib.ExitStack() as stack:

        def folder() -> Path:
            return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="suture-"))).resolve()

        if len(asked.words) == 2:
            yield _two(asked, folder, step)
        elif len(asked.words) != 1 or not asked.words[0]:
            raise Refused("bad-source", "no source is given", hint="OLD NEW, TREE DIFF, A..B, or NAME==A..B")
        elif asked.is_repository:
            yield _revisions(asked, folder, step)
        else:
            release = Release.of(asked.words[0])
            target = asked.target or this_interpreter()
            fetcher = Fetcher(target, allow_sdist=asked.allow_sdist, step=step, scratch=folder)
            old, new, said = fetcher.pair(release)
            step("unpacking")
            laid = lay_out(old, new, folder())
            yield Sides(laid.old, laid.new, said)


def _two(asked: Asked, folder: Callable[[], Path], step: Step) -> Sides:
    old, name = Path(asked.words[0]), asked.words[1]
    new = Path(name)
    for side in (old, new):
        if not side.exists() and name != "-":
            hint = "check the path; two revisions are written A..B"
            raise Refused("no-tree", "there is no such file or folder", target=str(side), hint=hint)
    if not old.is_dir() or new.is_dir() or name.endswith(".py"):
        return Sides(old, new)
    step(f"applying {name} to a copy of {old}")
    made, findings = apply_diff(old, read_diff(name), folder(), name=name)
    return Sides(old, made, f"diff {os.path.basename(name)}" if name != "-" else "diff", tuple(findings))


def _revisions(asked: Asked, folder: Callable[[], Path], step: Step) -> Sides:
    step("reading the repository")
    repository, text = Repository(asked.repository), asked.words[0]
    try:
        pair = repository.pair(text)
    except Refused as error:
        if error.code == "no-revision" and os.path.exists(text):
            hint = "give both, OLD NEW, or a range of revisions, A..B"
            raise Refused("bad-source", "it is one file or folder alone", target=text, hint=hint) from error
        raise
    roots = [_below(repository, p) for p in asked.paths]
    step("writing both sides")
    laid = lay_out(pair.old, pair.new, folder(), roots)
    words = "a submodule points to another commit; its files aren't looked at"
    hint = "build a patch in the submodule"
    found = tuple(Finding("not-carried", Severity.WARNING, p, words, hint) for p in pair.modules)
    return Sides(laid.old, laid.new, pair.said, found, laid.origins)


def _below(repository: Repository, path: str) -> str:
    """A path of the command line as one of the repository; "" is all of it."""
    if os.path.isabs(path) and repository.top is not None:
        path = os.path.relpath(os.path.realpath(path), repository.top)
    else:
        path = posixpath.join(repository.prefix, path)
    path = posixpath.normpath(path.replace(os.sep, "/"))
    if path.startswith("../") or path == "..":
        raise Refused("no-path", "it is outside of the repository", target=path, hint="give a folder or file of the repository")
    return "" if path == "." else path
