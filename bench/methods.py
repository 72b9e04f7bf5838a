"""
Ways to bring new code into a running service: suture and its peers, each used as its own documentation says.

A method prepares (imports itself, notes what is there) and gives back the update as a callable, which is what gets timed.
Peers read changed files: those are written, and their times set, before the update begins.
"""

from __future__ import annotations

import importlib
import os
import shutil
import time
from collections.abc import Callable
from typing import Any

import service

Update = Callable[[], Any]
NOTHING_S = 0.3  # how long the control takes


def nothing(at: service.Service, patch: str) -> Update:
    """The control: no update at all."""
    return lambda: time.sleep(NOTHING_S)


def suture_cold(at: service.Service, patch: str) -> Update:
    """``suture.apply``, the first in its process: the engine is loaded in it, too."""
    import suture

    return lambda: suture.apply(patch)


def suture_warm(at: service.Service, patch: str) -> Update:
    """``suture.apply`` in a process that has loaded the engine before."""
    import suture

    suture.status()
    return lambda: suture.apply(patch)


def reload(at: service.Service, patch: str) -> Update:
    """``importlib.reload`` of each module that differs."""
    _install_files(at)

    def update() -> None:
        for module in at.touched:
            importlib.reload(module)

    return update


def ipython(at: service.Service, patch: str) -> Update:
    """IPython's ``%autoreload 2``: its reloader, called once, without the shell."""
    from IPython.extensions.autoreload import ModuleReloader

    reloader = ModuleReloader()
    reloader.check(check_all=True, do_reload=False)
    _install_files(at)
    return lambda: reloader.check(check_all=True)


def jurigged(at: service.Service, patch: str) -> Update:
    """jurigged's watcher, told of each changed file (its file events and 50 ms of debounce left out)."""
    from jurigged.live import Watcher
    from jurigged.register import registry

    failures: list[BaseException] = []
    registry.set_logger(lambda event: failures.append(event) if isinstance(event, BaseException) else None)
    registry.auto_register(filter=lambda path: path.startswith(str(at.live)))
    watcher = Watcher(registry)
    _install_files(at)

    def update() -> None:
        for module in at.touched:
            watcher.refresh(module.__file__)
        if failures:
            raise failures[0]

    return update


METHODS: dict[str, Callable[[service.Service, str], Update]] = {
    "nothing": nothing,
    "suture": suture_warm,
    "suture, first": suture_cold,
    "reload": reload,
    "ipython": ipython,
    "jurigged": jurigged,
}


def available(peers: dict[str, str], names: list[str]) -> list[str]:
    """Those of *names* that can run; the missing ones are named on standard output."""
    missing = [n for n in names if n in ("ipython", "jurigged") and n not in peers]
    if missing:
        print(f"# left out, not installed: {', '.join(missing)}")
    return [n for n in names if n not in missing]


def check(outcome: Any) -> dict[str, Any]:
    """What a suture report adds to a row; an error if it was refused."""
    if not hasattr(outcome, "longest_slice_ms"):
        return {}
    if not outcome.ok:
        worst = outcome.findings[0]
        return {"error": f"refused: {worst.code} {worst.target} {worst.message}"[:110]}
    return {
        "slice_ms": outcome.longest_slice_ms,
        "slice_cpu_ms": outcome.longest_slice_cpu_ms,
        "slice_in": outcome.longest_slice_in,
        "commit_us": outcome.commit_us,
        "phase_ms": dict(outcome.phase_ms),
        "changed": len(outcome.changed),
    }


def _install_files(at: service.Service) -> None:
    """Put the new version's files where the old ones are, dated later."""
    later = time.time() + 5
    for module in at.touched:
        live = module.__file__
        assert live is not None
        shutil.copyfile(at.new / service.PACKAGE / os.path.basename(live), live)
        os.utime(live, (later, later))
