"""
The server: the players' port, a tick loop, raids, a thread pool, a console port, and suture's agent for its operator.

``python -m arena.server`` prints its two ports as one line of JSON, and serves until the console says stop or its standard
input is closed.
"""

import asyncio
import concurrent.futures
import itertools
import json
import time

import suture
from arena.combat import Fighter, raid
from arena.console import Console
from arena.lifetime import end_of_input
from arena.quest import Quest, settle
from arena.session import Session
from arena.timers import Timers

TICK_S = 0.01
POOL = concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="ledger")


class Server:
    """All that the process keeps."""

    def __init__(self):
        self.sessions = []
        self.timers = Timers()
        self.numbers = itertools.count()
        self.ticks = 0
        self.worst_late_s = 0.0
        self.stopping = asyncio.Event()

    async def play(self, reader, writer):
        """One player, from hello to goodbye."""
        session = Session(next(self.numbers), writer, self.timers, time.monotonic())
        self.sessions.append(session)
        try:
            while line := await reader.readline():
                session.answer(line)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self.sessions.remove(session)
            writer.close()

    async def tick(self):
        """Run timers, and measure how late each tick is."""
        due = time.monotonic()
        while True:
            due += TICK_S
            await asyncio.sleep(due - time.monotonic())
            now = time.monotonic()
            self.worst_late_s = max(self.worst_late_s, now - due)
            self.timers.run_due(now)
            self.ticks += 1
            due = max(due, now - TICK_S)  # after a stall, don't run to catch up

    async def raids(self):
        """One raid after the other."""
        party = [Fighter(f"guard {n}", armour=n) for n in range(5)]
        while True:
            await raid(20, party, 8)

    async def seasons(self):
        """One season's payouts after the other, in the thread pool."""
        quests = [Quest(level) for level in range(1, 9)]
        while True:
            await asyncio.get_running_loop().run_in_executor(POOL, settle, quests)


async def main():
    """Serve."""
    suture.install(service="arena")  # from here on ``suture apply fix.suture --service arena`` reaches it
    suture.status()  # loads the engine now, not beside the first ticks: later nothing is read from disk
    server = Server()
    players = await asyncio.start_server(server.play, "127.0.0.1", 0, backlog=512)
    console = await asyncio.start_server(Console(server).serve, "127.0.0.1", 0)
    works = [server.tick(), server.raids(), server.seasons()]
    tasks = [asyncio.ensure_future(work) for work in works]
    print(json.dumps({s: p.sockets[0].getsockname()[1] for s, p in (("players", players), ("console", console))}), flush=True)
    ends = [asyncio.ensure_future(end_of_input()), asyncio.ensure_future(server.stopping.wait())]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for listener in (players, console):
        listener.close()
    for task in (*tasks, *ends):
        task.cancel()
    await asyncio.gather(*tasks, *ends, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main())
