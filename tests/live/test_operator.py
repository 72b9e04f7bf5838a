"""The operator's command on real processes: each verb's words, JSON and exit code."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from pythons import WANTED, found
from schema import problems
from service import OLD, SCHEMA, Process, Service

OLDS, NEWS = ["old"], ["new"]


def words(processes: list[Process]) -> list[list[str]]:
    """What each runs."""
    return [p.ask("words()") for p in processes]


# ---------------------------------------------------------------- the whole way


def test_in_and_out(service: Service, python: str) -> None:
    """Plan, apply, status, revert, with the command on this Python and the processes on each; three of them."""
    processes = service.start(3, python=python)
    plan = service.suture("plan", service.patch, "--service", "game")
    assert (plan.code, plan.err) == (0, "")
    assert "Would go in: 3 of 3 processes" in plan.out
    assert words(processes) == [OLDS] * 3
    apply = service.suture("apply", service.patch, "--service", "game")
    assert (apply.code, apply.err) == (0, "")
    assert apply.out.startswith("live in 3 of 3  fix-")
    assert all(f"\n  {p.pid}  live " in apply.out for p in processes)
    assert words(processes) == [NEWS] * 3
    status = service.suture("status")
    assert (status.code, "3 of 3" in status.out, "1 service as asked" in status.out) == (0, True, True), status.out
    back = service.suture("revert", "fix", "--all")
    assert (back.code, back.out.splitlines()[-1]) == (0, "The old code is back")
    assert words(processes) == [OLDS] * 3


@pytest.mark.parametrize("version", [v for v in WANTED if f"3.{sys.version_info[1]}" != v])
def test_operator_on_another_python(service: Service, version: str) -> None:
    """The command runs on each Python, whatever the process runs on."""
    if version not in found():
        pytest.skip(f"no Python {version} on this machine")
    (process,) = service.start()
    for argv, now in ((("apply", service.patch, "--all"), NEWS), (("revert", "fix", "--all"), OLDS)):
        said = service.suture(*argv, "--json", python=found()[version])
        assert (said.code, process.ask("words()")) == (0, now), said


def test_one_story(service: Service, tmp_path: Path) -> None:
    """One process: each verb, before and after, a second time, and as JSON."""
    (process,) = service.start()
    pid = process.pid
    assert service.suture("status").code == 0
    listed = service.suture("ps", "--json").json
    assert [(row["pid"], row["service"], row["patches"], row["failure"]) for row in listed["processes"]] == [(pid, "game", [], "")]
    plan = service.suture("plan", service.patch, "--json")
    assert (plan.code, plan.state()) == (0, {pid: "would go in"})
    assert process.ask("words()") == OLDS

    # From standard input, as through a pipe into a container.
    apply = service.suture("apply", "-", "--all", "--json", stdin=service.patch.read_bytes())
    assert (apply.code, apply.state()) == (0, {pid: "live"})
    patch_id = apply.json["patch_id"]
    assert process.ask("words()") == NEWS
    again = service.suture("apply", service.patch, "--pid", pid)
    assert (again.code, "live already" in again.out, "Nothing was changed: it is live already" in again.out) == (0, True, True)
    assert service.suture("apply", service.patch, "--pid", pid, "--json").state() == {pid: "live already"}
    assert service.suture("plan", service.patch).code == 0

    status = service.suture("status", "--json")
    assert (status.code, status.json["ok"], status.json["remarks"]) == (0, True, [])
    (row,) = status.json["services"]
    assert [(p["patch_id"], p["live"], p["of"], p["inside_old"]) for p in row["patches"]] == [(patch_id, 1, 1, 0)]
    assert patch_id in service.suture("ps").out
    shown = service.suture("show", patch_id[:6])
    assert (shown.code, '+K = "new"' in shown.out, "reason: it was old" in shown.out) == (0, True, True)
    assert service.suture("show", "fix-", "--json").json["id"] == patch_id
    assert service.suture("show", "nothing").code == 1
    assert service.suture("show", "nothing", "--json").json["findings"][0]["code"] == "patch-unknown"

    assert service.suture("revert", "fix", "--service", "game").code == 0
    assert process.ask("words()") == OLDS
    gone = service.suture("revert", "fix", "--service", "game")
    assert (gone.code, gone.out) == (1, "")
    assert "patch-unknown" in gone.err
    assert service.suture("revert", "fix", "--all", "--json").state() == {pid: "refused"}

    log = service.suture("log")
    verbs = [line.split()[2:5] for line in log.out.splitlines()[1:]]
    assert (log.code, verbs[:2]) == (0, [["commit", patch_id, "committed"], ["revert", patch_id, "reverted"]])
    assert verbs[2:] == []
    records = service.suture("log", "--json").json["records"]
    assert {r["peer_uid"] for r in records} == {os.geteuid()}
    assert [r["patch"] for r in records if "patch" in r][0].encode() == service.patch.read_bytes()
    assert len(service.suture("log", "-n", "2", "--json").json["records"]) == 2
    assert [line.split()[2:5] for line in service.suture("log", "-n", "2").out.splitlines()[1:]] == verbs
    assert sorted(os.listdir(tmp_path)) == ["app.py", "fix", "fix.suture", "program.py"]  # no verb left a file behind


# ---------------------------------------------------------------- which processes


def test_which_processes(service: Service) -> None:
    """By number, by service, both, all; writing verbs need one of them; who isn't there is said."""
    game, shop = service.start(2), service.start(1, "install('shop')")
    for argv in (("apply", service.patch), ("revert", "fix"), ("apply", service.patch, "--all", "--pid", 1)):
        said = service.suture(*argv)
        assert (said.code, said.out, "error:" in said.err) == (64, "", True)
    assert service.suture("apply", service.patch, "--service").code == 64
    assert service.suture("plan").code == 64
    first, second = game
    assert service.suture("apply", service.patch, "--pid", second.pid, "--json").state() == {second.pid: "live"}
    assert words([first, second, *shop]) == [OLDS, NEWS, OLDS]
    both = service.suture("plan", service.patch, "--pid", first.pid, "--service", "shop", "--json").state()
    assert both.keys() == {first.pid, shop[0].pid}
    assert service.suture("plan", service.patch, "--service", "shop", "--json").state().keys() == {shop[0].pid}
    everybody = service.suture("apply", service.patch, "--all", "--json")
    assert everybody.state() == {first.pid: "live", second.pid: "live already", shop[0].pid: "live"}
    assert service.suture("revert", "fix", "--pid", first.pid, "--pid", shop[0].pid).code == 0
    assert words([first, second, *shop]) == [OLDS, NEWS, OLDS]
    some = service.suture("revert", "fix", "--service", "game", "--json")
    assert (some.code, some.state()) == (0, {first.pid: "not live", second.pid: "reverted"})
    nobody = service.suture("apply", service.patch, "--service", "game", "--pid", 4194303)
    assert (nobody.code, "pid 4194303: no process of that number" in nobody.words) == (2, True)
    missing = service.suture("plan", service.patch, "--service", "game", "--service", "none", "--json")
    assert (missing.code, [t["code"] for t in missing.json["troubles"]]) == (1, ["no-agent"])


def test_no_process(service: Service) -> None:
    """Exit 1, a sentence and what to do; as JSON too."""
    for verb in (
        ["ps"],
        ["plan", service.patch],
        ["apply", service.patch, "--all"],
        ["status"],
        ["revert", "x", "--pid", 1],
        ["log"],
    ):
        said = service.suture(*verb)
        assert (said.code, said.out) == (1, ""), verb
        assert said.err.startswith("error: no process "), verb
        assert "hint: suture.install(service=...) in the program" in said.err
        said = service.suture(*verb, "--json")
        assert (said.code, said.json["exit"], said.json["processes"], said.err) == (1, 1, [], ""), verb


def test_file_that_is_no_patch(service: Service) -> None:
    """Nothing is sent; exit 1."""
    service.start()
    (service.folder / "bad.suture").write_text("rubbish")
    for name, code in (("bad.suture", "patch-truncated"), ("none.suture", "unreadable")):
        said = service.suture("apply", name, "--all", "--json")
        assert (said.code, said.json["ok"]) == (1, False)
        assert said.json["findings"][0]["code"] == code, said.out
        assert service.suture("plan", name).code == 1


# ---------------------------------------------------------------- status


def test_late_starter(service: Service) -> None:
    """A process that started later is named, by status alone; apply again gives it the patch and skips the others."""
    early = service.start(2)
    assert service.suture("apply", service.patch, "--service", "game").code == 0
    late = service.start()
    status = service.suture("status")
    assert (status.code, "2 of 3" in status.out, "OLD CODE" in status.out) == (1, True, True)
    assert f"! game  pid {late[0].pid}: " in status.out
    (remark,) = service.suture("status", "--json").json["remarks"]
    assert (remark["pid"], remark["code"]) == (late[0].pid, "without-patch")
    again = service.suture("apply", service.patch, "--service", "game", "--json")
    assert (again.code, sorted(again.state().values())) == (0, ["live", "live already", "live already"])
    assert words(early + late) == [NEWS] * 3
    assert service.suture("status").code == 0


def test_all_that_had_it_have_ended(service: Service) -> None:
    """Recycled to the last one: nothing is live, and status says who runs the old code; not once it's reverted or on the disk."""
    early = service.start(2)
    assert service.suture("apply", service.patch, "--service", "game").code == 0
    for process in early:
        process.end()
    late = service.start(2)
    status = service.suture("status", "--json")
    assert status.code == 1
    assert [(r["pid"], r["code"]) for r in status.json["remarks"]] == [(p.pid, "without-patch") for p in late]
    assert "was live in 2 processes, all ended; without it: OLD CODE" in " ".join(service.suture("status").out.split())
    assert service.suture("apply", service.patch, "--service", "game").code == 0
    assert service.suture("status").code == 0
    late[1].end()
    assert service.suture("revert", "fix", "--service", "game").code == 0
    assert service.suture("status").code == 0
    assert service.suture("apply", service.patch, "--service", "game").code == 0
    late[0].end()
    (service.folder / "app.py").write_text((service.folder / "fix" / "b" / "app.py").read_text())
    (fixed,) = service.start()
    assert words([fixed]) == [NEWS]
    assert service.suture("status").code == 0


def test_dropped_on_purpose(service: Service) -> None:
    """Restarted to get rid of it: status names it and says how to drop it; then the journal doesn't expect it any more."""
    early = service.start(2)
    (shop,) = service.start(1, "install('shop')")
    assert service.suture("apply", service.patch, "--all").code == 0
    for process in early:
        process.end()
    late = service.start(2)
    status = service.suture("status", "--service", "game")
    patch_id = service.suture("ps", "--json").json["processes"][0]["patches"][0]
    assert status.code == 1
    assert f"-> apply again; or not wanted: suture revert {patch_id} --service game\n" in status.out
    one = service.suture("revert", "fix", "--pid", late[0].pid)
    assert (one.code, "patch-unknown" in one.err, "by --service" in " ".join(one.err.split())) == (1, True, True)
    assert service.suture("status", "--service", "game").code == 1
    dropped = service.suture("revert", "fix", "--service", "game")
    assert (dropped.code, dropped.out.startswith(f"dropped  {patch_id}  live in none of 2")) == (0, True), dropped
    assert "its journal has now that it isn't wanted any more" in " ".join(dropped.out.split())
    assert service.suture("status", "--service", "game").code == 0
    assert [line.split()[2:5] for line in service.suture("log", "--service", "game").out.splitlines()][-1] == [
        "revert",
        patch_id,
        "dropped",
    ]
    again = service.suture("revert", "fix", "--service", "game", "--json")
    assert (again.code, again.json["dropped"]) == (1, [])
    assert service.suture("apply", service.patch, "--service", "game").code == 0
    for process in late:
        process.end()
    (last,) = service.start()
    both = service.suture("revert", "fix", "--all", "--json")  # live in one service, expected in the other
    assert (both.code, both.state()) == (0, {shop.pid: "reverted", last.pid: "not live"})
    assert both.json["dropped"] == [{"service": "game", "patch_id": patch_id}]
    assert service.suture("status").code == 0
    assert words([shop, last]) == [OLDS] * 2


def test_drop_where_the_journal_cannot_be_written(service: Service) -> None:
    """Nothing is noted, so it's no: exit 1, and status goes on naming it."""
    (early,) = service.start()
    assert service.suture("apply", service.patch, "--all").code == 0
    early.end()
    (late,) = service.start()
    journal = Path(service.run_dir, "journal", "journal.jsonl")
    size = journal.stat().st_size
    late.ask(f"__import__('resource').setrlimit(__import__('resource').RLIMIT_FSIZE, ({size + 20}, {size + 20}))")
    late.ask("signal.signal(signal.SIGXFSZ, signal.SIG_IGN) and 0")
    said = service.suture("revert", "fix", "--service", "game")
    assert (said.code, "journal-unwritable" in said.err) == (1, True), said
    assert service.suture("status").code == 1


def test_accepted_patch_that_all_have_lost(service: Service) -> None:
    """What it was let in with is in the journal, so status sees that it would go in; lines without that stay readable."""
    (early,) = service.start()
    kind = service.made("kind", [("def g():", "async def g():")])
    refused = service.suture("apply", kind, "--all", "--partial", "--json")
    findings = refused.json["processes"][0]["report"]["findings"]
    accept = [word for code in sorted({f["code"] for f in findings if f["severity"] == "error"}) for word in ("--accept", code)]
    assert (refused.code, bool(accept)) == (1, True)
    assert service.suture("apply", kind, "--all", "--partial", *accept).code == 0
    early.end()
    service.start()
    status = service.suture("status")
    assert (status.code, "without it: OLD CODE" in " ".join(status.out.split())) == (1, True), status
    records = service.suture("log", "--json").json["records"]
    assert [(r["accept"], r["partial"]) for r in records if "accept" in r][-1] == (accept[1::2], True)
    journal = Path(service.run_dir, "journal", "journal.jsonl")
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    journal.write_text("".join(json.dumps({k: v for k, v in row.items() if k not in ("accept", "partial")}) + "\n" for row in rows))
    older = service.suture("status", "--json")
    assert (older.code, older.json["remarks"], older.json["troubles"]) == (0, [], [])


def test_parent_without_agent(service: Service) -> None:
    """Children forked from one that has no agent: their next sisters run old code, and status says so."""
    (parent,) = service.start(1, "")
    children = service.fork(parent, 2)
    assert service.suture("apply", service.patch, "--all").code == 0
    said = service.suture("status", "--json")
    assert (said.code, [(r["pid"], r["code"]) for r in said.json["remarks"]]) == (1, [(parent.pid, "parent-without-agent")])
    assert "OLD CODE" in service.suture("status").out
    assert words(children) == [NEWS] * 2


def test_forked_after_apply(service: Service) -> None:
    """A parent with an agent gives the patch to its children."""
    (parent,) = service.start()
    assert service.suture("apply", service.patch, "--all").code == 0
    children = service.fork(parent, 2)
    said = service.suture("status", "--json")
    assert (said.code, said.json["services"][0]["patches"][0]["live"]) == (0, 3), said.out
    assert words(children) == [NEWS] * 2
    assert f"child of {parent.pid}" in service.suture("ps").out


# ---------------------------------------------------------------- options


def test_options_reach_the_engine(service: Service) -> None:
    """--replace, --partial and --accept are the process's to judge."""
    (process,) = service.start()
    assert service.suture("apply", service.patch, "--all").code == 0
    other = service.made("other", [('return "old", g()', 'return "other", g()')])
    said = service.suture("apply", other, "--all")
    assert (said.code, process.ask("words()")) == (1, NEWS)
    assert "error: Refused other-" in said.err
    assert "Nothing was changed in any process" in said.err
    assert service.suture("apply", other, "--all", "--replace").code == 0
    assert process.ask("words()") == ["old", "other"]
    assert service.suture("revert", "other", "--all").code == 0

    before, after = "X = [0].pop()\ndef f():\n    return 1\n", "X = [1].pop()\ndef f():\n    return 2\n"
    for side, text in (("one", before), ("two", after)):
        (service.folder / side).mkdir()
        (service.folder / side / "more.py").write_text(text)
    (service.folder / "more.py").write_text(before)
    process.ask("__import__('more') and 0")
    assert service.suture("build", "one", "two", "-o", "part.suture", "--partial").code == 0
    assert service.suture("plan", "part.suture").code == 1
    said = service.suture("apply", "part.suture", "--all")
    assert (said.code, process.ask("sys.modules['more'].f()")) == (1, 1)
    assert service.suture("apply", "part.suture", "--all", "--partial").code == 0
    assert process.ask("sys.modules['more'].f()") == 2

    (service.folder / "one" / "more.py").write_text("def f():\n    return 1\n")
    (service.folder / "two" / "more.py").write_text("async def f():\n    return 1\n")
    assert service.suture("revert", "part", "--all").code == 0
    service.suture("build", "one", "two", "-o", "kind.suture", "--partial")
    refused = service.suture("apply", "kind.suture", "--all", "--partial", "--json")
    taken = service.suture("apply", "kind.suture", "--all", "--partial", "--json", "--accept", "kind-changed")
    codes = [
        {f["code"] for f in s.json["processes"][0]["report"]["findings"] if f["severity"] == "error"} for s in (refused, taken)
    ]
    assert "kind-changed" in codes[0]
    assert "kind-changed" not in codes[1]


# ---------------------------------------------------------------- who reads


def test_reader_that_has_gone(service: Service) -> None:
    """``suture ps | head -0``: no traceback, and the verb's own code."""
    service.start()
    read, write = os.pipe()
    os.close(read)
    running = service.popen("ps", stdout=write)
    os.close(write)
    _, errors = running.communicate(timeout=60)
    assert (running.returncode, errors) == (0, b"")


def test_ctrl_c_before_anything_is_sent(service: Service) -> None:
    """While it waits for its patch: a sentence, exit 1, no traceback."""
    service.start()
    pipe = service.folder / "pipe.suture"
    os.mkfifo(pipe)
    running = service.popen("apply", pipe, "--all")
    writer = pipe.open("wb")  # there as soon as the command reads
    running.send_signal(signal.SIGINT)
    said = service.said(running)
    writer.close()
    assert (said.code, "nothing was changed" in said.err) == (1, True)


def test_schema_is_strict(service: Service) -> None:
    """A field that isn't in the schema is found, and one that is missing."""
    service.start()
    row = service.suture("apply", service.patch, "--all", "--json").json
    assert problems(row, SCHEMA) == []
    row["processes"][0]["report"]["more"] = 1
    assert problems(row, SCHEMA)
    del row["processes"][0]["report"]["more"], row["processes"][0]["state"]
    assert problems(row, SCHEMA)
    assert problems(json.loads('{"format": 1}'), SCHEMA)
    assert OLD
