"""Real child processes on every Python from 3.10 to 3.15 that is found."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pythons import FREE_THREADED, Run, found, out

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
SRC = Path(__file__).parent.parent.parent / "src"


STORY = """
import json, os, subprocess, sys, threading
old, new = "old", "new"
for folder in (old, new):
    os.makedirs(f"{folder}/app")
text = '''
import functools, threading
inside, go = threading.Event(), threading.Event()
class Base:
    def name(self):
        return "base"
class A(Base):
    def name(self):
        return "old"
    async def co(self):
        return "old"
def make(k):
    def inner(x):
        return x * k
    return inner
held = make(3)
def f(a=1, *, b=2):
    return "old", a, b
def wait():
    inside.set()
    go.wait()
    return "old"
@functools.lru_cache
def cached(x):
    return "old"
T = {"k": lambda: "old"}
'''
after = text.replace('"old"', '"new"').replace("x * k", "x * k + 1").replace("a=1, *, b=2", "a=10, *, b=20")
after = after.replace('    def name(self):\\n        return "new"', '    def name(self):\\n        return super().name() + "new" + helper()')
after += '''
def helper():
    return "!"
'''
open("old/app/m.py", "w").write(text)
open("new/app/m.py", "w").write(after)
sys.path.insert(0, "old")
import app.m as m
build = [sys.executable, "-m", "suture", "build", "old", "new", "-o", "fix.suture", "--json"]
built = subprocess.run(build, capture_output=True, text=True)
assert built.returncode == 0, built.stdout + built.stderr
import suture
a, held = m.A(), m.f
bound = a.name
m.cached(1)
def values():
    co = a.co()
    try:
        co.send(None)
    except StopIteration as stop:
        value = stop.value
    return [bound(), value, m.held(1), m.make(2)(1), held(), m.cached(1), m.T["k"]()]
was = values()
thread = threading.Thread(target=m.wait)
thread.start()
m.inside.wait()
assert suture.plan("fix.suture").ok
assert values() == was
report = suture.apply("fix.suture")
assert report.ok, report.words()
assert values() == ["basenew!", "new", 4, 3, ("new", 10, 20), "new", "new"], values()
assert report.inside_old == 1, report.inside_old
assert held is m.f
m.go.set()
thread.join()
assert report.drained.wait(20)
back = suture.revert(report.patch_id)
assert back.ok, back.words()
assert values() == was, values()
assert not hasattr(m, "helper")
print("whole story")
"""


def test_whole_story(python: str, run_child: Run) -> None:
    """Source, patch, plan, commit, report, old frame leaving, revert."""
    assert out(run_child(python, STORY)) == "whole story"


HOOKED = """
    import sys
    events = []
    sys.addaudithook(lambda event, args: events.append(event) if event.startswith("object.") else None)
    import types, threading
    from suture.engine import hooks, swap
    assert hooks.audit_hook_present()
    spaces = []
    for i in range(8):
        space = {}
        exec(f"def f(a, b=1):\\n    return 'old', {i}, b\\n", space)
        spaces.append(space["f"])
    def code(i):
        space = {}
        exec(f"def f(a, *, c=2):\\n    return 'new', {i}, c\\n", space)
        return space["f"]
    new = [code(i) for i in range(8)]
    stop, bad, reads = threading.Event(), [], [0]
    def hunt():
        while not stop.is_set():
            try:
                seen = [f(0)[::2] for f in spaces]
            except TypeError as error:
                bad.append(repr(error))
                continue
            reads[0] += 1
            if not set(seen) <= {("old", 1), ("new", 2)}:
                bad.append(seen)
            if sorted(seen, reverse=True) != seen and [s[0] for s in seen] != sorted((s[0] for s in seen), reverse=going[0]):
                pass
    going = [True]
    threads = [threading.Thread(target=hunt) for _ in range(3)]
    sys.setswitchinterval(1e-5)
    for t in threads:
        t.start()
    for _ in range(60):
        stores = []
        for f, n in zip(spaces, new):
            stores += [swap.Store(f, "__defaults__", swap.Via.SETATTR, None), swap.Store(f, "__kwdefaults__", swap.Via.SETATTR, {"c": 2}),
                       swap.Store(f, "__code__", swap.Via.SETATTR, n.__code__)]
        undo = swap.commit(stores)
        swap.undo(undo)
    while reads[0] < 2000:
        pass
    stop.set()
    for t in threads:
        t.join()
    assert not bad, bad[:3]
    assert "object.__setattr__" in events
    assert [f(0) for f in spaces] == [("old", i, 1) for i in range(8)]
    print("hooked")
"""


def test_under_a_python_audit_hook(python: str, run_child: Run) -> None:
    """The three-phase flip: never one version's code with another's defaults, although a hook runs between the stores."""
    assert out(run_child(python, HOOKED)) == "hooked"


REFUSING = """
    import sys
    def hook(event, args):
        if event == "object.__setattr__" and args[1] == "__code__":
            raise PermissionError("not here")
    space = {}
    exec("def f():\\n    return 1\\n", space)
    import types
    m = types.ModuleType("mm"); m.__file__ = "/nowhere/mm.py"; sys.modules["mm"] = m
    exec(compile("def f():\\n    return 1\\n", "/nowhere/mm.py", "exec"), vars(m))
    import suture
    from suture.patch import *
    from suture.patch import Change, Kind, Patch, Scope, Target
    suture.status()
    code = m.f.__code__
    sys.addaudithook(hook)
    patch = Patch("p", (Change(0, Kind.FUNCTION, Target("mm", "f", "mm.py"), "def f():\\n    return 1\\n", "def f():\\n    return 2\\n"),))
    report = suture.apply(patch)
    assert not report.ok
    assert [f.code for f in report.findings] == ["audit-hook-refuses"], report.words()
    assert m.f.__code__ is code
    print("refused")
"""


def test_audit_hook_that_raises_is_found_before(python: str, run_child: Run) -> None:
    """A probe store meets the hook; nothing was changed."""
    assert out(run_child(python, REFUSING)) == "refused"


BLOCKED = """
    import shutil, sys, types
    import suture
    suture.status()  # the first use
    shutil.rmtree(sys.argv[1])
    class Nothing:
        def find_spec(self, name, path=None, target=None):
            raise AssertionError(f"{name} imported from disk")
    sys.meta_path.insert(0, Nothing())
    m = types.ModuleType("mm"); m.__file__ = "/nowhere/mm.py"; sys.modules["mm"] = m
    exec(compile("class A:\\n    def f(self):\\n        return 1\\n", "/nowhere/mm.py", "exec"), vars(m))
    from suture.patch import Change, Kind, Patch, Scope, Target, dump, Expect
    text = "    def f(self):\\n        return {}\\n"
    scope = Scope(classes=("A",), line_before=2, line_after=2)
    change = Change(0, Kind.FUNCTION, Target("mm", "A.f", "mm.py"), text.format(1), text.format("super().__repr__() and g()"), scope)
    added = Change(1, Kind.FUNCTION, Target("mm", "g", "mm.py"), None, "def g(a=len('x')):\\n    return a\\n", expect=Expect.ABSENT, names=("g",))
    data = dump(Patch("p", (change, added)))
    assert suture.plan(data).ok
    report = suture.apply(data)
    assert report.ok, report.words()
    assert m.A().f() == 1
    report.to_json()
    open("HotfixCode.py", "w").write("import suture, mm\\n@suture.replace_func(mm)\\ndef g(a=5):\\n    return a\\n")
    assert suture.do_hotfix().ok
    assert m.A().f() == 5
    for live in reversed(suture.status()):
        assert suture.revert(live.patch_id).ok
    assert suture.apply_soon(data).result(30).ok
    from suture import held
    for name in sorted(held.asleep()):  # what a process needs seldom, and may need now
        held.run(sys.modules[name])
    assert suture.drift({"mm": "class A:\\n    def f(self):\\n        return 2\\n"}).all_differences()
    print("blocked")
"""


def test_nothing_is_imported_after_the_first_use(python: str, run_child: Run, tmp_path: Path) -> None:
    """With the package deleted and imports blocked, every verb still works: an upgrade on disk can't be mixed in."""
    copy = tmp_path / "copy"
    shutil.copytree(SRC, copy, ignore=shutil.ignore_patterns("__pycache__"))
    done = run_child(python, BLOCKED, str(copy), PYTHONPATH=str(copy))
    assert out(done).splitlines()[-1] == "blocked"


SECOND = """
    import importlib.util, sys
    import suture
    suture.status()
    for name in [n for n in sys.modules if n == "suture" or n.startswith("suture.")]:
        del sys.modules[name]
    import suture as second
    assert second is not suture
    try:
        second.status()
    except second.Denied as error:
        print(error.code)
"""


def test_second_copy_is_refused(python: str, run_child: Run) -> None:
    """Two copies in one process would not know of each other's patches."""
    assert out(run_child(python, SECOND)) == "second-copy"


LIGHT = """
    import sys, threading
    before = set(sys.modules)
    import suture
    fresh = {n for n in sys.modules if n.startswith("suture")}
    assert fresh <= {"suture", "suture.errors"}, fresh
    assert threading.active_count() == 1
    assert "socket" not in set(sys.modules) - before
    print("light")
"""


def test_import_is_light(python: str, run_child: Run) -> None:
    """Importing suture loads two modules, starts no thread and opens no socket."""
    assert out(run_child(python, LIGHT)) == "light"


EXPECTED = """module_func
1
object A
replace func module_func done
replace func class_func1 done
replace func class_func done
hotfix done

hotfix ..... module_func
100
hotfix ..... object A
"""


def test_seed_transcript(python: str, tmp_path: Path) -> None:
    """The demo that the project grew from prints what it always printed."""
    shutil.copytree(EXAMPLES / "seed", tmp_path / "seed")
    env = {**os.environ, "PYTHONPATH": str(SRC), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [python, "HotfixDemo.py"], cwd=tmp_path / "seed", env=env, input="x\n", capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == (EXPECTED, "")


def test_free_threaded_build_refuses_by_name(run_child: Run) -> None:
    """There a single store can kill the process: imported, and refused."""
    if FREE_THREADED not in found():
        pytest.skip("no free-threaded Python on this machine")
    done = run_child(found()[FREE_THREADED], "import suture\nprint(suture.apply(b'').findings[0].code)\n")
    assert out(done) == "free-threaded"
