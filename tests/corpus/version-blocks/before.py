import sys

LIMIT = 1

if sys.version_info >= (3, 2):
    SIZE = LIMIT + 1

    def size():
        return SIZE
else:
    SIZE = 0

    def size():
        return 0

if sys.platform == "no such platform":
    OTHER = 1
else:
    OTHER = 2
    GONE = 3
