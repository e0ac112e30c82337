//! Repairing the table after a process died while it held the table's lock.
//!
//! One store makes each change count: to the state or the mode of an entry, or to the word of a record. All chains,
//! the ring and the sums are rebuilt from these, which also repairs a corrupted table.

use super::{
    layout::{CREATING, ENTRIES, Entry, FREE, GARBAGE, LIVE},
    lock, records,
    table::Table,
};
use core::sync::atomic::Ordering::Relaxed;

/// Rebuilds the chains, the ring and the sums. The caller holds the table's lock.
#[cold]
pub(super) fn rebuild(table: Table) {
    let header = table.header();
    lock::begin_change(header);
    for head in table.heads() {
        head.store(0, Relaxed);
    }
    header.pending.store(0, Relaxed);
    header
        .cursor
        .store(header.cursor.load(Relaxed).min(ENTRIES), Relaxed);
    let (mut used, mut pages) = (0, 0_u64);
    for index in 0..table.entries() {
        let Some(entry) = table.entry(index) else {
            continue;
        };
        for link in [&entry.next, &entry.record, &entry.before, &entry.behind] {
            link.store(0, Relaxed);
        }
        if sort(table, index, entry) {
            used += 1;
            pages = pages.saturating_add(entry.pages());
        }
    }
    header.used.store(used, Relaxed);
    header.pages.store(pages, Relaxed);
    records::rebuild(table);
    lock::end_change(header);
}

/// Puts an entry where its state belongs. Returns whether it counts as a segment.
fn sort(table: Table, index: u32, entry: &Entry) -> bool {
    match entry.state.load(Relaxed) {
        LIVE if super::entries::index_of(entry.id.load(Relaxed)) != index => {
            // The id is corrupted: no lookup would find it.
            entry.state.store(FREE, Relaxed);
            false
        }
        LIVE if entry.is_removed() => {
            entry.key.store(libc::IPC_PRIVATE, Relaxed);
            table.add_pending(index, entry);
            true
        }
        LIVE => {
            if entry.key.load(Relaxed) != libc::IPC_PRIVATE {
                table.link(index, entry);
            }
            true
        }
        CREATING => {
            table.add_pending(index, entry);
            true
        }
        GARBAGE => {
            table.add_pending(index, entry);
            false
        }
        _ => {
            entry.state.store(FREE, Relaxed);
            false
        }
    }
}
