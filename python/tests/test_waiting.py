import asyncio
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import shmkey


@pytest.fixture
def ring(name):
    with shmkey.Ring.open(name, 4096) as ring:
        yield ring


@pytest.fixture
def semaphore(names):
    with shmkey.Semaphore.open(names()) as semaphore:
        yield semaphore


def in_thread(call):
    thread = threading.Thread(target=call)
    thread.start()
    return thread


@pytest.mark.parametrize("timeout", [-1, float("nan"), -0.5])
def test_a_timeout_is_not_negative(ring, timeout):
    with pytest.raises(ValueError):
        ring.recv(timeout=timeout)


def test_a_wait_lets_other_threads_run(ring, semaphore):
    thread = in_thread(lambda: (semaphore.wait(), ring.send(b"from the other thread")))
    semaphore.post()
    assert ring.recv(float("inf")) == b"from the other thread"
    thread.join()


def test_a_signal_handler_runs_during_a_wait(ring):
    seen = []
    before = signal.signal(signal.SIGALRM, lambda *_: (seen.append(1), ring.send(b"from the handler")))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        assert ring.recv() == b"from the handler"
    finally:
        signal.signal(signal.SIGALRM, before)
    assert seen == [1]


@pytest.mark.parametrize(
    "wait",
    [
        "shmkey.Ring.open(name, 64).recv()",
        "shmkey.Ring.open(name, 64).peek()",
        "next(shmkey.Ring.open(name, 64))",
        "shmkey.Semaphore.open(name).wait()",
        "shmkey.Latest.open(name, 8).wait(60)",
        "shmkey.wait_any([shmkey.Semaphore.open(name)])",
        "wait_for_condition()",
        "wait_for_lock()",
    ],
)
def test_ctrl_c_ends_a_wait(name, names, wait):
    program = f"""
        import os, shmkey, threading, time
        name, condition = {name!r}, {names()!r}

        def wait_for_condition():
            with shmkey.Mutex.open(name, 8) as guard:
                shmkey.Condvar.open(condition).wait_for(guard, lambda: False)

        def wait_for_lock():
            mutex = shmkey.Mutex.open(name, 8)
            def hold():
                guard = mutex.lock()
                time.sleep(1000)
            threading.Thread(target=hold, daemon=True).start()
            while True:
                mutex.lock()

        print("ready", flush=True)
        {wait}
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    # Python may not be waiting yet; a signal that comes too early is noticed, too.
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors and child.returncode == -signal.SIGINT


def test_a_canceller_ends_a_wait(ring):
    stop = ring.canceller()
    thread = in_thread(stop.cancel)
    with pytest.raises(shmkey.Cancelled):
        ring.recv()
    thread.join()
    stop.cancel()  # is kept
    with pytest.raises(shmkey.Cancelled):
        ring.recv(timeout=60)
    ring.close()
    stop.cancel()


def test_a_handle_in_use_is_not_closed_and_serves_one_thread(ring, semaphore):
    failed = []

    def receive():
        semaphore.post()
        failed.append(ring.recv())

    thread = in_thread(receive)
    semaphore.wait()
    while True:  # until the thread is in its call
        try:
            ring.recv(timeout=0)
        except BlockingIOError:
            continue
        except shmkey.Busy:
            break
    with pytest.raises(BufferError):
        ring.close()
    with pytest.raises(shmkey.Busy):
        shmkey.wait_any([ring], timeout=0)
    ring.send(b"the other side is free")
    thread.join()
    assert failed == [b"the other side is free"]


def test_wait_any_returns_what_is_ready(ring, semaphore, names):
    latest = shmkey.Latest.open(names(), "q")
    news = shmkey.Broadcast.open(names(), 256)
    objects = [ring, semaphore, latest, news]
    with pytest.raises(shmkey.NotOwner):
        shmkey.wait_any(objects, timeout=0)
    news.subscribe()
    with pytest.raises(BlockingIOError):
        shmkey.wait_any(objects, timeout=0)
    with pytest.raises(TimeoutError):
        shmkey.wait_any(objects, timeout=0.01)
    thread = in_thread(semaphore.post)
    assert shmkey.wait_any(objects) is semaphore
    thread.join()
    semaphore.wait(0)
    latest.publish(5)
    assert shmkey.wait_any(objects) is latest and latest.wait(0) == 5
    news.publish(b"x")
    assert shmkey.wait_any(objects) is news and news.recv(0) == b"x"
    ring.send(b"y")
    assert shmkey.wait_any(objects) is ring
    for wrong in ([ring, ring], []):
        with pytest.raises((ValueError, OSError)):
            shmkey.wait_any(wrong, timeout=0)
    with pytest.raises(TypeError):
        shmkey.wait_any([shmkey.Mutex.open(names(), 8)])


def test_the_descriptor_is_for_select(ring):
    assert select.select([ring], [], [], 0)[0] == [ring]  # the first time, at once
    with pytest.raises(BlockingIOError):
        ring.recv(0)
    assert select.select([ring], [], [], 0) == ([], [], [])
    ring.send(b"x")
    assert select.select([ring], [], [], 10)[0] == [ring]
    assert ring.recv(0) == b"x"


def test_tasks_wait_for_objects(ring, semaphore, names):
    latest = shmkey.Latest.open(names(), "q")

    async def main():
        received = []

        async def receive():
            async for message in ring:
                received.append(message)

        tasks = [asyncio.create_task(receive()), asyncio.create_task(latest.wait_async())]
        tasks += [asyncio.create_task(semaphore.wait_async()) for _ in range(2)]
        await asyncio.sleep(0.01)
        for i in range(3):
            ring.send(b"%d" % i)
            await asyncio.sleep(0)
        semaphore.post()
        semaphore.post()
        latest.publish(7)
        ring.end_sending()
        assert (await asyncio.gather(*tasks))[1] == 7
        return received

    assert asyncio.run(main()) == [b"0", b"1", b"2"]


def test_a_cancelled_task_has_received_nothing(ring):
    async def main():
        for _ in range(20):
            task = asyncio.create_task(ring.recv_async())
            await asyncio.sleep(0)
            ring.send(b"kept")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await ring.recv_async() == b"kept"
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(ring.recv_async(), 0.001)

    asyncio.run(main())


def test_a_wait_sleeps(ring):
    """Without a message, waiting takes next to no processor time."""
    before = os.times()
    with pytest.raises(TimeoutError):
        ring.recv(timeout=0.5)
    after = os.times()
    assert after.user + after.system - before.user - before.system < 0.25


def test_a_long_wait_is_in_several_parts(ring):
    """Longer than the part after which a wait looks for signals."""
    thread = in_thread(lambda: (time.sleep(1.2), ring.send(b"late")))
    assert ring.recv(timeout=60) == b"late"
    with pytest.raises(TimeoutError):
        ring.recv(timeout=1.1)
    thread.join()
