from os.path import join

def f():
    return join("a", "b")
