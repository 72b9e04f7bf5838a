"""
Run every benchmark in turn: `python bench/run.py` for a look (some minutes), `--full` for figures to quote.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

BENCHMARKS = ("footprint.py", "install.py", "call_cost.py", "update.py", "stall.py")


def main() -> int:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--quick", action="store_true", help="as without any option")
    made.add_argument(
        "--full", action="store_true", help="all sizes, heaps and rounds; call_cost on every Python found (an hour or more)"
    )
    made.add_argument("--rt", action="store_true", help="real-time scheduling where it matters (needs the right to)")
    made.add_argument("--strict", action="store_true", help="exit 1 if a goal is missed")
    made.add_argument("--no-peers", action="store_true", help="install nothing; leave the peers out")
    args = made.parse_args()
    worst = 0
    for name in BENCHMARKS:
        options = [] if args.full else ["--quick"]
        if args.full and name == "call_cost.py":
            options.append("--pythons")
        if args.rt and name not in ("footprint.py", "install.py"):
            options.append("--rt")
        options += ["--strict"] * args.strict + ["--no-peers"] * args.no_peers
        sys.stdout.flush()
        worst = max(worst, subprocess.run([sys.executable, str(Path(__file__).parent / name), *options]).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
