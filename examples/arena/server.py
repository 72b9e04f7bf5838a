"""
The server: players' port, tick loop, thread pool, and a console port on loopback for its operator.

``python -m arena.server`` prints one line with its two ports and serves until the console says stop.
"""

import asyncio
import concurrent.futures
import hashlib
import importlib
import json
import sys
import time

import suture
from arena import combat, state

POOL = concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="arena")


class Clock:
    """The tick loop: every 5 ms, and how late it was at worst."""

    def __init__(self):
        self.worst = 0.0
        self.ticks = 0

    async def run(self):
        """Tick until cancelled."""
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.005)
            state.TIMERS[self.ticks % len(state.TIMERS)](7) if self.ticks % 2 == 0 else state.TIMERS[1]()
            self.ticks += 1
            now = time.perf_counter()
            self.worst = max(self.worst, now - last - 0.005)
            last = now


class Server:
    """Players' sessions and the operator's console."""

    def __init__(self):
        self.clock = Clock()
        self.sessions = set()
        self.dropped = 0
        self.stopping = asyncio.Event()

    async def session(self, reader, writer):
        """One player: a line ``attack armour`` in, the damage out."""
        self.sessions.add(writer)
        try:
            while line := await reader.readline():
                attack, armour = map(int, line.split())
                fighter = combat.Fighter("player", armour)
                taken = state.TABLE["damage"](attack, armour) if attack % 2 else fighter.hit(attack)
                writer.write(b"%d\n" % taken)
                await writer.drain()
        except ConnectionError:
            self.dropped += 1
        finally:
            self.sessions.discard(writer)
            writer.close()

    async def console(self, reader, writer):
        """One command a line, one JSON answer a line."""
        while line := await reader.readline():
            verb, _, rest = line.decode().strip().partition(" ")
            answer = await getattr(self, f"do_{verb}")(rest)
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def do_status(self, _):
        """Sessions, ticks, the worst tick since the last look."""
        worst, self.clock.worst = self.clock.worst, 0.0
        return {"sessions": len(self.sessions), "dropped": self.dropped, "worst_tick_ms": worst * 1e3, "held": state.held()}

    async def do_fingerprint(self, _):
        """A digest of every function and class of the game: did anything change?"""
        digest = hashlib.sha256()
        for name in sorted(n for n in sys.modules if n.startswith("arena.")):
            for key, value in sorted(vars(sys.modules[name]).items()):
                code = getattr(value, "__code__", None)
                digest.update(f"{name}.{key} {id(value)} {id(code)}".encode())
        digest.update(f"{id(combat.Fighter.hit)} {id(combat.Fighter.hit.__code__)}".encode())
        return digest.hexdigest()[:12]

    async def do_plan(self, path):
        """Say what apply would do."""
        return _told(await self._aside(suture.plan, path))

    async def do_apply(self, path):
        """Take a patch live; the loop goes on meanwhile."""
        report = await asyncio.wrap_future(suture.apply_soon(path))
        await self._aside(report.drained.wait, 5)
        return {**_told(report), "old_frames_left": report.drained.left()}

    async def do_revert(self, patch_id):
        """Take it back."""
        return _told(await self._aside(suture.revert, patch_id))

    async def do_hotfix(self, path):
        """Execute a hotfix file, the seed's way."""
        return _told(await self._aside(suture.do_hotfix, path))

    async def do_reload(self, path):
        """What many do instead: put the new file in place and reload the module."""
        await self._aside(_reload, path)
        return "reloaded"

    async def do_setattr(self, path):
        """What the seed did: put new objects under the old names."""
        await self._aside(_setattr, path)
        return "set"

    async def do_tamper(self, _):
        """Make this a server that runs other code."""
        exec("def damage(attack, armour):\n    return attack * 3\n", vars(combat))
        return "tampered"

    async def do_stop(self, _):
        """End."""
        self.stopping.set()
        return "bye"

    async def _aside(self, function, *args):
        return await asyncio.get_running_loop().run_in_executor(POOL, function, *args)


def _told(report):
    return {"ok": report.ok, "patch_id": report.patch_id, "report": report.to_json(), "words": report.words()}


def _reload(path):
    with open(path) as new, open(combat.__file__, "w") as live:
        live.write(new.read())
    importlib.reload(combat)


def _setattr(path):
    space = {"__name__": "HotfixCode"}
    with open(path) as new:
        exec(compile(new.read(), path, "exec"), space)
    combat.damage = space["damage"]
    combat.Fighter.hit = space["Fighter"].hit


async def main():
    """Serve."""
    suture.status()  # loads the engine now: later nothing is read from disk, and no tick waits for it
    server = Server()
    players = await asyncio.start_server(server.session, "127.0.0.1", 0, backlog=512)
    console = await asyncio.start_server(server.console, "127.0.0.1", 0)
    ticking = asyncio.get_running_loop().create_task(server.clock.run())
    ports = [s.sockets[0].getsockname()[1] for s in (players, console)]
    print(json.dumps(ports), flush=True)
    await server.stopping.wait()
    ticking.cancel()


if __name__ == "__main__":
    asyncio.run(main())
