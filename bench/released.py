"""
The process that `releases.py` patches: it has a release imported and used, applies, looks, and takes the patch back.

Rule 1: nothing of it is suture's own view of what went in but `drift` and the reports: values are read off the modules here.
"""

from __future__ import annotations

import contextlib
import enum
import importlib
import io
import os
import random
import re
import sys
import time
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rig

_SKIPPED = re.compile(r"(^|\.)(tests?|testing_?\w*|conftest|setup|__main__|migrations|_?vendor(ed)?)(\.|$)|(^|\.)test_\w+$")
_PLAIN = (int, float, complex, str, bytes, bool, type(None), type(...))
_NOISE = frozenset("__builtins__ __file__ __cached__ __spec__ __loader__ __path__ __doc__ __dict__ __weakref__ __module__".split())
_NOISE |= frozenset(
    "__annotations__ __annotate__ __annotate_func__ __annotations_cache__ __firstlineno__ __static_attributes__".split()
)
_NOISE |= frozenset(("__warningregistry__", "__abstractmethods__", "_abc_impl", "__orig_bases__", "__parameters__"))
_ADDRESS = re.compile(r"\b\d{12,}\b|0x[0-9a-f]{8,}")  # of an object, as some frameworks make keys of them
_FOLDERS: list[str] = []  # where the release and what it needs are
_DEPTH, _SHOWN = 6, 160


# ---------------------------------------------------------------- the program


def modules_of(tree: Path) -> list[str]:
    """Modules that a program may import: no tests, no entry points."""
    names = []
    for path in sorted(tree.rglob("*.py")):
        parts = list(path.relative_to(tree).with_suffix("").parts)
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        name = ".".join(parts)
        if name and all(p.isidentifier() for p in parts) and not _SKIPPED.search(name):
            names.append(name)
    return names


def start(task: rig.Row) -> tuple[dict[str, Any], rig.Row]:
    """Import all of the release that imports cleanly, and use it a little; what the program holds, and what went wrong."""
    sys.path[:0] = task["path"]
    held: dict[str, Any] = {"__name__": "program"}
    row: rig.Row = {"failed": {}}
    for line in task["setup"]:
        exec(line, held)
    names = modules_of(Path(task["tree"]))
    for name in names:
        try:
            importlib.import_module(name)
        except BaseException as error:  # a module for another system, or without an optional dependency
            row["failed"][name] = f"{type(error).__name__}: {error}"[:100]
    row["imported"] = len(names) - len(row["failed"])
    for line in task["use"]:
        exec(line, held)
    return held, row


# ---------------------------------------------------------------- values


def values(tree: Path) -> dict[str, str]:
    """Plain values, references and defaults of all loaded modules of a tree, by ``module:name``."""
    root = str(tree.resolve()) + os.sep
    out: dict[str, str] = {}
    for name, module in sorted(sys.modules.items()):
        file = vars(module).get("__file__") if type(module) is types.ModuleType else None
        if type(file) is str and os.path.realpath(file).startswith(root):
            _space(f"{name}:", vars(module), name, out)
    return out


def _space(prefix: str, space: Any, module: str, out: dict[str, str], depth: int = 0) -> None:
    for key, value in list(space.items()):
        if type(key) is not str or key in _NOISE:
            continue
        out[prefix + key] = shown(value)
        inner = value.__func__ if type(value) in (staticmethod, classmethod) else value
        if type(inner) is types.FunctionType and inner.__module__ == module:
            made = (inner.__defaults__, inner.__kwdefaults__)
            if made != (None, None):
                out[f"{prefix}{key}()"] = shown(made)
        elif (
            issubclass(type(value), type)
            and value.__module__ == module
            and depth < 3
            and value.__qualname__.rpartition(".")[2] == key
        ):
            out[f"{prefix}{key}(bases)"] = shown(value.__bases__)
            _space(f"{prefix}{key}.", vars(value), module, out, depth + 1)


def shown(value: Any, depth: int = 0) -> str:
    """A value, as far as it is plain: equal texts for equal values."""
    kind = type(value)
    if kind in _PLAIN:
        text = _ADDRESS.sub("<address>", repr(value))
        for folder in _FOLDERS:
            text = text.replace(folder, "<folder>")
        return text if len(text) <= _SHOWN or depth else f"{text[:_SHOWN]}... ({len(text)}, {hash_of(text)})"
    if issubclass(kind, type):  # not isinstance: a lazy object would be made by the question
        return f"<class {value.__module__}.{value.__qualname__}>"
    if kind in (types.FunctionType, types.BuiltinFunctionType):
        return f"<function {value.__module__}.{value.__qualname__}>"
    if issubclass(kind, types.ModuleType):
        return f"<module {value.__name__}>"
    if kind is re.Pattern:
        return f"<pattern {value.pattern!r} {value.flags}>"
    if issubclass(kind, enum.Enum):
        return f"<{kind.__qualname__}.{value.name} {shown(value.value, depth + 1)}>"
    if kind in (staticmethod, classmethod):
        return f"<{kind.__name__} {shown(value.__func__, depth + 1)}>"
    if depth >= _DEPTH:
        return f"<{kind.__qualname__}>"
    return _shown_table(value, kind, depth)


def _shown_table(value: Any, kind: type, depth: int) -> str:
    if kind in (list, tuple):
        text = ", ".join(shown(v, depth + 1) for v in list(value))
    elif kind in (set, frozenset):
        text = ", ".join(sorted(shown(v, depth + 1) for v in list(value)))
    elif kind is dict and "__spec__" in value:
        return "<names of a module>"
    elif kind in (dict, types.MappingProxyType):
        text = ", ".join(sorted(f"{shown(k, depth + 1)}: {shown(v, depth + 1)}" for k, v in list(value.items())))
    else:
        return f"<{kind.__module__}.{kind.__qualname__}>"
    return f"{kind.__name__}({text})" if depth or len(text) <= _SHOWN else f"{kind.__name__}({text[:_SHOWN]}... ({hash_of(text)}))"


def hash_of(text: str) -> str:
    """Short, and the same in every process."""
    import hashlib

    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


# ---------------------------------------------------------------- suture


def drifts(tree: str) -> rig.Row:
    """What `suture.drift` says: states, and what differs."""
    import suture

    report = suture.drift(tree)
    states = {s: len(report.having(s)) for s in ("same", "differs", "not compared", "not loaded")}
    return {
        "states": states,
        "differs": [[d.target, d.kind, d.live[:_SHOWN], d.expected[:_SHOWN]] for d in report.all_differences()],
        "why": [f"{m.module}: {m.why}"[:_SHOWN] for m in report.having("not compared")],
    }


def asked(report: Any) -> rig.Row:
    """A report in plain data."""
    findings = [[f.code, f.severity.value, f.target, f.message] for f in report.findings]
    return {"ok": report.ok, "state": str(report.state), "findings": findings, "statuses": [r.status for r in report.changed]}


def patched(task: rig.Row) -> Iterator[tuple[str, Any]]:
    """Plan, apply, look, revert, look."""
    import suture

    yield "fresh", drifts(task["old"])
    yield "values", {"before": values(Path(task["tree"]))}
    began = time.perf_counter()
    yield "plan", asked(suture.plan(task["patch"], partial=task["partial"]))
    yield "plan_s", time.perf_counter() - began
    began = time.perf_counter()
    report = suture.apply(task["patch"], partial=task["partial"])
    yield "apply", asked(report)
    yield "apply_s", time.perf_counter() - began
    if not report.ok:
        yield "back", drifts(task["old"])
        return
    yield "after", drifts(task["new"])
    yield "values_after", values(Path(task["tree"]))
    program: dict[str, Any] = {"__name__": "program"}
    for line in task["use"]:  # it goes on
        exec(line, program)
    if report.state.value == "committed" and suture.status():
        yield "revert", asked(suture.revert(report.patch_id))
    yield "back", drifts(task["old"])
    yield "values_back", values(Path(task["tree"]))


def main(task: rig.Row) -> rig.Row:
    """All that one process does."""
    warnings.simplefilter("ignore")
    sys.argv = ["program"]
    random.seed(0)
    _FOLDERS[:] = task["path"]
    step = "start"
    row: rig.Row = {}
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            held, row = start(task)
            row["held"] = len(held)
            if "patch" not in task:
                row["values"] = values(Path(task["tree"]))
                return row
            for step, found in patched(task):
                row[step] = found
    except BaseException as error:  # the program itself may raise anything
        row["error"] = f"after {step}: {type(error).__name__}: {error}"[:200]
    return row


if __name__ == "__main__":
    given = rig.child_task()
    assert given is not None
    rig.end_child(main(given))
