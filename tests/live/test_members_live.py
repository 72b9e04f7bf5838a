"""
Enumerations whose members change in a live process: all that ``enum`` itself says of them is what a fresh process of the new
source says, and after the revert what it said before; on every Python.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pythons import WANTED, found
from suture.ops.build import build
from suture.patch import dump

HEAD = "import enum\nfrom enum import *\n"
OLD_STR = "class StrEnum(str, Enum):\n    pass\n"  # 3.10 has none
MAKER = """
class Planet(Enum):
    def __new__(cls, mass, radius):
        obj = object.__new__(cls)
        obj._value_ = len(cls.__members__) + 1
        return obj
    def __init__(self, mass, radius):
        self.mass = mass
        self.radius = [radius]
    @property
    def weight(self):
        return self.mass * self.radius[0]
"""
NUMBERED = """
class Named(Enum):
    def _generate_next_value_(name, start, count, last_values):
        return name.lower()
"""

# Name of the class, old text, new text; what follows the class is a refusal's code.
PAIRS: dict[str, tuple[str, str, str, str]] = {
    "added at the end": ("C", "class C(Enum):\n    A = 1\n", "class C(Enum):\n    A = 1\n    B = 2\n", ""),
    "added first": ("C", "class C(Enum):\n    A = 1\n", "class C(Enum):\n    B = 2\n    A = 1\n", ""),
    "another order": ("C", "class C(Enum):\n    A = 1\n    B = 2\n", "class C(Enum):\n    B = 2\n    A = 1\n", ""),
    "alias added": ("C", "class C(Enum):\n    A = 1\n", "class C(Enum):\n    A = 1\n    B = 1\n", ""),
    "alias becomes its own": ("C", "class C(Enum):\n    A = 1\n    B = 1\n", "class C(Enum):\n    A = 1\n    B = 2\n", ""),
    "becomes an alias": ("C", "class C(Enum):\n    A = 1\n    B = 2\n", "class C(Enum):\n    A = 1\n    B = 1\n", "enum-members"),
    "another value": ("C", "class C(Enum):\n    A = 1\n    B = 2\n", "class C(Enum):\n    A = 'a'\n    B = 2\n", ""),
    "values swapped": ("C", "class C(Enum):\n    A = 1\n    B = 2\n", "class C(Enum):\n    A = 2\n    B = 1\n", ""),
    "values without a hash": (
        "C",
        "class C(Enum):\n    A = [1]\n    D = [3]\n",
        "class C(Enum):\n    A = [1]\n    B = [2]\n    D = [4]\n",
        "",
    ),
    "auto in the middle": (
        "C",
        "class C(Enum):\n    A = auto()\n    D = auto()\n",
        "class C(Enum):\n    A = auto()\n    B = auto()\n    D = auto()\n",
        "",
    ),
    "auto by name": ("Named", f"{NUMBERED}    A = auto()\n", f"{NUMBERED}    B = auto()\n    A = auto()\n", ""),
    "number": ("C", "class C(IntEnum):\n    A = 1\n", "class C(IntEnum):\n    B = 0\n    A = 1\n    D = A\n", ""),
    "number changes": ("C", "class C(IntEnum):\n    A = 1\n", "class C(IntEnum):\n    A = 2\n", "enum-members"),
    "string": (
        "C",
        "class C(str, Enum):\n    A = 'a'\n",
        "class C(str, Enum):\n    A = 'a'\n    B = 'b', 'ascii'\n    title = 't'\n",
        "evaluation-failed",
    ),
    "string and descriptors": (
        "C",
        "class C(str, Enum):\n    A = 'a'\n",
        "class C(str, Enum):\n    A = 'a'\n    title = 't'\n    name_ = 'n'\n",
        "",
    ),
    "str enum": (
        "C",
        f"{OLD_STR if True else ''}class C(StrEnum):\n    A = 'a'\n",
        f"{OLD_STR}class C(StrEnum):\n    A = 'a'\n    B = 'b'\n",
        "",
    ),
    "float and bytes": ("C", "class C(bytes, Enum):\n    A = b'a'\n", "class C(bytes, Enum):\n    A = b'a'\n    B = b'b'\n", ""),
    "tuple": ("C", "class C(tuple, Enum):\n    A = (1, 2)\n", "class C(tuple, Enum):\n    A = (1, 2)\n    B = (3,)\n", ""),
    "made by its own __new__": ("Planet", f"{MAKER}    A = 1, 2\n", f"{MAKER}    B = 3, 4\n    A = 1, 2\n", ""),
    "another attribute": ("Planet", f"{MAKER}    A = 1, 2\n", f"{MAKER}    A = 1, 9\n", ""),
    "method beside": ("C", "class C(Enum):\n    A = 1\n", "class C(Enum):\n    A = 1\n    def f(self): return 1\n    B = 2\n", ""),
    "descriptor": (
        "C",
        "class C(Enum):\n    A = 1\n",
        "class C(Enum):\n    A = 1\n    def f(self): return 1\n    g = property(f)\n",
        "evaluation-entangled",
    ),
    "flag": ("C", "class C(Flag):\n    A = 1\n    B = 2\n", "class C(Flag):\n    A = 1\n    B = 2\n    D = 4\n    AD = 5\n", ""),
    "flag by auto": ("C", "class C(Flag):\n    A = auto()\n", "class C(Flag):\n    A = auto()\n    B = auto()\n", ""),
    "flag not in order": ("C", "class C(Flag):\n    A = 2\n", "class C(Flag):\n    A = 2\n    B = 1\n", ""),
    "int flag": ("C", "class C(IntFlag):\n    A = 1\n", "class C(IntFlag):\n    A = 1\n    B = 8\n    ALL = A | B\n", ""),
    "flag of another bit": ("C", "class C(Flag):\n    A = 1\n", "class C(Flag):\n    A = 2\n", "enum-members"),
    "value taken over": ("C", "class C(Enum):\n    A = 1\n", "class C(Enum):\n    B = 1\n", "enum-members"),
    "own hash": (
        "C",
        "class C(Enum):\n    A = 1\n    def __hash__(self): return 7\n",
        "class C(Enum):\n    A = 2\n    def __hash__(self): return 7\n",
        "enum-members",
    ),
    "unique": ("C", "@unique\nclass C(Enum):\n    A = 1\n", "@unique\nclass C(Enum):\n    A = 1\n    B = 2\n", ""),
    "unique, broken": (
        "C",
        "@unique\nclass C(Enum):\n    A = 1\n",
        "@unique\nclass C(Enum):\n    A = 1\n    B = 1\n",
        "evaluation-failed",
    ),
    "inside a class": (
        "H.C",
        "class H:\n    class C(Enum):\n        A = 1\n",
        "class H:\n    class C(Enum):\n        A = 1\n        B = 2\n",
        "",
    ),
    "order stated": (
        "C",
        "class C(Enum):\n    _order_ = 'A'\n    A = 1\n",
        "class C(Enum):\n    _order_ = 'A B'\n    A = 1\n    B = 2\n",
        "",
    ),
    "of a function": (
        "C",
        "def f(x):\n    return x * 2\nclass C(Enum):\n    A = f(1)\n",
        "def f(x):\n    return x * 3\nclass C(Enum):\n    A = f(1)\n    B = f(2)\n",
        "",
    ),
    "holds functions": (
        "C",
        "def f(x):\n    return x\nclass C(Enum):\n    A = (f, 1)\n",
        "def f(x):\n    return x\nclass C(Enum):\n    A = (f, 1)\n    B = (f, 2)\n",
        "",
    ),
}

CHILD = r"""
import copy, importlib, json, pickle, re, sys
sys.dont_write_bytecode = True
import suture
def plain(value):
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
def facts(cls):
    space = vars(cls)
    out = {"members": [[n, m.name, plain(m.value)] for n, m in cls.__members__.items()], "iterated": [plain(m) for m in cls], "len": len(cls)}
    for name in ("_member_map_", "_value2member_map_", "_member_names_", "_hashable_values_", "_unhashable_values_", "_unhashable_values_map_",
                 "_flag_mask_", "_singles_mask_", "_all_bits_"):
        value = space.get(name)
        if name == "_value2member_map_":  # not what was combined and is remembered
            value = sorted((plain(v), plain(m)) for v, m in value.items() if m in cls.__members__.values())
        out[name] = plain(list(value.items()) if isinstance(value, dict) else value)
    for name, member in cls.__members__.items():
        own = {k: plain(v) for k, v in vars(member).items() if k != "_inverted_"}
        try:
            by_value = cls(member.value) is member
        except TypeError as error:
            by_value = str(error)
        attribute = getattr(cls, name)
        try:
            pickled = pickle.loads(pickle.dumps(member)) is member
        except Exception as error:
            pickled = type(error).__name__
        out[name] = [own, by_value, plain(attribute), attribute is member, cls[name] is member, member in cls, str(member), f"{member}", pickled,
                     type(member) is cls, copy.copy(member) is member, member.__objclass__ is cls, hash(member) == hash(member.name), name in dir(cls),
                     plain(type(space.get(name)).__name__)]
        for how in ("__invert__", "__int__", "__len__", "upper", "weight"):
            if hasattr(member, how):
                made = getattr(member, how)
                out[name].append(plain(made() if callable(made) else made))
    if hasattr(cls, "_boundary_") or "__or__" in dir(cls):
        both = None
        for member in cls:
            both = member if both is None else both | member
            out["or " + member.name] = [plain(both), plain(~both), plain(list(both)) if hasattr(both, "__iter__") else ""]
    return out
def load(case, side):
    sys.path.insert(0, f"{case['root']}/{side}")
    try:
        for name in [n for n in sys.modules if n == case["module"]]:
            del sys.modules[name]
        importlib.invalidate_caches()
        return importlib.import_module(case["module"])
    finally:
        del sys.path[0]
def of(module, path):
    for name in path.split("."):
        module = getattr(module, name)
    return module
def run(case):
    want = facts(of(load(case, "new"), case["path"])) if case["refused"] != "evaluation-failed" else None
    was_fresh = facts(of(load(case, "old"), case["path"]))  # looked at: what it caches isn't the live one's
    module = load(case, "old")
    cls = of(module, case["path"])
    if case["looked"]:
        facts(cls)
    tables = {k: id(v) for k, v in vars(cls).items()}
    members, said = dict(cls.__members__), []
    report = suture.apply(open(case["patch"], "rb").read())
    if case["refused"]:
        if report.ok or case["refused"] not in [f.code for f in report.findings]:
            said.append("not refused: " + report.words())
    elif not report.ok:
        return [report.words()]
    else:
        got = facts(cls)
        said += [f"{k}: {got.get(k)}, afresh {want.get(k)}" for k in {*got, *want} if got.get(k) != want.get(k)]
        if of(module, case["path"]) is not cls or any(cls.__members__[n] is not m for n, m in members.items() if m.name == n):
            said.append("other objects")
        back = suture.revert(report.patch_id)
        if not back.ok:
            said.append(back.words())
    if {k: id(v) for k, v in vars(cls).items()} != tables or any(cls.__members__[n] is not m for n, m in members.items()):
        said.append("not the same afterwards")
    after = facts(cls)
    said += [f"after: {k}: {after.get(k)}, was {was_fresh.get(k)}" for k in {*after, *was_fresh} if after.get(k) != was_fresh.get(k)]
    return said
out = {}
for case in json.load(open(sys.argv[1])):
    try:
        out[case["name"]] = run(case)
    except BaseException as error:
        import traceback
        out[case["name"]] = [traceback.format_exc()]
print(json.dumps(out))
"""


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each pair as two trees and a patch, twice: with members that nobody has looked at, and with some that have been."""
    root = tmp_path_factory.mktemp("members")
    rows = []
    for number, (name, (path, old, new, refused)) in enumerate(PAIRS.items()):
        for looked in (False, True):
            module = f"pair_{number}_{looked:d}"
            here = root / module
            for side, text in (("old", old), ("new", new)):
                (here / side).mkdir(parents=True)
                (here / side / f"{module}.py").write_text(HEAD + text)
            patch = build(here / "old", here / "new", name=f"p{number}-{looked:d}")
            assert not patch.left_out, (name, patch.left_out)
            (here / "p.suture").write_bytes(dump(patch))
            row = {"name": f"{name}, {looked}", "root": str(here), "module": module, "path": path}
            rows.append({**row, "patch": str(here / "p.suture"), "refused": refused, "looked": looked})
    (root / "pairs.json").write_text(json.dumps(rows))
    return root / "pairs.json"


@pytest.mark.parametrize("version", WANTED)
def test_members_in_a_live_process(version: str, pairs: Path, run_child: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """A changed enumeration is what a fresh process has, in every table that it keeps; then it is what it was."""
    if version not in found():
        pytest.skip(f"no Python {version} on this machine")
    done = run_child(found()[version], CHILD, str(pairs), PYTHONHASHSEED="0")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert len(said) == 2 * len(PAIRS) > 60
    wrong = [f"{name}: {text}" for name, texts in said.items() for text in texts]
    assert not wrong, "\n".join(wrong)
