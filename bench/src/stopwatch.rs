//! Timing, in short batches whose median counts: a batch in which the host took the CPU away has no effect on it.

use std::{
    mem::MaybeUninit,
    time::{Duration, Instant},
};

/// The number of operations in a measurement.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// The number of operations in a batch.
    pub batch: u64,
    pub batches: u64,
}

impl Amount {
    pub fn total(self) -> u64 {
        self.batch * self.batches
    }
}

/// Returns the nanoseconds of an operation. `batch` makes as many operations as its argument says.
pub fn time(amount: Amount, batch: impl FnMut(u64)) -> f64 {
    time_by(common_time, amount, batch)
}

/// Does the same on this thread's own clock, which stands still while other threads have the CPU.
pub fn time_own(amount: Amount, batch: impl FnMut(u64)) -> f64 {
    time_by(|| clock(libc::CLOCK_THREAD_CPUTIME_ID), amount, batch)
}

fn time_by(now: impl Fn() -> Duration, amount: Amount, mut batch: impl FnMut(u64)) -> f64 {
    let times = (0..amount.batches).map(|_| {
        let start = now();
        batch(amount.batch);
        (now() - start).as_nanos() as f64 / amount.batch as f64
    });
    quartiles(times.collect())[1]
}

/// Returns the time on the clock that all processes share.
pub fn common_time() -> Duration {
    clock(libc::CLOCK_MONOTONIC)
}

fn clock(id: libc::clockid_t) -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the time may be written.
    let got = unsafe { libc::clock_gettime(id, &mut time) };
    assert_eq!(got, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The resources that a process, or all its children that were waited for, have used.
#[derive(Clone, Copy)]
pub struct Usage {
    pub cpu: Duration,
    /// How many times a thread gave up its CPU to wait.
    pub sleeps: u64,
}

impl Usage {
    pub fn own() -> Usage {
        Usage::of(libc::RUSAGE_SELF)
    }

    pub fn of_children() -> Usage {
        Usage::of(libc::RUSAGE_CHILDREN)
    }

    fn of(who: libc::c_int) -> Usage {
        let mut usage = MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: the usage may be written, and is plain numbers.
        let usage = unsafe {
            assert_eq!(libc::getrusage(who, usage.as_mut_ptr()), 0);
            usage.assume_init()
        };
        let duration = |time: libc::timeval| {
            Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
        };
        Usage {
            cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
            sleeps: usage.ru_nvcsw as u64,
        }
    }
}

/// Keeps the CPU busy for this long.
pub fn think(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {}
}

/// Returns the lower quartile, the median and the upper quartile.
pub fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    assert!(!values.is_empty());
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}
