//! A process overwrites an object while others use it. A call may fail; it may not crash, wait for ever, or access
//! memory outside the segment.
//!
//! Each object lies in a segment with nothing mapped in front of it and behind it, so that an access outside of it ends
//! the process. What is scribbled comes from a seed that is printed (`SHMKEY_SEED=…` repeats it).

mod support;

use shmkey::{
    AttachOptions, Attachment, Broadcast, Condvar, Key, Latest, Mutex, Place, Ring, RwLock,
    Segment, Semaphore,
};
use std::{
    process::exit,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use support::Random;

/// How long each object is used while it is scribbled over.
const LENGTH: Duration = Duration::from_millis(1500);
/// How many operations succeed before the child ends; without them, the attack shows nothing.
const ENOUGH: u32 = 3;
/// The longest that one operation may wait, and how much later it may come back.
const TIMEOUT: Duration = Duration::from_millis(5);
const LATE: Duration = Duration::from_secs(10);

const SIZE: usize = 16384;

/// Attaches a new segment with nothing mapped in front of it and behind it. Neither the kernel nor libc uses these
/// addresses by itself.
fn attach_apart() -> Arc<Attachment> {
    static NEXT: AtomicUsize = AtomicUsize::new(0x1000_0000_0000);
    let segment = Segment::options().size(SIZE).remove_on_drop(true);
    let segment = segment.open(Key::PRIVATE).unwrap();
    let address = NEXT.fetch_add(1 << 30, Relaxed);
    let options = AttachOptions::new().address(address);
    Arc::new(options.attach(&segment).unwrap())
}

/// Numbers that are more likely to do harm than others.
fn nasty(random: &mut Random) -> u64 {
    match random.below(10) {
        0 => 0,
        1 => u64::MAX,
        2 => 1 << random.below(64),
        3 => u64::MAX << random.below(64),
        4 => random.below(SIZE) as u64 & !7,
        // A frame of any kind.
        5 | 6 => {
            (random.below(SIZE * 2) as u64 & !7) | random.below(8) as u64 | random.next() << 45
        }
        7 => u64::from(random.next() as u32),
        _ => random.next(),
    }
}

/// Changes words all over a segment, and now and then puts it in order again for a moment, so that
/// others get further than to the first check.
fn scribble(memory: &Attachment, good: &[u8], random: &mut Random) {
    match random.below(40) {
        0 => memory.write_at(0, good).unwrap(),
        1 => {
            let from = random.below(SIZE - 512);
            let bytes: Vec<u8> = (0..random.below(512))
                .map(|_| random.next() as u8)
                .collect();
            memory.write_at(from, &bytes).unwrap();
        }
        // The words of the object, more often than the payload.
        2..=25 => {
            let at = 512 + (random.below(512) & !7);
            memory.write_at(at, &nasty(random).to_ne_bytes()).unwrap();
        }
        _ => {
            let at = random.below(SIZE) & !7;
            memory.write_at(at, &nasty(random).to_ne_bytes()).unwrap();
        }
    }
}

/// Has a child use an object again and again, while this process scribbles.
fn under_attack(
    open: impl Fn(Place),
    operate: impl Fn(&Arc<Attachment>, &mut Random) -> Result<(), shmkey::Error>,
) {
    let seed = Random::seed_of_run();
    let memory = attach_apart();
    open(Place::within(Arc::clone(&memory), 0));
    let mut good = vec![0; SIZE];
    memory.read_at(0, &mut good).unwrap();

    // SAFETY: the child uses what it inherits, and ends by itself.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // The parent's output is not the child's.
        let mut random = Random::seeded(seed ^ 1);
        let end = Instant::now() + LENGTH;
        let (mut late, mut through) = (false, 0);
        // Beyond the length if need be: on a busy machine, this process finds the object in order only once in a while.
        while Instant::now() < end || through < ENOUGH {
            let start = Instant::now();
            through += u32::from(operate(&memory, &mut random).is_ok());
            late |= start.elapsed() > LATE;
        }
        // SAFETY: ends this process, without the destructors that are the parent's.
        unsafe { libc::_exit(i32::from(late)) };
    }
    let mut random = Random::seeded(seed);
    let start = Instant::now();
    let mut status = 0;
    loop {
        for _ in 0..50 {
            scribble(&memory, &good, &mut random);
        }
        // SAFETY: the status is ours to write.
        match unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } {
            0 if start.elapsed() < LENGTH + 6 * LATE => {}
            0 => {
                // SAFETY: the child was not yet waited for.
                unsafe { libc::kill(child, libc::SIGKILL) };
                panic!("it waits for ever, or hardly an operation succeeds");
            }
            _ => break,
        }
    }
    match libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)) {
        Some(0) => {}
        Some(1) => panic!("an operation came back long after its time"),
        _ => panic!("the process ended with status {status:#x}"),
    }
}

fn within(memory: &Arc<Attachment>) -> Place {
    Place::within(Arc::clone(memory), 0).timeout(TIMEOUT)
}

#[test]
fn a_mutex_under_attack() {
    under_attack(
        |place| drop(Mutex::<[u64; 8]>::open(place, [0; 8]).unwrap()),
        |memory, random| {
            let mutex = Mutex::<[u64; 8]>::open(within(memory), [0; 8])?;
            for _ in 0..random.below(20) {
                let mut guard = mutex.lock_timeout(TIMEOUT)?;
                guard.mark_consistent();
                guard.set([random.next(); 8]);
            }
            Ok(())
        },
    );
}

#[test]
fn a_reader_writer_lock_under_attack() {
    under_attack(
        |place| drop(RwLock::<[u64; 8]>::open(place, [0; 8]).unwrap()),
        |memory, random| {
            let lock = RwLock::<[u64; 8]>::open(within(memory), [0; 8])?;
            for _ in 0..random.below(20) {
                let one = lock.read_timeout(TIMEOUT)?;
                let again = lock.read_timeout(TIMEOUT)?;
                let _ = one.get();
                drop((one, again));
                let mut guard = lock.write_timeout(TIMEOUT)?;
                guard.mark_consistent();
                guard.set([random.next(); 8]);
            }
            Ok(())
        },
    );
}

/// The condition variable lies behind the mutex.
#[test]
fn a_condition_variable_under_attack() {
    let behind =
        |memory: &Arc<Attachment>| Place::within(Arc::clone(memory), 2048).timeout(TIMEOUT);
    under_attack(
        |place| drop(Mutex::<u64>::open(place, 0).unwrap()),
        |memory, random| {
            let mutex = Mutex::<u64>::open(within(memory), 0)?;
            let condvar = Condvar::open(behind(memory))?;
            for _ in 0..random.below(5) {
                let mut guard = mutex.lock_timeout(TIMEOUT)?;
                guard.mark_consistent();
                condvar.notify_one();
                drop(condvar.wait_timeout(guard, TIMEOUT)?);
                condvar.notify_all();
            }
            Ok(())
        },
    );
}

#[test]
fn a_semaphore_under_attack() {
    under_attack(
        |place| drop(Semaphore::open(place, 0).unwrap()),
        |memory, random| {
            let semaphore = Semaphore::open(within(memory), 0)?;
            for _ in 0..random.below(20) {
                // The table of descriptors is among what is scribbled over.
                if random.below(2) == 0 {
                    semaphore.fd()?;
                    let _ = semaphore.try_wait();
                }
                semaphore.post()?;
                semaphore.wait_timeout(TIMEOUT)?;
                let _ = semaphore.value();
            }
            Ok(())
        },
    );
}

#[test]
fn a_latest_value_under_attack() {
    under_attack(
        |place| drop(Latest::<[u64; 100]>::open(place).unwrap()),
        |memory, random| {
            let latest = Latest::<[u64; 100]>::open(within(memory))?;
            let mut publisher = latest.publisher()?;
            let mut seen = 0;
            for _ in 0..random.below(20) {
                if random.below(2) == 0 {
                    latest.fd()?;
                    let _ = latest.read_newer(&mut seen);
                }
                publisher.publish([random.next(); 100])?;
                latest.read()?;
                latest.wait_newer_timeout(&mut seen, TIMEOUT)?;
            }
            Ok(())
        },
    );
}

/// Publishes and receives in every way.
fn use_broadcast(news: &Broadcast, random: &mut Random) -> Result<(), shmkey::Error> {
    let mut publisher = news.publisher()?;
    let mut subscribers = [news.subscribe()?, news.subscribe_from_oldest()?];
    let mut buffer = vec![0; news.capacity().min(1 << 20)];
    let mut lengths = [0; 5];
    for _ in 0..random.below(30) {
        let len = random.below(buffer.len().max(1));
        let subscriber = &mut subscribers[random.below(2)];
        if random.below(4) == 0 {
            subscriber.fd()?;
            let _ = subscriber.try_recv(&mut buffer);
        }
        match random.below(8) {
            0..=2 => publisher.publish_timeout(&buffer[..len / (1 + random.below(50))], TIMEOUT)?,
            3 => drop(publisher.publish_batch_timeout(&[&buffer[..len / 8]; 3], TIMEOUT)?),
            4 => {
                let mut slot = publisher.reserve_timeout(len / 4, TIMEOUT)?;
                slot.write_at(0, &buffer[..len / 5])?;
                slot.commit()?;
            }
            5 => drop(subscriber.recv_batch_timeout(&mut buffer, &mut lengths, TIMEOUT)?),
            6 => {
                let message = subscriber.peek_timeout(TIMEOUT)?;
                let _ = message.to_vec();
                message.release()?;
            }
            _ => drop(subscriber.recv_timeout(&mut buffer, TIMEOUT)?),
        }
        let _ = (news.used(), news.subscribers(), subscriber.missed());
    }
    Ok(())
}

#[test]
fn a_broadcast() {
    under_attack(
        |place| drop(Broadcast::open(place, 8000).unwrap()),
        |memory, random| use_broadcast(&Broadcast::open(within(memory), 8000)?, random),
    );
}

#[test]
fn a_lossy_broadcast() {
    let lossy = || Broadcast::options().lossy(true);
    under_attack(
        |place| drop(lossy().open(place, 8000).unwrap()),
        |memory, random| use_broadcast(&lossy().open(within(memory), 0)?, random),
    );
}

/// Sends and receives in every way.
fn use_ring(ring: &Ring, random: &mut Random) -> Result<(), shmkey::Error> {
    let (mut sender, mut receiver) = (ring.sender()?, ring.receiver()?);
    let mut buffer = vec![0; ring.capacity().min(1 << 20)];
    let mut lengths = [0; 5];
    for _ in 0..random.below(30) {
        let len = random.below(buffer.len().max(1));
        if random.below(4) == 0 {
            receiver.fd()?;
            let _ = receiver.try_recv(&mut buffer);
        }
        match random.below(8) {
            0..=2 => sender.send_timeout(&buffer[..len / (1 + random.below(50))], TIMEOUT)?,
            3 => drop(sender.send_batch_timeout(&[&buffer[..len / 8]; 3], TIMEOUT)?),
            4 => {
                let mut slot = sender.reserve_timeout(len / 4, TIMEOUT)?;
                slot.write_at(0, &buffer[..len / 5])?;
                slot.commit()?;
            }
            5 => drop(receiver.recv_batch_timeout(&mut buffer, &mut lengths, TIMEOUT)?),
            6 => {
                let message = receiver.peek_timeout(TIMEOUT)?;
                let _ = message.to_vec();
                if let Some(last) = message.len().checked_sub(1) {
                    // SAFETY: the address leads to so many bytes.
                    unsafe { message.as_ptr().add(last).read_volatile() };
                }
                message.release()?;
            }
            _ => drop(receiver.recv_timeout(&mut buffer, TIMEOUT)?),
        }
        let _ = ring.used();
        let _ = ring.dropped();
    }
    Ok(())
}

#[test]
fn a_ring_under_attack() {
    under_attack(
        |place| drop(Ring::open(place, 10000).unwrap()),
        |memory, random| use_ring(&Ring::open(within(memory), 10000)?, random),
    );
}

#[test]
fn a_ring_of_any_capacity_under_attack() {
    under_attack(
        |place| drop(Ring::open(place, 10000).unwrap()),
        |memory, random| use_ring(&Ring::open(within(memory), 0)?, random),
    );
}

#[test]
fn a_ring_of_many_senders_under_attack() {
    let many = || Ring::options().many_senders(true);
    under_attack(
        |place| drop(many().open(place, 10000).unwrap()),
        |memory, random| use_ring(&many().open(within(memory), 10000)?, random),
    );
}

#[test]
fn a_ring_that_drops_the_oldest_under_attack() {
    let dropping = || Ring::options().drop_oldest(true);
    under_attack(
        |place| drop(dropping().open(place, 10000).unwrap()),
        |memory, random| use_ring(&dropping().open(within(memory), 10000)?, random),
    );
}

/// Bytes that stay as they are can hold a process in a loop that others would end by scribbling on.
#[test]
fn planted_words_hold_no_process() {
    let seed = Random::seed_of_run();
    let memory = attach_apart();
    let mut good = vec![0; SIZE];
    for (many, drops) in [(false, false), (true, false), (false, true)] {
        let options = Ring::options().many_senders(many).drop_oldest(drops);
        memory.write_at(0, &[0; SIZE]).unwrap();
        let ring = options.open(within(&memory), 4096).unwrap();
        use_ring(&ring, &mut Random::seeded(seed)).ok();
        drop(ring);
        memory.read_at(0, &mut good).unwrap();
        // SAFETY: the child uses what it inherits, and ends by itself.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let mut random = Random::seeded(seed);
            for _ in 0..400 {
                memory.write_at(0, &good).unwrap();
                for _ in 0..1 + random.below(4) {
                    // The lock, the capacity and the positions, the claims, and the first words of frames.
                    let at = match random.below(4) {
                        0 => 512 + (random.below(512) & !7),
                        1 => [104, 576, 584, 592, 640, 648, 704, 712][random.below(8)],
                        2 => 1536 + (random.below(64) & !7),
                        _ => 1024 + (random.below(4608) & !7),
                    };
                    let room = 4160 + 512;
                    let value = match random.below(4) {
                        0 => nasty(&mut random),
                        1 => (random.below(room + 16) as u64 & !7) | random.below(6) as u64,
                        2 => (random.below(2 * room) as u64).wrapping_neg(),
                        _ => room as u64 | random.below(6) as u64,
                    };
                    memory.write_at(at, &value.to_ne_bytes()).unwrap();
                }
                // Each operation ends after 5 ms; all of a round have ten seconds together.
                // SAFETY: the alarm ends this process if it is not set again in time.
                unsafe { libc::alarm(10) };
                if let Ok(ring) = options.open(within(&memory), 4096) {
                    let _ = use_ring(&ring, &mut random);
                }
            }
            // SAFETY: ends this process, without the destructors that are the parent's.
            unsafe { libc::_exit(0) };
        }
        let mut status = 0;
        // SAFETY: the status is ours to write.
        unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!(status, 0, "many {many}, drops {drops}");
    }
}

/// The other tests rely on this.
#[test]
fn an_access_outside_of_the_segment_ends_the_process() {
    let memory = attach_apart();
    for outside in [SIZE as isize, -1] {
        // SAFETY: the child reads where it must not, which is what it is to die of.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: as above.
            unsafe { memory.as_ptr().offset(outside).read_volatile() };
            exit(0);
        }
        let mut status = 0;
        // SAFETY: the status is ours to write.
        unsafe { libc::waitpid(child, &mut status, 0) };
        assert!(libc::WIFSIGNALED(status), "{status:#x}");
    }
}
