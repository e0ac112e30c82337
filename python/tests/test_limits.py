"""Little memory, and many operations."""

import resource
import subprocess
import sys
import textwrap

import pytest

import shmkey

SCARCE = """
    import resource, shmkey, sys
    ring, batches = shmkey.Ring.open(sys.argv[1], 1 << 25), shmkey.Ring.open(sys.argv[2], 1 << 25)
    ring.send(bytes(1 << 24))
    for number in range(300000):
        batches.send(b"%d" % number)
    pages = int(open("/proc/self/statm").read().split()[0])
    limit = pages * resource.getpagesize() + (10 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    failed = 0
    for call in (
        ring.recv,
        lambda: ring.send_batch(b"x" for _ in range(1 << 30)),
        lambda: shmkey.wait_any([ring] * (1 << 18), timeout=0),
    ):
        try:
            call()
        except (MemoryError, ValueError):
            failed += 1
    first = batches.recv_batch(1 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    count = len(first)
    assert first == [b"%d" % number for number in range(count)]
    assert batches.recv() == b"%d" % count and count < 299999
    print(failed)
"""


def test_a_call_without_memory_fails_and_loses_no_message(names):
    command = [sys.executable, "-c", textwrap.dedent(SCARCE), names(), names()]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "3\n", "")


def test_wait_any_takes_128_objects(names):
    name = names()
    many = [shmkey.Semaphore.open(name) for _ in range(129)]
    many[7].post()
    assert shmkey.wait_any(many[:128], timeout=0).value == 1
    with pytest.raises(ValueError, match="128"):
        shmkey.wait_any(many, timeout=0)


def test_operations_leak_nothing(names):
    mutex, lock, latest = shmkey.Mutex.open(names(), "q"), shmkey.RwLock.open(names(), "2I"), shmkey.Latest.open(names(), "q")
    semaphore, changed, name = shmkey.Semaphore.open(names()), shmkey.Condvar.open(names()), names()

    def use(times):
        for number in range(times):
            with mutex as guard:
                guard.value += 1
                guard.data[0]
                changed.wait(guard, timeout=0)
            with lock.write() as guard, pytest.raises(shmkey.Deadlock):
                lock.read()
            latest.publish(number)
            assert latest.wait(timeout=0) == number
            semaphore.post()
            assert shmkey.wait_any([semaphore, latest], timeout=0) is semaphore
            semaphore.wait()
            with shmkey.Broadcast.open(name, 4096) as news:
                news.subscribe()
                news.publish_batch([b"x", bytearray(b"y")])
                assert len(news.recv_batch(5)) == 2 and news.canceller()

    use(200)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    use(2000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500  # KiB
