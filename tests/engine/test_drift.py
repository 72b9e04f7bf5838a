"""Drift: what isn't as the source and the patches say is named, each kind of difference by its own; what is, is the same."""

from __future__ import annotations

import compileall
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import suture
from drifts import DIFFERENCES, TEXT
from suture.difference import DriftReport, ModuleDrift
from suture.engine.bound import CantTell, holds
from suture.engine.pieces import cut
from suture.engine.values import shown
from suture.errors import Refused
from suture.ops.build import build


def kinds(report: DriftReport) -> dict[str, str]:
    """What differs, by the name without its module."""
    return {d.target.partition(":")[2] or d.target: d.kind for d in report.all_differences()}


class House:
    """A live module of TEXT and a tree for it."""

    def __init__(self, world: Any, text: str = TEXT) -> None:
        self.world = world
        self.m = world.module(text)
        self.tree = world.root / "tree"
        self.tree.mkdir()
        self.write(text)

    def write(self, text: str) -> None:
        (self.tree / f"{self.m.__name__}.py").write_text(text)

    def becomes(self, *pairs: tuple[str, str], text: str = TEXT) -> dict[str, str]:
        """What differs once the tree has some text exchanged."""
        for a, b in pairs:
            assert a in text, a
            text = text.replace(a, b)
        self.write(text)
        return self.differs()

    def differs(self, **options: Any) -> dict[str, str]:
        report = suture.drift(self.tree, **options)
        assert report.ok is not bool(report.all_differences())
        return kinds(report)


@pytest.fixture
def house(world: Any) -> House:
    return House(world)


# ---------------------------------------------------------------- the same


def test_untouched_is_the_same(house: House) -> None:
    """All sorts of definitions, and nothing differs; what is computed is counted."""
    report = suture.drift(house.tree)
    assert report.ok, report.words()
    (module,) = report.modules
    assert module.state == "same"
    assert module.compared > 30
    assert module.computed >= 3  # COMPUTED, made, d=LIMIT at least
    assert report.words().startswith("same: pid ")


def test_nothing_is_run_and_nothing_written(house: House) -> None:
    """The tree's text would say so if it ran, and every object is the one that was there."""
    before = {k: id(v) for k, v in vars(house.m).items()}
    house.write(TEXT + "\nimport sys\nsys.modules['ran_it'] = 1\n")
    suture.drift(house.tree)
    assert "ran_it" not in sys.modules
    assert {k: id(v) for k, v in vars(house.m).items()} == before


@pytest.mark.parametrize("level", [0, 1, 2])
def test_other_levels_of_optimization(world: Any, level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that was compiled with -O or -OO is its source's."""
    text = 'def f(x):\n    "doc"\n    assert x\n    return x\nclass C:\n    "doc"\n    def m(self):\n        "doc"\n        assert self\n'
    name = f"{world.prefix}level{level}"
    path = world.root / "live" / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    module = types.ModuleType(name)
    module.__file__ = str(path)
    exec(compile(text, str(path), "exec", dont_inherit=True, optimize=level), module.__dict__)
    monkeypatch.setitem(sys.modules, name, module)
    assert (module.f.__doc__ is None) == (level == 2)
    assert suture.drift({name: text}).ok
    assert kinds(suture.drift({name: text.replace("return x", "return -x")})) == {"f": "code"}


def test_lines_do_not_count(house: House) -> None:
    """Comments and blank lines move everything, and nothing differs."""
    assert house.becomes(("LIMIT = 10\n", "# more\n\n\nLIMIT = 10\n")) == {}


def test_classes_in_functions_know_their_lines(world: Any) -> None:
    """3.13 keeps a class's line in the code around it: moved, it's the same; changed, it isn't."""
    text = "def f():\n    class A:\n        def m(self):\n            return 1\n    return A\n"
    house = House(world, text)
    assert house.becomes(("def f", "\n\n# moved\ndef f"), text=text) == {}
    assert house.becomes(("return 1", "return 2"), text=text) == {"f": "code"}


def test_module_that_mentions_super(world: Any) -> None:
    """From 3.12 on that alone gives every method other code."""
    text = "_super = super\nclass A:\n    def m(self):\n        return super().__repr__()\n"
    house = House(world, text)
    assert house.differs() == {}
    assert house.becomes(("__repr__", "__str__"), text=text) == {"A.m": "code"}


BASES = """
from collections import OrderedDict
from typing import Generic, NamedTuple, Protocol, TypedDict, TypeVar
T = TypeVar("T")
class Movie(TypedDict):
    name: str
class Series(Movie):
    parts: int
class Short(Movie, total=False):
    minutes: int
class Point(NamedTuple):
    x: int = 1
    def m(self): return self.x
class Sized(NamedTuple("Sized", [("n", int)])):
    def m(self): return self.n
class Closes(Protocol):
    def close(self): ...
class Opens(Closes, Protocol):
    def open(self): ...
class Box(Generic[T]):
    def m(self): return 2
class Crate(Box, Generic[T]):
    def n(self): return 3
class OrderedDict(OrderedDict):
    def m(self): return 4
class Meta(type):
    def __new__(metaclass, name, bases, space):
        return super().__new__(metaclass, name, (*bases, Box), space)
class Made(metaclass=Meta):
    pass
class Again(Made):
    pass
class Old: pass
class Heir(Old): pass
class Old(Old): pass
class Outer:
    class Box: pass
    class Inner(Box): pass
class Last(Crate):
    def m(self): return 5
"""


def test_bases_that_only_running_would_tell(world: Any) -> None:
    """What a metaclass makes of the bases, a class that derives from one of its own name, a base bound anew: no difference."""
    house = House(world, BASES)
    assert house.differs() == {}
    assert house.becomes(("Last(Crate)", "Last(Outer)"), text=BASES) == {"Last": "bases"}
    assert house.becomes(("Opens(Closes, ", "Opens("), text=BASES) == {"Opens": "bases"}
    assert house.becomes(("return 4", "return 0"), text=BASES) == {"OrderedDict.m": "code"}


TAKEN = """
from dataclasses import dataclass
class Meta(type):
    def __new__(metaclass, name, bases, space):
        return super().__new__(metaclass, name, bases, {k: v for k, v in space.items() if not k.startswith("test_")})
class Tests(metaclass=Meta):
    def test_one(self): return 1
    def test_two(self): return 2
    test_limit = 3
    class test_Inner: pass
    def stays(self): return 4
class Base:
    def __init_subclass__(cls):
        for name in ("gone", "limit", "Inner"):
            delattr(cls, name)
    def stays(self): return 5
class Heir(Base):
    def gone(self): return 6
    limit = 7
    class Inner: pass
    def stays(self): return 8
def strip(cls):
    del cls.gone, cls.limit, cls.Inner
    return cls
@strip
class Stripped:
    def gone(self): return 9
    limit = 10
    class Inner: pass
    def stays(self): return 11
def swap(cls):
    cls.gone, cls.limit, cls.Inner = lambda self: 12, 13, int
    return cls
@swap
class Swapped:
    def gone(self): return 14
    limit = 15
    class Inner: pass
    def stays(self): return 16
@dataclass
class Data:
    limit: int = 17
    def stays(self): return 18
"""


def test_names_that_are_taken_from_a_class(world: Any) -> None:
    """A metaclass, ``__init_subclass__`` or a decorator that removes or replaces names: no difference; what stays is compared."""
    house = House(world, TAKEN)
    assert house.differs() == {}
    for n, name in ((4, "Tests"), (5, "Base"), (8, "Heir"), (11, "Stripped"), (16, "Swapped"), (18, "Data")):
        assert house.becomes((f"return {n}\n", "return 0\n"), text=TAKEN) == {f"{name}.stays": "code"}
    added = (("def stays(self): return 5", "def stays(self): return 5\n    def more(self): pass"), ("= 17", "= 0"))
    assert house.becomes(*added, text=TAKEN) == {"Base.more": "missing", "Data.limit": "value"}


GLOBAL = """
def set_up():
    "global nothing, of_the_sort"
    global made, Made, \\
        short; global outer
    def made(): return 1
    class Made:
        def m(self): return 2
    short = lambda: 3
    def outer():
        return [lambda: 4]
set_up()
def again(): return 0
class Again:
    def m(self): return 0
later = lambda: 0
def replaced(): return 5
class Setup:
    def run(self):
        def inner():
            global again, Again, later, replaced, added
            def again(): return 6
            class Again:
                def m(self): return 7
            later = lambda: 8
            def added(): return 9
        return inner()
Setup().run()
def other(): return 10
def sets():
    global other
    other = None
"""


def test_functions_that_are_made_through_global(world: Any) -> None:
    """What a function of the module has bound there, or may have, isn't extra, nor other code."""
    house = House(world, GLOBAL)
    assert house.differs() == {}
    assert house.becomes(("return 5", "return 0"), text=GLOBAL) == {"replaced": "code"}
    assert house.becomes(("return 10", "return 0"), text=GLOBAL) == {"other": "code"}
    assert house.becomes(("return 6", "return -6"), text=GLOBAL) == {"again": "code", "Setup.run": "code"}
    assert house.becomes(("short; global outer", "short"), ("Made, ", ""), text=GLOBAL) == {
        "outer": "extra",
        "Made": "extra",
        "set_up": "code",
    }


def test_either_branch_may_be_live(house: House) -> None:
    """Of definitions that exclude each other one is enough; a third version isn't."""
    assert house.becomes(('return "no"', 'return "never"')) == {}
    assert house.becomes(('return "yes"', 'return "si"')) == {"which": "code"}


def test_what_is_live_and_generated_is_not_extra(house: House) -> None:
    """Functions made by exec, by a dataclass, by a factory of the module aren't anybody's but theirs."""
    exec("def from_exec(): pass", vars(house.m))
    house.m.again = house.m.outer(4)
    house.m.Base.again = house.m.outer(5)
    house.m.alias = house.m.plain
    assert house.differs() == {}


# ---------------------------------------------------------------- each kind of difference


@pytest.mark.parametrize(
    ("old", "new", "want"),
    DIFFERENCES,
)
def test_each_difference_is_named(house: House, old: str, new: str, want: dict[str, str]) -> None:
    """One thing in the tree is another: that is named, and nothing else."""
    assert house.becomes((old, new)) == want


def test_what_the_program_does(house: House) -> None:
    """Names that it binds anew differ; tables that it fills have grown, and those that it empties differ."""
    house.m.NAMES.append("c")
    house.m.TABLE["three"] = object()
    house.m.SEEN.update(range(9))
    assert house.differs() == {}
    assert suture.drift(house.tree).modules[0].grown == 2
    house.m.TABLE["two"]["deep"].clear()
    house.m.LIMIT = 99
    house.m.plain = 3
    house.m.Base.kind = None
    del house.m.twice
    assert house.differs() == {
        "TABLE": "value",
        "LIMIT": "value",
        "plain": "value",
        "Base.kind": "value",
        "twice": "missing",
    }
    words = suture.drift(house.tree).words()
    assert "LIMIT  value: is 99, expected 10" in words
    assert "plain  value: is 3, expected function plain" in words
    assert words.splitlines()[0].startswith("differs: pid ")


def test_monkeypatched_by_somebody_else(house: House) -> None:
    """Another function in the place of a method, and other code in the same function."""
    house.m.Base.s = staticmethod(lambda: "other")
    house.m.twice.__code__ = (lambda: 3).__code__
    assert house.differs() == {"Base.s": "value", "twice": "code"}
    words = " ".join(suture.drift(house.tree).words().split())
    assert "Base.s value: is function test_monkeypatched" in words
    assert "twice code: is other code of test_drift.py, line" in words


# ---------------------------------------------------------------- patches


CHANGES = (("return os.path.join(a, str(b)) + c, d", "return c, d"), ("LIMIT = 10", "LIMIT = 12"))


def test_live_patch_is_expected(world: Any) -> None:
    """The old tree and the patch, and the new tree alone: both are what is live; another tree isn't; nor is the patch unwanted."""
    text = TEXT.replace("COMPUTED = LIMIT * 2\n", "").replace(", d=LIMIT", ", d=2")
    house = House(world, text)
    patch = world.replace(*CHANGES)
    report = suture.apply(patch)
    assert report.ok, report.words()
    assert house.differs() == {}
    assert house.differs(patches=[patch.name]) == {}
    assert house.differs(patches=[]) == {patch.id: "not expected", "plain": "code", "LIMIT": "value"}
    assert house.differs(patches=[patch.id, "other-1"]) == {"other-1": "not live"}
    assert house.becomes(*CHANGES, text=text) == {}
    third = (("return os.path.join(a, str(b)) + c, d", "return d"), ("LIMIT = 10", "LIMIT = 13"))
    assert house.becomes(*third, text=text) == {"plain": "code", "LIMIT": "value"}
    assert f"other code of {patch.id}" in suture.drift(house.tree).words()
    assert suture.revert(patch.id).ok
    assert house.becomes(*CHANGES, text=text) == {"plain": "code", "LIMIT": "value"}
    house.write(text)
    assert house.differs() == {}


def test_patched_and_then_changed_by_somebody_else(world: Any) -> None:
    """A patch excuses what it put there alone."""
    house = House(world, "K = 1\ndef f():\n    return 1\n")
    assert suture.apply(world.patch("K = 2\ndef f():\n    return 2\n")).ok
    assert house.differs() == {}
    ours = house.m.f.__code__
    house.m.f.__code__ = ours.replace(co_consts=(*ours.co_consts, 3))
    house.m.K = 3
    assert house.differs() == {"f": "code", "K": "value"}
    house.m.f.__code__ = ours


def test_lambdas_that_a_patch_makes_anew(world: Any) -> None:
    """Body and default change together: the new lambda or the old one is enough; a third isn't."""
    text = "f = lambda x, y=1: x + 1\nT = {'k': lambda x=1: x + 2}\nclass C:\n    g = lambda s, y=1: y + 3\n"
    new = text.replace("=1", "=2").replace(" + ", " - ")
    house = House(world, text)
    assert suture.apply(world.patch(new)).ok
    assert house.m.f(1) == 0
    assert house.differs() == {}
    house.write(new)
    assert house.differs() == {}
    third = dict.fromkeys(("f", "T", "C.g"), "code")
    assert house.becomes(("+", "*"), text=text) == third
    house.write(text)
    assert house.differs(patches=[]).items() >= third.items()


def test_additions_of_a_patch(world: Any) -> None:
    """What an expected patch adds isn't extra; what an unexpected one adds is."""
    house = House(world, "def f():\n    return 1\nclass C:\n    pass\n")
    patch = world.patch("def f():\n    return g()\ndef g():\n    return 2\nclass C:\n    def m(self):\n        return 1\n")
    assert suture.apply(patch).ok
    assert house.differs() == {}
    assert house.differs(patches=()) == {patch.id: "not expected", "f": "code", "g": "extra", "C.m": "extra"}


def test_two_patches_on_each_other(world: Any) -> None:
    """Each level of the stack is a tree that fits; the first patch alone, named, doesn't excuse the second."""
    house = House(world, "def f():\n    return 1\n")
    for n in (2, 3):
        assert suture.apply(world.patch(f"def f():\n    return {n}\n")).ok
        world.becomes(f"def f():\n    return {n}\n")
    for n in (1, 2, 3):
        house.write(f"def f():\n    return {n}\n")
        assert house.differs() == {}, n
    house.write("def f():\n    return 1\n")
    assert house.differs(patches=["p1"])["f"] == "code"


def test_defaults_that_a_patch_changed(world: Any) -> None:
    """Code and defaults of one level belong together."""
    house = House(world, "def f(a=1):\n    return 1\n")
    assert suture.apply(world.patch("def f(a=2):\n    return 2\n")).ok
    assert house.differs() == {}
    house.write("def f(a=1):\n    return 2\n")
    assert house.differs() == {"f": "default"}


# ---------------------------------------------------------------- which modules


def test_not_loaded_and_not_to_be_compared(house: House) -> None:
    """A file that nobody has imported; one that isn't Python for this interpreter: neither is a difference, the second isn't ok."""
    (house.tree / "never_imported_here.py").write_text("x = 1\n")
    report = suture.drift(house.tree)
    assert (report.ok, [m.module for m in report.having("not loaded")]) == (True, ["never_imported_here"])
    house.write("def f(:\n")
    report = suture.drift(house.tree)
    (module,) = report.having("not compared")
    assert (report.ok, "syntax-error" in module.why) == (False, True)
    assert f"{module.module}  not compared" in report.words()
    house.write("x = '''\n")
    assert suture.drift(house.tree).having("not compared")


def test_nothing_compared_is_not_ok(house: House) -> None:
    """A wrong folder isn't the same."""
    assert not suture.drift({"never_imported_here": "x = 1\n"}).ok


def test_main_and_package(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module made from the file under another name is found; a file of the same name in another package isn't it."""
    house = House(world, "x = 1\n")
    twin = importlib.util.module_from_spec(importlib.util.spec_from_file_location("__main__", house.m.__file__))
    twin.__dict__["x"] = 2
    monkeypatch.setitem(sys.modules, f"{house.m.__name__}_again", twin)
    assert [d.target for d in suture.drift(house.tree).all_differences()] == ["__main__:x"]
    assert suture.drift({"pyexpat_not_here.parser": ""}).having("not loaded")
    importlib.import_module("email.mime.nonmultipart")
    assert suture.drift({"nonmultipart": "x = 1\n"}).having("not loaded")


def test_imported_with_an_armed_patch(world: Any, tmp_path: Path) -> None:
    """A module that got the fix at its import is the old tree and the patch."""
    name = f"{world.prefix}late"
    for side, n in (("old", 1), ("new", 2)):
        (tmp_path / side).mkdir()
        (tmp_path / side / f"{name}.py").write_text(f"K = {n}\ndef f():\n    return {n}\n")
    (world.root / "live").mkdir(exist_ok=True)
    (world.root / "live" / f"{name}.py").write_text("K = 1\ndef f():\n    return 1\n")
    sys.path.insert(0, str(world.root / "live"))
    world.modules.append(name)
    patch = build(tmp_path / "old", tmp_path / "new", name="late")
    assert suture.apply(patch).ok
    assert importlib.import_module(name).f() == 2
    assert suture.drift(tmp_path / "old").ok
    assert suture.drift(tmp_path / "new").ok
    assert kinds(suture.drift(tmp_path / "old", patches=[])) == {patch.id: "not expected", "f": "code", "K": "value"}


def test_bytecode_beside_the_source(world: Any, tmp_path: Path) -> None:
    """A module from a .pyc in the source's place."""
    name = f"{world.prefix}pyc"
    folder = tmp_path / "only"
    folder.mkdir()
    (folder / f"{name}.py").write_text("def f():\n    return 1\n")
    compileall.compile_file(str(folder / f"{name}.py"), legacy=True, quiet=2)
    (folder / f"{name}.py").unlink()
    sys.path.insert(0, str(folder))
    try:
        importlib.import_module(name)
        assert suture.drift({name: "def f():\n    return 1\n"}).ok
        assert kinds(suture.drift({name: "def f():\n    return 2\n"})) == {"f": "code"}
    finally:
        sys.path.remove(str(folder))
        del sys.modules[name]


# ---------------------------------------------------------------- values, pieces, report


class Odd(str):
    def __eq__(self, other: object) -> bool:
        raise AssertionError("nobody's code is run")

    def __hash__(self) -> int:
        return hash(str(self))

    def __repr__(self) -> str:
        raise AssertionError("nobody's code is run")


@pytest.mark.parametrize(
    ("live", "want", "says"),
    [
        (1, 1, "same"),
        (True, 1, ""),
        (0.0, -0.0, ""),
        ([1], [1, 2], ""),
        ([1, 2, 3], [1, 2], "grown"),
        ((1, 2, 3), (1, 2), ""),
        ((1, [2, 3]), (1, [2]), "grown"),
        ({1}, {True}, ""),
        ({1, 2}, {1}, "grown"),
        (frozenset({1, 2}), frozenset({1}), ""),
        ({"a": 1, Odd("b"): 2}, {"a": 1}, "grown"),
        ({Odd("a"): 1}, {"a": 1}, ""),
        (Odd("a"), "a", ""),
        ({1: "x"}, {True: "x"}, ""),
    ],
)
def test_what_a_literal_holds(live: Any, want: Any, says: str) -> None:
    """Types count, order of lists counts, what a program adds to a table doesn't; no code of its own is run."""
    assert holds(live, want) == says
    shown(live)


def test_what_cannot_be_told() -> None:
    """Too big to be looked at: said to be so, not guessed."""
    with pytest.raises(CantTell):
        holds(list(range(30_000)), [1])


def test_pieces() -> None:
    """Blocks, one-liners, decorators, type-checking blocks and strings over lines are cut where they end."""
    text = (
        "if TYPE_CHECKING:\n    import z\nelse: z = None\n@deco\n# c\ndef f(a,\n  b=1):\n    '''x\nzero\n'''\n    return 1\n\n"
        "class A: x = 1; y = 2\nfor i, (j, k) in z: print(i)\ntry: pass\nexcept E as e: pass\nclass B(A):\n  if 1:\n"
        "    async def m(self): return {1: 2}\n  z = 3"
    )
    found = [
        (p.kind, p.name or p.text.strip(), p.line, p.classes, p.maybe, p.typing) for p in cut(text, path="x", rest=lambda: None)
    ]
    assert found == [
        ("plain", "import z", 2, (), True, True),
        ("plain", "z = None", 3, (), True, False),
        ("def", "f", 4, (), False, False),
        ("class", "A", 13, (), False, False),
        ("names", "", 14, (), False, False),
        ("plain", "print(i)", 14, (), True, False),
        ("plain", "pass", 15, (), True, False),
        ("names", "", 16, (), False, False),
        ("plain", "pass", 16, (), True, False),
        ("class", "B", 17, (), False, False),
        ("def", "m", 19, ("B",), True, False),
        ("plain", "z = 3", 20, ("B",), False, False),
    ]
    with pytest.raises(Refused):
        cut("x = (\n", path="x", rest=lambda: None)


def test_report_as_json(house: House) -> None:
    """A module's row comes back from JSON as it went; words fit a screen and can't act on it."""
    house.m.LIMIT = "\033[2J" + "x" * 100
    report = suture.drift(house.tree)
    row = report.to_json()
    assert (row["ok"], row["modules"][0]["state"]) == (False, "differs")
    assert ModuleDrift.from_json(row["modules"][0]) == report.modules[0]
    assert "\033" not in report.words()
    assert max(map(len, report.words().splitlines())) <= 80
