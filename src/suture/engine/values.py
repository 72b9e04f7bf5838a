"""
What a module's values are: whether working one out does anything else, whether two are the same, how a table changes in place.

Pure: the builder asks about source, the process about live objects.  The merge is the three-way merge of version control, with
the old source as the base: what both sides left alone stays the very object that is there.
"""

from __future__ import annotations

import ast
import functools
import re
import types
from collections import defaultdict
from collections.abc import Container, Iterator
from typing import Any

from suture.engine.facts import PLAIN, alike, fingerprint
from suture.engine.frames import qualname_of
from suture.engine.swap import ABSENT, Contents, Via
from suture.record import made_by, record

__all__ = ["COMPARED", "TABLES", "Merge", "dotted", "is_quiet", "is_quiet_call", "is_table", "merge", "same", "shown"]

# Calls that only make a value: by name; by the last two names, where the first is a module's; as methods of a value.
_FUNCTIONS = frozenset(
    """
    abs all any attrgetter b64decode b64encode blake2b bool bytearray bytes callable cast chain chr classmethod compile complex
    date datetime defaultdict deque dict divmod enumerate escape filter float frozenset getLogger getattr gettext_lazy hasattr
    hash hex id int ip_network isinstance issubclass itemgetter len list literal_eval map max md5 methodcaller min object oct
    ord partial pow product property range reduce repr reversed round set sha1 sha224 sha256 sha384 sha512 slice sorted
    staticmethod str sum timedelta timezone tuple type wraps zip ChainMap Counter Decimal Fraction MappingProxyType NewType
    OrderedDict Path PurePath PurePosixPath Struct TypeVar UUID Version
    """.split()  # noqa: SIM905
)
_IN_MODULES = frozenset(
    """
    ast.literal_eval base64.b64decode base64.b64encode collections.ChainMap collections.Counter collections.OrderedDict
    collections.defaultdict collections.deque datetime.date datetime.datetime datetime.time datetime.timedelta datetime.timezone
    decimal.Decimal environ.get fractions.Fraction functools.partial functools.reduce hashlib.blake2b hashlib.md5 hashlib.sha1
    hashlib.sha224 hashlib.sha256 hashlib.sha384 hashlib.sha512 chain.from_iterable itertools.chain itertools.product
    ipaddress.ip_network logging.getLogger operator.attrgetter operator.itemgetter operator.methodcaller os.getenv path.abspath
    path.basename path.dirname path.join path.realpath pathlib.Path pathlib.PurePath pathlib.PurePosixPath re.compile re.escape
    struct.Struct types.MappingProxyType typing.cast typing.NewType typing.TypeVar uuid.UUID
    """.split()  # noqa: SIM905
)
_METHODS = frozenset(
    """
    casefold copy count decode difference digest encode endswith find format fromkeys from_iterable get hexdigest index intersection
    items join joinpath keys lower lstrip maketrans partition removeprefix removesuffix replace rpartition rsplit rstrip split
    splitlines startswith strip symmetric_difference title translate union upper values with_suffix
    """.split()  # noqa: SIM905
)
_CALL_THEIR_FIRST = frozenset(("filter", "map", "reduce"))
_TABLE_CALLS = frozenset(("dict", "list", "set", "defaultdict"))
TABLES = (dict, defaultdict, list, set)
# Values of these modules compare by what they are, and their comparing is nobody's own code.
_VALUE_HOMES = frozenset(("datetime", "decimal", "fractions", "uuid", "pathlib", "pathlib._local", "ipaddress", "zoneinfo"))
_OWN_HASH = (str, bytes, int, float, bool, type(None), type, types.FunctionType, types.BuiltinFunctionType)
_DEPTH = 20
# Types of values that can be held against what their source makes.
COMPARED = (*PLAIN, *TABLES, tuple, frozenset, re.Pattern)


def is_quiet(node: ast.expr | None, also: Container[str] = (), modules: Container[str] = ()) -> bool:
    """
    True if evaluating an expression makes a value and does nothing else, as far as its text says.

    Args:
        node: It.
        also: Dotted names of functions that may be called.
        modules: Names that may be modules': ``requests.get`` isn't a dictionary's.
    """
    if node is None:
        return False
    todo: list[ast.AST] = [node]
    while todo:
        here = todo.pop()
        if isinstance(here, ast.Call) and not is_quiet_call(here, also, modules):
            return False
        if isinstance(here, ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr):
            return False
        if isinstance(here, ast.Lambda):  # made, not called
            todo += [*here.args.defaults, *(d for d in here.args.kw_defaults if d is not None)]
        else:
            todo += ast.iter_child_nodes(here)
    return True


def is_quiet_call(node: ast.Call, also: Container[str] = (), modules: Container[str] = ()) -> bool:
    """The same of a call itself, not of its arguments but for functions that it calls."""
    if not _is_known(node.func, also, modules):
        return False
    called = [k.value for k in node.keywords if k.arg == "key"]
    if isinstance(node.func, ast.Name | ast.Attribute) and _last(node.func) in _CALL_THEIR_FIRST:
        called += node.args[:1]
    return all(_is_quiet_function(f, also, modules) for f in called)


def _is_quiet_function(node: ast.expr, also: Container[str], modules: Container[str]) -> bool:
    if isinstance(node, ast.Lambda):
        return is_quiet(node.body, also, modules)
    return isinstance(node, ast.Constant | ast.Call) or _is_known(node, also, modules)


def _is_known(node: ast.expr, also: Container[str], modules: Container[str]) -> bool:
    """True for a function, by its name, that only makes a value."""
    if isinstance(node, ast.Name):
        return node.id in _FUNCTIONS or node.id in also
    if not isinstance(node, ast.Attribute):
        return False
    name = dotted(node)
    root = name.partition(".")[0]
    if root in modules and not root.isupper():
        return f"{_last(node.value)}.{node.attr}" in _IN_MODULES or name in also
    return node.attr in _METHODS


def dotted(node: ast.expr) -> str:
    """``a.b.c``; "" for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def is_table(node: ast.expr | None) -> bool:
    """True if an expression makes something that programs add to: a dict, a list or a set."""
    if isinstance(node, ast.Call):
        return _last(node.func) in _TABLE_CALLS
    if isinstance(node, ast.BinOp):
        return is_table(node.left) or is_table(node.right)
    return isinstance(node, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp)


def same(a: Any, b: Any, depth: int = 0) -> bool:
    """True if two objects are interchangeable: one object, equal plain data, or functions of equal code; runs no ``__eq__``."""
    if a is b:
        return True
    kind = type(a)
    if kind is not type(b) or depth > _DEPTH:
        return False
    if kind in (list, tuple):
        return len(a) == len(b) and all(same(x, y, depth + 1) for x, y in zip(a, b, strict=True))
    if kind in (set, frozenset):
        return len(a) == len(b) and (set(map(id, a)) == set(map(id, b)) or alike(a, b))
    if kind is dict or kind is defaultdict:
        return (
            len(a) == len(b)
            and all(x is y or alike(x, y) for x, y in zip(a, b, strict=True))
            and all(same(x, y, depth + 1) for x, y in zip(a.values(), b.values(), strict=True))
            and (kind is dict or same(a.default_factory, b.default_factory, depth + 1))
        )
    if kind is types.FunctionType:
        return (
            a.__globals__ is b.__globals__
            and a.__closure__ is None is b.__closure__
            and fingerprint(a.__code__) == fingerprint(b.__code__)
            and same(a.__defaults__, b.__defaults__, depth + 1)
            and same(a.__kwdefaults__, b.__kwdefaults__, depth + 1)
        )
    if kind is re.Pattern:
        return bool(a.pattern == b.pattern and a.flags == b.flags)
    if kind is types.MethodType:
        return a.__func__ is b.__func__ and a.__self__ is b.__self__
    if kind is functools.partial:
        return all(same(getattr(a, n), getattr(b, n), depth + 1) for n in ("func", "args", "keywords"))
    if kind.__module__ in _VALUE_HOMES and not kind.__flags__ & _HEAP_TYPE | (kind.__module__.startswith(("pathlib", "frac"))):
        return bool(a == b)
    return kind in PLAIN and repr(a) == repr(b)


_HEAP_TYPE = 1 << 9

Write = tuple[Any, Any, Via, Any]  # owner, name, how, value


@record(slots=True)
class Merge:
    """
    What a changed table does to the live one.

    Attributes:
        after: What the live one will hold: a copy, for expressions that are computed from it.
        writes: Stores that make it so.
        put: Number of entries that are added or change.
        removed: Number of entries that go.
        kept: Entries that the program itself has changed, by path: they stay.
    """

    after: Any
    writes: list[Write] = made_by(default_factory=list)
    put: int = 0
    removed: int = 0
    kept: list[str] = made_by(default_factory=list)


def merge(live: Any, old: Any, new: Any, path: str = "") -> Merge | None:
    """
    Change a table as its source changed.

    Args:
        live: The one that is there.
        old: What the old source makes.
        new: What the new source makes.
        path: Where it is.

    Returns:
        The merge; None if they aren't tables of one kind, or if a list was changed by the program in the middle.
    """
    kind = type(live)
    if type(old) is not kind or type(new) is not kind:
        return None
    if kind is dict or kind is defaultdict:
        return _merge_dict(live, old, new, path)
    if kind is not list and kind is not set:
        return None
    made = _merge_list(live, old, new) if kind is list else _merge_set(live, old, new)
    if made is not None and (made.put or made.removed):
        made.writes.append((live, Contents(path, made.after), Via.CONTENTS, made.after))
    return made


def _merge_dict(live: Any, old: Any, new: Any, path: str) -> Merge:
    made = Merge(live.copy())
    simple = True
    writes: list[Write] = []
    for key in [*new, *(k for k in old if k not in new)]:
        was, becomes, now = (t.get(key, ABSENT) for t in (old, new, live))
        if same(was, becomes) or same(now, becomes):
            continue
        here = f"{path}[{key!r:.40}]"
        if not same(now, was):
            inner = merge(now, was, becomes, here)
            if inner is None:
                made.kept.append(here)
                continue
        else:
            inner = merge(now, was, becomes, here)
        if inner is not None:  # nested tables are held too
            writes += inner.writes
            made.put, made.removed, made.kept = made.put + inner.put, made.removed + inner.removed, [*made.kept, *inner.kept]
            continue
        simple = simple and type(key) in _OWN_HASH
        writes.append((live, key, Via.SETITEM, becomes))
        if becomes is ABSENT:
            made.removed += 1
            del made.after[key]
        else:
            made.put += 1
            made.after[key] = becomes
    if not simple:  # storing one by one would run their __hash__ in the commit
        writes = [w for w in writes if w[0] is not live]
        writes.append((live, Contents(path, made.after), Via.CONTENTS, made.after))
    made.writes = writes
    if isinstance(live, defaultdict) and not same(old.default_factory, new.default_factory):
        if same(live.default_factory, old.default_factory):
            made.writes.append((live, "default_factory", Via.SETATTR, new.default_factory))
            made.after.default_factory = new.default_factory
            made.put += 1
        elif not same(live.default_factory, new.default_factory):
            made.kept.append(f"{path}.default_factory")
    return made


def _merge_list(live: list[Any], old: list[Any], new: list[Any]) -> Merge | None:
    before = behind = 0
    if not _alike(live, old):  # the program has put something in front or behind, or it's another list
        if len(live) <= len(old):
            return None
        if _alike(live[: len(old)], old):
            behind = len(live) - len(old)
        elif _alike(live[len(live) - len(old) :], old):
            before = len(live) - len(old)
        else:
            return None
    middle = live[before : len(live) - behind]
    spare = list(zip(middle, old, strict=True))
    out: list[Any] = []
    for value in new:  # what stays is the very object that is there
        at = next((i for i, (_, was) in enumerate(spare) if same(was, value)), None)
        out.append(value if at is None else spare.pop(at)[0])
    put = sum(not any(v is m for m in middle) for v in out)
    moved = not put and not spare and [id(v) for v in out] != [id(v) for v in middle]
    after = [*live[:before], *out, *live[len(live) - behind :]]
    return Merge(after, put=put + moved, removed=len(spare))


def _alike(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(map(same, a, b))


def _merge_set(live: set[Any], old: set[Any], new: set[Any]) -> Merge:
    put, removed = (new - old) - live, (old - new) & live
    return Merge((live | put) - removed, put=len(put), removed=len(removed))


# ---------------------------------------------------------------- in words


def shown(value: Any) -> str:
    """A live or expected value in a few words."""
    kind = type(value)
    if value is ABSENT:
        return ""
    if kind in (str, bytes):
        return f"{value[:40]!r}" + ("..." if len(value) > 40 else "")
    if kind is int and value.bit_length() > 200:
        return f"an int of {value.bit_length()} bits"
    if kind in PLAIN:
        return repr(value)
    if kind in (list, tuple, dict, set, frozenset):
        return _table(value)
    if kind is types.FunctionType:
        return f"function {value.__qualname__}"
    if issubclass(kind, type):
        return f"class {qualname_of(value)}"
    return f"a {qualname_of(kind)}"


def _table(value: Any) -> str:
    """A small table as it would be written; of another one its size."""
    parts: Iterator[Any] = iter(value.items() if type(value) is dict else value)
    try:
        few = [next(parts) for _ in range(min(8, len(value)))]
    except (RuntimeError, StopIteration):  # it changes meanwhile
        few = []
    flat = [x for pair in few for x in (pair if type(value) is dict else (pair,))]
    if len(few) == len(value) and all(type(x) in PLAIN and (type(x) is not int or x.bit_length() < 200) for x in flat):
        text = repr(value)
        if len(text) <= 60:
            return text
    return f"a {type(value).__name__} of {len(value)}"
