def f(a, b=5, /, *rest, key=None):
    return a, b, rest, key
