LOG = []


def f():
    return 1


LOG.append(f)
