"""Values that are worked out again, and tables that are merged: what they see, what stays, what is refused, and the way back."""

from __future__ import annotations

import gc
from typing import Any

import pytest

import suture
from suture.engine.shadow import Shadow
from suture.engine.swap import ABSENT
from suture.engine.values import Merge, is_quiet, merge, same


def applied(patch: Any) -> Any:
    assert not patch.left_out, patch.left_out
    report = suture.apply(patch)
    assert report.ok, report.words()
    return report


def state(module: Any) -> dict[str, Any]:
    """Objects by name, and copies of what tables hold."""
    tables = {k: type(v)(v) for k, v in vars(module).items() if type(v) in (dict, list, set) and not k.startswith("__")}
    return {"is": {k: id(v) for k, v in vars(module).items()}, "holds": tables}


# ---------------------------------------------------------------- worked out again


def test_it_sees_what_will_be_and_nobody_else_does(world: Any) -> None:
    """New constants and new code, at any remove, in one commit; the live names are the old ones while it runs."""
    text = (
        "A = {0}\ndef g():\n    import sys\n    live = sys.modules[__name__].A\n    return h() + A, live\n"
        "def h():\n    return {0} * 10\nX = g()\nY = (X, g)\n"
    )
    m = world.module(text.format(1))
    before = state(m)
    report = applied(world.patch(text.format(2)))
    assert (m.A, m.X, m.g()) == (2, (22, 1), (22, 2))
    assert m.Y == (m.X, m.g)
    assert m.Y[1] is m.g  # the live function, not the one that ran
    assert m.g.__globals__ is vars(m)
    assert "evaluated" in {f.code for f in report.findings}
    gc.collect()
    assert suture.revert(report.patch_id).ok
    assert (m.A, m.X) == (1, (11, 1))
    assert state(m) == before


def test_a_function_that_does_something_is_not_run_again(world: Any) -> None:
    """What it made stays, and is named: running it twice could be anything."""
    text = "seen = []\nA = {}\ndef g():\n    seen.append(A)\n    return A\nX = g()\n"
    m = world.module(text.format(1))
    report = applied(world.patch(text.format(2).replace("return A", "return -A")))
    assert (m.seen, m.X) == ([1], 1)
    assert m.g() == -2
    assert "value-stale" in {f.code for f in report.findings}


def test_plan_evaluates_nothing(world: Any) -> None:
    """Not even what somebody chose to have evaluated."""
    text = "seen = []\nA = {0}\ndef g(a):\n    seen.append(A)\n    return a\nX = g({0})  # suture: evaluate\ng({0})  # suture: run-once\n"
    m = world.module(text.format(1))
    before, patch = state(m), world.patch(text.format(2))
    assert suture.plan(patch).ok
    assert state(m) == before
    assert suture.apply(patch).ok
    assert m.seen == [1, 1, 2, 1]  # the statement ran last, with what was still live


def test_functions_that_it_makes_live_in_the_module(world: Any) -> None:
    """Lambdas and partials: their globals are the module's own, so they read what is live when they are called."""
    text = "import functools\nA = {}\ndef g(n=0):\n    return A + n\nT = (lambda: A, functools.partial(g, A), {{'k': [g]}})\n"
    m = world.module(text.format(1))
    applied(world.patch(text.format(2)))
    made, partial, table = m.T
    assert (made(), partial(), table["k"][0]) == (2, 4, m.g)
    m.A = 7
    assert (made(), partial()) == (7, 9)
    assert made.__globals__ is vars(m)
    assert partial.func is m.g


def test_class_attributes_and_defaults_go_along(world: Any) -> None:
    """Also through a class, private names, and an attribute that a subclass has from its base."""
    text = (
        "A = {}\nclass C:\n    __p = A\n    size = __p * 2\n    def m(self, n=A, *, k=size):\n        return n, k\n"
        "class D(C):\n    more = C.size + 1\nLAST = D.size\n"
    )
    m = world.module(text.format(1))
    held = m.C().m
    report = applied(world.patch(text.format(5)))
    assert (m.C.size, m.D.more, m.LAST, held(), held(0)) == (10, 11, 10, (5, 10), (0, 10))
    assert suture.revert(report.patch_id).ok
    assert (m.C.size, m.D.more, m.LAST, held()) == (2, 3, 2, (1, 2))


@pytest.mark.parametrize(
    "text",
    [
        "class Box:\n    pass\ndef make(a):\n    b = Box()\n    b.f = g\n    return b\nX = make({})  # suture: evaluate\n",
        "import types\nX = types.MappingProxyType({{'k': lambda: A, 'v': {}}})\n",
        "import types\nX = types.MappingProxyType({{'k': g, 'v': {}}})\n",
    ],
)
def test_a_value_that_keeps_a_twin_is_refused(world: Any, text: str) -> None:
    """It would run outside the module for ever; nothing was changed."""
    text = "A = {0}\ndef g():\n    return A\n" + text.replace("{}", "{0}")
    m = world.module(text.format(1))
    before = state(m)
    report = suture.apply(world.patch(text.format(2)))
    assert [f.code for f in report.findings if f.severity == "error"] == ["evaluation-entangled"]
    assert state(m) == before


@pytest.mark.parametrize(
    ("value", "look"),
    [
        ("(lambda f=g: f(), {})", "m.X[0].__defaults__[0] is m.g and m.X[0].__globals__ is vars(m)"),
        ("(lambda *, f=g: f(), {})", "m.X[0].__kwdefaults__['f'] is m.g"),
        ("[(lambda f: lambda: f())(g), {}]", "m.X[0].__closure__[0].cell_contents is m.g"),
        ("{{g: {}}}", "list(m.X) == [m.g] and list(m.X)[0] is m.g"),
        ("({{'k': {{g, h}}}}, {})", "m.X[0]['k'] == {m.g, m.h}"),
        ("collections.defaultdict(lambda: A, k={})", "m.X['other'] == 2 and m.X.default_factory.__globals__ is vars(m)"),
        ("collections.defaultdict(g, k={})", "m.X.default_factory is m.g"),
        ("functools.partial(functools.partial(g), *({},)[1:])", "m.X.func is m.g"),
        ("(((g,),), {})", "m.X[0][0][0] is m.g"),
        ("frozenset([g, {}])", "m.g in m.X"),
    ],
)
def test_twins_are_replaced_wherever_they_can_be(world: Any, value: str, look: str) -> None:
    """What is live knows nothing of the shadow: by default, closure, key, factory, at any depth."""
    text = f"import collections, functools\nA = {{0}}\ndef g():\n    return A\ndef h():\n    return 0\nX = {value.replace('{}', '{0}')}\n"
    m = world.module(text.format(1).replace("{1}", "{1}"))
    patch = world.patch(text.format(2))
    for finding in patch.left_out:  # a call of a lambda isn't known to be quiet
        assert finding.code == "value-changed", finding
    if patch.left_out:
        patch = world.patch(text.format(2).rstrip("\n") + "  # suture: evaluate\n")
    applied(patch)
    assert eval(look), m.X
    m.A = 2
    gc.collect()
    assert not [
        o
        for o in gc.get_objects()
        if type(o) is Shadow and o.live is vars(m) and gc.get_referrers(o) and o in gc.get_referents(m.X)
    ]


def test_evaluation_that_fails_changes_nothing(world: Any) -> None:
    """Named, with what was raised."""
    m = world.module("A = 1\nX = 10 // A\n")
    before = state(m)
    report = suture.apply(world.patch("A = 0\nX = 10 // A\n"))
    (found,) = [f for f in report.findings if f.severity == "error"]
    assert (found.code, found.evidence["raised"]) == ("evaluation-failed", "ZeroDivisionError")
    assert state(m) == before


def test_value_that_the_program_changed_is_a_conflict(world: Any) -> None:
    """What its old source makes isn't what is there."""
    m = world.module("import re\nX = re.compile('a')\n")
    m.X = __import__("re").compile("mine")
    before = state(m)
    report = suture.apply(world.patch("import re\nX = re.compile('b')\n"))
    assert [f.code for f in report.findings if f.severity == "error"] == ["conflict"]
    assert state(m) == before


# ---------------------------------------------------------------- tables


@pytest.mark.parametrize(
    ("live", "old", "new", "after", "kept"),
    [
        ({"a": 1, "x": 9}, {"a": 1}, {"a": 2}, {"a": 2, "x": 9}, []),
        ({"a": 7}, {"a": 1}, {"a": 2}, {"a": 7}, ["T['a']"]),
        ({"a": 2}, {"a": 1}, {"a": 2}, {"a": 2}, []),
        ({"a": 1}, {"a": 1, "b": 2}, {"a": 1}, {"a": 1}, []),
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}, {"a": 1}, {"a": 1}, []),
        ({"a": 1, "b": 3}, {"a": 1, "b": 2}, {"a": 1}, {"a": 1, "b": 3}, ["T['b']"]),
        ({"b": 5}, {}, {"b": 1}, {"b": 5}, ["T['b']"]),
        ({"a": {"x": 1, "mine": 2}}, {"a": {"x": 1}}, {"a": {"x": 3}}, {"a": {"x": 3, "mine": 2}}, []),
        ([1, 2, 9], [1, 2], [1, 3, 2], [1, 3, 2, 9], []),
        ([9, 1, 2], [1, 2], [2], [9, 2], []),
        ([1, 2], [1, 2], [2, 1], [2, 1], []),
        ({1, 2, 9}, {1, 2}, {2, 3}, {2, 3, 9}, []),
    ],
)
def test_three_way_merge(live: Any, old: Any, new: Any, after: Any, kept: list[str]) -> None:
    """What both sources have alike stays, what the program did stays, the rest goes as the source goes."""
    found = merge(live, old, new, "T")
    assert isinstance(found, Merge)
    got = found.after
    for owner, key, _, value in found.writes:
        if owner is not live and type(owner) is dict and type(live) is dict:  # a nested one
            got = {**got, "a": {**owner, key: value}}
    assert (got, found.kept) == (after, kept)


@pytest.mark.parametrize(
    ("live", "old", "new"), [([1, 9, 2], [1, 2], [1]), ([1], [1, 2], [1, 2, 3]), ({}, [], []), ((1,), (1,), (2,))]
)
def test_what_cannot_be_merged(live: Any, old: Any, new: Any) -> None:
    """A list that the program changed in the middle; no table."""
    assert merge(live, old, new) is None


def test_tables_are_merged_in_place_and_back(world: Any) -> None:
    """Holders, order, keys with their own hash, what the program puts in afterwards; equal objects stay the very same."""
    text = "class K:\n    def __hash__(self): return 5\na, b = K(), K()\nD = {{a: [1], 'k': {}}}\nL = [a, {}]\nS = {{a, {}}}\n"
    m = world.module(text.format(1, 2, 3))
    held, inner = (m.D, m.L, m.S), m.D[m.a]
    m.D["mine"] = 1
    m.L.append("mine")
    m.S.add("mine")
    before = state(m)
    report = applied(world.patch(text.format(10, 20, 30)))
    assert (m.D, m.L, m.S) == ({m.a: [1], "k": 10, "mine": 1}, [m.a, 20, "mine"], {m.a, 30, "mine"})
    assert all(x is y for x, y in zip(held, (m.D, m.L, m.S), strict=True))
    assert m.D[m.a] is inner
    m.D["later"] = 2
    assert suture.revert(report.patch_id).ok
    assert m.D.pop("later") == 2
    assert state(m) == before


def test_key_of_its_own_hash_goes_in_without_running_it(world: Any) -> None:
    """In the commit nobody's code runs: the whole contents are put in from a copy."""
    text = "class K:\n    def __hash__(self): return 5\na, b = K(), K()\nD = {{a: 1{}}}\n"
    m = world.module(text.format(""))
    report = applied(world.patch(text.format(", b: 2")))
    assert m.D == {m.a: 1, m.b: 2}
    assert suture.revert(report.patch_id).ok
    assert m.D == {m.a: 1}


def test_what_the_program_puts_in_afterwards_stays_after_a_revert(world: Any) -> None:
    """In lists and sets too; what it changed of ours is named."""
    text = "L = [1, {}]\nS = {{1, {}}}\nD = {{'a': {}}}\n"
    m = world.module(text.format(2, 2, 2))
    report = applied(world.patch(text.format(3, 3, 3)))
    m.L.append("mine")
    m.S.add("mine")
    m.D["a"] = "mine"
    back = suture.revert(report.patch_id)
    assert back.ok
    assert (m.L, m.S, m.D) == ([1, 2, "mine"], {1, 2, "mine"}, {"a": "mine"})
    assert [f.code for f in back.findings if f.severity == "warning"] == ["changed-since"]


def test_revert_of_a_list_that_was_changed_in_the_middle(world: Any) -> None:
    """It stays, and the table is named."""
    m = world.module("L = [1, 2]\n")
    report = applied(world.patch("L = [1, 3]\n"))
    m.L.insert(1, "mine")
    back = suture.revert(report.patch_id)
    assert m.L == [1, "mine", 3]
    assert [(f.code, f.target) for f in back.findings if f.severity == "warning"] == [("changed-since", f"{m.__name__}:L")]


def test_table_that_the_program_changed_at_the_same_place(world: Any) -> None:
    """The program's entry stays, and is named."""
    m = world.module("T = {'a': 1, 'b': 1}\n")
    m.T["a"] = 5
    report = applied(world.patch("T = {'a': 2, 'b': 2}\n"))
    assert m.T == {"a": 5, "b": 2}
    assert [f.code for f in report.findings if f.severity == "warning"] == ["table-kept"]


def test_list_that_the_program_changed_in_the_middle_is_a_conflict(world: Any) -> None:
    """Nothing is changed."""
    m = world.module("T = [1, 2]\n")
    m.T.insert(1, 5)
    before = state(m)
    report = suture.apply(world.patch("T = [1, 2, 3]\n"))
    assert [f.code for f in report.findings if f.severity == "error"] == ["conflict"]
    assert state(m) == before


def test_table_that_moves_between_the_look_and_the_commit(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread's append isn't lost: the commit stops before its first store."""
    m = world.module("T = [1]\n")
    patch = world.patch("T = [1, 2]\n")
    from suture.engine import hooks

    monkeypatch.setattr(hooks, "probe", lambda: m.T.append(9))
    report = suture.apply(patch)
    assert [f.code for f in report.findings if f.severity == "error"] == ["moved-meanwhile"]
    assert m.T == [1, 9]


# ---------------------------------------------------------------- questions


@pytest.mark.parametrize(
    ("text", "quiet"),
    [
        ("1 + A * b[0].c", True),
        ("sha256(b'x').hexdigest()", True),
        ("{id(a) for a in A}", True),
        ("{**A, 'k': lambda: open('x')}", True),
        ("re.compile('x').pattern.upper()", True),
        ("re.sub('x', 'y', A)", False),
        ("requests.get('http://a')", False),
        ("CONFIG.get('a')", True),
        ("os.environ.get('a')", True),
        ("os.replace('a', 'b')", False),
        ("'a'.replace('a', 'b')", True),
        ("list(map(own, A))", True),
        ("list(map(other, A))", False),
        ("list(map(lambda x: open(x), A))", False),
        ("sorted(A, key=len)", True),
        ("sorted(A, key=lambda x: other(x))", False),
        ("sorted(A, key=other)", False),
        ("max(A, key=str.lower)", True),
        ("lambda a=open('x'): a", False),
        ("open('x')", False),
        ("[f() for f in A]", False),
        ("own(1)", True),
        ("a.own(1)", False),
        ("(x := 1)", False),
    ],
)
def test_quiet(text: str, quiet: bool) -> None:
    """Only what makes a value, as far as the text says."""
    import ast

    assert is_quiet(ast.parse(text, mode="eval").body, {"own"}, {"re", "requests", "os", "CONFIG"}) is quiet


def test_same() -> None:
    """By what they are, never by asking them."""

    class Liar:
        def __eq__(self, other: object) -> bool:
            raise AssertionError

    liar = Liar()
    assert same(liar, liar)
    assert not same(liar, Liar())
    assert same({"a": (1, [liar])}, {"a": (1, [liar])})
    assert not same(1, True)
    assert not same(ABSENT, None)
    assert same(lambda x: x + 1, lambda x: x + 1)
    assert not same(lambda x: x + 1, lambda x: x + 2)


def test_additions_read_what_changes_too(world: Any) -> None:
    """In class bodies, comprehensions, defaults and decorators, which look names up in the module itself; functions read it when called."""
    m = world.module("import functools\nA = 1\n")
    applied(
        world.patch(
            "import functools\nA = 2\nL = [A + i for i in range(2)]\nclass C:\n    x = A\n    def f(self, n=A):\n        return n, A\n"
            "    y = [A for _ in 'a']\nclass D:\n    A = 5\n    x = A\ndef g(n=[A for _ in 'a'], *, k=A):\n    return n, k, A\n"
            "F = lambda n=A: (n, A)\n"
        )
    )
    assert (m.L, m.C.x, m.C.y, m.C().f(), m.D.x, m.g(), m.F()) == ([2, 3], 2, [2], (2, 2), 5, ([2], 2, 2), (2, 2))
    assert [n for n in vars(m) if n.startswith(("__suture", "_suture"))] == []
    m.A = 9
    assert (m.C().f(), m.g()[2], m.F()[1]) == ((2, 9), 9, 9)


def test_a_method_that_is_added_reads_what_changes(world: Any) -> None:
    """Its default, in a class that exists."""
    m = world.module("A = 1\nclass C:\n    pass\n")
    applied(
        world.patch("A = 2\nclass C:\n    x = [A for _ in 'a']\n    def f(self, n=A, k=[A for _ in 'a']):\n        return n, k\n")
    )
    assert (m.C.x, m.C().f()) == ([2], (2, [2]))


def test_defaultdict_is_merged(world: Any) -> None:
    """Its factory too; what the program put in stays, and all of it comes back."""
    text = "import collections\ndef a():\n    return 1\ndef b():\n    return 2\nT = collections.defaultdict({}, k={})\n"
    m = world.module(text.format("a", 1))
    table = m.T
    assert m.T["mine"] == 1
    report = applied(world.patch(text.format("b", 2)))
    assert m.T is table
    assert dict(table) == {"k": 2, "mine": 1}
    assert table["more"] == 2
    assert suture.revert(report.patch_id).ok
    assert (dict(table), table.default_factory) == ({"k": 1, "mine": 1, "more": 2}, m.a)


def test_factory_that_the_program_changed(world: Any) -> None:
    """Stays, and is named."""
    text = "import collections\nT = collections.defaultdict({}, k=1)\n"
    m = world.module(text.format("int"))
    m.T.default_factory = str
    report = applied(world.patch(text.format("float")))
    assert m.T.default_factory is str
    assert [f.code for f in report.findings if f.severity == "warning"] == ["table-kept"]
