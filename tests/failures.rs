//! Failures of operations on objects: a failed try costs no allocation, and the text that is made
//! later names the call, the object and the facts.

mod support;

use shmkey::{
    Attachment, Contents, Error, ErrorKind, Holding, Key, Latest, Life, Mutex, Place, Ring,
    Segment, Semaphore,
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    fmt::Debug,
    sync::Arc,
    thread,
    time::Duration,
};
use support::{Environment, NOW, helper_task, say, wait_to_be_told};

/// The system's allocator, and how often this thread has asked it.
struct Counting;

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: as the system's, which does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.set(ASKED.get() + 1);
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

/// The error, of this kind, that was made without an allocation.
fn cheap<T: Debug>(kind: ErrorKind, call: impl FnOnce() -> Result<T, Error>) -> Error {
    let before = ASKED.get();
    let error = call().map(drop).unwrap_err();
    assert_eq!(ASKED.get(), before, "{error}");
    assert_eq!(error.kind(), kind, "{error}");
    error
}

fn text<T: Debug>(result: Result<T, Error>) -> String {
    result.unwrap_err().to_string()
}

#[track_caller]
fn expect(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no \"{part}\" in: {text}");
    }
}

const SOON: Duration = Duration::from_millis(5);

/// Not a test of its own: what the helpers do.
#[test]
fn helper_process() {
    let Some((task, name)) = helper_task() else {
        return;
    };
    match task.as_str() {
        "lock" => {
            let mutex = Mutex::<u64>::open(name.as_str(), 0).unwrap();
            let _guard = mutex.lock().unwrap();
            say("ready");
            wait_to_be_told();
        }
        "reserve" => {
            let ring = Ring::options().many_senders(true).open(name.as_str(), 4096);
            let mut sender = ring.unwrap().sender().unwrap();
            let _slot = sender.try_reserve(8).unwrap();
            say("ready");
            wait_to_be_told();
        }
        "receive" => {
            let ring = Ring::open(name.as_str(), 4096).unwrap();
            let _receiver = ring.receiver().unwrap();
            say("ready");
            wait_to_be_told();
        }
        _ => panic!("what is {task}?"),
    }
}

#[test]
fn a_failed_try_and_a_timeout_allocate_nothing() {
    let test = Environment::new();
    let names = ["semaphore", "mutex", "latest", "ring", "many"].map(|kind| test.named(kind));
    let semaphore = Semaphore::open(names[0].as_str(), 0).unwrap();
    let mutex = Mutex::<u64>::open(names[1].as_str(), 0).unwrap();
    let latest = Latest::<u64>::open(names[2].as_str()).unwrap();
    let ring = Ring::open(names[3].as_str(), 64).unwrap();
    let many = Ring::options()
        .many_senders(true)
        .open(names[4].as_str(), 64)
        .unwrap();
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    let (mut one, mut other) = (many.sender().unwrap(), many.sender().unwrap());
    let guard = mutex.lock().unwrap();
    for (timeout, kind) in [(NOW, ErrorKind::WouldBlock), (SOON, ErrorKind::TimedOut)] {
        cheap(kind, || semaphore.wait_timeout(timeout));
        cheap(kind, || latest.wait_newer_timeout(&mut 0, timeout));
        cheap(kind, || receiver.recv_timeout(&mut [0; 64], timeout));
        cheap(kind, || receiver.peek_timeout(timeout).map(drop));
        cheap(kind, || {
            receiver.recv_batch_timeout(&mut [0; 64], &mut [0; 4], timeout)
        });
        thread::scope(|scope| {
            scope.spawn(|| cheap(kind, || mutex.lock_timeout(timeout).map(drop)));
        });
        let slot = one.try_reserve(8).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| cheap(kind, || other.send_timeout(b"a", timeout)));
        });
        drop(slot);
    }
    cheap(ErrorKind::WouldBlock, || receiver.try_recv(&mut [0; 64]));
    cheap(ErrorKind::Deadlock, || mutex.lock().map(drop));
    drop(guard);
    while sender.try_send(&[0; 8]).is_ok() {}
    for (timeout, kind) in [(NOW, ErrorKind::WouldBlock), (SOON, ErrorKind::TimedOut)] {
        cheap(kind, || sender.send_timeout(&[0; 8], timeout));
        cheap(kind, || sender.reserve_timeout(8, timeout).map(drop));
        cheap(kind, || sender.send_batch_timeout(&[&[0; 8]], timeout));
    }
    cheap(ErrorKind::TooLong, || sender.try_send(&[0; 65]));
    cheap(ErrorKind::TooLong, || receiver.try_recv(&mut [0; 4]));
    cheap(ErrorKind::Busy, || ring.receiver().map(drop));
}

#[test]
fn a_text_that_is_asked_for_later_names_a_closed_object() {
    let test = Environment::new();
    let error = {
        let semaphore = Semaphore::open(test.name(), 0).unwrap();
        let error = semaphore.wait_timeout(NOW).unwrap_err();
        semaphore.remove().unwrap();
        error
    };
    let other = Semaphore::open(test.named("other").as_str(), 0).unwrap();
    let _ = text(other.wait_timeout(NOW));
    let said = thread::spawn(move || error.to_string()).join().unwrap();
    expect(
        &said,
        &[
            "semaphore \"",
            test.name(),
            "(id ",
            "wait: EAGAIN: its count was 0",
        ],
    );
}

/// A holder's state is that of the time when the text is made.
#[test]
fn the_holder_of_a_lock_is_named_with_its_state() {
    let test = Environment::new();
    let mutex = Mutex::<u64>::open(test.name(), 0).unwrap();
    let mut helper = test.helper("lock");
    helper.expect("ready");
    let id = helper.child.id() as i32;
    let error = mutex.lock_timeout(NOW).map(drop).unwrap_err();
    let says = |state: &str| {
        // The helper's test runs in a thread of its own.
        let process = format!("process {id} ({state})");
        error.to_string().contains(&process)
    };
    expect(&error.to_string(), &["lock: EAGAIN: the lock is held by "]);
    while !says("sleeping") {
        thread::yield_now();
    }
    // SAFETY: signals to this process' own child.
    unsafe { libc::kill(id, libc::SIGSTOP) };
    while !says("stopped") {
        thread::yield_now();
    }
    // SAFETY: as above.
    unsafe { libc::kill(id, libc::SIGCONT) };
    helper.kill();
    expect(&error.to_string(), &["the lock is held by ", "(dead)"]);
    assert!(mutex.lock().unwrap().owner_died());
}

#[test]
fn a_thread_that_has_the_lock_gets_its_own_error() {
    let test = Environment::new();
    let mutex = Mutex::<u64>::open(test.name(), 0).unwrap();
    let _guard = mutex.lock().unwrap();
    expect(
        &text(mutex.lock().map(drop)),
        &[
            "mutex \"",
            "lock: EDEADLK: this thread has the lock already",
        ],
    );
    let other = thread::scope(|scope| {
        let task = scope.spawn(|| text(mutex.lock_timeout(SOON).map(drop)));
        task.join().unwrap()
    });
    expect(
        &other,
        &["ETIMEDOUT: the lock is held by ", "of this process ("],
    );
}

#[test]
fn who_has_a_slot_reserved_and_shmkey_show_says_so() {
    let test = Environment::new();
    let ring = Ring::options()
        .many_senders(true)
        .open(test.name(), 4096)
        .unwrap();
    let mut sender = ring.sender().unwrap();
    let mut helper = test.helper("reserve");
    helper.expect("ready");
    let said = text(sender.try_send(b"a"));
    let process = format!("process {} (", helper.child.id());
    expect(&said, &["send: EAGAIN: ", &process, "has a slot reserved"]);
    let contents: Contents = ring.segment().contents().unwrap().unwrap();
    let Holding::Ring { sending, .. } = contents.holding else {
        panic!("{contents:?}");
    };
    assert_eq!(sending.unwrap().life, Life::Alive);
    helper.kill();
    sender
        .try_send(b"a")
        .or_else(|_| sender.send(b"a"))
        .unwrap();
}

#[test]
fn roles_messages_and_deaths() {
    let test = Environment::new();
    let ring = Ring::open(test.name(), 4096).unwrap();
    let mut helper = test.helper("receive");
    helper.expect("ready");
    let process = format!("process {} (", helper.child.id());
    expect(
        &text(ring.receiver()),
        &["become the receiver: EBUSY: ", &process, "is the receiver"],
    );
    let mut sender = ring.sender().unwrap();
    expect(
        &text(ring.sender()),
        &["become a sender: EBUSY: this process is the sender"],
    );
    expect(
        &text(sender.try_send(&[0; 5000])),
        &["send: EMSGSIZE: the message has 5000 bytes, and the ring's capacity is 4096 bytes"],
    );
    while sender.try_send(&[0; 64]).is_ok() {}
    expect(
        &text(sender.try_send(&[0; 64])),
        &[
            "send: EAGAIN: there is no room for 64 bytes; ",
            &process,
            "is the receiver",
        ],
    );
    helper.kill();
    let died = loop {
        match sender.try_send(&[0; 64]).unwrap_err() {
            error if error.kind() == ErrorKind::PeerDied => break error.to_string(),
            _ => thread::yield_now(),
        }
    };
    expect(
        &died,
        &["EOWNERDEAD: process ", "(dead), the receiver, died"],
    );
    let mut receiver = ring.receiver().unwrap();
    expect(
        &text(receiver.try_recv(&mut [0; 10])),
        &["receive: EMSGSIZE: the message has 64 bytes, and the buffer has 10 bytes"],
    );
    ring.remove().unwrap();
    expect(
        &text(sender.try_send(&[0; 64])),
        &["EAGAIN", "its segment has been removed"],
    );
}

#[test]
fn both_sides_of_a_difference_are_named() {
    let test = Environment::new();
    let place = |layout| Place::named(test.name()).layout(layout);
    let _mutex = Mutex::<[u64; 3]>::open(place("pose v1"), [0; 3]).unwrap();
    expect(
        &text(Mutex::<[u64; 4]>::open(place("pose v2"), [0; 4])),
        &[
            "open: EPROTO: made with 24 bytes of layout \"pose v1\", asked for with 32 bytes of layout \"pose v2\"",
        ],
    );
    expect(
        &text(Latest::<[u64; 3]>::open(test.name())),
        &[
            "latest value \"",
            "open: EPROTOTYPE: the segment holds a mutex, and a latest value was asked for",
        ],
    );
    let ring = test.named("ring");
    let _ring = Ring::open(ring.as_str(), 4096).unwrap();
    expect(
        &text(Ring::options().many_senders(true).open(ring.as_str(), 8192)),
        &[
            "a capacity of 4096 bytes for one sender",
            "a capacity of 8192 bytes for many senders",
        ],
    );
    let semaphore = test.named("semaphore");
    let semaphore = Semaphore::open(semaphore.as_str(), Semaphore::MAX).unwrap();
    expect(
        &text(semaphore.post()),
        &["post: EOVERFLOW: its count is 2147483647, the largest"],
    );
    expect(&text(Semaphore::open("unused", 1 << 31)), &["2147483648"]);
    semaphore.remove().unwrap();
}

/// What a segment says is shown escaped and cut, whatever it is.
#[test]
fn hostile_names_are_escaped_and_cut() {
    let test = Environment::new();
    let semaphore = Semaphore::open(test.name(), 0).unwrap();
    let memory: Attachment = semaphore.segment().attach().unwrap();
    memory
        .write_at(128, &b"\x1b[2J\n\xff\0\\".repeat(32))
        .unwrap();
    for (len, kind) in [
        (256_u32, ErrorKind::KeyCollision),
        (u32::MAX, ErrorKind::Damaged),
    ] {
        memory.write_at(80, &len.to_ne_bytes()).unwrap();
        let error = Semaphore::open(test.name(), 0).unwrap_err();
        assert_eq!(error.kind(), kind);
        let said = error.to_string();
        assert!(said.chars().all(|c| !c.is_control()), "{said:?}");
        assert!(said.len() < 2000, "{said}");
    }
    let within = Arc::new(Segment::options().size(4096).open(Key::PRIVATE).unwrap());
    let memory = Arc::new(within.attach().unwrap());
    within.remove().unwrap();
    let semaphore = Semaphore::open(Place::within(memory, 1024), 0).unwrap();
    expect(
        &text(semaphore.wait_timeout(NOW)),
        &["offset 1024): wait: EAGAIN"],
    );
}
