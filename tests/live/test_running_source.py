"""``suture build NEW --pid PID``: the old side is what a process was started from, held against what it runs."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from service import Process, Service
from suture.patch import load

FILES = {
    "deployed/shop/__init__.py": "from .cart import total\n",
    "deployed/shop/cart.py": "from money import RATE\nimport time\nBEGAN = time.time()\ndef total(x):\n    return x * RATE\n",
    "deployed/shop/gone.py": "def gone():\n    return 1\n",
    "deployed/shop/page.html": "old",
    "deployed/money.py": "RATE = 2\n",
    "deployed/later.py": "def later():\n    return 1\n",
}
BEGIN = "sys.path.insert(0, 'deployed'); import shop, shop.gone, money; install()"
# A checkout with the same packages below src/, and what no process runs beside them.
CHECKOUT = {
    "checkout/src/shop/__init__.py": "from .cart import total\n",
    "checkout/src/shop/cart.py": "from money import RATE\nimport time, taxes\nBEGAN = time.time()\ndef total(x):\n    return taxes.add(x * RATE)\n",
    "checkout/src/shop/page.html": "new",
    "checkout/src/money.py": "RATE = 3\n",
    "checkout/src/later.py": "def later():\n    return 2\n",
    "checkout/src/taxes.py": "def add(x):\n    return x + 1\n",
    "checkout/docs/conf.py": "project = 'shop'\n",
    "checkout/setup.py": "import setuptools\n",
}


@pytest.fixture
def shop(service: Service) -> Service:
    for path, text in {**FILES, **CHECKOUT}.items():
        (service.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (service.folder / path).write_text(text)
        os.utime(service.folder / path, (1e9, 1e9))
    return service


def start(shop: Service, count: int = 1, **more: Any) -> list[Process]:
    processes = shop.start(count, BEGIN, **more)
    for process in processes:
        process.ask("globals().update(shop=sys.modules['shop'])")
    return processes


def codes(said: Any, severity: str = "") -> list[str]:
    return [f["code"] for f in json.loads(said.out)["findings"] if severity in ("", f["severity"])]


def targets(path: Path) -> list[str]:
    return sorted(str(c.target) for c in load(path.read_bytes()).changes)


def test_from_what_runs_to_a_checkout(shop: Service, python: str) -> None:
    """Packages are paired by name, whatever folders they lie in; what nobody runs is left out and said; the patch goes in."""
    (process,) = start(shop, python=python)
    said = shop.suture("build", "checkout", "--pid", process.pid, "-o", "new.suture", "--json")
    assert said.code == 0, said.words
    assert targets(shop.folder / "new.suture") == ["later:later", "money:RATE", "shop.cart:taxes", "shop.cart:total", "taxes"]
    assert sorted(codes(said)) == ["left-out-elsewhere", "module-added", "not-carried", "not-carried"]  # gone.py, page.html
    assert process.ask("shop.total(5)") == 10
    assert shop.suture("apply", "new.suture", "--pid", process.pid).code == 0
    assert process.ask("shop.total(5)") == 16
    assert shop.suture("drift", "checkout/src", "--pid", process.pid).code in (0, 1)
    again = shop.suture("build", "checkout", "--pid", process.pid, "-o", "again.suture", "--json")
    assert (again.code, "patches-live" in codes(again)) == (0, True), again.words
    assert shop.suture("revert", "new", "--pid", process.pid).code == 0
    assert process.ask("shop.total(5)") == 10


def test_a_file_and_a_package_alone(shop: Service) -> None:
    """They have the names that they have in the process."""
    (process,) = start(shop)
    for new, want in (("checkout/src/shop", ["shop.cart:total"]), ("checkout/src/shop/cart.py", ["shop.cart:total"])):
        said = shop.suture("build", new, "--pid", process.pid, "-o", "new.suture", "--json", "--partial")
        assert said.code == 0, said.words
        assert [t for t in targets(shop.folder / "new.suture") if t in want] == want
    lint = shop.suture("lint", "checkout/src/shop/cart.py", "--pid", process.pid)
    assert (lint.code, lint.out.split("\n")[0]) == (0, "hot")


def test_a_file_that_changed_since_is_refused(shop: Service) -> None:
    """Its definitions are named, and nothing is written."""
    (process,) = start(shop)
    (shop.folder / "new.suture").write_text("an older one")
    cart = shop.folder / "deployed" / "shop" / "cart.py"
    cart.write_text(cart.read_text().replace("x * RATE", "x * RATE * 1"))
    said = shop.suture("build", "checkout", "--pid", process.pid, "-o", "new.suture")
    assert said.code == 1
    assert "not-what-runs" in said.err and "shop.cart:total (code)" in " ".join(said.err.split())
    assert shop.suture("lint", "checkout", "--pid", process.pid).code == 1


def test_a_file_that_was_written_since_is_said(shop: Service) -> None:
    """Equal code and literals; what is computed at import can't be compared."""
    (process,) = start(shop)
    os.utime(shop.folder / "deployed" / "shop" / "cart.py")
    when = os.stat(shop.folder / "deployed" / "shop" / "cart.py").st_mtime + 3600
    os.utime(shop.folder / "deployed" / "shop" / "cart.py", (when, when))
    said = shop.suture("build", "checkout", "--pid", process.pid, "-o", "new.suture", "--json")
    assert said.code == 0
    (found,) = (f for f in said.json["findings"] if f["code"] == "written-since")
    assert (found["severity"], found["target"].endswith("shop/cart.py")) == ("warning", True)


def test_a_service_is_one_if_all_of_it_runs_the_same(shop: Service) -> None:
    """Two processes of the same files are one old side; one from other files, or by-hand code, is named."""
    first, second = start(shop, 2)
    assert shop.suture("build", "checkout", "--service", "game", "-o", "new.suture").code == 0
    second.ask("setattr(shop.cart.total, '__code__', (lambda x: 0).__code__)")
    said = shop.suture("build", "checkout", "--service", "game", "-o", "new.suture")
    assert (said.code, f"pid {second.pid}" in said.err, "not-what-runs" in said.err) == (1, True, True)
    second.end()
    shutil.copytree(shop.folder / "deployed", shop.folder / "other")
    shop.start(1, BEGIN.replace("'deployed'", "'other'"))
    said = shop.suture("build", "checkout", "--service", "game", "-o", "new.suture")
    assert (said.code, "processes-differ" in said.err) == (1, True)
    assert shop.suture("build", "checkout", "--pid", first.pid, "-o", "new.suture").code == 0


def test_what_cannot_be_asked_is_named(shop: Service) -> None:
    """No agent, a tree of something else, files that aren't there, a revision of that name; each with its code, and no file."""
    (process,) = start(shop)
    (shop.folder / "else").mkdir()
    (shop.folder / "else" / "nobody.py").write_text("x = 1\n")
    cases: list[tuple[list[object], str]] = [
        (["checkout", "--pid", os.getpid()], "not-running"),
        (["checkout", "--service", "nobody"], "not-running"),
        (["else", "--pid", process.pid], "not-running"),
    ]
    for words, code in cases:
        said = shop.suture("build", *words, "-o", "new.suture")
        assert (said.code, code in said.err) == (1, True), said.words
    assert shop.suture("build", "checkout", "else", "--service", "game", "-o", "new.suture").code == 64
    assert shop.suture("build", "checkout", "--pid", process.pid, "--path", "src", "-o", "new.suture").code == 64
    shutil.move(shop.folder / "deployed", shop.folder / "moved")
    said = shop.suture("build", "checkout", "--pid", process.pid, "-o", "new.suture")
    assert (said.code, "not-running" in said.err) == (1, True)
    assert not (shop.folder / "new.suture").exists()


def test_installed_packages_are_a_left_side_too(shop: Service) -> None:
    """Of a folder with many, those that the new tree has."""
    packages = shop.folder / "lib" / "site-packages"
    shutil.copytree(shop.folder / "deployed", packages)
    (packages / "other").mkdir()
    (packages / "other" / "__init__.py").write_text("x = 1\n")
    (process,) = shop.start(
        1, f"sys.path.insert(0, {str(packages)!r}); import shop, money, other; install()", python=sys.executable
    )
    said = shop.suture("build", "checkout", "--pid", process.pid, "-o", "new.suture", "--json")
    assert said.code == 0, said.words
    assert targets(shop.folder / "new.suture") == ["later:later", "money:RATE", "shop.cart:taxes", "shop.cart:total", "taxes"]
    assert not [f for f in said.json["findings"] if "other" in f["target"]]
