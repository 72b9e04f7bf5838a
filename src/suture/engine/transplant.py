"""
Classes whose decorators, or the fields that those look at, change: what the new decorators make is put into the live class.

The class is made twice beside the live one, never in its place: as the old source has it (the preimage, and what its decorators
made) and as the new one has it.  Only the fields run; methods and plain attributes are the live ones, or those that the patch
brings.  Both have *stubs* as bases, which look like the live bases and aren't: no ``__init_subclass__`` runs, no metaclass, and no
live class has another subclass for a moment.  What differs is moved over, bound to the live class: the object, its subclasses and
its instances stay.  docs/adr/0019.
"""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from suture.engine import swap
from suture.engine.facts import Definition, alike, code_at, fingerprint
from suture.engine.frames import class_space, lineage, qualname_of
from suture.engine.plan import Work
from suture.engine.resolve import leaves, live_class, mangled
from suture.engine.shadow import reading_anew
from suture.engine.stage import Context
from suture.engine.swap import ABSENT, Via
from suture.errors import Refused, SutureError
from suture.patch import Finding, Severity
from suture.record import made_by, record

__all__ = ["Remaking", "Supplied"]

_bases: Any = type.__dict__["__bases__"].__get__  # type: ignore[attr-defined]  # a metaclass may answer getattr
_FIELDS, _PARAMS = "__dataclass_fields__", "__dataclass_params__"
_SPEC = ("name", "init", "repr", "hash", "compare", "kw_only", "_field_type")
_LAZY = sys.version_info >= (3, 14)  # annotations are a function, and a cache of what it gave
_ANNOTATIONS = frozenset(
    ("__annotations__", "__annotate_func__", "__annotate__", "__annotations_cache__", "__conditional_annotations__")
)
_NOT_COPIED = frozenset(
    ("__dict__", "__weakref__", "__slots__", "__init_subclass__", "__abstractmethods__", "__module__", "__qualname__", "__doc__")
)
_SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType)
_FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
_HINT = "rebuild from the source that the process runs"


class Supplied:
    """
    Gives an object that lacks a field what its factory makes, when it's asked for first.

    Stands in the class, which has no such name in a fresh process: who asks the class itself finds none.
    """

    def __init__(self, name: str, factory: Callable[[], Any]) -> None:
        self.name, self.factory = name, factory

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            raise AttributeError(f"type object {getattr(owner, '__name__', '')!r} has no attribute {self.name!r}")
        return object.__getattribute__(instance, "__dict__").setdefault(self.name, self.factory())  # two threads: the first counts


@record(slots=True, eq=False)
class _Made:
    """
    A class made beside the live one.

    Attributes:
        cls: It.
        bare: Its dictionary before the decorators ran.
        full: The same after.
        bound: Names that its text binds without the fields.
        goes: Code of the methods that its text makes and that make room for generated ones.
    """

    cls: type
    bare: dict[str, Any]
    full: dict[str, Any]
    bound: frozenset[str] = frozenset()
    goes: Mapping[str, types.CodeType] = made_by(default_factory=dict)

    @property
    def generated(self) -> set[str]:
        """Names that the decorators made, or took away."""
        return {n for n in {*self.bare, *self.full} if self.bare.get(n, ABSENT) is not self.full.get(n, ABSENT)}


class Remaking:
    """
    Works out the stores of the classes of one transaction that are made anew.

    Args:
        context: Of the transaction.
        put_code: Gives a live function new code; takes it, its new code, the code as its source has it, and bytes of cells.
    """

    def __init__(self, context: Context, put_code: Callable[..., None]) -> None:
        self.stage, self.evaluator, self.virtual = context.stage, context.evaluator, context.virtual
        self.pace, self.find, self.already = context.pace, context.find, context.already
        self.put_code = put_code
        self.twins: dict[int, _Made] = {}

    def remake(self, works: Iterable[Work]) -> None:
        """Work all of them out: bases first, when all else is worked out."""
        self.evaluator.shadows.learn(self.stage.stores)
        todo = [(w, live_class(w)) for w in works]
        mine = {id(live) for _, live in todo}
        for work, live in sorted(todo, key=lambda t: len(lineage(t[1]))):
            try:
                self._remake(work, live, mine)
            except SutureError as error:
                self.find(Finding.of(error))
            self.pace()

    def _remake(self, work: Work, live: type, mine: set[int]) -> None:
        assert work.before is not None
        view = {n: self.virtual.get((id(live), n), v) for n, v in class_space(live).items()}
        view.update({n: v for (owner, n), v in self.virtual.items() if owner == id(live) and n not in view})
        view = {n: v for n, v in view.items() if v is not ABSENT}
        members = self.evaluator.members.get(id(live), {})
        old = self._make(work, work.before, live, view, {}, anew=False)
        new = self._make(work, work.after, live, {**view, **members}, members, anew=True)
        self.twins[id(live)] = new
        fields = {mangled(n, (*work.change.scope.classes, live.__name__)) for n in work.change.again}
        names = (old.generated | new.generated | (fields - old.bound - new.bound)) - _ANNOTATIONS
        names = {n for n in names if n in new.generated or n not in new.bound}
        names = {n for n in names if n in old.full or n in new.full or n in old.goes}  # what an older patch lent objects stays
        if self._is_there(work, live, view, names, old, new):
            return
        changed = not _same_fields(old.full.get(_FIELDS), new.full.get(_FIELDS))
        self._no_heir_left(work, live, mine, changed)
        for name, value in self._stores(work, live, view, names, old, new).items():
            self._no_abstract(work, live, name)
            self.stage.put(live, name, Via.TYPE_SETATTR, value)
        self._put_annotations(work, live, view, old, new)

    # ------------------------------------------------------------ making

    def _make(
        self, work: Work, source: Definition, live: type, behind: Mapping[str, Any], added: Mapping[str, Any], *, anew: bool
    ) -> _Made:
        """
        Make the class beside the live one.

        Raises:
            Refused: evaluation-failed, evaluation-entangled; class-shape: a decorator gives another class.
        """
        fields = frozenset(work.change.again)
        classes, node = (*source.classes, live.__name__), source.parse()
        methods = [n.name for n in getattr(node, "body", []) if isinstance(n, _FUNCTION | ast.ClassDef)]
        bound = frozenset(mangled(n, classes) for n in _bound(node) if n not in fields or n in methods)
        known = {n: v for n, v in behind.items() if n in bound}

        def edit(node: Any) -> ast.stmt:
            return _only_fields(node, fields, source.classes if anew else None)

        space, code = self.evaluator.anew.body(work, source, edit, known, anew=anew)
        for name in fields if anew else ():
            key = mangled(name, classes)
            if key in space:
                space[key] = self._real(space[key], code, work.target)
        stubs: dict[int, type] = {i: m.cls for i, m in self.twins.items()} if anew else {}
        cls = _class(live, {**known, **space}, stubs)
        bare = dict(class_space(cls))
        decorators = self.evaluator.anew.decorators(work, source, anew=anew)
        pending = self.evaluator.pending.get(id(work.module), {}) if anew else {}
        with swap.lent(work.space, pending):  # dataclasses asks the module what the text of an annotation means
            for decorator in reversed(decorators):
                self._decorate(work, decorator, cls)
        self.pace()
        goes = _methods(source, classes, fields.intersection(methods)) if not anew else {}
        return _Made(cls, bare, dict(class_space(cls)), bound, goes)

    def _decorate(self, work: Work, decorator: Any, cls: type) -> None:
        try:
            made = decorator(cls)
        except Exception as error:
            raise Refused(
                "evaluation-failed",
                f"{type(error).__name__}: {error}",
                target=work.target,
                hint="a class with these decorators can't be made, in a fresh process either: mend it",
                evidence={"raised": type(error).__name__},
            ) from error
        if made is not cls:
            words = "a decorator gives another class (slots=True, say): objects that exist can't become objects of that"
            raise Refused("class-shape", words, target=work.target, hint="restart, or leave that out")

    def _real(self, value: Any, code: types.CodeType, target: str) -> Any:
        """A field's default with live functions in place of those that ran ahead of the commit."""
        dataclasses = sys.modules.get("dataclasses")
        real = self.evaluator.shadows.real
        if dataclasses is None or type(value) is not dataclasses.Field:
            return real(value, code, target)
        value.default = real(value.default, code, target)
        value.default_factory = real(value.default_factory, code, target)
        return value

    # ------------------------------------------------------------ judging

    def _is_there(self, work: Work, live: type, view: Mapping[str, Any], names: Iterable[str], old: _Made, new: _Made) -> bool:
        """
        True, and said, if the live class is what it would become.

        Raises:
            Refused: conflict: it is neither that nor what the old source makes.
        """
        unlike = [n for n in sorted(names) if not _is_as(n, view.get(n, ABSENT), old)]
        other = [n for n in sorted(names) if not _looks_like(view.get(n, ABSENT), _wanted(n, new))]
        if unlike and other:
            raise Refused(
                "conflict",
                f"{live.__qualname__}.{unlike[0]} isn't what the source this patch was built from makes it",
                target=work.target,
                hint=_HINT,
            )
        if other or not unlike:
            return False
        work.status = "already-fixed"
        self.already(work)
        return True

    def _no_heir_left(self, work: Work, live: type, mine: set[int], changed: bool) -> None:
        """
        Refuse if a live subclass was made from the fields of this one, and isn't made anew with it.

        Raises:
            Refused: class-fields.
        """
        todo: list[type] = [live] if changed else []
        for cls in todo:  # grows while it is walked
            below: list[type] = type.__subclasses__(cls)
            for heir in below:
                if _FIELDS in class_space(heir) and id(heir) not in mine:
                    name = f"{class_space(heir).get('__module__')}:{qualname_of(heir)}"
                    raise Refused(
                        "class-fields",
                        f"{name} was made from its fields, and the patch doesn't make that anew",
                        target=work.target,
                        hint="restart, or change that class too",
                        evidence={"heir": name},
                    )
                todo.append(heir)

    def _no_abstract(self, work: Work, live: type, name: str) -> None:
        if name in (class_space(live).get("__abstractmethods__") or ()):
            words = f"{name} is abstract in it, and would be made: which of its subclasses are abstract was settled with them"
            raise Refused("class-shape", words, target=work.target, hint="restart")

    # ------------------------------------------------------------ moving over

    def _stores(
        self, work: Work, live: type, view: Mapping[str, Any], names: Iterable[str], old: _Made, new: _Made
    ) -> dict[str, Any]:
        stores: dict[str, Any] = {}
        for name in sorted(names):
            have, want = view.get(name, ABSENT), _wanted(name, new)
            if name == "__hash__" and self._keeps_hash(work, live, have, old, new):
                continue
            if have is want or _same(have, want) or self._in_place(work, have, want, new.cls, live):
                continue
            stores[name] = want
        for name, factory in _factories(view.get(_FIELDS) or getattr(live, _FIELDS, {}), new.full.get(_FIELDS, {})):
            if not live.__dictoffset__:
                words = f"objects that exist lack {name}, and have no dict to put it into"
                raise Refused("class-fields", words, target=work.target, hint="restart")
            if name not in new.full:
                stores[name] = Supplied(name, factory)
        for value in stores.values():
            _at_home(value, new.cls, live)
        return stores

    def _in_place(self, work: Work, have: Any, want: Any, made: type, live: type) -> bool:
        """Give a function of the class the code of the one that is made, if it fits: who holds it, bound or not, follows."""
        ours, theirs = _functions(have), _functions(want)
        if type(have) is not type(want) or len(ours) != len(theirs) or type(have) is not types.FunctionType:
            return False
        pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if not _same_function(a, b)]
        if not pairs or not all(a.__globals__ is work.space and _has_cells_of(a, b, made, live) for a, b in pairs):
            return False
        _at_home(want, made, live)
        for function, other in pairs:
            if fingerprint(function.__code__) != fingerprint(other.__code__):
                code = other.__code__.replace()  # its own: who is inside is counted by who refers to it
                self.put_code(function, code, code)
            for name in ("__defaults__", "__kwdefaults__", "__doc__", "__annotate__" if _LAZY else "__annotations__"):
                value = getattr(other, name)
                if getattr(function, name) is not value:
                    self.stage.put(function, name, Via.SETATTR, value)
        return True

    def _keeps_hash(self, work: Work, live: type, have: Any, old: _Made, new: _Made) -> bool:
        """
        True if the live ``__hash__`` stays, as what sits in sets and dictionaries was put there by it.

        It may where equal objects have equal hashes all the same: the fields that it looks at still count for ``==``.
        """
        want = new.full.get("__hash__", ABSENT)
        was = (
            have
            if have is not ABSENT
            else next((class_space(c)["__hash__"] for c in lineage(live)[1:] if "__hash__" in class_space(c)), None)
        )
        if was is None or want is None or _same(have, want):
            return False
        before, after = _hashed(old.full), _hashed(new.full)
        both = "__hash__" in old.generated and "__hash__" in new.generated and have is not None
        if both and before <= after:
            return True
        self.find(
            Finding(
                "hash-changed",
                Severity.ERROR,
                work.target,
                f"__hash__ of {live.__qualname__} becomes another: objects that sit in sets and dictionaries aren't found any more",
                hint="keep what the hash is made from (field(compare=False) for a new field does), or restart",
            )
        )
        return False

    def _put_annotations(self, work: Work, live: type, view: Mapping[str, Any], old: _Made, new: _Made) -> None:
        """The annotations of the class itself: a dictionary, or what makes one (3.14+)."""
        want = new.full.get("__annotations__", ABSENT)
        if not _LAZY or (want is not ABSENT and "__annotations__" in view):
            have = view.get("__annotations__")
            same = have is want or (type(have) is type(want) is dict and _same_items(have, want))
            if not same and not (not have and want is ABSENT):
                self.stage.put(live, "__annotations__", Via.TYPE_SETATTR, {} if want is ABSENT else want)
            return
        annotate: Any = new.full.get("__annotate_func__")
        if annotate is None:
            annotate = _giving(dict(want) if want is not ABSENT else {})
            if want is ABSENT and not view.keys() & _ANNOTATIONS:
                return
        else:
            annotate = _annotate_at_home(annotate, work, live)
        was = view.get("__annotate_func__")
        if type(was) is types.FunctionType and fingerprint(was.__code__) == fingerprint(annotate.__code__):
            return
        self.stage.put(live, "__annotate__", Via.TYPE_SETATTR, annotate)


# ---------------------------------------------------------------- making a class


def _bound(node: ast.AST) -> Iterator[str]:
    """Names that a class statement's body binds."""
    todo = list(getattr(node, "body", []))
    while todo:
        here = todo.pop()
        if isinstance(here, _FUNCTION | ast.ClassDef):
            yield here.name
        elif isinstance(here, ast.Import | ast.ImportFrom):
            yield from (a.asname or a.name.partition(".")[0] for a in here.names)
        elif isinstance(here, ast.AnnAssign) and here.value is None:
            continue
        elif isinstance(here, ast.Name) and isinstance(here.ctx, ast.Store):
            yield here.id
        elif not isinstance(here, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            todo += ast.iter_child_nodes(here)


def _only_fields(node: ast.ClassDef, fields: frozenset[str], classes: tuple[str, ...] | None) -> ast.stmt:
    """The class statement with what makes its fields alone: nothing of it calls anything else."""
    body: list[ast.stmt] = []
    for at, inner in enumerate(node.body):
        if isinstance(inner, ast.Assign | ast.AnnAssign):
            targets = inner.targets if isinstance(inner, ast.Assign) else [inner.target]
            if all(isinstance(t, ast.Name) and t.id in fields for t in targets):
                if classes is not None and inner.value is not None:
                    inner.value = reading_anew(inner.value, (*classes, node.name))
                body.append(inner)
            elif isinstance(inner, ast.AnnAssign):
                inner.value = None
                body.append(inner)
        elif at == 0 and isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Constant):
            body.append(inner)
    node.body = body or [ast.copy_location(ast.Pass(), node)]
    node.decorator_list, node.bases, node.keywords = [], [], []
    return node


def _class(live: type, space: dict[str, Any], stubs: dict[int, type]) -> type:
    """A class with that dictionary; none of its own or its bases' hooks run."""
    head = {n: v for n, v in space.items() if n in _ANNOTATIONS or n in ("__classdictcell__", "__doc__")}
    head |= {"__module__": class_space(live).get("__module__"), "__qualname__": qualname_of(live)}
    made = type.__new__(type, live.__name__, tuple(_stub(b, stubs) for b in _bases(live)), head)
    for name, value in space.items():
        if name not in head and name not in _NOT_COPIED and name != "__classcell__":
            type.__setattr__(made, name, value)
    if "__eq__" in space and "__hash__" not in space:  # as the interpreter does
        type.__setattr__(made, "__hash__", None)
    return made


def _stub(base: type, stubs: dict[int, type]) -> type:
    """What stands for a base: it answers as the base does, and nobody is told of it."""
    if base is object:
        return object
    if id(base) not in stubs:
        space = class_space(base)
        head = {n: space[n] for n in ("__annotations__", "__annotate_func__") if n in space}  # 3.14+: asked for by heirs
        made = type.__new__(type, base.__name__, tuple(_stub(b, stubs) for b in _bases(base)), head)
        for name, value in list(space.items()):
            if name not in _NOT_COPIED and name not in _ANNOTATIONS and type(value) not in _SLOTS:
                type.__setattr__(made, name, value)
        stubs[id(base)] = made
    return stubs[id(base)]


# ---------------------------------------------------------------- comparing


def _wanted(name: str, made: _Made) -> Any:
    return made.full.get(name, ABSENT)


def _is_as(name: str, live: Any, made: _Made) -> bool:
    """True if a live attribute may be what the old source makes it."""
    if name in made.goes:
        return any(fingerprint(f.__code__) == fingerprint(made.goes[name]) for f in _functions(live))
    return _looks_like(live, _wanted(name, made))


def _methods(source: Definition, classes: tuple[str, ...], names: Iterable[str]) -> dict[str, types.CodeType]:
    """Code of methods of a class statement."""
    code = source.compile() if names else None
    return {n: code_at(code, (*classes, n)) for n in names} if code is not None else {}


def _functions(value: Any) -> list[types.FunctionType]:
    return [s.function for s in leaves(value, "")]


def _looks_like(a: Any, b: Any) -> bool:
    """True if what is live may be what a text makes: the same code, the same fields; of other objects the type counts."""
    if a is b or alike(a, b):
        return True
    if type(a) is Supplied or type(b) is Supplied:
        return a is ABSENT or b is ABSENT
    if type(a) is not type(b):
        return False
    if type(a) is dict:
        return _same_fields(a, b)
    ours, theirs = _functions(a), _functions(b)
    if ours or theirs:
        return [fingerprint(f.__code__) for f in ours] == [fingerprint(f.__code__) for f in theirs]
    if type(a).__module__ == "dataclasses":
        return repr(a) == repr(b)
    return type(a) not in (int, float, complex, str, bytes, bool, tuple)


def _same(a: Any, b: Any) -> bool:
    """True if one needn't be put in the place of the other."""
    if type(a) is not type(b) or a is ABSENT:
        return False
    if type(a) is types.FunctionType:
        ours, theirs = _functions(a), _functions(b)
        return len(ours) == len(theirs) and all(map(_same_function, ours, theirs))
    if type(a).__module__ == "dataclasses":
        return repr(a) == repr(b)
    return alike(a, b)


def _same_function(a: types.FunctionType, b: types.FunctionType) -> bool:
    cells = [_contents(f) for f in (a, b)]
    return (
        fingerprint(a.__code__) == fingerprint(b.__code__)
        and _all_same(a.__defaults__ or (), b.__defaults__ or ())
        and (a.__kwdefaults__ or {}).keys() == (b.__kwdefaults__ or {}).keys()
        and _all_same((a.__kwdefaults__ or {}).values(), (b.__kwdefaults__ or {}).values())
        and _all_same(*cells)
        and _same_items(_text_of(a), _text_of(b))
    )


def _text_of(function: types.FunctionType) -> dict[str, Any]:
    """What a person is told of it; annotations as they stand there (3.14+: not worked out)."""
    return {"doc": function.__doc__, **({} if _LAZY else function.__annotations__)}


def _contents(function: types.FunctionType) -> list[Any]:
    """What its cells hold; not the functions and classes that are made with it."""
    cells = [c.cell_contents for c in function.__closure__ or ()]
    return [c for c in cells if not isinstance(c, types.FunctionType | type | set | dict)]


def _has_cells_of(a: types.FunctionType, b: types.FunctionType, made: type, live: type) -> bool:
    """True if the code of *b* would find in the cells of *a* what it has in its own, one class in the place of the other."""
    if a.__code__.co_freevars != b.__code__.co_freevars:
        return False
    cells = zip(a.__closure__ or (), b.__closure__ or (), strict=True)
    return all(
        x is y or (x is live and y is made) or alike(x, y) for x, y in ((c.cell_contents, d.cell_contents) for c, d in cells)
    )


def _all_same(a: Iterable[Any], b: Iterable[Any]) -> bool:
    ours, theirs = list(a), list(b)
    return len(ours) == len(theirs) and all(x is y or alike(x, y) for x, y in zip(ours, theirs, strict=True))


def _same_items(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return list(a) == list(b) and all(a[n] is b[n] or alike(a[n], b[n]) or repr(a[n]) == repr(b[n]) for n in a)


def _same_fields(a: Any, b: Any) -> bool:
    """True if two dictionaries of fields say the same, in order; of computed defaults the type counts."""
    if a is None or b is None:
        return a is b
    if list(a) != list(b):
        return False
    for name, ours in a.items():
        theirs = b[name]
        if any(repr(getattr(ours, k, None)) != repr(getattr(theirs, k, None)) for k in _SPEC):
            return False
        if repr(ours.type) != repr(theirs.type):
            return False
        if not _looks_like(ours.default, theirs.default) or not _looks_like(ours.default_factory, theirs.default_factory):
            return False
    return True


def _hashed(space: Mapping[str, Any]) -> set[str]:
    """Fields that a generated ``__hash__`` looks at."""
    return {n for n, f in (space.get(_FIELDS) or {}).items() if (f.compare if f.hash is None else f.hash)}


def _factories(had: Mapping[str, Any], has: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """New fields of objects that a factory gives to new ones."""
    dataclasses: Any = sys.modules.get("dataclasses")
    kept = {n for n, f in had.items() if _is_of_objects(f)}
    for name, field in has.items():
        if name not in kept and field.default_factory is not dataclasses.MISSING and _is_of_objects(field):
            yield name, field.default_factory


def _is_of_objects(field: Any) -> bool:
    """False for ``ClassVar`` and ``InitVar``."""
    return repr(field._field_type) == "_FIELD"


# ---------------------------------------------------------------- moving over


def _at_home(value: Any, made: type, live: type) -> None:
    """Let what was made for one class be the other's: cells are where a generated function keeps its class."""
    todo, seen = [*_functions(value)], set[int]()
    while todo:
        here = todo.pop()
        if id(here) in seen:
            continue
        seen.add(id(here))
        for cell in here.__closure__ or ():
            if cell.cell_contents is made:
                cell.cell_contents = live
        annotate = here.__annotate__ if _LAZY else None  # type: ignore[attr-defined]
        todo += [annotate] if type(annotate) is types.FunctionType else []
    hook = type(value).__dict__.get("__set_name__")
    if hook is not None and type(value).__module__ != "dataclasses":
        for name, other in list(class_space(made).items()):
            if other is value:
                hook(value, live, name)


def _annotate_at_home(function: types.FunctionType, work: Work, live: type) -> types.FunctionType:
    """What makes the annotations of a class, in the live module."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        if name == "__classdict__":
            cell.cell_contents = dict(class_space(live))
    made = types.FunctionType(function.__code__, work.space, function.__name__, function.__defaults__, function.__closure__)
    made.__qualname__, made.__module__ = function.__qualname__, function.__module__
    return made


def _giving(known: Mapping[str, Any]) -> types.FunctionType:
    """A function that gives annotations which are known: they are text (3.14+, where the class had none before)."""
    tree = ast.parse("def __annotate__(format, /):\n    if format > 2:\n        raise NotImplementedError\n    return {}\n")
    returned: Any = tree.body[0].body[1]  # type: ignore[attr-defined]
    returned.value = ast.Dict([ast.Constant(n) for n in known], [ast.Constant(v) for v in known.values()])
    space: dict[str, Any] = {}
    exec(compile(ast.fix_missing_locations(tree), "<annotations>", "exec"), space)
    return space["__annotate__"]  # type: ignore[no-any-return]
