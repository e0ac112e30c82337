"""Handles and memory at the end of their lives: cycles of references, the end of the interpreter, other threads."""

import gc
import pathlib
import subprocess
import sys
import textwrap

import pytest

import shmkey


def run(program, *options):
    """Runs a program in another interpreter, without any warning. Returns its output."""
    command = [sys.executable, "-X", "dev", "-W", "error", *options, "-c", textwrap.dedent(program)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def is_attached(name):
    return shmkey.Segment.open(name).status().nattch > 0


def of_message(name):
    ring = shmkey.Ring.open(name, 4096)
    ring.send(b"hello")
    ring.message = ring.peek()
    ring.view = ring.message.data[1:]


def of_slot(name):
    ring = shmkey.Ring.open(name, 4096)
    ring.slot = ring.reserve(8)


def of_canceller(name):
    semaphore = shmkey.Semaphore.open(name)
    semaphore.stop = semaphore.canceller()


def of_guard(name):
    mutex = shmkey.Mutex.open(name, "q")
    mutex.guard = mutex.lock()
    mutex.guard.data


def of_attachment(name):
    views = [shmkey.Segment.open(name, 64, create=True).attach()]
    views += [views[0].data, views[0].data[1:], views]


@pytest.mark.parametrize("make", [of_message, of_slot, of_canceller, of_guard, of_attachment])
def test_a_cycle_of_references_is_collected(name, make):
    make(name)
    gc.collect()
    assert not is_attached(name)


def test_the_last_view_closes_the_handle_at_once(name):
    ring = shmkey.Ring.open(name, 4096)
    ring.send(b"hello")
    view, mapping = ring.peek().data, f" {ring.id} "
    del ring
    memory = pathlib.Path("/proc/self/maps")  # no call of the package, which would do what was put off
    assert [line for line in memory.read_text().splitlines() if "SYSV" in line and mapping in line]
    del view
    assert not [line for line in memory.read_text().splitlines() if "SYSV" in line and mapping in line]


def test_what_lives_to_the_end_of_the_interpreter_does_no_harm(names):
    ring, mutex, lock, segment = (names() for _ in range(4))
    run(
        f"""
        import shmkey, sys
        ring, segment = shmkey.Ring.open({ring!r}, 4096), shmkey.Segment.open({segment!r}, 64, create=True)
        mutex, lock = shmkey.Mutex.open({mutex!r}, "q"), shmkey.RwLock.open({lock!r}, "q")
        ring.send(b"hello")
        parts = [ring.peek(), ring.reserve(8), mutex.lock(), lock.read(), segment.attach(), ring.canceller()]
        cycle = [part.data[1:] for part in parts[:5]] + parts[:2]
        cycle.append(cycle)

        class Late:
            def __del__(self):
                for call in (mutex.remove, parts[2].unlock, parts[1].abort, lock.close):
                    try:
                        call()
                    except (BufferError, OSError, ValueError):
                        pass

        sys.modules["late"] = Late()
        """
    )
    for name in (ring, lock, segment):
        assert not is_attached(name)


DAEMONS = """
    import shmkey, sys, threading, time
    ring, semaphore, mutex, changed, other = (
        shmkey.Ring.open({0!r}, 64), shmkey.Semaphore.open({1!r}), shmkey.Mutex.open({2!r}, "q"),
        shmkey.Condvar.open({3!r}), shmkey.Mutex.open({4!r}, "2d"))

    def poll():
        try:
            ring.recv(timeout=0)
        except BlockingIOError:
            pass

    def wait():
        with mutex as guard:
            changed.wait(guard, timeout=0.01)

    def change():
        with other as guard:
            guard.value = guard.value

    def again_and_again(work):
        while True:
            work()

    for work in (poll, wait, change, semaphore.wait, lambda: shmkey.wait_any([semaphore])):
        threading.Thread(target=again_and_again, args=(work,), daemon=True).start()

    class Late:
        def __del__(self, sleep=time.sleep, post=semaphore.post):
            for _ in range(20):
                sleep(0.01)
                post()

    sys.modules["late"] = Late()
    time.sleep(0.1)
"""


def test_daemon_threads_that_use_objects_at_the_end_do_no_harm(names):
    for _ in range(5):
        run(DAEMONS.format(*(names() for _ in range(5))))
