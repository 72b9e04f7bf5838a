from typing import TYPE_CHECKING, overload

@overload
def f(a: int) -> int: ...
def f(a):
    return a
