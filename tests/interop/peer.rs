//! The peers in Rust: the roles of `tests/c/peer.c`, with the same names.

use crate::support::{AGES, Random, say};
use shmkey::{
    Broadcast, BroadcastPublisher, Condvar, Error, ErrorKind, Key, Latest, Mutex, Place, Receiver,
    Ring, RwLock, Segment, Semaphore, Sender, Subscriber,
};
use std::{env, process::ExitCode, time::Duration};

/// A side of an object: what it does, and with which data.
struct Peer {
    role: String,
    name: String,
    seed: u64,
    count: u64,
    number: u64,
}

/// The capacity of a ring: room for all messages that are sent before the first one is received.
const CAPACITY: usize = 200_000;
const LONGEST: usize = 16 + 16_384 + 32;

type Value = [u64; 25];
type Outcome = Result<(), Error>;

fn mix(seed: u64, number: u64) -> u64 {
    Random::seeded(seed.wrapping_add(number.wrapping_mul(0x632b_e59b_d9b4_e019))).next()
}

fn value(seed: u64, number: u64) -> Value {
    std::array::from_fn(|i| match i {
        0 => number,
        _ => mix(seed.wrapping_add(i as u64), number),
    })
}

fn message(seed: u64, sender: u64, number: u64) -> Vec<u8> {
    let mut random = Random::seeded(mix(seed ^ sender << 48, number));
    let length = random.next();
    let len = match length % 16 {
        0 => 0,
        1..=12 => (length >> 8) % 200,
        15 if (length >> 40).is_multiple_of(4) => 16_384 - 32 + (length >> 8) % 64,
        _ => (length >> 8) % 3000,
    } as usize;
    let mut bytes = [sender.to_le_bytes(), number.to_le_bytes()].concat();
    while bytes.len() < 16 + len {
        bytes.extend(random.next().to_le_bytes());
    }
    bytes.truncate(16 + len);
    bytes
}

fn wait_for_death() -> ! {
    say("ready");
    loop {
        std::thread::park();
    }
}

/// Acts as a peer, and returns the status of this process.
pub fn main(role: String) -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    let [_, name, seed, count, number] = &arguments[..] else {
        return ExitCode::from(2);
    };
    let peer = Peer {
        role,
        name: name.clone(),
        seed: seed.parse().unwrap(),
        count: count.parse().unwrap(),
        number: number.parse().unwrap(),
    };
    match peer.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

impl Peer {
    fn run(&self) -> Outcome {
        match self.role.as_str() {
            "mutex count" => self.count_up(&self.mutex()?),
            "mutex victim" => self.die_with_the_lock(),
            "mutex survivor" => self.repair_the_mutex(),
            "lock count" => self.read_and_count_up(&self.lock()?),
            "lock writer victim" => self.die_writing(),
            "lock reader victim" => self.die_reading_the_lock(),
            "lock survivor" => self.repair_the_lock(),
            "turns" => self.take_turns(),
            "turns victim" => self.die_before_its_turn(),
            "turns survivor" => self.notify_the_dead(),
            "semaphore first" => self.pass_the_turn(true),
            "semaphore second" => self.pass_the_turn(false),
            "semaphore share" => self.share(),
            "semaphore victim" => self.die_waiting(),
            "semaphore survivor" => self.share_with_the_dead(),
            "latest publish" => self.publish(),
            "latest read" => self.read(),
            "latest publisher victim" => self.die_publishing(),
            "latest reader survivor" => self.publish_next(),
            "latest reader victim" => self.die_reading(),
            "ring send" => self.send_all(false),
            "ring receive" => self.receive_all(false),
            "ring sender victim" => self.die_sending(false),
            "ring receiver survivor" => self.receive_from_the_dead(),
            "ring receiver victim" => self.die_receiving(),
            "ring sender survivor" => self.send_to_the_dead(),
            "many send" => self.send_all(true),
            "many receive" => self.receive_all(true),
            "many victim" => self.die_sending(true),
            "many survivor" => self.send_and_receive(),
            "broadcast publish" => self.broadcast_all(),
            "broadcast receive" => self.subscribe_all(),
            "broadcast publisher victim" => self.die_broadcasting(),
            "broadcast subscriber survivor" => self.subscribe_to_the_dead(),
            "broadcast subscriber victim" => self.die_subscribing(),
            "broadcast publisher survivor" => self.broadcast_to_the_dead(),
            other => panic!("there is no role {other}"),
        }
    }

    fn own(&self, what: &str) -> String {
        format!("{} {what}", self.name)
    }

    fn mutex(&self) -> Result<Mutex<Value>, Error> {
        Mutex::open(Place::named(&self.name).layout("a value"), [0; 25])
    }

    fn count_up(&self, mutex: &Mutex<Value>) -> Outcome {
        for _ in 0..self.count {
            let mut guard = mutex.lock_timeout(AGES)?;
            assert!(!guard.owner_died());
            let now = guard.get();
            assert!(now[0] == 0 || now == value(self.seed, now[0]));
            guard.set(value(self.seed, now[0] + 1));
        }
        Ok(())
    }

    fn die_with_the_lock(&self) -> Outcome {
        let mutex = self.mutex()?;
        let mut guard = mutex.lock_timeout(AGES)?;
        guard.update(|value| {
            value[0] += 1;
            value[7] = 7;
        });
        wait_for_death()
    }

    fn repair_the_mutex(&self) -> Outcome {
        let mutex = self.mutex()?;
        let mut guard = mutex.lock_timeout(AGES)?;
        let found = guard.get();
        assert!(guard.owner_died() && found != value(self.seed, found[0]));
        guard.set(value(self.seed, 0));
        guard.mark_consistent();
        drop(guard);
        self.count_up(&mutex)
    }

    fn lock(&self) -> Result<RwLock<Value>, Error> {
        RwLock::open(Place::named(&self.name).layout("a value"), [0; 25])
    }

    fn read_and_count_up(&self, lock: &RwLock<Value>) -> Outcome {
        for _ in 0..self.count {
            let guard = lock.read_timeout(AGES)?;
            let now = guard.get();
            assert!(!guard.owner_died() && (now[0] == 0 || now == value(self.seed, now[0])));
            drop(guard);
            let mut guard = lock.write_timeout(AGES)?;
            assert!(!guard.owner_died());
            let now = guard.get();
            guard.set(value(self.seed, now[0] + 1));
        }
        Ok(())
    }

    fn die_writing(&self) -> Outcome {
        let lock = self.lock()?;
        let mut guard = lock.write_timeout(AGES)?;
        guard.update(|value| {
            value[0] += 1;
            value[7] = 7;
        });
        wait_for_death()
    }

    fn die_reading_the_lock(&self) -> Outcome {
        let lock = self.lock()?;
        let _guard = lock.read_timeout(AGES)?;
        wait_for_death()
    }

    fn repair_the_lock(&self) -> Outcome {
        let lock = self.lock()?;
        assert!(lock.read_timeout(AGES)?.owner_died());
        let mut guard = lock.write_timeout(AGES)?;
        let found = guard.get();
        assert!(guard.owner_died() && found != value(self.seed, found[0]));
        guard.set(value(self.seed, 0));
        guard.mark_consistent();
        drop(guard);
        self.read_and_count_up(&lock)
    }

    fn condvar(&self) -> Result<Condvar, Error> {
        Condvar::open(self.own("ping").as_str())
    }

    fn take_turns(&self) -> Outcome {
        let (mutex, changed) = (self.mutex()?, self.condvar()?);
        for _ in 0..self.count {
            let guard = mutex.lock_timeout(AGES)?;
            let (mut guard, result) = changed.wait_timeout_while(guard, AGES, |value| {
                !value.owner_died() && value.get()[0] % 2 != self.number
            })?;
            assert!(!result.timed_out() && !guard.owner_died());
            let now = guard.get();
            assert!(now[0] == 0 || now == value(self.seed, now[0]));
            guard.set(value(self.seed, now[0] + 1));
            drop(guard);
            changed.notify_one();
        }
        Ok(())
    }

    fn die_before_its_turn(&self) -> Outcome {
        let (mutex, changed) = (self.mutex()?, self.condvar()?);
        let mut guard = mutex.lock_timeout(AGES)?;
        say("ready");
        loop {
            guard = changed.wait(guard)?;
        }
    }

    fn notify_the_dead(&self) -> Outcome {
        let (mutex, changed) = (self.mutex()?, self.condvar()?);
        for _ in 0..self.count.min(20) {
            let mut guard = mutex.lock_timeout(AGES)?;
            guard.mark_consistent();
            changed.notify_one();
            changed.notify_all();
            let (_guard, result) = changed.wait_timeout(guard, Duration::from_millis(1))?;
            assert!(result.timed_out());
        }
        Ok(())
    }

    fn pass_the_turn(&self, first: bool) -> Outcome {
        let ping = Semaphore::open(self.own("ping").as_str(), 0)?;
        let pong = Semaphore::open(self.own("pong").as_str(), 0)?;
        let plain = Segment::options().create(true).size(8);
        let plain = plain.open(Key::from_name(self.own("plain"))?)?.attach()?;
        let read = || {
            let mut bytes = [0; 8];
            plain
                .read_at(0, &mut bytes)
                .map(|()| u64::from_ne_bytes(bytes))
        };
        for i in 0..self.count {
            let (here, there) = (mix(self.seed, i), mix(self.seed + 1, i));
            if first {
                plain.write_at(0, &here.to_ne_bytes())?;
                ping.post()?;
                pong.wait_timeout(AGES)?;
                assert_eq!(read()?, there);
            } else {
                ping.wait_timeout(AGES)?;
                assert_eq!(read()?, here);
                plain.write_at(0, &there.to_ne_bytes())?;
                pong.post()?;
            }
        }
        Ok(())
    }

    fn tokens(&self) -> Result<Semaphore, Error> {
        Semaphore::open(self.name.as_str(), 3)
    }

    fn share(&self) -> Outcome {
        let tokens = self.tokens()?;
        for _ in 0..self.count {
            tokens.wait_timeout(AGES)?;
            assert!(tokens.value() <= 2);
            tokens.post()?;
        }
        Ok(())
    }

    fn die_waiting(&self) -> Outcome {
        let never = Semaphore::open(self.own("ping").as_str(), 0)?;
        self.tokens()?.wait_timeout(AGES)?;
        say("ready");
        never.wait()
    }

    fn share_with_the_dead(&self) -> Outcome {
        let tokens = self.tokens()?;
        let never = Semaphore::open(self.own("ping").as_str(), 0)?;
        assert_eq!(tokens.value(), 2);
        tokens.wait_timeout(AGES)?;
        tokens.wait_timeout(AGES)?;
        let refused = tokens.wait_timeout(Duration::from_millis(20)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::TimedOut);
        for _ in 0..3 {
            tokens.post()?;
        }
        never.post()?;
        never.wait_timeout(AGES)?;
        self.share()
    }

    fn latest(&self) -> Result<Latest<Value>, Error> {
        Latest::open(Place::named(&self.name).layout("a value"))
    }

    fn publish(&self) -> Outcome {
        let latest = self.latest()?;
        let mut publisher = latest.publisher()?;
        for i in 1..=self.count {
            publisher.publish(value(self.seed, i))?;
            if i % 16 == 0 {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        Ok(())
    }

    fn read(&self) -> Outcome {
        let latest = self.latest()?;
        let (mut seen, mut before) = (0, 0);
        while seen < self.count {
            let found = latest.wait_newer_timeout(&mut seen, AGES)?;
            assert!(seen > before && found == value(self.seed, seen));
            before = seen;
        }
        Ok(())
    }

    fn die_publishing(&self) -> Outcome {
        let latest = self.latest()?;
        let mut publisher = latest.publisher()?;
        for i in 1.. {
            publisher.publish(value(self.seed, i))?;
            if i == self.count {
                say("ready");
            }
        }
        Ok(())
    }

    fn publish_next(&self) -> Outcome {
        let latest = self.latest()?;
        let found = latest.read()?.expect("there is a value");
        assert!(found[0] >= self.count && found == value(self.seed, found[0]));
        let mut publisher = latest.publisher()?;
        for i in 1..=self.count {
            publisher.publish(value(self.seed, found[0] + i))?;
        }
        assert_eq!(latest.version(), found[0] + self.count);
        Ok(())
    }

    fn die_reading(&self) -> Outcome {
        let latest = self.latest()?;
        let mut seen = 0;
        say("ready");
        loop {
            let found = latest.wait_newer_timeout(&mut seen, AGES)?;
            assert_eq!(found, value(self.seed, found[0]));
        }
    }

    fn ring(&self, many: bool) -> Result<Ring, Error> {
        let options = Ring::options().many_senders(many);
        options.open(self.name.as_str(), CAPACITY)
    }

    /// Sends messages, with each of the calls in turn.
    fn send(&self, sender: &mut Sender, number: u64, first: u64, last: u64) -> Outcome {
        for i in first..last {
            let message = message(self.seed, number, i);
            match i % 3 {
                0 => sender.send_timeout(&message, AGES)?,
                1 => {
                    let mut slot = sender.reserve_timeout(LONGEST, AGES)?;
                    slot.write_at(0, &message)?;
                    slot.truncate(message.len());
                    slot.commit()?;
                }
                _ => assert_eq!(sender.send_batch_timeout(&[&message], AGES)?, 1),
            }
        }
        Ok(())
    }

    fn send_all(&self, many: bool) -> Outcome {
        let mut sender = self.ring(many)?.sender()?;
        self.send(&mut sender, self.number, 0, self.count)
    }

    fn receive_all(&self, many: bool) -> Outcome {
        let mut incoming = Incoming::new(self, self.ring(many)?.receiver()?);
        incoming.more_will_come = many;
        incoming.expect(self.count)?;
        if !many {
            let end = incoming.receiver.peek_timeout(AGES).unwrap_err();
            assert_eq!(end.kind(), ErrorKind::Closed);
        }
        Ok(())
    }

    fn die_sending(&self, many: bool) -> Outcome {
        let mut sender = self.ring(many)?.sender()?;
        self.send(&mut sender, 1, 0, 10)?;
        let _slot = sender.reserve_timeout(100, AGES)?;
        wait_for_death()
    }

    fn receive_from_the_dead(&self) -> Outcome {
        let ring = self.ring(false)?;
        let mut incoming = Incoming::new(self, ring.receiver()?);
        incoming.expect(10)?;
        let end = incoming.receiver.peek_timeout(AGES).unwrap_err();
        assert_eq!(end.kind(), ErrorKind::PeerDied);
        self.send(&mut ring.sender()?, self.number, 0, 5)?;
        incoming.expect(5)
    }

    fn die_receiving(&self) -> Outcome {
        let mut incoming = Incoming::new(self, self.ring(false)?.receiver()?);
        incoming.expect(1)?;
        let _message = incoming.receiver.peek_timeout(AGES)?;
        wait_for_death()
    }

    fn send_to_the_dead(&self) -> Outcome {
        let ring = self.ring(false)?;
        let mut sender = ring.sender()?;
        let mut sent = 0;
        let end = loop {
            let message = message(self.seed, self.number, sent);
            match sender.send_timeout(&message, AGES) {
                Ok(()) => sent += 1,
                Err(end) => break end,
            }
        };
        assert_eq!(end.kind(), ErrorKind::PeerDied);
        let mut incoming = Incoming::new(self, ring.receiver()?);
        incoming.next[self.number as usize] = 1;
        incoming.expect(sent - 1)?;
        self.send(&mut sender, self.number, sent, sent + 5)?;
        incoming.expect(5)
    }

    fn send_and_receive(&self) -> Outcome {
        let ring = self.ring(true)?;
        let mut sender = ring.sender()?;
        let mut incoming = Incoming::new(self, ring.receiver()?);
        for i in 0..self.count {
            self.send(&mut sender, self.number, i, i + 1)?;
            incoming.expect(if i == 0 { 11 } else { 1 })?;
        }
        Ok(())
    }
}

impl Peer {
    fn broadcast(&self) -> Result<Broadcast, Error> {
        Broadcast::open(self.name.as_str(), CAPACITY)
    }

    /// Waits until there are this many subscribers.
    fn wait_for_subscribers(&self, broadcast: &Broadcast, number: u64) {
        while (broadcast.subscribers() as u64) < number {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Publishes messages, with each of the calls in turn.
    fn publish_to_all(&self, publisher: &mut BroadcastPublisher, first: u64, last: u64) -> Outcome {
        for i in first..last {
            let message = message(self.seed, 0, i);
            match i % 3 {
                0 => publisher.publish_timeout(&message, AGES)?,
                1 => {
                    let mut slot = publisher.reserve_timeout(LONGEST, AGES)?;
                    slot.write_at(0, &message)?;
                    slot.truncate(message.len());
                    slot.commit()?;
                }
                _ => assert_eq!(publisher.publish_batch_timeout(&[&message], AGES)?, 1),
            }
        }
        Ok(())
    }

    /// Receives messages, with each of the calls in turn.
    fn expect_from_all(&self, subscriber: &mut Subscriber, first: u64, last: u64) -> Outcome {
        let mut buffer = vec![0; LONGEST];
        for i in first..last {
            let len = match i % 3 {
                0 => subscriber.recv_timeout(&mut buffer, AGES)?,
                1 => {
                    let message = subscriber.peek_timeout(AGES)?;
                    let len = message.len();
                    message.read_at(0, &mut buffer[..len])?;
                    message.release()?;
                    len
                }
                _ => {
                    let mut lengths = [0];
                    let received =
                        subscriber.recv_batch_timeout(&mut buffer, &mut lengths, AGES)?;
                    assert_eq!(received, 1);
                    lengths[0]
                }
            };
            assert!(buffer[..len] == message(self.seed, 0, i));
        }
        Ok(())
    }

    fn broadcast_all(&self) -> Outcome {
        let broadcast = self.broadcast()?;
        let mut publisher = broadcast.publisher()?;
        self.wait_for_subscribers(&broadcast, self.number);
        self.publish_to_all(&mut publisher, 0, self.count)
    }

    fn subscribe_all(&self) -> Outcome {
        let mut subscriber = self.broadcast()?.subscribe()?;
        self.expect_from_all(&mut subscriber, 0, self.count)?;
        let end = subscriber.peek_timeout(AGES).unwrap_err();
        assert_eq!(end.kind(), ErrorKind::Closed);
        Ok(())
    }

    fn die_broadcasting(&self) -> Outcome {
        let mut publisher = self.broadcast()?.publisher()?;
        self.publish_to_all(&mut publisher, 0, 10)?;
        let _slot = publisher.reserve_timeout(100, AGES)?;
        wait_for_death()
    }

    fn subscribe_to_the_dead(&self) -> Outcome {
        let broadcast = self.broadcast()?;
        let mut subscriber = broadcast.subscribe_from_oldest()?;
        self.expect_from_all(&mut subscriber, 0, 10)?;
        let end = subscriber.peek_timeout(AGES).unwrap_err();
        assert_eq!(end.kind(), ErrorKind::PeerDied);
        self.publish_to_all(&mut broadcast.publisher()?, 10, 15)?;
        self.expect_from_all(&mut subscriber, 10, 15)
    }

    fn die_subscribing(&self) -> Outcome {
        let mut subscriber = self.broadcast()?.subscribe()?;
        self.expect_from_all(&mut subscriber, 0, 1)?;
        let _message = subscriber.peek_timeout(AGES)?;
        wait_for_death()
    }

    fn broadcast_to_the_dead(&self) -> Outcome {
        let broadcast = self.broadcast()?;
        let mut publisher = broadcast.publisher()?;
        self.wait_for_subscribers(&broadcast, 1);
        // More messages than there is room for.
        self.publish_to_all(&mut publisher, 0, 2000)?;
        assert_eq!(broadcast.subscribers(), 0);
        Ok(())
    }
}

/// A receiver that knows the next message of each sender.
struct Incoming<'a> {
    peer: &'a Peer,
    receiver: Receiver,
    next: [u64; 64],
    buffer: Vec<u8>,
    /// Whether other senders will come when all senders have ended.
    more_will_come: bool,
}

impl Incoming<'_> {
    fn new(peer: &Peer, receiver: Receiver) -> Incoming<'_> {
        Incoming {
            peer,
            receiver,
            next: [0; 64],
            buffer: vec![0; CAPACITY],
            more_will_come: false,
        }
    }

    fn wait_for_a_message(&mut self) {
        while self.more_will_come {
            match self.receiver.peek_timeout(AGES) {
                Ok(_) => break,
                Err(end) => assert_eq!(end.kind(), ErrorKind::Closed),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Receives messages, with each of the calls in turn.
    fn expect(&mut self, messages: u64) -> Outcome {
        let mut i = 0;
        while i < messages {
            self.wait_for_a_message();
            let mut lengths = [0; 5];
            let received = match i % 3 {
                0 => {
                    lengths[0] = self.receiver.recv_timeout(&mut self.buffer, AGES)?;
                    1
                }
                1 => {
                    let message = self.receiver.peek_timeout(AGES)?;
                    lengths[0] = message.len();
                    message.read_at(0, &mut self.buffer[..lengths[0]])?;
                    message.release()?;
                    1
                }
                _ => {
                    let wanted = (messages - i).min(5) as usize;
                    let lengths = &mut lengths[..wanted];
                    self.receiver
                        .recv_batch_timeout(&mut self.buffer, lengths, AGES)?
                }
            };
            let mut at = 0;
            for &len in &lengths[..received] {
                let bytes = &self.buffer[at..at + len];
                let sender = u64::from_le_bytes(bytes[..8].try_into().unwrap());
                let next = &mut self.next[sender as usize];
                assert!(bytes == message(self.peer.seed, sender, *next));
                *next += 1;
                at += len;
            }
            i += received as u64;
        }
        Ok(())
    }
}
