def g():
    return 2


X = g()
Y = g


def h(a=g()):
    return a
