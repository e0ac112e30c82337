//! Failures of operations on objects: a failed try costs no allocation, and the text that is made
//! later names the call, the object and the facts.

mod support;

use shmkey::{
    Error, ErrorKind, ErrorKind::*, Holding, Latest, Life, Mutex, Place, Ring, RingOptions,
    Segment, Semaphore,
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    fmt::Debug,
    thread,
    time::Duration,
};
use support::{Environment, NOW, do_task, fails, private_memory, say, says, wait_for_line};

/// The system's allocator, which counts the allocations of each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Expects that a call fails with an error of this kind, and allocates nothing. Returns the error.
fn cheap<T: Debug>(kind: ErrorKind, call: impl FnOnce() -> Result<T, Error>) -> Error {
    let before = ALLOCATIONS.get();
    let error = call().map(drop).unwrap_err();
    assert_eq!(ALLOCATIONS.get(), before, "{error}");
    assert_eq!(error.kind(), kind, "{error}");
    error
}

const SOON: Duration = Duration::from_millis(5);

/// Expects that a call fails, with a text that has these parts.
#[track_caller]
fn explains<T: Debug>(result: Result<T, Error>, parts: &str) {
    says(&result.unwrap_err().to_string(), parts);
}

fn many() -> RingOptions {
    Ring::options().many_senders(true)
}

#[test]
fn helper_process() {
    do_task(&[("lock", lock), ("reserve", reserve), ("receive", receive)]);
}

fn lock(name: &str) {
    let mutex = Mutex::<u64>::open(name, 0).unwrap();
    let _guard = mutex.lock().unwrap();
    say("ready");
    wait_for_line();
}

fn reserve(name: &str) {
    let mut sender = many().open(name, 4096).unwrap().sender().unwrap();
    let _slot = sender.try_reserve(8).unwrap();
    say("ready");
    wait_for_line();
}

fn receive(name: &str) {
    let ring = Ring::open(name, 4096).unwrap();
    let _receiver = ring.receiver().unwrap();
    say("ready");
    wait_for_line();
}

/// In another thread, because this one has the lock.
fn elsewhere(act: impl FnOnce() + Send) {
    thread::scope(|scope| {
        scope.spawn(act);
    });
}

const IN_VAIN: [(Duration, ErrorKind); 2] = [(NOW, WouldBlock), (SOON, TimedOut)];

#[test]
fn locking_and_waiting_in_vain_allocate_nothing() {
    let test = Environment::new();
    let semaphore = Semaphore::open(test.named("semaphore"), 0).unwrap();
    let mutex = Mutex::<u64>::open(test.named("mutex"), 0).unwrap();
    let latest = Latest::<u64>::open(test.named("latest")).unwrap();
    let _guard = mutex.lock().unwrap();
    for (timeout, kind) in IN_VAIN {
        cheap(kind, || semaphore.wait_timeout(timeout));
        cheap(kind, || latest.wait_newer_timeout(&mut 0, timeout));
        elsewhere(|| drop(cheap(kind, || mutex.lock_timeout(timeout).map(drop))));
    }
    cheap(Deadlock, || mutex.lock().map(drop));
}

#[test]
fn sending_and_receiving_in_vain_allocate_nothing() {
    let test = Environment::new();
    let ring = Ring::open(test.name(), 64).unwrap();
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    let mut buffer = [0; 64];
    for (timeout, kind) in IN_VAIN {
        cheap(kind, || receiver.recv_timeout(&mut buffer, timeout));
        cheap(kind, || receiver.peek_timeout(timeout).map(drop));
        cheap(kind, || {
            receiver.recv_batch_timeout(&mut buffer, &mut [0; 4], timeout)
        });
    }
    cheap(WouldBlock, || receiver.try_recv(&mut buffer));
    while sender.try_send(&[0; 8]).is_ok() {}
    for (timeout, kind) in IN_VAIN {
        cheap(kind, || sender.send_timeout(&[0; 8], timeout));
        cheap(kind, || sender.reserve_timeout(8, timeout).map(drop));
        cheap(kind, || sender.send_batch_timeout(&[&[0; 8]], timeout));
    }
    cheap(TooLong, || sender.try_send(&[0; 65]));
    cheap(TooLong, || receiver.try_recv(&mut [0; 4]));
    cheap(Busy, || ring.receiver().map(drop));
}

#[test]
fn sending_beside_a_reserved_slot_in_vain_allocates_nothing() {
    let test = Environment::new();
    let ring = many().open(test.name(), 64).unwrap();
    let (mut one, mut other) = (ring.sender().unwrap(), ring.sender().unwrap());
    for (timeout, kind) in IN_VAIN {
        let _slot = one.try_reserve(8).unwrap();
        elsewhere(|| drop(cheap(kind, || other.send_timeout(b"a", timeout))));
    }
}

#[test]
fn a_text_that_is_made_later_names_a_closed_object() {
    let test = Environment::new();
    let error = {
        let semaphore = Semaphore::open(test.name(), 0).unwrap();
        let error = semaphore.wait_timeout(NOW).unwrap_err();
        semaphore.remove().unwrap();
        error
    };
    let other = Semaphore::open(test.named("other"), 0).unwrap();
    fails(other.wait_timeout(NOW), WouldBlock);
    let text = thread::spawn(move || error.to_string()).join().unwrap();
    let expected = format!(
        "semaphore \"{}\" (id …wait: EAGAIN: its count was 0",
        test.name()
    );
    says(&text, &expected);
}

/// A holder's state is that of the time when the text is made.
#[test]
fn the_holder_of_a_lock_is_named_with_its_state() {
    let test = Environment::new();
    let mutex = Mutex::<u64>::open(test.name(), 0).unwrap();
    let mut helper = test.helper("lock").expecting("ready");
    let id = helper.child.id() as i32;
    let error = fails(mutex.lock_timeout(NOW), WouldBlock);
    // The helper's test runs in a thread of its own.
    let wait_for = |state: &str| {
        while !error
            .to_string()
            .contains(&format!("process {id} ({state})"))
        {
            thread::yield_now();
        }
    };
    says(&error.to_string(), "lock: EAGAIN: the lock is held by ");
    wait_for("sleeping");
    // SAFETY: signals to this process's own child.
    unsafe { libc::kill(id, libc::SIGSTOP) };
    wait_for("stopped");
    // SAFETY: as above.
    unsafe { libc::kill(id, libc::SIGCONT) };
    helper.kill();
    says(&error.to_string(), "the lock is held by …(dead)");
    assert!(mutex.lock().unwrap().owner_died());
}

#[test]
fn a_thread_that_has_the_lock_gets_an_error_of_its_own() {
    let test = Environment::new();
    let mutex = Mutex::<u64>::open(test.name(), 0).unwrap();
    let _guard = mutex.lock().unwrap();
    explains(
        mutex.lock().map(drop),
        "mutex \"…lock: EDEADLK: this thread has the lock already",
    );
    let held = "ETIMEDOUT: the lock is held by …of this process (";
    elsewhere(|| explains(mutex.lock_timeout(SOON).map(drop), held));
}

#[test]
fn the_holder_of_a_reserved_slot_is_named() {
    let test = Environment::new();
    let ring = many().open(test.name(), 4096).unwrap();
    let mut sender = ring.sender().unwrap();
    let mut helper = test.helper("reserve").expecting("ready");
    let id = helper.child.id();
    let expected = format!("send: EAGAIN: …process {id} (…has a slot reserved");
    explains(sender.try_send(b"a"), &expected);
    let contents = ring.segment().contents().unwrap().unwrap();
    let Holding::Ring { sending, .. } = contents.holding else {
        panic!("{contents:?}");
    };
    assert_eq!(sending.unwrap().life, Life::Live);
    helper.kill();
    let sent = sender.try_send(b"a");
    sent.or_else(|_| sender.send(b"a")).unwrap();
}

#[test]
fn the_sender_and_the_receiver_of_a_ring_are_named() {
    let test = Environment::new();
    let ring = Ring::open(test.name(), 4096).unwrap();
    let mut helper = test.helper("receive").expecting("ready");
    let receiver = format!("process {} (…is the receiver", helper.child.id());
    explains(
        ring.receiver(),
        &format!("become the receiver: EBUSY: …{receiver}"),
    );
    let mut sender = ring.sender().unwrap();
    explains(
        ring.sender(),
        "become a sender: EBUSY: another handle of this process is the sender",
    );
    while sender.try_send(&[0; 64]).is_ok() {}
    let full = format!("send: EAGAIN: there is no room for 64 bytes; …{receiver}");
    explains(sender.try_send(&[0; 64]), &full);
    helper.kill();
    let died = loop {
        match sender.try_send(&[0; 64]).unwrap_err() {
            error if error.kind() == PeerDied => break error.to_string(),
            _ => thread::yield_now(),
        }
    };
    says(&died, "EOWNERDEAD: process …(dead), the receiver, died");
}

#[test]
fn the_lengths_of_a_message_and_its_room_are_named() {
    let test = Environment::new();
    let ring = Ring::open(test.name(), 4096).unwrap();
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    let too_long =
        "send: EMSGSIZE: the message has 5000 bytes, and the ring's capacity is 4096 bytes";
    explains(sender.try_send(&[0; 5000]), too_long);
    while sender.try_send(&[0; 64]).is_ok() {}
    let too_short = "receive: EMSGSIZE: the message has 64 bytes, and the buffer has 10 bytes";
    explains(receiver.try_recv(&mut [0; 10]), too_short);
    ring.remove().unwrap();
    explains(
        sender.try_send(&[0; 64]),
        "EAGAIN…its segment has been removed",
    );
}

#[test]
fn both_sides_of_a_difference_are_named() {
    let test = Environment::new();
    let place = |layout| Place::named(test.name()).layout(layout);
    let _mutex = Mutex::<[u64; 3]>::open(place("pose v1"), [0; 3]).unwrap();
    explains(
        Mutex::<[u64; 4]>::open(place("pose v2"), [0; 4]),
        "open: EPROTO: created with 24 bytes of layout \"pose v1\", asked for with 32 bytes of layout \"pose v2\"",
    );
    explains(
        Latest::<[u64; 3]>::open(test.name()),
        "latest value \"…open: EPROTOTYPE: the segment holds a mutex, and a latest value was asked for",
    );
    let name = test.named("ring");
    let _ring = Ring::open(&name, 4096).unwrap();
    explains(
        many().open(&name, 8192),
        "a capacity of 4096 bytes for one sender…a capacity of 8192 bytes for many senders",
    );
}

#[test]
fn the_largest_count_of_a_semaphore_is_named() {
    let test = Environment::new();
    let semaphore = Semaphore::open(test.name(), Semaphore::MAX).unwrap();
    let overflow = "post: EOVERFLOW: its count is 2147483647, the largest";
    explains(semaphore.post(), overflow);
    explains(Semaphore::open("unused", 1 << 31), "2147483648");
}

#[test]
fn the_offset_of_an_object_in_a_segment_is_named() {
    let place = Place::within(private_memory(4096), 1024);
    let semaphore = Semaphore::open(place, 0).unwrap();
    explains(semaphore.wait_timeout(NOW), "offset 1024): wait: EAGAIN");
}

#[test]
fn a_text_has_the_names_of_rust() {
    let test = Environment::new();
    let key = test.key();
    explains(
        Segment::open(key),
        "ENOENT: …ask to create it (create(true))",
    );
    let place = || Place::named(test.name()).create(false);
    explains(
        Semaphore::open(place(), 0),
        "ask to create it (create(true))",
    );
    let _semaphore = Semaphore::open(test.name(), 0).unwrap();
    explains(
        Segment::options().exclusive(true).size(1).open(key),
        "EEXIST: …open it without exclusive(true); ",
    );
    explains(
        Mutex::<u64>::open(place().read_only(true), 0),
        "EACCES: …open it without read_only(true)",
    );
    explains(
        Segment::from_id(-1).status(),
        "what a failed shmget returns",
    );
    explains(Segment::options().mode(0o1000).open(key), "0 to 0o777");
}

/// Whatever a segment has in the place of a name.
#[test]
fn hostile_names_are_escaped_and_cut() {
    let test = Environment::new();
    let semaphore = Semaphore::open(test.name(), 0).unwrap();
    let memory = semaphore.segment().attach().unwrap();
    let name = b"\x1b[2J\n\xff\0\\".repeat(32);
    memory.write_at(128, &name).unwrap();
    for (len, kind) in [(256_u32, KeyCollision), (u32::MAX, Damaged)] {
        memory.set(80, len).unwrap();
        let error = fails(Semaphore::open(test.name(), 0), kind).to_string();
        assert!(error.chars().all(|c| !c.is_control()), "{error:?}");
        assert!(error.len() < 2000, "{error}");
    }
}
