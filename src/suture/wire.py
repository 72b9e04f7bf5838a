"""
Bytes to messages and back: what an operator's command and an agent say to each other.

Rule 1: does no input and no output, starts nothing, waits for nothing; both sides use it, tests need no socket.
Rule 2: whatever bytes come, they give messages, ask for more, or end in one named error; how they are cut doesn't matter.
Rule 3: text is data.  No message carries anything that is evaluated but a patch, and that goes to the engine as it came.

A frame is ``SUT``, a kind, the length as four bytes, and so many bytes: kind ``J`` is one message as a JSON object, kind ``D``
a piece of what is attached to the message before it (a patch, a report), whose ``size`` it announced.  So a big patch is
neither copied into a JSON string nor decoded in one hold of the GIL.

The first message of each side is Hello, with the wire versions that it speaks; both go on in the highest that both speak.
Fields that a reader doesn't know are ignored, a verb that it doesn't know is refused by name.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping

from suture.errors import Denied, Fault
from suture.record import made_by, optional, record, row_of

TYPE_CHECKING = False  # as type checkers know it: typing costs more to import than all of this
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "TWO_STEPS_BACK",
    "WIRE",
    "Commit",
    "Decoder",
    "Discard",
    "Done",
    "Drift",
    "Drifted",
    "Drop",
    "Files",
    "FilesAnswer",
    "Hello",
    "Loaded",
    "Loads",
    "Log",
    "Logged",
    "Message",
    "No",
    "Plan",
    "Prepare",
    "PrepareRevert",
    "Ps",
    "PsAnswer",
    "Received",
    "Renew",
    "Reported",
    "Revert",
    "Show",
    "Shown",
    "Status",
    "Statuses",
    "agree",
    "encode",
    "json_slices",
]

WIRE: tuple[int, ...] = (1, 2)  # versions that this suture speaks; 2 has PrepareRevert and Drop
TWO_STEPS_BACK = 2  # from this one on a revert can be prepared, and a patch that is nowhere live be dropped
MAX_MESSAGE = 64 * 1024  # one JSON frame: a hold of the GIL of some 0.5 ms at the most
MAX_PIECE = 1024 * 1024  # one frame of an attachment, as read
PIECE = 64 * 1024  # the same, as written
MAX_ATTACHED = 32 * 1024 * 1024  # to an agent: a patch, not more (patch.MAX_BYTES; importing it here would cost install() 13 ms)
MAX_ANSWER = 256 * 1024 * 1024  # to an operator: reports of many patches, a journal

_HEAD = struct.Struct(">3scI")
_MAGIC = b"SUT"
_MAX_NUMBER = 2**53


@record(frozen=True, slots=True)
class Hello:
    """
    First message of each side.

    Attributes:
        wire: Wire versions that the sender speaks.
        suture: Version of its suture.
        python: Version of its Python.
        pid: As it sees itself.
        service: Agent: what ``install`` was told.
        started: Agent: start of the process, clock ticks since the machine's start.
        namespace: Agent: inode of its pid namespace, 0 if there is none.
        observe: Agent: only verbs that read are let in.
    """

    wire: tuple[int, ...]
    suture: str = ""
    python: str = ""
    pid: int = 0
    service: str = ""
    started: int = 0
    namespace: int = 0
    observe: bool = False


@record(frozen=True, slots=True)
class Ps:
    """Ask for facts about the process."""

    number: int


@record(frozen=True, slots=True)
class Plan:
    """Ask what a patch (attached) would do.  Changes nothing, evaluates nothing."""

    number: int
    size: int
    accept: tuple[str, ...] = ()
    partial: bool = False
    replace: bool = False


@record(frozen=True, slots=True)
class Prepare:
    """
    Take a patch (attached) to right before its point of no return.

    Attributes:
        lease_s: How long the agent holds it without a Commit or a Renew, at most ``server.MAX_LEASE_S``.
        journal: False goes on without a journal line (``--no-journal``).
    """

    number: int
    size: int
    accept: tuple[str, ...] = ()
    partial: bool = False
    replace: bool = False
    lease_s: float = 10.0
    journal: bool = True


@record(frozen=True, slots=True)
class Renew:
    """Hold a prepared patch for longer."""

    number: int
    token: str
    lease_s: float = 10.0


@record(frozen=True, slots=True)
class Commit:
    """Switch to a prepared patch."""

    number: int
    token: str


@record(frozen=True, slots=True)
class Discard:
    """Let a prepared patch go; nothing was changed."""

    number: int
    token: str


@record(frozen=True, slots=True)
class Revert:
    """Take a live patch back."""

    number: int
    patch_id: str
    journal: bool = True


@record(frozen=True, slots=True)
class PrepareRevert:
    """
    Look over how a live patch would be taken back, and hold that for a Commit.  Changes nothing.

    Attributes:
        patch_id: Its id, or the start of it.
        lease_s: As in Prepare.
        journal: The same.
    """

    number: int
    patch_id: str
    lease_s: float = 10.0
    journal: bool = True


@record(frozen=True, slots=True)
class Drop:
    """Write into the journal that a patch which isn't live here isn't wanted any more.  Changes nothing else."""

    number: int
    patch_id: str


@record(frozen=True, slots=True)
class Status:
    """Ask for the reports of the live patches."""

    number: int


@record(frozen=True, slots=True)
class Show:
    """Ask for the text of a patch that came in through this agent."""

    number: int
    patch_id: str


@record(frozen=True, slots=True)
class Log:
    """Ask for the last lines of the journal that this process writes to."""

    number: int
    last: int = 100


@record(frozen=True, slots=True)
class Loads:
    """Ask of which files of a tree (attached: a line each, the module and, behind a tab, the path) a module is loaded."""

    number: int
    size: int


@record(frozen=True, slots=True)
class Files:
    """Ask which source files the loaded modules were made from."""

    number: int


@record(frozen=True, slots=True)
class Drift:
    """
    Hold what is loaded of one file against its text (attached, UTF-8).  Changes nothing, runs nothing.

    Attributes:
        module: Dotted name of its module in the tree.
        path: In the tree, with ``/``.
        named: True: the patches that are expected are these; False: they are those that are live.
        patches: Their ids.
    """

    number: int
    size: int
    module: str
    path: str = ""
    named: bool = False
    patches: tuple[str, ...] = ()


@record(frozen=True, slots=True)
class PsAnswer:
    """
    Facts about the process.

    Attributes:
        since_s: Seconds since the agent was installed here (or forked).
        patches: Ids of the live patches, oldest first.
        holder: Who holds a prepared patch, "" if nobody does.
        denied: Callers turned away because of who they are.
        dropped: Callers dropped for what they sent, or didn't.
        failure: What doesn't work here, "" if all does.
    """

    number: int
    service: str
    pid: int
    ppid: int
    uid: int
    python: str
    suture: str
    since_s: float
    peers: str
    observe: bool = False
    patches: tuple[str, ...] = ()
    holder: str = ""
    denied: int = 0
    dropped: int = 0
    failure: str = ""


@record(frozen=True, slots=True)
class Reported:
    """
    The report (attached, JSON) of plan, prepare, commit or revert.

    Attributes:
        ok: As in the report.
        state: As in the report.
        token: Of what is prepared now, "" if nothing is.
        lease_s: How long it is held.
    """

    number: int
    size: int
    ok: bool
    state: str
    token: str = ""
    lease_s: float = 0.0


@record(frozen=True, slots=True)
class Statuses:
    """Reports of the live patches (attached, a JSON array)."""

    number: int
    size: int
    patches: int


@record(frozen=True, slots=True)
class Shown:
    """A patch, as it came in (attached), and with what it was accepted."""

    number: int
    size: int
    patch_id: str
    accept: tuple[str, ...] = ()
    partial: bool = False
    replace: bool = False


@record(frozen=True, slots=True)
class Logged:
    """The last lines of the journal (attached as they are, torn ones too), and its path as the process sees it."""

    number: int
    size: int
    path: str = ""


@record(frozen=True, slots=True)
class Loaded:
    """Those of the files that are loaded (attached, as they were asked for), and the ids of the live patches."""

    number: int
    size: int
    patches: tuple[str, ...] = ()


@record(frozen=True, slots=True)
class FilesAnswer:
    """Loaded modules (attached: a line each, the name and, behind a tab, the file as the process sees it), and live patches."""

    number: int
    size: int
    patches: tuple[str, ...] = ()


@record(frozen=True, slots=True)
class Drifted:
    """What one file's modules differ in (attached, JSON)."""

    number: int
    size: int


@record(frozen=True, slots=True)
class Done:
    """Renew and Discard: as asked."""

    number: int
    lease_s: float = 0.0


@record(frozen=True, slots=True)
class No:
    """
    Not done: an error as an object.

    Attributes:
        number: Of the message that it answers; 0: of none, and the connection ends.
        fault: Ours: the message says what is known of the state.  False: nothing was changed.
    """

    number: int
    code: str
    message: str
    target: str = ""
    hint: str = ""
    evidence: Mapping[str, str] = made_by(default_factory=dict)
    fault: bool = False

    @classmethod
    def of(cls, error: Any, number: int = 0) -> No:
        """Of a SutureError."""
        return cls(number, error.code, error.message, error.target, error.hint, error.evidence, isinstance(error, Fault))


Message = (
    Hello | Ps | Plan | Prepare | Renew | Commit | Discard | Revert | PrepareRevert | Drop | Status | Show | Log | Loads | Files
    | Drift | PsAnswer | Reported | Statuses | Shown | Logged | Loaded | FilesAnswer | Drifted | Done | No
)  # fmt: skip

_ASKED: dict[str, Any] = {
    "hello": Hello,
    "ps": Ps,
    "plan": Plan,
    "prepare": Prepare,
    "renew": Renew,
    "commit": Commit,
    "discard": Discard,
    "revert": Revert,
    "prepare-revert": PrepareRevert,
    "drop": Drop,
    "status": Status,
    "show": Show,
    "log": Log,
    "loads": Loads,
    "files": Files,
    "drift": Drift,
}
_ANSWERED: dict[str, Any] = {
    "hello": Hello,
    "process": PsAnswer,
    "report": Reported,
    "reports": Statuses,
    "patch": Shown,
    "journal": Logged,
    "loaded": Loaded,
    "sources": FilesAnswer,
    "drifted": Drifted,
    "done": Done,
    "no": No,
}
_VERB_OF = {kind: verb for table in (_ASKED, _ANSWERED) for verb, kind in table.items()}


@record(frozen=True, slots=True)
class Received:
    """A message with what is attached to it."""

    message: Message
    attached: bytes = b""


# ---------------------------------------------------------------- messages as JSON


def _is_number(value: Any) -> bool:
    return type(value) is int and -_MAX_NUMBER <= value <= _MAX_NUMBER


_FORMS: dict[str, Callable[[Any], bool]] = {  # by the fields' types, as written
    "int": _is_number,
    "str": lambda v: type(v) is str,
    "bool": lambda v: type(v) is bool,
    "float": lambda v: _is_number(v) or (type(v) is float and -1e15 < v < 1e15),  # neither infinite nor not a number
    "tuple[int, ...]": lambda v: type(v) is list and all(map(_is_number, v)),
    "tuple[str, ...]": lambda v: type(v) is list and all(type(x) is str for x in v),
    "Mapping[str, str]": lambda v: type(v) is dict and all(type(x) is str for x in v.values()),
}


def _bad(why: str) -> Denied:
    return Denied("bad-message", why, hint="what is at the other end isn't suture, or is broken: report it")


def _read(text: bytes, kinds: Mapping[str, Any]) -> Message:
    try:
        row = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _bad(f"not JSON: {type(error).__name__}") from error
    if type(row) is not dict:
        raise _bad("not an object")
    verb = row.get("verb")
    kind = kinds.get(verb) if type(verb) is str else None
    if kind is None:
        raise Denied(
            "verb-unknown",
            f"{str(verb)[:40]!r} isn't a verb that this side knows",
            hint="use the suture of the version that the process runs",
        )
    fields: dict[str, Any] = {}
    for name, form in kind.__annotations__.items():
        if name in row:
            value = row[name]
            if not _FORMS[form](value):
                raise _bad(f"{verb}: {name} isn't {form}")
            fields[name] = tuple(value) if type(value) is list else value
        elif name not in optional(kind):
            raise _bad(f"{verb}: no {name}")
        if name in ("number", "size") and fields[name] < 0:
            raise _bad(f"{verb}: a negative {name}")
    message: Message = kind(**fields)
    return message


def encode(message: Message, attached: bytes = b"") -> Iterator[bytes]:
    """
    Write a message.

    Args:
        message: A message; its ``size``, if it has one, is set to what is attached.
        attached: A patch, a report.

    Yields:
        Frames, in order; none is longer than some 64 KiB.

    Raises:
        Denied: message-too-large; nothing has been yielded.
    """
    row: dict[str, Any] = {"verb": _VERB_OF[type(message)], **row_of(message)}
    if "size" in row:
        row["size"] = len(attached)
    text = json.dumps(row, separators=(",", ":")).encode("ascii")
    if len(text) > MAX_MESSAGE:
        raise _too_large(f"a {row['verb']} message", len(text), MAX_MESSAGE)
    yield _HEAD.pack(_MAGIC, b"J", len(text)) + text
    for at in range(0, len(attached), PIECE):
        piece = attached[at : at + PIECE]
        yield _HEAD.pack(_MAGIC, b"D", len(piece)) + piece


def _too_large(what: str, size: int, limit: int) -> Denied:
    return Denied(
        "message-too-large", f"{what} of {size} bytes, the limit is {limit}", hint="split the patch, or restart with the fix"
    )


class Decoder:
    """
    Messages out of a stream of bytes.

    Attributes:
        error: Set for good once the stream can't be read on; what came before it has been given out.
        peer: The other side's Hello, once it has come.
    """

    def __init__(self, *, agent: bool) -> None:
        """*agent*: True reads what operators send, False what agents answer."""
        self.error: Denied | None = None
        self.peer: Hello | None = None
        self._kinds = _ASKED if agent else _ANSWERED
        self._limit = MAX_ATTACHED if agent else MAX_ANSWER
        self._data = bytearray()
        self._open: Message | None = None  # a message whose attachment isn't complete
        self._attached = bytearray()
        self._wanted = 0

    def idle(self) -> bool:
        """True if nothing has begun and not ended."""
        return not self._data and self._open is None

    def feed(self, data: bytes) -> list[Received]:
        """
        Take bytes, in any pieces.

        Returns:
            The messages that are complete now.  Look at ``error`` afterwards.
        """
        out: list[Received] = []
        if self.error is None:
            self._data += data
            try:
                while (found := self._next()) is not None:
                    out += found
            except Denied as error:
                self.error = error
                self._data.clear()
                self._attached.clear()
        return out

    def _next(self) -> list[Received] | None:
        """One frame: the message that it completes, if any; None if there isn't a whole frame."""
        data = self._data
        if not _MAGIC.startswith(data[:3]):
            raise Denied("not-suture", "these bytes aren't suture's", hint="check what is connected to this socket")
        if len(data) < _HEAD.size:
            return None
        _, kind, length = _HEAD.unpack_from(data)
        if kind not in (b"J", b"D"):
            raise _bad(f"a frame of kind {kind!r}")
        limit = MAX_MESSAGE if kind == b"J" else MAX_PIECE
        if length > limit:
            raise _too_large("a frame", length, limit)
        self._fits(kind, length)
        if len(data) < _HEAD.size + length:
            return None
        body = bytes(data[_HEAD.size : _HEAD.size + length])
        del data[: _HEAD.size + length]
        return self._message(body) if kind == b"J" else self._piece(body)

    def _fits(self, kind: bytes, length: int) -> None:
        """Say no to a frame as soon as its head is there: nothing is gathered that can't be used."""
        if kind == b"J" and self._open is not None:
            raise _bad("a message before the attachment of the last one was complete")
        if kind == b"D" and (self._open is None or not length or len(self._attached) + length > self._wanted):
            raise _bad("an attachment that no message announced")

    def _message(self, body: bytes) -> list[Received]:
        message = _read(body, self._kinds)
        if type(message) is Hello:
            if self.peer is not None:
                raise _bad("a second hello")
            self.peer = message
        elif self.peer is None and type(message) is not No:
            raise _bad("no hello first")
        size = getattr(message, "size", 0)
        if size > self._limit:
            raise _too_large("an attachment", size, self._limit)
        if not size:
            return [Received(message)]
        self._open, self._wanted = message, size
        return []

    def _piece(self, body: bytes) -> list[Received]:
        assert self._open is not None
        self._attached += body
        if len(self._attached) < self._wanted:
            return []
        done = Received(self._open, bytes(self._attached))
        self._open = None
        self._attached.clear()
        return [done]


def agree(mine: tuple[int, ...], theirs: Hello) -> int:
    """
    The wire version to go on in: the highest that both speak.

    Raises:
        Denied: version-unknown, with what to do.
    """
    both = set(mine) & set(theirs.wire)
    if both:
        return max(both)
    raise Denied(
        "version-unknown",
        f"no common wire version: {_listed(mine)} here, {_listed(theirs.wire)} in suture {theirs.suture or '?'} (pid {theirs.pid})",
        hint="use a suture of the version that the process runs: python -m suture of its environment, or one in between",
        evidence={"mine": _listed(mine), "theirs": _listed(theirs.wire), "suture": theirs.suture},
    )


def _listed(versions: tuple[int, ...]) -> str:
    return ", ".join(map(str, sorted(versions)[:20])) or "none"


def json_slices(value: Any, rest: Callable[[], None]) -> bytes:
    """
    Encode *value* as JSON, item by item of its lists: one big document is a hold of the GIL of some milliseconds.

    Args:
        value: Plain data.
        rest: Called between two items; may give the GIL away.
    """
    return "".join(_slices(value, rest, 3)).encode("ascii")


def _slices(value: Any, rest: Callable[[], None], depth: int) -> Iterator[str]:
    if depth and type(value) in (dict, list):
        pairs = value.items() if type(value) is dict else ((None, v) for v in value)
        comma = ""
        yield "{" if type(value) is dict else "["
        for key, item in pairs:
            yield comma if key is None else f"{comma}{json.dumps(str(key))}:"
            yield from _slices(item, rest, depth - 1)
            comma = ","
            rest()
        yield "}" if type(value) is dict else "]"
    else:
        yield json.dumps(value, separators=(",", ":"))
