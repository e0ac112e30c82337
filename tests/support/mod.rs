//! What the tests and the demonstration share.
//!
//! [`Programs`] builds the programs of `c_examples/` in all their forms. A [`Sandbox`] is a directory
//! with keys of its own. A [`Process`] is a program that runs with a timeout. [`examples`] has one
//! function for each pair of programs, which runs both and checks what they print.

#![allow(dead_code, unused_imports)] // each test uses a part

mod cleanup;
mod cpp;
pub mod examples;
mod helpers;
pub mod hosts;
pub mod needs;
mod processes;
mod programs;
#[path = "../../c_examples/record.rs"]
pub mod record;
mod sandbox;
mod values;

pub use cleanup::{directory, watch};
pub use cpp::{CLANGXX, Cpp, GXX};
pub use helpers::{Helper, Name, helper_task, say, wait_to_be_told};
pub use processes::{Ending, Process};
pub use programs::{Artifacts, Form, Programs, working_compiler};
pub use sandbox::Sandbox;
pub use values::{Random, shorten};

/// What went wrong, in words.
pub type Result<T> = std::result::Result<T, String>;
