"""Old."""


class A:
    """Old."""


def f():
    """Old."""
