//! The monotonic clock.

use core::{ops::Add, time::Duration};

/// A point in time on the monotonic clock, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    /// Returns the current time. Takes no system call where the kernel maps its clock into each process.
    pub fn now() -> Instant {
        Instant(read(libc::CLOCK_MONOTONIC))
    }

    /// Returns the time since then; 0 if it is in the future.
    pub fn elapsed(self) -> Duration {
        Instant::now().since(self)
    }

    /// Returns the time from `earlier` to `self`; 0 if that is later.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Returns it as the kernel has it.
    pub(super) fn to_timespec(self) -> libc::timespec {
        libc::timespec {
            tv_sec: (self.0 / 1_000_000_000) as libc::time_t,
            tv_nsec: (self.0 % 1_000_000_000) as libc::c_long,
        }
    }

    /// Returns the point in time a duration later; `None` if it is beyond the clock's range.
    pub fn checked_add(self, duration: Duration) -> Option<Instant> {
        let nanoseconds = u64::try_from(duration.as_nanos()).ok()?;
        self.0.checked_add(nanoseconds).map(Instant)
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    /// Adds a duration, up to the end of the clock's range, 584 years after the start of the machine.
    fn add(self, duration: Duration) -> Instant {
        self.checked_add(duration).unwrap_or(Instant(u64::MAX))
    }
}

/// Returns the monotonic clock in nanoseconds, as of its last tick, which is at most a few milliseconds ago. Takes a
/// quarter of the time of [`Instant::now`].
#[inline]
pub fn about_now() -> u64 {
    read(libc::CLOCK_MONOTONIC_COARSE)
}

/// Returns a count that the processor increments at a constant rate, about that of its clock; 0 where it has none that
/// a program may read.
#[inline(always)]
pub fn ticks() -> u64 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: the instruction is part of every x86-64, and changes nothing but registers.
    return unsafe { core::arch::x86_64::_rdtsc() };
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    0
}

/// Returns the number of seconds since 1970, as of the clock's last tick: `time(2)` returns the same.
pub fn seconds() -> i64 {
    (read(libc::CLOCK_REALTIME_COARSE) / 1_000_000_000) as i64
}

#[inline]
fn read(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a timespec of this stack, which the call fills. It cannot fail: Linux has had
    // both clocks since 2.6.32.
    unsafe { libc::clock_gettime(clock, &mut now) };
    (now.tv_sec as u64) * 1_000_000_000 + now.tv_nsec as u64
}
