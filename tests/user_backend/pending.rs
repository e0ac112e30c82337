//! What is left to be done after deaths and removals: a call that looks at all of it looks at each once.

use crate::{killed::kill_at, namespace::*};
use shmkey_core::backend;
use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::PathBuf,
    ptr,
    sync::atomic::{
        AtomicU32,
        Ordering::{Acquire, Relaxed, Release},
    },
};

tasks! {
    a_look_at_all_that_is_left_goes_round_once
    what_the_dead_have_left_is_collected_between_what_the_living_keep
    information_counts_only_what_the_living_keep
    an_attach_collects_records_of_the_dead_when_all_are_used
    a_creation_that_cannot_be_completed_is_collected
}

fn directory() -> PathBuf {
    std::env::var_os("SHMKEY_DIR").unwrap().into()
}

fn table() -> File {
    let mut options = OpenOptions::new();
    let table = directory().join("table");
    options.read(true).write(true).open(table).unwrap()
}

fn a_look_at_all_that_is_left_goes_round_once() {
    for id in [(); 5].map(|()| private(100)) {
        attach(id);
        backend::remove(id).unwrap();
    }
    // A process stops twice at each system call, and makes a few for each segment.
    let has_not_ended = kill_at(500, &|| assert_eq!(backend::usage().unwrap().1.used_ids, 5));
    assert!(!has_not_ended, "more than 250 system calls");
}

fn what_the_dead_have_left_is_collected_between_what_the_living_keep() {
    let ids: Vec<i32> = (0..40).map(|_| private(100)).collect();
    let every_other = |first: usize| ids.iter().copied().skip(first).step_by(2);
    let child = fork_and_pause(|| every_other(1).for_each(|id| _ = attach(id)));
    wait_until("the child has attached its own", || nattch(ids[39]) == 1);
    every_other(0).for_each(|id| _ = attach(id));
    ids.iter().for_each(|&id| backend::remove(id).unwrap());
    assert_eq!(backend::usage().unwrap().1.used_ids, 40);
    kill(child);
    assert_eq!(backend::usage().unwrap().1.used_ids, 20);
    let mut left: Vec<_> = every_other(0).map(|id| format!("s.{id}")).collect();
    left.push("table".to_owned());
    left.sort();
    assert_eq!(files(&directory()), left);
}

fn information_counts_only_what_the_living_keep() {
    let (kept, other) = (private(100), private(100));
    let child = fork_and_pause(|| _ = attach(other));
    wait_until("the child has attached it", || nattch(other) == 1);
    backend::remove(other).unwrap();
    let highest = || {
        // SAFETY: the structure of this command.
        let mut limits: backend::Limits = unsafe { std::mem::zeroed() };
        let buffer = (&raw mut limits).cast();
        // SAFETY: as above.
        unsafe { backend::control(0, backend::IPC_INFO, buffer) }.unwrap()
    };
    assert_eq!(highest(), other);
    kill(child);
    assert_eq!(highest(), kept);
}

/// The most attachments that a table has room for, and where its header has the first free record, and how many were used.
const RECORDS: u32 = 1 << 17;
const RECORD_FREE: u64 = 232;
const RECORDS_USED: u64 = 236;

fn an_attach_collects_records_of_the_dead_when_all_are_used() {
    let (id, other) = (private(100), private(100));
    let child = fork_and_pause(|| _ = attach(other));
    wait_until("the child attaches", || nattch(other) == 1);
    let (table, used) = (table(), RECORDS.to_ne_bytes());
    table
        .write_all_at(&0_u32.to_ne_bytes(), RECORD_FREE)
        .unwrap();
    table.write_all_at(&used, RECORDS_USED).unwrap();
    assert_eq!(fails(try_attach(id, 0)), libc::ENOMEM);
    kill(child);
    let memory = attach(id);
    assert_eq!((nattch(id), nattch(other)), (1, 0));
    assert_eq!(fails(try_attach(other, 0)), libc::ENOMEM);
    detach(memory);
}

/// Where the table has its entries, how large one is, and the state of one that is being created.
const ENTRIES_AT: usize = 192 << 10;
const ENTRY: usize = 128;
const CREATING: u32 = 1;

/// Maps the start of the table, as any process can.
fn words() -> &'static [AtomicU32; 1 << 16] {
    let (start, table) = (ptr::null_mut(), table());
    // SAFETY: nothing is replaced; the words are integers, and stay mapped.
    unsafe {
        let mapped = libc::mmap(start, 4 << 16, 3, libc::MAP_SHARED, table.as_raw_fd(), 0);
        assert_ne!(mapped, libc::MAP_FAILED);
        &*mapped.cast()
    }
}

/// Takes the table's lock for a slot while a process reserves the space of a segment.
fn take_lock_during_a_creation(words: &[AtomicU32], slot: u32) -> &AtomicU32 {
    let (lock, entries) = (&words[64 / 4], &words[ENTRIES_AT / 4..]);
    let is_creating = || {
        let mut states = entries[..64 * ENTRY / 4].iter().step_by(ENTRY / 4);
        states.any(|state| state.load(Relaxed) == CREATING)
    };
    wait_until("a creation is under way", || {
        // Without the lock at first: the creation needs it to begin.
        let free = lock.load(Relaxed) & !0xffff;
        // Acquire: pairs with the release of the process that had it.
        let take = || lock.compare_exchange(free, free | (slot + 1), Acquire, Relaxed);
        if !is_creating() || take().is_err() {
            return false;
        }
        let taken_in_time = is_creating();
        if !taken_in_time {
            lock.fetch_and(!0xffff, Release);
        }
        taken_in_time
    });
    lock
}

fn a_creation_that_cannot_be_completed_is_collected() {
    backend::remove(private(1)).unwrap();
    let (words, slot) = (words(), process_id() as u32 % 0x7fff);
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let child = fork_and_pause(|| {
        while let Ok(id) = get(libc::IPC_PRIVATE, 32 << 20, 0o600) {
            while backend::remove(id).is_err() {}
        }
        writer.write_all(b"!").unwrap();
    });
    let lock = take_lock_during_a_creation(words, slot);
    // The child waits for 5 seconds.
    reader.read_exact(&mut [0]).unwrap();
    lock.fetch_and(!0xffff, Release);
    assert_eq!(backend::usage().unwrap().1.used_ids, 0);
    assert_eq!(files(&directory()), ["table"]);
    kill(child);
}
