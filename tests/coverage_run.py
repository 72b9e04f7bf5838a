"""
Branch coverage of the target side, combined over the Pythons present.

    python tests/coverage_run.py [tests]

Each Python runs the tests under its own coverage, and so do the children that they start, on that same Python; all but the demo and those
that count millions of reads (test_torn.py) or generate programs (test_generated.py: minutes under a tracer).  Packages go into a folder for each beside the virtual
environment; a Python that can't have them is left out by name.
Fails below pyproject's limit.

SUTURE_COVERAGE_PYTHONS=3.10,3.14 measures only those.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from pythons import FREE_THREADED, found

ROOT = Path(__file__).parent.parent
NEEDED = ["pytest", "pytest-xdist", "hypothesis", "coverage"]
WHERE = [
    "tests/unit",
    "tests/engine",
    "tests/agent",
    "tests/ops",
    "tests/live",
    "--ignore=tests/engine/test_torn.py",
    "--ignore=tests/engine/test_generated.py",
    "--ignore=tests/live/test_arena.py",
]
START = "import coverage\ncoverage.process_startup()\n"
HOW = [
    "-n",
    "2",
    "-p",
    "no:cacheprovider",
    "-p",
    "measured",
    "-o",
    "faulthandler_timeout=400",  # who is ended by it loses all that its process measured
    "-o",
    "faulthandler_exit_on_timeout=true",
]


def main(arguments: list[str]) -> int:
    """Measure, combine, report; 0 if the limit holds and all tests passed."""
    for old in ROOT.glob(".coverage*"):
        old.unlink()
    home = Path(os.environ.get("SUTURE_COVERAGE_HOME") or Path(sys.prefix) / "coverage")
    left_out, failed = [], []
    only = os.environ.get("SUTURE_COVERAGE_PYTHONS", "").split(",")
    pythons = {v: p for v, p in found().items() if v != FREE_THREADED and (only == [""] or v in only)}
    for version, python in sorted(pythons.items(), key=lambda row: int(row[0].partition(".")[2])):
        packages = home / version
        if not install(python, packages):
            left_out.append(version)
            continue
        path = os.pathsep.join(map(str, (packages, ROOT / "src", ROOT / "tests")))
        env = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        # sitecustomize starts the measurement: in pytest, in its workers, and in the children that they start.
        env |= {"COVERAGE_PROCESS_START": str(ROOT / "pyproject.toml"), "COVERAGE_FILE": str(ROOT / ".coverage")}
        env |= {"COVERAGE_CORE": "ctrace"}  # that of sys.monitoring keeps a reference to all code, and each counts as a call
        env |= {"SUTURE_TEST_PATH": str(packages), "SUTURE_TEST_ONLY": "this"}
        words = [python, "-m", "pytest", *HOW, *(arguments or WHERE)]
        print(f"== Python {version}", flush=True)
        if subprocess.run(words, cwd=ROOT, env=env, check=False).returncode:
            failed.append(version)
    combined = subprocess.run([sys.executable, "-m", "coverage", "combine", "-q"], cwd=ROOT, check=False).returncode
    reported = subprocess.run([sys.executable, "-m", "coverage", "report"], cwd=ROOT, check=False).returncode
    print(f"Pythons: {', '.join(v for v in pythons if v not in left_out)}; left out: {', '.join(left_out) or 'none'}")
    if failed:
        print(f"tests failed on {', '.join(failed)}")
    return int(bool(combined or reported or failed))


def install(python: str, packages: Path) -> bool:
    """Put what the tests need where that Python finds it; it may have no pip of its own, so ours works for it."""
    if (packages / ".installed").exists():
        return True
    shutil.rmtree(packages, ignore_errors=True)
    words = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--target", str(packages)]
    words += ["-c", str(ROOT / "requirements-dev.txt"), *NEEDED]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"no packages for {python}: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
        return False
    (packages / "sitecustomize.py").write_text(START)
    (packages / ".installed").touch()
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
