"""
A web shop and a task queue, fixed by one command while customers ask: what every worker runs, also those that start later.

    make demo-web                               # or, in an environment with requirements.txt in it:
    PYTHONPATH=src python examples/web/demo.py [PART ...]

Every figure is measured.  A fact that doesn't hold ends the demo with exit code 1.
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from stage import HERE, House, Load, Service, free_port, tree, until

WORKERS = 4
RECYCLE = 300  # requests of a worker's life
CALM, SLOW, FAST = 60, 20, 0  # requests a second; 0: as many as they can
START = time.monotonic()
held = []  # facts so far
skipped = []


def must(holds, text):
    """Show a fact, and hold us to it."""
    held.append(text)
    print(f"{'ok ' if holds else 'NOT'} {text}", flush=True)
    if not holds:
        raise SystemExit(f"demo: not so: {text}")


class Part:
    """
    One way to serve.

    Attributes:
        title: What it is.
        module: ``python -m`` which.
        words: Its arguments; {port} is filled in.
        needs: Packages.
        parent: What the patch is in the workers' parent: live, armed, or "": it has no agent.
        inherits: True if a worker that is made later has the fix.
        recycles: True if a worker ends by itself after so many requests; else it's told to.
        target: Whom the load asks; {port} is filled in.
        whole: True: show every verb.
    """

    def __init__(
        self,
        title,
        module,
        words,
        *needs,
        parent="",
        inherits=False,
        recycles=True,
        target="http://127.0.0.1:{port}/total",
        whole=False,
    ):
        self.title, self.module, self.words, self.needs = title, module, words, (module, *needs)
        self.parent, self.inherits, self.recycles, self.target, self.whole = parent, inherits, recycles, target, whole
        self.agents = WORKERS + bool(parent)


GUNICORN = f"--workers {WORKERS} --bind 127.0.0.1:{{port}} --max-requests {RECYCLE} --max-requests-jitter {3 * RECYCLE}"
UVICORN = f"--workers {WORKERS} --port {{port}} --no-access-log"  # its --limit-max-requests ends all workers at the same time
CELERY = f"worker --concurrency {WORKERS} --max-tasks-per-child {RECYCLE} --loglevel WARNING"
PARTS = {
    "gunicorn": Part("install() in the app alone", "gunicorn", f"{GUNICORN} shop.flasked:app", "flask"),
    "master": Part(
        "gunicorn, install() in its settings too",
        "gunicorn",
        f"-c {HERE / 'gunicorn_agent.py'} {GUNICORN} shop.flasked:app",
        "flask",
        parent="armed",
        inherits=True,
    ),
    "preload": Part(
        "gunicorn --preload",
        "gunicorn",
        f"--preload {GUNICORN} shop.flasked:app",
        "flask",
        parent="live",
        inherits=True,
        whole=True,
    ),
    "uvicorn-worker": Part(
        "uvicorn's workers under gunicorn --preload",
        "gunicorn",
        f"--preload -k uvicorn_worker.UvicornWorker {GUNICORN} shop.starred:app",
        "uvicorn_worker",
        "starlette",
        parent="live",
        inherits=True,
    ),
    "uvicorn": Part(
        "uvicorn --workers: spawned, not forked", "uvicorn", f"{UVICORN} shop.starred:app", "starlette", recycles=False
    ),
    "celery": Part("Celery's prefork pool", "celery", f"-A shop.tasks {CELERY}", parent="live", inherits=True, target="celery"),
}


def heading(text):
    """A new part, with its second."""
    print(f"\n{f'--- {time.monotonic() - START:4.1f} s  {text} ':-<80}", flush=True)


def play(part, name, house, patch, **env):
    """One way to serve: patched under load, recycled, looked at."""
    port = free_port()
    service = Service(house, name, [part.module, *part.words.format(port=port).split()], **env)
    try:
        service.await_workers(house, part.agents)
        load = Load(house, part.target.format(port=port), threads=8, a_second=CALM, **env)
        story = Story(part, house, patch, load)
        try:
            story.tell()
        finally:
            load.close()
        failed = [r.word for r in load.rows if r.failed]
        must(not failed, f"requests: {len(load.rows)}, failed: {len(failed)}{''.join(f' ({w})' for w in sorted(set(failed)))}")
        again = [r for r in load.rows if r.hung_up]
        must(
            all(story.recycled(r) for r in again),
            f"asked once more, since the server hung up before it answered: {len(again)}"
            f"{', all of them while a worker ended' if again else ''}",
        )
    finally:
        service.close()


class Story:
    """What happens to one of them."""

    def __init__(self, part, house, patch, load):
        self.part, self.house, self.patch, self.load = part, house, patch, load
        self.recycling = [float("inf"), 0.0]  # from, to: when workers ended and others came

    def tell(self):
        """Wrong, fixed, recycled, looked at; and back, where nothing else is in the way."""
        self.hurt()
        if self.part.whole:
            self.show("ps")
            self.show("plan", self.patch.name, "--service", "shop")
        self.fix()
        self.recycle()
        self.revert()

    def show(self, *words):
        """A verb that only reads, and what it says."""
        said = self.house.suture(*words)
        print(said)
        must(said.code == 0, f"suture {words[0]} ended with 0")

    def hurt(self):
        """The bug, in all of them."""
        rows = self.load.asked_since(time.monotonic(), count=60)
        wrong = sum(r.word == "wrong" for r in rows)
        must(wrong == len(rows), f"{wrong} of {len(rows)} answers are wrong, given by {len({r.pid for r in rows})} workers")

    def apply(self):
        """The one command, as an operator types it."""
        said = self.house.suture("apply", self.patch.name, "--service", "shop")
        print(said)
        return said

    def states(self):
        """Pids in which the patch is live, and those in which it is armed."""
        rows = self.house.reads("status", "--service", "shop")["processes"]
        state = {row["pid"]: row["reports"][0]["changed"][0]["status"] for row in rows if row["reports"]}
        return tuple({pid for pid, word in state.items() if (word == "armed") == waits} for waits in (False, True))

    def fix(self):
        """One command, under load."""
        said = self.apply()
        live, armed = self.states()
        after = self.load.asked_since(said.ended, count=60, workers=WORKERS)
        later, _ = self.states()
        must(
            said.code == 0 and len(live) == WORKERS + (self.part.parent == "live") and len(armed) == (self.part.parent == "armed"),
            f"live in {len(live)} of {self.part.agents} processes" + (", armed in their parent" if armed else ""),
        )
        last = max(r.got for r in self.load.rows if r.word == "wrong")
        must(
            all(r.word == "right" for r in after),
            f"last wrong answer {max(0, last - said.began) * 1e3:.0f} ms after the command began, which took "
            f"{(said.ended - said.began) * 1e3:.0f} ms;\n    of {len(after)} asked since then 0 are wrong",
        )
        workers = {r.pid for r in after}
        must(workers <= live | later, f"the {len(workers)} workers that gave them: all changed")

    def recycle(self):
        """A worker has had its share of requests, and another takes its place."""
        before = self.house.pids()
        self.recycling[0] = time.monotonic()
        if self.part.recycles:
            self.load.at(FAST)
        else:
            self.load.at(SLOW)
            os.kill(min(before), signal.SIGTERM)
        until(lambda: not all(Path(f"/proc/{pid}").exists() for pid in before), "a worker to end")
        self.load.at(CALM)
        new = self.load.first(lambda r: r.pid and r.pid not in before, "a recycled worker")
        ages = [r.word for r in self.load.asked_since(new.asked, count=10, pid=new.pid)]
        print(f"    worker {new.pid} has taken the place of one that {'is recycled' if self.part.recycles else 'was told to end'}")
        status = self.house.suture("status", "--service", "shop")
        print(status)
        if self.part.inherits:
            must(set(ages) <= {"right"}, f"it has the fix: {len(ages)} answers, all right")
            must(status.code == 0, "status says so")
        else:
            must(
                "wrong" in ages,
                f"it runs what is on the disk, the old code: {ages.count('wrong')} of {len(ages)} answers are wrong",
            )
            must(status.code == 1 and f"pid {new.pid}" in status.text and "OLD CODE" in status.text, "status names it, and exits 1")
            self.settle()
            again = self.apply()
            rows = self.load.asked_since(again.ended, count=40)
            must(again.code == 0 and all(r.word == "right" for r in rows), f"apply again: {len(rows)} answers, all right")

    def recycled(self, row):
        """True if that was asked while workers ended and others came."""
        return self.recycling[0] < row.got and row.asked < self.recycling[1]

    def settle(self):
        """Wait until all workers are there: who is still booting can't be reached."""
        self.load.at(SLOW)
        until(lambda: len(self.house.pids()) == self.part.agents, f"{self.part.agents} processes")
        self.recycling[1] = time.monotonic()

    def revert(self):
        """Out again."""
        self.settle()
        patch_id = self.house.reads("status", "--service", "shop")["services"][0]["patches"][0]["patch_id"]
        said = self.house.suture("revert", patch_id, "--service", "shop")
        rows = self.load.asked_since(said.ended, count=40)
        if self.part.whole:
            print(said)
        must(said.code == 0 and all(r.word == "wrong" for r in rows), f"taken back: {len(rows)} answers, all wrong again")
        if self.part.whole:
            self.show("log", "--service", "shop")


def build(house):
    """The patch, from two trees."""
    old, new = tree(house.folder / "old"), tree(house.folder / "new", *(HERE / "fixed").glob("*.py"))
    heading("a patch, from two versions of the source")
    said = house.suture("build", old.name, new.name, "-o", "tax.suture", "--reason", "tax is 19 percent", "--author", "ops")
    print(said)
    must(said.code == 0, "built")
    return house.folder / "tax.suture"


@contextlib.contextmanager
def broker(house):
    """A Redis of our own, where Celery's tasks go."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    server = subprocess.Popen(command, cwd=house.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait()


def main():
    """All parts, or those that are named."""
    parser = argparse.ArgumentParser(description="a web shop and a task queue, fixed while customers ask")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    names = parser.parse_args().parts or list(PARTS)
    with tempfile.TemporaryDirectory(prefix="shop-") as folder:
        house = House(folder)
        patch = build(house)
        for name in names:
            part, began = PARTS[name], time.monotonic()
            heading(f"{name}: {part.title}")
            missing = [package for package in part.needs if find_spec(package) is None]
            if part.target == "celery" and shutil.which("redis-server") is None:
                missing.append("redis-server (Debian: apt-get install redis-server)")
            if missing:
                skipped.append(name)
                print(f"    skipped: there is no {', '.join(missing)} here")
                continue
            house.move(name)
            with broker(house) if part.target == "celery" else contextlib.nullcontext() as where:
                play(part, name, house, patch, **({"SHOP_BROKER": where} if where else {}))
            print(f"    {time.monotonic() - began:.1f} s")
    heading("done")
    left = f"; skipped: {', '.join(skipped)}" if skipped else ""
    print(f"{len(held)} of {len(held)} facts held, all measured just now on Python {sys.version.split()[0]}{left}")


if __name__ == "__main__":
    main()
