//! The descriptors that wait for a change of an object. Threads poll them, instead of sleeping on the object's words.
//!
//! A thread whose try would block enters its descriptor's number here, announces that in the word that the thread that
//! changes the object reads, and tries once more. The thread that changes the object takes all numbers out and makes
//! each descriptor readable. So the first wake-up removes what a dead process has left here, and a thread that polls
//! again enters its number again.
//!
//! A hostile process can write any numbers: the library only looks them up, and a descriptor that becomes readable
//! without a change does no harm. If there is no room for its number, a descriptor becomes readable by itself, at the
//! end of its interval.

use super::atomic::{
    self, AtomicU32,
    Ordering::{Acquire, Relaxed},
    fence,
};
use core::num::NonZeroU32;

/// How many descriptors can wait at a time.
#[cfg(not(loom))]
const COUNT: usize = 48;
#[cfg(loom)]
const COUNT: usize = 2;

/// The numbers of the descriptors that wait; 0 where there is none.
#[cfg_attr(not(loom), repr(transparent))]
pub struct Pollers([AtomicU32; COUNT]);

impl Default for Pollers {
    fn default() -> Pollers {
        Pollers(core::array::from_fn(|_| AtomicU32::new(0)))
    }
}

impl Pollers {
    /// Enters the number of a descriptor, if there is room. The caller then announces it with release ordering.
    pub fn enter(&self, number: NonZeroU32) {
        let number = number.get();
        let home = number as usize % COUNT;
        let (before, from_home) = self.0.split_at(home);
        for word in from_home.iter().chain(before) {
            // Relaxed: the announcement releases it.
            let found = word.compare_exchange(0, number, Relaxed, Relaxed);
            if found.is_ok() || found == Err(number) {
                return;
            }
        }
    }

    /// Removes the number of a descriptor that is about to be closed.
    pub fn remove(&self, number: NonZeroU32) {
        for word in &self.0 {
            // Relaxed: the number orders nothing.
            let _ = word.compare_exchange(number.get(), 0, Relaxed, Relaxed);
        }
    }

    /// Takes all numbers out, and passes them to `each`. The caller has seen an announcement.
    fn take(&self, mut each: impl FnMut(NonZeroU32)) {
        // Acquire: pairs with the release of the announcement, so that this thread sees the number that was entered
        // before.
        fence(Acquire);
        for word in &self.0 {
            // Relaxed, both: the fence orders it.
            if word.load(Relaxed) != 0
                && let Some(number) = NonZeroU32::new(word.swap(0, Relaxed))
            {
                each(number);
            }
        }
    }

    /// Makes all waiting descriptors readable.
    #[cold]
    pub fn wake(&self) {
        self.take(atomic::send);
    }

    /// Takes all numbers out. [`Taken::wake`] then makes their descriptors readable, without an access to this memory,
    /// which may be unmapped by then.
    #[cold]
    pub fn take_out(&self, taken: &mut Taken) {
        self.take(|number| taken.add(number));
    }
}

/// Numbers that were taken out of a table.
pub struct Taken {
    numbers: [Option<NonZeroU32>; COUNT],
    len: usize,
}

impl Taken {
    pub fn new() -> Taken {
        Taken {
            numbers: [None; COUNT],
            len: 0,
        }
    }

    fn add(&mut self, number: NonZeroU32) {
        if self.numbers.contains(&Some(number)) {
            return;
        }
        if self.len == COUNT {
            // This may be too early for these descriptors; then their threads enter the numbers again.
            self.wake();
        }
        self.numbers[self.len] = Some(number);
        self.len += 1;
    }

    /// Makes their descriptors readable.
    pub fn wake(&mut self) {
        self.len = 0;
        for number in &mut self.numbers {
            number.take().into_iter().for_each(atomic::send);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn numbers(pollers: &Pollers) -> Vec<u32> {
        let mut found: Vec<_> = pollers.0.iter().map(|word| word.load(Relaxed)).collect();
        found.retain(|&number| number != 0);
        found.sort_unstable();
        found
    }

    fn number(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    #[test]
    fn a_number_is_entered_once_and_stays_until_a_wake_up_or_its_end() {
        let pollers = Pollers::default();
        for each in [7, 7 + COUNT as u32, 7, 1000, 7 + COUNT as u32] {
            pollers.enter(number(each));
        }
        assert_eq!(numbers(&pollers), [7, 7 + COUNT as u32, 1000]);
        pollers.remove(number(1000));
        assert_eq!(numbers(&pollers), [7, 7 + COUNT as u32]);
        pollers.wake();
        assert_eq!(numbers(&pollers), []);
    }

    #[test]
    fn a_full_table_takes_no_more() {
        let pollers = Pollers::default();
        (1..1000).for_each(|each| pollers.enter(number(each)));
        assert_eq!(numbers(&pollers).len(), COUNT);
        let mut taken = Taken::new();
        pollers.take_out(&mut taken);
        assert_eq!((numbers(&pollers).len(), taken.len), (0, COUNT));
        pollers.enter(number(5000));
        pollers.take_out(&mut taken);
        assert_eq!(taken.len, 1, "the first ones were woken");
    }
}
