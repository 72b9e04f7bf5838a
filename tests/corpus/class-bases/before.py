class A:
    pass


class B:
    pass


class C(A):
    pass
