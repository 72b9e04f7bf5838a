from os.path import basename, join as f


def g(x):
    return f(x)
