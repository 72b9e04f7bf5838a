"""The Pythons that live children run on: this one and every other from 3.10 to 3.15 that is found."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache

Run = Callable[..., "subprocess.CompletedProcess[str]"]  # the fixture run_child
WANTED = ["3.10", "3.11", "3.12", "3.13", "3.14", "3.15"]
FREE_THREADED = "3.13t"


def _candidates() -> list[str]:
    if os.environ.get("SUTURE_TEST_ONLY") == "this":  # coverage_run.py measures one after the other
        return [sys.executable]
    listed = [p for p in os.environ.get("SUTURE_PYTHONS", "").split(os.pathsep) if p]
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    home = os.path.expanduser("~/pythons")
    return [
        sys.executable,
        *listed,
        *sorted(glob.glob(f"{pyenv}/versions/3.1*/bin/python")),
        *sorted(glob.glob(f"{home}/sid/usr/bin/python3.1[45]")),
        *sorted(glob.glob(f"{home}/3.13t/bin/python3.13t")),
        *filter(None, (shutil.which(f"python{v}") for v in WANTED)),
    ]


@lru_cache
def found() -> dict[str, str]:
    """Version ("3.12", "3.13t") to interpreter."""
    out: dict[str, str] = {}
    code = "import sys; print('%d.%d%s' % (*sys.version_info[:2], 't' if 't' in sys.abiflags else ''), sys.implementation.name)"
    for path in _candidates():
        if not os.path.exists(path):
            continue
        try:
            done = subprocess.run([path, "-c", code], capture_output=True, text=True)
        except OSError:  # not for this machine, or its loader is missing
            continue
        words = done.stdout.split()
        if done.returncode == 0 and words[1:] == ["cpython"] and words[0] in (*WANTED, FREE_THREADED):
            out.setdefault(words[0], path)
    return out


def out(done: subprocess.CompletedProcess[str]) -> str:
    """What a child that ended well printed."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()
