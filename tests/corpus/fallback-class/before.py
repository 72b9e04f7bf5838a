try:
    from fractions import Fraction
except ImportError:

    class Fraction:
        pass
