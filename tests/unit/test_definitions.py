"""What a piece of source is: its code's fingerprint, which inner function became which, its text where it stands."""

from __future__ import annotations

import ast
import sys
import types
from typing import Any

import pytest

from suture.engine.facts import (
    Definition,
    alike,
    code_at,
    compile_text,
    fingerprint,
    inner_codes,
    kind_name,
    literal_value,
    pair_codes,
    same_tree,
    shift_lines,
)
from suture.errors import Refused


def code(text: str, **more: Any) -> types.CodeType:
    made = compile_text(text, **more).code
    assert made is not None
    return made


def body(line: str) -> types.CodeType:
    return code(f"def f(x):\n    {line}\n")


# ---------------------------------------------------------------- code


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("return x in {1, 2, 3}", "return x in {1, 2, 4}"),
        ("return x in {0, 1}", "return x in {False, 1}"),
        ("return (1, (0.0,))", "return (1, (-0.0,))"),
        ("return 1", "return True"),
        ("return 1", "return 1.0"),
        ("return lambda: 1", "return lambda: 2"),
        ("return x.a", "return x.b"),
        (
            "try:\n        return x()\n    except KeyError:\n        return 1",
            "try:\n        return x()\n    except OSError:\n        return 1",
        ),
    ],
)
def test_another_body_has_another_fingerprint(a: str, b: str) -> None:
    """And the same one has the same, however far down it stands and under whatever file name."""
    assert fingerprint(body(a)) != fingerprint(body(b))
    moved = code(f"def f(x):\n    {a}\n", line=500, filename="elsewhere.py")
    assert fingerprint(moved) == fingerprint(body(a))
    assert moved.co_firstlineno == 500


def test_kinds_have_their_names() -> None:
    """As findings call them."""
    kinds = {"def f(): pass\n": "plain function", "def f(): yield\n": "generator"}
    kinds |= {"async def f(): pass\n": "coroutine", "async def f(): yield\n": "async generator"}
    assert {t: kind_name(code(t)) for t in kinds} == kinds


def test_inner_code_moves_with_its_outer() -> None:
    """Lines of inner functions count from the same place."""
    made = shift_lines(body("return lambda: (\n        lambda: 1)"), 10)
    inner = inner_codes(made)
    assert [c.co_firstlineno for _, c in sorted(inner.items())] == [12, 13]
    assert shift_lines(made, 0) is made


def test_comprehensions_and_annotations_are_no_inner_functions() -> None:
    """They're gone when their frame is; what is made inside of them isn't."""
    text = "def f(x):\n    def g(a: int) -> str: pass\n    return [lambda: i for i in x], {i for i in x}, {i: 1 for i in x}, (i for i in x)\n"
    assert sorted(path[-1][0] for path in inner_codes(code(text))) == ["<lambda>", "g"]


@pytest.mark.parametrize(
    ("old", "new", "pairs", "alone"),
    [
        ("1 2 3", "1 2 3", "11 22 33", ""),
        ("1 2 3", "1 5 3", "11 25 33", ""),
        ("1 2 3", "1 3", "11 33", "2"),
        ("1 2", "1 5 2", "11 22", ""),
        ("1 2 3", "1 5", "11", "23"),
        ("1 2", "1 5 6", "11", "2"),
        ("1 1 2", "1 2", "11 22", "1"),
        ("1 2 3", "4 2", "22", "13"),
        ("1 2", "", "", "12"),
    ],
)
def test_which_inner_function_became_which(old: str, new: str, pairs: str, alone: str) -> None:
    """By place where there are as many; else equal ones first, and one that is left on both sides; more can't be told."""

    def lambdas(numbers: str) -> Any:
        return inner_codes(body("return [" + ",\n".join(f"lambda: 1000{n}" for n in numbers.split()) + "]"))

    def number(c: types.CodeType) -> str:
        return str(next(v for v in c.co_consts if type(v) is int))[-1]

    made, left = pair_codes(lambdas(old), lambdas(new))
    assert " ".join(number(a) + number(b) for a, b in made) == pairs
    assert "".join(map(number, left)) == alone


# ---------------------------------------------------------------- trees and values


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("f(1, x=2)", "f( 1,\n x = 2 )", True),
        ("f(1)", "f(True)", False),
        ("f(1)", "f(1, 2)", False),
        ("'a'", "b'a'", False),
        ("a.b", "a.c", False),
        ("[1, 2]", "(1, 2)", False),
        ("0.0", "-0.0", False),
    ],
)
def test_trees_are_compared_without_their_positions(a: str, b: str, same: bool) -> None:
    """But with the types of their constants."""
    assert same_tree(ast.parse(a), ast.parse(b)) is same


class Evil:
    def __eq__(self, other: object) -> bool:
        raise AssertionError("ran")

    __hash__ = object.__hash__


EVIL = Evil()


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        ([1, (2, {"k": {3}})], [1, (2, {"k": {3}})], True),
        ([1, (2, {"k": {3}})], [1, (2, {"k": {4}})], False),
        ((1,), [1], False),
        ([1], [1, 2], False),
        (1, True, False),
        (float("nan"), float("nan"), True),
        ({1: 2, 3: 4}, {3: 4, 1: 2}, False),
        ({EVIL: 1}, {EVIL: 1}, False),
        ({EVIL}, {EVIL}, False),
        (frozenset("ab"), frozenset("ba"), True),
        (EVIL, EVIL, False),
        (..., ..., True),
    ],
)
def test_values_are_alike_without_asking_them(a: object, b: object, equal: bool) -> None:
    """Only plain values, and containers of them, can be."""
    assert alike(a, b) is equal


@pytest.mark.parametrize("text", ["name", "a.b", "f()", "lambda: 1", "[f()]", "1 if x else 2", "-x"])
def test_what_is_no_literal(text: str) -> None:
    """It would have to be run."""
    with pytest.raises(ValueError):
        literal_value(ast.parse(text, mode="eval").body)


def test_literals() -> None:
    """As written."""
    for text in ("1", "-1", "'a' 'b'", "{'k': [1, (2.5, None)], 'm': {1}}", "1 + 2j"):
        assert repr(literal_value(ast.parse(text, mode="eval").body)) == repr(eval(text))


# ---------------------------------------------------------------- definitions


def test_a_definition_knows_its_head() -> None:
    """Parameters in the order of a call, with what their source says; decorators, docstring, what it returns."""
    made = compile_text(
        "    @deco(1)\n    @other\n    def f(a, /, b: int, c=1, *d: str, e, g=x.y, **h) -> 'A':\n        'said'\n",
        classes=("A",),
        line=10,
        filename="m.py",
    )
    rows = [
        (p.name, p.kind, p.default and ast.unparse(p.default), p.annotation and ast.unparse(p.annotation)) for p in made.parameters
    ]
    assert rows == [
        ("a", "positional-only", None, None),
        ("b", "positional", None, "int"),
        ("c", "positional", "1", None),
        ("d", "var-positional", None, "str"),
        ("e", "keyword-only", None, None),
        ("g", "keyword-only", "x.y", None),
        ("h", "var-keyword", None, None),
    ]
    assert [p.shape for p in made.parameters][2] == ("c", "positional", True)
    assert [ast.unparse(d) for d in made.decorators] == ["deco(1)", "other"]
    assert (made.returns and ast.unparse(made.returns), made.doc(), made.documented) == ("'A'", "said", True)
    assert made.code is not None
    assert made.code.co_firstlineno == 10
    assert made.renamed("other.py").code.co_filename == "other.py"  # type: ignore[union-attr]
    assert made.parse_function().name == "f"


@pytest.mark.parametrize(
    ("text", "doc"), [("def f(): pass\n", None), ("def f():\n    'a'\n    return 1\n", "a"), ("def f(): ''\n", "")]
)
def test_docstrings(text: str, doc: str | None) -> None:
    """None where there is none; -OO drops it."""
    assert compile_text(text).doc() == doc
    assert compile_text(text, optimize=2).doc() is None


def test_statements_that_are_no_functions_have_no_code_of_their_own() -> None:
    """They're compiled when they're needed, at their line."""
    made = compile_text("X = [\n    lambda: 1,\n]\n", line=7, imports=("os",))
    assert made.code is None
    assert [c.co_firstlineno for c in inner_codes(made.compile()).values()] == [8]
    assert isinstance(made.parse(), ast.Assign)
    assert made.renamed("y.py").filename == "y.py"


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("    def f(self):\n        return __class__, self.__p\n", ("A",)),
        ("    def f(self):\n        return __class__, self.__p\n", ("A", "B", "C", "D", "E")),
        ("def f(self):\n  return __class__, self.__p\n", ("A", "B")),
        ("\tdef f(self):\n\t\treturn __class__, self.__p\n", ("A",)),
    ],
)
def test_methods_are_compiled_in_their_classes(text: str, classes: tuple[str, ...]) -> None:
    """However far the file indents them, or the classes' own lines do."""
    made = compile_text(text, classes=classes, line=3)
    assert made.code is not None
    assert (made.code.co_freevars, made.code.co_names) == (("__class__",), (f"_{classes[-1]}__p",))
    assert made.code.co_firstlineno == 3


@pytest.mark.parametrize("above", ["", "\n" * 40, "# said\n" * 400])
@pytest.mark.parametrize("imports", [(), ("os", "sys")])
def test_classes_inside_know_their_line(above: str, imports: tuple[str, ...]) -> None:
    """What a definition's code is, it is in its file too: classes keep the line that they stand at (3.13+)."""
    method = "    @staticmethod\n    def f():\n        class B:\n            class C: x = 1\n        return B\n"
    lines = above.count("\n") + 1
    module = compile(
        f"{above}class A:\n{method}def g():\n\tclass D: pass\n\treturn D\nclass E: pass\n", "m.py", "exec", dont_inherit=True
    )
    made = compile_text(method, classes=("A",), line=lines + 1, imports=imports, filename="m.py")
    assert made.code == code_at(module, ("A", "f"))
    assert compile_text("def g():\n\tclass D: pass\n\treturn D\n", line=lines + 6, filename="m.py").code == code_at(module, ("g",))
    whole = compile_text("class E: pass\n", line=lines + 9, imports=imports, filename="m.py").compile()
    assert code_at(whole, ("E",)) == code_at(module, ("E",))
    moved = compile_text(method, classes=("A",), filename="m.py").again(line=lines + 1).code
    assert moved == made.code


def test_an_indented_function_without_a_class() -> None:
    """One that stands in an ``if``."""
    made = compile_text("    def f():\n        return 1\n", line=5, imports=("os", "sys"))
    assert made.code is not None
    assert (made.code.co_firstlineno, made.wrapped) == (5, 2)
    assert isinstance(made.parse(), ast.FunctionDef)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters came with 3.12")
def test_generic_functions_are_found_behind_their_parameters() -> None:
    """Their body is the code that calls run."""
    for text, classes in (("def f[T](x: T) -> T:\n    return x\n", ()), ("    def f[T](self, x: T):\n        return x\n", ("A",))):
        assert code(text, classes=classes).co_name == "f"
    assert code("def f():\n    return 1\n", classes=("A",)).co_name == "f"


@pytest.mark.parametrize(
    ("text", "refusal", "where"),
    [
        ("def f(:\n    pass\n", "syntax-error", "m.py:20"),
        ("def f():\n    return (\n", "syntax-error", "m.py:21"),
        ("def f():\n    class A: pass\n    nonlocal q\n", "syntax-error", "m.py:22"),
        ("def f():\n    return\x00\n", "syntax-error", "m.py"),
        ("x = 1\ny = 2\n", "bad-patch", "m.py"),
        ("# nothing\n", "bad-patch", "m.py"),
    ],
)
def test_text_that_cannot_be_compiled(text: str, refusal: str, where: str) -> None:
    """With its own line in the file, the line's text and a caret; one statement is meant, neither none nor two."""
    with pytest.raises(Refused) as caught:
        compile_text(text, line=20, filename="m.py")
    assert caught.value.code == refusal
    assert caught.value.target.startswith(where)
    if where == "m.py:20":
        assert caught.value.evidence["line"] == "def f(:"
        assert caught.value.evidence["caret"].strip() == "^"


@pytest.mark.parametrize(
    ("text", "classes", "imports"),
    [
        (" pass\ndef f(): pass\n", ("A",), ()),
        ("  pass\n def f(): pass\n", ("A", "B"), ()),
        ("  x = 1\ny = 2\n", (), ("os",)),
    ],
)
def test_text_that_goes_on_outside_of_what_it_stands_in(text: str, classes: tuple[str, ...], imports: tuple[str, ...]) -> None:
    """It isn't one statement: what comes behind would run as well."""
    with pytest.raises(Refused) as caught:
        compile_text(text, classes=classes, imports=imports)
    assert caught.value.code == "bad-patch"


def test_records_of_definitions_can_be_kept_in_sets() -> None:
    """Equal heads are shared; equality is by fields."""
    a, b = (compile_text("def f(x=1, y: int = None):\n    pass\n") for _ in range(2))
    assert a.parameters is b.parameters
    assert isinstance(a, Definition) and a.parameters[0] == b.parameters[0]
