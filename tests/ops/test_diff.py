"""What each kind of difference becomes: a change, or a finding with its place."""

from __future__ import annotations

import gc
import os
import sys
import textwrap
from pathlib import Path

import pytest

from suture.errors import Refused
from suture.ops.build import build
from suture.ops.build.tree import Tree
from suture.patch import Kind, Patch

CLASS = "class A:\n"


@pytest.fixture
def made(tmp_path: Path):
    """Build a patch from two trees given as {path: text}; a text alone is m.py."""

    def make(old: str | dict[str, str | bytes], new: str | dict[str, str | bytes]) -> Patch:
        for side, files in (("old", old), ("new", new)):
            for path, text in (files if isinstance(files, dict) else {"m.py": files}).items():
                file = tmp_path / side / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).lstrip("\n").encode())
        return build(tmp_path / "old", tmp_path / "new", name="fix")

    return make


def carried(patch: Patch) -> list[str]:
    return [f"{c.kind} {c.target}" for c in patch.changes]


def said(patch: Patch) -> list[str]:
    return sorted(f"{f.code} {f.target}" for f in (*patch.left_out, *patch.remarks))


# ---------------------------------------------------------------- definitions


def test_text_of_a_change_is_the_files_own_lines(made) -> None:
    """Decorators first, indentation and comments kept, lines counted in each file."""
    patch = made(
        "class A:\n    @staticmethod\n    def f():  # why\n        return 1\n",
        "x = 1\nclass A:\n    @staticmethod\n    def f():\n        return 2\n",
    )
    change = next(c for c in patch.changes if c.kind is Kind.FUNCTION)
    assert change.before == "    @staticmethod\n    def f():  # why\n        return 1\n"
    assert change.after == "    @staticmethod\n    def f():\n        return 2\n"
    assert (change.scope.line_before, change.scope.line_after, change.scope.classes) == (2, 3, ("A",))


def test_statement_that_shares_its_line_is_cut_out(made) -> None:
    """`a = 1; b = 2`: the change carries its own part, in its own column."""
    patch = made("é = 0; b = 1\n", "é = 0; b = 2\n")
    assert [(c.before, c.after) for c in patch.changes] == [("       b = 1\n", "       b = 2\n")]


def test_form_feed_ends_no_line(made) -> None:
    """Lines are counted as the compiler does, not as str.splitlines does."""
    patch = made("x = '\x0c\u2028'\ndef f():\n    return 1\n", "x = '\x0c\u2028'\ndef f():\n    return 2\n")
    assert patch.changes[0].before == "def f():\n    return 1\n"


def test_moved_functions_are_listed(made) -> None:
    """Unchanged functions whose lines moved are facts of the file, methods too."""
    old = "def f():\n    return 1\nclass A:\n    def g(self):\n        return 2\n"
    patch = made(old, f"import os\n{old}")
    assert patch.files[0].moved == ("f", "A.g")


def test_accessors_and_registrations_of_one_name_are_told_apart(made) -> None:
    """Setter and getter by slot, registrations of `_` by what they're for."""
    old = """
        from functools import singledispatch
        @singledispatch
        def f(x): return 0
        @f.register(int)
        def _(x): return 1
        @f.register(str)
        def _(x): return 2
        """
    assert carried(made(old, old.replace("return 2", "return 3"))) == ["function m:_[register]"]


def test_renamed_import_is_an_addition_and_a_note(made) -> None:
    """An import of one more name carries just that name."""
    patch = made("from os import path, sep\n", "from os import path, linesep as sep2\n")
    assert [(c.after, c.names) for c in patch.changes] == [("from os import linesep as sep2\n", ("sep2",))]
    assert said(patch) == ["removed-kept m:sep"]


def test_relative_import_of_the_same_is_no_change(made) -> None:
    """`from .a import f` and `from app.a import f` mean one thing."""
    files = {"app/__init__.py": "", "app/a.py": "f = 1\n"}
    patch = made({**files, "app/m.py": "from app.a import f\n"}, {**files, "app/m.py": "from .a import f\n"})
    assert said(patch) == ["no-change "]


def test_submodule_import_beside_another_binds_nothing_new(made) -> None:
    """`import a.b` where `import a` was: the name is the submodule's, so the process needn't lack `a`."""
    assert made("import os\n", "import os\nimport os.path\n").changes[0].names == ("os.path",)


# ---------------------------------------------------------------- blocks


@pytest.mark.parametrize("head", ["if X():", "try:", "with X:"])
def test_nothing_is_added_in_a_block_that_may_do_more(made, head: str) -> None:
    """To see whether it ran, it would have to be run again."""
    tail = "except E():\n    pass\n" if head == "try:" else ""
    patch = made(f"{head}\n    pass\n{tail}", f"{head}\n    y = 1\n{tail}")
    assert (carried(patch), said(patch)) == ([], ["conditional-added m:y"])


def test_block_with_another_header_is_a_statement(made) -> None:
    """What it would have run isn't known, if it may do more than make values."""
    assert said(made("if X():\n    y = 1\n", "if Y():\n    y = 1\n"))[0] == "top-level-statement m.py:1"


def test_main_block_has_run(made) -> None:
    """A changed call under __main__ is a warning; functions there are carried."""
    old = "if __name__ == '__main__':\n    def f(): return 1\n    f(1)\n"
    patch = made(old, old.replace("1)", "2)").replace("return 1", "return 2"))
    assert (carried(patch), said(patch)) == (["function m:f"], ["main-block m.py:3"])


# ---------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("reader", "taken"),
    [
        ({"n.py": "from m import X\nY = X + 1\n"}, "value n:Y"),
        ({"n.py": "import m as k\nY = k.X\n"}, "value n:Y"),
        ({"n.py": "from m import X as Z\n", "o.py": "from n import Z\ndef f(a=Z): return a\n"}, "function o:f"),
        ({"n.py": "from m import *\nY = [X]\n"}, "value n:Y"),
        ({"n.py": "import m\nclass A:\n    y = m.X\n    z = y * 2\n"}, "value n:A.y|value n:A.z"),
        ({"n.py": "from m import X\nclass A:\n    X = X\nclass B:\n    y = A.X\n"}, "value n:A.X|value n:B.y"),
        (
            {"n.py": "from m import X\nclass A:\n    y = X\nclass B(A):\n    pass\n", "o.py": "import n\nz = n.B.y\n"},
            "value n:A.y|value o:z",
        ),
        ({"n.py": "from m import X\nY = X\nZ = Y\ndef f(*, a=Z, b=1): return a\n"}, "value n:Y|value n:Z|function n:f"),
        ({"n.py": "from m import X\nclass A:\n    X = 3\n    y = X\n"}, ""),
        ({"n.py": "from m import X\ndef f():\n    class A:\n        y = X\n    return A\n"}, ""),
    ],
)
def test_what_is_computed_from_a_constant_goes_with_it(made, reader: dict[str, str], taken: str) -> None:
    """Wherever it came to be read at import: by name, as an attribute, through another module or a class, by a star."""
    patch = made({"m.py": "X = 1\n", **reader}, {"m.py": "X = 2\n", **reader})
    assert not patch.left_out, said(patch)
    assert carried(patch) == ["value m:X", *filter(None, taken.split("|"))]
    assert all(c.before == c.after for c in patch.changes[1:])


@pytest.mark.parametrize(
    ("reader", "place"),
    [
        ({"n.py": "from m import X\n@d(X)\ndef f(): pass\n"}, "n.py:3"),
        ({"n.py": "from m import X\nclass A(B, size=X): pass\n"}, "n.py:2"),
        ({"n.py": "from m import X\nY = open(X)\n"}, "n.py:2"),
        ({"n.py": "from m import X\nY = X\nY += X\n"}, "n.py:2"),
        ({"n.py": "from m import X\nY = Z = f(X)\n"}, "n.py:2"),
        ({"n.py": "from m import X\nif X:\n    pass\n"}, "n.py:2"),
        ({"n.py": "from m import X\nif Z():\n    Y = X\n"}, "n.py:3"),
        ({"n.py": "from m import X\nclass A(Enum):\n    Y = X\n"}, "n.py:3"),
        ({"n.py": "from m import X\nclass A(NamedTuple):\n    y: int = X\n"}, "n.py:3"),
        ({"n.py": "from m import X\nfor Y in X: pass\n"}, "n.py:2"),
        ({"m2.py": "from m import X\nf = lambda b=X: (1, b)\n"}, "m2.py:2"),
    ],
)
def test_constant_with_a_reader_that_cannot_be_worked_out_again_is_left_out(made, reader: dict[str, str], place: str) -> None:
    """Decorators, bases, calls that may do more, several names, blocks, members."""
    new = {k: v.replace("(1, b)", "(2, b)") for k, v in reader.items()}
    patch = made({"m.py": "X = 1\n", **reader}, {"m.py": "X = 2\n", **new})
    assert [(f.code, f.evidence["read_at"].partition(" ")[0]) for f in patch.left_out] == [("value-computed", place)]
    assert carried(patch) == (["nested m2:f"] if "m2.py" in reader else [])


def test_statement_that_acted_on_a_constant_is_named(made) -> None:
    """It ran with the old value; the value is carried."""
    patch = made("X = 1\nprint(X)\n", "X = 2\nprint(X)\n")
    assert (carried(patch), said(patch)) == (["value m:X"], ["value-stale m:X"])


def test_constant_is_rebound_in_every_module_that_took_it(made) -> None:
    """From those that took it in turn as well; a read inside a function is no matter."""
    others = {
        "n.py": "from m import X as Z\n",
        "o.py": "from n import Z\ndef f(): return Z\n",
        "p.py": "from m import *\n",
        "q.py": "def f():\n    from m import X\n    return X\n",
    }
    patch = made({"m.py": "X = 1\n", **others}, {"m.py": "X = 2\n", **others})
    assert not patch.left_out
    assert sorted(patch.changes[0].rebind) == ["n:Z", "o:Z", "p:X"]


def test_added_name_reaches_star_importers(made) -> None:
    """As a fresh process would have it, and only if it is exported."""
    other = {"n.py": "from m import *\n", "o.py": "from n import *\n"}
    patch = made({"m.py": "", **other}, {"m.py": "X = 1\n_Y = 2\n", **other})
    assert [c.rebind for c in patch.changes] == [("n:X", "o:X"), ()]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("X = f()\n", "X = g()\n", "value-changed m:X"),
        ("X = 1\n", "X = g()\n", "value-changed m:X"),
        ("X, Y = f()\n", "X, Y = g()\n", "value-changed m:X, Y"),
        ("X = 1\nif Z(): X = 2\n", "X = 3\nif Z(): X = 2\n", "value-changed m:X"),
        ("X[0] = 1\n", "X[0] = 2\n", "value-changed m:X[0]"),
        ("", "X[0] = 2\n", "top-level-statement m.py:1"),
        ("def f(): pass\n", "def f(): pass\nf.a = 1\n", "top-level-statement m.py:2"),
        ("X = f()\n", "X = f()\nX += 1\n", "top-level-statement m.py:2"),
        ("X = Y\nX += 1\n", "X = Y\nX += 2\n", "top-level-statement m.py:2"),
        ("X = 1\n", "X = (Y := 2)\n", "value-changed m:X"),
        ("T = []\nfor x in U:\n    x.append(1)\n", "T = []\nfor x in U:\n    x.append(2)\n", "top-level-statement m.py:2"),
    ],
)
def test_values_that_are_not_plain_are_left_out(made, old: str, new: str, code: str) -> None:
    """Computed, mutable, ambiguous, or not a name."""
    patch = made(old, new)
    assert (carried(patch), said(patch)) == ([], [code])


def test_function_attributes_with_plain_values_are_carried(made) -> None:
    """Those of an added function too."""
    patch = made("def f(): pass\nf.a = 1\n", "def f(): pass\nf.a = 2\ndef g(): pass\ng.b = 3\n")
    assert carried(patch) == ["value m:f.a", "function m:g", "value m:g.b"]


def test_annotation_alone_is_for_type_checkers(made) -> None:
    """`X = 1` and `X: int = 1` give one value."""
    assert said(made("X = 1\n", "X: int = 1\n")) == ["no-change ", "type-only m:X"]


# ---------------------------------------------------------------- classes


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("class A(B): pass\n", "class A(C[int]): pass\n", "class-shape m:A"),
        ("class A(metaclass=M): pass\n", "class A: pass\n", "class-shape m:A"),
        ("class A: pass\n", "@d\nclass A: pass\n", "class-shape m:A"),
        ("class A: pass\n", "class A:\n    def __init_subclass__(cls): pass\n", "class-shape m:A.__init_subclass__"),
        (
            "class A:\n    def __hash__(self): return 1\n",
            "class A:\n    def __eq__(self, o): return 1\n",
            "hash-changed m:A.__eq__",
        ),
        ("class A:\n    def f(self): pass\n", "class A:\n    @abstractmethod\n    def f(self): pass\n", "abstract-added m:A.f"),
        ("class A(NamedTuple):\n    x: int\n", "class A(NamedTuple):\n    x: int\n    y: int\n", "class-fields m:A.y"),
        ("class A(Model):\n    x = Char(1)\n", "class A(Model):\n    x = Char(2)\n", "class-fields m:A.x"),
        ("class E(Enum): pass\nclass A(E):\n    x = 1\n", "class E(Enum): pass\nclass A(E):\n    x = f()\n", "enum-members m:A.x"),
        ("class A:\n    __slots__ = ()\n", "class A:\n    pass\n", "slots-changed m:A.__slots__"),
        ("class A:\n    __slots__ = 'ab'\n", "class A:\n    __slots__ = 'a', 'b'\n", "slots-changed m.py:2"),
        ("class A:\n    __slots__ = 'a', 'b'\n", "class A:\n    __slots__ = 'b', 'c'\n", "slots-changed m.py:2"),
        ("class A:\n    __slots__ = B\n", "class A:\n    __slots__ = 'b', 'c'\n", "slots-changed m.py:2"),
    ],
)
def test_what_a_class_was_made_from_is_left_out(made, old: str, new: str, code: str) -> None:
    """Shape, fields, members, slots, hashing."""
    patch = made(old, new)
    assert carried(patch) == []
    assert [f"{f.code} {f.target}" for f in patch.left_out] == [code]


BASE = """from enum import Enum, auto
def spelled(name): return name.lower()
class Base(Enum):
    def _generate_next_value_(name, start, count, last): return spelled(name)
class E(Base):
    A = auto()
"""


@pytest.mark.parametrize("change", [("spelled(name)\n", "spelled(name[:1])\n"), ("name.lower()", "name.upper()")])
def test_members_that_a_changed_base_would_make(made, change: tuple[str, str]) -> None:
    """They would be made with the base's live code: the old one.  Its method, or what that calls; from another module too."""
    add = ("    A = auto()\n", "    A = auto()\n    B = auto()\n")
    assert [f.code for f in made(BASE, BASE.replace(*add)).left_out] == []
    assert [f.code for f in made(BASE, BASE.replace(*change)).left_out] == []
    assert said(made(BASE, BASE.replace(*add).replace(*change))) == ["enum-members m:E.B"]
    home, rest = BASE.split("class E")
    old = {"base.py": home, "m.py": f"from enum import auto\nfrom base import Base\nclass E{rest}"}
    new = {"base.py": home.replace(*change), "m.py": old["m.py"].replace(*add)}
    assert [f"{f.code} {f.target}" for f in made(old, new).left_out] == ["enum-members m:E.B"]


@pytest.mark.parametrize("read", ["getattr(self, 'n', 0)", "self.n if hasattr(self, 'n') else 0"])
def test_attribute_that_is_asked_for_first_is_fine(made, read: str) -> None:
    """Objects that exist lack it, and the method knows."""
    old = "class A:\n    def __init__(self): pass\n    def f(self): return 0\n"
    assert not made(old, old.replace("pass", "self.n = 1").replace("return 0", f"return {read}")).left_out


def test_attribute_of_a_base_is_not_new(made) -> None:
    """A base in the same module sets it."""
    base = "class B:\n    def __init__(self): self.n = 1\n"
    old = f"{base}class A(B):\n    def __init__(self): pass\n    def f(self): return 0\n"
    assert not made(old, old.replace("pass", "self.n = 2").replace("return 0", "return self.n")).left_out


# ---------------------------------------------------------------- trees


def test_modules_go_in_order_of_import(made) -> None:
    """The imported come first, whatever their names; circles end."""
    old = {
        "a.py": "import b\ndef f(): return 1\n",
        "b.py": "import c\ndef f(): return 1\n",
        "c.py": "import b\ndef f(): return 1\n",
    }
    patch = made(old, {k: v.replace("1", "2") for k, v in old.items()})
    assert [c.target.module for c in patch.changes] == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("path", "module", "others"),
    [
        ("app/m.py", "app.m", ["app/__init__.py"]),
        ("app/m.py", "app.m", []),
        ("src/app/m.py", "app.m", ["src/app/__init__.py"]),
        ("src/m.py", "m", []),
        ("src/ns/m.py", "ns.m", []),
        ("services/one/app/m.py", "app.m", ["services/one/app/__init__.py"]),
        ("app/__init__.py", "app", []),
        ("main.py", "main", []),
        (
            "suture/ops/build/m.py",
            "suture.ops.build.m",
            ["suture/__init__.py", "suture/ops/__init__.py", "suture/ops/build/__init__.py"],
        ),
    ],
)
def test_module_names(made, path: str, module: str, others: list[str]) -> None:
    """Packages from their outermost folder, namespaces and src layouts from the root; a package may be called build."""
    rest = dict.fromkeys(others, "")
    patch = made({path: "def f(): return 1\n", **rest}, {path: "def f(): return 2\n", **rest})
    assert [(str(c.target), c.target.path) for c in patch.changes] == [(f"{module}:f", path)]


@pytest.mark.parametrize(
    ("user", "name"),
    [
        ("from google.cloud.storage import m\n", "google.cloud.storage.m"),
        ("import google.cloud.storage.m as m\n", "google.cloud.storage.m"),
        ("if 1:\n    from google.cloud import files, storage\n", "google.cloud.storage.m"),
        ("from google.cloud import storages\n", "storage.m"),  # nothing says that the folders aren't import roots
        ("from storage import m\nimport google.cloud.storage\n", "storage.m"),
        ("from cloud.storage import m\n", "cloud.storage.m"),
        ("", "storage.m"),
    ],
)
def test_package_in_plain_folders_is_called_what_its_importers_call_it(made, user: str, name: str) -> None:
    """Namespace packages have no file that says so; many import roots lie in folders of one repository."""
    rest = {"google/cloud/storage/__init__.py": "", "google/cloud/user/__init__.py": user}
    path = "google/cloud/storage/m.py"
    patch = made({path: "def f(): return 1\n", **rest}, {path: "def f(): return 2\n", **rest})
    assert [str(c.target) for c in patch.changes] == [f"{name}:f"]


def test_a_module_keeps_the_name_that_it_has_in_the_process(made) -> None:
    """A package of the old version may be a namespace in the new one: the file is the same module, its imports too."""
    text = "from .b import x\nfrom ..c import y\ndef f(): return {}\n"
    old = {"a/__init__.py": "", "a/v/__init__.py": "", "a/v/m.py": text.format(1)}
    patch = made(old, {"a/__init__.py": "", "a/v/m.py": text.format(2)})
    assert [str(c.target) for c in patch.changes] == ["a.v.m:f"]
    assert not [f for f in patch.left_out if f.code == "builder-fault"]


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links here")
def test_links_that_lead_nowhere_or_in_a_circle_are_not_followed(tmp_path: Path) -> None:
    """Nor links to folders; a link to a file is a file."""
    for side in ("old", "new"):
        (tmp_path / side / "p").mkdir(parents=True)
        (tmp_path / side / "p" / "m.py").write_text(f"x = '{side}'\n")
        (tmp_path / side / "p" / "n.py").symlink_to("m.py")
        (tmp_path / side / "p" / "up").symlink_to("..")
        (tmp_path / side / "self.py").symlink_to("self.py")
        (tmp_path / side / "gone.py").symlink_to("nowhere.py")
    assert list(Tree(tmp_path / "old").files) == ["p/m.py", "p/n.py"]


def test_what_holds_no_source_is_not_looked_into(made) -> None:
    """Caches, environments, build outputs, hidden folders; compiled files."""
    paths = [
        "__pycache__/m.py",
        ".venv/m.py",
        "node_modules/m.py",
        "build/m.py",
        "env/pyvenv.cfg",
        "env/lib/m.py",
        "x.egg-info/m.py",
        "m.pyc",
    ]
    patch = made(dict.fromkeys(paths, "x = 1\n"), dict.fromkeys(paths, "x = 2\n"))
    assert said(patch) == ["no-change "]


def test_tests_stubs_and_data_are_said_and_not_carried(made) -> None:
    """A ``test`` folder inside a package is code."""
    old = {
        "m.py": "x = 1\n",
        "test_m.py": "1\n",
        "tests/t.py": "1\n",
        "m.pyi": "1",
        "data.json": "1",
        "p/__init__.py": "",
        "p/test/c.py": "y = 1\n",
    }
    patch = made(old, {k: v.replace("1", "2") for k, v in old.items()})
    assert sorted(carried(patch)) == ["value m:x", "value p.test.c:y"]
    assert said(patch) == ["left-out-tests test_m.py", "not-carried data.json", "type-only m.pyi"]


@pytest.mark.parametrize(
    ("beside", "code"),
    [
        (["p/m.py"], "type-only p/m.pyi"),
        ([], "type-only p/m.pyi"),
        (["p/m.cpython-313-x86_64-linux-gnu.so"], "extension-stub p/m.pyi"),
        (["p/m.pyx"], "extension-stub p/m.pyi"),
        (["p/more.so"], "type-only p/m.pyi"),
        (["p/m.py", "p/m.so"], "type-only p/m.pyi"),  # compiled by its own build: what is patched is its Python
    ],
)
def test_a_stub_is_no_change_of_the_program(made, beside: list[str], code: str) -> None:
    """Unless it describes what a process can't be given: then that is said."""
    rest = dict.fromkeys(["p/__init__.py", *beside], "")
    patch = made({"p/m.pyi": "x: int\n", **rest}, {"p/m.pyi": "x: str\n", **rest})
    assert [s for s in said(patch) if s != "no-change "] == [code]
    assert not patch.left_out


def test_whole_modules(made) -> None:
    """New ones are carried, packages without code too; removed ones are named, those without code by the way."""
    new = {"a.py": "x = 1\n", "c.py": "x = 1", "d/__init__.py": ""}
    patch = made({"a.py": "x = 1\n", "b.py": "x = 1\n", "e/__init__.py": "'doc'\n"}, new)
    assert carried(patch) == ["module c", "module d"]
    assert said(patch) == ["docs-only e/__init__.py", "module-added c", "module-added d", "not-carried b"]


@pytest.mark.parametrize("side", ["old", "new"])
def test_bad_source_is_named_with_its_line(made, side: str) -> None:
    """In either tree: the line and a caret; the rest is built all the same."""
    good = {"m.py": "x = 1\n", "n.py": "def f(): return 1\n"}
    bad = {"m.py": "x = 1\ny = (\n", "n.py": "def f(): return 2\n"}
    patch = made(*((bad, good) if side == "old" else (good, bad)))
    assert [(f.code, f.target, f.evidence["line"], f.evidence["caret"]) for f in patch.left_out] == [
        ("syntax-error", "m.py:2", "y = (", "    ^")
    ]
    assert carried(patch) == ["function n:f"]


def test_encodings_are_those_of_pep_263(made) -> None:
    """Declared ones are decoded, BOM and line ends are no change, unknown ones are named."""
    old = {"a.py": "# coding: latin-1\nx = 'é'\n".encode("latin-1"), "b.py": b"x = 1\n", "c.py": b"x = 1\n"}
    new = {"a.py": "# coding: utf-8\nx = 'é'\n".encode(), "b.py": b"\xef\xbb\xbfx = 1\r\n", "c.py": b"# coding: klingon\nx = 1\n"}
    assert said(made(old, new)) == ["encoding c.py"]


def test_files_with_nul_bytes_are_a_syntax_error(made) -> None:
    """Whatever the parser of this Python raises for it."""
    assert said(made({"m.py": "x = 1\n"}, {"m.py": b"x = 1\0\n"}))[0].startswith("syntax-error m.py")


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("def f():\n    return 1\n", "def f():\n    yield 1\n", "kind-changed"),
        ("def f():\n    return 1\n", "@d\ndef f():\n    return 2\n", "decorators-changed"),
    ],
)
def test_what_a_person_may_accept_is_carried_with_its_error(made, old: str, new: str, code: str) -> None:
    """No whole patch comes of it; a partial one has the change, for `accept` in the process."""
    patch = made(old, new)
    assert (carried(patch), [f"{f.code} {f.target}" for f in patch.left_out]) == (["function m:f"], [f"{code} m:f"])


@pytest.mark.parametrize("collects", [True, False])
def test_build_leaves_the_interpreter_as_it_was(made, collects: bool) -> None:
    """The collector and the limit of recursion, after an error too."""
    limit = sys.getrecursionlimit()
    (gc.enable if collects else gc.disable)()
    try:
        made("x = 1\n", "x = 2\n")
        with pytest.raises(Refused):
            build(Path("nowhere"), Path("nowhere"), name="fix")
        assert (gc.isenabled(), sys.getrecursionlimit()) == (collects, limit)
    finally:
        gc.enable()


def test_what_reads_alike_means_the_same_in_its_place_alone(made) -> None:
    """Statements of one line, of a class and of a function that have the same text on it."""
    assert carried(made("a = 1; b = 1\nclass A: a = 1; b = 1\n", "a = 1; b = 1\nclass A: a = 1; b = 2\n")) == ["value m:A.b"]
    assert carried(made("x = 'u'; y = u'u'\n", "x = u'u'; y = 'u'\n")) == []


# ---------------------------------------------------------------- blocks that are worked out again


@pytest.mark.parametrize(
    ("old", "new", "said_"),
    [
        ("if X:\n    y = 1\n", "", "removed-kept m:y"),
        ("T = {}\nfor n in (1, 2):\n    T[n] = 1\n", "T = {}\n", ""),
        ("from x import T\nfor n in (1, 2):\n    T[n] = 1\n", "from x import T\n", "top-level-statement m.py:2"),
        ("if f():\n    y = 1\n", "", "top-level-statement m.py:1"),
        (
            "for n in (1,):\n    A = n\nfor n in (1,):\n    B = n\n",
            "for n in (2,):\n    A = n\nfor n in (1,):\n    B = n\n",
            "value-stale m:n",
        ),
    ],
)
def test_what_blocks_leave_behind_is_said(made, old: str, new: str, said_: str) -> None:
    """Names that nothing makes any more, names that loops share."""
    assert said(made(old, new))[:1] == ([said_] if said_ else [])


def test_a_decision_about_a_statement_comes_before_its_knot(made) -> None:
    """Who chose something for one of its statements keeps that choice."""
    patch = made("T = []\nif X:\n    T.append(1)\n", "T = []\nif X:\n    T.append(2)  # suture: skip\n")
    assert (carried(patch), said(patch)[0]) == ([], "decided m.py:3")
    patch = made("A, B = 1, 2\n", "A, B = 1, 3  # suture: skip\n")
    assert (carried(patch), said(patch)[0]) == ([], "decided m.py:1")
