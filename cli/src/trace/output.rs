//! The destination of the trace, to which this command adds its report.

use super::{Refusal, not_possible};
use crate::{
    child,
    output::{complain, of_file},
};
use std::{
    ffi::{CString, OsStr, OsString},
    fs::{File, OpenOptions},
    io::{self, Write},
    os::{
        fd::{AsFd, AsRawFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{self, Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

pub(super) enum Output {
    StandardError,
    File(PathBuf, File),
    /// A file for each process: `%p` in its name stands for the process id.
    FilePerProcess(PathBuf),
}

impl Output {
    /// Opens the destination before the program is run.
    pub fn open(file: Option<&Path>) -> Result<Output, Refusal> {
        let Some(file) = file else {
            return Ok(Output::StandardError);
        };
        let refuse = |error: io::Error| not_possible(of_file(file, &error));
        // Absolute, because the drop-in needs it, and programs may change their directory.
        let path = path::absolute(file).map_err(refuse)?;
        if path
            .as_os_str()
            .as_bytes()
            .windows(2)
            .any(|pair| pair == b"%p")
        {
            // No file yet: the process id is not known.
            is_writable(path.parent().unwrap_or(Path::new("/"))).map_err(refuse)?;
            return Ok(Output::FilePerProcess(path));
        }
        let opened = append_to(&path).map_err(refuse)?;
        Ok(Output::File(path, opened))
    }

    /// Returns the value of SHMKEY_TRACE.
    pub fn variable(&self) -> &OsStr {
        match self {
            Output::StandardError => OsStr::new("stderr"),
            Output::File(path, _) | Output::FilePerProcess(path) => path.as_os_str(),
        }
    }

    /// Adds lines about a process, and waits for at most [`PATIENCE`] until they are written. Lines that are not
    /// written by then are lost.
    pub fn write(self, pid: i32, text: String) {
        let (ends, ended) = mpsc::channel::<()>();
        let write = move || {
            self.append(pid, text.as_bytes());
            drop(ends);
        };
        // Signals are blocked in the thread that writes, so SIGTTOU (a terminal with `tostop`) and SIGXFSZ (a limit on
        // file sizes) do not stop or kill this command.
        if child::while_blocked(|_| thread::Builder::new().spawn(write)).is_ok() {
            let _ = ended.recv_timeout(PATIENCE);
        }
    }

    fn append(&self, pid: i32, text: &[u8]) {
        let (written, path) = match self {
            // Without a reader there is nothing to do.
            Output::StandardError => return drop(write_all(io::stderr(), text)),
            Output::File(path, file) => (write_all(file, text), path),
            Output::FilePerProcess(path) => (
                append_to(&of_process(path, pid)).and_then(|file| write_all(file, text)),
                path,
            ),
        };
        match written {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                complain(format_args!(
                    "the trace cannot be written to {}",
                    of_file(path, &error)
                ));
            }
            _ => {}
        }
    }
}

/// A traced program waits as long.
const PATIENCE: Duration = Duration::from_secs(1);

/// Writes all of the text, even if another process that shares the file has set O_NONBLOCK.
fn write_all(mut to: impl Write + AsFd, mut text: &[u8]) -> io::Result<()> {
    while !text.is_empty() {
        match to.write(text) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(len) => text = &text[len..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut poll = libc::pollfd {
                    fd: to.as_fd().as_raw_fd(),
                    events: libc::POLLOUT,
                    revents: 0,
                };
                // SAFETY: there is one descriptor to look at.
                unsafe { libc::poll(&mut poll, 1, -1) };
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

fn is_writable(directory: &Path) -> io::Result<()> {
    let path = CString::new(directory.as_os_str().as_bytes())?;
    // SAFETY: the path is a C string.
    match unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::W_OK, libc::AT_EACCESS) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Returns the path with a process id for each `%p`.
fn of_process(path: &Path, pid: i32) -> PathBuf {
    let (mut name, mut rest) = (Vec::new(), path.as_os_str().as_bytes());
    while let Some(at) = rest.windows(2).position(|pair| pair == b"%p") {
        name.extend_from_slice(&rest[..at]);
        name.extend_from_slice(pid.to_string().as_bytes());
        rest = &rest[at + 2..];
    }
    name.extend_from_slice(rest);
    OsString::from_vec(name).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_any_bytes_gets_the_process_id() {
        let path = Path::new(OsStr::from_bytes(b"/tmp/\xff.%p.%p%"));
        let named = of_process(path, 42);
        assert_eq!(named.as_os_str().as_bytes(), b"/tmp/\xff.42.42%");
    }
}
