class A:
    rate = 4

    def f(self):
        return self.rate
