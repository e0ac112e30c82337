//! The cost of threads that wait for something that does not happen.
//!
//! Each kind of waiter has a process of its own, whose usage the kernel counts; all processes wait at the same time.

use super::Section;
use crate::{
    nameless::nameless,
    peers::posix,
    processes::{self, Failure, Shared},
    progress::Progress,
    report::Table,
    stopwatch::{Usage, common_time},
};
use std::{
    sync::{
        Barrier,
        atomic::{AtomicU32, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

const MANY: usize = 50;
const SECOND: Duration = Duration::from_secs(1);
/// How many seconds they wait after the first one.
const AFTERWARDS: u32 = 4;
/// After this time all threads exist.
const PREPARING: Duration = Duration::from_millis(500);

/// The goals: wake-ups of an idle waiter in its first second, and in each later one.
const FIRST: f64 = 20.0;
const LATER: f64 = 4.0;
/// The goal for the CPU time of [`MANY`] waiters for a mutex.
const CPU: Duration = Duration::from_millis(50);

/// An object that threads wait for in vain.
trait Idle: Sync + Sized + 'static {
    /// Makes an object for this many waiters.
    fn new(waiters: usize) -> Result<Self, Failure>;
    /// Makes all further calls wait, as long as the process lives.
    fn occupy(&self) {}
    /// Prepares one waiter, calls `ready`, and waits.
    fn wait(&self, rank: usize, ready: impl FnOnce());
}

/// What a process has used.
#[derive(Default)]
struct Used {
    /// CPU time, in nanoseconds.
    cpu: AtomicU64,
    /// Wake-ups in the first second, and in all later ones.
    first: AtomicU64,
    later: AtomicU64,
    /// The number of threads that no longer waited at the end.
    returned: AtomicU32,
}

struct Kind {
    name: &'static str,
    waiters: usize,
    /// The goal for the CPU time.
    at_most: Option<Duration>,
    idle: fn(usize, Duration, &Used) -> Result<(), Failure>,
}

fn kinds() -> Vec<Kind> {
    fn kind<I: Idle>(name: &'static str, waiters: usize) -> Kind {
        Kind {
            name,
            waiters,
            at_most: None,
            idle: idle::<I>,
        }
    }
    let mut mutex = kind::<shmkey::Mutex<u64>>("shmkey::Mutex, held", MANY);
    mutex.at_most = Some(CPU);
    vec![
        mutex,
        kind::<posix::RobustMutex>("robust pthread mutex, held", MANY),
        kind::<shmkey::Semaphore>("shmkey::Semaphore at 0", MANY),
        kind::<posix::Semaphore>("sem_t at 0", MANY),
        kind::<EmptyRings>("shmkey::Ring, empty, each its own", MANY),
        kind::<FullRing>("shmkey::Ring for many senders, full", MANY),
        kind::<shmkey::Latest<u64>>("shmkey::Latest, nothing newer", MANY),
        kind::<shmkey::Mutex<u64>>("shmkey::Mutex, held", 1),
        kind::<posix::RobustMutex>("robust pthread mutex, held", 1),
        kind::<shmkey::Semaphore>("shmkey::Semaphore at 0", 1),
        kind::<posix::Semaphore>("sem_t at 0", 1),
        kind::<EmptyRings>("shmkey::Ring, empty", 1),
        kind::<FullRing>("shmkey::Ring, full", 1),
        kind::<shmkey::Latest<u64>>("shmkey::Latest, nothing newer", 1),
    ]
}

pub fn section() -> Section {
    let seconds = 1 + AFTERWARDS;
    Section {
        title: format!("Idle: waiting in vain for {seconds} s"),
        print: Box::new(print),
    }
}

fn print(progress: &Progress) -> Result<(), Failure> {
    progress.show("idle waiters of all kinds");
    let start = common_time() + PREPARING;
    let mut children = Vec::new();
    let mut results: Vec<(Kind, Shared<Used>)> = Vec::new();
    for kind in kinds() {
        let used: Shared<Used> = Shared::new()?;
        let child = processes::fork(|| {
            (kind.idle)(kind.waiters, start, &used).expect("the object can be made");
            // SAFETY: ends the process although its threads still wait.
            unsafe { libc::_exit(0) }
        });
        results.push((kind, used));
        match child {
            Ok(pid) => children.push(pid),
            Err(error) => {
                let _ = processes::wait_for(children, true);
                return Err(error.into());
            }
        }
    }
    processes::wait_for(children, false)?;
    progress.clear();
    print!("{}", table(&results));
    Ok(())
}

fn table(results: &[(Kind, Shared<Used>)]) -> Table {
    let mut table = Table::new([
        "",
        "waiters",
        "CPU time",
        "wake-ups/s of each, first second",
        "afterwards",
        "met",
    ]);
    for (kind, used) in results {
        let cpu = Duration::from_nanos(used.cpu.load(SeqCst));
        let of_each = |wakeups: &AtomicU64| wakeups.load(SeqCst) as f64 / kind.waiters as f64;
        let first = of_each(&used.first);
        let later = of_each(&used.later) / f64::from(AFTERWARDS);
        let met = first <= FIRST && later <= LATER && kind.at_most.is_none_or(|most| cpu <= most);
        let returned = used.returned.load(SeqCst);
        table.row([
            kind.name.into(),
            kind.waiters.to_string(),
            format!("{:.3} s", cpu.as_secs_f64()),
            format!("{first:.1}"),
            format!("{later:.1}"),
            match returned {
                0 if met => "yes".into(),
                0 => "no".into(),
                _ => format!("not measured: {returned} did not wait"),
            },
        ]);
    }
    table
}

/// Makes threads wait from that time on, and records what they use. They still wait when this returns.
fn idle<I: Idle>(waiters: usize, start: Duration, used: &Used) -> Result<(), Failure> {
    // The threads use these until the process ends.
    let object: &'static I = Box::leak(Box::new(I::new(waiters)?));
    let barrier: &'static Barrier = Box::leak(Box::new(Barrier::new(waiters + 1)));
    let returned: &'static AtomicU32 = Box::leak(Box::default());
    object.occupy();
    for rank in 0..waiters {
        thread::Builder::new().spawn(move || {
            object.wait(rank, || {
                barrier.wait();
            });
            returned.fetch_add(1, SeqCst);
        })?;
    }
    thread::sleep(start.saturating_sub(common_time()));
    let before = Usage::own();
    barrier.wait();
    thread::sleep(SECOND);
    let between = Usage::own();
    thread::sleep(SECOND * AFTERWARDS);
    let after = Usage::own();

    let cpu = after.cpu - before.cpu;
    used.cpu.store(cpu.as_nanos() as u64, SeqCst);
    // Each thread, this one included, falls asleep once without having been woken.
    let asleep = waiters as u64 + 1;
    let first = (between.sleeps - before.sleeps).saturating_sub(asleep);
    let later = (after.sleeps - between.sleeps).saturating_sub(1);
    used.first.store(first, SeqCst);
    used.later.store(later, SeqCst);
    used.returned.store(returned.load(SeqCst), SeqCst);
    Ok(())
}

impl Idle for shmkey::Mutex<u64> {
    fn new(_: usize) -> Result<Self, Failure> {
        super::Lock::new()
    }
    fn occupy(&self) {
        std::mem::forget(self.lock().expect("it is free"));
    }
    fn wait(&self, _: usize, ready: impl FnOnce()) {
        ready();
        drop(self.lock());
    }
}

impl Idle for posix::RobustMutex {
    fn new(_: usize) -> Result<Self, Failure> {
        posix::RobustMutex::new()
    }
    fn occupy(&self) {
        self.lock();
    }
    fn wait(&self, _: usize, ready: impl FnOnce()) {
        ready();
        self.lock();
    }
}

impl Idle for shmkey::Semaphore {
    fn new(_: usize) -> Result<Self, Failure> {
        nameless(
            |name| shmkey::Semaphore::open(name, 0),
            shmkey::Semaphore::remove,
        )
    }
    fn wait(&self, _: usize, ready: impl FnOnce()) {
        ready();
        let _ = shmkey::Semaphore::wait(self);
    }
}

impl Idle for posix::Semaphore {
    fn new(_: usize) -> Result<Self, Failure> {
        posix::Semaphore::new(0)
    }
    fn wait(&self, _: usize, ready: impl FnOnce()) {
        ready();
        posix::Semaphore::wait(self);
    }
}

fn ring(many_senders: bool) -> Result<shmkey::Ring, Failure> {
    let options = shmkey::Ring::options().many_senders(many_senders);
    nameless(|name| options.open(name, 4096), shmkey::Ring::remove)
}

/// An empty ring for each waiter, because a ring has only one receiver.
struct EmptyRings(Vec<shmkey::Ring>);

impl Idle for EmptyRings {
    fn new(waiters: usize) -> Result<Self, Failure> {
        let rings: Result<_, _> = (0..waiters).map(|_| ring(false)).collect();
        Ok(EmptyRings(rings?))
    }
    fn occupy(&self) {
        for ring in &self.0 {
            std::mem::forget(ring.sender().expect("it is the only sender"));
        }
    }
    fn wait(&self, rank: usize, ready: impl FnOnce()) {
        let mut receiver = self.0[rank].receiver().expect("it is the only receiver");
        ready();
        let _ = receiver.recv(&mut [0; 64]);
    }
}

/// A full ring, whose receiver does not receive.
struct FullRing(shmkey::Ring);

impl Idle for FullRing {
    fn new(waiters: usize) -> Result<Self, Failure> {
        Ok(FullRing(ring(waiters > 1)?))
    }
    fn occupy(&self) {
        std::mem::forget(self.0.receiver().expect("it is the only receiver"));
    }
    fn wait(&self, _: usize, ready: impl FnOnce()) {
        let mut sender = self.0.sender().expect("it accepts another sender");
        while sender.try_send(&[0; 64]).is_ok() {}
        ready();
        let _ = sender.send(&[0; 64]);
    }
}

impl Idle for shmkey::Latest<u64> {
    fn new(_: usize) -> Result<Self, Failure> {
        nameless(|name| shmkey::Latest::open(name), shmkey::Latest::remove)
    }
    fn occupy(&self) {
        std::mem::forget(self.publisher().expect("it is the only publisher"));
    }
    fn wait(&self, _: usize, ready: impl FnOnce()) {
        ready();
        let _ = self.wait_newer_timeout(&mut 0, Duration::MAX);
    }
}
