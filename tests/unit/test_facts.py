"""Source that is compiled where it stands."""

from __future__ import annotations

import pytest

from suture.engine.facts import compile_text, wrap

ODD = "a\x0cb\u2028c\x0bd\x1ce\x85f"


@pytest.mark.parametrize("classes", [(), ("A",), ("A", "B")])
@pytest.mark.parametrize("indent", ["", " "])
def test_strings_keep_what_python_does_not_count_as_the_end_of_a_line(classes: tuple[str, ...], indent: str) -> None:
    """A form feed, U+2028 and their like, however far in the text is moved for its classes."""
    text = f'{indent}def f(self):  # {ODD}\n{indent}    return "{ODD}"\n'
    definition = compile_text(text, classes=classes)
    assert definition.code is not None
    assert ODD in definition.code.co_consts


def test_lines_are_moved_in_by_their_ends() -> None:
    """With and without a last line end."""
    assert wrap("a\n\nb\n", ("A",)) == (1, "class A:\n a\n \n b\n")
    assert wrap("a\nb", ("A",)) == (1, "class A:\n a\n b")
