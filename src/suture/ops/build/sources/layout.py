"""
From two snapshots to two folders that the builder can read.

A snapshot knows its paths and which contents are the same; only what the builder looks at is written: Python files, other files
that differ, and what lies beside a stub that does.  A file that is the same on both sides is written once and linked.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from suture.errors import Refused

__all__ = ["Laid", "Snapshot", "is_safe", "lay_out"]


class Snapshot(Protocol):
    """
    A set of files at one moment.

    Attributes:
        entries: By path (relative, with ``/``): equal values mean equal contents, on both sides of a build.
    """

    @property
    def entries(self) -> Mapping[str, Hashable]:
        """All files."""

    def write(self, places: Mapping[str, Path]) -> None:
        """Write some of the files, by path; the folders are there."""


def is_safe(path: str) -> bool:
    """True if a path that somebody else wrote stays inside its folder, and isn't git's own."""
    parts = path.split("/")
    return bool(path) and "\\" not in path and not any(p in ("", ".", "..") or p.lower() == ".git" for p in parts)


@dataclass(frozen=True)
class Laid:
    """
    Both sides on disk.

    Attributes:
        old: Folder.
        new: Folder.
        origins: Where each file is in its snapshot, by its path in the folders.
    """

    old: Path
    new: Path
    origins: Mapping[str, str]


def lay_out(old: Snapshot, new: Snapshot, folder: Path, roots: Sequence[str] = ()) -> Laid:
    """
    Write both sides below an empty folder.

    Args:
        old: What the process runs.
        new: What it should run.
        folder: Where; it is somebody else's to remove.
        roots: Folders or files to look at, relative to the snapshots; empty: all.  What is inside a package is placed below the
            folder that the outermost package is in, so that modules have their names.

    Raises:
        Refused: no-path (a root is on neither side), paths-clash (two files of different roots have one path).
    """
    places = _places(old.entries.keys() | new.entries.keys(), roots)
    differ = {p for p in places if old.entries.get(p) != new.entries.get(p)}
    described = {p.removesuffix(".pyi") for p in differ if p.endswith(".pyi")}  # what lies beside a stub tells what it is about
    wanted = [p for p in places if p.endswith(".py") or p in differ or (described and _stem(p) in described)]
    before, after = folder / "old", folder / "new"
    for side in (before, after):
        for parent in {(side / places[p]).parent for p in wanted} | {side}:
            parent.mkdir(parents=True, exist_ok=True)
    old.write({p: before / places[p] for p in wanted if p in old.entries})
    new.write({p: after / places[p] for p in wanted if p in new.entries and old.entries.get(p) != new.entries[p]})
    for path in wanted:
        if path in new.entries and old.entries.get(path) == new.entries[path]:
            _link(before / places[path], after / places[path])
    return Laid(before, after, {place: path for path, place in places.items()})


def _stem(path: str) -> str:
    """A path up to the first dot of its name."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{name.partition('.')[0]}"


def _link(there: Path, here: Path) -> None:
    try:
        os.link(there, here)
    except OSError:  # a file system without links
        shutil.copyfile(there, here)


def _places(paths: Iterable[str], roots: Sequence[str]) -> dict[str, str]:
    """Where each file goes, by its path in the snapshots."""
    known = {p for p in paths if is_safe(p)}
    if not roots or "" in roots:
        return {p: p for p in sorted(known)}
    places: dict[str, str] = {}
    taken: dict[str, str] = {}
    for root in roots:
        below = [p for p in sorted(known) if p == root or p.startswith(f"{root}/")]
        if not below:
            hint = "check the path: it is relative to --repo, or to the current folder"
            raise Refused("no-path", "neither side has such a file or folder", target=root, hint=hint)
        above = _import_root(root.rpartition("/")[0] if root in known else root, known)
        for path in below:
            place = path.removeprefix(f"{above}/") if above else path
            if taken.setdefault(place, path) != path:
                words = f"{taken[place]} and {path} would have the same path in the patch"
                raise Refused("paths-clash", words, target=place, hint="build one patch for each root")
            places[path] = place
    return places


def _import_root(folder: str, known: set[str]) -> str:
    """The folder that the outermost package around *folder* is in."""
    while folder and f"{folder}/__init__.py" in known:
        folder = folder.rpartition("/")[0]
    return folder
