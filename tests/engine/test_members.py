"""Enumerations in one process: what is refused changes nothing, what the program has put in stays, patches replace and stack."""

from __future__ import annotations

from typing import Any

import pytest

import suture

HEAD = "import enum\n"
OLD = HEAD + "class C(enum.Enum):\n    A = 1\n    B = 2\n"
NEW = HEAD + "class C(enum.Enum):\n    A = 1\n    B = 2\n    D = 3\n"
MORE = HEAD + "class C(enum.Enum):\n    A = 1\n    B = 2\n    D = 3\n    E = 4\n"
OTHERS = {
    "a metaclass that does more": (
        "class Meta(enum.EnumMeta):\n    made = []\n    def __new__(meta, *a, **k):\n        meta.made.append(a)\n"
        "        return super().__new__(meta, *a, **k)\n",
        "enum.Enum, metaclass=Meta",
    ),
    "told of its subclasses": (
        "class Base(enum.Enum):\n    def __init_subclass__(cls, **k):\n        super().__init_subclass__(**k)\n",
        "Base",
    ),
    "not of a type that is known": ("", "complex, enum.Enum"),
}


def built(world: Any, old: str, new: str) -> Any:
    """A patch from one source to another."""
    world.becomes(old)
    return world.patch(new)


def state(cls: Any) -> dict[str, Any]:
    """Every name of a class, and what its tables hold."""
    tables = {k: list(v.items() if type(v) is dict else v) for k, v in vars(cls).items() if type(v) in (dict, list)}
    return {"names": dict(vars(cls)), "tables": tables, "own": {n: dict(vars(m)) for n, m in cls.__members__.items()}}


@pytest.mark.parametrize("what", OTHERS)
def test_what_may_do_more_is_refused_and_nothing_changes(world: Any, what: str) -> None:
    """A class that can't be made on the side is refused by plan already."""
    base, bases = OTHERS[what]
    text = HEAD + base + f"class C({bases}):\n    A = 1\n"
    module = world.module(text)
    patch = world.patch({"m": text + "    B = 2\n"})
    before = state(module.C)
    report = suture.plan(patch) if patch.changes else None
    if report is not None:
        assert not report.ok
        assert {f.code for f in report.findings} >= {"enum-members"}
        assert not suture.apply(patch, partial=True).ok
    else:
        assert [f.code for f in patch.left_out] == ["enum-members"]
    assert state(module.C) == before


def test_a_member_of_the_program_stays(world: Any) -> None:
    """What it has put in itself is no part of the source: it stays, before, under and after the patch."""
    module = world.module(OLD)
    extra = object.__new__(module.C)
    vars(extra).update(_name_="X", _value_=9, __objclass__=module.C)
    module.C._member_map_["X"] = module.C._value2member_map_[9] = extra
    module.C._member_names_.append("X")
    patch = world.patch({"m": NEW})
    report = suture.apply(patch)
    assert report.ok, report.words()
    assert [m.name for m in module.C] == ["A", "B", "X", "D"]
    assert module.C(9) is module.C["X"] is extra
    assert suture.revert(report.patch_id).ok
    assert [m.name for m in module.C] == ["A", "B", "X"]
    assert module.C(9) is extra


def test_another_value_than_the_source_had_is_a_conflict(world: Any) -> None:
    """The live class must be what the patch was built from."""
    module = world.module(OLD.replace("B = 2", "B = 7"))
    patch = built(world, OLD, NEW)
    before = state(module.C)
    report = suture.apply(patch)
    assert not report.ok
    assert [f.code for f in report.findings if f.severity.value == "error"] == ["conflict"]
    assert state(module.C) == before


def test_one_patch_takes_anothers_place_and_one_stands_on_another(world: Any) -> None:
    """A cumulative patch replaces; one built on top stacks; reverts lead to what was there, object by object."""
    module = world.module(OLD)
    before = state(module.C)
    first = world.patch({"m": NEW})
    assert suture.apply(first).ok
    member = module.C.D
    top = built(world, NEW, MORE)
    above = suture.apply(top)
    assert above.ok, above.words()
    assert module.C.D is member
    assert [m.name for m in module.C] == ["A", "B", "D", "E"]
    assert suture.revert(above.patch_id).ok
    assert [m.name for m in module.C] == ["A", "B", "D"]
    whole = built(world, OLD, MORE)
    report = suture.apply(whole)
    assert report.ok, report.words()
    assert [m.name for m in module.C] == ["A", "B", "D", "E"]
    assert [m.name for m in (module.C(3), module.C(4))] == ["D", "E"]
    assert suture.revert(report.patch_id).ok
    after = state(module.C)
    assert after == before
    assert not suture.status()


def test_readers_and_additions_see_the_members_that_will_be(world: Any) -> None:
    """In order: tables, defaults and constants that are worked out at apply have the new members themselves."""
    tail = "ALL = list(C)\nBY = {c.name: c for c in C}\ndef f(c=C.A):\n    return c\n"
    module = world.module(OLD + tail)
    listed = module.ALL
    new = NEW + tail.replace("c=C.A", "c=C.D") + "class Sub:\n    held = C.D\n    also = [C.D]\n"
    patch = world.patch({"m": new})
    report = suture.apply(patch)
    assert report.ok, report.words()
    d = module.C.D
    assert module.ALL is listed == [module.C.A, module.C.B, d]
    assert module.BY["D"] is d is module.f() is module.Sub.held is module.Sub.also[0] is module.C(3)
    assert suture.revert(report.patch_id).ok
    assert module.ALL is listed == [module.C.A, module.C.B]
    assert not hasattr(module.C, "D")


def test_a_member_that_is_removed_stays_and_is_named(world: Any) -> None:
    """Its place is behind what it stood behind; by name, by value and in a loop it is there."""
    module = world.module(OLD)
    gone = module.C.A
    patch = world.patch({"m": HEAD + "class C(enum.Enum):\n    B = 2\n    D = 3\n"})
    assert [(f.code, f.target.rpartition(":")[2]) for f in patch.remarks] == [("removed-kept", "C.A")]
    report = suture.apply(patch)
    assert report.ok, report.words()
    assert [m.name for m in module.C] == ["A", "B", "D"]
    assert module.C.A is module.C(1) is module.C["A"] is gone
    assert suture.revert(report.patch_id).ok
    assert [m.name for m in module.C] == ["A", "B"]
