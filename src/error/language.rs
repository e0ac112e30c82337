//! Whose names of calls and flags the texts use. A text that C asks for has those of `shmkey.h`, and one that Rust
//! displays has those of this crate; a program that is neither to its user, such as the command, chooses its own.

use crate::explain::names;
use std::sync::OnceLock;

pub use crate::explain::names::{COMMAND, Names, PYTHON};

/// The names that the program has chosen for all texts.
static CHOSEN: OnceLock<&'static Names> = OnceLock::new();

/// Makes all texts of this copy of the library use these names. The first call counts.
pub fn choose(names: &'static Names) {
    let _ = CHOSEN.set(names);
}

/// Returns the names for texts that Rust displays.
pub(crate) fn of_rust() -> &'static Names {
    CHOSEN.get().unwrap_or(&&names::RUST)
}

/// Returns the names for texts that C asks for.
pub(crate) fn of_c() -> &'static Names {
    CHOSEN.get().unwrap_or(&&names::C)
}
