"""
How long does `suture build` take, and how much memory?

The repository is made up: each file has a class, its methods, functions and constants, and every file has the same names, those
that change too; so no file can be left out by its text.  Only the changed files differ.  Each row is a process of its own;
`control` is the same build where nothing differs.  `--pair old new` measures two trees of yours in place of it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import rig

HEAD = '''"""Module {n}."""

import json
import os
from collections import defaultdict
from shop.m{other:04} import Order as Other, total as other_total

LIMIT = {n}
TABLE = {{"a": 1, "b": LIMIT}}
names = defaultdict(list)


def total(items, rate=1):
    """Sum of all."""
    return sum(i * rate for i in items) + {value}


def main(argv):
    order = Order(argv)
    return order.handle(total(order.lines))


class Order:
    kind = "order"

    def __init__(self, lines):
        self.lines = lines
        self.key = os.path.join("a", str(LIMIT))

    def handle(self, event):
        return json.dumps([event, self.lines, {value}])
'''
METHOD = '''
    def step_{at}(self, event, depth=0):
        """Step {at} of the work."""
        if depth > {at}:
            return self.handle(event)
        parts = [p for p in self.lines if p is not event]
        for part in parts:
            self.key = str(part) + str(depth)
        return other_total(parts) + total(parts, {at})
'''


def write(root: Path, files: int, changed: int, lines: int) -> Path:
    """A package of that many modules, the first of them as the new version has them."""
    (root / "shop").mkdir(parents=True)
    (root / "shop" / "__init__.py").write_text("")
    for n in range(files):
        text = HEAD.format(n=n, other=(n + 1) % files, value=n + 1_000_000 * (n < changed))
        text += "".join(METHOD.format(at=at) for at in range(max(0, lines - 35) // 9))
        (root / "shop" / f"m{n:04}.py").write_text(text)
    return root


def child(old: Path, new: Path) -> rig.Row:
    """One build."""
    from suture.ops.build import build  # not in the parent, which has a peak of its own

    began = time.perf_counter()
    patch = build(old, new, name="bench")
    took_s = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"s": took_s, "mb": peak / (1 << (20 if sys.platform == "darwin" else 10)), "changes": len(patch.changes)}


def measured(old: Path, new: Path, rounds: int) -> rig.Row:
    """The fastest of some builds, each in a process of its own."""
    rows = []
    for _ in range(rounds):
        command = [sys.executable, __file__, "--child", str(old), str(new)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=600)
        rows.append(json.loads(done.stdout))
    return min(rows, key=lambda r: float(r["s"]))


def main() -> int:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--files", default="100,1000", help="sizes of the repository")
    made.add_argument("--changed", type=int, default=20)
    made.add_argument("--lines", type=int, default=100, help="a file")
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--pair", nargs=2, type=Path, metavar=("OLD", "NEW"), help="two trees of yours")
    made.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    args = made.parse_args()
    if args.child:
        print(json.dumps(child(*args.child)))
        return 0
    rig.head("build", sys.executable, {})
    rows = []
    if args.pair:
        sides = [{p.relative_to(r): p.read_bytes() for p in r.rglob("*.py")} for r in args.pair]
        differ = sum(sides[0].get(p) != sides[1].get(p) for p in sides[0].keys() | sides[1].keys())
        rows.append(_shown(len(sides[1]), differ, measured(*args.pair, args.rounds)))
    for files in () if args.pair else map(int, args.files.split(",")):
        with rig.scratch() as where:
            old = write(where / "old", files, 0, args.lines)
            for changed in (0, min(args.changed, files)):
                new = write(where / f"new{changed}", files, changed, args.lines)
                rows.append(_shown(files, changed, measured(old, new, args.rounds)))
    rig.table("suture build", ("files", "changed", "seconds", "peak MB", "changes"), rows)
    return 0


def _shown(files: int, changed: int, row: rig.Row) -> list[str]:
    return [str(files), f"{changed}" if changed else "0 (control)", f"{row['s']:.2f}", f"{row['mb']:.0f}", str(row["changes"])]


if __name__ == "__main__":
    sys.exit(main())
