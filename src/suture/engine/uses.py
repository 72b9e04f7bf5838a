"""
What a module's text calls, or decorates with, in code that runs when it is imported.

Read a line at a time and never parsed whole.  A scanner of our own: that of the library compiles its pattern at the first
use, up to 3.11 (a hold of the GIL of 3 to 7 ms), and gives up where a text is broken.  Knows blocks, decorators, defaults and
lambdas; runs none of it.
"""

from __future__ import annotations

import io
import keyword
import re
from collections.abc import Callable, Iterable, Iterator

from suture.record import record

__all__ = ["Use", "uses"]

Rest = Callable[[], None]
_TOKEN = re.compile(
    r"#.*|[rbuftRBUFT]{0,2}('''|\"\"\"|'|\")|[^\W\d]\w*|\d[\w.]*|:=|->|[=!<>]=|(?:\*\*|//|>>|<<|[-+*/%&|^@])=|\\\n|[^\s]"
)
# What can keep a line of a function's body from ending.
_QUIET = re.compile(r"#.*|('''|\"\"\"|'|\")|[()\[\]{}]|\\\n")
_ENDS = {quote: re.compile(rf"(?:[^\\]|\\.)*?{quote}", re.DOTALL) for quote in ("'", '"', "'''", '"""')}
_ODD = re.compile(r"['\"#\\]")  # a line without these has nothing but brackets that matters in a function's body
_BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
_STRIDE = 4  # lines between two rests
_NO_LINE = ("", "")


@record(frozen=True, slots=True)
class Use:
    """
    One chain of names that is called, or decorates, at import.

    Attributes:
        line: Where.
        owner: Qualified name of what is defined there or assigned to, "" if nothing is.
        names: The chain: ``["app", "route"]``.
        scope: Classes around it.
        how: "call"; "decorator" (applied as it is), "decorator()" (what its call gives is); "class" (the statement itself).
        binds: True if the statement gives something a name.
    """

    line: int
    owner: str
    names: tuple[str, ...]
    scope: tuple[str, ...]
    how: str
    binds: bool


def uses(text: str, words: Iterable[str], rest: Rest, *, main: bool) -> Iterator[Use]:
    """
    Calls and decorators that run at import, as far as one of these names leads to them.

    Args:
        text: With LF.
        words: Names that matter.
        rest: Called every few lines.
        main: It's the program's own file: its main block has run.
    """
    sought = frozenset(words)
    if not any(word in text for word in sought):
        return
    reader = _Reader(main)
    for kind, word, line in _scan(text, reader, rest):
        for use in reader.take(kind, word, line):
            if use.how == "class" or use.names[0] in sought or use.scope:
                yield use


def _scan(text: str, reader: _Reader, rest: Rest) -> Iterator[tuple[str, str, int]]:
    """
    ("indent" or "dedent" or "end" or "word", the word, line), of all but the bodies of functions.

    A string is a word of its quotes alone.
    """
    indents = [0]
    depth, quote, goes_on = 0, "", False
    for number, line in enumerate(io.StringIO(text), 1):
        if not number % _STRIDE:
            rest()
        place = 0
        if quote:
            end = _ENDS[quote].match(line)
            if end is None:
                continue
            quote, place = "", end.end()
        elif not depth and not goes_on:
            bare = line.lstrip(" \t\f")
            if not bare or bare[0] in "#\n":
                continue
            indent = len(line) - len(bare)
            if indent and "\t" in line:
                indent = len(line[:indent].expandtabs())
            if indent > indents[-1] and not reader.in_function:
                indents.append(indent)
                yield "indent", "", number
            while indent < indents[-1] and not (reader.in_function and indent > indents[-2]):
                indents.pop()
                yield "dedent", "", number
        silent, goes_on = reader.in_function, False
        if silent and not place and _ODD.search(line) is None:
            depth = max(0, depth + sum(map(line.count, "([{")) - sum(map(line.count, ")]}")))
            continue
        find = _QUIET.search if silent else _TOKEN.search
        while (token := find(line, place)) is not None:
            word, place = token[0], token.end()
            if token[1]:
                end = _ENDS[token[1]].match(line, place)
                if end is None:  # goes on, or is broken: a string of one line is over then
                    goes_on = len(token[1]) == 1 and line.endswith("\\\n")
                    quote = token[1] if len(token[1]) == 3 or goes_on else ""
                    place = len(line)
                else:
                    place = end.end()
                word = '""'
            elif word[0] == "#":
                continue
            elif word[0] == "\\":
                goes_on = True
                continue
            if word in _BRACKETS:
                depth = max(0, depth + _BRACKETS[word])
            if not silent:
                yield "word", word, number
        if not (depth or quote or goes_on or silent):
            yield "end", "", number


class _Reader:
    """
    Follows words, statement by statement.

    Attributes:
        in_function: True in the body of a function: it doesn't run at import.
    """

    def __init__(self, main: bool) -> None:
        self._main = main
        self._open: list[tuple[str, str]] = []  # (def, class, skip or block; name) of the blocks that are open
        self._last = _NO_LINE  # the same of the statement before, which may be the head of one
        self._uses: list[Use] = []  # of decorators that wait for what they decorate
        self.in_function = False
        self._start()

    def _start(self) -> None:
        self._head: list[str] = []  # the first words of the statement
        self._chain: list[str] | None = None
        self._before = ""
        self._depth = 0
        self._lambda = -1  # how deep the lambda stands that is being read
        self._in_lambda = False  # its body, or still its parameters
        self._done = False  # the head of a one-line function has ended
        self._binds = False
        self._mine: list[Use] = []

    def take(self, kind: str, word: str, line: int) -> Iterator[Use]:
        """Give what a statement uses, at its end."""
        if kind == "word":
            self._word(word, line)
            return
        if kind == "end":
            yield from self._end(line)
        elif kind == "indent":
            self._open.append(self._last)
        elif self._open:
            self._open.pop()
        self.in_function = any(k in ("def", "skip") for k, _ in self._open)

    def _end(self, line: int) -> Iterator[Use]:
        head, mine = self._head, self._mine
        if head[:1] == ["@"]:
            if self._chain:
                mine.append(self._use(line, self._chain, "decorator"))
            self._uses += mine
            self._start()
            return
        words = head[1:] if head[:1] == ["async"] else head
        what = words[0] if words[:1] in (["def"], ["class"]) else ""
        self._last = (what or ("skip" if _is_skipped(words, self._main) else "block"), words[1] if what and len(words) > 1 else "")
        name = self._last[1] or (words[0] if self._binds and words and words[0].isidentifier() else "")
        if what == "class" and len(words) > 2:
            mine.append(self._use(line, [name], "class"))
        owner = ".".join((*self._scope(), name)) if name else ""
        for use in (*self._uses, *mine):
            yield Use(use.line, owner, use.names, use.scope, use.how, bool(what or self._binds))
        self._uses = []
        self._start()

    def _scope(self) -> tuple[str, ...]:
        return tuple(name for kind, name in self._open if kind == "class")

    def _use(self, line: int, names: Iterable[str], how: str) -> Use:
        return Use(line, "", tuple(names), self._scope(), how, False)

    def _word(self, text: str, line: int) -> None:
        if len(self._head) < 8:
            self._head.append(text)
        if self._done:
            return
        if self._follow_lambda(text):
            self._chain = None
        elif text.isidentifier() and not keyword.iskeyword(text):
            if self._before in ("def", "class"):
                self._chain = None
            elif self._before == ".":
                self._chain = [*self._chain, text] if self._chain else None
            else:
                self._chain = [text]
        elif text == "(":
            if self._chain:
                first = self._head[:1] == ["@"] and not self._depth
                self._mine.append(self._use(line, self._chain, "decorator()" if first else "call"))
            self._chain = None
        elif text != ".":
            self._chain = None
        self._count(text)
        self._before = text

    def _count(self, text: str) -> None:
        if text in ("(", "[", "{"):
            self._depth += 1
        elif text in (")", "]", "}"):
            self._depth -= 1
        elif not self._depth:
            self._binds |= text in (":=", "as") or (text.endswith("=") and text not in ("==", "!=", "<=", ">="))
            self._done = text == ":" and "def" in self._head[:2]

    def _follow_lambda(self, text: str) -> bool:
        """True in the body of a lambda: it hasn't run."""
        if self._lambda >= 0:
            ends = self._depth < self._lambda or (self._depth == self._lambda and text in (")", "]", "}", ","))
            if self._in_lambda and ends:
                self._lambda, self._in_lambda = -1, False
            elif not self._in_lambda and text == ":" and self._depth == self._lambda:
                self._in_lambda = True
        elif text == "lambda":
            self._lambda = self._depth
        return self._in_lambda


def _is_skipped(words: list[str], main: bool) -> bool:
    """True for the head of a block that hasn't run: for type checkers, and that of a program, in a module."""
    if words[:1] != ["if"] or words[1:2] == ["not"]:
        return False
    return "TYPE_CHECKING" in words[1:4] or (not main and words[1:4] == ["__name__", "==", '""'])
