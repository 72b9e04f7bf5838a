"""
Files that differ and that no patch carries: what isn't Python, stubs, tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from suture.ops.build.tree import Tree
from suture.patch import Finding, Severity

__all__ = ["left_out"]

_DOCUMENTS = (".rst", ".md", ".txt", ".lock")
_COMPILED = (".so", ".pyd", ".pyx", ".c", ".cc", ".cpp", ".rs")  # behind `name.`, or `name.cpython-313-x86_64-linux-gnu`
_IN_PLACE = "put them in place yourself, if the fix needs them"


def left_out(old: Tree, new: Tree, changed: Sequence[str]) -> Iterator[Finding]:
    """
    Name them, what may count first.

    Args:
        old: What the process runs.
        new: What it should run.
        changed: Paths that differ.
    """
    python = old.python() | new.python()
    homes = {p.rpartition("/")[0] for p in python} - {""}
    others = [p for p in changed if not p.endswith((".py", ".pyi"))]
    others.sort(key=lambda p: (p.endswith(_DOCUMENTS), not any(p.startswith(f"{home}/") for home in homes)))
    if others:
        words = f"{_count(others, 'file')} that {'is' if len(others) == 1 else 'are'} not Python: {_some(others)}"
        yield Finding("not-carried", Severity.WARNING, others[0], words, _IN_PLACE)
    stubs = [p for p in changed if p.endswith(".pyi")]
    compiled = {p: found for p in stubs if (found := _extension(old, new, p))}
    if compiled:
        pairs = [f"{stub} ({file})" for stub, file in compiled.items()]
        words = f"{_count(pairs, 'stub file')} of compiled extensions, which a running process keeps as they are: {_some(pairs)}"
        hint = "restart, if the extension changed too; a stub alone changes nothing"
        yield Finding("extension-stub", Severity.WARNING, next(iter(compiled)), words, hint)
    plain = [p for p in stubs if p not in compiled]
    if plain:
        yield Finding("type-only", Severity.NOTE, plain[0], f"{_count(plain, 'stub file')} left out: {_some(plain)}")
    tests = [p for p in changed if p.endswith(".py") and p not in python]
    if tests:
        yield Finding("left-out-tests", Severity.NOTE, tests[0], f"{_count(tests, 'test file')} left out: {_some(tests)}")


def _extension(old: Tree, new: Tree, stub: str) -> str:
    """The compiled module, or its source, that a stub describes; "" if it has a Python file, or nothing lies beside it."""
    stem = stub.removesuffix("i").removesuffix(".py")
    for tree in (new, old):
        if f"{stem}.py" in tree.files:
            return ""
        found = next((p for p in tree.files if p.startswith(f"{stem}.") and p.endswith(_COMPILED)), "")
        if found:
            return found
    return ""


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _count(names: Sequence[str], word: str) -> str:
    return f"{len(names)} {word}{'s' * (len(names) != 1)}"
