//! Our own objects behind the traits of their peers.

use crate::{
    latest::{self, Board, Value},
    locks::Lock,
    nameless::nameless,
    peers::{self, Channel},
    processes::Failure,
};
use std::hint;

/// A ring, for many senders or one. Its ends wait as the library does, or they try again and again.
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
        Sender(self.0.sender().expect("a sender may come"))
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

/// Tries until it would not have to wait.
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

/// Something that must not call the system.
pub struct FastPath {
    pub name: &'static str,
    /// Does it so many times.
    pub walk: fn(u64) -> Result<(), Failure>,
}

/// All of them, while no thread waits.
pub const FAST_PATHS: &[FastPath] = &[
    FastPath {
        name: "Ring: send, recv, 64 B",
        walk: |count| {
            with_ring(false, |sender, receiver| {
                (0..count).try_for_each(|_| {
                    sender.send(&[1; 64])?;
                    receiver.recv(&mut [0; 64]).map(drop)
                })
            })
        },
    },
    FastPath {
        name: "Ring: send, recv, 64 KiB",
        walk: |count| {
            let mut message = vec![1; 64 << 10];
            with_ring(false, |sender, receiver| {
                (0..count).try_for_each(|_| {
                    sender.send(&message)?;
                    receiver.recv(&mut message).map(drop)
                })
            })
        },
    },
    FastPath {
        name: "Ring: try_send, try_recv",
        walk: |count| {
            with_ring(false, |sender, receiver| {
                (0..count).try_for_each(|_| {
                    sender.try_send(&[1; 64])?;
                    receiver.try_recv(&mut [0; 64]).map(drop)
                })
            })
        },
    },
    FastPath {
        name: "Ring: reserve, commit, peek, release",
        walk: |count| {
            with_ring(false, |sender, receiver| {
                (0..count).try_for_each(|_| {
                    sender.try_reserve(64)?.commit()?;
                    receiver.try_peek()?.release()
                })
            })
        },
    },
    FastPath {
        name: "Ring for many senders: send, recv",
        walk: |count| {
            with_ring(true, |sender, receiver| {
                (0..count).try_for_each(|_| {
                    sender.send(&[1; 64])?;
                    receiver.recv(&mut [0; 64]).map(drop)
                })
            })
        },
    },
    FastPath {
        name: "Latest: publish, read",
        walk: |count| {
            let latest = <shmkey::Latest<Value> as Board>::new()?;
            let mut publisher = latest.publisher()?;
            for number in 0..count {
                publisher.publish([number; 8])?;
                assert_eq!(latest.read()?, Some([number; 8]));
            }
            Ok(())
        },
    },
    FastPath {
        name: "Mutex: lock, unlock",
        walk: many::<shmkey::Mutex<u64>>,
    },
    FastPath {
        name: "Semaphore: wait, post",
        walk: many::<shmkey::Semaphore>,
    },
];

fn with_ring(
    many_senders: bool,
    walk: impl FnOnce(&mut shmkey::Sender, &mut shmkey::Receiver) -> Result<(), shmkey::Error>,
) -> Result<(), Failure> {
    let open = |name: &str| {
        shmkey::Ring::options()
            .many_senders(many_senders)
            .open(name, 256 << 10)
    };
    let ring = nameless(open, shmkey::Ring::remove)?;
    walk(&mut ring.sender()?, &mut ring.receiver()?)?;
    Ok(())
}

fn many<L: Lock>(count: u64) -> Result<(), Failure> {
    let lock = L::new()?;
    (0..count).for_each(|_| lock.take_and_give());
    Ok(())
}
