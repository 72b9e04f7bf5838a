"""
What a statement is to the outside: the names it binds, what kind of thing it makes, its own text.

Pure questions about syntax trees; decides nothing.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from suture.ops.build.tree import Source

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
BLOCKS = (ast.If, ast.With, ast.Try, getattr(ast, "TryStar", ast.Try))  # TryStar: 3.11+
_CLOSED = (  # hold no statements that run in their own scope: most of a body
    *(ast.FunctionDef, ast.Assign, ast.Import, ast.ImportFrom, ast.ClassDef, ast.Expr, ast.Return, ast.AsyncFunctionDef),
    *(ast.AnnAssign, ast.AugAssign, ast.Raise, ast.Pass, ast.Assert, ast.Delete, ast.Global, ast.Nonlocal),
    *(ast.Break, ast.Continue),
)
_TYPE_ALIAS = getattr(ast, "TypeAlias", ast.AnnAssign)  # 3.12+
ENUMS = frozenset(("Enum", "IntEnum", "StrEnum", "Flag", "IntFlag", "ReprEnum", "Choices", "IntegerChoices", "TextChoices"))
RECORDS = frozenset(("NamedTuple", "TypedDict"))
_MODELS = frozenset(
    (
        *("BaseModel", "BaseSettings", "RootModel", "SQLModel", "Struct", "Structure", "Union", "Schema", "Serializer"),
        *("ModelSerializer", "Model", "Form", "ModelForm", "Document", "EmbeddedDocument", "DeclarativeBase"),
    )
)
_PLAIN_CLASS_DECORATORS = frozenset(("total_ordering", "final", "runtime_checkable", "unique"))
_FIELD_CALLS = frozenset(("ib", "attrib", "field", "Field", "attr"))
_SLOTS = {"property": "get", "abstractproperty": "get", "getter": "get", "setter": "set", "deleter": "del", "register": "register"}


@dataclass(slots=True)
class Item:
    """
    One statement of a body, or one name of an import.

    Attributes:
        key: Kind ("def", "overload", "class", "import", "value", "annotation", "typing", "block" or "statement"), name and
            detail: what it is matched by.
        node: It; of an import, the one name alone.
        whole: The statement as it stands.
        dump: Equal for equal meaning.
        at: Place in its body.
        nth: Which of its key, from 0.
        bound: Names that it binds.
    """

    key: tuple[str, str, str]
    node: ast.stmt
    whole: ast.stmt
    dump: str
    at: int
    bound: tuple[str, ...] = ()
    nth: int = 0

    @property
    def name(self) -> str:
        """What it is called: the name it binds, ``a.b`` for ``import a.b``, "" for statements."""
        return self.key[1]

    @property
    def is_simple(self) -> bool:
        """True if all it binds are plain names or an attribute of one."""
        return self.key[0] != "value" or bool(self.bound)

    @property
    def is_single(self) -> bool:
        """True if it binds one name."""
        return self.key[0] != "value" or len(self.bound) == 1


def items(body: Sequence[ast.stmt], source: Source) -> list[Item]:
    """Statements of a body, but for docstrings, bare constants, ``pass`` and ``__future__`` imports."""
    out: list[Item] = []
    counts: Counter[tuple[str, str, str]] = Counter()
    for at, node in enumerate(body):
        for item in _items_of(node, at, source):
            item.nth = counts[item.key]
            counts[item.key] += 1
            out.append(item)
    return out


def _items_of(node: ast.stmt, at: int, source: Source) -> Iterator[Item]:
    if isinstance(node, FunctionNode):
        kind = "overload" if "overload" in decorators(node) else "def"
        yield Item((kind, node.name, _slot_detail(node)), node, node, dump_of(source, node), at, (node.name,))
    elif isinstance(node, ast.ClassDef):
        yield Item(("class", node.name, ""), node, node, dump_of(source, node), at, (node.name,))
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from _imports(node, at, source)
    elif is_doc(node) or isinstance(node, ast.Pass):
        return
    elif name := target_name(node):
        kind = "annotation" if isinstance(node, ast.AnnAssign) and node.value is None else "value"
        yield Item((kind, name, ""), node, node, dump_of(source, node), at, target_names(node))
    elif isinstance(node, BLOCKS):
        kind = "typing" if is_typing(node) and not getattr(node, "orelse", []) else "block"
        yield Item((kind, "", header(node)), node, node, dump_of(source, node), at)
    else:
        yield Item(("statement", "", ""), node, node, dump_of(source, node), at)


def _imports(node: ast.Import | ast.ImportFrom, at: int, source: Source) -> Iterator[Item]:
    base = source.absolute(node) if isinstance(node, ast.ImportFrom) else ""
    if base == "__future__":
        return
    for alias in node.names:
        single = copy.copy(node)
        single.names = [alias]
        name = alias.asname or alias.name
        bound = () if name == "*" else (name if base or alias.asname else name.partition(".")[0],)
        origin = f"from {base} import {alias.name}" if base else f"import {alias.name}"
        yield Item(("import", name, base if name == "*" else ""), single, node, f"{origin} as {name}", at, bound)


def _slot_detail(node: FunctionNode) -> str:
    """Accessors of one name, and registrations, are told apart by what they're for."""
    if slot(node) != "register":
        return slot(node)
    first = node.args.args[0].annotation if node.args.args else None
    decorator = next(d for d in node.decorator_list if last_name(d) == "register")
    return f"register {ast.unparse(decorator)} {ast.unparse(first) if first else ''}"


# ---------------------------------------------------------------- blocks


def header(node: ast.stmt) -> str:
    """A compound statement without its bodies."""
    if isinstance(node, ast.If):
        return f"if {ast.dump(node.test)}"
    if isinstance(node, ast.With):
        return f"with {' '.join(map(ast.dump, node.items))}"
    caught = [(ast.dump(h.type) if h.type else "", h.name) for h in getattr(node, "handlers", [])]
    return f"{type(node).__name__} {caught}"


def blocks(node: ast.stmt) -> Iterator[tuple[str, list[ast.stmt]]]:
    """(what it runs under: "typing", "main", "conditional" or "", statements) of each body, in order."""
    body = "typing" if is_typing(node) else "main" if is_main(node) else "conditional"
    yield body, getattr(node, "body", [])
    for handler in getattr(node, "handlers", []):
        yield "conditional", handler.body
    yield "" if body == "typing" else "conditional", getattr(node, "orelse", [])
    yield "conditional", getattr(node, "finalbody", [])


def paired_blocks(old: ast.stmt, new: ast.stmt) -> Iterator[tuple[str, list[ast.stmt], list[ast.stmt]]]:
    """Bodies of two statements with the same header."""
    for (label, before), (_, after) in zip(blocks(old), blocks(new), strict=True):
        yield label, before, after


def inner_statements(node: ast.stmt) -> Iterator[ast.stmt]:
    """Statements directly inside a class or a block."""
    for _, body in blocks(node):
        yield from body


def is_typing(node: ast.stmt) -> bool:
    """True for ``if TYPE_CHECKING:``."""
    return isinstance(node, ast.If) and last_name(node.test) == "TYPE_CHECKING"


def is_main(node: ast.stmt) -> bool:
    """True for ``if __name__ == "__main__":``."""
    if not (isinstance(node, ast.If) and isinstance(node.test, ast.Compare) and len(node.test.comparators) == 1):
        return False
    sides = (node.test.left, node.test.comparators[0])
    return any(isinstance(s, ast.Name) and s.id == "__name__" for s in sides) and any(
        isinstance(s, ast.Constant) and s.value == "__main__" for s in sides
    )


def is_doc(node: ast.stmt) -> bool:
    """True for a docstring or another bare constant: it does nothing."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


# ---------------------------------------------------------------- names


def target_names(node: ast.stmt) -> tuple[str, ...]:
    """Names that an assignment binds (``f.attr`` for an attribute of a name); empty if one of its targets is another thing."""
    names: list[str] = []
    todo = list(getattr(node, "targets", None) or [t for t in (getattr(node, "target", None), getattr(node, "name", None)) if t])
    while todo:
        target = todo.pop(0)
        if isinstance(target, ast.Tuple | ast.List):
            todo = [*target.elts, *todo]
        elif isinstance(target, ast.Name):
            names.append(target.id)
        elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            names.append(f"{target.value.id}.{target.attr}")
        else:
            return ()
    return tuple(names) if len(names) < 2 or not any("." in n for n in names) else ()


def target_name(node: ast.stmt) -> str:
    """What a definition or an assignment is called; "" for other statements."""
    if isinstance(node, FunctionNode | ast.ClassDef):
        return node.name
    if isinstance(node, (ast.Assign, ast.AnnAssign, _TYPE_ALIAS)):
        return ", ".join(dict.fromkeys(target_names(node))) or _unparsed_targets(node)
    return ""


def _unparsed_targets(node: ast.stmt) -> str:
    targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
    return " = ".join(ast.unparse(t) for t in targets if t is not None)


def statements(body: Iterable[ast.stmt], *, typing: bool = False) -> Iterator[ast.stmt]:
    """Statements that run in this scope, those in compound statements too; type-checking blocks only if asked for."""
    for node in body:
        yield node
        if isinstance(node, _CLOSED):
            continue
        inner = [*getattr(node, "body", []), *(s for h in getattr(node, "handlers", []) for s in h.body)]
        inner += [s for c in getattr(node, "cases", []) for s in c.body]
        if is_typing(node) and not typing:
            inner = []
        yield from statements([*inner, *getattr(node, "orelse", []), *getattr(node, "finalbody", [])], typing=typing)


def binds(node: ast.stmt) -> Iterator[str]:
    """Names that a statement itself binds at run time; accessors and overloads bind none of their own."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from (a.asname or a.name.partition(".")[0] for a in node.names)
    elif isinstance(node, FunctionNode | ast.ClassDef):
        if isinstance(node, ast.ClassDef) or not ("overload" in decorators(node) or slot(node)):
            yield node.name
    elif not (isinstance(node, ast.AnnAssign) and node.value is None):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id  # as below: most that bind
            return
        if isinstance(node, ast.Expr | ast.Return):
            return
        own = [node.target] if isinstance(node, ast.For | ast.AsyncFor) else list(getattr(node, "targets", []))
        own += [node.target] if isinstance(node, ast.AnnAssign | ast.AugAssign) else []
        own += [i.optional_vars for i in getattr(node, "items", []) if i.optional_vars is not None]
        own += [alias] if isinstance(alias := getattr(node, "name", None), ast.Name) else []
        yield from (n.id for target in own for n in ast.walk(target) if isinstance(n, ast.Name))


def bound_names(body: Iterable[ast.stmt]) -> frozenset[str]:
    """Names that a module or class body binds at run time, in conditional blocks too."""
    found: set[str] = set()
    for node in statements(body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        else:
            found.update(binds(node))
    return frozenset(found)


def bound_often(body: Iterable[ast.stmt]) -> frozenset[str]:
    """Names that a body binds more than once."""
    counts = Counter(n for node in statements(body) for n in binds(node))
    return frozenset(n for n, count in counts.items() if count > 1)


def reads_through(source: Source, node: ast.stmt) -> tuple[str, ...]:
    """Names of the module's top level that decide how the statement is compiled: imports it reads attributes of, ``super``."""
    bases = {n.value.id for n in ast.walk(node) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)} & source.imported
    if source.mentions_super and any(isinstance(n, ast.Name) and n.id == "super" for n in ast.walk(node)):
        bases.add("super")
    return tuple(sorted(bases))


def last_name(node: ast.expr) -> str:
    """``c`` of ``c``, ``a.b.c``, ``c(...)``, ``c[...]``."""
    if isinstance(node, ast.Subscript):
        return last_name(node.value)
    if isinstance(node, ast.Call):
        return last_name(node.func)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def decorators(node: FunctionNode | ast.ClassDef) -> list[str]:
    """Last names of its decorators, outermost first."""
    return [last_name(d) for d in node.decorator_list]


def slot(node: FunctionNode) -> str:
    """get, set, del, register or ""."""
    return next((_SLOTS[n] for n in decorators(node) if n in _SLOTS), "")


def is_dunder(name: str) -> bool:
    """True for ``__name__``."""
    return name.startswith("__") and name.endswith("__")


# ---------------------------------------------------------------- values


def value_of(node: ast.stmt) -> ast.expr | None:
    """Right side of an assignment."""
    value = getattr(node, "value", None)
    return value if isinstance(value, ast.expr) and isinstance(node, ast.Assign | ast.AnnAssign) else None


def is_plain(value: ast.expr | None) -> bool:
    """True for a literal, or a display of literals."""
    if value is None:
        return False
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def is_mutable(value: ast.expr | None) -> bool:
    """True if a plain value is, or holds, something that can be changed in place."""
    return value is not None and any(isinstance(n, ast.Dict | ast.List | ast.Set | ast.Call) for n in ast.walk(value))


def is_names(value: ast.expr | None) -> bool:
    """True for a list or tuple of strings: what ``__all__`` is."""
    if not isinstance(value, ast.List | ast.Tuple):
        return False
    return all(isinstance(e, ast.Constant) and isinstance(e.value, str) for e in value.elts)


def slots(node: ast.stmt) -> list[str] | None:
    """Sorted names that an assignment gives to ``__slots__``; None if they aren't spelled out."""
    value = value_of(node)
    elements = (
        [value] if isinstance(value, ast.Constant) else value.elts if isinstance(value, ast.List | ast.Tuple | ast.Set) else None
    )
    names = [e.value for e in elements or () if isinstance(e, ast.Constant) and isinstance(e.value, str)]
    return sorted(names) if elements is not None and len(names) == len(elements) else None


def same_but_annotation(old: ast.stmt, new: ast.stmt) -> bool:
    """True if two assignments of the same name give the same value."""
    before, after = value_of(old), value_of(new)
    if before is None or after is None:
        return False
    return target_names(old) == target_names(new) and ast.dump(before) == ast.dump(after)


_FILLING = frozenset(
    ("add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "reverse", "setdefault", "sort", "update")
)


def filled(node: ast.stmt) -> str:
    """Name of the table that a statement puts something into or takes something out of; "" for another statement."""
    target: ast.AST | None = None
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
        target = node.value.func.value if node.value.func.attr in _FILLING else None
    elif isinstance(node, ast.AugAssign):
        target = node.target
    elif isinstance(node, ast.Assign | ast.Delete) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Subscript):
        target = node.targets[0].value
    return target.id if isinstance(target, ast.Name) else ""


def fillers(body: Iterable[ast.stmt], name: str) -> list[ast.stmt]:
    """Statements of a body that fill a table."""
    return [n for n in body if filled(n) == name]


class Blank(ast.NodeTransformer):
    """Empties bodies of functions and lambdas; what runs when the statement runs is kept."""

    def _function(self, node: FunctionNode) -> ast.AST:
        node.body = [ast.Pass()]
        node.args = self.visit(node.args)
        node.decorator_list = [self.visit(d) for d in node.decorator_list]
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = _function

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        """The same of a lambda."""
        node.body = ast.Constant(None)
        node.args = self.visit(node.args)
        return node


class _Undefined(ast.NodeTransformer):
    """Leaves functions and classes out."""

    def _leave_out(self, node: ast.AST) -> None:
        return None

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _leave_out


def without_definitions(node: ast.stmt) -> ast.stmt:
    """A copy of a block without the functions and classes in it; for comparing, as a body may be empty then."""
    return _Undefined().generic_visit(copy.deepcopy(node))  # type: ignore[return-value]


def blanked_dump(node: ast.stmt) -> str:
    """The statement without the bodies of the functions it makes."""
    return ast.dump(Blank().visit(copy.deepcopy(node)))


def signature(node: ast.stmt) -> tuple[str, ...]:
    """What a statement seems to be about: its kind, and what it calls."""
    value = getattr(node, "value", None)
    called = ast.unparse(value.func) if isinstance(node, ast.Expr) and isinstance(value, ast.Call) else ""
    target = getattr(node, "target", None)
    return type(node).__name__, called, ast.unparse(target) if isinstance(target, ast.AST) else ""


# ---------------------------------------------------------------- classes


class Lineage:
    """Classes of one module and what they come from, as far as its own text says."""

    def __init__(self, tree: ast.Module) -> None:
        self._classes = {n.name: n for n in statements(tree.body) if isinstance(n, ast.ClassDef)}

    def ancestors(self, node: ast.ClassDef) -> list[ast.ClassDef]:
        """Bases that this module defines, and theirs."""
        found: list[ast.ClassDef] = []
        todo = [node]
        while todo:
            for base in map(last_name, todo.pop().bases):
                other = self._classes.get(base)
                if other is not None and other is not node and other not in found:
                    found.append(other)
                    todo.append(other)
        return found

    def kind(self, node: ast.ClassDef) -> str:
        """What a class statement makes of its assignments: "enum" members, "fields", a "model", or ""."""
        family = [node, *self.ancestors(node)]
        bases = {last_name(b) for n in family for b in n.bases}
        if any(b in ENUMS or b.endswith("Enum") for b in bases) or any(last_name(v) == "auto" for v in _values(node)):
            return "enum"
        if bases & _MODELS:
            return "model"
        if bases & RECORDS or set(decorators(node)) - _PLAIN_CLASS_DECORATORS:
            return "fields"
        return ""


def _values(node: ast.ClassDef) -> Iterator[ast.expr]:
    """What calls in a class body make its names from."""
    return (v for v in map(value_of, node.body) if isinstance(v, ast.Call))


def is_field(node: ast.stmt, kind: str) -> bool:
    """True for what a class of that kind was made from."""
    names, value = target_names(node), value_of(node)
    if kind == "enum":
        return value is not None and bool(names) and not names[0].startswith("_") and not isinstance(value, ast.Lambda)
    if isinstance(node, ast.AnnAssign):
        return kind in ("fields", "model") and last_name(node.annotation) != "ClassVar"
    if not isinstance(value, ast.Call) or (names and is_dunder(names[0])):
        return False
    return kind == "model" or (kind == "fields" and last_name(value) in _FIELD_CALLS)


def is_member(node: ast.stmt) -> bool:
    """True for a statement in the body of an enumeration that its members are made from."""
    return is_field(node, "enum") or (target_name(node) in ("_ignore_", "_order_", "__order__") and value_of(node) is not None)


def methods(node: ast.ClassDef) -> Iterator[FunctionNode]:
    """Functions of a class body."""
    return (n for n in node.body if isinstance(n, FunctionNode))


def dump(node: ast.AST) -> str:
    """
    Equal for equal meaning: as ``ast.dump``, in a third of its time.

    Positions don't count, nor does the ``u`` of a string.
    """
    kind = type(node)
    if kind is ast.Name:
        return f"Name({node.id},{type(node.ctx).__name__})"  # type: ignore[attr-defined]
    if kind is ast.Constant:
        return f"Constant({type(node.value).__name__}:{node.value!r})"  # type: ignore[attr-defined]
    parts = []
    for name in kind._fields:
        value = getattr(node, name, None)
        if isinstance(value, ast.AST):
            parts.append(dump(value))
        elif type(value) is list:
            parts.append(f"[{','.join([dump(v) if isinstance(v, ast.AST) else repr(v) for v in value])}]")
        else:
            parts.append(repr(value))
    return f"{kind.__name__}({','.join(parts)})"


def dump_of(source: Source, node: ast.stmt) -> str:
    """The same of a statement of a file; worked out once for both sides, where both have it letter for letter."""
    text = "".join(source.lines[first_line(node) - 1 : node.end_lineno])
    key = (text, node.col_offset, node.end_col_offset, type(node), source.future_flags)
    if key not in source.dumps:
        source.dumps[key] = dump(node)
    return source.dumps[key]


# ---------------------------------------------------------------- text


def first_line(node: ast.stmt) -> int:
    """Line of its first decorator, or its own."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", None) or []
    return min([node.lineno, *(d.lineno for d in decorators)]) if decorators else node.lineno


def lines_of(node: ast.stmt) -> str:
    """ "12-15"."""
    return f"{first_line(node)}-{node.end_lineno or node.lineno}"


def head(node: ast.stmt) -> str:
    """Its first line, shortened; of a block that says nothing by itself, two."""
    lines = ast.unparse(node).splitlines()
    return (f"{lines[0]} {lines[1].strip()}" if lines[0].endswith(":") and len(lines) > 1 else lines[0])[:70]


def text(source: Source, node: ast.stmt) -> str:
    """The statement's whole lines as they stand; its own part of them where it shares a line with others."""
    first, last = first_line(node), node.end_lineno or node.lineno
    lines = source.lines[first - 1 : last]
    start = len(lines[0].encode()[: node.col_offset].decode()) if first == node.lineno else 0
    end = len(lines[-1].encode()[: node.end_col_offset].decode())
    rest = lines[-1][end:].strip()
    if lines[0][:start].strip(" \t\f") or (rest and not rest.startswith("#")):
        part = [*lines[:-1], lines[-1][:end]]
        part[0] = part[0][start:]
        return f"{' ' * start}{''.join(part)}\n"
    return "".join(lines)


def running(parts: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Nodes that run with these: not the bodies of functions and lambdas, not annotations, not what is for type checkers."""
    todo = list(parts)
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            todo += [*node.decorator_list, *node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
        elif isinstance(node, ast.Lambda):
            todo += [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
        elif isinstance(node, ast.AnnAssign):
            todo += [node.target, *([node.value] if node.value is not None else [])]
        elif not (isinstance(node, ast.stmt) and is_typing(node)):
            todo += ast.iter_child_nodes(node)
