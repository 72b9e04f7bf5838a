"""
Work in a thread of its own, for a program whose one loop must go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

__all__ = ["run"]


def run(work: Callable[[], Any]) -> Future[Any]:
    """Run *work* in a thread of its own; the future gets what it returns or raises."""
    future: Future[Any] = Future()

    def body() -> None:
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits for it
                future.set_exception(error)

    threading.Thread(target=body, name="suture-apply", daemon=True).start()
    return future
