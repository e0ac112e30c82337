//! How a part is timed: in short batches, of which the median counts.
//!
//! A batch in which the host took the CPU away is one of many and does not show.

use std::{
    mem::MaybeUninit,
    time::{Duration, Instant},
};

/// How much a part does.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Operations in a batch.
    pub batch: u64,
    pub batches: u64,
}

impl Amount {
    pub fn total(self) -> u64 {
        self.batch * self.batches
    }
}

/// Nanoseconds an operation takes, when `batch` does so many of them.
pub fn time(amount: Amount, mut batch: impl FnMut(u64)) -> f64 {
    time_by(Instant::now, amount, |from| from.elapsed(), &mut batch)
}

/// The same on this thread's own clock, which stands while others have the CPU.
pub fn time_own(amount: Amount, mut batch: impl FnMut(u64)) -> f64 {
    time_by(own_time, amount, |from| own_time() - *from, &mut batch)
}

fn time_by<T>(
    now: impl Fn() -> T,
    amount: Amount,
    since: impl Fn(&T) -> Duration,
    batch: &mut impl FnMut(u64),
) -> f64 {
    let times = (0..amount.batches).map(|_| {
        let start = now();
        batch(amount.batch);
        since(&start).as_nanos() as f64 / amount.batch as f64
    });
    quartiles(times.collect())[1]
}

/// What this thread has had of a CPU so far.
fn own_time() -> Duration {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// The time on the clock that all processes share.
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

/// What a process, or all its children that it has waited for, have used so far.
#[derive(Clone, Copy)]
pub struct Usage {
    pub cpu: Duration,
    /// How often a thread gave up its CPU to wait.
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

/// Keeps the CPU busy that long.
pub fn think(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {}
}

/// Lower quartile, median, upper quartile.
pub fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    assert!(!values.is_empty());
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}
