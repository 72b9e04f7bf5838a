import sys


def is_new():
    print("asked")
    return sys.version_info >= (3,)


if is_new():
    A = 1
    B = 2
