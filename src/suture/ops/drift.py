"""
Ask processes whether they are what a tree and its patches say.

A process is first asked which files of the tree it has loaded, then file by file: one text in, what differs out.  So no message is
bigger than a file, others are served between two, and each process compiles with its own Python.

Prints nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suture import wire
from suture.difference import NOT_COMPARED, NOT_LOADED, DriftReport, ModuleDrift
from suture.engine.process import unexpected
from suture.errors import Refused, SutureError
from suture.ops.build.tree import Tree
from suture.ops.client import Agent, Lost
from suture.report import Process

__all__ = ["Answer", "drift", "exit_code"]

_MOST_AT_ONCE = 64
OK, NO, MIXED = 0, 1, 2


@dataclass(frozen=True)
class Answer:
    """
    What one process said.

    Attributes:
        report: None if it couldn't be asked, or not to the end.
        error: Then: code, message and hint.
    """

    agent: Agent
    report: DriftReport | None = None
    error: dict[str, str] | None = None

    @property
    def state(self) -> str:
        """same, differs, not loaded (nothing of the tree), not compared (a part of it couldn't be), or unknown."""
        if self.report is None:
            return "unknown"
        if self.report.all_differences():
            return "differs"
        if self.report.having(NOT_COMPARED):
            return NOT_COMPARED
        return "same" if self.report.ok else NOT_LOADED

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        row: dict[str, Any] = {"pid": self.agent.pid, "service": self.agent.hello.service, "state": self.state}
        return row | {"report": self.report.to_json() if self.report is not None else None, "error": self.error}


def exit_code(answers: Sequence[Answer], troubles: int) -> int:
    """0: all the same in every process; 1: something differs, or nothing is loaded; 2: something couldn't be compared."""
    unclear = any(a.report is None or a.report.having(NOT_COMPARED) for a in answers)
    if troubles or unclear:
        return MIXED
    return OK if answers and all(a.state == "same" for a in answers) else NO


def drift(agents: Sequence[Agent], root: Path, patches: Sequence[str] | None) -> list[Answer]:
    """
    Ask each, all at once.

    Args:
        agents: Who.
        root: A folder (import root) or a file.
        patches: Ids of those that are expected; None: whichever are live.

    Raises:
        Refused: unreadable: there is no such tree, or no Python in it.
    """
    tree = Tree(root, "" if root.is_dir() else root.name)
    files = [(tree.module_of(path), path) for path in sorted(tree.python()) if not set(path) & set("\t\n")]
    if not files or not root.exists():
        raise Refused("unreadable", "no Python source is there", target=str(root), hint="give the import root, or one file")
    with ThreadPoolExecutor(max(1, min(len(agents), _MOST_AT_ONCE)), thread_name_prefix="suture") as pool:
        return list(pool.map(lambda agent: _ask(agent, tree, files, patches), agents))


def _ask(agent: Agent, tree: Tree, files: Sequence[tuple[str, str]], patches: Sequence[str] | None) -> Answer:
    try:
        listed = "".join(f"{module}\t{path}\n" for module, path in files)
        answer, attached = agent.ask(wire.Loads, _bytes(listed))
        loaded = {line.partition("\t")[2] for line in attached.decode("utf-8", "surrogateescape").split("\n")}
        rows = [
            _ask_of(agent, tree, module, path, patches) if path in loaded else ModuleDrift(module, path, NOT_LOADED)
            for module, path in files
        ]
    except Lost as error:
        return Answer(agent, error={"code": "lost", "message": f"the connection was lost: {error}", "hint": "ask again"})
    except SutureError as error:
        words = error.message
        if error.code == "verb-unknown":
            words = f"its suture, {agent.hello.suture}, is too old to be asked for drift"
        return Answer(agent, error={"code": error.code, "message": words, "hint": error.hint})
    here = Process(agent.pid, agent.hello.python, agent.hello.suture)
    return Answer(agent, DriftReport(here, tuple(rows), answer.patches, tuple(unexpected(answer.patches, patches))))


def _ask_of(agent: Agent, tree: Tree, module: str, path: str, patches: Sequence[str] | None) -> ModuleDrift:
    try:
        text = _bytes(tree.source(path).text)
    except Refused as error:
        return ModuleDrift(module, path, NOT_COMPARED, why=f"{error.message} ({error.code})")
    if len(text) > wire.MAX_ATTACHED:
        return ModuleDrift(module, path, NOT_COMPARED, why=f"a file of {len(text)} bytes (message-too-large)")
    named = patches is not None
    _, attached = agent.ask(wire.Drift, text, module=module, path=path, named=named, patches=tuple(patches or ()))
    return ModuleDrift.from_json(json.loads(attached))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
