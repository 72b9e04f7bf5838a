from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from decimal import Decimal

n: int

@overload
def f(a: str) -> str: ...
def f(a):
    return a + a
