import json as js
from collections import OrderedDict, deque

LIMIT = 3


def clip(x):
    return min(x, LIMIT)


def f(x):
    return clip(x), js.dumps(x), deque([x])[0]


class A:
    step = 5

    def go(self):
        return self.more() + self.step

    def more(self):
        return Extra().n


class Extra:
    n = 2
