"""
The target's interpreter: which it is, what is installed in it, and a build that runs in it.

Asked in processes of its own, with a time limit; nothing of the program is imported there.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import suture
from suture.errors import Refused
from suture.ops.build.sources.command import last_words, run

__all__ = ["Installed", "Interpreter", "interpreter_of", "this_interpreter"]

_TIMEOUT_S = 30.0
_REBUILD_TIMEOUT_S = 1800.0
_OLDEST = (3, 10)
_VERSION = "import json, sys; print(json.dumps([*sys.version_info[:2], sys.implementation.cache_tag]))"
# What importlib.metadata knows of one distribution.  Files are whatever it says, inside of its folder, without caches.
_INSTALLED = """
import json, os, sys
sys.path[:] = [p for p in sys.path if p]  # not the folder that we happen to be in
from importlib import metadata
try:
    found = metadata.distribution(sys.argv[1])
except metadata.PackageNotFoundError:
    print(json.dumps(None))
else:
    files = {}
    for file in found.files or ():
        place = str(file.locate())
        if ".." not in file.parts and not os.path.isabs(str(file)):
            files[file.as_posix()] = place
    print(json.dumps({"version": found.version, "files": files}))
"""
# The end of the path, behind the target's own standard library; no site: its packages are no business of the build.
_REBUILD = "import sys; sys.path.append({folder!r}); from suture.ops.cli.main import console; console()"
_LIBRARY = re.compile(r"\s(/\S.*)/lib/python3\.\d+t?/site-packages/")


@dataclass(frozen=True)
class Installed:
    """
    A distribution that is installed.

    Attributes:
        version: As its metadata says.
        files: Where each of its files is, by path below its folder; empty for an editable install.
    """

    version: str
    files: Mapping[str, Path]


@dataclass(frozen=True)
class Interpreter:
    """
    One interpreter.

    Attributes:
        path: Its executable; in a virtual environment the environment's own.
        version: (3, 13).
        tag: "cpython-313".
        variables: PYTHON... variables that the target runs with.
    """

    path: Path
    version: tuple[int, int]
    tag: str
    variables: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def at(cls, path: Path, variables: Mapping[str, str] | None = None) -> Interpreter:
        """
        Ask an interpreter what it is.

        Args:
            path: Its executable, or a name on PATH.
            variables: PYTHON... variables of the target.

        Raises:
            Refused: no-interpreter (it isn't there, isn't Python, is older than 3.10), timed-out.
        """
        hint = "give the program that the target runs: --python PATH"
        where = shutil.which(path)
        if where is None:
            raise Refused("no-interpreter", "there is no such program, or it can't be run", target=str(path), hint=hint)
        done = run([where, "-I", "-S", "-c", _VERSION], timeout_s=_TIMEOUT_S)
        try:
            major, minor, tag = json.loads(done.stdout)
            version = (int(major), int(minor))
        except (ValueError, TypeError) as error:
            raise Refused("no-interpreter", f"it isn't Python: {last_words(done)}", target=where, hint=hint) from error
        if version < _OLDEST:
            raise Refused("no-interpreter", f"it is Python {major}.{minor}; suture needs 3.10", target=where, hint=hint)
        return cls(Path(os.path.abspath(where)), version, str(tag), dict(variables or {}))

    @property
    def is_newer(self) -> bool:
        """True if its syntax may be newer than this process's."""
        return self.version > sys.version_info[:2]

    def installed(self, name: str) -> Installed | None:
        """
        A distribution that is installed in it; None if it isn't.

        Raises:
            Refused: no-interpreter (it can't say), timed-out.
        """
        env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        mine = self.path == Path(sys.executable)
        env |= {k: v for k, v in os.environ.items() if k.startswith("PYTHON")} if mine else self.variables
        done = run([self.path, "-c", _INSTALLED, name], timeout_s=_TIMEOUT_S, env=env)
        try:
            row = json.loads(done.stdout)
        except ValueError as error:
            words = f"it can't say what is installed: {last_words(done)}"
            raise Refused("no-interpreter", words, target=str(self.path), hint="give both versions: NAME==A..B") from error
        return Installed(row["version"], {k: Path(v) for k, v in row["files"].items()}) if row is not None else None

    def rebuild(self, arguments: Sequence[str]) -> int:
        """
        Run the same command in this interpreter, with our own streams; its exit code.

        Raises:
            Refused: no-command, timed-out.
        """
        folder = str(Path(suture.__file__).resolve().parent.parent)
        argv = [str(self.path), "-I", "-S", "-c", _REBUILD.format(folder=folder), *arguments]
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            return subprocess.run(argv, timeout=_REBUILD_TIMEOUT_S, check=False).returncode
        except subprocess.TimeoutExpired as error:
            raise Refused("timed-out", "the build in it took longer than 30 min", target=str(self.path), hint="") from error
        except OSError as error:
            raise Refused("no-command", str(error), target=str(self.path), hint="give another --python") from error


@functools.lru_cache(maxsize=1)
def this_interpreter() -> Interpreter:
    """The one that runs this."""
    return Interpreter(Path(sys.executable), sys.version_info[:2], str(sys.implementation.cache_tag))


def interpreter_of(pid: int, proc: Path = Path("/proc")) -> Interpreter:
    """
    The interpreter of a running process.

    In a virtual environment the executable is a link, and the kernel knows only where it leads; so its command line, its
    VIRTUAL_ENV and the extension modules that it has loaded are looked at before that.

    Args:
        pid: The process.
        proc: Where the kernel shows it.

    Raises:
        Refused: no-interpreter.
    """
    here, hint = proc / str(pid), "give it yourself: --python PATH"
    try:
        real = os.readlink(here / "exe")
        command = [os.fsdecode(w) for w in (here / "cmdline").read_bytes().split(b"\0") if w]
        rows = (here / "environ").read_bytes().split(b"\0")
        elsewhere = not os.path.samefile(here / "root", "/")
        maps = (here / "maps").read_text("utf-8", "replace")
        folder = os.readlink(here / "cwd")
    except OSError as error:
        words = f"its process can't be looked at: {error.strerror or error}"
        raise Refused("no-interpreter", words, target=f"pid {pid}", hint=hint) from error
    if elsewhere:
        words = "it runs in another root (a container)"
        raise Refused("no-interpreter", words, target=f"pid {pid}", hint="run suture inside of it, or give --python PATH")
    environ = dict(os.fsdecode(r).split("=", 1) for r in rows if b"=" in r)
    candidates: list[str] = []
    if command:
        given = command[0] if "/" in command[0] else shutil.which(command[0], path=environ.get("PATH", "")) or ""
        candidates.append(os.path.join(folder, given) if given else "")
    roots = [environ.get("VIRTUAL_ENV", ""), *(m[1] for m in _LIBRARY.finditer(maps))]
    candidates += [f"{root}/bin/python" for root in dict.fromkeys(roots) if root]
    for path in candidates:
        if path and os.path.realpath(path) == os.path.realpath(real):
            break
    else:
        path = real
    variables = {k: v for k, v in environ.items() if k in ("PYTHONPATH", "PYTHONHOME", "PYTHONNOUSERSITE", "PYTHONUSERBASE")}
    try:
        return Interpreter.at(Path(path), variables)
    except Refused as error:
        raise Refused("no-interpreter", error.message, target=f"pid {pid} ({path})", hint=hint) from error
