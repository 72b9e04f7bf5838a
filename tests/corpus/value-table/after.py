TABLE = {"a": 1, "b": {"x": [1, 2], "y": {1, 2}}, "d": 4}
ORDER = ["a", "b", "c"]
KINDS = {"x", "z"}
NAMES = tuple(TABLE)
