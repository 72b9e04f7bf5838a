class Cart:
    def __init__(self):
        self.items = [1, 2]

    def total(self):
        return sum(self.items)
