LIMIT = 2

def f(n=LIMIT):
    return n
