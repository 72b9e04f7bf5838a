LIMIT = 10
TABLE = {"a": 1}
KEPT = ["x"]


def total():
    return LIMIT, TABLE["a"], KEPT[0]
