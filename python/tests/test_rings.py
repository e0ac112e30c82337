import gc
import resource
import threading

import numpy
import pytest

import shmkey


@pytest.fixture
def ring(name):
    with shmkey.Ring.open(name, 4096) as ring:
        yield ring


@pytest.mark.parametrize(
    "message",
    [b"bytes", bytearray(b"bytearray"), memoryview(b"xviewx")[1:5], numpy.arange(5), b"", b"x" * 4096],
)
def test_every_buffer_can_be_sent(ring, message):
    ring.send(message)
    assert ring.recv() == bytes(message)


def test_what_is_no_buffer_is_a_type_error(ring):
    for wrong in ("text", 5, None):
        with pytest.raises(TypeError):
            ring.send(wrong)
    with pytest.raises(BufferError):
        ring.send(memoryview(b"not contiguous")[::2])
    assert ring.used == 0


def test_iteration_ends_when_the_sender_has_released_its_role(ring):
    for i in range(5):
        ring.send(b"%d" % i)
    ring.end_sending()
    assert list(ring) == [b"0", b"1", b"2", b"3", b"4"]
    with pytest.raises(BrokenPipeError):
        ring.recv()


def test_a_message_is_read_in_place(ring):
    ring.send(b"hello")
    with ring.peek() as message:
        assert len(message) == 5 and message.data == b"hello" and message.data.readonly
        data = message.data
    with pytest.raises(ValueError):
        data[0]
    with pytest.raises(BufferError):
        message.data
    with pytest.raises(BlockingIOError):
        ring.recv(timeout=0)


def test_a_message_that_is_not_released_stays_the_next_one(ring):
    ring.send(b"hello")
    message = ring.peek()
    del message
    assert ring.recv() == b"hello"


def test_a_message_with_a_view_is_not_released(ring):
    ring.send(b"hello")
    message = ring.peek()
    view = message.data[1:]
    array = numpy.frombuffer(message.data, "u1")
    with pytest.raises(BufferError):
        message.release()
    del array
    with pytest.raises(BufferError):
        message.release()
    for call in (ring.recv, ring.peek, ring.close, ring.end_receiving):
        with pytest.raises(BufferError):
            call()
    del message
    with pytest.raises(BufferError):  # the view keeps it
        ring.recv()
    assert view == b"ello"
    del view
    assert ring.recv() == b"hello"


def test_a_slot_is_written_in_place(ring):
    with ring.reserve(100) as slot:
        slot.data[:3] = b"abc"
        slot.truncate(3)
    assert ring.recv() == b"abc"
    with pytest.raises(ZeroDivisionError):
        with ring.reserve(100):
            1 / 0
    assert ring.used == 0


def test_a_slot_with_a_view_is_not_committed(ring):
    slot = ring.reserve(8)
    view = numpy.frombuffer(slot.data, "i4")
    view[:] = 1, 2
    for call in (slot.commit, slot.abort, ring.close, ring.end_sending, lambda: ring.send(b"x")):
        with pytest.raises(BufferError):
            call()
    del view
    slot.commit()
    slot.commit()
    slot.abort()
    assert list(numpy.frombuffer(ring.recv(), "i4")) == [1, 2]


def test_a_slot_that_is_dropped_is_given_up(ring):
    slot = ring.reserve(8)
    del slot
    gc.collect()
    ring.send(b"next")
    assert ring.recv() == b"next"


def test_batches(ring):
    assert ring.send_batch([b"a", bytearray(b"b"), b"c"]) == 3
    assert ring.send_batch([]) == 0
    assert ring.recv_batch(2) == [b"a", b"b"]
    assert ring.recv_batch(10) == [b"c"]
    with pytest.raises(TimeoutError):
        ring.recv_batch(10, timeout=0.01)
    assert ring.send_batch([b"x" * 1000] * 10, timeout=0) == 4
    with pytest.raises(TypeError):
        ring.send_batch([b"a", "text"])


def test_a_batch_waits_until_all_messages_are_sent(ring):
    received = []
    thread = threading.Thread(target=lambda: received.extend(ring))
    thread.start()
    assert ring.send_batch([b"x" * 1000] * 100) == 100
    assert ring.send_batch([b"y" * 1000] * 100, timeout=60) == 100
    assert ring.send_batch([b"fits", b"does not fit" * 1000, b"fits"], timeout=60) == 1
    ring.end_sending()
    thread.join()
    assert len(received) == 201
    ring.begin_sending()
    assert ring.send_batch([b"z" * 1000] * 10, timeout=0.01) == 4


def test_a_message_is_received_into_a_buffer(ring):
    ring.send(b"hello")
    with pytest.raises(shmkey.TooLong):
        ring.recv_into(bytearray(3))
    buffer = bytearray(10)
    assert ring.recv_into(buffer) == 5
    assert buffer[:5] == b"hello"
    with pytest.raises((TypeError, BufferError)):
        ring.recv_into(b"read only")


def test_the_oldest_messages_are_dropped(name):
    with shmkey.Ring.open(name, 256, drop_oldest=True) as ring:
        ring.send(b"first")
        message = ring.peek()
        for i in range(20):
            ring.send(b"%d" % i)
        with pytest.raises(shmkey.Overtaken):
            message.release()
        assert ring.dropped > 0
        received = ring.recv_batch(100)
        assert received[-1] == b"19" and len(received) + ring.dropped == 21


def test_a_closed_handle_is_a_value_error(name):
    ring = shmkey.Ring.open(name, 64)
    ring.close()
    ring.close()
    assert ring.closed
    for call in (ring.recv, lambda: ring.send(b"x"), ring.fileno, ring.canceller, lambda: ring.id):
        with pytest.raises(ValueError):
            call()


def test_errors_say_what_differs(name, names):
    with pytest.raises(shmkey.NotFound):
        shmkey.Ring.open(name)
    with pytest.raises(shmkey.NotFound):
        shmkey.Ring.open(name, 64, create=False)
    with shmkey.Ring.open(name, 64) as ring:
        with pytest.raises(shmkey.WrongLayout, match="EPROTO"):
            shmkey.Ring.open(name, 128)
        with pytest.raises(shmkey.WrongKind, match="EPROTOTYPE"):
            shmkey.Semaphore.open(name)
        with pytest.raises(shmkey.TooLong):
            ring.send(b"x" * 65)
        with shmkey.Ring.open(name) as other:
            assert other.capacity == 64
            ring.send(b"mine")
            with pytest.raises(shmkey.Busy):
                other.send(b"theirs")
        ring.remove()
        assert ring.is_removed()


def test_many_senders(name):
    rings = [shmkey.Ring.open(name, 4096, many_senders=True) for _ in range(3)]
    for ring in rings:
        ring.send(b"from each")
    assert rings[0].recv_batch(10) == [b"from each"] * 3
    for ring in rings:
        ring.close()


def test_a_ring_lies_in_a_segment_or_belongs_to_a_file(names, tmp_path):
    segment = shmkey.Segment.open(names(), 16384, create=True)
    with shmkey.Ring.open(shmkey.Within(segment, 4096), 4096) as ring:
        ring.send(b"x")
        assert ring.segment == segment
    with shmkey.Ring.open(shmkey.File(tmp_path, "r"), 64) as ring:
        ring.send(b"y")
        assert shmkey.Ring.open(shmkey.File(tmp_path, "r")).recv() == b"y"
        ring.remove()


def test_every_subscriber_receives_all(name):
    news = shmkey.Broadcast.open(name, 4096)
    readers = [shmkey.Broadcast.open(name) for _ in range(2)]
    with pytest.raises(shmkey.NotOwner):
        readers[0].recv(0)
    for reader in readers:
        reader.subscribe()
    assert news.subscribers == 2
    news.publish(b"rain")
    assert news.publish_batch([b"at", b"noon"]) == 2
    with readers[0].peek() as message:
        assert bytes(message) == b"rain"
    news.end_publishing()
    assert list(readers[0]) == [b"at", b"noon"]
    assert readers[1].recv_batch(5) == [b"rain", b"at", b"noon"]
    readers[1].unsubscribe()
    assert news.subscribers == 1


def test_a_subscriber_of_a_lossy_broadcast_counts_what_it_missed(name):
    news = shmkey.Broadcast.open(name, 256, lossy=True)
    with shmkey.Broadcast.open(name, 256, lossy=True, read_only=True) as reader:
        reader.subscribe()
        for i in range(50):
            news.publish(b"%d" % i)
        received = reader.recv_batch(100)
        assert received[-1] == b"49"
        assert reader.missed == 50 - len(received) > 0
    with shmkey.Broadcast.open(name) as reader:
        reader.subscribe(from_oldest=True)
        assert reader.recv_batch(100) == received


def test_no_memory_leaks(name):
    def use(times):
        for _ in range(times):
            with shmkey.Ring.open(name, 4096) as ring:
                for _ in range(100):
                    with ring.reserve(10) as slot:
                        slot.data[0] = 1
                    with ring.peek() as message:
                        bytes(message)
                    ring.send(bytearray(10))
                    ring.recv()
                    with pytest.raises(shmkey.WouldBlock):
                        ring.recv(0)
                ring.fileno()

    use(5)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    use(100)
    # In KiB. 10,000 messages that leak 100 bytes would be 1000.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500
