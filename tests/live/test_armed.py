"""Armed patches in real children on every Python found: each way in which a module may come."""

from __future__ import annotations

import pytest
from test_houses import House, house, renewed  # noqa: F401 - fixtures

OLD = """
import threading
LIMIT = "old"
def f(a="old"):
    return a, LIMIT
class A:
    def name(self):
        return "old"
    def __secret(self):
        return "old"
    def secret(self):
        return self.__secret()
def make():
    def inner():
        return "old"
    return inner
async def co():
    return "old"
held, at = make(), f()
def fail():
    raise KeyError("old")
"""

CHILD = """
    import importlib, importlib.util, traceback, types
    import suture
    suture.status()  # loads the engine
    from suture.engine import pace
    pace.SLICE_NS *= 20  # nobody waits for us here
    def way(how):
        def seen(m):
            a = m.A()
            return m.at + m.f() + (m.LIMIT, a.name(), a.secret(), m.held(), m.make()(), m.co.__code__.co_consts[-1])
        planned = suture.plan("p.suture")
        check(planned.ok and [f for f in sys.meta_path if "suture" in type(f).__module__] == [], planned.words())
        report = suture.apply("p.suture")
        check(report.ok and {r.status for r in report.changed} == {"armed"}, report.words())
        check("live-nowhere" in codes(report) and "armed" in codes(report), report.words())
        check(type(sys.meta_path[0]).__module__ == "suture.engine.imports")
        pid = None
        if how == "import":
            import m
        elif how == "import_module":
            m = importlib.import_module("m")
        elif how == "__import__":
            m = __import__("m")
        elif how == "fork":
            pid = os.fork()
            import m  # parent and child, each on its own
        elif how == "threads":
            import threading
            got = []
            threads = [threading.Thread(target=lambda: got.append(importlib.import_module("m"))) for _ in range(8)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            m = got[0]
            check(all(g is m for g in got) and len(got) == 8)
        elif how == "reload":
            import m
            first = m.f
            importlib.reload(m)
            check(first() == m.f() and first is not m.f)
        elif how == "again":
            import m
            del sys.modules["m"]
            m = importlib.import_module("m")
        elif how == "zip":
            import zipfile
            with zipfile.ZipFile("z.zip", "w") as made:
                made.write("live/m.py", "m.py")
            sys.path[:] = ["z.zip" if p.endswith("live") else p for p in sys.path]
            import m
        elif how == "lazy":
            spec = importlib.util.find_spec("m")
            spec.loader = importlib.util.LazyLoader(spec.loader)
            m = importlib.util.module_from_spec(spec)
            sys.modules["m"] = m
            spec.loader.exec_module(m)
        check(set(seen(m)) == {"new"}, seen(m))
        check(type(m.__loader__).__name__ == ("zipimporter" if how == "zip" else "SourceFileLoader") and m.__spec__.loader is m.__loader__)
        try:
            m.fail()
        except KeyError:
            shown = traceback.format_exc()
        check('raise KeyError("new")' in shown, shown)
        status = suture.status()[0]
        check({r.status for r in status.changed} == {"updated"}, status.words())
        held, a = (m.f, m.co, m.held), m.A()
        back = suture.revert("p")
        check(back.ok and {r.status for r in back.changed} == {"reverted"}, back.words())
        check(held[0]() == ("old", "old") and a.name() == a.secret() == held[2]() == m.make()() == "old", back.words())
        check([f for f in sys.meta_path if "suture" in type(f).__module__] == [])
        again = suture.apply("p.suture")
        check(again.ok and held[0]() == ("new", "new") and a.secret() == "new", again.words())
        check(suture.revert("p").ok and a.name() == "old")
        if pid is not None:
            if not pid:
                os._exit(3)
            check(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3)
    ways = sys.argv[1:]
    for how in ways:
        child = os.fork()
        if not child:
            try:
                way(how)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        check(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, how)
    print("armed", *ways)
"""


WAYS = ["import", "import_module", "__import__", "fork", "threads", "reload", "again", "zip", "lazy"]


def test_each_way_in(house: House) -> None:  # noqa: F811
    """The body itself runs the new code; tracebacks show its text; a revert takes all of it out, and it can go in again."""
    assert house(OLD, renewed(OLD), CHILD, *WAYS) == f"armed {' '.join(WAYS)}"


@pytest.mark.parametrize("level", ["1", "2"])
def test_optimised(house: House, level: str) -> None:  # noqa: F811
    """Under -O and -OO as well."""
    assert house(OLD, renewed(OLD), CHILD, "import", PYTHONOPTIMIZE=level) == "armed import"


def test_a_finder_of_the_program_s(house: House) -> None:  # noqa: F811
    """One that stands in front sees the import first, and what it finds is not ours to change; it's named afterwards."""
    script = """
    import importlib.machinery, suture
    class First:
        @staticmethod
        def find_spec(name, path=None, target=None):
            return importlib.machinery.PathFinder.find_spec(name, path) if name == "m" else None
    check(suture.apply("p.suture").ok)
    sys.meta_path.insert(0, First)
    import m
    check(m.LIMIT == "old")
    status = suture.status()[0]
    check("past-the-hook" in codes(status), status.words())
    check(suture.revert("p").ok and suture.apply("p.suture").ok and m.LIMIT == "new")
    print("named")
    """
    assert house(OLD, renewed(OLD), script) == "named"
