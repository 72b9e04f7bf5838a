"""
A whole source text cut into its definitions, by its tokens alone and in slices.

A patch comes cut up; a tree doesn't, and to parse a big file at once is a hold of the GIL of some hundred milliseconds.  Here a
line is read at a time; what is to be compiled is one ``def`` or one statement at a time.  Runs none of it.

Idea: pretends to be the parser only as far as blocks go: which lines belong to which class, and what may not have run.
"""

from __future__ import annotations

import io
import keyword
import tokenize
from collections.abc import Callable, Iterator

from suture.errors import Refused
from suture.record import made_by, record

__all__ = ["Piece", "cut"]

Rest = Callable[[], None]
_BLOCKS = frozenset(("if", "elif", "else", "try", "except", "finally", "for", "while", "with", "match", "case"))
_FILLING = frozenset((tokenize.NL, tokenize.COMMENT))
_TYPING = tuple(f"if {module}TYPE_CHECKING :" for module in ("", "typing . ", "t . "))


@record(frozen=True, slots=True)
class Piece:
    """
    One definition or statement, or the names that a block's head binds.

    Attributes:
        kind: "def", "class" (its head alone, with ``pass`` for a body), "plain" (statements on one logical line), "whole" (all of a
            generic class: its methods can't be compiled without it), "names" (bound by the head of a ``for``, ``with``, ...).
        name: Of what is defined.
        text: Whole lines, decorators first, indentation kept.
        line: Line of the text's first line, from 1.
        classes: Names of the enclosing classes, outermost first.
        maybe: It stands in a block that may not have run.
        typing: It stands in a block for type checkers: it hasn't run.
        names: Names that are bound by it, for "names"; those that it declares to be ``global``, for "def".
    """

    kind: str
    name: str
    text: str
    line: int
    classes: tuple[str, ...] = ()
    maybe: bool = False
    typing: bool = False
    names: tuple[str, ...] = ()


@record(slots=True)
class _Open:
    """A block that is open: what it is, where it began, and how far it is indented."""

    kind: str
    name: str
    start: int
    classes: tuple[str, ...]
    maybe: bool
    typing: bool
    generic: bool = False
    globals: list[str] = made_by(default_factory=list)


@record(slots=True)
class _Line:
    """A logical line: its tokens, without comments, and where it stands."""

    tokens: list[tokenize.TokenInfo] = made_by(default_factory=list)
    start: int = 0
    end: int = 0


def cut(text: str, *, path: str, rest: Rest) -> list[Piece]:
    """
    Cut a text into pieces, in the order of their lines.

    Args:
        text: Decoded, with LF.
        path: For messages.
        rest: Called a line.

    Raises:
        Refused: syntax-error, as far as blocks and strings go; the rest is the compiler's to say.
    """
    try:
        return sorted(_Cutter(text, rest).run(), key=lambda p: p.line)
    except (tokenize.TokenError, SyntaxError, ValueError) as error:
        raise Refused(
            "syntax-error", str(error.args[0]), target=path, hint="mend the source, or ask with the tree it runs"
        ) from error


class _Cutter:
    def __init__(self, text: str, rest: Rest) -> None:
        self._stream = io.StringIO(text if text.endswith("\n") else f"{text}\n")
        self._lines: list[str] = []
        self._rest = rest
        self._open: list[_Open] = []
        self._decorated = 0  # line of the first decorator that waits for its def
        self._end = 0  # last line that a statement had

    def _readline(self) -> str:
        line = self._stream.readline()
        self._lines.append(line)
        self._rest()
        return line

    def run(self) -> Iterator[Piece]:
        line, waits = _Line(), None  # the second: complete, and perhaps the head of a block
        outer: _Open | None = None  # the function whose ``global`` is being read
        for token in tokenize.generate_tokens(self._readline):
            kind = token.type
            if kind in _FILLING:
                continue
            outer = self._globals(token, outer)
            if waits is not None:
                if kind == tokenize.INDENT:
                    yield from self._begins(waits)
                else:
                    yield from self._stands_alone(waits)
                waits = None
                if kind == tokenize.INDENT:
                    continue
            if kind == tokenize.DEDENT:
                yield from self._ends()
            elif kind == tokenize.NEWLINE:
                self._end = line.end = token.start[0]
                if line.tokens:
                    waits = line
                line = _Line()
            elif kind != tokenize.ENDMARKER:
                line.start = line.start or token.start[0]
                if not self._inside_def() or not line.tokens:
                    line.tokens.append(token)
        if waits is not None:
            yield from self._stands_alone(waits)

    def _inside_def(self) -> bool:
        return bool(self._open) and self._open[-1].kind == "def"

    def _globals(self, token: tokenize.TokenInfo, outer: _Open | None) -> _Open | None:
        """Take the names of a ``global`` statement, a token at a time."""
        if token.string == "global" and token.type == tokenize.NAME:
            return next((o for o in self._open if o.kind == "def"), None)
        if outer is None or (token.type != tokenize.NAME and token.string != ","):
            return None
        outer.globals += [token.string] if token.type == tokenize.NAME else []
        return outer

    def _text(self, first: int, last: int) -> str:
        return "".join(self._lines[first - 1 : last])

    def _scope(self) -> tuple[tuple[str, ...], bool, bool]:
        """Classes, whether it may not run, and whether it doesn't, of what stands here."""
        if not self._open:
            return (), False, False
        here = self._open[-1]
        return here.classes, here.maybe, here.typing

    # ------------------------------------------------------------ blocks

    def _begins(self, line: _Line) -> Iterator[Piece]:
        """A head with an indented block behind it."""
        classes, maybe, typing = self._scope()
        if self._inside_def():
            self._open.append(_Open("def", "", 0, classes, maybe, typing))
            return
        words = [t.string for t in line.tokens]
        what = _defines(words)
        start, self._decorated = self._decorated or line.start, 0
        if what == "def":
            self._open.append(_Open("def", _name(words), start, classes, maybe, typing))
        elif what == "class":
            name = words[1]
            head = self._text(start, line.end)
            yield Piece("class", name, _with_pass(head, line.tokens[0].start[1]), start, classes, maybe, typing)
            generic = words[2:3] == ["["]
            self._open.append(
                _Open("class", name, start, (*classes, name), False, typing, generic)
            )  # if the class is there, so is it
        else:
            yield from self._head(words, line.start)
            self._open.append(_Open("block", words[0], line.start, classes, True, typing or " ".join(words) in _TYPING))

    def _ends(self) -> Iterator[Piece]:
        here = self._open.pop()
        if here.kind == "def" and here.start:
            text, names = self._text(here.start, self._end), tuple(here.globals)
            yield Piece("def", here.name, text, here.start, here.classes, here.maybe, here.typing, names)
        elif here.generic:
            yield Piece(
                "whole", here.name, self._text(here.start, self._end), here.start, here.classes[:-1], here.maybe, here.typing
            )

    def _head(self, words: list[str], line: int) -> Iterator[Piece]:
        classes, maybe, typing = self._scope()
        names = tuple(dict.fromkeys(_bound_by(words)))
        if names:
            yield Piece("names", "", "", line, classes, maybe, typing, names)

    # ------------------------------------------------------------ lines

    def _stands_alone(self, line: _Line) -> Iterator[Piece]:
        """A whole statement on one logical line, or a decorator."""
        if self._inside_def():
            return
        classes, maybe, typing = self._scope()
        words = [t.string for t in line.tokens]
        if words[0] == "@":
            self._decorated = self._decorated or line.start
            return
        what = _defines(words)
        if what:
            start, self._decorated = self._decorated or line.start, 0
            yield Piece(what, _name(words), self._text(start, line.end), start, classes, maybe, typing)
            return
        if words[0] in _BLOCKS and (at := _colon(words)):
            if keyword.iskeyword(words[0]) or (self._open and self._open[-1].name == "match"):
                yield from self._head(words[: at + 1], line.start)
                row, column = line.tokens[at + 1].start
                text = f"{' ' * column}{self._text(row, line.end)[column:]}"
                typing = typing or " ".join(words[: at + 1]) in _TYPING
                yield Piece("plain", "", text, row, classes, True, typing)
                return
        yield Piece("plain", "", self._text(line.start, line.end), line.start, classes, maybe, typing)


def _defines(words: list[str]) -> str:
    """Def, class or ""."""
    if words[0] == "def" or words[:2] == ["async", "def"]:
        return "def"
    return "class" if words[0] == "class" else ""


def _name(words: list[str]) -> str:
    return words[2] if words[0] == "async" else words[1]


def _colon(words: list[str]) -> int:
    """Where the head of a block ends, if its body stands on the same line; 0 if there is none."""
    depth = 0
    for at, word in enumerate(words[:-1]):
        depth += (word in ("(", "[", "{")) - (word in (")", "]", "}"))
        if word == ":" and not depth:
            return at
    return 0


def _bound_by(words: list[str]) -> Iterator[str]:
    """Names that a block's head may bind; rather one too many."""
    first = words[1] if words[0] == "async" and len(words) > 1 else words[0]
    if first == "for":
        yield from filter(str.isidentifier, words[words.index("for") + 1 : words.index("in") if "in" in words else None])
    elif first in ("with", "except") and "as" in words:
        yield from (w for w in words[words.index("as") + 1 :] if w.isidentifier() and not keyword.iskeyword(w))
    elif first == "case":
        yield from (w for w in words[1:] if w.isidentifier() and not keyword.iskeyword(w))
    yield from (a for a, b in zip(words, words[1:], strict=False) if b == ":=")


def _with_pass(head: str, indent: int) -> str:
    return f"{head.rstrip()}\n{' ' * indent} pass\n"
