"""How a commit finds out what watches it, and what it does where that can't be told; in children on every Python."""

from __future__ import annotations

import pytest

from pythons import Run, out

# A module, a patch of it that changes code, defaults, a constant and a class, and what goes in and out of it.
HEAD = """
    import sys, types
    m = types.ModuleType("mm"); m.__file__ = "/nowhere/mm.py"; sys.modules["mm"] = m
    TEXT = "def f(a=1, *, b=1):\\n    return LIMIT, a, b\\nLIMIT = 1\\nclass A:\\n    def g(self):\\n        return 1\\n"
    exec(compile(TEXT, "/nowhere/mm.py", "exec"), vars(m))
    def patch():
        from suture.patch import Change, Kind, Patch, Scope, Target
        def change(number, kind, name, text, new, line, *classes):
            scope = Scope(classes, 0, 0, line, line)
            return Change(number, kind, Target("mm", name, "mm.py"), text, new, scope, names=(name,))
        function = "def f(a=1, *, b=1):\\n    return LIMIT, a, b\\n"
        method = "    def g(self):\\n        return 1\\n"
        return Patch("p", (
            change(0, Kind.FUNCTION, "f", function, function.replace("1", "2"), 1),
            change(1, Kind.VALUE, "LIMIT", "LIMIT = 1\\n", "LIMIT = 2\\n", 3),
            change(2, Kind.FUNCTION, "A.g", method, method.replace("1", "2"), 5, "A"),
        ))
    def there_and_back():
        import suture
        function, bound = m.f, m.A().g
        objects = function.__code__, m.A.g.__code__
        for _ in range(2):
            report = suture.apply(patch())
            assert report.ok, report.words()
            assert (function(), bound()) == ((2, 2, 2), 2), (function(), bound())
            back = suture.revert("p")
            assert back.ok, back.words()
            assert (function(), bound()) == ((1, 1, 1), 1), (function(), bound())
        return {f.code for f in report.findings}
"""


def test_without_ctypes(python: str, run_child: Run) -> None:
    """A build without it: from 3.14 on a hook can't be ruled out, from 3.13 on calls stay slower; all of it goes in and out."""
    done = run_child(
        python,
        HEAD
        + """
    sys.modules["ctypes"] = sys.modules["_ctypes"] = None
    said = there_and_back()
    from suture.engine import hooks
    assert hooks.audit_hook_present() is (sys.version_info >= (3, 14))
    assert ("slower-calls" in said) is (sys.version_info >= (3, 13)), said
    print("gone")
""",
    )
    assert out(done) == "gone"


def test_where_the_interpreter_has_no_such_function(python: str, run_child: Run) -> None:
    """ctypes is there, what is called through it isn't: as without ctypes."""
    done = run_child(
        python,
        HEAD
        + """
    import ctypes
    class Bare:
        pass
    ctypes.pythonapi = Bare()
    said = there_and_back()
    assert ("slower-calls" in said) is (sys.version_info >= (3, 13)), said
    print("gone")
""",
    )
    assert out(done) == "gone"


def test_under_a_profiler(python: str, run_child: Run) -> None:
    """What would see the probe is asked first: no exception of ours comes up in it; from 3.14 on it counts as a hook."""
    done = run_child(
        python,
        HEAD
        + """
    import suture
    suture.status()
    from suture.engine import hooks
    assert not hooks.audit_hook_present()
    late = sys.version_info >= (3, 14)
    seen, broken = [], []
    def profile(frame, event, arg):
        try:
            seen.append(event)
        except BaseException as error:
            broken.append(error)
            raise
    sys.setprofile(profile)
    assert hooks.audit_hook_present() is late
    there_and_back()
    sys.setprofile(None)
    assert seen and not broken, broken
    assert not hooks.audit_hook_present()
    if sys.version_info >= (3, 12):
        watch = sys.monitoring
        watch.use_tool_id(4, "test")
        calls = []
        watch.register_callback(4, watch.events.CALL, lambda *a: calls.append(a))
        assert not hooks.audit_hook_present()  # a tool without events sees nothing
        watch.set_events(4, watch.events.CALL)
        assert hooks.audit_hook_present() is late
        there_and_back()
        watch.set_events(4, 0)
        watch.free_tool_id(4)
        assert calls
        assert not hooks.audit_hook_present()
    print("profiled")
""",
        COVERAGE_PROCESS_START="",  # a measurement would be a profiler itself
    )
    assert out(done) == "profiled"


@pytest.mark.parametrize("how", ["silent", "raising", "late"])
def test_hooks_are_found_by_their_first_instruction(python: str, run_child: Run, how: str) -> None:
    """One that does nothing, one that raises at our event, one that comes later: all are there, none of them breaks."""
    done = run_child(
        python,
        HEAD
        + """
    import suture
    from suture.engine import hooks
    how = sys.argv[1]
    broken = []
    def hook(event, args):
        try:
            if how == "raising" and event == "suture.probe":
                raise RuntimeError("not in this house")
        except RuntimeError:
            raise
        except BaseException as error:
            broken.append(error)
            raise
    if how == "late":
        there_and_back()
        assert not hooks.audit_hook_present()
    sys.addaudithook(hook)
    for _ in range(3):
        assert hooks.audit_hook_present()
    there_and_back()
    for _ in range(1000):
        pass
    assert not broken, broken
    print("found")
""",
        how,
    )
    assert out(done) == "found"


VERSIONS = """
    from suture.engine import versions
    def versions_of(function):
        _, at, inner, number = versions._found[0]
        return number.from_address(id(function) + at).value, number.from_address(id(function.__code__) + inner).value
    for _ in range(100):
        m.f(); m.A().g()
    assert "slower-calls" not in there_and_back()
    if sys.version_info >= (3, 13):
        function = eval(sys.argv[1])
        has, wants = versions_of(function)
        assert has == wants > 1, (has, wants)
        assert versions.restore([function], lambda: None)
        assert versions_of(function) == (has, wants)
    else:
        assert versions.restore([m.f], lambda: None) and not versions._found
    print("back")
"""


def test_versions_come_back_after_a_revert(python: str, run_child: Run) -> None:
    """What calls are specialised by, from 3.13 on: a function whose code was changed has it again, and keeps it."""
    assert out(run_child(python, HEAD + VERSIONS, "m.A.g")) == "back"


def test_versions_come_back_where_only_defaults_change(python: str, run_child: Run) -> None:
    """A store to defaults clears the version as one to the code does."""
    assert out(run_child(python, HEAD + VERSIONS, "m.f")) == "back"
