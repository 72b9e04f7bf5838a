"""
A page of commands, run as it stands: files are written, commands of the first terminal run, the second one is a process that is talked to.

A block of Python goes into the file that the words above it end with (`` `src/shop/prices.py`: ``).  In ``console`` a line with ``$`` is a
command and what follows its output; in ``text`` a line with ``>`` is what is typed into the running program.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```(python|console|text)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"`([\w./]+\.py)`:\s*$")
_TIME = re.compile(r"\b\d+(\.\d+)? (s|ms|us)\b")


@dataclass
class Page:
    """
    One run of a page.

    Attributes:
        text: The page.
        folder: Where, empty.
        program: What the second terminal runs, from when it is first talked to.
    """

    text: str
    folder: Path
    program: list[str]
    root: Path
    process: subprocess.Popen[str] | None = None

    def run(self) -> str:
        """Do all of it; the page with the output that there was in place of that which it shows, pids and times as they were."""
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "GIT_", "SUTURE"))}
        tools = self.folder.parent / "bin"
        tools.mkdir()
        for name, words in (("suture", "-m suture "), ("python", "")):
            (tools / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words}"$@"\n')
            (tools / name).chmod(0o755)
        runs = self.folder.parent / "run"
        runs.mkdir(mode=0o700)
        self.env |= {
            "PATH": f"{tools}{os.pathsep}{self.env['PATH']}",
            "PYTHONPATH": str(self.root / "src"),
            "SUTURE_DIR": str(runs),
        }
        self.env |= {
            "NO_COLOR": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
        }
        self.env |= {f"GIT_{who}_{what}": "ops@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        try:
            return _BLOCK.sub(self._block, self.text)
        finally:
            if self.process is not None:
                self.process.kill()
                self.process.communicate()

    def _block(self, found: re.Match[str]) -> str:
        kind, body = found.groups()
        if kind == "python":
            named = _FILE.search(self.text[: found.start()].rstrip())
            assert named, f"no file is named above {body[:40]!r}"
            place = self.folder / named[1]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(body)
            return found[0]
        lines = self._console(body) if kind == "console" else self._second(body)
        return f"```{kind}\n{''.join(f'{line}' + chr(10) for line in lines)}```\n"

    def _console(self, body: str) -> Iterator[str]:
        for line in body.splitlines():
            if line.startswith("$ "):
                yield line
                done = subprocess.run(
                    ["bash", "-c", line[2:]], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=60
                )
                yield from (done.stdout + done.stderr).splitlines()

    def _second(self, body: str) -> Iterator[str]:
        if self.process is None:
            env = self.env | {"PYTHONPATH": f"{self.folder / 'src'}{os.pathsep}{self.env['PYTHONPATH']}"}
            self.process = subprocess.Popen(
                self.program, cwd=self.folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
            )
            yield self._heard()
        for line in body.splitlines():
            if line.startswith("> "):
                assert self.process.stdin is not None
                self.process.stdin.write(line[2:] + "\n")
                yield line
                yield self._heard()

    def _heard(self) -> str:
        assert self.process is not None
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")


def plain(text: str, pid: str, python: str) -> str:
    """Without what is another each time: the process's number, times, the Python's version, the width of columns."""
    text = _TIME.sub("TIME", text.replace(pid, "PID").replace(python, "PYTHON"))
    return re.sub(r" {2,}", "  ", text)


def pid_of(text: str) -> str:
    """The process of the page, as `suture ps` shows it; "nobody" if it doesn't."""
    found = re.search(r"^(\d+) +shop ", text, re.MULTILINE)
    return found[1] if found else "nobody"


def python_of(text: str) -> str:
    """Its Python."""
    found = re.search(r"^\d+ +shop +(\S+) ", text, re.MULTILINE)
    return found[1] if found else "nothing"
