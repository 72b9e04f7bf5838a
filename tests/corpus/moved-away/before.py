def helper(x):
    return -x * 1


def f():
    return helper(1)
