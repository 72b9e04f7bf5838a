import time

START = time.monotonic()
