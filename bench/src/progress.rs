//! A line on the terminal, if standard error is one, that shows the progress.

use std::{
    cell::Cell,
    io::{self, IsTerminal, Write},
};

/// Shows it, and clears it when it is dropped.
pub struct Progress {
    shown: Cell<bool>,
}

impl Progress {
    pub fn new() -> Progress {
        Progress {
            shown: Cell::new(false),
        }
    }

    pub fn show(&self, what: &str) {
        if io::stderr().is_terminal() {
            eprint!("\r\x1b[K{what}");
            let _ = io::stderr().flush();
            self.shown.set(true);
        }
    }

    pub fn say(&self, what: &str) {
        self.clear();
        eprintln!("{what}");
    }

    pub fn clear(&self) {
        if self.shown.get() {
            eprint!("\r\x1b[K");
            self.shown.set(false);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
