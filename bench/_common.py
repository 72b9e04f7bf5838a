"""What the benchmarks share: a generated program in two versions, a head line, medians."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
PER_MODULE = 20


def head(what: str) -> None:
    """Say what runs on what."""
    sys.path.insert(0, str(SRC))
    import suture

    print(f"# {what}: suture {suture.__version__}, CPython {platform.python_version()}, {platform.system()} {platform.machine()}")
    print(f"# command: python {' '.join(sys.argv)}")


def module_text(number: int, changed: set[int]) -> str:
    """A module of functions and methods of ordinary length; those in *changed* differ in their bodies."""
    lines = [
        "import functools",
        "LIMIT = 10",
        "",
        "def deco(f):",
        "    @functools.wraps(f)",
        "    def w(*a):",
        "        return f(*a)",
        "    return w",
        "",
    ]
    for i in range(PER_MODULE):
        bonus = 1000 if i in changed else 0
        indent = "    " if i % 4 == 3 else ""
        if indent:
            lines.append(f"class C{i}:")
        elif i % 4 == 2:
            lines.append("@deco")
        own = "self, " if indent else ""
        lines += [
            f"{indent}def f{i}({own}items, scale=1):",
            f'{indent}    "Function {i} of module {number}."',
            f"{indent}    total = {bonus}",
            f"{indent}    for q, v in enumerate(items):",
            f"{indent}        if v % 2:",
            f"{indent}            total += v * {i + 1}",
            f"{indent}        elif scale > LIMIT:",
            f"{indent}            total -= len(str(v))",
            f"{indent}        else:",
            f"{indent}            total += q",
            f"{indent}    return total",
            "",
        ]
    return "\n".join(lines) + "\n"


def trees(folder: Path, functions: int, modules: int, prefix: str = "benchmod") -> tuple[Path, Path]:
    """Two source trees: *functions* of them differ, spread over *modules*."""
    old, new = folder / "old", folder / "new"
    for tree in (old, new):
        tree.mkdir(parents=True)
    for number in range(modules):
        share = functions // modules + (number < functions % modules)
        changed = set(range(min(share, PER_MODULE)))
        (old / f"{prefix}{number}.py").write_text(module_text(number, set()))
        (new / f"{prefix}{number}.py").write_text(module_text(number, changed))
    return old, new


def build(old: Path, new: Path, out: Path) -> Path:
    """``suture build``, as an operator would, beside the process."""
    command = [sys.executable, "-m", "suture", "build", str(old), str(new), "-o", str(out), "--json"]
    subprocess.run(command, check=True, env={"PYTHONPATH": str(SRC), "PATH": ""}, stdout=subprocess.DEVNULL)
    return out
