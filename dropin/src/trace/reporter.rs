//! The way from this process to `shmkey trace`: a socket in the abstract namespace, which the command
//! alone reads. So a program that has changed its user or its root directory still reaches it. Each note
//! is one datagram.

use super::os;
use crate::sys::{self, Path};
use core::{ffi::c_int, fmt, str};

/// The receiver of notes, from the three numbers of `SHMKEY_TRACE_REPORTER`.
#[derive(Clone, Copy)]
pub(super) struct Reporter {
    /// The process of the command.
    pub process: c_int,
    /// A random number in the name of its socket, so that other processes cannot guess the name.
    socket: u64,
    /// The IPC namespace of the command; 0 if it is unknown.
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

    /// Returns whether the command sees the segments of this process.
    pub fn shares_namespace(&self) -> bool {
        self.namespace != 0 && self.namespace == namespace()
    }

    /// Sends a note.
    pub fn send(&self, note: fmt::Arguments<'_>) {
        // The @ stands for the 0 with which a name of the abstract namespace begins.
        let name = Path::new(format_args!("@shmkey-trace-{:016x}", self.socket));
        if let (Some(name), Some(note)) = (name, Path::new(note)) {
            os::send_to_abstract(name.as_c_str(), note.as_c_str().to_bytes());
        }
    }

    /// Sends that this process has lost this number of lines of its trace.
    pub fn send_lost(&self, count: u64) {
        self.send(format_args!("lost {} {count}\n", sys::process_id()));
    }
}

/// Returns the number of this IPC namespace; 0 if it is unknown.
pub(super) fn namespace() -> u64 {
    sys::ipc_namespace().unwrap_or(0)
}
