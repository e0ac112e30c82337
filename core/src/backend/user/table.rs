//! The mapped table: access to its parts, and space for them.

use super::{
    layout::{
        ENTRIES, ENTRIES_AT, Entry, HEADS, HEADS_AT, Header, RECORDS, RECORDS_AT, Record, SLOTS,
        SLOTS_AT,
    },
    process::PUBLIC,
    space,
};
use crate::sys::{Descriptor, Errno};
use core::{
    ptr::NonNull,
    sync::atomic::{
        AtomicU32,
        Ordering::{Acquire, Relaxed},
    },
};

/// The table that this process has mapped. Its address range is never used for anything else, so references into it
/// stay valid for as long as the process lives.
#[derive(Clone, Copy)]
pub(super) struct Table(NonNull<u8>);

impl Table {
    /// Returns the mapped table; `None` if none is mapped.
    pub(super) fn mapped() -> Option<Table> {
        // Acquire: pairs with the release in `open::map`, after which the mapping is complete.
        if PUBLIC.is_mapped.load(Acquire) == 0 {
            return None;
        }
        Table::at(PUBLIC.base.load(Relaxed))
    }

    pub(super) fn at(address: usize) -> Option<Table> {
        NonNull::new(address as *mut u8).map(Table)
    }

    pub(super) fn header(self) -> &'static Header {
        // SAFETY: the table begins with its header, which consists of atomics.
        unsafe { self.0.cast().as_ref() }
    }

    /// Returns the head of the chain that a key belongs to.
    pub(super) fn head(self, key: i32) -> &'static AtomicU32 {
        // Keys of ftok differ in their lowest and highest bits: Fibonacci hashing takes all of them.
        let hash = (key as u32).wrapping_mul(0x9e37_79b1) >> (32 - HEADS.trailing_zeros());
        self.part(HEADS_AT, hash)
    }

    /// Returns the heads of all chains.
    pub(super) fn heads(self) -> impl Iterator<Item = &'static AtomicU32> {
        (0..HEADS).map(move |index| self.part(HEADS_AT, index))
    }

    /// Returns the generation of a slot; `None` if there is no such slot.
    pub(super) fn slot_generation(self, slot: u32) -> Option<&'static AtomicU32> {
        (slot < SLOTS).then(|| self.part(SLOTS_AT, slot))
    }

    /// Returns the number of entries that have space.
    pub(super) fn entries(self) -> u32 {
        self.header().entries_ready.load(Relaxed).min(ENTRIES)
    }

    /// Returns an entry; `None` if it has no space.
    pub(super) fn entry(self, index: u32) -> Option<&'static Entry> {
        (index < self.entries()).then(|| self.part(ENTRIES_AT, index))
    }

    /// Returns the number of records that have ever been used.
    pub(super) fn records(self) -> u32 {
        let ready = self.header().records_ready.load(Relaxed).min(RECORDS);
        self.header().records_used.load(Relaxed).min(ready)
    }

    /// Returns a record; `None` if it has no space.
    pub(super) fn record(self, index: u32) -> Option<&'static Record> {
        let ready = self.header().records_ready.load(Relaxed).min(RECORDS);
        (index < ready).then(|| self.part(RECORDS_AT, index))
    }

    /// Returns an element of one of the table's arrays.
    fn part<T>(self, start: usize, index: u32) -> &'static T {
        // SAFETY: callers name an array of the layout, of this type, which consists of atomics, and an index in it. The
        // whole layout is mapped.
        unsafe {
            self.0
                .byte_add(start + size_of::<T>() * index as usize)
                .cast()
                .as_ref()
        }
    }
}

/// How many elements get space at a time.
const STEP: u32 = 512;

/// An array of the table that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Entries,
    Records,
}

/// Gives an array space up to the element with an index, unless that has space already. Returns `ENOSPC` if the file
/// system or the array is full. The caller holds the table's lock.
pub(super) fn grow(table: Table, part: Part, index: u32, file: &Descriptor) -> Result<(), Errno> {
    let header = table.header();
    let (ready, size, start, most) = match part {
        Part::Entries => (
            &header.entries_ready,
            size_of::<Entry>(),
            ENTRIES_AT,
            ENTRIES,
        ),
        Part::Records => (
            &header.records_ready,
            size_of::<Record>(),
            RECORDS_AT,
            RECORDS,
        ),
    };
    if index >= most {
        return Err(Errno(libc::ENOSPC));
    }
    let now = ready.load(Relaxed).min(most);
    if index < now {
        return Ok(());
    }
    let wanted = (index / STEP + 1) * STEP;
    let (from, to) = (now as usize * size, wanted as usize * size);
    space::reserve(file, (start + from) as u64, (to - from) as u64)?;
    ready.store(wanted, Relaxed);
    Ok(())
}
