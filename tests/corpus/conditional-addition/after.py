import sys

if sys.version_info >= (3,):
    A = 1
    B = 2
