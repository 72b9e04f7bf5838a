from typing import overload


@overload
def conv(x: int) -> bytes: ...
@overload
def conv(x: str) -> int: ...
def conv(x):
    return str(x).encode() if isinstance(x, int) else int(x)
