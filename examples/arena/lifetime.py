"""A child's lifetime: it ends with the process that started it."""

import asyncio
import sys


async def end_of_input():
    """Wait until standard input, a pipe from the starter, is closed: also when that was killed."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
