def f(): return 2
x = 1; y = 3
