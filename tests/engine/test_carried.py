"""Whole modules that a patch brings: importable while it is live, by the patch itself too; gone with it, and where it's refused."""

from __future__ import annotations

import importlib
import inspect
import pickle
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import suture
from suture.engine.carried import Carrier
from suture.ops.build import build
from suture.patch import Kind, dump, load


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Any]:
    """A package in two versions; the old one is importable."""
    made: list[str] = []

    class House:
        def trees(self, old: dict[str, str], new: dict[str, str]) -> Any:
            for side, files in (("old", old), ("new", new)):
                for path, text in files.items():
                    file = tmp_path / side / path
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text(text)
            sys.path.insert(0, str(tmp_path / "old"))
            importlib.invalidate_caches()
            made.extend(p.partition("/")[0].removesuffix(".py") for p in {**old, **new})
            return build(tmp_path / "old", tmp_path / "new", name="fix")

    before = set(sys.modules)
    yield House()
    for report in reversed(suture.status()):
        assert suture.revert(report.patch_id).ok
    sys.path[:] = [p for p in sys.path if p != str(tmp_path / "old")]
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in made:
            del sys.modules[name]


OLD = {"cp/__init__.py": "", "cp/m.py": "def f():\n    return 1\n"}
NEW = {
    "cp/__init__.py": "",
    "cp/m.py": "from .more import helper\nfrom cp.sub.deep import DEEP\ndef f():\n    return helper(1) + DEEP\n",
    "cp/more.py": "LIMIT = 40\nclass Thing:\n    pass\ndef helper(x):\n    return x + LIMIT\ndef broken():\n    return 1 / 0\n",
    "cp/sub/__init__.py": "",
    "cp/sub/deep.py": "from ..more import LIMIT\nDEEP = LIMIT * 10\n",
    "cp/unused.py": "raise RuntimeError('nobody imports it')\n",
}


def finders() -> int:
    return sum(isinstance(f, Carrier) for f in sys.meta_path)


def test_modules_are_carried_and_go(house: Any) -> None:
    """With what they import of each other; a module that nobody imports doesn't run."""
    patch = house.trees(OLD, NEW)
    assert not patch.left_out, patch.left_out
    assert load(dump(patch)) == patch
    assert [str(c.target) for c in patch.changes if c.kind is Kind.MODULE] == ["cp.more", "cp.sub", "cp.sub.deep", "cp.unused"]
    import cp.m as m  # type: ignore[import-not-found]

    held, before = m.f, dict(vars(m))
    assert suture.plan(patch).ok
    assert ("cp.more" in sys.modules, finders()) == (False, 0)
    report = suture.apply(patch)
    assert report.ok, report.words()
    assert (held(), m.f()) == (441, 441)
    more: Any = importlib.import_module("cp.more")
    assert more is sys.modules["cp.more"] is sys.modules["cp"].more
    assert type(pickle.loads(pickle.dumps(more.Thing()))) is more.Thing
    assert "return x + LIMIT" in inspect.getsource(more.helper)
    with pytest.raises(ZeroDivisionError) as raised:
        more.broken()
    assert traceback.extract_tb(raised.value.__traceback__)[-1].line == "return 1 / 0"
    with pytest.raises(RuntimeError):
        importlib.import_module("cp.unused")
    assert "cp.unused" not in sys.modules
    assert {r.target: r.status for r in suture.status()[0].changed}["cp.more"] == "added"
    back = suture.revert(report.patch_id)
    assert back.ok, back.words()
    assert held() == 1
    assert [n for n in ("cp.more", "cp.sub", "cp.sub.deep") if n in sys.modules] == []
    assert not hasattr(sys.modules["cp"], "more")
    assert {k: v for k, v in vars(m).items() if k != "__builtins__"} == {k: v for k, v in before.items() if k != "__builtins__"}
    assert finders() == 0
    with pytest.raises(ImportError):
        importlib.import_module("cp.more")


def test_module_is_imported_later(house: Any) -> None:
    """In a function's body, when it is called; the whole tree below a new package."""
    new = {**OLD, "cp/m.py": "def f():\n    from np.inner import X\n    return X\n", "np/__init__.py": "", "np/inner.py": "X = 7\n"}
    patch = house.trees(OLD, new)
    import cp.m as m

    report = suture.apply(patch)
    assert report.ok, report.words()
    assert "np.inner" not in sys.modules
    assert m.f() == 7
    assert suture.revert(report.patch_id).ok
    assert [n for n in sys.modules if n.partition(".")[0] == "np"] == []


def test_a_refusal_takes_them_out(house: Any) -> None:
    """What was imported to evaluate the patch is gone again."""
    new = {**OLD, "cp/m.py": "from .more import X\nY = 1 // X\ndef f():\n    return Y\n", "cp/more.py": "X = 0\n"}
    patch = house.trees(OLD, new)
    import cp.m as m

    before = dict(vars(m))
    report = suture.apply(patch)
    assert [f.code for f in report.findings if f.severity == "error"] == ["evaluation-failed"]
    assert dict(vars(m)) == before
    assert ("cp.more" in sys.modules, hasattr(sys.modules["cp"], "more"), finders()) == (False, False, 0)


@pytest.mark.parametrize(
    ("carried", "there", "code"),
    [
        ("X = 1\n", "X = 1\n", "already-fixed"),
        ("X = 1", "X = 1", "already-fixed"),
        ("", "", "already-fixed"),
        ("X = 1\n", "X = 2\n", "already-defined"),
    ],
)
@pytest.mark.parametrize("loaded", [True, False])
def test_module_that_is_there(house: Any, carried: str, there: str, code: str, loaded: bool) -> None:
    """The very same is taken as it is; another one is in the way."""
    new = {**OLD, "cp/m.py": "from . import more\ndef f():\n    return 1, more.__name__\n", "cp/more.py": carried}
    patch = house.trees(OLD, new)
    import cp.m as m

    (Path(m.__file__).parent / "more.py").write_text(there)
    importlib.invalidate_caches()
    if loaded:
        importlib.import_module("cp.more")
    report = suture.apply(patch)
    assert code in {f.code for f in report.findings}
    assert report.ok is (code == "already-fixed"), report.words()
    assert m.f() == ((1, "cp.more") if report.ok else 1)
    assert finders() == 0


def test_syntax_error_in_it_is_refused(house: Any) -> None:
    """At build, with its place."""
    patch = house.trees(OLD, {**OLD, "cp/more.py": "def f(:\n"})
    assert [(f.code, f.target) for f in patch.left_out] == [("syntax-error", "cp/more.py:1")]
