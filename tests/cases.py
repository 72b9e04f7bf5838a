"""
The corpus: one folder a case, for the builder, the engine and a live process alike.

A case is ``before.py``, ``after.py`` and ``expect.toml``:

    about     What it shows.
    carried   Targets of the changes, in order, with ``m`` for the module.
    findings  "severity code target" of each finding of the builder, in any order; a target that is a place reads ``m.py``.
    [live]    What a process that runs ``before.py`` as ``m`` sees.  Left out: the builder alone runs the case.
      setup     Statements that run before the patch.
      old       Expressions that hold before it, after a refusal, and after its revert.
      new       Expressions that hold once it is live.
      refused   Code of the error that ``apply`` says no with, in place of ``new``.
      keeps     Expressions that hold before, under the patch and after its revert.

All of it is plain data, so that a parent can hand a case to a bare interpreter as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from suture.ops.build import build
from suture.patch import Patch, dump

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent / "corpus"


@dataclass(frozen=True)
class Live:
    """What a live process sees of a case."""

    setup: str = ""
    old: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    refused: str = ""


@dataclass(frozen=True)
class Case:
    """One folder of the corpus."""

    name: str
    about: str
    before: bytes
    after: bytes
    carried: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    live: Live | None = None
    module: str = field(default="m")

    def trees(self, root: Path) -> tuple[Path, Path]:
        """Write both versions below *root*, each as a tree with one module."""
        sides = []
        for name, data in (("old", self.before), ("new", self.after)):
            folder = root / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{self.module}.py").write_bytes(data)
            sides.append(folder)
        return sides[0], sides[1]


def load(folder: Path) -> Case:
    """Read one case; a key that it doesn't know is an error."""
    row: dict[str, Any] = tomllib.loads((folder / "expect.toml").read_text("utf-8"))
    live = row.pop("live", None)
    if live is not None:
        live = Live(**{k: v if isinstance(v, str) else tuple(v) for k, v in live.items()})
    known = {k: v if isinstance(v, str) else tuple(v) for k, v in row.items()}
    return Case(
        folder.name, before=(folder / "before.py").read_bytes(), after=(folder / "after.py").read_bytes(), live=live, **known
    )


def load_all() -> list[Case]:
    """Every case, by name."""
    return [load(f) for f in sorted(ROOT.iterdir()) if f.is_dir() and not f.name.startswith((".", "_"))]


def on_disk(cases: Iterable[Case], root: Path, prefix: str, facts: Callable[[Case, Patch], dict[str, Any]]) -> Path:
    """Every case below *root*, each a module of its own name with its patch; the list of them, with what *facts* says of each."""
    rows: list[dict[str, Any]] = []
    for known in cases:
        case = replace(known, module=f"{prefix}_{known.name.replace('-', '_')}")
        here = root / case.name
        patch = build(*case.trees(here), name=case.name)
        (here / "p.suture").write_bytes(dump(patch))
        row = {"name": case.name, "module": case.module, "root": str(here), "patch": str(here / "p.suture")}
        rows.append(row | {"partial": bool(patch.left_out)} | facts(case, patch))
    (root / "cases.json").write_text(json.dumps(rows))
    return root / "cases.json"
