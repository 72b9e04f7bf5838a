import sys

LOG = []


def f(x):
    LOG.append(x)


f(1)
