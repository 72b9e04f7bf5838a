"""Who is inside old code: the lists, the exact count, and the event of the last one leaving."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import types
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from suture.engine import frames
from suture.engine.frames import Drain, count_inside, inside, locals_of, references, running_constants, stacks, thread_names

counted = pytest.mark.skipif("t" in getattr(sys, "abiflags", ""), reason="free-threaded builds don't count references")


def rest() -> None:
    """No rest is needed."""


def fresh(text: str, name: str = "f") -> Any:
    """A function that nobody else has; its code has no other holder."""
    space: dict[str, Any] = {"asyncio": asyncio}
    exec(text, space)
    return space[name]


class Worker:
    """Runs *function* in a thread until told to leave."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.entered, self.leave = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=function, args=(self.entered, self.leave, *args), name="Ticker")

    def __enter__(self) -> Worker:
        self.thread.start()
        self.entered.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave.set()
        self.thread.join()


WAITS = """\
def f(entered, leave, depth=0):
    if depth:
        return f(entered, leave, depth - 1)
    entered.set()
    leave.wait()
"""
GENERATOR = "def f():\n    yield 1\n    yield 2\n"


# ---------------------------------------------------------------- lists


def test_a_thread_inside_is_listed_with_its_name_and_line() -> None:
    """Where it is, and gone when it has left."""
    f = fresh(WAITS)
    with Worker(f):
        (call,) = inside([f.__code__], rest)
        assert (call.code, call.kind, call.line) == (f.__code__, "thread", 5)
        assert str(call) == "thread Ticker in f:5"
    assert inside([f.__code__], rest) == []


def test_each_frame_of_a_recursion_counts() -> None:
    """Three calls in each other are three."""
    f = fresh(WAITS)
    with Worker(f, 2):
        assert [c.line for c in inside([f.__code__], rest)] == [5, 3, 3]


def test_the_caller_itself_counts_too() -> None:
    """Whoever applies a patch from inside a function that it changes."""
    f = fresh("def f(look):\n    return look()\n")
    (call,) = f(lambda: inside([f.__code__], rest))
    assert call.kind == "thread"
    assert call.line == 2


def test_a_generator_that_a_frame_has_by_name_is_listed() -> None:
    """One level of locals; with what it delegates to."""
    f = fresh(GENERATOR)

    def delegating() -> Iterator[int]:
        yield from f()

    plain, outer = f(), delegating()
    next(plain)
    next(outer)
    calls = inside([f.__code__], rest)
    assert [c.kind for c in calls] == ["generator", "generator"]
    assert all(c.holder == f"generator in thread {threading.current_thread().name}" for c in calls)
    assert [c.line for c in calls] == [2, 2]
    del plain, outer
    assert inside([f.__code__], rest) == []


def listed_in_loop(f: Any, start: Any) -> list[frames.Inside]:
    """Run a loop in another thread with what *start* starts in it, and look from here."""
    ready, leave = threading.Event(), threading.Event()

    async def main() -> None:
        keep = await start()
        await asyncio.sleep(0)
        ready.set()
        await asyncio.get_running_loop().run_in_executor(None, leave.wait)
        for task in keep if isinstance(keep, list) else []:
            task.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    ready.wait()
    try:
        return inside([f.__code__], rest)
    finally:
        leave.set()
        thread.join()


def test_a_task_is_listed_by_its_name() -> None:
    """Directly, and behind what another coroutine awaits, from another thread than the loop's."""
    f = fresh("async def f():\n    await asyncio.Event().wait()\n")

    async def outer() -> None:
        await f()

    async def start() -> list[Any]:
        return [asyncio.create_task(f(), name="direct"), asyncio.create_task(outer(), name="chained")]

    calls = listed_in_loop(f, start)
    assert sorted(c.holder for c in calls) == ["task chained", "task direct"]
    assert {c.kind for c in calls} == {"task"}


def test_an_asynchronous_generator_is_listed() -> None:
    """The one that a task is in the middle of."""
    f = fresh("async def f():\n    await asyncio.Event().wait()\n    yield 1\n")

    async def consumer() -> None:
        async for _ in f():
            pass

    async def start() -> list[Any]:
        return [asyncio.create_task(consumer(), name="consumer")]

    (call,) = listed_in_loop(f, start)
    assert "consumer" in call.holder or call.kind == "async generator"


def test_a_suspended_asynchronous_generator_in_a_task_is_listed() -> None:
    """Between two of its values."""
    f = fresh("async def f():\n    yield 1\n    yield 2\n")

    async def consumer() -> None:
        held: AsyncIterator[int] = f()
        await held.__anext__()
        await asyncio.Event().wait()

    async def start() -> list[Any]:
        return [asyncio.create_task(consumer(), name="consumer")]

    (call,) = listed_in_loop(f, start)
    assert call.kind == "async generator"


def test_a_coroutine_in_this_threads_own_loop_is_listed_once() -> None:
    """It is on the stack and in a task: one call."""
    f = fresh("async def f(look):\n    return look()\n")
    (call,) = asyncio.run(f(lambda: inside([f.__code__], rest)))
    assert call.kind == "thread"


class Hostile(Exception):
    """Raised by everything below."""


def boom(*_: Any, **__: Any) -> Any:
    raise Hostile


def test_runs_nobodys_code_and_raises_for_nobody() -> None:
    """Locals that object to being looked at, a task class with its own ideas, a thread with a name that raises."""

    class Meta(type):
        __getattribute__ = __eq__ = boom
        __mro__ = property(boom)  # type: ignore[assignment]

        def __hash__(cls) -> int:
            raise Hostile

    odd = object.__new__(type.__new__(Meta, "Odd", (), dict.fromkeys(("__getattribute__", "__eq__", "__hash__"), boom)))

    class OddTask(asyncio.Task):  # type: ignore[type-arg]
        get_name = get_coro = property(boom)  # type: ignore[assignment]
        if sys.version_info < (3, 14):
            done = property(boom)  # type: ignore[assignment]

    class OddThread(threading.Thread):
        @property
        def name(self) -> str:
            raise Hostile

        @name.setter
        def name(self, value: str) -> None:
            raise Hostile

    f = fresh("async def f(odd, look):\n    held = odd\n    return look()\n")
    g = fresh("async def f():\n    await asyncio.Event().wait()\n")

    async def main() -> list[frames.Inside]:
        loop = asyncio.get_running_loop()
        coroutine = g()
        odd_task: Any = OddTask(coroutine, loop=loop)
        await asyncio.sleep(0)
        try:
            return await f(odd, lambda: inside([f.__code__, g.__code__], rest))
        finally:
            asyncio.Task.cancel(odd_task)

    f2 = fresh(WAITS)
    worker = Worker(f2)
    worker.thread.__class__ = OddThread
    with worker:
        calls = asyncio.run(main())
        threads = inside([f2.__code__], rest)
    assert sorted(c.kind for c in calls) == ["task", "thread"]
    assert [c.line for c in threads] == [5]


def test_a_task_that_asyncio_itself_stumbles_over_is_no_error() -> None:
    """From 3.14 on asyncio calls ``done`` of each task when it lists them; what is on the stack is listed all the same."""

    class OddTask(asyncio.Task):  # type: ignore[type-arg]
        done = property(boom)  # type: ignore[assignment]

    f = fresh("async def f(look):\n    return look()\n")

    async def main() -> list[frames.Inside]:
        odd: Any = OddTask(asyncio.Event().wait(), loop=asyncio.get_running_loop())
        await asyncio.sleep(0)
        try:
            return await f(lambda: inside([f.__code__], rest))
        finally:
            asyncio.Task.cancel(odd)
            OddTask.done = asyncio.Task.done  # type: ignore[method-assign]

    assert len(asyncio.run(main())) == 1


def test_a_look_leaves_no_garbage() -> None:
    """No cycle through our own frames: it would keep our callers' locals, and with them old code, alive."""

    class Thing:
        pass

    gc.disable()
    try:
        for look in (lambda: inside([fresh(GENERATOR).__code__], rest), running_constants, stacks, thread_names):
            thing = Thing()
            gone = weakref.ref(thing)

            def caller(held: object, look: Any = look) -> None:
                look()

            caller(thing)
            del thing
            assert gone() is None
    finally:
        gc.enable()


def test_constants_of_running_module_bodies() -> None:
    """The functions inside a module whose body is still running, nested ones too."""
    space: dict[str, Any] = {"look": running_constants}
    body = compile("def a():\n    def b(): pass\nfound = look()\n", "m.py", "exec")
    exec(body, space)
    a = space["a"].__code__
    assert {id(a), *(id(c) for c in a.co_consts if isinstance(c, types.CodeType))} <= space["found"]
    assert id(a) not in running_constants()


# ---------------------------------------------------------------- locals


def test_locals_of_another_thread_are_read_without_a_trace() -> None:
    """A value that its frame lets go of dies, although we looked (a snapshot would keep it up to 3.12)."""

    class Thing:
        pass

    def waiting(entered: threading.Event, leave: threading.Event) -> None:
        thing = Thing()
        known.append(weakref.ref(thing))
        entered.set()
        leave.wait()
        del thing
        dropped.set()
        last.wait()

    known: list[Any] = []
    dropped, last = threading.Event(), threading.Event()
    with Worker(waiting) as worker:
        frame = next(f for i, f in stacks() if i == worker.thread.ident)
        inner: dict[str, Any] = {}
        while frame.f_code is not waiting.__code__:
            inner = locals_of(frame, inner)
            frame = frame.f_back  # type: ignore[assignment]
        values = locals_of(frame, inner)
        assert type(values["thing"]) is Thing
        del values, inner
        worker.leave.set()
        dropped.wait()
        assert known[0]() is None
        del frame
        last.set()


def test_a_dictionary_that_the_program_took_itself_is_left_alone() -> None:
    """``locals()`` is the program's; so is the namespace of a class body."""

    def mine(look: Any) -> dict[str, Any]:
        number = 7
        own = locals()
        look()
        assert number == 7
        return own

    seen: list[dict[str, Any]] = []
    own = mine(lambda: seen.append(locals_of(sys._getframe(1), {})))
    assert own["number"] == 7
    assert seen[0]["number"] == 7

    class Body:
        number = 8
        seen.append(locals_of(sys._getframe(), {}))

    assert Body.number == 8
    assert seen[1]["number"] == 8


def test_a_traced_frame_keeps_its_locals() -> None:
    """The interpreter writes a snapshot back after a trace function: emptied, the locals would be gone."""
    looked = []

    def traced(a: int) -> int:
        b = a + 1
        return a + b

    def tracer(frame: types.FrameType, event: str, arg: Any) -> Any:
        if frame.f_code is traced.__code__:
            looked.append(event)
            locals_of(frame, locals_of(sys._getframe(), {}))
        return tracer

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        result = traced(1)
    finally:
        sys.settrace(before)
    assert result == 3
    assert "call" in looked


# ---------------------------------------------------------------- counts


@counted
def test_references_are_exact() -> None:
    """The list, the function, and one a further holder."""
    f = fresh("def f(): pass\n")
    codes = [f.__code__]
    assert references(codes) == [2]
    more = (codes[0], codes[0])
    assert references(codes) == [4]
    del more
    assert references(codes) == [2]


@counted
@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_count_of_calls_inside_is_exact(count: int) -> None:
    """Threads, each with its frames."""
    f = fresh(WAITS)
    workers = [Worker(f, n) for n in range(count)]
    for worker in workers:
        worker.__enter__()
    assert count_inside([f.__code__], [1]) == [sum(n + 1 for n in range(count))]
    for worker in workers:
        worker.__exit__()
    assert count_inside([f.__code__], [1]) == [0]


@counted
def test_suspended_generators_count_once_each() -> None:
    """Wherever they are (on 3.10 and 3.11 each has two references to its code)."""
    f = fresh(GENERATOR)
    hidden = [zip(f(), f())]
    next(hidden[0])
    assert count_inside([f.__code__], [1]) == [2]
    assert inside([f.__code__], rest) == []
    hidden.clear()
    assert count_inside([f.__code__], [1]) == [0]


def test_a_build_that_does_not_count_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """None isn't zero."""
    monkeypatch.setattr(frames, "_COUNTS", False)
    f = fresh(GENERATOR)
    assert count_inside([f.__code__], [1]) is None
    assert Drain([f.__code__]).calls() is None


# ---------------------------------------------------------------- the last one leaving


def replaced(function: Any) -> Drain:
    """Put other code in, and watch the old."""
    drain = Drain([function.__code__])
    function.__code__ = function.__code__.replace(co_name="new")
    return drain


@counted
def test_nobody_inside_is_drained_at_once() -> None:
    """The old code is gone with the store."""
    drain = replaced(fresh("def f(): pass\n"))
    assert (drain.done(), drain.left(), drain.calls(), drain.wait(0)) == (True, 0, 0, True)


@counted
def test_a_thread_inside_keeps_it_open_until_it_leaves() -> None:
    """The event comes when the frame ends; until then the calls are counted."""
    f = fresh(WAITS)
    with Worker(f, 1):
        drain = replaced(f)
        assert (drain.done(), drain.left(), drain.calls(), drain.wait(0)) == (False, 1, 2, False)
    assert drain.wait(60)
    assert (drain.done(), drain.calls()) == (True, 0)


@counted
def test_a_suspended_generator_keeps_it_open() -> None:
    """Until it is dropped or exhausted and dropped."""
    f = fresh(GENERATOR)
    running = f()
    next(running)
    drain = replaced(f)
    assert (drain.done(), drain.calls()) == (False, 1)
    assert list(running) == [2]
    assert not drain.done()
    del running
    assert drain.done()


@counted
def test_all_of_several_must_go() -> None:
    """Two codes, one held back."""
    f, g = fresh("def f(): pass\n"), fresh(GENERATOR)
    running = g()
    next(running)
    drain = Drain([f.__code__, g.__code__, g.__code__])
    assert drain.left() == 2
    for function in (f, g):
        function.__code__ = function.__code__.replace(co_name="new")
    assert (drain.left(), drain.done()) == (1, False)
    del running
    assert (drain.left(), drain.done()) == (0, True)


@counted
def test_the_last_one_calls_once() -> None:
    """Whoever drops the last reference, and only then."""
    f = fresh(WAITS)
    called: list[str] = []
    with Worker(f):
        drain = Drain([f.__code__], lambda: called.append(threading.current_thread().name))
        f.__code__ = f.__code__.replace(co_name="new")
        assert called == []
    assert drain.wait(60)
    assert called == ["Ticker"]


@counted
def test_a_waiting_thread_is_woken() -> None:
    """Several may wait; each gets the answer."""
    f = fresh(WAITS)
    answers: list[bool] = []
    with Worker(f):
        drain = replaced(f)
        waiting = [threading.Thread(target=lambda: answers.append(drain.wait(60))) for _ in range(3)]
        for thread in waiting:
            thread.start()
    for thread in waiting:
        thread.join()
    assert answers == [True, True, True]


def test_of_nothing_is_done() -> None:
    """A patch that only adds has nobody to wait for, and tells at once."""
    called: list[int] = []
    drain = Drain([], lambda: called.append(1))
    assert (drain.done(), drain.left(), drain.wait(0)) == (True, 0, True)
    assert called == [1]


@counted
def test_odd_times_are_taken() -> None:
    """Negative is zero, huge is long."""
    f = fresh(GENERATOR)
    running = f()
    drain = replaced(f)
    assert not drain.wait(-5)
    del running
    assert drain.wait(1e300)


@counted
def test_it_keeps_nothing_alive() -> None:
    """Neither by its list nor while it counts."""
    f = fresh(GENERATOR)
    running = f()
    drain = replaced(f)
    drain.calls()
    drain.left()
    del running
    assert drain.done()
