def pair():
    return 1, 3


A, B = pair()
C = D = [1, 2]
(E, *F) = (1, 2, 4)
FLAGS = 1
FLAGS |= 4
TEXT = "a"
TEXT += "bb"
EARLY = len(TEXT)
TEXT += "c"
__all__ = ["A"]
__all__ += ["B", "C"]
MORE = {"a": A}
MORE |= {"b": B}
