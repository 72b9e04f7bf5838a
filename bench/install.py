"""
What does an agent cost a program that has it: time of ``install()``, memory, CPU while nobody calls, warnings at forks?

The program is asyncio with json, and has imported both.  Time: the call itself, and what the first question that needs the engine
pays for making it.  Memory: USS and RSS from /proc while nobody has called, and once a caller has been served.  Idle: the agent thread's own CPU time and wake-ups, by
the kernel's word.  Forks: DeprecationWarnings of 30 forks; the control starts a thread in the fork hook, as is often done.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
import warnings
from typing import Any

import footprint
import rig

INSTALL_GOAL_MS, MEMORY_GOAL_MIB, IDLE_GOAL_MS = 20.0, 3.0, 1.0
STATES = ("nothing", "nothing again", "suture, imported", "suture, engine", "suture, installed", "suture, served")
FORKS = 30


# ---------------------------------------------------------------- children


def child(task: rig.Row) -> rig.Row:
    """One measurement."""
    os.environ["SUTURE_DIR"] = task["run_dir"]
    does = {"time": timed, "memory": memory, "idle": idle, "forks": forks}
    return does[task["what"]](task)


def installed() -> Any:
    """Install, and wait until all is loaded."""
    import suture

    suture.install(service="bench")
    from suture.agent import boot

    while boot.server()._native == 0 or not boot.server().path:
        time.sleep(0.001)
    return boot


def timed(task: rig.Row) -> rig.Row:
    began = time.perf_counter()
    import suture

    imported = time.perf_counter()
    suture.install(service="bench")
    done = time.perf_counter()
    boot = installed()
    asked = time.perf_counter()
    suture.status()
    ready = time.perf_counter()
    failure = boot.failure()
    suture.uninstall()
    row: rig.Row = {
        "import_ms": (imported - began) * 1e3,
        "install_ms": (done - imported) * 1e3,
        "engine_ms": (ready - asked) * 1e3,
    }
    return {"error": failure} if failure else row


def memory(task: rig.Row) -> rig.Row:
    async def handle(turn: int) -> int:
        await asyncio.sleep(0)
        return len(json.dumps(json.loads('{"levels": [1, 2, 3], "name": "rule"}'))) + turn

    async def program() -> None:
        await asyncio.gather(*(handle(i) for i in range(200)))
        bring(task["state"])
        await asyncio.gather(*(handle(i) for i in range(200)))

    asyncio.run(program())
    gc.collect()
    uss, rss = footprint.private_and_resident()
    return {"uss": uss, "rss": rss}


def bring(state: str) -> None:
    """Bring the program into *state*."""
    if state == "suture, imported":
        import suture  # noqa: F401
    elif state == "suture, engine":
        import suture

        suture.status()
    elif state in ("suture, installed", "suture, served"):
        boot = installed()
        if state.endswith("served"):
            ask(boot.server().path)


def ask(path: str) -> None:
    """One caller, in another process: its own memory doesn't count."""
    code = (
        "import socket, sys\nfrom suture import wire\nfrom suture.agent import rundir\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "with rundir.Address(sys.argv[1]) as name: s.connect(name)\n"
        "s.sendall(b''.join([*wire.encode(wire.Hello(wire.WIRE)), *wire.encode(wire.Status(1))]))\n"
        "d = wire.Decoder(agent=False)\ngot = []\n"
        "while len(got) < 2: got += d.feed(s.recv(65536))\n"
    )
    status = os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code, path])
    assert status == 0, status


def idle(task: rig.Row) -> rig.Row:
    boot = installed()
    where = f"/proc/self/task/{boot.server()._native}"

    def look() -> tuple[float, int]:
        with open(f"{where}/schedstat", encoding="ascii") as file:
            spent = int(file.read().split()[0]) / 1e6
        with open(f"{where}/status", encoding="ascii") as file:
            return spent, next(int(line.split()[1]) for line in file if line.startswith("voluntary"))

    time.sleep(0.5)
    before = look()
    time.sleep(task["seconds"])
    after = look()
    return {"cpu_ms": after[0] - before[0], "wakes": after[1] - before[1]}


def forks(task: rig.Row) -> rig.Row:
    warned: list[str] = []
    warnings.simplefilter("always")
    warnings.showwarning = lambda message, *_: warned.append(str(message))  # type: ignore[assignment]
    if task["state"] == "control":
        hook_that_starts_a_thread()
    elif task["state"] == "suture":
        installed()
    began = time.perf_counter()
    for _ in range(FORKS):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    return {"warned": len(warned), "fork_ms": (time.perf_counter() - began) / FORKS * 1e3}


def hook_that_starts_a_thread() -> None:
    """Stopped and joined before a fork, started again in the hook after it."""
    import threading

    now: list[tuple[threading.Event, threading.Thread]] = []

    def start() -> None:
        event = threading.Event()
        now[:] = [(event, threading.Thread(target=event.wait, daemon=True))]
        now[0][1].start()

    def stop() -> None:
        now[0][0].set()
        now[0][1].join()

    start()
    os.register_at_fork(before=stop, after_in_parent=start)


# ---------------------------------------------------------------- tables


def rounds_of(args: Any, python: str, tasks: dict[str, rig.Row], rounds: int, limit_s: float = 60) -> dict[str, list[rig.Row]]:
    """Rows by label, in rounds that alternate; the first, which writes byte code, doesn't count."""
    found: dict[str, list[rig.Row]] = {label: [] for label in tasks}
    with rig.scratch() as where:
        for turn in range(rounds + 1):
            for label, task in tasks.items():
                row = rig.run_child(__file__, python, {**task, "run_dir": str(where / "run")}, limit_s=limit_s)
                rig.log_row(args.json, {"bench": "install", "python": rig.version_of(python), "label": label, **task, **row})
                if turn:
                    found[label].append(row)
    return found


def one(args: Any, python: str) -> bool:
    """All tables of one interpreter; True if the goals are met."""
    rounds = args.rounds or (5 if args.quick else 15)
    rows = rounds_of(args, python, {"time": {"what": "time"}}, rounds)["time"]
    lines = []
    labels = {"import_ms": "import suture", "install_ms": "install()", "engine_ms": "the first use of the engine"}
    for key, label in labels.items():
        values = [r[key] for r in rows if "error" not in r]
        middle = rig.number(rig.median_of(rows, lambda r, k=key: r[k]))
        lines.append([label, middle, *(rig.number(f(values, default=None)) for f in (min, max)), rig.error_of(rows)])
    rig.table(f"in an asyncio + json program: ms, {rounds} children", ["", "median", "best", "worst", ""], lines)
    middle_ms = rig.median_of(rows, lambda r: r["install_ms"])
    met = rig.verdict(f"install() <= {INSTALL_GOAL_MS:g} ms", middle_ms, INSTALL_GOAL_MS, " ms")

    found = rounds_of(args, python, {s: {"what": "memory", "state": s} for s in STATES}, max(3, rounds // 2))
    middle = {s: {k: rig.median_of(found[s], lambda r, k=k: r[k]) for k in ("uss", "rss")} for s in STATES}
    lines = []
    for state in STATES:
        cells = []
        for key in ("uss", "rss"):
            here, base = middle[state][key], middle["nothing"][key]
            cells.append("-" if here is None or base is None else rig.number(here) if state == "nothing" else f"{here - base:+.2f}")
        lines.append([state, *cells, rig.error_of(found[state])])
    rig.table("memory over an asyncio + json program: MiB, medians", ["state", "USS", "RSS", ""], lines)
    still, control = middle["suture, installed"]["uss"], middle["nothing"]["uss"]
    more = None if still is None or control is None else still - control
    met &= rig.verdict(f"installed, and nobody has asked <= {MEMORY_GOAL_MIB:g} MiB", more, MEMORY_GOAL_MIB, " MiB")

    seconds = 10 if args.quick else 30
    (row,) = rounds_of(args, python, {"idle": {"what": "idle", "seconds": seconds}}, 1, limit_s=seconds + 60)["idle"]
    rig.table(
        f"agent's thread, {seconds} s idle",
        ["CPU ms", "wake-ups", ""],
        [[rig.number(row.get("cpu_ms")), str(row.get("wakes", "-")), row.get("error", "")]],
    )
    met &= rig.verdict(
        f"idle <= {IDLE_GOAL_MS:g} ms CPU a 10 s", row["cpu_ms"] * 10 / seconds if "cpu_ms" in row else None, IDLE_GOAL_MS, " ms"
    )

    tasks: dict[str, rig.Row] = {s: {"what": "forks", "state": s} for s in ("nothing", "control", "suture")}
    found = rounds_of(args, python, tasks, 3)
    lines = []
    for state, rows in found.items():
        warned = sum(r.get("warned", 0) for r in rows)
        lines.append(
            [state, f"{warned} of {FORKS * len(rows)}", rig.number(rig.median_of(rows, lambda r: r["fork_ms"])), rig.error_of(rows)]
        )
    rig.table("forks of a process with no other thread", ["", "warned", "ms a fork", ""], lines)
    whole = [r["warned"] for r in found["suture"] if "warned" in r]
    return met & rig.verdict("fork warnings = 0", float(sum(whole)) if len(whole) == 3 else None, 0.0, "")


def main() -> int:
    args = rig.parser(__doc__ or "").parse_args()
    met = True
    for python in rig.chosen(args):
        rig.head("install", python, {})
        met &= one(args, python)
    return 0 if met or not args.strict else 1


if __name__ == "__main__":
    TASK = rig.child_task()
    if TASK is not None:
        rig.end_child(child(TASK))
    sys.exit(main())
