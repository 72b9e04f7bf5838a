"""
The journal's lines for people: what came of each commit and revert, oldest first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from suture.agent.journal import Lines, lines_of
from suture.ops.cli.tables import columns, count, joined, of_troubles
from suture.ops.client import Trouble

__all__ = ["journal_lines", "log"]


def journal_lines(data: bytes) -> Lines:
    """Records of a journal's last lines."""
    return lines_of(data)


def log(rows: Sequence[dict[str, Any]], torn: int, troubles: Sequence[Trouble], last: int) -> str:
    """One line for what came of each commit and revert, or was refused, oldest first; --json has all."""
    table: list[tuple[str, ...]] = [("time (UTC)", "verb", "patch", "state", "service", "pid", "by")]
    for row in list(_ended(rows))[-last:]:
        who = row.get("peer_login_uid")
        by = f"uid {row.get('peer_uid', '?')}" + (f" (login {who})" if who not in (None, row.get("peer_uid")) else "")
        cells = [row.get(k, "") for k in ("verb", "patch_id", "state", "service", "pid")]
        table.append((str(row.get("time", ""))[:19].replace("T", " "), *(str(c) for c in cells), by))
    out = list(columns(table)) if rows else ["the journal is empty"]
    out += [f"{count(torn, 'line')} can't be read: cut off by a crash or a full disk"] if torn else []
    return joined([*out, *of_troubles(troubles)])


def _ended(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Records without what went before: preparations that went well, and intents that have an outcome."""
    open_intents: dict[tuple[Any, ...], dict[str, Any]] = {}
    out: list[dict[str, Any]] = []
    for row in rows:
        who = row.get("pid"), row.get("verb")
        if row.get("verb") in ("commit", "revert") and not row.get("verdict"):
            open_intents[who] = row
            out.append(row)
        elif not (row.get("verb") == "prepare" and row.get("verdict") == "ok"):
            if (intent := open_intents.pop(who, None)) is not None:
                out = [r for r in out if r is not intent]
            out.append(row)
    yield from out
