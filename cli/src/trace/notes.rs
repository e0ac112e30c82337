//! What the drop-in reports to this command beside the trace, and the library about itself: see
//! dropin/src/trace/notes.rs and src/presence.rs, which write what is read here. A traced program can
//! write there, too, which falsifies only its own report.

use crate::process::{our_ipc_namespace, our_pid_namespace};
use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io,
    os::{
        fd::{AsRawFd, FromRawFd},
        unix::fs::{FileExt, MetadataExt},
    },
};

/// The file that they are written to. It has no name, and no program inherits it: `/proc` leads to it.
pub(super) struct Notes(File);

/// What they say.
#[derive(Default)]
pub(super) struct Told {
    /// Somebody has made a call.
    pub called: bool,
    /// The process that has created each segment, by its own count.
    pub created: HashMap<i32, i32>,
    /// How many segments were created in another IPC namespace.
    pub elsewhere: usize,
    /// How many lines of the trace were lost.
    pub lost: u64,
    /// The processes that have told themselves what they leave.
    pub told: HashSet<i32>,
    /// A process has the library shmkey in it, whose own calls are not traced.
    pub library: bool,
    /// The processes that have, of those whose numbers and segments are known here.
    pub with_library: HashSet<i32>,
}

impl Notes {
    pub fn new() -> io::Result<Notes> {
        // SAFETY: the name is a C string.
        let fd = check(unsafe { libc::memfd_create(c"shmkey-trace".as_ptr(), libc::MFD_CLOEXEC) })?;
        // SAFETY: it was opened just now, and nobody else knows of it.
        let file = unsafe { File::from_raw_fd(fd) };
        // SAFETY: it touches no memory.
        check(unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_APPEND) })?;
        Ok(Notes(file))
    }

    /// What the drop-in has to know of it, for SHMKEY_TRACE_REPORTER.
    pub fn address(&self) -> io::Result<String> {
        let (me, fd) = (std::process::id(), self.0.as_raw_fd());
        let file = self.0.metadata()?;
        let (device, inode) = (file.dev(), file.ino());
        Ok(format!("{me} {fd} {device} {inode} {}", namespace()))
    }

    pub fn read(&self) -> Told {
        let mut text = vec![0; self.0.metadata().map_or(0, |file| file.len() as usize)];
        if self.0.read_exact_at(&mut text, 0).is_err() {
            return Told::default();
        }
        let (mut told, mut elsewhere) = (Told::default(), HashSet::new());
        let here = namespace();
        let ours = (our_pid_namespace().map(|n| n.to_string()), &*here);
        for line in String::from_utf8_lossy(&text).lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| words.get(at)?.parse::<u32>().ok();
            let signed = |at: usize| number(at).map(|number| number as i32);
            match (words[0], signed(1), signed(2)) {
                ("called", ..) => told.called = true,
                ("lost", ..) => told.lost += u64::from(number(2).unwrap_or(0)),
                ("told", Some(pid), _) => drop(told.told.insert(pid)),
                ("library", Some(pid), _) => {
                    told.library = true;
                    if (words.get(2), words.get(3)) == (ours.0.as_deref().as_ref(), Some(&ours.1)) {
                        told.with_library.insert(pid);
                    }
                }
                ("created", Some(pid), Some(id)) if words.get(3) == Some(&&*here) => {
                    told.created.insert(id, pid);
                }
                ("created", _, Some(id)) => drop(elsewhere.insert((id, number(3)))),
                _ => {}
            }
        }
        told.elsewhere = elsewhere.len();
        told
    }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

/// The number of this process' IPC namespace; 0 if it cannot be told.
fn namespace() -> String {
    our_ipc_namespace().unwrap_or(0).to_string()
}
