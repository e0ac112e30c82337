//! An actor: a process that performs the statements of its stage, and answers with the results.
//!
//! Each message is one packet on a socket: a statement without its actor, with numbers in place of names. The sockets
//! 100 to 107 stand for the names A to H, and all actors inherit all of them. So an actor can fork another one in any
//! way, and stays the same actor after `exec`.

use super::{calls, memory, processes};
use std::{ffi::c_int, thread};

/// The socket of the actor A.
pub const FIRST_SOCKET: c_int = 100;
/// The names A to H.
pub const ACTORS: usize = 8;

/// The argument that makes a program an actor after `exec`, and is followed by the index of its name.
pub const ARGUMENT: &str = "--actor";

/// This process, as an actor.
#[derive(Clone, Copy)]
pub struct Actor {
    pub index: usize,
    /// Whether it calls the functions of the crate instead of those of the preloaded drop-in.
    pub by_library: bool,
}

impl Actor {
    pub fn new(index: usize) -> Actor {
        let by_library = false;
        Actor { index, by_library }
    }

    /// Answers statements until the stage has ended.
    pub fn act(mut self) -> ! {
        // SAFETY: takes no argument, and cannot fail.
        let pid = unsafe { libc::getpid() };
        self.answer(&format!("ok #{pid}"));
        while let Some(statement) = self.receive() {
            let words: Vec<&str> = statement.split_whitespace().collect();
            let answer = self.perform(&words);
            self.answer(&answer);
        }
        // SAFETY: ends this process without running exit handlers of its parent.
        unsafe { libc::_exit(0) }
    }

    fn perform(&mut self, words: &[&str]) -> String {
        match words {
            ["thread", rest @ ..] => self.in_thread(rest),
            ["library"] => {
                self.by_library = true;
                "ok".to_owned()
            }
            [verb, rest @ ..] => {
                let known = calls::perform(self, verb, rest)
                    .or_else(|| memory::perform(verb, rest))
                    .or_else(|| processes::perform(self, verb, rest));
                known.unwrap_or_else(|| format!("unknown verb {verb}"))
            }
            [] => "nothing to do".to_owned(),
        }
    }

    /// Performs a statement in a new thread, and waits for its end.
    fn in_thread(self, words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let mut same = self;
        let thread = thread::spawn(move || {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            same.perform(&words)
        });
        thread
            .join()
            .unwrap_or_else(|_| "the thread has panicked".to_owned())
    }

    fn socket(self) -> c_int {
        FIRST_SOCKET + self.index as c_int
    }

    fn receive(self) -> Option<String> {
        receive(self.socket())
    }

    fn answer(self, text: &str) {
        send(self.socket(), text);
    }
}

/// Receives a packet; `None` if the other end is closed.
pub fn receive(socket: c_int) -> Option<String> {
    let mut packet = [0u8; 4096];
    loop {
        // SAFETY: the array has this length.
        let len = unsafe { libc::recv(socket, packet.as_mut_ptr().cast(), packet.len(), 0) };
        let interrupted = std::io::Error::last_os_error().raw_os_error() == Some(libc::EINTR);
        if len < 0 && interrupted {
            continue;
        }
        let packet = packet.get(..usize::try_from(len).ok().filter(|len| *len > 0)?)?;
        return Some(String::from_utf8_lossy(packet).into_owned());
    }
}

/// Sends a packet.
pub fn send(socket: c_int, text: &str) -> bool {
    // SAFETY: the text has this length.
    let sent = unsafe { libc::send(socket, text.as_ptr().cast(), text.len(), libc::MSG_NOSIGNAL) };
    sent == text.len() as isize
}

/// Returns the result of a system call as an answer: a number, or the name of the error.
pub fn returned(result: c_int) -> String {
    if result == -1 {
        failed()
    } else {
        format!("ok {result}")
    }
}

/// Returns the name of this thread's errno.
pub fn failed() -> String {
    errno_name(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

pub fn errno_name(errno: c_int) -> String {
    const NAMES: [(c_int, &str); 24] = [
        (libc::EPERM, "EPERM"),
        (libc::ENOENT, "ENOENT"),
        (libc::EINTR, "EINTR"),
        (libc::EIO, "EIO"),
        (libc::EBADF, "EBADF"),
        (libc::EAGAIN, "EAGAIN"),
        (libc::ECHILD, "ECHILD"),
        (libc::ENOMEM, "ENOMEM"),
        (libc::EACCES, "EACCES"),
        (libc::EFAULT, "EFAULT"),
        (libc::EEXIST, "EEXIST"),
        (libc::ENOTDIR, "ENOTDIR"),
        (libc::EINVAL, "EINVAL"),
        (libc::ENFILE, "ENFILE"),
        (libc::EMFILE, "EMFILE"),
        (libc::EFBIG, "EFBIG"),
        (libc::ENOSPC, "ENOSPC"),
        (libc::EROFS, "EROFS"),
        (libc::ENOSYS, "ENOSYS"),
        (libc::EIDRM, "EIDRM"),
        (libc::EOVERFLOW, "EOVERFLOW"),
        (libc::ELOOP, "ELOOP"),
        (libc::ETIMEDOUT, "ETIMEDOUT"),
        (libc::EOPNOTSUPP, "EOPNOTSUPP"),
    ];
    let mut names = NAMES.iter();
    let found = names.find(|(number, _)| *number == errno);
    found.map_or_else(|| format!("errno {errno}"), |(_, name)| (*name).to_owned())
}
