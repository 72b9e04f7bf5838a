"""Stores to live objects: nothing runs inside, nobody sees half, and a failure leaves the very same objects."""

from __future__ import annotations

import gc
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from suture.engine import swap
from suture.engine.swap import ABSENT, Contents, Guard, Quiet, Store, Undo, Via
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
        self.code_of_g = self.g.__code__
        self.tables: list[tuple[list[str] | dict[str, str] | set[str], Contents]] = [
            (["old", "stays"], Contents("l", ["new", "stays", "more"])),
            ({"x": "old", "gone": "old"}, Contents("d", {"added": "new", "x": "new"})),
            ({"old", "stays"}, Contents("s", {"new", "stays"})),
        ]
        self.wanted: list[Store] = []

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
            *(Store(table, name, Via.CONTENTS, name.seen[0]) for table, name in self.tables),
        ]

    def guards(self) -> list[Guard]:
        return [Guard(s.owner, s.name, s.via, swap.read(s.owner, s.name, s.via)) for s in self.stores()]

    def has(self) -> list[object]:
        return [swap.read(s.owner, s.name, s.via) for s in self.stores()]

    def same(self, before: list[object]) -> bool:
        return all(a is b for a, b in zip(self.has(), before, strict=True))

    def is_new(self) -> bool:
        values = {k: v for k, v in vars(self.kind).items() if k in ("x", "added", "gone", "__doc__")}
        return (
            (self.f(), self.g()) == (("new", 10, 20), ("old", 10))
            and all(getattr(s.owner, s.name) is s.new for s in self.wanted if s.name in FIELDS)
            and self.g.__code__ is self.code_of_g
            and values == {"x": "new", "added": "new", "__doc__": "new"}
            and self.space == {"x": "new", "added": "new"}
            and self.items == ["new"]
            and vars(self.plain) == {"x": "new", "added": "new"}
            and [list(t) if type(t) is not set else sorted(t) for t, _ in self.tables]
            == [["new", "stays", "more"], ["added", "x"], ["new", "stays"]]
        )


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
    assert live.f() == ("new", 10, 20)
    assert live.space == {"x": "new", "added": "new"}


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
    values = {plain(n).__code__.co_consts: n for n in (0, 1)}

    def look(frame: types.FrameType, event: str, arg: object) -> Any:
        seen.add((values[f.__code__.co_consts], values[g.__code__.co_consts]))
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
    yield pytest.param(Store(f, "__code__", Via.SETATTR, closed.__code__), (ValueError, TypeError), id="free variables")
    yield pytest.param(Store(int, "x", Via.TYPE_SETATTR, 1), TypeError, id="built-in type")
    yield pytest.param(Store([], 5, Via.LISTITEM, 1), IndexError, id="short list")
    yield pytest.param(Store(object(), "x", Via.SETATTR, 1), AttributeError, id="no dict")


@pytest.mark.parametrize("at", [0, 4, 14, 16, 17])
@pytest.mark.parametrize(("bad", "kind"), list(bad_stores()))
def test_store_that_raises(live: World, hooked: bool, bad: Store, kind: Any, at: int) -> None:
    """A store that fails, at either end or in the middle: all the same objects, nothing recorded, and it can be tried again."""
    before = live.has()
    stores = live.stores()
    taken = Undo()
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


def test_record_that_raises(live: World, hooked: bool) -> None:
    """If what should record it fails, it didn't happen."""
    before, taken = live.has(), Undo()
    with pytest.raises(ValueError, match="not in list"):
        swap.commit(live.stores(), live.guards(), record=[(live.log.remove, "absent")], hooked=hooked, into=taken)
    assert live.same(before)
    assert not taken.done


@pytest.mark.parametrize("at", range(17))
def test_guard_that_is_off(live: World, hooked: bool, at: int) -> None:
    """A place that holds something else than what was looked at stops all of it before the first store."""
    guards = live.guards()
    g = guards[at]
    guards[at] = Guard(g.owner, g.name, g.via, ABSENT if g.was is not ABSENT else None)
    before, taken = live.has(), Undo()
    with pytest.raises(Refused) as caught:
        swap.commit(live.stores(), guards, record=[(live.log.append, "x")], hooked=hooked, into=taken)
    assert caught.value.code == "moved-meanwhile"
    assert live.same(before)
    assert not taken.done
    assert live.log == []


def test_a_division_by_zero_is_no_guard(live: World, hooked: bool) -> None:
    """Only a guard is called moved; the same exception out of a store is passed on."""

    class Odd:
        @property
        def x(self) -> int:
            return 0

        @x.setter
        def x(self, value: int) -> None:
            raise ZeroDivisionError("mine")

    before = live.has()
    with pytest.raises(ZeroDivisionError, match="mine"):
        swap.commit([*live.stores(), Store(Odd(), "x", Via.SETATTR, 1)], live.guards(), hooked=hooked)
    assert live.same(before)


def test_undo_that_fails_says_so() -> None:
    """The one way to be left half way: a place that takes the new value and not the old one."""

    class OneWay:
        def __init__(self) -> None:
            self.__dict__["x"] = 1

        def __setattr__(self, name: str, value: int) -> None:
            if value == 1:
                raise RuntimeError("no way back")
            self.__dict__[name] = value

    space, owner = {"x": 1}, OneWay()
    stores = [
        Store(space, "x", Via.SETITEM, 2),
        Store(owner, "x", Via.SETATTR, 2),
        Store(plain(0), "__code__", Via.SETATTR, 1),
    ]
    with pytest.raises(Fault) as caught:
        swap.commit(stores, hooked=False)
    assert caught.value.code == "undo-failed"
    assert "1 of 3" in caught.value.message
    assert "no way back" in caught.value.message
    assert space == {"x": 1}, "the others are back all the same"


def interrupted_at(line: int, run: Callable[[], object]) -> bool:
    """Run, with a KeyboardInterrupt at the nth line inside swap.py.  False if there are fewer lines."""
    left = [line]

    def trace(frame: types.FrameType, event: str, arg: object) -> Any:
        if frame.f_code.co_filename != swap.__file__:
            return None
        if event == "line":
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
        gc.enable()  # no real interrupt comes at the line that does it
    return False


def test_interrupt_at_each_line(hooked: bool) -> None:
    """Ctrl-C at any line: all the same objects if not done, all the new ones if done.  Nothing in between."""
    line, outcomes = 1, set()
    while True:
        live, taken = World(), Undo()
        before, stores, guards = live.has(), live.stores(), live.guards()
        live.wanted = stores
        record: list[tuple[Callable[[Any], Any], Any]] = [(live.log.append, "done")]
        if not interrupted_at(line, lambda: swap.commit(stores, guards, record=record, hooked=hooked, into=taken)):
            break
        outcomes.add(bool(taken.done))
        assert live.is_new() if taken.done else live.same(before), f"line {line}"
        assert live.log == ["done"] * len(taken.done)
        line += 1
    assert outcomes == {False, True}
    assert line > 20


# ---------------------------------------------------------------- who is inside


GENERATOR = "def f():\n    yield 1\n"


@pytest.mark.parametrize("inside", [0, 1, 3])
def test_quiet_counts_who_is_inside(hooked: bool, inside: int) -> None:
    """A suspended generator is inside; whether it stops the commit is the caller's wish."""
    f, control = make(GENERATOR), make(GENERATOR)
    free = sys.getrefcount(f.__code__)
    running = [f() for _ in range(inside)]
    assert [next(r) for r in running] == [1] * inside
    inside = sys.getrefcount(f.__code__) - free  # a generator counts twice on 3.10 and 3.11
    stores = [code(f, GENERATOR.replace("1", "2"))]
    guards = [Guard(f, "__code__", Via.SETATTR, f.__code__), Guard(control, "__code__", Via.SETATTR, control.__code__)]
    before = f.__code__
    # Two more than the control: `before`, and the commit keeps the value that it replaces.
    quiet = Quiet([f.__code__, control.__code__], [2], insist=True)
    assert quiet.inside() == 0, "not counted yet"
    if inside:
        try:
            swap.commit(stores, guards, hooked=hooked, quiet=quiet)
        except Refused as error:
            assert error.code == "busy"  # must be forgotten before the next try: its frames hold the code
        else:
            pytest.fail("not refused")
        assert f.__code__ is before
        assert quiet.inside() == inside
        quiet.insist = False
    swap.commit(stores, guards, hooked=hooked, quiet=quiet)
    assert quiet.inside() == inside
    assert quiet.each() == [inside]
    assert list(f()) == [2]


# ---------------------------------------------------------------- flips


KINDS = """
def plain(a=1, /, *rest, k=1, **more):
    return "{v}"
def gen():
    yield "{v}"
async def co():
    return "{v}"
async def agen():
    yield "{v}"
def closure(v):
    def inner(a=1):
        return v and "{v}"
    return inner
class A:
    def method(self, x=1):
        return "{v}"
    @classmethod
    def of_class(cls):
        return "{v}"
    @staticmethod
    def static(a={n}):
        return "{v}" if a == {n} else "torn"
inner = closure(1)
def drive(coroutine):
    try:
        coroutine.send(None)
    except StopIteration as e:
        return e.value
def all_of():
    return [plain(), plain(1, 2, k=3, z=4), next(gen()), drive(co()), drive(agen().__anext__()), inner(), A().method(),
            A().method(x=2), A.of_class(), A.static()]
def functions():
    return [plain, gen, co, agen, inner, A.method, A.__dict__["of_class"].__func__, A.static]
"""


def kinds(version: str, n: int = 1) -> dict[str, Any]:
    space: dict[str, Any] = {}
    exec(KINDS.format(v=version, n=n), space)
    return space


def test_flip_serves_every_kind_of_function() -> None:
    """Generators, coroutines, closures and methods go on working; without new code too."""
    old, new = kinds("old"), kinds("new", 2)
    stores = [
        Store(f, name, Via.SETATTR, getattr(g, name))
        for f, g in zip(old["functions"](), new["functions"](), strict=True)
        for name in FIELDS
    ]
    taken = swap.commit(stores, hooked=True)
    assert old["all_of"]() == ["new"] * 10
    assert old["A"].static.__defaults__ == (2,)
    assert all(f.__code__ is g.__code__ for f, g in zip(old["functions"](), new["functions"](), strict=True))
    swap.undo(taken)
    assert old["all_of"]() == ["old"] * 10


# ---------------------------------------------------------------- names on loan


def test_lent_names_are_taken_back() -> None:
    """Names that are free are lent, and taken back unless somebody has put something of theirs there."""
    space: dict[str, Any] = {"mine": 1}
    with pytest.raises(KeyError), swap.lent(space, {"mine": 2, "a": 3, "b": 4, "c": 5}):
        assert space == {"mine": 1, "a": 3, "b": 4, "c": 5}
        space["b"] = "theirs"
        del space["c"]
        raise KeyError
    assert space == {"mine": 1, "b": "theirs"}


# ---------------------------------------------------------------- hooks and other machines: children


HOOKS = (
    "KINDS = "
    + repr(KINDS)
    + """
import sys
from suture.engine import hooks, swap
from suture.engine.swap import ABSENT, Guard, Store, Undo, Via
from suture.errors import Refused

FIELDS = ("__code__", "__defaults__", "__kwdefaults__")
class Forbidden(Exception): pass
mode, events, seen = "off", [], set()

def hook(event, args):
    global mode
    if mode == "off":
        return
    was, mode = mode, "off"
    try:
        events.append(event)
        if was == "look":
            values = [*old["all_of"](), space["x"], getattr(kind, "x")]
            assert len(set(values)) == 1, (event, args, values)
            seen.add(values[0])
        elif was == "refuse" or (was[0] == "nth" and event == "object.__setattr__" and was[1] == 1):
            if was[0] == "nth":
                was = "look"  # what follows, putting back or going on, is looked at
            raise Forbidden(event)
        elif was[0] == "nth" and event == "object.__setattr__":
            was = ("nth", was[1] - 1)
    finally:
        mode = was

def spaces(version, n=1):
    made = {}
    exec(KINDS.format(v=version, n=n), made)
    return made

def begin():
    global old, new, space, kind
    old, new, space, kind = spaces("old"), spaces("new", 2), {"x": "old"}, type("K", (), {"x": "old", "__doc__": "old"})
    stores = [Store(space, "x", Via.SETITEM, "new"), Store(kind, "__doc__", Via.TYPE_SETATTR, "new")]
    stores += [Store(f, n, Via.SETATTR, getattr(g, n)) for f, g in zip(old["functions"](), new["functions"]()) for n in FIELDS]
    stores += [Store(kind, "x", Via.TYPE_SETATTR, "new")]
    return stores

def now(stores):
    return [swap.read(s.owner, s.name, s.via) for s in stores]

def quietly(after):
    global mode
    was, mode = mode, after
    return was

# without a hook
assert hooks.audit_hook_present() is False
assert hooks.audit_hook_present() is False
hooks.probe()
sys.setprofile(profiler := lambda *a: None)
assert hooks.audit_hook_present() is (sys.version_info >= (3, 14))
assert sys.getprofile() is profiler
sys.setprofile(None)

sys.addaudithook(hook)
mode = "note"
present = hooks.audit_hook_present()
quietly("off")
assert present is True
assert "suture.probe" not in events, "no line of the hook ran"
[0 for _ in range(10000)]

# it looks at each event, and sees all or nothing
stores = begin()
guards = [Guard(s.owner, s.name, s.via, v) for s, v in zip(stores, now(stores))]
mode = "look"
hooks.probe()
taken = swap.commit(stores, guards)
quietly("off")
assert seen == {"old", "new"}, seen
assert all(a is s.new for a, s in zip(now(stores), stores))
seen.clear()
mode = "look"
swap.undo(taken)
quietly("off")
assert seen == {"old", "new"}, seen

# it refuses from the start
stores = begin()
before = now(stores)
mode = "refuse"
try:
    hooks.probe()
except Refused as error:
    refused = error
else:
    refused = None
undo = Undo()
try:
    swap.commit(stores, into=undo, hooked=True)
except Forbidden:
    pass
else:
    raise AssertionError("not refused")
quietly("off")
assert refused.code == "audit-hook-refuses" and "Forbidden" in refused.message, refused
assert all(a is b for a, b in zip(now(stores), before)) and not undo.done

# it refuses once, at the nth store
n, outcomes = 1, set()
while True:
    stores = begin()
    before, undo, journal = now(stores), Undo(), []
    mode = ("nth", n)
    try:
        swap.commit(stores, into=undo, record=[(journal.append, 1)], hooked=True)
        failed = False
    except Forbidden:
        failed = True
    quietly("off")
    if not failed:
        break
    outcomes.add(bool(undo.done))
    values = {*old["all_of"](), space["x"], kind.x}
    assert values == {"new" if undo.done else "old"}, (n, values)
    assert all(a is b for a, b in zip(now(stores), [s.new for s in stores] if undo.done else before)), n
    assert journal == [1] * len(undo.done)
    n += 1
assert outcomes == {True, False} and n > 20, (outcomes, n)
"""
)


def test_audit_hook_sees_all_or_nothing(run_child: Callable[..., Any], python: str) -> None:
    """A hook that looks sees all old or all new; one that raises, at whatever store, leaves all old or all new."""
    done = run_child(python, HOOKS)
    assert done.returncode == 0, done.stdout + done.stderr


WARNS = """
import sys, warnings
from suture.engine import swap
from suture.engine.swap import Store, Undo, Via
def f(): return 0
def g(): return 0
def h(): return 0
def generator(): yield 1
before = f.__code__, g.__code__, h.__code__
undo = Undo()
stores = [Store(x, "__code__", Via.SETATTR, c) for x, c in
          [(f, (lambda: 1).__code__), (g, generator.__code__), (h, (lambda: 1).__code__)]]
filters = list(warnings.filters)
swap.commit(stores, into=undo)
assert undo.done and f() == h() == 1 and list(g()) == [1]
swap.undo(undo)
assert (f.__code__, g.__code__, h.__code__) == before and g() == 0
assert warnings.filters == filters
try:
    g.__code__ = generator.__code__
except DeprecationWarning:
    assert sys.version_info >= (3, 13)
else:
    assert sys.version_info < (3, 13)
"""


def test_warning_turned_into_an_error(run_child: Callable[..., Any], python: str) -> None:
    """Where a store warns (3.13+), and -W error makes that raise elsewhere: not here, and the filters are the same afterwards."""
    done = run_child(python, WARNS, PYTHONWARNINGS="error")
    assert done.returncode == 0, done.stdout + done.stderr


VERSIONS = """
import sys, types
from suture.engine import hooks, swap, versions
from suture.engine.swap import Store, Via
def f(a=1): return a
def g(a=2): return a + 1
def old(a=1): return a
rests = []
def number(function):
    if sys.version_info < (3, 13):
        return 9
    _, at, _, kind = versions._found[0]
    return kind.from_address(id(function) + at).value
assert versions.restore([old], lambda: rests.append(1)) is True
if sys.version_info >= (3, 13):
    assert rests == [1]
first = number(f), number(old)
taken = swap.commit([Store(f, n, Via.SETATTR, getattr(g, n)) for n in ("__code__", "__defaults__")])
if sys.version_info >= (3, 13):
    assert number(f) < 2
assert versions.restore([f, old], lambda: None) is True
assert number(f) >= 2 and number(old) == first[1]
assert [f() for _ in range(5000)] == [3] * 5000
swap.undo(taken)
assert versions.restore([f], lambda: None) is True
assert number(f) >= 2 and [f() for _ in range(5000)] == [1] * 5000
# what isn't there is not an error
versions._found.clear()
import ctypes
real, ctypes.PYFUNCTYPE = ctypes.PYFUNCTYPE, None
assert versions.restore([f], lambda: None) is (sys.version_info < (3, 13))
assert hooks.audit_hook_present() is (sys.version_info >= (3, 14))
"""


def test_versions_come_back(run_child: Callable[..., Any], python: str) -> None:
    """From 3.13 on a patched function has a version again; those that have one keep it; without ctypes it says so."""
    done = run_child(python, VERSIONS)
    assert done.returncode == 0, done.stdout + done.stderr
