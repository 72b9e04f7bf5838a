"""
From changes to what is live: each change finds its modules, its class, its functions, and is held against the preimage.

Reads only.  What a process must look like for a change to go in is decided here and in resolve; the judge has the rules.
"""

from __future__ import annotations

import ast
import sys
import types
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from suture.engine import imports, members, swap
from suture.engine.bases import named
from suture.engine.facts import (
    PATCH_MARK,
    PLAIN,
    Definition,
    Fingerprint,
    alike,
    code_at,
    fingerprint,
    hash_of,
    inner_codes,
    nested_codes,
    pair_codes,
    whole_lines,
)
from suture.engine.frames import class_space, qualname_of, space_of
from suture.engine.plan import Site, Work, binds_anew, is_remade, is_tied, may_be_gone
from suture.engine.resolve import Modules, Resolver, leaves, live_class, mangled
from suture.engine.stage import Applied, Context, literal
from suture.engine.swap import ABSENT, Entry
from suture.errors import Refused, SutureError
from suture.patch import Change, Expect, FileFact, Finding, Kind, Patch, Severity

__all__ = ["Locating", "origin"]

_bases: Any = type.__dict__["__bases__"].__get__  # type: ignore[attr-defined]  # a metaclass may answer getattr


class Locating(Context):
    """The step "resolve" of a transaction."""

    # What is fixed already, or in the way (then with the refusal), unless it is the doing of a patch that is replaced.
    unless_replaced: list[tuple[Work, Refused | None]]
    nested_later: list[tuple[Work, list[tuple[Applied, Site, types.CodeType]]]]
    lacking: dict[int, list[Work]]  # what one of several modules of a file hasn't got at all, by id of the module

    def locate(self, patch: Patch, pairs: deque[tuple[Change, Definition | None, Definition]]) -> None:
        """
        Fill ``works``: each change in each live module it is about.

        Raises:
            Refused: beneath, target-ambiguous.
        """
        self.unless_replaced, self.nested_later, self.lacking = [], [], {}
        modules = Modules(self.pace)
        modules.mine = self.importing
        self.modules = modules
        self.resolver = Resolver(modules, self.prints(), origin, self.pace)
        unloaded: dict[str, str] = {}
        while pairs:  # let go of each: what is alive at once is what collections have to pass over
            change, before, after = pairs.popleft()
            try:
                live = modules.of(change.target)
                if not live:
                    unloaded.setdefault(change.target.module, change.target.path)
                    continue
                self._locate_all([Work(change, before, self._renamed(after, m, change), m) for m in live])
            except SutureError as error:
                self.find(Finding.of(error))
            self.pace()
        self._leave_stubs()
        self._not_loaded(patch, unloaded)
        self._modules_there()
        self._moved_lines(patch)
        self.pace()
        self._undo_replaced()
        self._refuse_beneath()
        self.pace()
        self._refuse_ambiguous()

    def _locate_all(self, works: Sequence[Work]) -> None:
        """
        Locate a change in all modules of its file.

        Raises:
            Refused: One of them has something else there; or none of them has it.
        """
        lacking: list[Work] = []
        for work in works:
            self.works.append(work)
            try:
                self._locate(work)
            except Refused as error:
                last = work is works[-1] and len(lacking) == len(works) - 1  # nobody has it
                if last or not self._lacks(work, error):
                    raise
                self.works.pop()
                lacking.append(work)
        for work in lacking:
            self.lacking.setdefault(id(work.module), []).append(work)

    def _lacks(self, work: Work, error: Refused) -> bool:
        """True if a module object hasn't got what changes, by name or by code: a stub that has the file's path, say."""
        if work.change.before is None or error.code not in ("target-missing", "conflict"):
            return False
        there, _ = self.resolver.raw(work) if self.resolver.reachable(work) else (False, None)
        return not there and (error.code == "target-missing" or work.change.kind in (Kind.VALUE, Kind.NESTED))

    def _leave_stubs(self) -> None:
        """Say of each module what it hasn't got; one that has nothing of what changes gets nothing that is new, either."""
        for key, lacks in self.lacking.items():
            if not any(id(w.module) == key and w.change.before is not None for w in self.works):
                self.works[:] = [w for w in self.works if id(w.module) != key]
                self.unless_replaced = [(w, e) for w, e in self.unless_replaced if id(w.module) != key]
            label = str(lacks[0].space.get("__name__"))
            names = ", ".join(dict.fromkeys(w.change.target.qualname for w in lacks[:5]))
            more = f" and {len(lacks) - 5} more" if len(lacks) > 5 else ""
            words = f"another module object of that file, {label}, hasn't got {names}{more}: it isn't patched there"
            self.find(Finding("not-loaded", Severity.WARNING, label, words, "see what the program has made it for"))

    def _renamed(self, after: Definition, module: types.ModuleType, change: Change) -> Definition:
        """The new code's own file name: ``<module path>@<patch id>``."""
        file = space_of(module).get("__file__")
        name = file if isinstance(file, str) else change.target.path or module.__name__
        if self.patch_id:  # without one it's the file's own code
            name = f"{name}{PATCH_MARK}{self.patch_id}"
        return after.renamed(name)

    def _locate(self, work: Work) -> None:
        change = work.change
        if change.scope.classes:
            work.owner = self.resolver.container(work.module, change.scope.classes)
        if change.kind is Kind.VALUE and work.owner is not None:
            _refuse_members(work.owner, work)
        if binds_anew(change):
            self._locate_rebound(work)
        elif change.kind is Kind.VALUE and change.before is not None:
            self._locate_value(work)
        elif is_remade(change):
            live_class(work)
        elif change.kind is Kind.MEMBERS:
            self._locate_members(work)
        elif change.kind is Kind.BASES:
            self._locate_bases(work)
        elif change.expect is Expect.ABSENT:
            self._expect_absent(work)
        elif change.before is None:  # in the place of what its class's decorators made
            self._expect_class(work)
        elif change.kind is Kind.NESTED:
            self._locate_nested(work)
        else:
            try:
                self.resolver.match(work)
            except Refused as error:
                if error.code == "target-missing" and may_be_gone(change):
                    self._gone(work)
                    return
                found = self._original(work) if error.code == "conflict" else None
                if found is None:
                    raise
                work.sites = found[1]
                self._replace(found[0])
            if work.status == "already-fixed":
                self.unless_replaced.append((work, None))

    def _gone(self, work: Work, *, some: bool = False) -> None:
        """Its module has deleted it, and nobody was found who holds it (or *some* of it): the rest of the patch doesn't need it."""
        work.status = work.status if some else "kept"
        who = "not all that it made was found" if some else "nobody was found who has it"
        words = f"its module deletes it after its use, and {who}; what it made or gave at import stays"
        self.find(Finding("stays-old", Severity.WARNING, work.target, words, "set what depends on it in a hotfix file, or restart"))

    # ------------------------------------------------------------ what older patches replaced

    def _original(self, work: Work) -> tuple[Applied, Sequence[Site]] | None:
        """The older live patch that replaced what this one was built from, and where: then this one takes its place."""
        assert work.before is not None and work.before.code is not None
        return self._replaced(self.resolver.functions(work), fingerprint(work.before.code))

    def _replaced(self, sites: Iterable[Site], want: Fingerprint) -> tuple[Applied, Sequence[Site]] | None:
        sites = list(sites)
        for applied in reversed(self.stack):
            old = {id(e.store.owner): e.old for e in applied.undo.entries if e.store.name == "__code__"}
            found = [s for s in sites if id(s.function) in old and self.resolver.print_of(old[id(s.function)]) == want]
            if found:
                return applied, found
        return None

    def _entry(self, owner: Any, name: Any, patches: Iterable[Applied]) -> tuple[Applied, Entry] | None:
        """What is at a place as one of these patches put it there."""
        for applied in patches:
            for entry in applied.undo.entries:
                store = entry.store
                here = store.owner is owner and type(store.name) is str and store.name == name
                if here and swap.read(owner, name, store.via) is store.new:
                    return applied, entry
        return None

    def _replace(self, applied: Applied) -> None:
        if applied not in self.replaces:
            self.replaces.append(applied)

    def _undo_replaced(self) -> None:
        """What a patch that is replaced has done has to be done again; what somebody else did stays."""
        for work, later in self.nested_later:
            for applied, site, becomes in later:
                if applied in self.replaces:
                    self._take_nested(work, site, becomes)
        for work, error in self.unless_replaced:
            if self._by_replaced(work):
                work.status = "todo"
            elif error is not None:
                self.find(Finding.of(error))
            else:
                work.status = "already-fixed"
                self.already(work)

    def _by_replaced(self, work: Work) -> bool:
        change = work.change
        if (change.kind is Kind.VALUE and change.before is not None) or binds_anew(change):
            owner, name, _ = self.value_place(work)
            return self._entry(owner, name, self.replaces) is not None
        if change.expect is Expect.ABSENT:
            owner = work.space if work.owner is None else work.owner
            names = [mangled(n, change.scope.classes) for n in change.names or (change.target.name,)]
            entries = [self._entry(owner, n, self.replaces) for n in names if n in self.resolver.space(work)]
            return bool(entries) and all(e is not None and e[1].old is ABSENT for e in entries)
        if change.kind is Kind.NESTED:
            return bool(work.nested)
        if change.kind is Kind.BASES:
            return self._entry(self.resolver.raw(work)[1], "__bases__", self.replaces) is not None
        found = self._original(work)
        if found is None or found[0] not in self.replaces:
            return False
        work.sites = found[1]
        return True

    def _refuse_beneath(self) -> None:
        for applied in self.replaces:
            for other in self.stack[self.stack.index(applied) + 1 :]:
                if other not in self.replaces and other.places() & applied.places():
                    raise Refused(
                        "beneath",
                        f"it was built from the source before {applied.patch_id} and would replace it, but {other.patch_id} "
                        "stands on that",
                        target=self.patch_id,
                        hint=f"revert {other.patch_id} first, or rebuild on top of it",
                    )

    def _refuse_ambiguous(self) -> None:
        """Two changes of one function: one of them would be lost, and a revert couldn't tell."""
        taken: dict[int, Work] = {}
        for work in self.works:
            self.pace()
            for site in work.sites if work.status == "todo" else ():
                other = taken.setdefault(id(site.function), work)
                if other.change is not work.change:
                    raise Refused(
                        "target-ambiguous",
                        f"{other.target} and {work.target} are both about {site.where}: which of them made it can't be told",
                        target=work.target,
                        hint="change only the one that the process runs",
                    )

    # ------------------------------------------------------------ kinds of changes

    def _expect_class(self, work: Work) -> None:
        change = work.change
        if change.scope.classes and work.owner is None:
            raise Refused(
                "target-missing",
                f"there is no class {'.'.join(change.scope.classes)} by that name",
                target=work.target,
                hint="the process runs another version: rebuild from the source that it was started from",
            )

    def _expect_absent(self, work: Work) -> None:
        change = work.change
        if is_tied(change):
            return  # held against what the old source makes when that is worked out
        self._expect_class(work)
        space = self.resolver.space(work)
        names = change.names or (change.target.name,)
        there = [n for n in names if mangled(n, change.scope.classes) in space]
        if not there or change.target.slot:
            return
        if self._is_what_it_adds(work, space):
            self.unless_replaced.append((work, None))
            return
        error = Refused(
            "already-defined",
            f"adds {there[0]}, but the process has something of that name",
            target=work.target,
            hint="rename it in the fix, or revert what put it there",
        )
        self.unless_replaced.append((work, error))

    def _locate_rebound(self, work: Work) -> None:
        """A name that is bound anew: it must be what the old source makes it, as far as that can be seen."""
        assert work.before is not None
        owner, name, via = self.value_place(work)
        live = swap.read(owner, name, via)
        if live is ABSENT:
            hint = "the process runs another version: rebuild from the source that it was started from"
            raise Refused("target-missing", f"there is no {work.change.target.qualname}", target=work.target, hint=hint)
        space = self.resolver.space(work)
        if self._is_what_it_adds(work, space):
            self.unless_replaced.append((work, None))
            return
        if self._is_bound_as(work.before, work, space):
            return
        found = self._entry(owner, name, reversed(self.stack))
        if found is not None and self._is_bound_as(work.before, work, {**space, name: found[1].old}):
            self._replace(found[0])
            return
        raise Refused(
            "conflict",
            f"{name} isn't what the source this patch was built from makes it: it is a {type(live).__qualname__} from elsewhere",
            target=work.target,
            hint="set it by hand in a hotfix file, or rebuild from what the process runs",
        )

    def _is_bound_as(self, source: Definition, work: Work, space: Mapping[str, Any]) -> bool:
        """True if a name is what a statement makes it, as far as that can be told without running it."""
        node, name = source.parse(), mangled(work.change.target.name, source.classes)
        live = space.get(name, ABSENT)
        if isinstance(node, ast.Import | ast.ImportFrom):
            return _is_imported(node, space)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            want = fingerprint(source.code) if source.code is not None else None
            return any(fingerprint(s.function.__code__) == want for s in leaves(live, name))
        if isinstance(node, ast.ClassDef):
            return issubclass(type(live), type) and _is_class(live, node, source)
        want = literal(node)
        return want is ABSENT or alike(live, want)

    def _is_what_it_adds(self, work: Work, space: Mapping[str, Any]) -> bool:
        """True if the live name already holds what the addition would bind, as far as that can be seen without running it."""
        node, change = work.after.parse(), work.change
        if isinstance(node, ast.Import | ast.ImportFrom):
            return _is_imported(node, space)
        if change.kind is Kind.FUNCTION:
            return any(
                s.function.__code__.co_name == change.target.name
                and fingerprint(s.function.__code__) == fingerprint(work.after.code)
                for s in self.resolver.functions(work)
                if work.after.code is not None
            )
        if change.kind is Kind.VALUE:
            want = literal(node)
            return want is not ABSENT and alike(space.get(mangled(change.target.name, change.scope.classes)), want)
        live: Any = space.get(mangled(change.target.name, change.scope.classes))
        return isinstance(node, ast.ClassDef) and issubclass(type(live), type) and _is_class(live, node, work.after)

    def _locate_value(self, work: Work) -> None:
        """A constant: the live value must be the one that the old source spells out."""
        assert work.before is not None
        owner, name, via = self.value_place(work)
        live = swap.read(owner, name, via)
        rule = work.change.decision.rule if work.change.decision is not None else ""
        if rule == "remove" and live is not ABSENT and not alike(live, literal(work.before.parse())):
            work.status = "kept"
            words = f"{name} is removed, but what it holds isn't plainly what its source says: it stays in the process"
            self.find(Finding("removed-kept", Severity.WARNING, work.target, words, "delete it in a hotfix file"))
            return
        if rule:  # held against its source when that is evaluated
            if live is ABSENT:
                hint = "the process runs another version: rebuild from the source that it was started from"
                raise Refused("target-missing", f"there is no {work.change.target.qualname}", target=work.target, hint=hint)
            return
        before, after = literal(work.before.parse()), literal(work.after.parse())
        if before is ABSENT or after is ABSENT:
            raise Refused("value-changed", "its value is computed when the module is imported", target=work.target, hint="restart")
        if alike(live, before):
            return
        if alike(live, after):
            self.unless_replaced.append((work, None))
            return
        found = self._entry(owner, name, reversed(self.stack))
        if found is not None and alike(found[1].old, before):
            self._replace(found[0])
            return
        raise Refused(
            "conflict",
            "the live value isn't the one in the source this patch was built from: the program changed it",
            target=work.target,
            hint="set it by hand in a hotfix file, or rebuild from what the process runs",
            evidence={"expected": f"{before!r:.80}", "found": f"{live!r:.80}" if type(live) in PLAIN else type(live).__qualname__},
        )

    def _locate_members(self, work: Work) -> None:
        """An enumeration: its members are held against what the old source makes when that is made, at apply."""
        there, live = self.resolver.raw(work) if self.resolver.reachable(work) else (False, None)
        if not there or not members.is_enumeration(live):
            hint = "the process runs another version: rebuild from the source that it was started from"
            words = f"there is no {work.change.target.qualname} that is an enumeration"
            raise Refused("target-missing", words, target=work.target, hint=hint)
        assert isinstance(live, type)
        if why := members.why_not_made_anew(live):
            raise Refused("enum-members", f"its members can't be made on the side: {why}", target=work.target, hint="restart")
        table = class_space(live)["_member_map_"]
        for applied in reversed(self.stack):  # built from the source before that patch: this one takes its place
            for entry in applied.undo.entries:
                if entry.store.owner is table and entry.store.via is swap.Via.CONTENTS and self._is_as_before(work, entry):
                    self._replace(applied)
                    return

    def _locate_bases(self, work: Work) -> None:
        """A class whose bases change: they must be those that the old source names."""
        assert work.before is not None
        there, live = self.resolver.raw(work) if self.resolver.reachable(work) else (False, None)
        if not there or not issubclass(type(live), type):
            hint = "the process runs another version: rebuild from the source that it was started from"
            words = f"there is no class {work.change.target.qualname}"
            raise Refused("target-missing", words, target=work.target, hint=hint)
        old, new = (named(d.parse(), work.space) for d in (work.before, work.after))
        now = _bases(live)
        if _same(now, old):
            return
        if _same(now, new):
            self.unless_replaced.append((work, None))
            return
        found = self._entry(live, "__bases__", reversed(self.stack))
        if found is not None and _same(found[1].old, old):
            self._replace(found[0])
            return
        raise Refused(
            "conflict",
            f"it comes from {_listed(now)}, and not from what the source names that this patch was built from",
            target=work.target,
            hint="rebuild from what the process runs",
        )

    def _is_as_before(self, work: Work, entry: Entry) -> bool:
        """True if this patch's old source hasn't got the members that an older patch has added."""
        assert work.before is not None
        names = {n for s in getattr(work.before.parse(), "body", []) for n in _names_of(s)}
        added = entry.store.new.keys() - entry.old.keys()
        return bool(added) and names.isdisjoint(added)

    def _locate_nested(self, work: Work) -> None:
        """Functions and lambdas made by a statement that isn't run again: found by their code."""
        assert work.before is not None
        old, new = inner_codes(work.before.compile()), inner_codes(work.after.compile())
        pairs, alone = pair_codes(old, new)
        changed = [(o, n) for o, n in pairs if fingerprint(o) != fingerprint(n)]
        if alone:
            raise Refused(
                "target-ambiguous",
                "which of its functions became which can't be told",
                target=work.target,
                hint="give the functions names",
            )
        missing = 0
        later: list[tuple[Applied, Site, types.CodeType]] = []
        for was, becomes in changed:
            want, after = fingerprint(was), fingerprint(becomes)
            pool = self.resolver.elsewhere(work, was.co_name)
            found = [s for s in pool if self.resolver.print_of(s.function.__code__) == want]
            if len({id(s.function) for s in found}) > 1:
                found = [s for s in found if s.function.__code__.co_firstlineno == was.co_firstlineno] or found
            fixed = any(fingerprint(s.function.__code__) == after for s in pool)
            replaced = None if found else self._replaced(pool, want)
            if replaced is not None and not fixed:
                self._replace(replaced[0])
                found = list(replaced[1])
            elif replaced is not None:
                later += [(replaced[0], s, becomes) for s in replaced[1]]
            for site in {id(s.function): s for s in found}.values():
                self._take_nested(work, site, becomes)
            if not found and not fixed:
                missing += 1
        if missing and may_be_gone(work.change):
            self._gone(work, some=bool(work.sites or later))
        elif missing:
            raise Refused(
                "conflict",
                f"{missing} of the functions it makes aren't found live as the old source has them",
                target=work.target,
                hint="rebuild from the source that the process runs",
            )
        if later:
            self.nested_later.append((work, later))
        if not work.sites and work.status != "kept":
            self.unless_replaced.append((work, None))

    def _take_nested(self, work: Work, site: Site, becomes: types.CodeType) -> None:
        for other, code in work.nested:
            if other.function is site.function and fingerprint(code) != fingerprint(becomes):
                raise Refused(
                    "target-ambiguous",
                    f"which of two functions on one line {site.where} is can't be told: they were equal, and become unlike",
                    target=work.target,
                    hint="give the functions names, or lines of their own",
                )
        work.sites = [*work.sites, site]
        work.nested = [*work.nested, (site, becomes)]

    def _modules_there(self) -> None:
        """Modules that the patch brings: the process must not have one of that name, or the very same."""
        new = []
        for one in self.applied.carried:
            text = self._text_of(one.name)
            if text is None and one.name not in sys.modules:
                new.append(one)
            elif text is not None and hash_of(whole_lines(text)) == hash_of(one.text):
                self.find(
                    Finding("already-fixed", Severity.NOTE, one.name, "the process has that module, or finds it, as it is here")
                )
            else:
                hint = "give the new module another name, or see what the process runs"
                self.find(Finding("already-defined", Severity.ERROR, one.name, "there is another module of that name", hint))
            self.pace()
        self.applied.carried[:] = new

    def _text_of(self, name: str) -> str | None:
        """Text of a module that is loaded, or that an import would find; "" if that can't be had."""
        for applied in self.stack:
            for one in applied.carried:
                if one.name == name:
                    return one.text
        module = sys.modules.get(name)
        if isinstance(module, types.ModuleType):
            loader = space_of(module).get("__loader__")
            return imports.source_of(loader, name) or ""
        spec = imports.would_find(name)
        return None if spec is None else imports.source_of(spec.loader, name) or ""

    def _not_loaded(self, patch: Patch, unloaded: Mapping[str, str]) -> None:
        files = {f.module: f for f in patch.files}
        armed: dict[str, Any] = {}
        for module in unloaded:
            target = next(c.target for c in patch.changes if c.target.module == module)
            spec = imports.would_find(module)
            if spec is None:
                self.find(
                    Finding(
                        "module-unknown",
                        Severity.ERROR,
                        str(target),
                        f"no module {module} is loaded, and no file that an import of it would find",
                        hint="build from the import root, or from the tree that this process runs",
                    )
                )
            elif module in sys.modules:
                self.find(
                    Finding(
                        "not-loaded",
                        Severity.WARNING,
                        str(target),
                        f"{module} is in sys.modules, but isn't a module made from that file: an import makes none",
                        hint="see what the program has put in its place",
                    )
                )
            else:
                self._would_arm(files.get(module), module, spec, armed)
            self.pace()
        self.unloaded = armed
        for finding in imports.take_place(patch, armed, self.stack, self.replaces, self.replace):
            self.find(finding)
        if unloaded and not self.works and not armed:
            if any(f.severity is Severity.WARNING and f.code == "not-loaded" for f in self.findings):
                self.find(
                    Finding(
                        "nothing-loaded",
                        Severity.ERROR,
                        "",
                        "none of the patch's modules is imported in this process, nor can be",
                        hint="check the import root",
                    )
                )
        if armed and not self.works:
            self.find(
                Finding(
                    "live-nowhere",
                    Severity.WARNING,
                    "",
                    "none of the patch's modules is imported in this process yet: it is armed, and runs nowhere here",
                    hint="check that it is the right service; it goes in when the modules are imported",
                )
            )

    def _would_arm(self, fact: FileFact | None, module: str, spec: Any, armed: dict[str, Any]) -> None:
        """Say what an import would do, by the text that is there now."""
        text = imports.source_of(spec.loader, module)
        path = (spec.origin or "") if spec.has_location else ""
        found = hash_of(text) if text is not None else ""
        if fact is not None and found not in (fact.before, fact.after):  # importlib drops a last "\r"
            found = (text_hash(path) if path else "") or found
        no_text = path.endswith(".py") and not found
        if fact is not None and found and fact.after == found:
            note = f"{module} isn't imported here; the file has the fix already"
            self.find(Finding("not-loaded", Severity.NOTE, module, note))
            return
        armed[module] = spec
        if fact is None or (not found and not no_text) or fact.before == found:
            words = f"{module} isn't imported here yet; the fix goes in when it is, " + (
                "before its body runs" if found and fact is not None else "if it's what the patch starts from"
            )
            self.find(Finding("armed", Severity.NOTE, module, words, evidence={"at": "import"}))
            return
        self.find(
            Finding(
                "armed",
                Severity.WARNING,
                module,
                f"{module} isn't imported here yet, and its file is neither what the patch starts from nor the fixed one: if it's "
                "imported as it is now, that goes on without the fix",
                hint="rebuild from the file that is there, or put the fixed one in place",
                evidence={"at": "import"},
            )
        )

    def _moved_lines(self, patch: Patch) -> None:
        """Unchanged functions keep their lines; where the file on disk is the new one already, tracebacks show wrong text."""
        for fact in patch.files:
            if not fact.moved:
                continue
            module = self.modules.by_name(fact.module)
            file = space_of(module).get("__file__") if module is not None else None
            if isinstance(file, str) and fact.after and text_hash(file) == fact.after:
                names = ", ".join(fact.moved[:5])
                self.find(
                    Finding(
                        "lines-moved",
                        Severity.WARNING,
                        f"{fact.module}:{fact.moved[0]}",
                        f"{file} on disk is the new one: tracebacks of unchanged functions ({names}) show it at their old lines",
                        hint="read them beside the old release; a restart ends it",
                    )
                )
            self.pace()


def _refuse_members(owner: type, work: Work) -> None:
    """A class that was made from its attributes doesn't notice another one; the source alone may not show what it is."""
    name = mangled(work.change.target.name, work.change.scope.classes)
    enum = sys.modules.get("enum")
    if enum is not None and issubclass(type(owner), enum.EnumMeta) and not name.startswith("_"):
        code, word = "enum-members", "member"
    elif _is_of_objects((class_space(owner).get("__dataclass_fields__") or {}).get(name)):
        code, word = "class-fields", "field"
    else:
        return
    raise Refused(
        code, f"{name} is a {word} that its class was made from", target=work.target, hint="restart, or keep it outside the class"
    )


def _is_of_objects(field: Any) -> bool:
    """False for no field, and for the entry that a variable of the class (ClassVar) has among them."""
    return field is not None and "CLASSVAR" not in repr(getattr(field, "_field_type", ""))


def _same(a: Sequence[type] | None, b: Sequence[type] | None) -> bool:
    return a is not None and b is not None and len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))


def _listed(classes: Sequence[type]) -> str:
    return ", ".join(map(qualname_of, classes))


def _names_of(node: ast.stmt) -> list[str]:
    targets = [*getattr(node, "targets", ()), *([node.target] if isinstance(node, ast.AnnAssign) else ())]
    return [t.id for target in targets for t in ast.walk(target) if isinstance(t, ast.Name)]


def _is_imported(node: ast.Import | ast.ImportFrom, space: Mapping[str, Any]) -> bool:
    """True if the names of an import hold what it would bind them to."""
    if isinstance(node, ast.ImportFrom):
        return all(_imported(node, a.name, space) is space.get(a.asname or a.name, ABSENT) for a in node.names)
    return all(
        (a.asname or a.name.partition(".")[0]) in space
        and sys.modules.get(a.name if a.asname else a.name.partition(".")[0]) is space[a.asname or a.name.partition(".")[0]]
        and a.name in sys.modules
        for a in node.names
    )


def _imported(node: ast.ImportFrom, name: str, space: Mapping[str, Any]) -> Any:
    """What ``from ... import name`` would bind in that namespace, if that can be told without running it; else a new object."""
    parts = [node.module] if node.module else []
    if node.level:
        package = str(space.get("__package__") or "").split(".")
        parts[:0] = package[: len(package) - node.level + 1]
    stem = ".".join(parts)
    module = sys.modules.get(stem)
    found = space_of(module).get(name, ABSENT) if isinstance(module, types.ModuleType) else ABSENT
    found = sys.modules.get(f"{stem}.{name}", ABSENT) if found is ABSENT else found
    return object() if found is ABSENT else found


def _is_class(live: type, node: ast.ClassDef, definition: Definition) -> bool:
    """True if a live class has the bases by name, the functions and the plain attributes that its text has."""
    bases = [b.id if isinstance(b, ast.Name) else b.attr if isinstance(b, ast.Attribute) else "" for b in node.bases]
    if (bases or ["object"]) != [qualname_of(b).rpartition(".")[2] for b in _bases(live)]:
        return False
    space, classes = class_space(live), (*definition.classes, node.name)
    for code in nested_codes(code_at(definition.compile(), classes)):
        if not code.co_name.startswith("<") and code.co_name != "__annotate__":  # the latter: annotations, 3.14+
            sites = leaves(space.get(mangled(code.co_name, classes)), "")
            if not any(fingerprint(s.function.__code__) == fingerprint(code) for s in sites):
                return False
    for statement in node.body:
        value = literal(statement)
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        for target in targets if value is not ABSENT else ():
            if isinstance(target, ast.Name) and not alike(space.get(mangled(target.id, classes), ABSENT), value):
                return False
    return True


def origin(function: types.FunctionType) -> str:
    """Id of the patch that put this code there, or ""."""
    return function.__code__.co_filename.rpartition(PATCH_MARK)[2] if PATCH_MARK in function.__code__.co_filename else ""


def text_hash(path: str) -> str:
    """SHA-256 of a source file's text, decoded and with LF; "" if it can't be read."""
    import io
    import tokenize

    try:
        with open(path, "rb") as file:
            data = file.read()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
    except (OSError, SyntaxError, UnicodeDecodeError, LookupError):
        return ""
    return hash_of(text)
