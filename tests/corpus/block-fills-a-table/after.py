import time

HAS_NS = hasattr(time, "time_ns")
HAS_PERF = hasattr(time, "perf_counter")
real_time = time.time
real = [real_time]

if HAS_NS:
    real_ns = time.time_ns
    real.append(real_ns)

if HAS_PERF:
    real_perf = time.perf_counter
    real.append(real_perf)

if not HAS_PERF:
    real.append(None)

names = {getattr(f, "__name__", "") for f in real}


def known(f):
    return f.__name__ in names
