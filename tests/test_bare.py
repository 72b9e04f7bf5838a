"""Importing suture does nothing to a process, and needs nothing but the standard library."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pythons import found

SRC = Path(__file__).parent.parent / "src"

LOOK = f"""
import json, sys
sys.path.insert(0, {str(SRC)!r})
before = set(sys.modules)
trace = []
sys.addaudithook(lambda event, args: trace.append(event) if event.startswith(("socket.", "_thread.start", "subprocess.", "os.fork")) else None)
import _thread
import suture
light = sorted(m for m in set(sys.modules) - before if m.startswith("suture"))
if {{whole}}:
    import suture.agent.boot
    from suture import held, loading
    loading.load()
    for name in loading.SELDOM:
        held.run(sys.modules[name])
threads = _thread._count()
home = sys.modules["os"].__file__.rpartition("/")[0] if "os" in sys.modules else "<no file of its own>"
own = {{{{m for m in sys.modules if (getattr(sys.modules[m], "__file__", "") or "").startswith(home)}}}}
outside = sorted({{{{m.partition(".")[0] for m in set(sys.modules) - before - own}}}} - sys.stdlib_module_names - {{{{"suture", "_suture_in_this_process"}}}})
ops = [m for m in sys.modules if m.startswith("suture.ops")]
print(json.dumps(dict(trace=trace, threads=threads, light=light, outside=outside, ops=ops, hooks=len(sys.meta_path), site="site" in sys.modules)))
"""


def look(python: str, *, whole: bool) -> dict[str, object]:
    """What a bare process sees after the import."""
    done = subprocess.run([python, "-I", "-S", "-c", LOOK.format(whole=whole)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    seen: dict[str, object] = json.loads(done.stdout)
    return seen


@pytest.mark.parametrize("whole", [False, True], ids=["import", "whole target side"])
@pytest.mark.parametrize("version", sorted(found()))
def test_import_does_nothing(version: str, whole: bool) -> None:
    """Under ``-I -S`` with only src on the path: no thread, no socket, no process, no package, nothing of ops/."""
    seen = look(found()[version], whole=whole)
    assert seen["trace"] == []
    assert seen["threads"] == 0
    assert seen["outside"] == []
    assert seen["ops"] == []
    assert seen["hooks"] == 3, "the finders of the interpreter, none of ours"
    assert not seen["site"]


def test_import_is_light() -> None:
    """``import suture`` loads the errors alone; the engine comes at the first use."""
    assert look(sys.executable, whole=False)["light"] == ["suture", "suture.errors"]


def test_commands_need_no_package() -> None:
    """The verbs run with the standard library alone: nothing else may be in a production image."""
    code = f"import sys; sys.path.insert(0, {str(SRC)!r}); from suture.ops.cli.main import main; sys.exit(main(['--help']))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "build" in done.stdout
    assert "show" in done.stdout


def test_the_engine_is_run_room_by_room() -> None:
    """Each of the target side's modules by itself, after what it imports, so that none drags others in with it in one hold."""
    code = f"""
import sys
sys.path.insert(0, {str(SRC)!r})
import suture
from suture import held, loading
loading.hold()
there = set(loading.ROOMS) | set(loading.SELDOM)
assert held.asleep() == there, held.asleep() ^ there
for name in loading.ROOMS:
    held.run(sys.modules[name])
    there.remove(name)
    assert held.asleep() == there, (name, there - held.asleep())
suture.status()
assert held.asleep() == set(loading.SELDOM), held.asleep()
print(*sorted(m for m in sys.modules if m.startswith("suture.")))
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    there = {
        ".".join(p.relative_to(SRC).with_suffix("").parts)
        for p in (SRC / "suture").rglob("*.py")
        if not {"ops", "agent"} & set(p.parts) and p.stem not in ("__init__", "__main__", "wire")  # these are install()'s
    }
    assert set(done.stdout.split()) == there | {"suture.engine"}
