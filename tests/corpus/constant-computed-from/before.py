LIMIT = 1

def f(n=LIMIT):
    return n
