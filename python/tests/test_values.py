import struct
import threading

import numpy
import pytest

import shmkey


@pytest.mark.parametrize(
    "type, value",
    [
        (4, b"four"),
        ("q", -5),
        ("<2d", (52.5, 13.4)),
        ("4s", b"text"),
        ("f8", 1.5),
        (numpy.dtype("f4"), numpy.float32(1.5)),
        (numpy.dtype("(2,3)i4"), numpy.arange(6, dtype="i4").reshape(2, 3)),
        (numpy.dtype([("id", "i4"), ("place", "f8", 2)], align=True), (7, (1.5, 2.5))),
    ],
)
def test_a_value_of_every_type_is_published(name, type, value):
    if type == "f8":
        type = numpy.float64
    with shmkey.Latest.open(name, type, layout="a value") as latest:
        assert latest.read() is None and latest.version == 0
        latest.publish(value)
        found = shmkey.Latest.open(name, type, layout="a value", read_only=True).read()
        if isinstance(found, numpy.void):
            assert found["id"] == 7 and list(found["place"]) == [1.5, 2.5]
        else:
            assert numpy.array_equal(found, value)


def test_only_a_newer_value_ends_a_wait(name):
    latest = shmkey.Latest.open(name, "q")
    latest.publish(1)
    assert latest.wait() == 1 and latest.seen == 1
    with pytest.raises(BlockingIOError):
        latest.wait(0)
    latest.publish(2)
    latest.publish(3)
    assert latest.wait(5) == 3 and latest.seen == latest.version == 3


def test_the_size_and_the_layout_must_agree(name):
    latest = shmkey.Latest.open(name, "q", layout="a")
    for type, layout in (("q", "b"), ("i", "a")):
        with pytest.raises(shmkey.WrongLayout, match="EPROTO"):
            shmkey.Latest.open(name, type, layout=layout)
    with pytest.raises(ValueError):
        latest.publish_bytes(b"short")
    with pytest.raises(struct.error):
        latest.publish("no number")
    with pytest.raises(TypeError):
        shmkey.Latest.open(name, numpy.dtype(object))


def test_one_handle_publishes(name):
    first, second = (shmkey.Latest.open(name, "q") for _ in range(2))
    first.publish(1)
    with pytest.raises(shmkey.Busy):
        second.publish(2)
    first.close()
    second.publish(2)


def in_four_threads(work):
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_threads_add_up_under_a_mutex(name):
    def add():
        mutex = shmkey.Mutex.open(name, "q")
        for _ in range(500):
            with mutex as guard:
                guard.value += 1

    in_four_threads(add)
    with shmkey.Mutex.open(name, "q") as guard:
        assert guard.value == 2000


def test_one_mutex_object_serves_several_threads(name):
    mutex = shmkey.Mutex.open(name, "q")

    def add():
        for _ in range(500):
            with mutex as guard:
                guard.value += 1

    in_four_threads(add)
    assert mutex.lock().value == 2000


def test_a_lock_is_released_by_with_and_by_dropping_the_guard(name):
    mutex = shmkey.Mutex.open(name, 8)
    with mutex:
        with pytest.raises(shmkey.Deadlock):
            mutex.lock()
    guard = mutex.lock()
    guard.data[0] = 1
    del guard
    with pytest.raises(ZeroDivisionError):
        with mutex.lock(timeout=0) as guard:
            1 / 0
    with pytest.raises(ValueError):
        guard.data
    with mutex.lock(0) as guard:
        assert guard.data[0] == 1


def test_a_view_that_outlives_the_lock_is_an_error(name):
    mutex = shmkey.Mutex.open(name, 8)
    with pytest.raises(BufferError):
        with mutex as guard:
            array = numpy.frombuffer(guard.data, "u1")
    with mutex:  # it was unlocked nevertheless
        pass
    with pytest.raises(BufferError):
        mutex.close()
    assert array[0] == 0
    del array, guard
    mutex.close()


def test_another_thread_cannot_unlock(name):
    mutex = shmkey.Mutex.open(name, 8)
    guard, errors = mutex.lock(), []

    def unlock():
        try:
            guard.unlock()
        except PermissionError as error:
            errors.append(error)

    thread = threading.Thread(target=unlock)
    thread.start()
    thread.join()
    assert len(errors) == 1
    guard.unlock()


def test_readers_share_a_lock_and_a_writer_does_not(name):
    lock = shmkey.RwLock.open(name, "2I")
    with lock.write() as guard:
        guard.value = 10, 20
    other = shmkey.RwLock.open(name, "2I")
    with lock.read() as one, other.read() as two:
        assert one.value == two.value == (10, 20)
        with pytest.raises(TypeError):
            one.value = 1, 2
        with pytest.raises(shmkey.Deadlock):
            lock.write()


def test_a_condition_variable_wakes_a_waiter(names):
    name, condition = names(), names()
    mutex, changed = shmkey.Mutex.open(name, "q"), shmkey.Condvar.open(condition)

    def add():
        with shmkey.Mutex.open(name, "q") as guard:
            guard.value += 1
        shmkey.Condvar.open(condition).notify_one()

    with mutex as guard:
        assert not changed.wait_for(guard, lambda: guard.value > 0, timeout=0.01)
        assert not changed.wait(guard, timeout=0)
        thread = threading.Thread(target=add)
        thread.start()
        assert changed.wait_for(guard, lambda: guard.value > 0)
        guard.value -= 1
    thread.join()
    with pytest.raises(shmkey.NotOwner):
        changed.wait(guard)
    with pytest.raises(TypeError):
        changed.wait(shmkey.RwLock.open(names(), 8).read())


def test_a_semaphore_counts(name):
    with shmkey.Semaphore.open(name, 2) as semaphore:
        semaphore.wait()
        semaphore.wait(timeout=0)
        with pytest.raises(BlockingIOError):
            semaphore.wait(timeout=0)
        with pytest.raises(TimeoutError):
            semaphore.wait(timeout=0.01)
        semaphore.post()
        assert semaphore.value == 1
