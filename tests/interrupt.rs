//! Ending a wait before its event: by a signal, or by a cancellation, for every kind of object that waits.

mod support;

use shmkey::{
    Broadcast, Canceller, Condvar, Error, ErrorKind, Latest, Mutex, MutexGuard, Ring, RwLock,
    Semaphore, wait_any,
};
use std::{
    fs,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicI32, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};
use support::{
    AGES, Environment, NOW, SOON, do_task, fails, in_another_process, in_child,
    in_processes_without_futex_waitv, refuse_futex_waitv, say, status_of_child,
};

#[test]
fn helper_process() {
    do_task(&[
        ("cancel_in_a_handler", |_| cancel_in_a_handler()),
        ("interrupt_by_signals", |_| interrupt_by_signals()),
        ("signal_in_vain", |_| signal_in_vain()),
        ("cancel_without_futex_waitv", cancel_without_futex_waitv),
    ]);
    say("done");
}

/// What ends the waits of a handle before their events.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Nothing,
    Signals,
    Cancelling,
}

type Wait = Box<dyn FnMut(Option<Duration>) -> Result<(), Error> + Send>;

/// A handle on which a call waits.
struct Waiting {
    what: &'static str,
    /// Waits, at most for a time if there is one.
    wait: Wait,
    /// Has the event happen once.
    happen: Box<dyn FnMut() + Send>,
    canceller: Option<Canceller>,
    /// Whether a call waits again after the event and the call that it let through: unlike for a lock that is free.
    blocks_again: bool,
}

/// Prepares a handle, and returns its canceller if it is to have one.
macro_rules! ended_by {
    ($by:expr, $handle:expr) => {
        match $by {
            By::Nothing => None,
            By::Signals => {
                $handle.set_interruptible(true);
                None
            }
            By::Cancelling => Some($handle.canceller()),
        }
    };
}

/// Calls the form of an operation that waits, or the one with a timeout.
macro_rules! wait {
    ($timeout:expr, $handle:ident . $forever:ident, $for_a_time:ident ( $($argument:expr),* )) => {
        match $timeout {
            None => $handle.$forever($($argument),*).map(drop),
            Some(timeout) => $handle.$for_a_time($($argument,)* timeout).map(drop),
        }
    };
}

impl Waiting {
    /// Returns one for each kind of object and each side.
    fn all(test: &Environment, by: By) -> Vec<Waiting> {
        let kinds = [
            semaphore,
            mutex,
            reader,
            writer,
            writer_after_readers,
            condvar,
            latest,
            receiver,
            sender,
            many_senders,
            subscriber,
            publisher,
        ];
        kinds.map(|kind| kind(test, by)).into()
    }

    fn cancel(&self) {
        self.canceller.as_ref().unwrap().cancel();
    }

    fn wait(&mut self) -> Result<(), Error> {
        (self.wait)(None)
    }

    /// Has the event happen, and expects that a wait notices it: nothing is lost.
    fn expect_event(&mut self) {
        (self.happen)();
        let waited = (self.wait)(Some(AGES));
        assert!(waited.is_ok(), "{}: {waited:?}", self.what);
    }
}

fn semaphore(test: &Environment, by: By) -> Waiting {
    let name = test.named("semaphore");
    let (semaphore, poster) = (
        Semaphore::open(&*name, 0),
        Semaphore::open(&*name, 0).unwrap(),
    );
    let semaphore = semaphore.unwrap();
    Waiting {
        what: "semaphore",
        blocks_again: true,
        canceller: ended_by!(by, semaphore),
        wait: Box::new(move |timeout| wait!(timeout, semaphore.wait, wait_timeout())),
        happen: Box::new(move || poster.post().unwrap()),
    }
}

/// Has another thread do something until it gets a message to end. Returns what sends that, and waits for its end.
fn until_told(act: impl FnOnce(&mut dyn FnMut()) + Send + 'static) -> Box<dyn FnMut() + Send> {
    let (tell, told) = mpsc::channel::<()>();
    let (say, said) = mpsc::channel::<()>();
    let mut thread = Some(thread::spawn(move || {
        act(&mut || {
            say.send(()).unwrap();
            let _ = told.recv();
        });
    }));
    said.recv().unwrap();
    Box::new(move || {
        let _ = tell.send(());
        if let Some(thread) = thread.take() {
            thread.join().unwrap();
        }
    })
}

fn mutex(test: &Environment, by: By) -> Waiting {
    let name = test.named("mutex");
    let mutex = Mutex::open(&*name, 0_u64).unwrap();
    Waiting {
        what: "mutex",
        blocks_again: false,
        canceller: ended_by!(by, mutex),
        wait: Box::new(move |timeout| wait!(timeout, mutex.lock, lock_timeout())),
        happen: until_told(move |wait| {
            let mutex = Mutex::open(&*name, 0_u64).unwrap();
            let _guard = mutex.lock().unwrap();
            wait();
        }),
    }
}

/// A reader that waits for a writer.
fn reader(test: &Environment, by: By) -> Waiting {
    let name = test.named("reader");
    let lock = RwLock::open(&*name, 0_u64).unwrap();
    Waiting {
        what: "reader",
        blocks_again: false,
        canceller: ended_by!(by, lock),
        wait: Box::new(move |timeout| wait!(timeout, lock.read, read_timeout())),
        happen: until_told(move |wait| {
            let lock = RwLock::open(&*name, 0_u64).unwrap();
            let _guard = lock.write().unwrap();
            wait();
        }),
    }
}

/// A writer that waits for another one.
fn writer(test: &Environment, by: By) -> Waiting {
    let name = test.named("writer");
    let lock = RwLock::open(&*name, 0_u64).unwrap();
    Waiting {
        what: "writer",
        blocks_again: false,
        canceller: ended_by!(by, lock),
        wait: Box::new(move |timeout| wait!(timeout, lock.write, write_timeout())),
        happen: until_told(move |wait| {
            let lock = RwLock::open(&*name, 0_u64).unwrap();
            let _guard = lock.write().unwrap();
            wait();
        }),
    }
}

/// A writer that waits for a reader.
fn writer_after_readers(test: &Environment, by: By) -> Waiting {
    let name = test.named("writer after readers");
    let lock = RwLock::open(&*name, 0_u64).unwrap();
    Waiting {
        what: "writer after readers",
        blocks_again: false,
        canceller: ended_by!(by, lock),
        wait: Box::new(move |timeout| wait!(timeout, lock.write, write_timeout())),
        happen: until_told(move |wait| {
            let lock = RwLock::open(&*name, 0_u64).unwrap();
            let _guard = lock.read().unwrap();
            wait();
        }),
    }
}

/// Waits for an item, which a mutex protects, and takes it.
fn condvar(test: &Environment, by: By) -> Waiting {
    let names = [test.named("items"), test.named("added")];
    let open = move || {
        let [items, added] = &names;
        let items = Mutex::open(items.as_str(), 0_u64).unwrap();
        (items, Condvar::open(added.as_str()).unwrap())
    };
    let ((items, added), (other_items, notifier)) = (open(), open());
    // The error of a wait in vain, which a condition variable does not have.
    let never = Semaphore::open(test.named("never").as_str(), 0).unwrap();
    Waiting {
        what: "condition variable",
        blocks_again: true,
        canceller: ended_by!(by, added),
        wait: Box::new(move |timeout| {
            let guard = items.lock().unwrap();
            let none = |items: &mut MutexGuard<u64>| items.get() == 0;
            let waited = match timeout {
                None => added.wait_while(guard, none).map(|guard| (guard, false)),
                Some(timeout) => added
                    .wait_timeout_while(guard, timeout, none)
                    .map(|(guard, result)| (guard, result.timed_out())),
            };
            match waited {
                Ok((mut guard, false)) => {
                    guard.update(|items| *items -= 1);
                    Ok(())
                }
                Ok(_) => never.wait_timeout(timeout.unwrap().min(SOON)),
                Err(failed) => {
                    assert!(failed.to_string().contains("wait: E"), "{failed}");
                    thread::scope(|scope| {
                        let other =
                            scope.spawn(|| drop(fails(items.try_lock(), ErrorKind::WouldBlock)));
                        other.join().unwrap();
                    });
                    Err(failed.into())
                }
            }
        }),
        happen: Box::new(move || {
            other_items.lock().unwrap().update(|items| *items += 1);
            notifier.notify_one();
        }),
    }
}

fn latest(test: &Environment, by: By) -> Waiting {
    let latest = Latest::<u64>::open(&*test.named("latest")).unwrap();
    let (mut publisher, mut seen) = (latest.publisher().unwrap(), 0);
    Waiting {
        what: "latest",
        blocks_again: true,
        canceller: ended_by!(by, latest),
        wait: Box::new(move |timeout| {
            wait!(timeout, latest.wait_newer, wait_newer_timeout(&mut seen))
        }),
        happen: Box::new(move || publisher.publish(7).unwrap()),
    }
}

fn receiver(test: &Environment, by: By) -> Waiting {
    let ring = Ring::open(&*test.named("receiver"), 64).unwrap();
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    Waiting {
        what: "receiver",
        blocks_again: true,
        canceller: ended_by!(by, receiver),
        wait: Box::new(move |timeout| {
            let buffer = &mut [0; 64];
            wait!(timeout, receiver.recv, recv_timeout(buffer))
        }),
        happen: Box::new(move || sender.send(b"x").unwrap()),
    }
}

fn sender(test: &Environment, by: By) -> Waiting {
    let ring = Ring::open(&*test.named("sender"), 64).unwrap();
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    sender.send(&[0; 64]).unwrap();
    Waiting {
        what: "sender",
        blocks_again: true,
        canceller: ended_by!(by, sender),
        wait: Box::new(move |timeout| wait!(timeout, sender.send, send_timeout(&[0; 64]))),
        happen: Box::new(move || assert!(receiver.recv(&mut [0; 64]).is_ok())),
    }
}

/// A sender that waits for the lock, which another one has while its slot is reserved.
fn many_senders(test: &Environment, by: By) -> Waiting {
    let ring = Ring::options()
        .many_senders(true)
        .open(&*test.named("senders"), 4096);
    let ring = ring.unwrap();
    let mut sender = ring.sender().unwrap();
    Waiting {
        what: "many senders",
        blocks_again: false,
        canceller: ended_by!(by, sender),
        wait: Box::new(move |timeout| wait!(timeout, sender.send, send_timeout(b"x"))),
        happen: until_told(move |wait| {
            let mut other = ring.sender().unwrap();
            let _slot = other.reserve(8).unwrap();
            wait();
        }),
    }
}

fn subscriber(test: &Environment, by: By) -> Waiting {
    let news = Broadcast::open(&*test.named("subscriber"), 4096).unwrap();
    let (mut publisher, mut subscriber) = (news.publisher().unwrap(), news.subscribe().unwrap());
    Waiting {
        what: "subscriber",
        blocks_again: true,
        canceller: ended_by!(by, subscriber),
        wait: Box::new(move |timeout| {
            let buffer = &mut [0; 64];
            wait!(timeout, subscriber.recv, recv_timeout(buffer))
        }),
        happen: Box::new(move || publisher.publish(b"x").unwrap()),
    }
}

fn publisher(test: &Environment, by: By) -> Waiting {
    let news = Broadcast::open(&*test.named("publisher"), 4096).unwrap();
    let (mut publisher, mut subscriber) = (news.publisher().unwrap(), news.subscribe().unwrap());
    while publisher.try_publish(&[0; 4096]).is_ok() {}
    Waiting {
        what: "publisher",
        blocks_again: true,
        canceller: ended_by!(by, publisher),
        wait: Box::new(move |timeout| {
            wait!(timeout, publisher.publish, publish_timeout(&[0; 4096]))
        }),
        happen: Box::new(move || assert!(subscriber.recv(&mut [0; 4096]).is_ok())),
    }
}

fn thread_id() -> i32 {
    // SAFETY: takes nothing, and cannot fail.
    unsafe { libc::gettid() }
}

/// Waits until a thread of this process sleeps.
fn until_asleep(thread: i32) {
    let stat = || fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap_or_default();
    while !stat().contains(") S ") {
        thread::yield_now();
    }
}

/// Waits in another thread, and returns the result of the wait once `end` has ended it. `end` is called again and again,
/// with the thread.
fn wait_until(waiting: &mut Waiting, end: impl Fn(&Waiting, i32)) -> Result<(), Error> {
    let mut wait = std::mem::replace(&mut waiting.wait, Box::new(|_| Ok(())));
    let (id, ended) = (AtomicI32::new(0), AtomicBool::new(false));
    let result = thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            id.store(thread_id(), SeqCst);
            let result = wait(None);
            ended.store(true, SeqCst);
            result
        });
        while id.load(SeqCst) == 0 {
            thread::yield_now();
        }
        until_asleep(id.load(SeqCst));
        while !ended.load(SeqCst) {
            end(waiting, id.load(SeqCst));
            thread::sleep(Duration::from_millis(1));
        }
        waiter.join().unwrap()
    });
    waiting.wait = wait;
    result
}

#[test]
fn a_wait_that_is_cancelled_ends_and_loses_nothing() {
    waits_are_cancelled();
}

/// Cancels a wait for each kind of object, once while it sleeps.
fn waits_are_cancelled() {
    let test = Environment::new();
    for mut waiting in Waiting::all(&test, By::Cancelling) {
        let once = AtomicBool::new(true);
        let result = wait_until(&mut waiting, |waiting, _| {
            if once.swap(false, SeqCst) {
                waiting.cancel();
            }
        });
        fails(result, ErrorKind::Cancelled);
        waiting.expect_event();
    }
}

#[test]
fn a_cancellation_before_the_wait_ends_it_and_no_other() {
    let test = Environment::new();
    for mut waiting in Waiting::all(&test, By::Cancelling) {
        waiting.cancel();
        waiting.cancel();
        fails((waiting.wait)(Some(AGES)), ErrorKind::Cancelled);
        waiting.expect_event();
    }
}

#[test]
fn a_call_that_need_not_wait_keeps_the_cancellation() {
    let test = Environment::new();
    for mut waiting in Waiting::all(&test, By::Cancelling) {
        waiting.cancel();
        fails((waiting.wait)(Some(NOW)), ErrorKind::WouldBlock);
        waiting.expect_event();
        if waiting.blocks_again {
            let error = fails(waiting.wait(), ErrorKind::Cancelled);
            assert_eq!(error.errno(), libc::ECANCELED);
        }
    }
}

/// The next call can still say that the peers are gone.
#[test]
fn a_cancellation_comes_before_the_end_of_the_peers() {
    let test = Environment::with_names(&["ring", "room", "news"]);
    let ring = Ring::open(&*test.named("ring"), 64).unwrap();
    let mut receiver = ring.receiver().unwrap();
    drop(ring.sender().unwrap());
    receiver.canceller().cancel();
    fails(
        receiver.recv_timeout(&mut [0; 8], AGES),
        ErrorKind::Cancelled,
    );
    fails(receiver.recv_timeout(&mut [0; 8], AGES), ErrorKind::Closed);

    let room = Ring::open(&*test.named("room"), 64).unwrap();
    let mut sender = room.sender().unwrap();
    sender.send(&[0; 64]).unwrap();
    drop(room.receiver().unwrap());
    sender.canceller().cancel();
    fails(sender.send_timeout(&[0; 64], AGES), ErrorKind::Cancelled);
    fails(sender.send_timeout(&[0; 64], AGES), ErrorKind::Closed);

    let news = Broadcast::open(&*test.named("news"), 64).unwrap();
    let mut subscriber = news.subscribe().unwrap();
    drop(news.publisher().unwrap());
    subscriber.canceller().cancel();
    fails(
        subscriber.recv_timeout(&mut [0; 8], AGES),
        ErrorKind::Cancelled,
    );
    fails(
        subscriber.recv_timeout(&mut [0; 8], AGES),
        ErrorKind::Closed,
    );
}

#[test]
fn a_batch_that_is_cancelled_in_the_middle_keeps_the_cancellation() {
    let test = Environment::new();
    let batch: [&[u8]; 100] = [&[0; 64]; 100];
    let ring = Ring::open(&*test.named("ring"), 64).unwrap();
    let mut sender = ring.sender().unwrap();
    sender.canceller().cancel();
    assert_eq!(sender.send_batch_timeout(&batch, AGES).unwrap(), 1);
    fails(
        sender.send_batch_timeout(&batch, AGES),
        ErrorKind::Cancelled,
    );

    let news = Broadcast::open(&*test.named("news"), 64).unwrap();
    let (mut publisher, _subscriber) = (news.publisher().unwrap(), news.subscribe().unwrap());
    publisher.canceller().cancel();
    let published = publisher.publish_batch_timeout(&batch, AGES).unwrap();
    assert!((1..100).contains(&published), "{published}");
    fails(
        publisher.publish_batch_timeout(&batch, AGES),
        ErrorKind::Cancelled,
    );
}

static STOP: OnceLock<Canceller> = OnceLock::new();

/// Has a signal call a handler.
fn handle(signal: i32, flags: i32, handler: extern "C" fn(i32)) {
    // SAFETY: zeroes are an action without flags and mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = flags;
    // SAFETY: the handler is a function for a signal number alone, as the flags say.
    let installed = unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) };
    assert_eq!(installed, 0);
}

extern "C" fn do_nothing(_: i32) {}

extern "C" fn cancel(_: i32) {
    if let Some(stop) = STOP.get() {
        stop.cancel();
    }
}

/// Sends a signal to a thread of this process.
fn signal(thread: i32, signal: i32) {
    // It may have ended.
    // SAFETY: sends a signal to a thread of this process, which has a handler for it.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, signal) };
}

#[test]
fn a_signal_handler_cancels_a_wait() {
    in_another_process("cancel_in_a_handler", "");
}

fn cancel_in_a_handler() {
    let test = Environment::new();
    let mut waiting = semaphore(&test, By::Cancelling);
    STOP.set(waiting.canceller.clone().unwrap()).unwrap();
    for flags in [0, libc::SA_RESTART] {
        handle(libc::SIGUSR1, flags, cancel);
        let once = AtomicBool::new(true);
        let result = wait_until(&mut waiting, |_, thread| {
            if once.swap(false, SeqCst) {
                signal(thread, libc::SIGUSR1);
            }
        });
        fails(result, ErrorKind::Cancelled);
        // SAFETY: a signal for the calling thread alone, which has a handler for it.
        unsafe { libc::raise(libc::SIGUSR1) };
        fails(waiting.wait(), ErrorKind::Cancelled);
    }
    waiting.expect_event();
}

#[test]
fn signals_end_the_waits_of_a_handle_that_asks_for_it() {
    in_another_process("interrupt_by_signals", "");
}

fn interrupt_by_signals() {
    for flags in [0, libc::SA_RESTART] {
        let test = Environment::new();
        handle(libc::SIGUSR1, flags, do_nothing);
        for mut waiting in Waiting::all(&test, By::Signals) {
            let result = wait_until(&mut waiting, |_, thread| signal(thread, libc::SIGUSR1));
            let error = fails(result, ErrorKind::Interrupted);
            assert_eq!(error.errno(), libc::EINTR);
            waiting.expect_event();
        }
    }
}

#[test]
fn signals_end_no_other_wait() {
    in_another_process("signal_in_vain", "");
}

fn signal_in_vain() {
    handle(libc::SIGUSR1, 0, do_nothing);
    for by in [By::Nothing, By::Cancelling] {
        let test = Environment::new();
        for mut waiting in Waiting::all(&test, by) {
            let happen =
                std::sync::Mutex::new(std::mem::replace(&mut waiting.happen, Box::new(|| {})));
            let calls = AtomicI32::new(0);
            let result = wait_until(&mut waiting, |_, thread| {
                signal(thread, libc::SIGUSR1);
                if calls.fetch_add(1, SeqCst) == 20 {
                    happen.lock().unwrap()();
                }
            });
            assert!(result.is_ok(), "{}: {result:?}", waiting.what);
        }
    }
}

#[test]
fn threads_with_one_handle_pass_a_cancellation_on() {
    let test = Environment::new();
    let semaphore = Semaphore::open(test.name(), 0).unwrap();
    let stop = semaphore.canceller();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                fails(semaphore.wait(), ErrorKind::Cancelled);
                stop.cancel();
            });
        }
        stop.cancel();
    });
}

#[test]
fn a_cancellation_does_not_end_the_wait_of_another_handle() {
    let test = Environment::new();
    let mutex = Mutex::open(test.name(), 0_u64).unwrap();
    let other = Mutex::open(test.name(), 0_u64).unwrap();
    let (cancelled, kept) = (mutex.canceller(), other.canceller());
    let guard = mutex.lock().unwrap();
    thread::scope(|scope| {
        let patient = scope.spawn(|| other.lock().map(drop));
        for _ in 0..100 {
            let waiter = scope.spawn(|| mutex.lock().map(drop));
            cancelled.cancel();
            fails(waiter.join().unwrap(), ErrorKind::Cancelled);
        }
        drop(guard);
        patient.join().unwrap().unwrap();
    });
    drop(kept);
}

/// Each wait that is cancelled may have been woken to take the lock or the count: it passes that on.
#[test]
fn cancelled_waits_swallow_no_wake_up() {
    let test = Environment::new();
    let mutex = Mutex::open(test.name(), 0_u64).unwrap();
    let semaphore = Semaphore::open(&*test.named("count"), 0).unwrap();
    let handles: Vec<_> = (0..2)
        .map(|_| Mutex::open(test.name(), 0_u64).unwrap())
        .collect();
    let waiters: Vec<_> = (0..2)
        .map(|_| Semaphore::open(&*test.named("count"), 0).unwrap())
        .collect();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for (mutex, semaphore) in handles.iter().zip(&waiters) {
            let (locks, counts) = (mutex.canceller(), semaphore.canceller());
            scope.spawn(|| {
                while !is_over.load(SeqCst) {
                    let _ = mutex
                        .lock()
                        .map(|mut guard| guard.update(|count| *count += 1));
                    let _ = semaphore.wait().and_then(|()| semaphore.post());
                }
            });
            let is_over = &is_over;
            scope.spawn(move || {
                while !is_over.load(SeqCst) {
                    locks.cancel();
                    counts.cancel();
                    thread::sleep(Duration::from_micros(50));
                }
                locks.cancel();
                counts.cancel();
            });
        }
        semaphore.post().unwrap();
        for _ in 0..2000 {
            mutex.lock_timeout(AGES).map(drop).unwrap();
            semaphore.wait_timeout(AGES).unwrap();
            semaphore.post().unwrap();
        }
        is_over.store(true, SeqCst);
        for waiter in waiters.iter() {
            waiter.canceller().cancel();
        }
    });
    assert_eq!(semaphore.value(), 1);
}

#[test]
fn a_child_has_a_cancellation_of_its_own() {
    let test = Environment::new();
    let mut waiting = semaphore(&test, By::Cancelling);
    let status = status_of_child(|| {
        waiting.cancel();
        i32::from((waiting.wait)(Some(NOW)).is_ok())
    });
    assert_eq!(status, 0);
    waiting.expect_event();
    waiting.cancel();
    let wait = &mut waiting.wait;
    in_child(|| drop(fails(wait(None), ErrorKind::Cancelled)));
    fails(waiting.wait(), ErrorKind::Cancelled);
}

#[test]
fn a_kernel_or_a_filter_without_futex_waitv_does_not_keep_a_wait_from_ending() {
    in_processes_without_futex_waitv("cancel_without_futex_waitv");
}

fn cancel_without_futex_waitv(errno: &str) {
    refuse_futex_waitv(errno.parse().unwrap());
    waits_are_cancelled();
}

/// How often the threads of this process have gone to sleep, by thread.
fn sleeps(thread: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/self/task/{thread}/status")).unwrap();
    let count = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    count.unwrap().trim().parse().unwrap()
}

/// Waits for a semaphore and a ring at once.
fn several(test: &Environment, by: By) -> Waiting {
    let mut single = semaphore(test, by);
    let semaphore = Semaphore::open(test.named("semaphore"), 0).unwrap();
    let ring = Ring::open(test.named("several"), 64).unwrap();
    let mut receiver = ring.receiver().unwrap();
    single.canceller = ended_by!(by, semaphore);
    single.what = "several";
    single.wait = Box::new(move |timeout| {
        wait_any(&mut [&mut receiver, &mut &semaphore], timeout)?;
        semaphore.try_wait()
    });
    single
}

/// Each wakes up at most four times a second.
fn waits_are_mostly_sleep(by: By) {
    let test = Environment::new();
    let mut all = Waiting::all(&test, by);
    all.push(several(&Environment::new(), by));
    let counts: Vec<(&str, u64)> = thread::scope(|scope| {
        let counts: Vec<_> = all
            .iter_mut()
            .map(|waiting| {
                let Waiting { wait, happen, .. } = waiting;
                let (id, told) = mpsc::channel();
                let what = waiting.what;
                let waiter = scope.spawn(move || {
                    id.send(thread_id()).unwrap();
                    wait(None).unwrap();
                });
                let count = scope.spawn(move || {
                    let thread = told.recv().unwrap();
                    thread::sleep(Duration::from_secs(1));
                    let before = sleeps(thread);
                    thread::sleep(Duration::from_secs(2));
                    let after = sleeps(thread);
                    happen();
                    waiter.join().unwrap();
                    after - before
                });
                (what, count)
            })
            .collect();
        let join = |(what, count): (_, thread::ScopedJoinHandle<_>)| (what, count.join().unwrap());
        counts.into_iter().map(join).collect()
    });
    // The two seconds may have become a little longer.
    assert!(counts.iter().all(|&(_, count)| count <= 9), "{counts:?}");
}

#[test]
fn a_wait_is_mostly_sleep() {
    waits_are_mostly_sleep(By::Nothing);
}

#[test]
fn a_wait_that_can_be_cancelled_is_mostly_sleep() {
    waits_are_mostly_sleep(By::Cancelling);
}

#[test]
fn a_receiver_may_go_on_waiting_when_its_senders_have_ended() {
    let test = Environment::new();
    let ring = Ring::open(test.name(), 4096).unwrap();
    let mut receiver = ring.receiver().unwrap();
    receiver.set_keep_waiting(true);
    for message in [b"one", b"two"] {
        let sent = ring.sender().unwrap().send(message);
        sent.unwrap();
        let mut received = Vec::new();
        receiver.recv_vec_timeout(&mut received, AGES).unwrap();
        assert_eq!(received, message);
        fails(
            receiver.recv_timeout(&mut [0; 8], SOON),
            ErrorKind::TimedOut,
        );
    }
    in_child(|| {
        let mut sender = ring.sender().unwrap();
        sender.send(b"three").unwrap();
        std::mem::forget(sender); // as if it was killed
    });
    assert_eq!(receiver.recv(&mut [0; 8]).unwrap(), 5);
    fails(
        receiver.recv_timeout(&mut [0; 8], SOON),
        ErrorKind::TimedOut,
    );
    fails(receiver.try_recv(&mut [0; 8]), ErrorKind::WouldBlock);
    receiver.set_keep_waiting(false);
    fails(receiver.recv(&mut [0; 8]), ErrorKind::PeerDied);
}

#[test]
fn a_subscriber_may_go_on_waiting_when_its_publisher_has_ended() {
    let test = Environment::new();
    let news = Broadcast::open(test.name(), 4096).unwrap();
    let mut subscriber = news.subscribe().unwrap();
    subscriber.set_keep_waiting(true);
    for message in [b"one", b"two"] {
        news.publisher().unwrap().publish(message).unwrap();
        let mut received = Vec::new();
        subscriber.recv_vec_timeout(&mut received, AGES).unwrap();
        assert_eq!(received, message);
        fails(
            subscriber.recv_timeout(&mut [0; 8], SOON),
            ErrorKind::TimedOut,
        );
    }
    subscriber.set_keep_waiting(false);
    fails(subscriber.recv(&mut [0; 8]), ErrorKind::Closed);
}
