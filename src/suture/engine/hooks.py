"""
Audit hooks: is there one, and does it let us?

Hooks can't be listed, and one runs between the stores of a commit, so both are found out on objects of our own.
"""

from __future__ import annotations

import sys
import types
from collections import deque
from itertools import chain, starmap

from suture.errors import Refused

__all__ = ["audit_hook_present", "probe"]


class _Probe(BaseException):
    """Set on our own thread to see whether a hook's first instruction gets it."""


def audit_hook_present() -> bool:
    """
    True if a store may run an audit hook.  Hooks can't be listed; none of their lines runs for this.

    Up to 3.13 ``sys.audit`` looks for hooks before it looks at its argument.  Later ones don't: there an asynchronous
    exception set right before ``sys.audit``, in the same C call, comes up in a Python hook's first instruction, or behind the
    call if there is none (measured on 3.10 to 3.15).  Where that can't be done (no ctypes; a profiler, which it would
    hit), the answer is True, the safe side.
    """
    if sys.version_info < (3, 14):
        try:
            sys.audit(0)  # type: ignore[arg-type]
        except TypeError:
            return True
        return False
    return _profiled() or _hook_takes_exception()


def _profiled() -> bool:
    if sys.version_info < (3, 12):
        return sys.getprofile() is not None
    watch = sys.monitoring
    return sys.getprofile() is not None or any(watch.get_tool(t) and watch.get_events(t) & watch.events.CALL for t in range(6))


def _hook_takes_exception() -> bool:
    try:
        import _thread
        import ctypes

        # A function object of our own: setting types on the shared one would be seen by others.
        made = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_ulong, ctypes.py_object)
        raise_in = made(("PyThreadState_SetAsyncExc", ctypes.pythonapi))
    except Exception:  # noqa: BLE001 - no ctypes, or a hook that forbids it
        return True
    me = _thread.get_ident()
    passed: list[bool] = []
    steps = chain(starmap(raise_in, [(me, _Probe)]), starmap(sys.audit, [("suture.probe",)]), map(passed.append, (True,)))
    try:
        deque(steps, maxlen=0)
        for _ in range(100):  # it comes up at the next look for one, here at the latest
            pass
    except _Probe:
        return not passed
    except Exception:  # noqa: BLE001 - a hook that raises is a hook
        return True
    finally:
        raise_in(me, ctypes.py_object())  # NULL: forget it, if it is still to come
    return True


def probe() -> None:
    """
    Store to a function of our own, as the commit will.

    Raises:
        Refused: audit-hook-refuses: an audit hook raised.  Nothing was changed.
    """

    def throwaway(a: int = 1, *, b: int = 2) -> int:
        return a + b

    try:
        throwaway.__code__ = throwaway.__code__.replace()
        throwaway.__defaults__ = (1,)
        throwaway.__kwdefaults__ = {"b": 2}
        types.FunctionType(throwaway.__code__, {})
    except Exception as error:
        raise Refused(
            "audit-hook-refuses",
            f"an audit hook of this process forbids it: {type(error).__name__}: {error}",
            hint="let the hook pass object.__setattr__ for function code, or restart",
        ) from error
