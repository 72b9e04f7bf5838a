"""
What was asked of this process and what came of it, on disk: JSON lines.

Rule 1: the intent is on the disk before the commit; if it can't be, the commit is refused (or asked for without a journal).
Rule 2: one write a line, at the end of the file, so processes can share it; a torn line stays alone, the next starts afresh.
Rule 3: no file is held open between two lines: a program that closes all descriptors doesn't matter.

Called by the agent's server alone.  Applying in the process, without an agent, writes no file.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping

from suture.errors import Denied
from suture.record import record

TYPE_CHECKING = False  # as type checkers know it
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Journal", "Lines", "lines_of", "login_uid", "read", "tail"]

_now = time.time  # taken early: freezegun and its like replace the one in the module
MAX_READ = 64 * 1024 * 1024
MAX_TAIL = 8 * 1024 * 1024


@record(frozen=True, slots=True)
class Lines:
    """
    What a journal holds.

    Attributes:
        records: In order.
        torn: Lines that aren't JSON objects: what a crash or a full disk left.
    """

    records: tuple[dict[str, Any], ...]
    torn: int


class Journal:
    """
    One file.

    Attributes:
        path: ``$SUTURE_JOURNAL``, or ``journal/journal.jsonl`` in the run directory.
    """

    def __init__(self, run_dir: str, service: str) -> None:
        chosen = os.environ.get("SUTURE_JOURNAL", "")
        self.path = os.path.abspath(chosen) if chosen else f"{run_dir}/journal/journal.jsonl"
        self._own_folder = not chosen
        self.service = service

    def write(self, record: Mapping[str, Any], *, text: bytes = b"", rest: Callable[[], None] = lambda: None) -> None:
        """
        Append one line and wait until it's on the disk.

        Args:
            record: Plain data; time, service, host, pid, uid and login_uid are added.
            text: A whole patch, kept under "patch".
            rest: Called between its lines; may give the GIL away.

        Raises:
            Denied: journal-unwritable.  Nothing was changed; the file may have a torn line more.
        """
        row = {
            "time": _stamp(_now()),
            "service": self.service,
            "host": os.uname().nodename,
            "pid": os.getpid(),
            "uid": os.geteuid(),
            "login_uid": login_uid(),
            **record,
        }
        line = json.dumps(row, separators=(",", ":"))
        if text:
            line = "".join((line[:-1], ',"patch":"', *_pieces(text, rest), '"}'))
        try:
            self._append(line.encode("ascii"))
        except OSError as error:
            raise Denied(
                "journal-unwritable",
                f"{error.strerror or error}: the journal can't be written, so nothing is changed",
                target=self.path,
                hint="make room or mend the rights, set SUTURE_JOURNAL to another file, or go on without: --no-journal",
            ) from error

    def _append(self, line: bytes) -> None:
        if self._own_folder:
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # not for ever at a pipe
        file = os.open(self.path, flags, 0o600)
        try:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode):
                raise OSError("it isn't a regular file")
            torn = found.st_size > 0 and os.pread(file, 1, found.st_size - 1) != b"\n"
            data = b"\n" * torn + line + b"\n"
            if os.write(file, data) != len(data):
                raise OSError("only a part of the line was written (the disk is full, or a limit)")
            os.fsync(file)
        finally:
            os.close(file)


def _pieces(text: bytes, rest: Callable[[], None]) -> Iterator[str]:
    """The inside of a JSON string, a line of the patch at a time: in one go a large one holds the GIL for milliseconds."""
    for line in text.decode("utf-8", "backslashreplace").splitlines(keepends=True):
        yield json.dumps(line)[1:-1]
        rest()


def _stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03}Z"


def login_uid(pid: int | None = None) -> int | None:
    """Who logged in to start a process (None: this one), whatever it became since; None if nobody did, or it can't be told."""
    try:
        with open(f"/proc/{pid or 'self'}/loginuid", "rb") as file:  # as text it would load a codec, from disk
            found = int(file.read())
    except (OSError, ValueError):
        return None
    return found if found != 2**32 - 1 else None


def tail(path: str, last: int) -> bytes:
    """
    The last lines as they are, torn ones too, of the file's last 8 MiB; nothing is decoded, so it costs next to nothing.

    Raises:
        OSError: It's there and can't be read.
    """
    lines = _end_of(path, MAX_TAIL).splitlines(keepends=True)
    return b"".join(lines[max(0, len(lines) - last) :])


def read(path: str, last: int | None = None) -> Lines:
    """
    Read a journal, as far as it can be read.

    Args:
        path: The file; none there: no lines.
        last: Only so many records, the last ones; the file's last 64 MiB are looked at.

    Raises:
        OSError: It's there and can't be read.
    """
    return lines_of(_end_of(path, MAX_READ), last)


def _end_of(path: str, most: int) -> bytes:
    """Whole lines from the end of a file, *most* bytes of them; none if there is no file."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - most))
            data = file.read()
    except FileNotFoundError:
        return b""
    return data if size <= most else data.partition(b"\n")[2]


def lines_of(data: bytes, last: int | None = None) -> Lines:
    """The records in a part of a journal, as for ``read``."""
    lines = data.split(b"\n")
    records: list[dict[str, Any]] = []
    torn = 0
    for line in reversed(lines):
        if last is not None and len(records) >= last:
            break
        if line:
            row = _row(line)
            torn += row is None
            records += [row] if row is not None else []
    return Lines(tuple(reversed(records)), torn)


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None
