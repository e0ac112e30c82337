//! What taking and giving a lock costs, alone and against another.

use crate::{
    peers::posix,
    processes::{self, Cpus, Failure},
    stopwatch::{Amount, time},
};

/// Something that is done again and again by one process, or by several at once.
pub trait Lock: Sync + Sized {
    fn new() -> Result<Self, Failure>;
    /// Takes it, does next to nothing, and gives it back.
    fn take_and_give(&self);
}

/// One process, which nobody disturbs.
pub fn alone<L: Lock>(cpus: Cpus, amount: Amount) -> Result<f64, Failure> {
    let lock = L::new()?;
    let results = processes::processes(&[Some(cpus.1)], |player| {
        let batch = |count| (0..count).for_each(|_| lock.take_and_give());
        batch(amount.batch);
        player.report(time(amount, batch));
    })?;
    Ok(results[0])
}

/// Two processes on two CPUs. The time is that of one turn, whoever has it.
pub fn contended<L: Lock>(cpus: Cpus, amount: Amount) -> Result<f64, Failure> {
    let lock = L::new()?;
    let results = processes::processes(&[Some(cpus.0), Some(cpus.1)], |player| {
        let batch = |count| {
            (0..count).for_each(|_| lock.take_and_give());
            player.meet(); // until the slower one is done, too
        };
        batch(amount.batch);
        player.report(time(amount, batch) / 2.0);
    })?;
    Ok(results[0])
}

impl Lock for shmkey::Mutex<u64> {
    fn new() -> Result<Self, Failure> {
        crate::ours::nameless(|name| shmkey::Mutex::open(name, 0), shmkey::Mutex::remove)
    }
    #[inline]
    fn take_and_give(&self) {
        let mut guard = self.lock().expect("all owners live");
        guard.update(|number| *number += 1);
    }
}

impl Lock for posix::RobustMutex {
    fn new() -> Result<Self, Failure> {
        posix::RobustMutex::new()
    }
    #[inline]
    fn take_and_give(&self) {
        self.add_one();
    }
}

impl Lock for shmkey::Semaphore {
    fn new() -> Result<Self, Failure> {
        crate::ours::nameless(
            |name| shmkey::Semaphore::open(name, 1),
            shmkey::Semaphore::remove,
        )
    }
    #[inline]
    fn take_and_give(&self) {
        self.wait().expect("it waits for ever");
        self.post().expect("the count is low");
    }
}

impl Lock for posix::Semaphore {
    fn new() -> Result<Self, Failure> {
        posix::Semaphore::new(1)
    }
    #[inline]
    fn take_and_give(&self) {
        self.wait();
        self.post();
    }
}
