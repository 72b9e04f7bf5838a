import time

HAS_NS = hasattr(time, "time_ns")
real_time = time.time
real = [real_time]

if HAS_NS:
    real_ns = time.time_ns
    real.append(real_ns)

names = {getattr(f, "__name__", "") for f in real}


def known(f):
    return f.__name__ in names
