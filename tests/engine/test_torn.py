"""Threads that call twenty functions while patches come and go never see half of one; nor do those that look into tables."""

from __future__ import annotations

import sys

import pytest

from pythons import WANTED, Run, found

# In each pass a reader calls all functions.  The journal is appended to in the commit's own C call, so its length names the
# generation: what is read within one generation is all of it, and across one boundary it is old ones, then new ones.
SCRIPT = """
import sys, threading
from suture.engine import swap
from suture.engine.swap import Contents, Entry, Store, Undo, Via

THREADS, PASSES, FLIPS, hook = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "hook"
COUNT = 20
SIGNATURES = ["a={v}", "a={v}, b={v}", "a={v}, *, k={v}", "a={v}, *rest, k={v}, j={v}", "*, k={v}, **more", "a={v}, /, b={v}"]

def function(number, version):
    parameters = SIGNATURES[(number + version) % len(SIGNATURES)].format(v=version)
    names = [p.split("=")[0].strip() for p in parameters.split(",") if "=" in p]
    space = {}
    exec(f"def f({parameters}):\\n    return {version}, {', '.join(names)}\\n", space)
    return space["f"]

if hook:
    sys.addaudithook(lambda event, args: [0 for _ in range(200)])  # long enough to lose the GIL
functions = [function(i, 0) for i in range(COUNT)]
data, journal, seen = {"v": 0}, [], []
tables = [[0, 0], {"a": 0, "b": 0}, {0}]
states = [0]  # version by generation; written before the flip
reads = []

def read_all():
    passes = 0
    while passes < PASSES or len(journal) < FLIPS:
        passes += 1
        before = len(journal)
        values = [f() for f in functions]
        values.append((data["v"],))
        values += [tuple(tables[0]), tuple(tables[1].values()), tuple(tables[2])]
        after = len(journal)
        for value in values:
            if len(set(value)) != 1:
                seen.append(f"new code with old defaults: {value}")
        if after - before > 1:
            continue
        at = [states[before:after + 1].index(v[0]) if v[0] in states[before:after + 1] else -1 for v in values]
        if -1 in at or at != sorted(at):
            seen.append(f"generations {before} to {after}, {states[before:after + 1]}: {[v[0] for v in values]}")
    reads.append(passes * COUNT)

def guarded():
    try:
        read_all()
    except BaseException as error:
        seen.append(repr(error))

def new_version(version):
    stores = [Store(data, "v", Via.SETITEM, version)]
    for table, new in zip(tables, ([version] * 3, {"b": version, "c": version}, {version})):
        stores.append(Store(table, Contents("t", new), Via.CONTENTS, new))
    for number, f in enumerate(functions):
        new = function(number, version)
        for name in ("__code__", "__defaults__", "__kwdefaults__"):
            stores.append(Store(f, name, Via.SETATTR, getattr(new, name)))
    return stores

sys.setswitchinterval(1e-6)
prepared = [new_version(version) for version in range(1, 21)]
readers = [threading.Thread(target=guarded) for _ in range(THREADS)]
for reader in readers:
    reader.start()
while any(reader.is_alive() for reader in readers):
    stores = prepared[len(journal) // 2 % len(prepared)]
    states.append(stores[0].new)
    taken = swap.commit(stores, record=[(journal.append, 1)])
    states.append(0)
    swap.undo(taken, record=[(journal.append, 0)])
for reader in readers:
    reader.join()
assert [f() for f in functions] == [function(i, 0)() for i in range(COUNT)]
assert tables == [[0, 0], {"a": 0, "b": 0}, {0}]
assert not seen, (len(seen), seen[:3])
assert len(journal) >= FLIPS, len(journal)
assert sum(reads) >= THREADS * PASSES * COUNT, reads
"""


def test_nobody_sees_half_a_commit(run_child: Run) -> None:
    """8 threads, 200,000 calls or more around 100 commits and 100 undos or more, of functions whose parameters and defaults differ, and tables."""
    done = run_child(sys.executable, SCRIPT, "8", "1250", "200", "-")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("hook", ["-", "hook"])
@pytest.mark.parametrize("version", WANTED)
def test_nobody_sees_half_a_commit_on_any_python(run_child: Run, version: str, hook: str) -> None:
    """The same on each Python, without and with an audit hook, which runs between the stores."""
    if version not in found():
        pytest.skip(f"no Python {version} on this machine")
    done = run_child(found()[version], SCRIPT, "4", "150", "12" if hook == "hook" else "40", hook)
    assert done.returncode == 0, done.stderr
