"""All that can fail first, the commit when the caller says so."""

from __future__ import annotations

import types
from typing import Any

import pytest

import suture
from suture import loading
from suture.engine.process import Engine
from suture.report import State

OLD = """
    LIMIT = 1
    def f(a=1):
        return a, LIMIT
    class A:
        def m(self):
            return 'old'
"""
NEW = """
    LIMIT = 1
    def helper(x):
        return x + 1
    def f(a=2):
        return helper(a), LIMIT
    class A:
        def m(self):
            return 'new'
"""


@pytest.fixture
def engine() -> Engine:
    return loading.load()


def looks(m: Any) -> list[Any]:
    return [id(m.f), id(m.f.__code__), id(m.f.__defaults__), id(m.A.m.__code__), sorted(vars(m)), m.f(), m.A().m()]


def test_prepared_changes_nothing_and_commits_whole(world: Any, engine: Engine) -> None:
    """What was added is evaluated, and not yet there."""
    m = world.module(OLD)
    patch = world.patch(NEW)
    before = looks(m)
    report, prepared = engine.prepare(patch)
    assert report.ok and report.state is State.PREPARED and prepared is not None, report.words()
    assert {r.status for r in report.changed} == {"planned"}
    assert looks(m) == before and suture.status() == ()
    done = prepared.commit()
    assert done.ok and done.state is State.COMMITTED and done.patch_id == report.patch_id
    assert (m.f(), m.A().m()) == ((3, 1), "new")
    assert done.drained.done() and done.inside_old == 0
    again = prepared.commit()
    assert not again.ok and [f.code for f in again.findings] == ["prepared-over"]
    assert suture.revert(patch.id).ok
    assert (m.f(), m.A().m()) == ((1, 1), "old")
    assert "helper" not in vars(m)


def test_discarded_it_never_was(world: Any, engine: Engine) -> None:
    m = world.module(OLD)
    before = looks(m)
    report, prepared = engine.prepare(world.patch(NEW))
    assert prepared is not None
    prepared.discard()
    prepared.discard()
    assert looks(m) == before
    assert [f.code for f in prepared.commit().findings] == ["prepared-over"]
    assert looks(m) == before


@pytest.mark.parametrize("what", ["code", "defaults", "name", "patch"])
def test_what_moves_meanwhile_is_found_at_the_commit(world: Any, engine: Engine, what: str) -> None:
    """Nothing is locked between the two: whatever else was done there stops the commit, before its first store."""
    m = world.module(OLD)
    patch = world.patch(NEW)
    _, prepared = engine.prepare(patch)
    assert prepared is not None
    if what == "code":
        m.A.m.__code__ = m.A.m.__code__.replace()
    elif what == "defaults":
        m.f.__defaults__ = (7,)
    elif what == "name":
        m.helper = None
    else:
        assert suture.apply(patch).ok
    before = looks(m) if what != "name" else [m.helper, m.f(), m.A().m()]
    done = prepared.commit()
    assert not done.ok and done.state is State.REFUSED
    assert [f.code for f in done.findings if f.severity == "error"] == ["moved-meanwhile"]
    assert (looks(m) if what != "name" else [m.helper, m.f(), m.A().m()]) == before


def test_two_may_be_prepared_and_the_first_to_commit_wins(world: Any, engine: Engine) -> None:
    m = world.module(OLD)
    one, two = world.patch(NEW), world.patch(NEW.replace("'new'", "'newer'"))
    _, first = engine.prepare(one)
    _, second = engine.prepare(two)
    assert first is not None and second is not None
    assert second.commit().ok
    assert not first.commit().ok
    assert m.A().m() == "newer"


def test_what_is_refused_or_live_is_not_prepared(world: Any, engine: Engine) -> None:
    m = world.module(OLD)
    patch = world.patch(NEW)
    assert suture.apply(patch).ok
    report, prepared = engine.prepare(patch)
    assert report.ok and prepared is None and report.state is State.COMMITTED
    assert suture.revert(patch.id).ok
    m.f = types.FunctionType((lambda: 9).__code__, {})
    report, prepared = engine.prepare(patch)
    assert not report.ok and prepared is None and report.state is State.REFUSED
