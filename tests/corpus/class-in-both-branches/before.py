if 0:
    class A:
        def f(self): return 1
else:
    class A:
        def f(self): return 1
