ALL = []


def _helper():
    return 10


LIMIT = _helper()


def _held():
    return 10


ALL.append(_held)


def plain():
    return 10


del (_helper, _held)
