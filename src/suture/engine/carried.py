"""
Whole modules that a patch brings: importable while it is live, and gone with it.

A finder at the end of ``sys.meta_path``: what is on the disk comes first, so a release that has the module is what counts.  A
module's body runs when somebody imports it, as in a fresh process; an import that the patch itself adds is evaluated at apply.
"""

from __future__ import annotations

import linecache
import sys
import types
from collections.abc import Iterator
from typing import Any

from suture.engine.facts import PATCH_MARK, lines_of, with_filename
from suture.engine.frames import space_of
from suture.engine.stage import Applied, Carried
from suture.errors import Refused
from suture.patch import Change

__all__ = ["Carrier", "carried", "take_out"]

_Spec: Any = type(sys.__spec__)


def carried(change: Change, patch_id: str) -> Carried:
    """
    What becomes of a module that a patch adds.

    Raises:
        Refused: syntax-error.
    """
    text, path = change.after or "", change.target.path
    try:
        code = compile(text, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        place = f"{path}:{getattr(error, 'lineno', None) or 1}"
        raise Refused("syntax-error", str(error), target=place, hint="mend the source, build again") from error
    return Carried(change.target.module, path, text, path.rpartition("/")[2] == "__init__.py", patch_id, code)


def take_out(applied: Applied) -> None:
    """Forget the modules of a patch that isn't live: nobody finds them any more; who holds one keeps it."""
    for one in applied.carried:
        while one.made:
            module = one.made.pop()
            if sys.modules.get(one.name) is module:
                del sys.modules[one.name]
            parent, _, child = one.name.rpartition(".")
            space = space_of(sys.modules[parent]) if isinstance(sys.modules.get(parent), types.ModuleType) else {}
            if space.get(child) is module:
                del space[child]


class Carrier:
    """
    Of ``sys.meta_path``; there while there is something to find.

    Args:
        stack: The live patches.
    """

    def __init__(self, stack: list[Applied]) -> None:
        self._stack = stack
        self._ahead: list[Applied] = []

    def lead(self, applied: Applied) -> None:
        """Let the expressions of a patch find its modules before it is live."""
        if applied.carried:
            self._ahead.append(applied)
            if self not in sys.meta_path:
                sys.meta_path.append(self)

    def tidy(self, applied: Applied) -> None:
        """A transaction has ended: what isn't live is forgotten."""
        self._ahead[:] = [a for a in self._ahead if a is not applied]
        if applied not in self._stack:
            take_out(applied)
        if self in sys.meta_path and not any(True for _ in self.all()):
            sys.meta_path.remove(self)

    def all(self) -> Iterator[Carried]:
        """What can be found, the newest first."""
        for applied in [*self._ahead, *reversed(self._stack)]:
            yield from applied.carried

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """A spec for a module of ours."""
        one = next((c for c in self.all() if c.name == name), None)
        if one is None:
            return None
        places = list(path) if path is not None else []
        leaf = one.path.rpartition("/")[2] if not one.is_package else "/".join(one.path.split("/")[-2:])
        spec = _Spec(name, _Loader(one, f"{places[0]}/{leaf}" if places else one.path), is_package=one.is_package)
        spec.origin = spec.loader.get_filename(name)
        spec.has_location = True
        if one.is_package:
            spec.submodule_search_locations = [spec.origin.rpartition("/")[0]]
        return spec

    def invalidate_caches(self) -> None:
        """Nothing is kept."""


class _Loader:
    """Runs one of them."""

    def __init__(self, one: Carried, path: str) -> None:
        self._one, self._path = one, path

    def create_module(self, spec: Any) -> None:
        """As importlib makes them."""

    def exec_module(self, module: types.ModuleType) -> None:
        """Run its body."""
        self._one.made.append(module)
        try:
            exec(self.get_code(module.__name__), space_of(module))
        except BaseException:
            self._one.made.remove(module)
            raise

    def get_code(self, name: str) -> types.CodeType:
        """Its body, compiled; tracebacks find its text."""
        marked = f"{self._path}{PATCH_MARK}{self._one.patch_id}"
        linecache.cache[marked] = (len(self._one.text), None, lines_of(self._one.text), marked)
        return with_filename(self._one.code, marked)

    def get_source(self, name: str) -> str:
        """Its text."""
        return self._one.text

    def get_filename(self, name: str) -> str:
        """Where its file would be."""
        return self._path

    def is_package(self, name: str) -> bool:
        """True if other modules may be inside it."""
        return self._one.is_package
