"""
Modules that the patch's builder never saw, and that called what changes when they were imported: what that gave stays.

The patch names what leads to a change (``Patch.reach``); here it's looked up what that is in the process, which modules hold
it, and whether their text calls it, or decorates with it, in code that runs at import.  The text is read a token at a time
and never parsed whole; a name in it counts if it is that very object now.

Rule: runs nobody's code, but for the ``get_source`` of the interpreter's own zip importer.  Never raises: what can't be read
is counted, and said.
"""

from __future__ import annotations

import functools
import importlib.machinery
import io
import linecache
import os
import tokenize
import types
import zipimport
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from suture.engine import walk
from suture.engine.facts import with_lf
from suture.engine.frames import attributes, class_space, lineage, space_of
from suture.engine.uses import Use, uses
from suture.errors import Refused
from suture.patch import Finding, Severity, Target
from suture.record import made_by, record

__all__ = ["MAX_TEXT", "Marks", "marks_of", "outside"]

Rest = Callable[[], None]
MAX_TEXT = 1024 * 1024  # bytes of a file that is looked at
MAX_ALL = 16 * 1024 * 1024  # of all of them
MANY = 6  # that came about the same way and get a finding each
MAX_PLACES = 20
_STRIDE = 32  # names between two rests
_READ_BYTES = 64 * 1024
_COMPILED = tuple(importlib.machinery.EXTENSION_SUFFIXES)  # nothing in them runs at import that was written in Python
_MISSING = object()
_CLASS_MAKERS = ("__prepare__", "__new__", "__init__")
_OBJECT_MAKERS = ("__new__", "__init__", "__post_init__")
_FUNCTIONS = (types.FunctionType, staticmethod, classmethod, property, functools.partial, types.MethodType)
_MAIN = "__main__"


@record(slots=True)
class Marks:
    """
    What leads to a change, as it is in this process.

    Attributes:
        objects: (it, name) by id: functions, classes, whatever a decorator made of them.
        given: The same of what leads there with what it gives: ``f()``.
        methods: (what the class has or inherits, name) by id of the class and name of the attribute; ``m()`` too.
        classes: Those classes by id, so that their ids stay theirs.
    """

    objects: dict[int, tuple[object, str]] = made_by(default_factory=dict)
    given: dict[int, tuple[object, str]] = made_by(default_factory=dict)
    methods: dict[tuple[int, str], tuple[object, str]] = made_by(default_factory=dict)
    classes: dict[int, type] = made_by(default_factory=dict)

    def add(self, thing: object, title: str) -> None:
        """Note an object that leads to a change when it's called."""
        is_class = issubclass(type(thing), type) and _is_heap(thing)  # type: ignore[arg-type]
        if type(thing) in _FUNCTIONS or is_class or "__wrapped__" in attributes(thing):
            self.objects[id(thing)] = (thing, title)

    def add_named(self, space: Mapping[str, Any], name: str, title: str) -> None:
        """Note what a module has under a dotted name of ``Patch.reach``."""
        gives = name.endswith("()")
        *path, last = name.removesuffix("()").split(".")
        here: Any = None
        for step in path:
            here = space.get(step) if here is None else class_space(here).get(step)
            if not issubclass(type(here), type):
                return
        if here is None:
            found = space.get(last, _MISSING)
            if gives and type(found) in _FUNCTIONS:
                self.given[id(found)] = (found, title)
            elif not gives:
                self.add(found, title)
        elif (found := _of_class(here, last)) is not _MISSING:
            self.classes[id(here)] = here
            self.methods[id(here), f"{last}()" if gives else last] = (found, title)

    def of_method(self, cls: type, name: str, after: int = 0) -> str:
        """Title of what a call of this attribute of an object runs, "" if it's none; *after*: how many ancestors to leave out."""
        found = _of_class(cls, name.removesuffix("()"), after)
        for owner in lineage(cls)[after:] if found is not _MISSING else ():
            marked = self.methods.get((id(owner), name))
            if marked is not None and marked[0] is found:
                return marked[1]
        return self.objects[id(found)][1] if id(found) in self.objects and not name.endswith("()") else ""

    def knows(self, cls: type) -> bool:
        """True if something of the class, or of an ancestor, is marked."""
        return any(id(c) in self.classes or id(c) in self.objects for c in lineage(cls))

    def matters(self, thing: object) -> bool:
        """True if whoever holds it may have called what is marked."""
        thing = _core(thing)
        if id(thing) in self.objects or id(thing) in self.given:
            return True
        return (issubclass(type(thing), type) and self.knows(thing)) or self.knows(type(thing))  # type: ignore[arg-type]

    def call(self, thing: object) -> str:
        """Title of what a call of this object runs, "" if nothing of it is marked."""
        thing = _core(thing)
        if id(thing) in self.objects:
            return self.objects[id(thing)][1]
        if issubclass(type(thing), type):
            cls: Any = thing
            titles = (self.of_method(cls, name) for name in _OBJECT_MAKERS)
            return next(filter(None, titles), "") or self.of_method(type(cls), "__call__")
        return self.of_method(type(thing), "__call__") if type(thing) not in _FUNCTIONS else ""

    def gives(self, thing: object) -> str:
        """The same of a call of what its call gives."""
        thing = _core(thing)
        if id(thing) in self.given:
            return self.given[id(thing)][1]
        return self.of_method(thing, "__call__") if issubclass(type(thing), type) else ""  # type: ignore[arg-type]

    def made(self, cls: type) -> str:
        """Title of what a class statement ran, "" if nothing of it is marked."""
        titles = [self.of_method(cls, "__init_subclass__", 1), *(self.of_method(type(cls), name) for name in _CLASS_MAKERS)]
        return next(filter(None, titles), "")


def _is_heap(cls: type) -> bool:
    return bool(type.__dict__["__flags__"].__get__(cls) & 1 << 9)


def _of_class(cls: type, name: str, after: int = 0) -> Any:
    """What a class has or inherits, as it is."""
    for owner in lineage(cls)[after:]:
        space = class_space(owner)
        if name in space:
            return space[name]
    return _MISSING


def _core(thing: object) -> object:
    """What a bound method or a partial calls."""
    for _ in range(10):
        if type(thing) is types.MethodType:
            thing = thing.__func__
        elif type(thing) is functools.partial:
            thing = thing.func
        else:
            break
    return thing


# ---------------------------------------------------------------- which modules


@record(frozen=True, slots=True)
class _Holder:
    """A module that holds what is marked: its names that may lead there."""

    name: str
    space: dict[str, Any]
    words: tuple[str, ...]


def _holders(marks: Marks, rest: Rest) -> list[_Holder]:
    """Modules that hold what is marked, or a module that does."""
    known: dict[int, tuple[type, bool]] = {}  # whether objects of a type matter, told once a type
    roots: list[tuple[str, dict[str, Any]]] = walk.module_roots()  # type: ignore[assignment]
    held: dict[str, list[str]] = {}
    for name, space in roots:
        for turn, (key, value) in enumerate(list(space.items()), 1):
            if not turn % _STRIDE:
                rest()
            kind = type(value)
            if id(kind) not in known:
                known[id(kind)] = (kind, kind in _FUNCTIONS or issubclass(kind, type) or marks.knows(kind))
            if kind is types.FunctionType or not known[id(kind)][1]:
                if id(value) not in marks.objects and id(value) not in marks.given:
                    continue
            elif not marks.matters(value):
                continue
            if type(key) is str:
                held.setdefault(name, []).append(key)
        rest()
    above = {p for name in held for p in _above(name)}
    spaces = {id(space) for name, space in roots if name in above}
    out = []
    for name, space in roots:
        words = list(held.get(name, ()))
        for turn, (key, value) in enumerate(list(space.items()), 1):
            if not turn % _STRIDE:
                rest()
            if issubclass(type(value), types.ModuleType) and type(key) is str and id(space_of(value)) in spaces:
                words.append(key)
        if words:
            out.append(_Holder(name, space, tuple(words)))
        rest()
    return out


def _above(name: str) -> Iterator[str]:
    """A module's name, and those of the packages above it."""
    parts = name.split(".")
    return (".".join(parts[:n]) for n in range(len(parts), 0, -1))


def _is_judged(holder: _Holder, judged: frozenset[str]) -> bool:
    """True if the builder has looked at that module, under its own name or as the program's own file."""
    if holder.name in judged:
        return True
    spec = getattr(holder.space.get("__spec__"), "name", None)
    if spec in judged:
        return True
    file = holder.space.get("__file__")
    if holder.name not in (_MAIN, "__mp_main__") or type(file) is not str:
        return False
    return any(os.path.abspath(file).replace(os.sep, "/").endswith(f"/{name.replace('.', '/')}.py") for name in judged)


# ---------------------------------------------------------------- their text


def _text_of(space: Mapping[str, Any], rest: Rest) -> str | None:
    """The text of a module, with LF; None if there is none, or it's too long."""
    file = space.get("__file__")
    if type(file) is not str:
        return None
    file = file.removesuffix("c") if file.endswith(".pyc") else file
    data = io.BytesIO()
    try:
        with open(file, "rb") as stream:
            while data.tell() <= MAX_TEXT and (part := stream.read(_READ_BYTES)):
                data.write(part)
                rest()
        if data.tell() > MAX_TEXT:
            return None
        data.seek(0)
        encoding, _ = tokenize.detect_encoding(data.readline)
        return with_lf(data.getvalue().decode(encoding))
    except (OSError, SyntaxError, ValueError, LookupError):
        return _text_elsewhere(space, file)


def _text_elsewhere(space: Mapping[str, Any], file: str) -> str | None:
    """From an archive, or what somebody has registered."""
    loader = space.get("__loader__")
    kept = linecache.cache.get(file)
    if kept is not None and len(kept) > 2:
        return "".join(kept[2])
    if type(loader) is zipimport.zipimporter:
        try:
            text = loader.get_source(str(space.get("__name__")))
        except (ImportError, OSError, ValueError, KeyError):
            return None
        return with_lf(text) if text is not None and len(text) <= MAX_TEXT else None
    return None


# ---------------------------------------------------------------- what is said


def outside(marks: Marks, judged: Iterable[str], changed: frozenset[str] | None, rest: Rest) -> list[Finding]:
    """
    Say what modules outside of the patch's tree made, at import, with what changes.

    Args:
        marks: What leads to a change.
        judged: Modules that the builder has looked at.
        changed: Targets of the changes; None: all that is marked changes.
        rest: Called between steps.

    Returns:
        One ``value-stale`` a definition, one for all where more than some came about the same way; a note, if a module that
        holds what is marked couldn't be read.
    """
    if not (marks.objects or marks.given or marks.methods):
        return []
    found: dict[str, list[tuple[str, str]]] = {}
    unread: list[str] = []
    left = MAX_ALL
    seen: set[int] = set()
    known = frozenset(judged)
    for holder in _holders(marks, rest):
        if _is_judged(holder, known) or id(holder.space) in seen:
            continue
        seen.add(id(holder.space))
        text = _text_of(holder.space, rest) if left > 0 else None
        if text is None:
            if type(file := holder.space.get("__file__")) is str and not file.endswith(_COMPILED):
                unread.append(holder.name)
            continue
        left -= len(text)
        for use in uses(text, holder.words, rest, main=holder.name == _MAIN):
            if title := _title(marks, holder, use):
                target = f"{holder.name}:{use.owner}" if use.owner else f"{holder.name}:{use.line}"
                row = (target, f"{holder.space['__file__']}:{use.line}")
                if row not in found.setdefault(title, []):
                    found[title].append(row)
            rest()
    return [*_said(found, changed), *_unread(unread)]


def _title(marks: Marks, holder: _Holder, use: Use) -> str:
    """Title of what a use of a chain of names ran, "" if it's none that is marked."""
    if holder.name == _MAIN and not (use.binds and (not use.owner or _is_there(holder.space, use.owner))):
        return ""  # the program itself: what it called last is running
    if use.how == "class":
        made = _resolved(holder.space, use)
        return marks.made(made) if issubclass(type(made), type) else ""
    *path, last = use.names
    owner = _resolved(holder.space, Use(use.line, "", tuple(path), use.scope, "", False)) if path else _MISSING
    thing = _resolved(holder.space, use)
    for ask, name in ((marks.call, last), (marks.gives, f"{last}()")) if use.how == "decorator()" else ((marks.call, last),):
        title = ask(thing) if thing is not _MISSING else ""
        if not title and owner is not _MISSING and not issubclass(type(owner), types.ModuleType):
            cls: Any = owner if issubclass(type(owner), type) else type(owner)
            title = marks.of_method(cls, name)
        if title:
            return title
    return ""


def _is_there(space: Mapping[str, Any], name: str) -> bool:
    return name.partition(".")[0] in space


def _resolved(space: Mapping[str, Any], use: Use) -> Any:
    """What a chain of names is now, read as it stands: no property, no ``__getattr__`` is asked."""
    first, *rest = use.names
    here: Any = _MISSING
    scope: Any = None
    for name in use.scope:
        scope = space.get(name) if scope is None else class_space(scope).get(name)
        if not issubclass(type(scope), type):
            break
        here = class_space(scope).get(first, here)
    here = space.get(first, _MISSING) if here is _MISSING else here
    for name in rest:
        here = _attribute(here, name)
    return here


def _attribute(here: Any, name: str) -> Any:
    if here is _MISSING:
        return here
    if issubclass(type(here), types.ModuleType):
        return space_of(here).get(name, _MISSING)
    if issubclass(type(here), type):
        return _of_class(here, name)
    found = _of_class(type(here), name)
    return attributes(here).get(name, _MISSING) if found is _MISSING else found


def _said(found: Mapping[str, list[tuple[str, str]]], changed: frozenset[str] | None) -> Iterator[Finding]:
    for title, rows in found.items():
        many = len(rows) > MANY
        for target, place in rows[:1] if many else rows:
            also = [t for t, _ in rows if t != target] if many else []
            words = f"{target.partition(':')[2]} was made" if not target.rpartition(":")[2].isdigit() else "a statement ran"
            words += f" (and {len(also)} more)" if also else ""
            way = "which changes" if changed is None or title in changed else "which comes to call what changes"
            words += f" at import by {title}, {way}; what the old one gave stays; nothing was built from that module's source"
            evidence = {"place": place, "through": title} | ({"also": ", ".join(also[:MAX_PLACES])} if also else {})
            yield Finding("value-stale", Severity.WARNING, target, words, "assign it in a hotfix file, or restart", evidence)


def _unread(names: list[str]) -> Iterator[Finding]:
    if names:
        words = (
            f"what it made at import with what changes couldn't be looked at: {', '.join(sorted(names)[:5])}"
            f"{f' and {len(names) - 5} more' if len(names) > 5 else ''} (no text to be read, or too much of it)"
        )
        yield Finding("import-unseen", Severity.NOTE, min(names), words, "look there yourself for what was made at import")


def marks_of(reach: Mapping[str, str], modules: Callable[[Target], list[types.ModuleType]], rest: Rest) -> Marks:
    """What the names of a patch are in this process; those of modules that aren't loaded, or are in two files, are left out."""
    marks = Marks()
    for module, names in reach.items():
        try:
            spaces = [space_of(m) for m in modules(Target(module, ""))]
        except Refused:  # said where it's a change
            continue
        for name in names.split():
            for space in spaces:
                marks.add_named(space, name, f"{module}:{name.removesuffix('()')}")
            rest()
    return marks
