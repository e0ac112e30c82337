"""The peers in Python: the roles of tests/c/peer.c, with the same names."""

import struct
import sys
import time

import shmkey

AGES = 50
# The capacity of a ring: room for all messages that are sent before the first one is received.
CAPACITY = 200_000
LONGEST = 16 + 16_384 + 32
MASK = (1 << 64) - 1


class Random:
    """splitmix64."""

    def __init__(self, seed):
        self.state = seed & MASK

    def next(self):
        self.state = (self.state + 0x9E37_79B9_7F4A_7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB) & MASK
        return z ^ (z >> 31)


def mix(seed, number):
    return Random(seed + number * 0x632B_E59B_D9B4_E019).next()


def make_value(seed, number):
    return (number, *(mix(seed + i, number) for i in range(1, 25)))


def make_message(seed, sender, number):
    random = Random(mix(seed ^ sender << 48, number))
    length = random.next()
    if length % 16 == 0:
        size = 0
    elif length % 16 <= 12:
        size = (length >> 8) % 200
    elif length % 16 == 15 and (length >> 40) % 4 == 0:
        size = 16_384 - 32 + (length >> 8) % 64
    else:
        size = (length >> 8) % 3000
    words = [random.next() for _ in range((size + 7) // 8)]
    return struct.pack(f"<{2 + len(words)}Q", sender, number, *words)[: 16 + size]


def wait_for_death():
    print("ready", flush=True)
    while True:
        time.sleep(1000)


def fails(call, error):
    try:
        call()
    except error:
        return
    raise AssertionError(f"it did not fail with {error.__name__}")


class Peer:
    def __init__(self, name, seed, count, number):
        self.name, self.seed, self.count, self.number = name, seed, count, number

    def own(self, what):
        return f"{self.name} {what}"

    def value(self, number):
        return make_value(self.seed, number)

    def message(self, sender, number):
        return make_message(self.seed, sender, number)

    # Mutexes.

    def mutex(self):
        return shmkey.Mutex.open(self.name, "25Q", layout="a value")

    def mutex_count(self, mutex=None):
        mutex = mutex or self.mutex()
        for _ in range(self.count):
            with mutex.lock(AGES) as guard:
                assert not guard.owner_died
                now = guard.value
                assert now[0] == 0 or now == self.value(now[0])
                guard.value = self.value(now[0] + 1)

    def mutex_victim(self):
        guard = self.mutex().lock(AGES)
        self.spoil(guard)

    def spoil(self, guard):
        numbers = guard.data.cast("Q")
        numbers[0] += 1
        numbers[7] = 7
        wait_for_death()

    def mutex_survivor(self):
        mutex = self.mutex()
        with mutex.lock(AGES) as guard:
            self.repair(guard)
        self.mutex_count(mutex)

    def repair(self, guard):
        found = guard.value
        assert guard.owner_died and found != self.value(found[0])
        guard.value = self.value(0)
        guard.mark_consistent()

    # Reader-writer locks.

    def lock(self):
        return shmkey.RwLock.open(self.name, "25Q", layout="a value")

    def lock_count(self, lock=None):
        lock = lock or self.lock()
        for _ in range(self.count):
            with lock.read(AGES) as guard:
                now = guard.value
                assert not guard.owner_died and (now[0] == 0 or now == self.value(now[0]))
            with lock.write(AGES) as guard:
                assert not guard.owner_died
                guard.value = self.value(guard.value[0] + 1)

    def lock_writer_victim(self):
        guard = self.lock().write(AGES)
        self.spoil(guard)

    def lock_reader_victim(self):
        guard = self.lock().read(AGES)
        assert guard.data.readonly
        wait_for_death()

    def lock_survivor(self):
        lock = self.lock()
        with lock.read(AGES) as guard:
            assert guard.owner_died
        with lock.write(AGES) as guard:
            self.repair(guard)
        self.lock_count(lock)

    # Condition variables.

    def condvar(self):
        return shmkey.Condvar.open(self.own("ping"))

    def turns(self):
        mutex, changed = self.mutex(), self.condvar()
        for _ in range(self.count):
            with mutex.lock(AGES) as guard:

                def is_my_turn():
                    return guard.owner_died or guard.value[0] % 2 == self.number

                assert changed.wait_for(guard, is_my_turn, AGES) and not guard.owner_died
                now = guard.value
                assert now[0] == 0 or now == self.value(now[0])
                guard.value = self.value(now[0] + 1)
            changed.notify_one()

    def turns_victim(self):
        mutex, changed = self.mutex(), self.condvar()
        with mutex.lock(AGES) as guard:
            print("ready", flush=True)
            while True:
                changed.wait(guard)

    def turns_survivor(self):
        mutex, changed = self.mutex(), self.condvar()
        for _ in range(min(self.count, 20)):
            with mutex.lock(AGES) as guard:
                guard.mark_consistent()
                changed.notify_one()
                changed.notify_all()
                assert not changed.wait(guard, 0.001)

    # Semaphores, and plain memory.

    def semaphore_first(self):
        self.pass_the_turn(True)

    def semaphore_second(self):
        self.pass_the_turn(False)

    def pass_the_turn(self, first):
        ping = shmkey.Semaphore.open(self.own("ping"))
        pong = shmkey.Semaphore.open(self.own("pong"))
        segment = shmkey.Segment.open(self.own("plain"), 8, create=True)
        with segment.attach() as memory, memory.data.cast("Q") as plain:
            for i in range(self.count):
                here, there = mix(self.seed, i), mix(self.seed + 1, i)
                if first:
                    plain[0] = here
                    ping.post()
                    pong.wait(AGES)
                    assert plain[0] == there
                else:
                    ping.wait(AGES)
                    assert plain[0] == here
                    plain[0] = there
                    pong.post()

    def tokens(self):
        return shmkey.Semaphore.open(self.name, 3)

    def semaphore_share(self, tokens=None):
        tokens = tokens or self.tokens()
        for _ in range(self.count):
            tokens.wait(AGES)
            assert tokens.value <= 2
            tokens.post()

    def semaphore_victim(self):
        never = shmkey.Semaphore.open(self.own("ping"))
        self.tokens().wait(AGES)
        print("ready", flush=True)
        never.wait()

    def semaphore_survivor(self):
        tokens = self.tokens()
        never = shmkey.Semaphore.open(self.own("ping"))
        assert tokens.value == 2
        tokens.wait(AGES)
        tokens.wait(AGES)
        fails(lambda: tokens.wait(0.02), TimeoutError)
        for _ in range(3):
            tokens.post()
        never.post()
        never.wait(AGES)
        self.semaphore_share(tokens)

    # Latest values.

    def latest(self):
        return shmkey.Latest.open(self.name, "25Q", layout="a value")

    def latest_publish(self):
        latest = self.latest()
        for i in range(1, self.count + 1):
            latest.publish(self.value(i))
            if i % 16 == 0:
                time.sleep(0.0001)

    def latest_read(self):
        latest, before = self.latest(), 0
        while latest.seen < self.count:
            found = latest.wait(AGES)
            assert latest.seen > before and found == self.value(latest.seen)
            before = latest.seen

    def latest_publisher_victim(self):
        latest, i = self.latest(), 0
        while True:
            i += 1
            latest.publish(self.value(i))
            if i == self.count:
                print("ready", flush=True)

    def latest_reader_survivor(self):
        latest = self.latest()
        found = latest.read()
        assert found[0] >= self.count and found == self.value(found[0])
        for i in range(1, self.count + 1):
            latest.publish(self.value(found[0] + i))
        assert latest.version == found[0] + self.count

    def latest_reader_victim(self):
        latest = self.latest()
        print("ready", flush=True)
        while True:
            found = latest.wait(AGES)
            assert found == self.value(found[0])

    # Rings.

    def ring(self, many=False):
        return shmkey.Ring.open(self.name, CAPACITY, many_senders=many)

    def send(self, ring, number, first, last):
        """Sends messages, with each of the calls in turn."""
        for i in range(first, last):
            message = self.message(number, i)
            if i % 3 == 0:
                ring.send(message, AGES)
            elif i % 3 == 1:
                with ring.reserve(LONGEST, AGES) as slot:
                    slot.data[: len(message)] = message
                    slot.truncate(len(message))
            else:
                assert ring.send_batch([message], AGES) == 1

    def ring_send(self):
        self.send(self.ring(), self.number, 0, self.count)

    def many_send(self):
        self.send(self.ring(True), self.number, 0, self.count)

    def ring_receive(self):
        incoming = Incoming(self, self.ring())
        incoming.expect(self.count)
        fails(lambda: incoming.ring.peek(AGES), shmkey.Closed)

    def many_receive(self):
        incoming = Incoming(self, self.ring(True))
        incoming.ring.set_keep_waiting(True)
        incoming.expect(self.count)

    def die_sending(self, many):
        ring = self.ring(many)
        self.send(ring, 1, 0, 10)
        slot = ring.reserve(100, AGES)
        assert len(slot.data) == 100
        wait_for_death()

    def ring_sender_victim(self):
        self.die_sending(False)

    def many_victim(self):
        self.die_sending(True)

    def ring_receiver_survivor(self):
        ring = self.ring()
        incoming = Incoming(self, ring)
        incoming.expect(10)
        fails(lambda: ring.peek(AGES), shmkey.PeerDied)
        self.send(ring, self.number, 0, 5)
        incoming.expect(5)

    def ring_receiver_victim(self):
        incoming = Incoming(self, self.ring())
        incoming.expect(1)
        message = incoming.ring.peek(AGES)
        assert message.data.readonly
        wait_for_death()

    def ring_sender_survivor(self):
        ring, sent = self.ring(), 0
        try:
            while True:
                ring.send(self.message(self.number, sent), AGES)
                sent += 1
        except shmkey.PeerDied:
            pass
        incoming = Incoming(self, ring)
        incoming.next[self.number] = 1
        incoming.expect(sent - 1)
        self.send(ring, self.number, sent, sent + 5)
        incoming.expect(5)

    def many_survivor(self):
        ring = self.ring(True)
        ring.begin_sending()
        incoming = Incoming(self, ring)
        for i in range(self.count):
            self.send(ring, self.number, i, i + 1)
            incoming.expect(11 if i == 0 else 1)

    # Broadcasts.

    def broadcast(self):
        return shmkey.Broadcast.open(self.name, CAPACITY)

    def wait_for_subscribers(self, broadcast, number):
        while broadcast.subscribers < number:
            time.sleep(0.001)

    def expect_from_all(self, broadcast, first, last):
        """Receives messages, with each of the calls in turn."""
        for i in range(first, last):
            if i % 3 == 0:
                received = broadcast.recv(AGES)
            elif i % 3 == 1:
                with broadcast.peek(AGES) as message:
                    received = bytes(message)
            else:
                (received,) = broadcast.recv_batch(1, AGES)
            assert received == self.message(0, i)

    def broadcast_publish(self):
        broadcast = self.broadcast()
        broadcast.begin_publishing()
        self.wait_for_subscribers(broadcast, self.number)
        self.send(broadcast, 0, 0, self.count)

    def broadcast_receive(self):
        broadcast = self.broadcast()
        broadcast.subscribe()
        self.expect_from_all(broadcast, 0, self.count)
        fails(lambda: broadcast.peek(AGES), shmkey.Closed)

    def broadcast_publisher_victim(self):
        broadcast = self.broadcast()
        self.send(broadcast, 0, 0, 10)
        slot = broadcast.reserve(100, AGES)
        assert len(slot) == 100
        wait_for_death()

    def broadcast_subscriber_survivor(self):
        broadcast = self.broadcast()
        broadcast.subscribe(from_oldest=True)
        self.expect_from_all(broadcast, 0, 10)
        fails(lambda: broadcast.peek(AGES), shmkey.PeerDied)
        self.send(broadcast, 0, 10, 15)
        self.expect_from_all(broadcast, 10, 15)

    def broadcast_subscriber_victim(self):
        broadcast = self.broadcast()
        broadcast.subscribe()
        self.expect_from_all(broadcast, 0, 1)
        message = broadcast.peek(AGES)
        assert len(message) == len(message.data)
        wait_for_death()

    def broadcast_publisher_survivor(self):
        broadcast = self.broadcast()
        broadcast.begin_publishing()
        self.wait_for_subscribers(broadcast, 1)
        # More messages than there is room for.
        self.send(broadcast, 0, 0, 2000)
        assert broadcast.subscribers == 0


class Incoming:
    """A receiver that knows the next message of each sender."""

    def __init__(self, peer, ring):
        ring.begin_receiving()
        self.peer, self.ring, self.next = peer, ring, [0] * 64

    def expect(self, messages):
        """Receives messages, with each of the calls in turn."""
        i = 0
        while i < messages:
            if i % 3 == 0:
                received = [self.ring.recv(AGES)]
            elif i % 3 == 1:
                with self.ring.peek(AGES) as message:
                    received = [message.data.tobytes()]
            else:
                received = self.ring.recv_batch(min(messages - i, 5), AGES)
            for message in received:
                sender = int.from_bytes(message[:8], "little")
                assert message == self.peer.message(sender, self.next[sender])
                self.next[sender] += 1
            i += len(received)


role, name, *numbers = sys.argv[1:]
getattr(Peer(name, *map(int, numbers)), role.replace(" ", "_"))()
