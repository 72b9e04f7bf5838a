"""Several import roots in one tree: modules have the names by which a process imports them, and its patch goes in."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from suture.ops.build import build
from suture.ops.build.sources import Asked, opened
from suture.patch import dump

Run = Callable[..., subprocess.CompletedProcess[str]]

# Two src layouts with a namespace over both, a flat root, a package that re-exports by star and by name.
FILES = {
    "services/a/src/shop/__init__.py": "from .cart import *\nfrom .cart import total as whole\n",
    "services/a/src/shop/cart.py": (
        "from money import RATE\nfrom ns.two import half\n"
        "__all__ = ['total', 'LIMIT']\nLIMIT = 5\ndef total(x):\n    return half(x) * RATE\n"
    ),
    "services/a/src/ns/one/__init__.py": "from ..two import half\nTWICE = 2\ndef one():\n    return half(TWICE) + 1\n",
    "libs/b/src/money.py": "RATE = 2\n",
    "libs/b/src/ns/two/__init__.py": "from .inner import *\n",
    "libs/b/src/ns/two/inner.py": "def half(x):\n    return x / 2\n",
    "tools/report/say.py": "from shop import LIMIT\ndef say():\n    return LIMIT\n",
    "tools/main.py": "from report import say\nimport shop\nimport ns.one\n",
}
EDITS = {
    "services/a/src/shop/cart.py": ("LIMIT = 5", "LIMIT = 6"),
    "services/a/src/ns/one/__init__.py": ("+ 1", "+ 10"),
    "libs/b/src/money.py": ("RATE = 2", "RATE = 3"),
    "libs/b/src/ns/two/inner.py": ("x / 2", "x / 4"),
    "tools/report/say.py": ("return LIMIT", "return -LIMIT"),
}
SCRIPT = """
import sys
tree, patch, new = sys.argv[1:]
sys.path[:0] = [f"{tree}/services/a/src", f"{tree}/libs/b/src", f"{tree}/tools"]
import main, suture
def seen():
    return main.shop.total(8), main.shop.whole(8), main.shop.LIMIT, main.ns.one.one(), main.say.say()
before = seen()
assert before == (8.0, 8.0, 5, 2.0, 5), before
report = suture.apply(patch)
assert report.ok, report.words()
assert seen() == (6.0, 6.0, 6, 10.5, -6), seen()
drift = suture.drift(new)
assert not drift.all_differences(), drift.words()
assert len(drift.modules) == 8 and all(m.state == "same" for m in drift.modules), drift.modules
assert suture.revert(report.patch_id).ok
assert seen() == before
print("done")
"""


def write(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


@pytest.mark.parametrize("paths", [(), ("services/a/src", "libs/b/src", "tools")], ids=["found", "given"])
def test_modules_of_several_import_roots(python: str, run_child: Run, tmp_path: Path, paths: tuple[str, ...]) -> None:
    """Found by what the tree imports, or given: the same names; the patch goes in, is what a fresh process has, and comes out."""
    after = {p: t.replace(*EDITS[p]) if p in EDITS else t for p, t in FILES.items()}
    old, new = write(tmp_path / "old", FILES), write(tmp_path / "new", after)
    with opened(Asked((str(old), str(new)), paths=paths)) as sides:
        patch = build(sides.old, sides.new, name="fix", rooted=sides.rooted)
    assert not patch.left_out, patch.left_out
    assert {c.target.module for c in patch.changes} == {"money", "ns.one", "ns.two.inner", "report.say", "shop.cart"}
    assert "module-name" not in {f.code for f in patch.remarks}
    (tmp_path / "fix.suture").write_bytes(dump(patch))
    done = run_child(python, SCRIPT, str(old), str(tmp_path / "fix.suture"), str(new))
    assert done.stdout == "done\n", done.stdout + done.stderr
