"""
What a comparison of a process with source found: as an object, as JSON, in words.

Rule: decides nothing; each fact in the words is one of the object.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from suture.record import record
from suture.report import WIDTH, Process

__all__ = ["Difference", "DriftReport", "ModuleDrift", "module_words"]

SAME, DIFFERS, NOT_LOADED, NOT_COMPARED = "same", "differs", "not loaded", "not compared"
_MOST = 12  # differences of a module on a screen


@record(frozen=True, slots=True)
class Difference:
    """
    One thing in which a process isn't what its source and its patches say.

    Attributes:
        target: ``module:Qual.name``; of a patch, its id.
        kind: "code", "default", "value", "bases", "missing", "extra"; "not live" or "not expected" of a patch.
        live: What the process has, shortened; "" if nothing.
        expected: What was expected, shortened; "" if nothing.
    """

    target: str
    kind: str
    live: str = ""
    expected: str = ""

    def to_json(self) -> dict[str, str]:
        """As plain data."""
        return {"target": self.target, "kind": self.kind, "live": self.live, "expected": self.expected}


@record(frozen=True, slots=True)
class ModuleDrift:
    """
    One file of the tree and what the process has of it.

    Attributes:
        module: Dotted name in the tree.
        path: The file in its tree, with ``/``.
        state: "same", "differs", "not loaded", "not compared" (then *why* says what stood in the way).
        differences: In the order of the source.
        compared: Functions, classes' bases and values that were compared.
        computed: What was not compared, as it is computed: values, defaults, names that hold what a decorator made.
        grown: Tables that have all that the source says, and more.
        why: What stood in the way.
    """

    module: str
    path: str
    state: str
    differences: tuple[Difference, ...] = ()
    compared: int = 0
    computed: int = 0
    grown: int = 0
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "module": self.module,
            "path": self.path,
            "state": self.state,
            "differences": [d.to_json() for d in self.differences],
            "compared": self.compared,
            "not_compared": self.computed,
            "grown": self.grown,
            "why": self.why,
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> ModuleDrift:
        """
        Inverse of to_json.

        Raises:
            KeyError, TypeError: It isn't such a row.
        """
        differences = tuple(Difference(*(str(d[k]) for k in ("target", "kind", "live", "expected"))) for d in row["differences"])
        module, path, state, why = (str(row[k]) for k in ("module", "path", "state", "why"))
        compared, computed, grown = (int(row[k]) for k in ("compared", "not_compared", "grown"))
        return cls(module, path, state, differences, compared, computed, grown, why)


@record(frozen=True, slots=True)
class DriftReport:
    """
    What one process differs in from a tree and the patches that are expected in it.

    Attributes:
        process: Which.
        modules: One a file that was asked about, by name.
        patches: Ids of the live patches, oldest first.
        differences: Of the patches themselves: live and not expected, expected and not live.
        longest_slice_ms: Longest stretch of our own work, wall clock.
    """

    process: Process
    modules: tuple[ModuleDrift, ...]
    patches: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    longest_slice_ms: float = 0.0

    @property
    def ok(self) -> bool:
        """True if something was compared, and all of it is the same."""
        return not self.differences and {m.state for m in self.modules} <= {SAME, NOT_LOADED} and bool(self.having(SAME))

    def having(self, state: str) -> list[ModuleDrift]:
        """Modules in that state."""
        return [m for m in self.modules if m.state == state]

    def all_differences(self) -> list[Difference]:
        """Of the patches, then of the modules."""
        return [*self.differences, *(d for m in self.modules for d in m.differences)]

    def to_json(self) -> dict[str, Any]:
        """As plain data; modules that aren't loaded by name alone."""
        here = self.process
        return {
            "format": 1,
            "ok": self.ok,
            "process": {"pid": here.pid, "started": here.started, "python": here.python, "suture": here.suture},
            "patches": list(self.patches),
            "differences": [d.to_json() for d in self.differences],
            "modules": [m.to_json() for m in self.modules if m.state != NOT_LOADED],
            "not_loaded": [m.module for m in self.having(NOT_LOADED)],
            "longest_slice_ms": round(self.longest_slice_ms, 3),
        }

    def words(self) -> str:
        """For a person: 80 columns, no colour."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        patches = f", with {', '.join(self.patches)}" if self.patches else ""
        yield from _wrapped(f"{self._verdict()}: pid {self.process.pid}{patches}", "", "  ")
        yield from module_words(self.modules, self.differences)

    def _verdict(self) -> str:
        if self.ok:
            return SAME
        return DIFFERS if self.all_differences() else NOT_COMPARED


def module_words(modules: Sequence[ModuleDrift], differences: Sequence[Difference] = ()) -> Iterator[str]:
    """What differs, a paragraph a module, then the counts."""
    for difference in differences:
        yield from _wrapped(f"{difference.target}  {difference.kind}", "  ", "    ")
    for module in modules:
        if module.state == NOT_COMPARED:
            yield from _wrapped(f"{module.module}  {NOT_COMPARED}: {module.why}", "  ", "    ")
        if not module.differences:
            continue
        yield from _wrapped(f"{module.module}  {DIFFERS}", "  ", "    ")
        for d in module.differences[:_MOST]:
            yield from _wrapped(_of_one(d), "    ", "      ")
        if len(module.differences) > _MOST:
            yield f"    ... and {len(module.differences) - _MOST} more (--json has all)"
    states = Counter(m.state for m in modules)
    parts = [f"{states[s]} {s}" for s in (SAME, DIFFERS, NOT_COMPARED, NOT_LOADED) if states[s]]
    yield from _wrapped(", ".join(parts) or "nothing to compare", "modules: ", "  ")
    loaded = [m for m in modules if m.state in (SAME, DIFFERS)]
    sums = [sum(getattr(m, k) for m in loaded) for k in ("compared", "computed", "grown")]
    words = f"{sums[0]} compared, {sums[1]} not compared (computed when the module was imported)"
    yield from _wrapped(words + (f", {sums[2]} tables have grown" if sums[2] else ""), "names: ", "  ")


def _of_one(difference: Difference) -> str:
    words = f"{difference.target.partition(':')[2] or difference.target}  {difference.kind}"
    if difference.live and difference.expected:
        return f"{words}: is {difference.live}, expected {difference.expected}"
    if difference.live:
        return f"{words}: {difference.live}"
    return f"{words}: expected {difference.expected}" if difference.expected else words


def _wrapped(text: str, first: str, then: str) -> list[str]:
    """Lines of 80 columns; nothing that a program calls its things can act on a terminal."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=then, break_on_hyphens=False)
