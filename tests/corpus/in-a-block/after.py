try:
    import _no_such_module_
except ImportError:

    def f():
        return 2
