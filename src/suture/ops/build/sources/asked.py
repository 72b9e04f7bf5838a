"""
What a person asked for, as two folders.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from suture.errors import Refused
from suture.ops.build.sources.applied import apply_diff, read_diff
from suture.ops.build.sources.interpreter import Interpreter, this_interpreter
from suture.ops.build.sources.layout import lay_out
from suture.ops.build.sources.release import Fetcher, Files, Release
from suture.ops.build.sources.repository import Repository
from suture.ops.build.tree import Tree
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
        paths: What is looked at: import roots, packages, files, of the repository or of both trees; empty: all.
        target: Interpreter that the target runs; None: this one.
        allow_sdist: Build a release that has no wheel.
        staged: Against a revision alone stands what is to be committed, not the working tree.
    """

    words: tuple[str, ...]
    repository: Path | None = None
    paths: tuple[str, ...] = ()
    target: Interpreter | None = None
    allow_sdist: bool = False
    staged: bool = False

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
        origins: Path in the repository or tree by path in the folders; empty where they are the same.
        rooted: The folders are import roots by a person's word.
    """

    old: Path
    new: Path
    said: str = ""
    findings: tuple[Finding, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)
    rooted: bool = False


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
            sides = _two(asked, folder, step)
            yield _narrowed(sides, asked.paths, folder, step) if asked.paths else sides
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
            yield Sides(laid.old, laid.new, said, rooted=True)


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


def _narrowed(sides: Sides, paths: Sequence[str], folder: Callable[[], Path], step: Step) -> Sides:
    """Some import roots of two trees, as one."""
    if not sides.old.is_dir() or not sides.new.is_dir():
        hint = "leave --path out, or give two folders"
        raise Refused("bad-source", "--path is for folders", target=str(sides.old), hint=hint)
    step("copying the import roots")
    old, new = (Files(Tree(side).files) for side in (sides.old, sides.new))
    laid = lay_out(old, new, folder(), [_plain(p, sides) for p in paths])
    return replace(sides, old=laid.old, new=laid.new, origins=laid.origins, rooted=True)


def _plain(path: str, sides: Sides) -> str:
    """A path of the command line, relative to the trees; one into either of them is meant so too."""
    for side in (sides.old, sides.new):
        if os.path.isabs(path) and Path(path).resolve().is_relative_to(side.resolve()):
            path = os.path.relpath(Path(path).resolve(), side.resolve())
    path = posixpath.normpath(path.replace(os.sep, "/"))
    if path.startswith(("../", "/")) or path == "..":
        raise Refused("no-path", "it is outside of the trees", target=path, hint="give a folder or file, relative to both trees")
    return "" if path == "." else path


def _revisions(asked: Asked, folder: Callable[[], Path], step: Step) -> Sides:
    step("reading the repository")
    repository, text = Repository(asked.repository), asked.words[0]
    try:
        pair = repository.pair(text, staged=asked.staged)
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
    return Sides(laid.old, laid.new, pair.said, found, laid.origins, rooted=bool(roots) and "" not in roots)


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
