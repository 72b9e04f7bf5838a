"""
Which statement became which.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable

from suture.ops.build import nodes
from suture.ops.build.nodes import Item

__all__ = ["pair", "same_call"]


def pair(left: list[Item], right: list[Item]) -> tuple[list[tuple[Item, Item]], list[Item], list[Item]]:
    """
    Say which statement became which.

    Those that bind a name go by it: by position where both sides have as many, else equal ones first.  Others go by being
    equal, then by being equal but for the bodies of the functions they make.

    Returns:
        (pairs, what only the left has, what only the right has), each in order.
    """
    many = _count(left), _count(right)
    pairs: list[tuple[Item, Item]] = []
    rounds: list[Callable[[Item], Hashable]] = [
        lambda i: i.key if i.key[0] != "statement" and many[0].get(i.key) == many[1].get(i.key) else None,
        lambda i: (i.key, i.dump),
        lambda i: i.key if i.key[0] != "statement" else None,
        lambda i: nodes.blanked_dump(i.node) if i.key[0] == "statement" else None,
    ]
    for key_of in rounds:
        waiting: dict[Hashable, list[Item]] = defaultdict(list)
        for item in left:
            if (key := key_of(item)) is not None:
                waiting[key].append(item)
        for item in right:
            if (key := key_of(item)) is not None and waiting.get(key):
                pairs.append((waiting[key].pop(0), item))
        done = {id(i) for pair in pairs for i in pair}
        left, right = [i for i in left if id(i) not in done], [i for i in right if id(i) not in done]
    return sorted(pairs, key=lambda p: p[1].at), left, right


def _count(items: Iterable[Item]) -> dict[Hashable, int]:
    counts: dict[Hashable, int] = defaultdict(int)
    for item in items:
        counts[item.key] += 1
    return counts


def same_call(item: Item, removed: Iterable[Item]) -> Item | None:
    """The removed statement that this one seems to have been: of the same kind, and calling the same thing."""
    mine = nodes.signature(item.node)
    return next((r for r in removed if r.key[0] == "statement" and nodes.signature(r.node) == mine), None)
