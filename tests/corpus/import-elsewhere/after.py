from posixpath import basename, basename as f


def g(x):
    return f(x)
