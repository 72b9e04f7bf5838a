"""
Work out every store: new code made to fit, closures, defaults, annotations, documentation, constants, additions.

Writes nothing; without evaluating (for a plan) or in full.
"""

from __future__ import annotations

import abc
import ast
import sys
import types
import weakref
from collections.abc import Iterator
from typing import Any

from suture.engine import fit, frames, members, swap, transplant, walk
from suture.engine.bases import abstract_below, below, header, named, why_not
from suture.engine.computing import Computing, tied
from suture.engine.facts import Definition, equal_copy, fingerprint, same_tree
from suture.engine.frames import class_space, lineage, qualname_of, space_of
from suture.engine.inner import control, grafted, held_by_undos, same_call, undone
from suture.engine.plan import CACHES, Site, Work, acts, binds_anew, decorator_names, is_decorated_anew, is_remade, is_tied, rebinds
from suture.engine.resolve import LRU, live_class, mangled
from suture.engine.revert import left_behind, put_back
from suture.engine.stage import Applied, Stage, let_go
from suture.engine.swap import ABSENT, Via
from suture.errors import Refused, SutureError
from suture.patch import Finding, Kind, Severity

__all__ = ["Fitting"]


class Fitting(Computing):
    """The step "fit" of a transaction."""

    values: dict[tuple[int, int], Any]
    stranded: list[tuple[str, types.FunctionType]]
    rebased: dict[int, tuple[type, ...]]  # new bases, by id of the class
    remade: dict[int, tuple[type, Work]]  # classes that get other bases or methods, by id

    def fit(self, *, evaluate: bool) -> None:
        """Work out every store.  Called twice: without evaluating (plan and apply), and in full (apply)."""
        let_go((self.stage.stores, self.stage.guards), self.pace)  # of the first time
        self.stage = Stage("now")
        self.applied.caches, self.applied.codes = [], []
        self.old, self.old_at, self.extra, self.copies = [], {}, [], {}
        self.rebased, self.remade = {}, {}
        self._take_place()
        self.tied = tied(self.works)
        for work in self.works:
            if work.status != "todo":
                continue
            try:
                self._fit_one(work, evaluate)
            except SutureError as error:
                self.find(Finding.of(error))
            self.pace()
        if evaluate:
            self._remake()
        self._settle_abstract()
        if self.rebased and evaluate:
            self.applied.caches.append(_AbcCache(*self._abstract_classes()))
        written = {id(s.owner) for s in self.stage.stores if s.name == "__code__"}
        for path, function in self.stranded:
            if id(function) not in written:
                self.find(left_behind(path))

    def _remake(self) -> None:
        """Classes that are made anew: last, when all that they read is worked out."""
        works = []
        for work in self.works:
            if work.status == "todo" and is_remade(work.change):
                works.append(work)
            self.pace()
        if works:
            transplant.Remaking(self, self.put_code).remake(works)

    def _fit_one(self, work: Work, evaluate: bool) -> None:
        kind, absent = work.change.kind, work.change.before is None
        if kind is Kind.STATEMENT and (work.change.again or acts(work.change)):
            if evaluate and is_tied(work.change):
                self.fit_tied(work)
            return  # else a part of the table's own value; or run last of all
        if binds_anew(work.change):
            if evaluate:
                self._bind_anew(work)
        elif absent or rebinds(work.before, work.after):
            if evaluate:
                self._add(work)
        elif work.change.decision is not None and work.change.decision.rule == "remove":
            self._remove(work)
        elif kind is Kind.VALUE and work.change.decision is None:
            self.fit_value(work)
        elif kind is Kind.VALUE:
            if evaluate:
                self.fit_computed(work)
        elif kind is Kind.NESTED:
            self._fit_nested(work)
        elif kind is Kind.MEMBERS:
            if evaluate:
                self._renew(work)
        elif kind is Kind.BASES:
            self._fit_bases(work, evaluate)
        else:
            for site in work.sites:
                self._fit_function(work, site, evaluate)
            if evaluate and is_decorated_anew(work.change) and not acts(work.change):
                self._bind_anew(work)

    def _add(self, work: Work) -> None:
        for name, value in self.evaluator.add(work):
            if work.owner is not None:
                self.stage.put(work.owner, name, Via.TYPE_SETATTR, value)
                self._protocol(work.owner, name)
                self.remade.setdefault(id(work.owner), (work.owner, work))
                continue
            self.stage.put(work.space, name, Via.SETITEM, value)
            for place in work.change.rebind:
                module_name, _, other = place.partition(":")
                module = self.modules.by_name(module_name)
                if module is not None and other == name and other not in space_of(module):
                    self.stage.put(space_of(module), other, Via.SETITEM, value)

    def act(self) -> None:
        """
        Run the statements and decorators that somebody chose to run: what they do can't be taken back, so all else comes first.

        Raises:
            Refused: moved-meanwhile (nothing ran); evaluation-failed.
        """
        waiting = [w for w in self.works if w.status == "todo" and acts(w.change)]
        if not waiting:
            return
        for guard in self.stage.guards:
            if swap.read(guard.owner, guard.name, guard.via) is not guard.was:
                raise swap.moved()
            self.pace()
        for work in waiting:
            words = "ran, for good: neither a revert nor a refusal after this undoes what it did"
            self.find(Finding("ran-once", Severity.WARNING, work.target, words))  # first: one that raises has run as well
            (self._add if work.change.kind is Kind.STATEMENT else self._bind_anew)(work)

    def _bind_anew(self, work: Work) -> None:
        """Run a definition, an import or an assignment for its name, and give what it makes to who imported the name."""
        for name, made in self.evaluator.add(work):
            if work.owner is not None:
                self.stage.put(work.owner, name, Via.TYPE_SETATTR, made)
                continue
            was = self.virtual.get((id(work.space), name), swap.read(work.space, name, Via.SETITEM))
            self.stage.put(work.space, name, Via.SETITEM, made)
            self.rebind(work, was, made)

    def _remove(self, work: Work) -> None:
        """Take a name out of a class that inherits another; else it stays, as somebody may look for it."""
        owner, name = work.owner, mangled(work.change.target.name, work.change.scope.classes)
        if owner is None or name not in class_space(owner):
            work.status = "already-fixed"
            self.already(work)
        elif any(name in class_space(base) for base in lineage(owner)[1:]):
            self.stage.put(owner, name, Via.TYPE_SETATTR, ABSENT)
            self.remade.setdefault(id(owner), (owner, work))
        else:
            work.status = "kept"
            words = f"{name} is removed, and its class inherits none; it stays in the process"
            self.find(Finding("removed-kept", Severity.WARNING, work.target, words, "nothing to do, unless something looks for it"))

    def _protocol(self, owner: type, name: str) -> None:
        """A protocol keeps a list of its members (3.12+), and caches of who has them."""
        space = class_space(owner)
        if not space.get("_is_protocol") or not hasattr(owner, "__subclasshook__"):
            return
        members = space.get("__protocol_attrs__")
        if members is not None:
            self.stage.put(owner, "__protocol_attrs__", Via.TYPE_SETATTR, {*members, name})
        self.applied.caches.append(_AbcCache(owner))

    def _renew(self, work: Work) -> None:
        """Members of an enumeration, as a class that is made of either source on the side has them."""
        live = self.resolver.raw(work)[1]
        assert isinstance(live, type) and work.before is not None
        self.evaluator.shadows.learn(self.stage.stores)
        old, new = self.evaluator.anew.class_of(work, anew=False), self.evaluator.anew.class_of(work, anew=True)
        made = members.renew(live, old, new, work, self.evaluator.shadows, self.virtual)
        for owner, name, via, value in made.writes:
            self.stage.put(owner, name, via, value)
        if not made.writes:
            work.status = "already-fixed"
            self.already(work)
        for finding in made.findings(work.target):
            self.find(finding)
        if made.bits:
            self.applied.caches.append(members.Composites(live, made.bits))
        self.evaluator.gets_members(live, new, {n: made.names[n] for n in made.added})

    def _fit_bases(self, work: Work, evaluate: bool) -> None:
        """Give a class other bases; those that the patch itself adds are there only when it's evaluated."""
        live: Any = self.resolver.raw(work)[1]
        node = work.after.parse()
        becomes = named(node, work.space)
        if evaluate:
            becomes = tuple(self.evaluator.expression(work, base) for base in header(node)) or (object,)
        if becomes is None:
            return
        if why := why_not(live, becomes, self.rebased):
            hint = "restart, or add a new class beside it"
            raise Refused("class-shape", f"its bases can't change in place: {why}", target=work.target, hint=hint)
        self.stage.put(live, "__bases__", Via.TYPE_SETATTR, becomes)
        self.rebased[id(live)] = becomes
        self.remade.setdefault(id(live), (live, work))
        if evaluate:
            names = ", ".join(b.__name__ for b in becomes)
            words = (
                f"its bases are {names}, for objects and subclasses that exist too; a single dispatch that has seen it may remember"
            )
            self.find(Finding("bases-changed", Severity.NOTE, work.target, words))

    def _abstract_classes(self) -> Iterator[type]:
        """All there are: each may remember what is one of it."""
        for cls in below(object):
            self.pace()
            if issubclass(type(cls), abc.ABCMeta):
                yield cls

    def _settle_abstract(self) -> None:
        """Which methods are abstract in classes that get other bases or methods, and in those below them."""
        members: dict[int, dict[str, Any]] = {}
        for store in self.stage.stores if self.remade else ():
            if store.via is Via.TYPE_SETATTR:
                members.setdefault(id(store.owner), {})[store.name] = store.new
            self.pace()
        known: dict[int, frozenset[str]] = {}
        done: set[int] = set()
        for cls, work in self.remade.values():
            if not issubclass(type(cls), abc.ABCMeta):
                continue
            before = {id(c): names for c, names in abstract_below(cls, {}, {}, {})}
            for one, names in abstract_below(cls, self.rebased, members, known):
                self.pace()
                had = class_space(one).get("__abstractmethods__", frozenset())
                if id(one) in done or had == names or before.get(id(one), had) != had:  # the last: somebody has set it otherwise
                    continue
                done.add(id(one))
                self.stage.put(one, "__abstractmethods__", Via.TYPE_SETATTR, names)
                if one is not cls and names - had:
                    where = f"{class_space(one).get('__module__')}:{qualname_of(one)}"
                    words = f"{where} lacks {', '.join(sorted(names - had))}: no more objects can be made of it"
                    self.find(
                        Finding("abstract-added", Severity.WARNING, work.target, words, "give it the method in the same patch")
                    )

    def _fit_nested(self, work: Work) -> None:
        for site, becomes in work.nested:
            code = self._code_for(work, site.function, becomes)
            if code is not None:
                self.put_code(site.function, code, becomes)

    def _code_for(self, work: Work, function: types.FunctionType, new: types.CodeType) -> types.CodeType | None:
        """Inner code for a live closure, or None with the warning closures-left."""
        free = function.__code__.co_freevars
        if new.co_freevars == free:
            return new
        nodes = list(fit.function_nodes(work.after, new))
        values = {function.__name__: function} if function.__name__ in new.co_freevars and function.__name__ not in free else {}
        try:
            if len(nodes) != 1:
                raise Refused("does-not-fit", f"{new.co_name} can't be told from another function on its line")
            return grafted(new, fit.fit(work.after, new, free, values, node=nodes[0]))[0]
        except Refused as error:
            self._left(work, 1, error.message)
            return None

    def _left(self, work: Work, count: int, why: str) -> None:
        self.find(
            Finding(
                "closures-left",
                Severity.WARNING,
                work.target,
                f"{count} existing inner function{'s' * (count > 1)} of it stay on the old code: {why}",
                hint="they end with their holders; new ones are made with the new code",
            )
        )

    def put_code(self, function: types.FunctionType, code: types.CodeType, as_source: types.CodeType, extra: int = 0) -> None:
        """
        Give a live function new code.

        Args:
            function: It.
            code: Fits it.
            as_source: What the new source compiles to by itself; a later patch's preimage is held against that where the
                code that fits is another.
            extra: References to its present code beyond one function (1 for an inner function: the enclosing constants).
        """
        live = function.__code__
        self.stage.put(function, "__code__", Via.SETATTR, code)
        wanted = fingerprint(as_source)
        if fingerprint(code) != wanted:
            self.applied.codes.append((code, wanted))
        at = self.old_at.setdefault(id(live), len(self.old))
        if at == len(self.old):
            self.old.append(live)
            self.extra.append(extra)
        elif extra == 0:
            self.extra[at] += 1

    def _now(self, function: types.FunctionType, name: str) -> Any:
        """A field of a live function, as it was before the patches that this one replaces."""
        return self.virtual.get((id(function), name), getattr(function, name))

    def _fit_function(self, work: Work, site: Site, evaluate: bool) -> None:
        before, after, function = work.before, work.after, site.function
        assert before is not None and before.code is not None and after.code is not None
        if fingerprint(before.code) != fingerprint(after.code) or self.virtual:
            live = function.__code__
            values: dict[str, Any] = {}
            if "__class__" in after.code.co_freevars and "__class__" not in live.co_freevars:
                if work.owner is None:
                    raise Refused("does-not-fit", "super() needs its class, which isn't there by name", target=work.target)
                values["__class__"] = work.owner
            try:
                code = fit.fit(after, after.code, live.co_freevars, values)
            except Refused as error:
                raise Refused(error.code, error.message, target=work.target, hint=error.hint, evidence=error.evidence) from error
            code, changed, alone = grafted(live, code)
            self._fit_closures(work, live, changed, alone)
            self.put_code(function, code, after.code)
        self._fit_defaults(work, site, evaluate)
        self._fit_annotations(work, site, evaluate)
        self._fit_doc(work, site)
        if any(n in CACHES for n in decorator_names(before)):
            self.applied.caches += [w for w in site.wrappers if type(w) is LRU]

    def _fit_closures(
        self, work: Work, live: types.CodeType, changed: list[tuple[types.CodeType, types.CodeType]], alone: list[types.CodeType]
    ) -> None:
        """Existing inner functions, made by calls that have ended, get the new code too."""
        if not changed and not alone:
            return
        changed = [*changed, *((v, n) for o, n in changed for v in self._variants(o))]
        becomes = {id(o): n for o, n in changed}
        held: list[tuple[types.CodeType, Any]] = [*changed, *((c, None) for c in alone), (control(), None)]
        alone, changed = [], []
        codes = [c for c, _ in held]
        found, left = walk.find_by_code(codes, self.pace, undone(self.stack))
        codes.pop()
        stage = self.stage
        besides = [*(s.new for s in stage.stores), *(g.was for g in stage.guards), *self.virtual.values()]
        besides += [c for made in self.going_back.values() for c in made]
        kept = held_by_undos(self.stack, besides, [live])
        unaccounted = 0
        mine = frames.inside(codes, self.pace)
        for code in codes:
            for _, function in found[id(code)]:
                new = becomes.get(id(code))
                if new is None:
                    self._left(work, 1, "the new source has no function in its place")
                elif not same_call(code, new):
                    self._left(work, 1, "its parameters or defaults change, and the old defaults were computed when it was made")
                else:
                    fitted = self._code_for(work, function, new)
                    if fitted is not None:
                        self.put_code(function, fitted, new, extra=1)
            unaccounted += max(0, left[id(code)] - sum(c.code is code for c in mine) - kept.get(id(code), 0))
        # Where closures stay behind, a revert gives new ones the very code that those have.
        self.copies.update((id(c), c) for c in codes if id(c) not in self.old_at)
        if unaccounted > 0:
            self.find(
                Finding(
                    "closures-unaccounted",
                    Severity.WARNING,
                    work.target,
                    f"closures-unaccounted: {unaccounted}: references to the old code of its inner functions that nobody was found "
                    "for: closures where suture doesn't look, or suspended calls; they stay on the old code",
                    hint="they end with their holders; restart where that is too late",
                    evidence={"unaccounted": str(unaccounted)},
                )
            )

    def _variants(self, code: types.CodeType) -> list[types.CodeType]:
        """Inner code that was made to fit closures with other cells than *code* has."""
        wanted, place = fingerprint(code), (code.co_filename, code.co_firstlineno, code.co_name)
        known = {id(c): c for a in self.stack for c, as_source in a.codes if as_source == wanted and c is not code}
        return [c for c in known.values() if (c.co_filename, c.co_firstlineno, c.co_name) == place]

    def _fit_defaults(self, work: Work, site: Site, evaluate: bool) -> None:
        assert work.before is not None
        before, after = work.before.parameters, work.after.parameters
        for kinds, name in ((("positional-only", "positional"), "__defaults__"), (("keyword-only",), "__kwdefaults__")):
            old = {p.name: p.default for p in before if p.kind in kinds and p.default is not None}
            new = {p.name: p.default for p in after if p.kind in kinds and p.default is not None}
            replaced = (id(site.function), name) in self.virtual
            again = work.change.again
            if list(old) == list(new) and all(same_tree(old[n], new[n]) and n not in again for n in old) and not replaced:
                continue
            live = self._now(site.function, name)
            had = dict(zip(old, live or (), strict=False)) if name == "__defaults__" else dict(live or {})
            made = {}
            for key, node in new.items():
                if key in old and key in had and same_tree(old[key], node) and key not in again:
                    made[key] = had[key]
                elif evaluate:
                    made[key] = self._evaluated(work, node)
            if evaluate:
                value: Any = (tuple(made.values()) or None) if name == "__defaults__" else (made or None)
                self.stage.put(site.function, name, Via.SETATTR, value)

    def _evaluated(self, work: Work, node: ast.expr) -> Any:
        key = (id(work), id(node))
        if key not in self.values:
            self.values[key] = self.evaluator.expression(work, node)
            if not _is_literal(node):
                self.evaluator.ran.append(f"{work.target}: {ast.unparse(node)}")
        return self.values[key]

    def _fit_annotations(self, work: Work, site: Site, evaluate: bool) -> None:
        assert work.before is not None
        old, new = _annotations(work.before), _annotations(work.after)
        if list(old) == list(new) and all(same_tree(old[n], new[n]) for n in old):
            return
        if not evaluate:
            return
        function = site.function
        as_text = bool(work.after.flags & _ANNOTATIONS)
        if sys.version_info >= (3, 14) and not as_text:
            name, value = "__annotate__", self.evaluator.annotate(work)
        else:
            name = "__annotations__"
            had = dict(self._now(function, name))
            value = {}
            for key, node in new.items():
                if key in old and key in had and same_tree(old[key], node):
                    value[key] = had[key]
                else:
                    value[key] = ast.unparse(node) if as_text else self._evaluated(work, node)
        was = swap.read(function, name, Via.SETATTR)
        self.stage.put(function, name, Via.SETATTR, value)
        for wrapper in site.wrappers:
            if type(wrapper) is types.FunctionType and swap.read(wrapper, name, Via.SETATTR) is was:
                self.stage.put(wrapper, name, Via.SETATTR, value)

    def _fit_doc(self, work: Work, site: Site) -> None:
        assert work.before is not None
        old, new = work.before.doc(), work.after.doc()
        if old == new:
            return
        for holder in (site.function, *site.wrappers):
            if type(holder) in (types.FunctionType, property) and getattr(holder, "__doc__", None) == old:
                self.stage.put(holder, "__doc__", Via.SETATTR, new)

    def _take_place(self) -> None:
        """Where this patch takes an older one's place, begin by putting that one's places back."""
        self.virtual, self.going_back, self.stranded, self.first = {}, {}, [], 0
        if not self.replaces:
            return
        sites = [s.function for w in self.works for s in w.sites]
        mine = {id(f) for f in (*sites, *(w for work in self.works for s in work.sites for w in s.wrappers))}
        # Inner functions that were there have entries of their own, and go with the function that made them.
        inside = {(id(f.__globals__), f"{f.__qualname__}.<locals>") for f in sites}
        names = {place for w in self.works for place in self._places(w)}
        for applied in self.replaces:
            uncovered = [
                e
                for e in applied.undo.entries
                if id(e.store.owner) not in mine
                and (id(e.store.owner), e.store.name) not in names
                and e.old is not ABSENT
                and not inside & _outer(e.store.owner)
            ]
            if uncovered and not self.replace:
                raise Refused(
                    "overlap",
                    f"it was built from the source before {applied.patch_id} and covers only a part of it",
                    target=self.patch_id,
                    hint=f"revert {applied.patch_id} first, rebuild on top, or replace=True (--replace) puts the rest of it back",
                )
            self._put_back(applied)
        self.first = len(self.stage.stores)

    def _places(self, work: Work) -> Iterator[tuple[int, str]]:
        """Names that a change binds."""
        owner = work.space if work.owner is None else work.owner
        for name in (work.change.again if is_tied(work.change) else work.change.names) or (work.change.target.name,):
            yield id(owner), mangled(name, work.change.scope.classes)
        if work.change.kind is Kind.MEMBERS:
            live: Any = self.resolver.raw(work)[1]
            yield from members.places(live)
        if work.change.kind is Kind.VALUE and work.change.before is not None:
            owner, name, _ = self.value_place(work)
            yield id(owner), name
        if is_remade(work.change):
            live = live_class(work)
            yield from ((id(live), name) for name in class_space(live))
        for place in work.change.rebind:
            module_name, _, name = place.partition(":")
            module = self.modules.by_name(module_name)
            if module is not None:
                yield id(space_of(module)), name

    def _put_back(self, applied: Applied) -> None:
        back = put_back(applied, self.stack, self.stage, self.find, self.pace)
        self.going_back.update(back.now)
        self.stranded += back.left
        self.virtual.update(((id(e.store.owner), e.store.name), e.old) for e in applied.undo.entries)
        for function, code in back.put:  # a closure that was made meanwhile has no entry
            self.virtual.setdefault((id(function), "__code__"), equal_copy(code, self.copies))


class _AbcCache:
    """Answers of ``isinstance`` that abstract classes remember; looks like any cache, and keeps none of them alive."""

    def __init__(self, *owners: type) -> None:
        self.owners = [weakref.ref(o) for o in owners]

    def cache_clear(self) -> None:
        """Forget them."""
        import _abc  # type: ignore[import-not-found]

        for owner in filter(None, (o() for o in self.owners)):
            _abc._reset_caches(owner)

    def cache_info(self) -> types.SimpleNamespace:
        """Their number isn't to be had."""
        return types.SimpleNamespace(currsize=0)


_ANNOTATIONS = 0x1000000  # from __future__ import annotations


def _is_literal(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant))


def _annotations(definition: Definition) -> dict[str, ast.expr]:
    found = {p.name: p.annotation for p in definition.parameters if p.annotation is not None}
    returns = definition.returns
    return {**found, "return": returns} if returns is not None else found


def _outer(owner: Any) -> set[tuple[int, str]]:
    """Functions that enclose a function, each by its globals and its name with ``.<locals>``."""
    if type(owner) is not types.FunctionType:
        return set()
    parts = frames.qualname_of(owner).split(".<locals>")
    return {(id(owner.__globals__), ".<locals>".join(parts[:i]) + ".<locals>") for i in range(1, len(parts))}
