_parent = super


class A:
    def name(self):
        return "a"


class B(A):
    def name(self):
        return super().name() + "B"

    def other(self):
        return super().name() * 2
