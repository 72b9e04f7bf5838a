import functools


def logged(f):
    @functools.wraps(f)
    def wrapper(*args):
        return ["log", f(*args)]

    return wrapper


@logged
def work(x):
    return x
