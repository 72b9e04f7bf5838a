LIMIT = 30


def f():
    return LIMIT
