N = 2


def f(n=N):
    return n
