//! Handlers that the program has registered with `pthread_atfork`.

use crate::{
    namespace::*,
    support::{fork_child, status_of},
};
use std::sync::atomic::{
    AtomicI32,
    Ordering::{AcqRel, Acquire, Relaxed},
};

tasks! {
    handlers_of_the_program_may_make_all_calls
}

/// The segment that the handlers attach.
static SEGMENT: AtomicI32 = AtomicI32::new(-1);
/// How many handlers have run to their end.
static CALLED: AtomicI32 = AtomicI32::new(0);

extern "C" fn attach_and_detach() {
    let id = SEGMENT.load(Relaxed);
    if id < 0 {
        return;
    }
    let attached = stat(id).shm_nattch;
    let memory = attach(id);
    assert_eq!(nattch(id), attached + 1);
    detach(memory);
    CALLED.fetch_add(1, AcqRel);
}

fn handlers_of_the_program_may_make_all_calls() {
    let handler: unsafe extern "C" fn() = attach_and_detach;
    // SAFETY: the handlers are functions of this program.
    let registered = unsafe { libc::pthread_atfork(Some(handler), Some(handler), Some(handler)) };
    assert_eq!(registered, 0);
    let id = private(100);
    let memory = attach(id);
    SEGMENT.store(id, Relaxed);
    let child = fork_child(|| {
        // Before the fork, and in this child.
        assert_eq!(CALLED.load(Acquire), 2);
        detach(memory);
        0
    });
    assert_eq!(status_of(child), 0);
    assert_eq!(CALLED.load(Acquire), 2);
    assert_eq!(nattch(id), 1);
}
