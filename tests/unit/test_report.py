"""A report as words, as data and as an exception."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from suture.errors import Fault, Refused, SutureError
from suture.patch import Finding, Severity
from suture.report import Process, Report, Row, State, words_of

HERE = Process(4121, "3.11.7", "0.1.0")
PATCH = "q1731-9c1f04aabbcc"


def report(ok: bool = True, state: State = State.COMMITTED, **fields: Any) -> Report:
    return Report(PATCH, ok, state, HERE, **fields)


def error(code: str = "conflict", target: str = "shop.cart:Cart.total") -> Finding:
    return Finding(
        code, Severity.ERROR, target, "the live code isn't what this patch was built from", "rebuild", {"found": "77b0aa"}
    )


def refused(*findings: Finding, **fields: Any) -> Report:
    return report(False, State.REFUSED, findings=findings or (error(),), **fields)


# ---------------------------------------------------------------- as an exception


def test_an_ok_report_raises_nothing() -> None:
    """Warnings don't either."""
    report(findings=(Finding("stays-old", Severity.WARNING, "m:f", "held"),)).raise_for_findings()


def test_the_first_error_is_raised_with_all_it_carries() -> None:
    """Nobody parses text; the others are in its evidence."""
    warning = Finding("stays-old", Severity.WARNING, "m:g", "held")
    with pytest.raises(Refused) as caught:
        refused(warning, error(), error("kind-changed", "m:h"), error("busy", "")).raise_for_findings()
    raised = caught.value
    assert (raised.code, raised.target, raised.hint) == ("conflict", "shop.cart:Cart.total", "rebuild")
    assert raised.evidence == {"found": "77b0aa", "others": "kind-changed m:h; busy"}


def test_one_error_alone_has_no_others() -> None:
    """And the finding's own evidence isn't touched."""
    finding = error()
    with pytest.raises(Refused) as caught:
        refused(finding).raise_for_findings()
    assert caught.value.evidence == {"found": "77b0aa"}
    assert dict(finding.evidence) == {"found": "77b0aa"}


def test_a_damaged_process_is_a_fault_and_not_a_refusal() -> None:
    """Refused says that nothing was changed."""
    with pytest.raises(Fault):
        report(False, State.DAMAGED, findings=(error("undo-failed"),)).raise_for_findings()


def test_a_refusal_without_a_finding_still_raises() -> None:
    """Never silent, never an IndexError."""
    with pytest.raises(SutureError) as caught:
        report(False, State.REFUSED).raise_for_findings()
    assert caught.value.code == "refused"


# ---------------------------------------------------------------- as data


def test_json_is_plain_data_and_whole() -> None:
    """What is dumped is what is loaded; every field has its place."""
    whole = report(
        changed=(Row("m:f", "updated", 2, 3, ("m.f",), "zhangsan", ("@deco",)),),
        findings=(error(),),
        inside_old=1,
        listed=("thread Ticker in f:5",),
        phase_ms={"fit": 1.23456},
        longest_slice_ms=0.41236,
        longest_slice_cpu_ms=0.3,
        longest_slice_in="fit m:f",
        commit_us=41.26,
        caller_blocked_ms=12.3456,
        meta={"reason": "pays twice"},
    )
    data = whole.to_json()
    assert json.loads(json.dumps(data)) == data
    assert data["format"] == 1
    assert (data["patch_id"], data["name"], data["ok"], data["state"]) == (PATCH, "q1731", True, "committed")
    assert data["process"] == {"pid": 4121, "started": "", "python": "3.11.7", "suture": "0.1.0"}
    assert data["changed"] == [
        {
            "target": "m:f",
            "status": "updated",
            "functions": 2,
            "holders": 3,
            "places": ["m.f"],
            "wrappers": ["@deco"],
            "section": "zhangsan",
        }
    ]
    assert data["findings"][0]["code"] == "conflict"
    assert (data["inside_old"], data["listed"], data["drained"]) == (1, ["thread Ticker in f:5"], True)
    assert (data["phase_ms"], data["longest_slice_ms"], data["commit_us"]) == ({"fit": 1.235}, 0.412, 41.3)
    assert data["meta"] == {"reason": "pays twice"}


def test_an_unknown_count_is_null() -> None:
    """Null isn't zero."""
    assert json.loads(json.dumps(report(inside_old=None).to_json()))["inside_old"] is None


def test_the_process_tells_which_one_of_that_number_it_is() -> None:
    """Pid and start; the same at each asking."""
    here = Process.here("0.1.0")
    assert here.pid == os.getpid()
    assert here == Process.here("0.1.0")
    if os.path.exists("/proc/self/stat"):
        assert here.started.endswith("Z")
        assert len(here.started) == 20


# ---------------------------------------------------------------- as words


def test_a_committed_patch_in_words() -> None:
    """All that a person needs, and how to take it back."""
    text = report(
        changed=(Row("arena.quest:Quest.pay", "updated", 1, 14), Row("arena.quest:BONUS", "added"), Row("m:f", "updated", 3, 1)),
        findings=(Finding("cache-clear", Severity.NOTE, "m:f", "1 cache cleared, 212 entries"),),
        inside_old=3,
        listed=("thread Ticker in Loop.run:88",),
        longest_slice_ms=0.4,
        longest_slice_in="fit",
        commit_us=41.0,
        caller_blocked_ms=12.34,
        meta={"reason": "quest pays twice"},
    ).words()
    assert text.splitlines() == [
        'committed q1731-9c1f04aabbcc "quest pays twice" in pid 4121: 3 targets',
        "  arena.quest:Quest.pay  updated, held in 14 places",
        "  arena.quest:BONUS      added",
        "  m:f                    updated, 3 functions, held in 1 place",
        "note cache-clear  m:f",
        "  1 cache cleared, 212 entries",
        "left on old code: 3 calls (thread Ticker in Loop.run:88; 2 where no list",
        "  reaches)",
        "longest pause 0.40 ms (fit), commit 41 us, took 12.3 ms",
        "Ends with this process.  Undo: suture.revert('q1731-9c1f04aabbcc')",
    ]


def test_nobody_inside_is_said() -> None:
    """None found, not silence; and unknown isn't none."""
    assert "left on old code: none found" in report().words()
    assert "left on old code: calls unknown" in report(inside_old=None).words()
    assert "left on old code: 1 call, where no list reaches" in report(inside_old=1).words()
    assert "left on old code: m:f" in report(changed=(Row("m:f", "left"),)).words()


def test_a_refusal_says_why_what_to_do_and_that_nothing_was_changed() -> None:
    """In this order."""
    lines = refused(error(), Finding("stays-old", Severity.WARNING, "m:g", "held")).words().splitlines()
    assert lines[0] == "error: Refused q1731-9c1f04aabbcc in pid 4121: 1 error"
    assert lines[1:4] == [
        "error conflict  shop.cart:Cart.total",
        "  the live code isn't what this patch was built from",
        "  -> rebuild",
    ]
    assert lines[-1] == "Nothing was changed"
    assert "Undo" not in "".join(lines)


def test_a_plan_says_that_nothing_was_changed() -> None:
    """And that it would go in."""
    lines = report(state=State.PLANNED, changed=(Row("m:f", "planned"),)).words().splitlines()
    assert lines[-1] == "Nothing was changed.  Would go in"


def test_a_damaged_process_is_never_called_unchanged() -> None:
    """The one state in which nobody knows."""
    text = report(False, State.DAMAGED, findings=(error("undo-failed"),)).words()
    assert "Nothing was changed" not in text
    assert "restart" in text


def test_a_patch_that_was_there_already_offers_no_undo() -> None:
    """There is nothing to take back."""
    text = report(changed=(Row("m:f", "already-fixed"),)).words()
    assert "Undo" not in text
    assert "nothing to do" in text


def test_a_reverted_patch_offers_no_undo() -> None:
    """It has been."""
    text = report(state=State.REVERTED, changed=(Row("m:f", "reverted"),)).words()
    assert text.startswith("reverted q1731")
    assert "Undo" not in text


def test_sections_of_a_hotfix_file_stand_apart() -> None:
    """Whose part is whose, each once."""
    rows = (
        Row("m:a", "updated", section="zhangsan"),
        Row("m:b", "updated", section="lisi"),
        Row("m:c", "added", section="zhangsan"),
    )
    lines = report(changed=(*rows, Row("m:d", "added"))).words().splitlines()
    assert lines[1:8] == [
        "  zhangsan",
        "    m:a  updated",
        "    m:c  added",
        "  lisi",
        "    m:b  updated",
        "  outside of any section",
        "    m:d  added",
    ]


@pytest.mark.parametrize("size", [10, 79, 200])
def test_no_line_is_wider_than_eighty(size: int) -> None:
    """However long the names are."""
    long = "x" * size
    finding = Finding(
        long, Severity.ERROR, f"m:{long}", f"{long} and {'some words ' * 30}", f"{long} {'more ' * 40}", {"line": long}
    )
    rows = (Row(f"m:{long}", "updated", 2, 3, wrappers=(long,), section=long),)
    for made in (
        report(
            changed=rows, findings=(finding,), inside_old=3, listed=(long, "y " * 60), meta={"reason": long}, longest_slice_in=long
        ),
        refused(finding, changed=rows, meta={"reason": long}),
    ):
        assert [line for line in made.words().splitlines() if len(line) > 80] == []


def test_names_cannot_act_on_a_terminal() -> None:
    """A thread may be called anything."""
    evil = "\x1b[2Jgone\r\nok: \x07committed"
    finding = Finding("inside-old", Severity.WARNING, evil, evil, evil, {"line": evil})
    text = report(changed=(Row(evil, "updated"),), findings=(finding,), inside_old=1, listed=(evil,), meta={"reason": evil}).words()
    assert {c for c in text if not c.isprintable()} == {"\n"}
    assert "\\x1b[2Jgone" in text
    assert not any(line.startswith("ok:") for line in text.splitlines())


def test_a_finding_shows_the_line_and_the_caret() -> None:
    """Below each other."""
    finding = Finding("bad", Severity.ERROR, "m:f", "no", "", {"line": "x = (", "caret": "    ^"})
    assert list(words_of(finding)) == ["error bad  m:f", "  no", "    x = (", "        ^"]
