"""
Each case of the corpus in a live child, held against both of its sources: the old one before, with the patch and after its revert, the
new one with the patch.  On every Python.

What differs from the new source is what the builder's own findings said is kept.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cases import Case, load_all, on_disk
from pythons import WANTED, found
from suture.patch import Patch

CASES = [c for c in load_all() if c.carried and not (c.live and c.live.refused)]

LIVE = r"""
import importlib, json, sys
sys.dont_write_bytecode = True
import suture
suture.status()
from suture.engine import pace
pace.SLICE_NS *= 20  # nobody waits for us here
def load(case):
    sys.path.insert(0, f"{case['root']}/old")
    try:
        return importlib.import_module(case["module"])
    finally:
        del sys.path[0]
def drift(case, side):
    report = suture.drift(f"{case['root']}/{side}")
    state = [m.state for m in report.modules if m.module == case["module"]]
    return {"state": state, "compared": sum(m.compared for m in report.modules), "why": [m.why for m in report.modules if m.why],
            "differs": {d.target.partition(":")[2]: [d.kind, d.live, d.expected] for d in report.all_differences()}}
def run(case):
    load(case)
    out = {"fresh": drift(case, "old"), "fresh against new": drift(case, "new")}
    report = suture.apply(case["patch"], partial=case["partial"])
    out["ok"] = report.ok
    if report.ok:
        out["patched"], out["patched against old"] = drift(case, "new"), drift(case, "old")
        out["ok"] = suture.revert(report.patch_id).ok
        out["reverted"] = drift(case, "old")
    return out
out = {}
for case in json.load(open(sys.argv[1])):
    try:
        out[case["name"]] = run(case)
    except BaseException as error:
        out[case["name"]] = {"raised": f"{type(error).__name__}: {error}"}
print(json.dumps(out))
"""


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All cases on disk, each with its patch."""

    def facts(_: Case, patch: Patch) -> dict[str, Any]:
        kept = {f"{f.code} {f.target.partition(':')[2]}" for f in (*patch.left_out, *patch.remarks)}
        return {"carried": len(patch.changes), "kept": sorted(kept)}

    return on_disk(CASES, tmp_path_factory.mktemp("drift"), "drift", facts)


def is_said(name: str, kept: list[str]) -> bool:
    """True if a finding of the builder is about that name, or about the class or module that it's in."""
    for said in kept:
        _, _, target = said.partition(" ")
        if name in target.split(", ") or name == target or name.startswith(f"{target}.") or target.startswith(f"{name}."):
            return True
    return False


@pytest.mark.parametrize("version", WANTED)
def test_corpus_does_not_drift(version: str, corpus: Path, run_child: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """The old source is what runs; with the patch both are, but for what the builder said is kept; after the revert the old one."""
    if version not in found():
        pytest.skip(f"no Python {version} on this machine")
    done = run_child(found()[version], LIVE, str(corpus), PYTHONHASHSEED="0")
    assert done.returncode == 0, done.stderr
    live = json.loads(done.stdout.splitlines()[-1])
    wrong, seen = [], 0
    for case in json.loads(corpus.read_text()):
        name, got = case["name"], live[case["name"]]
        if "raised" in got or not got["ok"]:
            wrong.append(f"{name}: {got.get('raised', 'refused')}")
            continue
        for when in ("fresh", "patched against old", "reverted"):
            if got[when]["state"] != ["same"]:
                wrong.append(f"{name}: {when}: {got[when]}")
        left = {k: v for k, v in got["patched"]["differs"].items() if not is_said(k, case["kept"])}
        if left or got["patched"]["why"]:
            wrong.append(f"{name}: patched: {left} {got['patched']['why']}, kept: {case['kept']}")
        seen += bool(got["fresh against new"]["differs"])
    assert not wrong, "\n".join(wrong)
    assert seen > len(CASES) * 3 // 4, f"only {seen} of {len(CASES)} cases differ from their new source before the patch"
