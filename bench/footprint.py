"""
What it costs to have suture in a process: milliseconds of ``import suture``, and memory once the engine is loaded.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

from _common import SRC, head

IMPORT = "import time; t = time.perf_counter(); import suture; print((time.perf_counter() - t) * 1e3)"
ENGINE = (
    "import asyncio, json, time; import suture; t = time.perf_counter(); suture.status(); print((time.perf_counter() - t) * 1e3)"
)
RSS = "print(int(open('/proc/self/statm').read().split()[1]) * 4 / 1024)"
BASE = f"import asyncio, json; {RSS}"
WITH = f"import asyncio, json; import suture; suture.status(); {RSS}"


def run(code: str) -> float:
    """One fresh child."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={"PYTHONPATH": str(SRC), "PATH": ""})
    return float(done.stdout)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    head("import and footprint")
    rounds = 9 if args.quick else 31
    for code in (IMPORT, ENGINE, BASE, WITH):  # byte code is written once
        run(code)
    samples = [[run(c) for c in (IMPORT, ENGINE, BASE, WITH)] for _ in range(rounds)]
    columns = [list(c) for c in zip(*samples, strict=True)]
    ms, engine_ms = statistics.median(columns[0]), statistics.median(columns[1])
    extra = statistics.median(w - b for b, w in zip(columns[2], columns[3], strict=True))
    print(f"import suture, bare interpreter          {ms:6.1f} ms   (goal <= 10)")
    print(f"first use, over an asyncio+json program  {engine_ms:6.1f} ms")
    print(f"memory, engine loaded, over the same     {extra:6.1f} MiB  (goal <= 3)")


if __name__ == "__main__":
    main()
