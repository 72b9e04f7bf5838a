from contextlib import suppress

try:
    import no_such_module_a as fast
except ImportError:
    fast = None

try:
    import json
except ImportError:
    json = None

with suppress(ImportError):
    import no_such_module_b

HAS_FAST = fast is not None


def f():
    return fast
