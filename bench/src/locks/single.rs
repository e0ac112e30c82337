//! The cost for a single thread without contention: of a free lock, and of a failed try.

use super::{Lock, Section};
use crate::{
    nameless::nameless,
    pairs::{self, Pair},
    peers::posix,
    processes::{self, Failure, Shared},
};
use shmkey::{ErrorKind, capi};
use std::{
    ffi::CString,
    hint::black_box,
    io, ptr,
    sync::atomic::{
        AtomicBool, AtomicU64,
        Ordering::{Acquire, SeqCst},
    },
    thread,
    time::Duration,
};

/// Ratios of some hundredths are exact enough here.
const ROUNDS: usize = 301;

const CREATE: libc::c_int = libc::IPC_CREAT | 0o600;

pub fn sections() -> Vec<Section> {
    vec![
        Section {
            title: "Uncontended: lock and unlock".into(),
            print: Box::new(|_| {
                println!("| | pthread or POSIX | shmkey | ratio (quartiles) |");
                pairs::print(ROUNDS, uncontended()?)
            }),
        },
        Section {
            title: "Would-block: a failed try, and a bare look".into(),
            print: Box::new(|_| {
                let taken = Taken::new()?;
                println!(
                    "The bare look is a function that loads one word with Acquire and compares it; for C, it \
                     also sets errno and returns -1.\n"
                );
                println!("| | bare look | the try | ratio (quartiles) |");
                let look = Look(kept(Shared::new()?));
                let twice = Pair::new("the look twice".into(), look.in_rust(), look.in_rust());
                let pairs = [
                    vec![twice],
                    ring_tries(look)?,
                    semaphore_tries(look)?,
                    mutex_tries(look, taken.locks),
                    latest_tries(look)?,
                ];
                pairs::print(ROUNDS, pairs.into_iter().flatten())
            }),
        },
    ]
}

/// Keeps a value as long as the process lives.
fn kept<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn uncontended() -> Result<Vec<Pair>, Failure> {
    let theirs = kept(posix::RobustMutex::new()?);
    let bare = || theirs.lock_and_unlock();
    let ours = kept(<shmkey::Mutex<u64> as Lock>::new()?);
    let in_c = c_mutex()?;
    // SAFETY: the mutex is open; the address stays the same.
    let number = unsafe { capi::shm_mutex_data(in_c) }.cast::<u64>();
    let sem_t = kept(posix::Semaphore::new(1)?);
    let semaphore = kept(<shmkey::Semaphore as Lock>::new()?);
    Ok(vec![
        Pair::new("robust pthread mutex twice".into(), bare, bare),
        Pair::new("shmkey::Mutex".into(), bare, || ours.lock_and_unlock()),
        Pair::new("shm_mutex".into(), bare, move || {
            // SAFETY: the mutex is open, and its bytes are the owner's.
            unsafe {
                assert_eq!(capi::shm_mutex_lock(in_c, -1), 0);
                number.write_volatile(number.read_volatile() + 1);
                assert_eq!(capi::shm_mutex_unlock(in_c), 0);
            }
        }),
        Pair::new(
            "shmkey::Semaphore, beside sem_t".into(),
            || sem_t.lock_and_unlock(),
            || semaphore.lock_and_unlock(),
        ),
    ])
}

/// Locks that another process holds until this is dropped.
struct Taken {
    locks: &'static Locks,
    holder: libc::pid_t,
}

struct Locks {
    ours: shmkey::Mutex<u64>,
    in_c: *mut capi::shm_mutex,
    theirs: posix::RobustMutex,
}

impl Taken {
    fn new() -> Result<Taken, Failure> {
        let locks = kept(Locks {
            ours: Lock::new()?,
            in_c: c_mutex()?,
            theirs: Lock::new()?,
        });
        let has_all: Shared<AtomicBool> = Shared::new()?;
        let holder = processes::fork(|| {
            std::mem::forget(locks.ours.lock().expect("it is free"));
            // SAFETY: the mutex is open.
            assert_eq!(unsafe { capi::shm_mutex_lock(locks.in_c, -1) }, 0);
            locks.theirs.lock();
            has_all.store(true, SeqCst);
            loop {
                thread::park();
            }
        })?;
        let taken = Taken { locks, holder };
        while !has_all.load(SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(taken)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // SAFETY: a child that was not waited for, so no other process has its id.
        unsafe { libc::kill(self.holder, libc::SIGKILL) };
        let _ = processes::wait_for(vec![self.holder], true);
    }
}

fn ring_tries(look: Look) -> Result<Vec<Pair>, Failure> {
    let ring = nameless(|name| shmkey::Ring::open(name, 4096), shmkey::Ring::remove)?;
    let mut receiver = ring.receiver()?;
    // Without a sender, a try would fail with another error.
    kept(ring.sender()?);
    let c_ring = in_c(
        // SAFETY: the name is a C string.
        |name| unsafe { capi::shm_ring_open(name, 4096, 0, CREATE) },
        // SAFETY: the ring is open.
        |ring| unsafe { capi::shm_ring_id(ring) },
    )?;
    // SAFETY: the ring is open.
    assert_eq!(unsafe { capi::shm_ring_begin_sending(c_ring) }, 0);
    Ok(vec![
        Pair::new("Ring::try_recv, empty".into(), look.in_rust(), move || {
            expect_would_block(receiver.try_recv(&mut [0; 64]));
        }),
        Pair::new("shm_ring_recv, empty".into(), look.in_c(), move || {
            let mut buffer = [0u8; 64];
            // SAFETY: the ring is open, and the buffer has that many bytes.
            let tried =
                unsafe { capi::shm_ring_recv(c_ring, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
            assert_eq!(black_box(tried), -1);
        }),
    ])
}

fn semaphore_tries(look: Look) -> Result<Vec<Pair>, Failure> {
    let semaphore = kept(nameless(
        |name| shmkey::Semaphore::open(name, 0),
        shmkey::Semaphore::remove,
    )?);
    let c_semaphore = in_c(
        // SAFETY: the name is a C string.
        |name| unsafe { capi::shm_semaphore_open(name, 0, CREATE) },
        // SAFETY: the semaphore is open.
        |semaphore| unsafe { capi::shm_semaphore_id(semaphore) },
    )?;
    let sem_t = kept(posix::Semaphore::new(0)?);
    let at_once = "Semaphore::wait_timeout(0) at 0".into();
    Ok(vec![
        Pair::new("Semaphore::try_wait at 0".into(), look.in_rust(), || {
            assert!(black_box(semaphore.try_wait()).is_err());
        }),
        Pair::new(at_once, look.in_rust(), || {
            expect_would_block(semaphore.wait_timeout(Duration::ZERO));
        }),
        Pair::new("shm_semaphore_wait at 0".into(), look.in_c(), move || {
            // SAFETY: the semaphore is open.
            let tried = unsafe { capi::shm_semaphore_wait(c_semaphore, 0) };
            assert_eq!(black_box(tried), -1);
        }),
        Pair::new("sem_trywait at 0".into(), look.in_c(), || {
            assert!(!sem_t.try_wait());
        }),
    ])
}

fn mutex_tries(look: Look, taken: &'static Locks) -> Vec<Pair> {
    let at_once = "Mutex::lock_timeout(0), taken".into();
    let theirs = "pthread_mutex_trylock, taken".into();
    vec![
        Pair::new(at_once, look.in_rust(), || {
            expect_would_block(taken.ours.lock_timeout(Duration::ZERO));
        }),
        Pair::new("shm_mutex_lock, taken".into(), look.in_c(), || {
            // SAFETY: the mutex is open.
            let tried = unsafe { capi::shm_mutex_lock(taken.in_c, 0) };
            assert_eq!(black_box(tried), -1);
        }),
        Pair::new(theirs, look.in_c(), || assert!(!taken.theirs.try_lock())),
    ]
}

fn latest_tries(look: Look) -> Result<Vec<Pair>, Failure> {
    let latest = kept(nameless(
        |name| shmkey::Latest::<u64>::open(name),
        shmkey::Latest::remove,
    )?);
    let c_latest = in_c(
        // SAFETY: the name is a C string, and a layout need not have a name.
        |name| unsafe { capi::shm_latest_open(name, 8, ptr::null(), CREATE) },
        // SAFETY: the latest value is open.
        |latest| unsafe { capi::shm_latest_id(latest) },
    )?;
    let read = "Latest::read_newer, nothing newer".into();
    let waited = "Latest::wait_newer(0), nothing newer".into();
    let read_in_c = "shm_latest_read_newer, nothing newer".into();
    Ok(vec![
        Pair::new(read, look.in_rust(), || {
            let newer = latest.read_newer(&mut black_box(0));
            assert!(matches!(newer, Ok(None)));
        }),
        Pair::new(waited, look.in_rust(), || {
            expect_would_block(latest.wait_newer_timeout(&mut black_box(0), Duration::ZERO));
        }),
        Pair::new(read_in_c, look.in_c(), move || {
            let mut value = 0u64;
            // SAFETY: the latest value is open, and has the size of a u64.
            let newer =
                unsafe { capi::shm_latest_read_newer(c_latest, 0, (&raw mut value).cast(), 0) };
            assert_eq!(black_box(newer), -1);
        }),
    ])
}

/// A word that is 0, for a bare look.
#[derive(Clone, Copy)]
struct Look(&'static Shared<AtomicU64>);

impl Look {
    fn in_rust(self) -> impl FnMut() {
        move || assert!(!look(black_box(self.0)))
    }

    fn in_c(self) -> impl FnMut() {
        move || assert_eq!(look_in_c(black_box(self.0)), -1)
    }
}

/// Does what the cheapest failed try does.
#[inline(never)]
fn look(word: &AtomicU64) -> bool {
    word.load(Acquire) != 0
}

/// Does the same, and returns as a C function does.
#[inline(never)]
extern "C" fn look_in_c(word: &AtomicU64) -> libc::c_int {
    if word.load(Acquire) != 0 {
        return 0;
    }
    // SAFETY: the address is this thread's errno.
    unsafe { *libc::__errno_location() = libc::EAGAIN };
    -1
}

/// Panics unless the try has failed with `WouldBlock`.
fn expect_would_block<T>(tried: Result<T, shmkey::Error>) {
    match black_box(tried) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it did not block"),
    }
}

fn c_mutex() -> Result<*mut capi::shm_mutex, Failure> {
    in_c(
        // SAFETY: the name is a C string, and a layout need not have a name.
        |name| unsafe { capi::shm_mutex_open(name, 8, ptr::null(), CREATE) },
        // SAFETY: the mutex is open.
        |mutex| unsafe { capi::shm_mutex_id(mutex) },
    )
}

/// Opens an object by the C functions, as `nameless` does.
fn in_c<T>(
    open: impl FnOnce(*const libc::c_char) -> *mut T,
    id: impl FnOnce(*mut T) -> libc::c_int,
) -> Result<*mut T, Failure> {
    nameless(
        |name| {
            let name = CString::new(name).expect("no byte of it is 0");
            let object = open(name.as_ptr());
            assert!(!object.is_null(), "{}", io::Error::last_os_error());
            Ok(object)
        },
        |object| {
            assert_eq!(capi::shm_remove(id(*object)), 0);
            Ok(())
        },
    )
}
