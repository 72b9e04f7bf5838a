"""Generated modules: live, a patch gives what a fresh run of the new source gives; its revert is the identity."""

from __future__ import annotations

import importlib
import itertools
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import suture
from suture.engine.facts import fingerprint
from suture.ops.build import build

HEAD = """import functools
import contextlib
def keeps(f):
    @functools.wraps(f)
    def wrapper(*args, **kwargs):
        return ["kept", f(*args, **kwargs)]
    return wrapper
"""


@dataclass(frozen=True)
class Part:
    """
    One definition of a generated module.

    Attributes:
        kind: Its shape, a key of SHAPES.
        name: Its name.
        body: What its body returns, an expression of small numbers.
        default: Default of its positional parameter; None: it has none.
        named: Default of its keyword-only parameter.
        doc: Its documentation, or "".
        decorated: Under a decorator that wraps.
    """

    kind: str
    name: str
    body: str
    default: int | None
    named: int
    doc: str
    decorated: bool

    def text(self) -> str:
        """Its source."""
        positional = "a" if self.default is None else f"a={self.default}"
        doc = f"    {self.doc!r}\n" if self.doc else ""
        deco = "@keeps\n" if self.decorated else ""
        return SHAPES[self.kind].format(
            name=self.name, args=f"{positional}, *, k={self.named}", body=self.body, doc=doc, deco=deco, number=self.named
        )


# Each has a way to be called, in CALLS; `deco` stands where a decorator may.
SHAPES = {
    "function": "{deco}def {name}({args}):\n{doc}    return {body}, a, k\n",
    "generator": "def {name}({args}):\n{doc}    yield {body}\n    yield a, k\n",
    "coroutine": "async def {name}({args}):\n{doc}    return {body}, a, k\n",
    "closure": "def {name}({args}):\n{doc}    def inner(x):\n        return x, {body}, a, k\n    return inner\n",
    "nested": (
        "def {name}({args}):\n{doc}    def middle(x):\n        def inner(y):\n            return x, y, {body}, a, k\n"
        "        return inner\n    return middle\n"
    ),
    "lambda": "def {name}({args}):\n{doc}    return (lambda x: (x, {body}, a, k))\n",
    "comprehension": "def {name}({args}):\n{doc}    return [(i, {body}, a, k) for i in range(2)]\n",
    "handler": "def {name}({args}):\n{doc}    try:\n        return 1 // 0\n    except ZeroDivisionError:\n        return {body}, a, k\n",
    "constant": "{name} = {number}\n",
    "text": "{name} = 'text {number}'\n",
    "class": (
        "class {name}:\n    LIMIT = {number}\n    def __init__(self, a=0):\n        self.a = a\n"
        "    def method(self, {args}):\n    {doc}        return {body}, a, k, self.a, self.LIMIT\n"
        "    @property\n    def size(self):\n        return {body}, self.a\n"
        "    @classmethod\n    def make(cls, {args}):\n        return cls.__name__, {body}, a, k\n"
        "    @staticmethod\n    def plain({args}):\n        return {body}, a, k\n"
        "    def rows(self):\n        yield {body}\n"
        "    def __private(self):\n        return {body}\n"
        "    def private(self):\n        return self.__private(), __class__.__name__\n"
    ),
    "context": "@contextlib.contextmanager\ndef {name}({args}):\n{doc}    yield {body}, a, k\n",
}


def call(value: Any, kind: str, held: Any = None) -> Any:
    """What a definition does, in plain data; *held* is what an earlier call made of it."""
    if kind in ("constant", "text"):
        return value
    if kind == "class":
        o = value(7) if held is None else held
        return o.method(1), o.method(1, k=9), o.size, value.make(1), value.plain(1), list(o.rows()), o.private(), value.LIMIT
    made = value(1)
    if kind == "generator":
        return list(made), list(value(1, k=9))
    if kind == "coroutine":
        try:
            made.send(None)
        except StopIteration as stop:
            return stop.value
    if kind in ("closure", "lambda"):
        return made(5)
    if kind == "nested":
        return made(5)(6)
    if kind == "context":
        with made as inside:
            return inside
    return made, value(1, k=9)


def hold(module: Any, parts: list[Part]) -> dict[str, Any]:
    """What a program keeps: functions, bound methods, instances, closures, partials."""
    held: dict[str, Any] = {}
    for part in parts:
        value = vars(module)[part.name]
        if part.kind == "class":
            o = value(7)
            held[part.name] = (value, o, o.method, partial(o.method, 1))
        elif part.kind in ("closure", "lambda", "nested"):
            held[part.name] = (value, value(1))
        elif part.kind not in ("constant", "text"):
            held[part.name] = (value, partial(value, 1))
    return held


BODIES = st.sampled_from(
    ["1", "a", "a + k", "[a, k]", "(a or 2) * 3", "sum([a, k, 1])", "f'{a}-{k}'", "{'a': a}", "-a", "len(str(k))"]
)
WITHOUT = {"class": ["1", "[2]", "'three'", "sum([4])", "(5, 6)"]}


@st.composite
def parts(draw: Any) -> tuple[list[Part], list[Part]]:
    """A module, and the module with some of it changed and some added."""
    before = []
    for i in range(draw(st.integers(1, 5))):
        before.append(draw(part(f"d{i}")))
    after = [draw(changed(p)) if draw(st.booleans()) else p for p in before]
    added = [draw(part(f"new{i}")) for i in range(draw(st.integers(0, 2)))]
    return before, after + added


def body(kind: str) -> st.SearchStrategy[str]:
    return st.sampled_from(WITHOUT[kind]) if kind in WITHOUT else BODIES


@st.composite
def part(draw: Any, name: str) -> Part:
    kind = draw(st.sampled_from(KINDS))
    return Part(
        kind,
        name.upper() if kind in ("constant", "text") else name,
        draw(body(kind)),
        draw(st.none() | st.integers(0, 3)),
        draw(st.integers(0, 3)),
        draw(st.sampled_from(["", "Words.", "Others."])),
        draw(st.booleans()),
    )


@st.composite
def changed(draw: Any, old: Part) -> Part:
    """Another body, defaults or documentation; never another kind or decorator."""
    return replace(
        old,
        body=draw(body(old.kind)),
        default=draw(st.none() | st.integers(0, 3)),
        named=draw(st.integers(0, 3)),
        doc=draw(st.sampled_from(["", "Words.", "Others."])),
    )


def source(parts: list[Part]) -> str:
    return HEAD + "".join(p.text() for p in parts)


def spaces(module: Any) -> Iterator[tuple[str, Any]]:
    """The module's dictionary and its classes', by name."""
    yield "", vars(module)
    yield from ((f"{k}.", dict(vars(v))) for k, v in vars(module).items() if type(v) is type)


def unwrapped(value: Any) -> Iterator[types.FunctionType]:
    """The functions that a name stands for."""
    if isinstance(value, types.FunctionType):
        yield value
        if hasattr(value, "__wrapped__"):
            yield from unwrapped(value.__wrapped__)
    elif isinstance(value, (staticmethod, classmethod)):
        yield value.__func__
    elif isinstance(value, property):
        yield from (f for f in (value.fget, value.fset, value.fdel) if f is not None)


def prints(module: Any) -> dict[str, Any]:
    """Code, defaults and documentation of every function by name, and every plain value."""
    out: dict[str, Any] = {}
    for prefix, space in spaces(module):
        for name, value in space.items():
            for depth, f in enumerate(unwrapped(value)):
                out[f"{prefix}{name}/{depth}"] = (fingerprint(f.__code__), f.__defaults__, f.__kwdefaults__, f.__doc__)
            if type(value) in (int, str) and not name.startswith("__"):
                out[prefix + name] = value
    return out


def state(module: Any, held: dict[str, Any]) -> list[Any]:
    """Everything by identity but code, which comes back as an equal copy."""
    out: list[Any] = []
    functions = [f for _, space in spaces(module) for v in space.values() for f in unwrapped(v)]
    functions += [f for values in held.values() for f in values if isinstance(f, types.FunctionType)]
    for prefix, space in spaces(module):
        out += [(prefix, k, id(v)) for k, v in space.items() if k != "__annotations__"]
    for f in functions:
        attributes = {k: id(v) for k, v in vars(f).items()}
        out.append((id(f), fingerprint(f.__code__), f.__code__, id(f.__closure__), f.__doc__, f.__qualname__, attributes))
        out.append((id(f.__defaults__), f.__kwdefaults__ and {k: id(v) for k, v in f.__kwdefaults__.items()}, id(f.__globals__)))
    return out


KINDS = sorted(SHAPES)
NUMBER = itertools.count()


class Live:
    """A generated module in this process, its patch, and what it would be afresh."""

    def __init__(self, root: Path, before: list[Part], after: list[Part]) -> None:
        self.before, self.after = before, after
        self.name = f"generated_{next(NUMBER)}"
        folders = [root / f"{self.name}_{side}" for side in ("old", "new")]
        for folder, side in zip(folders, (before, after), strict=True):
            folder.mkdir()
            (folder / f"{self.name}.py").write_text(source(side))
        self.patch = build(*folders, name="p")
        (root / f"{self.name}.py").write_text(source(before))
        importlib.invalidate_caches()
        self.module = importlib.import_module(self.name)
        self.held = self.module.HELD = hold(self.module, before)

    def fresh(self, parts: list[Part]) -> types.ModuleType:
        """What a process that starts with this source has."""
        made = types.ModuleType(self.name)
        exec(compile(source(parts), f"{self.name}.py", "exec", dont_inherit=True), vars(made))
        return made

    def does(self, parts: list[Part], module: Any = None) -> dict[str, Any]:
        """What all of it does, and what is held does."""
        space = vars(module or self.module)
        return {p.name: call(space[p.name], p.kind) for p in parts}

    def forget(self) -> None:
        del sys.modules[self.name]


LAWS = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@LAWS
@given(parts())
def test_apply_is_a_fresh_run_and_revert_the_identity(here: Path, sides: tuple[list[Part], list[Part]]) -> None:
    """Behaviour and code equal those of the new source run afresh; after the revert every object is the one that it was."""
    live = Live(here, *sides)
    try:
        old, new = live.fresh(live.before), live.fresh(live.after)
        assert prints(live.module) == prints(old)
        was, does = state(live.module, live.held), live.does(live.before)
        if not live.patch.changes:
            return
        assert not live.patch.left_out, live.patch.left_out
        planned = suture.plan(live.patch)
        assert planned.ok, planned.words()
        assert state(live.module, live.held) == was
        for _ in range(2):
            report = suture.apply(live.patch)
            assert report.ok, report.words()
            assert live.does(live.after) == live.does(live.after, new)
            assert prints(live.module) == prints(new)
            for name, values in live.held.items():
                kind = next(p.kind for p in live.after if p.name == name)
                assert values[0] is vars(live.module)[name]
                if kind == "class":
                    assert call(values[0], kind, values[1]) == call(vars(new)[name], kind)
                    assert (values[2](1), values[3]()) == (vars(new)[name](7).method(1),) * 2
                elif kind == "nested" and "closures-left" not in {f.code for f in report.findings}:
                    # Values that a cell holds were computed by the old call: code follows, and they stay.
                    assert fingerprint(values[1].__code__) == fingerprint(vars(new)[name](1).__code__)
            back = suture.revert(report.patch_id)
            assert back.ok, back.words()
            assert live.does(live.before) == does
            assert prints(live.module) == prints(old)
            assert state(live.module, live.held) == was
    finally:
        for report in reversed(suture.status()):
            suture.revert(report.patch_id)
        live.forget()


@LAWS
@given(parts(), st.integers(0, 4), st.sampled_from(["code", "value", "name", "evaluation", "kind"]))
def test_refused_patch_is_the_identity(here: Path, sides: tuple[list[Part], list[Part]], at: int, how: str) -> None:
    """Whatever makes it be refused, not one object is another one; with that mended it goes in, and out."""
    before, after = sides
    function = Part("function", "target", "1", 0, 1, "", False)
    constant = Part("constant", "TARGET", "1", None, 1, "", False)
    before = [*before, function, constant]
    after = [*after, replace(function, body="2"), replace(constant, named=2)]
    if how == "name":
        after = [*after, Part("constant", "ADDED", "1", None, 5, "", False)]
    if how == "evaluation":
        after = [*after, Part("raw", "raises", "1", None, 0, "", False)]
    if how == "kind":
        after[after.index(replace(function, body="2"))] = replace(function, kind="generator")
    live = Live(here, before, after)
    try:
        module = live.module
        if how == "code":
            module.target.__code__ = (lambda a=0, *, k=1: "foreign").__code__.replace(co_name="target")
        elif how == "value":
            module.TARGET = 99
        elif how == "name":
            module.ADDED = object()
        was, does = state(module, live.held), live.does(before)
        want = {
            "code": "conflict",
            "value": "conflict",
            "name": "already-defined",
            "evaluation": "evaluation-failed",
            "kind": "kind-changed",
        }[how]
        for verb in (suture.plan, suture.apply) if how != "evaluation" else (suture.apply,):
            report = verb(live.patch, partial=how == "kind")
            assert not report.ok
            assert want in {f.code for f in report.findings}, report.words()
            assert state(module, live.held) == was
            assert live.does(before) == does
            assert suture.status() == ()
    finally:
        live.forget()


SHAPES["raw"] = "{name} = 1 // 0\n"
