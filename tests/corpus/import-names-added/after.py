from collections import Counter, deque


def f():
    return Counter(deque([1]))
