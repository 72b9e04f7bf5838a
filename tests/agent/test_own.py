"""Functions of our own, whatever the program put in their place."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pythons import found

SRC = Path(__file__).parent.parent.parent / "src"
CODE = f"""
import sys
sys.path.insert(0, {str(SRC)!r})
import _thread, select, time, signal
from suture.engine.own import original
names = [("select", "poll"), ("_thread", "start_new_thread"), ("_thread", "allocate_lock"), ("_thread", "get_ident"),
         ("time", "monotonic"), ("time", "sleep"), ("_signal", "pthread_sigmask"), ("_socket", "socket")]
for module, name in names:
    assert original(module, name) is getattr(sys.modules[module], name)
time.monotonic = lambda: 0.0
time.sleep = select.poll = None
_thread.get_ident = lambda: 0
start, _thread.start_new_thread = _thread.start_new_thread, lambda *_: None
lock = original("_thread", "allocate_lock")()
lock.acquire()
original("_thread", "start_new_thread")(lock.release, ())
assert lock.acquire(True, 10)
assert original("time", "monotonic")() > 0
original("time", "sleep")(0)
assert original("select", "poll")().poll(0) == []
assert original("_thread", "get_ident")() != 0
class monkey:  # where gevent keeps what it replaced
    saved = {{"_thread": {{"start_new_thread": start}}}}
sys.modules["gevent.monkey"] = monkey
assert original("_thread", "start_new_thread") is start
try:
    original("select", "nothing")
except AttributeError:
    print("own")
"""


@pytest.mark.parametrize("version", sorted(found()))
def test_originals(version: str) -> None:
    """Found where gevent keeps them, else in a second copy of the C module."""
    done = subprocess.run([found()[version], "-c", CODE], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("own\n", "")
