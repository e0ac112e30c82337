"""Measures the ring beside what Python programs use otherwise. Run it with the package installed: python bench.py

A row of a package that is not installed is left out.
"""

import multiprocessing
import os
import statistics
import sys
import time
from multiprocessing import shared_memory

import shmkey
from shmkey import _core

MESSAGE = b"x" * 64
ROUNDS = 9


def nanoseconds(call, count):
    """The median time of a call in several rounds."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter_ns()
        call(count)
        times.append((time.perf_counter_ns() - start) / count)
    return statistics.median(times)


def row(name, value):
    print(f"{name:<58} {value:>10.0f} ns", flush=True)
    return value


def one_process():
    """What a call costs, without a process to wait for."""
    name = f"bench {os.getpid()}"
    ring = shmkey.Ring.open(name, 1 << 20)

    def nothing(count):
        for _ in range(count):
            _core.nothing(MESSAGE)

    def send(count):
        for _ in range(count):
            ring.send(MESSAGE)

    def recv(count):
        for _ in range(count):
            ring.recv()

    empty = row("an empty extension call", nanoseconds(nothing, 100_000))
    sent, received = [], []
    for _ in range(ROUNDS):
        for call, times in ((send, sent), (recv, received)):
            start = time.perf_counter_ns()
            call(8000)
            times.append((time.perf_counter_ns() - start) / 8000)
    row("ring.send, 64 B, above an empty call", statistics.median(sent) - empty)
    row("ring.recv, 64 B, above an empty call", statistics.median(received) - empty)

    def batches(count):
        for _ in range(count // 100):
            ring.send_batch([MESSAGE] * 100)
            ring.recv_batch(100)

    row("send_batch and recv_batch, 64 B, per message", nanoseconds(batches, 10_000))
    ring.remove()
    ring.close()


def stream(make):
    """The time of a message in a stream between two processes, and of a round trip."""
    context = multiprocessing.get_context("fork")
    send, recv, close = make(context)
    back, answer, close_back = make(context)
    count = 20_000

    def child():
        for _ in range(count):
            recv()
        back(MESSAGE)
        for _ in range(count // 10):
            back(recv())

    process = context.Process(target=child)
    process.start()
    start = time.perf_counter_ns()
    for _ in range(count):
        send(MESSAGE)
    answer()
    streamed = (time.perf_counter_ns() - start) / count
    start = time.perf_counter_ns()
    for _ in range(count // 10):
        send(MESSAGE)
        answer()
    trip = (time.perf_counter_ns() - start) / (count // 10)
    process.join()
    close()
    close_back()
    return streamed, trip


_number = iter(range(1000))


def ring(context):
    handle = shmkey.Ring.open(f"bench {os.getpid()} {next(_number)}", 1 << 16)
    return handle.send, handle.recv, handle.remove


def queue(context):
    made = context.Queue()
    return made.put, made.get, made.close


def simple_queue(context):
    made = context.SimpleQueue()
    return made.put, made.get, made.close


def pipe(context):
    reader, writer = context.Pipe(duplex=False)
    return writer.send_bytes, reader.recv_bytes, writer.close


def shared_memory_and_semaphores(context):
    memory = shared_memory.SharedMemory(create=True, size=64)
    full, empty = context.Semaphore(0), context.Semaphore(1)

    def send(message):
        empty.acquire()
        memory.buf[:64] = message
        full.release()

    def recv():
        full.acquire()
        message = bytes(memory.buf[:64])
        empty.release()
        return message

    return send, recv, memory.unlink


def sysv(context):
    import sysv_ipc

    made = sysv_ipc.MessageQueue(None, sysv_ipc.IPC_CREX)
    return made.send, lambda: made.receive()[0], made.remove


def sysv_and_semaphores(context):
    import sysv_ipc

    memory = sysv_ipc.SharedMemory(None, sysv_ipc.IPC_CREX, size=64)
    full = sysv_ipc.Semaphore(None, sysv_ipc.IPC_CREX, initial_value=0)
    empty = sysv_ipc.Semaphore(None, sysv_ipc.IPC_CREX, initial_value=1)

    def send(message):
        empty.acquire()
        memory.write(message)
        full.release()

    def recv():
        full.acquire()
        message = memory.read(64)
        empty.release()
        return message

    def close():
        for made in (memory, full, empty):
            made.remove()

    return send, recv, close


PEERS = {
    "shmkey.Ring": ring,
    "multiprocessing.Queue": queue,
    "multiprocessing.SimpleQueue": simple_queue,
    "multiprocessing.Pipe": pipe,
    "shared_memory, two multiprocessing semaphores": shared_memory_and_semaphores,
    "sysv_ipc.MessageQueue": sysv,
    "sysv_ipc.SharedMemory, two sysv_ipc semaphores": sysv_and_semaphores,
}


def iceoryx2_in_process():
    """iceoryx2 in one process: a copy of 64 B sent and received, as `one_process` does."""
    import ctypes

    import iceoryx2

    iceoryx2.set_log_level(iceoryx2.LogLevel.Error)
    node = iceoryx2.NodeBuilder.new().create(iceoryx2.ServiceType.Ipc)
    name = iceoryx2.ServiceName.new(f"bench {os.getpid()}")
    builder = node.service_builder(name).publish_subscribe(iceoryx2.Slice[ctypes.c_uint8])
    service = builder.open_or_create()
    publisher = service.publisher_builder().initial_max_slice_len(64).create()
    subscriber = service.subscriber_builder().create()

    def both(count):
        for _ in range(count):
            sample = publisher.loan_slice_uninit(64)
            ctypes.memmove(sample.payload_ptr, MESSAGE, 64)
            sample.assume_init().send()
            received = subscriber.receive()
            ctypes.string_at(received.payload_ptr, 64)
            received.delete()

    row("iceoryx2 (Python), 64 B, send and receive", nanoseconds(both, 5_000))


def main():
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} processors")
    one_process()
    for name, make in PEERS.items():
        try:
            results = [stream(make) for _ in range(3)]
        except ImportError:
            continue
        row(f"{name}: stream, 64 B, per message", statistics.median(result[0] for result in results))
        row(f"{name}: round trip, 64 B", statistics.median(result[1] for result in results))
    try:
        iceoryx2_in_process()
    except ImportError:
        pass


main()
