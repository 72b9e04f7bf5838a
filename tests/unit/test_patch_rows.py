"""A patch's file, row by row: whatever is odd in it is refused with its line, though digest and id are right."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from suture.errors import Refused
from suture.patch import MAX_CHANGES, Change, Decision, Expect, FileFact, Finding, Kind, Patch, Scope, Severity, Target, dump, load

CHANGE = Change(
    0,
    Kind.FUNCTION,
    Target("m", "A.f", "m.py", "get", 1),
    "old\n",
    "new\n",
    Scope(("A",), 1, 2, 3, 4, ("os",), ()),
    names=("f",),
    decision=Decision("merge", "builder", "why"),
)
FINDING = Finding("code", Severity.NOTE, "m:f", "message", "hint", {"k": "v"})
PATCH = Patch("p", (CHANGE,), (FileFact("m.py", "m", "1", "2", ("g",)),), (FINDING,), (FINDING,), {"reason": "because"})


def line(row: Any) -> bytes:
    return json.dumps(row, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def sealed(header: dict[str, Any] | None = None, change: dict[str, Any] | bytes | None = None, **more: Any) -> bytes:
    """The file of PATCH with some keys of its rows exchanged (None: left out), and id and digest made to fit."""
    head, row = map(json.loads, dump(PATCH).splitlines())
    second = change if isinstance(change, bytes) else line(mixed(row, change or {}))
    head = mixed(head, header or {}) | {"id": f"p-{hashlib.sha256(second).hexdigest()[:12]}"} | more
    del head["digest"]
    return line(head | {"digest": hashlib.sha256(line(head) + second).hexdigest()}) + second


def mixed(row: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in (row | more).items() if v is not None or k in ("before", "after")}


def test_the_helper_makes_what_dump_makes() -> None:
    """So that what follows shows what one exchange does."""
    assert sealed() == dump(PATCH)
    assert load(sealed()) == PATCH


@pytest.mark.parametrize(
    "header",
    [
        {"files": None},
        {"files": "m.py"},
        {"files": ["m.py"]},
        {"files": [{"path": "m.py", "module": "m", "size": "1"}]},
        {"files": [{"path": "m.py"}]},
        {"files": [{"path": 1, "module": "m"}]},
        {"left_out": None},
        {"left_out": [{"code": "x"}]},
        {"left_out": [{"code": "x", "severity": "dire", "target": "", "message": ""}]},
        {"remarks": {}},
        {"remarks": [5]},
        {"meta": []},
        {"meta": {"reason": 5}},
    ],
    ids=json.dumps,
)
def test_an_odd_header_is_refused(header: dict[str, Any]) -> None:
    """As a bad patch, line 1."""
    with pytest.raises(Refused, match="line 1: header") as caught:
        load(sealed(header), source="p.suture")
    assert (caught.value.code, caught.value.target) == ("bad-patch", "p.suture")


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "spell"},
        {"kind": None},
        {"expect": "miracle"},
        {"target": None},
        {"target": "m:f"},
        {"target": {"module": "m"}},
        {"target": {"module": "m", "qualname": "f", "nth": -1}},
        {"target": {"module": "m", "qualname": "f", "nth": True}},
        {"target": {"module": "m", "qualname": "f", "shape": "x"}},
        {"scope": {"classes": [1]}},
        {"scope": {"line_before": "1"}},
        {"decision": {"rule": "x"}},
        {"names": [["f"]]},
        {"section": 5},
        {"colour": "red"},
        {"number": 1},
        {"number": None},
        {"before": None, "after": None},
        {"after": 5},
        b"[]\n",
        b"{}\n",
        b"{\n",
        b"5\n",
        b"[" * 100_000 + b"\n",
    ],
    ids=lambda c: json.dumps(c) if isinstance(c, dict) else c.decode()[:9],
)
def test_an_odd_change_is_refused(change: Any) -> None:
    """As a bad patch, line 2, with what is odd."""
    with pytest.raises(Refused, match="line 2: ") as caught:
        load(sealed(change=change))
    assert caught.value.code == "bad-patch"
    assert caught.value.hint


def test_too_many_changes_are_refused() -> None:
    """By the number that the header announces, before any is read."""
    with pytest.raises(Refused, match=f"a number up to {MAX_CHANGES} is meant"):
        load(sealed({"changes": MAX_CHANGES + 1}))


def test_an_id_that_is_not_that_of_the_changes_is_refused() -> None:
    """Though the digest fits: somebody made it up."""
    with pytest.raises(Refused, match="the id doesn't match") as caught:
        load(sealed(id="p-000000000000"))
    assert caught.value.code == "patch-altered"


def test_what_is_left_out_is_read_with_its_default() -> None:
    """A change without scope, decision and the rest is the plain one."""
    made = load(sealed(change={"scope": None, "decision": None, "names": None, "expect": "live"})).changes[0]
    assert (made.scope, made.decision, made.names, made.expect) == (Scope(), None, (), Expect.LIVE)


def test_enumerations_in_words() -> None:
    """As in a file."""
    assert f"{Severity.ERROR} {Kind.NESTED} {Expect.ABSENT}" == "error nested absent"
    assert PATCH.needs == ("expect-source", "function", "rule-merge")
    assert Target("m", "A.B.f").name == "f"
