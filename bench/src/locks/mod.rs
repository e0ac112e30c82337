//! The cost of locks: uncontended, contended, handed over, waited for, and tried while taken.

mod handover;
mod idle;
mod shared;
mod single;

use crate::{
    peers::posix,
    processes::{self, Cpus, Failure},
    progress::Progress,
    stopwatch::{Amount, time},
};

/// A lock that one process or several use.
pub trait Lock: Sync + Sized {
    fn new() -> Result<Self, Failure>;
    /// Does the work while it holds the lock.
    fn locked(&self, work: impl FnOnce());
    /// Does as good as nothing while it holds the lock.
    #[inline]
    fn lock_and_unlock(&self) {
        self.locked(|| ());
    }
}

/// The arguments of `shmkey-bench locks`.
pub struct Locks {
    /// The number of rounds of each lock under each load of the hand-over.
    pub rounds: usize,
    /// Only the sections whose title contains one of these; all if there are none.
    pub only: Vec<String>,
}

/// A table, and the function that fills and prints it.
struct Section {
    title: String,
    print: Print,
}

type Print = Box<dyn Fn(&Progress) -> Result<(), Failure>>;

impl Locks {
    /// Measures, and prints each table when it is complete.
    pub fn print(&self) -> Result<(), Failure> {
        let sections = handover::sections(self.rounds)
            .into_iter()
            .chain([idle::section()])
            .chain(single::sections())
            .chain(shared::sections());
        let progress = Progress::new();
        for section in sections {
            let wanted = |only: &String| section.title.contains(only.as_str());
            if self.only.is_empty() || self.only.iter().any(wanted) {
                println!("### {}\n", section.title);
                (section.print)(&progress)?;
                println!();
            }
        }
        Ok(())
    }
}

/// Measures one process, without contention.
pub fn alone<L: Lock>(cpus: Cpus, amount: Amount) -> Result<f64, Failure> {
    let lock = L::new()?;
    let results = processes::processes(&[Some(cpus.1)], |worker| {
        let batch = |count| (0..count).for_each(|_| lock.lock_and_unlock());
        batch(amount.batch);
        worker.report(time(amount, batch));
    })?;
    Ok(results[0])
}

/// Measures two processes on two CPUs. The time is that of one turn of either.
pub fn contended<L: Lock>(cpus: Cpus, amount: Amount) -> Result<f64, Failure> {
    let lock = L::new()?;
    let results = processes::processes(&[Some(cpus.0), Some(cpus.1)], |worker| {
        let batch = |count| {
            (0..count).for_each(|_| lock.lock_and_unlock());
            worker.meet(); // until the slower one has finished, too
        };
        batch(amount.batch);
        worker.report(time(amount, batch) / 2.0);
    })?;
    Ok(results[0])
}

impl Lock for shmkey::Mutex<u64> {
    fn new() -> Result<Self, Failure> {
        crate::nameless::nameless(|name| shmkey::Mutex::open(name, 0), shmkey::Mutex::remove)
    }
    #[inline]
    fn lock_and_unlock(&self) {
        let mut guard = self.lock().expect("no owner dies");
        guard.update(|number| *number += 1);
    }
    #[inline]
    fn locked(&self, work: impl FnOnce()) {
        let _guard = self.lock().expect("no owner dies");
        work();
    }
}

impl Lock for posix::RobustMutex {
    fn new() -> Result<Self, Failure> {
        posix::RobustMutex::new()
    }
    #[inline]
    fn lock_and_unlock(&self) {
        self.add_one();
    }
    #[inline]
    fn locked(&self, work: impl FnOnce()) {
        self.lock();
        work();
        self.unlock();
    }
}

impl Lock for shmkey::Semaphore {
    fn new() -> Result<Self, Failure> {
        crate::nameless::nameless(
            |name| shmkey::Semaphore::open(name, 1),
            shmkey::Semaphore::remove,
        )
    }
    #[inline]
    fn locked(&self, work: impl FnOnce()) {
        self.wait().expect("it waits for ever");
        work();
        self.post().expect("the count is low");
    }
}

impl Lock for posix::Semaphore {
    fn new() -> Result<Self, Failure> {
        posix::Semaphore::new(1)
    }
    #[inline]
    fn locked(&self, work: impl FnOnce()) {
        self.wait();
        work();
        self.post();
    }
}
