"""
What an agent does when it's asked: one message in, one answer out.

Rule 1: one transaction at a time; a second one is told who has the first, and since when.
Rule 2: prepared and not committed is nothing: at the lease's end, a lost caller, a fork, it's discarded.
Rule 3: what changes the process is in the journal before (unless the caller goes without), and in the program's log after.
Rule 4: whatever a request raises is an answer; the program doesn't notice.

Knows no sockets.  Called by the server's thread alone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import zlib
from collections.abc import Callable

from suture import wire
from suture.agent.journal import Journal, login_uid, tail
from suture.agent.rundir import Identity
from suture.engine.own import original
from suture.engine.pace import Pace
from suture.errors import Denied, Fault, Refused, SutureError
from suture.record import made_by, record

TYPE_CHECKING = False  # as type checkers know it
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import Any, Protocol, TypeVar

    from suture.difference import ModuleDrift
    from suture.report import Report

    Answer = tuple[wire.Message, bytes]
    T = TypeVar("T")
else:
    Protocol = object

__all__ = ["Caller", "Desk", "Loading", "Peer", "Prepared", "Target"]

MAX_LEASE_S = 60.0
PYTHON = sys.version.partition(" ")[0]
WRITES = frozenset({wire.Prepare, wire.Renew, wire.Commit, wire.Discard, wire.Revert, wire.PrepareRevert, wire.Drop})

_now: Callable[[], float] = original("time", "monotonic")
_log = logging.getLogger("suture")


class Prepared(Protocol):
    """
    A patch, or its revert, right before its point of no return.

    Made, committed and discarded in the agent's thread; in a forked child discarded in the thread that forked.
    """

    def commit(self) -> Report:
        """Switch.  A refusal is a report with ``ok`` false, and nothing was changed."""

    def discard(self) -> None:
        """Let it go; nothing was changed.  Never raises."""


class Target(Protocol):
    """What is served: the engine, or one that simulates it."""

    def plan(self, source: bytes, **options: Any) -> Report:
        """As ``suture.plan``; options are accept, partial and replace."""

    def prepare(self, source: bytes, **options: Any) -> tuple[Report, Prepared | None]:
        """The same up to the point of no return; None: refused, or nothing to do."""

    def revert(self, patch_id: str) -> Report:
        """As ``suture.revert``."""

    def prepare_revert(self, patch_id: str) -> tuple[Report, Prepared | None]:
        """The same up to the point of no return; None: refused."""

    def status(self) -> tuple[Report, ...]:
        """As ``suture.status``."""

    def loaded(self, files: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those of a tree's files, each (module, path), of which a module is loaded."""

    def files(self) -> list[tuple[str, str]]:
        """Each loaded module that was made from a source file: its name and the file."""

    def compare(self, files: Iterable[tuple[str, str, Callable[[], str]]], patches: Collection[str] | None) -> list[ModuleDrift]:
        """As ``suture.drift``, for some files of a tree, each with what reads its text."""


class Loading(Protocol):
    """Where the target comes from."""

    def hold(self) -> None:
        """Read it from disk; later nothing is."""

    def loaded(self) -> bool:
        """True if it's there already: the program itself may have asked for it."""

    def load(self) -> Target:
        """It; runs it at the first call."""


@record(frozen=True, slots=True)
class Peer:
    """Who called, by the kernel's word."""

    pid: int
    uid: int

    def __str__(self) -> str:
        return f"pid {self.pid} (uid {self.uid})"


class Caller(Protocol):
    """A connection, as far as the desk sees it: what is prepared belongs to one."""

    @property
    def peer(self) -> Peer:
        """Who it is."""


@record(frozen=True, slots=True)
class Held:
    """
    What is prepared, and for whom.

    Attributes:
        text: The patch; empty for a revert.
        options: What it was accepted with.
    """

    token: str
    verb: str
    prepared: Prepared
    patch_id: str
    caller: Caller
    since: float
    journal: bool
    text: bytes = b""
    options: Mapping[str, Any] = made_by(default_factory=dict)

    @property
    def what(self) -> str:
        """For people."""
        return self.patch_id if self.verb == "commit" else f"the {self.verb} of {self.patch_id}"


class Desk:
    """
    Answers for one process.

    Attributes:
        held: What is prepared now.
        lease_ends: When it's let go, by the monotonic clock.
        journal: Where changes are written; None: nowhere yet.
        failure: What doesn't work, "" if all does.
    """

    def __init__(self, loading: Loading, *, version: str, service: str, peers: str, observe: bool) -> None:
        self._loading, self._version, self._service, self._peers, self._observe = loading, version, service, peers, observe
        self._target: Target | None = None
        self._broken: SutureError | None = None
        self._texts: dict[str, tuple[bytes, Mapping[str, Any]]] = {}  # compressed, and with what it was accepted
        self._taken: dict[str, Caller] = {}  # what was reverted, by whom: its text stays for as long, should it have to go back
        self._over: list[str] = []
        self._said: set[str] = set()
        self.held: Held | None = None
        self.lease_ends = 0.0
        self.journal: Journal | None = None
        self.failure = ""
        self.since = _now()

    def hold(self) -> None:
        """Read all that the verbs need; what fails is kept, and is the answer to them."""
        self._tried(self._loading.hold)

    def _tried(self, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except SutureError as error:
            self._broken = error
        except Exception as error:  # noqa: BLE001 - the second door: the program goes on without us
            self._broken = Fault("agent-fault", f"the engine can't be loaded: {type(error).__name__}: {error}")
        self.fail(self._broken.code, self._broken.message)
        return None

    def fail(self, code: str, message: str) -> None:
        """Keep what doesn't work for ``ps``, and say it once in the program's log."""
        self.failure = f"{code}: {message}"
        if code not in self._said:
            self._said.add(code)
            _log.error("%s", self.failure)

    def mended(self) -> None:
        """What failed works now, unless it's the engine."""
        if self._broken is None:
            self.failure = ""

    # ------------------------------------------------------------ the door

    def hello(self, who: Identity) -> wire.Hello:
        """What this side says first."""
        return wire.Hello(wire.WIRE, self._version, PYTHON, who.pid, self._service, who.started, who.namespace, self._observe)

    def answer(self, caller: Caller, message: wire.Message, attached: bytes) -> Answer:
        """Do what is asked.  Never raises."""
        number = getattr(message, "number", 0)
        try:
            return self._request(caller, message, attached)
        except SutureError as error:
            return wire.No.of(error, number), b""
        except BaseException as error:  # noqa: BLE001 - a patch's own code may raise anything; the program must not lose its agent
            _log.error("agent-fault: a request failed", exc_info=True)
            fault = Fault("agent-fault", f"{type(error).__name__}: {error}", hint="see what is live with status, and report it")
            return wire.No.of(fault, number), b""

    def _request(self, caller: Caller, message: wire.Message, attached: bytes) -> Answer:
        if self._observe and type(message) in WRITES:
            raise Denied("observe-only", "SUTURE=observe: this agent only reads", hint="restart without it, or with the fix")
        if isinstance(message, wire.Ps):
            return self._facts(message.number), b""
        if isinstance(message, wire.Log):
            return self._lines(message)
        if isinstance(message, wire.Show):
            return self._show(message)
        if isinstance(message, wire.Status):
            reports = [r.to_json() for r in self._engine().status()]
            return wire.Statuses(message.number, 0, len(reports)), wire.json_slices(reports, Pace())
        if isinstance(message, wire.Plan):
            return _reported(message.number, self._engine().plan(attached, **_options(message)))
        if isinstance(message, wire.Loads):
            return self._loads(message, attached)
        if isinstance(message, wire.Files):
            return self._files(message.number)
        if isinstance(message, wire.Drift):
            return self._drift(message, attached)
        if isinstance(message, wire.Prepare):
            return self._prepare(caller, message, attached)
        if isinstance(message, wire.PrepareRevert):
            return self._prepare_revert(caller, message)
        if isinstance(message, wire.Revert):
            return self._revert(caller, message)
        if isinstance(message, wire.Drop):
            return self._drop(caller, message)
        if isinstance(message, wire.Renew):
            self._mine(caller, message.token)
            return wire.Done(message.number, self._lease(message.lease_s)), b""
        if isinstance(message, wire.Commit):
            return self._commit(self._mine(caller, message.token), message.number)
        if isinstance(message, wire.Discard):
            self._mine(caller, message.token)
            self.let_go("")
            return wire.Done(message.number), b""
        raise Denied("verb-unknown", f"{type(message).__name__} isn't a question", hint="report it")

    def _engine(self) -> Target:
        if self._target is None and self._broken is None:
            self._target = self._tried(self._loading.load)
        if self._target is None:
            assert self._broken is not None
            raise self._broken
        return self._target

    def _facts(self, number: int) -> wire.PsAnswer:
        held = self.held
        reports = self._engine().status() if self._broken is None and self._loading.loaded() else ()
        conflicts = [f"{f.code}: {f.message}" for r in reports for f in r.findings if f.code in ("conflict", "past-the-hook")]
        return wire.PsAnswer(
            number,
            service=self._service,
            pid=os.getpid(),
            ppid=os.getppid(),
            uid=os.geteuid(),
            python=PYTHON,
            suture=self._version,
            since_s=round(_now() - self.since, 3),
            peers=self._peers,
            observe=self._observe,
            patches=tuple(r.patch_id for r in reports),
            holder=f"{held.caller.peer}, {held.what}, {_now() - held.since:.1f} s" if held else "",
            failure=self.failure or "; ".join(conflicts)[:400],
        )

    # ------------------------------------------------------------ two phases

    def _prepare(self, caller: Caller, message: wire.Prepare, text: bytes) -> Answer:
        self._refuse_if_held()
        options = _options(message)
        report, prepared = self._engine().prepare(text, **options)
        row = _row("prepare", report) | {name: value for name, value in options.items() if value}
        if prepared is None:
            with contextlib.suppress(Denied):  # nothing was changed: a full disk may not keep that from being told
                self._note(caller, message.journal, row, text)
            return _reported(message.number, report)
        held = Held(os.urandom(12).hex(), "commit", prepared, report.patch_id, caller, _now(), message.journal, text, options)
        return self._hold(held, message, report, row)

    def _prepare_revert(self, caller: Caller, message: wire.PrepareRevert) -> Answer:
        self._refuse_if_held()
        report, prepared = self._engine().prepare_revert(message.patch_id)
        if prepared is None:
            with contextlib.suppress(Denied):
                self._note(caller, message.journal, _row("revert", report))
            return _reported(message.number, report)
        held = Held(os.urandom(12).hex(), "revert", prepared, report.patch_id, caller, _now(), message.journal)
        return self._hold(held, message, report, _row("prepare", report) | {"for": "revert"})

    def _hold(self, held: Held, message: wire.Prepare | wire.PrepareRevert, report: Report, row: dict[str, Any]) -> Answer:
        try:
            self._note(held.caller, held.journal, row, held.text)
        except BaseException:
            held.prepared.discard()
            raise
        self.held = held
        return _reported(message.number, report, held.token, self._lease(message.lease_s))

    def _refuse_if_held(self) -> None:
        held = self.held
        if held is not None:
            age_s = _now() - held.since
            raise Refused(
                "busy",
                f"{held.caller.peer} has prepared {held.what} here {age_s:.1f} s ago",
                hint=f"wait: it's committed, discarded, or let go in {max(0.0, self.lease_ends - _now()):.0f} s",
                evidence={"pid": str(held.caller.peer.pid), "uid": str(held.caller.peer.uid), "age_s": f"{age_s:.1f}"},
            )

    def _lease(self, asked_s: float) -> float:
        lease_s = min(max(asked_s, 0.1), MAX_LEASE_S)
        self.lease_ends = _now() + lease_s
        return lease_s

    def _mine(self, caller: Caller, token: str) -> Held:
        self.look_at_the_lease()
        held = self.held
        if held is not None and held.caller is caller and held.token == token:
            return held
        if token in self._over:
            raise Refused("lease-over", "the lease is over: it was discarded, nothing was changed", hint="prepare it again")
        raise Refused("token-unknown", "nothing is prepared under that token on this connection", hint="prepare it again")

    def look_at_the_lease(self) -> None:
        """Let go what is held too long."""
        if self.held is not None and _now() >= self.lease_ends:
            self.let_go("its lease is over")

    def gone(self, caller: Caller) -> None:
        """A connection has ended: what it prepared is let go."""
        if self.held is not None and self.held.caller is caller:
            self.let_go("its caller is gone")
        for patch_id in [i for i, who in self._taken.items() if who is caller]:
            self._forget(patch_id)

    def _forget(self, patch_id: str) -> None:
        del self._taken[patch_id]
        self._texts.pop(patch_id, None)

    def let_go(self, why: str) -> None:
        """Discard what is prepared, if anything is.  *why* is for the log; "": as its caller asked."""
        held, self.held = self.held, None
        if held is not None:
            self._over = [*self._over[-7:], held.token]
            held.prepared.discard()
            if why:
                _log.warning("discarded %s, prepared by %s: %s; nothing was changed", held.what, held.caller.peer, why)
            self._after(held.caller, held.journal, _bare("discard", held.patch_id, "discarded", "ok", why))

    def forked(self) -> None:
        """In a forked child: what the parent holds isn't ours."""
        held, self.held = self.held, None
        self.since = _now()
        if held is not None:
            held.prepared.discard()
        for patch_id in list(self._taken):
            self._forget(patch_id)

    def _commit(self, held: Held, number: int) -> Answer:
        doing = "committing" if held.verb == "commit" else "reverting"
        self._note(held.caller, held.journal, _bare(held.verb, held.patch_id, doing))
        self.held = None  # from here on it's the engine's to finish; a caller that goes away doesn't matter any more
        report = self._do(held.caller, held.journal, held.verb, held.patch_id, held.prepared.commit)
        if report.ok and held.verb == "revert":
            self._taken[report.patch_id] = held.caller
        elif report.ok:
            self._texts[report.patch_id] = zlib.compress(held.text, 1), held.options
            self._taken.pop(report.patch_id, None)
        return _reported(number, report)

    def _revert(self, caller: Caller, message: wire.Revert) -> Answer:
        """In one step, for operators of wire version 1."""
        self._refuse_if_held()
        engine = self._engine()
        self._note(caller, message.journal, _bare("revert", message.patch_id, "reverting"))
        report = self._do(caller, message.journal, "revert", message.patch_id, lambda: engine.revert(message.patch_id))
        if report.ok:
            self._taken.pop(report.patch_id, None)
            self._texts.pop(report.patch_id, None)
        return _reported(message.number, report)

    def _drop(self, caller: Caller, message: wire.Drop) -> Answer:
        if message.patch_id in {r.patch_id for r in self._engine().status()}:
            raise Refused("is-live", f"{message.patch_id} is live here by now", hint="revert it once more")
        self._note(caller, True, _bare("revert", message.patch_id, "dropped", "ok", "it's nowhere live, and isn't to be missed"))
        _log.warning("%s isn't live here, and isn't wanted any more, says %s", message.patch_id, caller.peer)
        return wire.Done(message.number), b""

    def _do(self, caller: Caller, journal: bool, verb: str, patch_id: str, work: Callable[[], Report]) -> Report:
        """What changes the process, with what came of it in the log and, as far as that is possible, in the journal."""
        try:
            report = work()
        except BaseException as error:
            _log.error("%s %s for %s failed: %s", verb, patch_id, caller.peer, error)
            self._after(caller, journal, _bare(verb, patch_id, "unknown", "fault", str(error)))
            raise
        level = logging.WARNING if report.ok else logging.ERROR  # a program whose code changes is worth a warning
        row = _row(verb, report)
        _log.log(level, "%s %s for %s: %s", verb, report.patch_id or patch_id, caller.peer, report.state, extra={"suture": row})
        self._after(caller, journal, row)
        return report

    # ------------------------------------------------------------ journal

    def _note(self, caller: Caller, wanted: bool, row: dict[str, Any], text: bytes = b"") -> None:
        if wanted and self.journal is not None:
            peer = {"peer_pid": caller.peer.pid, "peer_uid": caller.peer.uid, "peer_login_uid": login_uid(caller.peer.pid)}
            self.journal.write({**row, **peer}, text=text, rest=Pace())

    def _after(self, caller: Caller, wanted: bool, row: dict[str, Any]) -> None:
        try:
            self._note(caller, wanted, row)
        except Denied as error:
            _log.error("%s", error)

    def _show(self, message: wire.Show) -> Answer:
        found = [i for i in self._texts if i == message.patch_id] or [i for i in self._texts if i.startswith(message.patch_id)]
        if len(found) != 1:
            raise Refused(
                "patch-unknown",
                f"{'no' if not found else 'more than one'} patch that came in through this agent is called {message.patch_id!r}",
                hint="the ids are in status; a patch that the program applied by itself is shown from its file",
            )
        text, options = self._texts[found[0]]
        return wire.Shown(message.number, 0, found[0], **options), zlib.decompress(text)

    def _files(self, number: int) -> Answer:
        rows = self._engine().files()
        text = "".join(f"{name}\t{file}\n" for name, file in rows if not set(name + file) & set("\t\n"))
        live = tuple(r.patch_id for r in self._engine().status())
        return wire.FilesAnswer(number, 0, live), text.encode("utf-8", "surrogateescape")

    def _loads(self, message: wire.Loads, attached: bytes) -> Answer:
        lines = attached.decode("utf-8", "surrogateescape").split("\n")
        found = self._engine().loaded((module, path) for module, _, path in (line.partition("\t") for line in lines if line))
        text = "".join(f"{module}\t{path}\n" for module, path in found).encode("utf-8", "surrogateescape")
        return wire.Loaded(message.number, 0, tuple(r.patch_id for r in self._engine().status())), text

    def _drift(self, message: wire.Drift, attached: bytes) -> Answer:
        def text() -> str:
            return attached.decode("utf-8", "surrogateescape")

        patches = message.patches if message.named else None
        (found,) = self._engine().compare([(message.module, message.path, text)], patches)
        return wire.Drifted(message.number, 0), wire.json_slices(found.to_json(), Pace())

    def _lines(self, message: wire.Log) -> Answer:
        path = self.journal.path if self.journal is not None else ""
        try:
            return wire.Logged(message.number, 0, path), tail(path, message.last)
        except OSError as error:
            raise Denied(
                "journal-unreadable", f"{error.strerror}: the journal can't be read", target=path, hint="mend its rights"
            ) from error


def _options(message: wire.Plan | wire.Prepare) -> dict[str, Any]:
    return {"accept": message.accept, "partial": message.partial, "replace": message.replace}


def _reported(number: int, report: Report, token: str = "", lease_s: float = 0.0) -> Answer:
    return wire.Reported(number, 0, report.ok, str(report.state), token, lease_s), wire.json_slices(report.to_json(), Pace())


def _row(verb: str, report: Report) -> dict[str, Any]:
    row = _bare(verb, report.patch_id, str(report.state), "ok" if report.ok else "refused")
    errors = [f.code for f in report.findings if str(f.severity) == "error"]
    return {**row, "errors": errors, "targets": len(report.changed)}


def _bare(verb: str, patch_id: str, state: str, verdict: str = "", why: str = "") -> dict[str, Any]:
    return {"verb": verb, "patch_id": patch_id, "state": state, "verdict": verdict, **({"why": why} if why else {})}
