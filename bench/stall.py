"""
How long a live service stands still while its code is changed.

One child process a measurement.  In it a thread ticks every 0.25 ms and calls the code that changes; the update runs in
another thread, as an operator's does.  Gap: time between two ticks.  "nothing" sleeps as long as suture took: the noise floor
of the machine, measured in the same way, in alternation.  The figure is the median over rounds of (longest gap with - without).
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import importlib.util
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from _common import SRC, build, head, trees

METHODS = ("nothing", "suture", "reload", "ipython", "jurigged")


def names(modules: int) -> list[str]:
    """Of the generated modules."""
    return [f"benchmod{n}" for n in range(modules)]


def put_new_files(live: Path, new: Path) -> None:
    """What the peers need before they're called."""
    for path in new.glob("*.py"):
        shutil.copyfile(path, live / path.name)


def prepare(method: str, live: Path, new: Path, patch: Path, modules: int) -> Callable[[], object]:
    """Everything that isn't the update itself; returns the update."""
    if method == "suture":
        sys.path.append(str(SRC))
        import suture

        suture.status()
        return lambda: suture.apply(str(patch)).raise_for_findings()
    if method == "nothing":
        return lambda: time.sleep(0.4)
    if method == "ipython":
        from IPython.extensions.autoreload import ModuleReloader

        reloader = ModuleReloader()
        reloader.check(check_all=True, do_reload=False)
        put_new_files(live, new)
        return lambda: reloader.check(check_all=True)
    if method == "jurigged":
        from jurigged import live as jurigged_live
        from jurigged.register import registry

        registry.auto_register(filter=lambda f: Path(f).parent == live)
        watcher = jurigged_live.Watcher(registry)
        put_new_files(live, new)
        return lambda: [watcher.refresh(str(live / f"{n}.py")) for n in names(modules)]
    put_new_files(live, new)
    return lambda: [importlib.reload(sys.modules[n]) for n in names(modules)]


def child(args: argparse.Namespace) -> None:
    """Measure once; print one JSON line."""
    live, new = Path(args.folder, "live"), Path(args.folder, "new")
    sys.path.insert(0, str(live))
    modules = [importlib.import_module(n) for n in names(args.modules)]
    gc.disable()
    heap = []
    for i in range(int(args.heap * 1e6) // 4):
        heap.append({"k": i, "v": [i, (i, [i])]})
    gc.collect()
    gc.enable()
    update = prepare(args.method, live, new, Path(args.folder, "fix.suture"), args.modules)
    held = [m.f0 for m in modules]
    gaps: list[tuple[int, int]] = []
    going = [True]
    clock, items = time.perf_counter_ns, [1, 2, 3, 4]

    def tick() -> None:
        last, i = clock(), 0
        while going[0]:
            time.sleep(0.00025)
            held[i % len(held)](items)
            i += 1
            now = clock()
            gaps.append((now, now - last))
            last = now

    ticker = threading.Thread(target=tick)
    ticker.start()
    time.sleep(0.2)
    start = clock()
    update()
    end = clock()
    time.sleep(0.1)
    going[0] = False
    ticker.join()
    during = sorted(g / 1e6 for at, g in gaps if start <= at <= end + 20_000_000)
    fresh = sum(h(items) >= 1000 for h in held)
    row = {
        "max": during[-1],
        "p99": during[int(len(during) * 0.99)],
        "took_ms": (end - start) / 1e6,
        "held_new": fresh,
        "held": len(held),
    }
    print(json.dumps(row))


def measure(python: str, method: str, functions: int, modules: int, heap: float) -> dict[str, float] | None:
    """One child; None if it didn't end."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        old, _ = trees(root, functions, modules)
        shutil.copytree(old, root / "live")
        if method == "suture":
            build(old, root / "new", root / "fix.suture")
        command = [
            python,
            __file__,
            "--child",
            "--method",
            method,
            "--modules",
            str(modules),
            "--heap",
            str(heap),
            "--folder",
            folder,
        ]
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parent)
            if done.returncode == 0:
                return dict(json.loads(done.stdout.splitlines()[-1]))
            print(f"  {method}: {done.stderr.strip().splitlines()[-1:]}")
    return None


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--child", action="store_true")
    for name in ("--method", "--folder"):
        parser.add_argument(name)
    parser.add_argument("--modules", type=int)
    parser.add_argument("--heap", type=float)
    args = parser.parse_args()
    if args.child:
        child(args)
        return
    head("longest gap of a 0.25 ms ticker during an update")
    peers = [
        m
        for m in METHODS
        if {"ipython": "IPython", "jurigged": "jurigged"}.get(m) is None
        or importlib.util.find_spec({"ipython": "IPython", "jurigged": "jurigged"}[m])
    ]
    print(f"# peers not installed here: {', '.join(m for m in METHODS if m not in peers) or 'none'}")
    rounds = args.rounds or 5
    sizes = [(1, 1), (100, 20)] if args.quick else [(1, 1), (100, 20), (1000, 50)]
    heaps = [0.1] if args.quick else [0.1, 1.0, 5.0]
    for heap in heaps:
        for functions, modules in sizes:
            methods = peers if heap < 5 else ["nothing", "suture"]
            rows: dict[str, list[dict[str, float]]] = {m: [] for m in methods}
            for _ in range(rounds):
                for method in methods:
                    row = measure(sys.executable, method, functions, modules, heap)
                    if row is not None:
                        rows[method].append(row)
            print(f"\n{functions} functions in {modules} modules, {heap:g} M objects; ms")
            print(f"  {'':10}{'with-without':>13}{'worst':>8}{'p99':>7}{'took':>9}  held on new code")
            for method, found in rows.items():
                if not found:
                    continue
                pairs = [r["max"] - n["max"] for r, n in zip(found, rows["nothing"], strict=False)]
                took = statistics.median(r["took_ms"] for r in found)
                p99 = statistics.median(r["p99"] for r in found)
                worst = max(r["max"] for r in found)
                held = f"{found[0]['held_new']:.0f} of {found[0]['held']:.0f}"
                print(f"  {method:10}{statistics.median(pairs):13.2f}{worst:8.1f}{p99:7.2f}{took:9.1f}  {held}")


if __name__ == "__main__":
    main()
