"""The server in this process: two phases, leases, bad callers, a socket that is lost; with a simulated target."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calling import HELLO, Call, Simulated
from suture import wire
from suture.agent import desk as desk_module
from suture.agent import rundir, server
from suture.agent.desk import Desk
from suture.agent.journal import read
from suture.agent.server import Server
from suture.errors import Denied
from suture.record import replace
from waiting import PATIENCE_S, until


class Agent:
    """A server with its target."""

    def __init__(
        self,
        folder: Path,
        *,
        observe: bool = False,
        slow_s: float = 0.0,
        hold: Callable[[], object] = lambda: None,
        load: Callable[[], object] | None = None,
        **options: object,
    ) -> None:
        self.target = Simulated(slow_s)
        loading = SimpleNamespace(hold=hold, loaded=lambda: load is None, load=load or (lambda: self.target))
        self.desk = Desk(loading, version="0.1.0", service="game", peers="user", observe=observe)  # type: ignore[arg-type]
        self.server = Server(self.desk, service="game", run_dir=str(folder), heartbeat_s=0.05, **options)  # type: ignore[arg-type]
        self.desk.hold()
        self.server.start()

    @property
    def path(self) -> str:
        return self.server.path

    def call(self, **options: object) -> Call:
        def connected() -> Call | None:
            try:
                return Call(self.path, **options)  # type: ignore[arg-type]
            except ConnectionRefusedError:  # between its bind and its listen
                return None

        return until(connected, "its answer")

    def end(self) -> None:
        assert self.server.stop()
        self.server.close()


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Agent]]:
    monkeypatch.delenv("SUTURE_JOURNAL", raising=False)
    agents: list[Agent] = []

    def made(**options: object) -> Agent:
        agents.append(Agent(tmp_path / "run", **options))  # type: ignore[arg-type]
        return agents[-1]

    yield made
    for agent in agents:
        agent.end()


@pytest.fixture
def agent(make: Callable[..., Agent]) -> Agent:
    return make()


def journal(agent: Agent) -> list[dict[str, object]]:
    assert agent.desk.journal is not None
    return list(read(agent.desk.journal.path).records)


# ---------------------------------------------------------------- verbs


def test_hello_and_facts(agent: Agent) -> None:
    """Who is there: the same in the socket's name, the hello and the facts."""
    (entry,) = rundir.entries(os.path.dirname(agent.path))
    with agent.call() as call:
        assert isinstance(call.welcome, wire.Hello)
        welcome = rundir.Identity(call.welcome.pid, call.welcome.started, call.welcome.namespace)
        assert welcome == entry.identity == rundir.identity()
        facts = call.ask(wire.Ps)
        assert (facts.pid, facts.service, facts.peers, facts.failure, facts.patches) == (os.getpid(), "game", "user", "", ())


def test_two_phases(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    """Prepare changes nothing, commit switches; journal, log, status and show know of it; revert takes it back."""
    caplog.set_level(logging.INFO, "suture")
    with agent.call() as call:
        assert call.ask(wire.Plan, b"1", accept=("x",)).state == "planned"
        ready = call.ask(wire.Prepare, b"1", partial=True)
        assert (ready.ok, ready.state, ready.lease_s) == (True, "prepared", 10.0)
        assert agent.target.live == []
        assert str(os.getpid()) in call.ask(wire.Ps).holder
        done = call.ask(wire.Commit, token=ready.token)
        assert (done.ok, done.state) == (True, "committed")
        assert agent.target.live == ["p-1"]
        assert call.body["patch_id"] == "p-1"
        assert call.ask(wire.Status).patches == 1
        assert call.body[0]["state"] == "committed"
        assert call.ask(wire.Show, patch_id="p").patch_id == "p-1"
        assert call.body == b"1"
        assert call.ask(wire.Revert, patch_id="p-1").state == "reverted"
        assert call.ask(wire.Show, patch_id="p-1").code == "patch-unknown"
        assert call.ask(wire.Commit, token=ready.token).code == "token-unknown"
        answer = call.ask(wire.Log, last=2)
        assert [json.loads(x)["state"] for x in call.body.splitlines()] == ["reverting", "reverted"]
        assert agent.desk.journal is not None
        assert answer.path == agent.desk.journal.path
    assert [(r["verb"], r["state"]) for r in journal(agent)] == [
        ("prepare", "prepared"), ("commit", "committing"), ("commit", "committed"), ("revert", "reverting"), ("revert", "reverted"),
    ]  # fmt: skip
    assert journal(agent)[0]["patch"] == "1"
    assert {r["peer_pid"] for r in journal(agent)} == {os.getpid()}
    assert [r.message.split(" for ")[0] for r in caplog.records] == ["commit p-1", "revert p-1"]
    assert agent.target.events[0] == "plan 1 ['accept']"


def test_two_phases_back(agent: Agent) -> None:
    """A revert is prepared, held and committed as a patch is; for whoever took it back its text stays, and with what it was let in."""
    with agent.call() as call, agent.call() as other:
        ready = call.ask(wire.Prepare, b"1", accept=("x", "y:z"), replace=True)
        assert call.ask(wire.Commit, token=ready.token).ok
        assert call.ask(wire.PrepareRevert, patch_id="p-7").token == ""
        back = call.ask(wire.PrepareRevert, patch_id="p-1", lease_s=5)
        assert (back.ok, back.state, back.lease_s, agent.target.live) == (True, "prepared", 5, ["p-1"])
        assert "the revert of p-1" in other.ask(wire.PrepareRevert, patch_id="p-1").message
        assert "the revert of p-1" in other.ask(wire.Ps).holder
        assert isinstance(call.ask(wire.Discard, token=back.token), wire.Done)
        assert call.ask(wire.Commit, token=back.token).code == "lease-over"
        back = call.ask(wire.PrepareRevert, patch_id="p-1")
        assert call.ask(wire.Commit, token=back.token).state == "reverted"
        assert (agent.target.live, agent.target.open) == ([], 0)
        shown = other.ask(wire.Show, patch_id="p-1")
        assert (shown.accept, shown.partial, shown.replace, other.body) == (("x", "y:z"), False, True, b"1")
    with agent.call() as later:
        until(lambda: later.ask(wire.Show, patch_id="p-1").code == "patch-unknown" if agent.desk._texts == {} else None)
    rows = [(r["verb"], r["state"], r.get("for"), r.get("accept"), r.get("replace")) for r in journal(agent)]
    assert rows == [
        ("prepare", "prepared", None, ["x", "y:z"], True),
        ("commit", "committing", None, None, None),
        ("commit", "committed", None, None, None),
        ("revert", "refused", None, None, None),
        ("prepare", "prepared", "revert", None, None),
        ("discard", "discarded", None, None, None),
        ("prepare", "prepared", "revert", None, None),
        ("revert", "reverting", None, None, None),
        ("revert", "reverted", None, None, None),
    ]


def test_prepared_revert_ends_with_its_lease_and_its_caller(agent: Agent) -> None:
    """Nothing was changed, and the next may."""
    with agent.call() as call:
        assert call.ask(wire.Commit, token=call.ask(wire.Prepare, b"1").token).ok
        ready = call.ask(wire.PrepareRevert, patch_id="p-1", lease_s=0.1)
        until(lambda: agent.target.open == 0)
        assert call.ask(wire.Commit, token=ready.token).code == "lease-over"
    gone = agent.call()
    gone.ask(wire.PrepareRevert, patch_id="p-1")
    gone.sock.close()
    until(lambda: agent.target.open == 0)
    with agent.call() as call:
        assert call.ask(wire.PrepareRevert, patch_id="p-1").ok
    assert agent.target.live == ["p-1"]


def test_dropping(agent: Agent) -> None:
    """What isn't live here is noted as not wanted; what is live isn't."""
    with agent.call() as call:
        assert isinstance(call.ask(wire.Drop, patch_id="p-1"), wire.Done)
        assert call.ask(wire.Commit, token=call.ask(wire.Prepare, b"1").token).ok
        assert call.ask(wire.Drop, patch_id="p-1").code == "is-live"
    assert [(r["verb"], r["state"]) for r in journal(agent)][0] == ("revert", "dropped")
    assert agent.target.live == ["p-1"]


def test_refusals_and_faults_are_answers(agent: Agent) -> None:
    """A refusal is a report, an error one with a name, a bug of anybody's a fault; the agent goes on."""
    with agent.call() as call:
        refused = call.ask(wire.Prepare, b"0")
        assert (refused.ok, refused.token) == (False, "")
        assert call.body["findings"][0]["code"] == "conflict"
        assert call.ask(wire.Plan, b"8").code == "agent-fault"
        ready = call.ask(wire.Prepare, b"9")
        fault = call.ask(wire.Commit, token=ready.token)
        assert (fault.code, fault.fault) == ("undo-failed", True)
        assert journal(agent)[-1]["verdict"] == "fault"
        assert not call.ask(wire.Revert, patch_id="none").ok
        assert call.ask(wire.Ps).failure == ""
    assert agent.target.open == 0


def test_discard_and_renew(agent: Agent) -> None:
    """A prepared patch is let go by its owner, or held for longer, within limits."""
    with agent.call() as call:
        ready = call.ask(wire.Prepare, b"1", lease_s=0.1)
        assert call.ask(wire.Renew, token=ready.token, lease_s=10**9).lease_s == desk_module.MAX_LEASE_S
        time.sleep(0.15)  # past the first lease, well within the second
        assert isinstance(call.ask(wire.Discard, token=ready.token), wire.Done)
        assert call.ask(wire.Commit, token=ready.token).code == "lease-over"
    assert agent.target.live == []
    assert agent.target.open == 0


def test_lease_over(agent: Agent) -> None:
    """Nobody comes back in time: discarded, and a late commit is told so."""
    with agent.call() as call:
        ready = call.ask(wire.Prepare, b"1", lease_s=0.1)
        until(lambda: agent.target.open == 0)
        assert call.ask(wire.Commit, token=ready.token).code == "lease-over"
        assert call.ask(wire.Renew, token=ready.token).code == "lease-over"
        assert call.ask(wire.Prepare, b"2").ok
    assert agent.target.live == []


def test_lost_connection_discards(agent: Agent) -> None:
    """The operator's command was killed between the phases: nothing was changed, the next may prepare."""
    call = agent.call()
    call.ask(wire.Prepare, b"1")
    call.sock.close()
    until(lambda: agent.target.open == 0)
    with agent.call() as other:
        assert other.ask(wire.Prepare, b"2").ok
    assert agent.target.live == []


def test_two_operators(agent: Agent) -> None:
    """The second is told who has it and since when; tokens aren't good on another connection."""
    with agent.call() as first, agent.call() as second:
        ready = first.ask(wire.Prepare, b"1")
        for asked in ((wire.Prepare, b"2", {}), (wire.Revert, b"", {"patch_id": "x"})):
            no = second.ask(asked[0], asked[1], **asked[2])
            assert no.code == "busy"
            assert no.evidence["pid"] == str(os.getpid())
            assert no.evidence["uid"] == str(os.geteuid())
            assert float(no.evidence["age_s"]) >= 0
        assert second.ask(wire.Commit, token=ready.token).code == "token-unknown"
        assert second.ask(wire.Status).patches == 0
        assert first.ask(wire.Commit, token=ready.token).ok
        assert second.ask(wire.Prepare, b"2").ok


def test_observing(make: Callable[..., Agent]) -> None:
    """SUTURE=observe: reading verbs alone."""
    agent = make(observe=True)
    with agent.call() as call:
        assert call.welcome.observe
        assert call.ask(wire.Plan, b"1").ok
        for kind, fields in (
            (wire.Prepare, {}),
            (wire.Commit, {"token": ""}),
            (wire.Revert, {"patch_id": "x"}),
            (wire.PrepareRevert, {"patch_id": "x"}),
            (wire.Drop, {"patch_id": "x"}),
        ):
            assert call.ask(kind, **fields).code == "observe-only"
        assert call.ask(wire.Ps).observe
    assert agent.target.events == ["plan 1 []"]


def test_journal_that_cannot_be_written(agent: Agent) -> None:
    """Refused before anything is prepared, unless the caller goes without a journal."""
    with agent.call() as call:
        os.makedirs(os.path.join(os.path.dirname(agent.path), "journal", "journal.jsonl"))
        assert call.ask(wire.Prepare, b"1").code == "journal-unwritable"
        assert agent.target.open == 0
        assert not call.ask(wire.Prepare, b"0").ok
        assert call.ask(wire.Revert, patch_id="x").code == "journal-unwritable"
        assert call.ask(wire.Log).code == "journal-unreadable"
        ready = call.ask(wire.Prepare, b"1", journal=False)
        assert call.ask(wire.Commit, token=ready.token).ok
    assert agent.target.live == ["p-1"]


def test_journal_that_fails_before_the_commit(agent: Agent) -> None:
    """The intent can't be written: nothing is switched, what is prepared stays its caller's."""
    with agent.call() as call:
        ready = call.ask(wire.Prepare, b"1")
        assert agent.desk.journal is not None
        os.unlink(agent.desk.journal.path)
        os.mkdir(agent.desk.journal.path)
        assert call.ask(wire.Commit, token=ready.token).code == "journal-unwritable"
        assert (agent.target.live, agent.target.open) == ([], 1)
        os.rmdir(agent.desk.journal.path)
        assert call.ask(wire.Commit, token=ready.token).ok


def test_engine_that_cannot_be_loaded(make: Callable[..., Agent], caplog: pytest.LogCaptureFixture) -> None:
    """The agent is there all the same, and says what is wrong."""

    def hold() -> object:
        raise Denied("second-copy", "another copy")

    agent = make(hold=hold)
    with agent.call() as call:
        assert "second-copy" in call.ask(wire.Ps).failure
        assert call.ask(wire.Plan, b"1").code == "second-copy"
    agent.end()
    with make(load=lambda: 1 / 0).call() as call:
        assert call.ask(wire.Ps).failure == ""
        assert call.ask(wire.Status).code == "agent-fault"
        assert "ZeroDivisionError" in call.ask(wire.Ps).failure
        assert call.ask(wire.Status).code == "agent-fault"
    assert len([r for r in caplog.records if r.name == "suture"]) == 2


def test_large_patch_and_answer(agent: Agent) -> None:
    """A patch of megabytes comes and goes back whole."""
    patch = os.urandom(2**21).hex().encode()
    with agent.call() as call:
        ready = call.ask(wire.Prepare, patch)
        assert call.ask(wire.Commit, token=ready.token).ok
        call.ask(wire.Show, patch_id=ready and "p-")
        assert call.body == patch


# ---------------------------------------------------------------- callers


def test_other_version(agent: Agent) -> None:
    """Both say what they speak; without a common version there is a sentence, then the end."""
    with agent.call(hello=replace(HELLO, wire=(7, 9))) as call:
        assert call.welcome.wire == wire.WIRE
        no = call.next().message
        assert isinstance(no, wire.No)
        assert no.code == "version-unknown"
        assert call.ended()


def test_rubbish_and_silence_harm_nobody(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 callers that send rubbish, half messages or nothing: each good one in between is answered."""
    half = b"".join(wire.encode(HELLO))[:9]
    bad = []
    for n in range(1000):
        sock = socket.socket(socket.AF_UNIX)
        with rundir.Address(agent.path) as name:
            sock.connect(name)
        bad.append(sock)
        if len(bad) > 300:  # both ends are in this process
            bad.pop(0).close()
        if n % 3:
            sock.send((b"\x00rubbish" * 50, half)[n % 3 - 1])
        if n % 20 == 0:
            with agent.call() as call:
                assert call.ask(wire.Ps).pid == os.getpid()
    with agent.call() as call:
        assert call.ask(wire.Ps).dropped > 600
        assert call.ask(wire.Prepare, b"1").ok
    for sock in bad:
        sock.close()


@pytest.mark.parametrize("sent", [b"", b"SUT", b"".join(wire.encode(HELLO))[:-1]])
def test_slow_hello(agent: Agent, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """Whoever doesn't say hello in time is told, and dropped."""
    monkeypatch.setattr(server, "HELLO_S", 0.1)
    with agent.call(hello=None) as call:
        call.sock.send(sent or b"S")
        no = call.next().message
        assert isinstance(no, wire.No)
        assert no.code == "too-slow"
        assert call.ended()


def test_slow_message_and_slow_reader(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a request, or an answer that nobody takes, ends the connection; an idle one may stay."""
    monkeypatch.setattr(server, "MESSAGE_S", 0.2)
    with agent.call() as idle, agent.call() as half, agent.call() as reader:
        half.send(wire.Plan(1, 0), b"1" * 10)
        half.next()
        half.sock.send(b"".join(wire.encode(wire.Plan(2, 0), b"1" * 10))[:-5])
        assert half.next().message.code == "too-slow"  # type: ignore[union-attr]
        ready = reader.ask(wire.Prepare, b"1" * 3_000_000)
        assert reader.ask(wire.Commit, token=ready.token).ok
        reader.send(wire.Show(9, "p-"))
        until(lambda: idle.ask(wire.Ps).dropped >= 2, "the end of both")


def test_half_answered_caller_does_not_block(agent: Agent) -> None:
    """A caller that asks and never reads costs others nothing."""
    with agent.call() as first:
        ready = first.ask(wire.Prepare, b"1" * 3_000_000)
        assert first.ask(wire.Commit, token=ready.token).ok
        for n in range(5):
            first.send(wire.Show(100 + n, "p-"))
        with agent.call() as second:
            assert second.ask(wire.Ps).pid == os.getpid()
        for n in range(5):
            assert len(first.next().attached) == 3_000_000


def test_idle_caller_is_dropped(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a minute (here less) without a word."""
    monkeypatch.setattr(server, "IDLE_S", 0.1)
    with agent.call() as call:
        assert call.ended()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=60), good=st.booleans())
def test_any_bytes_over_the_socket(agent: Agent, data: bytes, good: bool) -> None:
    """Whatever comes, the agent answers the next caller, and nothing was changed."""
    with agent.call(hello=HELLO if good else None) as call:
        call.sock.send(data or b"x")
    with agent.call() as call:
        assert call.ask(wire.Ps).failure == ""
    assert agent.target.live == []


def test_other_user_is_refused(make: Callable[..., Agent], monkeypatch: pytest.MonkeyPatch) -> None:
    """By the kernel's word; peers="root" lets in nobody else."""
    agent = make()
    monkeypatch.setattr(server, "_peer", lambda sock: desk_module.Peer(1, os.geteuid() + 4711))
    with agent.call(hello=None) as call:
        no = call.next().message
        assert isinstance(no, wire.No)
        assert no.code == "peer-denied"
        assert call.ended()
    monkeypatch.undo()
    with agent.call() as call:
        assert call.ask(wire.Ps).denied == 1
    one, other = socket.socketpair()
    with one, other:
        assert server._peer(one) == desk_module.Peer(os.getpid(), os.geteuid())


# ---------------------------------------------------------------- the socket and the thread


def test_socket_is_private(agent: Agent) -> None:
    """For its user alone."""
    assert stat.S_IMODE(os.stat(agent.path).st_mode) == 0o600


def test_removed_socket_comes_back(agent: Agent) -> None:
    """A log-out, or a cleaner of temporary files: bound again, with the folder."""
    path = agent.path
    os.unlink(path)
    until(lambda: os.path.exists(path))
    with agent.call() as call:
        os.unlink(path)
        os.rmdir(os.path.dirname(path))
        until(lambda: os.path.exists(path))
        assert call.ask(wire.Ps).failure == ""
    with agent.call() as call:
        assert call.ask(wire.Ps).pid == os.getpid()


def test_closed_descriptors(agent: Agent) -> None:
    """The program closes our descriptors and reuses the numbers: we bind again and touch none of its own."""
    with agent.call() as call:
        call.ask(wire.Prepare, b"1")
        assert agent.server.stop()  # or it could take one of the numbers before us
        held = [agent.server._listening.number, agent.server._callers[0].own.number, *(e.number for e in agent.server._wake or ())]
        for number in held:
            os.close(number)
        theirs = [os.dup(0) for _ in held]
        assert set(theirs) == set(held)
        kept = [os.fstat(n).st_ino for n in theirs]
        agent.server.start()
        until(lambda: agent.target.open == 0 and not set(held) & {agent.server._listening.number})
        with agent.call() as other:
            assert other.ask(wire.Ps).failure == ""
        agent.end()
        assert [os.fstat(n).st_ino for n in theirs] == kept
        for number in theirs:
            os.close(number)
        agent.server.start()


def test_stop_wakes_without_its_pipe(agent: Agent) -> None:
    """Stopped at once even right after all descriptors were closed."""
    agent.server._heartbeat_s = 30.0
    with agent.call() as call:
        call.ask(wire.Ps)
    time.sleep(0.1)  # its thread is asleep in poll, which nothing shows
    for end in agent.server._wake or ():
        os.close(end.number)
    os.close(agent.server._listening.number)
    assert agent.server.stop(2.0)
    agent.server.start()


def test_folder_that_cannot_be_used(make: Callable[..., Agent], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Said once, tried again: the agent is there as soon as the folder is."""
    (tmp_path / "run").write_text("in the way")
    agent = make()
    assert agent.path == ""
    assert "run-dir-unsafe" in agent.desk.failure
    os.unlink(tmp_path / "run")
    until(lambda: agent.path != "")
    with agent.call() as call:
        assert call.ask(wire.Ps).failure == ""
    assert len(caplog.records) == 1


def test_stop_and_start_keep_callers(agent: Agent) -> None:
    """What boot does round a fork: the thread is gone, the connection and what is prepared aren't."""
    with agent.call() as call:
        ready = call.ask(wire.Prepare, b"1")
        for _ in range(20):
            assert agent.server.stop()
            agent.server.start()
        assert call.ask(wire.Commit, token=ready.token).ok


def test_no_thread_no_descriptor_is_left(make: Callable[..., Agent]) -> None:
    """Stopped and closed: as before."""
    logging.getLogger("suture").warning("threading makes an entry for whoever logs")
    threads, tasks, numbers = threading.enumerate(), os.listdir("/proc/self/task"), len(os.listdir("/proc/self/fd"))
    agent = make()
    with agent.call() as call:
        call.ask(wire.Prepare, b"1")
        call.ask(wire.Revert, patch_id="x")
    until(lambda: agent.target.open == 0)
    path = agent.path
    agent.end()
    assert not os.path.exists(path)
    assert threading.enumerate() == threads
    assert len(os.listdir("/proc/self/fd")) == numbers
    assert os.listdir("/proc/self/task") == tasks


def test_stopped_by_many_at_once(agent: Agent) -> None:
    """Threads that fork at the same time stop and start it at the same time: one thread is left."""
    done: list[bool] = []

    def turn() -> None:
        for _ in range(20):
            done.append(agent.server.stop())
            agent.server.start()

    threads = [threading.Thread(target=turn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert done == [True] * 80
    with agent.call() as call:
        assert call.ask(wire.Ps).failure == ""


def test_end_from_inside_and_while_at_work(make: Callable[..., Agent]) -> None:
    """A patch that takes the agent out, or a request that outlasts the one who does: gone as soon as it can be."""
    agent = make(slow_s=0.4)
    with agent.call() as call:
        call.send(wire.Plan(1, 0), b"1")
        until(lambda: agent.target.events != [])
        agent.server.end(timeout_s=0.05)
        until(lambda: not agent.server.path)
        assert isinstance(call.next().message, wire.Reported)
        assert call.ended()
    assert agent.server.stop()
    agent = make()
    agent.target.status = lambda: agent.server.end() or ()  # type: ignore[method-assign]
    with agent.call() as call:
        call.ask(wire.Status)
        assert call.ended()
    until(lambda: not agent.server.path)


def test_all_signals_are_blocked(agent: Agent) -> None:
    """In the agent's thread, and in no other: a program that waits for its SIGTERM gets it."""
    until(lambda: agent.server._native != 0)
    with open(f"/proc/self/task/{agent.server._native}/status") as file:
        blocked = int(next(line.split()[1] for line in file if line.startswith("SigBlk")), 16)
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1, signal.SIGALRM, signal.SIGHUP):
        assert blocked >> (name - 1) & 1, name
    assert not blocked >> (signal.SIGSEGV - 1) & 1
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_no_descriptors_left_does_not_spin(agent: Agent) -> None:
    """The program has used up its descriptors: callers wait, the agent doesn't burn, and serves again afterwards."""
    import resource

    with agent.call() as call:
        call.ask(wire.Ps)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        late = socket.socket(socket.AF_UNIX)
        folder = os.open(os.path.dirname(agent.path), os.O_RDONLY)
        name = f"/proc/self/fd/{folder}/{os.path.basename(agent.path)}"
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            late.connect(name)
            before = time.process_time()
            time.sleep(0.3)  # what is measured: the CPU it takes meanwhile
            assert time.process_time() - before < 0.1
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        late.sendall(b"".join(wire.encode(HELLO)))
        late.settimeout(10)
        assert late.recv(3) == b"SUT"
        late.close()
        os.close(folder)
