"""
One engine a process, and no second copy of suture beside it.
"""

from __future__ import annotations

import os
import sys
import types

from suture.engine.transaction import Engine
from suture.errors import Denied

__all__ = ["engine", "load_the_rest"]

_MARK = "_suture_in_this_process"


def engine(file: str) -> Engine:
    """
    The engine of this process.

    Args:
        file: ``__file__`` of the suture that asks.

    Raises:
        Denied: second-copy: another copy of suture is at work here; two would not know of each other's patches.
    """
    mark = sys.modules.get(_MARK)
    if mark is None:
        mark = types.ModuleType(_MARK)
        mark.__dict__.update(file=os.path.abspath(file), engine=Engine())
        mark = sys.modules.setdefault(_MARK, mark)
    found = mark.__dict__["engine"]
    if type(found) is not Engine:
        raise Denied(
            "second-copy",
            f"this process has another copy of suture, from {mark.__dict__['file']}",
            hint="use that one: remove the second from the path",
        )
    return found


def load_the_rest() -> None:
    """Load what is imported late elsewhere, so that nothing is read from disk afterwards."""
    import inspect
    import io
    import linecache
    import textwrap
    import tokenize

    import suture.soon
    from suture.engine import swap, versions

    swap.audit_hook_present()
    versions.restore((), lambda: None)
    del inspect, io, linecache, textwrap, tokenize, suture
