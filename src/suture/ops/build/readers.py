"""
Who takes a module's names when it is imported: expressions computed from a constant, modules that hold it by name.

Only what runs at import counts: a function reads the name when it is called, and then it reads the new value.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field

from suture.errors import SutureError
from suture.ops.build import nodes
from suture.ops.build.tree import Source, Tree

__all__ = ["Readers", "all_names"]


@dataclass
class _Index:
    """
    Readers of one name.

    Attributes:
        homes: Files by module.
        taken: By (module, name): files that import it from there, and what they call it.
        chains: By dotted path: places that read it as an attribute at import.
    """

    homes: dict[str, list[Source]] = field(default_factory=dict)
    taken: dict[tuple[str, str], list[tuple[Source, str]]] = field(default_factory=dict)
    chains: dict[str, list[str]] = field(default_factory=dict)


class Readers:
    """
    Questions about the import-time readers in one tree.

    A file is only parsed if its bytes contain the name asked for.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._paths = sorted(tree.python())
        self._routes: dict[str, dict[str, str]] = {}
        self._stars: list[Source] | None = None
        self._modules: dict[str, str] | None = None
        self._with_word: dict[str, list[Source]] = {}
        self._indexes: dict[str, _Index] = {}

    def of_name(self, module: str, name: str) -> tuple[list[str], list[str]]:
        """
        Who reads a module's variable.

        Returns:
            Places that compute something from it ("app/m.py:12"), and ``module:name`` of modules that took it by name,
            from those that took it in turn as well.
        """
        places: list[str] = []
        holders: list[str] = []
        todo = [(module, name)]
        seen = set(todo)
        for home, word in todo:  # grows while it is walked
            index = self._index(word)
            places += (place for s in index.homes.get(home, ()) for place in _reads(s, s.tree.body, word))
            places += index.chains.get(f"{home}.{word}", ())
            for source, taken in index.taken.get((home, word), ()):
                if source.module != home and (source.module, taken) not in seen:
                    seen.add((source.module, taken))
                    todo.append((source.module, taken))
                    holders.append(f"{source.module}:{taken}")
            for source in self._star_importers(home, word):
                if (source.module, word) not in seen:
                    seen.add((source.module, word))
                    todo.append((source.module, word))
                    holders.append(f"{source.module}:{word}")
        return sorted(set(places)), holders

    def took(self, module: str, name: str) -> set[tuple[str, str]]:
        """(what they call it, path) of the files that have a module's variable by name, at any remove."""
        found: set[tuple[str, str]] = set()
        todo = [(module, name)]
        for home, word in todo:  # grows while it is walked
            takers = [*self._index(word).taken.get((home, word), ()), *((s, word) for s in self._star_importers(home, word))]
            for source, taken in takers:
                if source.module != home and (taken, source.path) not in found:
                    found.add((taken, source.path))
                    todo.append((source.module, taken))
        return found

    def takers(self, source: Source, name: str) -> list[str]:
        """``module:name`` of the modules that a name added to *source* reaches by ``import *``."""
        found: list[str] = []
        todo = [source]
        for home in todo:  # grows while it is walked
            for other in self._star_importers(home.module, name, home):
                if f"{other.module}:{name}" not in found and name not in nodes.bound_names(other.tree.body):
                    found.append(f"{other.module}:{name}")
                    todo.append(other)
        return found

    # ------------------------------------------------------------ reading files

    def _source(self, path: str) -> Source | None:
        try:
            source = self._tree.source(path)
            return source if source.tree else None
        except SutureError:  # said where the file itself is compared, or it doesn't differ and doesn't run
            return None

    def file(self, path: str) -> Source:
        """A file that has been read."""
        return self._tree.source(path)

    def home(self, module: str) -> Source | None:
        """The file of a module."""
        if self._modules is None:
            self._modules = {self._tree.module_of(p): p for p in self._paths}
        return self._source(self._modules[module]) if module in self._modules else None

    def containing(self, word: str) -> list[Source]:
        """Files in which the word stands."""
        if word not in self._with_word:
            data = word.encode()
            found = [self._source(p) for p in self._paths if data in self._tree.bytes_of(p)]
            self._with_word[word] = [s for s in found if s is not None]
        return self._with_word[word]

    def _star_importers(self, module: str, name: str, home: Source | None = None) -> list[Source]:
        """Modules that have ``from module import *``, if that gives them *name*."""
        if self._stars is None:
            paths = [p for p in self._paths if b"import *" in self._tree.bytes_of(p)]
            self._stars = [s for s in map(self._source, paths) if s is not None]
        found = [s for s in self._stars if any(_is_star_of(n, s, module) for n in nodes.statements(s.tree.body))]
        if not found:
            return []
        home = home or next((s for s in self.containing(name) if s.module == module), None)
        return found if home is not None and exports(home, name) else []

    def _index(self, word: str) -> _Index:
        """Who may read something of that name; made once a name."""
        if word not in self._indexes:
            index = _Index()
            for source in self.containing(word):
                index.homes.setdefault(source.module, []).append(source)
                for node in nodes.statements(source.tree.body):
                    if isinstance(node, ast.ImportFrom):
                        for alias in node.names:
                            if alias.name == word:
                                key = (source.absolute(node), word)
                                index.taken.setdefault(key, []).append((source, alias.asname or word))
                for read in nodes.running(source.tree.body):
                    if isinstance(read, ast.Attribute) and read.attr == word and isinstance(read.ctx, ast.Load):
                        index.chains.setdefault(self.means(source, read), []).append(f"{source.path}:{read.lineno}")
            self._indexes[word] = index
        return self._indexes[word]

    def means(self, source: Source, node: ast.expr) -> str:
        """Dotted path of an attribute chain, by the module's own imports; "" for another expression."""
        if isinstance(node, ast.Attribute):
            before = self.means(source, node.value)
            return f"{before}.{node.attr}" if before else ""
        return self._imports(source).get(node.id, "") if isinstance(node, ast.Name) else ""

    def _imports(self, source: Source) -> dict[str, str]:
        if source.path not in self._routes:
            routes: dict[str, str] = {}
            for node in nodes.statements(source.tree.body):
                if isinstance(node, ast.Import):
                    for alias in node.names:
                        first = alias.name.partition(".")[0]
                        routes[alias.asname or first] = alias.name if alias.asname else first
                elif isinstance(node, ast.ImportFrom):
                    routes |= {a.asname or a.name: f"{source.absolute(node)}.{a.name}" for a in node.names}
            self._routes[source.path] = routes
        return self._routes[source.path]


def all_names(source: Source) -> set[str] | None:
    """Names in its ``__all__``, as far as they're spelled out; None if it has none."""
    found: set[str] | None = None
    for node in source.tree.body:
        if "__all__" in nodes.target_names(node) or (isinstance(node, ast.AugAssign) and ast.unparse(node.target) == "__all__"):
            found = (found or set()) | {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return found


def exports(source: Source, name: str) -> bool:
    """True if ``import *`` takes the name."""
    names = all_names(source)
    return not name.startswith("_") if names is None else name in names


def _is_star_of(node: ast.stmt, source: Source, module: str) -> bool:
    return isinstance(node, ast.ImportFrom) and node.names[0].name == "*" and source.absolute(node) == module


def _reads(source: Source, body: Iterable[ast.stmt], name: str) -> list[str]:
    """Places where something that runs with the body reads the name."""
    dot = "." in name
    return [
        f"{source.path}:{node.lineno}"
        for node in nodes.running(body)
        if (isinstance(node, ast.Name) and not dot and node.id == name and isinstance(node.ctx, ast.Load))
        or (dot and isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and ast.unparse(node) == name)
    ]
