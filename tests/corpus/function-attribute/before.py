def f():
    return f.limit


f.limit = 1
