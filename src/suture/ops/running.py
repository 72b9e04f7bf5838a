"""
The source that running processes were started from, as the old side of a patch.

Agents say which files their modules were made from; those that the new tree has a counterpart of, and what lies in the same
packages, become a folder.  It is the old side only if it is what runs: each process compares what it has loaded with it,
definition by definition, and files that were written since the process began are said, as computed values aren't compared.

Prints nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from suture import wire
from suture.errors import Refused, SutureError
from suture.ops.build.sources import Sides
from suture.ops.build.sources.layout import lay_out
from suture.ops.build.sources.release import Files
from suture.ops.build.tree import Tree
from suture.ops.client import Agent, Lost
from suture.ops.drift import Answer, drift
from suture.patch import Finding, Severity

__all__ = ["old_side"]

_MOST = 6  # names in a message
_INSTALLED = ("site-packages", "dist-packages")


def old_side(agents: Sequence[Agent], new: Path, folder: Path) -> Sides:
    """
    Make both sides: what processes run, and a tree.

    Args:
        agents: Of the processes; they must run the same.
        new: A folder, or a file.
        folder: An empty folder for the sides; it is somebody else's to remove.

    Raises:
        Refused: no-tree, not-running (nothing of the tree is loaded, or its files aren't here), processes-differ, not-what-runs.
    """
    if not new.exists():
        raise Refused("no-tree", "there is no such file or folder", target=str(new), hint="check the path")
    loaded, patches = _loaded(agents)
    if patches:  # which may have brought modules with them
        loaded = {m: f for m, f in loaded.items() if os.path.isfile(f)} or loaded
    sides = _one_file(new, loaded, folder) if not new.is_dir() else _Pairing(new, loaded).sides(folder)
    _refuse_drift(drift(agents, sides.old, None))
    pids = ", ".join(str(a.pid) for a in agents[:_MOST]) + (f" and {len(agents) - _MOST} more" if len(agents) > _MOST else "")
    findings = [*sides.findings, *_written_since(agents, sides, loaded)]
    if patches:
        words = f"live in pid {pids} already: {', '.join(patches)}; the old side is the source without them"
        hint = "a change of the same definition needs --replace, with all that is wanted in one patch"
        findings.append(Finding("patches-live", Severity.NOTE, "", words, hint))
    said = f"what runs in pid {pids}"
    return Sides(sides.old, sides.new, said, tuple(findings), sides.origins, rooted=sides.rooted)


def _loaded(agents: Sequence[Agent]) -> tuple[dict[str, str], tuple[str, ...]]:
    """File by module; of several processes what all of them say, and where one has another file that is an error."""
    files: dict[str, str] = {}
    patches: tuple[str, ...] = ()
    if len({a.hello.python.rpartition(".")[0] for a in agents}) > 1:
        words = ", ".join(f"pid {a.pid}: {a.hello.python}" for a in agents[:_MOST])
        raise Refused("processes-differ", f"they run several Pythons: {words}", hint="name one of them: --pid PID")
    for agent in agents:
        try:
            answer, attached = agent.ask(wire.Files)
        except Lost as error:
            raise Refused(
                "not-running", f"the connection was lost: {error}", target=f"pid {agent.pid}", hint="ask again"
            ) from error
        except SutureError as error:
            if error.code != "verb-unknown":
                raise
            words = f"its suture, {agent.hello.suture}, is too old to be asked for its files"
            raise Refused("not-running", words, target=f"pid {agent.pid}", hint="give both trees: OLD NEW") from error
        patches = tuple(dict.fromkeys((*patches, *answer.patches)))
        for row in attached.decode("utf-8", "surrogateescape").splitlines():
            module, _, file = row.partition("\t")
            if module == "__main__":  # `python -m` and a script both have another name in a tree
                module = f"__main__ {agent.pid} {file}"
            if files.setdefault(module, file) != file:
                words = f"{module} is {files[module]} in one process and {file} in pid {agent.pid}"
                raise Refused("processes-differ", words, target=module, hint="name one of them: --pid PID")
    return files, patches


def _one_file(new: Path, loaded: Mapping[str, str], folder: Path) -> Sides:
    """A file against the one of its name that is loaded."""
    tail = "/".join([*Tree(new, new.name).above(), new.name])
    found = sorted({f for f in loaded.values() if f.replace(os.sep, "/").endswith(f"/{tail}")})
    if len(found) != 1:
        words = f"{len(found)} loaded files are called {tail}" + (f": {', '.join(found[:_MOST])}" if found else "")
        hint = "give the folder that it is in, from its import root down"
        raise Refused("not-running", words, target=str(new), hint=hint)
    _refuse_absent(found)
    module = next(m for m, f in loaded.items() if f == found[0])
    parts = tail.split("/") if module.startswith("__main__ ") else _path_of(module, found[0]).split("/")
    place = "/".join(parts)
    laid = lay_out(Files({place: Path(found[0])}), Files({place: new}), folder)
    return Sides(laid.old, laid.new, origins={place: str(new)}, rooted=True)


def _path_of(module: str, file: str) -> str:
    """Where a module's file is below its import root."""
    stem = module.replace(".", "/")
    return f"{stem}/__init__.py" if file.replace(os.sep, "/").endswith("/__init__.py") else f"{stem}.py"


def _refuse_absent(files: Sequence[str]) -> None:
    gone = [f for f in files if not os.path.isfile(f)]
    if gone:
        words = f"files that it has loaded aren't here: {', '.join(gone[:_MOST])}"
        hint = "it may run in another root (a container: run suture inside of it), or its source was removed: give both trees"
        raise Refused("not-running", words, target=gone[0], hint=hint)


@dataclass(frozen=True)
class _Base:
    """
    One import root: in the new tree, and in the process.

    Attributes:
        new: Relative; "" or with a slash at its end.
        old: Absolute, with a slash at its end.
    """

    new: str
    old: str


class _Pairing:
    """Which files of the new tree, and of what is deployed, are two versions of one."""

    def __init__(self, new: Path, loaded: Mapping[str, str]) -> None:
        self.tree = Tree(new)
        self.above = "".join(f"{name}/" for name in self.tree.above())
        self.loaded = {m: f.replace(os.sep, "/") for m, f in loaded.items()}
        self.files = {p: f for p in sorted(self.tree.python()) if (f := self._file(p)) is not None}
        if not self.files:
            hint = "give its import root (a folder on sys.path), or see what runs there: suture ps"
            raise Refused("not-running", "nothing of the tree is loaded in the process", target=str(new), hint=hint)
        _refuse_absent(sorted(self.files.values()))
        self.bases = list(
            dict.fromkeys(_Base(r, f.removesuffix(self._place(p, r))) for p, f in self.files.items() for r in [self._root(p)])
        )
        self.units = {self._unit(p, base.new) for p in self.files for base in self._bases(p)}

    def _root(self, path: str) -> str:
        folder = self.tree.root_of(path).folder
        return f"{folder}/" if folder else ""

    def _place(self, path: str, root: str) -> str:
        """A path below its import root."""
        return self.above + path.removeprefix(root)

    def _file(self, path: str) -> str | None:
        """The file of a path's module in the process; ``__main__`` is known by its file alone."""
        file = self.loaded.get(self.tree.module_of(path))
        mains = sorted({f for m, f in self.loaded.items() if m.startswith("__main__ ")})
        tail = f"/{self._place(path, self._root(path))}"
        found = [f for f in ([file] if file is not None else mains) if f.endswith(tail)]
        return found[0] if len(found) == 1 else None

    def _bases(self, path: str) -> list[_Base]:
        """Those whose folder a path is in; the innermost."""
        found = [b for b in self.bases if path.startswith(b.new)]
        return [b for b in found if len(b.new) == max(len(x.new) for x in found)]

    def _unit(self, path: str, root: str) -> str:
        """The place of the outermost package that a file is in; its own, if it is in none."""
        if self.above:
            return self.above.rstrip("/")
        parts = path.removeprefix(root).split("/")
        packages = ("/".join(parts[:n]) for n in range(1, len(parts)))
        return next((p for p in packages if f"{root}{p}/__init__.py" in self.tree.files), "/".join(parts))

    def sides(self, folder: Path) -> Sides:
        """Both sides in a folder."""
        mine: dict[str, str] = {}  # path in the new tree, by place
        left: list[str] = []
        for path in self.tree.files:
            bases = self._bases(path)
            place = self._place(path, bases[0].new) if bases else path
            if bases and self._belongs(path, place, bases):
                if mine.setdefault(place, path) != path:
                    words = f"{mine[place]} and {path} would have the same path in the patch"
                    raise Refused("paths-clash", words, target=place, hint="give one import root")
            elif path in self.tree.python():
                left.append(path)
        theirs = dict(self._deployed(mine))
        laid = lay_out(Files(theirs), Files({place: self.tree.files[p] for place, p in mine.items()}), folder)
        said: list[Finding] = []
        if left:
            words = f"files of the tree that the process has nothing of: {', '.join(left[:_MOST])}"
            words += f" and {len(left) - _MOST} more" if len(left) > _MOST else ""
            said.append(Finding("left-out-elsewhere", Severity.NOTE, left[0], words, evidence={"place": left[0]}))
        return Sides(laid.old, laid.new, "", tuple(said), mine, rooted=True)

    def _belongs(self, path: str, place: str, bases: Sequence[_Base]) -> bool:
        """True for a file of a package that is loaded, for one that is deployed, and for a module that those mention."""
        unit = self._unit(path, bases[0].new)
        if unit in self.units or any(os.path.isfile(b.old + place) for b in bases):
            return True
        name = unit.rpartition("/")[2].removesuffix(".py").encode()
        return path in self.tree.python() and any(name in self.tree.words_of(p) for p in self.files)

    def _deployed(self, mine: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
        """What is deployed, by place: the packages, and beside them what the new tree has too, or the process has loaded."""
        for base in self.bases:
            for unit in sorted(self.units):
                there = Path(base.old, unit)
                if there.is_dir():
                    yield from ((f"{unit}/{p}", f) for p, f in Tree(there).files.items())
            for place in mine:
                if os.path.isfile(base.old + place):
                    yield place, Path(base.old, place)
            if not base.old.rstrip("/").endswith(_INSTALLED) and not self.above:
                names = (f.removeprefix(base.old) for f in self.loaded.values() if f.startswith(base.old))
                yield from ((n, Path(base.old, n)) for n in names if "/" not in n and os.path.isfile(base.old + n))


# ---------------------------------------------------------------- is it what runs


def _refuse_drift(answers: Sequence[Answer]) -> None:
    for answer in answers:
        if answer.report is None:
            error = answer.error or {}
            words = f"it can't be asked what it runs: {error.get('message', '')}"
            raise Refused("not-what-runs", words, target=f"pid {answer.agent.pid}", hint=error.get("hint", ""))
        report = answer.report
        found = [f"{d.target} ({d.kind})" for m in report.modules for d in m.differences]
        found += [f"{m.path}: {m.why}" for m in report.modules if m.why]
        if found:
            words = f"the files on disk aren't what it runs, {len(found)} "
            words += f"difference{'s' * (len(found) > 1)}: {', '.join(found[:_MOST])}"
            words += f" and {len(found) - _MOST} more" if len(found) > _MOST else ""
            hint = "give the source that it was started from: OLD NEW; suture drift TREE says all that differs"
            raise Refused("not-what-runs", words, target=f"pid {answer.agent.pid}", hint=hint)


def _written_since(agents: Sequence[Agent], sides: Sides, loaded: Mapping[str, str]) -> Iterator[Finding]:
    """Files that were written behind the start of a process."""
    began = min((t for a in agents if (t := _began(a)) is not None), default=None)
    places = Tree(sides.old).files if began is not None else {}
    late: list[str] = []
    for file in sorted(set(loaded.values())):
        if any(file.replace(os.sep, "/").endswith(f"/{p}") for p in places) and os.stat(file).st_mtime > (began or 0.0) + 1.0:
            late.append(file)
    if late:
        words = f"written after the process began: {', '.join(late[:_MOST])}" + (
            f" and {len(late) - _MOST} more" if len(late) > _MOST else ""
        )
        words += "; its code and literals are what runs, but what is computed at import isn't compared"
        hint = "see that they say what they said when it began"
        yield Finding("written-since", Severity.WARNING, late[0], words, hint)


def _began(agent: Agent) -> float | None:
    """When a process began, in seconds since the epoch; None where the kernel doesn't say."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            boot = next(float(row.split()[1]) for row in file if row.startswith("btime "))
    except (OSError, StopIteration):
        return None
    return boot + agent.hello.started / os.sysconf("SC_CLK_TCK") if agent.hello.started else None
