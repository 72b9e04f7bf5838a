"""
Make new code fit the function object that is there.

A live function keeps its globals and its closure; only code with the same free variables in the same order can be put in.
New source is compiled so that it does:

- cells that the new text doesn't use are kept free by a ``nonlocal`` nobody reads; one that it shadows by a local of its own
  gets a stand-in at the same place;
- what the new text needs and the function has no cell for (``__class__`` for a ``super()`` that wasn't there, names that only
  a hotfix file has) becomes a local, set from a constant by the first instruction;
- the result is checked: another order of free variables is a refusal, never a guess.

No trampoline: fitted code runs at native speed, a trampoline costs 1.7 to 7 times a call.
Idea: the Fit technique and its traps (constants are folded, the bare name ``super`` makes a cell), measured on 3.10 to 3.15.
"""

from __future__ import annotations

import ast
import copy
import types
from collections.abc import Iterator, Mapping

from suture.engine.facts import Definition, FunctionNode, nested_codes, shift_lines
from suture.errors import Refused

__all__ = ["fit", "fit_node", "function_nodes"]

_MARK = "\0suture:"


def fit(
    definition: Definition,
    code: types.CodeType,
    free: tuple[str, ...],
    values: Mapping[str, object],
    *,
    node: ast.AST | None = None,
) -> types.CodeType:
    """
    Code of a function in *definition* for a closure of exactly the cells *free*.

    Args:
        definition: The new source.
        code: The function's own code in it; given back as it is where it fits.
        free: Names of the live function's cells, in order.
        values: Objects for names that the new text takes from around it and that have no cell.
        node: The function's syntax tree; None for the definition itself.

    Raises:
        Refused: does-not-fit, with the names that are to be had nowhere.  Nothing was changed.
    """
    if code.co_freevars == free and not values:
        return code
    here = definition.parse_function() if node is None else node
    assert isinstance(here, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    missing = [n for n in code.co_freevars if n not in free and n not in values]
    if missing:
        raise Refused(
            "does-not-fit",
            f"the new code of {code.co_name} needs {', '.join(missing)} from around it, and the live function has no cell for that",
            hint="pass it as a parameter or a global, or restart",
            evidence={"missing": ", ".join(missing), "cells": ", ".join(free)},
        )
    mangle = definition.classes[-1] if definition.classes else None
    how = {"filename": definition.filename, "flags": definition.flags, "optimize": definition.optimize}
    if definition.keeps_lines:
        here = definition.in_place(copy.deepcopy(here))
    made = fit_node(here, code, free, values, mangle=mangle, **how)  # type: ignore[arg-type]
    return shift_lines(made, code.co_firstlineno - made.co_firstlineno)


def fit_node(
    node: FunctionNode | ast.Lambda,
    code: types.CodeType,
    free: tuple[str, ...],
    values: Mapping[str, object],
    *,
    mangle: str | None,
    filename: str,
    flags: int,
    optimize: int = -1,
) -> types.CodeType:
    """
    Compile *node* alone, inside a factory that has the live cells.

    Args:
        code: What the node compiles to in its own place: tells its locals.
        free: The cells to end with, in order.
        values: Names that become locals set from constants.
        mangle: Class whose private names it may use.
        filename: For tracebacks.
        flags: ``__future__`` flags.
        optimize: As for compile().

    Raises:
        Refused: does-not-fit.
    """
    function, name = _as_function(node)
    own = (set(code.co_varnames) | set(code.co_cellvars)) - set(code.co_freevars) | _declared_global(function)
    used = {n: v for n, v in values.items() if n not in own and n in _names(code)} if values else {}
    stand_in = {n: f"{n}0" for n in free if n in own or n in used}
    cells = [stand_in.get(n, n) for n in free]
    slots: dict[str, object] = {}
    prologue: list[ast.stmt] = [ast.Nonlocal(cells)] if cells else []
    for at, (key, value) in enumerate(used.items()):
        slots[f"{_MARK}{at}"] = value
        prologue.append(ast.Assign([ast.Name(key, ast.Store())], ast.Constant(f"{_MARK}{at}")))
    if "__class__" in used:
        function = _explicit_super(function)
    at = 1 if ast.get_docstring(function, clean=False) is not None else 0
    function.body[at:at] = prologue
    inner: ast.stmt = function
    if mangle is not None:  # the class statement mangles private names, and gives the cell __class__
        inner = _empty_class(mangle, function)
        cells = [c for c in cells if c != "__class__"]
    factory = ast.parse("def _suture_(): pass").body[0]
    assert isinstance(factory, ast.FunctionDef)
    factory.args.args = [ast.arg(c) for c in cells]
    bound = name if mangle is None else mangle
    factory.body = [inner] if bound in cells else [ast.Global([bound]), inner]  # a recursive name stays a global
    tree = ast.Module([factory], [])
    for new in [*prologue, factory]:
        ast.copy_location(new, node)
    ast.fix_missing_locations(tree)
    try:
        top = compile(tree, filename, "exec", flags, dont_inherit=True, optimize=optimize)
    except (SyntaxError, ValueError) as error:
        raise Refused("does-not-fit", f"{code.co_name}: {error}", hint="restart, or write it without that name") from error
    made = _finish(_find(top, name), {v: k for k, v in stand_in.items()}, slots, code)
    if made.co_freevars != free:
        raise Refused(
            "does-not-fit",
            f"{code.co_name} would have the cells {', '.join(made.co_freevars)}, the live function has {', '.join(free)}",
            hint="restart, or write it without the names that are new",
        )
    return made


def _as_function(node: FunctionNode | ast.Lambda) -> tuple[FunctionNode, str]:
    """A bare copy: no decorators, defaults or annotations, which belong to the code around it."""
    node = copy.deepcopy(node)
    if isinstance(node, ast.Lambda):
        function = ast.parse("def _lambda_(): pass").body[0]
        assert isinstance(function, ast.FunctionDef)
        function.args = node.args
        function.body = [ast.copy_location(ast.Return(node.body), node.body)]
        ast.copy_location(function, node)
    else:
        function = node  # type: ignore[assignment]
    function.decorator_list = []
    function.returns = None
    if hasattr(function, "type_params"):
        function.type_params = []
    args = function.args
    args.defaults, args.kw_defaults = [], [None] * len(args.kwonlyargs)
    for arg in [*args.posonlyargs, *args.args, *args.kwonlyargs, *filter(None, (args.vararg, args.kwarg))]:
        arg.annotation = None
    return function, function.name


def _names(code: types.CodeType) -> set[str]:
    """Names that a function and those inside it take from around them; attribute names are among them."""
    names = {*code.co_freevars, *code.co_names}
    if "super" in names:
        names.add("__class__")
    for inner in nested_codes(code):
        names |= _names(inner)
    return names


def _declared_global(function: ast.AST) -> set[str]:
    return {n for node in ast.walk(function) if isinstance(node, ast.Global) for n in node.names}


class _ExplicitSuper(ast.NodeTransformer):
    """``super()`` -> ``super(__class__, first)`` at the function's own level; deeper ones find the cell by themselves."""

    def __init__(self, first: str) -> None:
        self.first = first

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "super" and not node.args and not node.keywords:
            node.args = [ast.Name("__class__", ast.Load()), ast.Name(self.first, ast.Load())]
        return node

    def _leave(self, node: ast.AST) -> ast.AST:
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = visit_ClassDef = _leave


def _explicit_super(function: FunctionNode) -> FunctionNode:
    args = function.args.posonlyargs + function.args.args
    if args:
        fixer = _ExplicitSuper(args[0].arg)
        function.body = [fixer.visit(s) for s in function.body]
    return function


def _empty_class(name: str, function: FunctionNode) -> ast.ClassDef:
    made = ast.parse(f"class {name}: pass").body[0]
    assert isinstance(made, ast.ClassDef)
    made.body = [function]
    return made


def _find(code: types.CodeType, name: str) -> types.CodeType:
    todo = [code]
    while todo:
        for inner in nested_codes(todo.pop(0)):
            if inner.co_name == name:
                return inner
            todo.append(inner)
    raise Refused("does-not-fit", f"no code for {name} in its own text", hint="restart: report it, with the text")


def _finish(code: types.CodeType, names: Mapping[str, str], slots: Mapping[str, object], like: types.CodeType) -> types.CodeType:
    """Put cell names and objects back, and the name and place that *like* has."""

    def constant(value: object) -> object:
        return slots.get(value, value) if isinstance(value, str) else value

    fields: dict[str, object] = {"co_name": like.co_name}
    if hasattr(like, "co_qualname"):
        fields["co_qualname"] = like.co_qualname
    return code.replace(
        co_consts=tuple(constant(c) for c in code.co_consts),
        co_freevars=tuple(names.get(n, n) for n in code.co_freevars),
        **fields,  # type: ignore[arg-type]
    )


def function_nodes(definition: Definition, code: types.CodeType) -> Iterator[ast.AST]:
    """Syntax trees in *definition* that may have made the inner code *code*: same name, same line."""
    shift = code.co_firstlineno - definition.line
    for node in ast.walk(definition.parse()):
        if isinstance(node, ast.Lambda):
            name, line = "<lambda>", node.lineno
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name = node.name
            line = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        else:
            continue
        if name == code.co_name and line - 1 - definition.wrapped == shift:
            yield node
