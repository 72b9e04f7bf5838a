"""
Fixes that others made, replayed on a live process that has run their own tests: do the tests pass afterwards, without a restart?

A client of a harness that lies elsewhere: `SUTURE_REPLAY` is its folder (run.py, cases/*.jsonl, adapters/, results/ with what the peers
did on the same cases), `REPLAY_MIRRORS` the folder with the repositories. Nothing of it is copied in here; it runs in a scratch copy
(`--scratch`, kept, so that a run goes on where it stopped). Without the two this says so and ends with 0.

A case is clean if every test passes that passes on the new code, silent if it isn't and nothing was said. Code and tests of the cases
run here with your rights.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import rig

SETS = {"open": "cases/open.jsonl", "security": "cases/cve_open.jsonl"}
GOALS = {"open": 97.0, "security": 100.0}
TOOL = "suture"
CONTROLS = ("none", "files", "restart")

Row = Mapping[str, Any]


def scratch_copy(harness: Path, scratch: Path) -> Path:
    """The harness, where it may write; what it has measured there before stays."""
    shutil.copytree(harness, scratch, dirs_exist_ok=True, ignore=shutil.ignore_patterns("results", "__pycache__"))
    kept = scratch / "results"
    kept.mkdir(exist_ok=True)
    for path in (harness / "results").glob("*.json"):
        if not (kept / path.name).exists():
            shutil.copy(path, kept)
    return scratch


def run(scratch: Path, cases: Sequence[str], args: argparse.Namespace) -> int:
    """Let the harness measure this checkout on the cases."""
    command = [sys.executable, "run.py", "--tool", TOOL, "--cases", ",".join(cases)]
    command += ["--jobs", str(args.jobs), "--timeout", str(args.timeout)]
    command += ["--only", args.only] if args.only else []
    command += ["--again"] if args.again else []
    env = {**os.environ, "SUTURE_HOME": str(rig.HERE.parent), "REPLAY_TMP": os.environ.get("REPLAY_TMP", tempfile.gettempdir())}
    return subprocess.run(command, cwd=scratch, env=env, check=False).returncode


def rows_of(scratch: Path, tool: str) -> dict[str, Row]:
    """What a tool did, by case."""
    path = scratch / "results" / f"{tool}__held.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def ids_of(scratch: Path, cases: str, only: str) -> list[str]:
    """Names of the cases of a set."""
    lines = (scratch / cases).read_text(encoding="utf-8").splitlines()
    return [i for i in (json.loads(line)["id"] for line in lines if line.strip()) if only in i]


def has_spoken(row: Row) -> bool:
    """True if the tool itself said that something was wrong."""
    return bool(row["apply_exc"] or row["tool_errors"])


def causes(row: Row) -> list[str]:
    """Codes of the errors and warnings that were given for a case."""
    info = row.get("info") or {}
    findings = [*(info.get("build_findings") or ()), *(info.get("findings") or ())]
    loud = [f["code"] for f in findings if f.get("severity") == "error"]
    return list(dict.fromkeys(loud or [f["code"] for f in findings if f.get("severity") == "warning"] or ["no finding"]))


def compared(title: str, scratch: Path, ids: Sequence[str]) -> None:
    """Every tool on the same cases."""
    tools = sorted(p.name.partition("__")[0] for p in (scratch / "results").glob("*__held.json"))
    table = []
    for tool in tools:
        known = rows_of(scratch, tool)
        rows = [known[i] for i in ids if i in known and known[i]["outcome"] != "invalid"]
        if rows and tool not in CONTROLS:
            clean = sum(bool(r["clean"]) for r in rows)
            silent = sum(not r["clean"] and not has_spoken(r) for r in rows)
            broke = sum(r["broke"] > 0 for r in rows)
            table.append(
                (clean / len(rows), [tool, f"{clean} of {len(rows)}", f"{100 * clean / len(rows):.0f} %", str(silent), str(broke)])
            )
    rig.table(title, ["tool", "clean", "", "silent", "broke a test"], [row for _, row in sorted(table, reverse=True)])


def missed(rows: Mapping[str, Row], ids: Iterable[str]) -> list[list[str]]:
    """Cases that aren't clean: what was said, and how many tests are right."""
    return [
        [i, ", ".join(causes(row)), f"{row['P_ok']} of {row['P']}"]
        for i in ids
        if (row := rows.get(i)) is not None and row["outcome"] != "invalid" and not row["clean"]
    ]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=[*SETS, "all"], default="all", help="which cases")
    parser.add_argument("--only", default="", metavar="WORD", help="cases whose name contains it")
    parser.add_argument("--again", action="store_true", help="measure again what has been measured")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timeout", type=int, default=120, metavar="S", help="seconds that one case may take")
    parser.add_argument(
        "--scratch", type=Path, default=Path(tempfile.gettempdir()) / "suture-replay", metavar="DIR", help="where it runs; kept"
    )
    parser.add_argument("--strict", action="store_true", help="exit 1 if a goal is missed")
    args = parser.parse_args()
    rig.head("replay", sys.executable, {})
    harness = os.environ.get("SUTURE_REPLAY", "")
    for name, where in (("SUTURE_REPLAY", harness), ("REPLAY_MIRRORS", os.environ.get("REPLAY_MIRRORS", ""))):
        if not where or not Path(where).is_dir():
            print(f"skipped: {name} isn't the path of a folder")
            return 0
    scratch = scratch_copy(Path(harness), args.scratch.resolve())
    sets = [args.set] if args.set != "all" else [*SETS]
    if status := run(scratch, [SETS[s] for s in sets], args):
        print(f"the harness ended with {status}")
        return 2
    mine = rows_of(scratch, TOOL)
    met = True
    for name in sets:
        ids = ids_of(scratch, SETS[name], args.only)
        rows = [mine[i] for i in ids if i in mine and mine[i]["outcome"] != "invalid"]
        if not rows:
            print(f"{name}: nothing was measured")
            continue
        compared(name, scratch, ids)
        misses = missed(mine, ids)
        rig.table("not clean", ["case", "said", "tests right"], misses)
        shares = Counter(code for i in ids if i in mine and not mine[i]["clean"] for code in causes(mine[i]))
        rig.table("causes", ["finding", "cases"], [[code, str(n)] for code, n in shares.most_common()])
        silent = sum(not r["clean"] and not has_spoken(r) for r in rows)
        share = 100 * sum(bool(r["clean"]) for r in rows) / len(rows)
        print(f"goal {name}: clean >= {GOALS[name]:.0f} %: {share:.0f} % {'met' if share >= GOALS[name] else 'MISSED'}")
        print(f"goal {name}: silent 0: {silent} {'met' if not silent else 'MISSED'}")
        met = met and share >= GOALS[name] and not silent
    return int(args.strict and not met)


if __name__ == "__main__":
    sys.exit(main())
