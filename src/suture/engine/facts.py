"""
What a piece of source is, once compiled: the witness that needs no live object.

Pure: compiles text and looks at syntax trees and code objects; runs none of it.  The preimage test lives here: untouched
live code compares equal to a fresh compile of its source, a changed body never does (measured on CPython 3.8 to 3.15: cold,
hot, traced, monitored).

Lowest room of the engine.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from suture.errors import Refused
from suture.patch import sha256
from suture.record import record, replace

__all__ = [
    "KIND_FLAGS",
    "PATCH_MARK",
    "Definition",
    "PLAIN",
    "Parameter",
    "alike",
    "code_at",
    "compile_text",
    "equal_copy",
    "fingerprint",
    "hash_of",
    "inner_body",
    "inner_codes",
    "kind_name",
    "lines_of",
    "literal_value",
    "nested_codes",
    "pair_codes",
    "same_tree",
    "shift_lines",
    "whole_lines",
    "with_lf",
    "wrap",
]

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
KIND_FLAGS = 0x20 | 0x80 | 0x200  # generator, coroutine, async generator
_OPTIMIZED = 0x1 | 0x2  # a function's body, not a class's or a module's
_HAS_DOC = 0x4000000  # 3.13+
_COMPREHENSIONS = frozenset(("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"))
_GENERIC = "<generic parameters of "
_CLASSES_KNOW_LINES = sys.version_info >= (3, 13)
_CLASS = re.compile(r"^[ \t\f]*class\b", re.MULTILINE)

Fingerprint = tuple[Any, ...]
PATCH_MARK = "@"  # between the file name that patched code has and the id of its patch
Path = tuple[tuple[str, int], ...]
Tree = TypeVar("Tree", bound=ast.AST)


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


def equal_copy(code: types.CodeType, made: dict[int, types.CodeType]) -> types.CodeType:
    """
    A copy, down to the last constant, that shares no code object with it.

    Args:
        made: By id of the original, to be alive as long as this is used: one copy of each.  Filled in.
    """
    copy = made.get(id(code))
    if copy is None:
        constants = tuple(equal_copy(c, made) if isinstance(c, types.CodeType) else c for c in code.co_consts)
        copy = made[id(code)] = code.replace(co_consts=constants)
    return copy


def shift_lines(code: types.CodeType, lines: int) -> types.CodeType:
    """The same code, *lines* further down (line tables count from co_firstlineno on 3.10 to 3.15)."""
    if not lines:
        return code
    constants = tuple(shift_lines(c, lines) if isinstance(c, types.CodeType) else c for c in code.co_consts)
    return code.replace(co_consts=constants, co_firstlineno=max(1, code.co_firstlineno + lines))


def with_filename(code: types.CodeType, filename: str) -> types.CodeType:
    """The same code under another file name."""
    constants = tuple(with_filename(c, filename) if isinstance(c, types.CodeType) else c for c in code.co_consts)
    return code.replace(co_consts=constants, co_filename=filename)


# ---------------------------------------------------------------- source


def same_tree(a: object, b: object) -> bool:
    """True if two syntax trees differ in positions only."""
    if type(a) is not type(b):
        return False
    if isinstance(a, ast.AST):
        return all(same_tree(getattr(a, f, None), getattr(b, f, None)) for f in a._fields if f != "type_comment")
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(same_tree, a, b))
    return repr(a) == repr(b)


PLAIN = (int, float, complex, str, bytes, bool, type(None), type(...))


def literal_value(node: ast.expr) -> Any:
    """
    As ``ast.literal_eval``, which leaves a cycle of functions behind at each call, for more than a plain constant.

    Raises:
        ValueError, TypeError, SyntaxError, MemoryError, RecursionError: It isn't a literal.
    """
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Lambda):  # most that aren't
        raise ValueError("not a literal")
    return ast.literal_eval(node)


def alike(a: Any, b: Any) -> bool:
    """Same type and same value; runs nobody's ``__eq__`` (only plain values and containers of them count)."""
    if type(a) is not type(b):
        return False
    if type(a) in (list, tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    if type(a) in (set, frozenset):
        return all(type(x) in PLAIN for x in a) and a == b
    if type(a) is dict:
        return list(a) == list(b) and all(alike(a[k], b[k]) for k in a) if all(type(k) in PLAIN for k in a) else False
    return type(a) in PLAIN and repr(a) == repr(b)


@record(frozen=True, slots=True)
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


@record(frozen=True, slots=True)
class Definition:
    """
    One statement, parsed and compiled where it stands.

    Of the syntax tree only the head of a ``def`` is kept, and of the code its body: trees of a thousand functions are a
    million objects, and each collection that passes over them is a hold of the GIL of 30 to 160 ms.

    Attributes:
        text: As the patch carries it.
        wrapped: Lines put before it (imports, enclosing classes).
        imports: Names that the module's top level imports.
        line: Line of the text's first line in its file.
        code: Body of the function it defines, None for another statement.
        classes: Names of the enclosing classes.
        filename: What tracebacks show.
        flags: ``__future__`` flags it was compiled with.
        optimize: As for compile().
        decorators: Of a ``def``: outermost first.
        parameters: Of a ``def``: in order of the call.
        returns: Of a ``def``: its annotation.
        documented: It's a ``def`` with a docstring.
    """

    text: str
    wrapped: int
    code: types.CodeType | None
    classes: tuple[str, ...]
    filename: str
    flags: int
    optimize: int = -1
    imports: tuple[str, ...] = ()
    line: int = 1
    decorators: Sequence[ast.expr] = ()
    parameters: tuple[Parameter, ...] = ()
    returns: ast.expr | None = None
    documented: bool = False

    def parse(self) -> ast.stmt:
        """Its syntax tree, made anew at each call; lines count from the text's first line plus *wrapped*."""
        _, source = wrap(self.text, self.classes, self.imports)
        tree = compile(source, self.filename, "exec", self.flags | ast.PyCF_ONLY_AST, dont_inherit=True)
        return inner_body(tree, self.wrapped, self.imports)[0]

    def parse_function(self) -> FunctionNode:
        """As ``parse``, of what is known to be a ``def``."""
        node = self.parse()
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        return node

    def compile(self) -> types.CodeType:
        """Code of the whole wrapped text, made anew at each call."""
        _, source = wrap(self.text, self.classes, self.imports)
        if not self.keeps_lines:
            return self.code_of(source)
        return self.code_of(compile(source, self.filename, "exec", self.flags | ast.PyCF_ONLY_AST, dont_inherit=True))

    def code_of(self, source: str | ast.Module) -> types.CodeType:
        """Code of the whole wrapped text, or of its tree (which is moved), at its line in the file."""
        source = source if isinstance(source, str) else self.in_place(source)
        code = compile(source, self.filename, "exec", self.flags, dont_inherit=True, optimize=self.optimize)
        return code if self.keeps_lines else shift_lines(code, self.line - 1 - self.wrapped)

    @property
    def keeps_lines(self) -> bool:
        """True if a class in it keeps the line that it was compiled at, as a constant (3.13+)."""
        return _CLASSES_KNOW_LINES and _CLASS.search(self.text) is not None

    def in_place(self, tree: Tree) -> Tree:
        """The same tree, a fresh one of this text, moved to its line in the file if it has to be compiled there."""
        lines = self.line - 1 - self.wrapped
        for node in ast.walk(tree) if lines and self.keeps_lines else ():
            if hasattr(node, "lineno"):  # what was put around the text may come before the file's first line
                node.lineno, node.end_lineno = max(1, node.lineno + lines), max(1, node.end_lineno + lines)  # type: ignore[attr-defined]
        return tree

    def again(self, *, optimize: int | None = None, flags: int | None = None, line: int | None = None) -> Definition:
        """
        The same text, compiled in another way.

        Raises:
            Refused: syntax-error.
        """
        return compile_text(
            self.text,
            classes=self.classes,
            filename=self.filename,
            line=self.line if line is None else line,
            flags=self.flags if flags is None else flags,
            optimize=self.optimize if optimize is None else optimize,
            imports=self.imports,
        )

    def doc(self) -> str | None:
        """The docstring as the compiler keeps it (3.13+ strips its indentation; -OO drops it)."""
        code = self.code
        assert code is not None
        if not self.documented or not code.co_consts:
            return None
        first = code.co_consts[0]
        return first if isinstance(first, str) else None

    def renamed(self, filename: str) -> Definition:
        """The same under another file name."""
        code = None if self.code is None else with_filename(self.code, filename)
        return replace(self, filename=filename, code=code)


class _Simple:
    """A name or a plain constant, equal to another that reads the same."""

    __slots__ = ("key", "node")

    def __init__(self, node: ast.Constant | ast.Name) -> None:
        self.node = node
        self.key = node.id if isinstance(node, ast.Name) else (type(node.value), repr(node.value), node.kind)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Simple) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@functools.lru_cache(512)  # most functions have the same few, and both sides of a change have
def _parameter(name: str, kind: str, default: _Simple | None, annotation: _Simple | None) -> Parameter:
    return Parameter(name, kind, default.node if default else None, annotation.node if annotation else None)


_shared: Callable[[tuple[Parameter, ...]], tuple[Parameter, ...]] = functools.lru_cache(512)(lambda parameters: parameters)


def _parameters(args: ast.arguments) -> Iterator[Parameter]:
    positional = [(a, "positional-only") for a in args.posonlyargs] + [(a, "positional") for a in args.args]
    defaults: Sequence[ast.expr | None] = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    rows = [(a, kind, default) for (a, kind), default in zip(positional, defaults, strict=True)]
    rows += [(args.vararg, "var-positional", None)] if args.vararg else []
    rows += [(a, "keyword-only", default) for a, default in zip(args.kwonlyargs, args.kw_defaults, strict=True)]
    rows += [(args.kwarg, "var-keyword", None)] if args.kwarg else []
    for arg, kind, default in rows:
        nodes = default, arg.annotation
        simple = [_Simple(n) if isinstance(n, ast.Constant | ast.Name) else None for n in nodes]
        if all(s or not n for s, n in zip(simple, nodes, strict=True)):
            yield _parameter(arg.arg, kind, *simple)
        else:
            yield Parameter(arg.arg, kind, *nodes)


def compile_text(
    text: str,
    *,
    classes: tuple[str, ...] = (),
    filename: str = "<patch>",
    line: int = 1,
    flags: int = 0,
    optimize: int = -1,
    imports: tuple[str, ...] = (),
    rest: Callable[[], None] = lambda: None,
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
        rest: Called between the parsing and the compiling.

    Raises:
        Refused: syntax-error, with the line and a caret as evidence.
    """
    wrapped, source = wrap(text, classes, imports)
    made = Definition(text, wrapped, None, classes, filename, flags, optimize, imports, line)
    lines = line - 1 - wrapped
    try:
        tree = compile(source, filename, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
        rest()
        lines -= made.keeps_lines and lines  # the compiler says where the tree stands then
        module = made.code_of(tree)
    except (SyntaxError, ValueError) as error:
        raise _syntax_error(error, filename, lines) from error
    body = inner_body(tree, wrapped, imports)
    if len(body) != 1:
        raise Refused("bad-patch", f"one statement is meant, {len(body)} were found", target=filename)
    node = body[0]
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return made
    return replace(
        made,
        code=code_at(module, (*classes, node.name)),
        decorators=tuple(node.decorator_list),
        parameters=_shared(tuple(_parameters(node.args))),
        returns=node.returns,
        documented=ast.get_docstring(node, clean=False) is not None,
    )


def inner_body(tree: ast.Module, wrapped: int, imports: tuple[str, ...]) -> list[ast.stmt]:
    """The statements of a wrapped text, without what was put around them."""
    body: list[ast.stmt] = tree.body[1:] if imports else tree.body
    for _ in range(wrapped - bool(imports)):
        body = body[0].body if len(body) == 1 else body  # type: ignore[attr-defined]  # more: the text ends what it stands in
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


def with_lf(text: str) -> str:
    """Decoded source text as a patch has it: no BOM, LF alone."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def whole_lines(text: str) -> str:
    """A source text as a patch carries it: its last line ends too, and an empty one is a line."""
    return text if text.endswith("\n") else f"{text}\n"


def hash_of(text: str) -> str:
    """SHA-256 of a source text, whatever its line ends, as a patch has it."""
    return str(sha256(with_lf(text).encode("utf-8", "surrogatepass")).hexdigest())


def lines_of(text: str) -> list[str]:
    """Its lines with their ends, as the compiler counts them: a form feed or U+2028 ends none (`splitlines` says it does)."""
    lines = text.split("\n")
    return [f"{line}\n" for line in (lines if lines[-1] else lines[:-1])]


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


def code_at(module: types.CodeType, names: tuple[str, ...]) -> types.CodeType:
    """Code of the function or class with that qualified name; the last definition of a name wins, as at run time."""
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
