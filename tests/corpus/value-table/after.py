TABLE = {"a": 2}
