# moved down


def f():

    return 1  # one
