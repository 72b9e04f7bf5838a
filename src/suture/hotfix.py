"""
The seed's front end: a hotfix file, executed live.

``replace_func`` and ``do_hotfix`` keep the names and the semantics of the scheme that Python game studios use by hand.  On
top of it: decorators *collect*, and all of a file goes in as one transaction; what the file assigns is recorded, read back
through an overlay, and stored by the commit; callbacks that somebody holds follow; it can be taken back.

Rule 1: the file's own code runs before the point of no return and stores nothing by itself.
Rule 2: in a replaced function a name means, in this order: a local, what the hotfix file has under that name, what the
target's module has, a builtin.
"""

from __future__ import annotations

import ast
import io
import operator
import os
import sys
import threading
import tokenize
import types
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from suture.engine.facts import lines_of
from suture.engine.fit import fit_node
from suture.engine.frames import class_space
from suture.engine.process import Engine
from suture.engine.stage import Filling
from suture.engine.swap import ABSENT, Via
from suture.errors import Refused
from suture.patch import Finding, Severity, sha256
from suture.record import made_by, record
from suture.report import Report, Row

__all__ = ["do_hotfix", "replace_func"]

_RECORDER = "__suture__"
_open = threading.local()


@record(frozen=True, slots=True)
class _Replaced:
    """One ``replace_func``: where, under what name, with what, in whose section."""

    owner: Any
    name: str
    new: Any
    section: str


class Recorder:
    """
    What a hotfix file did: replaced functions and stores; the overlay that its own code reads through.

    Once the file has run it is closed: what calls it then is a function of the file that somebody kept, and means the objects.
    """

    def __init__(self, filename: str) -> None:
        self.filename = filename
        self.closed = False
        self.replaced: list[_Replaced] = []
        self.stores: dict[tuple[int, bool, Any], tuple[Any, Any, str]] = {}

    # called by the rewritten file

    def set_attr(self, owner: Any, name: str, value: Any, section: str) -> None:
        """Record ``owner.name = value``."""
        if self.closed:
            setattr(owner, name, value) if value is not ABSENT else delattr(owner, name)
            return
        self.stores[id(owner), True, name] = (owner, value, section)

    def set_item(self, owner: Any, key: Any, value: Any, section: str) -> None:
        """Record ``owner[key] = value``."""
        if self.closed:
            operator.setitem(owner, key, value) if value is not ABSENT else operator.delitem(owner, key)
            return
        self.stores[id(owner), False, _hashable(key)] = (owner, value, section)

    def del_attr(self, owner: Any, name: str, section: str) -> None:
        """Record ``del owner.name``."""
        self.get_attr(owner, name)
        if self._gone(owner, True, name, lambda: getattr(owner, name)):
            return
        self.set_attr(owner, name, ABSENT, section)

    def del_item(self, owner: Any, key: Any, section: str) -> None:
        """Record ``del owner[key]``."""
        self.get_item(owner, key)
        if self._gone(owner, False, key, lambda: owner[key]):
            return
        self.set_item(owner, key, ABSENT, section)

    def _gone(self, owner: Any, attribute: bool, key: Any, look: Callable[[], object]) -> bool:
        """True if only the record had it: then there is nothing left to record."""
        if self.closed or (id(owner), attribute, _hashable(key)) not in self.stores:
            return False
        try:
            look()
        except (AttributeError, LookupError):
            del self.stores[id(owner), attribute, key]
            return True
        return False

    def get_attr(self, owner: Any, name: str) -> Any:
        """``owner.name`` as it will be."""
        kept = None if self.closed else self.stores.get((id(owner), True, name))
        if kept is None:
            return getattr(owner, name)
        if kept[1] is ABSENT:
            raise AttributeError(f"{name} was deleted by this hotfix file")
        return kept[1]

    def get_item(self, owner: Any, key: Any) -> Any:
        """``owner[key]`` as it will be."""
        try:
            kept = None if self.closed else self.stores.get((id(owner), False, _hashable(key)))
        except TypeError:
            return owner[key]
        if kept is None:
            return owner[key]
        if kept[1] is ABSENT:
            raise KeyError(key)
        return kept[1]


def _hashable(key: Any) -> Any:
    hash(key)
    return key


# ---------------------------------------------------------------- the two names of the seed


def replace_func(engine: Engine, owner: Any, name: str | None) -> Callable[[Any], Any]:
    """See suture.replace_func."""

    def decorate(new: Any) -> Any:
        inner = new.fget if isinstance(new, property) else getattr(new, "__func__", new)
        known = str(name or getattr(inner, "__name__", ""))
        if not known:
            raise TypeError(f"replace_func can't tell the name of a {type(new).__qualname__}: give it")
        recorder: Recorder | None = getattr(_open, "recorder", None)
        if recorder is not None:
            recorder.replaced.append(_Replaced(owner, known, new, _section(recorder.filename)))
            return new
        alone = Recorder("")
        alone.replaced.append(_Replaced(owner, known, new, ""))
        source, node = _source_of(new)
        digest = sha256(f"{owner!r}{known}{source}".encode("utf-8", "replace")).hexdigest()[:12]
        filler = _Filler(alone, {}, [node] if node is not None else [])
        report = engine.run_filled(f"replace_func-{digest}", filler.fill)
        report.raise_for_findings()
        print(f"replace func {known} done")
        return new

    return decorate


def do_hotfix(engine: Engine, path: str, *, strict: bool) -> Report:
    """See suture.do_hotfix."""
    filename = os.path.abspath(path)
    text = _read(path)
    try:
        tree = ast.parse(text, filename)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", 0)
        raise Refused("syntax-error", str(error), target=f"{path}:{line}", hint="mend the file, run it again") from error
    effects = list(_effects(tree, path))
    if strict and effects:
        first = effects[0]
        raise Refused(first.code, first.message, target=first.target, hint=first.hint)
    recorder = Recorder(filename)
    env: dict[str, Any] = {"__name__": "HotfixCode", "__file__": filename, _RECORDER: recorder}
    plain = ast.parse(text, filename)
    code = compile(_rewritten(tree), filename, "exec", dont_inherit=True)
    above = getattr(_open, "recorder", None)
    _open.recorder = recorder
    try:
        exec(code, env)
    finally:
        _open.recorder = above
        recorder.closed = True
    _remember_text(filename, text)
    digest = sha256(text.encode("utf-8", "replace")).hexdigest()[:12]
    name = os.path.splitext(os.path.basename(path))[0]
    filler = _Filler(recorder, env, list(ast.walk(plain)), effects)
    report = engine.run_filled(f"{name}-{digest}", filler.fill, key=filename)
    report.raise_for_findings()
    for one in recorder.replaced:
        print(f"replace func {one.name} done")
    print("hotfix done")
    print()
    return report


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return data.decode(encoding).removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise Refused("unreadable", str(error.strerror), target=path, hint="check the path, as this process sees it") from error
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        raise Refused("encoding", f"can't be decoded: {error}", target=path, hint="save it as UTF-8") from error


def _remember_text(filename: str, text: str) -> None:
    """For tracebacks: the file may be another by the time one is printed."""
    import linecache

    linecache.cache[filename] = (len(text), None, lines_of(text), filename)


def _section(filename: str) -> str:
    """The file's function that is running: whose part of the file this is."""
    frame: types.FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename == filename:
            return "" if frame.f_code.co_name == "<module>" else frame.f_code.co_name
        frame = frame.f_back
    return ""


def _source_of(new: Any) -> tuple[str, ast.AST | None]:
    """Text and syntax tree of a function that isn't in a hotfix file; ("", None) if they aren't to be had."""
    import inspect
    import textwrap

    function = getattr(new, "__func__", new)
    try:
        text = textwrap.dedent(inspect.getsource(function))
        node = ast.parse(text).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return "", None
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    ast.increment_lineno(node, function.__code__.co_firstlineno - first)
    return text, node


# ---------------------------------------------------------------- the file, before it runs


def _is_replaced(node: ast.stmt) -> bool:
    """True for a function under ``replace_func``: its body isn't the file's own code."""
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(
        isinstance(d, ast.Call) and _last(d.func) == "replace_func" for d in node.decorator_list
    )


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _effects(tree: ast.Module, path: str) -> Iterator[Finding]:
    """Calls that act on live objects at once: nothing records them, and nothing takes them back."""
    own = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)} | {"print", "replace_func"}
    todo: list[ast.AST] = list(tree.body)
    while todo:
        node = todo.pop(0)
        if isinstance(node, ast.stmt) and _is_replaced(node):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _last(node.value.func) not in own:
            yield Finding(
                "hotfix-effect",
                Severity.WARNING,
                f"{os.path.basename(path)}:{node.lineno}",
                f"{ast.unparse(node.value)[:60]} acts when the file runs: before the commit, and revert doesn't take it back",
                hint="assign instead (M.x = ..., M.table[k] = ...), or do it in a replaced function",
            )
        todo += [c for c in ast.iter_child_nodes(node) if isinstance(c, ast.stmt | ast.excepthandler)]


class _Rewriter(ast.NodeTransformer):
    """Stores to attributes and items become records, loads of them look into the overlay; replaced functions stay."""

    def __init__(self) -> None:
        self.section = ""
        self._temporary = 0

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        if _is_replaced(node):
            node.decorator_list = [self.visit(d) for d in node.decorator_list]
            return node
        outer, self.section = self.section, self.section or node.name
        self.generic_visit(node)
        self.section = outer
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Its statements run with the file; its methods live on with the class."""
        methods = ast.FunctionDef | ast.AsyncFunctionDef
        node.body = [s for old in node.body for s in _several(old if isinstance(old, methods) else self.visit(old))]
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load):
            return self._call("get_attr", node, node.value, ast.Constant(node.attr))
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load) and not isinstance(node.slice, ast.Slice):
            return self._call("get_item", node, node.value, node.slice)
        return node

    def visit_Assign(self, node: ast.Assign) -> Any:
        value = self.visit(node.value)
        if all(isinstance(t, ast.Name) for t in node.targets):
            node.value = value
            return node
        kept, out = self._keep(value, node)
        for target in node.targets:
            bound, records = self._bind(target, node)
            out += [ast.copy_location(ast.Assign([bound], kept), node), *records]
        return out

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is None or isinstance(node.target, ast.Name):
            return self.generic_visit(node)
        return self.visit_Assign(ast.copy_location(ast.Assign([node.target], node.value), node))

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        target = node.target
        if isinstance(target, ast.Name):
            return self.generic_visit(node)
        owner, out = self._keep(self.visit(target.value), node)
        key: ast.expr
        if isinstance(target, ast.Attribute):
            kind, key = "attr", ast.Constant(target.attr)
        else:
            kind = "item"
            key, more = self._keep(self.visit(target.slice), node)
            out += more
        value = ast.BinOp(self._call(f"get_{kind}", node, owner, key), node.op, self.visit(node.value))
        return [*out, self._record(f"set_{kind}", node, owner, key, ast.copy_location(value, node))]

    def visit_For(self, node: ast.For | ast.AsyncFor) -> Any:
        node.target, records = self._bind(node.target, node)
        self.generic_visit(node)
        node.body[:0] = records
        return node

    visit_AsyncFor = visit_For

    def visit_With(self, node: ast.With | ast.AsyncWith) -> Any:
        if len(node.items) > 1:  # one in the other: what the first one binds, the second may read
            inner = ast.copy_location(type(node)(node.items[1:], node.body), node)
            node.items, node.body = node.items[:1], [inner]
        records: list[ast.stmt] = []
        target = node.items[0].optional_vars
        if target is not None:
            node.items[0].optional_vars, records = self._bind(target, node)
        self.generic_visit(node)
        node.body[:0] = records
        return node

    visit_AsyncWith = visit_With

    def visit_Delete(self, node: ast.Delete) -> Any:
        out: list[ast.stmt] = []
        targets = list(node.targets)
        while targets:
            target = targets.pop(0)
            if isinstance(target, ast.Tuple | ast.List):
                targets[:0] = target.elts
            elif isinstance(target, ast.Attribute):
                out.append(self._record("del_attr", node, self.visit(target.value), ast.Constant(target.attr)))
            elif isinstance(target, ast.Subscript):
                out.append(self._record("del_item", node, self.visit(target.value), self.visit(target.slice)))
            else:
                out.append(ast.copy_location(ast.Delete([target]), node))
        return out

    def _keep(self, value: ast.expr, node: ast.stmt) -> tuple[ast.expr, list[ast.stmt]]:
        """A name for a value, and what gives it to it."""
        self._temporary += 1
        kept = f"__suture_{self._temporary}"
        return ast.Name(kept, ast.Load()), [ast.copy_location(ast.Assign([ast.Name(kept, ast.Store())], value), node)]

    def _bind(self, target: ast.expr, node: ast.stmt) -> tuple[Any, list[ast.stmt]]:
        """A target with names in place of attributes and items, and the records of what those names get."""
        if isinstance(target, ast.Attribute | ast.Subscript):
            attribute = isinstance(target, ast.Attribute)
            key = ast.Constant(target.attr) if isinstance(target, ast.Attribute) else self.visit(target.slice)
            self._temporary += 1
            name = f"__suture_{self._temporary}"
            method = "set_attr" if attribute else "set_item"
            record = self._record(method, node, self.visit(target.value), key, ast.Name(name, ast.Load()))
            return ast.copy_location(ast.Name(name, ast.Store()), target), [record]
        records: list[ast.stmt] = []
        if isinstance(target, ast.Tuple | ast.List):
            for at, element in enumerate(target.elts):
                target.elts[at], more = self._bind(element, node)
                records += more
        elif isinstance(target, ast.Starred):
            target.value, records = self._bind(target.value, node)
        return target, records

    def _record(self, method: str, node: ast.AST, *args: ast.expr) -> ast.stmt:
        return ast.copy_location(ast.Expr(self._call(method, node, *args, ast.Constant(self.section))), node)

    def _call(self, method: str, node: ast.AST, *args: ast.expr) -> ast.Call:
        function = ast.Attribute(ast.Name(_RECORDER, ast.Load()), method, ast.Load())
        return ast.copy_location(ast.Call(function, list(args), []), node)


def _several(made: Any) -> list[ast.stmt]:
    return made if isinstance(made, list) else [made]


def _rewritten(tree: ast.Module) -> ast.Module:
    made: ast.Module = _Rewriter().visit(tree)
    return ast.fix_missing_locations(made)


# ---------------------------------------------------------------- from what it did to stores


@record(slots=True)
class _Filler:
    """Turns what a recorder holds into the stores of one transaction."""

    recorder: Recorder
    env: Mapping[str, Any]
    nodes: list[ast.AST]
    effects: list[Finding] = made_by(default_factory=list)
    live: dict[int, Any] = made_by(default_factory=dict)

    def fill(self, filling: Filling) -> list[Row]:
        """
        Put all stores into *filling*.

        Raises:
            Refused: does-not-fit, setattr-runs-code.
        """
        for finding in self.effects:
            filling.find(finding)
        last = {(id(r.owner), r.name): r for r in self.recorder.replaced}
        chosen = list(last.values())
        for one in chosen:
            there = _own(one.owner, one.name)
            self.live[id(one.new)] = there if type(there) is types.FunctionType else one.new
        rows = [self._function(one, filling) for one in chosen]
        for (_, attribute, key), (owner, value, section) in self.recorder.stores.items():
            rows.append(self._data(filling, owner, key, value, section, attribute=attribute))
        return sorted(rows, key=lambda r: r.section != "" and [x.section for x in rows].index(r.section))

    def _data(self, filling: Filling, owner: Any, key: Any, value: Any, section: str, *, attribute: bool) -> Row:
        owner, value = (self.live.get(id(v), v) if type(v) is types.FunctionType else v for v in (owner, value))
        place, name, via = _place(owner, key, attribute=attribute)
        filling.stage.put(place, name, via, value)
        words = f"{_name_of(owner)}.{key}" if attribute else f"{_name_of(owner)}[{key!r}]"
        return Row(words, "updated", section=section)

    def _function(self, one: _Replaced, filling: Filling) -> Row:
        there = _own(one.owner, one.name)
        target = f"{_name_of(one.owner)}.{one.name}"
        old, new = _plain(there), _plain(one.new)
        in_place = old is not None and new is not None and type(there) is type(one.new)
        module = self._module(one.owner, old if in_place else None)
        node = self._node(new)
        if in_place and node is not None:
            assert old is not None and new is not None
            if (old.__code__.co_flags ^ new.__code__.co_flags) & 0x2A0:
                filling.find(
                    Finding(
                        "kind-changed",
                        Severity.ERROR,
                        target,
                        "sync, generator and async don't turn into one another",
                        hint="restart",
                    )
                )
                return Row(target, "kept", section=one.section)
            code = self._fitted(node, new, old.__code__.co_freevars, one, module)
            filling.put_code(old, code, code)
            self._fields(filling, old, new)
            if old.__module__ != getattr(one.owner, "__name__", None) and isinstance(one.owner, types.ModuleType):
                filling.find(
                    Finding(
                        "defined-in", Severity.NOTE, target, f"is defined in {old.__module__}; changed there, for all who have it"
                    )
                )
            return Row(target, "updated", 1, section=one.section)
        value = self._made(node, new, one, module) if node is not None and new is not None else one.new
        if there is not ABSENT and old is not None:
            filling.find(Finding("rebound", Severity.NOTE, target, "the name holds a new object; who holds the old one keeps it"))
        place, name, via = _place(one.owner, one.name, attribute=True)
        filling.stage.put(place, name, via, value)
        return Row(target, "added" if there is ABSENT else "updated", 1, section=one.section)

    def _made(self, node: ast.AST, new: types.FunctionType, one: _Replaced, module: types.ModuleType | None) -> Any:
        """A new function that lives in the target's module, in the wrapper that the file gave it."""
        if module is None:
            return one.new
        code = self._fitted(node, new, (), one, module)
        made = types.FunctionType(code, module.__dict__, new.__name__, new.__defaults__, None)
        made.__kwdefaults__ = new.__kwdefaults__
        made.__doc__ = new.__doc__
        made.__module__ = module.__name__
        made.__dict__.update(new.__dict__)
        if isinstance(one.owner, type):
            made.__qualname__ = f"{one.owner.__qualname__}.{new.__name__}"
        else:
            made.__qualname__ = new.__name__
        self.live[id(one.new)] = made
        return made if type(one.new) is types.FunctionType else type(one.new)(made)

    def _fitted(
        self, node: ast.AST, new: types.FunctionType, free: tuple[str, ...], one: _Replaced, module: types.ModuleType | None
    ) -> types.CodeType:
        values = {n: v for n, v in self.env.items() if not n.startswith("__") and n != _RECORDER}
        for name, cell in zip(new.__code__.co_freevars, new.__closure__ or (), strict=True):
            try:
                values[name] = cell.cell_contents
            except ValueError:  # bound later in its section, or never: then the target's module decides
                values.pop(name, None)
        values = {n: self.live.get(id(v), v) for n, v in values.items()}
        if not self.env and module is not None:  # replace_func outside a file: its module's names, if they aren't the target's
            wanted = {*new.__code__.co_names}
            values |= {n: v for n, v in new.__globals__.items() if n in wanted and n not in module.__dict__}
        mangle = None
        if isinstance(one.owner, type):
            values["__class__"] = one.owner
            mangle = one.owner.__name__
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if "__class__" in free:
            values.pop("__class__", None)
        made = fit_node(node, new.__code__, free, values, mangle=mangle, filename=new.__code__.co_filename, flags=0)
        return made.replace(co_name=new.__name__)

    def _fields(self, filling: Filling, old: types.FunctionType, new: types.FunctionType) -> None:
        for name in ("__defaults__", "__kwdefaults__", "__doc__"):
            if getattr(old, name) != getattr(new, name):
                filling.stage.put(old, name, Via.SETATTR, getattr(new, name))
        if sys.version_info < (3, 14) and old.__annotations__ != new.__annotations__:
            filling.stage.put(old, "__annotations__", Via.SETATTR, new.__annotations__)
        for name, value in new.__dict__.items():
            if name != "__wrapped__":
                filling.stage.put(old, name, Via.SETATTR, value)

    def _module(self, owner: Any, function: types.FunctionType | None) -> types.ModuleType | None:
        """The module whose names a replaced function means."""
        if function is not None:
            for module in list(sys.modules.values()):
                if isinstance(module, types.ModuleType) and module.__dict__ is function.__globals__:
                    return module
        if isinstance(owner, types.ModuleType):
            return owner
        name = getattr(owner if isinstance(owner, type) else type(owner), "__module__", None)
        return sys.modules.get(name) if isinstance(name, str) else None

    def _node(self, new: types.FunctionType | None) -> ast.AST | None:
        if new is None:
            return None
        for node in self.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == new.__code__.co_name:
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                if first == new.__code__.co_firstlineno:
                    return node
        return None


def _plain(value: Any) -> types.FunctionType | None:
    if type(value) in (staticmethod, classmethod):
        value = value.__func__
    return value if type(value) is types.FunctionType else None


def _own(owner: Any, name: str) -> Any:
    """What the object itself has under that name; inherited ones don't count."""
    if isinstance(owner, type):
        return class_space(owner).get(name, ABSENT)
    try:
        return object.__getattribute__(owner, "__dict__").get(name, ABSENT)
    except AttributeError:
        return ABSENT


def _place(owner: Any, key: Any, *, attribute: bool) -> tuple[Any, Any, Via]:
    """
    How a store is made without running anybody's code.

    Raises:
        Refused: setattr-runs-code.
    """
    if attribute:
        if isinstance(owner, types.ModuleType) and type(owner).__setattr__ in (types.ModuleType.__setattr__, object.__setattr__):
            return owner.__dict__, key, Via.SETITEM
        if isinstance(owner, type):
            return owner, key, Via.TYPE_SETATTR
        kind = type(owner)
        descriptor = next((c.__dict__[key] for c in kind.__mro__ if key in c.__dict__), None)
        plain = descriptor is None or not hasattr(type(descriptor), "__set__") or type(descriptor) is types.MemberDescriptorType
        if getattr(kind, "__setattr__") is object.__setattr__ and plain:
            return owner, key, Via.SETATTR
        if kind is types.FunctionType:
            return owner, key, Via.SETATTR
    elif type(owner) in (dict, defaultdict):
        return owner, key, Via.SETITEM
    elif type(owner) is list and type(key) is int and -len(owner) <= key < len(owner):
        return owner, key, Via.LISTITEM
    raise Refused(
        "setattr-runs-code",
        f"storing {key!r} in a {type(owner).__qualname__} would run its code in the middle of the commit",
        target=_name_of(owner),
        hint="do it in a replaced function, or put a new object in its place",
    )


def _name_of(owner: Any) -> str:
    name = getattr(owner, "__qualname__", None) or getattr(owner, "__name__", None)
    module = getattr(owner, "__module__", None)
    if isinstance(owner, types.ModuleType):
        return owner.__name__
    return f"{module}.{name}" if isinstance(name, str) and isinstance(module, str) else f"a {type(owner).__qualname__}"
