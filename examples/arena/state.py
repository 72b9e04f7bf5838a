"""What the server holds while it runs: callbacks in timers and tables, as real servers do."""

import functools

from arena.combat import Fighter, damage

TARGET = Fighter("training dummy", 7)

# Each is held before any fix, each as another kind of reference.
TABLE = {"damage": damage, "hit": TARGET.hit}
TIMERS = [functools.partial(damage, 20), functools.partial(TARGET.hit, 20)]


def later(attack, armour, formula=damage):
    """The formula as a default argument."""
    return formula(attack, armour)


def held():
    """What every held callback gives for an attack of 20 on an armour of 7."""
    return [TABLE["damage"](20, 7), TABLE["hit"](20), TIMERS[0](7), TIMERS[1](), later(20, 7)]
