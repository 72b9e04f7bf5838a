"""
Two sides from a git repository: two revisions, or one and the working tree.

Blobs are read as they are (``cat-file``), not through ``archive``, which leaves out and rewrites what ``.gitattributes`` says.
The working tree is what git says differs from the revision, and files that it would add: what is ignored isn't looked at.
Nothing is written to the repository, its index included, and none of its hooks or monitors run.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import tempfile
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from suture.errors import Refused
from suture.ops.build.sources.command import Done, last_words, run
from suture.ops.build.sources.layout import is_safe

__all__ = ["Commit", "Pair", "Repository", "WorkingTree"]

_TIMEOUT_S = 120.0
_LINKS = 40  # hops of symbolic links, as the kernel's
_Entry = tuple[str, Hashable]  # "blob", "link" or "commit"; the object's id, or the file in the working tree


class Repository:
    """
    A git repository.

    Args:
        folder: A folder in it; None: the current one, and what git's own variables say.

    Raises:
        Refused: no-command (git isn't installed), no-repository.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._here = folder or Path()
        own = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX") if folder else ()  # a hook's; the folder says more
        self._env = {k: v for k, v in os.environ.items() if k not in own}
        self._env |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        if not self._here.is_dir():
            raise Refused("no-repository", "there is no such folder", target=str(self._here), hint="check --repo")
        done = self.git("rev-parse", "--is-inside-work-tree", "--show-prefix")
        if done.returncode:
            hint = "run it inside of the repository, or say --repo DIR; two folders are given as OLD NEW"
            raise Refused("no-repository", last_words(done), target=str(self._here), hint=hint)
        inside, _, prefix = os.fsdecode(done.stdout).partition("\n")
        self.prefix = prefix.rstrip("\n")
        self.top = None
        if inside == "true":
            top = self.git("rev-parse", "--show-toplevel")
            self.top = Path(os.fsdecode(top.stdout).removesuffix("\n"))

    def git(self, *words: str, at: Path | None = None) -> Done:
        """Run a git command that only reads."""
        argv = ["git", "-c", "core.fsmonitor=false", "-c", "diff.autoRefreshIndex=false", "-C", str(at or self._here), *words]
        return run(argv, timeout_s=_TIMEOUT_S, env=self._env)

    def read(self, *words: str, at: Path | None = None) -> bytes:
        """
        What a git command prints.

        Raises:
            Refused: git-failed.
        """
        done = self.git(*words, at=at)
        if done.returncode:
            raise Refused("git-failed", f"git {words[0]}: {last_words(done)}", target=str(self._here), hint="mend it, build again")
        return done.stdout

    def commit(self, revision: str) -> str:
        """
        The id of the commit that a revision means.

        Raises:
            Refused: no-revision.
        """
        # ``--end-of-options``: a revision that begins with ``-`` is a revision.
        done = self.git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        if done.returncode or "\0" in revision:
            hint = "check its name; a clone of part of the history lacks revisions: git fetch --unshallow --tags"
            raise Refused("no-revision", "the repository has no such revision", target=revision, hint=hint)
        return done.stdout.decode().strip()

    def merge_base(self, one: str, other: str) -> str:
        """
        The commit that two branches come from.

        Raises:
            Refused: no-merge-base.
        """
        done = self.git("merge-base", one, other)
        if done.returncode:
            hint = "a clone of part of the history lacks it: git fetch --unshallow; or give the commit itself: A..B"
            raise Refused("no-merge-base", "no commit is seen that both come from", target=f"{one[:12]}...{other[:12]}", hint=hint)
        return done.stdout.decode().split("\n")[0]

    def pair(self, text: str, *, staged: bool = False) -> Pair:
        """
        Both sides of ``A..B``, ``A...B`` (from the commit that both come from), or ``A`` (against the working tree).

        A side that is left out is HEAD.

        Args:
            text: The range, or a revision.
            staged: The new side of a revision alone is what is to be committed.

        Raises:
            Refused: no-revision, no-merge-base, no-repository (a bare one has no working tree), git-failed (a merge is open).
        """
        dots = "..." if "..." in text else ".."
        left, found, right = text.partition(dots)
        if not found:
            return self._against_index(text) if staged else self._against_files(text)
        old, new = self.commit(left or "HEAD"), self.commit(right or "HEAD")
        if dots == "...":
            old = self.merge_base(old, new)
        before, after = Commit(self, old), Commit(self, new)
        return Pair(before, after, f"git {old[:12]}..{new[:12]}", _moved_modules(before.raw, after.raw))

    def _against_index(self, revision: str) -> Pair:
        before = self._left(revision)
        after = Commit(self, "", self.read("ls-files", "--stage", "-z", "--full-name", ":/"))
        return Pair(before, after, f"git {before.id[:12] or 'nothing'}..what is staged", _moved_modules(before.raw, after.raw))

    def _left(self, revision: str) -> Commit:
        """A commit; nothing, for HEAD where there is no commit yet."""
        try:
            return Commit(self, self.commit(revision))
        except Refused:
            unborn = revision == "HEAD" and not self.git("symbolic-ref", "--quiet", "HEAD").returncode
            if not unborn or not self.git("rev-list", "--max-count=1", "--all").stdout == b"":
                raise
            return Commit(self, "", b"")

    def _against_files(self, revision: str) -> Pair:
        if self.top is None:
            hint = "give two revisions: A..B"
            raise Refused("no-repository", "the repository has no working tree", target=str(self._here), hint=hint)
        before = self._left(revision)
        after = WorkingTree(self, before, self.top)
        return Pair(before, after, f"git {before.id[:12] or 'nothing'}..working tree", _moved_modules(before.raw, after.raw))

    def blobs(self, places: Mapping[str, Sequence[Path]]) -> None:
        """
        Write blobs, by id; each to all of its places.

        Raises:
            Refused: git-failed.
        """
        if not places:
            return
        with tempfile.TemporaryFile() as wanted, tempfile.TemporaryFile() as got:
            wanted.write("".join(f"{oid}\n" for oid in places).encode())
            wanted.seek(0)
            argv = ["git", "-C", str(self._here), "cat-file", "--batch"]
            done = run(argv, timeout_s=_TIMEOUT_S, env=self._env, stdin=wanted, stdout=got)
            got.seek(0)
            for targets in places.values():
                head = got.readline().split()
                if len(head) != 3:
                    words = f"git cat-file: {b' '.join(head).decode('utf-8', 'replace') or last_words(done)}"
                    raise Refused("git-failed", words, target=str(self._here), hint="git fsck says what is wrong")
                data = got.read(int(head[2]))
                got.read(1)
                for place in targets:
                    place.write_bytes(data)

    def texts(self, oids: Iterable[str]) -> dict[str, str]:
        """Contents of small blobs by id: where symbolic links lead."""
        with tempfile.TemporaryDirectory(prefix="suture-") as folder:
            places = {oid: [Path(folder, str(n))] for n, oid in enumerate(dict.fromkeys(oids))}
            self.blobs(places)
            return {oid: os.fsdecode(where[0].read_bytes()) for oid, where in places.items()}


@dataclass(frozen=True)
class Pair:
    """
    Both sides.

    Attributes:
        old: What the process runs.
        new: What it should run.
        said: Where they come from, for the patch.
        modules: Paths of submodules that point elsewhere; their files aren't looked at.
    """

    old: Commit
    new: Commit | WorkingTree
    said: str
    modules: tuple[str, ...] = ()


class Commit:
    """
    The files of one commit, or of what is staged.

    Args:
        repository: It.
        oid: The commit; "" for none.
        listed: What ``ls-files --stage`` says, instead of the commit's own list.
    """

    def __init__(self, repository: Repository, oid: str, listed: bytes | None = None) -> None:
        self.id = oid
        self._repository = repository
        self.raw: dict[str, _Entry] = {}
        links: dict[str, str] = {}
        rows = repository.read("ls-tree", "-r", "-z", "--full-tree", oid) if listed is None else listed
        for row in os.fsdecode(rows).split("\0"):
            facts, _, path = row.partition("\t")
            if path:
                mode, kind, blob = facts.split()
                if listed is not None:
                    if blob != "0":
                        raise Refused("git-failed", "a merge is open", target=path, hint="end it, build again")
                    kind, blob = "commit" if mode == "160000" else "blob", kind
                self.raw[path] = ("link", blob) if mode == "120000" else (kind, blob)
                if mode == "120000":
                    links[path] = blob
        texts = repository.texts(links.values()) if links else {}
        self.links = {path: texts[blob] for path, blob in links.items()}
        self.entries: Mapping[str, Hashable] = _followed(self.raw, self.links)

    def write(self, places: Mapping[str, Path]) -> None:
        """Write some of the files."""
        _write(self._repository, self.entries, places)


@dataclass
class WorkingTree:
    """The files of the working tree, as far as they aren't those of a commit."""

    repository: Repository
    base: Commit
    top: Path
    raw: dict[str, _Entry] = field(default_factory=dict)
    entries: Mapping[str, Hashable] = field(default_factory=dict)

    def __post_init__(self) -> None:
        words = ("--no-renames", "--no-ext-diff", "--no-relative", "--ignore-submodules=dirty", self.base.id, "--")
        changed = self.repository.read("diff", "--name-only", "-z", *words, at=self.top) if self.base.id else b""
        which = ("--others",) if self.base.id else ("--others", "--cached")
        others = self.repository.read("ls-files", "-z", *which, "--exclude-standard", at=self.top)
        self.raw = dict(self.base.raw)
        links = dict(self.base.links)
        for path in filter(None, os.fsdecode(changed + others).split("\0")):
            there = self.top / path
            links.pop(path, None)
            if there.is_symlink():
                self.raw[path] = ("link", path)
                links[path] = os.readlink(there)
            elif there.is_file():
                self.raw[path] = ("blob", there)
            elif there.is_dir() and self.raw.get(path, ("",))[0] == "commit":
                self.raw[path] = ("commit", there)
            else:
                self.raw.pop(path, None)
        self.entries = _followed(self.raw, links)

    def write(self, places: Mapping[str, Path]) -> None:
        """Write some of the files."""
        _write(self.repository, self.entries, places)


def _followed(raw: Mapping[str, _Entry], links: Mapping[str, str]) -> dict[str, Hashable]:
    """
    Contents by path, links included that lead to a file of the same tree.

    No link is ever made on disk: one that leads outside, or to a folder, is left out, as the builder follows none of those.
    """
    out: dict[str, Hashable] = {}
    for path in raw:
        at = path
        for _ in range(_LINKS):
            if at not in links:
                break
            at = posixpath.normpath(posixpath.join(posixpath.dirname(at), links[at]))
        kind, value = raw.get(at, ("", None))
        if kind == "blob" and is_safe(path):
            out[path] = value
    return out


def _moved_modules(old: Mapping[str, _Entry], new: Mapping[str, _Entry]) -> tuple[str, ...]:
    both = sorted(p for p in old.keys() | new.keys() if "commit" in (old.get(p, ("",))[0], new.get(p, ("",))[0]))
    return tuple(p for p in both if old.get(p) != new.get(p))


def _write(repository: Repository, entries: Mapping[str, Hashable], places: Mapping[str, Path]) -> None:
    blobs: dict[str, list[Path]] = {}
    for path, place in places.items():
        value = entries[path]
        if isinstance(value, Path) and path.endswith(".py"):
            shutil.copyfile(value, place)
        elif isinstance(value, Path):  # maybe large, and only its name counts
            place.symlink_to(value)
        else:
            blobs.setdefault(str(value), []).append(place)
    repository.blobs(blobs)
