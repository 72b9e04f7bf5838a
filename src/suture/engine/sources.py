"""
A tree on the disk, as the process itself looks at it: which files, what modules they'd be, their text.

For a program that compares itself; an operator's command reads the tree on its own side.
"""

from __future__ import annotations

import io
import os
import sys
import tokenize
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from suture.errors import Refused

__all__ = ["File", "files_of"]

_SKIP = frozenset(("__pycache__", "node_modules", "site-packages", "venv", "tests"))
_ROOTS = ("src", "lib")
_READ_BYTES = 64 * 1024
File = tuple[str, str, Callable[[], str]]


def files_of(source: str | os.PathLike[str] | Mapping[str, str], rest: Callable[[], None]) -> Iterator[File]:
    """
    (module, path in the tree with ``/``, what reads the text) of each file.

    Args:
        source: A folder (an import root, or what has a ``src``), one file, or texts by the module's name.
        rest: Called between steps.

    Reading raises Refused: unreadable, encoding.
    """
    if isinstance(source, Mapping):
        for module, text in source.items():
            yield module, "", partial(str, text)
        return
    root = os.fspath(source)
    if not os.path.isdir(root):
        yield os.path.basename(root).removesuffix(".py"), os.path.basename(root), partial(_text, root, rest)
        return
    for folder, below, names in os.walk(root):  # doesn't follow links to folders: they may lead in a circle
        below[:] = sorted(n for n in below if not n.startswith(".") and n not in _SKIP)
        inside = os.path.relpath(folder, root).replace(os.sep, "/").split("/") if folder != root else []
        for name in sorted(n for n in names if n.endswith(".py") and not n.startswith((".", "test_")) and n != "conftest.py"):
            file = os.path.join(folder, name)
            if os.path.isfile(file):  # not a pipe, not a link to nowhere
                yield _module(root, inside, name), "/".join([*inside, name]), partial(_text, file, rest)
            rest()


def _module(root: str, folders: list[str], name: str) -> str:
    """
    Dotted name: from the outermost folder that is a package; else from the root, or its ``src`` or ``lib``.

    A package in plain folders is a namespace's where the process has it under their names.
    """
    parts = list(folders)
    package: list[str] = []
    while parts and os.path.isfile(os.path.join(root, *parts, "__init__.py")):
        package.insert(0, parts.pop())
    above = parts[1:] if parts[:1] and parts[0] in _ROOTS else parts
    longer = [[*above[at:], *package] for at in range(len(above))] if package and package[0] not in sys.modules else []
    package = next((names for names in longer if ".".join(names) in sys.modules), package or above)
    stem = name.removesuffix(".py")
    return ".".join([*package, *([] if stem == "__init__" and package else [stem])])


def _text(file: str, rest: Callable[[], None]) -> str:
    data = bytearray()
    try:
        with open(file, "rb") as stream:
            while piece := stream.read(_READ_BYTES):
                data += piece
                rest()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(bytes(data[:4096])).readline)
        return bytes(data).decode(encoding)
    except OSError as error:
        raise Refused("unreadable", f"{error.strerror}", target=file, hint="check the path") from error
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        raise Refused("encoding", f"can't be decoded: {error}", target=file, hint="save it as UTF-8 (PEP 263)") from error
