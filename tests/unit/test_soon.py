"""Work in a thread of its own: its result, its error, or nothing where nobody wants it any more."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import suture
from suture import soon


def test_a_result_and_an_error_reach_who_waits() -> None:
    """In another thread than the caller's, whatever is raised."""
    assert soon.run(threading.get_ident).result(30) != threading.get_ident()
    assert isinstance(soon.run(lambda: int("x")).exception(30), ValueError)

    def leaves() -> None:
        raise SystemExit(3)

    assert isinstance(soon.run(leaves).exception(30), SystemExit)


def test_apply_soon_reports_and_raises_as_apply_does() -> None:
    """A refusal is a report; what isn't a source at all raises, where it's waited for."""
    assert suture.apply_soon(b"").result(30).findings[0].code == "bad-patch"
    with pytest.raises(TypeError):
        suture.apply_soon(object()).result(30)  # type: ignore[arg-type]


def test_what_was_cancelled_in_time_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """A future can be cancelled until its thread has begun."""
    begun: list[Any] = []
    threads: list[Any] = []

    class Waiting(threading.Thread):
        def start(self) -> None:
            threads.append(self)

    monkeypatch.setattr(soon.threading, "Thread", Waiting)
    first, second = soon.run(lambda: begun.append(1)), soon.run(lambda: begun.append(2))
    assert first.cancel()
    for thread in threads:
        thread.run()
    assert second.result(0) is None
    assert not second.cancel()
    assert begun == [2]
