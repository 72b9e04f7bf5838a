"""What hits take off: an attack, softened by armour."""

import asyncio


def damage(attack, armour):
    """Points that a hit takes off."""
    return attack - armour


class Fighter:
    """One side of a fight."""

    def __init__(self, name, armour):
        self.name = name
        self.armour = armour

    def blow(self, attack):
        """Points that a heavy blow, of twice the weight, takes off this fighter."""
        return 2 * attack - self.armour


async def raid(attack, party, rounds):
    """A boss strikes each of the party once a round; returns the points that it took off."""
    taken = 0
    for _ in range(rounds):
        for fighter in party:
            taken += attack - fighter.armour
        await asyncio.sleep(0.1)
    return taken
