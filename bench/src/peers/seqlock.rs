//! A sequence lock within one process: the least that publishing a value costs.

use std::sync::atomic::{AtomicU64, Ordering, fence};

/// 64 bytes, and a number that is odd while they are written.
#[repr(C, align(64))]
#[derive(Default)]
pub struct SeqLock {
    sequence: AtomicU64,
    words: [AtomicU64; 8],
}

impl SeqLock {
    #[inline]
    pub fn publish(&self, value: &[u64; 8]) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        for (word, &value) in self.words.iter().zip(value) {
            word.store(value, Ordering::Relaxed);
        }
        self.sequence.store(sequence + 2, Ordering::Release);
    }

    #[inline]
    pub fn read(&self) -> [u64; 8] {
        loop {
            let before = self.sequence.load(Ordering::Acquire);
            let value = std::array::from_fn(|word| self.words[word].load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.sequence.load(Ordering::Relaxed) == before {
                return value;
            }
            std::hint::spin_loop();
        }
    }
}
