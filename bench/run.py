"""Every benchmark in turn; arguments are passed on (``--quick``)."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

for name in ("footprint", "call_cost", "stall"):
    subprocess.run([sys.executable, str(HERE / f"{name}.py"), *sys.argv[1:]], check=True, cwd=HERE)
    print(flush=True)
