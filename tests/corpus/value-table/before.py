TABLE = {"a": 1, "b": {"x": [1], "y": {1}}, "c": 3}
ORDER = ["a", "c"]
KINDS = {"x", "y"}
NAMES = tuple(TABLE)
