"""
Bring an agent into this process, keep it through forks, and take it out again.

Rule 1: never raises into the program and never prints: what fails is a record of the ``suture`` logger, and in ``ps``.
Rule 2: no thread of ours is alive while the process forks; parent and child each get one afterwards.
Rule 3: after ``uninstall`` there is no thread, descriptor, socket, exit handler or monitoring tool; the fork hooks can't be
    taken back and do nothing.

Called by ``suture.install`` and ``suture.uninstall`` alone.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import types
from collections.abc import Callable

from suture.agent.desk import Desk, Loading
from suture.agent.server import Server
from suture.engine.own import original
from suture.errors import SutureError

TYPE_CHECKING = False  # as type checkers know it
if TYPE_CHECKING:
    from typing import Any

__all__ = ["failure", "install", "server", "uninstall"]

_log = logging.getLogger("suture")
_silent = logging.NullHandler()  # where a program has set up no logging, a record would be printed
_lock = original("_thread", "allocate_lock")
_me = original("_thread", "get_ident")

_server: Server | None = None
_failure = ""
_one_at_a_time = _lock()
_counting = _lock()
_forks = 0  # under way
_hooked = False


def server() -> Server | None:
    """The agent of this process, if it has one."""
    return _server


def failure() -> str:
    """Why ``install`` did nothing; "" if it didn't fail."""
    return _failure


def install(
    loading: Loading, *, version: str, service: str = "", peers: str = "user", run_dir: str | os.PathLike[str] | None = None
) -> None:
    """
    Start the agent.  A second call does nothing.

    The engine is read here, and run by the agent's thread at the first question that needs it.  The program may be another
    user's by then, may have another root, or gevent's locks in the import system, where a thread of the kernel that imports
    beside the loop was seen to wait for ever [gevent 26.9, 3.11]; what is held needs none of it.

    Args:
        loading: Gives the engine.
        version: Of this suture.
        service: What operators call the program.
        peers: "user" (the process's own user, and root) or "root".
        run_dir: Folder for the socket; None: as agent/rundir.py says.
    """
    global _server, _failure, _hooked
    switch = os.environ.get("SUTURE", "").strip().lower()
    if switch == "off":
        return
    with _one_at_a_time:
        if _server is not None:
            return
        made = None
        _log.addHandler(_silent)
        try:
            if peers not in ("user", "root"):
                raise ValueError(f'peers is {peers!r}, "user" or "root" is meant')
            desk = Desk(loading, version=version, service=str(service), peers=peers, observe=switch == "observe")
            made = Server(desk, service=str(service), peers=peers, run_dir=None if run_dir is None else os.fspath(run_dir))
            desk.hold()
            if not _hooked:
                _hooked = True
                os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
            made.start()  # last: from here on its thread wants the GIL
            _server, _failure = made, ""
            atexit.register(_at_exit)
        except Exception as error:  # noqa: BLE001 - a door: the program goes on without us
            if made is not None:
                made.close()
            _failure = str(error) if isinstance(error, SutureError) else f"agent-fault: {type(error).__name__}: {error}"
            _log.error("suture isn't installed: %s", _failure)


def uninstall(timeout_s: float = 5.0) -> None:
    """Take the agent out.  Patches that are live stay live.  One that is at work goes when it's done."""
    global _server
    with _one_at_a_time:
        gone, _server = _server, None
        if gone is None:
            return
        try:
            _later.cancel()
            atexit.unregister(_at_exit)
            gone.end(timeout_s)
            _log.removeHandler(_silent)
        except Exception as error:  # noqa: BLE001 - a door
            _log.error("agent-fault: uninstall: %s: %s", type(error).__name__, error)


def _at_exit() -> None:
    if _server is not None and _server.pid == os.getpid():
        uninstall(1.0)


# ---------------------------------------------------------------- fork


def _before_fork() -> None:
    """Stop the thread.  A fork would copy it half: its locks held for ever, and 3.12+ warns of each fork with threads."""
    global _forks
    with _counting:
        _forks += 1
    if _server is not None:
        _guarded(_later.cancel)
        _guarded(_server.stop)


def _after_in_parent() -> None:
    global _forks
    with _counting:
        _forks = max(0, _forks - 1)
        others = _forks > 0  # threads that have stopped it and not forked yet: the last one starts it
    if _server is not None and not others and not _server.running():
        if sys.version_info[:2] in ((3, 12), (3, 13)) and _alone():
            _guarded(lambda: _later.call(_restart))
        else:
            _guarded(_restart)


def _after_in_child() -> None:
    global _one_at_a_time, _counting, _forks
    _one_at_a_time, _counting, _forks = _lock(), _lock(), 0  # other threads of the parent may have held them
    if _server is not None:
        _guarded(_server.begin_in_child)
        _guarded(lambda: _restart(bind=False))


def _restart(*, bind: bool = True) -> None:
    if _server is not None:
        _server.start(bind=bind)


def _guarded(work: Callable[[], object]) -> None:
    """A hook may not fail: CPython would print it."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - a door
        _log.error("agent-fault: at a fork: %s: %s", type(error).__name__, error)


def _alone() -> bool:
    """True if this is the kernel's only thread of the process; else fork warns in any case."""
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return True


class _Later:
    """
    Do something right after ``os.fork`` has returned to its caller.

    Some releases of 3.12 and 3.13 count threads after the hooks have run: a thread started in a hook makes the warning
    (30 of 30 forks [3.13.0]).  So the next event in the code that called fork starts it: a line, a call, a return, told by
    ``sys.monitoring`` for that code alone, once.  Nothing is left of it afterwards.  3.14 counts before the hooks.
    """

    FRAMES = 6  # of the caller and those above it: fork may raise, and then the caller may be left at once
    TOOL = "suture: the agent comes back after a fork"

    def __init__(self) -> None:
        self._codes: list[types.CodeType] = []
        self._tool = -1
        self._work: Callable[[], object] = lambda: None
        self._thread = 0

    def call(self, work: Callable[[], object]) -> None:
        """Call *work* later in this thread; now, if that can't be."""
        monitoring: Any = getattr(sys, "monitoring")
        frame: types.FrameType | None = sys._getframe()
        while frame is not None and frame.f_globals is globals():
            frame = frame.f_back
        free = [n for n in (4, 3) if monitoring.get_tool(n) is None]
        if frame is None or not free:
            work()
            return
        self._work, self._tool, self._thread = work, free[0], _me()
        monitoring.use_tool_id(self._tool, self.TOOL)
        for event in self._events(monitoring):
            monitoring.register_callback(self._tool, event, self._fire)
        while frame is not None and len(self._codes) < self.FRAMES:
            self._codes.append(frame.f_code)
            monitoring.set_local_events(self._tool, frame.f_code, sum(self._events(monitoring)))
            frame = frame.f_back

    @staticmethod
    def _events(monitoring: Any) -> tuple[int, ...]:
        events = monitoring.events
        return events.LINE, events.CALL, events.PY_RETURN, events.PY_YIELD

    def _fire(self, *_: object) -> None:
        if self._tool >= 0 and self._thread == _me():
            work = self._work
            self.cancel()
            _guarded(work)

    def cancel(self) -> None:
        """Forget it."""
        if self._tool >= 0:
            monitoring: Any = getattr(sys, "monitoring")
            tool, self._tool = self._tool, -1
            for code in self._codes:
                monitoring.set_local_events(tool, code, 0)
            self._codes.clear()
            for event in self._events(monitoring):
                monitoring.register_callback(tool, event, None)
            monitoring.free_tool_id(tool)


_later = _Later()
