//! What the tests and the demonstration share.
//!
//! [`Programs`] builds the programs of `c_examples/` in all their forms. An [`Environment`] is a directory
//! with keys of its own. A [`Process`] is a program that runs with a timeout. [`examples`] has one
//! function for each pair of programs, which runs both and checks what they print.

#![allow(dead_code, unused_imports)] // each test uses a part

pub mod backend;
mod cpp;
mod environment;
pub mod examples;
mod filter;
mod helpers;
pub mod hosts;
pub mod needs;
mod processes;
mod programs;
#[path = "../../c_examples/record.rs"]
pub mod record;
mod values;

pub use cpp::{CLANGXX, Cpp, GXX};
pub use environment::{Environment, Keys, directory, watch};
pub use filter::{install_filter, refuse_futex_waitv};
pub use helpers::{
    Helper, do_task, fork_child, helper_task, in_another_process, in_child,
    in_processes_without_futex_waitv, say, status_of, status_of_child, stop_for_tracer,
    wait_for_line, with_locks,
};
pub use processes::{Ending, Process};
pub use programs::{Artifacts, Form, PEER, Programs, compile, exported, working_compiler};
pub use values::{Random, shorten};

use shmkey::{Attachment, Error, ErrorKind, Key, Segment};
use std::{sync::Arc, time::Duration};

/// What went wrong, in words.
pub type Result<T> = std::result::Result<T, String>;

/// Does not wait.
pub const NOW: Duration = Duration::ZERO;

/// Waits for something that does not happen.
pub const SOON: Duration = Duration::from_millis(20);

/// Waits for something that happens sooner on the slowest machine. A [`Process`] may take longer, so that
/// it can tell what it has waited for.
pub const AGES: Duration = Duration::from_secs(50);

/// The kind of the error that a call returns.
#[track_caller]
pub fn kind<T>(result: std::result::Result<T, Error>) -> ErrorKind {
    result.map(drop).unwrap_err().kind()
}

/// Expects that a call fails with an error of this kind. Returns the error.
#[track_caller]
pub fn fails<T>(result: std::result::Result<T, Error>, expected: ErrorKind) -> Error {
    let error = result.map(drop).unwrap_err();
    assert_eq!(error.kind(), expected, "{error}");
    error
}

/// Expects these parts in a text, in this order: `…` stands for what lies between two parts.
#[track_caller]
pub fn says(text: &str, parts: &str) {
    let mut rest = text;
    for part in parts.split('…').map(str::trim) {
        let Some(at) = rest.find(part) else {
            panic!("no \"{part}\" in its place in: {text}");
        };
        rest = &rest[at + part.len()..];
    }
}

/// A segment under no key. Dropping the handle removes it.
pub fn private_segment(size: usize) -> Segment {
    directory(); // cleans up when this process is stopped
    let options = Segment::options().size(size).remove_on_drop(true);
    options.open(Key::PRIVATE).unwrap()
}

/// The memory of a segment under no key, which goes with this attachment.
pub fn private_memory(size: usize) -> Arc<Attachment> {
    Arc::new(private_segment(size).attach().unwrap())
}

/// A new segment under this key.
pub fn create_segment(key: Key, size: usize) -> Segment {
    let options = Segment::options().create(true).size(size);
    options.open(key).unwrap()
}
