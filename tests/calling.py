"""An agent's other end, for tests: one connection, and a target that simulates the engine."""

from __future__ import annotations

import itertools
import json
import os
import socket
import time
from typing import Any

from suture import wire
from suture.agent import rundir
from suture.patch import Finding, Severity
from suture.report import Process, Report, Row, State

HELLO = wire.Hello(wire.WIRE, "0.1.0", "3", os.getpid())


class Call:
    """One connection to an agent."""

    def __init__(self, path: str, *, hello: wire.Hello | None = HELLO, timeout_s: float = 20.0) -> None:
        self.numbers = itertools.count(1)
        self.decoder = wire.Decoder(agent=False)
        self.got: list[wire.Received] = []
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(timeout_s)
        try:
            with rundir.Address(path) as name:
                self.sock.connect(name)
            if hello is not None:
                self.send(hello)
                self.welcome = self.next().message
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self) -> Call:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, message: wire.Message, attached: bytes = b"") -> None:
        self.sock.sendall(b"".join(wire.encode(message, attached)))

    def next(self) -> wire.Received:
        """The next message; EOFError if the agent hung up."""
        while not self.got:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError
            self.got += self.decoder.feed(data)
            assert self.decoder.error is None, self.decoder.error
        return self.got.pop(0)

    def ask(self, kind: Any, attached: bytes = b"", **fields: Any) -> Any:
        """Answer to one question, and what is attached (decoded) as ``self.body``."""
        number = next(self.numbers)
        if "size" in kind.__annotations__:
            fields["size"] = 0
        self.send(kind(number=number, **fields), attached)
        got = self.next()
        answer, body = got.message, got.attached
        assert getattr(answer, "number", number) == number
        self.body = body if isinstance(answer, (wire.Shown, wire.Logged)) else json.loads(body) if body else None
        return answer

    def ended(self) -> bool:
        """True once the agent has hung up."""
        try:
            self.next()
        except (EOFError, ConnectionError):
            return True
        return False


class Simulated:
    """
    A target without an engine.  A patch is the text of a number: 0 is refused, 9 faults, 8 raises, others go in.

    Attributes:
        live: What has been switched, in order.
        events: All that was asked.
    """

    def __init__(self, slow_s: float = 0.0) -> None:
        self.live: list[str] = []
        self.events: list[str] = []
        self.open = 0
        self.slow_s = slow_s

    def report(self, patch_id: str, state: State, ok: bool = True) -> Report:
        findings = () if ok else (Finding("conflict", Severity.ERROR, "m:f", "isn't the code", "rebuild"),)
        return Report(patch_id, ok, state, Process(os.getpid(), "3", "0"), (Row("m:f", str(state)),), findings)

    def plan(self, source: bytes, **options: Any) -> Report:
        self.events.append(f"plan {source.decode()} {sorted(k for k, v in options.items() if v)}")
        time.sleep(self.slow_s)  # a target that takes its time
        if source == b"8":
            raise ZeroDivisionError("eight")
        return self.report(f"p-{source.decode()[:5]}", State.PLANNED if source != b"0" else State.REFUSED, source != b"0")

    def prepare(self, source: bytes, **options: Any) -> tuple[Report, Any]:
        planned = self.plan(source, **options)
        if not planned.ok:
            return planned, None
        self.open += 1
        return self.report(planned.patch_id, State.PREPARED), _Ready(self, planned.patch_id)

    def revert(self, patch_id: str) -> Report:
        self.events.append(f"revert {patch_id}")
        if patch_id not in self.live:
            return self.report(patch_id, State.REFUSED, False)
        self.live.remove(patch_id)
        return self.report(patch_id, State.REVERTED)

    def prepare_revert(self, patch_id: str) -> tuple[Report, Any]:
        self.events.append(f"prepare-revert {patch_id}")
        if patch_id not in self.live:
            return self.report(patch_id, State.REFUSED, False), None
        self.open += 1
        return self.report(patch_id, State.PREPARED), _Back(self, patch_id)

    def status(self) -> tuple[Report, ...]:
        return tuple(self.report(i, State.COMMITTED) for i in self.live)


class _Ready:
    def __init__(self, target: Simulated, patch_id: str) -> None:
        self.target, self.patch_id = target, patch_id

    def commit(self) -> Report:
        from suture.errors import Fault

        self.target.open -= 1
        if self.patch_id == "p-9":
            raise Fault("undo-failed", "the process may hold a part of it")
        self.target.events.append(f"commit {self.patch_id}")
        self.target.live.append(self.patch_id)
        return self.target.report(self.patch_id, State.COMMITTED)

    def discard(self) -> None:
        self.target.open -= 1
        self.target.events.append(f"discard {self.patch_id}")


class _Back(_Ready):
    def commit(self) -> Report:
        self.target.open -= 1
        return self.target.revert(self.patch_id)
