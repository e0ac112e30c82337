"""Locks: who has them, and that no error leaves them locked."""

import os
import subprocess
import sys
import threading

import numpy
import pytest

import shmkey


@pytest.fixture
def mutex(name):
    with shmkey.Mutex.open(name, "q") as guard:
        guard.value = 0
    return shmkey.Mutex.open(name, "q")


def in_thread(call):
    thread = threading.Thread(target=call)
    thread.start()
    return thread


def test_threads_that_share_a_handle_wait_for_each_other_within_with(mutex, names):
    changed = shmkey.Condvar.open(names())

    def take_turns(mine):
        for turn in range(mine, 40, 2):
            with mutex as guard:
                assert changed.wait_for(guard, lambda: guard.value == turn, timeout=60)
                guard.value += 1
            changed.notify_all()

    thread = in_thread(lambda: take_turns(1))
    take_turns(0)
    thread.join()
    assert mutex.lock(timeout=0).value == 40


def test_unlocking_in_another_thread_fails_and_changes_nothing(mutex):
    guard, errors = mutex.lock(), []

    def unlock():
        try:
            guard.unlock()
        except shmkey.NotOwner as error:
            errors.append(error)

    in_thread(unlock).join()
    assert len(errors) == 1
    guard.value = 5
    guard.unlock()
    assert mutex.lock(timeout=0).value == 5


def test_a_handle_is_not_closed_while_it_is_locked(mutex, names):
    lock = shmkey.RwLock.open(names(), 8)
    for handle, guard in ((mutex, mutex.lock()), (lock, lock.read())):
        with pytest.raises(BufferError, match="a lock"):
            handle.close()
        guard.unlock()
        handle.close()
        with pytest.raises(ValueError):
            guard.value


def test_a_guard_that_was_unlocked_gives_no_access(mutex, names):
    guard, changed = mutex.lock(), shmkey.Condvar.open(names())
    view = guard.data
    guard.unlock()
    guard.unlock()
    with pytest.raises(ValueError):
        view[0]
    with mutex:  # another guard of this thread
        for use in (lambda: guard.data, lambda: guard.value, lambda: setattr(guard, "value", 1)):
            with pytest.raises(ValueError):
                use()
        with pytest.raises(shmkey.NotOwner):
            changed.wait(guard, timeout=0)


def test_a_child_can_close_what_its_parent_had_locked(mutex):
    with mutex as guard:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                with pytest.raises(shmkey.NotOwner):
                    guard.unlock()
                mutex.close()
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_value_has_the_size_of_its_type(names):
    pair = shmkey.Mutex.open(names(), 4)
    with pair as guard:
        guard.value = numpy.arange(4, dtype="u1")
        assert guard.value == b"\0\1\2\3"
        guard.value = guard.data
        for wrong, error in ((b"123", ValueError), (b"12345", ValueError), ("text", TypeError), (None, TypeError)):
            with pytest.raises(error):
                guard.value = wrong
        assert guard.value == b"\0\1\2\3"


STORM = """
import random, signal, sys, time, shmkey
mutex, lock, ring = shmkey.Mutex.open(sys.argv[1], "q"), shmkey.RwLock.open(sys.argv[2], "q"), shmkey.Ring.open(sys.argv[3], 4096)
changed = shmkey.Condvar.open(sys.argv[4])

def use():
    with mutex as guard:
        changed.wait(guard, timeout=0.00001)
        guard.value += 1
    with mutex.lock() as guard:
        guard.data[0]
    with lock.write() as guard:
        guard.value += 1
    with lock.read() as guard:
        guard.value
    with ring.reserve(8) as slot:
        slot.data[0] = 1
    with ring.peek() as message:
        message.data[0]

def storm():
    guard = slot = message = None
    try:
        signal.setitimer(signal.ITIMER_REAL, random.random() / 500 + 1e-6)
        while True:
            use()
    except KeyboardInterrupt:
        pass

signal.signal(signal.SIGALRM, signal.default_int_handler)
for _ in range(800):
    storm()
    mutex.lock(timeout=0).unlock()
    lock.write(timeout=0).unlock()
    ring.send(b"x", timeout=0)
    ring.recv(timeout=0)
    try:
        while True:
            ring.recv(timeout=0)
    except BlockingIOError:
        pass
print("free")
"""


def test_ctrl_c_at_any_point_leaves_nothing_locked(names):
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", STORM, *(names() for _ in range(4))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ended.stdout, ended.stderr) == ("free\n", "")
