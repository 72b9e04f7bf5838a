def point():
    return 1
