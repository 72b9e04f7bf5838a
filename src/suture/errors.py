"""
Every way to say no, or to break.

Rule 1: an exception carries a stable code, the target, the evidence and the way round as attributes; nobody parses text.
Rule 2: its class says whose fault it is and what state the process is in.

    SutureError
    ├── Refused   the patch and the process don't fit; nothing was changed
    ├── Denied    not allowed (a free-threaded build, a second copy of suture); nothing was changed
    └── Fault     ours, or a broken machine; the text says what is known of the state

Lowest floor: imports nothing of suture.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers know it; this module is all that a bare `import suture` loads
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Denied", "Fault", "Refused", "SutureError"]


class SutureError(Exception):
    """
    Base of all that suture raises on purpose.

    Attributes:
        code: Stable name, the heading of its section in docs/reference/findings.md.
        message: What happened and why, one sentence.
        target: What it is about (``module:Qual.name``, a file, or "").
        hint: What to do about it, or "".
        evidence: What was seen, by name.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        target: object = "",
        hint: str = "",
        evidence: Mapping[str, str] | None = None,
    ) -> None:
        self.code = code
        self.message = message
        self.target = str(target)
        self.hint = hint
        self.evidence = dict(evidence or {})
        where = f" ({self.target})" if self.target else ""
        super().__init__(f"{code}: {message}{where}" + (f"\nhint: {hint}" if hint else ""))


class Refused(SutureError):
    """The patch doesn't fit this process, or isn't a patch.  Nothing was changed."""


class Denied(SutureError):
    """This process or caller may not patch at all.  Nothing was changed."""


class Fault(SutureError):
    """Something broke on our side.  The message says what state the process is in."""
