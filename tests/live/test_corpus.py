"""Each case of the corpus in a live child: changed to what a fresh process of the new source has, and back; on every Python."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cases import Case, load_all, on_disk
from pythons import WANTED, found
from suture.engine.plan import is_remade
from suture.patch import Kind, Patch

# Code that was made to fit the function that is there (its class is a constant, not a cell): the case's expressions hold it.
FITTED = {"A.hello"}
CASES = [c for c in load_all() if c.carried]

# What a module is made of, in plain data that two processes can compare; found through the collector, not through suture.
FACTS = r"""
import gc, hashlib, importlib, json, re, sys, types
from suture.engine.facts import fingerprint
SIMPLE = (int, float, str, bytes, bool, type(None), tuple, list, dict, set, frozenset)
def plain(value):
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
def functions(module):
    return [o for o in gc.get_objects() if type(o) is types.FunctionType and o.__globals__ is module.__dict__]
def facts(module):
    out = {}
    for f in functions(module):
        if f.__name__ == "__annotate__" or f.__code__.co_name == "__annotate__":
            continue
        code = hashlib.sha256(repr(fingerprint(f.__code__)).encode("utf-8", "backslashreplace")).hexdigest()[:12]
        out.setdefault(f.__qualname__, []).append([code, plain(f.__defaults__), plain(f.__kwdefaults__), f.__doc__])
    spaces = [("", module.__dict__)] + [(f"{k}.", vars(v)) for k, v in vars(module).items() if isinstance(v, type)]
    for prefix, space in spaces:
        for name, value in space.items():
            if type(value) in SIMPLE and not name.startswith("__"):
                out.setdefault(prefix + name, []).append(plain(value))
    return {k: sorted(v, key=repr) for k, v in out.items()}
def load(case, side):
    sys.path.insert(0, f"{case['root']}/{side}")
    try:
        return importlib.import_module(case["module"])
    finally:
        del sys.path[0]
cases = json.load(open(sys.argv[1]))
sys.dont_write_bytecode = True
"""

FRESH = FACTS + "print(json.dumps({c['name']: facts(load(c, 'new')) for c in cases}))\n"

LIVE = (
    FACTS
    + r"""
import suture
suture.status()
from suture.engine import pace
pace.SLICE_NS *= 20  # nobody waits for us here
out = {}
def objects(module):
    spaces = [module.__dict__] + [vars(v) for v in vars(module).values() if isinstance(v, type) and v.__module__ == module.__name__]
    lazy = ("__builtins__", "__annotations__", "__annotations_cache__", "__annotate_func__")  # made, or made anew, when asked for
    return sorted((n, k, id(v)) for n, s in enumerate(spaces) for k, v in s.items() if k not in lazy)
def run(case):
    def holds(which):
        for text in case[which]:
            if not eval(text, space):
                said.append(f"{which}: {text}")
    said = []
    module = load(case, "old")
    space = {"m": module}
    exec(case["setup"], space)
    gc.collect()
    holds("old"), holds("keeps")
    before, had = facts(module), objects(module)
    report = suture.apply(open(case["patch"], "rb").read(), partial=case["partial"])
    result = {"ok": report.ok, "codes": sorted({f.code for f in report.findings}), "before": before, "said": said}
    if report.ok:
        gc.collect()
        result["live"] = facts(module)
        holds("new"), holds("keeps")
        back = suture.revert(report.patch_id)
        if not back.ok:
            said.append(back.words())
    elif not case["refused"]:
        said.append(report.words())
    del report
    gc.collect()
    holds("old"), holds("keeps")
    result["after"] = facts(module)
    if objects(module) != had:
        said.append(f"other objects: {set(objects(module)) ^ set(had)}")
    if suture.status():
        said.append("still live")
    return result
for case in cases:
    try:
        out[case["name"]] = run(case)
    except BaseException as error:
        out[case["name"]] = {"said": [f"{type(error).__name__}: {error}"]}
print(json.dumps(out))
"""
)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All cases on disk, each with its patch, and the list of them."""

    def facts(case: Case, patch: Patch) -> dict[str, Any]:
        live = case.live
        return {
            # A statement that makes functions isn't run again: they change, the table that holds them stays the program's own.
            "carried": ["<lambda>" if c.kind is Kind.NESTED else c.target.qualname for c in patch.changes],
            "stale": [f.target.partition(":")[2] for f in patch.remarks if f.code == "value-stale"]  # said to differ
            + [f"{f.target.partition(':')[2]}.__hash__" for f in patch.remarks if f.code == "hash-changed"],
            "remade": [c.target.qualname for c in patch.changes if is_remade(c)],
            # An enumeration keeps a member that is removed, and says so; its own maps have it too.
            "fuller": [f.target.partition(":")[2].rpartition(".")[0] + "._" for f in patch.remarks if f.code == "removed-kept"],
            "refused": live.refused if live else "",
            "setup": live.setup if live else "",
            **{k: list(getattr(live, k)) if live else [] for k in ("old", "new", "keeps")},
        }

    return on_disk(CASES, tmp_path_factory.mktemp("corpus"), "case", facts)


@pytest.mark.parametrize("version", WANTED)
def test_corpus_in_a_live_process(version: str, corpus: Path, run_child: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """What a case changes is, live, what a fresh process of the new source has; after the revert all is as before."""
    if version not in found():
        pytest.skip(f"no Python {version} on this machine")

    def child(script: str) -> Any:
        done = run_child(found()[version], script, str(corpus), PYTHONHASHSEED="0")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    fresh, live = child(FRESH), child(LIVE)
    wrong, compared = [], 0
    for case in json.loads(corpus.read_text()):
        name, got, want = case["name"], live[case["name"]], fresh[case["name"]]
        wrong += [f"{name}: {text}" for text in got["said"]]
        if "after" not in got:
            continue
        if got["after"] != got["before"]:
            wrong.append(f"{name}: after the revert {_difference(got['before'], got['after'])}")
        if case["refused"]:
            if got["ok"] or case["refused"] not in got["codes"]:
                wrong.append(f"{name}: not refused: {got['codes']}")
            continue
        for target in case["carried"]:
            keys = [k for k in want if k == target or k.startswith((f"{target}.<locals>", f"{target}."))]
            keys = [k for k in keys if not k.startswith(tuple(case["fuller"])) or not k.endswith("_")]
            for key in set(keys) - FITTED - set(case["stale"]):
                here, there = _distinct(got["live"].get(key)), _distinct(want[key])
                # A function made anew stands beside the one it replaces, which the undo keeps.
                if here != there and not (key.rpartition(".")[0] in case["remade"] and here > there):
                    wrong.append(f"{name}: {key} is {got['live'].get(key)}, afresh {want[key]}")
            compared += len(keys)
    assert not wrong, "\n".join(wrong)
    assert len(live) == len(CASES) > 30
    assert compared > len(CASES)


def _distinct(rows: list[Any] | None) -> set[str]:
    return {json.dumps(row) for row in rows or ()}


def _difference(a: dict[str, Any], b: dict[str, Any]) -> str:
    return "; ".join(f"{k}: {a.get(k)} -> {b.get(k)}" for k in sorted({*a, *b}) if a.get(k) != b.get(k))
