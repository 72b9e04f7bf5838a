"""
The structural walk: functions that can be reached from modules, classes, frames and objects, without a walk of the heap.

Looks where Python code puts functions: dictionaries of modules and classes, closures, defaults, wrappers, containers, and
(when asked) whatever instances refer to.  Never recurses, rests between steps.  10 to 16 us a function on CPython 3.10 to
3.15, in slices; ``gc.get_referrers`` holds the GIL for 13 to 16 ms per million objects instead.

Rule: runs nobody's code.  A class may define ``__iter__``, ``items``, ``__dict__`` or ``__class__`` as it likes; here objects
are read through the built-in type that they derive from.
"""

from __future__ import annotations

import collections
import functools
import gc
import itertools
import sys
import types
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from suture.engine.frames import attributes, class_space, lineage, locals_of, ours, references, space_of, stacks, thread_names

__all__ = ["find_by_code", "frame_roots", "module_roots", "walk"]

Rest = Callable[[], None]
MAX_ELEMENTS = 10_000
LIMIT = 200_000
_TRIES = 3
_STRIDE = 32  # children between two rests
_PART = 256  # elements of a container that are looked at in one call
_OUR_MODULES = ("suture", "_suture_in_this_process")
_LRU = type(functools.lru_cache(lambda: None))
# Sets of types go by id: a metaclass may define ``__hash__`` and ``__eq__``.
_PLAIN_TYPES = (str, bytes, bytearray, int, float, complex, bool, range, slice, types.CodeType)
_LEAF = frozenset(map(id, (*_PLAIN_TYPES, type(None), type(...), type(NotImplemented))))
_DICT = id(dict)
_flags = type.__dict__["__flags__"].__get__
_HEAP_TYPE = 1 << 9
_SEQUENCES: tuple[Any, ...] = (list, tuple, collections.deque)
_SETS: tuple[Any, ...] = (set, frozenset)
# Instances that are nothing but a way to a function: looked into always.
_HOLDERS = (functools.partialmethod, functools.cached_property, functools.singledispatchmethod)
_CONTAINERS = (
    *(dict, types.FunctionType, types.MappingProxyType, type, types.MethodType, types.CellType, _LRU),
    *(*_SEQUENCES, *_SETS, staticmethod, classmethod, property, functools.partial, *_HOLDERS),
)
# What the fields of built-in wrappers are read with, in subclasses too.
_FIELDS: tuple[tuple[type, tuple[tuple[str, Any], ...]], ...] = tuple(
    (kind, tuple((name, kind.__dict__[name].__get__) for name in names))
    for kind, names in (
        (staticmethod, ("__func__",)),
        (classmethod, ("__func__",)),
        (property, ("fget", "fset", "fdel")),
        (functools.partial, ("func", "args", "keywords")),
    )
)
# Where an instance refers to one of these, the name of the attribute is worth reading its dictionary for.
_TELLING = frozenset(map(id, (types.FunctionType, types.MethodType, functools.partial, dict, list, tuple, set, collections.deque)))


def module_roots() -> list[tuple[str, object]]:
    """Dictionaries of all loaded modules but our own, by module name."""
    roots: list[tuple[str, object]] = []
    for name, module in list(sys.modules.items()):
        if type(name) is str and issubclass(type(module), types.ModuleType) and name.partition(".")[0] not in _OUR_MODULES:
            roots.append((name, space_of(module)))
    return roots


def frame_roots(rest: Rest = lambda: None) -> list[tuple[str, object]]:
    """Local variables of the frames on all threads' stacks, our own left out."""
    roots: list[tuple[str, object]] = []
    names = thread_names()
    for ident, top in stacks():
        frame: types.FrameType | None = top
        inner: Mapping[str, Any] = {}
        while frame is not None:
            if ours(frame):
                inner = {}
            else:
                inner = locals_of(frame, inner)
                roots.append((f"thread {names.get(ident, ident)} in {frame.f_code.co_name}", inner))
            rest()
            frame = frame.f_back
    return roots


class _Seen:
    """
    Objects that were expanded, kept alive so that their ids stay theirs.

    In 64 parts, since growing one big dictionary is a hold of the GIL of 1 to 2 ms, and so is dropping it at once.
    """

    def __init__(self) -> None:
        self._parts: list[dict[int, object]] = [{} for _ in range(64)]

    def add(self, thing: object) -> bool:
        """True if it's new."""
        key = id(thing)
        part = self._parts[key >> 4 & 63]
        if key in part:
            return False
        part[key] = thing
        return True

    def drop(self, rest: Rest) -> None:
        """Let go, in slices."""
        for part in self._parts:
            while part:
                for _ in range(min(_STRIDE, len(part))):
                    part.popitem()
                rest()


def _is_our_type(kind: type) -> bool:
    """True for what only suture makes: it holds what the program has let go."""
    module = class_space(kind).get("__module__")
    return type(module) is str and module.partition(".")[0] in _OUR_MODULES


class _Kinds:
    """Which types of objects lead on to others, told once a type; the rest need not be remembered."""

    def __init__(self, instances: bool) -> None:
        self._instances = instances
        self._known: dict[int, tuple[type, bool]] = {}

    def lead_on(self, thing: object) -> bool:
        """True if a look inside may find functions."""
        kind = type(thing)
        known = self._known.get(id(kind))
        if known is None:
            leads = issubclass(kind, _CONTAINERS) or (self._instances and not _is_our_type(kind))
            known = self._known[id(kind)] = (kind, leads)
        if not known[1]:
            return False
        short = kind is tuple and len(thing) <= _PART  # type: ignore[arg-type]
        return not (short and _LEAF.issuperset(map(id, map(type, thing))))  # type: ignore[call-overload]


def walk(
    roots: Iterable[tuple[str, object]],
    *,
    rest: Rest,
    instances: bool = False,
    limit: int = LIMIT,
    skipped: list[str] | None = None,
    watched: Container[int] = (),
    met: Callable[[str, object], None] = lambda path, thing: None,
) -> Iterator[tuple[str, types.FunctionType]]:
    """
    Functions reachable from *roots*.

    Args:
        roots: (name, object); dictionaries among them are namespaces.
        rest: Called between steps.
        instances: Look into instances of any type too.
        limit: Objects looked at, at the most.
        skipped: Filled with the paths of what wasn't looked at: too large, or written to all the time.
        watched: Ids of other objects that are looked for; none that is plain data.
        met: Called for each place that holds one of them.

    Yields:
        (path, function), once for each place that holds it; what a function holds is looked at once.
    """
    left_out: list[str] = [] if skipped is None else skipped
    seen = _Seen()
    kinds = _Kinds(instances)
    # Queues and no tuples: those by the thousand would bring on collections, each a hold of the GIL.
    above: collections.deque[str] = collections.deque()
    steps: collections.deque[str] = collections.deque()
    objects: collections.deque[object] = collections.deque()
    for name, root in roots:
        if seen.add(root):
            above.append(name)
            steps.append("")
            objects.append(root)
        rest()
    namespaces = len(objects)
    looked = turns = 0
    here: object = None
    child: object = None
    try:
        while objects and looked < limit:
            path, here = above.popleft() + steps.popleft(), objects.popleft()
            looked += 1
            for step, child in _children(here, instances, looked <= namespaces, path, left_out, rest):
                turns += 1
                if not turns % _STRIDE:
                    rest()
                if id(type(child)) in _LEAF:
                    continue
                if type(child) is types.FunctionType:
                    yield path + step, child
                elif id(child) in watched:
                    if step == "[?]":
                        step = next((s for s, v in _named(here, path, left_out, rest) if v is child), step)
                    met(path + step, child)
                if kinds.lead_on(child) and seen.add(child):
                    above.append(path)
                    steps.append(step)
                    objects.append(child)
            rest()
        if objects:
            left_out.append(f"{len(objects)} objects beyond the first {limit}")
    finally:
        here = child = None
        for queue in (objects, above, steps):  # one by one: an interrupt may have come between two of them
            while queue:
                for _ in range(min(_STRIDE, len(queue))):
                    queue.pop()
                rest()
        seen.drop(rest)


def _children(
    here: Any, instances: bool, namespace: bool, path: str, left_out: list[str], rest: Rest
) -> Iterator[tuple[str, object]]:
    kind = type(here)
    if issubclass(kind, dict):
        yield from _of_dict(here, namespace, path, left_out, rest)
    elif kind is types.FunctionType:
        yield from _of_function(here)
    elif kind is types.MappingProxyType:
        yield from (("", v) for v in gc.get_referents(here))  # its own methods would call those of what it stands for
    elif issubclass(kind, type):
        yield from ((f".{k}", v) for k, v in _snapshot(class_space(here).items, path, left_out, rest))
    elif issubclass(kind, _SEQUENCES):
        yield from _of_elements(here, _SEQUENCES, path, left_out, rest)
    elif issubclass(kind, _SETS):
        yield from (("{...}", v) for _, v in _of_elements(here, _SETS, path, left_out, rest))
    elif kind is types.MethodType:
        yield ".__func__", here.__func__
        if instances:
            yield ".__self__", here.__self__
    elif kind is types.CellType:
        yield from _of_cell("", here)
    elif kind is _LRU:
        own = _snapshot(attributes(here).items, path, left_out, rest)
        yield from ((f".{k}", v) for k, v in own)
        if not any(k == "__wrapped__" for k, _ in own):
            yield from (("(cached)", r) for r in gc.get_referents(here) if type(r) is types.FunctionType)
    elif issubclass(kind, types.ModuleType):
        return  # a root of its own
    else:
        fields = next((f for wrapper, f in _FIELDS if issubclass(kind, wrapper)), None)
        if fields is not None:
            yield from ((f".{name}", read(here, kind)) for name, read in fields)
        elif issubclass(kind, _HOLDERS):
            yield from _named(here, path, left_out, rest)
        elif instances:
            yield from _of_instance(here, path, left_out, rest)


def _of_dict(here: dict[Any, Any], namespace: bool, path: str, left_out: list[str], rest: Rest) -> Iterator[tuple[str, object]]:
    if not namespace:
        if len(dict.keys(here)) > MAX_ELEMENTS:
            left_out.append(path)
            return
        parts = (functools.partial(part, here) for part in (dict.values, dict.keys))
        if all(_plain(_snapshot(part, path, left_out, rest), rest) for part in parts):
            return
    for key, value in _snapshot(functools.partial(dict.items, here), path, left_out, rest):
        if type(key) is str:
            yield (f".{key}" if namespace else f"[{key!r:.40}]"), value
        elif type(key) is int:
            yield f"[{key}]", value
        else:
            yield "[...]", value
            yield "(key)", key


def _plain(values: Sequence[object], rest: Rest) -> bool:
    """True if none of them can lead to a function."""
    for at in range(0, len(values), _PART):
        if not _LEAF.issuperset(map(id, map(type, values[at : at + _PART] if len(values) > _PART else values))):
            return False
        rest()
    return True


def _of_elements(here: Any, bases: Sequence[Any], path: str, left_out: list[str], rest: Rest) -> Iterator[tuple[str, object]]:
    base = next(b for b in bases if issubclass(type(here), b))
    if base.__len__(here) > MAX_ELEMENTS:
        left_out.append(path)
        return
    values = _snapshot(functools.partial(base.__iter__, here), path, left_out, rest)
    if not _plain(values, rest):
        yield from ((f"[{i}]", v) for i, v in enumerate(values))


def _of_function(function: types.FunctionType) -> Iterator[tuple[str, object]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        yield from _of_cell(f"<{name}>", cell)
    defaults, named = function.__defaults__, function.__kwdefaults__
    # Reading `__dict__` makes one, for good: only if there's a dictionary besides globals, builtins and the named defaults.
    dicts = list(map(id, map(type, gc.get_referents(function)))).count(_DICT)
    if dicts > 2 + (named is not None) or type(function.__globals__) is not dict:
        yield from ((f".{k}", v) for k, v in list(dict.items(function.__dict__)))
    if defaults is not None:
        yield from (("(default)", v) for v in tuple.__iter__(defaults))
    if named is not None:
        yield from ((f"({k}=)", v) for k, v in list(dict.items(named)))
    if sys.version_info >= (3, 14):
        yield ".__annotate__", function.__annotate__


def _of_cell(step: str, cell: types.CellType) -> Iterator[tuple[str, object]]:
    try:
        yield step, cell.cell_contents
    except ValueError:  # not filled yet
        return


def _of_instance(here: object, path: str, left_out: list[str], rest: Rest) -> Iterator[tuple[str, object]]:
    """
    What an instance of any type refers to, as the garbage collector sees it: generators and objects of C too.

    Names are read only where that pays: reading ``__dict__`` makes one for each object (3.11+), which would stay.
    """
    kind = type(here)
    if kind is types.FrameType and ours(here):  # type: ignore[arg-type]
        return
    referents = [r for r in gc.get_referents(here) if r is not kind and id(type(r)) not in _LEAF]
    own: object = None
    if not _TELLING.isdisjoint(map(id, map(type, referents))):
        named = list(_named(here, path, left_out, rest))
        yield from named
        own = attributes(here)
        covered = {id(v) for _, v in named}
        referents = [r for r in referents if id(r) not in covered]
    yield from (("[?]", r) for r in referents if r is not own)


def _named(here: object, path: str, left_out: list[str], rest: Rest) -> Iterator[tuple[str, object]]:
    """Instance attributes, ``__dict__`` and slots, without running a property."""
    yield from ((f".{k}", v) for k, v in _snapshot(attributes(here).items, path, left_out, rest))
    kind = type(here)
    for cls in lineage(kind):
        if not _flags(cls) & _HEAP_TYPE:
            continue
        for name, slot in _snapshot(class_space(cls).items, path, left_out, rest):
            if type(slot) is types.MemberDescriptorType:
                try:
                    yield f".{name}", slot.__get__(here, kind)
                except AttributeError:  # an empty slot
                    continue


def _snapshot(view: Callable[[], Iterable[Any]], path: str, left_out: list[str], rest: Rest) -> list[Any]:
    """
    All that it holds; another thread, or a finaliser, may be writing.

    A part at a time: to count a reference to thousands of objects that nobody has touched for long takes most of a millisecond.
    Where that never succeeds, in one call of C at last.
    """
    for last in (*(False,) * _TRIES, True):
        try:
            if last:
                return list(view())
            found: list[Any] = []
            here = iter(view())
            while part := list(itertools.islice(here, _PART)):
                found += part
                if len(part) < _PART:
                    break
                rest()
        except RuntimeError:  # changed size meanwhile
            continue
        return found
    left_out.append(path)
    return []


def find_by_code(
    codes: Sequence[types.CodeType], rest: Rest, known: Iterable[types.FunctionType] = ()
) -> tuple[dict[int, list[tuple[str, types.FunctionType]]], dict[int, int]]:
    """
    Functions that were made from inner code objects, wherever they're held.

    Looks in modules, then behind the local variables of running frames, then behind instances, and stops as soon as the
    account closes: references to a code = its enclosing code's constants + functions found + what the control has.

    Args:
        codes: Code objects, each inside its enclosing code's constants.  The last is the control: the caller holds it just
            as often as each of the others, and nobody else holds it.
        rest: Called between steps.
        known: Functions that nothing but suture may hold any more.

    Returns:
        Functions with their paths by id of the code; references left over by id of the code (running frames and
        suspended generators among them).
    """
    wanted = {id(c): c for c in codes}
    found: dict[int, dict[int, tuple[str, types.FunctionType]]] = {k: {} for k in wanted}
    for function in known:
        if id(function.__code__) in wanted:
            found[id(function.__code__)][id(function)] = (function.__qualname__, function)

    def left() -> dict[int, int]:
        counts = references(codes)
        return {id(c): n - counts[-1] - 1 - len(found[id(c)]) for c, n in zip(codes[:-1], counts, strict=False)}

    for roots, instances in ((module_roots, False), (frame_roots, True), (module_roots, True)):
        if not any(n > 0 for n in left().values()):
            break
        for path, function in walk(roots(), rest=rest, instances=instances):
            key = id(function.__code__)
            if key in wanted and id(function) not in found[key]:
                found[key][id(function)] = (path, function)
                if not any(n > 0 for n in left().values()):
                    break
    return {k: list(v.values()) for k, v in found.items()}, left()
