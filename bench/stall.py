"""
How long does a live service stand still while its code is replaced?

One child process a row: 50 modules, a heap of ballast, an event loop and a thread that tick every 0.25 ms and call the service,
another thread with small work of its own.  The loop starts the update (suture: `apply_soon`; the others: a worker thread) and
ticks on.  A gap is the time between two ticks.  The control (`nothing`) runs in the same round; what it is compared with is the
longest gap in windows as long as the update was.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import shutil
import statistics
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import methods
import rig
import service

TICK_S = 0.000_25
BEFORE_S = 1.0
TAIL_NS = 20_000_000
GOAL_MS = 1.0
ALL = ["nothing", "suture", "suture, first", "reload", "ipython", "jurigged"]
BIG_HEAP = ["nothing", "suture"]

Stamps = list[tuple[int, int]]  # (when, gap) in ns


# ---------------------------------------------------------------- the child: one service, one update


def ballast(objects: int) -> list[Any]:
    """That many objects that the garbage collector tracks, as a service's state has them."""
    gc.disable()
    made = [{"id": i, "position": [i, i], "bag": {"items": [i]}} for i in range(objects // 4)]
    gc.enable()
    return made


class Ticks:
    """A loop and a thread that tick, and what they saw."""

    def __init__(self, at: service.Service) -> None:
        self.at = at
        self.on = True
        self.loop_stamps: Stamps = []
        self.thread_stamps: Stamps = []

    async def in_loop(self) -> None:
        """Tick in the event loop."""
        turn, last = 0, time.perf_counter_ns()
        while self.on:
            await asyncio.sleep(TICK_S)
            self.at.work(turn)
            turn, now = turn + 1, time.perf_counter_ns()
            self.loop_stamps.append((now, now - last))
            last = now

    def in_thread(self) -> None:
        """Tick in a thread."""
        turn, last = 7, time.perf_counter_ns()
        while self.on:
            time.sleep(TICK_S)
            self.at.work(turn)
            turn, now = turn + 1, time.perf_counter_ns()
            self.thread_stamps.append((now, now - last))
            last = now

    def small_work(self) -> None:
        """What other threads of a service do."""
        while self.on:
            for turn in range(4):
                self.at.work(turn)
            time.sleep(0.001)


def start(method: str, update: methods.Update, patch: str) -> Future[Any]:
    """Begin the update without waiting for it, from the event loop."""
    if method.startswith("suture"):
        import suture

        return suture.apply_soon(patch)
    done: Future[Any] = Future()

    def body() -> None:
        try:
            done.set_result(update())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=body, daemon=True).start()
    return done


def child(task: rig.Row) -> rig.Row:
    """Run one service and update it once."""
    at = service.Service(Path(task["live"]), Path(task["new"]), task["functions"])
    heap = ballast(task["objects"])
    gc.collect()
    method = task["method"]
    update = methods.METHODS[method](at, task["patch"])
    ticks = Ticks(at)
    spans: list[int] = []
    outcome: list[Any] = []

    async def main() -> None:
        ticking = asyncio.ensure_future(ticks.in_loop())
        await asyncio.sleep(0.3 + BEFORE_S)
        spans.append(time.perf_counter_ns())
        future = start(method, update, task["patch"])
        spans.append(time.perf_counter_ns())
        try:
            outcome.append(await asyncio.wrap_future(future))
        finally:
            spans.append(time.perf_counter_ns())
            await asyncio.sleep(0.1)
            ticks.on = False
            await ticking

    rig.be_realtime(task)
    for work in (ticks.in_thread, ticks.small_work):
        threading.Thread(target=work, daemon=True).start()
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())  # epoll rounds a tick up to a millisecond
    try:
        loop.run_until_complete(main())
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:110]}
    began, handed, ended = spans
    row: rig.Row = {
        "update_ms": (ended - began) / 1e6,
        "handed_us": (handed - began) / 1e3,
        "heap": len(heap) * 4,
        **at.seen(),
        **methods.check(outcome[0]),
    }
    for name, stamps in (("thread", ticks.thread_stamps), ("loop", ticks.loop_stamps)):
        during = sorted(g for when, g in stamps if began <= when <= ended + TAIL_NS)
        row[name] = {
            "max": during[-1] / 1e6,
            "p99": during[int(len(during) * 0.99)] / 1e6,
            "p50": during[len(during) // 2] / 1e6,
            "n": len(during),
        }
        quiet_until = ended if method == "nothing" else began
        row[name]["quiet"] = [(when / 1e6, gap / 1e6) for when, gap in stamps if began - BEFORE_S * 1e9 <= when <= quiet_until]
    return row


# ---------------------------------------------------------------- the parent: rounds and tables


def window_max(quiet: list[list[float]], length_ms: float) -> float:
    """Longest gap to be expected in a quiet window of that length: median over the windows that fit."""
    if not quiet:
        return 0.0
    first, last = quiet[0][0], quiet[-1][0]
    count = max(1, int((last - first) / length_ms))
    longest = [0.0] * count
    for when, gap in quiet:
        place = min(count - 1, int((when - first) / length_ms))
        longest[place] = max(longest[place], gap)
    return statistics.median(longest)


def one_round(
    args: Any,
    python: str,
    trees: dict[int, tuple[Path, Path, Path]],
    where: Path,
    case: tuple[int, int],
    names: list[str],
    turn: int,
) -> dict[str, rig.Row]:
    """All methods once, the order turned by one each round."""
    functions, objects = case
    old, new, patch = trees[functions]
    rows: dict[str, rig.Row] = {}
    for method in names[turn % len(names) :] + names[: turn % len(names)]:
        live = where / "live"
        shutil.rmtree(live, ignore_errors=True)
        shutil.copytree(old, live)
        task = {
            "method": method,
            "functions": functions,
            "objects": objects,
            "live": str(live),
            "new": str(new),
            "patch": str(patch),
        }
        limit_s = args.limit + objects / 250_000
        rows[method] = rig.run_child(__file__, python, task, limit_s=limit_s, realtime=args.rt)
    control = rows["nothing"]
    for row in rows.values():
        for side in ("thread", "loop"):
            if "error" not in row and "error" not in control:
                row[side]["control"] = window_max(control[side]["quiet"], row["update_ms"] + TAIL_NS / 1e6)
                row[side]["extra"] = row[side]["max"] - row[side]["control"]
    for method, row in rows.items():
        rig.log_row(
            args.json,
            {
                "bench": "stall",
                "python": rig.version_of(python),
                "method": method,
                "functions": functions,
                "objects": objects,
                **row,
            },
        )
        for side in ("thread", "loop"):
            row.get(side, {}).pop("quiet", None)
    if "error" in control:
        return {m: r if "error" in r else {"error": f"no control: {control['error']}"} for m, r in rows.items()}
    return rows


def show(case: tuple[int, int], names: list[str], rounds: list[dict[str, rig.Row]]) -> None:
    """The table of one case."""
    columns = [
        "method",
        "update",
        "gap-control",
        "p99",
        "longest",
        "/suture",
        "worst",
        "loop:gap-control",
        "p99",
        "longest",
        "worst",
        "cpu slice",
        "new code in held/bound/by name",
    ]
    lines = []
    base = rig.median_of([r["suture"] for r in rounds], lambda r: r["thread"]["max"])
    for method in names:
        rows = [r[method] for r in rounds]
        good = [r for r in rows if "error" not in r]
        if not good:
            lines.append([method, *["-"] * 11, rig.error_of(rows)])
            continue
        cells = [method, rig.number(rig.median_of(good, lambda r: r["update_ms"]), 1)]
        for side in ("thread", "loop"):
            extra, p99, longest = (rig.median_of(good, lambda r, s=side, k=key: r[s][k]) for key in ("extra", "p99", "max"))
            cells += [rig.number(extra), rig.number(p99), rig.number(longest), rig.number(max(r[side]["max"] for r in good))]
            if side == "thread":
                cells.insert(5, rig.ratio(longest, base))
        cells.append(rig.number(rig.median_of(good, lambda r: r["slice_cpu_ms"]), 3) if "slice_cpu_ms" in good[0] else "-")
        lowest = {k: min(r[k] for r in good) for k in ("held", "bound", "name")}
        cells.append(
            " ".join("-" if v < 0 or method == "nothing" else f"{v:.0%}" for v in lowest.values())
            + ("  " + rig.error_of(rows) if len(good) < len(rows) else "")
        )
        lines.append(cells)
    functions, objects = case
    sections = min(functions, service.MODULES)
    title = f"{functions:,} function{'s' * (functions > 1)} in {sections} of {service.MODULES} modules, heap of {objects / 1e6:g} M objects, {len(rounds)} rounds; ms, medians over rounds"
    rig.table(title, columns, lines)
    for method in names:
        spent = [f"{r[method]['slice_cpu_ms']:.2f} {r[method]['slice_in']}" for r in rounds if r[method].get("slice_in")]
        if spent:
            print(f"  {method}'s longest slices by CPU time, ms: {'; '.join(spent)}")


def judge(side: str, extra: float | None, noise: float | None) -> bool:
    """Say whether the goal is met, unless the machine is too restless to tell."""
    goal = f"{side}: longest gap with - without <= {GOAL_MS:g} ms"
    if extra is not None and noise is not None and noise > 2 * GOAL_MS:
        print(
            f"  goal {goal}: {extra:.3g} ms, CAN'T BE TOLD: the control's own longest gap is {noise:.3g} ms (a quiet machine, or --rt)"
        )
        return False
    return rig.verdict(goal, extra, GOAL_MS, " ms")


def main() -> int:
    made = rig.parser(__doc__ or "")
    made.add_argument("--functions", default="", help="sizes, default 1,100,1000 (--quick: 1,100)")
    made.add_argument(
        "--heaps", default="", help="million objects, default 0.1,1,5 (--quick: 0.1); from 3 on only suture and nothing"
    )
    made.add_argument("--methods", default=";".join(ALL), help="separated by ';'")
    made.add_argument("--limit", type=float, default=60, help="seconds for one child (and 4 more a million objects)")
    made.add_argument(
        "--rt",
        action="store_true",
        help="real-time scheduling in the children: keeps other work of the machine out (needs the right to)",
    )
    args = made.parse_args()
    sizes = [int(s) for s in (args.functions or ("1,100" if args.quick else "1,100,1000")).split(",")]
    heaps = [round(float(h) * 1e6) for h in (args.heaps or ("0.1" if args.quick else "0.1,1,5")).split(",")]
    if args.quick:
        args.limit = min(args.limit, 15)
    if args.rt and not rig.can_be_realtime():
        raise SystemExit("--rt: this user may not use real-time scheduling here")
    met = True
    for python in rig.chosen(args):
        inside, peers = rig.with_peers(python, wanted=not args.no_peers)
        rig.head("stall", python, peers, "real-time scheduling" if args.rt else "ordinary scheduling")
        names = methods.available(peers, args.methods.split(";"))
        with rig.scratch() as where:
            old = service.write(where / "old", 0)
            trees = {}
            for functions in sizes:
                new, patch = service.write(where / f"new{functions}", functions), where / f"fix{functions}.suture"
                rig.build_patch(old, new, patch)
                trees[functions] = (old, new, patch)
            for objects in heaps:
                for functions in sizes:
                    case = (functions, objects)
                    these = [n for n in names if n in BIG_HEAP] if objects >= 3_000_000 else names
                    given_up: set[str] = set()
                    rounds: list[dict[str, rig.Row]] = []
                    for turn in range(args.rounds or (3 if args.quick else 5)):
                        rows = one_round(args, inside, trees, where, case, [n for n in these if n not in given_up], turn)
                        given_up |= {n for n, r in rows.items() if str(r.get("error", "")).startswith("not done")}
                        rounds.append({n: rows.get(n, {"error": f"not done in {args.limit:g} s"}) for n in these})
                    show(case, these, rounds)
                    for side in ("thread", "loop"):
                        extra = rig.median_of([r["suture"] for r in rounds], lambda r, s=side: r[s]["extra"])
                        noise = rig.median_of([r["nothing"] for r in rounds], lambda r, s=side: r[s]["max"])
                        met &= judge(side, extra, noise)
    return 0 if met or not args.strict else 1


if __name__ == "__main__":
    TASK = rig.child_task()
    if TASK is not None:
        rig.end_child(child(TASK))
    sys.exit(main())
