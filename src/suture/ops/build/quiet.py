"""
Functions and classes of a tree that make a value and do nothing else, as far as their text says: they may be called once more.

An estimate that errs to the loud side: what isn't known to be quiet isn't.  Names are followed through imports, to wherever the
tree defines them; what comes from outside the tree is known by its name (engine.values) or not at all.
"""

from __future__ import annotations

import ast
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from suture.engine.values import dotted, is_quiet_call
from suture.errors import SutureError

if TYPE_CHECKING:
    from suture.ops.build.tree import Source, Tree

__all__ = ["Quiet", "QuietNames", "deleted_names"]

_FILLING = frozenset(
    ("add", "append", "appendleft", "extend", "insert", "pop", "popitem", "remove", "setdefault", "sort", "update")
)
_FRESH = (ast.Dict, ast.List, ast.Set, ast.DictComp, ast.ListComp, ast.SetComp, ast.Constant, ast.BinOp, ast.JoinedStr)
_FRESH_CALLS = frozenset(
    ("Counter", "OrderedDict", "bytearray", "copy", "defaultdict", "deque", "dict", "list", "set", "sorted", "split")
)
_LOUD = (ast.Global, ast.Await, ast.AsyncFor, ast.AsyncWith, ast.ClassDef)
_MAKERS = frozenset(("__init__", "__new__", "__post_init__"))
_RUN_BY_CLASS = frozenset((*_MAKERS, "__init_subclass__", "__set_name__", "__hash__", "__eq__", "_generate_next_value_"))
_BASES = frozenset(("object", "NamedTuple", "Generic", "Protocol"))
_CLASS_DECORATORS = frozenset(("dataclass", "final", "total_ordering"))
_Function = ast.FunctionDef | ast.Lambda
_Defined = tuple["Source", "ast.FunctionDef | ast.ClassDef"]


class QuietNames(Container[str]):
    """Dotted names of what may be called from a file: in each of its trees."""

    def __init__(self, source: Source, trees: Sequence[Tree]) -> None:
        self._source, self._trees = source, trees

    def __contains__(self, name: object) -> bool:
        return bool(self._trees) and all(t.quiet.may_call(self._source, str(name)) for t in self._trees)


class Quiet:
    """
    What of a tree may be called once more.

    A class may be if nobody can write to its objects (a named tuple, a frozen dataclass): another one is as good as the first.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._known: dict[ast.AST, bool] = {}
        self._bound: dict[str, Mapping[str, list[ast.stmt]]] = {}
        self._paths: dict[str, str] = {}

    def may_call(self, source: Source, name: str) -> bool:
        """True if *name*, as a file's top level means it, is a quiet function or class."""
        found = self._defined(source, name)
        return found is not None and self._is_quiet(found)

    def makers(self, source: Source, cls: ast.ClassDef, names: Container[str], depth: int = 0) -> Iterator[tuple[bool, str]]:
        """
        Methods that run when a class, or an object of it, is made: its own, and those of its bases as far as the tree has them.

        Yields:
            (is it quiet, its name); (False, the base) for a base that isn't in the tree and isn't among *names*.
        """
        for node in cls.body:
            if isinstance(node, ast.FunctionDef) and node.name in _RUN_BY_CLASS:
                needs = _needs_of(node, source.imported, makes=True)
                quiet = "" not in needs and all(self.may_call(source, n) for n in needs)
                yield (
                    quiet and not set(map(_last, node.decorator_list)) - {"staticmethod", "classmethod"},
                    f"{cls.name}.{node.name}",
                )
        for base in cls.bases:
            name = dotted(base)
            found = self._defined(source, name) if name else None
            if found is not None and isinstance(found[1], ast.ClassDef) and depth < _DEPTH:
                yield from self.makers(found[0], found[1], names, depth + 1)
            elif _last(base) not in names:
                yield False, ast.unparse(base)

    def _is_quiet(self, start: _Defined) -> bool:
        """Follow all that it calls, then strike off what is loud, and what calls that."""
        if start[1] in self._known:
            return self._known[start[1]]
        callees: dict[ast.AST, list[ast.AST]] = {}
        loud: set[ast.AST] = set()
        todo = [start]
        while todo:
            source, node = todo.pop()
            if node in callees or node in self._known:
                continue
            callees[node] = []
            for name in _needs(node, source.imported):
                found = self._defined(source, name) if name else None
                if found is None or not self._known.get(found[1], True):
                    loud.add(node)
                    break
                callees[node].append(found[1])
                todo.append(found)
        while more := [n for n, called in callees.items() if n not in loud and not loud.isdisjoint(called)]:
            loud.update(more)
        self._known.update((n, n not in loud) for n in callees)
        return self._known[start[1]]

    def family(self, source: Source, cls: ast.ClassDef) -> tuple[list[tuple[Source, ast.ClassDef]], list[str]]:
        """A class's ancestors, itself first, as far as the tree has them; and the names of those that it hasn't."""
        found, unknown = [(source, cls)], []
        for home, node in found:  # grows while it is walked
            for base in node.bases:
                other = self._defined(home, dotted(base)) if dotted(base) else None
                if other is None or not isinstance(other[1], ast.ClassDef):
                    unknown.append(ast.unparse(base))
                elif all(other[1] is not n for _, n in found):
                    found.append((other[0], other[1]))
        return found, unknown

    def inherited_makers(self, source: Source, cls: ast.ClassDef) -> frozenset[str]:
        """Text of what runs of a class's bases when it, or an object of it, is made: their methods, and all that these call."""
        todo: list[_Defined] = []
        for home, base in self.family(source, cls)[0][1:]:
            todo += ((home, n) for n in base.body if isinstance(n, ast.FunctionDef) and n.name in _RUN_BY_CLASS)
        seen: set[ast.AST] = set()
        while todo:
            home, node = todo.pop()
            if node not in seen:
                seen.add(node)
                found = (self._defined(home, name) for name in _needs(node, home.imported) if name)
                todo += ((f[0], f[1]) for f in found if f is not None)
        return frozenset(map(ast.dump, seen))

    # ------------------------------------------------------------ what a name is

    def _defined(self, source: Source, name: str, depth: int = 0) -> _Defined | None:
        """The one plain function or class that a dotted name is in a file; None for anything else."""
        first, _, rest = name.partition(".")
        bound = self._bindings(source).get(first, ())
        if len(bound) != 1 or depth > _DEPTH:
            return None
        (node,) = bound
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            plain = isinstance(node, ast.ClassDef) or not node.decorator_list
            return (source, node) if plain and not rest and any(node is n for n in source.tree.body) else None
        if isinstance(node, ast.ImportFrom):
            (alias,) = (a for a in node.names if (a.asname or a.name) == first)
            base = source.absolute(node)
            found = self._in_module(base, f"{alias.name}.{rest}".rstrip("."), depth)
            return found or (self._in_module(f"{base}.{alias.name}", rest, depth) if rest else None)
        if isinstance(node, ast.Import):
            alias, *_ = (a for a in node.names if (a.asname or a.name.partition(".")[0]) == first)  # `import a, a.b`
            whole = f"{alias.name}.{rest}" if alias.asname else name
            module, _, last = whole.rpartition(".")
            return self._in_module(module, last, depth)
        return None

    def _in_module(self, module: str, name: str, depth: int) -> _Defined | None:
        if not self._paths:
            self._paths = {self._tree.module_of(p): p for p in sorted(self._tree.python(), reverse=True)}
        if not name or module not in self._paths:
            return None
        try:
            source = self._tree.source(self._paths[module])
            return self._defined(source, name, depth + 1)
        except SutureError:  # said where that file is built
            return None

    def _bindings(self, source: Source) -> Mapping[str, list[ast.stmt]]:
        """Statements of a file's top level, in blocks too, by the names that they bind."""
        if source.path not in self._bound:
            found: dict[str, list[ast.stmt]] = {}
            for node in _statements(source.tree.body):
                for name in {n for inner in _outside(node) for n in _bound_by(inner)}:
                    found.setdefault(name, []).append(node)
            self._bound[source.path] = found
        return self._bound[source.path]


_DEPTH = 20  # imports of imports


def deleted_names(body: Iterable[ast.stmt]) -> frozenset[str]:
    """Names that a module deletes once they have been used: not under a condition, and nothing behind it binds them again."""
    gone: set[str] = set()
    for node in body:
        if isinstance(node, ast.Delete):
            gone |= {n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Del)}
        elif gone:
            gone -= {name for inner in ast.walk(node) for name in _bound_by(inner)}
    return frozenset(gone)


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements, and those of blocks among them, each by itself."""
    for node in body:
        inner = [s for name in ("body", "orelse", "finalbody") for s in getattr(node, name, ())]
        inner += [s for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())) for s in part.body]
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _statements(inner)


def _outside(node: ast.stmt) -> Iterator[ast.AST]:
    """A statement's own parts: not the statements in it, and of a definition nothing but itself."""
    yield node
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return
    for part in ast.iter_child_nodes(node):
        if not isinstance(part, ast.stmt | ast.excepthandler | ast.match_case):
            yield from ast.walk(part)


def _bound_by(node: ast.AST) -> tuple[str, ...]:
    if isinstance(node, ast.Name):
        return () if isinstance(node.ctx, ast.Load) else (node.id,)
    if isinstance(node, ast.Import | ast.ImportFrom):
        return tuple(name for alias in node.names for name in _bound_by(alias))
    if isinstance(node, ast.alias):
        return (node.asname or node.name.partition(".")[0],)
    return (node.name,) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else ()


# ---------------------------------------------------------------- what one calls


class _Asked(Container[str]):
    """Says yes to each name that may be a function's of the tree, and remembers it."""

    def __init__(self, local: Container[str], inner: Container[str]) -> None:
        self.names: list[str] = []
        self._local, self._inner = local, inner

    def __contains__(self, name: object) -> bool:
        if name in self._inner:
            return True
        if str(name).partition(".")[0] in self._local:
            return False
        self.names.append(str(name))
        return True


def _needs(node: ast.FunctionDef | ast.ClassDef, modules: AbstractSet[str]) -> list[str]:
    """Dotted names of what has to be quiet for it to be; "" among them if it's loud by itself."""
    return _needs_of_class(node, modules) if isinstance(node, ast.ClassDef) else _needs_of(node, modules)


def _needs_of_class(node: ast.ClassDef, modules: AbstractSet[str]) -> list[str]:
    frozen = any(_last(d) == "dataclass" and _is_frozen(d) for d in node.decorator_list)
    plain = [_last(b.value if isinstance(b, ast.Subscript) else b) for b in node.bases]
    fine = (frozen or "NamedTuple" in plain) and not node.keywords and _CLASS_DECORATORS.issuperset(map(_last, node.decorator_list))
    needs = [dotted(b) for b, name in zip(node.bases, plain, strict=True) if name not in _BASES] if fine else [""]
    for part in node.body:
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
            if part.name in _MAKERS:
                needs += _needs_of(part, modules, makes=True) if isinstance(part, ast.FunctionDef) else [""]
            continue
        for keyword in (k for inner in ast.walk(part) if isinstance(inner, ast.Call) for k in inner.keywords):
            if keyword.arg == "default_factory" and dotted(keyword.value) not in _FRESH_CALLS:
                needs.append(dotted(keyword.value))
    return needs


def _is_frozen(decorator: ast.expr) -> bool:
    keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
    return any(k.arg == "frozen" and isinstance(k.value, ast.Constant) and k.value.value is True for k in keywords)


def _needs_of(function: ast.FunctionDef, modules: AbstractSet[str], *, makes: bool = False) -> list[str]:
    everything = list(ast.walk(function))
    # What it imports has been imported when it ran the first time; what it calls of that is a module's all the same.
    modules = {*modules, *(name for n in everything if isinstance(n, ast.Import | ast.ImportFrom) for name in _bound_by(n))}
    inner = {n.name: n for n in everything if isinstance(n, ast.FunctionDef) and n is not function}
    arguments = [a.arg for n in everything if isinstance(n, _Function) for a in ast.walk(n.args) if isinstance(a, ast.arg)]
    local = {*arguments, *(n.id for n in everything if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load))}
    own = _own(function) | ({arguments[0], *_made_by_base(function)} if makes and arguments else set())
    asked = _Asked(local, inner)
    todo: list[ast.AST] = list(function.body)
    entered: set[str] = set()
    while todo:
        node = todo.pop()
        if isinstance(node, _LOUD):
            return [""]
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load) and _root(node) not in own:
            return [""]
        if isinstance(node, _Function | ast.AsyncFunctionDef):  # made; what it does is seen where it's called
            if any(not _only_wraps(d) for d in getattr(node, "decorator_list", ())):
                return [""]
            todo += [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
            continue
        if isinstance(node, ast.Raise):
            todo += node.exc.args if isinstance(node.exc, ast.Call) else []
            continue
        if isinstance(node, ast.Call):
            filling = isinstance(node.func, ast.Attribute) and node.func.attr in _FILLING and _root(node.func) in own
            if not filling and not (makes and _is_inherited(node.func)) and not is_quiet_call(node, asked, modules):
                return [""]
            handed = [node.func, *node.args, *(k.value for k in node.keywords)]
            for name in {n.id for n in handed if isinstance(n, ast.Name) and n.id in inner} - entered:
                entered.add(name)  # called, or given to what may call it
                todo += inner[name].body
        todo += ast.iter_child_nodes(node)
    return asked.names


def _only_wraps(decorator: ast.expr) -> bool:
    return _last(decorator) in ("wraps", "staticmethod")


def _is_inherited(function: ast.expr) -> bool:
    """``super().__init__``, ``object.__new__``, ``str.__new__``"""
    if not isinstance(function, ast.Attribute) or function.attr not in _MAKERS:
        return False
    return _last(function.value) in ("super", "object", "int", "str", "float", "bytes", "tuple")


def _own(function: ast.FunctionDef) -> set[str]:
    """Names that hold what the function itself has made, and nothing else."""
    made = {n.name: True for n in ast.walk(function) if isinstance(n, ast.FunctionDef) and n is not function}
    for node in ast.walk(function):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        for target in targets:
            if isinstance(target, ast.Name):
                value = node.value  # type: ignore[attr-defined]
                made[target.id] = made.get(target.id, True) and _is_fresh(value)
    others = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)} - made.keys()
    arguments = {a.arg for n in ast.walk(function) if isinstance(n, _Function) for a in ast.walk(n.args) if isinstance(a, ast.arg)}
    return {name for name, fresh in made.items() if fresh} - others - arguments


def _made_by_base(function: ast.FunctionDef) -> Iterator[str]:
    """Names of what a ``__new__`` has from the ``__new__`` of a base."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _is_inherited(node.value.func):
            yield from (t.id for t in node.targets if isinstance(t, ast.Name))


def _is_fresh(value: ast.expr | None) -> bool:
    """True if an expression makes a new object."""
    if isinstance(value, ast.Call):
        return _last(value) in _FRESH_CALLS
    return isinstance(value, _FRESH)


def _last(node: ast.expr) -> str:
    """The last name of what is called, or is."""
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
