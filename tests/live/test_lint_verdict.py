"""One judge, two witnesses: what lint says of a change, and what the plan in a process that runs the old source says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cases import load_all
from pythons import WANTED, found
from suture.ops.build import build
from suture.ops.lint import judged
from suture.patch import dump

PLANS = r"""
import importlib, json, sys
import suture
sys.dont_write_bytecode = True
out = {}
for case in json.load(open(sys.argv[1])):
    sys.path.insert(0, case["root"])
    try:
        importlib.import_module(case["module"])
    except SyntaxError as error:
        out[case["name"]] = ["syntax-error"]
        continue
    finally:
        del sys.path[0]
    report = suture.plan(open(case["patch"], "rb").read())
    out[case["name"]] = [f.code for f in report.findings if str(f.severity) == "error"]
    assert report.ok == (not out[case["name"]]), case["name"]
print(json.dumps(out))
"""


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """All cases on disk, each with its whole patch, and lint's word on each."""
    root = tmp_path_factory.mktemp("verdicts")
    rows: list[dict[str, Any]] = []
    words: dict[str, str] = {}
    for case in load_all():
        case = replace(case, module=f"verdict_{case.name.replace('-', '_')}")
        old, new = case.trees(root / case.name)
        patch = build(old, new, name=case.name)
        file = root / case.name / "p.suture"
        file.write_bytes(dump(patch))
        rows.append({"name": case.name, "module": case.module, "root": str(old), "patch": str(file)})
        words[case.name] = judged(patch).word
    (root / "cases.json").write_text(json.dumps(rows))
    return root / "cases.json", words


@pytest.mark.parametrize("version", WANTED)
def test_lint_and_a_live_plan_agree(
    version: str, cases: tuple[Path, dict[str, str]], run_child: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Over the whole corpus: hot is what a plan has no error in, and nothing else is."""
    if version not in found():
        pytest.skip(f"no Python {version} on this machine")
    listed, words = cases
    done = run_child(found()[version], PLANS, str(listed))
    assert done.returncode == 0, done.stderr
    plans: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    assert plans.keys() == words.keys()
    assert {n: (words[n], codes) for n, codes in plans.items() if (words[n] == "hot") != (not codes)} == {}
    assert {"hot", "restart", "hot after 1 decision"} <= set(words.values())
