//! Which directory is this process's namespace.
//!
//! `SHMKEY_DIR` names it. Without that, it is the first of these that can be used; UID is the effective user:
//!
//! 1. `/dev/shm/shmkey-UID`
//! 2. `$XDG_RUNTIME_DIR/shmkey`
//! 3. `$TMPDIR/shmkey-UID`, with `/tmp` if `TMPDIR` is not set
//!
//! A program with more rights than its caller ignores the environment.

use crate::sys::{self, Errno};
use core::{
    ffi::CStr,
    fmt::{self, Write as _},
};

/// The longest path of a directory, in bytes.
const LONGEST: usize = 400;

/// The path of a namespace's directory.
#[derive(Clone, Copy)]
pub struct Directory {
    /// The text, and at least one zero behind it.
    text: [u8; LONGEST + 32],
    len: usize,
}

impl Directory {
    const EMPTY: Directory = Directory {
        text: [0; LONGEST + 32],
        len: 0,
    };

    /// Returns the path.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.text).unwrap_or_default()
    }

    /// Returns the path's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        let room = self.text.get_mut(self.len..LONGEST);
        let room = room.and_then(|room| room.get_mut(..bytes.len()));
        room.ok_or(Errno(libc::ENAMETOOLONG))?
            .copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }
}

impl fmt::Write for Directory {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

/// Returns the directory of this process's namespace, whether or not it exists yet.
pub fn directory() -> Result<Directory, Errno> {
    let mut value = [0; LONGEST];
    if let Some(named) = sys::variable(c"SHMKEY_DIR", &mut value)? {
        return from_parts(named, format_args!(""));
    }
    let user = sys::effective_user();
    from_parts(b"/dev/shm", format_args!("/shmkey-{user}"))
}

fn from_parts(start: &[u8], rest: fmt::Arguments<'_>) -> Result<Directory, Errno> {
    let mut directory = Directory::EMPTY;
    directory.push(start)?;
    directory
        .write_fmt(rest)
        .map_err(|_| Errno(libc::ENAMETOOLONG))?;
    Ok(directory)
}
