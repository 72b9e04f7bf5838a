"""The wire: any bytes, cut anywhere, give the same messages or the same named error."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture import patch, wire
from suture.errors import Denied
from suture.record import replace
from suture.wire import Decoder, Hello, Received, agree, encode

NAMED = {"not-suture", "bad-message", "message-too-large", "verb-unknown"}
HELLO = Hello((1,), "0.1.0", "3.11.7", 7)
number = st.integers(0, 2**53)
text = st.text(max_size=20)
texts = st.lists(text, max_size=3).map(tuple)
seconds = st.floats(0, 1e6) | st.integers(0, 10**6)
patches = st.binary(max_size=200)
asked = st.one_of(
    st.builds(wire.Ps, number),
    st.builds(wire.Renew, number, text, seconds),
    st.builds(wire.Commit, number, text),
    st.builds(wire.Discard, number, text),
    st.builds(wire.Revert, number, text, st.booleans()),
    st.builds(wire.PrepareRevert, number, text, seconds, st.booleans()),
    st.builds(wire.Drop, number, text),
    st.builds(wire.Status, number),
    st.builds(wire.Files, number),
    st.builds(wire.Show, number, text),
    st.builds(wire.Log, number, number),
).map(Received) | st.builds(
    lambda message, patch: Received(replace(message, size=len(patch)), patch),
    st.builds(wire.Plan, number, st.just(0), texts, st.booleans(), st.booleans())
    | st.builds(wire.Prepare, number, st.just(0), texts, st.booleans(), st.booleans(), seconds, st.booleans())
    | st.builds(wire.Loads, number, st.just(0))
    | st.builds(wire.Drift, number, st.just(0), text, text, st.booleans(), texts),
    patches,
)
answered = st.one_of(
    st.builds(wire.Done, number, seconds),
    st.builds(wire.No, number, text, text, text, text, st.dictionaries(text, text, max_size=2), st.booleans()),
    st.builds(
        wire.PsAnswer,
        number,
        text,
        number,
        number,
        number,
        text,
        text,
        seconds,
        text,
        st.booleans(),
        texts,
        text,
        number,
        number,
        text,
    ),
).map(Received) | st.builds(
    lambda message, body: Received(replace(message, size=len(body)), body),
    st.builds(wire.Reported, number, st.just(0), st.booleans(), text, text, seconds)
    | st.builds(wire.Statuses, number, st.just(0), number)
    | st.builds(wire.Shown, number, st.just(0), text, texts, st.booleans(), st.booleans())
    | st.builds(wire.Loaded, number, st.just(0), texts)
    | st.builds(wire.FilesAnswer, number, st.just(0), texts)
    | st.builds(wire.Drifted, number, st.just(0))
    | st.builds(wire.Logged, number, st.just(0), text),
    patches,
)


def stream(*received: Received) -> bytes:
    """All frames."""
    return b"".join(frame for r in received for frame in encode(r.message, r.attached))


def frame(kind: bytes, body: bytes, length: int | None = None) -> bytes:
    return struct.pack(">3scI", b"SUT", kind, len(body) if length is None else length) + body


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(p % (len(data) + 1) for p in places)})
    return [data[a:b] for a, b in zip(edges, edges[1:])]


def read(data: bytes, places: list[int], *, agent: bool = True) -> tuple[list[Received], str | None]:
    """What a decoder makes of a stream that comes in pieces."""
    decoder = Decoder(agent=agent)
    out = [r for piece in cut(data, places) for r in decoder.feed(piece)]
    return out, decoder.error and decoder.error.code


@given(st.lists(asked, max_size=5), st.lists(st.integers(0), max_size=8))
def test_what_is_written_is_read(messages: list[Received], places: list[int]) -> None:
    """Messages to an agent survive, however the stream is cut."""
    all_of_them = [Received(HELLO), *messages]
    assert read(stream(*all_of_them), places) == (all_of_them, None)


@given(st.lists(answered, max_size=5), st.lists(st.integers(0), max_size=8))
def test_what_is_answered_is_read(messages: list[Received], places: list[int]) -> None:
    """Answers survive too."""
    all_of_them = [Received(HELLO), *messages]
    assert read(stream(*all_of_them), places, agent=False) == (all_of_them, None)


@settings(max_examples=400)
@given(st.data())
def test_any_bytes(data: Any) -> None:
    """Rubbish, alone or after good messages, or good messages with bytes changed: no crash, and the cuts don't matter."""
    good = stream(Received(HELLO), *data.draw(st.lists(asked, max_size=3)))
    kind = data.draw(st.sampled_from(["rubbish", "after", "changed", "json"]))
    if kind == "rubbish":
        whole = data.draw(st.binary(max_size=80))
    elif kind == "after":
        whole = good + data.draw(st.binary(max_size=80))
    elif kind == "json":
        values = st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | text, lambda s: st.lists(s) | st.dictionaries(text, s)
        )
        row = data.draw(
            values | st.fixed_dictionaries({"verb": st.sampled_from(list(wire._ASKED)), "number": values, "size": values})
        )
        whole = stream(Received(HELLO)) + frame(b"J", json.dumps(row).encode())
    else:
        changed = bytearray(good)
        for at in data.draw(st.lists(st.integers(0, len(good) - 1), max_size=4)):
            changed[at] = data.draw(st.integers(0, 255))
        whole = bytes(changed)
    at_once = read(whole, [])
    assert at_once[1] is None or at_once[1] in NAMED
    assert read(whole, data.draw(st.lists(st.integers(0), max_size=8))) == at_once
    assert read(whole, list(range(len(whole)))) == at_once


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"GET / HTTP/1.1\r\n", "not-suture"),
        (b"\x00", "not-suture"),
        (frame(b"X", b""), "bad-message"),
        (frame(b"J", b"", wire.MAX_MESSAGE + 1), "message-too-large"),
        (frame(b"J", b"[" * 50_000), "bad-message"),
        (frame(b"J", b"[]"), "bad-message"),
        (frame(b"J", b'{"verb":"ps","number":1}'), "bad-message"),
        (frame(b"J", b'{"verb":"eval","text":"1"}'), "verb-unknown"),
        (frame(b"J", b'{"verb":["ps"]}'), "verb-unknown"),
        (frame(b"J", b'{"verb":"hello"}'), "bad-message"),
        (frame(b"J", b'{"verb":"hello","wire":[true]}'), "bad-message"),
        (frame(b"D", b"x"), "bad-message"),
        (stream(Received(HELLO), Received(HELLO)), "bad-message"),
        (stream(Received(HELLO)) + frame(b"J", b'{"verb":"plan","number":1,"size":%d}' % (2**30)), "message-too-large"),
        (stream(Received(HELLO)) + frame(b"J", b'{"verb":"plan","number":1,"size":2}') + frame(b"D", b"abc"), "bad-message"),
        (stream(Received(HELLO)) + frame(b"J", b'{"verb":"plan","number":1,"size":2}') + frame(b"D", b""), "bad-message"),
        (stream(Received(HELLO)) + frame(b"J", b'{"verb":"plan","number":1,"size":2}') * 2, "bad-message"),
        (stream(Received(HELLO)) + frame(b"J", b'{"verb":"plan","number":1,"size":-2}'), "bad-message"),
        (stream(Received(HELLO)) + frame(b"J", b'{"verb":"renew","number":1,"token":"","lease_s":NaN}'), "bad-message"),
        (stream(Received(HELLO)) + frame(b"J", b'{"verb":"ps","number":%s}' % (b"9" * 5000)), "bad-message"),
    ],
)
def test_named_errors(data: bytes, code: str) -> None:
    """Each way to be wrong has its name; the rest of the stream isn't looked at."""
    got, error = read(data + stream(Received(wire.Ps(1))), [])
    assert error == code
    assert all(type(r.message) is Hello for r in got)


def test_unknown_fields_are_ignored() -> None:
    """A newer operator may say more than an older agent understands."""
    row = {"verb": "hello", "wire": [1, 2], "colour": {"deep": [1]}}
    got, error = read(frame(b"J", json.dumps(row).encode()), [])
    assert (got, error) == ([Received(Hello((1, 2)))], None)


def test_large_attachment_is_cut_into_frames() -> None:
    """No frame is longer than 64 KiB and its head; nothing gets lost."""
    patch = bytes(range(256)) * 1000
    frames = [*encode(HELLO), *encode(wire.Plan(1, 0), patch)]
    assert max(map(len, frames)) <= wire.PIECE + 8
    decoder = Decoder(agent=True)
    got = [r for f in frames for r in decoder.feed(f)]
    assert got[1].attached == patch
    assert decoder.idle()


def test_too_large_to_send() -> None:
    """What the other side would refuse isn't sent."""
    with pytest.raises(Denied, match="message-too-large"):
        list(encode(wire.Revert(1, "x" * wire.MAX_MESSAGE)))


def test_versions() -> None:
    """The highest common version, or a named error that says what to do."""
    assert agree((1, 2, 3), Hello((2, 3, 9))) == 3
    with pytest.raises(Denied) as caught:
        agree((1,), Hello((7,), "9.9", pid=3))
    assert caught.value.code == "version-unknown"
    assert "9.9" in caught.value.message
    assert "python -m suture" in caught.value.hint


@given(
    st.recursive(
        st.none() | st.integers() | text, lambda s: st.lists(s, max_size=4) | st.dictionaries(text, s, max_size=4), max_leaves=20
    )
)
def test_json_in_slices_is_json(value: Any) -> None:
    """Slicing changes when the GIL is given away, not the document."""
    rests: list[int] = []
    assert json.loads(wire.json_slices(value, lambda: rests.append(1))) == value


def test_a_patch_fits() -> None:
    """What may be in a file may come over the wire."""
    assert wire.MAX_ATTACHED == patch.MAX_BYTES
