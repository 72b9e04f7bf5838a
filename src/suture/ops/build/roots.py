"""
Import roots: which folders of a tree are on ``sys.path`` in the process, as far as the tree tells.

A package says itself where it begins; plain folders above it don't say whether they are a namespace or only lie around it.  So the
tree's own imports are the witnesses, then a ``src`` or ``lib`` folder.  Where neither decides, or two witnesses contradict each
other, the name that is taken is in doubt, and the builder says so.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

__all__ = ["Root", "Roots"]

_NAMED = ("src", "lib")
_IMPORT = re.compile(rb"(?m)^[ \t]*((?:from|import)[ \t]+[^\n(#;]*(?:\([^)]*\))?)")
_BLANKS = re.compile(rb"[\s()\\]+")


@dataclass(frozen=True)
class Root:
    """
    What plain folders are to the modules in them.

    Attributes:
        folder: The import root, relative to the tree; "" is the tree itself.
        prefix: Folders below it that are a part of the names.
        others: Names in place of the prefix (and the package) that it might be as well; the first is the one that was taken.
        contradicted: The tree imports by more than one of them.
    """

    folder: str
    prefix: tuple[str, ...]
    others: tuple[str, ...] = ()
    contradicted: bool = False


class Roots:
    """
    The import roots of one tree.

    Args:
        texts: Gives the contents of its Python files; asked for once, and only if plain folders are in question.
        given: The tree's top is an import root by a person's word: what lies between it and a package is a namespace.
    """

    def __init__(self, texts: Callable[[], Iterable[bytes]], *, given: bool = False) -> None:
        self._texts = texts
        self._given = given
        self._known: dict[tuple[str, ...], Root] = {}

    @cached_property
    def _imports(self) -> bytes:
        """Import statements of the tree, a line each, every one once."""
        found = {line for text in self._texts() for line in _IMPORT.findall(text)}
        return b"\n".join(sorted(_BLANKS.sub(b" ", line).strip() for line in found))

    def of(self, folders: Sequence[str], outside: int, package: str, stems: Callable[[], Collection[str]]) -> Root:
        """
        Find out about plain folders.

        Args:
            folders: From the tree's top down.
            outside: How many of them are outside of any package: one inside is no import root.
            package: The package right below them; "": modules.
            stems: Gives the names of modules that are in the last of them and nowhere else in the tree.
        """
        key = (*folders, package)
        if key not in self._known:
            self._known[key] = self._found(tuple(folders), outside, package, stems) if folders else Root("", ())
        return self._known[key]

    def _found(self, folders: tuple[str, ...], last: int, package: str, stems: Callable[[], Collection[str]]) -> Root:
        below = max((n + 1 for n, name in enumerate(folders[:last]) if name in _NAMED), default=0)
        ways = range(last + 1)
        used = [n for n in ways if self._is_imported(folders[n:], [package] if package else _own(stems()))]
        if last in used:
            taken = last
        elif used:
            taken = used[0]
        else:
            taken = below if self._given or below or not package else last
        sure = len(used) == 1 or self._given or (not used and below == last)
        others: list[int] = [] if sure else used or [taken, *(n for n in ways if n >= below and n != taken)]
        names = [".".join([*folders[n:], *([package] if package else [])]) for n in sorted(others, key=lambda n: n != taken)]
        return Root("/".join(folders[:taken]), folders[taken:], tuple(names), len(used) > 1)

    def _is_imported(self, above: Sequence[str], names: Collection[str]) -> bool:
        """Whether the tree imports one of some names in those folders."""
        folder, any_name = r"\.".join(map(re.escape, above)), "|".join(map(re.escape, sorted(names)))
        if not any_name:
            return False
        whole = rf"(?:{folder}\.)(?:{any_name})" if above else rf"(?:{any_name})"
        split = rf"|from {folder} import .*\b(?:{any_name})\b" if above else ""
        return re.search(rf"(?m)^(?:(?:from|import) {whole}(?!\w){split})".encode(), self._imports) is not None


def _own(stems: Collection[str]) -> list[str]:
    """Names that an import can't mean somebody else's module by."""
    return [s for s in stems if s not in sys.stdlib_module_names and s != "__init__"]
