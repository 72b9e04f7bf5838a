"""
A lint verdict as text, JSON, GitHub annotations, SARIF and Markdown.

Names and messages come from somebody's pull request: none can break a line, a table or a command out of its place.
"""

from __future__ import annotations

import hashlib
import json
import re
import urllib.parse
from collections.abc import Iterator
from typing import Any

from suture import __version__
from suture.ops.cli.explain import summary
from suture.ops.cli.render import carried_json
from suture.ops.lint import Need, Row, Verdict
from suture.patch import Severity
from suture.report import source_lines

__all__ = ["github", "json_text", "markdown", "sarif", "text"]

_SCHEMA = "https://raw.githubusercontent.com/oasis-tcs/sarif-spec/master/Schemata/sarif-schema-2.1.0.json"
_MOST_ROWS, _MOST_NOTES = 40, 40  # of a comment: GitHub takes 65,536 characters
_MARKED = re.compile(r"([\\`*_{}\[\]<>|~#@!&])")


def text(verdict: Verdict) -> str:
    """The verdict, then a line a finding, ``file:line: severity code: message``; with its caret, where there is one."""
    lines = [verdict.word]
    for row in verdict.rows:
        where, decide = _where(row), row.need is Need.DECISION  # with the line for the decisions file
        lines.append(f"{where + ': ' if where else ''}{row.finding.severity} {row.finding.code}: {_message(row, hint=decide)}")
        lines += source_lines(row.finding.evidence)
    return "".join(f"{_plain(line)}\n" for line in lines)


def json_text(verdict: Verdict) -> str:
    """One object, as docs/reference/operator.schema.json says."""
    findings = [{**r.finding.to_json(), "file": r.file, "line": r.line, "need": str(r.need)} for r in verdict.rows]
    row = {"format": 1, "verb": "lint", "verdict": verdict.word, "restarts": verdict.restarts, "decisions": verdict.decisions}
    row |= {"carried": verdict.carried, "changes": [carried_json(c) for c in verdict.changes], "source": verdict.source}
    return json.dumps({**row, "findings": findings}, indent=1) + "\n"


def github(verdict: Verdict) -> str:
    """Workflow commands, which GitHub shows beside the lines of a pull request; the verdict is a line that it doesn't read."""
    lines = [_plain(f"suture: {verdict.word}")]
    for row in verdict.rows:
        facts = {
            "file": row.file,
            "line": str(row.line or ""),
            "col": str(_column(row) or ""),
            "title": f"suture {row.finding.code}",
        }
        properties = ",".join(f"{k}={_escaped(v, inside=True)}" for k, v in facts.items() if v)
        lines.append(f"::{_level(row, note='notice')} {properties}::{_escaped(_message(row, hint=True))}")
    return "".join(f"{line}\n" for line in lines)


def _column(row: Row) -> int:
    """Column in its line, from 1; 0 if that isn't known."""
    return len(row.finding.evidence.get("caret", "")) if row.line else 0


def _level(row: Row, *, note: str) -> str:
    """How loud: a decision is no error yet."""
    if row.need is not Need.NOTHING:
        return "error" if row.need is Need.RESTART else "warning"
    return note if row.finding.severity is Severity.NOTE else "warning"


def _escaped(words: str, *, inside: bool = False) -> str:
    """Text in a workflow command; *inside* its properties."""
    words = _plain(words).replace("%", "%25")
    return words.replace(":", "%3A").replace(",", "%2C") if inside else words


def sarif(verdict: Verdict) -> str:
    """A SARIF 2.1.0 log; a rule a code, with the guide's section as its help."""
    codes = sorted({r.finding.code for r in verdict.rows})
    driver = {"name": "suture", "version": __version__, "rules": [_rule(c) for c in codes]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(r, codes.index(r.finding.code)) for r in verdict.rows],
        "properties": {"verdict": verdict.word, "restarts": verdict.restarts, "decisions": verdict.decisions},
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _rule(code: str) -> dict[str, Any]:
    first, section = summary(code)
    rule: dict[str, Any] = {"id": code}
    if section:
        rule |= {"shortDescription": {"text": first or code}, "help": {"text": section}}
    return rule


def _result(row: Row, rule: int) -> dict[str, Any]:
    finding = row.finding
    # The same finding in the next commit, some lines further down, is the same finding.
    same = (finding.code, row.file, re.sub(r":[0-9]+$", "", finding.target), finding.message)
    digest = hashlib.sha256("\0".join(same).encode("utf-8", "replace"))
    result: dict[str, Any] = {"ruleId": finding.code, "ruleIndex": rule, "level": _level(row, note="note")}
    result |= {"message": {"text": _message(row, hint=True)}, "partialFingerprints": {"suture/v1": digest.hexdigest()}}
    if row.file:
        place: dict[str, Any] = {
            "artifactLocation": {"uri": urllib.parse.quote(row.file, errors="replace"), "uriBaseId": "%SRCROOT%"}
        }
        if row.line:
            place["region"] = {"startLine": row.line} | ({"startColumn": at} if (at := _column(row)) else {})
        result["locations"] = [{"physicalLocation": place}]
    return result | {"properties": {"need": str(row.need)}}


def markdown(verdict: Verdict) -> str:
    """A comment: the verdict, a table of what stands in the way, the rest folded."""
    return "".join(f"{line}\n" for line in _comment(verdict))


def _comment(verdict: Verdict) -> Iterator[str]:
    source = f" ({_marked(verdict.source)})" if verdict.source else ""
    yield f"### suture: {verdict.word}"
    yield ""
    yield f"{verdict.carried} {'change' if verdict.carried == 1 else 'changes'} can go into running processes{source}."
    first = [r for r in verdict.rows if r.need is not Need.NOTHING]
    rest = [r for r in verdict.rows if r.need is Need.NOTHING]
    if first:
        yield ""
        yield "| needs | where | finding | way round |"
        yield "|---|---|---|---|"
        for row in first[:_MOST_ROWS]:
            cells = (str(row.need), _code(_where(row) or row.finding.target), f"{_code(row.finding.code)} {_marked(_message(row))}")
            yield f"| {' | '.join(cells)} | {_marked(row.finding.hint)} |"
        if first[_MOST_ROWS:]:
            yield f"| | | and {len(first) - _MOST_ROWS} more | |"
    if rest:
        yield ""
        yield f"<details><summary>{len(rest)} to know</summary>"
        yield ""
        for row in rest[:_MOST_NOTES]:
            words = f"{_code(_where(row))}: {_marked(_message(row))}".removeprefix(": ")
            yield f"- {row.finding.severity} {_code(row.finding.code)} {words}"
        if rest[_MOST_NOTES:]:
            yield f"- and {len(rest) - _MOST_NOTES} more"
        yield ""
        yield "</details>"


def _marked(words: str) -> str:
    """Text that Markdown, HTML and GitHub's mentions leave alone."""
    return _MARKED.sub(lambda m: f"&#{ord(m[1])};", _plain(words))


def _code(words: str) -> str:
    """A code span in a cell of a table."""
    return f"<code>{_marked(words)}</code>" if words else ""


def _where(row: Row) -> str:
    return f"{row.file}:{row.line}" if row.file and row.line else row.file


def _message(row: Row, *, hint: bool = False) -> str:
    """What was seen, about what, on one line."""
    finding = row.finding
    about = f"{finding.target}: " if finding.target and finding.target not in (row.file, _where(row)) else ""
    need = "" if row.need is not Need.DECISION else " (needs a decision)"
    return f"{about}{finding.message}{need}" + (f"; {finding.hint}" if hint and finding.hint else "")


def _plain(words: str) -> str:
    """Without what would steer a terminal or end a line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in words)
