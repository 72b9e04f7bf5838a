"""
The program that is updated: a package of 50 modules with 20 functions each, in two versions.

The functions have ordinary length (ten lines) and ordinary kinds: plain, decorated, methods, methods of a subclass.  How many
differ between the two versions is a parameter; they are spread evenly over the modules.  A result of NEW or more tells that
the new version ran.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = "shopfloor"
MODULES = 50
EACH = 20
NEW = 1_000_000
KINDS = ("plain", "method", "plain", "decorated", "plain")

_HEAD = '''"""
Rules of section {section}.
"""

import functools
import json
import math

LIMIT = 10


def traced(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper

'''

_BODY = '''{indent}def rule_{index}({receiver}levels, scale=1):
{indent}    """
{indent}    Rule {index}.
{indent}    """
{indent}    total = {start}
{indent}    for place, level in enumerate(levels):
{indent}        if level % 2:
{indent}            total += level * {factor}
{indent}        elif scale {operator} LIMIT:
{indent}            total -= len(str(level))
{indent}        else:
{indent}            total += place
{indent}    return total
'''


def kind_of(index: int) -> str:
    """Kind of the function of that number in its module."""
    return KINDS[index % len(KINDS)]


def _function(index: int, *, new: bool) -> str:
    method = kind_of(index) == "method"
    text = _BODY.format(
        indent="    " if method else "",
        receiver="self, " if method else "",
        index=index,
        start=NEW if new else index,
        operator=">=" if new else ">",
        factor=index + 1,
    )
    return "@traced\n" + text if kind_of(index) == "decorated" else text


def module_text(section: int, changed: int) -> str:
    """Source of a module in which the first *changed* functions are new."""
    functions = {i: _function(i, new=i < changed) for i in range(EACH)}
    methods = [i for i in functions if kind_of(i) == "method"]
    half = len(methods) // 2
    parts = [_HEAD.format(section=section)]
    parts += [functions[i] + "\n" for i in functions if kind_of(i) != "method"]
    parts += [
        "\nclass Section:\n    def __init__(self):\n        self.name = 'section'\n\n",
        "\n".join(functions[i] for i in methods[:half]),
    ]
    parts += ["\n\nclass Special(Section):\n", "\n".join(functions[i] for i in methods[half:])]
    return "\n".join(parts)


def changed_in(section: int, functions: int) -> int:
    """How many of *functions* changes fall into that module."""
    return functions // MODULES + (section < functions % MODULES)


def write(folder: Path, functions: int) -> Path:
    """Write the package with that many functions new (0: the old version) into *folder*."""
    home = folder / PACKAGE
    home.mkdir(parents=True)
    (home / "__init__.py").write_text("")
    for section in range(MODULES):
        path = home / f"section{section:02}.py"
        path.write_text(module_text(section, changed_in(section, functions)))
    return folder


class Service:
    """
    The package, imported from *folder*, with references to its functions held as a program holds them.

    Attributes:
        modules: All of them.
        touched: Those of them that have something new.
        new: Folder of the new version.
        live: Folder that it was imported from.
    """

    def __init__(self, live: Path, new: Path, functions: int) -> None:
        sys.path.insert(0, str(live))
        self.live, self.new, self.functions = live, new, functions
        self.modules = [importlib.import_module(f"{PACKAGE}.section{i:02}") for i in range(MODULES)]
        self.touched = [m for i, m in enumerate(self.modules) if changed_in(i, functions)]
        self._objects = [m.Special() for m in self.modules]
        self.held = [m.rule_0 for m in self.modules]  # like `from section import rule_0`
        self.bound = [o.rule_1 for o in self._objects]  # like a callback in a timer

    def work(self, turn: int, levels: Sequence[int] = (1, 2, 3, 4)) -> None:
        """What one tick of the service does."""
        place = turn % MODULES
        self.held[place](levels)
        self.bound[place](levels)

    def by_name(self) -> list[Callable[[Any], int]]:
        """A caller by name for each changed function, one after the other over the modules."""

        def caller(owner: ModuleType | object, name: str) -> Callable[[Any], int]:
            return lambda levels: getattr(owner, name)(levels)

        out = []
        for index in range(EACH):
            for section, (module, special) in enumerate(zip(self.modules, self._objects)):
                if index < changed_in(section, self.functions):
                    out.append(caller(special if kind_of(index) == "method" else module, f"rule_{index}"))
        return out

    def seen(self) -> dict[str, float]:
        """Share of held functions, bound methods and names that run the new version where they should."""
        levels = (1, 2, 3, 4)
        first = [i for i in range(MODULES) if changed_in(i, self.functions) > 0]
        second = [i for i in range(MODULES) if changed_in(i, self.functions) > 1]
        names = self.by_name()

        def share(calls: Sequence[Callable[[Any], int]]) -> float:
            return sum(c(levels) >= NEW // 2 for c in calls) / len(calls) if calls else -1

        return {"held": share([self.held[i] for i in first]), "bound": share([self.bound[i] for i in second]), "name": share(names)}
