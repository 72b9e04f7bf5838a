"""
Choices that a person makes where the source alone doesn't say what a live process should do.

In a file, a line each, or in a comment on the first or last line of the statement itself::

    shop.app:SIGNALS = evaluate                    # made by a function that only reads
    shop.app: app.add_url_rule('/x', view_func=x) = run-once
    app.add_url_rule('/x', view_func=x)            # suture: run-once

What is chosen is written into the patch, with who chose it.  Adapters of registries will be one more source of choices.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path

from suture.errors import Refused
from suture.ops.build import nodes
from suture.ops.build.tree import Source
from suture.patch import Decision

__all__ = ["CHOICES", "DECIDABLE", "FILE", "Decisions"]

FILE = "suture.decisions"
# What can be chosen for a finding.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "top-level-statement": ("run-once", "skip"),  # run it at apply, for good; leave it
    "decorators-changed": ("replace", "skip"),  # make it anew with its new decorators, whatever they do; leave it as it is
    "value-changed": ("evaluate", "skip"),  # work it out at apply, whatever its calls do; keep the old value
    "value-computed": ("carry", "skip"),  # carry it, though its readers stay old; keep the old value
}
DECIDABLE = frozenset(CHOICES)
# And in place of what the builder chose by itself (``overrule.RULES`` says where).
_INSTEAD = ("merge", "rebind", "remove", "keep", "class-default", "if-held")
_ALL = frozenset((*_INSTEAD, *(c for some in CHOICES.values() for c in some)))
_BESIDE = re.compile(r"#\s*suture:\s*([a-z-]+)\s*(.*)$")


class Decisions:
    """
    The choices for one build.

    Args:
        entries: (choice, why) by what it is about: ``module:name``, or ``module: `` and a statement's first line.
        path: Where they come from.
    """

    def __init__(self, entries: Mapping[str, tuple[str, str]] | None = None, path: str = "") -> None:
        self._entries = dict(entries or {})
        self._path = path
        self._used: set[str] = set()

    @classmethod
    def read(cls, path: Path) -> Decisions:
        """
        Read a decisions file.

        Raises:
            Refused: bad-decision, with its line.
        """
        entries: dict[str, tuple[str, str]] = {}
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise Refused("bad-decision", str(error), target=str(path), hint="save it as UTF-8") from error
        for number, line in enumerate(lines, 1):
            text, _, why = line.partition("  #") if not line.lstrip().startswith("#") else ("", "", "")
            if not text.strip():
                continue
            key, equals, choice = (part.strip() for part in text.rpartition(" = "))
            if not equals or not key or choice not in _ALL:
                hint = "a line is KEY = CHOICE, with two blanks and # before a comment; suture build prints the keys"
                raise Refused("bad-decision", f"no decision: {line.strip()[:80]}", target=f"{path}:{number}", hint=hint)
            entries[key] = (choice, why.strip())
        return cls(entries, str(path))

    def choose(self, code: str, key: str, source: Source, node: ast.stmt) -> Decision | None:
        """
        What somebody chose for a finding, or None.

        Raises:
            Refused: bad-decision: that can't be chosen here.
        """
        made, place = self._entries.get(key), self._path
        if made is not None:
            self._used.add(key)
        else:
            made, place = _beside(source, node), f"{source.path}:{nodes.first_line(node)}"
        if made is None:
            return None
        if made[0] not in CHOICES[code]:
            hint = f"choose one of {', '.join(CHOICES[code])}"
            raise Refused("bad-decision", f"{made[0]} isn't a choice for {key}", target=place, hint=hint)
        return Decision(made[0], "person", made[1])

    def is_about(self, source: Source, node: ast.stmt) -> bool:
        """True if somebody has chosen something for a top-level statement, or for a name that it makes."""
        keys = [f"{source.module}: {nodes.head(node)}", f"{source.module}:{nodes.target_name(node)}"]
        return _beside(source, node) is not None or any(key in self._entries for key in keys)

    def instead(self, choices: tuple[str, ...], key: str, source: Source, node: ast.stmt | None) -> Decision | None:
        """
        What somebody chose in place of the builder's own rule, or None.

        ``carry`` and ``run-once`` are about other findings of the same target, and wait for them.

        Raises:
            Refused: bad-decision: that can't be chosen here.
        """
        made, place = self._entries.get(key), self._path
        if made is None and node is not None:
            made, place = _beside(source, node), f"{source.path}:{nodes.first_line(node)}"
        if made is None or made[0] in ("carry", "run-once"):
            return None
        self._used.add(key)
        if made[0] not in choices:
            hint = f"choose one of {', '.join(choices)}"
            raise Refused("bad-decision", f"{made[0]} isn't a choice for {key}", target=place, hint=hint)
        return Decision(made[0], "person", made[1])

    def unused(self) -> list[str]:
        """Keys that nothing asked for."""
        return sorted(self._entries.keys() - self._used)


def _beside(source: Source, node: ast.stmt) -> tuple[str, str] | None:
    for line in {node.lineno, node.end_lineno or node.lineno}:
        found = _BESIDE.search(source.lines[line - 1])
        if found is not None:
            return found[1], found[2].strip()
    return None
