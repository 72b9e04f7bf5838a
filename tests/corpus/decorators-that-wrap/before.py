import functools


def twice(times):
    def wrap(function):
        @functools.wraps(function)
        def wrapped(*args):
            return [function(*args)] * times

        return wrapped

    return wrap


@functools.lru_cache(maxsize=10)
def cached(n):
    return object()


def plain(n):
    return n


class C:
    def m(self):
        return 1


TABLE = {"plain": plain}
