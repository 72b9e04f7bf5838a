if 0:
    def f(): return 1
else:
    def f(): return 1
