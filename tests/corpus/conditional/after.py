import sys

if sys.version_info >= (3, 0):
    A = 1
    B = 2


def f():
    return 1
