"""
Work out every store: new code made to fit, closures, defaults, annotations, documentation, constants, additions.

Writes nothing; without evaluating (for a plan) or in full.
"""

from __future__ import annotations

import ast
import collections
import sys
import types
from collections.abc import Collection, Mapping
from typing import Any

from suture.engine import fit, frames, swap, walk
from suture.engine.facts import (
    Definition,
    alike,
    fingerprint,
    inner_codes,
    pair_codes,
    same_tree,
)
from suture.engine.frames import space_of
from suture.engine.plan import CACHES, Site, Work, decorator_names, rebinds
from suture.engine.resolve import LRU, class_space
from suture.engine.stage import Context, Stage, literal
from suture.engine.swap import ABSENT, Via
from suture.errors import Refused, SutureError
from suture.patch import Finding, Kind, Severity

__all__ = ["Fitting", "control", "same_call"]


class Fitting(Context):
    """The step "fit" of a transaction."""

    values: dict[tuple[int, int], Any]

    def fit(self, *, evaluate: bool) -> None:
        """Work out every store.  Called twice: without evaluating (plan and apply), and in full (apply)."""
        self.stage = Stage("now")
        self.applied.caches, self.applied.codes, self.applied.inner = [], [], []
        self.old, self.extra, self.copies = [], [], {}
        self._take_place()
        for work in self.works:
            if work.status != "todo":
                continue
            try:
                self._fit_one(work, evaluate)
            except SutureError as error:
                self.find(Finding.of(error))
            self.pace()

    def _fit_one(self, work: Work, evaluate: bool) -> None:
        kind, absent = work.change.kind, work.change.before is None
        if absent or rebinds(work.before, work.after):
            if evaluate:
                self._add(work)
        elif kind is Kind.VALUE:
            self._fit_value(work)
        elif kind is Kind.NESTED:
            self._fit_nested(work)
        else:
            for site in work.sites:
                self._fit_function(work, site, evaluate)

    def _add(self, work: Work) -> None:
        for name, value in self.evaluator.add(work):
            if work.owner is not None:
                self.stage.put(work.owner, name, Via.TYPE_SETATTR, value)
                self._protocol(work.owner, name)
                continue
            self.stage.put(work.space, name, Via.SETITEM, value)
            for place in work.change.rebind:
                module_name, _, other = place.partition(":")
                module = self.modules.by_name(module_name)
                if module is not None and other == name and other not in space_of(module):
                    self.stage.put(space_of(module), other, Via.SETITEM, value)

    def _protocol(self, owner: type, name: str) -> None:
        """A protocol keeps a list of its members (3.12+), and caches of who has them."""
        space = class_space(owner)
        if not space.get("_is_protocol") or not hasattr(owner, "__subclasshook__"):
            return
        members = space.get("__protocol_attrs__")
        if members is not None:
            self.stage.put(owner, "__protocol_attrs__", Via.TYPE_SETATTR, {*members, name})
        self.applied.caches.append(_AbcCache(owner))

    def _fit_value(self, work: Work) -> None:
        assert work.before is not None
        owner, name, via = self.value_place(work)
        before, after = literal(work.before.parse()), literal(work.after.parse())
        self.stage.put(owner, name, via, after)
        for place in work.change.rebind:
            module_name, _, other = place.partition(":")
            module = self.modules.by_name(module_name)
            if module is None:
                continue
            live = swap.read(space_of(module), other, Via.SETITEM)
            if alike(live, before):
                self.stage.put(space_of(module), other, Via.SETITEM, after)
            elif not alike(live, after):
                self.find(
                    Finding(
                        "stays-old",
                        Severity.WARNING,
                        place,
                        f"holds another value than {work.target} had: it was changed there and stays",
                        hint="set it in a hotfix file",
                    )
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
            return fit.fit(work.after, new, free, values, node=nodes[0])
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
        if not any(c is live for c in self.old):
            self.old.append(live)
            self.extra.append(extra)
        elif extra == 0:
            at = next(i for i, c in enumerate(self.old) if c is live)
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
            code, changed, alone = _grafted(live, code)
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
        becomes = {id(o): n for o, n in changed}
        held: list[tuple[types.CodeType, Any]] = [*changed, *((c, None) for c in alone), (control(), None)]
        alone = []
        codes = [c for c, _ in held]
        found, left = walk.find_by_code(codes, self.pace)
        codes.pop()
        kept = self._kept(live)
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
        self.copies[id(live)] = _copy_of(live, {id(o) for o in codes}, self.copies)
        self.applied.inner += [(n, self.copies[id(o)]) for o, n in changed if id(o) in self.copies]
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

    def _kept(self, live: types.CodeType) -> Mapping[int, int]:
        """References by id of a code that are ours: for a revert of the patches beneath, and to know it by its source."""
        kept = [c for a in self.stack for e in a.undo.entries for c in (e.store.new, e.old)]
        kept += [c for a in self.stack for pair in (*((c,) for c, _ in a.codes), *a.inner) for c in pair]
        kept += [*(s.new for s in self.stage.stores), *(g.was for g in self.stage.guards), *self.virtual.values()]
        # What a revert puts back has unchanged inner functions of what is live among its constants.
        apart = {id(c): c for o in kept if type(o) is types.CodeType for c in (o, *inner_codes(o).values())}
        here = {id(c) for c in (live, *inner_codes(live).values())}
        return collections.Counter(map(id, [*kept, *(i for k, c in apart.items() if k not in here for i in c.co_consts)]))

    def _fit_defaults(self, work: Work, site: Site, evaluate: bool) -> None:
        assert work.before is not None
        before, after = work.before.parameters, work.after.parameters
        for kinds, name in ((("positional-only", "positional"), "__defaults__"), (("keyword-only",), "__kwdefaults__")):
            old = {p.name: p.default for p in before if p.kind in kinds and p.default is not None}
            new = {p.name: p.default for p in after if p.kind in kinds and p.default is not None}
            replaced = (id(site.function), name) in self.virtual
            if list(old) == list(new) and all(same_tree(old[n], new[n]) for n in old) and not replaced:
                continue
            live = self._now(site.function, name)
            had = dict(zip(old, live or (), strict=False)) if name == "__defaults__" else dict(live or {})
            made = {}
            for key, node in new.items():
                if key in old and key in had and same_tree(old[key], node):
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
        self.virtual = {}
        if not self.replaces:
            return
        sites = [s.function for w in self.works for s in w.sites]
        mine = {id(f) for f in sites}
        # Inner functions that were there have entries of their own, and go with the function that made them.
        inside = {(id(f.__globals__), f"{f.__qualname__}.<locals>") for f in sites}
        names = {(id(w.space), n) for w in self.works for n in (w.change.names or (w.change.target.name,))}
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
                    hint=f"revert {applied.patch_id} first, rebuild on top of it, or replace=True puts the rest of it back",
                )
            for entry in applied.undo.entries:
                store = entry.store
                self.stage.put(store.owner, store.name, store.via, entry.old)
                if isinstance(store.name, str):
                    self.virtual[id(store.owner), store.name] = entry.old


class _AbcCache:
    """Answers of ``isinstance`` that an abstract class remembers; looks like any cache."""

    def __init__(self, owner: type) -> None:
        self.owner = owner

    def cache_clear(self) -> None:
        """Forget them."""
        import _abc  # type: ignore[import-not-found]

        _abc._reset_caches(self.owner)

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
    parts = owner.__qualname__.split(".<locals>")
    return {(id(owner.__globals__), ".<locals>".join(parts[:i]) + ".<locals>") for i in range(1, len(parts))}


def control() -> types.CodeType:
    """A code object that nobody but the caller holds."""
    space: dict[str, Any] = {}
    exec("def control():\n    return None\n", space)
    return space.pop("control").__code__  # type: ignore[no-any-return]  # popped: else the two hold each other


def same_call(a: types.CodeType, b: types.CodeType) -> bool:
    """True if both take the same parameters."""

    def shape(code: types.CodeType) -> tuple[Any, ...]:
        count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
        return code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & 12, code.co_varnames[:count]

    return shape(a) == shape(b)


def _grafted(
    live: types.CodeType, new: types.CodeType
) -> tuple[types.CodeType, list[tuple[types.CodeType, types.CodeType]], list[types.CodeType]]:
    """
    Put the live inner code objects that didn't change into the new outer code.

    So closures that exist, and those that will be made, share one code object, which is how a later patch finds them.

    Returns:
        The new code; (old, new) of the inner functions that changed; old ones without a partner.
    """
    if not any(isinstance(c, types.CodeType) for c in live.co_consts):
        return new, [], []
    pairs, _ = pair_codes(inner_codes(live), inner_codes(new))
    same = {id(n): o for o, n in pairs if fingerprint(o) == fingerprint(n)}
    new = _with_constants(new, same)
    pairs, alone = pair_codes(inner_codes(live), inner_codes(new))
    return new, [(o, n) for o, n in pairs if o is not n], alone


def _with_constants(code: types.CodeType, put: Mapping[int, types.CodeType]) -> types.CodeType:
    constants = tuple(put.get(id(c)) or _with_constants(c, put) if isinstance(c, types.CodeType) else c for c in code.co_consts)
    if all(a is b for a, b in zip(constants, code.co_consts, strict=True)):
        return code
    return code.replace(co_consts=constants)


def _copy_of(code: types.CodeType, changed: Collection[int], copies: dict[int, types.CodeType]) -> types.CodeType:
    """An equal copy of *code* for the undo, with equal copies of its changed inner codes (noted in *copies*)."""
    put = {}
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            copy = _copy_of(inner, changed, copies)
            if copy is not inner or id(inner) in changed:
                put[id(inner)] = copies[id(inner)] = copy.replace() if copy is inner else copy
    if not put:
        return code
    return code.replace(co_consts=tuple(put.get(id(c), c) for c in code.co_consts))
