"""
Generated edits of generated modules: what goes in is the new source, whatever isn't has a finding about it, and the revert is the identity.

`test_generated.py` has fewer kinds of change and asks more of each; here the kinds are those that a pull request has, several at once.
"""

from __future__ import annotations

import importlib
import itertools
import re
import sys
import types
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import suture
from suture.engine.facts import fingerprint
from suture.ops.build import build
from suture.patch import Finding, Severity

HEAD = """import functools
import re
def keeps(f):
    @functools.wraps(f)
    def wrapper(*args, **kwargs):
        return ["kept", f(*args, **kwargs)]
    return wrapper
def tagged(tag):
    def decorator(f):
        @functools.wraps(f)
        def wrapper(*args):
            return [tag, f(*args)]
        return wrapper
    return decorator
def make(x):
    return [x, "made"]
RAN = []
"""
LITERALS = ["1", "2", "-3", "0.5", "'a'", "'b'", "None", "True", "(1, 'x')", "b'q'"]
COMPUTED = [
    "({ref}, 1)",
    "[{ref}] * 2",
    "f'<{{{ref}}}>'",
    "str({ref})",
    "make({ref})",
    "re.compile(re.escape(str({ref})))",
    "frozenset([{ref}, 7])",
    "{{'k': {ref}}}",
    "{ref}",
    "functools.partial(make, {ref})",
]
WRAPPERS = [
    "",
    "@keeps\n",
    "@functools.lru_cache(maxsize=8)\n",
    "@functools.lru_cache(maxsize=4)\n",
    "@functools.cache\n",
    "@tagged({ref})\n",
]
IMPORTS = [
    "import math",
    "import os.path",
    "from os import path as where",
    "import json as j",
    "from math import pi, tau",
    "import string",
]
ENTRIES = ["1", "2", "'a'", "'b'", "(3, 4)", "None"]
TIED = ["branch", "loop", "pair", "grown"]
KINDS = ["function", "constant", "computed", "class", "dict", "list", "set", "import", "lambda", "effect", *TIED]


@dataclass(frozen=True)
class Item:
    """
    One statement of a generated module.

    Attributes:
        kind: One of KINDS.
        name: What it binds (an import: what it says).
        number: What a body returns, or which literal or expression it is.
        ref: A constant above that it reads while the module is imported; "": none.
        default: A literal, or a constant above.
        deco: Of a function.
        entries: Of a table.
        doc: Documentation.
        note: A comment above it.
    """

    kind: str
    name: str
    number: int = 0
    ref: str = ""
    default: str = "1"
    deco: str = ""
    entries: tuple[str, ...] = ()
    doc: str = ""
    note: str = ""

    @property
    def needs(self) -> set[str]:
        """Names that must be there when it is run."""
        return {n for n in (self.ref, self.default) if n.isidentifier() and n.isupper()}

    def text(self) -> str:
        """Its source."""
        return (f"# {self.note}\n" if self.note else "") + getattr(self, f"_{self.kind}")()

    def _function(self) -> str:
        doc = f"    {self.doc!r}\n" if self.doc else ""
        reads = self.ref or "'-'"
        deco = self.deco.format(ref=self.ref or "'t'")
        return f"{deco}def {self.name}(a, b={self.default}):\n{doc}    return {self.number}, a, b, {reads}\n"

    def _lambda(self) -> str:
        return f"{self.name} = lambda a, b={self.default}: ({self.number}, a, b)\n"

    def _constant(self) -> str:
        return f"{self.name} = {LITERALS[self.number % len(LITERALS)]}\n"

    def _computed(self) -> str:
        return f"{self.name} = {COMPUTED[self.number % len(COMPUTED)].format(ref=self.ref or '9')}\n"

    def _class(self) -> str:
        doc = f"    {self.doc!r}\n" if self.doc else ""
        return (
            f"class {self.name}:\n{doc}    kind = {self.number}\n    level = ({self.ref or '0'}, 'l')\n"
            f"    table = {{{', '.join(f'{e}: {i}' for i, e in enumerate(self.entries))}}}\n"
            f"    def method(self, a, b={self.default}):\n        return {self.number}, a, b, self.level\n"
            f"    @functools.cached_property\n    def size(self):\n        return {self.number}\n"
            f"    @staticmethod\n    def plain(a={self.default}):\n        return a, {self.number}\n"
        )

    def _dict(self) -> str:
        rows = [f"{e}: {self.number if i % 2 else repr(i)}" for i, e in enumerate(self.entries)]
        rows += [f"'deep': [{self.ref}]"] if self.ref else []
        return f"{self.name} = {{{', '.join(rows)}}}\n"

    def _list(self) -> str:
        return f"{self.name} = [{', '.join([*self.entries, *([self.ref] if self.ref else [])])}]\n"

    def _set(self) -> str:
        rows = [*self.entries, *([self.ref] if self.ref else [])]
        return f"{self.name} = {{{', '.join(rows)}}}\n" if rows else f"{self.name} = set()\n"

    def _effect(self) -> str:
        return f"RAN.append(({self.number}, {self.ref or '0'}))\n"

    def _branch(self) -> str:
        return (
            f"if {self.ref or 'RAN is None'}:\n    {self.name} = {self.number}\n    {self.name}_T = [{', '.join(self.entries)}]\n"
            f"else:\n    {self.name} = ({self.number},)\n"
        )

    def _loop(self) -> str:
        rows = "".join(f"{e}, " for e in self.entries)
        return f"{self.name} = {{}}\nfor n in ({rows}):\n    {self.name}[n] = ({self.number}, {self.ref or 0})\n"

    def _pair(self) -> str:
        return f"{self.name}, {self.name}_2 = {self.number}, {self.ref or 0}\n"

    def _grown(self) -> str:
        return (
            f"{self.name} = [{', '.join(self.entries)}]\nif {self.ref or True}:\n    {self.name}.append({self.number})\n"
            f"{self.name} += [{self.ref}]\n"
        )

    def _import(self) -> str:
        return f"{self.name}\n"


# ---------------------------------------------------------------- what is generated


@st.composite
def item(draw: Any, name: str, constants: list[str], kind: str | None = None) -> Item:
    """A statement that may read the constants."""
    kind = kind or draw(st.sampled_from(KINDS))
    upper = kind in ("constant", "computed", "dict", "list", "set", *TIED)
    name = draw(st.sampled_from(IMPORTS)) if kind == "import" else name.upper() if upper else name
    return draw(filled(Item(kind, name), constants))


def filled(plain: Item, constants: list[str]) -> st.SearchStrategy[Item]:
    """The statement with details."""
    return st.builds(partial(replace, plain), **details(plain, constants))


def details(plain: Item, constants: list[str]) -> dict[str, st.SearchStrategy[Any]]:
    """What of a statement can be another."""
    wanted: dict[str, Any] = {"number": st.integers(0, 9), "note": st.sampled_from(["", "Words.", "Others."])}
    if plain.kind in ("function", "class"):
        wanted["doc"] = st.sampled_from(["", "Says.", "Says more."])
    if plain.kind in ("function", "class", "lambda"):
        # A lambda changes one of the two: both at once is one of FOUND.
        wanted["default"] = st.sampled_from(["1", "2", "'d'", *(constants if plain.kind != "lambda" else [])])
    if plain.kind == "function":
        wanted["deco"] = st.sampled_from(WRAPPERS)
    if plain.kind not in ("constant", "import", "lambda"):
        wanted["ref"] = st.sampled_from(["", *constants])
    if plain.kind in ("class", "dict", "list", "set", "branch", "loop", "grown"):
        wanted["entries"] = st.lists(st.sampled_from(ENTRIES), max_size=4, unique=True).map(tuple)
    return wanted


@st.composite
def edited(draw: Any, old: Item, constants: list[str]) -> Item:
    """One or two details of it changed."""
    if old.kind == "import":
        return replace(old, name=draw(st.sampled_from([old.name, *IMPORTS])))
    wanted = details(old, constants)
    if old.kind == "lambda":
        wanted.pop(draw(st.sampled_from(["number", "default"])))  # as said in details()
    for name in draw(st.lists(st.sampled_from(sorted(wanted)), min_size=1, max_size=2, unique=True)):
        old = replace(old, **{name: draw(wanted[name].filter(lambda value, was=getattr(old, name): value != was))})
    return old


@st.composite
def scripts(draw: Any) -> tuple[list[Item], list[Item]]:
    """A module, and the module after some edits."""
    constants = [f"C{i}" for i in range(draw(st.integers(1, 2)))]
    before = [draw(item(n.lower(), [], "constant")) for n in constants]
    for i in range(draw(st.integers(2, 6))):
        before.append(draw(item(f"n{i}", constants)))
    picked = draw(st.sets(st.integers(0, len(before) - 1), min_size=1, max_size=4))
    after = [draw(edited(one, [] if one.name in constants else constants)) if i in picked else one for i, one in enumerate(before)]
    needed = set().union(*(one.needs for one in after))
    gone = draw(st.sets(st.integers(0, len(before) - 1), max_size=1))
    after = [one for i, one in enumerate(after) if one.name in needed or i not in gone]
    there = [c for c in constants if any(one.name == c for one in after)]
    after += [draw(item(f"added{i}", there)) for i in range(draw(st.integers(0, 2)))]
    if draw(st.booleans()):
        after = in_order(draw(st.permutations(after)))
    return before, after


def in_order(items: Iterable[Item]) -> list[Item]:
    """Each behind what it reads."""
    todo, done = list(items), list[Item]()
    while todo:
        bound = {one.name for one in todo}
        at = next(i for i, one in enumerate(todo) if not one.needs & (bound - {one.name}))
        done.append(todo.pop(at))
    return done


def source(items: Iterable[Item]) -> str:
    return HEAD + "".join(one.text() for one in items)


# ---------------------------------------------------------------- what is looked at


def plain(value: Any) -> Any:
    """A value as plain data; functions and classes by their names."""
    if isinstance(value, partial):
        return "partial", plain(value.func), plain(value.args)
    if isinstance(value, re.Pattern):
        return "pattern", value.pattern
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(plain, value))
    if isinstance(value, types.ModuleType):
        return "module", value.__name__
    return (type(value).__name__, value.__qualname__) if hasattr(value, "__qualname__") else value


def found(module: Any) -> dict[str, Any]:
    """Values by name; of functions what they do and their defaults, of classes what is in them."""
    out: dict[str, Any] = {}
    for name, value in list(vars(module).items()):
        if name.startswith("__"):
            continue
        out[name] = plain(value)
        if callable(value) and not isinstance(value, (type, partial)) and name not in ("keeps", "make", "tagged"):
            out[f"{name}."] = value(1), getattr(value, "__wrapped__", value).__defaults__
        if isinstance(value, type):
            one = value()
            out |= {f"{name}.{k}": plain(v) for k, v in vars(value).items() if k in ("kind", "level", "table")}
            out[f"{name}.method"] = one.method(1), value.method.__defaults__
            out[f"{name}.size"], out[f"{name}.plain"] = one.size, value.plain()
    return out


def state(module: Any) -> list[Any]:
    """Every object of the module and its classes, by identity; code and tables by content as well."""
    out: list[Any] = []
    spaces = [vars(module), *(vars(v) for v in vars(module).values() if isinstance(v, type))]
    for space in spaces:
        for name, value in space.items():
            if name in ("__annotations__", "__builtins__", "__dict__", "__weakref__"):
                continue
            inner = getattr(value, "__func__", getattr(value, "__wrapped__", value))
            # The order of a dict isn't looked at: keys that a patch removed stand last once they are back.
            inside = plain(value) if isinstance(value, (list, set, frozenset, dict)) else ""
            out.append((name, id(value), inside))
            if isinstance(inner, types.FunctionType):
                out.append((id(inner), fingerprint(inner.__code__), id(inner.__defaults__), inner.__doc__))
    return out


def said(findings: Iterable[Finding]) -> set[str]:
    """Names that the findings are about: their targets, and what those list that say what stays stale."""
    out: set[str] = set()
    for f in findings:
        out |= set(f.target.partition(":")[2].split(", ")) if ".py" not in f.target else set()
        if f.code in ("value-stale", "top-level-statement", "reordered"):
            out.add("RAN")  # what it did can't be told from outside
        if f.code in ("value-stale", "value-computed"):
            out |= set(re.findall(r":([A-Za-z_][\w.]*)", f"{f.message} {dict(f.evidence)}"))
    return out


def is_said(name: str, names: set[str]) -> bool:
    """True if a finding is about the name, or about the class that it is in."""
    first = name.partition(".")[0]
    return first in names or name in names or any(n.startswith(f"{first}.") for n in names if name == first)


NUMBER = itertools.count()


@dataclass
class Live:
    """A generated module in this process, and its patch."""

    root: Path
    before: list[Item]
    after: list[Item]
    name: str = field(default_factory=lambda: f"edited_{next(NUMBER)}")

    def __post_init__(self) -> None:
        folders = [self.root / f"{self.name}_{side}" for side in ("old", "new")]
        for folder, side in zip(folders, (self.before, self.after), strict=True):
            folder.mkdir()
            (folder / f"{self.name}.py").write_text(source(side))
        self.old, self.new = folders
        self.patch = build(self.old, self.new, name="p")
        (self.root / f"{self.name}.py").write_text(source(self.before))
        importlib.invalidate_caches()
        self.module = importlib.import_module(self.name)

    def fresh(self, items: list[Item]) -> types.ModuleType:
        """What a process that starts with this source has."""
        made = types.ModuleType(self.name)
        exec(compile(source(items), f"{self.name}.py", "exec", dont_inherit=True), vars(made))
        return made

    def drift(self, side: Path) -> list[str]:
        """What differs, by name."""
        report = suture.drift(side)
        assert not report.having("not compared")
        return [f"{d.target.partition(':')[2]} {d.kind}: {d.live}, expected {d.expected}" for d in report.all_differences()]


LAWS = settings(
    max_examples=60,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],  # to explain takes minutes
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@LAWS
@given(scripts())
def test_edits_go_in_or_are_said(here: Path, script: tuple[list[Item], list[Item]]) -> None:
    """With the patch the module is a fresh run of the new source but for what a finding is about; refused or reverted it is as before."""
    live = Live(here, *script)
    patch = live.patch
    try:
        found(live.module)  # used: what caches results has some
        was, did = state(live.module), found(live.module)
        assert live.drift(live.old) == []
        if not patch.changes and not patch.left_out and not patch.remarks:
            assert source(live.before) == source(live.after)
        report = suture.apply(patch, partial=bool(patch.left_out))
        if not report.ok:
            assert {f.code for f in report.findings if f.severity is Severity.ERROR}
            assert state(live.module) == was
            return
        names = said([*patch.left_out, *patch.remarks, *report.findings])
        left = said(patch.left_out)
        for one in live.after if left else ():  # a constant that is left out is what its readers read
            if one.needs & left:
                names |= {"RAN"} if one.kind == "effect" else {one.name, f"{one.name}_2", f"{one.name}_T"}
        wrong = [d for d in live.drift(live.new) if not is_said(d.partition(" ")[0], names)]
        assert not wrong, f"{wrong}, said: {names}"
        for name, value in vars(live.module).items():  # what a call has worked out is the program's, unless its own code changes
            if hasattr(value, "cache_clear") and name not in {c.target.qualname for c in patch.changes}:
                value.cache_clear()
        got, want = found(live.module), found(live.fresh(live.after))
        for name in got.keys() | want.keys():
            assert got.get(name) == want.get(name) or is_said(name, names), (
                f"{name}: {got.get(name)}, not {want.get(name)}; said: {names}"
            )
        if suture.status():
            back = suture.revert(report.patch_id)
            assert back.ok, back.words()
        assert state(live.module) == was
        for value in vars(live.module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()
        assert found(live.module) == did
        assert live.drift(live.old) == []
    finally:
        for report in reversed(suture.status()):
            suture.revert(report.patch_id)
        del sys.modules[live.name]


# ---------------------------------------------------------------- what the generator found


def live_of(here: Path, before: str, after: str) -> tuple[Any, suture.patch.Patch, Path]:
    """A module in this process, the patch to another text, and that text's folder."""
    name = f"edited_{next(NUMBER)}"
    folders = [here / f"{name}_{side}" for side in ("old", "new")]
    for folder, text in zip(folders, (before, after), strict=True):
        folder.mkdir()
        (folder / f"{name}.py").write_text(text)
    (here / f"{name}.py").write_text(before)
    importlib.invalidate_caches()
    return importlib.import_module(name), build(*folders, name="p"), folders[1]


def equal(here: Path, before: str, after: str, expression: str) -> None:
    """Built, applied, held against the new source: nothing is left out, nothing differs, and the expression is what it is there."""
    module, patch, new = live_of(here, before, after)
    fresh: dict[str, Any] = {}
    exec(after, fresh)
    assert not patch.left_out, patch.left_out
    assert suture.apply(patch).ok
    assert suture.drift(new).all_differences() == []
    assert eval(expression, vars(module)) == eval(expression, fresh)


FOUND = {
    "an added class reads the new constant": ("C = 1\n", "C = 2\nclass A:\n    level = (C, 0)\n", "A.level"),
    "an added default reads the new constant": (
        "C = 1\nclass A:\n    pass\n",
        "C = 2\nclass A:\n    def f(self, a=C):\n        return a\n",
        "A().f()",
    ),
    "an added attribute reads the new constant": ("C = 1\nclass A:\n    pass\n", "C = 2\nclass A:\n    level = C\n", "A.level"),
    "an added comprehension reads the new constant": ("C = 1\n", "C = 2\nD = [C for _ in (1,)]\n", "D"),
    "a lambda with another body and a default that a constant gives": (
        "C = 2\nf = lambda b=C: (1, b)\n",
        "C = 1\nf = lambda b=C: (0, b)\n",
        "f()",
    ),
    "a lambda with another body and default": ("f = lambda b=2: (0, b)\n", "f = lambda b=1: (1, b)\n", "f()"),
    "an added function that calls into an imported module": (
        "import math\n",
        "import math\ndef f():\n    return math.floor(1.5)\n",
        "f()",
    ),
    "a text made from the module's own names": ("A = 'x'\nB = '%(A)s' % locals()\n", "A = 'y'\nB = '%(A)s' % locals()\n", "B"),
    "names of an import in another order": (
        "from math import pi, tau\n",
        "from math import tau, pi\ndef f():\n    return 1\n",
        "f()",
    ),
}


NAMED = {
    "a lambda with another body and a default that a constant gives",
    "a text made from the module's own names",
}


@pytest.mark.parametrize("case", FOUND)
def test_found_by_edits(here: Path, case: str) -> None:
    """Each was a generated module once, made small."""
    if case in NAMED:
        _, patch, _ = live_of(here, *FOUND[case][:2])
        assert [f.code for f in patch.left_out] == ["value-computed"]
    else:
        equal(here, *FOUND[case])
