"""Bases that change in a live process, on every Python: what can't be done is refused by plan already, and nothing has changed then."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pythons import WANTED, found
from suture.ops.build import build
from suture.patch import dump

HEAD = """import abc, collections, collections.abc
class One:
    def f(self): return "one"
class Two:
    def f(self): return "two"
class Both(One, Two): pass
class Slots:
    __slots__ = ("x",)
class OtherSlots:
    __slots__ = ("x", "y")
class SameSlots:
    __slots__ = ("x",)
class Told:
    def __init_subclass__(cls): raise RuntimeError
class Meta(type): pass
class Ruled(metaclass=Meta): pass
class Ordering(type):
    def mro(cls): return type.mro(cls)
class Abstract(abc.ABC):
    @abc.abstractmethod
    def f(self): ...
class Sized(abc.ABC):
    @classmethod
    def __subclasshook__(cls, other): return any("size" in vars(c) for c in other.__mro__)
class HasSize:
    size = 1
    def f(self): return "sized"
class Mapped(collections.abc.Mapping):
    def __len__(self): return 0
    def __iter__(self): return iter(())
    def __getitem__(self, key): return key
"""
# Old statement, new statement, what is refused ("" if nothing is; "old" if up to 3.14).
PAIRS: dict[str, tuple[str, str, str]] = {
    "another": ("class C(One): pass\n", "class C(Two): pass\n", ""),
    "one more": ("class C(One): pass\n", "class C(Two, One): pass\n", ""),
    "one less": ("class C(One, Two): pass\n", "class C(Two): pass\n", ""),
    "another order": ("class C(One, Two): pass\n", "class C(Two, One): pass\n", ""),
    "one of an error": ("class C(One, ValueError): pass\n", "class C(Two, ValueError): pass\n", ""),
    "with a mixin": ("class C(dict): pass\n", "class C(Two, dict): pass\n", ""),
    "from object": ("class C: pass\n", "class C(One): pass\n", "old"),
    "to object": ("class C(One): pass\n", "class C: pass\n", "old"),
    "equal slots": ("class C(Slots): pass\n", "class C(SameSlots): pass\n", ""),
    "more slots": ("class C(Slots): pass\n", "class C(OtherSlots): pass\n", "all"),
    "own slots": ("class C(One):\n    __slots__ = ('z',)\n", "class C(Two):\n    __slots__ = ('z',)\n", ""),
    "no slots any more": ("class C(Slots):\n    __slots__ = ()\n", "class C(One):\n    __slots__ = ()\n", "all"),
    "of C": ("class C(dict): pass\n", "class C(list): pass\n", "all"),
    "told": ("class C(One): pass\n", "class C(Told): pass\n", "all"),
    "metaclass": ("class C(One): pass\n", "class C(Ruled): pass\n", "all"),
    "own metaclass": ("class C(One, metaclass=Meta): pass\n", "class C(Two, metaclass=Meta): pass\n", "all"),
    "becomes abstract": ("class C(One): pass\n", "class C(Abstract): pass\n", "all"),
    "abstract, another": ("class C(Abstract, One): pass\n", "class C(Abstract, Two): pass\n", ""),
    "abstract, complete": ("class C(Abstract): pass\n", "class C(Two, Abstract): pass\n", "old"),
    "an order of its own": (
        "class C(One): pass\nclass D(C, metaclass=Ordering): pass\n",
        "class C(Two): pass\nclass D(C, metaclass=Ordering): pass\n",
        "all",
    ),
    "no order below": (
        "class C(One): pass\nclass D(C, Two): pass\nclass E(Both, D): pass\n",
        "class C(Two, One): pass\nclass D(C, Two): pass\nclass E(Both, D): pass\n",
        "all",
    ),
    "two of one family": ("class C(One): pass\nclass D(C, One): pass\n", "class C(Two): pass\nclass D(C, Two): pass\n", ""),
    "added with it": ("class C(One): pass\n", "class More(One):\n    def g(self): return 'more'\nclass C(More): pass\n", ""),
    "asked of a hook": ("class C(One): pass\n", "class C(HasSize): pass\n", ""),
    "of a library": ("class C(Mapped): pass\n", "class C(Mapped, One): pass\n", ""),
}

CHILD = r"""
import gc, importlib, json, sys
sys.dont_write_bytecode = True
import suture
def facts(m):
    out = {}
    gc.collect()  # a class that is gone is among its base's subclasses until then
    for name, cls in vars(m).items():
        if not isinstance(cls, type) or cls.__module__ != m.__name__:
            continue
        row = [[c.__qualname__ for c in cls.__mro__], [c.__qualname__ for c in cls.__bases__], sorted(c.__qualname__ for c in type.__subclasses__(cls)
               if c.__module__ == m.__name__), sorted(getattr(cls, "__abstractmethods__", ()))]
        row += [issubclass(cls, b) for b in (m.One, m.Two, m.Both, m.Abstract, m.Sized, m.collections.abc.Mapping, m.collections.abc.Hashable)]
        try:
            made = cls()
            if isinstance(made, type): raise TypeError("a class")
            row += [hasattr(made, "g") and made.g(), hasattr(made, "f") and made.f(), isinstance(made, m.Sized)]
        except TypeError as error:
            row.append("abstract" in str(error))
        out[name] = row
    return out
def load(case, side):
    sys.path.insert(0, f"{case['root']}/{side}")
    sys.modules.pop(case["module"], None)
    try:
        importlib.invalidate_caches()
        return importlib.import_module(case["module"])
    finally:
        del sys.path[0]
def run(case):
    said = []
    refused = case["refused"] == "all" or (case["refused"] == "old" and sys.version_info < (3, 15))
    try:
        want = facts(load(case, "new"))
    except (TypeError, RuntimeError):
        want = None
    m = load(case, "old")
    held = m.C() if not m.C.__dict__.get("__abstractmethods__") else None
    was = facts(m)  # asked: abstract classes remember what they said
    report = suture.apply(case["patch"], partial=True)
    if refused:
        if report.ok or [f.code for f in report.findings if f.severity.value == "error"] != ["class-shape"]:
            said.append("not refused: " + report.words())
        plan = suture.plan(case["patch"], partial=True)
        if plan.ok and "class More" not in case["new"]:
            said.append("plan says it goes: " + plan.words())
    elif not report.ok:
        return [report.words()]
    else:
        got = facts(m)
        said += [f"{k}: {got.get(k)}, afresh {want.get(k)}" for k in {*got, *want} if got.get(k) != want.get(k)]
        if held is not None and hasattr(held, "f") and held.f() != got["C"][-2]:
            said.append(f"an object that exists: {held.f()}")
        if not suture.revert(report.patch_id).ok:
            said.append("not reverted")
    now = facts(m)
    said += [f"after: {k}: {now.get(k)}, was {was.get(k)}" for k in {*now, *was} if now.get(k) != was.get(k)]
    return said
out = {}
for case in json.load(open(sys.argv[1])):
    try:
        out[case["name"]] = run(case)
    except BaseException:
        import traceback
        out[case["name"]] = [traceback.format_exc()]
print(json.dumps(out))
"""


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each pair as two trees and a patch."""
    root = tmp_path_factory.mktemp("bases")
    rows = []
    for number, (name, (old, new, refused)) in enumerate(PAIRS.items()):
        module = f"bases_{number}"
        here = root / module
        for side, text in (("old", old), ("new", new)):
            (here / side).mkdir(parents=True)
            (here / side / f"{module}.py").write_text(HEAD + text)
        patch = build(here / "old", here / "new", name=f"b{number}")
        if not patch.changes:
            assert refused == "all", (name, patch.left_out)
            continue
        (here / "p.suture").write_bytes(dump(patch))
        row = {"name": name, "root": str(here), "module": module, "patch": str(here / "p.suture"), "refused": refused, "new": new}
        rows.append(row)
    assert len(rows) > 20
    (root / "pairs.json").write_text(json.dumps(rows))
    return root / "pairs.json"


@pytest.mark.parametrize("version", WANTED)
def test_bases_in_a_live_process(version: str, pairs: Path, run_child: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Orders, abstract methods, ``isinstance``, objects that exist: as in a fresh process, and then as they were."""
    if version not in found():
        pytest.skip(f"no Python {version} on this machine")
    done = run_child(found()[version], CHILD, str(pairs), PYTHONHASHSEED="0")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    wrong = [f"{name}: {text}" for name, texts in said.items() for text in texts]
    assert not wrong, "\n".join(wrong)
