"""
What every benchmark stands on: interpreters, child processes, a place for peers, tables.

Rule 1: the measured program is always a child process; its interpreter, source path and scheduling are the only differences.
Rule 2: a row that couldn't be measured says why in its own line; it never disappears.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent / "src"
VENVS = HERE / ".venv"
PEERS = ("ipython", "jurigged")
WANTED = ("3.10", "3.11", "3.12", "3.13", "3.13t", "3.14", "3.15")
_ASK = "import sys; print('%d.%d%s' % (*sys.version_info[:2], 't' if 't' in getattr(sys, 'abiflags', '') else ''), sys.implementation.name)"

Row = dict[str, Any]


# ---------------------------------------------------------------- interpreters and peers


@lru_cache
def version_of(python: str) -> str:
    """Short version ("3.13", "3.13t") of a CPython; "" if it isn't one that runs."""
    try:
        done = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    words = done.stdout.split()
    return words[0] if done.returncode == 0 and words[1:] == ["cpython"] else ""


@lru_cache
def pythons() -> dict[str, str]:
    """Version to interpreter: this one, those of SUTURE_PYTHONS, pyenv's, ~/pythons' and PATH's, the first of each version."""
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    home = os.path.expanduser("~/pythons")
    paths = [
        sys.executable,
        *filter(None, os.environ.get("SUTURE_PYTHONS", "").split(os.pathsep)),
        *sorted(glob.glob(f"{pyenv}/versions/3.1*/bin/python")),
        *sorted(glob.glob(f"{home}/*/usr/bin/python3.1[0-9]")),
        *sorted(glob.glob(f"{home}/3.1*/bin/python3.1[0-9]t")),
        *filter(None, (shutil.which(f"python{v}") for v in WANTED)),
    ]
    found: dict[str, str] = {}
    for path in paths:
        version = version_of(path)
        if version in WANTED:
            found.setdefault(version, path)
    return dict(sorted(found.items(), key=lambda kv: WANTED.index(kv[0])))


def with_peers(python: str, *, wanted: bool = True) -> tuple[str, dict[str, str]]:
    """
    An interpreter like *python* that has the peers, from a virtual environment made once under bench/.venv.

    Returns:
        Path of the interpreter and the peers' versions; *python* itself and ``{}`` if none could be installed (said on stderr).
    """
    if not wanted:
        return python, {}
    home = VENVS / version_of(python)
    inside = home / "bin" / "python"
    mark = home / "peers.json"
    if not mark.exists():
        shutil.rmtree(home, ignore_errors=True)
        print(f"installing {', '.join(PEERS)} for {version_of(python)} into {_short(home)}", file=sys.stderr)
        made = _quiet([python, "-m", "venv", "--without-pip", str(home)])
        for peer in PEERS if made else ():
            if not _quiet([sys.executable, "-m", "pip", "--python", str(inside), "install", "-q", peer]):
                print(f"  {peer}: couldn't be installed for {version_of(python)}; its rows are left out", file=sys.stderr)
        if not made:
            return python, {}
        code = "import json, sys\nfrom importlib.metadata import version, PackageNotFoundError\nout = {}\nfor name in sys.argv[1:]:\n    try: out[name] = version(name)\n    except PackageNotFoundError: pass\nprint(json.dumps(out))"
        asked = subprocess.run([str(inside), "-c", code, *PEERS], capture_output=True, text=True)
        mark.write_text(asked.stdout or "{}")
    return str(inside), json.loads(mark.read_text())


def _quiet(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=300).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


# ---------------------------------------------------------------- children


def run_child(
    script: str,
    python: str,
    task: Row,
    *,
    limit_s: float,
    realtime: bool = False,
    flags: Sequence[str] = (),
    env: Row | None = None,
) -> Row:
    """
    Run ``script --child TASK`` and read the JSON line that it ends with.

    Returns:
        Its row; one with ``error`` if it failed, was late or printed nothing.
    """
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | (env or {})
    env["PYTHONPATH"] = os.pathsep.join((str(SOURCE), str(HERE)))
    command = [python, *flags, script, "--child", json.dumps({**task, "realtime": realtime})]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, env=env, cwd=tempfile.gettempdir())
    except subprocess.TimeoutExpired:
        return {"error": f"not done in {limit_s:g} s"}
    lines = done.stdout.strip().splitlines()
    try:
        row: Row = json.loads(lines[-1])
    except (IndexError, ValueError):
        return {"error": (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1][-110:]}
    return row


def child_task() -> Row | None:
    """The task if this process is a child."""
    if len(sys.argv) == 3 and sys.argv[1] == "--child":
        task: Row = json.loads(sys.argv[2])
        return task
    return None


def end_child(row: Row) -> None:
    """Print the child's row and go, without waiting for its threads or taking down its heap."""
    print(json.dumps(row), flush=True)
    os._exit(0)


def be_realtime(task: Row) -> None:
    """Keep other work of the machine out of this process and the threads it starts from now on (needs the right to)."""
    if task["realtime"]:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def can_be_realtime() -> bool:
    """True if this process may use real-time scheduling."""
    code = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
    return hasattr(os, "SCHED_FIFO") and _quiet([sys.executable, "-c", code])


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    path = Path(tempfile.mkdtemp(prefix="suture-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def build_patch(old: Path, new: Path, patch: Path) -> float:
    """``suture build OLD NEW -o PATCH`` in another process, as an operator does it; seconds that it took."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "suture", "build", str(old), str(new), "-o", str(patch)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(SOURCE)})
    if done.returncode != 0:
        raise SystemExit(f"suture build failed ({done.returncode}):\n{done.stdout[-800:]}{done.stderr[-800:]}")
    return time.perf_counter() - began


# ---------------------------------------------------------------- what is printed


def parser(text: str) -> argparse.ArgumentParser:
    """Options that every benchmark has."""
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="fewer sizes and rounds: a look, not a result")
    made.add_argument("--rounds", type=int, default=0, help="alternated rounds (default: the benchmark's own number)")
    made.add_argument("--python", default=sys.executable, help="interpreter that is measured")
    made.add_argument("--pythons", action="store_true", help="measure every Python from 3.10 to 3.15 that is found")
    made.add_argument("--no-peers", action="store_true", help="install nothing; leave the peers out")
    made.add_argument("--json", default="", metavar="FILE", help="append each raw row, as JSON lines")
    made.add_argument("--strict", action="store_true", help="exit 1 if a goal is missed")
    return made


def chosen(args: argparse.Namespace) -> list[str]:
    """The interpreters to measure."""
    if args.pythons:
        return list(pythons().values())
    if not version_of(args.python):
        raise SystemExit(f"{args.python}: not a CPython that runs")
    return [args.python]


def head(what: str, python: str, peers: dict[str, str], note: str = "") -> None:
    """The line that says what was run, on what and by which command."""
    full = subprocess.run(
        [python, "-c", "import platform as p; print(p.python_version(), p.python_compiler())"], capture_output=True, text=True
    ).stdout.strip()
    version = version_of(python)
    if version.endswith("t"):
        full += ", free-threaded"
    others = ", ".join(f"{k} {v}" for k, v in peers.items()) or "none"
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"\n# {what}: suture {suture_version()}; peers: {others}")
    print(
        f"# CPython {full}; {platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {load:.1f}{'; ' + note if note else ''}"
    )
    print(f"# command: python {shlex.join([_short(Path(sys.argv[0])), *sys.argv[1:]])}", flush=True)


def suture_version() -> str:
    """Version, and the commit if there is one."""
    text = (SOURCE / "suture" / "__init__.py").read_text(encoding="utf-8")
    version = text.partition('__version__ = "')[2].partition('"')[0]
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True)
    except OSError:
        return version
    commit = done.stdout.strip()
    return f"{version} ({commit})" if done.returncode == 0 and commit else version


def _short(path: Path) -> str:
    full = path.resolve()
    return str(full.relative_to(HERE.parent)) if full.is_relative_to(HERE.parent) else str(path)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: first column left, the rest right, the last one as it is."""
    widths = [max(len(str(r[i])) for r in [columns, *rows] if i < len(r)) for i in range(len(columns))]
    print(f"\n{title}")
    for row in [columns, *rows]:
        cells = [str(c).ljust(w) if i in (0, len(columns) - 1) else str(c).rjust(w) for i, (c, w) in enumerate(zip(row, widths))]
        print("  " + "  ".join(cells).rstrip())
    sys.stdout.flush()


def verdict(goal: str, measured: float | None, limit: float, unit: str) -> bool:
    """Print whether a goal is met; True if it is."""
    if measured is None:
        print(f"  goal {goal}: not measured")
        return False
    met = measured <= limit
    print(f"  goal {goal}: {measured:.3g}{unit}, {'met' if met else 'MISSED'}", flush=True)
    return met


def log_row(path: str, row: Row) -> None:
    """Keep a raw row, if asked to."""
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def ratio(value: float | None, base: float | None) -> str:
    """``value / base`` as "x3.2"."""
    if value is None or not base:
        return "-"
    found = value / base
    return f"x{found:.2f}" if found < 10 else f"x{found:,.0f}"


def number(value: float | None, digits: int = 2) -> str:
    """A number for a table; "-" if there is none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def median_of(rows: Sequence[Row], get: Callable[[Row], float]) -> float | None:
    """Median over the rows that have no error."""
    values = [get(r) for r in rows if "error" not in r]
    return statistics.median(values) if values else None


def error_of(rows: Sequence[Row]) -> str:
    """First error, with how many rounds had one; "" if none."""
    errors = [str(r["error"]) for r in rows if "error" in r]
    if not errors:
        return ""
    return f"{errors[0]} ({len(errors)} of {len(rows)} rounds)" if len(errors) < len(rows) else errors[0]
