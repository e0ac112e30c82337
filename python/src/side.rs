//! The sides of a ring or a broadcast: one thread at a time uses each.

use crate::failure::{exception, in_use};
use pyo3::PyResult;
use std::cell::Cell;

/// A side of a stream: the one that sends or the one that receives. One thread at a time uses it.
#[derive(Default)]
pub struct Side {
    is_busy: Cell<bool>,
    /// Whether a message or a slot of this side is in use.
    pub is_lent: Cell<bool>,
}

/// The right to use a side, until this is dropped.
pub struct Turn<'a>(&'a Side);

impl Side {
    /// Takes the side, unless a message or a slot of it is in use.
    #[inline]
    pub fn enter(&self) -> PyResult<Turn<'_>> {
        if self.is_lent.get() {
            return Err(in_use(
                "a message or a slot of this handle is in use; release, commit or abort it first",
            ));
        }
        self.enter_lent()
    }

    /// Takes the side.
    #[inline]
    pub fn enter_lent(&self) -> PyResult<Turn<'_>> {
        if self.is_busy.replace(true) {
            let text = "another thread uses this side of the handle; use a lock, or one handle for each thread";
            return Err(exception(libc::EBUSY, text));
        }
        Ok(Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.is_busy.set(false);
    }
}
