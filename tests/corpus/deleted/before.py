ALL = []


def _helper():
    return 1


LIMIT = _helper()


def _held():
    return 1


ALL.append(_held)


def plain():
    return 1


del (_helper, _held)
