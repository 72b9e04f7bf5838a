"""
Where sockets are: one private folder a user, one name a process.

Rule 1: a folder is ours (owner, no rights for others, not a link) or it isn't used; an error names it and says what to do.
Rule 2: a name says which process made it, so that whoever lists can tell the living from the dead without connecting.
Rule 3: nothing here looks into a socket; the agent binds, an operator's command lists and connects.

Both sides use it.  Looked at in this order: the folder given, ``$SUTURE_DIR``; else the first that can be used of
``$XDG_RUNTIME_DIR/suture``, ``/run/suture/UID``, ``suture-UID`` in the temporary directory.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator

from suture.errors import Denied
from suture.record import record

__all__ = ["Address", "Entry", "Identity", "choose", "entries", "everybodys", "identity", "lost", "name_of", "places", "sweep"]

MAX_PATH = 104 if sys.platform == "darwin" else 108  # bytes of sun_path, its closing zero included
_NAME = re.compile(r"([A-Za-z0-9_-]{0,40})\.(\d{1,10})\.(\d{1,20})\.(\d{1,20})\.sock")


@record(frozen=True, slots=True)
class Identity:
    """
    Which process.

    Attributes:
        pid: As it sees itself.
        started: Clock ticks since the machine's start (seconds since 1970 where there is no /proc); 0 if it can't be told.
        namespace: Inode of its pid namespace; 0 where there are none.
    """

    pid: int
    started: int
    namespace: int


@record(frozen=True, slots=True)
class Entry:
    """
    One socket in a folder.

    Attributes:
        path: Its path.
        service: What of the service's name fits into a file name; the hello has the whole.
        identity: The process that made it.
        state: "here", "gone" (that process has ended), "elsewhere" (another pid namespace: its pid says nothing here).
    """

    path: str
    service: str
    identity: Identity
    state: str


# ---------------------------------------------------------------- folders


def places(uid: int | None = None) -> list[str]:
    """Folders where agents of a user (None: this one) may be, the most private first, whether they exist or not."""
    uid = os.geteuid() if uid is None else uid
    mine = os.environ.get("XDG_RUNTIME_DIR", "") if uid == os.geteuid() else ""
    session = mine if os.path.isabs(mine) else f"/run/user/{uid}"
    temporary = os.environ.get("TMPDIR", "") or "/tmp"
    listed = [f"{session}/suture", f"/run/suture/{uid}", f"{temporary.rstrip('/')}/suture-{uid}", f"/tmp/suture-{uid}"]
    if set_by_hand := os.environ.get("SUTURE_DIR", ""):
        listed.insert(0, os.path.abspath(set_by_hand))
    return list(dict.fromkeys(listed))


def choose(given: str | os.PathLike[str] | None = None) -> str:
    """
    The folder to bind in, made if it isn't there.

    Args:
        given: The one to use; None: as this module says.

    Raises:
        Denied: run-dir-unsafe or run-dir-unwritable.
    """
    fixed = os.fspath(given) if given is not None else os.environ.get("SUTURE_DIR", "")
    if fixed:
        return _made(os.path.abspath(fixed), parents=True)
    session = os.environ.get("XDG_RUNTIME_DIR", "")
    listed = [p for p in places() if os.path.isabs(session) or not p.startswith("/run/user/")]
    for path in listed[:-1]:
        with contextlib.suppress(Denied):
            return _made(path, parents=path.startswith("/run/suture/"))
    return _made(listed[-1], parents=False)


def _made(path: str, *, parents: bool) -> str:
    try:
        if parents:
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
        found = os.lstat(path)
    except OSError as error:
        raise Denied(
            "run-dir-unwritable",
            f"{error.strerror}: the folder for the agent's socket can't be made",
            target=path,
            hint="set SUTURE_DIR to a folder of this user",
        ) from error
    _check(path, found)
    if not os.access(path, os.W_OK | os.X_OK):
        raise Denied(
            "run-dir-unwritable",
            "the folder for the agent's socket can't be written",
            target=path,
            hint=f"chmod 700 {path}, or set SUTURE_DIR to another folder of this user",
        )
    return path


def _check(path: str, found: os.stat_result) -> None:
    """
    Raises:
        Denied: run-dir-unsafe: somebody else could put a socket there, or speak to ours.
    """
    why = ""
    if not stat.S_ISDIR(found.st_mode):
        why = "it's a link or a file, not a folder"
    elif found.st_uid != os.geteuid():
        why = f"it belongs to uid {found.st_uid}, this is uid {os.geteuid()}"
    elif found.st_mode & 0o077:
        why = f"its mode is {stat.S_IMODE(found.st_mode):o}: others have rights in it"
    if why:
        raise Denied(
            "run-dir-unsafe",
            f"the folder for the agent's socket isn't private: {why}",
            target=path,
            hint=f"chmod 700 {path} if it's yours, or set SUTURE_DIR to another folder of this user",
        )


# ---------------------------------------------------------------- processes


def identity(pid: int | None = None) -> Identity:
    """
    Of a process (None: this one).

    Raises:
        ProcessLookupError: There is none of that number.
    """
    who = "self" if pid is None else str(pid)
    number = os.getpid() if pid is None else pid
    return Identity(number, _started(who, number), _namespace())


def _started(who: str, pid: int) -> int:
    try:
        with open(f"/proc/{who}/stat", "rb") as file:
            facts = file.read().rpartition(b")")[2].split()  # what is before the bracket may hold spaces
        if facts[0] in (b"Z", b"X"):  # killed, and its parent hasn't looked yet
            raise ProcessLookupError(errno.ESRCH, "it has ended", str(pid))
        return int(facts[19])
    except ProcessLookupError:
        raise
    except FileNotFoundError:
        if os.path.exists("/proc/self/stat"):
            raise ProcessLookupError(errno.ESRCH, "no such process", str(pid)) from None
        return _started_by_ps(pid)
    except (OSError, ValueError, IndexError):
        return 0


def _started_by_ps(pid: int) -> int:
    """Where there is no /proc (macOS): seconds since 1970, by ps."""
    plain = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    done = _run(["ps", "-o", "lstart=", "-p", str(pid)], check=False, capture_output=True, text=True, env=plain)
    if done.returncode != 0:
        raise ProcessLookupError(errno.ESRCH, "no such process", str(pid))
    try:
        return int(_calendar.timegm(_time.strptime(done.stdout.strip(), "%a %b %d %H:%M:%S %Y")))
    except ValueError:
        return 0


if not os.path.exists("/proc/self/stat"):
    import calendar as _calendar  # loaded now: nothing is after install()
    import time as _time
    from subprocess import run as _run


def _namespace() -> int:
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


# ---------------------------------------------------------------- names


def name_of(service: str, who: Identity) -> str:
    """File name of a process's socket."""
    return f"{plain(service)}.{who.pid}.{who.started}.{who.namespace}.sock"


def plain(service: str) -> str:
    """What of a service's name fits into a file name."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", service)[:40]


def entries(folder: str) -> list[Entry]:
    """
    Sockets in a folder, by pid; none if there is no such folder.

    Raises:
        Denied: run-dir-unsafe: somebody else could have put them there.  run-dir-unwritable: it can't be read.
    """
    try:
        found = os.lstat(folder)
        if os.geteuid() != 0 or stat.S_ISLNK(found.st_mode):  # root looks into the folders of all
            _check(folder, found)
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Denied(
            "run-dir-unwritable", f"{error.strerror}: can't be listed", target=folder, hint="ask as its owner, or as root"
        ) from error
    here = _namespace()
    out = [Entry(f"{folder}/{name}", service, who, _state(who, here)) for name, service, who in filter(None, map(_parsed, names))]
    return sorted(out, key=lambda e: (e.identity.pid, e.path))


def lost(folders: Iterable[str]) -> list[Entry]:
    """Agents of this machine that listen on sockets in *folders* whose files are gone: a cleaner or a log-out removed them."""
    found = []
    try:
        with open("/proc/net/unix", "rb") as file:
            rows = [line.split(None, 7) for line in file.read().splitlines()]
    except OSError:
        return []
    here, wanted = _namespace(), set(folders)
    for row in rows:
        path = os.fsdecode(row[7]) if len(row) == 8 and row[3] == b"00010000" else ""  # somebody accepts there
        folder, _, name = path.rpartition("/")
        if folder in wanted and (parsed := _parsed(name)) and _state(parsed[2], here) == "here" and not os.path.lexists(path):
            found.append(Entry(path, parsed[1], parsed[2], "here"))
    return found


def _parsed(name: str) -> tuple[str, str, Identity] | None:
    match = _NAME.fullmatch(name)
    return (name, match[1], Identity(int(match[2]), int(match[3]), int(match[4]))) if match else None


def _state(who: Identity, here: int) -> str:
    if who.namespace != here:
        return "elsewhere"
    try:
        now = identity(who.pid).started
    except ProcessLookupError:
        return "gone"
    return "gone" if now and who.started and now != who.started else "here"


def sweep(folder: str) -> int:
    """Remove the sockets of processes that have ended without a word (killed, ``os._exit``); how many."""
    removed = 0
    for entry in entries(folder):
        if entry.state == "gone":
            with contextlib.suppress(OSError):
                os.unlink(entry.path)
                removed += 1
    return removed


# ---------------------------------------------------------------- addresses


class Address:
    """
    What bind and connect take for *path*, for the length of a ``with``: a path over 108 bytes goes through its open folder.

    Raises:
        Denied: run-dir-too-long: it doesn't fit and this system has no /proc/self/fd.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._folder = -1

    def __enter__(self) -> str:
        if len(os.fsencode(self.path)) < MAX_PATH:
            return self.path
        folder, name = os.path.split(self.path)
        short = f"/proc/self/fd/{{}}/{name}"
        if not os.path.isdir("/proc/self/fd") or len(os.fsencode(short)) + 8 > MAX_PATH:
            raise Denied(
                "run-dir-too-long",
                f"a socket's path has {MAX_PATH - 1} bytes at the most",
                target=self.path,
                hint="set SUTURE_DIR to a folder with a shorter name",
            )
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return short.format(self._folder)

    def __exit__(self, *_: object) -> None:
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1


def everybodys() -> Iterator[str]:
    """Folders of all users that exist: for root, who may speak to any agent."""
    for parent, pattern in (("/run/user", r"\d+"), ("/run/suture", r"\d+"), ("/tmp", r"suture-\d+")):
        with contextlib.suppress(OSError):
            for name in sorted(os.listdir(parent)):
                path = f"{parent}/{name}/suture" if parent == "/run/user" else f"{parent}/{name}"
                if re.fullmatch(pattern, name) and os.path.isdir(path) and not os.path.islink(path):
                    yield path
