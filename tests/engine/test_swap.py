"""Stores to live objects: nothing runs inside, nobody sees half, and a failure leaves the very same objects."""

from __future__ import annotations

import gc
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pythons import WANTED, found
from suture.engine import swap, versions
from suture.engine.swap import ABSENT, Guard, Quiet, Store, Undo, Via
from suture.errors import Fault, Refused

Look = Callable[..., None]
FIELDS = ("__code__", "__defaults__", "__kwdefaults__")


def make(text: str, name: str = "f") -> Any:
    """A function that nothing else refers to, its code neither."""
    space: dict[str, Any] = {}
    exec(text, space)
    return space.pop(name)


def plain(value: object) -> Any:
    return make(f"def f(a=1):\n    return {value}\n")


def code(function: Any, text: str) -> Store:
    return Store(function, "__code__", Via.SETATTR, make(text).__code__)


def moving(f: Any, g: Any, between: list[Store]) -> list[Store]:
    """From (0, 0) to (1, 1), with something in the middle."""
    return [Store(f, "__code__", Via.SETATTR, plain(1).__code__), *between, Store(g, "__code__", Via.SETATTR, plain(1).__code__)]


class World:
    """One of each that a patch stores to, and what it has: by identity."""

    def __init__(self) -> None:
        self.f = make("def f(a=1, *, k=2):\n    return 'old', a, k\n")
        self.g = make("def f(a=1):\n    return 'old', a\n")
        self.kind = type("K", (), {"__doc__": "old", "x": "old", "gone": "old"})
        self.space = {"x": "old", "gone": "old"}
        self.items = ["old"]
        self.plain = types.SimpleNamespace(x="old")
        self.log: list[str] = []

    def stores(self) -> list[Store]:
        return [
            Store(self.f, "__defaults__", Via.SETATTR, (10,)),
            Store(self.space, "x", Via.SETITEM, "new"),
            Store(self.f, "__kwdefaults__", Via.SETATTR, {"k": 20}),
            code(self.f, "def f(a, *, k):\n    return 'new', a, k\n"),
            Store(self.kind, "x", Via.TYPE_SETATTR, "new"),
            Store(self.kind, "__doc__", Via.TYPE_SETATTR, "new"),
            Store(self.kind, "added", Via.TYPE_SETATTR, "new"),
            Store(self.kind, "gone", Via.TYPE_SETATTR, ABSENT),
            Store(self.space, "added", Via.SETITEM, "new"),
            Store(self.space, "gone", Via.SETITEM, ABSENT),
            Store(self.items, 0, Via.LISTITEM, "new"),
            Store(self.plain, "x", Via.SETATTR, "new"),
            Store(self.plain, "added", Via.SETATTR, "new"),
            Store(self.g, "__defaults__", Via.SETATTR, (10,)),
        ]

    def guards(self) -> list[Guard]:
        return [Guard(s.owner, s.name, s.via, swap.read(s.owner, s.name, s.via)) for s in self.stores()]

    def has(self) -> list[object]:
        return [swap.read(s.owner, s.name, s.via) for s in self.stores()]

    def same(self, before: list[object]) -> bool:
        return all(a is b for a, b in zip(self.has(), before, strict=True))

    def is_new(self) -> bool:
        return (
            self.f() == ("new", 10, 20)
            and self.g() == ("old", 10)
            and self.f.__code__.co_name == "f"
            and self.f.__code__.co_argcount == 1
            and all(getattr(self.f, n) is s.new for s in self.wanted for n in FIELDS if s.owner is self.f and s.name == n)
            and {k: v for k, v in vars(self.kind).items() if k in ("x", "added", "gone", "__doc__")}
            == {"x": "new", "added": "new", "__doc__": "new"}
            and self.space == {"x": "new", "added": "new"}
            and self.items == ["new"]
            and vars(self.plain) == {"x": "new", "added": "new"}
        )

    wanted: list[Store] = []


@pytest.fixture
def live() -> World:
    return World()


@pytest.fixture(params=[False, True], ids=["one call", "flip"])
def hooked(request: pytest.FixtureRequest) -> bool:
    """Both ways to commit.  A flip works without a hook as well."""
    return bool(request.param)


# ---------------------------------------------------------------- there and back


def test_commit_then_undo_is_identity(live: World, hooked: bool) -> None:
    """All that was there is back, the same objects; code as an equal one.  The undo of the undo is the patch."""
    before = live.has()
    live.wanted = live.stores()
    taken = swap.commit(live.wanted, live.guards(), hooked=hooked)
    assert taken.done
    assert live.is_new()
    again = swap.undo(taken)
    for was, now in zip(before, live.has(), strict=True):
        assert was is now or (type(was) is types.CodeType and was == now)
    assert (live.f(), live.g()) == (("old", 1, 2), ("old", 1))
    swap.undo(again)
    assert live.is_new() or live.f() == ("new", 10, 20)


def test_absent_adds_and_deletes(live: World) -> None:
    """ABSENT deletes; as an old value it says that nothing was there."""
    assert repr(ABSENT) == "ABSENT"
    taken = swap.commit(live.stores())
    old = {(e.store.name, type(e.store.owner)): e.old for e in taken.entries}
    assert old["added", dict] is old["added", type] is old["added", types.SimpleNamespace] is ABSENT
    assert "gone" not in live.space
    assert not hasattr(live.kind, "gone")
    swap.undo(taken)
    assert live.space == {"x": "old", "gone": "old"}
    assert live.kind.gone == "old"
    assert not hasattr(live.kind, "added")
    assert not hasattr(live.plain, "added")


def test_record_and_marker_are_in_the_call(live: World, hooked: bool) -> None:
    """What is recorded is recorded behind the last store; the marker comes last."""
    seen: list[object] = []
    taken = Undo()

    class Journal(list[str]):
        pass

    def note(line: str) -> None:
        seen.append((line, live.space["x"], live.items[0], live.f()[0], list(taken.done)))

    assert swap.commit(live.stores(), record=[(note, "a"), (live.log.append, "b")], hooked=hooked, into=taken) is taken
    assert seen == [("a", "new", "new", "new", [])]
    assert live.log == ["b"]
    assert taken.done == [True]


def test_replaced_code_can_die(hooked: bool) -> None:
    """The undo holds an equal copy, so that a weak reference tells when nobody is inside any more."""
    f = plain(0)
    gone: list[int] = []
    watch = weakref.ref(f.__code__, lambda _: gone.append(1))
    taken = swap.commit([Store(f, "__code__", Via.SETATTR, plain(1).__code__)], hooked=hooked)
    gc.collect()
    assert gone == [1]
    assert watch() is None
    swap.undo(taken)
    assert f() == 0


# ---------------------------------------------------------------- nothing runs inside


def test_finalisers_of_dropped_values_run_afterwards() -> None:
    """__del__ of a default and the callback of a weak reference to code see all or nothing."""
    f, g, h, seen = plain(0), plain(0), plain(0), []

    class Loud:
        def __del__(self) -> None:
            seen.append((f(), g()))

    h.__defaults__ = (Loud(),)
    space = {"x": Loud()}
    watch = weakref.ref(h.__code__, lambda _: seen.append((f(), g())))
    between = [
        Store(h, "__defaults__", Via.SETATTR, (2,)),
        Store(h, "__code__", Via.SETATTR, plain(2).__code__),
        Store(space, "x", Via.SETITEM, ABSENT),
    ]
    taken = swap.commit(moving(f, g, between), hooked=False)
    assert seen == [(1, 1)], "the code dies behind the call"
    assert watch() is None
    taken.entries.clear()
    gc.collect()
    assert seen == [(1, 1)] * 3


def test_metaclass_is_passed_over() -> None:
    """A metaclass's own __setattr__ and __delattr__ don't run."""
    f, g, seen = plain(0), plain(0), []

    class Meta(type):
        def __setattr__(cls, name: str, value: object) -> None:
            seen.append((f(), g()))

        def __delattr__(cls, name: str) -> None:
            seen.append((f(), g()))

        def __getattribute__(cls, name: str) -> object:
            seen.append(name)
            return super().__getattribute__(name)

    kind = Meta("C", (), {"y": 1})
    seen.clear()
    taken = swap.commit(
        moving(f, g, [Store(kind, "x", Via.TYPE_SETATTR, 1), Store(kind, "y", Via.TYPE_SETATTR, ABSENT)]), hooked=False
    )
    assert (f(), g()) == (1, 1)
    assert swap.read(kind, "x", Via.TYPE_SETATTR) == 1
    assert swap.read(kind, "y", Via.TYPE_SETATTR) is ABSENT
    swap.undo(taken)
    assert (f(), g()) == (0, 0)
    assert swap.read(kind, "y", Via.TYPE_SETATTR) == 1
    assert seen == []


@pytest.mark.parametrize("install", [sys.settrace, sys.setprofile])
def test_tracers_and_profilers_see_all_or_nothing(install: Callable[[Any], None]) -> None:
    """A debugger steps through us, and never stands between two stores."""
    f, g, seen = plain(0), plain(0), set()
    values = {plain(n).__code__.co_code: n for n in (0, 1)}

    def look(frame: types.FrameType, event: str, arg: object) -> Any:
        seen.add((values[f.__code__.co_code], values[g.__code__.co_code]))
        return look

    stores = moving(f, g, [])
    before = sys.gettrace() if install is sys.settrace else sys.getprofile()
    install(look)
    try:
        swap.commit(stores, hooked=False)
    finally:
        install(before)
    assert seen == {(0, 0), (1, 1)}


def test_gc_is_as_it_was() -> None:
    """Collections are off inside on 3.10 and 3.11 alone, and the switch is where it was, whatever happens."""
    states: list[bool] = []
    f = plain(0)
    record: list[tuple[Callable[[Any], Any], Any]] = [(lambda _: states.append(gc.isenabled()), 0)]
    assert gc.isenabled()
    swap.commit([Store(f, "x", Via.SETATTR, 1)], record=record, hooked=False)
    with pytest.raises(TypeError):
        swap.commit([Store(f, "__code__", Via.SETATTR, 1)], hooked=False)
    assert gc.isenabled()
    gc.disable()
    try:
        swap.commit([Store(f, "x", Via.SETATTR, 1)], record=record, hooked=False)
        assert not gc.isenabled()
    finally:
        gc.enable()
    assert states == [sys.version_info >= (3, 12), False]


# ---------------------------------------------------------------- failures


def bad_stores() -> Iterator[Any]:
    """Stores that raise, by what they do."""
    f = plain(0)
    yield pytest.param(Store(f, "__code__", Via.SETATTR, "no code"), TypeError, id="no code")
    closed = make("def g():\n    x = 1\n    def h():\n        return x\n    return h\n", "g")()
    yield pytest.param(Store(f, "__code__", Via.SETATTR, closed.__code__), ValueError, id="free variables")
    yield pytest.param(Store(int, "x", Via.TYPE_SETATTR, 1), TypeError, id="built-in type")
    yield pytest.param(Store([], 5, Via.LISTITEM, 1), IndexError, id="short list")
    yield pytest.param(Store(object(), "x", Via.SETATTR, 1), AttributeError, id="no dict")


@pytest.mark.parametrize("at", [0, 4, 14])
@pytest.mark.parametrize(("bad", "kind"), bad_stores())
def test_store_that_raises(live: World, hooked: bool, bad: Store, kind: type[Exception], at: int) -> None:
    """A store that fails, at either end or in the middle: all the same objects, nothing recorded, and it can be tried again."""
    before = live.has()
    stores = live.stores()
    taken = Undo()
    if bad.via is Via.LISTITEM:
        bad = Store(Shrinking([0]), 0, Via.LISTITEM, 1)
    stores.insert(at, bad)
    with pytest.raises(kind):
        swap.commit(stores, live.guards(), record=[(live.log.append, "x")], hooked=hooked, into=taken)
    assert live.same(before)
    assert not taken.done
    assert live.log == []
    stores.pop(at)
    live.wanted = stores
    swap.commit(stores, live.guards(), hooked=hooked, into=taken)
    assert live.is_new()
