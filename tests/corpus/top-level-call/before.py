LOG = []


def f():
    return 1
