//! The language whose names of calls and flags the texts use. A text that a C function returns has the names of
//! `shmkey.h`, and one that Rust displays has those of this crate. The Python package and the command choose their own
//! names.

use crate::explain::names;
use std::sync::OnceLock;

pub use crate::explain::names::{COMMAND, Names, PYTHON};

/// The names that the program has chosen for all texts.
static CHOSEN: OnceLock<&'static Names> = OnceLock::new();

/// Makes all texts of this copy of the library use these names. Only the first call has an effect.
pub fn choose(names: &'static Names) {
    let _ = CHOSEN.set(names);
}

/// Returns the names for texts that Rust displays.
pub(crate) fn of_rust() -> &'static Names {
    CHOSEN.get().unwrap_or(&&names::RUST)
}

/// Returns the names for texts that C functions return.
pub(crate) fn of_c() -> &'static Names {
    CHOSEN.get().unwrap_or(&&names::C)
}
