"""
What does a call of a patched function cost, beside one of a function that never was patched?

Five kinds: plain, method, closure, decorated, and `fitted` (a method whose new version has a `super()` that the old one didn't,
so that its code had to be made to fit).  Each way of patching gets its own copy of the module and its own callers, warmed on the
old version.  All callers of a process are measured in turn, round after round; the best of the rounds counts, less an empty
loop; the ratio to the unpatched new version is the median over some processes.
"""

from __future__ import annotations

import functools
import gc
import importlib
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import rig

CALLS = 20_000
WARM_UP = 3
KINDS = ("plain", "method", "closure", "decorated", "fitted")
WAYS = ("unpatched", "unpatched again", "suture", "setattr", "jurigged", "wrapper")
MODULE = "priced"
GOAL = 1.02

TEXT = '''"""
Five kinds of functions.
"""

import functools


def counted(function):
    @functools.wraps(function)
    def wrapper(a, b):
        return function(a, b)

    return wrapper


def plain(a, b):
    return {body}


class Base:
    def fitted(self, a, b):
        return a + b


class Thing(Base):
    def method(self, a, b):
        return {body}

    def fitted(self, a, b):
        return {fitted}


def make(offset):
    def inner(a, b):
        return {body} + offset

    return inner


closure = make(1)


@counted
def decorated(a, b):
    return {body}
'''
OLD = TEXT.format(body="a + b", fitted="b + a")
NEW = TEXT.format(body="b * a + a", fitted="super().fitted(b, a) + 2")
RESULTS = {"plain": 6, "method": 6, "closure": 7, "decorated": 6, "fitted": 6}  # of (2, 2) in the new version
OUTSIDE = "def fitted(self, a, b):\n    return super(Thing, self).fitted(b, a) + 2\n"  # a bare super() needs the class's cell


# ---------------------------------------------------------------- the child: all ways in one process


def caller(body: str = "f(2, 2)") -> Callable[[Any, Any], None]:
    """A loop with code of its own, so that its inline caches start cold."""
    space: dict[str, Any] = {}
    exec(f"def call(f, turns):\n    for _ in turns:\n        {body}\n", space)
    made: Callable[[Any, Any], None] = space["call"]
    return made


def held_by(module: ModuleType, thing: Any) -> dict[str, Callable[[int, int], int]]:
    """The five callables, as a program that looks them up now would hold them."""
    return {
        "plain": module.plain,
        "method": thing.method,
        "closure": module.closure,
        "decorated": module.decorated,
        "fitted": thing.fitted,
    }


def by_suture(module: Any, task: rig.Row) -> list[str]:
    """Apply the patch; its findings."""
    import suture

    report = suture.apply(task["patch"])
    report.raise_for_findings()
    return [f"{f.severity} {f.code} {f.target}" for f in report.findings]


def by_setattr(module: Any, task: rig.Row) -> None:
    """Put new objects under the old names, as the plainest hotfix does."""
    new = importlib.import_module(f"{MODULE}_setattr_new")
    module.plain, module.closure, module.decorated = new.plain, new.closure, new.decorated
    module.Thing.method, module.Thing.fitted = new.Thing.method, _outside(module)


def by_wrapper(module: Any, task: rig.Row) -> None:
    """Put a wrapper that calls the new version under each name, as tools that redirect calls do."""

    def redirect(target: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(target)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return target(*args, **kwargs)

        return wrapper

    new = importlib.import_module(f"{MODULE}_wrapper_new")
    module.plain, module.closure, module.decorated = redirect(new.plain), redirect(new.closure), redirect(new.decorated)
    module.Thing.method, module.Thing.fitted = redirect(new.Thing.method), redirect(_outside(module))


def by_jurigged(module: Any, task: rig.Row) -> None:
    """Write the new version over the file and let jurigged take it in."""
    from jurigged.live import Watcher
    from jurigged.register import registry

    failures: list[BaseException] = []
    registry.set_logger(lambda event: failures.append(event) if isinstance(event, BaseException) else None)
    registry.prepare(module.__name__, module.__file__)
    watcher = Watcher(registry)
    Path(module.__file__).write_text(NEW)
    watcher.refresh(module.__file__)
    if failures:
        raise failures[0]


def _outside(module: Any) -> Any:
    space: dict[str, Any] = {"Thing": module.Thing}
    exec(OUTSIDE, space)
    return space["fitted"]


PATCHES: dict[str, Callable[[Any, rig.Row], Any]] = {
    "suture": by_suture,
    "setattr": by_setattr,
    "jurigged": by_jurigged,
    "wrapper": by_wrapper,
}


def child(task: rig.Row) -> rig.Row:
    """Patch a module in each way, then time all of them in turn."""
    sys.path.insert(0, task["folder"])
    measured: list[tuple[str, Any, Any]] = []  # (way/kind, callable, its caller)
    row: rig.Row = {"notes": {}, "findings": []}
    for way in task["ways"]:
        module = importlib.import_module(_copy(way))
        thing = module.Thing()
        held = held_by(module, thing)
        callers = {kind: caller() for kind in KINDS}
        for kind in KINDS:
            for _ in range(5):
                callers[kind](held[kind], [None] * 2_000)
        try:
            if way in PATCHES:
                row["findings"] += PATCHES[way](module, task) or ()
        except Exception as error:
            row["notes"] |= {f"{way}/{kind}": f"{type(error).__name__}: {error}"[:110] for kind in KINDS}
            continue
        for kind, named in held_by(module, thing).items():
            called, note = _newer(held[kind], named, RESULTS[kind])
            if note:
                row["notes"][f"{way}/{kind}"] = note
            if called is not None:
                measured.append((f"{way}/{kind}", called, callers[kind]))
    measured.append(("empty", None, caller("pass")))
    best = _measure(measured, task)
    empty = best.pop("empty")
    row["ns"] = {name: ns - empty for name, ns in best.items()}
    return row


def _copy(way: str) -> str:
    return f"{MODULE}_{way.replace(' ', '_')}"


def _newer(held: Any, named: Any, wanted: int) -> tuple[Any, str]:
    """The callable that runs the new version (one held since before, if it does), and what there is to say."""
    try:
        if held(2, 2) == wanted:
            return held, ""
        return (named, "held stays old") if named(2, 2) == wanted else (None, "stays old")
    except Exception as error:
        return None, f"raises {type(error).__name__}: {error}"


def _measure(measured: list[tuple[str, Any, Any]], task: rig.Row) -> dict[str, float]:
    """Best ns a call of each, all of them once a round."""
    best = [float("inf")] * len(measured)
    turns = [None] * CALLS
    clock = time.perf_counter_ns
    gc.collect()
    gc.disable()
    rig.be_realtime(task)
    for turn in range(task["rounds"] + WARM_UP):
        for i, (_, function, call) in enumerate(measured):
            began = clock()
            call(function, turns)
            spent = (clock() - began) / CALLS
            if turn >= WARM_UP:
                best[i] = min(best[i], spent)
    return {name: best[i] for i, (name, _, _) in enumerate(measured)}


# ---------------------------------------------------------------- the parent


def write(folder: Path) -> Path:
    """Write each way's copy of the module (the child imports them from one folder) and build suture's patch."""
    for way in WAYS:
        (folder / f"{_copy(way)}.py").write_text(OLD if way in PATCHES else NEW)
        (folder / f"{_copy(way)}_new.py").write_text(NEW)
    for side, text in (("before", OLD), ("after", NEW)):
        (folder / side).mkdir()
        (folder / side / f"{_copy('suture')}.py").write_text(text)
    patch = folder / "priced.suture"
    rig.build_patch(folder / "before", folder / "after", patch)
    return patch


def show(version: str, rows: list[rig.Row], ways: list[str]) -> dict[str, float]:
    """Print the table of one interpreter; suture's ratios by kind."""
    good = [r for r in rows if "error" not in r]
    if not good:
        print(f"\n  {version}: {rig.error_of(rows)}")
        return {}
    ratios: dict[str, float] = {}
    lines = []
    for way in ways:
        cells, notes = [way], {}
        for kind in KINDS:
            key = f"{way}/{kind}"
            pairs = [(r["ns"][key], r["ns"][f"unpatched/{kind}"]) for r in good if key in r["ns"]]
            note = good[0]["notes"].get(key, "" if pairs else "not measured")
            if note:
                notes.setdefault(note, []).append(kind)
            if not pairs:
                cells.append("-")
                continue
            found = statistics.median(a / b for a, b in pairs)
            cells.append(f"{statistics.median(a for a, _ in pairs):.1f} x{found:.3f}")
            if way == "suture":
                ratios[kind] = found
        lines.append([*cells, "; ".join(f"{', '.join(kinds)}: {note}" for note, kinds in notes.items())])
    title = f"CPython {version}: ns a call and ratio to the unpatched new version; best of rounds, median of {len(good)} processes"
    rig.table(title, ["way", *KINDS, ""], lines)
    for finding in sorted({f for r in good for f in r["findings"]}):
        print(f"  suture says: {finding}")
    return ratios


def main() -> int:
    made = rig.parser(__doc__ or "")
    made.add_argument("--processes", type=int, default=0, help="child processes an interpreter (default 5; --quick: 3)")
    made.add_argument("--rt", action="store_true", help="real-time scheduling in the children (needs the right to)")
    args = made.parse_args()
    rounds, processes = args.rounds or (30 if args.quick else 60), args.processes or (3 if args.quick else 5)
    found: dict[str, dict[str, float]] = {}
    for python in rig.chosen(args):
        version = rig.version_of(python)
        inside, peers = rig.with_peers(python, wanted=not args.no_peers)
        rig.head("call cost", python, peers)
        ways = [w for w in WAYS if w != "jurigged" or w in peers]
        if "jurigged" not in ways:
            print("# left out, not installed: jurigged")
        rows = []
        for _ in range(processes):
            with rig.scratch() as folder:
                task = {"folder": str(folder), "patch": str(write(folder)), "ways": ways, "rounds": rounds}
                row = rig.run_child(__file__, inside, task, limit_s=180, realtime=args.rt)
            rig.log_row(args.json, {"bench": "call_cost", "python": version, **row})
            rows.append(row)
        found[version] = show(version, rows, ways)
    if len(found) > 1:
        lines = [[v, *(f"{k[kind]:.3f}" if kind in k else "-" for kind in KINDS), ""] for v, k in found.items()]
        rig.table("suture, patched / unpatched, all Pythons", ["CPython", *KINDS, ""], lines)
    met = True
    for version, kinds in found.items():
        met &= rig.verdict(
            f"{version}: patched / unpatched <= {GOAL}", max(kinds.values()) if len(kinds) == len(KINDS) else None, GOAL, ""
        )
    return 0 if met or not args.strict else 1


if __name__ == "__main__":
    TASK = rig.child_task()
    if TASK is not None:
        rig.end_child(child(TASK))
    sys.exit(main())
