"""
What a piece of source is, once compiled: the witness that needs no live object.

Pure: compiles text and looks at syntax trees and code objects; runs none of it.  The preimage test lives here: untouched
live code compares equal to a fresh compile of its source, a changed body never does (measured on CPython 3.8 to 3.15: cold,
hot, traced, monitored).

Lowest room of the engine.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from suture.errors import Refused

__all__ = [
    "KIND_FLAGS",
    "Definition",
    "Parameter",
    "compile_text",
    "fingerprint",
    "inner_body",
    "inner_codes",
    "kind_name",
    "pair_codes",
    "same_tree",
    "shift_lines",
    "wrap",
]

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
KIND_FLAGS = 0x20 | 0x80 | 0x200  # generator, coroutine, async generator
_OPTIMIZED = 0x1 | 0x2  # a function's body, not a class's or a module's
_HAS_DOC = 0x4000000  # 3.13+
_COMPREHENSIONS = frozenset(("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"))
_GENERIC = "<generic parameters of "

Fingerprint = tuple[Any, ...]
Path = tuple[tuple[str, int], ...]


# ---------------------------------------------------------------- code objects


def fingerprint(code: types.CodeType) -> Fingerprint:
    """
    All of a code object that decides what it does; not where it stands in the file.

    `==` of code objects won't do: it counts lines and the file names of nested code.  ``repr`` keeps -0.0 and 0.0, 1 and
    True apart; frozensets are compared as sets, as their order differs from process to process.
    """
    return (
        code.co_code,
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        code.co_flags,
        code.co_argcount,
        code.co_kwonlyargcount,
        code.co_posonlyargcount,
        getattr(code, "co_exceptiontable", b""),
        tuple(map(_constant, code.co_consts)),
    )


def _constant(value: object) -> object:
    if isinstance(value, types.CodeType):
        return fingerprint(value)
    if type(value) is tuple:
        return tuple(map(_constant, value))
    if type(value) is frozenset:
        return frozenset(map(_constant, value))
    return (type(value).__name__, repr(value))


def kind_name(code: types.CodeType) -> str:
    """plain, generator, coroutine or async generator."""
    names = {0x20: "generator", 0x80: "coroutine", 0x200: "async generator"}
    return names.get(code.co_flags & KIND_FLAGS, "plain function")


def nested_codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Code objects directly inside *code*."""
    for value in code.co_consts:
        if isinstance(value, types.CodeType):
            yield value


def inner_codes(code: types.CodeType) -> dict[Path, types.CodeType]:
    """
    Bodies of the functions and lambdas made inside *code*, at any depth.

    Returns:
        (name, nth of that name in its scope) from outside in, to the code object.  Comprehensions have no path of their
        own: they're gone when their frame is.
    """
    found: dict[Path, types.CodeType] = {}
    todo: list[tuple[Path, types.CodeType]] = [((), code)]
    while todo:
        above, outer = todo.pop()
        seen: dict[str, int] = {}
        for inner in nested_codes(outer):
            name = inner.co_name
            if name == "__annotate__":
                continue
            nth = seen.get(name, 0)
            seen[name] = nth + 1
            path = (*above, (name, nth))
            if inner.co_flags & _OPTIMIZED == _OPTIMIZED and name not in _COMPREHENSIONS and not name.startswith(_GENERIC):
                found[path] = inner
            todo.append((path, inner))
    return found


def pair_codes(
    old: dict[Path, types.CodeType], new: dict[Path, types.CodeType]
) -> tuple[list[tuple[types.CodeType, types.CodeType]], list[types.CodeType]]:
    """
    Say which inner function became which.

    By path.  Where a scope has another number of functions of one name (lambdas, mostly), those that are equal are paired
    first and one that's left on both sides is the changed one; more than one can't be told.

    Returns:
        Pairs (old, new), and old ones that have no partner.
    """
    groups_old, groups_new = _groups(old), _groups(new)
    pairs: list[tuple[types.CodeType, types.CodeType]] = []
    alone: list[types.CodeType] = []
    for group, left in groups_old.items():
        right = groups_new.get(group, [])
        if len(left) == len(right):
            pairs += zip(left, right, strict=True)
            continue
        prints = [fingerprint(c) for c in right]
        rest = []
        for code in left:
            mine = fingerprint(code)
            if mine in prints:
                at = prints.index(mine)
                pairs.append((code, right[at]))
                right = right[:at] + right[at + 1 :]
                del prints[at]
            else:
                rest.append(code)
        if len(rest) == len(right) == 1:
            pairs.append((rest[0], right[0]))
        else:
            alone += rest
    return pairs, alone


def _groups(codes: dict[Path, types.CodeType]) -> dict[tuple[Any, ...], list[types.CodeType]]:
    """Group codes by the path of their scope and their name, in order."""
    out: dict[tuple[Any, ...], list[types.CodeType]] = {}
    for path in sorted(codes):
        out.setdefault((path[:-1], path[-1][0]), []).append(codes[path])
    return out


def shift_lines(code: types.CodeType, lines: int) -> types.CodeType:
    """The same code, *lines* further down (line tables count from co_firstlineno on 3.10 to 3.15)."""
    if not lines:
        return code
    constants = tuple(shift_lines(c, lines) if isinstance(c, types.CodeType) else c for c in code.co_consts)
    return code.replace(co_consts=constants, co_firstlineno=max(1, code.co_firstlineno + lines))


# ---------------------------------------------------------------- source


def same_tree(a: object, b: object) -> bool:
    """True if two syntax trees differ in positions only."""
    if type(a) is not type(b):
        return False
    if isinstance(a, ast.AST):
        return all(same_tree(getattr(a, f, None), getattr(b, f, None)) for f in a._fields if f != "type_comment")
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same_tree, a, b))
    return repr(a) == repr(b)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: its name, its kind ("positional-only", "positional", "var-positional", "keyword-only",
    "var-keyword"), the syntax tree of its default (None: it has none) and of its annotation.
    """

    name: str
    kind: str
    default: ast.expr | None = None
    annotation: ast.expr | None = None

    @property
    def shape(self) -> tuple[str, str, bool]:
        """What a caller has to know."""
        return self.name, self.kind, self.default is not None


@dataclass(frozen=True, slots=True)
class Definition:
    """
    One statement, parsed and compiled where it stands.

    Attributes:
        text: As the patch carries it.
        node: Its syntax tree; lines count from the text's first line plus *wrapped*.
        wrapped: Lines put before it (imports, enclosing classes).
        imports: Names that the module's top level imports.
        line: Line of the text's first line in its file.
        module: Code of the whole wrapped text; never run.
        code: Body of the function it defines, None for another statement.
        classes: Names of the enclosing classes.
        filename: What tracebacks show.
        flags: ``__future__`` flags it was compiled with.
    """

    text: str
    node: ast.stmt
    wrapped: int
    module: types.CodeType
    code: types.CodeType | None
    classes: tuple[str, ...]
    filename: str
    flags: int
    imports: tuple[str, ...] = ()
    line: int = 1

    @property
    def function(self) -> FunctionNode:
        """The node, known to be a ``def``."""
        assert isinstance(self.node, ast.FunctionDef | ast.AsyncFunctionDef)
        return self.node

    @property
    def decorators(self) -> list[ast.expr]:
        """Decorators, outermost first."""
        return self.function.decorator_list

    def parameters(self) -> tuple[Parameter, ...]:
        """Parameters in order of the call."""
        return tuple(_parameters(self.function.args))

    def doc(self) -> str | None:
        """The docstring as the compiler keeps it (3.13+ strips its indentation; -OO drops it)."""
        code = self.code
        assert code is not None
        if ast.get_docstring(self.function, clean=False) is None or not code.co_consts:
            return None
        first = code.co_consts[0]
        return first if isinstance(first, str) else None


def _parameters(args: ast.arguments) -> Iterator[Parameter]:
    positional = [(a, "positional-only") for a in args.posonlyargs] + [(a, "positional") for a in args.args]
    defaults: Sequence[ast.expr | None] = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    for (arg, kind), default in zip(positional, defaults, strict=True):
        yield Parameter(arg.arg, kind, default, arg.annotation)
    if args.vararg:
        yield Parameter(args.vararg.arg, "var-positional", None, args.vararg.annotation)
    for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        yield Parameter(arg.arg, "keyword-only", default, arg.annotation)
    if args.kwarg:
        yield Parameter(args.kwarg.arg, "var-keyword", None, args.kwarg.annotation)


def compile_text(
    text: str,
    *,
    classes: tuple[str, ...] = (),
    filename: str = "<patch>",
    line: int = 1,
    flags: int = 0,
    optimize: int = -1,
    imports: tuple[str, ...] = (),
) -> Definition:
    """
    Parse and compile one statement in the classes that enclose it, without running it.

    Args:
        text: Whole lines, indentation kept (strings over several lines survive, columns are right).
        classes: Enclosing classes, outermost first: they mangle private names and give ``__class__``.
        filename: For tracebacks.
        line: Line in that file of the text's first line.
        flags: ``__future__`` flags of the module.
        optimize: As for compile().
        imports: Names that the module's top level imports: they decide how a call through them is compiled (3.11+).

    Raises:
        Refused: syntax-error, with the line and a caret as evidence.
    """
    wrapped, source = wrap(text, classes, imports)
    try:
        tree = compile(source, filename, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
        module = compile(tree, filename, "exec", flags, dont_inherit=True, optimize=optimize)
    except (SyntaxError, ValueError) as error:
        raise _syntax_error(error, filename, line - 1 - wrapped) from error
    body = inner_body(tree, wrapped, imports)
    if len(body) != 1:
        raise Refused("bad-patch", f"one statement is meant, {len(body)} were found", target=filename)
    module = shift_lines(module, line - 1 - wrapped)
    node = body[0]
    code = None
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        code = _body_of(module, (*classes, node.name))
    return Definition(text, node, wrapped, module, code, classes, filename, flags, imports, line)


def inner_body(tree: ast.Module, wrapped: int, imports: tuple[str, ...]) -> list[ast.stmt]:
    """The statements of a wrapped text, without what was put around them."""
    body: list[ast.stmt] = tree.body[1:] if imports else tree.body
    for _ in range(wrapped - bool(imports)):
        body = body[0].body  # type: ignore[attr-defined]
    return body


def wrap(text: str, classes: tuple[str, ...], imports: tuple[str, ...] = ()) -> tuple[int, str]:
    """(lines put before it, *text* behind the imports and inside the classes that it stands in)."""
    indented = text[:1] in (" ", "\t")
    header = [f"{' ' * i}class {name}:\n" for i, name in enumerate(classes)]
    if indented and not classes:
        header = ["if 1:\n"]
    elif len(classes) > 1 and _indent(text) < len(classes):
        # Enclosing classes written on one line, or indented by less than ours are deep.
        text = _moved_in(text, " " * len(classes))
    elif classes and not indented:
        text = _moved_in(text, " ")
    if imports:
        header.insert(0, f"import {', '.join(imports)}\n")
    return len(header), "".join(header) + text


def _moved_in(text: str, by: str) -> str:
    """Each line further in.  A form feed or U+2028 in a string ends no line, though `splitlines` says so."""
    whole, end = (text[:-1], "\n") if text.endswith("\n") else (text, "")
    return by + whole.replace("\n", f"\n{by}") + end


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip(" \t"))


def _syntax_error(error: Exception, filename: str, shift: int) -> Refused:
    if isinstance(error, SyntaxError) and error.lineno is not None:
        shown = (error.text or "").rstrip("\n")
        caret = " " * max(0, (error.offset or 1) - 1) + "^"
        evidence = {"line": shown, "caret": caret}
        where = f"{filename}:{error.lineno + shift}"
        return Refused("syntax-error", str(error.msg), target=where, evidence=evidence, hint="mend the source, build again")
    return Refused("syntax-error", str(error), target=filename, hint="mend the source, build again")


def _body_of(module: types.CodeType, names: tuple[str, ...]) -> types.CodeType:
    """Code of the function with that qualified name; the last definition of a name wins, as at run time."""
    code = module
    for name in names:
        found = None
        for inner in nested_codes(code):
            if inner.co_name == name:
                found = inner
            elif inner.co_name == f"{_GENERIC}{name}>":
                found = next((c for c in nested_codes(inner) if c.co_name == name), found)
        if found is None:
            raise Refused(
                "does-not-fit", f"no code for {'.'.join(names)} in its own text", hint="restart: report it, with the text"
            )
        code = found
    return code
