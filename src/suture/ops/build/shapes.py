"""
Classes that decorators make something of: which of them a running process can make anew, and what objects that exist lack then.

The process runs only the decorators and the fields (engine/transplant.py), so both have to be known to make values and do
nothing else.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from suture.ops.build import nodes
from suture.ops.build.lacking import first_value, self_names
from suture.ops.build.nodes import FunctionNode, Item
from suture.ops.build.readers import Readers
from suture.ops.build.tree import Source, Tree
from suture.patch import Change, Decision, Expect, Kind, Scope, Severity, Target

__all__ = [
    "UNHASHABLE",
    "Heir",
    "Lack",
    "Said",
    "Shape",
    "change_of",
    "generated_now",
    "hash_change",
    "heirs",
    "made_at_import",
    "said",
    "shape_of",
    "stands_in_the_way",
]

_DATACLASS = "dataclasses.dataclass"
_KNOWN = frozenset((_DATACLASS, "functools.total_ordering", "typing.final", "typing_extensions.final"))
_ORDER = ("__lt__", "__le__", "__gt__", "__ge__")
_MAKERS = frozenset(("__init__", "__new__", "__post_init__", "__setstate__"))


@dataclass
class Shape:
    """
    A class whose decorators can be run again, beside it.

    Attributes:
        old: Its old statement, and its file.
        new: The new ones.
        names: Fields of both sides, and what its text made and its decorators make now: the class statement carries them.
        differs: It has to be made anew.
        again: The fields whose statements differ.
    """

    old: ast.ClassDef
    new: ast.ClassDef
    old_source: Source
    new_source: Source
    names: set[str]
    differs: bool = False
    again: set[str] = field(default_factory=set)

    def takes(self, name: str) -> None:
        """A field that differs."""
        self.names.add(name)
        self.again.add(name)
        self.differs = True

    @property
    def makes(self) -> frozenset[str]:
        """Methods that the new decorators make, as far as they're known to."""
        return _makes(self.new_source, self.new)

    @property
    def made(self) -> frozenset[str]:
        """The same of the old ones."""
        return _makes(self.old_source, self.old)


@dataclass(frozen=True)
class Lack:
    """
    A field that objects which exist lack.

    Attributes:
        name: It.
        node: Its statement.
        given: "default", "factory", "value" (of its class's own makers) or "" (nobody can say).
        value: Expression of a "value".
    """

    name: str
    node: ast.stmt
    given: str
    value: ast.expr | None = None


def shape_of(old_source: Source, old: ast.ClassDef, new_source: Source, new: ast.ClassDef, kind: str) -> Shape | None:
    """The shape of a class that both sides have; None if no decorator is at work that makes something of its fields."""
    if kind in ("enum", "model") or not {_DATACLASS, *_differing(old_source, old, new_source, new)} & {
        *_meanings(old_source, old),
        *_meanings(new_source, new),
    }:
        return None
    if nodes.RECORDS & {nodes.last_name(b) for b in new.bases}:
        return None
    shape = Shape(old, new, old_source, new_source, {*_fields(old), *_fields(new)})
    shape.differs = [ast.dump(d) for d in old.decorator_list] != [ast.dump(d) for d in new.decorator_list]
    shape.differs |= _annotated(old) != _annotated(new)
    return shape


def _differing(old_source: Source, old: ast.ClassDef, new_source: Source, new: ast.ClassDef) -> set[str]:
    """Meanings of the decorators that only one side has, if all are known."""
    both = (old_source, old), (new_source, new)
    sides = [dict(zip(map(ast.dump, n.decorator_list), _meanings(s, n), strict=True)) for s, n in both]
    return {m for mine, other in (sides, sides[::-1]) for d, m in mine.items() if d not in other and m in _KNOWN}


def stands_in_the_way(shape: Shape) -> str:
    """Why a class can't be made anew in a process, in words; "" if it can."""
    for source, node in ((shape.old_source, shape.old), (shape.new_source, shape.new)):
        for decorator in node.decorator_list:
            if _meaning(source, decorator) not in _KNOWN:
                return f"@{ast.unparse(decorator)} isn't known to make methods and do nothing else"
            words = _arguments(source, decorator)
            if words:
                return words
        if any("__slots__" in nodes.target_names(n) for n in nodes.statements(node.body)):
            return "it has __slots__: its objects have no room for a field"
        if getattr(node, "type_params", []):
            return "it has type parameters of its own, which would be made anew too"
        for statement in nodes.statements(node.body):
            if set(nodes.target_names(statement)) & shape.names and not _is_quiet(source, nodes.value_of(statement)):
                return f"a field is made by calls that may do more: {nodes.head(statement)}"
            if isinstance(statement, ast.AnnAssign) and not _only_names(source, statement.annotation):
                return f"an annotation is made by calls: {nodes.head(statement)}"
    often = shape.names & (nodes.bound_often(shape.old.body) | nodes.bound_often(shape.new.body))
    return f"{min(often)} is bound more than once" if often else ""


def _arguments(source: Source, decorator: ast.expr) -> str:
    if not isinstance(decorator, ast.Call):
        return ""
    for keyword in decorator.keywords:
        constant = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
        if keyword.arg in ("slots", "weakref_slot") and constant is not False:
            return f"@{ast.unparse(decorator)} makes another class: objects that exist can't become objects of that"
    if not all(map(source.is_quiet, [*decorator.args, *(k.value for k in decorator.keywords)])):
        return f"what @{ast.unparse(decorator)} is given is made by calls that may do more"
    return ""


def _is_quiet(source: Source, value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call) and _meaning(source, value) == "dataclasses.field":
        return all(map(source.is_quiet, [*value.args, *(k.value for k in value.keywords)]))
    return value is None or source.is_quiet(value)


def _only_names(source: Source, annotation: ast.expr) -> bool:
    """True if making an annotation calls nothing; text is never evaluated."""
    return source.has_text_annotations or not any(isinstance(n, ast.Call) for n in ast.walk(annotation))


# ---------------------------------------------------------------- what the text says


def _meaning(source: Source, node: ast.expr) -> str:
    """Dotted name of what a decorator is, by the file's own imports; "" if the text doesn't say."""
    node = node.func if isinstance(node, ast.Call) else node
    if isinstance(node, ast.Attribute):
        before = _meaning(source, node.value)
        return f"{before}.{node.attr}" if before else ""
    return _imports(source).get(node.id, "") if isinstance(node, ast.Name) else ""


def _meanings(source: Source, node: ast.ClassDef) -> list[str]:
    return [_meaning(source, d) for d in node.decorator_list]


def _imports(source: Source) -> dict[str, str]:
    key = "shapes: imports"
    if key not in source.memo:
        found: dict[str, str] = {}
        others: set[str] = set()
        for node in nodes.statements(source.tree.body):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    first = alias.name.partition(".")[0]
                    found[alias.asname or first] = alias.name if alias.asname else first
            elif isinstance(node, ast.ImportFrom):
                found |= {a.asname or a.name: f"{source.absolute(node)}.{a.name}" for a in node.names}
            else:
                others |= {*nodes.binds(node)}
        source.memo[key] = {n: m for n, m in found.items() if n not in others}
    return source.memo[key]  # type: ignore[no-any-return]


def _is_dataclass(source: Source, node: ast.ClassDef) -> bool:
    return _DATACLASS in _meanings(source, node)


def _fields(node: ast.ClassDef) -> Iterator[str]:
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and nodes.is_field(statement, "fields"):
            yield from nodes.target_names(statement)


def _annotated(node: ast.ClassDef) -> list[tuple[str, str]]:
    """What a dataclass sees of its text, in order: variables of the class have an entry among its fields too."""
    found = [n for n in node.body if isinstance(n, ast.AnnAssign)]
    return [(ast.unparse(n.target), "" if nodes.is_field(n, "fields") else ast.dump(n.annotation)) for n in found]


def _options(source: Source, node: ast.ClassDef) -> dict[str, bool]:
    """What ``@dataclass`` is told in plain words; what it's told otherwise counts as its default."""
    found = {"init": True, "repr": True, "eq": True, "order": False, "unsafe_hash": False, "frozen": False}
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and _meaning(source, decorator) == _DATACLASS:
            plain = {k.arg: k.value.value for k in decorator.keywords if k.arg and isinstance(k.value, ast.Constant)}
            found |= {n: bool(v) for n, v in plain.items() if n in found}
    return found


def _makes(source: Source, node: ast.ClassDef) -> frozenset[str]:
    made: set[str] = set()
    if _is_dataclass(source, node):
        options = _options(source, node)
        made |= {f"__{n}__" for n in ("init", "repr", "eq") if options[n]} | {"__match_args__"}
        made |= set(_ORDER) if options["order"] else set()
        made |= {"__setattr__", "__delattr__"} if options["frozen"] else set()
        made |= {"__hash__"} if _hashing(source, node)[0] in ("fields", "none") else set()
        made |= {"__replace__"} if sys.version_info >= (3, 13) else set()
    return frozenset(made | (set(_ORDER) if "functools.total_ordering" in _meanings(source, node) else set()))


# ---------------------------------------------------------------- hashes


def _hashing(source: Source, node: ast.ClassDef) -> tuple[str, frozenset[str]]:
    """("own", "none", "fields" or "inherited"; the fields that count)."""
    bound = nodes.bound_names(node.body)
    if "__hash__" in bound:
        plain = [nodes.value_of(n) for n in node.body if "__hash__" in nodes.target_names(n)]
        return ("none" if any(isinstance(v, ast.Constant) and v.value is None for v in plain) else "own"), frozenset()
    if not _is_dataclass(source, node):
        return ("none" if "__eq__" in bound else "inherited"), frozenset()
    options = _options(source, node)
    if options["unsafe_hash"] or (options["eq"] and options["frozen"]):
        return "fields", frozenset(n for n, s in _statements(node) if _counts(s))
    if options["eq"] or "__eq__" in bound:
        return "none", frozenset()
    return "inherited", frozenset()


def _counts(node: ast.stmt) -> bool:
    value = nodes.value_of(node)
    words = {k.arg: k.value.value for k in getattr(value, "keywords", []) if isinstance(k.value, ast.Constant)}
    counts = words.get("hash") if words.get("hash") is not None else words.get("compare", True)
    return bool(counts) and _kind(node) != "InitVar"


def hash_change(shape: Shape) -> str:
    """What becomes of the hash of objects that exist: "" (nothing), "kept" (new fields don't count in it), "gone" or "other"."""
    (was, counted), (is_now, counts) = _hashing(shape.old_source, shape.old), _hashing(shape.new_source, shape.new)
    if was == is_now == "fields" and counted < counts:
        return "kept"
    if was == "none" or (was == is_now and (was != "fields" or counted == counts)):
        return ""
    return "gone" if is_now == "none" else "other"


# ---------------------------------------------------------------- fields


def _kind(node: ast.stmt) -> str:
    annotation = getattr(node, "annotation", None)
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value.partition("[")[0].rpartition(".")[2].strip()
    return nodes.last_name(annotation) if annotation is not None else ""


def _statements(node: ast.ClassDef) -> Iterator[tuple[str, ast.stmt]]:
    """Fields of objects, by name."""
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and nodes.is_field(statement, "fields"):
            if _kind(statement) not in ("ClassVar", "KW_ONLY"):
                yield from ((n, statement) for n in nodes.target_names(statement))


def lacks(shape: Shape, lineage: nodes.Lineage) -> Iterator[Lack]:
    """Fields that objects which exist lack, and what they're given in their place."""
    if not _is_dataclass(shape.new_source, shape.new):
        return
    was = _is_dataclass(shape.old_source, shape.old)
    had = {n for n, s in _statements(shape.old) if was and _kind(s) != "InitVar"}
    had |= set(nodes.bound_names(shape.old.body)) - {n for n, _ in _statements(shape.new)}
    for ancestor in (shape.old, *lineage.ancestors(shape.new)):
        had |= {n for m in nodes.methods(ancestor) for n in self_names(m, ast.Store)}
        had |= {*_fields(ancestor)} if ancestor is not shape.old else set()
        had |= set(nodes.bound_names(ancestor.body)) if ancestor is not shape.old else set()
    makers = [m for m in nodes.methods(shape.new) if m.name in _MAKERS]
    for name, node in _statements(shape.new):
        if name in had or _kind(node) == "InitVar":
            continue
        value = nodes.value_of(node)
        if not (isinstance(value, ast.Call) and _meaning(shape.new_source, value) == "dataclasses.field"):
            if value is not None:
                yield Lack(name, node, "default", value)
                continue
        else:
            given = {k.arg: k.value for k in value.keywords}
            if "default" in given or "default_factory" in given:
                word = "default" if "default" in given else "factory"
                yield Lack(name, node, word, given.get("default", given.get("default_factory")))
                continue
        made = first_value(makers, name, frozenset(had))
        yield Lack(name, node, "value" if made is not None else "", made)


# ---------------------------------------------------------------- what is said


@dataclass(frozen=True)
class Said:
    """
    One thing to say of a class that is made anew.

    Attributes:
        lack: The field that it's about, if it's about one; then it is said of that.
    """

    code: str
    severity: Severity
    message: str
    hint: str
    name: str
    place: ast.stmt
    lack: Lack | None = None


_IN_SETS = "those that sit in sets and dicts by now stay in there: who goes through it sees them, and `in`, `remove`, `d[key]` fail"
UNHASHABLE = (
    f"objects become unhashable, as in a fresh process; {_IN_SETS}",
    "see what is kept in sets, or as keys, and empty that; or define __hash__ as well",
)
_KEPT = (
    "its __hash__ stays as it is and doesn't count the new fields: objects in sets and dicts are found, and equal ones hash alike"
)
_OTHER = "its __hash__ becomes another: objects that sit in sets and dicts aren't found there any more"
_HASHES = {
    "gone": (Severity.WARNING, *UNHASHABLE),
    "kept": (Severity.NOTE, _KEPT, ""),
    "other": (Severity.ERROR, _OTHER, "keep what the hash is made from, or restart"),
}


def said(shape: Shape, lineage: nodes.Lineage) -> Iterator[Said]:
    """What a person should know of it."""
    name, place = shape.new.name, shape.new
    what = f"{', '.join(sorted(shape.again))} change" if shape.again else "its decorators, or the order of its fields, change"
    words = (
        f"{what}: what its decorators make of it is put into the class that exists; who holds an old generated method keeps that"
    )
    yield Said("class-remade", Severity.NOTE, words, "", name, place)
    if becomes := hash_change(shape):
        severity, words, hint = _HASHES[becomes]
        yield Said("hash-changed", severity, words, hint, name, place)
    for lack in lacks(shape, lineage):
        if lack.given == "":
            words = (
                f"{lack.name} is a new field without a default: objects that exist lack it, and what is made from fields reads it"
            )
            hint = "give it a default or a default_factory, or restart"
            yield Said("class-fields", Severity.ERROR, words, hint, lack.name, lack.node, lack)
            continue
        text = ast.unparse(lack.value) if lack.value is not None else ""
        ways = {"default": f"its default in the class: {text}", "value": f"{text} in its place"}
        find = ways.get(lack.given, f"what {text} makes, each its own, when it's asked for it")
        words = f"{lack.name} is a new field: objects that exist lack it, and find {find}"
        yield Said("new-attribute", Severity.WARNING, words, "see that this is right for them", lack.name, lack.node, lack)


# ---------------------------------------------------------------- who was made from the fields of another


@dataclass(frozen=True)
class Heir:
    """
    A dataclass of the tree that comes from one that is made anew: it took that one's fields when it was made.

    Attributes:
        source: Its file.
        classes: Names of the classes that it stands in.
        node: Its statement.
        shape: What makes it anew, or None.
        why: Why it can't be, if it can't.
    """

    source: Source
    classes: tuple[str, ...]
    node: ast.ClassDef
    shape: Shape | None
    why: str


def heirs(readers: Readers, old: Tree, home: Source, change: Change) -> Iterator[Heir]:
    """Dataclasses of the tree that come from this one."""
    wanted, todo = {f"{home.module}.{change.target.qualname}"}, [f"{home.module}.{change.target.qualname}"]
    while todo:
        name = todo.pop().rpartition(".")[2]
        for source in readers.containing(name):
            for classes, node in _classes(source.tree.body, ()):
                mine = f"{source.module}.{'.'.join([*classes, node.name])}"
                if mine in wanted or not any(_path(readers, source, b) in wanted for b in node.bases):
                    continue
                wanted.add(mine)
                todo.append(mine)
                if _is_dataclass(source, node):
                    yield _heir(old, source, classes, node)


def _heir(old: Tree, source: Source, classes: tuple[str, ...], node: ast.ClassDef) -> Heir:
    before = old.source(source.path) if source.path in old.files else None
    twin = next((n for c, n in _classes(before.tree.body, ()) if (c, n.name) == (classes, node.name)), None) if before else None
    if before is None or twin is None:
        return Heir(source, classes, node, None, "")  # it's new
    shape = shape_of(before, twin, source, node, "")
    why = stands_in_the_way(shape) if shape is not None else "it isn't what it was"
    return Heir(source, classes, node, shape if not why else None, why)


def made_at_import(readers: Readers, home: Source, change: Change) -> list[str]:
    """Places where an object of the class is made when a module is imported."""
    wanted, found = f"{home.module}.{change.target.qualname}", []
    for source in readers.containing(change.target.name):
        for node in nodes.running(source.tree.body):
            if isinstance(node, ast.Call) and _path(readers, source, node.func) == wanted:
                found.append(f"{source.path}:{node.lineno}")
    return found


def _path(readers: Readers, source: Source, node: ast.expr) -> str:
    node = node.value if isinstance(node, ast.Subscript) else node
    own = isinstance(node, ast.Name) and any(n.name == node.id for c, n in _classes(source.tree.body, ()) if not c)
    if own and isinstance(node, ast.Name):
        return f"{source.module}.{node.id}"
    return readers.means(source, node)


def _classes(body: Sequence[ast.stmt], classes: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], ast.ClassDef]]:
    for node in nodes.statements(body):
        if isinstance(node, ast.ClassDef):
            yield classes, node
            yield from _classes(node.body, (*classes, node.name))


def change_of(shape: Shape, classes: tuple[str, ...]) -> Change:
    """The class statement as a change: its decorators and fields."""
    old, new, name = shape.old_source, shape.new_source, shape.new.name
    around = Scope(
        classes,
        old.future_flags,
        new.future_flags,
        nodes.first_line(shape.old),
        nodes.first_line(shape.new),
        nodes.reads_through(old, shape.old),
        nodes.reads_through(new, shape.new),
    )
    target = Target(new.module, ".".join([*classes, name]), new.path)
    decision = Decision("remake", "builder", "its decorators are run again beside it, and what they make is put into it")
    texts = nodes.text(old, shape.old), nodes.text(new, shape.new)
    again = tuple(sorted(shape.names))
    return Change(0, Kind.CLASS, target, *texts, around, Expect.SOURCE, (name,), again=again, decision=decision)


def generated_now(shape: Shape, item: Item) -> bool:
    """True for a method that the text made and the new decorators make."""
    plain = isinstance(item.node, FunctionNode) and not item.node.decorator_list
    return plain and item.name in shape.makes
