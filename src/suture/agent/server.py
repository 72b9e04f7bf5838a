"""
The agent's one thread: a Unix socket, callers checked, one request at a time.

Rule 1: asleep in poll.  It wakes for a caller, for a lease that ends, and every few seconds to see that its socket is there.
Rule 2: a caller can waste its own time, not another's: limits on what is read, written and waited for.
Rule 3: a descriptor is used or closed only if it's still the one that we opened (a program may close all and reuse the
    numbers); nothing is ever done to the program's own.  A listed folder's can't be looked at, so a forked child's thread
    opens nothing at first: a daemon closes all it has right after its fork.

What is asked is answered by the desk.  Made, started and stopped by boot alone; whatever isn't the loop runs before the
thread has started or after it has ended.
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import logging
import os
import signal
import struct
import sys
from collections.abc import Callable

from suture import wire
from suture.agent import rundir
from suture.agent.desk import Desk, Peer
from suture.agent.journal import Journal
from suture.engine.own import original
from suture.errors import Denied, SutureError
from suture.record import replace

TYPE_CHECKING = False  # as type checkers know it
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Server"]

HEARTBEAT_S = 5.0
HELLO_S = 5.0  # from the connection to its whole hello
MESSAGE_S = 10.0  # for a message to come, or an answer to be taken
IDLE_S = 60.0
CHILD_SETTLES_S = 0.1
MAX_CALLERS = 32
READ = 64 * 1024

_start_thread, _lock = original("_thread", "start_new_thread"), original("_thread", "allocate_lock")
_me, _native_id = original("_thread", "get_ident"), original("_thread", "get_native_id")
_sleep, _poll, _Socket = original("time", "sleep"), original("select", "poll"), original("_socket", "socket")
_now: Callable[[], float] = original("time", "monotonic")
_mask = original("_signal", "pthread_sigmask")
# Synchronous faults stay: blocked, they would kill the process without faulthandler's word.
_FAULTS = {getattr(signal, f"SIG{name}", 0) for name in ("SEGV", "BUS", "FPE", "ILL", "ABRT", "TRAP", "SYS")}
_BLOCKED = frozenset(signal.valid_signals()) - _FAULTS
_POLLIN, _POLLOUT, _POLLNVAL = 1, 4, 32
_log = logging.getLogger("suture")


class _Own:
    """A descriptor that knows whether it is still what we opened."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._is = _inode(number)

    def ours(self) -> bool:
        return self.number >= 0 and _inode(self.number) == self._is

    def close(self) -> None:
        if self.ours():
            os.close(self.number)
        self.number = -1


def _inode(number: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(number)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class _Caller:
    """One connection."""

    def __init__(self, sock: Any, peer: Peer) -> None:
        self.sock = sock
        self.own = _Own(sock.fileno())
        self.peer = peer
        self.decoder = wire.Decoder(agent=True)
        self.todo: list[wire.Received] = []
        self.out = bytearray()
        self.version = 0
        self.closing = False
        self._phase, self._since = "hello", _now()

    def deadline(self) -> float:
        """When it's dropped, if nothing moves on."""
        phase = "write" if self.out else "hello" if not self.version else "idle" if self.decoder.idle() else "read"
        if phase != self._phase:
            self.moved(phase)
        return self._since + {"write": MESSAGE_S, "hello": HELLO_S, "read": MESSAGE_S, "idle": IDLE_S}[phase]

    def moved(self, phase: str | None = None) -> None:
        """A message has come or gone: its time begins again."""
        self._phase, self._since = phase or self._phase, _now()

    def close(self) -> None:
        number = self.sock.detach()  # the object must not close a number that has become somebody else's
        if number >= 0:
            self.own.close()


class Server:
    """
    An agent.

    Attributes:
        desk: Who answers.
        path: Of its socket, "" while there is none.
        pid: The process that it was started in.
    """

    def __init__(
        self, desk: Desk, *, service: str = "", peers: str = "user", run_dir: str | None = None, heartbeat_s: float = 0.0
    ) -> None:
        """*peers*: "user" lets in the process's own user and root, "root" root alone."""
        self.desk = desk
        self._service, self._peers, self._run_dir = service, peers, run_dir
        self._heartbeat_s = heartbeat_s or HEARTBEAT_S
        self._ended: Any = None  # a lock that the thread releases at its end
        self._begin()

    def _begin(self) -> None:
        """State of one process; a forked child begins again."""
        self.pid = os.getpid()
        self.path = ""
        self._who = rundir.identity()
        self._listener: Any = None
        self._listening = _Own(-1)
        self._bound: tuple[int, int, int] | None = None  # the socket's file, and for which user
        self._bind_again = self._accept_again = 0.0
        self._wake: tuple[_Own, _Own] | None = None
        self._callers: list[_Caller] = []
        self._denied = self._dropped = 0
        self._stopping = self._leaving = False
        self._thread = self._native = 0
        self._changing = _lock()  # held while the thread is started or stopped

    # ------------------------------------------------------------ what boot calls

    def start(self, *, bind: bool = True) -> None:
        """
        Bind, if that is needed, and start the thread.

        Args:
            bind: False leaves it to the thread: a forked child often does something else at once.

        Raises:
            RuntimeError: The system gives no thread.
        """
        with self._changing:  # threads may fork, and come back from it, at the same time
            if self._ended is not None:
                return
            self._stopping = False
            if bind:
                self._see_to_the_socket()
            self._see_to_the_pipe()
            ended = _lock()
            ended.acquire()
            before = _mask(signal.SIG_BLOCK, _BLOCKED)
            try:  # the thread inherits the mask: a program that waits for its SIGTERM in sigwait must get it
                self._thread = _start_thread(self._run, (ended,))
                self._ended = ended
            finally:
                _mask(signal.SIG_SETMASK, before)

    def running(self) -> bool:
        """True if the thread was started and not stopped."""
        return self._ended is not None

    def stop(self, timeout_s: float = 5.0) -> bool:
        """
        Wake the thread and wait until the kernel has none of it; sockets, callers and what is prepared stay.

        Returns:
            True if it has ended.  False if it's still at work, or is the one that asks.
        """
        if self._ended is not None and self._thread == _me():
            return False
        limit = _now() + timeout_s
        if not self._changing.acquire(True, timeout_s):
            return False
        try:
            if self._ended is None:
                return True
            self._stopping = True
            self._wake_up()
            if not self._ended.acquire(True, max(0.0, limit - _now())):
                self._stopping = False
                return False
            self._ended = None
        finally:
            self._changing.release()
        # Its last Python line has run, but the kernel counts it for some microseconds more, and that count is what
        # fork looks at: without this wait 1 to 7 of 30 forks warned [3.12.1, 3.14.10, 3.15.2].
        limit = _now() + 0.5
        while os.path.exists(f"/proc/self/task/{self._native}") and self._ended is None and _now() < limit:
            _sleep(0.000_05)
        return True

    def end(self, timeout_s: float = 5.0) -> None:
        """Stop and close; a thread that is at work closes by itself as soon as it can."""
        self._leaving = True
        if self.stop(timeout_s):
            self.close()
        else:
            self._stopping = True

    def close(self) -> None:
        """Leave nothing: callers, descriptors, the socket's file.  After stop."""
        self.desk.let_go("the agent ends")
        if self.path and self._file() == self._bound:
            with contextlib.suppress(OSError):
                os.unlink(self.path)
        self._close_all()

    def _close_all(self) -> None:
        for caller in self._callers:
            caller.close()
        self._callers.clear()
        self._close_listener()
        for end in self._wake or ():
            end.close()
        self._wake, self.path = None, ""

    def begin_in_child(self) -> None:
        """In a forked child: forget the parent's callers and socket, touching neither; ``start`` makes its own."""
        self._ended = None
        self._close_all()
        self.desk.forked()
        self._begin()
        self._bind_again = _now() + CHILD_SETTLES_S

    # ------------------------------------------------------------ the thread

    def _run(self, ended: Any) -> None:
        try:
            self._thread, self._native = _me(), _native_id()
            with contextlib.suppress(Exception):
                original("_thread", "set_name")("suture-agent")  # 3.14+
            while not self._stopping and self._thread == _me():  # a fork in this very thread: its child has another
                try:
                    self._turn()
                except Exception as error:  # noqa: BLE001 - the program must neither notice nor lose its agent
                    self.desk.fail("agent-fault", f"the agent's loop failed and goes on: {type(error).__name__}: {error}")
                    for caller in list(self._callers):
                        self._drop(caller, "a fault of ours")
                    _sleep(1.0)
            if self._leaving:
                self.close()
        finally:
            _forget_this_thread()
            if self._thread == _me():
                self._thread = 0  # the next thread of the program may get this number, and may be the one that stops us
            ended.release()

    def _turn(self) -> None:
        """Sleep until there is something to do, and do it."""
        self._see_to_the_pipe()
        self._see_to_the_socket()
        events = self._wait()
        if self._wake and self._wake[0].number in events and self._wake[0].ours():
            os.read(self._wake[0].number, 512)
        now = _now()
        self.desk.look_at_the_lease()
        for caller in list(self._callers):
            event = events.get(caller.own.number, 0)
            if event & _POLLNVAL or not caller.own.ours():
                self._drop(caller, "")
            elif event & _POLLOUT:
                self._send(caller)
            elif event and not caller.out:
                self._receive(caller)
            elif event:  # hung up with an answer unsent
                self._drop(caller, "")
            elif not caller.todo and now >= caller.deadline():
                self._too_slow(caller)
        for caller in list(self._callers):
            if caller.todo and not caller.out:
                self._answer(caller, caller.todo.pop(0))
        if self._listening.number in events:
            self._accept()

    def _wait(self) -> dict[int, int]:
        now = _now()
        poll = _poll()
        ends = [now + self._heartbeat_s if self._listener is not None else self._bind_again]
        if self._wake:
            poll.register(self._wake[0].number, _POLLIN)
        if self._listener is not None and now >= self._accept_again:
            poll.register(self._listening.number, _POLLIN)
        for caller in self._callers:
            poll.register(caller.own.number, _POLLOUT if caller.out else 0 if caller.todo else _POLLIN)
            ends.append(caller.deadline() if caller.out or not caller.todo else now)
        if self.desk.held is not None:
            ends.append(self.desk.lease_ends)
        left_s = min(ends) - now
        return dict(poll.poll(left_s * 1000 + 1 if left_s > 0 else 0))

    # ------------------------------------------------------------ the socket

    def _see_to_the_pipe(self) -> None:
        """Make the pipe that wakes the thread, if there is none or it was closed under us."""
        if self._wake is None or not all(end.ours() for end in self._wake):
            for end in self._wake or ():
                end.close()
            read, write = os.pipe()
            os.set_blocking(write, False)
            self._wake = _Own(read), _Own(write)

    def _see_to_the_socket(self) -> None:
        """Bind, if there is no socket, or it isn't there any more, or the process has become another user's."""
        if self._listener is not None and (not self._listening.ours() or self._file() != self._bound):
            self._close_listener()
        if self._listener is None and _now() >= self._bind_again:
            try:
                self._bind()
                self.desk.mended()
            except SutureError as error:
                self.desk.fail(error.code, f"{error.message} ({error.target})")
                self._bind_again = _now() + self._heartbeat_s
            except OSError as error:
                self.desk.fail("agent-fault", f"no socket: {error}")
                self._bind_again = _now() + self._heartbeat_s

    def _bind(self) -> None:
        folder = rundir.choose(self._run_dir)
        with contextlib.suppress(SutureError):
            rundir.sweep(folder)
        path = f"{folder}/{rundir.name_of(self._service, self._who)}"
        sock = _Socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        own = _Own(sock.fileno())
        try:
            sock.setblocking(False)
            os.fchmod(sock.fileno(), 0o600)  # Linux: the file's mode from its first moment; elsewhere the folder has to do
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # in our own folder, with our own pid and start: left by an exec
            with rundir.Address(path) as name:
                sock.bind(name)
            sock.listen(64)
        except BaseException:
            sock.detach()  # closed under us, its number may be the program's by now: bind said so
            own.close()
            raise
        self._listener, self._listening, self.path = sock, own, path
        self._bound = self._file()
        self.desk.journal = Journal(folder, self._service)

    def _file(self) -> tuple[int, int, int] | None:
        try:
            found = os.lstat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino, os.geteuid()

    def _close_listener(self) -> None:
        if self._listener is not None:
            self._listener.detach()
            self._listening.close()
            self._listener = None

    def _wake_up(self) -> None:
        if self._wake and self._wake[1].ours():
            with contextlib.suppress(OSError):
                os.write(self._wake[1].number, b"x")
        elif self.path:  # all descriptors were closed under us: poll still has the socket, so a connection wakes it
            with contextlib.suppress(OSError, SutureError):
                sock = _Socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
                try:
                    sock.setblocking(False)
                    with rundir.Address(self.path) as name:
                        sock.connect(name)
                finally:
                    sock.close()

    def _accept(self) -> None:
        for _ in range(16):
            if not self._listening.ours():
                return
            try:
                number, _address = self._listener._accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ECONNABORTED:  # no descriptors left, most likely: listening on would spin
                    self._accept_again = _now() + 1.0
                return
            sock = _Socket(fileno=number)
            sock.setblocking(False)
            caller = _Caller(sock, _peer(sock))
            if len(self._callers) >= MAX_CALLERS:
                self._drop(min(self._callers, key=self._worth), "room for another")
            self._callers.append(caller)
            if caller.peer.uid not in ({0} if self._peers == "root" else {0, os.geteuid()}):
                self._denied += 1
                self._refuse(
                    caller,
                    Denied(
                        "peer-denied",
                        f"uid {caller.peer.uid} may not speak to this agent (uid {os.geteuid()}, peers={self._peers})",
                        hint="ask as root" + ("" if self._peers == "root" else ", or as the user of the process"),
                    ),
                )

    def _worth(self, caller: _Caller) -> tuple[bool, bool, float]:
        held = self.desk.held
        return held is not None and held.caller is caller, bool(caller.version), caller.deadline()

    # ------------------------------------------------------------ callers

    def _receive(self, caller: _Caller) -> None:
        try:
            data = caller.sock.recv(READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(caller, "" if caller.decoder.idle() and caller.version else "cut off")
            return
        caller.todo += (got := caller.decoder.feed(data))
        if got:
            caller.moved()
        if caller.decoder.error is not None and not caller.todo:
            self._refuse(caller, caller.decoder.error)

    def _send(self, caller: _Caller) -> None:
        try:
            sent = caller.sock.send(memoryview(caller.out)[: 4 * READ])
        except BlockingIOError:
            return
        except OSError:
            self._drop(caller, "")
            return
        del caller.out[:sent]
        caller.moved()
        if not caller.out and caller.closing:
            self._drop(caller, "")

    def _say(self, caller: _Caller, message: wire.Message, attached: bytes = b"") -> None:
        try:
            frames = list(wire.encode(message, attached))
        except Denied as error:  # evidence, say, that is longer than a message may be
            frames = list(wire.encode(wire.No(getattr(message, "number", 0), error.code, error.message, hint=error.hint)))
        for frame in frames:
            caller.out += frame
        self._send(caller)

    def _refuse(self, caller: _Caller, error: SutureError) -> None:
        """Say why, and hang up."""
        self._dropped += error.code != "peer-denied"
        caller.closing = True
        caller.todo.clear()
        self._say(caller, wire.No.of(error))

    def _drop(self, caller: _Caller, why: str) -> None:
        if caller in self._callers:
            self._callers.remove(caller)
            self._dropped += bool(why)
            caller.close()
            self.desk.gone(caller)

    def _too_slow(self, caller: _Caller) -> None:
        if caller.out or (caller.version and caller.decoder.idle()):
            self._drop(caller, "too slow" if caller.out else "")
        else:
            self._refuse(
                caller,
                Denied("too-slow", f"no whole message in {HELLO_S if not caller.version else MESSAGE_S:g} s", hint="ask again"),
            )

    def _answer(self, caller: _Caller, received: wire.Received) -> None:
        message = received.message
        caller.moved()
        if isinstance(message, wire.Hello):
            self._say(caller, self.desk.hello(self._who))  # first, so that the other side can judge by itself
            try:
                caller.version = wire.agree(wire.WIRE, message)
            except Denied as error:
                self._refuse(caller, error)
                return
        else:
            answer, attached = self.desk.answer(caller, message, received.attached)
            if isinstance(answer, wire.PsAnswer):
                answer = replace(answer, denied=self._denied, dropped=self._dropped)
            self._say(caller, answer, attached)
        if caller.decoder.error is not None and not caller.todo and not caller.closing:
            self._refuse(caller, caller.decoder.error)


def _peer(sock: Any) -> Peer:
    """By the kernel's word; (0, -1) if it has none to say, and -1 is nobody."""
    try:
        if hasattr(_socket, "SO_PEERCRED"):
            pid, uid, _ = struct.unpack("iII", sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12))
            return Peer(pid, uid)
        found = struct.unpack("II", sock.getsockopt(0, 1, 76)[:8])  # macOS: SOL_LOCAL, LOCAL_PEERCRED, struct xucred
        return Peer(struct.unpack("i", sock.getsockopt(0, 2, 4))[0], found[1])
    except (OSError, struct.error):
        return Peer(0, -1)


def _forget_this_thread() -> None:
    """Logging asked threading who we are, and that made an entry which nobody would remove (before 3.13)."""
    threading = sys.modules.get("threading")
    entry = getattr(threading, "_active", {}).get(_me())
    if entry is not None and type(entry).__name__ == "_DummyThread":
        getattr(threading, "_active").pop(_me(), None)
