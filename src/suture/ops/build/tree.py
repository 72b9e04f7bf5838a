"""
Source files of a tree: which there are, what module each is, what its text says.

Text is decoded by PEP 263, without a BOM and with LF, before anybody compares anything.  Folders that hold no source of the
program (caches, virtual environments, build outputs) aren't looked into.
"""

from __future__ import annotations
import __future__

import ast
import io
import os
import re
import tokenize
import warnings
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from suture.engine.facts import hash_of, lines_of
from suture.errors import Refused

__all__ = ["Source", "Tree", "is_test"]

_SKIP = frozenset(("__pycache__", "node_modules", "site-packages", "venv"))
_OUTPUTS = frozenset(("build", "dist"))  # only directly below the root, and only if they aren't packages
_LEFT_OUT = (".pyc", ".pyo", ".suture")
_ROOTS = ("src", "lib")
_WORD = re.compile(rb"[A-Za-z_\x80-\xff][\w\x80-\xff]*")
_UNICODE_PREFIX = re.compile(r"\b[uU][\"']")
_FLAGS = {name: getattr(__future__, name).compiler_flag for name in ("annotations", "barry_as_FLUFL")}


@dataclass(frozen=True)
class Source:
    """One file's decoded text (LF, no BOM) and what it parses to."""

    path: str
    module: str
    text: str
    dumps: dict[tuple[object, ...], str] = field(default_factory=dict, compare=False, repr=False)  # see nodes.dump_of

    @cached_property
    def tree(self) -> ast.Module:
        """
        Syntax tree.

        Raises:
            Refused: syntax-error, with the line and a caret.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an invalid escape is its author's business
                tree = ast.parse(self.text)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise _syntax_error(self.path, error) from error
        if _UNICODE_PREFIX.search(self.text):
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant):
                    node.kind = None  # u"" is ""
        return tree

    @cached_property
    def lines(self) -> list[str]:
        """Lines with their ends, as the compiler counts them."""
        return lines_of(self.text)

    @property
    def sha(self) -> str:
        """SHA-256 of the text."""
        return hash_of(self.text)

    @cached_property
    def imported(self) -> frozenset[str]:
        """Names that the module's top level imports, in blocks too: the compiler calls through them in another way (3.11+)."""
        found: set[str] = set()
        todo: list[ast.AST] = list(self.tree.body)
        while todo:
            node = todo.pop()
            if isinstance(node, ast.Import | ast.ImportFrom):
                found.update(a.asname or a.name.partition(".")[0] for a in node.names)
            elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr):
                todo += ast.iter_child_nodes(node)
        return frozenset(found - {"*"})

    @cached_property
    def future_flags(self) -> int:
        """Compiler flags of its ``from __future__`` imports."""
        flags = 0
        for node in self.tree.body:
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                for alias in node.names:
                    flags |= _FLAGS.get(alias.name, 0)
        return flags

    @property
    def has_text_annotations(self) -> bool:
        """True if annotations aren't evaluated (PEP 563)."""
        return bool(self.future_flags & _FLAGS["annotations"])

    @cached_property
    def stars(self) -> tuple[str, ...]:
        """Modules of its ``import *``."""
        nodes = ast.walk(self.tree) if "import *" in self.text else ()
        return tuple(self.absolute(n) for n in nodes if isinstance(n, ast.ImportFrom) and n.names[0].name == "*")

    def absolute(self, node: ast.ImportFrom) -> str:
        """Dotted name of the module that a ``from`` import means in this file."""
        if not node.level:
            return node.module or ""
        is_package = self.path.rpartition("/")[2] == "__init__.py"
        parts = self.module.split(".")
        kept = parts[: max(0, len(parts) - node.level + is_package)]
        return ".".join([*kept, *([node.module] if node.module else [])])

    def imports(self) -> Iterator[str]:
        """Dotted names that its imports may mean as modules, wherever they stand."""
        todo: list[ast.AST] = list(self.tree.body)
        while todo:
            node = todo.pop()
            if isinstance(node, ast.Import):
                yield from (a.name for a in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self.absolute(node)
                yield base
                yield from (f"{base}.{a.name}" for a in node.names)
            else:  # an import is no part of an expression
                for inner in ("body", "handlers", "cases", "orelse", "finalbody"):
                    todo += getattr(node, inner, ())


def _syntax_error(path: str, error: Exception) -> Refused:
    hint = "mend the source, build again"
    if isinstance(error, SyntaxError):
        evidence = {"line": (error.text or "").rstrip("\n"), "caret": " " * max(0, (error.offset or 1) - 1) + "^"}
        place = f"{path}:{error.lineno}" if error.lineno else path
        return Refused("syntax-error", str(error.msg), target=place, evidence=evidence, hint=hint)
    return Refused("syntax-error", str(error) or type(error).__name__, target=path, hint=hint)


class Tree:
    """
    A directory or a single file.

    Args:
        root: It.
        alias: Path to give a single file (both sides of a build must agree).
        like: The tree that says in which package the root lies; None: this one.
    """

    def __init__(self, root: Path, alias: str = "", like: Tree | None = None) -> None:
        self.root = root
        self._single = alias
        self._like = like or self
        self.files = {alias: root} if alias else dict(sorted(self._list()))
        self._bytes: dict[str, bytes] = {}
        self._sources: dict[str, Source] = {}
        self.dumps: dict[tuple[object, ...], str] = {}
        self._words: dict[str, frozenset[bytes]] = {}

    def _list(self) -> Iterator[tuple[str, Path]]:
        for folder, below, names in os.walk(self.root):  # doesn't follow links to folders: they may lead in a circle
            here = Path(folder)
            below[:] = sorted(n for n in below if self._looks_into(here / n))
            for name in names:
                if not name.endswith(_LEFT_OUT) and not name.startswith("."):
                    path = here / name
                    if path.is_file():  # not a pipe, not a link to nowhere
                        yield path.relative_to(self.root).as_posix(), path

    def _looks_into(self, folder: Path) -> bool:
        name = folder.name
        if name.startswith(".") or name in _SKIP or name.endswith((".egg-info", ".dist-info")):
            return False
        if name in _OUTPUTS and folder.parent == self.root and not (folder / "__init__.py").exists():
            return False
        return not (folder / "pyvenv.cfg").exists()

    def python(self) -> set[str]:
        """Paths of Python files that a process may run; tests aren't."""
        return {p for p in self.files if p.endswith(".py") and (self._single or not is_test(p, self.files))}

    def bytes_of(self, path: str) -> bytes:
        """Contents of a file."""
        if path not in self._bytes:
            self._bytes[path] = self.files[path].read_bytes()
        return self._bytes[path]

    def words_of(self, path: str) -> frozenset[bytes]:
        """Names, keywords and words in a file."""
        if path not in self._words:
            self._words[path] = frozenset(_WORD.findall(self.bytes_of(path)))
        return self._words[path]

    def module_of(self, path: str) -> str:
        """
        Dotted name of a file's module.

        Inside a package: from the outermost folder that has an ``__init__.py``, above the root too.  Elsewhere the root is
        an import root, and so is a ``src`` or ``lib`` folder directly below it.
        """
        folders = path.split("/")[:-1]
        stem = path.rpartition("/")[2].removesuffix(".py")
        package: list[str] = []
        while folders and self._is_package(folders):
            package.insert(0, folders.pop())
        if not folders and (package or len(path.split("/")) == 1) and self._is_package([]):
            package = [*self._like.above(), *package]
        elif not package:
            package = folders[1:] if folders[:1] and folders[0] in _ROOTS else folders
        parts = [*package, stem]
        if stem == "__init__" and package:
            parts.pop()
        return ".".join(parts)

    def _is_package(self, folders: list[str]) -> bool:
        if self._single:
            return bool(self._like.above())
        return "/".join([*folders, "__init__.py"]) in self.files

    def above(self) -> list[str]:
        """Package that the root itself (or the folder of a single file) is."""
        folder = (self.root.parent if self._single else self.root).resolve()
        names: list[str] = []
        while (folder / "__init__.py").exists() and folder.name:
            names.insert(0, folder.name)
            folder = folder.parent
        return names

    def source(self, path: str) -> Source:
        """
        Read and decode a file.

        Raises:
            Refused: encoding.
        """
        if path not in self._sources:
            like, module = self._like, self.module_of(path)
            if (
                like is not self
                and path in like.files
                and like.bytes_of(path) == self.bytes_of(path)
                and like.module_of(path) == module
            ):
                self._sources[path] = like.source(path)  # parsed once
            else:
                self._sources[path] = Source(path, module, _decoded(path, self.bytes_of(path)), like.dumps)
        return self._sources[path]


def _decoded(path: str, data: bytes) -> str:
    try:
        encoding = "utf-8"
        if b"\0" not in data:  # else it's the parser's to say (3.14+ raises here already)
            encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        hint = "save it as UTF-8, or declare its encoding (PEP 263)"
        raise Refused("encoding", f"can't be decoded: {error}", target=path, hint=hint) from error
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def is_test(path: str, files: Container[str] = ()) -> bool:
    """
    True for files that a process in production doesn't run.

    Args:
        path: Relative to the tree.
        files: All paths of the tree: a ``test`` folder inside a package is code (``django.test``), elsewhere it isn't.
    """
    folders, _, name = path.rpartition("/")
    if name == "conftest.py" or name.startswith("test_") or name.endswith("_test.py"):
        return True
    parts = folders.split("/") if folders else []
    if "tests" in parts:
        return True
    return any(p == "test" and "/".join([*parts[:at], "__init__.py"]) not in files for at, p in enumerate(parts))
