"""
Is a live function one of the definitions that a text has of that name?

Compiles a definition at a time, as resolve does for a preimage: with another ``-O``, with the live ``__future__`` flags, under
patches that are expected.  Runs none of it.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from suture.engine.bound import Bound, Names
from suture.engine.facts import (
    PATCH_MARK,
    Definition,
    Fingerprint,
    code_at,
    compile_text,
    fingerprint,
    inner_codes,
    literal_value,
    nested_codes,
    wrap,
)
from suture.engine.pace import Pace, uncollected
from suture.engine.pieces import Piece
from suture.engine.resolve import same_default
from suture.engine.swap import ABSENT
from suture.engine.unwound import Unwound
from suture.engine.values import shown
from suture.engine.walk import walk
from suture.errors import Refused

__all__ = ["SAME", "Verdict", "Witness", "qualname_of_code"]

_FUTURE = 0x1000000  # from __future__ import annotations
_BY_TYPES_COROUTINE = 0x100  # a flag that the decorator puts into a generator's code
_OPTIMIZE = tuple(level for level in (0, 1, 2) if level != min(sys.flags.optimize, 2))
Verdict = tuple[str, str, str]  # kind ("same", "default"), what is live, what was expected
SAME: Verdict = ("same", "", "")


class Witness:
    """
    What one live module's functions are.  Lives as long as the module is compared.

    Attributes:
        computed: Defaults that couldn't be compared.
    """

    def __init__(
        self, space: dict[str, Any], names: Names, prints: Mapping[int, Fingerprint], unwound: Unwound, pace: Pace, path: str
    ) -> None:
        self.space, self.names, self.prints, self.unwound, self.pace, self.path = space, names, prints, unwound, pace, path
        self.computed = 0
        self._file = space.get("__file__")
        self._made: dict[tuple[int, int, int], Definition] = {}
        self._whole: dict[tuple[tuple[str, ...], int], types.CodeType] = {}
        self._index: dict[str, list[types.FunctionType]] | None = None

    # ------------------------------------------------------------ one function

    def best(self, pool: Iterable[types.FunctionType], defs: Sequence[Bound], classes: tuple[str, ...]) -> Verdict | None:
        """SAME if one of the functions is one of the definitions; a verdict of "default" if it's so but for that; None: no."""
        best: Verdict | None = None
        for function in pool:
            for bound in defs:
                if function.__code__.co_name == bound.piece.name:
                    verdict = self._verdict(function, bound, classes)
                    if verdict is SAME:
                        return verdict
                    best = best or verdict
            self.pace()
        return best

    def _verdict(self, function: types.FunctionType, bound: Bound, classes: tuple[str, ...]) -> Verdict | None:
        wrong: Verdict | None = None
        states = list(self.unwound.states(function))
        for optimize, flags in self._variants(states):
            definition = self.definition(bound, classes, optimize, flags)
            assert definition.code is not None
            want = fingerprint(definition.code)
            for code, defaults, named in states:
                if self.print_of(code) == want or self._is_in_full(code, definition, bound, optimize):
                    found, computed = _defaults(defaults, named, definition)
                    if found is SAME:
                        self.computed += computed
                        return SAME
                    wrong = wrong or found
            if wrong is not None:
                return wrong
        return None

    def is_made_by(self, function: types.FunctionType, makers: Iterable[Bound]) -> bool:
        """True if it's one of those that functions of the text make inside, under its name."""
        states = list(self.unwound.states(function))
        for optimize, flags in self._variants(states):
            for bound in makers:
                code = self.definition(bound, bound.piece.classes, optimize, flags).code
                assert code is not None
                inner = [fingerprint(c) for c in inner_codes(code).values() if c.co_name == function.__code__.co_name]
                if any(self.print_of(c) in inner for c, _, _ in states):
                    return True
        return False

    def _variants(self, states: Sequence[tuple[types.CodeType, Any, Any]]) -> Iterator[tuple[int, int]]:
        """(optimize, ``__future__`` flags) that live code may have been compiled with; the likely ones first."""
        usual = self.names.flags
        others = {(usual & ~_FUTURE) | (code.co_flags & _FUTURE) for code, _, _ in states} - {usual}
        yield -1, usual
        yield from ((level, f) for f in (usual, *others) for level in (-1, *_OPTIMIZE) if (level, f) != (-1, usual))

    def definition(self, bound: Bound, classes: tuple[str, ...], optimize: int = -1, flags: int | None = None) -> Definition:
        """
        A ``def`` of the text, compiled.

        Raises:
            Refused: syntax-error.
        """
        piece, flags = bound.piece, self.names.flags if flags is None else flags
        key = id(bound), optimize, flags
        if key not in self._made:
            with uncollected() as outside:
                self._made[key] = compile_text(
                    piece.text,
                    classes=classes,
                    filename=self.path,
                    line=piece.line,
                    flags=flags,
                    optimize=optimize,
                    imports=self._imports(piece),
                    rest=partial(outside, self.pace.breathe),
                )
            self.pace()
        return self._made[key]

    def forget(self) -> None:
        """Drop what was compiled for one name."""
        self._made.clear()

    def print_of(self, code: types.CodeType) -> Fingerprint:
        """Fingerprint of live code as its source would have it."""
        known = self.prints.get(id(code))
        if known is None and code.co_flags & _BY_TYPES_COROUTINE:
            code = code.replace(co_flags=code.co_flags & ~_BY_TYPES_COROUTINE)
        return known or fingerprint(code)

    def _imports(self, piece: Piece) -> tuple[str, ...]:
        return tuple(sorted(n for n in self.names.imports if n in piece.text))

    def _is_in_full(self, code: types.CodeType, definition: Definition, bound: Bound, optimize: int) -> bool:
        """The same, for what a definition can't be compiled by itself for."""
        if definition.keeps_lines and code.co_name == bound.piece.name and code.co_firstlineno != definition.line:
            moved = definition.again(line=code.co_firstlineno).code
            return moved is not None and self.print_of(code) == fingerprint(moved)
        return self._in_generic(code, bound, definition.classes, optimize)

    def _in_generic(self, code: types.CodeType, bound: Bound, classes: tuple[str, ...], optimize: int) -> bool:
        """A method of a generic class has the class's type parameters in cells: only all of the class gives its code."""
        depth = next((n for n in range(1, len(classes) + 1) if classes[:n] in self.names.wholes), 0)
        if not depth:
            return False
        key = classes[:depth], optimize
        if key not in self._whole:
            self._whole[key] = self._compiled(self.names.wholes[classes[:depth]], optimize)
        codes = [self._whole[key]]
        for name in (*classes, bound.piece.name):
            codes = [found for outer in codes for found in _directly_in(outer, name)]
        return any(self.print_of(code) == fingerprint(c) for c in codes)

    def _compiled(self, piece: Piece, optimize: int = -1) -> types.CodeType:
        """All of a piece's text, in the classes that it stands in."""
        _, source = wrap(piece.text, piece.classes, self._imports(piece))
        try:
            code: types.CodeType = compile(source, self.path, "exec", self.names.flags, dont_inherit=True, optimize=optimize)
        except (SyntaxError, ValueError) as error:
            raise Refused("syntax-error", str(error), target=f"{self.path}:{piece.line}", hint="mend the source") from error
        return code

    # ------------------------------------------------------------ lambdas

    def lambdas(self, piece: Piece) -> list[list[Fingerprint]]:
        """Lambdas that a statement makes when it runs: of each its fingerprints, one a level of optimization."""
        out: list[list[Fingerprint]] = []
        for optimize in (-1, *_OPTIMIZE):
            code = self._compiled(piece, optimize)
            if piece.classes:
                code = code_at(code, piece.classes)
            codes = [c for path, c in inner_codes(code).items() if len(path) == 1 and path[0][0] == "<lambda>"]
            out = out or [[] for _ in codes]
            for prints, one in zip(out, codes, strict=False):
                prints.append(fingerprint(one))
            self.pace()
        return out

    # ------------------------------------------------------------ the module's functions

    def elsewhere(self, name: str) -> list[types.FunctionType]:
        """Functions of that name that the module made and that can be reached from it, wherever they hide."""
        if self._index is None:
            self._index = {}
            for _, function in walk([(str(self.space.get("__name__")), self.space)], rest=self.pace):
                if self.is_ours(function) and "<locals>" not in qualname_of_code(function):
                    self._index.setdefault(function.__code__.co_name, []).append(function)
        return self._index.get(name, [])

    def is_ours(self, function: types.FunctionType) -> bool:
        """True if it was made from the module's file, by the import or by a patch."""
        file, name = self._file, function.__code__.co_filename
        if function.__globals__ is not self.space or not isinstance(file, str):
            return False
        plain = name.rpartition(PATCH_MARK)[0] if PATCH_MARK in name else name
        ends = {n.removesuffix("c").rpartition("/")[2] for n in (name, plain)}
        return not name.startswith("<") and file.removesuffix("c").rpartition("/")[2] in ends

    def where(self, function: types.FunctionType) -> str:
        """Which code a function has, in a few words; with the patch that put it there."""
        code, patch = function.__code__, function.__code__.co_filename.rpartition(PATCH_MARK)[2]
        by = f" of {patch}" if PATCH_MARK in code.co_filename and "/" not in patch else ""
        file = "" if self.is_ours(function) else f" of {code.co_filename.rpartition('/')[2]}"
        return f"other code{by or file}, line {code.co_firstlineno}"


def qualname_of_code(function: types.FunctionType) -> str:
    """Where a function stands in its source; what a decorator calls it doesn't count (3.11+)."""
    return str(getattr(function.__code__, "co_qualname", function.__qualname__))


def _directly_in(code: types.CodeType, name: str) -> Iterator[types.CodeType]:
    """Codes of that name directly inside, those with type parameters too."""
    for inner in nested_codes(code):
        if inner.co_name == name:
            yield inner
        elif inner.co_name == f"<generic parameters of {name}>":
            yield from _directly_in(inner, name)


def _defaults(live: Any, named: Any, definition: Definition) -> tuple[Verdict, int]:
    """SAME or the first default that differs, and how many can't be compared."""
    positional = [p for p in definition.parameters if p.kind in ("positional", "positional-only") and p.default is not None]
    keywords = {p.name: p for p in definition.parameters if p.kind == "keyword-only" and p.default is not None}
    values, others = live or (), named or {}
    if len(positional) != len(values) or keywords.keys() != others.keys():
        return ("default", f"{len(values) + len(others)} defaults", f"{len(positional) + len(keywords)}"), 0
    computed = 0
    pairs = [*zip(positional, values, strict=True), *((p, others[n]) for n, p in keywords.items())]
    for parameter, value in pairs:
        assert parameter.default is not None
        try:
            want = literal_value(parameter.default)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            want = ABSENT
        computed += want is ABSENT
        if want is not ABSENT and not same_default(parameter.default, value):
            return ("default", f"{parameter.name}={shown(value)}", f"{parameter.name}={shown(want)}"), 0
    return SAME, computed
