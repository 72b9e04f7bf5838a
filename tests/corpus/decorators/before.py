import functools


def f(x):
    return x
