"""A fault at any step leaves the same objects with the same contents; a refusal writes nothing."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import suture
from suture import loading
from suture.patch import Change, Expect, Kind, Patch, Scope, Target

OLD = """
    import functools
    LIMIT = 1
    SIZE = LIMIT * 10
    TABLE = {'a': LIMIT, 'in': [LIMIT], 'of': {LIMIT}}
    ran = []
    def note(x):
        ran.append(x)
    def f(a=1, *, b=2):
        'old'
        return a, b, LIMIT
    def d(a=LIMIT):
        return a
    class A:
        kind = 'old'
        def m(self):
            return 'old'
        def over(self):
            return 'base'
    class B(A):
        def over(self):
            return 'old'
    def make(k):
        def inner(x):
            return x * k
        return inner
    held = make(3)
"""
NEW = """
    import functools
    import json
    from {prefix}more import thing
    LIMIT = 2
    SIZE = LIMIT * 10
    TABLE = {{'a': LIMIT, 'in': [LIMIT], 'of': {{LIMIT}}}}
    ran = []
    def note(x):
        ran.append(x)
    def helper():
        return json.dumps(LIMIT)
    def f(a=10, *, b=20):
        'new'
        return a, b, LIMIT, helper()
    @functools.lru_cache
    def d(a=LIMIT):
        return a
    class A:
        kind = 'new'
        def m(self):
            return 'new', super().__repr__
        def over(self):
            return 'base'
        def n(self):
            return 1
    class B(A):
        pass
    def make(k):
        def inner(x):
            return x * k + 1
        return inner
    held = make(3)
    note(LIMIT)  # suture: run-once
"""
MORE = "thing = 1\n"
STEPS = ["read", "compile", "resolve", "judge", "fit", "evaluate", "evaluate-first", "guard", "act", "intend", "commit"]
BEFORE_IT_RUNS = STEPS[: STEPS.index("act") + 1]


def patch_of(world: Any) -> Patch:
    """Something of all that a patch can carry: code, defaults, values, tables, a decorator, additions, a removal, a new module."""
    patch: Patch = world.patch({"m": NEW.format(prefix=world.prefix), "more": MORE})
    assert not patch.left_out, patch.left_out
    assert {c.decision.rule for c in patch.changes if c.decision} >= {"run-once", "evaluate", "merge", "decorate", "remove"}
    assert {c.kind for c in patch.changes} >= {Kind.MODULE, Kind.STATEMENT}
    return patch


def fingerprint(m: Any) -> dict[str, Any]:
    """Identity of everything the module has, and of everything inside its functions and classes."""
    out: dict[str, Any] = {k: id(v) for k, v in vars(m).items() if k != "__builtins__"}
    for name, function in [("f", m.f), ("A.m", m.A.m), ("make", m.make), ("held", m.held)]:
        for field in ("__code__", "__defaults__", "__kwdefaults__", "__doc__"):
            out[f"{name}.{field}"] = id(getattr(function, field))
        out[f"{name}.__dict__"] = dict(vars(function))
    for name in ("A", "B"):
        cls = getattr(m, name, None)
        out[name] = cls and {k: id(v) for k, v in vars(cls).items() if k not in ("__dict__", "__weakref__")}
    table = getattr(m, "TABLE", {})
    out["TABLE"] = [(k, id(v), list(v) if type(v) in (list, set) else v) for k, v in table.items()]
    out["sys.modules"] = sorted(n for n in sys.modules if n.startswith("w"))
    return out


class Injected(BaseException):
    """Nobody may swallow it."""


@pytest.mark.parametrize("kind", [Injected, KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("step", STEPS)
def test_fault_at_a_step(world: Any, step: str, kind: type[BaseException]) -> None:
    """Whatever is raised at whatever step: every target is the same object with the same contents, and it can be tried again."""
    m = world.module(OLD)
    patch = patch_of(world)
    engine = loading.load()
    before = fingerprint(m)

    def fail(name: str) -> None:
        if name == step:
            raise kind(step)

    with pytest.raises(kind):
        engine.apply(patch, on_step=fail)
    assert fingerprint(m) == before
    assert m.ran == ([] if step in BEFORE_IT_RUNS else [2])
    assert suture.status() == ()
    m.ran.clear()
    assert suture.apply(patch).ok
    assert m.f() == (10, 20, 2, "2")
    assert (m.SIZE, m.TABLE, m.d(), m.B().over(), m.ran) == (20, {"a": 2, "in": [2], "of": {2}}, 2, "base", [2])
    live = fingerprint(m)
    with pytest.raises(kind):
        engine.revert(patch.id, on_step=lambda name: fail(step) if name == "commit" else None)
    assert fingerprint(m) == live
    assert suture.revert(patch.id).ok
    assert m.f() == (1, 2, 1)
    assert (m.SIZE, m.TABLE, m.d(), m.B().over()) == (10, {"a": 1, "in": [1], "of": {1}}, 1, "old")
    after = fingerprint(m)
    code = {k for k in before if before[k] != after.get(k)}
    assert all(k.endswith("__code__") for k in code), code  # code comes back as an equal object


def test_statement_that_raises(world: Any) -> None:
    """It has run, and the report says so; nothing that the patch stores is live."""
    m = world.module(OLD)
    text = NEW.format(prefix=world.prefix).replace("note(LIMIT)", "note(1 / (LIMIT - 2))")
    before = fingerprint(m)
    report = suture.apply(world.patch({"m": text, "more": MORE}))
    assert not report.ok
    assert "No definition was changed; what the statement did stays" in report.words()
    assert {f.code for f in report.findings if f.severity != "note"} == {"ran-once", "evaluation-failed"}
    assert fingerprint(m) == before
    assert suture.status() == ()


def test_statement_does_not_run_where_something_else_refuses(world: Any) -> None:
    """It is the last that can fail."""
    m = world.module(OLD)
    patch = patch_of(world)
    m.LIMIT = 7
    before = fingerprint(m)
    report = suture.apply(patch)
    assert not report.ok
    assert "ran-once" not in {f.code for f in report.findings}
    assert m.ran == []
    assert fingerprint(m) == before


def test_store_that_raises_in_the_middle(world: Any, monkeypatch: Any) -> None:
    """A store inside the C call that fails takes those before it back."""
    from suture.engine import swap

    m = world.module(OLD)
    before = fingerprint(m)
    stores = [
        swap.Store(m.f, "__defaults__", swap.Via.SETATTR, (5,)),
        swap.Store(m.f, "__code__", swap.Via.SETATTR, "not code"),
    ]
    with pytest.raises(TypeError):
        swap.commit(stores)
    assert fingerprint(m) == before


def change(target: str, before: str | None, after: str | None, **more: Any) -> Patch:
    module, _, name = target.partition(":")
    kind = more.pop("kind", Kind.FUNCTION)
    expect = Expect.SOURCE if before is not None else Expect.ABSENT
    scope = Scope(line_before=1, line_after=1)
    return Patch("p", (Change(0, kind, Target(module, name, f"{module}.py"), before, after, scope, expect, (name,)),))


@pytest.mark.parametrize(
    ("target", "before", "after", "code"),
    [
        ("{m}:gone", "def gone():\n    return 1\n", "def gone():\n    return 2\n", "target-missing"),
        ("{m}:f", "def f():\n    return 'another'\n", "def f():\n    return 2\n", "conflict"),
        ("no_such_module:f", "def f():\n    return 1\n", "def f():\n    return 2\n", "module-unknown"),
        ("{m}:f", "def f(:\n", "def f():\n    return 2\n", "syntax-error"),
        ("{m}:f", None, "def f():\n    return 2\n", "already-defined"),
        ("{m}:helper", None, "def helper(a=1 / 0):\n    return 2\n", "evaluation-failed"),
        ("{m}:c", "def c():\n    return 1\n", "def c():\n    return 2\n", "not-python"),
    ],
)
def test_refusals_change_nothing(world: Any, target: str, before: str | None, after: str, code: str) -> None:
    """Each way to say no has its name, and changes nothing."""
    m = world.module(
        "c = len\n" + "def f(a=1, *, b=2):\n    return a\nclass A:\n    def m(self): pass\ndef make(): pass\nheld = make\n"
    )
    old = fingerprint(m)
    report = suture.apply(change(target.format(m=m.__name__), before, after))
    assert not report.ok
    assert code in {f.code for f in report.findings}, report.words()
    assert all(f.hint for f in report.findings if f.severity == "error")
    assert fingerprint(m) == old
    assert "Nothing was changed" in report.words()
    with pytest.raises(suture.Refused) as caught:
        report.raise_for_findings()
    assert caught.value.code == code


def test_half_imported_module_is_refused(world: Any) -> None:
    """A module whose body a thread is still running has half its names; it isn't called missing."""
    m = world.module("def f():\n    return 1\n")
    patch = world.replace(("1", "2"))
    m.__spec__._initializing = True
    try:
        report = suture.apply(patch)
    finally:
        del m.__spec__._initializing
    assert {f.code for f in report.findings} == {"module-importing"}
    assert m.f() == 1


def test_apply_from_inside_an_expression_is_refused(world: Any) -> None:
    """A patch whose expression applies another patch gets a refusal, not a deadlock."""
    m = world.module("import suture\nresults = []\ndef f():\n    return 1\n")
    patch = world.patch(
        "import suture\nresults = []\nX = results.append(suture.apply(b'').findings[0].code)\ndef f():\n    return 2\n"
    )
    assert suture.apply(patch).ok
    assert m.results == ["busy"]
    assert m.f() == 2


def test_unknown_patch_and_partial_patch(world: Any) -> None:
    """Revert of what isn't live, and a patch that leaves something out, are refused by name."""
    report = suture.revert("nothing-like-it")
    assert [f.code for f in report.findings] == ["patch-unknown"]
    m = world.module("T = object()\ndef f():\n    return 1\n")
    was = m.T
    patch = world.patch("T = open('x')\ndef f():\n    return 2\n")
    assert [f.code for f in patch.left_out] == ["value-changed"]
    refused = suture.apply(patch)
    assert [f.code for f in refused.findings if f.severity == "error"] == ["partial-patch"]
    assert m.f() == 1
    assert suture.apply(patch, partial=True).ok
    assert (m.f(), m.T) == (2, was)


def test_kind_change_can_be_accepted(world: Any) -> None:
    """A person may take an error on, by target."""
    m = world.module("def f():\n    return [1]\n")
    patch = world.patch("def f():\n    yield 1\n")
    assert [f.code for f in patch.left_out] == ["kind-changed"]
    refused = suture.apply(patch, partial=True)
    assert "kind-changed" in {f.code for f in refused.findings if f.severity == "error"}
    report = suture.apply(patch, partial=True, accept=[f"kind-changed:{m.__name__}:f"])
    assert report.ok, report.words()
    assert list(m.f()) == [1]


def test_an_interrupt_behind_the_commit_leaves_a_patch_that_status_knows(world: Any) -> None:
    """It is live, status says so, and it can be taken back."""
    m = world.module(OLD)
    patch = patch_of(world)
    engine = loading.load()

    def fail(name: str) -> None:
        if name == "census":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.apply(patch, on_step=fail)
    assert m.f()[0] == 10
    (report,) = suture.status()
    assert report.ok and report.patch_id == patch.id and report.inside_old is None
    assert {r.target.partition(":")[2] for r in report.changed} >= {"f", "A.m"}
    assert "f" in report.words()
    assert suture.revert(patch.id).ok
    assert m.f()[0] == 1
    assert suture.status() == ()


def test_defaults_that_the_process_has_otherwise_are_a_conflict(world: Any) -> None:
    """Spelled-out tuples too; ``...`` is a plain value; a list may have been written to."""
    old = "def f(a=(1, 2), b=..., c=[]):\n    return 1\n"
    m = world.module(old)
    patch = world.patch(old.replace("return 1", "return 2"))
    m.f.__defaults__ = ((1, 3), ..., [])
    report = suture.apply(patch)
    assert not report.ok and {f.code for f in report.findings} == {"conflict"}
    m.f.__defaults__ = ((1, 2), ..., ["grown"])
    assert suture.apply(patch).ok
    assert suture.revert(patch.id).ok
