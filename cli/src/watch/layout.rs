//! Where the parts of an object lie in its segment.

use shmkey::{Contents, Holding};

/// Where the parts of an object begin: docs of the library's `object`.
pub const WORDS: usize = 512;
pub const PAYLOAD: usize = 1024;

/// Where the messages of an object begin, and what is in front of them; `None` for one without messages.
pub fn messages_of(contents: &Contents) -> Option<(usize, &'static str)> {
    match contents.holding {
        Holding::Ring { .. } => Some((PAYLOAD + 1024, "── senders ")),
        Holding::Broadcast { .. } => Some((PAYLOAD + 512 + 64 * 64, "── subscribers ")),
        Holding::RwLock { .. } => Some((PAYLOAD + 4160, "── state of the lock ")),
        _ => None,
    }
}

/// The first byte to show: where an object changes most, or 0 if there is no object.
pub fn beginning(contents: Option<&Contents>) -> usize {
    match contents {
        None => 0,
        Some(contents) if contents.size == 0 => WORDS,
        Some(contents) => messages_of(contents).map_or(PAYLOAD, |(begin, _)| begin),
    }
}
