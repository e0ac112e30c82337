//! One operation on an object, some of whose bytes are arbitrary: for the fuzzer, and for the test
//! that runs the fuzzer's corpus.
//!
//! The first byte of an input selects the operation, without its highest bit: see `operation`. The
//! other bytes change a valid object. If the highest bit of the first byte is not set, they are pairs
//! of an offset (two bytes) and the word to write there (eight bytes); otherwise they replace the
//! beginning of the object.

use shmkey::{
    AttachOptions, Attachment, Broadcast, Condvar, Error, Key, Latest, Mutex, Place, Ring, RwLock,
    Segment, Semaphore,
};
use std::{
    ptr,
    sync::{Arc, LazyLock, Mutex as Guard, PoisonError},
    time::Duration,
};

const SIZE: usize = 8192;
const CAPACITY: usize = 4096;
const NOW: Duration = Duration::ZERO;

type Value = [u64; 20];

/// The segment, between two pages without access, so that an access outside of it crashes; and a
/// valid object of each kind.
struct Fenced {
    memory: Arc<Attachment>,
    good: Vec<Vec<u8>>,
}

static FENCED: LazyLock<Guard<Fenced>> = LazyLock::new(|| Guard::new(Fenced::new()));

impl Fenced {
    fn new() -> Fenced {
        let segment = Segment::options()
            .size(SIZE)
            .open(Key::PRIVATE)
            .expect("a segment");
        let fence = 4096;
        // SAFETY: at an address that the kernel chooses, it replaces nothing.
        let room = unsafe {
            libc::mmap(
                ptr::null_mut(),
                SIZE + 2 * fence,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(room, libc::MAP_FAILED, "address space");
        // SAFETY: the middle of the new mapping, which only this function knows. The pages around
        // it stay.
        unsafe { libc::munmap(room.byte_add(fence), SIZE) };
        let memory = AttachOptions::new()
            .address(room as usize + fence)
            .attach(&segment);
        let memory = Arc::new(memory.expect("the segment can be attached"));
        segment
            .remove()
            .expect("the segment goes with this process");
        let good = (0..KINDS).map(|kind| make(&memory, kind)).collect();
        Fenced { memory, good }
    }
}

/// All kinds, two of which are broadcasts.
const KINDS: u8 = 10;
const BROADCAST: u8 = 6;
const RWLOCK: u8 = 8;
const CONDVAR: u8 = 9;
/// Where the mutex of a condition variable is.
const MUTEX_AT: usize = 4096;
/// The longest message of a broadcast.
const LONGEST: usize = 2000;

/// Returns the bytes of a valid object of this kind, after a few operations.
fn make(memory: &Arc<Attachment>, kind: u8) -> Vec<u8> {
    memory.write_at(0, &[0; SIZE]).expect("it is large enough");
    for operation in 0..16 {
        // Some fail: there is nothing to receive yet.
        let _ = operate(memory, kind, operation);
    }
    let mut bytes = vec![0; SIZE];
    memory.read_at(0, &mut bytes).expect("it is large enough");
    bytes
}

/// Runs one input.
pub fn run(input: &[u8]) {
    let Some((&first, changes)) = input.split_first() else {
        return;
    };
    let fenced = FENCED.lock().unwrap_or_else(PoisonError::into_inner);
    let (kind, operation) = operation(first & 0x7f);
    let put = |offset: usize, bytes: &[u8]| {
        let len = bytes.len().min(SIZE - offset);
        let put = fenced.memory.write_at(offset, &bytes[..len]);
        put.expect("it lies inside");
    };
    put(0, &fenced.good[usize::from(kind)]);
    if first & 0x80 != 0 {
        put(0, &changes[..changes.len().min(SIZE)]);
    } else {
        for change in changes.chunks_exact(10) {
            let offset = usize::from(u16::from_le_bytes([change[0], change[1]])) % SIZE;
            put(offset, &change[2..]);
        }
    }
    // The result may be any error. The operation must return, and access nothing outside of the
    // segment.
    let _ = operate(&fenced.memory, kind, operation);
}

/// Returns the kind of object and the operation on it that a number selects. 96 and more select those
/// on broadcasts. A mutex and a semaphore have few, and leave half of their numbers to other kinds.
fn operation(number: u8) -> (u8, u8) {
    if number >= 96 {
        return (BROADCAST + number % 2, (number - 96) / 2);
    }
    match (number % BROADCAST, number / BROADCAST) {
        (0, operation @ 8..) => (RWLOCK, operation - 8),
        (1, operation @ 8..) => (CONDVAR, operation - 8),
        other => other,
    }
}

fn operate(memory: &Arc<Attachment>, kind: u8, operation: u8) -> Result<(), Error> {
    let place = Place::within(Arc::clone(memory), 0).timeout(NOW);
    match kind {
        0 => {
            let mutex = Mutex::<Value>::open(place, [1; 20])?;
            let mut guard = mutex.lock_timeout(NOW)?;
            if operation.is_multiple_of(2) {
                guard.mark_consistent();
            }
            guard.update(|value| value[0] ^= 1);
            Ok(())
        }
        1 => {
            let semaphore = Semaphore::open(place, 3)?;
            let _ = semaphore.value();
            match operation % 2 {
                0 => semaphore.post(),
                _ => semaphore.wait_timeout(NOW),
            }
        }
        2 => {
            let latest = Latest::<Value>::open(place)?;
            match operation % 3 {
                0 => latest.publisher()?.publish([7; 20]),
                1 => latest.read().map(drop),
                _ => latest.wait_newer_timeout(&mut 1, NOW).map(drop),
            }
        }
        RWLOCK => use_rwlock(&RwLock::open(place, [1; 20])?, operation),
        CONDVAR => {
            let mutex = Mutex::open(
                Place::within(Arc::clone(memory), MUTEX_AT).timeout(NOW),
                [1; 20],
            )?;
            use_condvar(&Condvar::open(place)?, &mutex, operation)
        }
        BROADCAST.. => {
            let options = Broadcast::options().lossy(kind > BROADCAST);
            let capacity = if operation < 8 { LONGEST } else { 0 };
            let broadcast = options
                .open(place.clone(), capacity)
                .or_else(|_| options.open(place, LONGEST))?;
            use_broadcast(&broadcast, operation % 8)
        }
        _ => {
            let options = Ring::options()
                .many_senders(kind == 4)
                .drop_oldest(kind == 5);
            let capacity = if operation < 8 { CAPACITY } else { 0 };
            // Creating a ring needs a capacity.
            let ring = options
                .open(place.clone(), capacity)
                .or_else(|_| options.open(place, CAPACITY))?;
            use_ring(&ring, operation % 8)
        }
    }
}

fn use_rwlock(lock: &RwLock<Value>, operation: u8) -> Result<(), Error> {
    match operation {
        0 => lock.try_read().map(drop),
        1 => {
            let (first, second) = (lock.try_read()?, lock.try_read());
            drop(first);
            let value = second?.get();
            lock.try_write().map(|mut guard| guard.set(value))
        }
        2 => {
            let _reader = lock.try_read()?;
            lock.try_write().map(drop)
        }
        _ => {
            let mut guard = lock.try_write()?;
            if operation.is_multiple_of(2) {
                guard.mark_consistent();
            }
            guard.update(|value| value[0] ^= 1);
            Ok(())
        }
    }
}

fn use_condvar(changed: &Condvar, mutex: &Mutex<Value>, operation: u8) -> Result<(), Error> {
    match operation {
        0 => changed.notify_one(),
        1 => changed.notify_all(),
        _ => {
            let mut guard = mutex.try_lock()?;
            if operation.is_multiple_of(2) {
                guard.mark_consistent();
            }
            let timeout = NOW + Duration::from_micros(u64::from(operation % 4 / 2));
            let (mut guard, _) = changed.wait_timeout(guard, timeout)?;
            guard.update(|value| value[0] ^= 1);
        }
    }
    Ok(())
}

fn use_broadcast(broadcast: &Broadcast, operation: u8) -> Result<(), Error> {
    let mut buffer = [0; 2 * SIZE];
    let _ = (broadcast.used(), broadcast.subscribers());
    match operation {
        0 => broadcast.publisher()?.try_publish(&[5; 100]),
        1 => broadcast.publisher()?.try_publish(&[6; LONGEST]),
        2 => broadcast
            .publisher()?
            .try_publish_batch(&[&[1], &[2; 500], &[]])
            .map(drop),
        3 => {
            let mut publisher = broadcast.publisher()?;
            let mut slot = publisher.try_reserve(300)?;
            slot.write_at(100, &[3; 50])?;
            slot.commit()
        }
        4 => broadcast
            .subscribe_from_oldest()?
            .try_recv(&mut buffer)
            .map(drop),
        5 => broadcast
            .subscribe_from_oldest()?
            .try_recv_batch(&mut buffer, &mut [0; 9])
            .map(drop),
        6 => {
            let mut subscriber = broadcast.subscribe_from_oldest()?;
            let message = subscriber.try_peek()?;
            let _ = message.to_vec();
            message.release()
        }
        _ => {
            let (mut publisher, mut subscriber) = (broadcast.publisher()?, broadcast.subscribe()?);
            for len in [0, 9, 1000, LONGEST, LONGEST] {
                let _ = publisher.try_publish(&buffer[..len]);
                let _ = subscriber.try_recv(&mut buffer);
            }
            let _ = subscriber.missed();
            Ok(())
        }
    }
}

fn use_ring(ring: &Ring, operation: u8) -> Result<(), Error> {
    let mut buffer = [0; 2 * SIZE];
    let _ = ring.used();
    let _ = ring.dropped();
    match operation {
        0 => ring.sender()?.try_send(&[5; 100]),
        1 => ring.sender()?.try_send(&[6; CAPACITY]),
        2 => ring
            .sender()?
            .try_send_batch(&[&[1], &[2; 500], &[]])
            .map(drop),
        3 => {
            let mut sender = ring.sender()?;
            let mut slot = sender.try_reserve(300)?;
            slot.write_at(100, &[3; 50])?;
            slot.commit()
        }
        4 => ring.receiver()?.try_recv(&mut buffer).map(drop),
        5 => ring
            .receiver()?
            .try_recv_batch(&mut buffer, &mut [0; 9])
            .map(drop),
        6 => {
            let mut receiver = ring.receiver()?;
            let message = receiver.try_peek()?;
            let _ = message.to_vec();
            message.release()
        }
        _ => {
            let (mut sender, mut receiver) = (ring.sender()?, ring.receiver()?);
            for len in [0, 9, 1000, CAPACITY] {
                let _ = sender.try_send(&buffer[..len]);
                let _ = receiver.try_recv(&mut buffer);
            }
            Ok(())
        }
    }
}
