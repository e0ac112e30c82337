//! The records of attachments.
//!
//! A process that attaches a segment locks a byte of the segment's file, through the open file that it maps: the lock
//! goes with the mapping, however that ends. So a record whose byte is not locked belongs to an attachment that has
//! ended. A process that checks a segment frees such records, and stores in the segment's entry what the kernel would
//! have stored at once: which process detached last, and when.

use super::{
    layout::{ATTACHED, DETACHED, Entry, LIVE, Pid, RECORDS, Record, STATE},
    session::Session,
    table::{Part, Table, grow},
};
use crate::sys::{self, Descriptor, Errno, Instant};
use core::{
    sync::atomic::Ordering::{Acquire, Relaxed, Release},
    time::Duration,
};

/// A new record: its index, and the number of its attachment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    pub index: u32,
    pub number: u64,
}

/// Whose records are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    All,
    /// Those of other processes. This process is live, though it may have unmapped an attachment of its own, or may
    /// just be preparing one for its child.
    Others,
}

/// Adds a record of an attachment by the process that has a slot.
pub(super) fn add(
    session: &Session,
    (index, entry): (u32, &Entry),
    (slot, generation): (u32, u32),
    pid: Pid,
) -> Result<Made, Errno> {
    let table = session.table;
    let header = table.header();
    let place = free_record(session).or_else(|errno| {
        // Records of the dead remain until a call checks their segment. A fork adds many records, and looks once.
        if errno.0 != libc::ENOMEM || session.records_are_full.get() {
            return Err(errno);
        }
        collect_until_one_is_free(session);
        let found = free_record(session).map_err(|_| errno);
        session.records_are_full.set(found.is_err());
        found
    })?;
    let record = table.record(place).ok_or(Errno(libc::ENOMEM))?;
    let number = header.attachments.load(Relaxed).wrapping_add(1) & (u64::MAX >> 3);
    let number = number.max(1);
    header.attachments.store(number, Relaxed);
    record.process.store(pid.0, Relaxed);
    record.entry.store(index, Relaxed);
    record.id.store(entry.id.load(Relaxed), Relaxed);
    record.slot.store(slot, Relaxed);
    record.slot_generation.store(generation, Relaxed);
    record.next.store(entry.record.load(Relaxed), Relaxed);
    // Release: a process that takes over the table's lock after this store finds the record complete.
    record.word.store(number << 2 | ATTACHED, Release);
    entry.record.store(place + 1, Relaxed);
    Ok(Made {
        index: place,
        number,
    })
}

/// Takes a free record, or one that has never been used.
fn free_record(session: &Session) -> Result<u32, Errno> {
    let table = session.table;
    let header = table.header();
    let free = header.record_free.load(Relaxed).checked_sub(1);
    if let Some(index) = free
        && let Some(record) = table.record(index)
        && record.word.load(Relaxed) == 0
    {
        header.record_free.store(record.next.load(Relaxed), Relaxed);
        return Ok(index);
    }
    header.record_free.store(0, Relaxed);
    let index = header.records_used.load(Relaxed);
    if table.record(index).is_none() {
        let full = |errno: Errno| match errno.0 {
            libc::ENOSPC => Errno(libc::ENOMEM),
            _ => errno,
        };
        let file = super::open::reopen(session)?;
        grow(table, Part::Records, index, &file).map_err(full)?;
    }
    header.records_used.store(index + 1, Relaxed);
    Ok(index)
}

/// How long a call looks for records of attachments that have ended.
const PATIENCE: Duration = Duration::from_secs(1);

/// Frees the records of attachments that have ended, segment by segment, until there is a free one.
#[cold]
fn collect_until_one_is_free(session: &Session) {
    let (table, start) = (session.table, Instant::now());
    for entry in (0..table.entries()).filter_map(|index| table.live(index)) {
        count(session, entry);
        if table.header().record_free.load(Relaxed) != 0 || start.elapsed() > PATIENCE {
            return;
        }
    }
}

/// Frees a record that is in no chain.
pub(super) fn put_free(table: Table, index: u32, record: &Record) {
    let header = table.header();
    record.word.store(0, Relaxed);
    record.next.store(header.record_free.load(Relaxed), Relaxed);
    header.record_free.store(index + 1, Relaxed);
}

/// Calls `keep` with each record of a segment, and frees those for which it returns false.
fn retain(table: Table, entry: &Entry, mut keep: impl FnMut(u32, &Record) -> bool) {
    let mut place = &entry.record;
    for _ in 0..RECORDS {
        let Some(index) = place.load(Relaxed).checked_sub(1) else {
            return;
        };
        let record = table.record(index);
        let Some(record) = record.filter(|record| belongs(record, entry)) else {
            // The table is corrupted: the chain ends here.
            place.store(0, Relaxed);
            return;
        };
        if keep(index, record) {
            place = &record.next;
        } else {
            place.store(record.next.load(Relaxed), Relaxed);
            put_free(table, index, record);
        }
    }
    place.store(0, Relaxed);
}

fn belongs(record: &Record, entry: &Entry) -> bool {
    record.word.load(Relaxed) != 0 && record.id.load(Relaxed) == entry.id.load(Relaxed)
}

/// Frees all records of a segment.
pub(super) fn free_all(table: Table, entry: &Entry) {
    retain(table, entry, |_, _| false);
}

/// Frees the record of an attachment that failed.
pub(super) fn undo(table: Table, entry: &Entry, made: Made) {
    retain(table, entry, |index, _| index != made.index);
}

/// Frees the records of attachments that have ended, and returns the number of the others.
pub(super) fn count(session: &Session, entry: &'static Entry) -> u32 {
    if entry.record.load(Relaxed) == 0 {
        return 0;
    }
    let id = entry.id.load(Relaxed);
    let opened = session.open_segment(id, entry, libc::O_RDONLY).ok();
    let file = opened.as_ref().map(|(file, _)| file);
    collect(session, entry, file, Whose::All)
}

/// Frees the records of other processes' attachments that have ended, before this process attaches the segment.
pub(super) fn collect_others(session: &Session, entry: &'static Entry, file: &Descriptor) {
    collect(session, entry, Some(file), Whose::Others);
}

fn collect(
    session: &Session,
    entry: &'static Entry,
    file: Option<&Descriptor>,
    whose: Whose,
) -> u32 {
    let (mut count, start) = (0, Instant::now());
    let holding = session.holding;
    let lock_file = file.and_then(|file| holding.lock_file(file).ok());
    retain(session.table, entry, |_, record| {
        // Acquire: pairs with the release in `mark_detached`, before which the detach has stored its time and
        // process.
        let word = record.word.load(Acquire);
        if word & STATE == DETACHED {
            return false;
        }
        let slot = record.slot.load(Relaxed);
        let generation = record.slot_generation.load(Relaxed);
        let is_own = [(session.slot, session.slot_generation), session.spare_slot]
            .contains(&(slot, generation));
        // A peer can make a long chain, and lock so many bytes that it takes a long time to ask for each lock.
        // Those that remain count as live.
        let lives = whose == Whose::Others && is_own
            || start.elapsed() > PATIENCE
            || match &lock_file {
                Some(file) => file.is_byte_locked(holding.attachment_byte(word >> 2)) != Ok(false),
                None => session.slot_lives(slot, generation),
            };
        if lives {
            count += 1;
        } else {
            entry.last.store(record.process.load(Relaxed), Relaxed);
            entry.detached.store(sys::seconds(), Relaxed);
        }
        lives
    });
    count
}

/// Marks an attachment as detached, without the table's lock. If its record was freed in between, the record's word
/// is another one, and stays.
pub(super) fn mark_detached(record: &Record, number: u64) {
    let (attached, detached) = (number << 2 | ATTACHED, number << 2 | DETACHED);
    // Release: pairs with the acquire in `collect`.
    let _ = record
        .word
        .compare_exchange(attached, detached, Release, Relaxed);
}

/// Puts each record into the chain of its segment, and frees those whose segment does not exist.
pub(super) fn rebuild(table: Table) {
    let header = table.header();
    header.record_free.store(0, Relaxed);
    let mut highest = header.attachments.load(Relaxed) & (u64::MAX >> 3);
    for index in (0..table.records()).rev() {
        let Some(record) = table.record(index) else {
            continue;
        };
        let word = record.word.load(Relaxed);
        let place = record.entry.load(Relaxed);
        let entry = table
            .entry(place)
            .filter(|entry| entry.is(LIVE) && entry.id.load(Relaxed) == record.id.load(Relaxed));
        match entry {
            Some(entry) if matches!(word & STATE, ATTACHED | DETACHED) => {
                highest = highest.max(word >> 2 & (u64::MAX >> 3));
                record.next.store(entry.record.load(Relaxed), Relaxed);
                entry.record.store(index + 1, Relaxed);
            }
            _ => put_free(table, index, record),
        }
    }
    header.attachments.store(highest, Relaxed);
}
