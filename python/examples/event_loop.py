"""Waits for a ring, a semaphore and a socket at once, in tasks of asyncio. A child sends to all three."""

import asyncio
import os
import socket

import shmkey
from support import Failed, run, say

# A segment has a ring, and behind it a semaphore.
CAPACITY, COUNT_AT, SIZE = 4096, 8192, 16384


async def receive_all(ring, semaphore, ours):
    async def messages():
        return len([message async for message in ring])

    async def counts():
        for _ in range(2):
            await semaphore.wait_async()
        return 2

    async def received():
        reader, writer = await asyncio.open_connection(sock=ours)
        data = await reader.read()
        writer.close()
        return len(data)

    return await asyncio.gather(messages(), counts(), received())


def main():
    segment = shmkey.Segment.open(None, SIZE)
    try:
        ring = shmkey.Ring.open(shmkey.Within(segment, 0), CAPACITY)
        semaphore = shmkey.Semaphore.open(shmkey.Within(segment, COUNT_AT))
    finally:
        segment.remove()
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        semaphore.post()
        ring.send(b"one")
        theirs.sendall(b"hello")
        semaphore.post()
        ring.send_batch([b"two", b"three"])
        ring.close()
        os._exit(0)
    theirs.close()
    numbers = asyncio.run(receive_all(ring, semaphore, ours))
    say(b"Received: %d messages, %d counts, %d bytes" % tuple(numbers))
    if os.waitpid(child, 0)[1] != 0:
        raise Failed("the child failed")


run(main)
