def rows():
    yield 1


async def fetch():
    return 1


async def pages():
    yield 1
