//! The notes that `shmkey trace` receives beside the trace: which process has made a call, which segment a
//! process has created, and which process has reported what it leaves behind. From them the command
//! reports at the end what is left of processes that could not report it: those that were killed, called
//! `_exit` or were replaced by `exec`.

use super::{reporter::namespace, sink};
use crate::{
    backend::{self, Occupant},
    sys,
};
use core::{ffi::c_int, fmt};

/// Notes that this process has made its first call.
pub(super) fn called() {
    note(format_args!("called {}\n", sys::process_id()));
}

/// Notes that this process has created a segment, if it has: `id` is the one that it has opened.
pub(super) fn opened(id: c_int) {
    // Without a reporter, the record is not read.
    if sink::reporter().is_none() {
        return;
    }
    let me = sys::process_id();
    if let Ok(Occupant::Holds(record)) = backend::find(id)
        && record.shm_cpid == me
    {
        note(format_args!("created {me} {id} {}\n", namespace()));
    }
}

/// Notes that this process has reported what it leaves behind in its IPC namespace.
pub(super) fn told() {
    note(format_args!("told {} {}\n", sys::process_id(), namespace()));
}

fn note(what: fmt::Arguments<'_>) {
    if let Some(reporter) = sink::reporter() {
        reporter.send(what);
    }
}
