"""The demo on every Python from 3.10 to 3.15 that is found: a short version, with few players."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pythons import WANTED, found

ROOT = Path(__file__).parent.parent.parent
ARENA = ROOT / "examples" / "arena"
SRC = ROOT / "src"


def tell(python: str, arena: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the demo that is in *arena*, briefly, from a folder that has nothing to do with it."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {"PYTHONPATH": str(SRC)}
    command = [python, str(arena / "demo.py"), "--players", "20", "--quick"]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=180)


def facts(done: subprocess.CompletedProcess[str]) -> str:
    """What it held itself to, numbers made equal."""
    lines = [line.removeprefix("ok  ") for line in done.stdout.splitlines() if line.startswith("ok  ")]
    return re.sub(r"\d+(\.\d+)?", "n", "\n".join(lines))


@pytest.mark.parametrize("version", WANTED)
def test_story_holds(version: str, tmp_path: Path) -> None:
    """Wrong hits, hotfix and back, plan, apply, refusal, four ways, revert: it asserts all that it shows, in 80 columns."""
    if version not in found():
        pytest.skip(f"no Python {version} on this machine")
    done = tell(found()[version], ARENA, tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []
    said = facts(done)
    for fact in (
        "n of n hits a second are wrong",
        "taken back; fingerprint",
        "nothing was changed: fingerprint",
        "calls inside old code: n after the switch, n now",
        "first right hit n ms after the command",
        "refused: n of n targets doesn't fit, so none was changed",
        "reload and setattr: callbacks stay on old code",
        "suture: every held callback, no wrong hit",
        "n of n players are connected, none was dropped",
    ):
        assert fact in said, done.stdout
    table = re.findall(r"^(nothing|reload|setattr|suture) +(\d+) of (\d+) ", done.stdout, re.MULTILINE)
    assert [(name, int(right), int(held)) for name, right, held in table] == [
        ("nothing", 0, 66),
        ("reload", 0, 66),
        ("setattr", 0, 66),
        ("suture", 66, 66),
    ]


def test_a_fix_that_fixes_nothing_is_not_shown_as_one(tmp_path: Path) -> None:
    """The demo measures: with another fix, that leaves hits wrong, it ends with 1 and says what isn't so."""
    arena = tmp_path / "examples" / "arena"
    shutil.copytree(ARENA, arena, ignore=shutil.ignore_patterns("__pycache__"))
    combat = arena / "fixed" / "combat.py"
    combat.write_text(combat.read_text().replace("return attack - armour", "return attack"))
    done = tell(next(iter(found().values())), arena, tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("demo: not so: "), done.stderr
    assert "hits a second are wrong" in done.stderr
