"""
The new side from a tree and a diff: unified, as git, diff or a mail has it.

The tree is copied (files that the diff doesn't name are links to it) and ``git apply`` changes the copy: every hunk at its place,
or none.  Files of the diff that the tree lacks and no process runs (tests, documents) are left out and listed, as a deployed
tree rarely has them.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path

from suture.errors import Refused
from suture.ops.build.sources.command import last_words, run
from suture.ops.build.sources.layout import is_safe
from suture.ops.build.tree import Tree, is_test
from suture.patch import Finding, Severity

__all__ = ["apply_diff", "read_diff"]

_TIMEOUT_S = 60.0
_MOST_BYTES = 32 * 1024 * 1024
_NAMED = re.compile(rb"^(?:(---|\+\+\+) |(rename|copy) (from|to) )(.*)$", re.MULTILINE)
_GIT = re.compile(rb'^diff --git ("?)a/(.+?)\1 "?b/.*$', re.MULTILINE)
_ESCAPED = re.compile(rb'\\([abfnrtv"\\]|[0-7]{1,3})')
_LETTERS = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v", b'"': b'"', b"\\": b"\\"}
_FAILED = re.compile(r"patch failed: (.+):(\d+)")
_MISSING = re.compile(r"error: (.+?): (No such file or directory|already exists|does not exist|patch does not apply|wrong type)")
_CORRUPT = re.compile(r"(?:corrupt patch|patch fragment without header|malformed.*?) at (?:line|[^\n]*:)\s*(\d+)")


def read_diff(name: str) -> bytes:
    """
    Read a diff; ``-`` is standard input.

    Raises:
        Refused: diff-empty (there is no diff in it), diff-does-not-apply (it is over 32 MiB).
    """
    if name == "-":
        data = sys.stdin.buffer.read(_MOST_BYTES + 1)
    else:
        with open(name, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise Refused("diff-does-not-apply", "it is over 32 MiB", target=name, hint="split it, or build from two folders")
    if not _NAMED.search(data) and not _GIT.search(data):
        hint = "give a unified or git diff, or a patch from a mail"
        raise Refused("diff-empty", "there is no diff in it", target=name, hint=hint)
    return data


def apply_diff(tree: Path, data: bytes, folder: Path, *, name: str) -> tuple[Path, list[Finding]]:
    """
    Make the new side of a build.

    The diff's paths may have folders above the tree (``src/``): the copy is placed below the same folders.

    Args:
        tree: The old side; it isn't changed.
        data: The diff.
        folder: An empty folder for the copy; it is somebody else's to remove.
        name: What a person calls the diff.

    Returns:
        The copy, and what of the diff was left out.

    Raises:
        Refused: diff-does-not-apply (its target says file and line), diff-empty, no-command.
    """
    files = Tree(tree).files
    pairs = list(_names(data))
    strip, above = max(_ways(pairs), key=lambda way: (_fitting(pairs, files, *way), -len(way[1]), way[0]))
    pairs = [(_stripped(old, strip), _stripped(new, strip)) for old, new in pairs]
    copy = folder / above
    copy.mkdir(parents=True, exist_ok=True)
    named = {path.removeprefix(above) for pair in pairs for path in pair if path.startswith(above)}
    _copy(tree, copy, files, named)
    absent = [old or new for old, new in pairs if not (folder / (old or new)).exists() and _is_left_out(old, new, above)]
    absent = list(dict.fromkeys(absent))
    argv = ["git", "apply", f"-p{strip}", "--whitespace=nowarn", *(f"--exclude={_literal(p)}" for p in absent), "-"]
    # No repository around the copy, should the temporary folder be in one: git would skip what isn't in its current folder.
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    env |= {"GIT_CEILING_DIRECTORIES": str(folder.resolve().parent), "LC_ALL": "C"}
    done = run(argv, timeout_s=_TIMEOUT_S, cwd=folder, env=env, data=data)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace")
        if "No valid patches" in said or "unrecognized input" in said:
            raise Refused("diff-empty", "there is no diff in it", target=name, hint="give a unified or git diff")
        undone = run([*argv[:3], "--check", "--reverse", *argv[3:]], timeout_s=_TIMEOUT_S, cwd=folder, env=env, data=data)
        raise _refused(said or last_words(done), name, there=undone.returncode == 0)
    return copy, [*_said(absent), *_without_links(folder, {path for pair in pairs for path in pair})]


def _without_links(folder: Path, named: Iterable[str]) -> Iterator[Finding]:
    """Remove links that the diff made: one that leads outside would show a file of this machine to whoever reads the findings."""
    for path in sorted(p for p in named if is_safe(p) and (folder / p).is_symlink()):
        (folder / path).unlink()
        words = "a symbolic link of the diff isn't followed"
        yield Finding("not-carried", Severity.WARNING, path, words, "put it in place yourself, if the fix needs it")


def _ways(pairs: Sequence[tuple[str, str]]) -> set[tuple[int, str]]:
    """Ways to read the diff's paths: with or without a/ and b/, and which folders are above the tree ("" or "src/")."""
    ways = {(1, ""), (0, "")}
    for path in {old or new for old, new in pairs}:
        for strip in (1, 0):
            parts = _stripped(path, strip).split("/")[:-1]
            ways |= {(strip, "/".join(parts[:n]) + "/") for n in range(1, len(parts) + 1)}
    return {way for way in ways if not way[1] or is_safe(way[1].rstrip("/"))}


def _fitting(pairs: Sequence[tuple[str, str]], files: Container[str], strip: int, above: str) -> int:
    """How many of the diff's files the tree has, if they are read that way."""
    paths = {_stripped(old, strip) for old, _ in pairs if old}
    return sum(p.startswith(above) and p.removeprefix(above) in files for p in paths)


def _is_left_out(old: str, new: str, above: str) -> bool:
    """True for a file that a tree without it need not have: outside of it, a test, or not Python (the builder says new ones)."""
    path = old or new
    return not path.startswith(above) or is_test(path) or (bool(old) and not path.endswith(".py"))


def _said(absent: Sequence[str]) -> Iterator[Finding]:
    tests = [p for p in absent if is_test(p)]
    others = [p for p in absent if p not in tests]
    if tests:
        yield Finding("left-out-tests", Severity.NOTE, tests[0], f"test files of the diff, not in the tree: {', '.join(tests[:6])}")
    if others:
        words = f"files of the diff that the tree doesn't have: {', '.join(others[:6])}"
        yield Finding("not-carried", Severity.WARNING, others[0], words, "put them in place yourself, if the fix needs them")


def _refused(said: str, name: str, *, there: bool) -> Refused:
    """The first thing that git says, with its place."""
    hint = "the diff is made for another version of the tree: give the tree that the process runs, or make the diff anew"
    if there:
        hint = "the tree holds this diff already: give the tree that the process runs"
    evidence = {"said": said.strip()[:2000]}
    if found := _FAILED.search(said):
        place = f"{found[1]}:{found[2]}"
        return Refused("diff-does-not-apply", f"a hunk of {name} finds no place", target=place, hint=hint, evidence=evidence)
    if found := _CORRUPT.search(said):
        words = "the diff is damaged: a hunk isn't as long as it says (a mail program may have changed it)"
        hint = "get it again, as a file"
        return Refused("diff-does-not-apply", words, target=f"{name}:{found[1]}", hint=hint, evidence=evidence)
    if found := _MISSING.search(said):
        return Refused("diff-does-not-apply", f"{name}: {found[2]}", target=found[1], hint=hint, evidence=evidence)
    return Refused("diff-does-not-apply", said.strip().split("\n")[0], target=name, hint=hint, evidence=evidence)


def _names(data: bytes) -> Iterator[tuple[str, str]]:
    """
    Old and new path of each file, as the diff has them (with a/ and b/); "" for a side that isn't there.

    A line of a hunk may look like a name: a file that doesn't exist is no harm to anybody.
    """
    before = ""
    for found in _NAMED.finditer(data):
        path = _unquoted(found[4].split(b"\t")[0].rstrip(b"\r"))
        path = "" if path == "/dev/null" else path
        if found[1] == b"---" or found[3] == b"from":
            before = path if found[1] else f"a/{path}"
        else:
            yield before, path if found[1] else f"b/{path}"
    for found in _GIT.finditer(data):  # binary files and changed modes have no other line
        path = _unquoted(b'"a/' + found[2] + b'"' if found[1] else b"a/" + found[2])
        yield path, path


def _unquoted(name: bytes) -> str:
    if name[:1] == b'"' == name[-1:] and len(name) > 1:
        name = _ESCAPED.sub(lambda m: _LETTERS.get(m[1]) or bytes([int(m[1], 8) & 255]), name[1:-1])
    return os.fsdecode(name)


def _stripped(path: str, strip: int) -> str:
    return "/".join(path.split("/")[strip:])


def _literal(path: str) -> str:
    """A pattern of git's that matches this path."""
    return re.sub(r"([*?\[\\])", r"\\\1", path)


def _copy(tree: Path, folder: Path, files: Iterable[str], named: set[str]) -> None:
    """Links to all files; copies of those that the diff names, whatever they are."""
    here = tree.resolve()
    for path in {*files, *(p for p in named if is_safe(p))}:
        source = here / path
        if not source.is_file():
            continue
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if path in named:
            shutil.copy(source, place)
        else:
            place.symlink_to(source)
