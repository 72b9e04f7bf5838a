"""
Players: each connects, attacks, and knows what a right hit is.

``python -m arena.players PORT COUNT`` prints a JSON line every quarter of a second: hits, wrong hits, connections lost,
and the moment of the last wrong and the first right hit.
"""

import asyncio
import json
import random
import sys
import time


class Count:
    """What all players saw since the last line."""

    def __init__(self):
        self.hits = self.wrong = self.lost = self.connected = 0
        self.last_wrong = 0.0

    def line(self):
        """One JSON line; starts anew."""
        text = json.dumps({**vars(self), "at": time.time()})
        self.hits = self.wrong = 0
        return text


async def play(port, count, number):
    """One player, until cancelled."""
    chance = random.Random(number)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count.connected += 1
    try:
        while True:
            attack, armour = chance.randint(10, 40), chance.randint(1, 9)
            writer.write(b"%d %d\n" % (attack, armour))
            taken = int(await reader.readline() or b"-1")
            count.hits += 1
            if taken != attack - armour:
                count.wrong += 1
                count.last_wrong = time.time()
            await asyncio.sleep(0.1)
    except (ConnectionError, ValueError):
        count.lost += 1


async def main(port, players, seconds=60):
    """Play, print, end after *seconds* or when standard input closes."""
    count = Count()
    tasks = [asyncio.ensure_future(play(port, count, n)) for n in range(players)]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.sleep(0.25)
        print(count.line(), flush=True)
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
