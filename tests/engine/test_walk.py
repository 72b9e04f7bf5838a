"""The structural walk finds functions wherever Python code puts them, and runs nobody's code on the way."""

from __future__ import annotations

import collections
import functools
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

import pytest

import suture
from suture.engine import walk as module
from suture.engine.walk import find_by_code, frame_roots, module_roots, walk

pytestmark = pytest.mark.whole_world
counted = pytest.mark.skipif("t" in getattr(sys, "abiflags", ""), reason="free-threaded builds don't count references")

PLANTED = """
import collections, functools, types
def deco(f):
    @functools.wraps(f)
    def wrapper(*a, **k): return f(*a, **k)
    return wrapper
def plain(x): return x
@deco
def wrapped(x): return x
@functools.lru_cache
def cached(x): return x
@functools.singledispatch
def dispatched(x): return 0
@dispatched.register
def dispatched_int(x: int): return 1
def with_default(key=lambda: 1, *, other=lambda: 2): return key
def noted(): pass
noted.callback = lambda: 3
table = {"k": [lambda: 4], 5: (lambda: 5,), (1, 2): {lambda: 6}}
by_function = {plain: 1}
ring = collections.deque([lambda: 7])
ordered = collections.OrderedDict(a=lambda: 8)
class Kept(list): pass
kept = Kept([lambda: 9])
view = types.MappingProxyType({"v": lambda: 10})
part = functools.partial(lambda a, b: a, lambda: 11, key=lambda: 12)
class SubPart(functools.partial): pass
subpart = SubPart(lambda a: a)
def closing(n):
    def inner(): return n
    return inner
closure = closing(3)
class C:
    def m(self): pass
    @staticmethod
    def s(): pass
    @classmethod
    def c(cls): pass
    @property
    def p(self): return 1
    @p.setter
    def p(self, v): pass
    @functools.cached_property
    def cp(self): return 1
    pm = functools.partialmethod(lambda self: 1)
    @functools.singledispatchmethod
    def sm(self, x): return 0
    @sm.register
    def _(self, x: str): return 1
    @deco
    def dm(self): pass
    class Inner:
        def z(self): pass
bound = C().m
class Meta(type):
    def of_meta(cls): pass
class WithMeta(metaclass=Meta):
    def wm(self): pass
"""


def planted(text: str = PLANTED) -> types.ModuleType:
    made = types.ModuleType("planted")
    exec(compile(text, "planted.py", "exec"), made.__dict__)
    return made


def codes_of(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from codes_of(constant)


def found_in(root: Any, **options: Any) -> list[tuple[str, types.FunctionType]]:
    return list(walk([("r", root)], rest=lambda: None, **options))


def paths_to(function: Any, root: Any, **options: Any) -> list[str]:
    return [p for p, f in found_in(root, **options) if f is function]


def test_every_planted_function_is_found() -> None:
    """All that the module's text defines and that still lives, closures and wrappers too."""
    made = planted()
    found = {f.__code__.co_name for _, f in found_in(made.__dict__)}
    text = compile(PLANTED, "planted.py", "exec")
    bodies = {c.co_name for c in codes_of(text)} - {"C", "Inner", "Kept", "SubPart", "Meta", "WithMeta"}
    if sys.version_info >= (3, 14):
        bodies -= {"__annotate__"}
    assert bodies - found == set()
    lambdas = [f for _, f in found_in(made.__dict__) if f.__code__.co_name == "<lambda>" and f.__globals__ is made.__dict__]
    assert len({id(f) for f in lambdas}) == PLANTED.count("lambda")


@counted
def test_the_account_of_the_planted_closes() -> None:
    """References to each code object: its enclosing code's, and one a function that was found."""
    from suture.engine.frames import references

    made = types.ModuleType("planted")
    body = compile(PLANTED, "planted.py", "exec")
    exec(body, made.__dict__)
    functions = {id(f): f for _, f in found_in(made.__dict__)}
    codes = list(codes_of(body))
    holders = collections.Counter(id(f.__code__) for f in functions.values())
    classes = {"C", "Inner", "Kept", "SubPart", "Meta", "WithMeta"}
    left = {
        c.co_name: n - 2 - holders[id(c)] for c, n in zip(codes, references(codes)) if c.co_name not in classes | {"__annotate__"}
    }
    assert {name: n for name, n in left.items() if n} == {}


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda f: {"a": f}, "r.x['a']"),
        (lambda f: {3: f}, "r.x[3]"),
        (lambda f: [0, f], "r.x[1]"),
        (lambda f: (f,), "r.x[0]"),
        (lambda f: {f}, "r.x{...}"),
        (lambda f: collections.deque([f]), "r.x[0]"),
        (lambda f: functools.partial(f), "r.x.func"),
        (lambda f: functools.partial(len, f), "r.x.args[0]"),
        (lambda f: functools.partial(len, k=f), "r.x.keywords['k']"),
        (lambda f: types.MethodType(f, 1), "r.x.__func__"),
        (lambda f: staticmethod(f), "r.x.__func__"),
        (lambda f: property(None, f), "r.x.fset"),
        (lambda f: type("K", (), {"m": f}), "r.x.m"),
        (lambda f: types.MappingProxyType({"k": f}), "r.x['k']"),
        (lambda f: functools.lru_cache(f), "r.x.__wrapped__"),
        (lambda f: lambda: f, "r.x<f>"),
        (lambda f: lambda g=f: g, "r.x(default)"),
        (lambda f: lambda *, g=f: g, "r.x(g=)"),
    ],
)
def test_the_path_says_where(make: Any, path: str) -> None:
    """A person can go there."""

    def f() -> None:
        """Held."""

    assert paths_to(f, {"x": make(f)}) == [path]


def test_each_place_is_named_and_each_object_opened_once() -> None:
    """Two names, a list and a bound method are four places."""

    def f() -> None:
        """Held."""

    f.note = f  # type: ignore[attr-defined]
    shared = [f]
    root = {"a": f, "b": f, "one": shared, "two": shared, "bound": types.MethodType(f, 0)}
    assert sorted(paths_to(f, root)) == ["r.a", "r.a.note", "r.b", "r.bound.__func__", "r.one[0]"]


def test_the_cached_function_is_found_though_its_name_was_removed() -> None:
    """The cache's C object still has it."""

    def f() -> None:
        """Held."""

    cached = functools.lru_cache(f)
    del cached.__wrapped__  # type: ignore[attr-defined]
    assert paths_to(f, {"x": cached}) == ["r.x(cached)"]


def test_instances_only_when_asked() -> None:
    """Attributes, slots, generators and objects of C: the first walk goes by, the second sees them."""

    def f() -> None:
        """Held."""

    class Plain:
        def __init__(self) -> None:
            self.callback = f

    class Slotted:
        __slots__ = ("callback", "empty")

    slotted = Slotted()
    slotted.callback = f  # type: ignore[attr-defined]

    def generator(held: Any) -> Iterator[int]:
        yield 1

    running = generator(f)
    next(running)
    root = {"plain": Plain(), "slotted": slotted, "generator": running, "c": iter([f])}
    assert paths_to(f, root) == []
    assert set(paths_to(f, root, instances=True)) == {
        "r.plain.callback",
        "r.slotted.callback",
        "r.generator[?]" if sys.version_info >= (3, 11) else "r.generator[?][?]",  # by way of its frame
        "r.c[?][0]",
    }


class Hostile(Exception):
    """Raised by everything below."""


def boom(*_: Any, **__: Any) -> Any:
    raise Hostile


def test_runs_nobodys_code() -> None:
    """Not one method, property, metaclass or descriptor of the program, however deep."""

    def f() -> None:
        """Held."""

    hooks = ("__getattribute__", "__getattr__", "__iter__", "__len__", "__hash__", "__eq__", "__repr__", "__bool__", "__contains__")
    methods = dict.fromkeys(hooks, boom)

    class Meta(type):
        __mro__ = property(boom)  # type: ignore[assignment]
        __instancecheck__ = __subclasscheck__ = boom
        __getattribute__ = __iter__ = __repr__ = __eq__ = boom
        __module__ = property(boom)  # type: ignore[assignment]

        def __hash__(cls) -> int:
            raise Hostile

    members = {**methods, "__dict__": property(boom), "__class__": property(boom), "attribute": property(boom)}
    holders: dict[str, Any] = {}
    for base in (object, list, tuple, dict, set, frozenset, collections.deque, functools.partial, property, staticmethod):
        own = type.__call__(type, base.__name__, (base,), {**members, "fget": property(boom), "func": property(boom)})
        made = base.__new__(own, f) if base in (functools.partial, staticmethod) else base.__new__(own)
        if base is list:
            list.append(made, f)
        elif base is dict:
            dict.__setitem__(made, "k", f)
        elif base is collections.deque:
            collections.deque.append(made, f)
        elif base is property:
            property.__init__(made, f)
        elif base is staticmethod:
            staticmethod.__init__(made, f)
        holders[base.__name__] = made
    odd = type.__new__(Meta, "Odd", (), {"m": f})
    holders["class"] = odd
    holders["instance"] = object.__new__(odd)
    holders["proxy"] = types.MappingProxyType(holders["dict"])
    paths = paths_to(f, holders, instances=True)
    assert {"r.list[0]", "r.dict['k']", "r.deque[0]", "r.partial.func", "r.property.fget", "r.staticmethod.__func__"} <= set(paths)
    assert "r.class.m" in paths


def test_nothing_is_made_in_what_it_looks_at() -> None:
    """A function without attributes gets no dictionary, a data record neither (that memory would stay)."""
    import gc

    def f() -> None:
        """Looked at."""

    before = list(map(type, gc.get_referents(f)))
    found_in({"f": f}, instances=True)
    assert list(map(type, gc.get_referents(f))) == before

    class Record:
        def __init__(self) -> None:
            self.number, self.text = 1, "one"

    record = Record()
    before = list(map(type, gc.get_referents(record)))
    found_in({"record": record}, instances=True)
    assert list(map(type, gc.get_referents(record))) == before


def test_what_is_too_large_is_named() -> None:
    """Not looked at, and not silent."""

    def f() -> None:
        """Out of reach."""

    skipped: list[str] = []
    root = {"big": [f] * (module.MAX_ELEMENTS + 1), "large": dict.fromkeys(range(module.MAX_ELEMENTS + 1), f), "near": f}
    assert paths_to(f, root, skipped=skipped) == ["r.near"]
    assert skipped == ["r.big", "r.large"]


def test_the_limit_is_named() -> None:
    """The walk ends, and says that it did."""
    skipped: list[str] = []
    found_in({str(i): [[i, []]] for i in range(50)}, limit=10, skipped=skipped)
    assert len(skipped) == 1
    assert "beyond the first 10" in skipped[0]


def test_a_container_that_changes_under_our_hands_is_tried_again_and_then_named() -> None:
    """No endless loop, no error, no silence."""
    skipped: list[str] = []
    tries = []

    def view() -> Iterator[int]:
        tries.append(1)
        if len(tries) < 3:
            raise RuntimeError
        return iter([1])

    assert module._snapshot(view, "r.d", skipped, lambda: None) == [1]
    assert skipped == []
    tries[:] = [1] * -10

    def never() -> Iterator[int]:
        raise RuntimeError

    assert module._snapshot(never, "r.d", skipped, lambda: None) == []
    assert skipped == ["r.d"]


def test_a_large_container_is_looked_at_in_parts() -> None:
    """The program gets its turn between them; one that is written to each time is looked at in one go at last."""
    turns = []
    large = dict.fromkeys(range(5000))
    assert module._snapshot(large.items, "r.d", [], lambda: turns.append(1)) == list(large.items())
    assert len(turns) == 5000 // module._PART
    for kind in (list, tuple, set, dict.fromkeys):
        turns.clear()
        found = list(walk([("r", [kind(map(float, range(5000)))])], rest=lambda: turns.append(1)))
        assert found == [] and len(turns) > 2 * (5000 // module._PART)
    skipped: list[str] = []
    assert len(module._snapshot(large.items, "r.d", skipped, lambda: large.update({object(): 1}))) > 5000
    assert skipped == []


def test_a_deep_structure_needs_no_stack() -> None:
    """Five thousand lists in each other."""

    def f() -> None:
        """At the bottom."""

    deep: list[Any] = [f]
    for _ in range(5_000):
        deep = [deep]
    assert len(paths_to(f, {"deep": deep})) == 1


def test_it_rests_inside_large_objects_too() -> None:
    """Rests come at least every 32 children, and while letting go."""
    rests = []
    root = {"many": [[] for _ in range(1_000)]}
    list(walk([("r", root)], rest=lambda: rests.append(1)))
    assert len(rests) > 1_000


def test_an_abandoned_walk_lets_go_of_everything() -> None:
    """A reader that stops early keeps nothing alive."""
    import weakref

    class Thing:
        pass

    def f() -> None:
        """Found first."""

    thing = Thing()
    gone = weakref.ref(thing)
    going = walk([("r", {"f": f, "thing": thing})], rest=lambda: None, instances=True)
    next(going)
    list(going)
    del thing
    assert gone() is None


def test_module_roots_leave_out_what_is_no_module_and_what_is_ours() -> None:
    """``sys.modules`` may hold anything."""
    sys.modules["walk_test_odd"] = Odd()  # type: ignore[assignment]
    sys.modules["walk_test_module"] = planted()
    try:
        names = dict(module_roots())
    finally:
        del sys.modules["walk_test_odd"], sys.modules["walk_test_module"]
    assert "walk_test_module" in names
    assert "walk_test_odd" not in names
    assert not [n for n in names if n.partition(".")[0] == "suture"]
    assert all(type(d) is dict for d in names.values())


class Odd:
    """No module, but says that it is one."""

    __class__ = types.ModuleType  # type: ignore[assignment]
    __dict__ = property(boom)  # type: ignore[assignment]


def test_frame_roots_are_labelled_by_thread_and_function() -> None:
    """The locals of another thread's frames, under its name."""
    entered, leave = threading.Event(), threading.Event()

    def waiting() -> None:
        held = lambda: 1  # noqa: E731
        entered.set()
        leave.wait()
        del held

    thread = threading.Thread(target=waiting, name="Ticker")
    thread.start()
    entered.wait()
    try:
        roots = dict(frame_roots())
        assert "held" in roots["thread Ticker in waiting"]  # type: ignore[operator]
        assert any(p.endswith("waiting.held") for p, _ in walk(frame_roots(), rest=lambda: None))
    finally:
        leave.set()
        thread.join()


NESTED = """
def make(n):
    def inner():
        return n
    return inner
class Slotted:
    __slots__ = ("callback",)
"""


def control() -> types.CodeType:
    """Held by nobody but the caller (a function of it would have itself in its globals, and live on)."""
    return next(codes_of(compile("def control():\n    pass\n", "", "exec")))


@counted
def test_closures_are_found_in_modules_frames_and_instances_until_the_account_closes() -> None:
    """In a name, in a local variable and in a slot of an instance: three, and nobody is unaccounted for."""
    made = planted(NESTED)
    sys.modules["walk_test_nested"] = made
    try:
        made.by_name = made.make(1)
        made.box = made.Slotted()
        made.box.callback = made.make(2)
        local = made.make(3)
        codes = [next(codes_of(made.make.__code__)), control()]
        found, left = find_by_code(codes, lambda: None)
        assert {f() for _, f in found[id(codes[0])]} == {1, 2, 3}
        assert left == {id(codes[0]): 0}
        del local
    finally:
        del sys.modules["walk_test_nested"]


@counted
def test_what_cannot_be_found_is_left_over() -> None:
    """A container that is too large to look into: one reference that nobody was found for."""
    made = planted(NESTED)
    made.large = [None] * module.MAX_ELEMENTS + [made.make(1)]
    codes = [next(codes_of(made.make.__code__)), control()]
    found, left = find_by_code(codes, lambda: None)
    assert found[id(codes[0])] == []
    assert left == {id(codes[0]): 1}


@counted
def test_a_closed_account_walks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No closure alive: no walk at all."""
    made = planted(NESTED)
    monkeypatch.setattr(module, "walk", boom)
    codes = [next(codes_of(made.make.__code__)), control()]
    found, left = find_by_code(codes, lambda: None)
    assert found[id(codes[0])] == []
    assert left == {id(codes[0]): 0}


@pytest.mark.skipif(sys.gettrace() is not None, reason="needs the tracer for itself")
def test_interrupt_at_each_instruction() -> None:
    """A KeyboardInterrupt anywhere in the walk comes out as itself."""

    def f() -> None: ...

    code = walk.__code__
    space = {"a": [f, [f], {"b": f}], "c": {"d": [f]}}
    left, whole = 0, len(list(walk([("m", space)], rest=lambda: None)))

    def trace(frame: types.FrameType, event: str, _: object) -> object:
        nonlocal left
        if frame.f_code is not code:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return trace

    wrong: list[tuple[int, BaseException]] = []
    for at in range(1, 100_000):
        left = at
        sys.settrace(trace)  # type: ignore[arg-type]
        try:
            assert len(list(walk([("m", space)], rest=lambda: None))) == whole
        except KeyboardInterrupt:
            continue
        except BaseException as error:
            wrong.append((at, error))
            continue
        finally:
            sys.settrace(None)
        break
    assert at > 100 and whole >= 4
    assert wrong == []


def test_a_type_of_c_without_a_dictionary(world: Any) -> None:
    """One that nobody has made ready yet (up to 3.11): it has nothing, and the census goes on."""
    text = "import _socket\ndef f():\n    return {}\n"
    m = world.module(text.format(1))
    report = suture.apply(world.patch(text.format(2)))
    assert report.ok, report.words()
    assert m.f() == 2
