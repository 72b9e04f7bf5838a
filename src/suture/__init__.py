"""
Put a fix into a Python process that must not stop, and take it out again.

Importing this starts no thread, opens no socket and patches nothing; the engine is read at the first use, whole, and
nothing is imported from disk afterwards (an upgraded package must not be mixed into a running older one).  Only
``install()`` starts a thread and opens a socket.
"""

from __future__ import annotations

from suture.errors import Denied, Fault, Refused, SutureError

TYPE_CHECKING = False  # as type checkers know it; importing typing would cost more than all the rest
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from concurrent.futures import Future
    from os import PathLike
    from typing import Any

    from suture.difference import DriftReport
    from suture.engine.process import Engine
    from suture.patch import Patch
    from suture.report import Report

    Source = Patch | bytes | str | PathLike[str]

__all__ = [
    "Denied",
    "Fault",
    "Refused",
    "SutureError",
    "apply",
    "apply_soon",
    "do_hotfix",
    "drift",
    "install",
    "plan",
    "replace_func",
    "revert",
    "status",
    "uninstall",
]

__version__ = "0.1.0"


def _engine() -> Engine:
    """The process's engine; loads all of the target side at the first call."""
    from suture import loading

    return loading.load()


def apply(source: Source, *, accept: Collection[str] = (), partial: bool = False, replace: bool = False) -> Report:
    """
    Take a patch live in this process: all of it, or nothing.

    Blocks its caller (see ``Report.caller_blocked_ms``), not the program: the work is done in slices.  Call from any
    thread; calls wait for each other.  A program with one loop calls ``apply_soon``.

    Args:
        source: Path of a ``.suture`` file, its bytes, or a Patch.
        accept: Errors taken on by a person: "code" or "code:module:Qual.name".
        partial: Take a patch that says that it leaves something out.
        replace: Put back what an older patch changed and this one, built from the same source, doesn't.

    Returns:
        The report.  A refusal is one with ``ok`` false and findings, and every target is the same object with the same
        contents as before.

    Raises:
        Fault: Putting something back failed; the message says what is known of the state.
    """
    return _engine().apply(source, accept=accept, partial=partial, replace=replace)


def plan(source: Source, *, accept: Collection[str] = (), partial: bool = False, replace: bool = False) -> Report:
    """
    Say what ``apply`` would do.  Changes nothing and evaluates nothing.

    Args:
        source: As for apply, like the others.
        accept: As for apply.
        partial: As for apply.
        replace: As for apply.

    Returns:
        A report with state "planned", or a refusal.
    """
    return _engine().plan(source, accept=accept, partial=partial, replace=replace)


def revert(patch_id: str) -> Report:
    """
    Take a live patch back: code, data and added names.

    Args:
        patch_id: Its id, or the start of one.

    Returns:
        A report with state "reverted", or a refusal with nothing changed (patch-unknown, beneath, changed-since).
    """
    return _engine().revert(patch_id)


def status() -> tuple[Report, ...]:
    """Reports of the live patches, oldest first; ``inside_old`` is as of now."""
    return _engine().status()


def drift(source: str | PathLike[str] | Mapping[str, str], *, patches: Collection[str] | None = None) -> DriftReport:
    """
    Say in what this process differs from a source tree and the patches that are live.  Changes nothing, runs nothing.

    Compares functions (code and literal defaults), constants and class attributes that are literals, and bases of classes, of
    the modules that are loaded.  What is computed when a module is imported isn't compared, and is counted.

    Args:
        source: A folder (the import root), a file, or texts by the module's name.
        patches: Ids (or starts of them) of the patches that are expected; another one that is live is a difference, and so is
            one of these that isn't.  None: whichever are live.

    Returns:
        The report; ``ok`` if something was compared and all of it is the same.

    Raises:
        Refused: busy: asked from inside a patch.
    """
    return _engine().drift(source, patches=patches)


def apply_soon(source: Source, *, accept: Collection[str] = (), partial: bool = False, replace: bool = False) -> Future[Report]:
    """
    ``apply`` in a thread of its own, for a program whose one loop must go on.

    Returns:
        A future of the report; ``asyncio.wrap_future`` awaits it.
    """
    from suture import soon  # the engine is loaded in the thread, if it isn't yet

    return soon.run(lambda: _engine().apply(source, accept=accept, partial=partial, replace=replace))


def replace_func(obj: Any, name: str | None = None) -> Callable[[Any], Any]:
    """
    Decorator: put the function in the place of ``obj.name``, live.

    Inside a hotfix file it is collected and committed with the rest; elsewhere it is a transaction of its own.

    Args:
        obj: A module, a class or another object.
        name: Name in it; None: the function's own.
    """
    engine = _engine()
    from suture import hotfix

    return hotfix.replace_func(engine, obj, name)


def do_hotfix(path: str = "HotfixCode.py", *, strict: bool = False) -> Report:
    """
    Execute a hotfix file live, all of it in one transaction.

    Args:
        path: The file.
        strict: Refuse a file that calls into live objects while it runs (else the warning hotfix-effect).

    Returns:
        The report.

    Raises:
        Exception: Whatever the file's own code raises; nothing that it recorded was stored.
    """
    engine = _engine()
    from suture import hotfix

    return hotfix.do_hotfix(engine, path, strict=strict)


def install(*, service: str = "", peers: str = "user", run_dir: str | PathLike[str] | None = None) -> None:
    """
    Let an operator's command reach this process, over a Unix socket in a private folder.

    Starts one thread, which sleeps until it's called, and reads the engine, which is run when it's first needed: nothing
    comes from disk afterwards.  Forked children get agents of their own.  Never raises and never prints: what fails is a
    record of the ``suture`` logger.  A second call does nothing.
    ``SUTURE=off`` in the environment makes it do nothing, ``SUTURE=observe`` lets in only what reads.

    Args:
        service: What operators call the program: ``suture apply fix.suture --service game``.
        peers: Who may ask: "user" (the process's own user, and root) or "root".
        run_dir: Folder for the socket; None: ``$SUTURE_DIR``, ``$XDG_RUNTIME_DIR/suture``, ``/run/suture/UID`` or
            ``suture-UID`` in the temporary directory.
    """
    try:
        from suture import loading
        from suture.agent import boot
    except Exception as error:  # noqa: BLE001 - the program goes on without us
        import logging

        logging.getLogger("suture").error("suture isn't installed: %s: %s", type(error).__name__, error)
    else:
        boot.install(loading, version=__version__, service=service, peers=peers, run_dir=run_dir)


def _begin() -> None:
    """
    What ``suture run`` has asked for by the environment: install before the program's first line.

    The program may bring gevent, become another user or change its root in its next line.  Called by the line of
    ``suture.pth`` and by agent/start/sitecustomize.py.
    """
    import os

    if os.environ.get("SUTURE_RUN") and os.environ.get("SUTURE", "").strip().lower() != "off":
        from suture import loading
        from suture.agent import boot

        boot.install(loading, version=__version__, service=os.environ.get("SUTURE_SERVICE", ""))


def uninstall() -> None:
    """Take the agent out again: its thread, its socket, its descriptors.  Patches that are live stay live."""
    import sys

    if "suture.agent.boot" in sys.modules:
        sys.modules["suture.agent.boot"].uninstall()
