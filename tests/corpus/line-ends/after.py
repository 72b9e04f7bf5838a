NAME = "café"


def f():
    return "éé"
