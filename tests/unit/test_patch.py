"""The patch file: what is written is read; what is damaged is refused by name."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture.errors import Refused
from suture.patch import RULES, Change, Decision, Expect, FileFact, Finding, Kind, Patch, Scope, Severity, Target, dump, load

NAMES = st.text("abcXYZ_é", min_size=1, max_size=8)
TEXTS = st.text(max_size=60)
CHANGES = st.builds(
    Change,
    number=st.just(0),
    kind=st.sampled_from(Kind),
    target=st.builds(Target, NAMES, NAMES, NAMES, st.sampled_from(["", "get", "set"]), st.integers(0, 3)),
    before=st.none() | TEXTS,
    after=TEXTS,
    scope=st.builds(Scope, st.lists(NAMES, max_size=2).map(tuple), st.integers(0, 99), st.integers(0, 99)),
    expect=st.sampled_from(Expect),
    names=st.lists(NAMES, max_size=2).map(tuple),
    decision=st.none() | st.builds(Decision, st.sampled_from(RULES), NAMES),
)
PATCHES = st.builds(
    lambda name, changes, meta: Patch(
        name,
        tuple(Change(**{**{f: getattr(c, f) for f in Change.__slots__}, "number": n}) for n, c in enumerate(changes)),
        meta=meta,
    ),
    NAMES,
    st.lists(CHANGES, max_size=4),
    st.dictionaries(st.sampled_from(["reason", "author"]), TEXTS),
)


@given(PATCHES)
@settings(deadline=None, max_examples=60)
def test_load_of_dump_is_the_patch(patch: Patch) -> None:
    """What is written is what is read, byte for byte again."""
    data = dump(patch)
    assert load(data) == patch
    assert dump(load(data)) == data


@given(PATCHES, st.data())
@settings(deadline=None, max_examples=150)
def test_damage_is_refused_by_name(patch: Patch, data: st.DataObject) -> None:
    """A byte changed, cut off or put in: a named refusal, never another exception, never another patch."""
    whole = dump(patch)
    at = data.draw(st.integers(0, len(whole) - 1))
    kind = data.draw(st.sampled_from(["cut", "flip", "insert"]))
    bad = {
        "cut": whole[:at],
        "flip": whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :],
        "insert": whole[:at] + data.draw(st.binary(min_size=1, max_size=5)) + whole[at:],
    }[kind]
    try:
        assert load(bad) == patch  # white space in a header may not matter
    except Refused as error:
        assert error.code in {"bad-patch", "patch-truncated", "patch-altered", "needs-unknown", "patch-too-large"}
        assert error.hint


def test_id_is_the_changes_alone() -> None:
    """Another reason or author isn't another patch; another name or change is."""
    change = Change(0, Kind.FUNCTION, Target("m", "f"), "a", "b")
    one, two = Patch("p", (change,), meta={"reason": "x"}), Patch("p", (change,))
    assert one.id == two.id
    assert one.id.startswith("p-")
    assert Patch("q", (change,)).id != one.id
    assert dump(one) != dump(two)


def _header(**more: object) -> bytes:
    patch = Patch("p", (), (FileFact("m.py", "m"),), remarks=(Finding("a", Severity.NOTE, "t", "m", "h", {"k": "v"}),))
    row = json.loads(dump(patch)) | more
    return json.dumps(row).encode() + b"\n"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "bad-patch"),
        (b"{}", "patch-truncated"),
        (b"[]\n", "bad-patch"),
        (b"\xff\n", "bad-patch"),
        (b"{}\n", "needs-unknown"),
        (_header(format=2), "needs-unknown"),
        (_header(needs=["teleport"]), "needs-unknown"),
        (_header(needs=None), "bad-patch"),
        (_header(changes="many"), "bad-patch"),
        (_header(changes=3), "patch-truncated"),
        (_header(name="other"), "patch-altered"),
        (_header(digest="0"), "patch-altered"),
        (b"x" * (33 * 1024 * 1024), "patch-too-large"),
        (b"x" * (5 * 1024 * 1024) + b"\n", "patch-too-large"),
    ],
)
def test_bad_files(data: bytes, code: str) -> None:
    """Each kind of bad file has its name."""
    with pytest.raises(Refused) as caught:
        load(data)
    assert caught.value.code == code


def test_target_in_words() -> None:
    """Slot and number show where the name isn't unique."""
    assert str(Target("m", "A.x", slot="set", nth=1)) == "m:A.x[set]#1"
    assert str(Target("m", "")) == "m"


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "a\n", "x" * 101])
def test_name_that_is_no_part_of_a_file_name_is_refused(name: str) -> None:
    """By whoever reads the file: ids become names of files."""
    with pytest.raises(Refused, match="can't be the name") as caught:
        load(dump(Patch(name, ())))
    assert caught.value.code == "bad-patch"
