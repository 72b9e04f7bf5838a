class A:
    rate = 3

    def f(self):
        return self.rate
