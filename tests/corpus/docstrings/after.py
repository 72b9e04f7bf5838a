"""New."""


class A:
    """New."""


def f():
    """New."""
