"""What a text makes of each name, and what a live value is in words."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

import suture
from suture.engine.bound import Names, last_bound
from suture.engine.pieces import cut
from suture.engine.sources import files_of
from suture.engine.swap import ABSENT
from suture.engine.values import shown
from suture.errors import Refused


def names_of(text: str) -> Names:
    names = Names()
    for piece in cut(text, path="m.py", rest=lambda: None):
        names.take(piece, "m.py")
    return names


@pytest.mark.parametrize(
    ("text", "name", "kinds"),
    [
        ("def f(): pass\n", "f", ["def"]),
        ("class A: pass\n", "A", ["class"]),
        ("x = 1\n", "x", ["value"]),
        ("x: int = 1\n", "x", ["value"]),
        ("x: int\n", "x", []),
        ("x = y = 1\n", "y", ["value"]),
        ("x = f()\n", "x", ["computed"]),
        ("x += 1\n", "x", ["computed"]),
        ("f = lambda: 1\n", "f", ["lambda"]),
        ("a, (b, *c) = 1, (2, 3)\n", "c", ["computed"]),
        ("a, b = 1, 2\n", "b", ["value"]),
        ("a, b = pair\n", "b", ["computed"]),
        ("[a, b] = 1, 2\n", "a", ["value"]),
        ("x = 1\ndel x\n", "x", ["value", "gone"]),
        ("x = 1\ndel (x, y)\n", "y", ["gone"]),
        ("x = []\nx.append(1)\n", "x", ["value", "touched"]),
        ("f((y := 1))\n", "y", ["computed"]),
        ("import a.b, c as d\n", "a", ["import"]),
        ("from a import b as c\n", "c", ["import"]),
        ("for i in z: pass\n", "i", ["computed"]),
        (f"x = {list(range(9000))}\n", "x", ["computed"]),  # longer than what is parsed in one go
        (f"f({list(range(9000))})\n", "f", []),
        ("'doc'\n", "doc", []),
    ],
)
def test_what_binds_a_name(text: str, name: str, kinds: list[str]) -> None:
    """By kind, in order."""
    assert [b.kind for b in names_of(text).of(()).get(name, [])] == kinds


def test_attributes_of_classes_and_functions() -> None:
    """One of a class that stands above is the class's own."""
    names = names_of("class A:\n    x = 1\nA.y = 2\ndef f(): pass\nf.z = 3\na.b.c = 4\n")
    assert sorted(names.of(("A",))) == ["x", "y"]
    assert "f.z" in names.of(())


def test_imports_flags_and_stars() -> None:
    """What decides how code is compiled, and what may bind any name."""
    names = names_of("from __future__ import annotations\nimport a.b as c\nfrom d import *\nclass A:\n    import e\n")
    assert (names.imports, names.star) == ({"annotations", "c"}, True)
    assert names.flags == 0x1000000
    assert "e" in names.of(("A",))
    assert "super" in names_of("x = super\n").imports


def test_what_a_name_is_in_the_end() -> None:
    """The last sure one and what may have come after it."""
    bounds = names_of("x = 1\nx = 2\nif a:\n    x = 3\nif b:\n    del x\n").of(())["x"]
    assert ([b.value for b in last_bound(bounds)[0]], last_bound(bounds)[1]) == ([2, 3, ABSENT], True)
    bounds = names_of("if a:\n    x = 3\n").of(())["x"]
    assert last_bound(bounds) == (bounds, True)


def test_what_stands_for_type_checkers_alone_binds_nothing() -> None:
    """It hasn't run."""
    assert names_of("if TYPE_CHECKING:\n    import z\n").of(()) == {}


def test_syntax_errors_have_their_line() -> None:
    """In the file, not in the piece; in a class too."""
    with pytest.raises(Refused) as caught:
        names_of("x = 1\nclass A:\n    y = 1\n    z = 1 +\n")
    assert (caught.value.code, caught.value.target) == ("syntax-error", "m.py:4")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.12+ has it")
def test_generic_classes_and_aliases() -> None:
    """All of a generic class is kept; an alias is computed."""
    names = names_of("class A[T]:\n    def f(self): return 1\ntype X = int\n")
    assert list(names.wholes) == [("A",)]
    assert [b.kind for b in names.of(())["X"]] == ["computed"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (ABSENT, ""),
        ("x" * 50, repr("x" * 40) + "..."),
        (b"x", "b'x'"),
        (1 << 300, "an int of 301 bits"),
        (1.5, "1.5"),
        ([1, "a"], "[1, 'a']"),
        ({"a": 1}, "{'a': 1}"),
        (list(range(9)), "a list of 9"),
        ({"k": object()}, "a dict of 1"),
        (["x" * 70], "a list of 1"),
        (shown, "function shown"),
        (Names, "class Names"),
        (types.SimpleNamespace(), "a SimpleNamespace"),
    ],
)
def test_values_in_words(value: Any, words: str) -> None:
    """Short, and no code of the program's is run."""
    assert shown(value) == words


def test_files_of_a_tree(tmp_path: Path) -> None:
    """Packages from their outermost folder, src layouts from there, what isn't source left out; encodings by PEP 263."""
    for path, data in {
        "src/ns/m.py": b"x = 1\n",
        "pkg/__init__.py": b"",
        "pkg/m.py": b"# coding: latin-1\nx = '\xe9'\n",
        "pkg/test_m.py": b"",
        "pkg/conftest.py": b"",
        ".hidden/m.py": b"",
        "bad.py": b"# coding: no-such\n",
        "tool.txt": b"",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere")
    found = {module: text for module, _, text in files_of(tmp_path, lambda: None)}
    assert sorted(found) == ["bad", "ns.m", "pkg", "pkg.m"]
    assert found["pkg.m"]() == "# coding: latin-1\nx = '\xe9'\n"
    with pytest.raises(Refused) as caught:
        found["bad"]()
    assert caught.value.code == "encoding"
    assert [(m, p) for m, p, _ in files_of(tmp_path / "bad.py", lambda: None)] == [("bad", "bad.py")]
    assert [m for m, _, _ in files_of({"a.b": "x = 1\n"}, lambda: None)] == ["a.b"]
    (tmp_path / "bad.py").unlink()
    with pytest.raises(Refused) as caught:
        found["bad"]()
    assert caught.value.code == "unreadable"


def test_package_in_plain_folders_is_called_as_it_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``google.cloud.storage``, where that is what the process has."""
    (tmp_path / "above" / "below" / "pack").mkdir(parents=True)
    (tmp_path / "above" / "below" / "pack" / "__init__.py").write_text("def f():\n    return 1\n")
    assert [m for m, _, _ in files_of(tmp_path, lambda: None)] == ["pack"]
    monkeypatch.syspath_prepend(str(tmp_path))
    module = __import__("above.below.pack").below.pack
    try:
        assert [m for m, _, _ in files_of(tmp_path, lambda: None)] == ["above.below.pack"]
        assert suture.drift(tmp_path).ok
        module.f = None
        assert [d.target for d in suture.drift(tmp_path).all_differences()] == ["above.below.pack:f"]
    finally:
        for name in ("above", "above.below", "above.below.pack"):
            sys.modules.pop(name, None)
