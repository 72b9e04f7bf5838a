"""
Speak to the agents of this machine: find them, and ask one of them.

Rule 1: what can't be reached is a Trouble with a sentence and what to do; a traceback never.
Rule 2: one connection is one caller to the agent: what was prepared on it is let go when it ends.

Threads: an Agent serves one at a time; its ``ask`` waits its turn.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from suture import wire
from suture.agent import rundir
from suture.errors import Fault, Refused, SutureError

__all__ = ["Agent", "Choice", "Lost", "Trouble", "find", "hanging_up"]

CONNECT_S = 15.0  # an agent that is at work for somebody else answers behind that
AGAIN_S = 0.5  # for one that hangs up or isn't listening at the moment
ANSWER_S = 120.0  # a big patch in a busy process
_MOST_AT_ONCE = 64
_MOMENT_S = 0.1


class Lost(Exception):
    """The connection ended without an answer."""


class _Stopped(Lost):
    """It can't answer, and need not be waited for."""


@dataclass(frozen=True)
class Trouble:
    """
    A socket that couldn't be asked.

    Attributes:
        pid: Of whom it is, as its name says.
        service: The same.
        code: Short name of what stands in the way.
        why: In words.
        hint: What to do.
    """

    pid: int
    service: str
    code: str
    why: str
    hint: str

    @property
    def running(self) -> bool:
        """True if it is about a process that has an agent: it goes on running whatever it runs."""
        return self.pid != 0 and self.code != "no-agent"

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"pid": self.pid, "service": self.service, "code": self.code, "message": self.why, "hint": self.hint}


@dataclass(frozen=True)
class Choice:
    """Which processes are meant: of these pids, of these services; none of both: all."""

    pids: tuple[int, ...] = ()
    services: tuple[str, ...] = ()

    def by_name(self, entry: rundir.Entry) -> bool:
        """False if the socket's name tells already that it isn't meant."""
        return bool(self.services) or not self.pids or entry.identity.pid in self.pids

    def perhaps(self, entry: rundir.Entry) -> bool:
        """True if it's meant, as far as the socket's name tells."""
        plain = [rundir.plain(s) for s in self.services]
        return (not self.pids and not self.services) or entry.identity.pid in self.pids or entry.service in plain

    def meant(self, hello: wire.Hello) -> bool:
        """True if that process is meant."""
        return (not self.pids and not self.services) or hello.pid in self.pids or hello.service in self.services

    def __str__(self) -> str:
        parts = [f"pid {p}" for p in self.pids] + [f"service {s}" for s in self.services]
        return ", ".join(parts) or "any process"


class Agent:
    """
    One connection to one agent.

    Attributes:
        closed: We hung up.
        hello: What it said first.
        version: Of the wire, in which both go on.
    """

    def __init__(self, entry: rundir.Entry, version: str) -> None:
        """
        Connect, and say hello.

        Raises:
            OSError, Lost, SutureError: It can't be reached, or doesn't speak what we speak.
        """
        self.entry = entry
        self.closed = False
        self._numbers = itertools.count(1)
        self._decoder = wire.Decoder(agent=False)
        self._got: list[wire.Received] = []
        self._turn = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(CONNECT_S)
            with rundir.Address(entry.path) as name:
                self._socket.connect(name)
            self._send(wire.Hello(wire.WIRE, version, "", os.getpid()))
            answer = self._next().message
            if isinstance(answer, wire.No):
                raise _error(answer)
            if not isinstance(answer, wire.Hello):
                raise Lost("no hello came back")
            self.version = wire.agree(wire.WIRE, answer)
            self.hello = answer
            self._socket.settimeout(ANSWER_S)
        except BaseException:
            self._socket.close()
            raise

    @property
    def pid(self) -> int:
        """As the process sees itself."""
        return self.hello.pid

    def ask(self, kind: Any, attached: bytes = b"", **fields: Any) -> tuple[Any, bytes]:
        """
        Ask one question.

        Returns:
            The answer and what is attached to it.

        Raises:
            Lost: The agent hung up, took too long, or said what can't be read.
            SutureError: It said no.
        """
        with self._turn:
            number = next(self._numbers)
            if "size" in kind.__annotations__:
                fields["size"] = len(attached)
            try:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it said no and hung up: its answer is here yet
                    self._send(kind(number=number, **fields), attached)
                while getattr((got := self._next()).message, "number", number) not in (number, 0):
                    continue
            except OSError as error:
                raise Lost(f"{error.strerror or error}") from error
        if isinstance(got.message, wire.No):
            raise _error(got.message)
        return got.message, got.attached

    def tell(self, kind: Any, **fields: Any) -> None:
        """Say something and don't wait for the answer; nothing is said while a question is open, or if nobody is there."""
        if self._turn.acquire(blocking=False):
            try:
                self._send(kind(number=next(self._numbers), **fields))
            except OSError:
                pass  # the next question will say so
            finally:
                self._turn.release()

    def ended(self) -> bool:
        """True if the process isn't there any more."""
        return _ended(self.entry)

    def close(self) -> None:
        """Hang up; who waits for an answer in another thread is Lost."""
        self.closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _send(self, message: wire.Message, attached: bytes = b"") -> None:
        for frame in wire.encode(message, attached):
            self._socket.sendall(frame)

    def _next(self) -> wire.Received:
        while not self._got:
            data = self._socket.recv(1 << 18)
            if not data:
                raise Lost("it hung up")
            self._got += self._decoder.feed(data)
            if self._decoder.error is not None and not self._got:
                raise Lost(self._decoder.error.message)
        return self._got.pop(0)


def _error(no: wire.No) -> SutureError:
    kind = Fault if no.fault else Refused
    return kind(no.code, no.message, target=no.target, hint=no.hint, evidence=dict(no.evidence))


# ---------------------------------------------------------------- finding them


def folders() -> list[str]:
    """Where agents may be: this user's places; for root those of all users."""
    mine = rundir.places()
    return list(dict.fromkeys([*mine, *rundir.everybodys()])) if os.geteuid() == 0 else mine


def _ended(entry: rundir.Entry) -> bool:
    with contextlib.suppress(ProcessLookupError):
        return entry.state != "elsewhere" and rundir.identity(entry.identity.pid).started != entry.identity.started
    return True


def _connect(entry: rundir.Entry, version: str) -> Agent | Exception:
    """An agent; or why not, unless that has passed a moment later: a process ends, or binds again."""
    limit = time.monotonic() + AGAIN_S
    while True:
        try:
            if entry.state == "here" and _is_stopped(entry.identity.pid):
                raise _Stopped("it is stopped")
            return Agent(entry, version)
        except (Lost, ConnectionError, BlockingIOError) as error:
            if entry.state == "elsewhere" or time.monotonic() >= limit:
                return error
        except (OSError, SutureError) as error:
            return error
        if _ended(entry):
            return FileNotFoundError(errno.ENOENT, "it has ended", entry.path)
        time.sleep(0.02)


def find(choice: Choice, version: str) -> tuple[list[Agent], list[Trouble]]:
    """
    Connect to all agents that are meant.

    Returns:
        Agents by pid, and what couldn't be asked.  Sockets of processes that have ended are removed.
    """
    agents: list[Agent] = []
    troubles: list[Trouble] = []
    entries = [e for e in _entries(troubles) if choice.by_name(e) and e.state != "gone"]
    with ThreadPoolExecutor(_MOST_AT_ONCE, thread_name_prefix="suture") as pool:  # one that is stuck holds nobody up
        for entry, found in zip(entries, pool.map(_connect, entries, itertools.repeat(version)), strict=True):
            if isinstance(found, Exception):
                if choice.perhaps(entry) and (trouble := _trouble(entry, found)) is not None:
                    troubles.append(trouble)
            elif choice.meant(found.hello):
                agents.append(found)
            else:
                found.close()
    troubles += [_unreachable(e) for e in _lost() if choice.perhaps(e)]
    if agents:
        troubles += _missing(choice, agents, troubles)
    return sorted(agents, key=lambda a: a.pid), troubles


def _lost() -> list[rundir.Entry]:
    """Agents whose sockets' files are gone, and stay so: one that ends takes its file away a moment before."""
    found = rundir.lost(folders())
    if found:
        time.sleep(_MOMENT_S)
        still = {entry.path for entry in rundir.lost(folders())}
        found = [entry for entry in found if entry.path in still]
    return found


def _unreachable(entry: rundir.Entry) -> Trouble:
    words = "the file of its socket was removed (a cleaner of temporary files, a log-out)"
    return Trouble(entry.identity.pid, entry.service, "socket-gone", words, "it binds again within seconds; ask again")


def _is_stopped(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except (OSError, IndexError):
        return False


def _missing(choice: Choice, agents: Sequence[Agent], troubles: Sequence[Trouble]) -> Iterator[Trouble]:
    """What was asked for by name, and nobody answers to: where some do, that would go unseen."""
    hint = "see `suture ps`; suture.install(service=...) in the program gives it one"
    for pid in sorted({*choice.pids} - {a.pid for a in agents} - {t.pid for t in troubles}):
        yield Trouble(pid, "", "no-agent", "no process of that number has an agent", hint)
    for service in sorted({*choice.services} - {a.hello.service for a in agents} - {t.service for t in troubles}):
        yield Trouble(0, service, "no-agent", f"no process of service {service} has an agent", hint)


def _entries(troubles: list[Trouble]) -> Iterator[rundir.Entry]:
    for folder in folders():
        try:
            listed = rundir.entries(folder)
        except SutureError as error:
            if os.path.exists(folder):
                troubles.append(Trouble(0, "", error.code, f"{folder}: {error.message}", error.hint))
            continue
        if any(e.state == "gone" for e in listed):
            with contextlib.suppress(SutureError, OSError):
                rundir.sweep(folder)
        yield from listed


def _trouble(entry: rundir.Entry, error: Exception) -> Trouble | None:
    pid, service = entry.identity.pid, entry.service
    where = " (it is in another pid namespace)" if entry.state == "elsewhere" else ""
    if isinstance(error, SutureError):
        return Trouble(pid, service, error.code, f"{error.message}{where}", error.hint)
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOENT:
        return None  # it ended while we looked
    if number == errno.ECONNREFUSED:
        hint = f"if no such process runs in its container: rm {entry.path}" if where else "it binds again within seconds; ask again"
        return Trouble(pid, service, "stale-socket", f"nobody listens at its socket{where}", hint)
    if number in (errno.EACCES, errno.EPERM):
        hint = "ask as the user of the process, or as root"
        return Trouble(pid, service, "no-permission", f"this user may not connect to it{where}", hint)
    if isinstance(error, _Stopped):
        hint = f"kill -CONT {pid}, if nobody is debugging it; then ask again"
        return Trouble(pid, service, "no-answer", "it is stopped (SIGSTOP, or a debugger)", hint)
    if number == errno.EAGAIN:
        hint = "it is at work for somebody (a large patch), or it hangs: ask again"
        return Trouble(pid, service, "no-answer", f"so many wait at its socket that no more can{where}", hint)
    if isinstance(error, TimeoutError):
        hint = "another operator's large patch is being prepared there, or a long C call holds its GIL: ask again"
        return Trouble(pid, service, "no-answer", f"it didn't answer in {CONNECT_S:g} s{where}", hint)
    return Trouble(pid, service, "no-answer", f"{error}{where}", "see its log (logger `suture`)")


@contextlib.contextmanager
def hanging_up(agents: Sequence[Agent]) -> Iterator[None]:
    """Hang up at the end of a ``with``."""
    try:
        yield
    finally:
        for agent in agents:
            agent.close()
