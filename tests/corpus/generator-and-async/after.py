def rows():
    yield 1
    yield 2


async def fetch():
    return 2


async def pages():
    yield 2
