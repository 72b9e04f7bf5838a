LIMIT = 9
if LIMIT > 5:
    LIMIT = 5
