"""
Which functions a piece of source calls, as far as its text says.

An estimate in one direction: knows names, imports, classes, and the methods of objects that it saw being made.  What came in
as an argument is known by its annotation, or by a method's name that only one class has.  A mere reference is no call.
"""

from __future__ import annotations

import ast
import builtins
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from suture.errors import SutureError
from suture.ops.build import nodes
from suture.ops.build.tree import Source, Tree

__all__ = ["FOLLOWED", "Calls", "Class", "Frame", "Function", "Module", "Object", "Value", "registered_with"]

# Call what they're given, at once (map and filter at least as soon as somebody looks).
_EAGER = frozenset(("map", "filter", "sorted", "min", "max", "reduce", "accumulate", "starmap", "groupby"))
_DEPTH = 200  # expressions in expressions that are followed
FOLLOWED = (ast.Name, ast.Attribute, ast.Call, ast.Lambda, ast.IfExp, ast.BoolOp, ast.NamedExpr, ast.Await)  # by values()
_MAKERS = ("__new__", "__init__", "__post_init__", "__attrs_post_init__")
_META_MAKERS = ("__prepare__", "__new__", "__init__")
_DESCRIPTORS = frozenset(("property", "cached_property"))
_BUILTIN_METHODS = frozenset(n for t in (str, bytes, list, dict, set, tuple, int, float) for n in dir(t))
_OPERATORS = {
    ast.Add: "__add__",
    ast.Sub: "__sub__",
    ast.Mult: "__mul__",
    ast.Div: "__truediv__",
    ast.Mod: "__mod__",
    ast.BitOr: "__or__",
    ast.BitAnd: "__and__",
    ast.FloorDiv: "__floordiv__",
    ast.MatMult: "__matmul__",
}


@dataclass(eq=False)
class Frame:
    """
    Where names are looked up: a module, a class body, or a function's body.

    Attributes:
        source: The file.
        title: Names from the module down, "" for the module.
        statements: What stands in it.
        parent: The next frame outside in which names are looked up.
        owner: The class whose body it is, or whose method's body.
        me: What the first parameter of a method is.
    """

    source: Source
    title: str
    statements: Sequence[ast.stmt]
    parent: Frame | None = None
    owner: Class | None = None
    me: Value | None = None
    is_class: bool = False

    @cached_property
    def names(self) -> dict[str, list[Binding]]:
        """What each name may be: a definition, an expression, a value, or (module, name) of an import."""
        return _names(self.source, self.statements)


@dataclass(frozen=True)
class Module:
    """A module of the tree, or a package above one."""

    name: str


@dataclass(frozen=True)
class Class:
    """A class of the tree."""

    node: ast.ClassDef
    frame: Frame


@dataclass(frozen=True)
class Object:
    """Something that a class made; looked up behind the class *after*, if that is given (``super()``)."""

    cls: Class
    after: Class | None = None


@dataclass(frozen=True)
class Function:
    """A function or lambda of the tree; *me* is the object or class that it's bound to."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    frame: Frame
    me: Object | Class | None = None

    @property
    def title(self) -> str:
        """``module:Qual.name``."""
        name = "<lambda>" if isinstance(self.node, ast.Lambda) else self.node.name
        return f"{self.frame.source.module}:{'.'.join(filter(None, [self.frame.title, name]))}"


Value = Module | Class | Object | Function
Binding = ast.stmt | ast.expr | Value | tuple[str, str]


@dataclass
class Calls:
    """
    Questions about one tree.  Files are parsed when they're come to.

    Attributes:
        tree: It.
        added: Methods that a class gets: (path, class's title, name) to the new definition.
        by_method: The one method that a name can mean where the object isn't known.
    """

    tree: Tree
    added: Mapping[tuple[str, str, str], ast.stmt] = field(default_factory=dict)
    by_method: Callable[[str], Sequence[Function]] = lambda name: ()

    def __post_init__(self) -> None:
        self._paths: dict[str, list[str]] = {}
        self._packages: set[str] = set()
        for path in sorted(self.tree.python()):
            module = self.tree.module_of(path)
            self._paths.setdefault(module, []).append(path)
            parts = module.split(".")
            self._packages.update(".".join(parts[:n]) for n in range(1, len(parts)))
        self._modules: dict[str, Frame] = {}
        self._frames: dict[Class | Function, Frame] = {}
        self._known: dict[object, tuple[Value, ...]] = {}
        self._depth = 0
        self._spelled: dict[str, ast.expr | None] = {}
        self._out: dict[Function, list[Function]] = {}
        self._mros: dict[Class, list[Class]] = {}
        self._kept: dict[Class, dict[str, list[tuple[ast.expr, Function]]]] = {}

    # ------------------------------------------------------------ frames

    def module(self, source: Source) -> Frame:
        """The frame of a module."""
        if source.path not in self._modules:
            self._modules[source.path] = Frame(source, "", source.tree.body)
        return self._modules[source.path]

    def class_body(self, cls: Class) -> Frame:
        """The frame of a class's body."""
        if cls not in self._frames:
            outer = cls.frame.source
            title = ".".join(filter(None, [cls.frame.title, cls.node.name]))
            parent = cls.frame.parent if cls.frame.is_class else cls.frame
            self._frames[cls] = Frame(outer, title, cls.node.body, parent, cls, is_class=True)
        return self._frames[cls]

    def body(self, function: Function) -> Frame:
        """The frame of a function's body, with what its parameters are."""
        if function not in self._frames:
            node, outer = function.node, function.frame
            name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
            title = ".".join(filter(None, [outer.title, name, "<locals>"]))
            parent = outer.parent if outer.is_class else outer
            body = [] if isinstance(node, ast.Lambda) else node.body
            made = Frame(outer.source, title, body, parent, outer.owner, function.me)
            names = made.names
            args = [*node.args.posonlyargs, *node.args.args]
            for arg in (*args, *node.args.kwonlyargs):
                names.setdefault(arg.arg, []).extend(self._annotated(arg.annotation, outer))
            if function.me is not None and args:
                names[args[0].arg] = [function.me]
            self._frames[function] = made
        return self._frames[function]

    def _annotated(self, annotation: ast.expr | None, frame: Frame) -> list[Value]:
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            annotation = self._parsed(annotation.value)
        if isinstance(annotation, ast.BinOp):  # A | None
            return self._annotated(annotation.left, frame) + self._annotated(annotation.right, frame)
        return [Object(v) for v in self.values(annotation, frame) if isinstance(v, Class)] if annotation is not None else []

    def _parsed(self, text: str) -> ast.expr | None:
        """A quoted annotation; kept, as values are known by their node."""
        if text not in self._spelled:
            try:
                self._spelled[text] = ast.parse(text, mode="eval").body
            except (SyntaxError, ValueError):
                self._spelled[text] = None
        return self._spelled[text]

    # ------------------------------------------------------------ values

    def values(self, node: ast.expr, frame: Frame) -> tuple[Value, ...]:
        """What an expression may be; empty if that can't be told."""
        key = (node, frame)
        if key not in self._known and self._depth < _DEPTH:
            self._known[key] = ()  # for whoever comes back here while it's being worked out
            self._depth += 1
            self._known[key] = tuple(dict.fromkeys(self._values(node, frame)))
            self._depth -= 1
        return self._known.get(key, ())

    def _values(self, node: ast.expr, frame: Frame) -> Iterator[Value]:
        if isinstance(node, ast.Name):
            yield from self.named(node.id, frame)
        elif isinstance(node, ast.Attribute):
            for value in self.values(node.value, frame):
                yield from self.attribute(value, node.attr)
        elif isinstance(node, ast.Call):
            yield from self._made(node, frame)
        elif isinstance(node, ast.Lambda):
            yield Function(node, frame)
        elif isinstance(node, ast.IfExp | ast.BoolOp):
            for part in node.values if isinstance(node, ast.BoolOp) else (node.body, node.orelse):
                yield from self.values(part, frame)
        elif isinstance(node, ast.NamedExpr | ast.Await):
            yield from self.values(node.value, frame)

    def _made(self, node: ast.Call, frame: Frame) -> Iterator[Value]:
        name = nodes.last_name(node.func)
        if name == "super" and not node.args and frame.owner is not None:
            if isinstance(frame.me, Object | Class):
                yield Object(frame.me.cls if isinstance(frame.me, Object) else frame.me, frame.owner)
        elif name == "partial" and node.args:
            yield from self.values(node.args[0], frame)
        else:
            for value in self.values(node.func, frame):
                yield from self.result(value)

    def result(self, value: Value) -> Iterator[Value]:
        """What a call of it gives."""
        if isinstance(value, Class):
            yield Object(value)
        elif isinstance(value, Object):
            for method in self.attribute(value, "__call__"):
                if isinstance(method, Function):
                    yield from self.result(method)
        elif isinstance(value, Function):
            inner = self.body(value)
            if isinstance(value.node, ast.Lambda):
                yield from self.values(value.node.body, inner)
                return
            yield from self._annotated(value.node.returns, value.frame)
            for node in nodes.statements(value.node.body):
                if isinstance(node, ast.Return) and node.value is not None:
                    yield from self.values(node.value, inner)

    def named(self, name: str, frame: Frame) -> Iterator[Value]:
        """What a name may be, looked up from a frame outwards."""
        here: Frame | None = frame
        while here is not None:
            if name in here.names:
                for binding in here.names[name]:
                    yield from self._bound(binding, here)
                return
            if here.parent is None:
                for module in here.source.stars:
                    yield from self._member(module, name)
            here = here.parent

    def _bound(self, binding: Binding, frame: Frame) -> Iterator[Value]:
        if isinstance(binding, nodes.FunctionNode):
            yield Function(binding, frame)
        elif isinstance(binding, ast.ClassDef):
            yield Class(binding, frame)
        elif isinstance(binding, ast.expr):
            yield from self.values(binding, frame)
        elif isinstance(binding, tuple):
            yield from self._member(*binding) if binding[1] else self._as_module(binding[0])
        elif not isinstance(binding, ast.stmt):
            yield binding

    def _as_module(self, name: str) -> Iterator[Value]:
        if name in self._paths or name in self._packages:
            yield Module(name)

    def _member(self, module: str, name: str) -> Iterator[Value]:
        found = False
        for path in self._paths.get(module, ()):
            source = self._source(path)
            if source is not None:
                frame = self.module(source)
                if name in frame.names or source.stars:
                    key = (name, frame)
                    if key not in self._known:
                        self._known[key] = ()  # star imports in a circle
                        self._known[key] = tuple(dict.fromkeys(self.named(name, frame)))
                    found = found or bool(self._known[key])
                    yield from self._known[key]
        if not found:
            yield from self._as_module(f"{module}.{name}")

    def _source(self, path: str) -> Source | None:
        try:
            source = self.tree.source(path)
            return source if source.tree else None
        except SutureError:
            return None

    # ------------------------------------------------------------ classes

    def mro(self, cls: Class) -> list[Class]:
        """The class and its ancestors, near enough in the order in which they're asked."""
        if cls not in self._mros:
            self._mros[cls] = [cls]
            found = [cls]
            for base in cls.node.bases:
                for value in self.values(base, cls.frame):
                    if isinstance(value, Class):
                        found = [c for c in found if c not in self.mro(value)] + self.mro(value)
            self._mros[cls] = found
        return self._mros[cls]

    def attribute(self, value: Value, name: str) -> Iterator[Value]:
        """What an attribute of it may be; a property's value, a bound method."""
        if isinstance(value, Module):
            yield from self._member(value.name, name)
        elif not isinstance(value, Function):
            for method, owner in self.looked_up(value, name):
                yield from self._got(method, owner, value)

    def _got(self, binding: Binding, owner: Class, value: Object | Class) -> Iterator[Value]:
        if not isinstance(binding, nodes.FunctionNode):
            yield from self._bound(binding, self.class_body(owner))
            return
        function = self.method(binding, owner, value)
        if isinstance(value, Object) and set(nodes.decorators(binding)) & _DESCRIPTORS:
            yield from self.result(function)
        else:
            yield function

    def method(self, node: ast.FunctionDef | ast.AsyncFunctionDef, owner: Class, value: Object | Class) -> Function:
        """The function as it's bound to an object or a class."""
        names = nodes.decorators(node)
        me: Object | Class | None = Object(value.cls) if isinstance(value, Object) else None
        if "classmethod" in names or node.name in ("__new__", "__init_subclass__", "__class_getitem__"):
            me = value.cls if isinstance(value, Object) else value
        return Function(node, self.class_body(owner), None if "staticmethod" in names else me)

    def looked_up(self, value: Object | Class, name: str) -> list[tuple[Binding, Class]]:
        """Definitions of an attribute in the first class that has it, and that class; else what methods assign to it."""
        cls = value.cls if isinstance(value, Object) else value
        family = self.mro(cls)
        if isinstance(value, Object) and value.after in family:
            family = family[family.index(value.after) + 1 :]
        for owner in family:
            body = self.class_body(owner)
            added = self.added.get((body.source.path, body.title, name))
            if added is not None:
                return [(added, owner)]
            if name in body.names:
                return [(b, owner) for b in body.names[name]]
        return [(v, owner) for owner in family for v in self._assigned(owner, name)] if isinstance(value, Object) else []

    def _assigned(self, owner: Class, name: str) -> Iterator[Value]:
        """What ``self.name = ...`` in the class's methods gives."""
        if owner not in self._kept:
            kept = self._kept[owner] = {}
            for node in nodes.methods(owner.node):
                args = [*node.args.posonlyargs, *node.args.args]
                for inner in ast.walk(node):
                    if args and isinstance(inner, ast.Assign) and isinstance(inner.targets[0], ast.Attribute):
                        target = inner.targets[0]
                        if isinstance(target.value, ast.Name) and target.value.id == args[0].arg:
                            kept.setdefault(target.attr, []).append((inner.value, self.method(node, owner, Object(owner))))
        for expression, method in self._kept[owner].get(name, ()):
            yield from self.values(expression, self.body(method))

    # ------------------------------------------------------------ calls

    def runs(self, value: Value) -> Iterator[Function]:
        """Functions that a call of it runs."""
        if isinstance(value, Function):
            yield value
            for decorator in getattr(value.node, "decorator_list", ()):
                yield from self.decorated(decorator, value.frame, wrappers=True)
                if nodes.last_name(decorator).startswith("singledispatch"):
                    yield from self._registered(value)
        elif isinstance(value, Object):
            yield from self.special(value, "__call__")
        elif isinstance(value, Class):
            for name in _MAKERS:
                yield from self.special(Object(value), name)
            for owner in self.mro(value):
                yield from self._factories(owner)

    def _registered(self, function: Function) -> Iterator[Function]:
        """What its own module or class registers with it: which one a call runs is decided by what it's given."""
        frame = function.frame
        body = frame.owner.node.body if frame.is_class and frame.owner is not None else frame.source.tree.body
        for node in nodes.statements(body):
            if isinstance(node, nodes.FunctionNode) and getattr(function.node, "name", "") in registered_with(node):
                yield Function(node, frame, function.me)

    def decorated(self, decorator: ast.expr, frame: Frame, *, wrappers: bool = False) -> Iterator[Function]:
        """Functions that applying a decorator runs, or those that it puts around what it decorates."""
        for value in self.values(decorator, frame):
            if wrappers:
                yield from (v for v in self.result(value) if isinstance(v, Function))
            else:
                yield from self.runs(value)

    def special(self, value: Value, name: str) -> Iterator[Function]:
        """A method that the language calls."""
        if isinstance(value, Object):
            for binding, owner in self.looked_up(value, name):
                if isinstance(binding, nodes.FunctionNode):
                    yield self.method(binding, owner, value)

    def _factories(self, owner: Class) -> Iterator[Function]:
        """``x: list = field(default_factory=f)``."""
        for node in owner.node.body:
            value = nodes.value_of(node)
            for keyword in value.keywords if isinstance(value, ast.Call) else ():
                if keyword.arg in ("default_factory", "factory"):
                    for made in self.values(keyword.value, self.class_body(owner)):
                        yield from self.runs(made)

    def class_made(self, cls: Class) -> Iterator[Function]:
        """What a class statement runs: of its ancestors, its metaclass and its attributes, and what makes members of an enum."""
        family = self.mro(cls)
        for owner in family[1:]:
            for node in owner.node.body:
                if isinstance(node, nodes.FunctionNode) and node.name == "__init_subclass__":
                    yield self.method(node, owner, cls)
        for owner in family:
            for keyword in owner.node.keywords:
                if keyword.arg == "metaclass":
                    for meta in self.values(keyword.value, owner.frame):
                        if isinstance(meta, Class):
                            yield from (f for name in _META_MAKERS for f in self.special(Object(meta), name))
        if any(nodes.last_name(b) in nodes.ENUMS for c in family for b in c.node.bases):
            if any(isinstance(n, ast.Assign) for n in cls.node.body):
                yield from (f for name in _MAKERS[:2] for f in self.special(Object(cls), name))
        yield from self._told_their_names(cls)

    def _told_their_names(self, cls: Class) -> Iterator[Function]:
        """``__set_name__`` of the objects that a class body puts under a name: by assignment, or around a function."""
        frame = self.class_body(cls)
        for node in cls.node.body:
            made: list[Value] = []
            if (value := nodes.value_of(node)) is not None:
                made += self.values(value, frame)
            for decorator in getattr(node, "decorator_list", ()):
                made += (Object(v) if isinstance(v, Class) else v for v in self.values(decorator, frame))
            for one in made:
                yield from self.special(one, "__set_name__")

    def called(self, parts: Iterable[ast.AST], frame: Frame) -> Iterator[Function]:
        """Functions that these statements or expressions call when they run."""
        for node in nodes.running(parts):
            if isinstance(node, ast.Call):
                yield from self._called(node, frame)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                for value in self.values(node.value, frame):
                    if isinstance(value, Object):
                        for binding, owner in self.looked_up(value, node.attr):
                            if isinstance(binding, nodes.FunctionNode) and set(nodes.decorators(binding)) & _DESCRIPTORS:
                                yield self.method(binding, owner, value)
            elif isinstance(node, nodes.FunctionNode | ast.ClassDef):
                for decorator in node.decorator_list:
                    yield from self.decorated(decorator, frame)
            else:
                for part, names in _asked(node):
                    for value in self.values(part, frame):
                        yield from (f for name in names for f in self.special(value, name))

    def _called(self, node: ast.Call, frame: Frame) -> Iterator[Function]:
        values = self.values(node.func, frame)
        for value in values:
            for function in self.runs(value):
                yield function
                yield from self._handed(node, function, frame)
        if not values and isinstance(node.func, ast.Attribute) and self._is_unknown(node.func.value, frame):
            if node.func.attr not in _BUILTIN_METHODS:
                yield from self.by_method(node.func.attr)
        if nodes.last_name(node.func) in _EAGER and not values:
            for given in (*node.args, *(k.value for k in node.keywords)):
                for value in self.values(given, frame):
                    if isinstance(value, Function | Class):
                        yield from self.runs(value)

    def _handed(self, node: ast.Call, callee: Function, frame: Frame) -> Iterator[Function]:
        """Functions that a call hands over and that the body of what is called calls."""
        args = [*callee.node.args.posonlyargs, *callee.node.args.args][callee.me is not None :]
        named = {a.arg for a in (*args, *callee.node.args.kwonlyargs)}
        given = {a.arg: e for a, e in zip(args, node.args, strict=False)} | {
            k.arg: k.value for k in node.keywords if k.arg in named
        }
        found = [(n, v) for n, e in given.items() for v in self.values(e, frame) if isinstance(v, Function | Class)]
        if found:
            called = {n.func.id for n in nodes.running(_parts(callee)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
            yield from (f for name, value in found if name in called for f in self.runs(value))

    def _is_unknown(self, node: ast.expr, frame: Frame) -> bool:
        """True if nothing says what it is: not even that it comes from outside the tree."""
        if self.values(node, frame):
            return False
        while isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
            node = node.func if isinstance(node, ast.Call) else node.value
        if not isinstance(node, ast.Name):
            return False
        here: Frame | None = frame
        while here is not None and node.id not in here.names:
            here = here.parent
        bindings = here.names[node.id] if here is not None else []
        return here is not None and not any(isinstance(b, tuple) for b in bindings) and not hasattr(builtins, node.id)

    def steps(self, function: Function) -> list[Function]:
        """Functions that the body of a function calls."""
        if function not in self._out:
            self._out[function] = list(dict.fromkeys(self.called(_parts(function), self.body(function))))
        return self._out[function]

    def reads(self, function: Function, words: Container[str]) -> Iterator[tuple[str, str]]:
        """(module, dotted name) of variables among *words* that the body of a function reads."""
        frame = self.body(function)
        for node in nodes.running(_parts(function)):
            if isinstance(node, ast.Name) and node.id in words:
                here: Frame = frame
                while node.id not in here.names and here.parent is not None:
                    here = here.parent
                if here.parent is None:
                    yield from self._homes(here.source.module, node.id)
            elif isinstance(node, ast.Attribute) and node.attr in words:
                for value in self.values(node.value, frame):
                    if isinstance(value, Module):
                        yield from self._homes(value.name, node.attr)
                    elif not isinstance(value, Function):
                        for _, owner in self.looked_up(value, node.attr):
                            yield owner.frame.source.module, f"{self.class_body(owner).title}.{node.attr}"

    def _homes(self, module: str, name: str) -> Iterator[tuple[str, str]]:
        """Where a module's variable may live: there, or where it was imported from."""
        todo = [(module, name)]
        for here, word in todo:  # grows while it is walked
            yield here, word
            for source in filter(None, map(self._source, self._paths.get(here, ()))):
                bindings = self.module(source).names.get(word)
                imported = [b for b in bindings or () if isinstance(b, tuple) and b[1]]
                more = imported if bindings is not None else [(m, word) for m in source.stars]
                todo += [m for m in more if m not in todo]

    def way(self, starts: Iterable[Function], ends: Callable[[Function], bool], may: Callable[[Function], bool]) -> list[Function]:
        """
        The shortest way from any of these calls to a function that is asked for; empty if there is none.

        Args:
            starts: Where it begins.
            ends: Says if it has arrived.
            may: Says if it is worth to go on from there.
        """
        before: dict[Function, Function | None] = dict.fromkeys(starts)
        todo = deque(before)
        while todo:
            here = todo.popleft()
            if ends(here):
                way = [here]
                while (last := before[way[0]]) is not None:
                    way.insert(0, last)
                return way
            for there in self.steps(here) if may(here) else ():
                if there not in before:
                    before[there] = here
                    todo.append(there)
        return []


def registered_with(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """``f`` of ``@f.register`` and ``@f.register(int)``."""
    made = (d.func if isinstance(d, ast.Call) else d for d in node.decorator_list)
    return {nodes.last_name(d.value) for d in made if isinstance(d, ast.Attribute) and d.attr == "register"}


def _parts(function: Function) -> Sequence[ast.AST]:
    body = function.node.body
    return body if isinstance(body, list) else [body]


def _asked(node: ast.AST) -> Iterator[tuple[ast.expr, tuple[str, ...]]]:
    """Expressions of which a construct calls special methods, and which."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        yield node.value, ("__getitem__", "__class_getitem__")
    elif isinstance(node, ast.withitem):
        yield node.context_expr, ("__enter__", "__exit__", "__aenter__", "__aexit__")
    elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
        yield node.iter, ("__iter__", "__next__", "__aiter__", "__anext__")
    elif isinstance(node, ast.FormattedValue):
        yield node.value, ("__format__", "__str__")
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        yield node.left, (_OPERATORS[type(node.op)],)


def _names(source: Source, body: Sequence[ast.stmt]) -> dict[str, list[Binding]]:
    """What each name that a body binds may be."""
    found: dict[str, list[Binding]] = {}
    for node in nodes.statements(body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                found.setdefault(alias.asname or first, []).append((alias.name if alias.asname else first, ""))
        elif isinstance(node, ast.ImportFrom):
            base = source.absolute(node)
            for alias in node.names:
                found.setdefault(alias.asname or alias.name, []).append((base, alias.name))
        elif isinstance(node, nodes.FunctionNode | ast.ClassDef):
            if isinstance(node, ast.ClassDef) or not ("overload" in nodes.decorators(node) or nodes.slot(node) in ("set", "del")):
                found.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.With | ast.AsyncWith):
            for item in node.items:
                if isinstance(item.optional_vars, ast.Name):
                    found.setdefault(item.optional_vars.id, []).append(item.context_expr)
        elif (value := nodes.value_of(node)) is not None:
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets  # type: ignore[attr-defined]
            for target in targets:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append(value)
    for name in nodes.bound_names(body):
        found.setdefault(name, [])  # bound to something that can't be told
    return found
