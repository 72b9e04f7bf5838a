"""
Start the agent as the environment says: for programs that were started with ``suture run``.

Called by start/sitecustomize.py and by the line of ``suture.pth``, before the program's first line.  Rule: whatever fails, the
program starts as if nothing had been asked.
"""

from __future__ import annotations

import os

__all__ = ["begin"]


def begin() -> None:
    """
    Install the agent, engine included: the program may bring gevent, become another user or change its root in its next line.

    Does nothing unless ``SUTURE_RUN`` is set; a second call does nothing.
    """
    if not os.environ.get("SUTURE_RUN") or os.environ.get("SUTURE", "").strip().lower() == "off":
        return
    import suture
    from suture.agent import boot

    service = os.environ.get("SUTURE_SERVICE", "")
    boot.install(suture._engine, version=suture.__version__, service=service, load_now=True)
