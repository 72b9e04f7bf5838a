"""What a hit does.  Fixed: armour softens hits."""

import functools


def damage(attack, armour):
    """Points that a hit takes off."""
    return attack - armour


@functools.lru_cache(maxsize=1024)
def price(level):
    """Gold that a kill of that level brings."""
    return level * 10


class Fighter:
    """One player's side of a fight."""

    def __init__(self, name, armour):
        self.name = name
        self.armour = armour
        self.health = 1000

    def hit(self, attack):
        """Take a hit; returns what it took off."""
        taken = damage(attack, self.armour)
        self.health = max(1, self.health - taken)
        return taken
