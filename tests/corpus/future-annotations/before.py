import os


def f(a: int, b: str) -> str:
    return os.sep


def g(a: int) -> str:
    return "g"
