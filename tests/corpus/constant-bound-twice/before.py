LIMIT = 1
if LIMIT > 5:
    LIMIT = 5
