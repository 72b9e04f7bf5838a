class point:
    pass
