"""
A patch as data: what travels from whoever writes the fix to the process that gets it.

Rule 1: a patch carries source before and after, never bytecode; one patch fits every Python, nothing is unmarshalled.
Rule 2: the id is the name and a hash of the change lines alone: another reason or author isn't another patch.
Rule 3: what can't be read whole is refused by name, before anything looks at a live object.

On disk: canonical JSON lines (UTF-8, LF).  First a header, then one change a line, so that a reader can stop for breath
between two (one big document is a 2 ms hold of the GIL for 1,000 functions).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, TypeVar

from suture.errors import Refused, SutureError
from suture.record import fields, made_by, record

try:  # the interpreter's own: hashlib loads OpenSSL, a hold of the GIL of 3 ms
    from _sha2 import sha256  # type: ignore[import-not-found]
except ImportError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found]
    except ImportError:
        from hashlib import sha256

__all__ = [
    "FORMAT",
    "Change",
    "Decision",
    "Expect",
    "FileFact",
    "Finding",
    "Kind",
    "Patch",
    "Scope",
    "Severity",
    "Target",
    "dump",
    "is_name",
    "load",
    "sha256",
]

T = TypeVar("T")
Rest = Callable[[], None]  # called between two steps of long work; may give the GIL away
FORMAT = 1
MAX_BYTES = 32 * 1024 * 1024
MAX_LINE = 4 * 1024 * 1024
MAX_CHANGES = 20_000
MAX_NAME = 100  # bytes: with the hash and an ending it must fit into a file's name
_NAME = re.compile(r"\w[\w.-]*")


def _go_on() -> None:
    """Rest not at all."""


class Severity(str, Enum):
    """error: refused.  warning: something stays old, may mix or needs a look.  note: the rest."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    def __str__(self) -> str:
        return self.value


class Kind(str, Enum):
    """
    What a change is made of.  A reader that doesn't know a kind refuses the patch by that name.

    FUNCTION: one ``def`` (module or class level).  NESTED: a statement that differs only inside the functions and lambdas
    it makes.  CLASS: a whole class, added.  VALUE: an assignment.  IMPORT: an import, added.
    MODULE: a whole module, added.  STATEMENT: a top-level statement that is run once, at apply.
    MEMBERS: the class statement of an enumeration, for its members alone.  BASES: a class statement, for its bases alone.
    """

    FUNCTION = "function"
    NESTED = "nested"
    CLASS = "class"
    VALUE = "value"
    IMPORT = "import"
    MODULE = "module"
    STATEMENT = "statement"
    MEMBERS = "members"
    BASES = "bases"

    def __str__(self) -> str:
        return self.value


class Expect(str, Enum):
    """What the process must hold before: the source in ``before``, nothing, or whatever is there (a hotfix file)."""

    SOURCE = "source"
    ABSENT = "absent"
    LIVE = "live"

    def __str__(self) -> str:
        return self.value


@record(frozen=True, slots=True)
class Finding:
    """
    One thing that a person should know, with its way round.

    Attributes:
        code: Stable name; docs/reference/findings.md has a section for each.
        severity: See Severity.
        target: ``module:Qual.name``, a file name with line, or "".
        message: What was seen.
        hint: The way round, or "".
        evidence: Names and values that the message was made of.
    """

    code: str
    severity: Severity
    target: str
    message: str
    hint: str = ""
    evidence: Mapping[str, str] = made_by(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same as another: it is said once."""
        return self.code, self.target, self.message

    @classmethod
    def of(cls, error: SutureError) -> Finding:
        """Turn what was raised into what is reported."""
        return cls(error.code, Severity.ERROR, error.target, error.message, error.hint, error.evidence)

    def to_json(self) -> dict[str, Any]:
        """As plain data, in the order a person reads it."""
        row: dict[str, Any] = {"code": self.code, "severity": str(self.severity), "target": self.target}
        row["message"] = self.message
        if self.hint:
            row["hint"] = self.hint
        if self.evidence:
            row["evidence"] = dict(self.evidence)
        return row

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Finding:
        """Inverse of to_json."""
        words = [_typed({"hint": "", **row}, key, str) for key in ("code", "severity", "target", "message", "hint")]
        code, severity, target, message, hint = words
        return cls(code, Severity(severity), target, message, hint, _strings(_typed({"evidence": {}, **row}, "evidence", dict)))


@record(frozen=True, slots=True)
class Target:
    """
    Where one definition lives: ``package.module:Qual.name[slot]#nth``.

    Attributes:
        module: Dotted name in the tree that the patch was built from.
        qualname: Names from the module down, without ``<locals>``; "" is the module itself.
        path: The file in its tree, with ``/``; every live module made from that file is meant.
        slot: "get", "set", "del" for the accessors of a property, "register" for a registration, "" otherwise.
        nth: Which definition of that name in that scope, from 0.
    """

    module: str
    qualname: str
    path: str = ""
    slot: str = ""
    nth: int = 0

    def __str__(self) -> str:
        slot = f"[{self.slot}]" if self.slot else ""
        nth = f"#{self.nth}" if self.nth else ""
        return f"{self.module}:{self.qualname}{slot}{nth}" if self.qualname else self.module

    @property
    def name(self) -> str:
        """Last part of the qualified name."""
        return self.qualname.rpartition(".")[2]


@record(frozen=True, slots=True)
class Scope:
    """
    What a compile needs around the text of a change.

    Attributes:
        classes: Names of the enclosing classes, outermost first (private names, ``__class__``).
        future_before: ``__future__`` compiler flags of the old module.
        future_after: The same of the new one.
        line_before: Line of the text's first line in the old file, from 1; 0 if there is none.
        line_after: The same in the new file.
        imports_before: Names in the text that the old module's top level imports.  The compiler looks at that: ``name.f()``
            becomes another instruction where ``name`` is an import (3.11+).
        imports_after: The same of the new module.
    """

    classes: tuple[str, ...] = ()
    future_before: int = 0
    future_after: int = 0
    line_before: int = 0
    line_after: int = 0
    imports_before: tuple[str, ...] = ()
    imports_after: tuple[str, ...] = ()


@record(frozen=True, slots=True)
class Decision:
    """A choice that somebody made where the source alone doesn't say: rule, by whom ("builder" or a person), why."""

    rule: str
    by: str
    why: str = ""


@record(frozen=True, slots=True)
class Change:
    """
    One definition, before and after.

    ``before`` and ``after`` are whole lines of the file as they stand there, decorators first, indentation kept (so that
    columns and strings over several lines survive); None where there is no definition on that side.

    Attributes:
        number: Place in the patch, from 0; additions are evaluated in this order.
        kind: What it is.
        target: Where it lives.
        before: Old text, or None for an addition.
        after: New text.
        scope: What a compile needs to know.
        expect: What the process must hold.
        names: Names that the statement binds (IMPORT, VALUE, CLASS).
        rebind: ``module:name`` of importers that took a VALUE by name.
        again: Parameters of a FUNCTION whose defaults are worked out again although their text is the same; of a STATEMENT that
            fills a table, the table's name; of one that is worked out again with others, the names that change; of a CLASS that is
            made anew, its fields, old and new.
        section: Whose part of a hotfix file it came from, or "".
        decision: Set where somebody chose.
    """

    number: int
    kind: Kind
    target: Target
    before: str | None
    after: str | None
    scope: Scope = Scope()
    expect: Expect = Expect.SOURCE
    names: tuple[str, ...] = ()
    rebind: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    section: str = ""
    decision: Decision | None = None


@record(frozen=True, slots=True)
class FileFact:
    """
    One file of the tree that the patch changes.

    Attributes:
        path: Relative, with ``/``.
        module: Dotted name.
        before: SHA-256 of the old text (decoded, LF), "" if there was none.
        after: The same of the new text.
        moved: Names of unchanged functions whose lines moved.
    """

    path: str
    module: str
    before: str = ""
    after: str = ""
    moved: tuple[str, ...] = ()


@record(frozen=True, slots=True)
class Patch:
    """
    A named set of changes that go live together.

    Attributes:
        name: What a person calls it.
        changes: In order.
        files: The files that the changes come from.
        left_out: What the difference has and the patch doesn't, or has for a person to accept; not empty means a partial patch.
        remarks: Warnings and notes of the builder.
        meta: author, reason, expires: not in the id.
        reach: Names of the tree that come to run what changes when somebody calls them, by module, one space between; ``f()`` is
            what ``f`` gives, called.  Not in the id, nor is the next.
        judged: Modules of the tree of which the builder has said what they did with those names at import.
    """

    name: str
    changes: tuple[Change, ...]
    files: tuple[FileFact, ...] = ()
    left_out: tuple[Finding, ...] = ()
    remarks: tuple[Finding, ...] = ()
    meta: Mapping[str, str] = made_by(default_factory=dict)
    reach: Mapping[str, str] = made_by(default_factory=dict)
    judged: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Name and the first 12 hex digits of the SHA-256 of the change lines; worked out anew each time."""
        return self.identify()

    def identify(self, rest: Rest = _go_on) -> str:
        """The id, worked out in slices."""
        return patch_id(self.name, (_line(_change_row(c)) for c in self.changes), rest)

    @property
    def needs(self) -> tuple[str, ...]:
        """Features that a reader must know."""
        rules = {f"rule-{c.decision.rule}" for c in self.changes if c.decision is not None}
        again = {"again"} if any(c.again for c in self.changes) else set()
        return tuple(sorted({str(c.kind) for c in self.changes} | {f"expect-{c.expect}" for c in self.changes} | rules | again))


RULES = (
    *("again-new", "again-old", "class-default", "decorate", "evaluate", "fill-new", "fill-old", "if-held"),
    *("merge", "rebind", "remake", "remove", "replace", "run-once"),
)
KNOWN_NEEDS = frozenset((*map(str, Kind), *(f"expect-{e}" for e in Expect), *(f"rule-{r}" for r in RULES), "again"))


def is_name(text: str) -> bool:
    """True if a patch may be called that: letters, digits, ``_``, ``-`` and ``.``, as the id becomes a part of file names."""
    return _NAME.fullmatch(text) is not None and len(text.encode("utf-8", "surrogatepass")) <= MAX_NAME


def patch_id(name: str, lines: Iterable[bytes], rest: Rest = _go_on) -> str:
    """The id of a patch of that name with these change lines."""
    return f"{name}-{_sha(lines, rest).hexdigest()[:12]}"


def _sha(lines: Iterable[bytes], rest: Rest = _go_on) -> Any:
    digest = sha256()
    for line in lines:
        digest.update(line)
        rest()
    return digest


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return value


def _sparse(here: Any) -> dict[str, Any]:
    """Fields of a flat record that differ from their defaults (canonical: a new field with a default changes no id)."""
    row = {}
    for name, default in fields(here):
        value = getattr(here, name)
        if value != default:
            row[name] = _plain(value)
    return row


def _change_row(change: Change) -> dict[str, Any]:
    row = _sparse(change)
    row["target"] = _sparse(change.target)
    row["before"], row["after"] = change.before, change.after
    row["scope"] = _sparse(change.scope)
    if not row["scope"]:
        del row["scope"]
    if change.decision is not None:
        row["decision"] = _sparse(change.decision)
    return row


def dump(patch: Patch) -> bytes:
    """
    The file of a patch.

    Returns:
        Canonical JSON lines; ``load(dump(p))`` equals *p*.
    """
    lines = [_line(_change_row(c)) for c in patch.changes]
    header: dict[str, Any] = {
        "format": FORMAT,
        "needs": list(patch.needs),
        "id": patch_id(patch.name, lines),
        "name": patch.name,
        "changes": len(lines),
        "files": [_sparse(f) for f in patch.files],
        "left_out": [f.to_json() for f in patch.left_out],
        "remarks": [f.to_json() for f in patch.remarks],
        "meta": dict(patch.meta),
    }
    if patch.reach:
        header |= {"reach": dict(patch.reach), "judged": " ".join(patch.judged)}
    header["digest"] = _sha([_line(header), *lines]).hexdigest()
    return b"".join([_line(header), *lines])


def load(data: bytes, *, source: str = "<patch>", rest: Rest = _go_on) -> Patch:
    """
    Read a patch, in slices.

    Args:
        data: The file's bytes.
        source: Its name, for messages.
        rest: Called between two lines; may give the GIL away.

    Raises:
        Refused: bad-patch, patch-truncated, patch-altered, patch-too-large or needs-unknown.  Nothing was changed.
    """
    if len(data) > MAX_BYTES:
        raise Refused(
            "patch-too-large",
            f"more than {MAX_BYTES} bytes",
            target=source,
            hint="split the patch, or restart: a fix of this size is a release",
        )
    lines = []
    for line in _split(data, source):
        lines.append(line)
        rest()
    header = _row(lines[0], source, 1)
    rest()
    _check_header(header, lines, source, rest)
    changes: list[Change] = []
    lines.reverse()
    lines.pop()
    while lines:  # let go of one by one: half a megabyte at once is a hold of half a millisecond
        rest()
        number = len(changes) + 2
        changes.append(_read_change(_row(lines.pop(), source, number), source, number))
    try:
        patch = Patch(
            name=_typed(header, "name", str),
            changes=tuple(changes),
            files=_each(_read_file, header, "files", rest),
            left_out=_each(Finding.from_json, header, "left_out", rest),
            remarks=_each(Finding.from_json, header, "remarks", rest),
            meta=_strings(_typed(header, "meta", dict)),
            reach=_strings(_typed({"reach": {}, **header}, "reach", dict)),
            judged=tuple(_typed({"judged": "", **header}, "judged", str).split()),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _bad(source, 1, f"header: {error}") from error
    return patch


def _each(read: Callable[[Any], T], header: Mapping[str, Any], key: str, rest: Rest) -> tuple[T, ...]:
    out = []
    for row in _typed(header, key, list):
        rest()
        out.append(read(row))
    return tuple(out)


def _split(data: bytes, source: str) -> Iterator[bytes]:
    if not data:
        raise Refused("bad-patch", "the file is empty", target=source, hint="build it again")
    start = 0
    while start < len(data):
        end = data.find(b"\n", start)
        if end < 0:
            raise Refused(
                "patch-truncated", "the last line has no end: the file is cut off", target=source, hint="copy or build it again"
            )
        if end - start > MAX_LINE:
            raise Refused(
                "patch-too-large", f"a line of {end - start} bytes, the limit is {MAX_LINE}", target=source, hint="split the patch"
            )
        yield data[start : end + 1]
        start = end + 1


def _row(line: bytes, source: str, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise _bad(source, number, f"not JSON: {error}") from error
    if not isinstance(row, dict):
        raise _bad(source, number, "not an object")
    return row


def _bad(source: str, number: int, why: str) -> Refused:
    return Refused("bad-patch", f"line {number}: {why}", target=source, hint="build it again with `suture build`")


def _check_header(header: dict[str, Any], lines: list[bytes], source: str, rest: Rest) -> None:
    if header.get("format") != FORMAT:
        raise Refused(
            "needs-unknown",
            f"format {header.get('format')!r}, this suture reads {FORMAT}",
            target=source,
            hint="build it with the suture that the process runs",
        )
    needs = header.get("needs")
    if not isinstance(needs, list):
        raise _bad(source, 1, "no list of needs")
    unknown = [str(n) for n in needs if n not in KNOWN_NEEDS]
    if unknown:
        raise Refused(
            "needs-unknown",
            f"needs {', '.join(unknown)}, which this suture doesn't know",
            target=source,
            hint="build it with the suture that the process runs, or restart with a newer one",
        )
    if not is_name(str(header.get("name"))):
        raise _bad(source, 1, f"{str(header.get('name'))[:MAX_NAME]!r} can't be the name of a patch")
    count = header.get("changes")
    if not isinstance(count, int) or count > MAX_CHANGES:
        raise _bad(source, 1, f"changes is {count!r}, a number up to {MAX_CHANGES} is meant")
    if count != len(lines) - 1:
        raise Refused(
            "patch-truncated", f"{count} changes announced, {len(lines) - 1} found", target=source, hint="copy or build it again"
        )
    rest()
    first = _line({k: v for k, v in header.items() if k != "digest"})
    rest()
    if header.get("digest") != _sha([first, *lines[1:]], rest).hexdigest():
        raise Refused("patch-altered", "the digest doesn't match the contents", target=source, hint="build it again; never edit it")
    if header.get("id") != patch_id(str(header.get("name")), lines[1:], rest):
        raise Refused("patch-altered", "the id doesn't match the changes", target=source, hint="build it again; never edit it")


def _typed(row: Mapping[str, Any], key: str, kind: type) -> Any:
    value = row[key]
    if not isinstance(value, kind):
        raise TypeError(f"{key} is {type(value).__name__}, {kind.__name__} is meant")
    return value


def _strings(row: Mapping[str, Any]) -> dict[str, str]:
    for key, value in row.items():
        if not isinstance(value, str):
            raise TypeError(f"{key} is {type(value).__name__}, text is meant")
    return dict(row)


_FIELDS = {cls: frozenset(name for name, _ in fields(cls)) for cls in (Target, Decision, Scope, Change, FileFact)}
_NUMBERS = frozenset(("number", "nth", "future_before", "future_after", "line_before", "line_after"))


def _flat(cls: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of a flat record; a key or a type that it doesn't have is an error."""
    known = _FIELDS[cls]
    out: dict[str, Any] = {}
    for key, value in row.items():
        if key not in known:
            raise ValueError(f"{key} isn't a field of {cls.__name__}")
        if isinstance(value, list):
            if not all(isinstance(v, str) for v in value):
                raise TypeError(f"{key} isn't a list of text")
            value = tuple(value)
        elif key in _NUMBERS:
            if type(value) is not int or value < 0:
                raise TypeError(f"{key} isn't a number")
        elif not isinstance(value, str) and value is not None:
            raise TypeError(f"{key} isn't text")
        out[key] = value
    return out


def _read_file(row: Mapping[str, Any]) -> FileFact:
    return FileFact(**_flat(FileFact, row))


def _read_change(row: dict[str, Any], source: str, number: int) -> Change:
    try:
        flat = {k: v for k, v in row.items() if k not in ("target", "scope", "decision", "kind", "expect")}
        change = Change(
            kind=Kind(row["kind"]),
            expect=Expect(row.get("expect", "source")),
            target=Target(**_flat(Target, row["target"])),
            scope=Scope(**_flat(Scope, row.get("scope", {}))),
            decision=Decision(**_flat(Decision, row["decision"])) if "decision" in row else None,
            **_flat(Change, flat),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _bad(source, number, str(error)) from error
    if change.number != number - 2 or (change.before is None and change.after is None):
        raise _bad(source, number, "out of order, or neither before nor after")
    return change
