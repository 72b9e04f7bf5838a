"""
Other programs, run to their end: git, pip, an interpreter.

Rule 1: each has a time limit, and nothing of it reaches our own streams.
Rule 2: what it says goes into a finding as evidence; nobody else parses it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from suture.errors import Refused

__all__ = ["Done", "last_words", "run"]

Done = subprocess.CompletedProcess[bytes]
_MOST = 600  # characters of what a program said


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    timeout_s: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    data: bytes | None = None,
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
) -> Done:
    """
    Run a program and wait for its end, however it ends.

    Args:
        argv: It and its arguments.
        timeout_s: Seconds until it is killed.
        cwd: Where it runs; None: here.
        env: Its whole environment; None: ours.
        data: What it reads; None: nothing.
        stdin: A file that it reads, in place of *data*.
        stdout: A file for what it writes; None: it is collected.

    Returns:
        Exit code and output; *stdout* is empty if it went to a file.

    Raises:
        Refused: no-command (it isn't there, or can't be started), timed-out.
    """
    name = os.path.basename(os.fspath(argv[0]))
    try:
        return subprocess.run(
            [os.fspath(a) for a in argv],
            cwd=cwd,
            env=env,
            stdin=stdin,
            input=None if stdin is not None else data or b"",
            stdout=stdout if stdout is not None else subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        hint = "look what holds it up (the network, a lock), then build again"
        raise Refused("timed-out", f"{name} took longer than {timeout_s:.0f} s and was ended", target=name, hint=hint) from error
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise Refused("no-command", f"{name} can't be started: {said}", target=name, hint=f"install {name}") from error


def last_words(done: Done) -> str:
    """What a program said on stderr, its end, on one line."""
    lines = [line.strip() for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return " ".join(lines)[-_MOST:] or f"exit code {done.returncode}"
