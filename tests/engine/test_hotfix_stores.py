"""What a hotfix file assigns, deletes and reads back; what it puts in whose place; and that a refusal stored nothing."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import types
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import suture

SOURCE = """
    import functools
    from collections import defaultdict
    a, b, gone = 1, 2, 3
    TABLE = {"k": 1, "gone": 2}
    MANY = defaultdict(list, k=[1])
    ITEMS = [1, 2, 3, 4]
    def tool():
        return "module's own"
    def f(x: int = 1, *, y=2):
        '''old doc'''
        return "old", x, y
    async def later():
        return "old"
    def stream():
        yield "old"
    def marked(g):
        @functools.wraps(g)
        def wrapper(*args):
            return "wrapped", g(*args)
        return wrapper
    @marked
    def decorated(x):
        return "old", x
    class Base:
        def hello(self):
            return "base"
    class A(Base):
        size = 1
        def m(self):
            return "old"
        @staticmethod
        def s(x):
            return "old", x
        @classmethod
        def c(cls):
            return "old", cls.__name__
        @property
        def p(self):
            return "old"
    class Slotted:
        __slots__ = ("x",)
    thing, slotted = A(), Slotted()
    slotted.x = 1
"""


@pytest.fixture
def hotfix(world: Any, tmp_path: Path) -> Iterator[tuple[Any, Callable[..., Any]]]:
    """The module, and what runs a file with some lines behind the imports."""
    m = world.module(SOURCE)
    sys.modules["shop_under_fix"] = m

    def run(text: str, **options: Any) -> Any:
        path = tmp_path / "HotfixCode.py"
        path.write_text(f"import suture, shop_under_fix as M\nseen = []\n{text}")
        return suture.do_hotfix(str(path), **options)

    yield m, run
    del sys.modules["shop_under_fix"]


def state(m: Any) -> Any:
    """All that a file below may store to, by value and, for functions, by their fields."""
    functions = [v for s in (vars(m), vars(m.A)) for v in s.values() if type(v) is types.FunctionType]
    fields = [(f.__code__, f.__defaults__, f.__kwdefaults__, f.__doc__, dict(vars(f))) for f in functions]
    data = dict(m.TABLE), {k: list(v) for k, v in m.MANY.items()}, list(m.ITEMS), dict(vars(m.thing)), m.slotted.x
    return dict(vars(m)), dict(vars(m.A)), fields, data


# Lines of a file, an expression of `m`, and what it is once they're live.
STORES = {
    "attribute": ("M.a = 10\n", "m.a", 10),
    "new attribute": ("M.fresh = 10\n", "m.fresh", 10),
    "several targets": ("M.a = M.A.size = x = 10\n", "m.a, m.A.size", (10, 10)),
    "unpacking": ("M.a, M.b = 10, 20\n", "m.a, m.b", (10, 20)),
    "unpacking what is no sequence": ("M.a, [M.b, x] = iter([10, {20: 0, 30: 0}])\n", "m.a, m.b", (10, 20)),
    "unpacking with a star": ("M.a, *M.b = [10, 20, 30]\n", "m.a, m.b", (10, [20, 30])),
    "unpacking with items": ("M.TABLE['k'], M.ITEMS[0] = 'xy'\n", "m.TABLE['k'], m.ITEMS[0]", ("x", "y")),
    "annotated": ("M.a: int = 10\nx: int = 5\ny: int\nM.b: int\n", "m.a, m.b", (10, 2)),
    "added to": ("x = 1\nx += 1\nM.a += 10 * x\nM.TABLE['k'] += M.a\n", "m.a, m.TABLE['k']", (21, 22)),
    "item": ("M.TABLE['k'] = M.TABLE['new'] = 5\n", "m.TABLE['k'], m.TABLE['new']", (5, 5)),
    "item of a defaultdict": ("M.MANY['z'] = [7]\n", "dict(m.MANY)", {"k": [1], "z": [7]}),
    "item of a list": ("M.ITEMS[-1] = 9\nM.ITEMS[0] = 8\n", "m.ITEMS", [8, 2, 3, 9]),
    "attribute of an object": ("M.thing.x = 5\n", "m.thing.x", 5),
    "slot": ("M.slotted.x = 5\n", "m.slotted.x", 5),
    "attribute of a function": ("M.f.limit = 5\n", "m.f.limit", 5),
    "attribute of a class": ("M.A.size, M.A.more = 5, 6\n", "m.thing.size, m.thing.more", (5, 6)),
    "deleted attribute": ("del M.gone\n", "hasattr(m, 'gone')", False),
    "deleted item": ("x = 1\ndel M.TABLE['gone'], x\n", "m.TABLE", {"k": 1}),
    "added and deleted": (
        "M.fresh = M.TABLE['x'] = M.A.fresh = M.thing.fresh = 1\ndel M.fresh, M.TABLE['x'], M.A.fresh, M.thing.fresh\nM.a = 10\n",
        "m.a, hasattr(m, 'fresh'), hasattr(m.thing, 'fresh'), m.TABLE",
        (10, False, False, {"k": 1, "gone": 2}),
    ),
    "assigned and deleted": (
        "M.gone = M.TABLE['gone'] = 1\ndel M.gone, M.TABLE['gone']\n",
        "hasattr(m, 'gone'), m.TABLE",
        (False, {"k": 1}),
    ),
    "deleted and assigned": ("del M.gone, M.TABLE['gone']\nM.gone = M.TABLE['gone'] = 5\n", "m.gone, m.TABLE['gone']", (5, 5)),
    "deleted together": ("del (M.gone, M.TABLE['gone'])\n", "hasattr(m, 'gone'), m.TABLE", (False, {"k": 1})),
    "in a loop's head": ("for M.a in (5, 6):\n    M.TABLE[M.a] = M.a\n", "m.a, m.TABLE[5], m.TABLE[6]", (6, 5, 6)),
    "in a with's head": (
        "import contextlib\nwith contextlib.nullcontext(7) as M.a, contextlib.nullcontext((8, 9)) as (M.b, x):\n    M.TABLE[0] = M.a + x\n",
        "m.a, m.b, m.TABLE[0]",
        (7, 8, 16),
    ),
    "by a class body": ("class C:\n    M.a = 10\n    own = M.a + 1\nM.b = C.own\n", "m.a, m.b", (10, 11)),
}


@pytest.mark.parametrize("case", STORES, ids=list(STORES))
def test_stores_wait_for_the_commit(hotfix: Any, case: str) -> None:
    """Nothing of it is live while the file runs; all of it is afterwards, and gone after the revert."""
    m, run = hotfix
    text, expression, value = STORES[case]
    before, seen = state(m), []
    m.probe = lambda: seen.append(state(m))
    with_probe = state(m)
    report = run(f"{text}nothing = M.probe()\n")
    assert seen == [with_probe]
    assert eval(expression, {"m": m}) == value
    assert suture.revert(report.patch_id).ok
    del m.probe
    assert state(m) == before


@pytest.mark.parametrize("case", STORES, ids=list(STORES))
def test_a_file_that_raises_has_stored_nothing(hotfix: Any, case: str) -> None:
    """Whatever it did before."""
    m, run = hotfix
    before = state(m)
    with pytest.raises(ZeroDivisionError):
        run(f"{STORES[case][0]}1 / 0\n")
    assert state(m) == before
    assert suture.status() == ()


def test_what_was_recorded_is_read_back(hotfix: Any) -> None:
    """Attributes and items as they will be; slices and keys that can't be hashed go to the object."""
    m, run = hotfix
    m.odd = type("Odd", (), {"__getitem__": lambda self, key: ("odd", key)})()
    run(
        "M.a = 5\nM.TABLE['k'] = 6\nM.thing.x = 7\n"
        "M.out = M.a, M.TABLE['k'], M.TABLE['gone'], M.thing.x, M.ITEMS[1:3], M.odd[[1]]\n"
        "for name, get in (('gone', lambda: M.gone), ('key', lambda: M.TABLE['gone'])):\n    try:\n        get()\n"
        "    except Exception as error:\n        seen.append(error)\n"
        "del M.gone, M.TABLE['gone']\n"
        "try:\n    M.gone\nexcept AttributeError:\n    seen.append('no gone')\n"
        "try:\n    M.TABLE['gone']\nexcept KeyError as error:\n    seen.append(error.args)\n"
        "M.seen = seen\n"
    )
    assert m.out == (5, 6, 2, 7, [2, 3], ("odd", [1]))
    assert m.seen == ["no gone", ("gone",)]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("del M.nothing\n", AttributeError),
        ("del M.TABLE['nothing']\n", KeyError),
        ("del M.gone\ndel M.gone\n", AttributeError),
        ("del M.TABLE['gone'], M.TABLE['gone']\n", KeyError),
        ("M.fresh = 1\ndel M.fresh, M.fresh\n", AttributeError),
        ("del M.TABLE[[1]]\n", TypeError),
        ("M.TABLE[[1]] = 2\n", TypeError),
        ("M.a, M.b = 1, 2, 3\n", ValueError),
    ],
)
def test_what_python_would_raise(hotfix: Any, text: str, error: type[Exception]) -> None:
    """At the line that does it, and nothing was stored."""
    m, run = hotfix
    before = state(m)
    with pytest.raises(error):
        run(f"M.a = 5\n{text}")
    assert state(m) == before


@pytest.mark.parametrize(
    "text",
    [
        "M.ITEMS[4] = 1\n",
        "M.watched['k'] = 1\n",
        "M.strict.x = 1\n",
        "M.loud.x = 1\n",
        "M.lazy.x = 1\n",
    ],
)
def test_stores_that_would_run_code_are_refused(hotfix: Any, text: str) -> None:
    """Behind the end of a list, in a dictionary's subclass, where a class or a module has a say: nothing at all is stored."""
    m, run = hotfix
    loud = {"__setattr__": lambda self, name, value: pytest.fail("ran")}
    m.watched = type("Watched", (dict,), {"__setitem__": lambda *a: pytest.fail("ran")})()
    m.loud, m.lazy = type("Loud", (), loud)(), type("Lazy", (types.ModuleType,), loud)("lazy")
    m.strict = type("Strict", (), {"x": property(lambda self: 1, lambda self, value: pytest.fail("ran"))})()
    before = state(m)
    with pytest.raises(suture.Refused) as caught:
        run(f"M.a = 5\n{text}")
    assert caught.value.code == "setattr-runs-code"
    assert state(m) == before


def test_keys_and_owners_are_worked_out_once(hotfix: Any) -> None:
    """As Python does, and in its order."""
    m, run = hotfix
    run(
        "def note(x, y):\n    seen.append(x)\n    return y\n"
        "note(1, M).TABLE[note(2, 'k')] += note(3, 10)\nnote(4, M).a += note(5, 1)\nM.seen = seen\n"
    )
    assert (m.TABLE["k"], m.a, m.seen) == (11, 2, [1, 2, 3, 4, 5])


def test_functions_of_the_file_that_live_on_mean_the_objects(hotfix: Any) -> None:
    """A plain helper or a class that the file stores somewhere: what it does later is done, and not recorded any more."""
    m, run = hotfix
    report = run(
        "def helper(o):\n    o.x = o.size + M.a\n    M.TABLE['k'] = o.x\n    M.TABLE['k'] += 1\n    del M.TABLE['gone'], o.size\n"
        "    return o.x, M.TABLE['k']\n"
        "class New:\n    size = 5\n    def __init__(self):\n        self.size = 10\n    def take(self):\n        return helper(self)\n"
        "M.a = 3\nM.helper, M.New = helper, New\n"
    )
    new = m.New()
    assert m.helper(new) == (13, 14)
    assert (vars(new), new.size, m.TABLE) == ({"x": 13}, 5, {"k": 14})
    m.a, m.TABLE["gone"], new.size = 4, 0, 1
    assert new.take() == (5, 6)
    assert (vars(new), m.TABLE) == ({"x": 5}, {"k": 6})
    m.a = 3
    assert suture.revert(report.patch_id).ok
    assert (m.a, m.TABLE, hasattr(m, "New")) == (1, {"k": 6}, False)


def test_coroutines_of_the_file_are_its_own_code(hotfix: Any) -> None:
    """What they store while the file runs waits for the commit too."""
    m, run = hotfix
    run(
        "import asyncio, contextlib\nasync def rows():\n    yield 5, 6\n"
        "@contextlib.asynccontextmanager\nasync def held():\n    yield 7\n"
        "async def own():\n    async for M.a, x in rows():\n        M.b = x\n    async with held() as M.TABLE['k']:\n"
        "        seen.append((M.a, M.b, M.TABLE['k']))\nasyncio.run(own())\n"
        "import sys\nlive = sys.modules['shop_under_fix'].__dict__\nM.seen = [*seen, live.get('a'), live.get('b')]\n"
    )
    assert m.seen == [(5, 6, 7), 1, 2]
    assert (m.a, m.b, m.TABLE["k"]) == (5, 6, 7)


# ---------------------------------------------------------------- functions


def test_every_kind_of_function_in_place(hotfix: Any) -> None:
    """Coroutines, generators, static and class methods, fields and all; who holds the old ones follows."""
    m, run = hotfix
    held = m.f, m.later, m.stream, m.A.s, m.A.c
    report = run(
        "@suture.replace_func(M)\nasync def later():\n    return 'new', tool()\n"
        "@suture.replace_func(M)\ndef stream():\n    yield 'new'\n    yield tool()\n"
        "@suture.replace_func(M.A)\n@staticmethod\ndef s(x, y=2):\n    return 'new', x, y\n"
        "@suture.replace_func(M.A)\n@classmethod\ndef c(cls):\n    return 'new', cls.__name__, super().__name__ if 0 else ''\n"
        "def keep(g):\n    g.kept = 'kept'\n    return g\n"
        "@suture.replace_func(M, 'f')\n@keep\ndef another(x: str = 5, *, y: int = 6):\n    '''new doc'''\n    return 'new', x, y\n"
    )
    f, later, stream, s, c = held
    assert asyncio.run(later()) == ("new", "module's own")
    assert list(stream()) == ["new", "module's own"]
    assert (s(1), c()) == (("new", 1, 2), ("new", "A", ""))
    assert (f(), f.__doc__, f.kept) == (("new", 5, 6), "new doc", "kept")
    if sys.version_info < (3, 14):
        assert f.__annotations__ == {"x": str, "y": int}
    assert m.f is f
    assert suture.revert(report.patch_id).ok
    assert (f(), f.__doc__, f.__annotations__, hasattr(f, "kept")) == (("old", 1, 2), "old doc", {"x": int}, False)
    assert (s(1), c(), list(stream())) == (("old", 1), ("old", "A"), ["old"])


@pytest.mark.parametrize(
    "text", ["def later():\n    return 1\n", "def f(x=1):\n    yield 1\n", "async def stream():\n    yield 1\n"]
)
def test_a_function_that_would_be_of_another_kind_is_refused(hotfix: Any, text: str) -> None:
    """Whoever awaits or iterates it would break; the rest of the file isn't stored either."""
    m, run = hotfix
    before = state(m)
    with pytest.raises(suture.Refused) as caught:
        run(f"M.a = 5\n@suture.replace_func(M)\n{text}")
    assert caught.value.code == "kind-changed"
    assert state(m) == before


def test_what_is_no_plain_function_is_rebound(hotfix: Any) -> None:
    """A property, a wrapped name, a value, a new wrapper: the name gets a new object, and the report says so."""
    m, run = hotfix
    bound = m.A.s
    report = run(
        "@suture.replace_func(M.A)\n@property\ndef p(self):\n    return 'new'\n"
        "@suture.replace_func(M.A)\ndef s(self, x=0):\n    return 'plain', x\n"
        "@suture.replace_func(M)\ndef a(x=7, *, y=8):\n    '''said'''\n    return tool(), x, y\n"
        "suture.replace_func(M, 'length')(len)\n"
        "@suture.replace_func(M.thing)\ndef own(*args):\n    return 'own', args\n",
    )
    assert (m.thing.p, m.thing.s(), bound(1)) == ("new", ("plain", 0), ("old", 1))
    assert (m.a(), m.a.__doc__, m.a.__module__, m.a.__qualname__) == (("module's own", 7, 8), "said", m.__name__, "a")
    assert m.a.__globals__ is vars(m)
    assert m.A.__dict__["s"].__qualname__ == "A.s"
    assert m.length is len
    assert m.thing.own(1) == ("own", (1,))
    assert {f.target.rpartition(".")[2] for f in report.findings if f.code == "rebound"} == {"s"}
    assert suture.revert(report.patch_id).ok
    assert (m.thing.p, m.thing.s(1), m.a, hasattr(m, "length"), hasattr(m.thing, "own")) == ("old", ("old", 1), 1, False, False)


def test_a_function_from_elsewhere_is_changed_where_it_is_defined(hotfix: Any, world: Any) -> None:
    """A name that a module took from another one: the function itself changes, for all who have it, and it is said."""
    m, run = hotfix
    other = world.module("def tool():\n    return secret()\ndef secret():\n    return 'other'\n", "other")
    m.tool = other.tool
    report = run("@suture.replace_func(M)\ndef tool():\n    return 'new', secret()\n")
    assert other.tool() == ("new", "other")
    (finding,) = [f for f in report.findings if f.code == "defined-in"]
    assert other.__name__ in finding.message


def test_names_of_sections_and_late_names(hotfix: Any) -> None:
    """A replaced function sees its section's variables; one that is never bound there is the module's."""
    m, run = hotfix
    report = run(
        "def first():\n    factor = 3\n    @suture.replace_func(M)\n    def f(x=1):\n        return factor * x, tool()\n"
        "    if not factor:\n        tool = None\n"
        "def second():\n    M.a = 5\n    second_deep()\n"
        "def second_deep():\n    M.b = 6\n"
        "first()\nsecond()\nM.TABLE['k'] = 0\n"
    )
    assert m.f(2) == (6, "module's own")
    assert [r.section for r in report.changed] == ["first", "", "second", "second_deep"]


def test_a_replaced_function_is_what_other_places_get(hotfix: Any) -> None:
    """Stored in a table or used by another replaced function, it is the live one, not the file's copy."""
    m, run = hotfix
    run(
        "@suture.replace_func(M)\ndef f(x=1, *, y=2):\n    return 'new'\n"
        "@suture.replace_func(M)\ndef added():\n    return f()\n"
        "M.TABLE['f'] = f\nM.TABLE['added'] = added\n"
        "@suture.replace_func(M)\ndef tool():\n    return f, added\n"
    )
    assert m.TABLE["f"] is m.f
    assert m.TABLE["added"] is m.added
    assert m.tool() == (m.f, m.added)
    assert m.added() == "new"


def test_a_file_that_runs_another(hotfix: Any, tmp_path: Path) -> None:
    """Each is its own transaction; what is recorded after the inner one is the outer one's."""
    m, run = hotfix
    inner = tmp_path / "inner.py"
    inner.write_text("import suture, shop_under_fix as M\nM.b = 20\n")
    run(f"M.a = 10\nx = suture.do_hotfix({str(inner)!r})\nM.TABLE['k'] = M.b\n")
    assert (m.a, m.b, m.TABLE["k"]) == (10, 20, 20)
    assert [r.patch_id.partition("-")[0] for r in suture.status()] == ["inner", "HotfixCode"]


def test_effects_in_blocks_are_found_and_own_functions_are_not(hotfix: Any) -> None:
    """Calls in loops and handlers count, those of the file's own functions and of replaced ones don't."""
    m, run = hotfix
    report = run(
        "def one():\n    M.ITEMS.sort()\none()\nprint('x')\n"
        "@suture.replace_func(M)\ndef f():\n    M.ITEMS.clear()\n"
        "try:\n    pass\nexcept OSError:\n    M.ITEMS.append(1)\n[print][0]()\n"
    )
    texts = [f.message.partition(" acts")[0] for f in report.findings if f.code == "hotfix-effect"]
    assert sorted(texts) == ["M.ITEMS.append(1)", "M.ITEMS.sort()", "[print][0]()"]


# ---------------------------------------------------------------- without a file


def test_replace_func_takes_its_own_modules_names(hotfix: Any) -> None:
    """Those that the target's module doesn't have; a function without source is put in as it is."""
    m, _ = hotfix

    @suture.replace_func(m)
    def f(x=1, *, y=2):
        return inspect.isfunction(tool), defaultdict(int)  # noqa: F821

    assert m.f() == (True, {})
    space: dict[str, Any] = {}
    exec("def tool():\n    return 'no source'\n", space)
    old = m.tool
    suture.replace_func(m)(space["tool"])
    assert m.tool is space["tool"]
    assert (m.tool(), old()) == ("no source", "module's own")
    suture.replace_func(m, "length")(len)
    assert m.length is len
    for name in ("replace_func", "replace_func", "replace_func"):
        report = suture.status()[-1]
        assert report.patch_id.startswith(name)
        assert suture.revert(report.patch_id).ok
    assert (m.tool is old, m.f(), hasattr(m, "length")) == (True, ("old", 1, 2), False)


def test_replace_func_on_what_has_no_module(hotfix: Any) -> None:
    """An object of a class that no loaded module has: the function is put in as it is."""
    m, _ = hotfix
    kind = type("Loose", (), {"__module__": "nowhere", "f": lambda self: "old"})

    @suture.replace_func(kind)
    def f(self):
        return "new"

    @suture.replace_func(kind)
    def added(self):
        return "added"

    assert (kind().f(), kind().added()) == ("new", "added")
    assert kind.added is added


def test_replace_func_of_what_has_no_name(hotfix: Any) -> None:
    """It has to be told."""
    m, _ = hotfix
    with pytest.raises(TypeError, match="partial"):
        suture.replace_func(m)(functools.partial(len))
    assert "" not in vars(m)


def test_replace_func_that_is_refused(hotfix: Any) -> None:
    """Raised to the caller; the function stays."""
    m, _ = hotfix
    before = state(m)
    with pytest.raises(suture.Refused) as caught:

        @suture.replace_func(m)
        async def f():
            return 1

    assert caught.value.code == "kind-changed"
    assert state(m) == before
