CODES = {"a": 1, "b": 2}
NAMES = {}
for key, code in CODES.items():
    NAMES[code] = key

SQUARES = []
for n in range(3):
    if n != 1:
        SQUARES.append(n * n)
del n


def name(code):
    return NAMES[code]
