LIMIT = 2

ROUTES = {}
ROUTES["a"] = len
ROUTES["c"] = str


def show():
    return 2


ROUTES["d"] = show

NAMES = ["x"]
NAMES += ["y", "yy"]
NAMES.append("z")
COUNT = len(NAMES)


class C:
    kinds = {1, 2, 3}
    kinds.discard(2)
    sizes = [LIMIT]
    sizes.extend([LIMIT * 10])
