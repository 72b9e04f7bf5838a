"""Each case of the corpus, through the builder and into this process."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

import suture
from cases import Case, load_all
from suture.ops.build import build
from suture.patch import Patch, dump, load

CASES = load_all()
LIVE = [c for c in CASES if c.live is not None]


def carried(patch: Patch) -> list[str]:
    """Targets, in order."""
    return [str(c.target) for c in patch.changes]


def said(patch: Patch) -> list[str]:
    """Severity, code and target of all findings, left_out first."""
    return [f"{f.severity} {f.code} {f.target}" for f in (*patch.left_out, *patch.remarks)]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_builder_carries_and_says_what_the_case_expects(case: Case, tmp_path: Path) -> None:
    """Changes by target, in order; findings by severity, code and target."""
    patch = build(*case.trees(tmp_path), name=case.name)
    assert (carried(patch), sorted(said(patch))) == (list(case.carried), sorted(case.findings))
    assert load(dump(patch)) == patch


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_same_source_twice_is_no_change(case: Case, tmp_path: Path) -> None:
    """A tree and its copy don't differ, whatever is in it."""
    patch = build(*replace(case, after=case.before).trees(tmp_path), name=case.name)
    assert said(patch) == ["error no-change "]
    assert not patch.changes


@pytest.fixture
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Case, ModuleType]]:
    """The case under a module name of its own, imported from its old tree."""
    case = replace(request.param, module=f"case_{request.param.name.replace('-', '_')}")
    old, _ = case.trees(tmp_path)
    sys.path.insert(0, str(old))
    importlib.invalidate_caches()
    yield case, importlib.import_module(case.module)
    for report in reversed(suture.status()):
        suture.revert(report.patch_id)
    sys.path.remove(str(old))
    del sys.modules[case.module]


@pytest.mark.parametrize("live", LIVE, ids=lambda c: c.name, indirect=True)
def test_case_goes_live_and_back(live: tuple[Case, ModuleType], tmp_path: Path) -> None:
    """Old before, new under the patch, old after its revert; a refusal changes nothing."""
    case, module = live
    assert case.live is not None
    space = {"m": module}
    exec(case.live.setup, space)

    def holds(expressions: tuple[str, ...]) -> None:
        for text in expressions:
            assert eval(text, space), text

    holds(case.live.old + case.live.keeps)
    report = suture.apply(build(tmp_path / "old", tmp_path / "new", name=case.name), partial=bool(case.live.refused))
    if case.live.refused:
        assert not report.ok
        assert case.live.refused in [f.code for f in report.findings]
    else:
        assert report.ok, report.words()
        holds(case.live.new + case.live.keeps)
        back = suture.revert(report.patch_id)
        assert back.ok, back.words()
    holds(case.live.old + case.live.keeps)
