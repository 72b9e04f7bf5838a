N = 1


def f(n=N):
    return n
