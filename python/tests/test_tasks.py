"""Waiting in asyncio: closed handles, closed loops, tasks beside it."""

import asyncio
import gc
import resource
import threading
import weakref

import pytest

import shmkey


def test_closing_a_handle_ends_the_tasks_that_wait_for_it(names):
    async def main():
        ring, stop = shmkey.Ring.open(names(), 64), shmkey.Semaphore.open(names())
        tasks = [asyncio.create_task(ring.recv_async()) for _ in range(2)]
        tasks.append(asyncio.create_task(stop.wait_async()))
        await asyncio.sleep(0)
        descriptor = ring.fileno()
        ring.close()
        stop.close()
        name = names()
        with shmkey.Ring.open(name, 64) as other:  # has the descriptor that was closed
            assert other.fileno() == descriptor
            task = asyncio.create_task(other.recv_async())
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(ended, ValueError)
            shmkey.Ring.open(name).send(b"hello")
            assert await asyncio.wait_for(task, 60) == b"hello"

    asyncio.run(main())


def test_a_closed_loop_keeps_no_task(name):
    ring = shmkey.Ring.open(name, 64)
    loops = []
    for _ in range(3):
        loop = asyncio.new_event_loop()
        task = loop.create_task(ring.recv_async())
        loop.run_until_complete(asyncio.sleep(0))
        task._log_destroy_pending = False
        loop.close()
        loops.append(weakref.ref(loop))
        del loop, task
    gc.collect()
    assert [loop() for loop in loops] == [None] * 3
    ring.send(b"hello")
    assert asyncio.run(ring.recv_async()) == b"hello"


def test_a_task_that_always_receives_lets_others_run(name):
    async def main():
        ring = shmkey.Ring.open(name, 65536)
        assert ring.send_batch([b"x"] * 1000, timeout=0) == 1000
        ring.end_sending()
        turns = 0

        async def count():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(count())
        assert len([message async for message in ring]) == 1000
        task.cancel()
        return turns

    assert asyncio.run(main()) >= 10


def test_a_handle_is_not_closed_while_another_thread_s_task_waits(name):
    ring, waits = shmkey.Ring.open(name, 64), threading.Event()
    received = []

    async def main():
        task = asyncio.create_task(ring.recv_async())
        while not ring._waiting:  # every few calls, one first lets other tasks run
            await asyncio.sleep(0)
        waits.set()
        received.append(await task)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    waits.wait()
    with pytest.raises(BufferError, match="task"):
        ring.close()
    ring.send(b"hello")
    thread.join()
    assert received == [b"hello"]
    ring.close()


def test_a_receive_without_descriptors_fails(name):
    async def main():
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        with shmkey.Ring.open(name, 64) as ring:
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
            try:
                with pytest.raises(OSError, match="EMFILE"):
                    await ring.recv_async()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            task = asyncio.create_task(ring.recv_async())
            await asyncio.sleep(0)
            ring.send(b"hello")
            assert await task == b"hello"

    asyncio.run(main())
