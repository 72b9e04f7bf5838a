"""
Two versions of one module, definition by definition.

Walks both syntax trees together; what differs becomes a Change, or a Finding that says why it can't.  Every difference ends
as one of the two (conservation): there is no third way out of these functions.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from suture.engine.facts import same_tree
from suture.ops.build.tree import Source
from suture.patch import Change, Expect, Finding, Kind, Scope, Severity, Target

__all__ = ["Difference", "blanked", "diff", "single_imports"]

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
Key = tuple[object, ...]
_FIELD_BASES = frozenset(
    ("NamedTuple", "TypedDict", "BaseModel", "Enum", "IntEnum", "StrEnum", "Flag", "IntFlag", "ReprEnum", "Struct", "Structure")
)
_ENUM_BASES = frozenset(("Enum", "IntEnum", "StrEnum", "Flag", "IntFlag", "ReprEnum"))
_MAKERS = frozenset(("__init__", "__new__", "__post_init__", "__attrs_post_init__", "__setstate__"))
_TYPE_ONLY = "TYPE_CHECKING"


@dataclass
class Difference:
    """
    What two versions of a module differ in.

    Attributes:
        changes: In the order of the new source; numbers aren't final.
        findings: Why the rest isn't carried.
        moved: Qualified names of unchanged functions whose line changed.
        values: Changed constants, which need a look at who computes from them.
    """

    changes: list[Change] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Scope:
    """Where the walk is: enclosing classes (names and nodes) on both sides."""

    classes: tuple[str, ...] = ()
    old_class: ast.ClassDef | None = None
    new_class: ast.ClassDef | None = None

    @property
    def is_fields(self) -> bool:
        """True in a class whose annotated names are fields of instances, or members."""
        node = self.new_class
        return node is not None and (bool(node.decorator_list) or bool(_FIELD_BASES & set(map(_last_name, node.bases))))


def diff(old: Source, new: Source) -> Difference:
    """
    Compare two versions of one module.

    Raises:
        Refused: syntax-error in either.
    """
    return _Differ(old, new).run()


class _Differ:
    def __init__(self, old: Source, new: Source) -> None:
        self.old, self.new = old, new
        self.out = Difference()

    def run(self) -> Difference:
        self._body(self.old.tree.body, self.new.tree.body, _Scope())
        self.out.changes.sort(key=lambda c: c.scope.line_after)
        return self.out

    # ------------------------------------------------------------ walking

    def _body(self, old: Sequence[ast.stmt], new: Sequence[ast.stmt], scope: _Scope) -> None:
        left, right = _keyed(old), _keyed(new)
        for key, node in right.items():
            if key not in left:
                self._added(node, key, scope)
            elif not same_tree(left[key], node):
                self._differs(left[key], node, key, scope)
            else:
                self._same(left[key], node, scope)
        for key, node in left.items():
            if key not in right:
                self._removed(node, key, scope, right)
        self._order(left, right, scope)

    def _same(self, old: ast.stmt, new: ast.stmt, scope: _Scope) -> None:
        if _first_line(old) == _first_line(new):
            return
        if isinstance(new, FunctionNode):
            self.out.moved.append(_dotted(scope, new.name))
        elif isinstance(new, ast.ClassDef):
            for before, after in zip(old.body, new.body, strict=True):  # type: ignore[attr-defined]
                self._same(before, after, _Scope((*scope.classes, new.name), None, None))

    def _order(self, left: dict[Key, ast.stmt], right: dict[Key, ast.stmt], scope: _Scope) -> None:
        """Statements that both sides have, in another order: not carried, and said."""
        common = [k for k in left if k in right and k[0] not in ("def", "class", "doc")]
        there = [k for k in right if k in left and k[0] not in ("def", "class", "doc")]
        if common != there:
            moved = next(right[k] for k, other in zip(there, common, strict=True) if k != other)
            self._say("reordered", Severity.NOTE, scope, moved, "statements stand in another order; they don't run again")

    def _differs(self, old: ast.stmt, new: ast.stmt, key: Key, scope: _Scope) -> None:
        if isinstance(old, FunctionNode) and isinstance(new, FunctionNode):
            self._function(old, new, key, scope)
        elif isinstance(old, ast.ClassDef) and isinstance(new, ast.ClassDef):
            self._class(old, new, scope)
        elif key[0] == "doc":
            self._say("docs-only", Severity.NOTE, scope, new, "a docstring of the module or class changed; it isn't carried")
        elif key[0] == "annotation":
            self._field_or_type(new, scope, "changes")
        elif isinstance(old, ast.If | ast.Try | ast.With) and type(old) is type(new) and _same_header(old, new):
            for (_, before), (_, after) in zip(_blocks(old), _blocks(new), strict=True):
                if _is_type_checking(new):
                    self._type_only(scope, new)
                else:
                    self._body(before, after, scope)
        elif same_tree(blanked(old), blanked(new)):
            self._change(Kind.NESTED, _name_of(new), old, new, scope)
        elif key[0] == "value" and isinstance(new, ast.Assign | ast.AnnAssign):
            self._value(old, new, str(key[1]), scope)
        elif key[0] == "import":
            text = ast.unparse(new)
            self._say("import-changed", Severity.ERROR, scope, new, f"{key[1]} comes from elsewhere: {text}", "import it under a new name")
        elif _is_type_checking(new):
            self._type_only(scope, new)
        else:
            self._statement(new, scope)

    # ------------------------------------------------------------ functions

    def _function(self, old: FunctionNode, new: FunctionNode, key: Key, scope: _Scope) -> None:
        if _is_overload(new):
            self._type_only(scope, new)
            return
        if same_tree(_without_doc(old), _without_doc(new)) and not scope.is_fields:
            pass  # a docstring of a function is carried: help() and frameworks read it
        if "abstractmethod" in _decorators(new) and "abstractmethod" not in _decorators(old):
            self._say("abstract-added", Severity.ERROR, scope, new, f"{new.name} becomes abstract", "restart: subclasses that exist lack it")
            return
        self._change(Kind.FUNCTION, new.name, old, new, scope, slot=_slot(new), nth=int(str(key[3])))

    # ------------------------------------------------------------ classes

    def _class(self, old: ast.ClassDef, new: ast.ClassDef, scope: _Scope) -> None:
        parts = [
            ("bases", old.bases, new.bases),
            ("keywords", old.keywords, new.keywords),
            ("decorators", old.decorator_list, new.decorator_list),
            ("type parameters", getattr(old, "type_params", []), getattr(new, "type_params", [])),
        ]
        shape = [name for name, a, b in parts if not same_tree(a, b)]
        if shape:
            self._say(
                "class-shape", Severity.ERROR, scope, new, f"{', '.join(shape)} of class {new.name} change", "restart, or add a new class"
            )
            return
        inner = _Scope((*scope.classes, new.name), old, new)
        self._body(old.body, new.body, inner)
        self._new_attributes(old, new, inner)

    def _new_attributes(self, old: ast.ClassDef, new: ast.ClassDef, scope: _Scope) -> None:
        """Attributes that only a new ``__init__`` sets and a changed method reads: objects that exist lack them."""
        had = {n for m in _methods(old) for n in _self_names(m, ast.Store)} | set(_bound_names(old.body))
        set_now: set[str] = set()
        for method in _methods(new):
            if method.name in _MAKERS:
                set_now |= set(_self_names(method, ast.Store))
        fresh = set_now - had - set(_bound_names(new.body))
        if not fresh:
            return
        before = {m.name: m for m in _methods(old)}
        for method in _methods(new):
            if method.name in _MAKERS or (method.name in before and same_tree(before[method.name], method)):
                continue
            lacking = sorted(fresh & set(_self_names(method, ast.Load)))
            if lacking:
                self._say(
                    "new-attribute",
                    Severity.ERROR,
                    scope,
                    method,
                    f"{method.name} reads self.{lacking[0]}, which only the new __init__ sets: objects that exist lack it",
                    f"give the class a default ({lacking[0]} = ...), or read it with getattr(self, {lacking[0]!r}, ...)",
                    name=method.name,
                )

    # ------------------------------------------------------------ values

    def _value(self, old: ast.stmt, new: ast.Assign | ast.AnnAssign, name: str, scope: _Scope) -> None:
        if name == "__slots__":
            self._say("slots-changed", Severity.ERROR, scope, new, "__slots__ change", "restart: objects that exist can't carry a new slot")
            return
        if scope.is_fields and (isinstance(new, ast.AnnAssign) or self._in_enum(scope)):
            self._field_or_type(new, scope, "changes")
            return
        if not (isinstance(old, ast.Assign | ast.AnnAssign) and _plain(old.value) and _plain(new.value)):
            self._say(
                "value-changed",
                Severity.ERROR,
                scope,
                new,
                f"{name} is computed when the module is imported: {ast.unparse(new)[:60]}",
                "assign it in a hotfix file, or restart",
                name=name,
            )
            return
        if isinstance(new.value, ast.Dict | ast.List | ast.Set | ast.ListComp) and name != "__all__":
            self._say(
                "value-changed",
                Severity.ERROR,
                scope,
                new,
                f"{name} is a table that the program may have changed, and that others may hold",
                "change its items in a hotfix file, or restart",
                name=name,
            )
            return
        self._change(Kind.VALUE, name, old, new, scope, names=(name,))

    def _in_enum(self, scope: _Scope) -> bool:
        return scope.new_class is not None and bool(_ENUM_BASES & set(map(_last_name, scope.new_class.bases)))

    def _field_or_type(self, node: ast.stmt, scope: _Scope, what: str) -> None:
        name = _name_of(node)
        if not scope.is_fields:
            self._type_only(scope, node)
            return
        code = "enum-members" if self._in_enum(scope) else "class-fields"
        word = "member" if code == "enum-members" else "field"
        self._say(
            code, Severity.ERROR, scope, node, f"{word} {name} {what}: the class was made from its {word}s", "restart", name=name
        )

    # ------------------------------------------------------------ added, removed

    def _added(self, node: ast.stmt, key: Key, scope: _Scope) -> None:
        if key[0] == "doc" or isinstance(node, ast.Pass):
            self._say("docs-only", Severity.NOTE, scope, node, "a docstring or a bare constant; it isn't carried")
        elif _is_type_checking(node) or (isinstance(node, FunctionNode) and _is_overload(node)):
            self._type_only(scope, node)
        elif isinstance(node, FunctionNode):
            self._added_function(node, key, scope)
        elif isinstance(node, ast.ClassDef):
            self._change(Kind.CLASS, node.name, None, node, scope, names=(node.name,))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self._added_import(node, key, scope)
        elif key[0] == "annotation":
            self._field_or_type(node, scope, "is added")
        elif key[0] == "value" and "." not in str(key[1]):
            self._added_value(node, str(key[1]), scope)
        else:
            self._statement(node, scope)

    def _added_function(self, node: FunctionNode, key: Key, scope: _Scope) -> None:
        if "abstractmethod" in _decorators(node):
            self._say("abstract-added", Severity.ERROR, scope, node, f"abstract {node.name} is added", "restart: subclasses that exist lack it")
        elif node.name == "__eq__" and scope.new_class is not None and "__hash__" not in _bound_names(scope.new_class.body):
            self._say(
                "hash-changed",
                Severity.ERROR,
                scope,
                node,
                "__eq__ without __hash__ makes objects unhashable, and those that exist may sit in sets and dicts",
                "define __hash__ as well, or restart",
            )
        elif node.name in ("__init_subclass__", "__set_name__", "__new__", "__del__", "__getattribute__", "__slots__") and scope.classes:
            self._say("class-shape", Severity.ERROR, scope, node, f"{node.name} is added to a class that has objects", "restart")
        elif node.name == "__getattr__" and not scope.classes:
            self._say("top-level-statement", Severity.ERROR, scope, node, "a module __getattr__ is added", "restart")
        else:
            self._change(Kind.FUNCTION, node.name, None, node, scope, slot=_slot(node), nth=int(str(key[3])), names=(node.name,))

    def _added_import(self, node: ast.Import | ast.ImportFrom, key: Key, scope: _Scope) -> None:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            self._type_only(scope, node)
        elif key[1] == "*":
            self._say("star-import-added", Severity.ERROR, scope, node, "which names a star import binds isn't in the source", "name them")
        else:
            bound = _name_of(node)
            self._change(Kind.IMPORT, str(key[1]), None, node, scope, names=(bound,), text=ast.unparse(node))

    def _added_value(self, node: ast.stmt, name: str, scope: _Scope) -> None:
        if name == "__slots__":
            self._say("slots-changed", Severity.ERROR, scope, node, "__slots__ are added", "restart: objects that exist have a dict")
        elif scope.is_fields and (isinstance(node, ast.AnnAssign) or self._in_enum(scope)):
            self._field_or_type(node, scope, "is added")
        elif not scope.classes and name == "__all__":
            self._say("value-changed", Severity.ERROR, scope, node, "__all__ is added to a module that had none", "restart")
        elif name.startswith("__") and name.endswith("__") and scope.classes:
            self._say("class-shape", Severity.ERROR, scope, node, f"{name} is added to a class that exists", "restart", name=name)
        else:
            self._change(Kind.VALUE, name, None, node, scope, names=(name,))

    def _removed(self, node: ast.stmt, key: Key, scope: _Scope, right: dict[Key, ast.stmt]) -> None:
        if key[0] == "doc" or isinstance(node, ast.Pass):
            self._say("docs-only", Severity.NOTE, scope, node, "a docstring or a bare constant is gone; it isn't carried", old=True)
        elif _is_type_checking(node) or (isinstance(node, FunctionNode) and _is_overload(node)):
            self._type_only(scope, node)
        elif key[0] == "annotation":
            self._field_or_type(node, scope, "is removed")
        elif key[0] in ("def", "class", "value"):
            self._removed_name(node, key, scope, right)
        elif key[0] == "import":
            self._say("removed-kept", Severity.NOTE, scope, node, f"import of {key[1]} is removed; the name stays", old=True, name=str(key[1]))
        else:
            self._say(
                "top-level-statement", Severity.ERROR, scope, node, f"is removed, and has run: {_head(node)}", "restart, or undo it in a hotfix file", old=True
            )

    def _removed_name(self, node: ast.stmt, key: Key, scope: _Scope, right: dict[Key, ast.stmt]) -> None:
        name = str(key[1])
        now = next((k[0] for k in right if k[0] in ("def", "class", "value", "import") and k[1] == name and k[0] != key[0]), None)
        if now is not None:
            words = {"def": "a function", "class": "a class", "value": "a variable", "import": "an import"}
            self._say(
                "redefined",
                Severity.ERROR,
                scope,
                node,
                f"{name} was {words[str(key[0])]} and becomes {words[str(now)]}: who holds it keeps an object of another kind",
                "give the new one another name",
                old=True,
                name=name,
            )
            self.out.changes = [c for c in self.out.changes if c.target.qualname != _dotted(scope, name) or c.before is not None]
        elif name == "__slots__":
            self._say("slots-changed", Severity.ERROR, scope, node, "__slots__ are removed", "restart", old=True)
        elif scope.is_fields and (self._in_enum(scope) or isinstance(node, ast.AnnAssign)):
            self._field_or_type(node, scope, "is removed")
        elif key[0] == "def" and any(k[0] == "def" and k[1] == name for k in right):
            self._say(
                "redefined", Severity.ERROR, scope, node, f"one of the definitions of {name} is removed", "restart", old=True, name=name
            )
        else:
            self._say(
                "removed-kept", Severity.WARNING, scope, node, f"{name} is removed; it stays in the process", "nothing to do, unless something looks for it", old=True, name=name
            )

    # ------------------------------------------------------------ ways out

    def _type_only(self, scope: _Scope, node: ast.stmt) -> None:
        self._say("type-only", Severity.NOTE, scope, node, "matters to type checkers only; it isn't carried", name=_name_of(node))

    def _statement(self, node: ast.stmt, scope: _Scope) -> None:
        self._say(
            "top-level-statement",
            Severity.ERROR,
            scope,
            node,
            f"runs when the module is imported, and isn't run again: {_head(node)}",
            "do it in a hotfix file, or restart",
        )

    def _change(
        self,
        kind: Kind,
        name: str,
        old: ast.stmt | None,
        new: ast.stmt,
        scope: _Scope,
        *,
        slot: str = "",
        nth: int = 0,
        names: tuple[str, ...] = (),
        text: str = "",
    ) -> None:
        indent = " " * new.col_offset
        self.out.changes.append(
            Change(
                0,
                kind,
                Target(self.new.module, _dotted(scope, name), self.new.path, slot, nth),
                _text(self.old, old) if old is not None else None,
                f"{indent}{text}\n" if text else _text(self.new, new),
                Scope(
                    scope.classes,
                    self.old.future_flags if old is not None else 0,
                    self.new.future_flags,
                    _first_line(old) if old is not None else 0,
                    _first_line(new),
                    _through(self.old, old) if old is not None else (),
                    _through(self.new, new),
                ),
                Expect.SOURCE if old is not None else Expect.ABSENT,
                names,
            )
        )

    def _say(
        self,
        code: str,
        severity: Severity,
        scope: _Scope,
        node: ast.stmt,
        message: str,
        hint: str = "",
        *,
        old: bool = False,
        name: str = "",
    ) -> None:
        name = name or _name_of(node)
        source = self.old if old else self.new
        target = f"{source.module}:{_dotted(scope, name)}" if name else source.module
        place = f"{source.path}:{_first_line(node)}"
        self.out.findings.append(Finding(code, severity, target, message, hint, {"place": place}))


# ---------------------------------------------------------------- keys


def _keyed(body: Sequence[ast.stmt]) -> dict[Key, ast.stmt]:
    """
    Statements by what they are to the outside: the name they bind, else their own text; the same twice is numbered.

    An import of several names is several entries, as a name is what is added and removed.
    """
    out: dict[Key, ast.stmt] = {}
    counts: dict[Key, int] = {}

    def put(key: Key, node: ast.stmt) -> None:
        nth = counts.get(key, 0)
        counts[key] = nth + 1
        out[(*key, nth)] = node

    for at, node in enumerate(body):
        if isinstance(node, FunctionNode):
            put(("def", node.name, "overload" if _is_overload(node) else _slot_key(node)), node)
        elif isinstance(node, ast.ClassDef):
            put(("class", node.name, ""), node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for name, single in single_imports(node):
                put(("import", name, ""), single)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            put(("doc", at == 0, ""), node)
        elif name := _assigned(node):
            value = getattr(node, "value", None)
            put(("annotation" if value is None else "value", name, ""), node)
        elif isinstance(node, ast.If | ast.Try | ast.With | ast.For | ast.While):
            put((type(node).__name__, _header_key(node), ""), node)
        elif isinstance(node, ast.Pass):
            put(("doc", "pass", ""), node)
        else:
            put(("statement", ast.dump(blanked(node)), ""), node)
    return out


def _slot_key(node: FunctionNode) -> str:
    """Accessors and registrations of one name are told apart by what they're for."""
    slot = _slot(node)
    if slot != "register":
        return slot if slot in ("set", "del") else ""  # a method may become a property
    first = node.args.args[0].annotation if node.args.args else None
    decorator = next(d for d in node.decorator_list if "register" in ast.dump(d))
    return f"register {ast.unparse(decorator)} {ast.unparse(first) if first else ''}"


def single_imports(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, ast.Import | ast.ImportFrom]]:
    """An import of several names as several imports: (what it binds, the import)."""
    for alias in node.names:
        made = copy.copy(node)
        made.names = [alias]
        yield alias.asname or alias.name, made


def _header_key(node: ast.stmt) -> str:
    if isinstance(node, ast.If | ast.While):
        return ast.dump(node.test)
    if isinstance(node, ast.For):
        return ast.dump(node.target) + ast.dump(node.iter)
    if isinstance(node, ast.With):
        return "".join(map(ast.dump, node.items))
    return ""


def _assigned(node: ast.stmt) -> str:
    """Name of an assignment to one name, or to an attribute of one name (``f.attr``)."""
    if isinstance(node, ast.AnnAssign):
        target: ast.expr = node.target
    elif isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
    else:
        return ""
    if isinstance(target, ast.Name):
        return target.id
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
        return f"{target.value.id}.{target.attr}"
    return ""


def _same_header(old: ast.stmt, new: ast.stmt) -> bool:
    """True if two compound statements differ in their bodies only."""

    def handlers(node: ast.stmt) -> list[object]:
        return [(ast.dump(h.type) if h.type else "", h.name) for h in getattr(node, "handlers", [])]

    return (
        _header_key(old) == _header_key(new)
        and handlers(old) == handlers(new)
        and [name for name, _ in _blocks(old)] == [name for name, _ in _blocks(new)]
    )


def _blocks(node: ast.stmt) -> list[tuple[str, list[ast.stmt]]]:
    found = [(name, getattr(node, name)) for name in ("body", "orelse", "finalbody") if getattr(node, name, None)]
    return found + [("handler", h.body) for h in getattr(node, "handlers", [])]


# ---------------------------------------------------------------- looking at nodes


class _Blank(ast.NodeTransformer):
    """Empties bodies of functions and lambdas; what runs when the statement runs is kept."""

    def _function(self, node: FunctionNode) -> ast.AST:
        node.body = [ast.Pass()]
        node.args = self.visit(node.args)
        node.decorator_list = [self.visit(d) for d in node.decorator_list]
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = _function

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        node.body = ast.Constant(None)
        node.args = self.visit(node.args)
        return node


def blanked(node: ast.stmt) -> ast.stmt:
    """The statement without the bodies of the functions it makes."""
    return _Blank().visit(copy.deepcopy(node))  # type: ignore[no-any-return]


def _text(source: Source, node: ast.stmt) -> str:
    """The statement's whole lines as they stand; its own part of them where it shares a line with others."""
    first, last = _first_line(node), node.end_lineno or node.lineno
    lines = source.lines[first - 1 : last]
    before = lines[0].encode()[: node.col_offset].decode(errors="replace") if first == node.lineno else ""
    after = lines[-1].encode()[node.end_col_offset or 0 :].decode(errors="replace").strip()
    if before.strip() or after.startswith(";"):
        segment = ast.get_source_segment(source.text, node) or ast.unparse(node)
        return f"{' ' * node.col_offset}{segment}\n"
    text = "".join(lines)
    return text if text.endswith("\n") else f"{text}\n"


def _through(source: Source, node: ast.stmt) -> tuple[str, ...]:
    """Imported names that the statement reads attributes of."""
    bases = {n.value.id for n in ast.walk(node) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)}
    return tuple(sorted(bases & source.imported))


def _first_line(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(d.lineno for d in decorators)])


def _dotted(scope: _Scope, name: str) -> str:
    return ".".join([*scope.classes, name])


def _name_of(node: ast.stmt) -> str:
    if isinstance(node, FunctionNode | ast.ClassDef):
        return node.name
    if isinstance(node, ast.Import | ast.ImportFrom):
        return node.names[0].asname or node.names[0].name.partition(".")[0]
    return _assigned(node)


def _head(node: ast.stmt) -> str:
    return ast.unparse(node).splitlines()[0][:70]


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Subscript):
        return _last_name(node.value)
    if isinstance(node, ast.Call):
        return _last_name(node.func)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _decorators(node: FunctionNode) -> list[str]:
    return [_last_name(d) for d in node.decorator_list]


def _slot(node: FunctionNode) -> str:
    names = _decorators(node)
    slots = {"property": "get", "setter": "set", "deleter": "del", "getter": "get", "register": "register"}
    return next((slots[n] for n in names if n in slots), "")


def _is_overload(node: FunctionNode) -> bool:
    return "overload" in _decorators(node)


def _is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and _last_name(node.test) == _TYPE_ONLY and not node.orelse


def _plain(value: ast.expr | None) -> bool:
    if value is None:
        return False
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _without_doc(node: FunctionNode) -> FunctionNode:
    made = copy.copy(node)
    if ast.get_docstring(node) is not None:
        made.body = node.body[1:]
    return made


def _methods(node: ast.ClassDef) -> Iterator[FunctionNode]:
    return (n for n in node.body if isinstance(n, FunctionNode))


def _bound_names(body: Iterable[ast.stmt]) -> set[str]:
    return {n for n in map(_name_of, body) if n}


def _self_names(method: FunctionNode, context: type[ast.expr_context]) -> Iterator[str]:
    """Attributes of the first parameter that a method stores or reads."""
    args = method.args.posonlyargs + method.args.args
    if not args:
        return
    for node in ast.walk(method):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == args[0].arg
            and isinstance(node.ctx, context)
        ):
            yield node.attr
