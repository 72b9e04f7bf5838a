"""``suture run``: a program that isn't edited gets an agent, by its environment alone, in real children on every Python."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from suture.ops.build import build
from suture.ops.cli import run as verb
from suture.patch import dump

SRC = Path(__file__).parent.parent.parent / "src"

OLD = "def f():\n    return 'old'\nat = f()\n"

PROGRAM = """
    import os, signal, sys
    signal.alarm(100)
    sys.path.insert(0, os.path.abspath("live"))
    import multiprocessing
    def agent():
        boot = sys.modules.get("suture.agent.boot")
        server = boot.server() if boot else None
        return server is not None and server.running()
    def look(queue):
        queue.put((agent(), sys.modules["suture.agent.boot"].server().desk.hello(sys.modules["suture.agent.boot"].server()._who).service))
    if __name__ == "__main__":
        assert agent(), sorted(m for m in sys.modules if "suture" in m)
        assert not any("start" in p and "suture" in p for p in sys.path), sys.path
        assert sys.argv == ["app.py", "--word", "-x"], sys.argv
        assert os.environ.get("FROM_SITE") == "yes" and sys.modules["sitecustomize"].MINE
        for way in ("spawn", "fork", "forkserver"):
            context = multiprocessing.get_context(way)
            queue = context.SimpleQueue()
            child = context.Process(target=look, args=(queue,))
            child.start()
            got = queue.get()
            assert got == (True, "game"), (way, got)
            child.join()
        import suture
        report = suture.apply("p.suture")
        assert report.ok and {r.status for r in report.changed} == {"armed"}, report.words()
        pid = os.fork()
        import m
        assert (m.at, m.f()) == ("new", "new")
        assert {r.status for r in suture.status()[0].changed} == {"updated"}
        if not pid:
            assert suture.revert("p").ok and m.f() == "old"
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert m.f() == "new"
        print("fine")
"""


def start(python: str, folder: Path, *command: str, options: tuple[str, ...] = (), **env: str) -> subprocess.CompletedProcess[str]:
    """The command under ``suture run``."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SUTURE"))}
    path = f"""import sys; sys.path.insert(0, {str(SRC)!r}); from suture.ops.cli.main import main; sys.exit(main(sys.argv[1:]))"""
    if python == sys.executable:  # it may have a suture of its own
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (env.get("PYTHONPATH"), str(SRC))))
    (folder / "run").mkdir(mode=0o700, exist_ok=True)
    return subprocess.run(
        [python, "-c", path, "run", *options, *command],
        cwd=folder,
        env={**clean, "PYTHONDONTWRITEBYTECODE": "1", "SUTURE_DIR": str(folder / "run"), **env},
        capture_output=True,
        text=True,
        timeout=150,
    )


def test_a_program_and_its_children(python: str, tmp_path: Path) -> None:
    """All have agents; its own sitecustomize ran; nothing is printed; a patch is armed there and in a forked child."""
    for folder, text in (("live", OLD), ("new", OLD.replace("old", "new"))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "m.py").write_text(text)
    (tmp_path / "p.suture").write_bytes(dump(build(tmp_path / "live", tmp_path / "new", name="p")))
    (tmp_path / "app.py").write_text(textwrap.dedent(PROGRAM))
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import os\nos.environ['FROM_SITE'] = 'yes'\nMINE = True\n")
    done = start(
        python,
        tmp_path,
        *("--", python, "app.py", "--word", "-x"),
        options=("--service", "game"),
        PYTHONPATH=str(tmp_path / "site"),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")


def test_off(python: str, tmp_path: Path) -> None:
    """SUTURE=off: nothing of ours in the program, and no sitecustomize where there is none."""
    look = "import sys, os; print([m for m in sys.modules if 'suture' in m or m == 'sitecustomize'], 'SUTURE_RUN' in os.environ)"
    done = start(python, tmp_path, python, "-c", look, SUTURE="off")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() in ("[] False", "['sitecustomize'] False"), done.stdout
    done = start(python, tmp_path, "--", python, "-c", look)
    assert done.returncode == 0 and done.stderr == "" and "suture.agent.boot" in done.stdout


@pytest.mark.parametrize("flag", ["-S", "-I", "-E"])
def test_interpreters_out_of_reach_are_named(python: str, tmp_path: Path, flag: str) -> None:
    """The program runs all the same."""
    if flag != "-S" and subprocess.run([python, "-I", "-c", "import suture"], capture_output=True, check=False).returncode == 0:
        pytest.skip("suture is installed in this interpreter, so it is in reach")
    done = start(python, tmp_path, "--", python, flag, "-c", "import sys; print('suture' in sys.modules)")
    assert (done.returncode, done.stdout) == (0, "False\n")
    assert flag in done.stderr and "no agent" in done.stderr


def test_the_line_of_the_wheel(python: str, tmp_path: Path) -> None:
    """Installed, suture.pth does the same under -I and -E, and nothing without SUTURE_RUN."""
    line = (SRC / "suture.pth").read_text().strip()
    look = f"import sys; sys.path.insert(0, {str(SRC)!r}); exec({line!r}); print('suture.agent.boot' in sys.modules)"
    for env, want in (({"SUTURE_RUN": "1"}, "True\n"), ({}, "False\n"), ({"SUTURE_RUN": "1", "SUTURE": "off"}, "False\n")):
        done = subprocess.run(
            [python, "-I", "-c", look], env={**env, "SUTURE_DIR": str(tmp_path)}, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, want, "")


def test_usage(tmp_path: Path) -> None:
    """No command is a usage error; one that isn't there is said so."""
    assert start(sys.executable, tmp_path).returncode == 64
    assert start(sys.executable, tmp_path, "--").returncode == 64
    gone = start(sys.executable, tmp_path, "--", "no-such-program")
    assert gone.returncode == 1 and "no-such-program" in gone.stderr and "Traceback" not in gone.stderr


def test_flags_of_a_command() -> None:
    """Only the interpreter's own options count, up to the program."""
    assert verb._flags(["-S", "app.py", "-I"]) == {"S"}
    assert verb._flags(["-W", "error", "-OOS", "-c", "-I"]) == {"O", "S"}
    assert verb._flags(["-Xdev", "-m", "app", "-S"]) == set()
    assert verb._flags(["--check-hash-based-pycs", "always", "-I", "x"]) == {"I"}
    assert verb.unreachable(["no-such-program"]) == []
    assert verb.environment({"PYTHONPATH": f"{verb.START}{os.pathsep}a"}, "x")["PYTHONPATH"] == f"{verb.START}{os.pathsep}a"


def test_scripts_say_which_interpreter(tmp_path: Path) -> None:
    """Its first line has the options."""
    script = tmp_path / "tool"
    script.write_text("#!/usr/bin/env -S python3 -S\n")
    script.chmod(0o755)
    assert "-S" in verb.unreachable([str(script)])[0]
    script.write_text("#!/bin/sh\n")
    assert verb.unreachable([str(script)]) == []
