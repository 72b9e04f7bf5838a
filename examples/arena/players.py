"""
Players: each connects, strikes, turns in quests, and knows what is right.

``python -m arena.players PORT COUNT`` prints a line of JSON each quarter of a second (times are of the monotonic clock, which
processes of one machine share) and ends with its standard input, or after two minutes.
"""

import asyncio
import json
import random
import sys
import time

from arena.lifetime import end_of_input

LINE_S = 0.25
LIMIT_S = 120


class Tally:
    """What all players saw since the last line."""

    def __init__(self):
        self.connected = self.lost = 0
        self.begin(time.monotonic())

    def begin(self, now):
        """Start anew."""
        self.since = now
        self.hits = self.wrong_hits = self.payouts = self.wrong_payouts = 0
        self.first_right = self.last_wrong = None

    def line(self):
        """One line, of what was since the last."""
        now = time.monotonic()
        text = json.dumps({**vars(self), "until": now})
        self.begin(now)
        return text

    def hit(self, kind, attack, armour, points):
        """Judge a hit: armour softens it, and a blow has twice the weight."""
        self.hits += 1
        if points == (2 * attack if kind == b"blow" else attack) - armour:
            self.first_right = self.first_right or time.monotonic()
        else:
            self.wrong_hits += 1
            self.last_wrong = time.monotonic()

    def payout(self, level, kills, gold):
        """Judge a payout: ten gold a kill and level."""
        self.payouts += 1
        self.wrong_payouts += gold != 10 * level * kills


async def listen(reader, tally):
    """Judge all that the server says to one player, until it hangs up."""
    while line := await reader.readline():
        what, *words = line.split()
        if what == b"hit":
            tally.hit(words[0], *map(int, words[1:]))
        else:
            tally.payout(*map(int, words))


async def strike(writer, number):
    """Act, four times a second."""
    chance = random.Random(number)
    await asyncio.sleep(chance.random() / 4)
    while True:
        kind = chance.choice((b"plain", b"spell", b"blow", b"turn-in"))
        writer.write(b"%s %d\n" % (kind, chance.randint(10, 40)))
        await writer.drain()
        await asyncio.sleep(0.25)


async def play(port, number, tally):
    """One player, until cancelled."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    tally.connected += 1
    striking = asyncio.ensure_future(strike(writer, number))
    try:
        await listen(reader, tally)
        tally.lost += 1
    except (OSError, ValueError):
        tally.lost += 1
    finally:
        striking.cancel()
        writer.close()


async def report(tally):
    """Print lines."""
    while True:
        await asyncio.sleep(LINE_S)
        print(tally.line(), flush=True)


async def main(port, count):
    """All of them."""
    tally = Tally()
    tasks = [asyncio.ensure_future(play(port, number, tally)) for number in range(count)]
    tasks.append(asyncio.ensure_future(report(tally)))
    await asyncio.wait([asyncio.ensure_future(end_of_input())], timeout=LIMIT_S)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
