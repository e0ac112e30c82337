//! The latest value: reads are whole, and readers are woken.

use super::bounded;
use crate::sync::{
    Area, AtomicU64, Deadline,
    latest::{Latest, LatestWords, slots, stride},
};
use loom::{sync::Arc, thread};

/// The size of a value: two words, which are always equal.
const SIZE: usize = 16;

struct Memory {
    words: LatestWords,
    slots: Vec<AtomicU64>,
}

impl Memory {
    fn new() -> Arc<Memory> {
        let len = stride(SIZE).unwrap() / 8 * slots(SIZE);
        Arc::new(Memory {
            words: LatestWords::new(),
            slots: (0..len).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    fn latest(&self) -> Latest<'_> {
        Latest {
            words: &self.words,
            area: Area(&self.slots),
            size: SIZE,
        }
    }

    /// Publishes ten times the version.
    fn publish(&self, version: u64) {
        let word = (version * 10).to_ne_bytes();
        let published = self
            .latest()
            .publish(version - 1, (&[word, word].concat()).into());
        assert_eq!(published, version);
    }

    /// Reads a number and its version. `None` if the publisher overwrote the value during the read.
    fn read(&self) -> Option<(u64, u64)> {
        let mut bytes = [0; SIZE];
        // SAFETY: there is room for `SIZE` bytes.
        let version = unsafe { self.latest().read(bytes.as_mut_ptr()) }.ok()?;
        let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
        if version == 0 {
            return Some((0, 0));
        }
        assert_eq!(word(0), word(8), "torn");
        Some((word(0), version))
    }
}

/// A value that is read is whole, has the version that `read` returns, and is not older than the one read before. The
/// publisher uses each slot twice, so it overwrites slots while they are read.
#[test]
fn a_value_that_is_read_is_whole_and_latest() {
    bounded(3, || {
        let memory = Memory::new();
        memory.publish(1);
        let writer = thread::spawn({
            let memory = memory.clone();
            move || (2..=5).for_each(|version| memory.publish(version))
        });
        let mut last = 1;
        for _ in 0..2 {
            if let Some((number, version)) = memory.read() {
                assert_eq!(number, version * 10);
                assert!(version >= last);
                last = version;
            }
        }
        writer.join().unwrap();
        assert_eq!(memory.read(), Some((50, 5)));
    });
}

#[test]
fn a_reader_that_waits_for_a_newer_value_is_woken() {
    bounded(3, || {
        let memory = Memory::new();
        let writer = thread::spawn({
            let memory = memory.clone();
            move || (1..=2).for_each(|version| memory.publish(version))
        });
        let mut seen = 0;
        while seen < 2 {
            assert!(memory.latest().wait(seen, true, Deadline::Never));
            let (number, version) = memory.read().unwrap();
            assert!(number == version * 10 && version > seen);
            seen = version;
        }
        writer.join().unwrap();
    });
}
