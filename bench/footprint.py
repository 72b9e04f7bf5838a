"""
What does suture cost a program that has it: time to import, memory once the engine is loaded?

Import: a fresh interpreter times the import statement itself (its own start is not in it); the wall clock of whole children, less
that of an empty one, stands beside.  Memory: children that are an asyncio program with json, in the same state but for the tool;
private memory (USS) and resident memory (RSS) from /proc.  All in rounds that alternate.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import methods
import rig
import service

IMPORTS = {  # what is timed, by its row
    "nothing": "pass",
    "suture": "import suture",
    "suture, engine": "import suture; suture.status()",
    "json": "import json",
    "asyncio": "import asyncio",
    "ipython": "import IPython.extensions.autoreload",
    "jurigged": "import jurigged",
}
STATES = ("nothing", "nothing again", "suture, imported", "suture, planned", "suture, applied", "ipython", "jurigged")
LOADED = "suture, applied"
IMPORT_GOAL_MS, MEMORY_GOAL_MIB = 10.0, 3.0
TIMED = """import sys, time
sys.path.insert(0, {source!r})
began, before = time.perf_counter_ns(), len(sys.modules)
{statement}
spent = time.perf_counter_ns() - began
print('[%f, %d]' % (spent / 1e6, len(sys.modules) - before))"""


# ---------------------------------------------------------------- import


def timed_import(python: str, name: str) -> rig.Row:
    """Import in a fresh interpreter; milliseconds of the statement and of the whole child."""
    code = TIMED.format(source=str(rig.SOURCE), statement=IMPORTS[name])
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    began = time.perf_counter_ns()
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, env=env)
    whole_ms = (time.perf_counter_ns() - began) / 1e6
    if done.returncode != 0:
        return {"error": (done.stderr.strip().splitlines() or ["?"])[-1][:100]}
    ms, modules = json.loads(done.stdout)
    return {"ms": ms, "modules": modules, "child_ms": whole_ms}


def imports(args: Any, python: str, names: list[str], rounds: int) -> bool:
    """Table of the import times; True if the goal is met."""
    found: dict[str, list[rig.Row]] = {n: [] for n in names}
    for turn in range(rounds + 1):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            row = timed_import(python, name)
            rig.log_row(args.json, {"bench": "import", "python": rig.version_of(python), "what": name, **row})
            if turn:  # the first one writes the byte code
                found[name].append(row)
    base = rig.median_of(found["suture"], lambda r: r["ms"])
    empty = rig.median_of(found["nothing"], lambda r: r["child_ms"]) or 0.0
    lines = []
    for name in names:
        rows = [r for r in found[name] if "error" not in r]
        if not rows:
            lines.append([name, *["-"] * 6, rig.error_of(found[name])])
            continue
        middle = rig.median_of(rows, lambda r: r["ms"])
        child_ms = rig.median_of(rows, lambda r: r["child_ms"]) or 0.0
        spread = (min(r["ms"] for r in rows), max(r["ms"] for r in rows))
        lines.append(
            [
                name,
                rig.number(middle),
                *map(rig.number, spread),
                rig.ratio(middle, base),
                rig.number(child_ms - empty, 1),
                str(rows[0]["modules"]),
                "",
            ]
        )
    title = f"import in a fresh interpreter: ms, {rounds} children each"
    rig.table(title, ["import", "median", "best", "worst", "/suture", "child - empty child", "modules", ""], lines)
    return rig.verdict(f"import suture <= {IMPORT_GOAL_MS:g} ms", base, IMPORT_GOAL_MS, " ms")


# ---------------------------------------------------------------- memory


def private_and_resident() -> tuple[float, float]:
    """USS and RSS of this process in MiB."""
    kib = {"Private_Clean": 0, "Private_Dirty": 0, "Rss": 0}
    with open("/proc/self/smaps_rollup", encoding="ascii") as file:
        for line in file:
            key, _, rest = line.partition(":")
            if key in kib:
                kib[key] = int(rest.split()[0])
    return (kib["Private_Clean"] + kib["Private_Dirty"]) / 1024, kib["Rss"] / 1024


def child(task: rig.Row) -> rig.Row:
    """An asyncio program with json that is brought into one state, then measured."""
    at = service.Service(Path(task["live"]), Path(task["new"]), task["functions"])

    async def handle(turn: int) -> int:
        await asyncio.sleep(0)
        at.work(turn)
        return len(json.dumps(json.loads('{"levels": [1, 2, 3], "name": "rule"}')))

    async def program() -> Any:
        await asyncio.gather(*(handle(i) for i in range(200)))
        outcome = bring(task["state"], at, task["patch"])
        await asyncio.gather(*(handle(i) for i in range(200)))
        return outcome

    row = methods.check(asyncio.run(program()))
    gc.collect()
    row["uss"], row["rss"] = private_and_resident()
    return row


def bring(state: str, at: service.Service, patch: str) -> Any:
    """Bring the program into *state*."""
    if state.startswith("nothing"):
        return None
    if state.startswith("suture"):
        import suture

        does: dict[str, Callable[[], Any]] = {
            "imported": lambda: None,
            "planned": lambda: suture.plan(patch),
            "applied": lambda: suture.apply(patch),
        }
        return does[state.partition(", ")[2]]()
    return methods.METHODS[state](at, patch)()


def memory(args: Any, python: str, peers: dict[str, str], rounds: int) -> bool:
    """Tables of the memory; True if the goal is met."""
    if not Path("/proc/self/smaps_rollup").exists():
        print("\n  memory: not measured, this system has no /proc/self/smaps_rollup")
        return False
    met = True
    names = methods.available(peers, list(STATES))
    with rig.scratch() as where:
        old = service.write(where / "old", 0)
        for functions in (1,) if args.quick else (1, 100):
            new, patch = service.write(where / f"new{functions}", functions), where / f"fix{functions}.suture"
            rig.build_patch(old, new, patch)
            found: dict[str, list[rig.Row]] = {n: [] for n in names}
            for turn in range(rounds + 1):
                for state in names[turn % len(names) :] + names[: turn % len(names)]:
                    live = where / f"live-{state}"
                    task = {"state": state, "functions": functions, "live": str(live), "new": str(new), "patch": str(patch)}
                    if turn == 0 or state in peers:  # peers change the files that they read
                        shutil.rmtree(live, ignore_errors=True)
                        shutil.copytree(old, live)
                        rig.run_child(
                            __file__, python, {**task, "state": "nothing"}, limit_s=60
                        )  # compiling its modules would count
                    row = rig.run_child(__file__, python, task, limit_s=60)
                    rig.log_row(
                        args.json,
                        {"bench": "memory", "python": rig.version_of(python), "state": state, "functions": functions, **row},
                    )
                    if turn:  # byte code of the tool itself is written in the first
                        found[state].append(row)
            met &= show_memory(functions, names, found)
    return met


def show_memory(functions: int, names: list[str], found: dict[str, list[rig.Row]]) -> bool:
    """The table of one size."""
    middle = {s: {k: rig.median_of(found[s], lambda r, k=k: r[k]) for k in ("uss", "rss")} for s in names}
    control = middle["nothing"]
    more: dict[str, float] = {}
    lines = []
    for state in names:
        uss, rss = middle[state]["uss"], middle[state]["rss"]
        if uss is None or rss is None or control["uss"] is None or control["rss"] is None:
            lines.append([state, *["-"] * 4, rig.error_of(found[state] + found["nothing"])])
            continue
        values = [r["uss"] for r in found[state] if "error" not in r]
        more[state] = uss - control["uss"]
        own = [rig.number(uss), rig.number(rss)] if state == "nothing" else [f"{more[state]:+.2f}", f"{rss - control['rss']:+.2f}"]
        lines.append([state, *own, rig.number(max(values) - min(values)), "", ""])
    for line in lines:
        if line[0] in more and not line[0].startswith("nothing") and more.get(LOADED, 0.0) > 0:
            line[4] = rig.ratio(more[line[0]], more[LOADED])
    rounds = len(found["nothing"])
    title = f"memory over an asyncio + json program, {functions} function{'s' * (functions > 1)} changed: MiB, medians of {rounds} children each"
    rig.table(title, ["state", "USS", "RSS", "USS spread", f"/{LOADED}", ""], lines)
    return rig.verdict(f"footprint with the engine loaded <= {MEMORY_GOAL_MIB:g} MiB", more.get(LOADED), MEMORY_GOAL_MIB, " MiB")


def main() -> int:
    args = rig.parser(__doc__ or "").parse_args()
    met = True
    for python in rig.chosen(args):
        inside, peers = rig.with_peers(python, wanted=not args.no_peers)
        rig.head("footprint", python, peers)
        met &= imports(args, inside, methods.available(peers, list(IMPORTS)), args.rounds or (7 if args.quick else 25))
        met &= memory(args, inside, peers, args.rounds or (3 if args.quick else 9))
    return 0 if met or not args.strict else 1


if __name__ == "__main__":
    TASK = rig.child_task()
    if TASK is not None:
        rig.end_child(child(TASK))
    sys.exit(main())
