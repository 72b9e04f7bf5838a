from __future__ import annotations

import os


def f(a: int, b: bytes) -> str:
    return os.sep + os.sep


def g(a: int) -> str:
    return "g"
