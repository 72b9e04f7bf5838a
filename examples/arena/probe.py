"""
For the demo: what the server holds and whether it works right, and a fingerprint of its code.

The right formulas stand here once more, since the server's own are what is being questioned.
"""

import hashlib
import sys

from arena import session

ATTACK = 20
KILLS = 3


def held(sessions, timers):
    """Each kind of held callback, with how many there are and how many of them give the right number when called."""
    spells = [f(ATTACK, 7) == ATTACK - 7 for f in (*session.SPELLS.values(), session.cast)]
    wares = [f() == 10 * level for level, f in enumerate(session.WARES.values(), 1)]
    doses = [(c.args[0], c.func.__self__.fighter) for c in timers.callbacks()]
    kinds = {
        "partials in timers": [dose() == session.POISON - fighter.armour for dose, fighter in doses],
        "bound methods": [s.blow(ATTACK) == 2 * ATTACK - s.fighter.armour for s in sessions]
        + [s.collect(KILLS) == KILLS * 10 * s.quest.level for s in sessions],
        "in tables and defaults": spells + wares,
    }
    return {kind: {"held": len(right), "right": sum(right)} for kind, right in kinds.items()}


def fingerprint():
    """A digest of all that the game's modules name: which objects, and what code and defaults they have."""
    digest = hashlib.sha256()
    for name in sorted(n for n in sys.modules if n.startswith("arena.")):
        for line in _facts(name, vars(sys.modules[name]), name):
            digest.update(line.encode("utf-8", "replace"))
    return digest.hexdigest()[:16]


def _facts(where, names, module):
    for key, value in sorted(names.items()):
        if key.startswith("__") and key != "__init__":
            continue
        yield f"{where}.{key} {id(value)}\n"
        function = getattr(value, "__wrapped__", value)
        if hasattr(function, "__code__"):
            yield f"{_code(function.__code__)} {function.__defaults__} {function.__kwdefaults__}\n"
        elif isinstance(value, type) and value.__module__ == module:
            yield from _facts(f"{where}.{key}", vars(value), module)


def _code(code):
    consts = [_code(c) if hasattr(c, "co_code") else repr(c) for c in code.co_consts]
    return code.co_name, code.co_filename, code.co_firstlineno, code.co_code.hex(), code.co_names, consts
