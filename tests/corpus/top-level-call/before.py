import sys

LOG = []


def f(x):
    LOG.append(x)
