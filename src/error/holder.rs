//! A process or a thread in the text of an error.

use super::{Failure, fold};
use crate::{
    holder::{Holder, Life},
    sys,
};
use core::fmt;

impl Failure {
    /// Returns the thread that its second number names.
    pub fn thread(&self) -> ShownHolder {
        ShownHolder::new(self, false)
    }

    /// Returns the process that its second number names.
    pub fn process(&self) -> ShownHolder {
        ShownHolder::new(self, true)
    }
}

/// A process or a thread that holds something: `process 10625 (stopped)`, with its state at the time of
/// display.
pub(crate) struct ShownHolder {
    holder: Holder,
    /// Its id belongs to this process' PID namespace.
    known: bool,
    is_process: bool,
}

impl ShownHolder {
    fn new(failure: &Failure, is_process: bool) -> ShownHolder {
        ShownHolder {
            holder: Holder::from_bits(failure.other),
            known: failure.namespaces != 0 && failure.namespaces == fold(sys::namespaces()),
            is_process,
        }
    }

    pub fn life(&self) -> Life {
        self.holder.life(|| self.known)
    }
}

impl fmt::Display for ShownHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.holder.id();
        let what = if self.is_process { "process" } else { "thread" };
        if self.is_process && self.holder.is_mine() {
            return f.write_str("this process");
        }
        let life = self.life();
        if life != Life::Dead && !self.holder.has_id_here(|| self.known) {
            let why = match sys::namespaces() {
                sys::NO_NAMESPACE => "this process has no /proc of its PID namespace",
                _ => "its id is that of another PID namespace",
            };
            return write!(f, "{what} {id} (unknown: {why})");
        }
        let state = match life {
            Life::Dead if self.known => return write!(f, "{what} {id} (dead)"),
            // That id may have another user here.
            Life::Dead => {
                return write!(
                    f,
                    "{what} {id} (dead; its id may be that of another PID namespace)"
                );
            }
            Life::Live | Life::Unknown => sys::thread_state(id as i32),
        };
        match state {
            None => write!(f, "{what} {id} (unknown)"),
            // The first thread of a process can end before the others.
            Some(state) if self.is_process && state.word == "dead" => {
                write!(f, "process {id} (running)")
            }
            Some(state) if state.process == sys::process_id() => {
                if self.is_process {
                    f.write_str("this process")
                } else {
                    write!(f, "thread {id} of this process ({})", state.word)
                }
            }
            Some(state) if self.is_process || state.process as u32 == id => {
                write!(f, "process {id} ({})", state.word)
            }
            Some(state) => {
                write!(
                    f,
                    "thread {id} of process {} ({})",
                    state.process, state.word
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_named_with_its_state() {
        let mut failure = Failure::example();
        let me = sys::process_id();
        assert!(
            failure
                .thread()
                .to_string()
                .ends_with("of this process (running)")
        );
        assert_eq!(failure.process().to_string(), "this process");
        failure.other = Holder::process(false).bits() + (1 << 30);
        assert_eq!(
            failure.process().to_string(),
            format!("process {me} (dead)")
        );
        // In an object that is shared with other namespaces.
        let shared = Failure {
            namespaces: 0,
            other: Holder::thread(false).bits(),
            ..failure
        };
        let text = shared.thread().to_string();
        assert!(text.ends_with("of this process (running)"), "{text}");
        // One of which only its id is known, and that in another namespace.
        failure.other |= 3 << 62;
        failure.namespaces += 1;
        assert!(
            failure
                .process()
                .to_string()
                .starts_with(&format!("process {me} (unknown"))
        );
    }
}
