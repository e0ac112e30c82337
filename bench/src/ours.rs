//! The objects of shmkey behind the traits of their peers, and their fast paths.

use crate::{
    latest::{self, Board, Value},
    locks::Lock,
    nameless::nameless,
    peers::{self, Channel, eventfd::poll, in_batches},
    processes::Failure,
};
use std::{array, hint, os::fd::AsRawFd};

/// A ring for many senders or one. Its ends wait as the library does, or try again and again.
pub struct Ring<const WAITS: bool, const MANY: bool>(shmkey::Ring);

impl<const WAITS: bool, const MANY: bool> Channel for Ring<WAITS, MANY> {
    type Sender<'a> = Sender<WAITS>;
    type Receiver<'a> = Receiver<WAITS>;

    fn new(_: usize, capacity: usize) -> Result<Self, Failure> {
        let options = shmkey::Ring::options().many_senders(MANY);
        let open = |name: &str| options.open(name, capacity);
        Ok(Ring(nameless(open, shmkey::Ring::remove)?))
    }
    fn sender(&self) -> Sender<WAITS> {
        Sender(self.0.sender().expect("it accepts another sender"))
    }
    fn receiver(&self) -> Receiver<WAITS> {
        Receiver(self.0.receiver().expect("there is one receiver"))
    }
}

pub struct Sender<const WAITS: bool>(shmkey::Sender);
pub struct Receiver<const WAITS: bool>(shmkey::Receiver);

impl<const WAITS: bool> peers::Sender for Sender<WAITS> {
    #[inline]
    fn send(&mut self, message: &[u8]) {
        if WAITS {
            self.0.send(message).expect("the receiver lives");
        } else {
            again(|| self.0.try_send(message));
        }
    }
}

impl<const WAITS: bool> peers::Receiver for Receiver<WAITS> {
    #[inline]
    fn recv(&mut self, message: &mut [u8]) {
        let len = if WAITS {
            self.0.recv(message).expect("the sender lives")
        } else {
            again(|| self.0.try_recv(message))
        };
        debug_assert_eq!(len, message.len());
    }
}

/// A ring whose messages are sent and received this many at a time.
pub struct Batches<const MESSAGES: usize>(OneSender);

type OneSender = Ring<true, false>;

pub struct BatchSender<const MESSAGES: usize>(shmkey::Sender);
pub struct BatchReceiver<const MESSAGES: usize>(shmkey::Receiver);

impl<const MESSAGES: usize> Channel for Batches<MESSAGES> {
    type Sender<'a> = BatchSender<MESSAGES>;
    type Receiver<'a> = BatchReceiver<MESSAGES>;

    fn new(size: usize, capacity: usize) -> Result<Self, Failure> {
        Ok(Batches(OneSender::new(size, capacity)?))
    }
    fn sender(&self) -> BatchSender<MESSAGES> {
        BatchSender(self.0.sender().0)
    }
    fn receiver(&self) -> BatchReceiver<MESSAGES> {
        BatchReceiver(self.0.receiver().0)
    }
}

impl<const MESSAGES: usize> peers::Sender for BatchSender<MESSAGES> {
    #[inline]
    fn send(&mut self, message: &[u8]) {
        self.0.send(message).expect("the receiver lives");
    }

    #[inline]
    fn send_many(&mut self, message: &[u8], count: u64) {
        let batch = [message; MESSAGES];
        in_batches(count, MESSAGES, |now| {
            let sent = self.0.send_batch(&batch[..now]);
            sent.expect("the receiver lives")
        });
    }
}

impl<const MESSAGES: usize> peers::Receiver for BatchReceiver<MESSAGES> {
    #[inline]
    fn recv(&mut self, message: &mut [u8]) {
        self.0.recv(message).expect("the sender lives");
    }

    #[inline]
    fn recv_many(&mut self, message: &mut [u8], count: u64) {
        let mut batch = message.repeat(MESSAGES);
        let mut lengths = [0; MESSAGES];
        in_batches(count, MESSAGES, |now| {
            let received = self.0.recv_batch(&mut batch, &mut lengths[..now]);
            received.expect("the sender lives")
        });
    }
}

/// A ring in which nothing is copied: messages are reserved and committed, and peeked at and released.
pub struct InPlace(shmkey::Ring);

pub struct InPlaceSender(shmkey::Sender);
pub struct InPlaceReceiver(shmkey::Receiver);

impl Channel for InPlace {
    type Sender<'a> = InPlaceSender;
    type Receiver<'a> = InPlaceReceiver;

    fn new(size: usize, capacity: usize) -> Result<Self, Failure> {
        Ok(InPlace(Ring::<true, false>::new(size, capacity)?.0))
    }
    fn sender(&self) -> InPlaceSender {
        InPlaceSender(self.0.sender().expect("there is one sender"))
    }
    fn receiver(&self) -> InPlaceReceiver {
        InPlaceReceiver(self.0.receiver().expect("there is one receiver"))
    }
}

impl peers::Sender for InPlaceSender {
    #[inline]
    fn send(&mut self, message: &[u8]) {
        let slot = self.0.reserve(message.len()).expect("the receiver lives");
        slot.commit().expect("this is the sender");
    }
}

impl peers::Receiver for InPlaceReceiver {
    #[inline]
    fn recv(&mut self, message: &mut [u8]) {
        let received = self.0.peek().expect("the sender lives");
        debug_assert_eq!(received.len(), message.len());
        received.release().expect("this is the receiver");
    }
}

/// A ring whose receiver waits by its descriptor.
pub struct ByDescriptor(shmkey::Ring);

pub struct PollingReceiver(shmkey::Receiver);

impl Channel for ByDescriptor {
    type Sender<'a> = Sender<true>;
    type Receiver<'a> = PollingReceiver;

    fn new(size: usize, capacity: usize) -> Result<Self, Failure> {
        Ok(ByDescriptor(Ring::<true, false>::new(size, capacity)?.0))
    }
    fn sender(&self) -> Sender<true> {
        Sender(self.0.sender().expect("there is one sender"))
    }
    fn receiver(&self) -> PollingReceiver {
        PollingReceiver(self.0.receiver().expect("there is one receiver"))
    }
}

impl peers::Receiver for PollingReceiver {
    #[inline]
    fn recv(&mut self, message: &mut [u8]) {
        let fd = self.0.fd().expect("it can be made").as_raw_fd();
        loop {
            match self.0.try_recv(message) {
                Err(error) if error.kind() == shmkey::ErrorKind::WouldBlock => poll(fd),
                received => {
                    received.expect("the sender lives");
                    break;
                }
            }
        }
    }
}

/// This many rings, each of which gets a message in turn. The receiver waits for all of them.
pub struct Any<const COUNT: usize>([shmkey::Ring; COUNT]);

pub struct AnySender<const COUNT: usize>([shmkey::Sender; COUNT], usize);
pub struct AnyReceiver<const COUNT: usize>([shmkey::Receiver; COUNT]);

impl<const COUNT: usize> Channel for Any<COUNT> {
    type Sender<'a> = AnySender<COUNT>;
    type Receiver<'a> = AnyReceiver<COUNT>;

    fn new(size: usize, capacity: usize) -> Result<Self, Failure> {
        let rings: Result<Vec<_>, _> = (0..COUNT)
            .map(|_| Ring::<true, false>::new(size, capacity).map(|ring| ring.0))
            .collect();
        let rings = rings?.try_into();
        Ok(Any(
            rings.unwrap_or_else(|_| unreachable!("there are as many"))
        ))
    }
    fn sender(&self) -> AnySender<COUNT> {
        let sender = |at: usize| self.0[at].sender().expect("there is one sender");
        AnySender(array::from_fn(sender), 0)
    }
    fn receiver(&self) -> AnyReceiver<COUNT> {
        let receiver = |at: usize| self.0[at].receiver().expect("there is one receiver");
        AnyReceiver(array::from_fn(receiver))
    }
}

impl<const COUNT: usize> peers::Sender for AnySender<COUNT> {
    #[inline]
    fn send(&mut self, message: &[u8]) {
        self.0[self.1].send(message).expect("the receiver lives");
        self.1 = (self.1 + 1) % COUNT;
    }
}

impl<const COUNT: usize> peers::Receiver for AnyReceiver<COUNT> {
    #[inline]
    fn recv(&mut self, message: &mut [u8]) {
        let mut objects = self
            .0
            .each_mut()
            .map(|receiver| receiver as &mut dyn shmkey::Waitable);
        let found = shmkey::wait_any(&mut objects, None).expect("the senders live");
        self.0[found].try_recv(message).expect("there is a message");
    }
}

/// A broadcast, lossless or lossy.
pub struct Broadcast<const LOSSY: bool>(shmkey::Broadcast);

impl<const LOSSY: bool> Channel for Broadcast<LOSSY> {
    type Sender<'a> = shmkey::BroadcastPublisher;
    type Receiver<'a> = shmkey::Subscriber;

    fn new(_: usize, capacity: usize) -> Result<Self, Failure> {
        let options = shmkey::Broadcast::options().lossy(LOSSY);
        let open = |name: &str| options.open(name, capacity);
        Ok(Broadcast(nameless(open, shmkey::Broadcast::remove)?))
    }
    fn sender(&self) -> shmkey::BroadcastPublisher {
        self.0.publisher().expect("there is one publisher")
    }
    fn receiver(&self) -> shmkey::Subscriber {
        self.0.subscribe().expect("there are few subscribers")
    }
}

impl peers::Sender for shmkey::BroadcastPublisher {
    #[inline]
    fn send(&mut self, message: &[u8]) {
        self.publish(message).expect("this is the publisher");
    }
}

impl peers::Receiver for shmkey::Subscriber {
    #[inline]
    fn recv(&mut self, message: &mut [u8]) {
        let len = self.recv(message).expect("the publisher lives");
        debug_assert_eq!(len, message.len());
    }
}

/// Tries until the attempt does not fail with `WouldBlock`.
#[inline]
fn again<T>(mut attempt: impl FnMut() -> Result<T, shmkey::Error>) -> T {
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(error) if error.kind() == shmkey::ErrorKind::WouldBlock => hint::spin_loop(),
            Err(error) => panic!("{error}"),
        }
    }
}

impl Board for shmkey::Latest<Value> {
    type Publisher<'a> = shmkey::Publisher<Value>;

    fn new() -> Result<Self, Failure> {
        nameless(|name| shmkey::Latest::open(name), shmkey::Latest::remove)
    }
    fn publisher(&self) -> shmkey::Publisher<Value> {
        self.publisher().expect("there is one publisher")
    }
    #[inline]
    fn read(&self, value: &mut Value) {
        self.read_into(value)
            .expect("the publisher pauses now and then");
    }
}

impl latest::Publisher for shmkey::Publisher<Value> {
    #[inline]
    fn publish(&mut self, value: &Value) {
        self.publish(value).expect("this is the publisher");
    }
}

/// An operation that makes no system call while no thread waits.
pub struct FastPath {
    pub name: &'static str,
    /// Repeats the operation this many times.
    pub walk: Box<dyn Fn(u64) -> Result<(), Failure>>,
}

/// Returns all fast paths.
pub fn fast_paths() -> Vec<FastPath> {
    fn path(name: &'static str, walk: impl Fn(u64) -> Result<(), Failure> + 'static) -> FastPath {
        let walk = Box::new(walk);
        FastPath { name, walk }
    }
    let message: Step = |sender, receiver| {
        sender.send(&[1; 64])?;
        receiver.recv(&mut [0; 64]).map(drop)
    };
    let long_message: Step = |sender, receiver| {
        sender.send(&[1; 64 << 10])?;
        receiver.recv(&mut [0; 64 << 10]).map(drop)
    };
    let tried: Step = |sender, receiver| {
        sender.try_send(&[1; 64])?;
        receiver.try_recv(&mut [0; 64]).map(drop)
    };
    let in_place: Step = |sender, receiver| {
        sender.try_reserve(64)?.commit()?;
        receiver.try_peek()?.release()
    };
    let batch: Step = |sender, receiver| {
        sender.send_batch(&[[1; 64].as_slice(); 16])?;
        let received = receiver.recv_batch(&mut [0; 16 * 64], &mut [0; 16]);
        received.map(drop)
    };
    vec![
        path("Ring: send, recv, 64 B", ring(false, message)),
        path(
            "Ring: send_batch, recv_batch, 16 × 64 B",
            ring(false, batch),
        ),
        path("Ring: send, recv, 64 KiB", ring(false, long_message)),
        path("Ring: try_send, try_recv", ring(false, tried)),
        path(
            "Ring: reserve, commit, peek, release",
            ring(false, in_place),
        ),
        path("Ring for many senders: send, recv", ring(true, message)),
        path("Broadcast: publish, recv by two", broadcast),
        path("Latest: publish, read", latest),
        path("Mutex: lock, unlock", many::<shmkey::Mutex<u64>>),
        path("Semaphore: wait, post", many::<shmkey::Semaphore>),
    ]
}

type Step = fn(&mut shmkey::Sender, &mut shmkey::Receiver) -> Result<(), shmkey::Error>;

fn ring(many_senders: bool, step: Step) -> impl Fn(u64) -> Result<(), Failure> {
    move |count| {
        let options = shmkey::Ring::options().many_senders(many_senders);
        let ring = nameless(|name| options.open(name, 256 << 10), shmkey::Ring::remove)?;
        let (mut sender, mut receiver) = (ring.sender()?, ring.receiver()?);
        Ok((0..count).try_for_each(|_| step(&mut sender, &mut receiver))?)
    }
}

fn broadcast(count: u64) -> Result<(), Failure> {
    let broadcast = <Broadcast<false> as Channel>::new(64, 256 << 10)?.0;
    let mut publisher = broadcast.publisher()?;
    let mut subscribers = [broadcast.subscribe()?, broadcast.subscribe()?];
    for _ in 0..count {
        publisher.publish(&[1; 64])?;
        for subscriber in &mut subscribers {
            subscriber.recv(&mut [0; 64])?;
        }
    }
    Ok(())
}

fn latest(count: u64) -> Result<(), Failure> {
    let latest = <shmkey::Latest<Value> as Board>::new()?;
    let mut publisher = latest.publisher()?;
    for number in 0..count {
        publisher.publish([number; 8])?;
        assert_eq!(latest.read()?, Some([number; 8]));
    }
    Ok(())
}

fn many<L: Lock>(count: u64) -> Result<(), Failure> {
    let lock = L::new()?;
    (0..count).for_each(|_| lock.lock_and_unlock());
    Ok(())
}
