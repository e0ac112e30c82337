//! What is left to be done after deaths and removals: a call that looks at all of it looks at each once.

use crate::{killed::kill_at, namespace::*};
use shmkey_core::backend;
use std::path::PathBuf;

tasks! {
    a_look_at_all_that_is_left_goes_round_once
    what_the_dead_have_left_is_collected_between_what_the_living_keep
    information_counts_only_what_the_living_keep
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
    let directory: PathBuf = std::env::var_os("SHMKEY_DIR").unwrap().into();
    assert_eq!(files(&directory), left);
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
