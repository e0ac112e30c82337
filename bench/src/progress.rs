//! A line that shows the progress, if standard error is a terminal.

use std::{
    cell::Cell,
    io::{self, IsTerminal, Write},
};

/// The line; dropping this clears it.
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
