"""
One player's connection, and what a server holds for it: the reason why putting a new function under the old name isn't enough.

A player sends a line, ``plain ATTACK``, ``spell ATTACK``, ``blow ATTACK`` or ``turn-in KILLS``, and is told what came of it:
``hit KIND ATTACK ARMOUR POINTS`` or ``gold LEVEL KILLS AMOUNT``.  Poison comes by itself, from a timer.
"""

import functools

from arena import combat
from arena.combat import Fighter, damage
from arena.quest import Quest, price

POISON = 30  # the attack of a dose

# Tables made when the module was imported: functions, and a partial of the cached price.
SPELLS = {"fire": damage, "frost": damage}
WARES = {f"trophy of level {level}": functools.partial(price, level) for level in (1, 2, 3)}


def cast(attack, armour, formula=damage):
    """Cast a spell; the formula was bound when this was defined."""
    return formula(attack, armour)


class Session:
    """A player who is connected."""

    def __init__(self, number, writer, timers, now):
        self.writer = writer
        self.fighter = Fighter(f"player {number}", armour=1 + number % 9)
        self.quest = Quest(level=1 + number % 5)
        self.blow = self.fighter.blow  # bound methods, looked up once
        self.collect = self.quest.pay
        dose = functools.partial(damage, POISON, self.fighter.armour)
        timers.every(0.5 + number % 10 / 20, functools.partial(self.poisoned, dose), now)

    def answer(self, line):
        """Act on a player's line."""
        kind, number = line.split()
        if kind == b"turn-in":
            kills = int(number)
            self.writer.write(b"gold %d %d %d\n" % (self.quest.level, kills, self.collect(kills)))
        else:
            self.hit(kind, int(number))

    def hit(self, kind, attack):
        """Strike; *plain* alone looks its function up each time."""
        armour = self.fighter.armour
        if kind == b"plain":
            points = combat.damage(attack, armour)
        elif kind == b"blow":
            points = self.blow(attack)
        else:
            points = SPELLS["fire"](attack, armour) if attack % 2 else cast(attack, armour)
        self.tell(kind, attack, points)

    def poisoned(self, dose):
        """A timer's callback: take a dose.  False once the player has gone."""
        if self.writer.is_closing():
            return False
        self.tell(b"poison", POISON, dose())
        return True

    def tell(self, kind, attack, points):
        """Tell the player of a hit."""
        self.writer.write(b"hit %s %d %d %d\n" % (kind, attack, self.fighter.armour, points))
