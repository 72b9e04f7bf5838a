"""A hotfix file: one transaction, recorded stores, its own names, and back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import suture

SOURCE = """
    a = 1
    TABLE = {"k": 1}
    def tool():
        return "module's own"
    def f(x=1):
        return "old", x
    class Base:
        def inherited(self):
            return "base"
    class A(Base):
        def m(self):
            return "old"
"""


@pytest.fixture
def hotfix(world: Any, tmp_path: Path) -> Any:
    m = world.module(SOURCE)
    sys.modules["shop_under_fix"] = m

    def run(text: str, name: str = "HotfixCode.py", **options: Any) -> Any:
        path = tmp_path / name
        path.write_text(text)
        return suture.do_hotfix(str(path), **options)

    yield m, run
    del sys.modules["shop_under_fix"]


def test_in_place_and_back(hotfix: Any, capsys: Any) -> None:
    """Held callbacks follow, additions resolve in the module, data is stored by the commit; revert takes all of it back."""
    m, run = hotfix
    held, bound = m.f, m.A().m
    report = run(
        "import suture\nfactor = 3\ndef one():\n    import shop_under_fix as M\n    M.a = 100\n    M.TABLE['k'] += 1\n    M.TABLE['new'] = M.a\n"
        "    @suture.replace_func(M)\n    def f(x=2):\n        return 'new', x * factor, tool(), M.a\n"
        "    @suture.replace_func(M.A)\n    def m(self):\n        return 'new', self.added(), super().inherited()\n"
        "    @suture.replace_func(M.A)\n    def added(self):\n        return tool()\none()\n"
    )
    assert held() == ("new", 6, "module's own", 100)
    assert bound() == ("new", "module's own", "base")
    assert m.TABLE == {"k": 2, "new": 100}
    assert {r.section for r in report.changed} == {"one"}
    assert capsys.readouterr().out == "replace func f done\nreplace func m done\nreplace func added done\nhotfix done\n\n"
    assert suture.revert(report.patch_id).ok
    assert (held(), bound(), m.a, m.TABLE, hasattr(m.A, "added")) == (("old", 1), "old", 1, {"k": 1}, False)


def test_exception_stores_nothing(hotfix: Any) -> None:
    """Whatever the file raises reaches the caller, and nothing that it recorded was stored."""
    m, run = hotfix
    code = m.f.__code__
    with pytest.raises(ZeroDivisionError):
        run("import suture, shop_under_fix as M\nM.a = 5\n@suture.replace_func(M)\ndef f(x=1):\n    return 'new'\n1 / 0\n")
    assert (m.a, m.f.__code__) == (1, code)
    assert suture.status() == ()


def test_inherited_method_does_not_change_the_base(hotfix: Any) -> None:
    """The name is put on that object, as the seed does."""
    m, run = hotfix
    run("import suture, shop_under_fix as M\n@suture.replace_func(M.A)\ndef inherited(self):\n    return 'mine'\n")
    assert (m.A().inherited(), m.Base().inherited()) == ("mine", "base")


def test_effects_are_found_before(hotfix: Any) -> None:
    """A call that acts at once is a warning; strict refuses before the file runs."""
    m, run = hotfix
    text = "import suture, shop_under_fix as M\nM.a = 2\nM.TABLE.clear()\n"
    with pytest.raises(suture.Refused) as caught:
        run(text, strict=True)
    assert caught.value.code == "hotfix-effect"
    assert (m.a, m.TABLE) == (1, {"k": 1})
    report = run(text)
    assert [f.code for f in report.findings] == ["hotfix-effect"]
    assert (m.a, m.TABLE) == (2, {})


def test_run_again_replaces_the_earlier_run(hotfix: Any) -> None:
    """The second run takes the first one's place; what is no longer in it stays, and one revert takes both back."""
    m, run = hotfix
    run("import suture, shop_under_fix as M\nM.a = 2\n@suture.replace_func(M)\ndef f(x=1):\n    return 'first'\n")
    report = run("import suture, shop_under_fix as M\n@suture.replace_func(M)\ndef f(x=1):\n    return 'second'\n")
    assert (m.f(), m.a) == ("second", 2)
    assert "left-from-earlier-run" in {f.code for f in report.findings}
    assert len(suture.status()) == 1
    assert suture.revert(report.patch_id).ok
    assert (m.f(), m.a) == (("old", 1), 1)


def test_run_again_beneath_another_is_refused(hotfix: Any) -> None:
    """A run would keep the earlier run's originals: not where another file has changed the same place since."""
    m, run = hotfix
    text = "import suture, shop_under_fix as M\n@suture.replace_func(M)\ndef f(x=1):\n    return 'first'\n"
    first = run(text)
    other = run(text.replace("first", "other"), name="Other.py")
    code = m.f.__code__
    with pytest.raises(suture.Refused) as caught:
        run(text.replace("first", "second"))
    assert caught.value.code == "beneath"
    assert other.patch_id in str(caught.value)
    assert (m.f(), m.f.__code__ is code, len(suture.status())) == ("other", True, 2)
    assert suture.revert(other.patch_id).ok
    assert m.f() == "first"
    again = run(text.replace("first", "second"))
    assert (m.f(), len(suture.status())) == ("second", 1)
    assert again.patch_id == first.patch_id or again.ok
    assert suture.revert(again.patch_id).ok
    assert m.f() == ("old", 1)


def test_alone_and_bad_files(hotfix: Any, tmp_path: Path) -> None:
    """replace_func outside a file is its own transaction; a file that isn't there or isn't Python is named."""
    m, run = hotfix

    @suture.replace_func(m)
    def f(x=1):
        return "alone", tool()  # noqa: F821

    assert m.f() == ("alone", "module's own")
    assert suture.revert("replace_func").ok
    for text, code in (("def (:\n", "syntax-error"), ("# coding: nonsense\n", "encoding")):
        with pytest.raises(suture.Refused) as caught:
            run(text)
        assert caught.value.code == code
    with pytest.raises(suture.Refused) as caught:
        suture.do_hotfix(str(tmp_path / "nothing.py"))
    assert caught.value.code == "unreadable"


def test_store_that_would_run_code_is_refused(hotfix: Any) -> None:
    """A property's setter would run in the middle of the commit."""
    m, run = hotfix
    m.thing = type("Thing", (), {"x": property(lambda s: 1, lambda s, v: None)})()
    with pytest.raises(suture.Refused) as caught:
        run("import shop_under_fix as M\nM.a = 3\nM.thing.x = 2\n")
    assert caught.value.code == "setattr-runs-code"
    assert m.a == 1
