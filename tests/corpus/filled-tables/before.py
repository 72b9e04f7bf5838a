LIMIT = 1

ROUTES = {}
ROUTES["a"] = len
ROUTES["b"] = str

NAMES = ["x"]
NAMES += ["y"]
NAMES.append("z")
COUNT = len(NAMES)


class C:
    kinds = {1, 2, 3}
    kinds.discard(3)
    sizes = [LIMIT]
    sizes.extend([LIMIT * 10])


def show():
    return 1
