from contextlib import suppress

try:
    import bisect as fast
except ImportError:
    fast = None

import json

with suppress(ImportError):
    import no_such_module_b

with suppress(ImportError):
    import colorsys

HAS_FAST = fast is not None


def f():
    return fast
