"""
One minute: a live game server, 300 players, a wrong damage formula, and the ways to fix it.

Everything shown is measured; what isn't as it should be ends the demo with exit code 1.
    PYTHONPATH=src:examples python examples/arena/demo.py [PLAYERS]
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
START = time.monotonic()


def say(text=""):
    """One line of the story, with its second."""
    print(f"{time.monotonic() - START:5.1f} s  {text}" if text else "", flush=True)


def heading(text):
    """A new step."""
    print(f"\n--- {text} {'-' * max(0, 70 - len(text))}", flush=True)


def must(holds, text):
    """Show a fact and hold us to it."""
    say(f"{'ok  ' if holds else 'NOT '}{text}")
    if not holds:
        raise SystemExit(f"demo: not so: {text}")


class Arena:
    """A fresh server in a process of its own, with a copy of its source, and its players."""

    def __init__(self, players):
        self.folder = Path(tempfile.mkdtemp(prefix="arena-"))
        (self.folder / "arena").mkdir()
        for path in HERE.glob("*.py"):
            shutil.copy(path, self.folder / "arena")
        path = os.pathsep.join([str(self.folder), str(ROOT / "src")])
        self.env = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = self._child("arena.server")
        self.port, console = json.loads(self.process.stdout.readline())
        self.socket = socket.create_connection(("127.0.0.1", console), timeout=30)
        self.lines = self.socket.makefile("r")
        self.seen = []
        self.crowd = self._child("arena.players", str(self.port), str(players))
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        while not self.seen or self.seen[-1]["connected"] < players:
            if self.crowd.poll() is not None:
                raise SystemExit("demo: the players ended")
            time.sleep(0.05)

    def _child(self, module, *args):
        return subprocess.Popen([sys.executable, "-m", module, *args], env=self.env, stdout=subprocess.PIPE, text=True)

    def _read(self):
        for line in self.crowd.stdout:
            self.seen.append(json.loads(line))

    def ask(self, command):
        """One console command."""
        self.socket.sendall(f"{command}\n".encode())
        return json.loads(self.lines.readline())

    def window(self, seconds=1.0):
        """(hits, wrong hits) a second, over a window that begins now."""
        first = len(self.seen)
        time.sleep(seconds)
        rows = self.seen[first:]
        while len(rows) < 2:
            time.sleep(0.05)
            rows = self.seen[first:]
        rows = rows[1:]  # the first line began before the window
        return sum(r["hits"] for r in rows) / (0.25 * len(rows)), sum(r["wrong"] for r in rows) / (0.25 * len(rows))

    def close(self):
        """End both processes."""
        with contextlib.suppress(OSError, ValueError):
            self.ask("stop")
        self.socket.close()
        for child in (self.crowd, self.process):
            child.kill()
            child.wait()
            child.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def right_held(answer):
    """How many held callbacks give the right 13 for an attack of 20 on an armour of 7."""
    return sum(v == 13 for v in answer["held"]), len(answer["held"])


def build(out):
    """``suture build`` from two versions of the source."""
    old, new = out / "old" / "arena", out / "new" / "arena"
    for folder, source in ((old, HERE), (new, HERE / "fixed")):
        folder.mkdir(parents=True)
        shutil.copy(source / "combat.py", folder)
        (folder / "__init__.py").touch()
    patch = out / "q1731.suture"
    command = [
        sys.executable,
        "-m",
        "suture",
        "build",
        str(out / "old"),
        str(out / "new"),
        "-o",
        str(patch),
        "--reason",
        "armour hurts",
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    subprocess.run(command, check=True, env=env)
    shown = subprocess.run(
        [sys.executable, "-m", "suture", "show", str(patch)], check=True, env=env, capture_output=True, text=True
    )
    return patch, shown.stdout


def story(players, patch, diff):
    """The fix, there and back, on one server."""
    arena = Arena(players)
    try:
        heading("a live server hurts its players")
        hits, wrong = arena.window(2)
        say(f"{players} players, {hits:.0f} hits a second, {wrong:.0f} of them wrong")
        right, count = right_held(arena.ask("status"))
        must(wrong > 0 and right == 0, f"held before the fix (table, timers, bound methods, defaults): {right} of {count} right")
        heading("the patch, as a diff, and what it would do")
        print(diff)
        before = arena.ask("fingerprint")
        planned = arena.ask(f"plan {patch}")
        print(planned["words"])
        must(planned["ok"] and arena.ask("fingerprint") == before, "nothing was changed by the plan")
        heading("apply, while they play")
        asked = time.time()
        answer = arena.ask(f"apply {patch}")
        print(answer["words"])
        hits, wrong = arena.window()
        must(answer["ok"] and wrong == 0, f"{hits:.0f} hits a second, {wrong:.0f} wrong")
        must(answer["old_frames_left"] == 0, "nobody is left in old code")
        took = max(0.0, (arena.seen[-1]["last_wrong"] - asked) * 1e3)
        say(f"last wrong hit {took:.0f} ms after the command; the commit itself took {answer['report']['commit_us']:.0f} us")
        status = arena.ask("status")
        right, count = right_held(status)
        must(right == count, f"held callbacks on the new code: {right} of {count}")
        must(arena.seen[-1]["lost"] == 0 and status["sessions"] == players, "nobody was disconnected")
        heading("and back")
        must(arena.ask(f"revert {answer['patch_id']}")["ok"], "reverted")
        _, wrong = arena.window()
        must(wrong > 0, f"the bug is back: {wrong:.0f} wrong hits a second")
        heading("the same by a hotfix file, the old way of writing it")
        must(arena.ask(f"hotfix {HERE / 'HotfixCode.py'}")["ok"], "hotfix file executed, one transaction")
        _, wrong = arena.window()
        must(wrong == 0, "wrong hits: 0")
        heading("a refusal")
        arena.ask("tamper")
        before = arena.ask("fingerprint")
        no = arena.ask(f"apply {patch}")
        print(no["words"])
        must(not no["ok"] and arena.ask("fingerprint") == before, "refused by name; same fingerprint before and after")
    finally:
        arena.close()


def table(players, patch):
    """Four fresh servers, four ways."""
    heading("four fresh servers, four ways")
    print(f"{'':10} {'held on new code':>18} {'worst tick ms':>14} {'wrong hits/s after':>19}")
    fixed = HERE / "fixed" / "combat.py"
    ways = {"nothing": None, "reload": f"reload {fixed}", "setattr": f"setattr {fixed}", "suture": f"apply {patch}"}
    seen = {}
    for way, command in ways.items():
        arena = Arena(players)
        try:
            arena.window(0.6)
            arena.ask("status")
            if command:
                arena.ask(command)
            _, wrong = arena.window(1.0)
            status = arena.ask("status")
            right, count = right_held(status)
            seen[way] = (right, count, wrong)
            print(f"{way:10} {f'{right} of {count}':>18} {status['worst_tick_ms']:14.1f} {wrong:19.0f}", flush=True)
        finally:
            arena.close()
    must(seen["suture"][0] == seen["suture"][1] and seen["suture"][2] == 0, "suture: every held callback, no wrong hit")
    must(all(seen[w][0] < seen[w][1] for w in ("nothing", "reload", "setattr")), "the others leave some on the old code, silently")


def main():
    """All of it."""
    players = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    with tempfile.TemporaryDirectory() as folder:
        patch, diff = build(Path(folder))
        story(players, patch, diff)
        table(players, patch)
    heading("done")
    say(f"Python {sys.version.split()[0]}; once more: make demo")


if __name__ == "__main__":
    main()
