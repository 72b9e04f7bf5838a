"""
Armed changes: modules that are imported later, or imported again.

One finder at the head of ``sys.meta_path``, there only while a patch is live; it knows modules by name, and what it doesn't know
costs an import one look into a set.  For a module of a live patch it wraps the loader that the others found, forwards all that
is asked of it, and puts the real one back before the body runs.

Rule 1: never breaks an import.  Whatever goes wrong here: the import goes on unpatched, and that is said.
Rule 2: by the text of the file.  It is *after*: nothing to do.  It is *before*: the fix is written into the text, and that is what
    runs.  It is neither: unpatched, a conflict.
Rule 3: no lock of ours is held while a body runs; what a revert needs to know is worked out afterwards, by whoever comes next.
Rule 4: what is armed is what the live patches say, so one commit arms and disarms with all the rest.
"""

from __future__ import annotations

import linecache
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from suture.engine.assemble import CannotAssemble, assemble
from suture.engine.facts import PATCH_MARK, hash_of, lines_of, with_lf
from suture.engine.frames import space_of
from suture.engine.plan import Work
from suture.engine.resolve import Modules
from suture.engine.stage import Applied
from suture.patch import Change, Finding, Patch, Severity
from suture.record import made_by, record
from suture.report import Report, Row

__all__ = ["Arm", "Finder", "arms_of", "source_of", "take_place", "tell", "would_find"]

Later = Callable[[Applied, "Arm", types.ModuleType], str]  # "" or why not


@record(slots=True, eq=False)
class Arm:
    """
    What one patch wants of one module, now and whenever it is imported again.

    Attributes:
        module: Its name, as an import says it.
        changes: The patch's for it.
        before: SHA-256 of the old text, "" if the patch doesn't say.
        after: The same of the new one.
        accept: Errors that were taken on when the patch was applied.
        state: "live" (it was loaded at the commit), "armed"; after an import "updated", "already-fixed" or "left".
        said: How it went, for a person.
        todo: Modules that ran with the fix and aren't in the undo yet.
        seen: Ids of the modules that came by.
        running: An item for each body that runs now.
        stuck: What a revert can't put back.
    """

    module: str
    changes: tuple[Change, ...]
    before: str = ""
    after: str = ""
    accept: frozenset[str] = frozenset()
    state: str = "armed"
    said: str = ""
    todo: list[types.ModuleType] = made_by(default_factory=list)
    seen: list[int] = made_by(default_factory=list)
    running: list[int] = made_by(default_factory=list)
    stuck: list[str] = made_by(default_factory=list)


def arms_of(
    patch: Patch, works: Iterable[Work], unloaded: Iterable[str], accept: frozenset[str], rest: Callable[[], None]
) -> list[Arm]:
    """One for each module: those that aren't loaded, and, for a reload, those that are."""
    live: dict[str, str] = {}
    for work in works:
        name = work.space.get("__name__")
        if isinstance(name, str) and name != "__main__":
            live.setdefault(name, work.change.target.module)
        rest()
    of: dict[str, list[Change]] = {}
    for change in patch.changes:
        of.setdefault(change.target.module, []).append(change)
        rest()
    out = []
    facts = {f.module: f for f in patch.files}
    for state, names in (("live", live), ("armed", {n: n for n in unloaded})):
        for name, module in names.items():
            fact = facts.get(module)
            hashes = (fact.before, fact.after) if fact is not None else ("", "")
            out.append(Arm(name, tuple(of[module]), *hashes, accept, state))
            rest()
    return out


def take_place(
    patch: Patch, unloaded: Iterable[str], stack: Sequence[Applied], replaces: list[Applied], put_back: bool
) -> Iterator[Finding]:
    """
    See which older patches a new one replaces, as it's built from the text that they start from.

    Yields:
        Errors ``overlap``: an older one is armed for more than this one covers.
    """
    texts = {f.module: f.before for f in patch.files if f.before and f.module in unloaded}
    for applied in stack:
        if applied not in replaces and any(a.before == texts.get(a.module) for a in applied.armed if a.state != "live"):
            replaces.append(applied)
    mine = {str(c.target) for c in patch.changes}
    for applied in replaces:
        targets = [str(c.target) for a in applied.armed if a.state == "armed" for c in a.changes]
        if not put_back and not mine.issuperset(targets):
            yield Finding(
                "overlap",
                Severity.ERROR,
                patch.name,
                f"it was built from the source before {applied.patch_id} and covers only a part of what that one is armed for",
                f"revert {applied.patch_id} first, rebuild on top, or replace=True (--replace) puts the rest of it back",
            )


# ---------------------------------------------------------------- before: what would an import find


def would_find(name: str) -> Any:
    """The spec that an import of that name would find, without importing anything; None if there is none."""
    places: Any = None
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        here = ".".join(parts[:depth])
        module = sys.modules.get(here)
        if depth < len(parts) and isinstance(module, types.ModuleType):
            places = space_of(module).get("__path__")
        else:
            spec = next(filter(None, (_ask(f, here, places) for f in list(sys.meta_path))), None)
            if depth == len(parts):
                return spec
            places = getattr(spec, "submodule_search_locations", None)
        if places is None:
            return None
    return None


def _ask(finder: Any, name: str, places: Any) -> Any:
    if type(finder) is Finder or type(finder).__module__ == "suture.engine.carried":
        return None
    try:
        return finder.find_spec(name, places, None)
    except Exception:  # noqa: BLE001 - somebody else's finder
        return None


def source_of(loader: Any, name: str) -> str | None:
    """A module's source text, with LF; None if its loader has none to give."""
    try:
        text = loader.get_source(name)
    except Exception:  # noqa: BLE001 - somebody else's loader
        return None
    return with_lf(text) if isinstance(text, str) else None


# ---------------------------------------------------------------- the import


class Finder:
    """
    Of ``sys.meta_path``.

    Args:
        stack: The live patches, oldest first.
        later: Puts a patch into one module that has run; returns "" or why it can't.
    """

    def __init__(self, stack: list[Applied], later: Later) -> None:
        self.stack, self.later = stack, later
        self.names: frozenset[str] = frozenset()

    def ready(self, arms: Sequence[Arm]) -> None:
        """Stand at the head of the path.  Nothing is armed before the stack says so."""
        if arms:
            self.names |= {a.module for a in arms}
            if self not in sys.meta_path:
                sys.meta_path.insert(0, self)

    def tidy(self) -> None:
        """Know what the stack knows, and go if that is nothing.  Under the engine's lock."""
        self.names = frozenset(a.module for applied in self.stack for a in applied.armed)
        if not self.names:
            while self in sys.meta_path:
                sys.meta_path.remove(self)

    def __enter__(self) -> None:
        """A transaction begins."""

    def __exit__(self, *_: object) -> None:
        """It has ended."""
        self.tidy()

    def forked(self) -> None:
        """In a child: other threads' imports don't go on here."""
        for applied in self.stack:
            for arm in applied.armed:
                arm.running.clear()

    def arms(self, name: str) -> list[tuple[Applied, Arm]]:
        """What the live patches want of a module, oldest first."""
        return [(applied, arm) for applied in list(self.stack) for arm in applied.armed if arm.module == name]

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """What the finders behind this one find, with the loader wrapped."""
        if name not in self.names or not self.arms(name):
            return None
        finders = list(sys.meta_path)
        for finder in finders[finders.index(self) + 1 if self in finders else 0 :]:
            find = getattr(finder, "find_spec", None)
            if find is None:
                return None  # of an old kind: importlib knows how to ask it
            spec = find(name, path, target) if finder is not self else None
            if spec is not None:
                _wrap(spec, name, self)
                return spec
        return None

    def invalidate_caches(self) -> None:
        """Nothing is kept."""

    def run(self, real: Any, name: str, module: types.ModuleType) -> None:
        """Run a module's body, with the fix in it where that can be."""
        arms = self.arms(name)
        try:
            way = _Way(real, name, arms)
        except Exception as error:  # noqa: BLE001 - rule 1
            way = None
            for applied, arm in arms:
                self._conflict(applied, arm, f"a fault of ours: {type(error).__name__}: {error}")
        for _, arm in arms:
            arm.running.append(1)
        try:
            if way is not None and way.code is not None:
                exec(way.code, space_of(module))
            else:
                real.exec_module(module)
        finally:
            for _, arm in arms:
                del arm.running[-1:]
        if way is not None:
            self._told(way, module)

    def _told(self, way: _Way, module: types.ModuleType) -> None:
        try:
            for applied, arm in way.into:
                arm.todo.append(module)
                self._went_in(applied, arm, module, "the fix was in before its body ran")
            for applied, arm in way.after:
                why = self.later(applied, arm, module)
                if why:
                    self._conflict(applied, arm, why, module)
                elif arm.state != "already-fixed":
                    self._went_in(applied, arm, module, f"the fix went in right after its body ran ({way.why})")
            for _, arm in way.fixed:
                arm.state, arm.said = "already-fixed", "its file has the fix"
                arm.seen.append(id(module))
            for applied, arm in way.conflicts:
                self._conflict(applied, arm, "its file is neither the text that the patch starts from nor the fixed one", module)
        except Exception as error:  # noqa: BLE001 - rule 1
            _log(40, f"{module.__name__} was imported, and then: {type(error).__name__}: {error}")

    def _went_in(self, applied: Applied, arm: Arm, module: types.ModuleType, said: str) -> None:
        arm.state, arm.said = "updated", said
        arm.seen.append(id(module))
        if applied not in self.stack:
            _log(40, f"{applied.patch_id} was taken back while {arm.module} was being imported: it has the fix; restart")
        else:
            _log(30, f"{applied.patch_id}: {arm.module} was imported: {said}")

    def _conflict(self, applied: Applied, arm: Arm, why: str, module: types.ModuleType | None = None) -> None:
        arm.state, arm.said = "left", f"{arm.module} was imported without the fix: {why}"
        if module is not None:
            arm.seen.append(id(module))
        _log(40, f"conflict: {applied.patch_id}: {arm.said}")


def _log(level: int, words: str) -> None:
    """To the program's logger, if somebody listens: without a handler logging would print it, and we don't print."""
    logging = sys.modules.get("logging")
    if logging is not None:
        try:
            logger = logging.getLogger("suture")
            if logger.hasHandlers():
                logger.log(level, "%s", words)
        except Exception:  # noqa: BLE001 - a handler of the program's
            pass


def _wrap(spec: Any, name: str, finder: Finder) -> None:
    loader = spec.loader
    lazy = getattr(sys.modules.get("importlib.util"), "LazyLoader", None)
    if lazy is not None and type(loader) is lazy:  # it runs the body later, through the loader that it keeps
        if hasattr(type(loader.loader), "exec_module"):
            loader.loader = _Loader(loader.loader, name, finder)
    elif loader is not None and hasattr(loader, "exec_module"):
        spec.loader = _Loader(loader, name, finder)


class _Loader:
    """Looks like the real loader, but for one method."""

    def __init__(self, real: Any, name: str, finder: Finder) -> None:
        self._real, self._name, self._finder = real, name, finder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # isinstance() asks this
        return type(self._real)

    def exec_module(self, module: types.ModuleType) -> None:
        """Put the real one back, and run the body."""
        space = space_of(module)
        spec: Any = space.get("__spec__")
        if getattr(spec, "loader", None) is self:
            spec.loader = self._real
        if space.get("__loader__") is self:
            space["__loader__"] = self._real
        self._finder.run(self._real, self._name, module)


class _Way:
    """
    How one import goes: which patches are in the text, which go in afterwards, which not at all.

    Attributes:
        code: What to run instead of the real loader's; None: let it run its own.
        why: Why some go in afterwards.
    """

    def __init__(self, real: Any, name: str, arms: Sequence[tuple[Applied, Arm]]) -> None:
        self.code: types.CodeType | None = None
        self.why = ""
        self.into: list[tuple[Applied, Arm]] = []
        self.after: list[tuple[Applied, Arm]] = []
        self.fixed: list[tuple[Applied, Arm]] = []
        self.conflicts: list[tuple[Applied, Arm]] = []
        text = source_of(real, name)
        if text is None:
            self.after, self.why = list(arms), "its loader gives no source text"
            return
        made = self._texts(text, list(arms))
        if not self.into:
            return
        why = "" if _is_plain(real) else f"{type(real).__module__}.{type(real).__qualname__} runs modules in a way of its own"
        if not why:
            try:
                self._compile(real, name, made)
            except Exception as error:  # noqa: BLE001 - rule 1
                why = f"{type(error).__name__}: {error}"
        if why:
            self.after, self.into, self.why = self.into + self.after, [], why

    def _texts(self, text: str, arms: list[tuple[Applied, Arm]]) -> str:
        """Write in what can be; where the file is what a newer patch makes it, all older ones are in it."""
        found = hash_of(text)
        done = max((n for n, (_, arm) in enumerate(arms, 1) if arm.after and arm.after == found), default=0)
        self.fixed, arms = arms[:done], arms[done:]
        exact = True
        for number, (applied, arm) in enumerate(arms):
            if arm.before and exact and hash_of(text) != arm.before:
                self.conflicts.append((applied, arm))
                continue
            try:
                if not (arm.before and exact):
                    raise CannotAssemble("the patch doesn't say from which text it starts")
                text, exact = assemble(text, arm.changes, arm.after)
                self.into.append((applied, arm))
            except CannotAssemble as error:
                self.after, self.why = arms[number:], str(error)
                break
        return text

    def _compile(self, real: Any, name: str, text: str) -> None:
        path = real.get_filename(name)
        marked = f"{path}{PATCH_MARK}{self.into[-1][0].patch_id}"
        own = getattr(type(real), "source_to_code", None)
        if own is None or own is getattr(_external(), "SourceLoader").source_to_code:
            self.code = compile(text, marked, "exec", dont_inherit=True)
        else:  # it does something to the source: as bytes, which is what it gets from importlib
            self.code = real.source_to_code(_bytes(text), marked)
        linecache.cache[marked] = (len(text), None, lines_of(text), marked)


def _bytes(text: str) -> bytes:
    import io
    import tokenize

    data = text.encode("utf-8")
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return text.encode(encoding)


def _external() -> Any:
    return sys.modules["_frozen_importlib_external"]


def _is_plain(loader: Any) -> bool:
    """True if it runs a module as importlib does: get the code, execute it."""
    basics = getattr(_external(), "_LoaderBasics", None)
    kind = type(loader)
    codes = [getattr(_external(), "SourceLoader").get_code]
    zipped = getattr(sys.modules.get("zipimport"), "zipimporter", None)
    if zipped is not None:
        codes.append(zipped.get_code)
    plain = getattr(kind, "exec_module", None)
    return plain is not None and plain is getattr(basics, "exec_module", None) and getattr(kind, "get_code", None) in codes


# ---------------------------------------------------------------- for a person

_TOLD = frozenset(("armed", "in-at-import", "past-the-hook", "conflict"))


def tell(report: Report, applied: Applied) -> None:
    """Bring the report of a live patch up to what imports have made of it since."""
    arms = [a for a in applied.armed if a.state != "live"]
    if not arms:
        return
    past = _past([a for a in arms if a.state != "already-fixed"])
    by_target = {str(c.target): a for a in arms for c in a.changes}
    report.changed = tuple(_row(r, by_target.get(r.target), past) for r in report.changed)
    kept = [f for f in report.findings if f.code not in _TOLD or f.evidence.get("at") != "import"]
    if any(r.status in ("updated", "added") for r in report.changed):
        kept = [f for f in kept if f.code != "live-nowhere"]
    report.findings = (*(_finding(a, past.get(a.module)) for a in arms), *kept)


def _row(row: Row, arm: Arm | None, past: dict[str, str]) -> Row:
    if arm is None:
        return row
    return Row(row.target, "left" if arm.module in past else arm.state, row.functions, row.holders, row.places, row.section)


def _finding(arm: Arm, past: str | None) -> Finding:
    at = {"at": "import"}
    if past is not None:
        return Finding(
            "past-the-hook",
            Severity.WARNING,
            arm.module,
            f"{past} was loaded in a way that asks no finder (a plugin loader, python -m): it runs the old code",
            "revert the patch and apply it again",
            at,
        )
    if arm.state == "left":
        return Finding("conflict", Severity.WARNING, arm.module, arm.said, "rebuild from the file that is there, or restart", at)
    if arm.state == "armed":
        return Finding("armed", Severity.NOTE, arm.module, "isn't imported yet; the fix goes in when it is", "", at)
    return Finding("in-at-import", Severity.NOTE, arm.module, f"was imported since: {arm.said}", "", at)


def _past(arms: Sequence[Arm]) -> dict[str, str]:
    """Names of live modules that are made from a file of a patch and didn't come by here."""
    out: dict[str, str] = {}
    modules = Modules() if arms else None
    for arm in arms:
        try:
            live = modules.of(arm.changes[0].target) if modules is not None else []
        except Exception:  # noqa: BLE001 - being imported right now, or two files of one name
            continue
        for module in live:
            if id(module) not in arm.seen:
                out[arm.module] = str(space_of(module).get("__name__"))
    return out
