"""
``--explain CODE``: the guide's section on a finding, in the terminal.

The text is docs/reference/findings.md itself: a wheel has a copy beside this package, a checkout has the page.
"""

from __future__ import annotations

import argparse
import difflib
import functools
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from suture.errors import Refused
from suture.patch import Finding
from suture.report import WIDTH, words_of

__all__ = ["add_explain", "explained", "guide", "summary"]

_SECTION = re.compile(r"^### `([a-z-]+)`\n(.*?)(?=^#{2,3} |\Z)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[([^\]]*)\]\([^)\s]*\)")


@functools.lru_cache(maxsize=1)
def guide() -> dict[str, str]:
    """
    Each finding's section, by code.

    Raises:
        Refused: unreadable (the installation is damaged).
    """
    here = Path(__file__).parent.parent
    for page in (here / "findings.md", here.parents[2] / "docs" / "reference" / "findings.md"):
        if page.is_file():
            return {code: text.strip() for code, text in _SECTION.findall(page.read_text("utf-8"))}
    raise Refused("unreadable", "the guide to the findings isn't there", target="findings.md", hint="install suture again")


def explained(code: str) -> str | None:
    """A section as words for a terminal; None if there is no such finding."""
    section = guide().get(code)
    if section is None:
        return None
    parts = _LINK.sub(r"\1", section).split("\n\n")
    shown = [p if p.startswith(("    ", "```", "|", "- ")) else textwrap.fill(" ".join(p.split()), WIDTH) for p in parts]
    return f"{code}\n{'-' * len(code)}\n" + "\n\n".join(shown) + "\n"


def summary(code: str) -> tuple[str, str]:
    """A section's first sentence, without its severity, and all of it; two empty texts if there is none."""
    try:
        section = " ".join(_LINK.sub(r"\1", guide().get(code, "")).split())
    except Refused:  # a copy without the page still judges
        return "", ""
    first = section.partition(". ")[2].partition(". ")[0]
    return first.rstrip("."), section


class _Explain(argparse.Action):
    """Like --help: says it and is done, whatever else the verb needs."""

    def __call__(self, parser: argparse.ArgumentParser, space: argparse.Namespace, values: Any, option: str | None = None) -> None:
        try:
            words = explained(values)
        except Refused as error:
            parser.exit(1, "".join(f"{line}\n" for line in words_of(Finding.of(error))))
        if words is None:
            near = difflib.get_close_matches(values, _codes(), 3)
            parser.error(f"there is no finding {values!r}" + (f"; did you mean {', '.join(near)}?" if near else ""))
        print(words, end="")
        parser.exit()


def _codes() -> Sequence[str]:
    return sorted(guide())


def add_explain(parser: argparse.ArgumentParser) -> None:
    """Add the option to a verb."""
    parser.add_argument("--explain", action=_Explain, metavar="CODE", help="print the guide's section on a finding, and end")
