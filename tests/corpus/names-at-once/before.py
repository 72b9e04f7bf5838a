def pair():
    return 1, 2


A, B = pair()
C = D = [1]
(E, *F) = (1, 2, 3)
FLAGS = 1
FLAGS |= 2
TEXT = "a"
TEXT += "b"
EARLY = len(TEXT)
TEXT += "c"
__all__ = ["A"]
__all__ += ["B"]
MORE = {"a": A}
MORE |= {"b": B}
