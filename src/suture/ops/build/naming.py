"""
Whether each changed file has a name of its own in the process: said, where the tree leaves it open.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from suture.ops.build.tree import Tree
from suture.patch import Finding, Severity

__all__ = ["named"]

_HINT = "say which folder is on sys.path: --path DIR"
_MOST = 6


def named(old: Tree, new: Tree, changed: Collection[str]) -> tuple[list[Finding], set[str]]:
    """
    Look at the names of changed modules.

    Args:
        changed: Paths of Python files that are to be carried.

    Returns:
        What is in doubt; and the files that can't be carried, as another one that changes has the same name.
    """
    by_name: dict[str, list[str]] = {}
    for path in sorted(old.python() | new.python()):
        by_name.setdefault(_owner(old, new, path).module_of(path), []).append(path)
    findings: list[Finding] = []
    dropped: set[str] = set()
    for module, paths in by_name.items():
        mine = [p for p in paths if p in changed]
        if not mine or len(paths) == 1 or _moved(old, new, paths):
            continue
        several = len(mine) > 1
        words = f"{len(paths)} files of the tree are {module}: {', '.join(paths[:_MOST])}"
        if several:
            dropped.update(mine)
            hint = "build one patch for each of their import roots: --path DIR"
        else:
            words, hint = f"{words}; only {mine[0]} changes", "a process that has the other one refuses the patch"
        severity = Severity.ERROR if several else Severity.WARNING
        findings.append(Finding("module-ambiguous", severity, module, words, hint, {"place": mine[0]}))
    return [*findings, *_doubts(old, new, sorted(set(changed) - dropped))], dropped


def _owner(old: Tree, new: Tree, path: str) -> Tree:
    return old if path in old.files else new


def _moved(old: Tree, new: Tree, paths: Collection[str]) -> bool:
    """True if each side has one of them: a module that becomes a package, or the other way round."""
    return all(sum(p in side.files for p in paths) <= 1 for side in (old, new))


def _doubts(old: Tree, new: Tree, changed: Collection[str]) -> Iterator[Finding]:
    """One finding for each folder whose place among the import roots the tree doesn't tell."""
    seen: dict[tuple[str, ...], str] = {}
    for path in changed:
        root = _owner(old, new, path).root_of(path)
        if not root.others or root.others in seen:
            continue
        seen[root.others] = path
        module = _owner(old, new, path).module_of(path)
        below = module.removeprefix(root.others[0]).lstrip(".")
        others = [".".join(filter(None, (other, below))) for other in root.others[1:]]
        evidence = {"place": path}
        if root.contradicted:
            words = f"imported by several names: {module} was taken, and there is {', '.join(others)}"
            yield Finding("module-name", Severity.WARNING, module, words, _HINT, evidence)
        else:
            words = f"nothing in the tree imports it, so which folder is on sys.path isn't seen: it may be {', '.join(others)}"
            yield Finding("module-name", Severity.NOTE, module, words, _HINT, evidence)
