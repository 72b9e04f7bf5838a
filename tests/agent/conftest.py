"""The agent's thread isn't one of threading's, so coverage doesn't follow it by itself."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import pytest

from suture.agent import server


@pytest.fixture(autouse=True)
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under coverage the agent's thread is traced like those of threading."""
    trace, start = threading.gettrace(), server._start_thread
    if trace is None:
        return

    def start_traced(body: Callable[..., None], arguments: tuple[object, ...]) -> int:
        def run(*given: object) -> None:
            sys.settrace(trace)
            body(*given)

        return int(start(run, arguments))

    monkeypatch.setattr(server, "_start_thread", start_traced)
