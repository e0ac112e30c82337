//! The state of a thread, for error messages.

use super::{file::Path, lines::for_each_line, process::proc_is_ours};
use core::{ops::ControlFlow, str};

/// A thread's process and state.
pub struct ThreadState {
    pub process: i32,
    /// `running`, `sleeping`, `stopped` or `dead`.
    pub word: &'static str,
}

/// Returns the state of the thread with this id; `None` if there is none, or `/proc` does not show it or shows
/// another PID namespace. Does not allocate.
pub fn thread_state(thread: i32) -> Option<ThreadState> {
    if !proc_is_ours() {
        return None;
    }
    let path = Path::new(format_args!("/proc/{thread}/status"))?;
    let (mut process, mut word) = (None, None);
    // An error leaves both as they are.
    let _ = for_each_line(path.as_c_str(), |line| {
        if let Some(letter) = line.strip_prefix(b"State:\t") {
            word = Some(match letter.first() {
                Some(b'R') => "running",
                Some(b'T' | b't') => "stopped",
                Some(b'Z' | b'X' | b'x') => "dead",
                _ => "sleeping",
            });
        } else if let Some(id) = line.strip_prefix(b"Tgid:\t") {
            process = str::from_utf8(id).ok().and_then(|id| id.parse().ok());
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    Some(ThreadState {
        process: process?,
        word: word?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{process_id, thread_id};
    use std::thread;

    #[test]
    fn a_threads_process_and_state() {
        let main = thread_id();
        thread::spawn(move || {
            let own = thread_state(thread_id()).unwrap();
            assert_eq!((own.process, own.word), (process_id(), "running"));
            assert_eq!(thread_state(main).unwrap().process, process_id());
        })
        .join()
        .unwrap();
        assert!(thread_state(0).is_none());
    }
}
