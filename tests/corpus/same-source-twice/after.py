if 0:
    def f(): return 2
else:
    def f(): return 1
