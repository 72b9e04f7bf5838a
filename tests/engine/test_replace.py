"""Patches over patches, with closures that are alive: one built from the first source replaces, one built on top stacks."""

from __future__ import annotations

import itertools
import random
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

import suture
from suture.engine import account, process, walk
from suture.engine.facts import fingerprint
from suture.engine.pace import Pace
from suture.report import Report

# Three functions deep; each has live ones that an ended call has made, and a sibling that patch A changes and B doesn't.
SOURCE = """
    def outer(k):
        tag = 'outer 0'
        def middle(x):
            tag2 = 'middle 0'
            def inner(y):
                return 'inner 0', k, x, y
            return inner, tag2
        return middle, tag
    def other():
        return 'other 0'
    LIMIT = 0
    middle, _ = outer(1)
    inner, _ = middle(2)
"""


def source(outer: int = 0, middle: int = 0, inner: int = 0, other: int = 0, limit: int = 0) -> str:
    """The program at these versions of its parts."""
    text = SOURCE.replace("'outer 0'", f"'outer {outer}'").replace("'middle 0'", f"'middle {middle}'")
    text = text.replace("'inner 0'", f"'inner {inner}'").replace("'other 0'", f"'other {other}'")
    return text.replace("LIMIT = 0", f"LIMIT = {limit}")


A = {"outer": 1, "inner": 1, "other": 1}
B = {"outer": 2, "inner": 2, "middle": 2}  # from the first source: covers A's function, not A's `other`
C = {**A, "outer": 3, "middle": 3}  # on top of A
D = {**A, "inner": 4}  # on top of A as well; changes what C leaves alone
ALL = {"outer": 5, "inner": 5, "other": 5}  # from the first source: covers all of A


class Program:
    """The program, live, with closures of each generation."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.m = world.module(SOURCE)
        self.middles = self.m.middles = [self.m.middle]
        self.inners = self.m.inners = [self.m.inner]
        self.functions = [self.m.outer, self.m.other]

    def patch(self, base: dict[str, int], to: dict[str, int]) -> Any:
        """A patch from one version to another."""
        self.world.becomes(source(**base))
        return self.world.patch(source(**to))

    def make(self) -> None:
        """Closures made by the code that is live now."""
        middle, _ = self.m.outer(1)
        self.middles.append(middle)
        self.inners.append(middle(2)[0])
        self.inners.append(self.middles[0](2)[0])

    def versions(self) -> dict[str, int]:
        """What it runs; all holders of a part agree, or this says so."""
        found = {
            "outer": {self.m.outer(1)[1]},
            "middle": {m(2)[1] for m in [*self.middles, self.m.outer(1)[0]]},
            "inner": {i(3)[0] for i in [*self.inners, self.m.outer(1)[0](2)[0], *(m(2)[0] for m in self.middles)]},
            "other": {self.m.other()},
            "limit": {f"limit {self.m.LIMIT}"},
        }
        assert all(len(v) == 1 for v in found.values()), found
        assert all(i(3)[1:] == (1, 2, 3) for i in self.inners)
        assert [self.m.outer, self.m.other] == self.functions
        return {k: int(v.pop().split()[1]) for k, v in found.items()}

    def runs(self, **parts: int) -> bool:
        """True if it is at these versions, the rest at 0."""
        return self.versions() == {"outer": 0, "middle": 0, "inner": 0, "other": 0, "limit": 0, **parts}

    def contents(self) -> list[Any]:
        """Every code object and value, by identity: what a refusal may not change."""
        everything = [*self.functions, *self.middles, *self.inners]
        return [(f, f.__code__, f.__defaults__, f.__closure__) for f in everything] + [vars(self.m).copy()]


@pytest.fixture
def alone(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No rests, and looks at the throwaway modules alone, not at the test's own process."""
    monkeypatch.setattr(process, "Pace", partial(Pace, rests=False))
    monkeypatch.setattr(account.census, "holders", lambda functions, rest, **_: {})
    monkeypatch.setattr(walk, "module_roots", lambda: [(name, vars(sys.modules[name])) for name in world.modules])
    monkeypatch.setattr(walk, "frame_roots", lambda: [])


@pytest.fixture
def program(world: Any, alone: None) -> Iterator[Program]:
    """The program at version 0, with closures."""
    yield Program(world)
    for report in reversed(suture.status()):
        suture.revert(report.patch_id)
    assert not suture.status()


def goes_in(report: Report) -> Report:
    assert report.ok, report.words()
    assert not {"closures-left", "closures-unaccounted"} & {f.code for f in report.findings}, report.words()
    return report


def comes_out(patch_id: str) -> None:
    report = suture.revert(patch_id)
    assert report.ok, report.words()
    assert not {"closures-left", "changed-since"} & {f.code for f in report.findings}, report.words()


def refused(program: Program, ask: Callable[[], Report], code: str) -> None:
    """It says no with that code; not a single object is another one, and the live patches are the same."""
    before, live, versions = program.contents(), suture.status(), program.versions()
    report = ask()
    assert not report.ok, report.words()
    assert code in {f.code for f in report.findings}, report.words()
    for was, now in zip(before, program.contents(), strict=True):
        if isinstance(was, dict):
            assert list(was) == list(now)
            assert all(was[k] is now[k] for k in was)
        else:
            assert all(a is b for a, b in zip(was, now, strict=True))
    assert [r.patch_id for r in suture.status()] == [r.patch_id for r in live]
    assert program.versions() == versions


def ids() -> list[str]:
    return [r.patch_id for r in suture.status()]


def test_live_closures_follow_and_go_back(program: Program) -> None:
    """Those that exist, those made under the patch and those made after it run what the source says at each time."""
    assert program.runs()
    a = program.patch({}, A)
    for _ in range(3):
        goes_in(suture.apply(a))
        program.make()
        assert program.runs(**A)
        comes_out(a.id)
        program.make()
        assert program.runs()


def test_overlap_is_refused_and_replace_puts_the_rest_back(program: Program) -> None:
    """B, from the first source, covers a part of A: refused; with replace=True A's other changes go back in the same step."""
    a, b = program.patch({}, A), program.patch({}, B)
    goes_in(suture.apply(a))
    program.make()
    refused(program, lambda: suture.apply(b), "overlap")
    refused(program, lambda: suture.plan(b), "overlap")
    goes_in(suture.apply(b, replace=True))
    program.make()
    assert program.runs(**B)
    assert ids() == [b.id]
    refused(program, lambda: suture.revert(a.id), "patch-unknown")


@pytest.mark.parametrize("made", ["before", "under the older", "under the newer"])
@pytest.mark.parametrize("whole", [True, False])
def test_revert_of_what_replaced(program: Program, whole: bool, made: str) -> None:
    """It leads to before the older patch, whenever a closure was made."""
    a, newer = program.patch({}, A), program.patch({}, ALL if whole else B)
    goes_in(suture.apply(a))
    if made == "under the older":
        program.make()
    goes_in(suture.apply(newer, replace=not whole))
    if made == "under the newer":
        program.make()
    assert program.runs(**(ALL if whole else B))
    comes_out(newer.id)
    program.make()
    assert program.runs()
    goes_in(suture.apply(a))
    assert program.runs(**A)


def test_whole_cover_replaces_unasked(program: Program) -> None:
    """A patch from the first source that covers all of A takes its place."""
    a, whole = program.patch({}, A), program.patch({}, ALL)
    goes_in(suture.apply(a))
    program.make()
    goes_in(suture.apply(whole))
    program.make()
    assert program.runs(**ALL)
    assert ids() == [whole.id]


def test_stacked_patch_holds_the_one_beneath(program: Program) -> None:
    """C stands on A: A can't come out first, C comes out alone and leaves A, and then A comes out."""
    a, c = program.patch({}, A), program.patch(A, C)
    goes_in(suture.apply(a))
    program.make()
    goes_in(suture.apply(c))
    program.make()
    assert program.runs(**C)
    refused(program, lambda: suture.revert(a.id), "beneath")
    comes_out(c.id)
    program.make()
    assert program.runs(**A)
    goes_in(suture.apply(c))
    program.make()
    assert program.runs(**C)
    comes_out(c.id)
    comes_out(a.id)
    program.make()
    assert program.runs()


@pytest.mark.parametrize("order", list(itertools.permutations("ACD")))
def test_reverts_in_every_order(program: Program, order: tuple[str, ...]) -> None:
    """A, C on A, and inner's change on both: only the topmost comes out; every other order is refused with nothing changed."""
    both = {**C, "inner": 4}
    patches = {"A": program.patch({}, A), "C": program.patch(A, C), "D": program.patch(C, both)}
    for patch in patches.values():
        goes_in(suture.apply(patch))
        program.make()
    assert program.runs(**both)
    on, left = [A, C, both], ["A", "C", "D"]
    for name in order:
        if name == left[-1]:
            comes_out(patches[name].id)
            left.pop()
            on.pop()
            program.make()
            assert program.runs(**(on[-1] if on else {}))
        else:
            refused(program, lambda: suture.revert(patches[name].id), "beneath" if name in left else "patch-unknown")
    for name in reversed(left):
        comes_out(patches[name].id)
    program.make()
    assert program.runs()


def test_patch_on_another_base(program: Program) -> None:
    """C needs A beneath it.  D, built on what C replaced and covering C, takes its place, and A stays beneath."""
    a, c, d = program.patch({}, A), program.patch(A, C), program.patch(A, D)
    refused(program, lambda: suture.apply(c), "conflict")
    refused(program, lambda: suture.apply(d), "conflict")
    goes_in(suture.apply(a))
    goes_in(suture.apply(c))
    assert program.runs(**C)
    goes_in(suture.apply(d))
    assert program.runs(**D)
    assert ids() == [a.id, d.id]
    refused(program, lambda: suture.revert(a.id), "beneath")
    comes_out(d.id)
    assert program.runs(**A)
    comes_out(a.id)
    assert program.runs()


def test_replacing_beneath_a_stacked_patch(program: Program) -> None:
    """B is built from what A replaced, while C stands on A: whatever is said, no half of any of them is left."""
    a, b, c = program.patch({}, A), program.patch({}, B), program.patch(A, C)
    goes_in(suture.apply(a))
    goes_in(suture.apply(c))
    program.make()
    for replace in (False, True):
        before = program.versions()
        report = suture.apply(b, replace=replace)
        if report.ok:
            program.make()
            assert program.runs(**B)
            for patch_id in reversed(ids()):
                comes_out(patch_id)
            break
        assert program.versions() == before
        assert ids() == [a.id, c.id]
    else:
        comes_out(c.id)
        comes_out(a.id)
    program.make()
    assert program.runs()


def test_codes_are_what_the_source_says(program: Program) -> None:
    """After each step the live code of every function equals a fresh compile of the source it stands for."""

    def fresh(**parts: int) -> dict[str, Any]:
        space: dict[str, Any] = {}
        exec(compile(textwrap.dedent(source(**parts)), "fresh", "exec", dont_inherit=True), space)
        return {k: fingerprint(v.__code__) for k, v in space.items() if isinstance(v, types.FunctionType)}

    def live() -> dict[str, Any]:
        return {k: fingerprint(v.__code__) for k, v in vars(program.m).items() if isinstance(v, types.FunctionType)}

    a, b, c = program.patch({}, A), program.patch({}, B), program.patch(A, C)
    assert live() == fresh()
    goes_in(suture.apply(a))
    assert live() == fresh(**A)
    goes_in(suture.apply(c))
    assert live() == fresh(**C)
    comes_out(c.id)
    assert live() == fresh(**A)
    goes_in(suture.apply(b, replace=True))
    assert live() == fresh(**B)
    comes_out(b.id)
    assert live() == fresh()


def test_cumulative_patch_with_a_constant(program: Program) -> None:
    """A constant that the older patch changed is no conflict for one from the first source that changes it too."""
    older, newer = program.patch({}, {"other": 1, "limit": 1}), program.patch({}, {"other": 2, "limit": 2})
    goes_in(suture.apply(older))
    assert program.runs(other=1, limit=1)
    goes_in(suture.apply(newer))
    assert program.runs(other=2, limit=2)
    assert ids() == [newer.id]
    comes_out(newer.id)
    assert program.runs()


def test_old_inner_code_ends(program: Program) -> None:
    """With nobody inside, the inner code that a patch on two others replaces is gone at once."""
    reports = []
    for base, to in (({}, A), (A, C), (C, {**C, "inner": 4})):
        reports.append(goes_in(suture.apply(program.patch(base, to))))
        program.make()
    assert [(r.inside_old, r.drained.left()) for r in reports] == [(0, 0)] * 3


@pytest.mark.parametrize("seed", range(8))
def test_any_sequence_leaves_one_layer(program: Program, seed: int) -> None:
    """After whatever was applied, replaced and reverted, what runs is what the live patches say; old code has ended."""
    choose = random.Random(seed)
    both, limited = {**C, "inner": 4}, {"other": 6, "limit": 6}
    steps = [({}, A), ({}, B), ({}, ALL), ({}, limited), (A, C), (A, D), (C, both), (A, {**A, "limit": 7})]
    patches = [(program.patch(base, to), base, to) for base, to in steps]
    known = {patch.id: (base, to) for patch, base, to in patches}
    refusals = 0
    for _ in range(30):
        live, was = ids(), program.versions()
        if live and choose.random() < 0.35:
            report = suture.revert(choose.choice(live))
        else:
            report = suture.apply(choose.choice(patches)[0], replace=choose.random() < 0.5)
        if report.ok:
            assert not {"closures-left", "closures-unaccounted", "changed-since"} & {f.code for f in report.findings}, (
                report.words()
            )
            if report.drained:
                assert report.drained.left() == 0, report.words()
        else:
            refusals += 1
            assert (ids(), program.versions()) == (live, was), report.words()
        if choose.random() < 0.6:
            program.make()
        here: dict[str, int] = {}
        for patch_id in ids():  # a part is what the topmost patch that changes it makes of it
            base, to = known[patch_id]
            here |= {part: version for part, version in to.items() if version != base.get(part, 0)}
        assert program.runs(**here), report.words()
    assert 0 < refusals < 30


CELLS = """
    def outer(k):
        def inner(y):
            return 'inner 0', k, y
        return inner
    held = [outer(1)]
"""


def test_closures_with_other_cells_follow(world: Any, alone: None) -> None:
    """Inner code that uses fewer cells is made to fit those that exist; they follow a second patch, and go all the way back."""
    m = world.module(CELLS)
    fewer, again = CELLS.replace("'inner 0', k, y", "'inner 1', y"), CELLS.replace("'inner 0', k, y", "'inner 2', y")
    a = world.patch(fewer)
    world.becomes(fewer)
    b = world.patch(again)

    def calls() -> list[Any]:
        return [f(5) for f in (*m.held, m.outer(1))]

    for _ in range(2):
        goes_in(suture.apply(a))
        assert calls() == [("inner 1", 5)] * 2
        goes_in(suture.apply(b))
        assert calls() == [("inner 2", 5)] * 2
        comes_out(b.id)
        assert calls() == [("inner 1", 5)] * 2
        comes_out(a.id)
        assert calls() == [("inner 0", 1, 5)] * 2


@pytest.mark.parametrize("helper", ["1", "2"])
def test_cumulative_patch_with_an_addition(world: Any, alone: None, helper: str) -> None:
    """What the older patch added, or made the same, is neither in the way of one from the first source nor lost with it."""
    text = "def f():\n    return 'f 0'\ndef g():\n    return 'g 0'\nLIMIT = 0\n"
    m = world.module(text)
    added = "def helper():\n    return 'helper 1'\n"
    one = text.replace("'f 0'", "'f 1', helper()").replace("'g 0'", "'g 1'").replace("LIMIT = 0", "LIMIT = 1") + added
    older = world.patch(one)
    newer = world.patch(one.replace("'f 1'", "'f 2'").replace("helper 1", f"helper {helper}"))
    goes_in(suture.apply(older))
    assert (m.f(), m.g(), m.LIMIT) == (("f 1", "helper 1"), "g 1", 1)
    goes_in(suture.apply(newer))
    assert ids() == [newer.id]
    assert (m.f(), m.g(), m.LIMIT) == (("f 2", f"helper {helper}"), "g 1", 1)
    comes_out(newer.id)
    assert (m.f(), m.g(), m.LIMIT, hasattr(m, "helper")) == ("f 0", "g 0", 0, False)


def test_cumulative_patch_with_lambdas(world: Any, alone: None) -> None:
    """Functions that a statement makes are replaced by a patch from the first source, as named ones are."""
    text = "T = {'a': lambda: 'a 0', 'b': lambda: 'b 0'}\n"
    m = world.module(text)
    one = text.replace("a 0", "a 1").replace("b 0", "b 1")
    older, newer = world.patch(one), world.patch(one.replace("a 1", "a 2"))
    goes_in(suture.apply(older))
    goes_in(suture.apply(newer))
    assert (ids(), m.T["a"](), m.T["b"]()) == ([newer.id], "a 2", "b 1")
    comes_out(newer.id)
    assert (m.T["a"](), m.T["b"]()) == ("a 0", "b 0")
