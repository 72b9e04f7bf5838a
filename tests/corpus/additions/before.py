def f(x):
    return x


class A:
    def go(self):
        return 1
