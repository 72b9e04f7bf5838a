"""
Adjacent releases of other people's distributions: can the difference be carried into a live process, and is it then the new release?

For each pair of `releases.json`: two wheels through pip, `suture build`; a process that has all of the old release imported (its
dependencies beside it) and used a little; plan and apply there; `suture.drift` against the new release's tree; the same plain values, names and
defaults as in a process that was started from the new release; revert, and the same against the old one.

A build that leaves something out counts as refused.  What it does carry is applied all the same, with `partial=True`: a column says how
that went.  Whatever differs then and no finding is about is printed as UNEXPLAINED: the worst that can be said of this program.

Wheels and dependencies are fetched once and kept (`--cache`).  What can't be had is skipped, with the reason; nothing of it fails offline.
Modules of the releases are imported here: their authors' code runs, with your rights.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from email.parser import Parser
from pathlib import Path

import rig

CHILD = str(rig.HERE / "released.py")
LIST = rig.HERE / "releases.json"
CACHE = rig.HERE / ".releases"
LIMIT_S = 300.0
ENV = {"PYTHONHASHSEED": "0"}  # values made from sets are the same in both processes
PIP = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check", "-q", "--retries", "2", "--timeout", "30"]
OFFLINE = re.compile(
    r"Max retries|ConnectionError|name resolution|unreachable|ProxyError|timed? ?out|SSLError|CERTIFICATE", re.IGNORECASE
)


class Skipped(Exception):
    """A pair that can't be measured here; the text says why."""


# ---------------------------------------------------------------- getting them


@dataclass
class Pair:
    """
    Two releases.

    Attributes:
        name: Of the distribution.
        old: Version.
        new: Version.
        setup: Statements before its modules are imported.
        use: Statements afterwards.
    """

    name: str
    old: str
    new: str
    style: str
    setup: list[str]
    use: list[str]

    def __str__(self) -> str:
        return f"{self.name} {self.old}..{self.new}"


def pairs(only: Iterable[str], *, few: bool) -> list[Pair]:
    """Those that are asked for."""
    listed = json.loads(LIST.read_text(encoding="utf-8"))
    out = []
    for row in listed["distributions"]:
        for versions in row["pairs"]:
            old, new = versions.split("..")
            out.append(Pair(row["name"], old, new, row["style"], row.get("setup", []), row.get("use", [])))
    if few:
        out = [p for p in out if f"{p.name} {p.old}" in listed["few"]]
    words = list(only)
    return [p for p in out if not words or any(re.search(w, str(p)) for w in words)]


class Shelf:
    """What was fetched: wheels unpacked, and dependencies; made once."""

    def __init__(self, folder: Path, python: str) -> None:
        self.folder, self.python = folder, python
        self.version = rig.version_of(python).rstrip("t")
        self.is_offline = False

    def release(self, name: str, version: str) -> Path:
        """A folder with ``tree`` (the files as they are installed) and ``info`` (metadata)."""
        place = self.folder / "releases" / f"{name}-{version}"
        if place.exists():
            return place
        fresh = self._fresh()
        # Wheels for any machine: what a compiler made can't be patched, and most projects have a wheel without it.
        self._pip("download", "--no-deps", "--only-binary=:all:", "--platform", "any", "--abi", "none", "--implementation", "py",
                  "--python-version", self.version, "-d", str(fresh), f"{name}=={version}")  # fmt: skip
        with zipfile.ZipFile(next(fresh.glob("*.whl"))) as wheel:
            for member in wheel.namelist():
                top = member.partition("/")[0]
                if not top.endswith(".data"):
                    wheel.extract(member, fresh / ("info" if top.endswith(".dist-info") else "tree"))
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh.rename(place)
        return place

    def dependencies(self, release: Path) -> Path:
        """A folder with what a release needs."""
        metadata = next(release.glob("info/*.dist-info/METADATA")).read_text(encoding="utf-8")
        wanted = sorted(
            w for w in Parser().parsestr(metadata).get_all("Requires-Dist", []) if "extra ==" not in w.replace("'", '"')
        )
        name = hashlib.sha256("\n".join([self.version, *wanted]).encode()).hexdigest()[:16]
        place = self.folder / "needed" / name
        if place.exists():
            return place
        fresh = self._fresh()
        if wanted:
            self._pip("install", "--only-binary=:all:", "--python-version", self.version, "--target", str(fresh / "all"), *wanted)
        (fresh / "all").mkdir(exist_ok=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh.rename(place)
        return place

    def _fresh(self) -> Path:
        fresh = self.folder / "fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        return fresh

    def _pip(self, *words: str) -> None:
        if self.is_offline:
            raise Skipped("offline")
        try:
            done = subprocess.run([*PIP, *words], capture_output=True, text=True, timeout=300)
        except subprocess.TimeoutExpired as error:
            raise Skipped("pip took longer than 300 s") from error
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
            self.is_offline = bool(OFFLINE.search(done.stderr))  # the others needn't be tried then
            raise Skipped("offline" if self.is_offline else errors[-1][:100])


# ---------------------------------------------------------------- one pair


@dataclass
class Result:
    """
    What came of a pair.

    Attributes:
        carried: Changes in the patch.
        left: Codes of what the build leaves out, one a finding.
        applied: "ok", or the codes that stood in the way.
        states: Modules by what drift says of them.
        kept: Names that differ, and a finding says so.
        unexplained: Names that differ, and nothing says so.
        wrong: What else must not be: an old process that isn't its own source, a revert that doesn't restore.
    """

    pair: Pair
    skipped: str = ""
    carried: int = 0
    left: list[str] = field(default_factory=list)
    applied: str = "-"
    states: dict[str, int] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    build_s: float = 0.0
    apply_s: float = 0.0

    @property
    def whole(self) -> bool:
        """True if all of it is carried, and went in."""
        return not self.skipped and not self.left and self.applied == "ok"


def measured(pair: Pair, shelf: Shelf, python: str, log: str) -> Result:
    """Everything of one pair."""
    try:
        old, new = shelf.release(pair.name, pair.old), shelf.release(pair.name, pair.new)
        needed = shelf.dependencies(old)
    except Skipped as error:
        return Result(pair, skipped=str(error))
    row: rig.Row = {"pair": str(pair), "live": {}, "fresh": {}}
    with rig.scratch() as here:
        patch = here / "p.suture"
        row |= _built(old / "tree", new / "tree", patch, python)
        if patch.exists():
            task = {"setup": pair.setup, "use": pair.use}
            # Metadata and dependencies are no part of the patch: those of the old release stand beside both.
            sides = [task | {"tree": str(side / "tree"), "path": [str(side / "tree"), str(old / "info"), str(needed / "all")]}
                     for side in (old, new)]  # fmt: skip
            sides[0] |= {"old": str(old / "tree"), "new": str(new / "tree"), "patch": str(patch), "partial": bool(_left(row))}
            row["live"], row["fresh"] = (rig.run_child(CHILD, python, t, limit_s=LIMIT_S, flags=["-S"], env=ENV) for t in sides)
    rig.log_row(log, row)
    return judged(pair, row, shelf)


def _built(old: Path, new: Path, patch: Path, python: str) -> rig.Row:
    """``suture build``, as an operator does it; what it says and its seconds."""
    command = [
        sys.executable,
        "-m",
        "suture",
        "build",
        str(old),
        str(new),
        "-o",
        str(patch),
        "--partial",
        "--json",
        "--python",
        python,
    ]
    began = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env={"PYTHONPATH": str(rig.SOURCE)})
        row: rig.Row = {"built": json.loads(done.stdout)}
    except subprocess.TimeoutExpired:
        row = {"broke": f"not done in {LIMIT_S:g} s"}
    except ValueError:
        row = {"broke": (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1][:120]}
    return row | {"build_s": time.perf_counter() - began}


def _left(row: rig.Row) -> list[str]:
    return [f["code"] for f in row.get("built", {}).get("findings", ()) if f["severity"] == "error"]


def judged(pair: Pair, row: rig.Row, shelf: Shelf) -> Result:
    """What a row says."""
    result = Result(pair, left=_left(row), build_s=row.get("build_s", 0.0))
    if "built" not in row:
        result.wrong.append(f"build broke: {row['broke']}")
        return result
    result.carried = len(row["built"]["carried"])
    if row["live"]:
        trees = [shelf.folder / "releases" / f"{pair.name}-{v}" / "tree" for v in (pair.old, pair.new)]
        _judge(result, row["built"], row["live"], row["fresh"], trees)
    return result


def _judge(result: Result, built: rig.Row, live: rig.Row, fresh: rig.Row, trees: list[Path]) -> None:
    if "apply" not in live:
        result.wrong.append(f"child: {live.get('error', 'said nothing')}")
        return
    if "error" in live:  # the program goes on after the patch; with a part of it alone it may not
        (result.kept if result.left else result.wrong).append(f"child: {live['error']}")
    errors = sorted({f[0] for f in live["apply"]["findings"] if f[1] == "error"})
    result.applied = "ok" if live["apply"]["ok"] else " ".join(errors) or live["apply"]["state"]
    result.apply_s = live.get("apply_s", 0.0)
    if live["plan"]["ok"] != live["apply"]["ok"] and errors != ["evaluation-failed"]:  # a plan evaluates nothing
        result.wrong.append(f"plan said {live['plan']['ok']}, apply {live['apply']['ok']}: {errors}")
    known = {tuple(d) for d in live["fresh"]["differs"]}
    # A name that the program itself binds anew (a cache, a switch) differs from its source, and drift says so: that is no fault.
    result.wrong += [f"old process isn't its source: {d[0]} {d[1]}: {d[2]} != {d[3]}" for d in sorted(known) if d[1] != "value"]
    result.wrong += [f"not compared: {w}" for w in live["fresh"]["why"]]
    back = {tuple(d) for d in live.get("back", {}).get("differs", ())} - known
    result.wrong += [f"not as before: {d[0]} {d[1]}: {d[2]} != {d[3]}" for d in sorted(back) if d[1] != "value"]
    if not live["apply"]["ok"]:
        return
    if "revert" in live and not live["revert"]["ok"]:
        result.wrong.append(f"not reverted: {live['revert']['findings'][:2]}")
    said = Said(built["findings"], live["apply"]["findings"], trees)
    result.states = live["after"]["states"]
    for target, kind, is_now, expected in live["after"]["differs"]:
        if (target, kind, is_now, expected) in known:
            continue
        words = f"{target} {kind}: is {is_now or '-'}, expected {expected or '-'}"
        (result.kept if said.explains(target) else result.unexplained).append(words)
    _values(result, said, live, fresh)


def _values(result: Result, said: Said, live: rig.Row, fresh: rig.Row) -> None:
    """Plain values, names and defaults, held against a process of the new release."""
    if "values" not in fresh or "values_after" not in live:
        result.wrong.append(f"values not compared: {fresh.get('error', 'no values')}")
        return
    was, after, new = live["values"]["before"], live["values_after"], fresh["values"]
    loaded = {k.partition(":")[0] for k in after} & {k.partition(":")[0] for k in new}
    for key in sorted(after.keys() | new.keys()):
        is_now, expected = after.get(key), new.get(key)
        if key.partition(":")[0] not in loaded or is_now == expected or (_is_import(is_now) and _is_import(expected)):
            continue
        # What stands behind something that was left out stays as it was: the person who says `partial` is told of that alone.
        kept = said.explains(key.removesuffix("()").removesuffix("(bases)")) or (result.left and was.get(key) == is_now)
        (result.kept if kept else result.unexplained).append(f"{key} value: is {is_now or '-'}, expected {expected or '-'}")
    back = live.get("values_back")
    if back is not None:
        off = [k for k in sorted(was.keys() | back.keys()) if back.get(k) != was.get(k) != after.get(k)]
        result.wrong += [f"value not as before: {k}: {was.get(k)} -> {back.get(k)}" for k in off[:3]]


def _is_import(text: str | None) -> bool:
    """Nothing, a module or a future: a submodule is bound when somebody imports it, and a removed import does no harm."""
    return text is None or text.startswith(("<module ", "<__future__."))


class Said:
    """What the findings of a build and an apply are about."""

    def __init__(self, built: Iterable[rig.Row], applied: Iterable[list[str]], trees: list[Path]) -> None:
        self.trees = trees
        self.targets: set[str] = set()
        self.modules: set[str] = set()
        rows = [(f["code"], f["target"], f["message"], json.dumps(f.get("evidence", {}))) for f in built]
        rows += [(f[0], f[2], f[3], "") for f in applied if f[1] != "note"]
        for code, target, message, evidence in rows:
            self._one(code, target, f"{message} {evidence}")

    def _one(self, code: str, target: str, words: str) -> None:
        if code in ("module-added", "module-removed"):
            self.modules.add(target)
        elif code in ("left-out-generated", "left-out-tests", "not-carried"):
            self.modules |= {_dotted(p) for p in re.findall(r"[\w/.-]+\.py\b", f"{target} {words}")}
        elif ":" in target and ".py" not in target:
            module, _, names = target.partition(":")
            self.targets |= {f"{module}:{name.strip()}" for name in names.split(",")}
        elif found := re.fullmatch(r"(.+\.py):(\d+)", target):
            for tree in self.trees:
                self.targets |= {f"{_dotted(found[1])}:{name}" for name in names_at(tree / found[1], int(found[2]))}
        if code == "new-attribute":  # what objects that exist find in their class
            above = target.rpartition(".")[0]
            self.targets |= {f"{above}.{name}" for name in re.findall(r"self\.(\w+)", words)}
        # Names that a finding lists: what was computed with a value that is left out, what ran with it.
        if code in ("value-stale", "value-computed", "removed-kept", "import-changed", "star-import-added", "redefined"):
            self.targets |= set(re.findall(r"[\w.]+:[A-Za-z_][\w.]*", words))

    def explains(self, target: str) -> bool:
        """True if a finding is about that name, or about the class or module that it is in."""
        module, _, name = target.partition(":")
        parts = name.split(".")
        above = {f"{module}:{'.'.join(parts[:n])}" for n in range(1, len(parts) + 1)}
        return module in self.modules or bool(above & self.targets) or any(t.startswith(f"{target}.") for t in self.targets)


def names_at(path: Path, line: int) -> set[str]:
    """Names that the statement at a line binds, with the classes that it is in."""
    if not path.exists():
        return set()
    prefix, body = "", ast.parse(path.read_bytes()).body
    while True:
        here = next((n for n in body if n.lineno <= line <= (n.end_lineno or n.lineno)), None)
        if isinstance(here, ast.ClassDef) and line > here.lineno:
            prefix, body = f"{prefix}{here.name}.", here.body
        elif here is None:
            return {prefix.rstrip(".")} if prefix else set()
        elif isinstance(here, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            return {prefix + here.name}
        else:
            return {prefix + n.id for n in ast.walk(here) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


# ---------------------------------------------------------------- what is printed


def table(results: list[Result]) -> None:
    """A line a pair."""
    columns = [
        "pair",
        "changes",
        "left out",
        "apply",
        "same",
        "differ",
        "n.c.",
        "kept",
        "unexpl.",
        "build s",
        "apply s",
        "stands in the way",
    ]
    rows = []
    for r in results:
        if r.skipped:
            rows.append([str(r.pair), *["-"] * 10, f"skipped: {r.skipped}"])
            continue
        codes = " ".join(f"{c} {n}" if n > 1 else c for c, n in Counter(r.left).most_common())
        applied = r.applied if not r.left or r.applied == "-" else f"partial: {r.applied}"
        counts = [r.states.get(s, "-") for s in ("same", "differs", "not compared")]
        rows.append(
            [str(r.pair), r.carried, len(r.left), applied, *counts, len(r.kept), len(r.unexplained),
             f"{r.build_s:.1f}", f"{r.apply_s:.2f}", codes]
        )  # fmt: skip
    rig.table("pairs", columns, [list(map(str, row)) for row in rows])


def unexplained(results: list[Result], most: int) -> Iterator[str]:
    """Lines on what nothing explains."""
    for r in results:
        for kind, found in (("UNEXPLAINED", r.unexplained), ("WRONG", r.wrong)):
            yield from (f"  {kind} {r.pair}: {words}" for words in found[:most])
            if len(found) > most:
                yield f"  {kind} {r.pair}: and {len(found) - most} more"


def summary(results: list[Result]) -> None:
    """Shares."""
    done = [r for r in results if not r.skipped]
    if not done:
        print("\nnothing could be measured here")
        return
    count = len(done)
    whole = [r for r in done if r.whole]
    clean = [r for r in whole if not r.unexplained and not r.wrong]
    partly = [r for r in done if r.left and r.carried]
    print(f"\n{count} pairs of {len({r.pair.name for r in done})} distributions, {len(results) - count} skipped")
    print(f"  carried whole and applied        {share(len(whole), count)}")
    print(f"  ... and equal to the new release {share(len(clean), count)}")
    print(f"  refused by build                 {share(sum(bool(r.left) for r in done), count)}")
    print(f"  ... what is carried applies      {share(sum(r.applied == 'ok' for r in partly), len(partly))}")
    print(f"  refused by the process           {share(sum(not r.left and r.applied not in ('ok', '-') for r in done), count)}")
    print(f"  with drift that nothing explains {share(sum(bool(r.unexplained) for r in done), count)}")
    changes, left = sum(r.carried for r in done), sum(len(r.left) for r in done)
    print(f"  changes carried                  {share(changes, changes + left)}")
    stands = Counter(c for r in done for c in set(r.left) or ({r.applied} if r.applied not in ("ok", "-") else set()))
    alone = Counter(next(iter(set(r.left))) for r in done if len(set(r.left)) == 1)
    findings = Counter(c for r in done for c in r.left)
    rows = [[c, share(n, count), str(alone[c]), str(findings[c])] for c, n in stands.most_common()]
    if rows:
        rig.table("what stands in the way", ["finding", "of the pairs", "alone", "findings"], rows)


def share(part: int, of: int) -> str:
    """A share, in words."""
    return f"{part} of {of}, {100 * part / of:.0f} %" if of else "none"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", action="append", default=[], metavar="WORD", help="pairs whose name matches (a pattern); may be given again"
    )
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="the first N pairs")
    parser.add_argument("--few", action="store_true", help="six pairs, under a minute")
    parser.add_argument(
        "--cache", type=Path, default=CACHE, metavar="DIR", help="where wheels and dependencies are kept (default: bench/.releases)"
    )
    parser.add_argument("--python", default=sys.executable, help="interpreter that is measured")
    parser.add_argument("--most", type=int, default=8, metavar="N", help="lines a pair on what nothing explains")
    parser.add_argument("--json", default="", metavar="FILE", help="append each raw row, as JSON lines")
    parser.add_argument("--again", default="", metavar="FILE", help="measure nothing: the tables from rows that --json kept")
    args = parser.parse_args()
    if not rig.version_of(args.python):
        raise SystemExit(f"{args.python}: not a CPython that runs")
    rig.head("releases", args.python, {})
    shelf = Shelf(args.cache.resolve(), args.python)
    results = []
    wanted = pairs(args.only, few=args.few)
    wanted = wanted[: args.limit] if args.limit else wanted
    if args.again:
        rows = [json.loads(line) for line in Path(args.again).read_text(encoding="utf-8").splitlines()]
        results = [judged(pair, row, shelf) for row in rows for pair in wanted if str(pair) == row["pair"]]
        wanted = []
    for at, pair in enumerate(wanted, 1):
        print(f"{at} of {len(wanted)}: {pair}", file=sys.stderr, flush=True)
        results.append(measured(pair, shelf, args.python, args.json))
    table(results)
    for line in unexplained(results, args.most):
        print(line)
    summary(results)
    return int(any(r.unexplained or r.wrong for r in results))


if __name__ == "__main__":
    sys.exit(main())
