"""
From a target to what is live: modules made from its file, the class it sits in, the functions under its name.

Reads only, and runs nobody's code: dictionaries of modules, classes and functions are read as they are, never through
``getattr`` (which would bind, compute or import).  A new kind of place where code hides is a reason to change this module.
Idea: wrapt's resolve_path on why a class ``__dict__`` is read; jurigged's walk from name to function.
"""

from __future__ import annotations

import ast
import functools
import os
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from suture.engine.facts import Definition, Fingerprint, alike, fingerprint, literal_value
from suture.engine.frames import class_space, lineage, qualname_of, space_of
from suture.engine.plan import Site, Work
from suture.engine.swap import ABSENT
from suture.engine.walk import walk
from suture.errors import Refused
from suture.patch import Target

__all__ = ["LRU", "Modules", "Resolver", "leaves", "live_class", "mangled", "same_default"]

Rest = Callable[[], None]
LRU = type(functools.lru_cache(lambda: None))
_MAX_LEAVES = 400


class Modules:
    """Live modules by the file they were made from; looked up once a transaction."""

    mine: types.ModuleType | None = None  # whose body has run, though its import hasn't ended

    def __init__(self, rest: Rest = lambda: None) -> None:
        self._by_name: dict[str, types.ModuleType] = {}
        self._by_file: dict[str, list[types.ModuleType]] = {}
        for name, module in list(sys.modules.items()):
            rest()
            if not issubclass(type(module), types.ModuleType):
                continue
            self._by_name[name] = module
            file = _file(module)
            if file and module not in self._by_file.get(file, ()):
                self._by_file.setdefault(file, []).append(module)

    def of(self, target: Target) -> list[types.ModuleType]:
        """
        Every module made from the target's file, ``__main__`` too; empty if it isn't loaded.

        Raises:
            Refused: target-ambiguous (two loaded files end alike), module-importing (another thread is in its body).
        """
        named = self._by_name.get(target.module)
        tails = [target.path] if target.path else []
        stem = target.module.replace(".", "/")
        tails += [f"{stem}.py", f"{stem}/__init__.py"]
        if named is not None:
            file = _file(named)
            if file is None or any(_ends(file, t) for t in tails):
                return self._ready(self._by_file.get(file, [named]) if file else [named], target)
        files = [f for f in self._by_file if _ends(f, tails[0])]
        if len(files) > 1:
            raise Refused(
                "target-ambiguous",
                f"{len(files)} loaded files end in {tails[0]}: {', '.join(sorted(files)[:3])}",
                target=str(target),
                hint="build from the import root, so that the path in the patch is longer",
            )
        return self._ready(self._by_file[files[0]], target) if files else []

    def by_name(self, name: str) -> types.ModuleType | None:
        """The loaded module of that name."""
        return self._by_name.get(name)

    def files(self) -> list[tuple[str, str]]:
        """Name and source file of every module that has one."""
        found = ((name, _file(module)) for name, module in self._by_name.items())
        return [(name, file) for name, file in found if file and file.endswith(".py")]

    def _ready(self, modules: list[types.ModuleType], target: Target) -> list[types.ModuleType]:
        for module in modules:
            if module is not self.mine and getattr(space_of(module).get("__spec__"), "_initializing", False):
                raise Refused(
                    "module-importing",
                    f"{space_of(module).get('__name__')} is being imported by a thread right now: half its names aren't there yet",
                    target=str(target),
                    hint="apply again when the import has ended",
                )
        return modules


def _file(module: types.ModuleType) -> str | None:
    file = space_of(module).get("__file__")
    if not isinstance(file, str):
        return None
    file = file.removesuffix("c") if file.endswith(".pyc") else file  # bytecode alone, in the source's place
    try:
        return os.path.abspath(file) if not os.path.isabs(file) else file
    except OSError:  # a relative path, and the working folder is gone
        return file


def _ends(file: str, tail: str) -> bool:
    file = file.replace(os.sep, "/")
    return file == tail or file.endswith(f"/{tail}")


def mangled(name: str, classes: tuple[str, ...]) -> str:
    """A private name as the class keeps it."""
    if classes and name.startswith("__") and not name.endswith("__"):
        return f"_{classes[-1].lstrip('_')}{name}"
    return name


def leaves(root: object, where: str) -> Iterator[Site]:
    """
    Functions under one live object, through what decorators leave behind.

    Looks through ``__wrapped__``, closure cells, partials, accessors of properties, class and static methods, caches,
    single dispatch and instances that keep a function in an attribute; not into modules, nor into classes.
    """
    seen: set[int] = set()
    todo: list[tuple[object, str, tuple[object, ...]]] = [(root, where, ())]
    while todo and len(seen) < _MAX_LEAVES:
        here, path, above = todo.pop(0)
        if id(here) in seen:
            continue
        seen.add(id(here))
        if type(here) is types.FunctionType:
            yield Site(here, path, above)
        todo += [(child, f"{path}{step}", (*above, here)) for step, child in _children(here)]


def _children(here: Any) -> Iterator[tuple[str, object]]:
    kind = type(here)
    if kind is types.FunctionType:
        for key, value in list(here.__dict__.items()):
            yield f".{key}", value
        for name, cell in zip(here.__code__.co_freevars, here.__closure__ or (), strict=False):
            try:
                value = cell.cell_contents
            except ValueError:  # not filled yet
                continue
            if name != "__class__":
                yield f"<{name}>", value
    elif issubclass(kind, (staticmethod, classmethod)) or kind is types.MethodType:
        yield ".__func__", here.__func__
    elif issubclass(kind, property):
        yield from ((f".{n}", getattr(here, n)) for n in ("fget", "fset", "fdel"))
    elif issubclass(kind, (functools.partial, functools.partialmethod)):
        yield ".func", here.func
        yield from ((f".args[{i}]", a) for i, a in enumerate(here.args))
    elif kind is LRU:
        yield ".__wrapped__", here.__wrapped__
    elif issubclass(kind, (dict, types.MappingProxyType)):
        yield from ((f"[{k!r:.40}]", v) for k, v in list(here.items())[:_MAX_LEAVES])
    elif issubclass(kind, (list, tuple)):
        yield from ((f"[{i}]", v) for i, v in enumerate(here[:_MAX_LEAVES]))
    elif not issubclass(kind, (type, types.ModuleType, str, bytes, int, float, type(None))):
        yield from ((f".{k}", v) for k, v in _attributes(here))


def _attributes(here: object) -> Iterator[tuple[str, object]]:
    """Instance attributes, ``__dict__`` and slots, without running a property."""
    try:
        own = object.__getattribute__(here, "__dict__")
    except AttributeError:
        own = None
    if type(own) is dict:
        yield from list(own.items())
    for cls in lineage(type(here)):
        for name, slot in list(cls.__dict__.items()):
            if type(slot) is types.MemberDescriptorType and cls.__module__ != "builtins":
                try:
                    yield name, slot.__get__(here, type(here))
                except AttributeError:  # empty slot
                    continue


class Resolver:
    """
    Finds the live side of each change and holds it against the preimage.

    Args:
        modules: Live modules.
        prints: Fingerprints of code that suture itself made fit, by id of the code.
        origin: Says who put a piece of code there, or "".
        rest: Called between steps.
    """

    def __init__(
        self,
        modules: Modules,
        prints: Mapping[int, Fingerprint],
        origin: Callable[[types.FunctionType], str],
        rest: Rest,
    ) -> None:
        self.modules = modules
        self.prints = prints
        self.origin = origin
        self.rest = rest
        self._index: dict[int, dict[str, list[Site]]] = {}

    def print_of(self, code: types.CodeType) -> Fingerprint:
        """Fingerprint of live code as its source would have it."""
        return self.prints.get(id(code)) or fingerprint(code)

    # ------------------------------------------------------------ finding

    def container(self, module: types.ModuleType, classes: tuple[str, ...]) -> type | None:
        """The class of that qualified name, looked up by name; None if a name is missing or isn't a class."""
        space: Mapping[str, object] = space_of(module)
        found: type | None = None
        for depth, name in enumerate(classes):
            value = space.get(mangled(name, classes[:depth]))
            if not issubclass(type(value), type):
                return None
            found = value  # type: ignore[assignment]
            space = class_space(found)  # type: ignore[arg-type]
        return found

    def raw(self, work: Work) -> tuple[bool, object]:
        """(is it there, what is under the change's name)."""
        name = mangled(work.change.target.name, work.change.scope.classes)
        space = self.space(work)
        return (name in space, space.get(name))

    def space(self, work: Work) -> Mapping[str, object]:
        """The dictionary that the change's name lives in."""
        if work.owner is None:
            return work.space
        return class_space(work.owner)

    def functions(self, work: Work) -> list[Site]:
        """Candidates for the definition: under its name first, then anywhere in the module under its qualified name."""
        there, raw = self.raw(work) if self.reachable(work) else (False, None)
        where = f"{work.space.get('__name__')}.{work.change.target.qualname}"
        found = list(leaves(raw, where)) if there else []
        return found

    def reachable(self, work: Work) -> bool:
        """False if the class that the name lives in wasn't found by name."""
        return not work.change.scope.classes or work.owner is not None

    def elsewhere(self, work: Work, name: str) -> list[Site]:
        """Functions named *name* that the module made and that can be reached from it, wherever they hide."""
        key = id(work.module)
        if key not in self._index:
            index: dict[str, list[Site]] = {}
            label = str(work.space.get("__name__"))
            for path, function in walk([(label, work.space)], rest=self.rest):
                if function.__globals__ is work.space:
                    index.setdefault(function.__code__.co_name, []).append(Site(function, path))
            self._index[key] = index
        return self._index[key].get(name, [])

    # ------------------------------------------------------------ preimage

    def match(self, work: Work) -> None:
        """
        Fill in the sites of a changed definition, or say that it is fixed already.

        Raises:
            Refused: target-missing, not-python, conflict.
        """
        before, after = work.before, work.after
        assert before is not None and before.code is not None and after.code is not None
        candidates = self.functions(work)
        for optimize, flags, line in self._variants(before, candidates):
            usual = optimize < 0 and flags is None and line is None
            old = before if usual else before.again(optimize=optimize, flags=flags, line=line)
            new = after if usual else after.again(optimize=optimize, flags=flags, line=line)
            for pool in (candidates, None):
                sites = pool if pool is not None else self.elsewhere(work, before.code.co_name)
                matching = self._among(sites, old)
                if matching:
                    new = new if line is None else after.again(optimize=optimize, flags=flags)
                    work.before, work.after, work.sites = old, new, matching
                    return
                if self._among(sites, new):
                    work.before, work.after, work.status = old, new, "already-fixed"
                    return
        raise self._no(work, candidates)

    def _variants(self, before: Definition, candidates: list[Site]) -> Iterator[tuple[int, int | None, int | None]]:
        """
        What the live code may have been compiled with: optimize, ``__future__`` flags, line; None for the patch's own.

        The line matters to classes inside (3.13+): an older patch may have moved a function that it didn't change.
        """
        yield -1, None, None
        found = [s.function.__code__ for s in candidates if s.function.__code__.co_name == before.code.co_name]  # type: ignore[union-attr]
        flags = [None, *(f for f in {c.co_flags & _FUTURE for c in found} if f != before.flags)]
        lines = [None, *({c.co_firstlineno for c in found} - {before.line} if before.keeps_lines else ())]
        for line in lines:
            yield from ((o, f, line) for f in flags for o in (-1, 0, 1, 2) if (o, f, line) != (-1, None, None))

    def _among(self, sites: Iterable[Site], definition: Definition) -> list[Site]:
        """Sites whose function is what the definition says; one line in the file decides between equal ones."""
        assert definition.code is not None
        want = fingerprint(definition.code)
        out = []
        for site in sites:
            code = site.function.__code__
            if (
                code.co_name == definition.code.co_name
                and self.print_of(code) == want
                and _same_defaults(site.function, definition)
            ):
                out.append(site)
            self.rest()
        unique = {id(s.function): s for s in reversed(out)}
        found = list(reversed(unique.values()))
        if len(found) > 1:
            exact = [s for s in found if s.function.__code__.co_firstlineno == definition.code.co_firstlineno]
            return exact or found
        return found

    def _no(self, work: Work, candidates: list[Site]) -> Refused:
        target = work.target
        there, raw = self.raw(work) if self.reachable(work) else (False, None)
        if not there and not candidates:
            return Refused(
                "target-missing",
                f"{work.space.get('__name__')} has no {work.change.target.qualname}, by name or by code",
                target=target,
                hint="the process runs another version: rebuild from the source that it was started from",
            )
        if not candidates:
            kind = f"{type(raw).__module__}.{type(raw).__qualname__}"
            return Refused(
                "not-python",
                f"it is a {kind}, not made of Python code that can be changed",
                target=target,
                hint="C and Cython code, and names that hold something else, need a restart",
                evidence={"type": kind},
            )
        live = candidates[0].function
        by = self.origin(live)
        code = live.__code__
        loader = type(work.space.get("__loader__")).__name__
        assert work.before is not None and work.before.code is not None
        return Refused(
            "conflict",
            "the live code isn't what this patch was built from" + (f"; put there by {by}" if by else ""),
            target=target,
            hint=(f"revert {by} first, or rebuild on top of it" if by else "rebuild from the source that the process runs"),
            evidence={
                "expected": _short(fingerprint(work.before.code)),
                "found": _short(self.print_of(code)),
                "file": f"{code.co_filename}:{code.co_firstlineno}",
                "loader": loader,
                **({"held_by": by} if by else {}),
            },
        )


def _short(value: Fingerprint) -> str:
    return f"{hash(repr(value)) & 0xFFFFFF:06x}"


_FUTURE = 0x1000000  # from __future__ import annotations


def _same_defaults(function: types.FunctionType, definition: Definition) -> bool:
    """False if a default that the source spells out as a plain constant has another value live; others can't be seen."""
    positional = [p for p in definition.parameters if p.kind in ("positional", "positional-only")]
    live = function.__defaults__ or ()
    want = [p for p in positional if p.default is not None]
    if len(want) != len(live):
        return False
    for parameter, value in zip(want, live, strict=True):
        if not same_default(parameter.default, value):
            return False
    keyword = {p.name: p.default for p in definition.parameters if p.kind == "keyword-only" and p.default is not None}
    named = function.__kwdefaults__ or {}
    return keyword.keys() == named.keys() and all(same_default(node, named[name]) for name, node in keyword.items())


def same_default(node: ast.expr | None, live: object) -> bool:
    """False if the source spells out another value; of a table that the program may write to, the type counts alone."""
    if node is None:
        return True
    try:
        value = literal_value(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return True  # computed: this witness can't see it
    if type(value) in (list, dict, set):  # the program may have written to it
        return type(value) is type(live)
    return alike(value, live)


def live_class(work: Work) -> type:
    """
    The class that a change is about.

    Raises:
        Refused: target-missing, conflict.
    """
    hint = "rebuild from the source that the process runs"
    space: Mapping[str, Any] = work.space if work.owner is None else class_space(work.owner)
    live = space.get(mangled(work.change.target.name, work.change.scope.classes), ABSENT)
    if live is ABSENT or (work.change.scope.classes and work.owner is None):
        words = f"there is no class {work.change.target.qualname} by that name"
        raise Refused("target-missing", words, target=work.target, hint=hint)
    if not issubclass(type(live), type):
        words = f"it is a {type(live).__qualname__}, not a class"
        raise Refused("conflict", words, target=work.target, hint=hint)
    here = class_space(live).get("__module__"), qualname_of(live)
    if here != (work.space.get("__name__"), work.change.target.qualname):
        words = f"the class of that name is {here[0]}:{here[1]}"
        raise Refused("conflict", words, target=work.target, hint=hint)
    return live  # type: ignore[no-any-return]
