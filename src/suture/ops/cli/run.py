"""
``suture run``: start a program with an agent in it, by its environment alone.

The program's files stay as they are, and so does its command line: this process becomes the program.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import suture

__all__ = ["Run", "environment", "unreachable"]

USAGE = 64
START = Path(suture.__file__).parent / "agent" / "start"
_PYTHON = re.compile(r"python[\d.]*")
_VALUED = frozenset("WX")  # options with a value; after c and m the rest is the program's
_HAS_PTH = """
import os, site, sys
places = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
sys.exit(not any(os.path.exists(os.path.join(p, "suture.pth")) for p in places))
"""


class Run:
    """
    Start a program with an agent in it, and in the Python children that it starts.

    Only the environment says so: SUTURE_RUN, SUTURE_SERVICE, and a folder in front of PYTHONPATH, which children inherit.
    With SUTURE=off the program is started as it is.
    """

    name = "run"

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add what the verb takes."""
        parser.add_argument("--service", default="", metavar="NAME", help="what operators call the program")
        parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="the program and its arguments")
        parser.set_defaults(json=False)

    def run(self, args: argparse.Namespace) -> int:
        """Become the program; an exit code only if there is none."""
        command = args.command[1:] if args.command[:1] == ["--"] else args.command
        if not command:
            print("error: no command; say suture run -- python app.py", file=sys.stderr)
            return USAGE
        made = environment(os.environ, args.service)
        if made.get("SUTURE_RUN"):
            for words in unreachable(command):
                print(f"suture: {words}", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os.execvpe(command[0], command, made)
        return USAGE  # not reached: it's the program now, or an OSError


def environment(now: os._Environ[str] | dict[str, str], service: str) -> dict[str, str]:
    """The program's environment: *now*, and what starts the agent."""
    made = dict(now)
    if made.get("SUTURE", "").strip().lower() == "off":
        return made
    made["SUTURE_RUN"] = "1"
    if service:
        made["SUTURE_SERVICE"] = service
    rest = [p for p in made.get("PYTHONPATH", "").split(os.pathsep) if p and p != str(START)]
    made["PYTHONPATH"] = os.pathsep.join([str(START), *rest])
    return made


def unreachable(command: Sequence[str]) -> list[str]:
    """Why an interpreter that this command starts won't have an agent; [] if it will, or isn't seen to be Python."""
    path = shutil.which(command[0])
    if path is None:
        return []
    words = list(command)
    if not _PYTHON.fullmatch(os.path.basename(path)):
        words = _shebang(path)
        if not words or not _PYTHON.fullmatch(os.path.basename(words[0])):
            return []
    name, flags = words[0], _flags(words[1:])
    if "S" in flags:
        return [f"{name} -S runs no start-up hook: it gets no agent; leave -S out, or call suture.install() in the program"]
    if flags & {"I", "E"} and not _has_pth(name):
        flag = "-I" if "I" in flags else "-E"
        return [
            f"{name} {flag} doesn't look at the environment: it gets no agent; install suture in that Python, or leave {flag} out"
        ]
    return []


def _flags(arguments: Sequence[str]) -> set[str]:
    """Letters of the interpreter's own options, up to the program's."""
    found: set[str] = set()
    rest = iter(arguments)
    for word in rest:
        if not word.startswith("-") or word in ("-", "--"):
            break
        if word.startswith("--"):
            if word == "--check-hash-based-pycs":
                next(rest, None)
            continue
        for at, letter in enumerate(word[1:], 2):
            if letter in "cm":
                return found
            if letter in _VALUED:
                if at == len(word):
                    next(rest, None)
                break
            found.add(letter)
    return found


def _shebang(path: str) -> list[str]:
    """The interpreter and its options that a script names in its first line; [] if it's no script."""
    try:
        with open(path, "rb") as file:
            line = file.readline(512)
    except OSError:
        return []
    words = line[2:].decode("utf-8", "replace").split() if line.startswith(b"#!") else []
    if words and os.path.basename(words[0]) == "env":
        words = words[2:] if words[1:2] == ["-S"] else words[1:]
    return words


def _has_pth(python: str) -> bool:
    """True if suture is installed in that Python with its start-up line, which runs under -E and -I."""
    try:
        return subprocess.run([python, "-I", "-c", _HAS_PTH], capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False
