"""What the tests that generate programs share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import suture
from suture.engine import account, process, walk
from suture.engine.pace import Pace

MADE = ("edited_", "generated_")  # what their modules are called


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to import from; no rests, and looks at the generated modules alone, not at the test's own process."""
    monkeypatch.setattr(process, "Pace", partial(Pace, rests=False))
    monkeypatch.setattr(account.census, "holders", lambda functions, rest, **_: {})
    monkeypatch.setattr(walk, "module_roots", lambda: [(n, vars(m)) for n, m in list(sys.modules.items()) if n.startswith(MADE)])
    monkeypatch.setattr(walk, "frame_roots", lambda: [])
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for report in reversed(suture.status()):
        suture.revert(report.patch_id)
