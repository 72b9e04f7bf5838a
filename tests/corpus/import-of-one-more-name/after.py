from os.path import join, basename

def f():
    return basename(join("a", "b"))
