"""
Is a live module what its source and the patches in it say?

Compares functions (code, literal defaults), literals at the top level and in classes, and the bases of classes.  The source is
compiled here, one definition at a time and in slices, and never run: what is computed when a module is imported isn't compared,
and is counted.

Rule 1: reads only, and runs nobody's code; live spaces are read raw, as in resolve.
Rule 2: a difference was seen: where it can't be told what is live, that is counted, and nothing is said.
"""

from __future__ import annotations

import ast
import builtins
import functools
import operator
import types
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from suture.difference import DIFFERS, NOT_COMPARED, NOT_LOADED, SAME, Difference, ModuleDrift
from suture.engine import witness
from suture.engine.bound import Bound, CantTell, Names, holds, last_bound
from suture.engine.facts import PLAIN, Fingerprint, with_lf
from suture.engine.frames import attributes, class_space, lineage, qualname_of, space_of
from suture.engine.pace import Pace
from suture.engine.pieces import cut
from suture.engine.plan import decorator_names, names_of
from suture.engine.resolve import LRU, Modules, leaves, mangled
from suture.engine.sources import File
from suture.engine.swap import ABSENT
from suture.engine.unwound import Unwound
from suture.engine.values import shown
from suture.engine.witness import Verdict, Witness, qualname_of_code
from suture.errors import Refused
from suture.patch import Target

__all__ = ["compare", "live_of"]

_bases: Any = type.__dict__["__bases__"].__get__  # type: ignore[attr-defined]  # a metaclass may answer getattr
_PLAIN = (*PLAIN, list, tuple, dict, set, frozenset)
_SEEN_THROUGH = frozenset(("staticmethod", "classmethod", "property", "setter", "deleter", "getter", "lru_cache", "abstractmethod"))
_MAKES = frozenset(("__new__", "__init__", "__call__", "__prepare__", "mro"))
_MAKERS = (("abc", "ABCMeta"), ("enum", "EnumMeta"), ("enum", "EnumType"), ("typing", "_ProtocolMeta"))
_PLAIN_MAKERS = frozenset((*_MAKERS, ("typing_extensions", "_ProtocolMeta")))
_PLAIN_HOOKS = frozenset(("enum", "typing", "typing_extensions"))  # modules whose __init_subclass__ leaves names as they are
_LEAVES_NAMES = frozenset(("dataclass", "total_ordering", "final", "runtime_checkable", "unique", "verify", "dataclass_transform"))
_HOLDS_A_FUNCTION = (types.FunctionType, staticmethod, classmethod, property, functools.cached_property, LRU)


def compare(modules: Modules, prints: Mapping[int, Fingerprint], unwound: Unwound, pace: Pace, file: File) -> ModuleDrift:
    """
    Hold every live module that was made from a file against its text.

    Args:
        modules: Live modules.
        prints: Fingerprints of code that suture itself made fit, by id of the code.
        unwound: The patches that are expected.
        pace: Rests.
        file: Dotted name of its module in the tree, its path there, and what reads its text.

    Returns:
        What differs; "not compared" where the text isn't this Python's, or it can't be told which module is meant.
    """
    module, path, text = file
    try:
        live = live_of(modules, module, path)
        if not live:
            return ModuleDrift(module, path, NOT_LOADED)
        pace.label = module
        names = Names()
        for piece in cut(with_lf(text()), path=path, rest=pace):
            names.take(piece, path)
            pace()
        found = [_Comparing(m, Witness(space_of(m), names, prints, unwound, pace, path)) for m in live]
        differences = [d for one in found for d in one.run()]
    except Refused as error:
        where = f"{error.code} {error.target}".strip()
        return ModuleDrift(module, path, NOT_COMPARED, why=f"{error.message} ({where})")
    counts = [sum(getattr(one, n) for one in found) for n in ("compared", "computed", "grown")]
    return ModuleDrift(module, path, DIFFERS if differences else SAME, tuple(differences), *counts)


def live_of(modules: Modules, module: str, path: str) -> list[types.ModuleType]:
    """
    Live modules that a file of a tree is meant to be.

    Raises:
        Refused: As ``Modules.of``.
    """
    found = modules.of(Target(module, "", path))
    names = {space_of(m).get("__name__") for m in found}
    if "." not in module and not names & {module, "__main__"}:
        return []  # found by the end of its path: another package's file of that name, as likely as not
    # Not those whose body hasn't run (importlib.util.LazyLoader).
    return [m for m in found if type(m) is types.ModuleType or qualname_of(type(m)) != "_LazyModule"]


class _Comparing:
    """One live module.  Lives for one call."""

    def __init__(self, module: types.ModuleType, seen: Witness) -> None:
        self.space = space_of(module)
        self.label = str(self.space.get("__name__"))
        self.witness, self.names, self.unwound, self.pace = seen, seen.names, seen.unwound, seen.pace
        self.compared = self.computed = self.grown = 0
        self._lambdas: set[Fingerprint] = set()

    def run(self) -> Iterator[Difference]:
        """Whatever differs, in the order of the source; what the source doesn't have comes last in each class."""
        yield from self._scope((), self.space, self.space, ordinary=True, either=False)
        self.computed += self.witness.computed

    def _scope(
        self,
        classes: tuple[str, ...],
        owner: object,
        space: Mapping[str, Any],
        *,
        ordinary: bool,
        either: bool,
        handled: bool = False,
    ) -> Iterator[Difference]:
        """
        Compare the names of a module or class.

        Args:
            classes: Names of the classes from the module down.
            owner: What the names are stored in, as a patch knows it.
            space: Its names.
            handled: Something that runs when the class is made may have taken names away, or put others in their place.
            ordinary: False for a class that something other than ``type`` may have made: its attributes may be anything.
            either: Two statements make classes of that name, and which of them is live can't be told.
        """
        bound = self.names.of(classes)
        for name, bounds in bound.items():
            self.pace()
            possible, absent = (bounds, True) if either else last_bound(bounds)
            makers = () if classes else self.names.globals.get(name, ())
            absent = absent or handled or bool(makers)
            live = list(self._live(owner, space, name, classes))
            kinds = {b.kind for b in possible}
            wrong: Verdict | None = None
            unseen = not live or (handled and live[0] is ABSENT)  # an attribute of something that isn't looked into; taken away
            if unseen or (makers and self._is_made_later(name, kinds, live, makers)):
                self.computed += 1
            elif "def" in kinds:
                made = owner is not self.space and type(owner) is not type  # by a metaclass, which may put a function anywhere
                wrong = self._function(classes, bounds, possible, live, absent, made)
            elif "class" in kinds:
                wrong = self._class(possible, live, absent)
                if wrong is None and self._is_of(live[0], classes, name):
                    yield from self._inside(classes, bounds, live[0], either)
            elif "value" in kinds:
                told = not either and not handled and not _makes_members(owner)
                wrong = self._value(possible, self._of_enum(space, name, live), absent, ordinary, told)
            elif "lambda" in kinds:
                wrong = self._made_by(possible, live)
            else:
                self.computed += "computed" in kinds
            if wrong is not None:
                yield Difference(self._target(classes, name), *wrong)
            self.witness.forget()
        known = {mangled(n, classes) for n in self.names.scopes.get(classes, {})}
        if not classes:
            self.computed += sum(n in space for n in self.names.globals.keys() - known)
            known |= self.names.globals.keys()
        yield from self._extra(classes, owner, space, known)

    def _live(self, owner: object, space: Mapping[str, Any], name: str, classes: tuple[str, ...]) -> Iterator[Any]:
        """What a name holds now, and what it held before each of the expected patches; ABSENT: nothing was there."""
        first, dot, attribute = name.partition(".")
        if not dot:
            key = mangled(name, classes)
            yield from self.unwound.values(owner, key, space.get(key, ABSENT))
            return
        here = space.get(first, ABSENT)
        if type(here) is types.FunctionType:
            yield from self.unwound.values(here, attribute, getattr(here, attribute, ABSENT))

    def _target(self, classes: tuple[str, ...], name: str) -> str:
        return f"{self.label}:{'.'.join([*classes, name])}"

    # ------------------------------------------------------------ functions

    def _function(
        self,
        classes: tuple[str, ...],
        bounds: Sequence[Bound],
        possible: Sequence[Bound],
        live: Sequence[Any],
        absent: bool,
        hides: bool,
    ) -> Verdict | None:
        """A name that a ``def`` binds: what is under it, through decorators, else what the module has of that name anywhere."""
        defs, wanted = ([b for b in of if b.kind == "def"] for of in (bounds, possible))
        name = defs[0].piece.name
        qualname = ".".join([*classes, name])
        pool = [s.function for raw in live if raw is not ABSENT for s in leaves(raw, "")]
        verdict = self.witness.best(pool, wanted, classes)
        hides = hides or not _SEEN_THROUGH.issuperset(decorator_names(self.witness.definition(wanted[-1], classes)))
        if (hides and verdict is not witness.SAME) or len(defs) > 1:
            pool += [f for f in self.witness.elsewhere(name) if all(f is not other for other in pool)]
        if hides and verdict is not witness.SAME:
            verdict = self.witness.best(pool, wanted, classes)
        mine = [f for f in pool if f.__code__.co_name == name and qualname_of_code(f) == qualname and self.witness.is_ours(f)]
        self.compared += verdict is not None or bool(mine)
        if verdict is witness.SAME:
            # Accessors, registrations: each of those that are live is one of them.
            others = mine if len(defs) > 1 else []
            unlike = next((f for f in others if self.witness.best([f], defs, classes) is not witness.SAME), None)
            return None if unlike is None else ("code", self.witness.where(unlike), self._meant(defs))
        if verdict is not None:
            return verdict
        if any(b.kind == "value" and self._says(raw, b.value) in ("same", "grown") for b in possible for raw in live):
            self.compared += not mine
            return None
        if mine:
            return "code", self.witness.where(mine[0]), self._meant(wanted)
        if live[0] is ABSENT:
            self.compared += not absent
            return None if absent else ("missing", "", f"function {qualname}")
        if len(wanted) < len(possible) or absent or self.names.star or hides:
            self.computed += 1
            return None
        self.compared += 1
        other = pool[0] if type(live[0]) is not types.FunctionType and pool else live[0]
        if type(other) is types.FunctionType and other.__globals__ is self.space and other.__qualname__ == qualname:
            return "code", self.witness.where(other), self._meant(wanted)  # its own, with code from elsewhere
        return "value", shown(other), f"function {qualname}"

    def _is_made_later(self, name: str, kinds: Container[str], live: Sequence[Any], makers: Sequence[Bound]) -> bool:
        """True if a function that declares the name ``global`` has made what it holds, or may have (a class)."""
        functions = [s.function for raw in live if raw is not ABSENT for s in leaves(raw, "")]
        named = [f for f in functions if f.__code__.co_name in (name, "<lambda>")]
        return "class" in kinds or any(self.witness.is_made_by(f, makers) for f in named)

    def _meant(self, defs: Sequence[Bound]) -> str:
        return f"{self.witness.path}:{defs[-1].piece.line}"

    def _made_by(self, possible: Sequence[Bound], live: Sequence[Any]) -> Verdict | None:
        """A name that a statement with lambdas binds: those under it, as far as they are its own."""
        wanted = [prints for b in possible if b.kind == "lambda" for prints in self.witness.lambdas(b.piece)]
        self._lambdas.update(p for prints in wanted for p in prints)
        found = [[s.function for s in leaves(raw, "")] for raw in live if raw is not ABSENT]
        mine = [[f for f in of if f.__code__.co_name == "<lambda>" and self.witness.is_ours(f)] for of in found]
        if not wanted or not any(mine):
            self.computed += 1
            return None
        self.compared += 1
        unlike = [next((f for f in of if not self._is_known(f)), None) for of in mine if of]  # now, and before each of the patches
        first = unlike[0]
        if first is None or None in unlike:
            return None
        return "code", self.witness.where(first), self._meant([b for b in possible if b.kind == "lambda"])

    def _is_known(self, function: types.FunctionType) -> bool:
        return any(self.witness.print_of(code) in self._lambdas for code, _, _ in self.unwound.states(function))

    # ------------------------------------------------------------ classes

    def _class(self, possible: Sequence[Bound], live: Sequence[Any], absent: bool) -> Verdict | None:
        bound = [b for b in possible if b.kind == "class"][-1]
        here = live[0]
        assert bound.node is not None
        if self._is_of(here, bound.piece.classes, bound.piece.name):
            return None
        if here is ABSENT:
            return None if absent else ("missing", "", f"class {bound.piece.name}")
        if absent or self.names.star or bound.node.decorator_list or any(b.kind != "class" for b in possible):
            self.computed += 1
            return None
        self.compared += 1
        return "value", shown(here), f"class {bound.piece.name}"

    def _inside(self, classes: tuple[str, ...], bounds: Sequence[Bound], cls: type, either: bool) -> Iterator[Difference]:
        """A live class, held against the statements that make classes of its name."""
        found = [b for b in bounds if b.kind == "class"]
        node = found[-1].node
        assert node is not None
        functions = [f for f in class_space(cls).values() if type(f) is types.FunctionType]
        if (len(found) < len(bounds) or self.names.star) and not any(map(self.witness.is_ours, functions)):
            self.computed += 1  # somebody else's of that name, perhaps
            return
        either = either or len(found) > 1
        odd = node.decorator_list or node.keywords or getattr(node, "type_params", [])  # the last: 3.12+, and Generic comes in
        bases = None if either or odd else self._named(node, classes)
        states = self.unwound.values(cls, "__bases__", _bases(cls))
        if bases is not None and any(_same_classes(b, bases) for b in states):
            self.compared += 1
        elif bases is not None and self._keeps_its_bases(cls, node, bases):
            self.compared += 1
            yield Difference(self._target(classes, node.name), "bases", _listed(_bases(cls)), _listed(bases))
        else:
            self.computed += bool(node.bases)
        ordinary = type(cls) is type and bases is not None
        yield from self._scope(
            (*classes, node.name), cls, class_space(cls), ordinary=ordinary, either=either, handled=_is_handled(cls, node)
        )

    def _is_of(self, live: Any, classes: tuple[str, ...], name: str) -> bool:
        """True if it's a class that goes by that name, whatever has made it."""
        return issubclass(type(live), type) and qualname_of(live) == ".".join([*classes, name])

    def _keeps_its_bases(self, cls: type, node: ast.ClassDef, bases: Sequence[type]) -> bool:
        """False if its head may have named others when it ran: ``class X(X)``, a name bound twice, a metaclass (TypedDict's)."""
        names = self.names.scopes.get((), {})
        often = any(sum(b.kind != "touched" for b in names.get(_first_name(base), ())) > 1 for base in node.bases)
        return not any(cls is base for base in bases) and not often and _is_plainly_made(type(cls))

    def _named(self, node: ast.ClassDef, classes: tuple[str, ...]) -> list[type] | None:
        """The classes that its head names; None if that can't be told without running it."""
        if classes and any(_first_name(base) in self.names.scopes.get(classes, {}) for base in node.bases):
            return None  # perhaps a name of the class around it
        out: list[type] = []
        for base in node.bases:
            parts: list[str] = []
            while isinstance(base, ast.Attribute):
                parts.insert(0, base.attr)
                base = base.value
            here: Any = self.space.get(base.id, builtins.__dict__.get(base.id)) if isinstance(base, ast.Name) else None
            for part in parts:
                here = space_of(here).get(part) if issubclass(type(here), types.ModuleType) else None
            if not issubclass(type(here), type):
                return None
            out.append(here)
        return out or [object]

    # ------------------------------------------------------------ values

    def _of_enum(self, space: Mapping[str, Any], name: str, live: Sequence[Any]) -> Sequence[Any]:
        """An enumeration keeps its literals in its members: what each holds now, and held before each of the patches."""
        members = space.get("_member_map_")
        member = members.get(name) if type(members) is dict else None
        if member is None:
            return live
        own = attributes(member)
        return list(self.unwound.values(own, "_value_", own.get("_value_", ABSENT)))

    def _value(self, possible: Sequence[Bound], live: Sequence[Any], absent: bool, ordinary: bool, told: bool) -> Verdict | None:
        """A name that a literal is bound to; *told*: nothing but this text decides what becomes of it."""
        wanted = [b.value for b in possible if b.kind == "value"]
        verdicts = [self._says(raw, want) for raw in live for want in wanted]
        if "same" in verdicts or "grown" in verdicts:
            self.compared += 1
            self.grown += "same" not in verdicts
            return None
        here = live[0]
        if here is ABSENT and absent:
            return None
        told = told and len(wanted) == len(possible) and not self.names.star
        if "unknown" in verdicts or not told or not (ordinary or type(here) in _PLAIN):
            self.computed += 1
            return None
        self.compared += 1
        expected = " or ".join(dict.fromkeys(map(shown, wanted)))
        return ("missing", "", expected) if here is ABSENT else ("value", shown(here), expected)

    def _says(self, live: Any, want: Any) -> str:
        try:
            return holds(live, want)
        except (CantTell, RuntimeError):  # the latter: it changes while it's looked at
            return "unknown"

    # ------------------------------------------------------------ what the source doesn't have

    def _extra(self, classes: tuple[str, ...], owner: object, space: Mapping[str, Any], known: set[str]) -> Iterator[Difference]:
        """Functions and classes that were made from the module's file, under names that its text doesn't bind."""
        for key, raw in list(space.items()):
            self.pace()
            if key in known or type(key) is not str or not issubclass(type(raw), (*_HOLDS_A_FUNCTION, type)):
                continue
            if any(value is ABSENT for value in self.unwound.values(owner, key, raw)):
                continue  # an expected patch has added it
            what = self._made_here((*classes, key), raw)
            if what:
                self.compared += 1
                yield Difference(self._target(classes, key), "extra", what)

    def _made_here(self, path: tuple[str, ...], raw: Any) -> str:
        """What the module's own text, as it was, has put under a name; "" if that was somebody else, or a call."""
        if issubclass(type(raw), type):
            if class_space(raw).get("__module__") != self.label or qualname_of(raw) != ".".join(path):
                return ""
            methods = [f for f in class_space(raw).values() if type(f) is types.FunctionType]
            mine = [f for f in methods if self.witness.is_ours(f) and qualname_of_code(f).startswith(f"{'.'.join(path)}.")]
            return f"class {'.'.join(path)}" if mine else ""
        plain = ".".join([*path[:-1], _unmangled(path)])
        for site in leaves(raw, ""):
            function = site.function
            name = qualname_of_code(function)
            if not self.witness.is_ours(function) or function.__code__.co_name == "__annotate__":
                continue
            if name == plain and function.__code__.co_name == plain.rpartition(".")[2]:
                return f"function {plain}"
            if function.__code__.co_name == "<lambda>" and "<locals>" not in name and raw is function:
                return "" if self.witness.print_of(function.__code__) in self._lambdas else "a lambda"
        return ""


def _makes_members(owner: object) -> bool:
    """True for an enumeration whose members aren't just what its text assigns: it, or one it comes from, has a `__new__`."""
    return isinstance(owner, type) and any("__new_member__" in class_space(c) for c in lineage(owner))


def _is_handled(cls: type, node: ast.ClassDef) -> bool:
    """True if a metaclass, an ``__init_subclass__`` or a decorator may have changed which names it has."""
    hooked = any(
        "__init_subclass__" in class_space(c) and class_space(c).get("__module__") not in _PLAIN_HOOKS for c in lineage(cls)[1:-1]
    )
    return hooked or not _is_plainly_made(type(cls)) or not _LEAVES_NAMES.issuperset(names_of(node.decorator_list))


def _is_plainly_made(metaclass: type) -> bool:
    """True if classes that it makes have the bases and the names that their text gives them."""
    for above in lineage(metaclass):
        known = above is type or above is object or (class_space(above).get("__module__"), qualname_of(above)) in _PLAIN_MAKERS
        if not known and not _MAKES.isdisjoint(class_space(above)):
            return False
    return True


def _same_classes(live: Any, named: Sequence[type]) -> bool:
    return type(live) is tuple and len(live) == len(named) and all(map(operator.is_, live, named))


def _first_name(base: ast.expr) -> str:
    while isinstance(base, ast.Attribute):
        base = base.value
    return base.id if isinstance(base, ast.Name) else ""


def _unmangled(path: tuple[str, ...]) -> str:
    """A private name as the source has it."""
    if len(path) > 1 and path[-1].startswith(prefix := f"_{path[-2].lstrip('_')}__"):
        return path[-1][len(prefix) - 2 :]
    return path[-1]


def _listed(classes: Sequence[type]) -> str:
    return ", ".join(map(qualname_of, classes))
