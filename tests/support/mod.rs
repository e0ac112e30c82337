//! What the tests and the demonstration share.
//!
//! [`Programs`] builds the programs of `c_examples/` in all their forms. An [`Environment`] is a directory
//! with keys of its own. A [`Process`] is a program that runs with a timeout. [`examples`] has one
//! function for each pair of programs, which runs both and checks what they print.

#![allow(dead_code, unused_imports)] // each test uses a part

mod cpp;
mod environment;
pub mod examples;
mod helpers;
pub mod hosts;
pub mod needs;
mod processes;
mod programs;
#[path = "../../c_examples/record.rs"]
pub mod record;
mod values;

pub use cpp::{CLANGXX, Cpp, GXX};
pub use environment::{Environment, directory, watch};
pub use helpers::{Helper, helper_task, say, wait_to_be_told};
pub use processes::{Ending, Process};
pub use programs::{Artifacts, Form, PEER, Programs, working_compiler};
pub use values::{Random, shorten};

use shmkey::{Error, ErrorKind};
use std::time::Duration;

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
