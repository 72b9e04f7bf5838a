"""
Dataclasses that are edited: the process with the patch has the classes that a fresh one has, and after the revert those it had.

Generated modules of a few classes that come from each other, with any options of ``@dataclass`` that leave the class the same
object.
"""

from __future__ import annotations

import importlib
import itertools
import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

import suture
from suture.engine.facts import fingerprint
from suture.engine.plan import is_remade
from suture.engine.resolve import leaves
from suture.engine.transplant import Supplied
from suture.ops.build import build
from suture.patch import Severity

NUMBERS = itertools.count()
LATER = frozenset(("__annotations__", "__annotations_cache__", "__annotate_func__", "__static_attributes__", "__firstlineno__"))
HEAD = (
    "import functools\nfrom dataclasses import InitVar, dataclass, field, KW_ONLY\nfrom typing import ClassVar, Generic, TypeVar\n\n"
    "T = TypeVar('T')\n\n\ndef made():\n    return [1]\n\n\n"
)
VALUES = ("0", "'text'", "None", "(1, 2)", "made", "field(default=5, repr=False)", "field(default=6, compare=False)")
FACTORIES = ("field(default_factory=list)", "field(default_factory=lambda: [2])", "field(default_factory=made, compare=False)")
OPTIONS = (
    "order=True",
    "repr=False",
    "eq=False",
    "kw_only=True",
    "frozen=True",
    "unsafe_hash=True",
    "match_args=False",
    "init=True",
)
METHODS = (
    "def __repr__(self):\n        return 'mine'",
    "def __post_init__(self, *rest):\n        object.__setattr__(self, 'late', len(rest))",
    "def total(self):\n        return super().__repr__()",
    "def __eq__(self, other):\n        return self is other",
)


@st.composite
def classes(draw: st.DrawFn) -> str:
    """The text of a class: its decorators, fields and methods."""
    lines = []
    for name in draw(st.permutations("abcde"))[: draw(st.integers(0, 4))]:
        annotation = draw(st.sampled_from(["int", "list", "'str'", "int | None", "ClassVar[int]", "InitVar[int]"]))
        value = draw(st.sampled_from([*VALUES, *FACTORIES]))
        if annotation.startswith(("ClassVar", "InitVar")):
            value = "1"
        lines.append(f"{name}: {annotation} = {value}")
    lines += draw(st.lists(st.sampled_from(METHODS), max_size=2, unique=True))
    if draw(st.booleans()):
        lines.insert(0, '"""What it is."""')
    options = ", ".join(draw(st.lists(st.sampled_from(OPTIONS), max_size=3, unique=True)))
    decorator = draw(st.sampled_from([f"@dataclass({options})\n", f"@dataclass({options})\n", "@dataclass\n", ""]))
    body = "".join(f"    {line}\n" for line in lines) or "    pass\n"
    return f"{decorator}class {{}}:\n{body}"


@st.composite
def edits(draw: st.DrawFn) -> tuple[str, str]:
    """Two versions of a module; each class of the second is the old one, or another."""
    future = draw(st.sampled_from(["", "from __future__ import annotations\n"]))
    heads = [
        name.format(*"AB") for name in draw(st.sampled_from([("A", "B({0})", "C({1})"), ("A(Generic[T])", "B({0}[int])", "C")]))
    ]
    old = [draw(classes()) for _ in heads]
    new = [draw(st.one_of(st.just(text), classes())) for text in old]
    return tuple(future + HEAD + "\n\n".join(map(str.format, side, heads)) for side in (old, new))  # type: ignore[return-value]


def fresh(here: Path, text: str, name: str) -> types.ModuleType | None:
    """The module as a new process has it; None if its classes can't be made."""
    (here / f"{name}.py").write_text(text)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except TypeError:
        return None
    except ValueError:
        return None


def said(value: Any, module: str) -> Any:
    """What a class keeps under a name, in words that two modules can be compared by."""
    functions = [s.function for s in leaves(value, "")]
    if functions:
        rows = []
        for f in functions:
            held = [c.cell_contents.__qualname__ for c in f.__closure__ or () if isinstance(c.cell_contents, type)]
            rows.append((fingerprint(f.__code__), f.__defaults__, f.__kwdefaults__, f.__qualname__, f.__module__, held))
        return plain(rows, module)
    return {k: said(v, module) for k, v in value.items()} if isinstance(value, dict) else plain(value, module)


def plain(value: Any, module: str) -> str:
    """Its representation, without what is different in each process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value).replace(module, "m"))


def state(module: types.ModuleType) -> dict[str, dict[str, Any]]:
    """Its classes, name by name."""
    out = {}
    for cls in (v for v in list(vars(module).values()) if isinstance(v, type) and v.__module__ == module.__name__):
        space = {k: v for k, v in vars(cls).items() if k not in LATER and type(v) is not Supplied}
        out[cls.__name__] = {k: said(v, module.__name__) for k, v in space.items() if k not in ("__dict__", "__weakref__")}
        out[cls.__name__]["annotations"] = said(dict(cls.__annotations__), module.__name__)
    return out


def tried(module: types.ModuleType) -> list[str]:
    """What objects say that are made of its classes."""
    out = []
    for name in "ABC":
        made = getattr(module, name)()
        out.append(repr(made).replace(module.__name__, "m").partition(" at 0x")[0])
        out.append(str(made == getattr(module, name)()))
        out.append(str({k: v for k, v in sorted(vars(made).items())}).partition(" at 0x")[0])
    return out


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(edits())
def test_a_class_made_anew_is_what_a_fresh_process_has(here: Path, versions: tuple[str, str]) -> None:
    """By dictionary, annotations and objects; what the builder says it leaves out aside.  The revert gives back the very objects."""
    number = next(NUMBERS)
    name = f"edited_shape_{number}"
    new, old = fresh(here, versions[1], f"{name}_new"), fresh(here, versions[0], name)
    if new is None or old is None or versions[0] == versions[1]:
        return
    for side, text in zip(("old", "new"), versions, strict=True):
        (here / f"{number}{side}").mkdir()
        (here / f"{number}{side}" / f"{name}.py").write_text(text)
    patch = build(here / f"{number}old", here / f"{number}new", name="shape")
    assert "builder-fault" not in {f.code for f in patch.left_out}, versions
    before, objects = state(old), {c: dict(vars(getattr(old, c))) for c in "ABC"}
    held = [getattr(old, c)() for c in "ABC"]
    try:
        report = suture.apply(patch)
        if not report.ok:
            codes = {f.code for f in report.findings if f.severity is Severity.ERROR}
            event(f"refused: {sorted(codes)}")
            assert codes <= {"partial-patch", "hash-changed", "class-fields"}, (
                versions,
                report.words(),
            )  # of an heir the process alone knows
            assert {c: dict(vars(getattr(old, c))) for c in "ABC"} == objects
            return
        if not suture.status():
            return
        event("live")
        kept = {f.code for f in report.findings} & {"hash-changed", "removed-kept", "docs-only"}
        now, want, anew = state(old), state(new), {c.target.name for c in patch.changes if is_remade(c)}
        for cls in "ABC" if "removed-kept" not in kept else ():
            left = {"__hash__"} if "hash-changed" in kept else set()
            left |= {"annotations"} if cls not in anew else set()  # of a plain class: for type checkers
            for key in {*now[cls], *want[cls]} - left:
                if key != "__doc__" or "docs-only" not in kept:
                    assert now[cls].get(key) == want[cls].get(key), (cls, key, *versions, report.words())
        if not kept:
            assert tried(old) == tried(new), versions
        for one in held:
            repr(one), one == one  # noqa: B015  objects that exist have what the new methods read
        back = suture.revert(report.patch_id)
        assert back.ok
        assert not back.findings, back.words()
        after = state(old)
        for cls in "ABC":
            for key in {*after[cls], *before[cls]}:
                assert after[cls].get(key) == before[cls].get(key), (cls, key, versions)
        for cls, space in objects.items():
            after = vars(getattr(old, cls))
            assert {k: v for k, v in space.items() if k not in LATER} == {k: v for k, v in after.items() if k not in LATER}
    finally:
        for report in reversed(suture.status()):
            suture.revert(report.patch_id)
        del sys.modules[name], sys.modules[new.__name__]


def test_an_object_that_lacks_a_field_is_given_its_own_once() -> None:
    """By a descriptor that the class itself doesn't seem to have: a subclass made later doesn't take it for a default."""

    class Old:
        tags = Supplied("tags", list)

    one, two = Old(), Old()
    assert one.tags is one.tags
    assert one.tags is not two.tags
    assert not hasattr(Old, "tags")
    with pytest.raises(AttributeError, match="has no attribute 'tags'"):
        _ = Old.tags
    assert sys.getrefcount(one.tags) < 4
