"""What more than one test needs: throwaway modules, patches from text, children."""

from __future__ import annotations

import ast
import importlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest

import suture
from suture.ops.build import build
from suture.patch import Patch, dump

sys.path.insert(0, str(Path(__file__).parent))

from pythons import WANTED, found
from small_world import hurry, shrink

SRC = Path(__file__).parent.parent / "src"
hypothesis.settings.register_profile("suture", deadline=None)  # how long an example takes is the machine's business
hypothesis.settings.load_profile("suture")
# A shell's background job ignores the one, nohup the other, and so would all that we start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class World:
    """A small program on disk, imported into this process, and the patches that change it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.count = 0
        self.modules: list[str] = []
        self.old: dict[str, str] = {}

    def module(self, text: str, name: str = "m") -> ModuleType:
        """Write and import a module; its real name is unique."""
        real = f"{self.prefix}{name}"
        self.old[real] = textwrap.dedent(text)
        live = self.root / "live"
        live.mkdir(exist_ok=True)
        (live / f"{real}.py").write_text(self.old[real])
        if str(live) not in sys.path:
            sys.path.insert(0, str(live))
        importlib.invalidate_caches()
        self.modules.append(real)
        return importlib.import_module(real)

    @property
    def prefix(self) -> str:
        return f"w{abs(hash(str(self.root))) % 10**8}_"

    def patch(self, new: dict[str, str] | str, **changes: str) -> Patch:
        """A patch from what is on disk to *new* (text by module, or the text of module "m"; a module that isn't there is added)."""
        if isinstance(new, str):
            new = {"m": new}
        self.count += 1
        before, after = self.root / f"old{self.count}", self.root / f"new{self.count}"
        for folder in (before, after):
            folder.mkdir()
        for real, text in self.old.items():
            (before / f"{real}.py").write_text(text)
            (after / f"{real}.py").write_text(textwrap.dedent(new.get(real.removeprefix(self.prefix), text)))
        for real, text in ((f"{self.prefix}{n}", t) for n, t in new.items()):
            if real not in self.old:
                (after / f"{real}.py").write_text(textwrap.dedent(text))
                self.modules.append(real)
        return build(before, after, name=f"p{self.count}")

    def becomes(self, new: dict[str, str] | str) -> None:
        """From now on the source is *new*: what the next patch starts from."""
        if isinstance(new, str):
            new = {"m": new}
        for name, text in new.items():
            self.old[f"{self.prefix}{name}"] = textwrap.dedent(text)

    def replace(self, *pairs: tuple[str, str]) -> Patch:
        """A patch of module "m" with some text exchanged."""
        text = self.old[f"{self.prefix}m"]
        for a, b in pairs:
            assert a in text, a
            text = text.replace(a, b)
        return self.patch(text)


@pytest.fixture(autouse=True)
def small_world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the engine walks in this process; the whole of it where a test is marked so.  Without many rests."""
    hurry(monkeypatch)
    if request.node.get_closest_marker("whole_world") is None:
        shrink(monkeypatch)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A small program; reverted and forgotten afterwards."""
    made = World(tmp_path)
    yield made
    for report in reversed(suture.status()):
        suture.revert(report.patch_id)
    for name in made.modules:
        sys.modules.pop(name, None)
    live = str(tmp_path / "live")
    if live in sys.path:
        sys.path.remove(live)


@pytest.fixture(params=WANTED)
def python(request: pytest.FixtureRequest) -> str:
    """One interpreter after the other; one that isn't there is skipped by name."""
    if request.param not in found():
        pytest.skip(f"no Python {request.param} on this machine")
    return found()[request.param]


@pytest.fixture
def run_child(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a script in a real child on a given Python, with nothing but src on its path."""

    def run(python: str, script: str, *args: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "child.py"
        path.write_text(textwrap.dedent(script))
        ast.parse(path.read_text())
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON") or k == "PYTHONHASHSEED"}
        clean |= {"PYTHONPATH": str(SRC), "PYTHONDONTWRITEBYTECODE": "1", **env}
        if measured := os.environ.get("SUTURE_TEST_PATH"):  # coverage_run.py
            clean["PYTHONPATH"] += os.pathsep + measured
        return subprocess.run(
            [python, str(path), *args], capture_output=True, text=True, timeout=120, cwd=cwd or tmp_path, env=clean
        )

    return run


@pytest.fixture
def patch_file(tmp_path: Path) -> Callable[[Patch], Path]:
    """Write a patch to disk."""

    def write(patch: Patch) -> Path:
        path = tmp_path / f"{patch.name}.suture"
        path.write_bytes(dump(patch))
        return path

    return write
