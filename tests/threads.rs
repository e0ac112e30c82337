//! The objects between threads of one process, under ThreadSanitizer in `.ci/thread-sanitizer`.
//!
//! Threads write and read plain memory beside what the objects carry, so that an order that an object should give and
//! does not is a data race. The threads are pthreads: the sanitizer does not know those of the standard library, which
//! was compiled without it.

use libtest_mimic::{Arguments, Trial};
use shmkey::{
    Attachment, Broadcast, Condvar, ErrorKind, Key, Latest, Mutex, Place, Ring, RwLock, Segment,
    Semaphore,
};
use std::{cell::UnsafeCell, ffi::c_void, process::ExitCode, ptr, sync::Arc, time::Duration};

const AGES: Duration = Duration::from_secs(60);
const ROUNDS: usize = 3_000;

/// Plain memory that threads share, ordered by nothing but the object under test.
struct Plain(UnsafeCell<Vec<u64>>);

// SAFETY: whether two threads ever use it at once is what is being tested.
unsafe impl Sync for Plain {}
// SAFETY: as above.
unsafe impl Send for Plain {}

impl Plain {
    fn new() -> Plain {
        Plain(UnsafeCell::new(vec![0; ROUNDS + 1]))
    }

    fn set(&self, at: usize, value: u64) {
        // SAFETY: as for `Sync`.
        unsafe { (&mut *self.0.get())[at] = value }
    }

    fn get(&self, at: usize) -> u64 {
        // SAFETY: as for `Sync`.
        unsafe { (&*self.0.get())[at] }
    }
}

/// Memory for an object.
fn place() -> Place {
    let segment = Segment::options().size(64 << 10).open(Key::PRIVATE);
    let segment = segment.expect("a segment");
    let memory: Attachment = segment.attach().expect("an attachment");
    segment.remove().expect("it goes with the attachment");
    Place::within(Arc::new(memory), 0)
}

/// Runs each in a thread of its own, and waits for all.
fn together(threads: Vec<Box<dyn FnOnce() + Send + '_>>) {
    extern "C" fn begin(thread: *mut c_void) -> *mut c_void {
        // SAFETY: each thread gets the box that was made for it. A panic ends the process, as it
        // must not leave a C function.
        let thread = unsafe { Box::from_raw(thread.cast::<Box<dyn FnOnce() + Send>>()) };
        thread();
        ptr::null_mut()
    }
    let threads: Vec<libc::pthread_t> = threads
        .into_iter()
        .map(|thread| {
            let mut id = 0;
            let thread = Box::into_raw(Box::new(thread)).cast();
            // SAFETY: the id is ours to write, and the thread is joined below, before anything
            // that it borrows ends.
            let failed = unsafe { libc::pthread_create(&mut id, ptr::null(), begin, thread) };
            assert_eq!(failed, 0);
            id
        })
        .collect();
    for id in threads {
        // SAFETY: a thread that was made above and not yet joined.
        assert_eq!(unsafe { libc::pthread_join(id, ptr::null_mut()) }, 0);
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // In this very thread.
    arguments.test_threads = Some(1);
    let trial = |name, test: fn()| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    let trials = vec![
        trial("a mutex orders what is done under it", mutex),
        trial("a reader-writer lock orders what is done under it", rwlock),
        trial("a notification is before the end of the wait", condvar),
        trial("a post is before its wait", semaphore),
        trial(
            "a cancellation is before the error of its wait",
            cancellation,
        ),
        trial("a publication is before its reading", latest),
        trial("sending is before receiving", || ring(false, false, 1)),
        trial("the same with three senders", || ring(true, false, 3)),
        trial("the same where the oldest are dropped", || {
            ring(false, true, 1)
        }),
        trial("publishing is before receiving by each subscriber", || {
            broadcast(false);
        }),
        trial("the same where the oldest are overwritten", || {
            broadcast(true);
        }),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn mutex() {
    let mutex = Mutex::<u64>::open(place(), 0).unwrap();
    let plain = Plain::new();
    let count = || {
        for _ in 0..ROUNDS {
            let mut guard = mutex.lock_timeout(AGES).unwrap();
            guard.update(|count| *count += 1);
            plain.set(0, plain.get(0) + 1);
        }
    };
    together(vec![Box::new(count), Box::new(count), Box::new(count)]);
    assert_eq!(mutex.lock().unwrap().get(), plain.get(0));
    assert_eq!(plain.get(0), 3 * ROUNDS as u64);
}

fn rwlock() {
    let lock = RwLock::<u64>::open(place(), 0).unwrap();
    let plain = Plain::new();
    let write = || {
        for _ in 0..ROUNDS {
            let mut guard = lock.write_timeout(AGES).unwrap();
            guard.update(|count| *count += 1);
            plain.set(0, plain.get(0) + 1);
        }
    };
    let read = || {
        for _ in 0..ROUNDS {
            let guard = lock.read_timeout(AGES).unwrap();
            assert_eq!(guard.get(), plain.get(0));
        }
    };
    together(vec![Box::new(write), Box::new(read), Box::new(read)]);
    assert_eq!(lock.read().unwrap().get(), ROUNDS as u64);
}

/// It is notified after the mutex is unlocked.
fn condvar() {
    let turn = Mutex::<u64>::open(place(), 0).unwrap();
    let changed = Condvar::open(place()).unwrap();
    let plain = Plain::new();
    let play = |mine: u64| {
        for _ in 0..ROUNDS {
            let waits = |turn: &mut shmkey::MutexGuard<'_, u64>| turn.get() % 2 != mine;
            let waited = changed.wait_timeout_while(turn.lock().unwrap(), AGES, waits);
            let (mut guard, result) = waited.unwrap();
            assert!(!result.timed_out());
            plain.set(0, plain.get(0) + 1);
            guard.update(|turn| *turn += 1);
            drop(guard);
            changed.notify_one();
        }
    };
    together(vec![Box::new(|| play(0)), Box::new(|| play(1))]);
    assert_eq!(plain.get(0), 2 * ROUNDS as u64);
}

fn semaphore() {
    let semaphore = Semaphore::open(place(), 0).unwrap();
    let plain = Plain::new();
    let post = || {
        for round in 0..ROUNDS {
            plain.set(round, round as u64 + 1);
            semaphore.post().unwrap();
        }
    };
    let wait = || {
        for round in 0..ROUNDS {
            semaphore.wait_timeout(AGES).unwrap();
            assert_eq!(plain.get(round), round as u64 + 1);
        }
    };
    together(vec![Box::new(post), Box::new(wait)]);
}

/// Of a wait that sleeps, one for several objects, and a try by a descriptor.
fn cancellation() {
    let never = Semaphore::open(place(), 0).unwrap();
    let ended = Semaphore::open(place(), 0).unwrap();
    let stop = never.canceller();
    let plain = Plain::new();
    never.fd().unwrap();
    let cancel = || {
        for round in 0..ROUNDS {
            plain.set(round, round as u64 + 1);
            stop.cancel();
            ended.wait_timeout(AGES).unwrap();
        }
    };
    let wait = || {
        for round in 0..ROUNDS {
            let error = match round % 3 {
                0 => never.wait_timeout(AGES).unwrap_err(),
                1 => shmkey::wait_any(&mut [&mut &never], Some(AGES)).unwrap_err(),
                _ => loop {
                    let error = never.try_wait().unwrap_err();
                    if error.kind() != ErrorKind::WouldBlock {
                        break error;
                    }
                },
            };
            assert_eq!(error.kind(), ErrorKind::Cancelled);
            assert_eq!(plain.get(round), round as u64 + 1);
            ended.post().unwrap();
        }
    };
    together(vec![Box::new(cancel), Box::new(wait)]);
}

fn latest() {
    let latest = Latest::<[u64; 9]>::open(place()).unwrap();
    let mut publisher = latest.publisher().unwrap();
    let plain = Plain::new();
    let read = || {
        let mut seen = 0;
        while seen < ROUNDS as u64 {
            let value = latest.wait_newer_timeout(&mut seen, AGES).unwrap();
            assert!(value.iter().all(|&part| part == value[0]));
            assert_eq!(plain.get(value[0] as usize), value[0]);
        }
    };
    let publish = || {
        for round in 1..=ROUNDS as u64 {
            plain.set(round as usize, round);
            publisher.publish([round; 9]).unwrap();
        }
    };
    together(vec![Box::new(read), Box::new(read), Box::new(publish)]);
}

/// Lengths of which some wrap at the end of the ring, and some are sent in pieces.
fn len(round: usize) -> usize {
    match round % 50 {
        49 => 20_000,
        other => 8 + other * 13,
    }
}

fn ring(many_senders: bool, drop_oldest: bool, senders: usize) {
    let options = Ring::options()
        .many_senders(many_senders)
        .drop_oldest(drop_oldest);
    let ring = options.open(place(), 50_000).unwrap();
    let mut receiver = ring.receiver().unwrap();
    let plain: Vec<_> = (0..senders).map(|_| Plain::new()).collect();
    let mut threads: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
    for (number, plain) in plain.iter().enumerate() {
        let mut sender = ring.sender().unwrap();
        threads.push(Box::new(move || {
            for round in 0..ROUNDS {
                plain.set(round, round as u64 + 1);
                let mut message = vec![round as u8; len(round)];
                message[..4].copy_from_slice(&(round as u32).to_le_bytes());
                message[4..8].copy_from_slice(&(number as u32).to_le_bytes());
                sender.send_timeout(&message, AGES).unwrap();
            }
        }));
    }
    threads.push(Box::new(|| {
        let mut buffer = vec![0; 50_000];
        let mut next = vec![0; senders];
        while next.iter().any(|&next| next < ROUNDS) {
            let received = receiver.recv_timeout(&mut buffer, AGES).unwrap();
            let word = |at: usize| u32::from_le_bytes(buffer[at..at + 4].try_into().unwrap());
            let (round, number) = (word(0) as usize, word(4) as usize);
            assert_eq!(received, len(round));
            assert!(buffer[8..received].iter().all(|&byte| byte == round as u8));
            assert_eq!(plain[number].get(round), round as u64 + 1);
            assert!(round == next[number] || drop_oldest && round > next[number]);
            next[number] = round + 1;
        }
    }));
    together(threads);
}

fn broadcast(lossy: bool) {
    let options = Broadcast::options().lossy(lossy);
    let broadcast = options.open(place(), 30_000).unwrap();
    let plain = Plain::new();
    let mut publisher = broadcast.publisher().unwrap();
    let plain = &plain;
    let mut threads: Vec<Box<dyn FnOnce() + Send>> = vec![Box::new(move || {
        for round in 0..ROUNDS {
            plain.set(round, round as u64 + 1);
            let mut message = vec![round as u8; len(round)];
            message[..4].copy_from_slice(&(round as u32).to_le_bytes());
            publisher.publish_timeout(&message, AGES).unwrap();
        }
    })];
    for _ in 0..2 {
        let mut subscriber = broadcast.subscribe().unwrap();
        threads.push(Box::new(move || {
            let mut buffer = vec![0; 30_000];
            let mut next = 0;
            while next < ROUNDS {
                let received = subscriber.recv_timeout(&mut buffer, AGES).unwrap();
                let round = u32::from_le_bytes(buffer[..4].try_into().unwrap()) as usize;
                assert_eq!(received, len(round));
                assert!(buffer[4..received].iter().all(|&byte| byte == round as u8));
                assert_eq!(plain.get(round), round as u64 + 1);
                assert!(round == next || lossy && round > next);
                next = round + 1;
            }
        }));
    }
    together(threads);
}
