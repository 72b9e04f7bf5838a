import sys

LIMIT = 5

if sys.version_info >= (3, 2):
    SIZE = LIMIT + 2
    MORE = SIZE * 2

    def size():
        return SIZE * 10
else:
    SIZE = 0

    def size():
        return 0

if sys.platform != "no such platform":
    OTHER = 20
