"""
What a call costs after a patch, as a ratio to the same function never patched; beside other ways of replacing.

Rounds are interleaved and the best of each is taken: a shared machine only ever adds time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path

from _common import SRC, head

OLD = """
import functools
def plain(x):
    return x + 1
class A:
    def method(self, x):
        return x + 1
class B(A):
    def fitted(self, x):
        return x + 1
def make(k):
    def closure(x):
        return x + k
    return closure
closure = make(1)
def deco(f):
    @functools.wraps(f)
    def w(x):
        return f(x)
    return w
@deco
def decorated(x):
    return x + 1
a, b = A(), B()
"""
NEW = OLD.replace("x + 1", "x + 2").replace("x + k", "x + k + 0")
FITTED = "    def fitted(self, x):\n        return x + 2"
SHAPES = ("plain", "method", "closure", "decorated")


def load(name: str, text: str, path: str) -> types.ModuleType:
    """A module from text."""
    module = types.ModuleType(name)
    module.__file__ = path
    sys.modules[name] = module
    exec(compile(text, path, "exec", dont_inherit=True), vars(module))
    return module


def callers(module: types.ModuleType) -> dict[str, Callable[[], float]]:
    """One timed loop a shape; a loop of its own code each, so that specialisation is its own."""
    out = {}
    for shape in SHAPES:
        target = {"plain": "m.plain", "method": "m.a.method", "closure": "m.closure", "decorated": "m.decorated"}[shape]
        space = {"m": module, "clock": time.perf_counter}
        text = f"def run(n=20000):\n    f = {target}\n    t = clock()\n    for i in range(n):\n        f(i)\n    return (clock() - t) / n * 1e9\n"
        if shape == "method":
            text = text.replace("    f = m.a.method\n", "    o = m.a\n").replace("f(i)", "o.method(i)")
        exec(text, space)
        out[shape] = space["run"]
    return out


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    head("cost of a call after the change, ratio to never changed")
    sys.path.insert(0, str(SRC))
    import suture
    from suture.ops.build import build

    rows: dict[str, dict[str, Callable[[], float]]] = {}
    unpatched = load("cc_unpatched", NEW.replace("x + k + 0", "x + k + 0"), "/nowhere/cc_unpatched.py")
    rows["never changed"] = callers(unpatched)
    with tempfile.TemporaryDirectory() as folder:
        old, new = Path(folder, "old"), Path(folder, "new")
        for tree, text in ((old, OLD), (new, NEW)):
            tree.mkdir()
            (tree / "cc_suture.py").write_text(text)
        module = load("cc_suture", OLD, str(old / "cc_suture.py"))
        warm = callers(module)
        for run in warm.values():
            run()
        report = suture.apply(build(old, new, name="cc"))
        assert report.ok, report.words()
        rows["suture, warm callers"] = warm
    seeded = load("cc_seed", OLD, "/nowhere/cc_seed.py")
    run_seed = callers(seeded)
    for run in run_seed.values():
        run()
    fresh = load("cc_seed_new", NEW, "/nowhere/cc_seed_new.py")
    seeded.plain, seeded.A.method = fresh.plain, fresh.A.method
    rows["setattr (the seed)"] = callers(seeded)
    wrapped = load("cc_wrap", OLD, "/nowhere/cc_wrap.py")

    def wrap(f: Callable[..., int]) -> Callable[..., int]:
        def trampoline(*a: object, **k: object) -> int:
            return f(*a, **k)

        return trampoline

    wrapped.plain, wrapped.closure, wrapped.decorated = map(wrap, (fresh.plain, fresh.closure, fresh.decorated))
    wrapped.A.method = wrap(fresh.A.method)
    rows["a (*a, **k) wrapper"] = callers(wrapped)
    best: dict[tuple[str, str], float] = {}
    for _ in range(15 if args.quick else 60):
        for row, shapes in rows.items():
            for shape, run in shapes.items():
                best[row, shape] = min(best.get((row, shape), 1e9), run())
    print(f"{'':24}" + "".join(f"{s:>12}" for s in SHAPES))
    for row in rows:
        cells = [
            f"{best[row, s]:9.1f} ns" if row == "never changed" else f"{best[row, s] / best['never changed', s]:12.2f}"
            for s in SHAPES
        ]
        print(f"{row:24}" + "".join(cells))


if __name__ == "__main__":
    main()
