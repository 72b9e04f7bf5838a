"""From a change to what is live: what isn't loaded, what is there already, what is something else; each has its name."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

import suture
from suture.patch import Change, Expect, FileFact, Kind, Patch, Scope, Target


def words(report: Any) -> dict[str, str]:
    """Severity by code and target, without the module's changing prefix."""
    return {f"{f.code} {f.target.partition(':')[2] or f.target}": str(f.severity) for f in report.findings}


def one(
    module: str,
    name: str,
    before: str | None,
    after: str,
    kind: Kind = Kind.FUNCTION,
    classes: tuple[str, ...] = (),
    files: tuple[FileFact, ...] = (),
) -> Patch:
    """A patch of one change, written by hand."""
    expect = Expect.ABSENT if before is None else Expect.SOURCE
    target = Target(module, name, f"{module.replace('.', '/')}.py")
    return Patch("p", (Change(0, kind, target, before, after, Scope(classes, 0, 0, 1, 1), expect, ()),), files)


# ---------------------------------------------------------------- not loaded


@pytest.fixture
def unloaded(world: Any) -> Any:
    """A second module of the program, on disk and not imported."""
    world.module("def f():\n    return 'old'\n")
    name = f"{world.prefix}later"
    world.old[name] = "def g():\n    return 'old'\n"
    path = world.root / "live" / f"{name}.py"
    path.write_text(world.old[name])
    world.modules.append(name)
    return path


NEW = {"m": "def f():\n    return 'new'\n", "later": "def g():\n    return 'new'\n"}


def test_a_module_that_is_not_imported_is_armed(world: Any, unloaded: Path) -> None:
    """The rest goes live; a later import gets the fix."""
    report = suture.apply(world.patch(NEW))
    assert report.ok, report.words()
    assert sys.modules[f"{world.prefix}m"].f() == "new"
    assert words(report)[f"armed {unloaded.stem}"] == "note"
    assert {r.target.partition(":")[2]: r.status for r in report.changed} == {"f": "updated", "g": "armed"}
    assert unloaded.stem not in sys.modules


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_file_that_is_fixed_already_is_a_note(world: Any, unloaded: Path, ends: str, mark: str) -> None:
    """Whatever its line ends, with a byte order mark or without."""
    unloaded.write_bytes((mark + NEW["later"].replace("\n", ends)).encode())
    report = suture.apply(world.patch(NEW))
    assert report.ok, report.words()
    assert words(report)[f"not-loaded {unloaded.stem}"] == "note"


@pytest.mark.parametrize("data", [b"# coding: nonsense\n", b"# coding: utf-8\n'\xff'\n", b"\xef\xbb\xbf# coding: latin-1\n"])
def test_a_file_that_is_no_text_is_not_taken_for_fixed(world: Any, unloaded: Path, data: bytes) -> None:
    """It can't be compared: the warning stands."""
    unloaded.write_bytes(data)
    report = suture.apply(world.patch(NEW))
    assert report.ok, report.words()
    assert words(report)[f"armed {unloaded.stem}"] == "warning"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable for root")
def test_a_file_that_may_not_be_read_is_not_taken_for_fixed(world: Any, unloaded: Path) -> None:
    """As before."""
    unloaded.write_text(NEW["later"])
    unloaded.chmod(0)
    report = suture.apply(world.patch(NEW))
    assert words(report)[f"armed {unloaded.stem}"] == "warning"


def test_nothing_loaded_is_armed_and_said(world: Any, unloaded: Path) -> None:
    """A patch of which no module is imported changes nothing yet: it may be the wrong process, or the wrong root."""
    report = suture.apply(world.patch({"later": NEW["later"]}))
    assert report.ok
    said = words(report)
    assert said.pop(f"armed {unloaded.stem}") == "note"
    assert [(k.split()[0], v) for k, v in said.items()] == [("live-nowhere", "warning")]


def test_nothing_loaded_and_all_files_fixed_is_nothing_to_do(world: Any, unloaded: Path) -> None:
    """Then every later import runs the fix."""
    unloaded.write_text(NEW["later"])
    report = suture.apply(world.patch({"later": NEW["later"]}))
    assert report.ok, report.words()
    assert words(report) == {f"not-loaded {unloaded.stem}": "note", f"nothing-live {report.patch_id}": "note"}


def test_modules_of_packages_are_looked_for_where_their_package_is(world: Any, tmp_path: Path) -> None:
    """Below a loaded package's own path, below an unloaded one from the import root; else the module is unknown."""
    world.module("x = 1\n")
    name = f"{world.prefix}pack"
    world.modules += [name]
    for path in (f"{name}/__init__.py", f"{name}/deep/__init__.py", f"{name}/beside.py"):
        (tmp_path / "live" / path).parent.mkdir(exist_ok=True)
        (tmp_path / "live" / path).write_text("")
    asked = {
        f"{name}.beside": "armed",
        f"{name}.deep": "armed",
        f"{name}.deep.nothing": "module-unknown",
        f"{name}.nothing": "module-unknown",
        name: "armed",
    }
    for loaded in (False, True):
        if loaded:
            __import__(name)
            del asked[name]
        for module, code in asked.items():
            report = suture.plan(one(module, "f", "def f():\n    return 1\n", "def f():\n    return 2\n"))
            assert report.ok is (code == "armed")
            assert code in {f.code for f in report.findings}, (loaded, module, report.words())


def test_two_files_that_end_alike_are_ambiguous(world: Any, tmp_path: Path) -> None:
    """Neither is guessed; the functions of both stay."""
    a, b = (world.module("def f():\n    return 1\n", n) for n in "ab")
    for module, folder in ((a, "one"), (b, "two")):
        module.__file__ = str(tmp_path / folder / "same.py")
    report = suture.apply(one("same", "f", "def f():\n    return 1\n", "def f():\n    return 2\n"))
    assert not report.ok
    assert {f.code for f in report.findings} == {"target-ambiguous"}
    assert (a.f(), b.f()) == (1, 1)


def test_lines_that_moved_in_a_file_that_is_the_new_one(world: Any) -> None:
    """Tracebacks of functions that didn't change would show other lines of it: said, and only if the file is the new one."""
    m = world.module("def f():\n    return 'old'\ndef below():\n    return 1\n")
    new = "def f():\n    x = 'new'\n    return x\ndef below():\n    return 1\n"
    patch = world.patch(new)
    assert "lines-moved" not in {f.code for f in suture.plan(patch).findings}
    Path(m.__file__).write_text(new)
    report = suture.apply(patch)
    assert report.ok, report.words()
    (finding,) = [f for f in report.findings if f.code == "lines-moved"]
    assert finding.severity == "warning"
    assert "(below)" in finding.message


@pytest.mark.parametrize(
    ("text", "new", "code"),
    [
        ("import enum\nM = enum.Enum\nclass A(M):\n    x = 1\n", "    y = 2\n", "enum-members"),
        ("import dataclasses\nd = dataclasses.dataclass\n@d\nclass A:\n    x: int = 1\n", "", "class-fields"),
    ],
)
def test_a_class_that_was_made_from_its_attributes(world: Any, text: str, new: str, code: str) -> None:
    """Though the source doesn't show that it is one: refused by what is live."""
    m = world.module(text)
    before = dict(vars(m.A))
    patch = world.patch(text + new if new else text.replace("= 1", "= 2"))
    report = suture.apply(patch)
    assert code in {f.code for f in (*report.findings, *patch.left_out)}
    assert dict(vars(m.A)) == before


# ---------------------------------------------------------------- there already


def test_what_the_process_has_already_is_said_and_left_alone(world: Any) -> None:
    """A fixed release under the same patch: functions, methods, constants, imports; all there, nothing is written."""
    new = (
        "import os.path\nimport json as codec\nfrom collections import deque as d, OrderedDict\nLIMIT = {'a': [1, (2.5, None)]}\n"
        "def added(x):\n    return x\ndef f():\n    return 'new'\nclass A:\n    size = 2\n    def m(self):\n        return 'new'\n"
        "    def more(self):\n        return 1\n"
    )
    old = "LIMIT = {'a': [1, (2.5, True)]}\ndef f():\n    return 'old'\nclass A:\n    size = 1\n    def m(self):\n        return 'old'\n"
    m = world.module(new)
    world.becomes(old)
    patch = world.patch(new)
    before = dict(vars(m)), dict(vars(m.A)), m.f.__code__
    report = suture.apply(patch)
    assert report.ok, report.words()
    assert {r.status for r in report.changed} == {"already-fixed"}
    assert {f.code for f in report.findings} <= {"already-fixed", "evaluated", "nothing-live"}
    assert suture.status() == ()
    assert (dict(vars(m)), dict(vars(m.A)), m.f.__code__) == before


@pytest.mark.parametrize(
    ("live", "kind", "added"),
    [
        ("import json as os\n", Kind.IMPORT, "import os\n"),
        ("codec = 1\n", Kind.IMPORT, "import json as codec\n"),
        ("added = len\n", Kind.FUNCTION, "def added():\n    return 1\n"),
        ("def added():\n    return 2\n", Kind.FUNCTION, "def added():\n    return 1\n"),
        ("def other():\n    return 1\nadded = other\n", Kind.FUNCTION, "def added():\n    return 1\n"),
        ("added = 2\n", Kind.VALUE, "added = 1\n"),
        ("added = True\n", Kind.VALUE, "added = 1\n"),
        ("added = [1]\n", Kind.VALUE, "added = list((1,))\n"),
        ("added = {2: [1]}\n", Kind.VALUE, "added = {1: [1]}\n"),
        ("added = {1: 2}\n", Kind.VALUE, "added = {1: 3}\n"),
        ("added = {1, 2}\n", Kind.VALUE, "added = {1, 3}\n"),
        ("added = -0.0\n", Kind.VALUE, "added = 0.0\n"),
        ("class added:\n    x = 1\n", Kind.CLASS, "class added:\n    x = 2\n"),
    ],
)
def test_what_the_process_has_otherwise_is_not_overwritten(world: Any, live: str, kind: Kind, added: str) -> None:
    """An addition over a name that holds something else is refused, and the name keeps it."""
    m = world.module(live)
    name = "os" if "os" in live else "codec" if "codec" in live else "added"
    has = vars(m)[name]
    change = one(m.__name__, name, None, added, kind).changes[0]
    fields = {f: getattr(change, f) for f in Change.__slots__}
    report = suture.apply(Patch("p", (Change(**{**fields, "names": (name,)}),)))
    assert not report.ok
    assert {f.code for f in report.findings} == {"already-defined"}, report.words()
    assert vars(m)[name] is has


@pytest.mark.parametrize(
    ("live", "added"),
    [("{1, 2}", "{2, 1}"), ("{'a': [None, ...]}", "{'a': [None, ...]}"), ("-1.5", "-1.5"), ("(b'x', 1j)", "(b'x', 1j)")],
)
def test_a_value_that_is_there_already(world: Any, live: str, added: str) -> None:
    """Equal in kind and value: nothing to do."""
    m = world.module(f"added = {live}\n")
    has = m.added
    report = suture.apply(one(m.__name__, "added", None, f"added = {added}\n", Kind.VALUE))
    assert report.ok, report.words()
    assert [r.status for r in report.changed] == ["already-fixed"]
    assert m.added is has


# ---------------------------------------------------------------- classes and values that are something else


@pytest.mark.parametrize(
    ("kind", "name", "before", "after"),
    [
        (Kind.FUNCTION, "more", None, "    def more(self):\n        return 1\n"),
        (Kind.FUNCTION, "f", "    def f(self):\n        return 1\n", "    def f(self):\n        return 2\n"),
        (Kind.VALUE, "size", "    size = 1\n", "    size = 2\n"),
    ],
)
@pytest.mark.parametrize("live", ["x = 1\n", "A = 5\n", "class A:\n    B = 1\n"])
def test_a_class_that_is_not_there_by_name(world: Any, live: str, kind: Kind, name: str, before: str | None, after: str) -> None:
    """A method added, a method changed, a constant of a class that is gone, or isn't a class: refused by name."""
    m = world.module(live)
    names = set(vars(m))
    report = suture.apply(one(m.__name__, f"A.B.{name}", before, after, kind, ("A", "B")))
    assert not report.ok
    assert {f.code for f in report.findings} == {"target-missing"}, report.words()
    assert set(vars(m)) == names


@pytest.mark.parametrize("live", ["x = 1\n", "f = len\n"])
def test_an_attribute_of_a_function_that_is_none(world: Any, live: str) -> None:
    """Where the name holds no plain function, nothing is stored on it."""
    m = world.module(live)
    report = suture.apply(one(m.__name__, "f.n", "f.n = 1\n", "f.n = 2\n", Kind.VALUE))
    assert not report.ok
    assert {f.code for f in report.findings} == {"target-missing"}, report.words()


@pytest.mark.parametrize(
    ("found", "shown"),
    [(7, "7"), ([1], "list"), (object, "type"), ("x" * 200, "'" + "x" * 79)],
    ids=["plain", "list", "class", "long"],
)
def test_a_class_constant_that_the_program_changed(world: Any, found: object, shown: str) -> None:
    """A conflict with what was expected and found as evidence, short; the value stays."""
    m = world.module("class A:\n    __size = 1\n")
    m.A._A__size = found
    report = suture.apply(world.replace(("= 1", "= 2")))
    (finding,) = [f for f in report.findings if f.severity == "error"]
    assert (finding.code, finding.evidence["expected"]) == ("conflict", "1")
    assert finding.evidence["found"] == shown
    assert m.A._A__size is found


def test_a_value_that_is_computed_is_not_set(world: Any) -> None:
    """A patch written by hand may ask for it; refused all the same."""
    m = world.module("size = len('ab')\n")
    report = suture.apply(one(m.__name__, "size", "size = len('ab')\n", "size = len('abc')\n", Kind.VALUE))
    assert {f.code for f in report.findings} == {"value-changed"}
    assert m.size == 2


# ---------------------------------------------------------------- functions that a statement makes

TABLE = "TABLE = {'a': lambda: 1, 'b': lambda: 2}\n"


def test_functions_of_a_table_are_found_or_it_is_a_conflict(world: Any) -> None:
    """A lambda that the program exchanged isn't the one that the patch changes."""
    m = world.module(TABLE)
    m.TABLE["b"] = kept = lambda: 9
    report = suture.apply(world.replace(("lambda: 2", "lambda: 3")))
    assert not report.ok
    assert {f.code for f in report.findings} == {"conflict"}
    assert m.TABLE["b"] is kept
    assert m.TABLE["a"]() == 1


@pytest.mark.parametrize(
    ("has", "adds", "there"),
    [
        ("from json import loads as read", "from json import loads as read", True),
        ("from json import dumps as read", "from json import loads as read", False),
        ("read = None", "from json import loads as read", False),
        ("import os.path as read", "from os import path as read", True),
        ("from json import loads as read", "from json import decoder as read", False),
    ],
)
def test_an_import_that_is_there_already_binds_the_same(world: Any, has: str, adds: str, there: bool) -> None:
    """A name of that kind isn't enough: it must be what the import would bind."""
    m = world.module(has + "\n")
    before = dict(vars(m))
    report = suture.apply(one(m.__name__, "read", None, adds + "\n", Kind.IMPORT))
    assert report.ok is there, report.words()
    assert {f.code for f in report.findings if f.severity == "error"} == (set() if there else {"already-defined"})
    assert dict(vars(m)) == before


SHAPE = """class Shape(dict):
    sides: int = 4
    def area(self):
        return [n for n in self]
    @property
    def __name(self):
        return 1
"""


@pytest.mark.parametrize(
    ("old", "new", "there"),
    [
        ("", "", True),
        ("= 4", "= 3", False),
        ("return 1", "return 2", False),
        ("(dict)", "(list)", False),
        ("def area", "def x", False),
    ],
)
def test_a_class_that_is_there_already(world: Any, old: str, new: str, there: bool) -> None:
    """Its bases, functions and plain attributes say so."""
    m = world.module(SHAPE.replace(old, new) if old else SHAPE)
    before = dict(vars(m)), dict(vars(m.Shape))
    report = suture.apply(one(m.__name__, "Shape", None, SHAPE, Kind.CLASS))
    assert report.ok is there, report.words()
    assert (dict(vars(m)), dict(vars(m.Shape))) == before


def test_the_metaclass_of_a_class_that_is_there_is_not_asked(world: Any) -> None:
    """Whether it is the same is told without running code of the program."""
    text = (
        "asked = []\nclass Meta(type):\n    def __getattribute__(cls, name):\n        asked.append(name)\n"
        "        return type.__getattribute__(cls, name)\nclass Base(metaclass=Meta):\n    pass\nclass Shape(Base):\n    sides = 4\n"
    )
    m = world.module(text)
    m.asked.clear()
    report = suture.apply(one(m.__name__, "Shape", None, "class Shape(Base):\n    sides = 4\n", Kind.CLASS))
    assert report.ok, report.words()
    assert m.asked == []


def test_functions_of_a_table_that_are_fixed_already(world: Any) -> None:
    """The process runs the new release: nothing to do."""
    m = world.module(TABLE.replace("lambda: 2", "lambda: 3"))
    world.becomes(TABLE)
    code = m.TABLE["b"].__code__
    report = suture.apply(world.replace(("lambda: 2", "lambda: 3")))
    assert report.ok, report.words()
    assert [r.status for r in report.changed] == ["already-fixed"]
    assert m.TABLE["b"].__code__ is code


def test_equal_functions_of_a_table_are_told_by_their_line(world: Any) -> None:
    """Two lambdas of one text: the one on the changed line follows, the other keeps its code."""
    text = "TABLE = {\n    'a': lambda: 1,\n    'b': lambda: 1,\n}\n"
    m = world.module(text)
    report = suture.apply(world.replace(("'b': lambda: 1", "'b': lambda: 3")))
    assert report.ok, report.words()
    assert (m.TABLE["a"](), m.TABLE["b"]()) == (1, 3)


def test_functions_that_cannot_be_paired_are_ambiguous(world: Any) -> None:
    """Three lambdas become two others: which became which isn't guessed."""
    old, new = "T = [lambda: 1, lambda: 2, lambda: 3]\n", "T = [lambda: 4, lambda: 5]\n"
    m = world.module(old)
    report = suture.apply(one(m.__name__, "T", old, new, Kind.NESTED))
    assert {f.code for f in report.findings} == {"target-ambiguous"}
    assert [f() for f in m.T] == [1, 2, 3]


# ---------------------------------------------------------------- conflicts say who


def test_a_conflict_names_the_patch_that_holds_it(world: Any) -> None:
    """Code that neither the source nor an older patch's preimage explains: by whom, where, and what to do."""
    m = world.module("def f():\n    return 1\n")
    first = suture.apply(world.replace(("1", "2")))
    assert first.ok
    report = suture.apply(one(m.__name__, "f", "def f():\n    return 'another'\n", "def f():\n    return 3\n"))
    (finding,) = [f for f in report.findings if f.severity == "error"]
    assert finding.code == "conflict"
    assert finding.evidence["held_by"] == first.patch_id
    assert first.patch_id in finding.message and first.patch_id in finding.hint
    assert m.f() == 2
