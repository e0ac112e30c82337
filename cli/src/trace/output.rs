//! Where the trace goes, for what this command has to add to it.

use super::{NOT_POSSIBLE, Refusal};
use crate::output::complain;
use std::{
    ffi::{CString, OsStr, OsString},
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{self, Path, PathBuf},
};

pub(super) enum Output {
    StandardError,
    File(PathBuf, File),
    /// A file for each process: `%p` in its name stands for the process' id.
    FilePerProcess(PathBuf),
}

impl Output {
    /// Sees to it that the trace can be written before anything is run.
    pub fn open(file: Option<&Path>) -> Result<Output, Refusal> {
        let Some(file) = file else {
            return Ok(Output::StandardError);
        };
        let refuse =
            |error: io::Error| Refusal(NOT_POSSIBLE, format!("{}: {error}", file.display()));
        // Absolute, as the drop-in takes it, and for programs that change their directory.
        let path = path::absolute(file).map_err(refuse)?;
        if path
            .as_os_str()
            .as_bytes()
            .windows(2)
            .any(|pair| pair == b"%p")
        {
            // No file yet: nobody knows the number.
            is_writable(path.parent().unwrap_or(Path::new("/"))).map_err(refuse)?;
            return Ok(Output::FilePerProcess(path));
        }
        let opened = append_to(&path).map_err(refuse)?;
        Ok(Output::File(path, opened))
    }

    /// What SHMKEY_TRACE has to be.
    pub fn variable(&self) -> &OsStr {
        match self {
            Output::StandardError => OsStr::new("stderr"),
            Output::File(path, _) | Output::FilePerProcess(path) => path.as_os_str(),
        }
    }

    /// Adds lines about a process.
    pub fn write(&mut self, pid: i32, text: &str) {
        let (written, path) = match self {
            // Whoever does not read it has gone.
            Output::StandardError => return drop(io::stderr().write_all(text.as_bytes())),
            Output::File(path, file) => (file.write_all(text.as_bytes()), &*path),
            Output::FilePerProcess(path) => (
                append_to(&of_process(path, pid))
                    .and_then(|mut file| file.write_all(text.as_bytes())),
                &*path,
            ),
        };
        match written {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                complain(format_args!(
                    "the trace cannot be written to {}: {error}",
                    path.display()
                ));
            }
            _ => {}
        }
    }
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

/// The path with a process' id for each `%p`.
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
    fn a_name_of_any_bytes_gets_the_number() {
        let path = Path::new(OsStr::from_bytes(b"/tmp/\xff.%p.%p%"));
        let named = of_process(path, 42);
        assert_eq!(named.as_os_str().as_bytes(), b"/tmp/\xff.42.42%");
    }
}
