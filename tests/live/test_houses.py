"""Hostile houses: what a production process does to itself before a patch comes, in real children on every Python found."""

from __future__ import annotations

import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from pythons import found
from suture.ops.build import build
from suture.patch import dump

SRC = Path(__file__).parent.parent.parent / "src"
House = Callable[..., str]

# Conditions are checked by a call, so that a script says the same under -O; a child that hangs is ended by its alarm.
HEAD = """
import os, signal, sys
signal.alarm(100)
sys.path.insert(0, os.path.abspath("live"))
def check(holds, *seen):
    if not holds:
        print(f"line {sys._getframe(1).f_lineno - HEAD}: {seen}", file=sys.stderr, flush=True)
        os._exit(1)  # whatever threads there are
def codes(report):
    return sorted(f.code for f in report.findings)
def refused(report, code):
    check(not report.ok and code in codes(report), report.words())
    check(report.state == "refused", report.state)
"""


@pytest.fixture
def house(python: str, tmp_path: Path, run_child: Callable[..., subprocess.CompletedProcess[str]]) -> House:
    """Run a script beside ``live/m.py`` and ``p.suture``, the patch that makes it the new text; returns its last line."""

    def run(before: str, after: str, script: str, *args: str, needs: str = "", **env: str) -> str:
        if needs and subprocess.run([python, "-c", f"import {needs}"], capture_output=True).returncode:
            pytest.skip(f"no {needs} for this Python")
        for folder, text in (("live", before), ("new", after)):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "m.py").write_text(textwrap.dedent(text))
        (tmp_path / "p.suture").write_bytes(dump(build(tmp_path / "live", tmp_path / "new", name="p")))
        head = f"{HEAD}HEAD = {HEAD.count(chr(10)) + 1}\n"
        done = run_child(python, head + textwrap.dedent(script), *args, **env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()[-1]

    return run


def renewed(text: str, *more: tuple[str, str]) -> str:
    """The text with "old" made "new", and other exchanges."""
    for a, b in (("old", "new"), *more):
        assert a in text, a
        text = text.replace(a, b)
    return text


# ---------------------------------------------------------------- greenlets

GREEN = """
from gevent.event import Event
inside, go = [], Event()
def helper():
    return "old"
def wait(name):
    inside.append(name)
    go.wait()
    return "old", helper()
def chunks():
    inside.append("chunks")
    yield "old"
    go.wait()
    yield "old"
class A:
    def wait(self):
        return wait("method"), "old"
"""

GREENLETS = """
    early = sys.argv[1] == "before"
    if early:
        import suture
        suture.status()  # the first use loads the engine, and with it the real locks and the real sleep
    from gevent import monkey
    monkey.patch_all()
    import gevent, threading
    import m, suture
    def start():
        m.go.clear()
        m.inside.clear()
        flying = [gevent.spawn(m.wait, i) for i in range(3)] + [gevent.spawn(m.A().wait), gevent.spawn(list, m.chunks())]
        while len(m.inside) < 5:
            gevent.sleep(0)
        return flying
    def in_greenlet(what):
        return gevent.spawn(what).get()
    def in_real_thread(what):
        return gevent.get_hub().threadpool.apply(what)
    OLD, NEW = ("old", "old"), ("new", "new")
    MIXED = ("old", "new")
    # Loaded after gevent each rest of ours is a turn of its loop, of a millisecond: one round is enough there.
    for runs in (in_greenlet, in_real_thread) if early else (in_greenlet,):
        flying = start()
        report = runs(lambda: suture.apply("p.suture"))
        check(report.ok, report.words())
        # Three calls and a method's, each in its own old code: two codes have a call that nobody's stack shows.
        check(report.inside_old == 6, report.inside_old, report.words())
        check("calls-cross" in codes(report), report.words())
        check([f.severity for f in report.findings if f.code == "calls-cross"][0] == "warning", report.words())
        check(suture.status()[0].inside_old == 6)
        check(not report.drained.done())
        m.go.set()
        results = [g.get() for g in flying]
        check(results == [MIXED] * 3 + [(MIXED, "old"), ["old", "old"]], results)
        fresh = [g.get() for g in [gevent.spawn(m.wait, 9), gevent.spawn(m.A().wait), gevent.spawn(list, m.chunks())]]
        check(fresh == [NEW, (NEW, "new"), ["new", "new"]], fresh)
        check(report.drained.left() == 0 and suture.status()[0].inside_old == 0, report.drained.left())
        flying = start()
        back = runs(lambda: suture.revert("p"))
        check(back.ok and back.inside_old == 6, back.words(), back.inside_old)
        m.go.set()
        results = [g.get() for g in flying]
        check(results == [("new", "old")] * 3 + [(("new", "old"), "new"), ["new", "new"]], results)
        check(m.wait("again") == OLD)
        check(not suture.status())
    if not early:
        print("green")
        sys.exit()
    # Two greenlets of one thread at once: one goes in, the other waits for it or is told; the future wakes its greenlet.
    both = [gevent.spawn(suture.apply, "p.suture") for _ in range(2)]
    reports = [g.get() for g in both]
    check(sum(r.ok for r in reports) >= 1, [r.words() for r in reports])
    check(all(r.ok or "busy" in codes(r) for r in reports), [r.words() for r in reports])
    check(len(suture.status()) == 1 and m.helper() == "new")
    check(suture.revert("p").ok)
    check(suture.apply_soon("p.suture").result(60).ok and m.helper() == "new")
    print("green")
"""


@pytest.mark.parametrize("loaded", ["before", "after"])
def test_under_gevent(house: House, loaded: str) -> None:
    """Suspended greenlets are counted as inside old code, finish on it, and leave; from a greenlet and from a real thread."""
    assert house(GREEN, renewed(GREEN), GREENLETS, loaded, needs="gevent") == "green"


# ---------------------------------------------------------------- -O and -OO

OPTIMISED = '''
log = []
def f(x):
    """Old words."""
    assert log.append("old") is None
    return "old", x
def doc_only():
    """Old words."""
    return 1
def assert_only(x):
    assert x, "old"
    return 1
def debug():
    if __debug__:
        return "old debug"
    return "old optimised"
def make(k):
    """Old words."""
    def inner(x):
        """Old words."""
        assert log.append("old inner") is None
        return "old", k, x
    return inner
held = make(3)
class A:
    def name(self):
        """Old words."""
        assert log.append("old name") is None
        return "old"
    def empty(self):
        """Old words."""
'''

OPTIMISED_CHILD = """
    import textwrap
    import m, suture
    level = int(sys.argv[1])
    check(sys.flags.optimize == level)
    a = m.A()
    def seen():
        m.log.clear()
        values = [m.f(1), m.doc_only(), m.debug(), m.held(2), m.make(4)(2), a.name(), a.empty()]
        try:
            values.append(m.assert_only(0))
        except AssertionError as error:
            values.append(str(error))
        holders = [m.f, m.doc_only, m.make, m.held, m.A.name, m.A.empty]
        return values, list(m.log), [h.__doc__ for h in holders], [h.__code__.co_consts[:1] for h in holders[:1]]
    def expect(word, doc):
        log = [] if level else [word, f"{word} inner", f"{word} inner", f"{word} name"]
        values = [(word, 1), 1, f"{word} {'optimised' if level else 'debug'}", (word, 3, 2), (word, 4, 2), word, None, 1 if level else word]
        docs = [None if level == 2 else doc] * 6
        return values, log, docs
    was = seen()
    check(was[:3] == expect("old", "Old words."), was)
    check(suture.plan("p.suture").ok)
    report = suture.apply("p.suture")
    check(report.ok, report.words())
    now, want = seen(), expect("new", "New words.")
    # An inner function that exists got its documentation when it was made.
    want[2][3] = now[2][3]
    check(now[:3] == want, now, want)
    check(level == 2 or m.make(1).__doc__ == "New words.", m.make(1).__doc__)
    with open("HotfixCode.py", "w") as file:
        file.write(textwrap.dedent('''
    import suture, m
    @suture.replace_func(m)
    def f(x, y=5):
        "Hot words."
        assert m.log.append("hot") is None
        return "hot", x, y
    @suture.replace_func(m.A)
    def name(self):
        assert m.log.append("hot name") is None
        return super().__repr__()[:0] + type(self).__name__ + "hot"
    '''))
    hot = suture.do_hotfix()
    check(hot.ok, hot.words())
    m.log.clear()
    check((m.f(1), a.name()) == (("hot", 1, 5), "Ahot"))
    check(m.log == ([] if level else ["hot", "hot name"]), m.log)
    check(suture.revert(hot.patch_id).ok)
    check(seen() == now, seen(), now)
    back = suture.revert(report.patch_id)
    check(back.ok, back.words())
    check(seen() == was, seen(), was)
    print("optimised", level)
"""


@pytest.mark.parametrize("level", ["0", "1", "2"])
def test_optimised(house: House, level: str) -> None:
    """Asserts and docstrings that the process dropped are no difference, and the new code comes without them too."""
    after = renewed(OPTIMISED, ("Old words", "New words"))
    assert house(OPTIMISED, after, OPTIMISED_CHILD, level, PYTHONOPTIMIZE=level) == f"optimised {level}"


# ---------------------------------------------------------------- modules that aren't what they were

PLAIN = """
def f():
    return "old"
class A:
    def name(self):
        return "old"
"""

STAND_INS = """
    import types
    import m, suture
    a, held, real = m.A(), m.f, m
    code = m.f.__code__, m.A.name.__code__
    class Instance:
        f = staticmethod(held)
        __file__ = m.__file__
        def __getattr__(self, name):
            raise SystemExit(f"asked for {name}")
    class Proxy(types.ModuleType):
        def __getattr__(self, name):
            return getattr(real, name)
    class Counting(types.ModuleType):
        asked = []
        def __getattribute__(self, name):
            Counting.asked.append(name)
            return super().__getattribute__(name)
    def unchanged(reverted=False):
        check(m.f is held and not suture.status(), suture.status())
        check((m.f.__code__, m.A.name.__code__) == code)
        check(reverted or all(a is b for a, b in zip((m.f.__code__, m.A.name.__code__), code)))
        check((held(), a.name()) == ("old", "old"))
    # What stands in for the module has neither its functions nor its names: it is said, and nothing is changed.
    for stand_in in (Instance(), types.SimpleNamespace(f=held, __file__=m.__file__), Proxy("m"), object(), None):
        sys.modules["m"] = stand_in
        for verb in (suture.plan, suture.apply):
            report = verb("p.suture")
            check(not report.ok and set(codes(report)) & {"nothing-loaded", "target-missing"}, stand_in, report.words())
            unchanged()
    # Loaded under another name as well, it is found by its file, unless the name leads to another module.
    sys.modules["m"], sys.modules["real_m"] = Proxy("m"), m
    refused(suture.apply("p.suture"), "target-missing")
    unchanged()
    sys.modules["m"] = Instance()
    check(suture.apply("p.suture").ok and (held(), a.name()) == ("new", "new"))
    check(suture.revert("p").ok)
    del sys.modules["real_m"]
    unchanged(reverted=True)
    # A module of a class of its own, with the module's own dictionary: patched, and its class is never asked.
    sys.modules["m"] = m
    m.__class__ = Counting
    Counting.asked.clear()
    report = suture.apply("p.suture")
    asked = Counting.asked[:]
    check(report.ok and (held(), a.name()) == ("new", "new"), report.words())
    back = suture.revert("p")
    check(back.ok, back.words())
    unchanged(reverted=True)
    print("stand-ins", *sorted(set(asked)))
"""


def test_stand_ins_for_a_module(house: House) -> None:
    """An instance, a namespace, a proxy or nothing at all in the module's place is a refusal, not a guess."""
    assert house(PLAIN, renewed(PLAIN), STAND_INS).startswith("stand-ins")


def test_class_of_a_module_is_not_asked(house: House) -> None:
    """A module whose class has a `__getattribute__` is read through the module type's own descriptor."""
    assert house(PLAIN, renewed(PLAIN), STAND_INS) == "stand-ins"


LAZY = """
    import importlib.util
    open("live/lazy.py", "w").write("import sys; sys.modules['ran'] = sys")
    spec = importlib.util.find_spec("lazy")
    spec.loader = importlib.util.LazyLoader(spec.loader)
    lazy = importlib.util.module_from_spec(spec)
    sys.modules["lazy"] = lazy
    spec.loader.exec_module(lazy)
    import m, suture
    check("ran" not in sys.modules)
    check(suture.plan("p.suture").ok)
    report = suture.apply("p.suture")
    check(report.ok and m.f() == "new", report.words())
    print("ran" if "ran" in sys.modules else "lazy still")
"""


def test_lazy_modules_stay_unloaded(house: House) -> None:
    """A module behind `importlib.util.LazyLoader` that nobody has used yet isn't loaded by a plan or an apply."""
    assert house(PLAIN, renewed(PLAIN), LAZY) == "lazy still"


TWINS = """
    import importlib, importlib.util
    import m, suture
    first, a = m, m.A()
    # The module is imported anew; somebody holds the first one's function and an object of the first one's class.
    del sys.modules["m"]
    second = importlib.import_module("m")
    check(second is not first and second.f is not first.f)
    sys.modules["first_m"] = first
    report = suture.apply("p.suture")
    check(report.ok, report.words())
    check((first.f(), second.f(), a.name(), second.A().name()) == ("new",) * 4, report.words())
    check(suture.revert("p").ok)
    check((first.f(), second.f(), a.name(), second.A().name()) == ("old",) * 4)
    # One of the two runs something else: neither is touched.
    exec("def f(): return 'third'", vars(first))
    before = first.f.__code__, second.f.__code__, first.A.name.__code__, second.A.name.__code__
    refused(suture.apply("p.suture"), "conflict")
    now = first.f.__code__, second.f.__code__, first.A.name.__code__, second.A.name.__code__
    check(all(x is y for x, y in zip(before, now)) and not suture.status())
    print("twins")
"""


def test_second_module_of_one_file(house: House) -> None:
    """Both modules made from a file are patched, or neither is."""
    assert house(PLAIN, renewed(PLAIN), TWINS) == "twins"


# ---------------------------------------------------------------- classes that answer for themselves

CLASSES = """
calls = []
class Meta(type):
    def __setattr__(cls, name, value):
        calls.append(("set", name))
        super().__setattr__(name, value)
    def __delattr__(cls, name):
        calls.append(("delete", name))
        super().__delattr__(name)
    def __getattribute__(cls, name):
        calls.append(("get", name))
        return super().__getattribute__(name)
    def __call__(cls, *args):
        calls.append(("call",))
        return super().__call__(*args)
    def __eq__(cls, other):
        calls.append(("eq",))
        return cls is other
    def __hash__(cls):
        calls.append(("hash",))
        return 1
    def __instancecheck__(cls, other):
        calls.append(("instance",))
        return True
    def __subclasscheck__(cls, other):
        calls.append(("subclass",))
        return True
class M(metaclass=Meta):
    LIMIT = 1
    def name(self, x=1):
        return "old", x
    @classmethod
    def make(cls):
        return "old class"
    @staticmethod
    def plain():
        return "old static"
    @property
    def size(self):
        return "old size"
    def _m(self):
        return 1
class S:
    __slots__ = ("x", "__weakref__")
    def __init__(self, x):
        self.x = x
    def name(self):
        return "old", self.x
class Trap:
    def __getattr__(self, name):
        calls.append(("trap", name))
        raise RuntimeError(name)
    def name(self):
        return "old"
class Closed:
    def __getattribute__(self, name):
        if name == "__dict__" or name not in ("name", "added"):
            calls.append(("closed", name))
            raise RuntimeError(name)
        return object.__getattribute__(self, name)
    def __setattr__(self, name, value):
        raise RuntimeError(name)
    def __eq__(self, other):
        raise RuntimeError("eq")
    __hash__ = None
    def name(self):
        return "old"
held = [M(), S(3), Trap(), Closed()]
bound = [h.name for h in held]
registry = {"size": M.__dict__["size"] if False else None, "make": M.make}
"""

ADDED = "\n    def added(self):\n        return type(self).name(self), __class__ is type(self)\n"

CLASSES_CHILD = """
    import gc, types
    import m, suture
    suture.status()
    raw = type.__dict__["__dict__"].__get__
    kinds = [type(h) for h in m.held]
    M, S, Trap, Closed = kinds
    def contents():
        return [list(raw(k).items()) for k in kinds]
    def codes_of():
        return {f.__qualname__: f.__code__ for k in kinds for f in raw(k).values() if type(f) is types.FunctionType}
    def seen():
        return [b() for b in m.bound], m.registry["make"](), M.plain(), m.held[0].size
    OLD = [("old", 1), ("old", 3), "old", "old"], "old class", "old static", "old size"
    NEW = [("new", 9), ("new", 3), "new", "new"], "new class", "new static", "new size"
    was, code = contents(), codes_of()
    check(seen() == OLD)
    def quietly(verb, *args):
        m.calls.clear()
        report = verb(*args)
        check(not m.calls, verb, m.calls[:5], len(m.calls))
        return report
    check(quietly(suture.plan, "p.suture").ok)
    for again in range(2):
        report = quietly(suture.apply, "p.suture")
        check(report.ok, report.words())
        check(quietly(suture.status)[0] is report)
        check(seen() == NEW, seen())
        check(m.held[0].added() == (("new", 9), True) and m.held[1].added() == (("new", 3), True))
        check(m.held[2].added() == ("new", True) and m.held[3].added() == ("new", True))
        check(M.LIMIT == 2 and "added" in raw(M))
        back = quietly(suture.revert, "p")
        check(back.ok, back.words())
        check(seen() == OLD)
        now = contents()
        for old, new in zip(was, now):
            check([k for k, _ in old] == [k for k, _ in new], [k for k, _ in old], [k for k, _ in new])
            check(all(a is b for (_, a), (_, b) in zip(old, new)), old, new)
        check(codes_of() == code)
    print("classes")
"""


def test_classes_that_answer_for_themselves(house: House) -> None:
    """Metaclasses, slots and traps are never asked; a revert brings the very same class dictionaries back, in order."""
    after = renewed(CLASSES, ("LIMIT = 1", "LIMIT = 2"), ("x=1", "x=9"))
    for line in ("    def _m(self):\n        return 1\n", 'return "new", self.x\n'):
        after = after.replace(line, line + ADDED)
    for name in ("Trap", "Closed"):
        head, _, tail = after.partition(f"class {name}:")
        after = (
            head
            + f"class {name}:"
            + tail.replace('def name(self):\n        return "new"\n', 'def name(self):\n        return "new"\n' + ADDED, 1)
        )
    assert after.count("def added") == 4
    assert house(CLASSES, after, CLASSES_CHILD) == "classes"


# ---------------------------------------------------------------- somebody watches

WATCHED = """
import threading
inside, go = threading.Event(), threading.Event()
def helper(x):
    y = "old"
    return y, x
def f(x=1):
    first = helper(x)
    second = [helper(i) for i in range(2)]
    return first, second
def wait():
    inside.set()
    go.wait()
    return helper(1), "old"
class A:
    def name(self):
        return helper("name")
    def rows(self):
        yield helper(1)
        yield helper(2), "old"
"""

WATCHED_CHILD = r"""
    import threading
    import m, suture
    suture.status()
    how = sys.argv[1]
    lines, raised = set(), []
    def note(code, line):
        if code.co_filename.startswith(m.__file__):
            lines.add((code.co_filename[len(m.__file__):], line))
    def tracer(frame, event, arg):
        note(frame.f_code, frame.f_lineno)
        return tracer
    def start():
        if how == "trace":
            threading.settrace(tracer)
            sys.settrace(tracer)
        elif how == "profile":
            threading.setprofile(tracer)
            sys.setprofile(tracer)
        elif how == "coverage":
            global cover
            import coverage
            cover = coverage.Coverage(data_file=None, branch=True, include=[m.__file__ + "*"])
            cover.start()
        else:
            watch = sys.monitoring
            watch.use_tool_id(3, "watcher")
            watch.register_callback(3, watch.events.LINE, note)
            watch.register_callback(3, watch.events.PY_START, lambda code, at: note(code, code.co_firstlineno))
            watch.register_callback(3, watch.events.CALL, lambda *a: None)
            if how == "monitoring":
                watch.set_events(3, watch.events.LINE | watch.events.PY_START | watch.events.CALL)
            else:
                for code in (m.f.__code__, m.A.name.__code__, m.wait.__code__):
                    watch.set_local_events(3, code, watch.events.LINE | watch.events.PY_START | watch.events.INSTRUCTION)
                watch.register_callback(3, watch.events.INSTRUCTION, lambda *a: None)
    def seen():
        return m.f(), m.A().name(), list(m.A().rows()), held(2), list(bound())
    held, bound = m.f, m.A().rows
    was = seen()
    start()
    check(seen() == was)
    thread = threading.Thread(target=m.wait)
    thread.start()
    m.inside.wait()
    generator = m.A().rows()
    next(generator)
    check(suture.plan("p.suture").ok)
    report = suture.apply("p.suture")
    check(report.ok, report.words())
    lines.clear()
    new = seen()
    check(repr(new) == repr(was).replace("old", "new"), new)
    if how in ("trace", "profile", "monitoring"):
        check(any(name == f"@{report.patch_id}" for name, _ in lines), sorted(lines))
    # A traced frame's snapshot of its locals may hold a generator a while longer (up to 3.12): counted, not missed.
    check(report.inside_old >= 2 and not report.drained.done(), report.inside_old, report.words())
    if how != "trace":
        check(report.inside_old == 2, report.inside_old, report.words())
    crossed = [(f.severity.value, f.target) for f in report.findings if f.code == "calls-cross" and f.target != "m:f"]
    check(sorted(crossed) == [("warning", "m:A.rows"), ("warning", "m:wait")], crossed)
    m.go.set()
    thread.join()
    check(list(generator) == [(("new", 2), "old")])
    del generator
    back = suture.revert("p")
    check(back.ok, back.words())
    check(seen() == was)
    check(suture.apply("p.suture").ok and repr(seen()) == repr(new))
    check(suture.revert("p").ok and seen() == was)
    if how == "coverage":
        cover.stop()
        check(m.__file__ in cover.get_data().measured_files(), cover.get_data().measured_files())
    print(how)
"""


@pytest.mark.parametrize("how", ["trace", "profile", "coverage", "monitoring", "monitoring-local"])
def test_watched(house: House, python: str, how: str, request: pytest.FixtureRequest) -> None:
    """Under a tracer, a profiler, coverage or a monitoring tool: the preimage matches, and the new code is seen too."""
    if how.startswith("monitoring") and python in (found().get("3.10"), found().get("3.11")):
        pytest.skip("sys.monitoring is new in 3.12")
    after = renewed(WATCHED, ("\ndef f", "\n\ndef f"))
    assert house(WATCHED, after, WATCHED_CHILD, how, needs="coverage" if how == "coverage" else "") == how


# ---------------------------------------------------------------- warnings that are errors

STRICT = """
def f():
    return [1]
def g():
    return "old"
"""

STRICT_CHILD = """
    import warnings
    import suture
    import m
    shown = []
    if sys.argv[1] == "error":
        warnings.simplefilter("error")
    else:
        warnings.simplefilter("always")
        warnings.showwarning = lambda *a, **k: shown.append(a)
    before = list(warnings.filters)
    code, patch = m.f.__code__, "p.suture"
    refused(suture.apply(patch, partial=True), "kind-changed")
    for _ in range(2):
        report = suture.apply(patch, partial=True, accept=["kind-changed:m:f"])
        check(report.ok, report.words())
        check((list(m.f()), m.g()) == ([1], "new"))
        check(suture.revert("p").ok and (m.f(), m.g()) == ([1], "old") and m.f.__code__ == code)
    check(not shown and warnings.filters == before, shown)
    print("strict")
"""


@pytest.mark.parametrize("how", ["error", "always"])
def test_warnings_that_are_errors(house: House, how: str) -> None:
    """-W error: a store that warns (another kind of function, 3.13+) is made all the same, and nothing is shown in its midst."""
    after = STRICT.replace("return [1]", "yield 1").replace("old", "new")
    assert house(STRICT, after, STRICT_CHILD, how) == "strict"


# ---------------------------------------------------------------- half a module

HALF = """
import threading
inside, go = threading.Event(), threading.Event()
def f():
    return "old"
class A:
    def name(self):
        return "old"
inside.set()
go.wait()
def g():
    return f()
"""

HALF_CHILD = """
    import threading
    import suture
    def names():
        return set(vars(sys.modules["m"]))
    failed = []
    def load():
        try:
            import m
        except BaseException as error:
            failed.append(error)
    thread = threading.Thread(target=load)
    thread.start()
    while "m" not in sys.modules or "inside" not in vars(sys.modules["m"]):
        pass
    m = sys.modules["m"]
    m.inside.wait()
    code, name, had = m.f.__code__, m.A.name.__code__, names()
    check("g" not in had)
    for verb in (suture.plan, suture.apply, suture.apply, suture.plan):
        refused(verb("p.suture"), "module-importing")
        check(m.f.__code__ is code and m.A.name.__code__ is name and names() == had and not suture.status())
    # From a thread of its own as well: nobody waits for the import lock.
    refused(suture.apply_soon("p.suture").result(60), "module-importing")
    m.go.set()
    thread.join()
    check(not failed and m.g() == "old", failed)
    report = suture.apply("p.suture")
    check(report.ok, report.words())
    check((m.g(), m.A().name()) == ("new", "new"))
    check(suture.revert("p").ok and m.g() == "old")
    print("half")
"""


def test_half_imported_module(house: House) -> None:
    """While a thread is inside the module's body a patch of it is refused by name, and goes in when that has ended."""
    assert house(HALF, renewed(HALF), HALF_CHILD) == "half"


# ---------------------------------------------------------------- interrupts

MANY = "LIMIT = 1\n" + "".join(
    f"def f{i}(a=1, *, b=1):\n    return 'old', a, b, LIMIT\nclass A{i}:\n    def name(self):\n        return 'old'\n"
    for i in range(8)
)

INTERRUPTED = r"""
    import random, signal, threading
    import m, suture
    from suture.patch import load
    how, seed = sys.argv[1], int(sys.argv[2])
    random.seed(seed)
    patch = load(open("p.suture", "rb").read())
    names = sorted(vars(m))
    objects = [a for i in range(8) for a in (getattr(m, f"A{i}")(),)]
    def seen():
        return [getattr(m, f"f{i}")() for i in range(8)] + [o.name() for o in objects] + [m.LIMIT, hasattr(m, "added")]
    OLD = [("old", 1, 1, 1)] * 8 + ["old"] * 8 + [1, False]
    NEW = [("new", 2, 2, 2)] * 8 + ["new"] * 8 + [2, True]
    check(seen() == OLD, seen())
    main = threading.get_ident()
    def interrupt(delay_s):
        # An exact delay isn't needed: wherever it hits is a place.
        if how == "alarm":
            signal.setitimer(signal.ITIMER_REAL, delay_s)
            return None
        def strike():
            until.wait(delay_s)
            if not until.is_set():
                if how == "kill":
                    os.kill(os.getpid(), signal.SIGINT)
                else:
                    import _thread
                    _thread.interrupt_main()
        until = threading.Event()
        thread = threading.Thread(target=strike)
        thread.start()
        return until, thread
    signal.alarm(0)
    if how == "alarm":
        def stop(*_):
            raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, stop)
    def in_thread(verb, *args):
        out = []
        thread = threading.Thread(target=lambda: out.append(verb(*args)), daemon=True)
        thread.start()
        thread.join(30)
        check(out, "a lock is still held after the interrupt", verb)
        return out[0]
    hits = {"apply": 0, "revert": 0}
    longest = {}
    for verb, run in (("apply", lambda: suture.apply(patch)), ("revert", lambda: suture.revert("p"))):
        report = run()
        check(report.ok)
        longest[verb] = report.caller_blocked_ms / 1e3, (report.caller_blocked_ms - report.phase_ms["census"]) / 1e3
    check(seen() == OLD)
    for i in range(int(sys.argv[3])):
        verb = "revert" if seen() == NEW else "apply"
        token = None
        try:
            token = interrupt(max(1e-6, random.random() * longest[verb][i % 3 > 0] * 1.2))
            report = suture.apply(patch) if verb == "apply" else suture.revert("p")
            check(report.ok, report.words())
            interrupted = False
            if how == "alarm":
                signal.setitimer(signal.ITIMER_REAL, 0)
            else:
                token[0].set()
                token[1].join()
        except KeyboardInterrupt:
            interrupted = True
            hits[verb] += 1
        while True:  # one that came late
            try:
                if how == "alarm":
                    signal.setitimer(signal.ITIMER_REAL, 0)
                elif token is not None:
                    token[0].set()
                    token[1].join()
                break
            except KeyboardInterrupt:
                hits[verb] += 1
        now = seen()
        check(now in (OLD, NEW), verb, now)
        live = suture.status()
        if sys.argv[4] == "status" or not interrupted:
            check(len(live) == (now == NEW), verb, interrupted, live, now)
        check(len(live) <= (now == NEW), verb, interrupted, live, now)
        if live:
            check(live[0].patch_id == patch.id and live[0].state == "committed" and live[0].ok, live)
        if not interrupted:
            check((now == NEW) is (verb == "apply"), verb)
        # What follows works, from another thread too: no lock is left behind, no state is in between.
        if i % 4 == 0 or interrupted and i % 2:
            report = in_thread(suture.revert, "p") if now == NEW else in_thread(suture.apply, patch)
            check(report.ok, report.words())
            check(seen() == (OLD if now == NEW else NEW), seen())
            check(len(suture.status()) == (now == OLD))
    if seen() == NEW:
        check(suture.revert("p").ok)
    check(not suture.status() and seen() == OLD and sorted(vars(m)) == names)
    check(hits["apply"] and hits["revert"], hits)
    print("interrupted", how)
"""


@pytest.mark.parametrize("how", ["alarm", "kill", "interrupt_main"])
def test_interrupted_at_random_moments(house: House, how: str) -> None:
    """A KeyboardInterrupt anywhere in apply or revert leaves all of the old or all of the new, and the status says which."""
    after = renewed(MANY, ("a=1, *, b=1", "a=2, *, b=2"), ("LIMIT = 1", "LIMIT = 2")) + "def added():\n    return 1\n"
    assert house(MANY, after, INTERRUPTED, how, "7", "24", "status") == f"interrupted {how}"


# ---------------------------------------------------------------- nothing to write to

NOWHERE = """
    import resource, shutil
    data = open("p.suture", "rb").read()
    answer = os.open("answer", os.O_WRONLY | os.O_CREAT)
    import m, suture
    used = sys.argv[1] == "used"
    if used:
        suture.status()
    gone = os.path.join(os.getcwd(), "gone")
    os.mkdir(gone)
    os.chdir(gone)
    os.rmdir(gone)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = os.fstat(answer).st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.close()
    for fd in (0, 1, 2):
        try:
            os.close(fd)
        except OSError:
            pass
    if sys.argv[2] == "none":
        sys.stdin = sys.stdout = sys.stderr = None
    try:
        if used:  # no file can be opened any more
            resource.setrlimit(resource.RLIMIT_NOFILE, (answer + 1, answer + 1))
            taken = []
            try:
                while True:
                    taken.append(os.dup(answer))
            except OSError:
                pass
        held = m.f
        steps = []
        steps.append(suture.plan(data).ok)
        report = suture.apply(data)
        steps += [report.ok, held() == "new", bool(report.words()), bool(report.to_json())]
        steps.append(len(suture.status()) == 1)
        steps.append(not suture.apply("/nowhere/p.suture").ok)
        back = suture.revert("p")
        steps += [back.ok, held() == "old", not suture.status()]
        if all(steps):
            os.write(answer, b"nowhere")
            os._exit(0)
        os.write(answer, repr(steps).encode()[:64])
        os._exit(3)
    except BaseException as error:
        os.write(answer, f"{type(error).__name__} {error.__traceback__.tb_next and error.__traceback__.tb_next.tb_lineno}: {error}".encode()[:64])
        os._exit(2)
"""


@pytest.mark.parametrize("streams", ["closed", "none"])
@pytest.mark.parametrize("used", ["used", "fresh"])
def test_nothing_to_write_to(
    python: str, tmp_path: Path, run_child: Callable[..., subprocess.CompletedProcess[str]], used: str, streams: str
) -> None:
    """Working folder deleted, standard streams closed, no file may grow, no descriptor is free: every verb works from bytes."""
    for folder, text in (("live", PLAIN), ("new", renewed(PLAIN))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "m.py").write_text(text)
    (tmp_path / "p.suture").write_bytes(dump(build(tmp_path / "live", tmp_path / "new", name="p")))
    done = run_child(python, HEAD + textwrap.dedent(NOWHERE), used, streams)
    assert (done.returncode, (tmp_path / "answer").read_text()) == (0, "nowhere"), done


RELATIVE = """
    import types
    import m, suture
    data = open("p.suture", "rb").read()
    made = types.ModuleType("made")
    made.__file__ = "made.py"  # as some loaders and code generators have it
    sys.modules["made"] = made
    gone = os.path.join(os.getcwd(), "gone")
    os.mkdir(gone)
    os.chdir(gone)
    os.rmdir(gone)
    report = suture.apply(data)
    check(report.ok and m.f() == "new", report.words())
    check(suture.revert("p").ok and m.f() == "old")
    print("relative")
"""


def test_relative_file_in_a_deleted_folder(house: House) -> None:
    """Somebody else's module with a relative file name doesn't stop an apply whose working folder is gone."""
    assert house(PLAIN, renewed(PLAIN), RELATIVE) == "relative"


# ---------------------------------------------------------------- fork

FORKED = """
import threading
inside, go = threading.Event(), threading.Event()
def slow():
    inside.set()
    go.wait()
    return 5
def f():
    return "old"
class A:
    def name(self):
        return "old"
"""

FORK_LIVE = """
    import threading
    import m, suture
    held, a = m.f, m.A()
    report = suture.apply("p.suture")
    check(report.ok, report.words())
    def in_child(what):
        child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            check(status == 0, what, status)
            return
        code = 1
        try:
            signal.alarm(30)
            what()
            code = 0
        except BaseException as error:
            print(what, repr(error), file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    def story():
        check((held(), a.name()) == ("new", "new"))
        check([r.patch_id for r in suture.status()] == [report.patch_id])
        again = suture.apply("p.suture")
        check(again.ok and "already-fixed" in codes(again), again.words())
        check(again.process.pid == os.getpid(), again.process)
        back = suture.revert("p")
        check(back.ok and (held(), a.name()) == ("old", "old") and not suture.status(), back.words())
        check(suture.apply_soon("p.suture").result(20).ok and held() == "new")
    in_child(story)
    check((held(), a.name()) == ("new", "new") and len(suture.status()) == 1)
    check(suture.revert("p").ok)
    in_child(lambda: check(suture.apply("p.suture").ok and held() == "new"))
    check(held() == "old")
    print("forked")
"""

FORK_BUSY = """
    import threading, warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    import m, suture
    suture.status()
    held, a, names = m.f, m.A(), set(vars(m))
    future = suture.apply_soon("p.suture")
    m.inside.wait()  # a thread is inside an expression of the patch
    child = os.fork()
    if not child:
        code = 1
        try:
            signal.alarm(20)
            check((held(), a.name()) == ("old", "old"))
            m.go.set()
            # The one thread there is can't wait for a lock of one that there isn't.
            lock = suture._engine()._lock
            check(lock.acquire(blocking=False), "locked out for good")
            lock.release()
            check(not suture.status(), "live in the child")
            check(set(vars(m)) == names, set(vars(m)) - names)
            report = suture.apply("p.suture")
            check(report.ok, report.words())
            check((held(), a.name()) == ("new", "new"))
            back = suture.revert("p")
            check(back.ok and (held(), a.name()) == ("old", "old") and set(vars(m)) == names, back.words())
            code = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    m.go.set()
    report = future.result(60)
    check(report.ok, report.words())
    check((held(), a.name(), len(suture.status())) == ("new", "new", 1))
    check(suture.revert("p").ok and set(vars(m)) == names)
    check(status == 0, "child", status)
    print("forked")
"""


def test_fork_while_a_patch_is_live(house: House) -> None:
    """A forked child has the patch and the engine's memory of it, and goes its own way from there."""
    assert house(FORKED, renewed(FORKED), FORK_LIVE) == "forked"


def test_fork_while_an_apply_is_under_way(house: House) -> None:
    """The child of a fork in the middle of another thread's apply is wholly old, and its own apply isn't locked out."""
    after = renewed(FORKED) + "TABLE = [slow()]\n"
    assert house(FORKED, after, FORK_BUSY) == "forked"
