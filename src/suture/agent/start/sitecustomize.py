"""
Put on PYTHONPATH by ``suture run``: starts the agent, then makes way for the program's own sitecustomize.

Any Python may come by here, so the text is one that old ones understand.
"""

import os
import sys


def _agent(here):  # type: ignore[no-untyped-def]
    """Load suture from where this file is, unless the program has one; behind everything else, so that nothing is shadowed."""
    if sys.version_info < (3, 10) or sys.implementation.name != "cpython":
        return
    home = os.path.dirname(os.path.dirname(os.path.dirname(here)))
    sys.path.append(home)
    try:
        __import__("suture")._begin()
    except Exception:  # noqa: BLE001 - the program starts without us
        pass
    finally:
        sys.path.remove(home)


def _next(here):  # type: ignore[no-untyped-def]
    """
    Run the sitecustomize that this one hides.

    Raises:
        ImportError: There is none; then there is none for the program either.
    """
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    sys.path[:] = [p for p in sys.path if os.path.abspath(p or ".") != here]  # the variable stays: children inherit it
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is None or spec.loader is None:
        raise ImportError("there is no sitecustomize", name="sitecustomize")
    module = sys.modules["sitecustomize"] = module_from_spec(spec)
    spec.loader.exec_module(module)


if __name__ == "sitecustomize":
    _here = os.path.dirname(os.path.abspath(__file__))
    _agent(_here)  # type: ignore[no-untyped-call]
    _next(_here)  # type: ignore[no-untyped-call]
