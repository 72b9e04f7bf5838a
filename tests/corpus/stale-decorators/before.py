NAMES = []


def registered(function):
    NAMES.append(function.__name__)

    def wrapper():
        return function()

    return wrapper


def wrapped(function):
    def wrapper():
        return function() + 1

    return wrapper


@registered
def f():
    return 1


@wrapped
def g():
    return 1
