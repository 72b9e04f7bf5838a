class A:
    def f(self):
        return 1

    def gone(self):
        return 2
