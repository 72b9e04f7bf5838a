"""
The house rules: a module imports from its own room or from a lower floor, and only ops/ may use anything outside the
standard library.  A new room fails until it is put on a floor, so the map stays true.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from suture import loading

ROOT = Path(__file__).parent.parent / "src" / "suture"

# From the ground up.  A room is a module or a folder directly under its parent.
FLOORS = [
    {"errors", "held", "record", "soon"},
    {"patch"},
    {"report", "wire"},
    {"difference"},
    {"engine"},
    {"loading"},
    {"agent", "hotfix"},
    {"__init__", "__version__"},
    {"ops.__init__", "ops.build", "ops.client"},
    {"ops.seats", "ops.lint", "ops.drift"},
    {"ops.standing", "ops.running"},
    {"ops.together"},
    {"ops.cli"},
    {"__main__"},
]
ENGINE = [
    {"__init__", "facts", "frames", "hooks", "own", "versions", "pieces", "sources", "uses"},
    {"pace"},
    {"swap", "plan", "fit", "walk", "assemble"},
    {"resolve", "census", "outside", "values", "bound", "bases"},
    {"shadow", "rerun"},
    {"anew"},
    {"evaluate"},
    {"stage", "members"},
    {"imports", "inner", "unwound", "carried", "transplant", "computing"},
    {"account", "locate", "mirror", "revert", "witness"},
    {"fitting", "drift"},
    {"transaction"},
    {"process"},
]
OTHER_VERSIONS = {"_sha256", "_sha2"}  # of the standard library up to 3.11, and since then
FLOOR_OF = {room: n for n, rooms in enumerate(FLOORS) for room in rooms}
ENGINE_FLOOR_OF = {room: n for n, rooms in enumerate(ENGINE) for room in rooms}
FILES = sorted(ROOT.rglob("*.py"))


def room(name: str) -> str:
    """The room of a module: ``suture.ops.build.diff`` is in ``ops.build``."""
    parts = name.split(".")[1:]
    return ".".join(parts[:2] if parts[:1] == ["ops"] else parts[:1]) or "__init__"


def imports(path: Path) -> Iterator[str]:
    """Full names of all that a file imports, inside functions too."""
    package = ["suture", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *filter(None, [node.module])])
            open_rooms = ("suture", "suture.ops", "suture.engine")
            yield from (f"{stem}.{a.name}" if stem in open_rooms else stem for a in node.names)


def type_checking_only(path: Path) -> set[str]:
    """Names imported under ``if TYPE_CHECKING`` alone."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            found |= {f.module or "" for f in ast.walk(node) if isinstance(f, ast.ImportFrom)}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    """No module imports from a higher floor, from a neighbour, or, outside ops/, from a dependency."""
    here = room(".".join(["suture", *path.relative_to(ROOT).with_suffix("").parts]))
    assert here in FLOOR_OF, f"{here} is on no floor yet"
    for name in imports(path):
        if name.split(".")[0] != "suture":
            outside = name.split(".")[0] not in sys.stdlib_module_names | OTHER_VERSIONS
            assert not outside, f"{path.name} imports {name}; {here} runs with the standard library only"
        elif (there := room(name)) != here:
            assert FLOOR_OF.get(there, 99) < FLOOR_OF[here], f"{here} imports {there}, which isn't on a lower floor"


@pytest.mark.parametrize("path", sorted((ROOT / "engine").glob("*.py")), ids=lambda p: p.name)
def test_engine_imports_go_down(path: Path) -> None:
    """The same inside the engine: facts lowest, the transaction imports the others."""
    here = path.stem
    assert here in ENGINE_FLOOR_OF, f"engine.{here} is on no floor yet"
    for name in imports(path):
        if name.startswith("suture.engine.") and (there := name.split(".")[2]) != here:
            assert ENGINE_FLOOR_OF.get(there, 99) < ENGINE_FLOOR_OF[here], f"engine.{here} imports {there}, not on a lower floor"


def test_nothing_below_the_border_imports_ops() -> None:
    """The target side never reaches for the operator side, not even inside a function."""
    for path in FILES:
        below = "ops" not in path.relative_to(ROOT).parts and path.name != "__main__.py"
        assert not below or not any(n.startswith("suture.ops") for n in imports(path)), path


def test_what_the_rooms_borrow_is_loaded_with_them() -> None:
    """What is held and runs later finds all that it imports, from wherever; nothing is read from disk by then."""
    known = {*loading.BORROWED, *loading.IF_THERE, "sys", "time", "_thread"}  # the last are in every interpreter
    optional = {"_sha2", "_sha256", "hashlib", "ctypes", "dataclasses"}  # with another way beside them; for type checkers alone
    for name in (*loading.ROOMS, *loading.SELDOM):
        for other in imports(ROOT.parent / f"{name.replace('.', '/')}.py"):
            assert other.startswith("suture.") or other in known | optional, f"{name} imports {other}"
