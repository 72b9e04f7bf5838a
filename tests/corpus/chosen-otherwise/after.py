LIMIT = 20  # suture: skip
TABLE = {"a": 2}  # suture: replace who holds it shall keep it
KEPT = ["y"]  # suture: skip


def total():
    return LIMIT, TABLE["a"], KEPT[0], "new"
