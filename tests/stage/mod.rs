//! The stage on which the programs of `c_examples/` play, for the tests and the demonstration
//! alike.
//!
//! [`Troupe`] builds the programs in all their forms, a [`Sandbox`] is a directory of its own with
//! keys of its own, a [`Process`] is a program that runs with a deadline, and [`plays`] has one
//! function for each pair of programs: who writes, who reads, and what must be seen.

#![allow(dead_code, unused_imports)] // each user needs a part

mod base;
mod cpp;
mod helper;
pub mod hosts;
pub mod plays;
mod process;
#[path = "../../c_examples/record.rs"]
pub mod record;
mod sandbox;
mod troupe;
mod values;

pub use base::{directory, watch};
pub use cpp::{CLANGXX, Cpp, GXX};
pub use helper::{Helper, Name, helper_task, say, wait_to_be_told};
pub use process::{Ending, Process};
pub use sandbox::Sandbox;
pub use troupe::{Artifacts, Form, Troupe};
pub use values::{Random, shorten};

/// What went wrong, in words.
pub type Result<T> = std::result::Result<T, String>;
