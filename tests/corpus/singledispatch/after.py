import functools


@functools.singledispatch
def show(x):
    return "any"


@show.register
def _(x: int):
    return "INT"


@show.register
def _(x: str):
    return "str"
