//! The lock of the table.
//!
//! The word consists of the number of the holder's slot plus one, or 0 (15 bits), whether threads may sleep (1 bit),
//! and how often the lock was taken (16 bits). The slot shows whether the holder is live, because a process keeps its
//! slot's byte locked for as long as it has the table mapped. A waiter sleeps for a short time, then asks the kernel
//! whether that byte is locked, and takes over from a dead holder. The count makes this fail if another process was
//! faster: the word differs by then, even if the new holder has the same slot.
//!
//! *Orderings.* Taking the lock is an acquire and releasing it a release. So a holder sees what earlier holders
//! wrote, and loads and stores the fields relaxed. A lookup without the lock uses the sequence number, as in a
//! seqlock. Before the holder changes an entry or a chain, it makes the number odd, with a fence between that and the
//! changes; afterwards, it makes the number even (release). A lookup loads the number (acquire), reads, and loads the
//! number again after a fence: if both numbers are the same and even, nothing has changed in between.

use super::layout::Header;
use crate::sys::{Errno, Instant, futex, yield_now};
use core::{
    sync::atomic::{
        AtomicU32,
        Ordering::{Acquire, Relaxed, Release, SeqCst},
        fence,
    },
    time::Duration,
};

const SLOT: u32 = 0x7fff;
const SLEEPERS: u32 = 0x8000;
const COUNT: u32 = 0x1_0000;

/// How long the first sleep lasts. Each further sleep is twice as long, up to the longest.
const FIRST_SLEEP: Duration = Duration::from_millis(1);
const LONGEST_SLEEP: Duration = Duration::from_millis(8);

/// How long a caller waits for a live holder.
const PATIENCE: Duration = Duration::from_secs(5);

/// How the lock was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was free.
    Free,
    /// Its holder was dead, or the word was corrupted: the table may be in the middle of a change.
    Recovered,
}

/// Takes the lock for a slot. `lives` returns whether the process that has another slot is live. Returns `ETIMEDOUT`
/// if a live holder does not release the lock within `PATIENCE`.
pub(super) fn take(
    word: &AtomicU32,
    slot: u32,
    mut lives: impl FnMut(u32) -> Result<bool, Errno>,
) -> Result<Taken, Errno> {
    let mut seen = word.load(Relaxed);
    for _ in 0..20 {
        if seen & SLOT == 0 {
            // Acquire, here and below: pairs with the release in `release`.
            match word.compare_exchange(seen, taken(seen, slot, 0), Acquire, Relaxed) {
                Ok(_) => return Ok(Taken::Free),
                Err(now) => seen = now,
            }
        } else if seen & SLOT == slot + 1 {
            // Its holder was an earlier process with this slot: the threads of this process exclude each other before
            // they come here.
            break;
        } else {
            core::hint::spin_loop();
            seen = word.load(Relaxed);
        }
    }
    yield_now();
    take_slowly(word, slot, &mut lives)
}

#[cold]
fn take_slowly(
    word: &AtomicU32,
    slot: u32,
    lives: &mut dyn FnMut(u32) -> Result<bool, Errno>,
) -> Result<Taken, Errno> {
    let (start, mut sleep) = (Instant::now(), FIRST_SLEEP);
    let mut suspect = None;
    loop {
        let seen = word.load(Relaxed);
        let holder = seen & SLOT;
        let is_lost = holder == slot + 1 || suspect == Some(seen | SLEEPERS) && !lives(holder - 1)?;
        if holder == 0 || is_lost {
            // Other threads may sleep.
            let mine = taken(seen, slot, SLEEPERS);
            if word.compare_exchange(seen, mine, Acquire, Relaxed).is_ok() {
                return Ok(if is_lost {
                    Taken::Recovered
                } else {
                    Taken::Free
                });
            }
            continue;
        }
        if start.elapsed() > PATIENCE {
            return Err(Errno(libc::ETIMEDOUT));
        }
        let asleep = seen | SLEEPERS;
        if seen == asleep
            || word
                .compare_exchange(seen, asleep, Relaxed, Relaxed)
                .is_ok()
        {
            futex::wait(word, asleep, sleep);
            suspect = Some(asleep);
            sleep = (2 * sleep).min(LONGEST_SLEEP);
        }
    }
}

/// Returns the word of the lock once `slot` has taken it.
fn taken(seen: u32, slot: u32, sleepers: u32) -> u32 {
    (seen & !(SLOT | SLEEPERS)).wrapping_add(COUNT) | sleepers | (slot + 1)
}

/// Returns whether a slot holds the lock.
pub(super) fn is_held_by(word: &AtomicU32, slot: u32) -> bool {
    word.load(Relaxed) & SLOT == slot + 1
}

/// Releases the lock.
pub(super) fn release(word: &AtomicU32) {
    // Release: pairs with the acquire in `take`.
    let before = word.fetch_and(!(SLOT | SLEEPERS), Release);
    if before & SLEEPERS != 0 {
        futex::wake(word, 1);
    }
}

/// Makes the sequence number odd, so that lookups without the lock try again.
pub(super) fn begin_change(header: &Header) {
    let sequence = header.sequence.load(Relaxed);
    header.sequence.store(sequence | 1, Relaxed);
    // The changes come after the store: pairs with the fence in `is_unchanged`.
    fence(SeqCst);
}

/// Makes the sequence number even again, and different from before.
pub(super) fn end_change(header: &Header) {
    let sequence = header.sequence.load(Relaxed);
    // Release: pairs with the acquire in `begin_lookup`.
    header
        .sequence
        .store((sequence | 1).wrapping_add(1), Release);
}

/// Returns the sequence number, or `None` during a change.
pub(super) fn begin_lookup(header: &Header) -> Option<u32> {
    // Acquire: pairs with the release in `end_change`.
    let sequence = header.sequence.load(Acquire);
    (sequence & 1 == 0).then_some(sequence)
}

/// Returns whether nothing has changed since `begin_lookup`.
pub(super) fn is_unchanged(header: &Header, sequence: u32) -> bool {
    // Keeps the lookup's loads before the load of the number: pairs with the fence in `begin_change`.
    fence(Acquire);
    header.sequence.load(Relaxed) == sequence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiter_takes_over_from_a_dead_holder() {
        let word = AtomicU32::new(0);
        assert_eq!(take(&word, 3, |_| Ok(true)), Ok(Taken::Free));
        assert!(is_held_by(&word, 3));
        assert_eq!(take(&word, 4, |slot| Ok(slot != 3)), Ok(Taken::Recovered));
        assert!(is_held_by(&word, 4));
        release(&word);
        assert_eq!(take(&word, 0, |_| Ok(true)), Ok(Taken::Free));
    }

    #[test]
    fn the_count_differs_each_time_that_the_lock_is_taken() {
        let word = AtomicU32::new(0);
        take(&word, 3, |_| Ok(true)).unwrap();
        let first = word.load(Relaxed);
        release(&word);
        take(&word, 3, |_| Ok(true)).unwrap();
        assert_ne!(word.load(Relaxed), first);
    }

    #[test]
    fn a_lookup_notices_a_change() {
        // SAFETY: it consists of atomic integers, for which zeroes are valid.
        let header: Header = unsafe { core::mem::zeroed() };
        let before = begin_lookup(&header).unwrap();
        assert!(is_unchanged(&header, before));
        begin_change(&header);
        assert_eq!(begin_lookup(&header), None);
        end_change(&header);
        assert!(!is_unchanged(&header, before));
    }
}
