"""Modules that aren't imported yet: armed, and the fix is in before their bodies run."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import linecache
import logging
import py_compile
import sys
import threading
import traceback
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import suture
from suture import loading
from suture.engine import imports
from suture.ops.build import build
from suture.patch import Patch, dump, load

OLD = """
import functools
LIMIT = 1
TABLE = []
def deco(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)
    return wrapper
def f(a=1, *, b=2):
    'old'
    return "old", a, b, LIMIT
class Base:
    def name(self):
        return "base"
class A(Base):
    kind = 'old'
    def name(self):
        return "old"
    def __secret(self):
        return "old"
    def secret(self):
        return self.__secret()
@deco
def wrapped():
    return "old"
def make(k):
    def inner(x):
        return x * k
    return inner
held = make(3)
at_import = f()
TABLE.append(f)
"""
NEW = """
import functools
import json
LIMIT = 2
TABLE = []
def helper():
    return json.dumps(LIMIT)
def deco(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)
    return wrapper
def f(a=10, *, b=20):
    'new'
    return "new", a, b, LIMIT, helper()
class Base:
    def name(self):
        return "base"
class A(Base):
    kind = 'new'
    def name(self):
        return super().name() + "new"
    def __secret(self):
        return "new"
    def secret(self):
        return self.__secret()
    def more(self):
        return 1
@deco
def wrapped():
    return "new"
def make(k):
    def inner(x):
        return x * k + 1
    return inner
held = make(3)
at_import = f()
TABLE.append(f)
"""


class House:
    """A tree that isn't imported, and the patch that mends it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.live = root / "live"
        self.name = f"armed{abs(hash(str(root))) % 10**8}"
        self.live.mkdir()
        self.count = 0
        sys.path.insert(0, str(self.live))

    def patch(self, old: str, new: str, path: str = "{}.py", write: bool = True, **others: tuple[str, str]) -> Patch:
        """A patch of one module (and others, by name), the old text of which is put in place."""
        self.count += 1
        texts = {path.format(self.name): (old, new), **{f"{self.name}_{n}.py": t for n, t in others.items()}}
        sides = [self.root / f"{side}{self.count}" for side in ("before", "after")]
        for at, side in enumerate(sides):
            for name, both in texts.items():
                for folder in (side, *([self.live] if write and not at else [])):
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    (folder / name).write_text(both[at])
        importlib.invalidate_caches()
        made = build(*sides, name=f"p{self.count}")
        assert not [f for f in made.left_out if f.code != "value-stale"], made.left_out
        return made

    def load(self, name: str = "{}") -> Any:
        return importlib.import_module(name.format(self.name))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Afterwards: all reverted, nothing of ours in the path."""
    made = House(tmp_path)
    yield made
    for report in reversed(suture.status()):
        suture.revert(report.patch_id)
    for name in [n for n in sys.modules if n.startswith(made.name)]:
        del sys.modules[name]
    sys.path.remove(str(made.live))
    left = len(suture.status()), finders()
    engine = loading.load()
    engine.stack.clear()
    engine.finder.tidy()
    assert left == (0, 0)


def finders() -> int:
    return sum(type(f) is imports.Finder for f in sys.meta_path)


def codes(report: Any) -> dict[str, str]:
    return {f.code: str(f.severity) for f in report.findings}


def armed(patch: Patch) -> None:
    report = suture.apply(patch, partial=True)
    assert report.ok and report.state == "committed", report.words()
    assert {r.status for r in report.changed} == {"armed"}
    assert finders() == 1 and type(sys.meta_path[0]) is imports.Finder


def test_the_fix_is_in_before_the_body_runs(house: House) -> None:
    """Functions, methods, constants, additions, imports, decorated and nested ones; and a revert takes all of it out."""
    patch = house.patch(OLD, NEW)
    planned = suture.plan(patch, partial=True)
    assert planned.ok and {r.status for r in planned.changed} == {"armed"} and finders() == 0
    assert codes(planned)["live-nowhere"] == "warning" and codes(planned)["armed"] == "note"
    armed(patch)
    (report,) = suture.status()
    assert codes(report)["live-nowhere"] == "warning"
    m = house.load()
    assert m.at_import == ("new", 10, 20, 2, "2"), "the body itself ran the new code"
    assert (m.A().name(), m.A().secret(), m.A.kind, m.A().more(), m.wrapped(), m.held(2)) == ("basenew", "new", "new", 1, "new", 7)
    assert type(m.__loader__).__name__ == type(m.__spec__.loader).__name__ == "SourceFileLoader"
    assert type(m.__loader__) is importlib.machinery.SourceFileLoader
    (report,) = suture.status()
    assert {r.status for r in report.changed} == {"updated"}, report.words()
    assert "live-nowhere" not in codes(report) and "in-at-import" in codes(report)
    f, wrapped, a = m.f, m.wrapped, m.A()
    back = suture.revert(patch.id)
    assert back.ok, back.words()
    assert {r.status for r in back.changed} == {"reverted"}
    assert (f(), wrapped(), a.name(), a.secret(), m.held(2), m.make(3)(2)) == (("old", 1, 2, 1), "old", "old", "old", 6, 6)
    assert (m.LIMIT, m.A.kind, f.__doc__, m.f is f) == (1, "old", "old", True)
    assert not hasattr(m, "helper") and not hasattr(m, "json") and not hasattr(m.A, "more")
    assert finders() == 0 and suture.status() == ()
    again = suture.apply(patch, partial=True)
    assert again.ok, again.words()
    assert f()[:4] == ("new", 10, 20, 2) and a.name() == "basenew"


def test_disk_is_the_fixed_one(house: House) -> None:
    """Nothing to do, at apply or at the later import."""
    patch = house.patch(OLD, NEW)
    file = house.live / f"{house.name}.py"
    file.write_text(NEW)
    report = suture.apply(patch, partial=True)
    assert report.ok and codes(report)["not-loaded"] == "note" and finders() == 0 and not suture.status()
    file.write_text(OLD)
    armed(patch)
    file.write_text(NEW + "\n")
    file.write_text(NEW)
    m = house.load()
    assert m.at_import[0] == "new" and "@" not in m.f.__code__.co_filename
    (report,) = suture.status()
    assert {r.status for r in report.changed} == {"already-fixed"}
    assert suture.revert(patch.id).ok and m.f()[0] == "new"


def test_disk_is_neither(house: House, caplog: Any) -> None:
    """The import goes on unpatched, and that is a conflict in the status and in the log."""
    patch = house.patch(OLD, NEW)
    armed(patch)
    (house.live / f"{house.name}.py").write_text(OLD.replace("Base", "Third"))
    planned = suture.plan(Patch("other", patch.changes, patch.files), partial=True)
    assert codes(planned)["armed"] == "warning"
    with caplog.at_level(logging.WARNING, "suture"):
        m = house.load()
    assert m.at_import == ("old", 1, 2, 1)
    assert "conflict" in caplog.text
    (report,) = suture.status()
    assert codes(report)["conflict"] == "warning" and {r.status for r in report.changed} == {"left"}
    assert suture.revert(patch.id).ok


def test_one_module_is_live_and_another_armed(house: House) -> None:
    """One report, one revert; what was there is switched, the rest goes in later."""
    one, two = "def f():\n    return 'old'\n", "def f():\n    return 'new'\n"
    patch = house.patch(one, two, other=(one, two))
    m = house.load()
    report = suture.apply(patch)
    assert report.ok and {r.status for r in report.changed} == {"updated", "armed"}, report.words()
    assert "live-nowhere" not in codes(report)
    assert m.f() == "new"
    other = house.load("{}_other")
    assert other.f() == "new"
    assert {r.status for r in suture.status()[0].changed} == {"updated"}
    assert suture.apply(patch).ok and len(suture.status()) == 1
    assert suture.revert("p1").ok and (m.f(), other.f()) == ("old", "old")


def test_packages_and_submodules(house: House) -> None:
    """A package's own module and one of its submodules."""
    one, two = "X = 1\ndef f():\n    return 'old'\n", "X = 2\ndef f():\n    return 'new'\n"
    package = house.patch(one, two, "{}/__init__.py")
    sub = house.patch(one, two, "{}/sub.py")
    armed(package)
    assert suture.apply(sub).ok
    m = house.load("{}.sub")
    assert (m.f(), m.X, house.load().f(), house.load().X) == ("new", 2, "new", 2)
    assert house.load().__path__ and m.__package__ == house.name
    assert suture.revert("p1").ok and (m.f(), house.load().f()) == ("new", "old")
    assert suture.revert("p2").ok and (m.f(), m.X) == ("old", 1)


def test_comments_moved_too(house: House) -> None:
    """The new file has more than what the patch carries: plain additions go where all later code finds them."""
    old = "import os\ndef g():\n    return 1\nX = g()\nclass A:\n    def m(self):\n        return 1\n"
    new = (
        "# a comment\n\n\nimport os\nimport json\ndef h():\n    return 2\n# more\n\n\ndef g():\n    return h()\nX = g()\n"
        "class A:\n    'Doc.'\n    def n(self, a=os):\n        return 3\n    # why\n    def m(self):\n        return self.n()\n"
    )
    patch = house.patch(old, new)
    armed(patch)
    m = house.load()
    assert (m.X, m.g(), m.A().m(), m.json.__name__) == (2, 2, 3, "json")
    assert suture.revert(patch.id).ok and (m.g(), m.A().m(), hasattr(m, "h")) == (1, 1, False)


def test_where_it_cannot_be_told_it_goes_in_afterwards(house: House) -> None:
    """An addition that runs code of the program, and a file with other differences: right after the body, and said so."""
    old = "def g():\n    return 1\ndef f():\n    return g()\nX = [f()].pop()\n"
    new = "# a comment\ndef g():\n    return 1\nY = g()\ndef f():\n    return Y + 1\nX = [f()].pop()\n"
    patch = house.patch(old, new)
    armed(patch)
    m = house.load()
    assert (m.X, m.f(), m.Y) == (1, 2, 1), "the body ran the old code"
    (report,) = suture.status()
    assert "afterwards" in report.words() or "after its body" in report.words(), report.words()
    assert len(suture.status()) == 1
    assert suture.revert(patch.id).ok and (m.f(), hasattr(m, "Y")) == (1, False)


def test_two_patches_for_one_module(house: House) -> None:
    """The second is built on the first; both go in, and come out one after the other."""
    texts = [f"X = {n}\ndef f():\n    return {n}\nat = [f()].pop()\n" for n in range(3)]
    first, second = house.patch(texts[0], texts[1]), house.patch(texts[1], texts[2], write=False)
    armed(first)
    armed(second)
    m = house.load()
    assert (m.at, m.f(), m.X) == (2, 2, 2)
    refused = suture.revert(first.id)
    assert not refused.ok and "beneath" in codes(refused)
    assert suture.revert(second.id).ok and (m.f(), m.X) == (1, 1)
    assert suture.revert(first.id).ok and (m.f(), m.X) == (0, 0)


def test_a_patch_from_the_same_text_takes_the_older_one_s_place(house: House) -> None:
    """If it covers it; else it's refused, or puts the rest back."""
    old = "def f():\n    return 0\ndef g():\n    return 0\n"
    first = house.patch(old, old.replace("0", "1"))
    half = house.patch(old, old.replace("0", "2", 1))
    whole = house.patch(old, old.replace("0", "3"))
    armed(first)
    refused = suture.apply(half)
    assert not refused.ok and "overlap" in codes(refused), refused.words()
    armed(whole)
    assert [r.patch_id for r in suture.status()] == [whole.id]
    assert suture.apply(half, replace=True).ok
    m = house.load()
    assert (m.f(), m.g()) == (2, 0)
    assert suture.revert(half.id).ok and (m.f(), m.g()) == (0, 0)


def test_a_reload_does_not_lose_the_patch(house: House) -> None:
    """The old file again: the fix is in again; functions held from before have it too, and all go back."""
    old, new = "X = 1\ndef f():\n    return 'old'\n", "X = 2\ndef f():\n    return 'new'\n"
    patch = house.patch(old, new)
    m = house.load()
    held = m.f
    assert suture.apply(patch).ok and held() == "new"
    importlib.reload(m)
    assert m.f is not held and (m.f(), held(), m.X) == ("new", "new", 2)
    (house.live / f"{house.name}.py").write_text(old + "Y = 1\n")
    linecache.checkcache()
    importlib.reload(m)
    assert m.f() == "old" and codes(suture.status()[0])["conflict"] == "warning"
    (house.live / f"{house.name}.py").write_text(old)
    importlib.reload(m)
    assert m.f() == "new"
    assert suture.revert(patch.id).ok and (m.f(), held(), m.X) == ("old", "old", 1)


def test_a_failing_body_is_the_program_s_own(house: House) -> None:
    """Its exception is what the import raises; it can be tried again."""
    old = "import sys\ndef f():\n    return 'old'\nif not hasattr(sys, 'armed_ok'):\n    raise KeyError(f())\n"
    patch = house.patch(old, old.replace("'old'", "'new'"))
    armed(patch)
    with pytest.raises(KeyError, match="new") as caught:
        house.load()
    shown = "".join(traceback.format_exception(caught.value))
    assert "raise KeyError(f())" in shown
    sys.armed_ok = True  # type: ignore[attr-defined]
    try:
        assert house.load().f() == "new"
    finally:
        del sys.armed_ok  # type: ignore[attr-defined]
    assert suture.revert(patch.id).ok


def test_loaders_without_text(house: House) -> None:
    """A module that comes as bytecode alone: its code decides, right after the body ran."""
    old = "def f():\n    return 'old'\nat = [f()].pop()\n"
    patch = house.patch(old, old.replace("'old'", "'new'"))
    file = house.live / f"{house.name}.py"
    py_compile.compile(str(file), str(file.with_suffix(".pyc")))
    file.unlink()
    importlib.invalidate_caches()
    armed(patch)
    m = house.load()
    assert (m.at, m.f()) == ("old", "new")
    assert suture.revert(patch.id).ok and m.f() == "old"


def test_from_a_zip(house: House) -> None:
    """Before the body, as from a folder."""
    old = "def f():\n    return 'old'\nat = [f()].pop()\n"
    patch = house.patch(old, old.replace("'old'", "'new'"))
    file = house.live / f"{house.name}.py"
    with zipfile.ZipFile(house.root / "z.zip", "w") as made:
        made.write(file, file.name)
    file.unlink()
    sys.path.insert(0, str(house.root / "z.zip"))
    importlib.invalidate_caches()
    try:
        armed(patch)
        m = house.load()
    finally:
        sys.path.remove(str(house.root / "z.zip"))
    assert (m.at, m.f()) == ("new", "new") and ".zip" in m.__file__
    assert suture.revert(patch.id).ok and m.f() == "old"


def test_a_loader_with_ways_of_its_own(house: House) -> None:
    """It runs the body itself; the fix goes in afterwards if the code is what the patch starts from."""
    old = "def f():\n    return 'old'\nat = [f()].pop()\n"
    patch = house.patch(old, old.replace("'old'", "'new'"))
    file = house.live / f"{house.name}.py"

    class Own(importlib.abc.InspectLoader):
        def get_source(self, name: str) -> str:
            return moved.read_text()

        def exec_module(self, module: Any) -> None:
            module.by_own = True
            super().exec_module(module)

    class Finder:
        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
            return importlib.util.spec_from_loader(name, Own()) if name == house.name else None

    moved = file.rename(house.root / "elsewhere.txt")
    importlib.invalidate_caches()
    sys.meta_path.append(Finder)
    try:
        armed(patch)
        m = house.load()
    finally:
        sys.meta_path.remove(Finder)
    assert (m.at, m.f(), m.by_own, type(m.__loader__)) == ("old", "new", True, Own)
    assert suture.revert(patch.id).ok and m.f() == "old"


def test_lazy_modules(house: House) -> None:
    """A lazy loader around ours, as its documentation says: the body runs at the first use, with the fix."""
    old = "def f():\n    return 'old'\nat = [f()].pop()\n"
    patch = house.patch(old, old.replace("'old'", "'new'"))
    armed(patch)
    spec = importlib.util.find_spec(house.name)
    assert spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    m: Any = importlib.util.module_from_spec(spec)
    sys.modules[house.name] = m
    spec.loader.exec_module(m)
    assert (m.at, m.f()) == ("new", "new")
    assert suture.revert(patch.id).ok and m.f() == "old"


def test_loaded_past_the_hook(house: House) -> None:
    """A plugin loader asks no finder: the next status says so."""
    old = "def f():\n    return 'old'\n"
    patch = house.patch(old, old.replace("'old'", "'new'"))
    armed(patch)
    spec = importlib.util.spec_from_file_location(house.name, house.live / f"{house.name}.py")
    assert spec is not None and spec.loader is not None
    m: Any = importlib.util.module_from_spec(spec)
    sys.modules[house.name] = m
    spec.loader.exec_module(m)
    assert m.f() == "old"
    (report,) = suture.status()
    assert codes(report)["past-the-hook"] == "warning" and {r.status for r in report.changed} == {"left"}
    assert suture.revert(patch.id).ok and suture.apply(patch).ok and m.f() == "new"


def test_forwarded_to_the_real_loader(house: House) -> None:
    """Whoever looks for the module without importing it sees what is on the disk."""
    patch = house.patch(OLD, NEW)
    armed(patch)
    spec = importlib.util.find_spec(house.name)
    assert spec is not None and spec.loader is not None
    loader: Any = spec.loader
    assert loader.get_source(house.name) == OLD and loader.get_code(house.name).co_name == "<module>"
    assert not loader.is_package(house.name) and loader.get_filename() == str(house.live / f"{house.name}.py")
    assert loader.get_resource_reader is not None
    import runpy

    assert runpy.run_module(house.name)["at_import"][0] == "old", "past the hook"


def test_imports_at_once_and_a_transaction_beside_them(house: House) -> None:
    """Bodies run without a lock of ours: one waits for another thread that applies."""
    old = "import threading\ndef f():\n    return 'old'\ninside.set()\ngo.wait(20)\n"
    text = "import {0}_gate\nfrom {0}_gate import inside, go\n".format(house.name) + old.partition("\n")[2]
    patch = house.patch(text, text.replace("'old'", "'new'"), two=("def g():\n    return 1\n", "def g():\n    return 2\n"))
    (house.live / f"{house.name}_gate.py").write_text("import threading\ninside, go = threading.Event(), threading.Event()\n")
    importlib.invalidate_caches()
    armed(patch)
    gate = house.load("{}_gate")
    thread = threading.Thread(target=house.load)
    thread.start()
    assert gate.inside.wait(20)
    assert suture.status() and house.load("{}_two").g() == 2
    refused = suture.revert(patch.id)
    assert not refused.ok and "module-importing" in codes(refused)
    gate.go.set()
    thread.join()
    assert house.load().f() == "new"
    assert suture.revert(patch.id).ok and (house.load().f(), house.load("{}_two").g()) == ("old", 1)


@pytest.mark.parametrize("step", ["resolve", "judge", "fit", "evaluate", "guard", "intend", "commit"])
def test_fault_at_a_step_arms_nothing(house: House, step: str) -> None:
    """The import path is as it was, and the module comes as it is on disk."""
    patch = house.patch(OLD, NEW)
    engine = loading.load()
    before = list(sys.meta_path)

    def fail(name: str) -> None:
        if name == step:
            raise KeyboardInterrupt(step)

    with pytest.raises(KeyboardInterrupt):
        engine.apply(patch, partial=True, on_step=fail)
    assert sys.meta_path == before and suture.status() == ()
    armed(patch)
    if step in ("resolve", "guard", "commit"):
        with pytest.raises(KeyboardInterrupt):
            engine.revert(patch.id, on_step=fail)
    assert finders() == 1
    assert suture.revert(patch.id).ok and sys.meta_path == before
    assert house.load().at_import[0] == "old"


def test_a_refusal_arms_nothing(house: House) -> None:
    """One target is wrong: none is armed."""
    one, two = "def f():\n    return 'old'\n", "def f():\n    return 'new'\n"
    patch = house.patch(one, two, other=(one, two))
    m = house.load()
    m.f = None
    report = suture.apply(patch)
    assert not report.ok and finders() == 0
    assert {r.status for r in report.changed} == {"kept"}


def test_imported_between_the_look_and_the_commit(house: House) -> None:
    """The commit stops before its first store."""
    patch = house.patch(OLD, NEW)
    engine = loading.load()
    report, ready = engine.prepare(patch, partial=True)
    assert ready is not None and report.ok and {r.status for r in report.changed} == {"armed"}
    house.load()
    late = ready.commit()
    assert not late.ok and "moved-meanwhile" in codes(late) and finders() == 0
    assert suture.apply(patch, partial=True).ok and house.load().f()[0] == "new"


def test_a_patch_without_hashes(house: House) -> None:
    """Made by hand: the code itself decides, after the body."""
    old = "def f():\n    return 'old'\nat = [f()].pop()\n"
    made = house.patch(old, old.replace("'old'", "'new'"))
    patch = load(dump(Patch(made.name, made.changes)))
    armed(patch)
    m = house.load()
    assert (m.at, m.f()) == ("old", "new")
    assert suture.revert(patch.id).ok and m.f() == "old"


def test_foreign_imports_cost_a_look(house: House) -> None:
    """A name that isn't armed is none of ours."""
    armed(house.patch(OLD, NEW))
    finder: Any = sys.meta_path[0]
    assert finder.find_spec("no_such_thing_at_all") is None
    assert finder.invalidate_caches() is None
