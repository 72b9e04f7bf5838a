"""
Two sides from two releases of a distribution: ``requests==2.32.3..2.32.4``.

Wheels come from pip, with whatever index, proxy and credentials it is configured for, and are kept in a cache between runs.  A
wheel is only unpacked.  A release without one is refused, unless a person allows its build: that runs the project's build code.

The left version may be left out: it is the one that is installed in the target's interpreter, and its files as they stand there.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from suture.errors import Refused
from suture.ops.build.sources.command import Done, last_words, run
from suture.ops.build.sources.interpreter import Interpreter
from suture.ops.build.sources.layout import Snapshot, is_safe

__all__ = ["Fetcher", "Files", "Release", "Wheel"]

_PIP_TIMEOUT_S, _BUILD_TIMEOUT_S = 300.0, 1800.0
_MOST_BYTES = 1 << 30  # unpacked
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_VERSION = r"[A-Za-z0-9](?:[A-Za-z0-9+!_-]|\.(?!\.))*"
_RANGE = re.compile(rf"({_NAME})\s*==\s*({_VERSION})?\.\.({_VERSION})")
_OFFLINE = re.compile(
    r"Max retries|NewConnectionError|Connection\w*Error|name resolution|unreachable|ProxyError|timed? ?out|SSLError|CERTIFICATE",
    re.IGNORECASE,
)
_DATA = re.compile(r"[^/]+\.data/(?:purelib|platlib)/(.+)")
_OTHER = re.compile(r"[^/]+\.(?:data|dist-info)/")


@dataclass(frozen=True)
class Release:
    """
    What ``NAME==A..B`` means.

    Attributes:
        name: Of the distribution.
        old: Version; "" is the one that is installed.
        new: Version.
    """

    name: str
    old: str
    new: str

    @classmethod
    def of(cls, text: str) -> Release:
        """
        Read it.

        Raises:
            Refused: bad-source.
        """
        found = _RANGE.fullmatch(text.strip())
        if found is None:
            hint = 'two releases are "NAME==A..B"; "NAME==..B" is from the one that is installed'
            raise Refused("bad-source", "it isn't a range of releases", target=text, hint=hint)
        return cls(found[1], found[2] or "", found[3])


class Wheel:
    """The files of a wheel, as an installer would place them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._members: dict[str, str] = {}
        self.entries: Mapping[str, Hashable] = dict(self._read())

    def _read(self) -> dict[str, Hashable]:
        out: dict[str, Hashable] = {}
        left = _MOST_BYTES
        try:
            with zipfile.ZipFile(self._path) as wheel:
                for info in wheel.infolist():
                    found = _DATA.fullmatch(info.filename)
                    path = found[1] if found else info.filename
                    if info.is_dir() or not is_safe(path) or (not found and _OTHER.match(path)):
                        continue
                    left -= info.file_size
                    if left < 0:
                        raise zipfile.BadZipFile("it is over 1 GiB unpacked")
                    out[path] = _same(wheel.read(info)) if path.endswith(".py") else (info.CRC, info.file_size)
                    self._members[path] = info.filename
        except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
            raise Refused("wheel-unreadable", str(error), target=self._path.name, hint="remove it, build again") from error
        return out

    def write(self, places: Mapping[str, Path]) -> None:
        """Write some of the files."""
        with zipfile.ZipFile(self._path) as wheel:
            for path, place in places.items():
                place.write_bytes(wheel.read(self._members[path]))


def _same(data: bytes, *, code: bool = True) -> Hashable:
    """What equal contents have alike: of code a digest, of the rest what a wheel's own list says without unpacking it."""
    return hashlib.sha256(data).hexdigest() if code else (zlib.crc32(data), len(data))


@dataclass
class Files:
    """Files that are there: of an installed distribution, or of a tree."""

    files: Mapping[str, Path]
    entries: Mapping[str, Hashable] = field(default_factory=dict)

    def __post_init__(self) -> None:
        there = {
            p: f for p, f in self.files.items() if is_safe(p) and not _OTHER.match(p) and not p.endswith(".pyc") and f.is_file()
        }
        self.files = there
        self.entries = {p: _same(f.read_bytes(), code=p.endswith(".py")) for p, f in there.items()}

    def write(self, places: Mapping[str, Path]) -> None:
        """Write some of the files."""
        for path, place in places.items():
            shutil.copyfile(self.files[path], place)


class Fetcher:
    """
    Gets wheels.

    Args:
        target: The interpreter that they are for.
        allow_sdist: Build a release that has no wheel: runs the project's build code.
        step: Called with what is done now.
        scratch: Makes an empty folder, where there can be no cache.
    """

    def __init__(self, target: Interpreter, *, allow_sdist: bool, step: Callable[[str], None], scratch: Callable[[], Path]) -> None:
        self._scratch = scratch
        self._target = target
        self._allow_sdist = allow_sdist
        self._step = step
        self._cache: Path | None = None
        self._command: tuple[str, ...] = ()

    def pair(self, release: Release) -> tuple[Snapshot, Snapshot, str]:
        """
        Both sides, and where they come from.

        Raises:
            Refused: not-installed, no-release, no-wheel, index-unreachable, pip-failed, wheel-unreadable, no-command, timed-out.
        """
        old, version = self._left(release)
        return old, Wheel(self._wheel(release.name, release.new)), f"{release.name}=={version}..{release.new}"

    def _left(self, release: Release) -> tuple[Snapshot, str]:
        if release.old:
            return Wheel(self._wheel(release.name, release.old)), release.old
        self._step(f"asking {self._target.path} for {release.name}")
        installed = self._target.installed(release.name)
        if installed is None:
            hint = f"say which interpreter: --python PATH or --pid PID, or both versions: {release.name}==A..{release.new}"
            raise Refused("not-installed", f"{release.name} isn't installed in it", target=str(self._target.path), hint=hint)
        files = Files(installed.files)
        if any(p.endswith(".py") for p in files.entries):
            return files, f"{installed.version} (installed)"
        return Wheel(self._wheel(release.name, installed.version)), installed.version

    # ------------------------------------------------------------ pip

    def _wheel(self, name: str, version: str) -> Path:
        """A wheel in the cache."""
        plain = re.sub(r"[-_.]+", "-", name).lower()
        folder = self._folder() / f"{plain}-{version}-{self._target.tag}"
        if found := sorted(folder.glob("*.whl")):
            return found[0]
        with tempfile.TemporaryDirectory(prefix=".new-", dir=self._folder()) as fresh:
            self._step(f"fetching {name} {version}")
            self._fetch(f"{name}=={version}", Path(fresh))
            wheels = sorted(Path(fresh).glob("*.whl"))
            if not wheels:
                raise Refused(
                    "pip-failed", "pip brought no wheel", target=f"{name}=={version}", hint="try it by hand: pip download"
                )
            folder.mkdir(parents=True, exist_ok=True)
            wheels[0].replace(folder / wheels[0].name)
            return folder / wheels[0].name

    def _fetch(self, wanted: str, folder: Path) -> None:
        words = ["download", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
        if self._command[0] != str(self._target.path):  # pip looks for wheels for its own Python if it isn't told
            words += ["--python-version", "{}.{}".format(*self._target.version)]
        done = self._pip(*words, wanted, timeout_s=_PIP_TIMEOUT_S)
        if not done.returncode:
            return
        refused = self._why(done, wanted)
        if refused.code != "no-wheel" or not self._allow_sdist:
            raise refused
        self._step(f"building {wanted}")
        done = self._pip("wheel", "--no-deps", "--wheel-dir", str(folder), wanted, timeout_s=_BUILD_TIMEOUT_S)
        if done.returncode:
            hint = "try it by hand: pip wheel --no-deps"
            raise Refused("pip-failed", f"it can't be built: {last_words(done)}", target=wanted, hint=hint)

    def _why(self, done: Done, wanted: str) -> Refused:
        """What stands behind pip's no."""
        said = done.stderr.decode("utf-8", "replace")
        if "No matching distribution" not in said and "satisfies the requirement" not in said:
            if _OFFLINE.search(said):
                return _unreachable(wanted, done)
            return Refused("pip-failed", last_words(done), target=wanted, hint="try it by hand: pip download --no-deps")
        name, _, version = wanted.partition("==")
        if _OFFLINE.search(said):
            return _unreachable(wanted, done)
        # With every release that the index has, source releases too; nothing is downloaded.
        listed = self._pip("index", "versions", "--pre", name, timeout_s=_PIP_TIMEOUT_S)
        versions = re.findall(r"Available versions: (.*)", listed.stdout.decode("utf-8", "replace"))
        if versions and version in versions[0].split(", "):
            hint = "--allow-sdist builds it, which runs the project's build code; or give two folders"
            return Refused("no-wheel", "the release has no wheel for this Python", target=wanted, hint=hint)
        if _OFFLINE.search(listed.stderr.decode("utf-8", "replace")):
            return _unreachable(wanted, listed)
        hint = "check name and version, and pip's index configuration: pip config list"
        return Refused("no-release", "pip's index has no such release", target=wanted, hint=hint)

    def _pip(self, *words: str, timeout_s: float) -> Done:
        """
        Run pip: of this interpreter, of the target's, or the command.

        Raises:
            Refused: no-command (there is none), timed-out.
        """
        for command in [self._command] if self._command else self._pips():
            done = self._run([*command, *words, "--no-input", "--disable-pip-version-check"], timeout_s)
            if not (done.returncode and b"No module named pip" in done.stderr):
                self._command = tuple(command)
                return done
        hint = f"{sys.executable} -m ensurepip, or run suture with a Python that has pip"
        raise Refused("no-command", "there is no pip", target=sys.executable, hint=hint)

    def _pips(self) -> Iterator[Sequence[str]]:
        yield [sys.executable, "-m", "pip"]
        yield [str(self._target.path), "-m", "pip"]
        if found := shutil.which("pip"):
            yield [found]

    def _run(self, argv: Sequence[str], timeout_s: float) -> Done:
        env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        with tempfile.TemporaryDirectory(prefix="suture-") as elsewhere:  # `-m` looks for modules where it runs
            return run(argv, timeout_s=timeout_s, cwd=Path(elsewhere), env=env)

    def _folder(self) -> Path:
        """Where wheels are kept: one folder for each configuration of pip, as two indexes may mean two things by one name."""
        if self._cache is None:
            said = self._pip("config", "list", timeout_s=_PIP_TIMEOUT_S).stdout
            try:
                base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
                self._cache = base / "suture" / "wheels" / hashlib.sha256(said).hexdigest()[:16]
                self._cache.mkdir(mode=0o700, parents=True, exist_ok=True)
                if not os.access(self._cache, os.W_OK):
                    raise PermissionError
            except (OSError, RuntimeError):  # no home, or one that can't be written
                self._cache = self._scratch()
        return self._cache


def _unreachable(wanted: str, done: Done) -> Refused:
    hint = "check the network and pip's index configuration (pip config list), or give two folders"
    evidence = {"said": last_words(done)}
    return Refused("index-unreachable", "pip can't reach its index", target=wanted, hint=hint, evidence=evidence)
