"""A program that a patch of its library was never built from: what it made at import is named, in real children on every Python."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from pythons import out
from suture.ops.build import build
from suture.patch import Patch

TREE = {
    "frozen/__init__.py": "from .api import freeze\n",
    "frozen/api.py": """
class _freeze:
    def __init__(self, at, tz):
        self.at, self.tz = at, tz

    def __call__(self, f):
        def frozen(*a):
            return f(*a), self.at, self.tz
        return frozen

    def normalized(self):
        return self.at

def freeze(at, tz=0):
    if callable(at):
        return freeze(at())
    return _freeze(at, tz)
""",
}
PROGRAM = """
import json, sys
sys.path[:0] = [sys.argv[1] + "/old", sys.argv[1] + "/out"]
import frozen, suture, uses_it
from frozen import freeze
mine = freeze(lambda: 1, tz=9)
def serve():
    made = freeze(lambda: 2, tz=9)
    return made.tz
if __name__ == "__main__":
    planned = suture.plan(sys.argv[2])
    report = suture.apply(sys.argv[2])
    said = lambda r: sorted(f"{f.severity} {f.code} {f.target}" for f in r.findings if f.severity != "note")
    row = {"ok": report.ok, "planned": said(planned), "said": said(report), "old": [uses_it.f(), mine.tz], "new": serve(),
           "why": [f.message for f in report.findings if f.target == "uses_it:f"]}
    row["reverted"] = suture.revert(report.patch_id).ok
    print(json.dumps(row))
"""
USES = """
import frozen

@frozen.freeze(lambda: 1, tz=5)
def f():
    return "f"

class T:
    @frozen.freeze(0, tz=5)
    def m(self):
        @frozen.freeze(1)
        def inner():
            return 1
        return inner

later = lambda: frozen.freeze(2)
"""
Child = Callable[..., "subprocess.CompletedProcess[str]"]


def written(root: Path, *replaced: tuple[str, str]) -> Patch:
    for side in ("old", "new"):
        for path, text in TREE.items():
            for a, b in replaced if side == "new" else ():
                text = text.replace(a, b)
            file = root / side / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    (root / "out").mkdir()
    (root / "out" / "uses_it.py").write_text(USES)
    return build(root / "old", root / "new", name="fix")


def test_it_is_named_before_and_after(python: str, run_child: Child, patch_file: Callable[[Patch], Path], tmp_path: Path) -> None:
    """Decorators of a function and of a method, the program's own value; not what runs later, though all of it calls the same."""
    patch = written(tmp_path, ("freeze(at())", "freeze(at(), tz)"))
    row = json.loads(out(run_child(python, PROGRAM, str(tmp_path), str(patch_file(patch)))))
    stale = ["warning value-stale __main__:mine", "warning value-stale uses_it:T.m", "warning value-stale uses_it:f"]
    assert row["ok"]
    assert row["planned"] == row["said"] == stale
    assert row["old"] == [["f", 1, 0], 0]
    assert row["new"] == 9
    assert row["reverted"]
    assert row["why"][0].startswith("f was made at import by frozen.api:freeze, which changes")


def test_what_runs_through_an_unchanged_function_is_named(
    python: str, run_child: Child, patch_file: Callable[[Patch], Path], tmp_path: Path
) -> None:
    """A method of a class that the name in the program only comes to call."""
    patch = written(tmp_path, ("self.at, self.tz = at, tz", "self.at, self.tz = at, tz + 1"))
    row = json.loads(out(run_child(python, PROGRAM, str(tmp_path), str(patch_file(patch)))))
    assert [s.split()[-1] for s in row["said"] if "value-stale" in s] == ["__main__:mine", "uses_it:T.m", "uses_it:f"]
    assert "comes to call what changes" in row["why"][0]
    assert row["new"] == 1


def test_what_follows_is_not_said(python: str, run_child: Child, patch_file: Callable[[Patch], Path], tmp_path: Path) -> None:
    """Only the wrapper changes, or a method that nobody called at import: what exists runs the new code, without a word."""
    patch = written(tmp_path, ("return f(*a), self.at, self.tz", "return 'new'"), ("return self.at\n", "return self.tz\n"))
    row = json.loads(out(run_child(python, PROGRAM, str(tmp_path), str(patch_file(patch)))))
    assert row["ok"]
    assert row["said"] == row["planned"] == []
    assert row["old"] == ["new", 0]
