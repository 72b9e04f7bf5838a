"""
How long from the start of an update until a caller in another thread sees it?

The caller calls the changed functions by name (methods through an object that exists), waiting at each until it is new, then
going on to the next one: `first` is when it saw the first new one, `all` when it had seen the last.  Between two looks it rests
20 us, so that it doesn't hold up what it waits for.
"""

from __future__ import annotations

import gc
import shutil
import sys
import threading
import time
from pathlib import Path

import methods
import rig
import service

ALL = [m for m in methods.METHODS if m != "nothing"]


def child(task: rig.Row) -> rig.Row:
    """One service, one update, one caller that waits for it."""
    at = service.Service(Path(task["live"]), Path(task["new"]), task["functions"])
    update = methods.METHODS[task["method"]](at, task["patch"])
    calls = at.by_name()
    seen: list[int] = []
    ready = threading.Event()
    stopped = threading.Event()

    def wait_for_all() -> None:
        ready.set()
        for call in calls:
            while call((1, 2, 3, 4)) < service.NEW // 2:
                if stopped.is_set():
                    return
                time.sleep(0.000_02)
            seen.append(time.perf_counter_ns())

    gc.collect()
    rig.be_realtime(task)
    caller = threading.Thread(target=wait_for_all, daemon=True)
    caller.start()
    ready.wait()
    time.sleep(0.05)
    began = time.perf_counter_ns()
    outcome = update()
    ended = time.perf_counter_ns()
    caller.join(1.0)
    stopped.set()
    row: rig.Row = {"update_ms": (ended - began) / 1e6, "missing": len(calls) - len(seen), **methods.check(outcome)}
    if seen:
        row |= {"first_ms": (seen[0] - began) / 1e6, "all_ms": (seen[-1] - began) / 1e6}
    return row


def main() -> int:
    made = rig.parser(__doc__ or "")
    made.add_argument("--functions", default="", help="sizes, default 1,100,1000 (--quick: 1,100)")
    made.add_argument("--methods", default=";".join(ALL), help="separated by ';'")
    made.add_argument("--limit", type=float, default=60, help="seconds for one child (--quick: 20)")
    made.add_argument("--rt", action="store_true", help="real-time scheduling in the children (needs the right to)")
    args = made.parse_args()
    sizes = [int(s) for s in (args.functions or ("1,100" if args.quick else "1,100,1000")).split(",")]
    limit_s = min(args.limit, 20) if args.quick else args.limit
    ok = True
    for python in rig.chosen(args):
        inside, peers = rig.with_peers(python, wanted=not args.no_peers)
        rig.head("update", python, peers)
        names = methods.available(peers, args.methods.split(";"))
        with rig.scratch() as where:
            old = service.write(where / "old", 0)
            for functions in sizes:
                new, patch = service.write(where / f"new{functions}", functions), where / f"fix{functions}.suture"
                build_s = rig.build_patch(old, new, patch)
                rounds: dict[str, list[rig.Row]] = {n: [] for n in names}
                for turn in range(args.rounds or (3 if args.quick else 7)):
                    for method in names[turn % len(names) :] + names[: turn % len(names)]:
                        done = rounds[method]
                        if any(str(r.get("error", "")).startswith("not done") for r in done):
                            continue
                        live = where / "live"
                        shutil.rmtree(live, ignore_errors=True)
                        shutil.copytree(old, live)
                        task = {"method": method, "functions": functions, "live": str(live), "new": str(new), "patch": str(patch)}
                        row = rig.run_child(__file__, inside, task, limit_s=limit_s, realtime=args.rt)
                        rig.log_row(
                            args.json,
                            {"bench": "update", "python": rig.version_of(python), "method": method, "functions": functions, **row},
                        )
                        done.append(row)
                ok &= show(functions, names, rounds)
                print(f"  (suture's patch was built beforehand, in another process: {build_s:.1f} s)", flush=True)
    return 0 if ok else 1


def show(functions: int, names: list[str], rounds: dict[str, list[rig.Row]]) -> bool:
    """The table of one size; False if suture wasn't measured."""
    lines = []
    good = {n: [r for r in rounds[n] if "error" not in r and "all_ms" in r] for n in names}
    base = rig.median_of(good.get("suture", []), lambda r: r["all_ms"])
    for method in names:
        rows = good[method]
        if not rows:
            lines.append([method, *["-"] * 5, rig.error_of(rounds[method]) or "nothing new was seen"])
            continue
        first, everything, whole = (rig.median_of(rows, lambda r, k=key: r[k]) for key in ("first_ms", "all_ms", "update_ms"))
        missing = max(r["missing"] for r in rows)
        note = f"{missing} never seen" if missing else ""
        phases = {k: rig.median_of(rows, lambda r, k=k: r["phase_ms"].get(k, 0.0)) or 0.0 for k in rows[0].get("phase_ms", {})}
        note += ", ".join(f"{k} {v:.1f}" for k, v in sorted(phases.items(), key=lambda kv: -kv[1])[:4])
        lines.append(
            [
                method,
                rig.number(first, 1),
                rig.number(everything, 1),
                rig.number(max(r["all_ms"] for r in rows), 1),
                rig.ratio(everything, base),
                rig.number(whole, 1),
                note,
            ]
        )
    title = f"{functions:,} function{'s' * (functions > 1)} in {min(functions, service.MODULES)} modules: ms to live, medians over rounds"
    rig.table(title, ["method", "first", "all", "worst", "/suture", "call returns", ""], lines)
    return "suture" not in names or bool(good["suture"])


if __name__ == "__main__":
    TASK = rig.child_task()
    if TASK is not None:
        rig.end_child(child(TASK))
    sys.exit(main())
