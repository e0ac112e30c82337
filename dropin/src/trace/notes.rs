//! What `shmkey trace` receives beside the trace: who has made a call, who has created which segment,
//! and which process has reported what it left. At the end it reports what is left of processes that could not: those
//! that were killed, called `_exit` or were replaced by `exec`.
//!
//! The notes go to a socket in the abstract namespace, which the command alone reads: a program that has
//! changed its user or its root directory still reaches it. Each note is one datagram.

use super::{os, sink};
use crate::{
    backend::{self, Occupant},
    sys::{self, Path},
};
use core::{ffi::c_int, fmt, str};

/// Where the notes go, as `SHMKEY_TRACE_REPORTER` says it: three numbers.
#[derive(Clone, Copy)]
pub(super) struct Reporter {
    /// The command's process.
    pub process: c_int,
    /// What the name of its socket ends in, so that others do not guess it.
    socket: u64,
    /// The IPC namespace that the command can look into; 0 if it could not tell.
    namespace: u64,
}

impl Reporter {
    pub fn parse(text: &[u8]) -> Option<Reporter> {
        let mut words = str::from_utf8(text).ok()?.split(' ');
        let mut number = || words.next()?.parse::<u64>().ok();
        Some(Reporter {
            process: number()?.try_into().ok()?,
            socket: number()?,
            namespace: number()?,
        })
    }

    /// Whether this process' segments are those that the command sees.
    pub fn shares_namespace(&self) -> bool {
        self.namespace != 0 && self.namespace == namespace()
    }
}

/// The number of the IPC namespace; 0 if it is unknown.
fn namespace() -> u64 {
    sys::ipc_namespace().unwrap_or(0)
}

/// This process has made its first call.
pub(super) fn called() {
    note(format_args!("called {}\n", sys::process_id()));
}

/// This process has opened a segment that it has perhaps created.
pub(super) fn opened(id: c_int) {
    // Nothing is looked up where no command receives it.
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

/// This process has lost so many lines of its trace.
pub(super) fn lost(count: u64) {
    note(format_args!("lost {} {count}\n", sys::process_id()));
}

/// This process has told what it leaves in its IPC namespace.
pub(super) fn told() {
    note(format_args!("told {} {}\n", sys::process_id(), namespace()));
}

fn note(what: fmt::Arguments<'_>) {
    let (Some(reporter), Some(note)) = (sink::reporter(), Path::new(what)) else {
        return;
    };
    // Its first byte stands for the 0 that names of the abstract namespace begin with.
    let name = Path::new(format_args!("@shmkey-trace-{:016x}", reporter.socket));
    if let Some(name) = name {
        os::send_to_abstract(name.as_c_str(), note.as_c_str().to_bytes());
    }
}
