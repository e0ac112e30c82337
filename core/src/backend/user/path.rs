//! Paths that are formatted without allocating.

use crate::sys::Errno;
use core::{
    ffi::CStr,
    fmt::{self, Write as _},
};

/// The longest path of a directory, in bytes; `explain/files.rs` and the documents name it.
pub(super) const LONGEST: usize = 400;

/// The room for a file's name, in bytes: the slash before it and the zero behind it included.
const NAME: usize = 32;

/// A path of a namespace's directory, or of a file in it.
#[derive(Clone, Copy)]
pub struct FilePath {
    /// The text, and at least one zero behind it.
    text: [u8; LONGEST + NAME],
    len: usize,
}

impl FilePath {
    pub(super) const EMPTY: FilePath = FilePath {
        text: [0; LONGEST + NAME],
        len: 0,
    };

    /// Joins bytes and formatted text. Returns `ENAMETOOLONG` if the result is longer than `LONGEST`.
    pub(super) fn new(start: &[u8], rest: fmt::Arguments<'_>) -> Result<FilePath, Errno> {
        let mut path = FilePath::EMPTY;
        path.push(start, LONGEST)?;
        path.write_fmt(rest)
            .map_err(|_| Errno(libc::ENAMETOOLONG))?;
        if path.len > LONGEST {
            return Err(Errno(libc::ENAMETOOLONG));
        }
        Ok(path)
    }

    /// Returns the path of a file in this directory. A name of more than 30 bytes is cut; no caller has one.
    pub(super) fn file(&self, name: fmt::Arguments<'_>) -> FilePath {
        let mut path = *self;
        let _ = path.push(b"/", LONGEST + NAME - 1);
        let _ = path.write_fmt(name);
        path
    }

    /// Returns the path as a C string.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.text).unwrap_or_default()
    }

    /// Returns the path's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or_default()
    }

    fn push(&mut self, bytes: &[u8], end: usize) -> Result<(), Errno> {
        let room = self.text.get_mut(self.len..end);
        let room = room.and_then(|room| room.get_mut(..bytes.len()));
        room.ok_or(Errno(libc::ENAMETOOLONG))?
            .copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }
}

impl fmt::Write for FilePath {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes(), LONGEST + NAME - 1)
            .map_err(|_| fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_too_long_is_refused() {
        let long = [b'x'; LONGEST];
        let path = FilePath::new(&long, format_args!("")).unwrap();
        assert_eq!(path.file(format_args!("s.{}", i32::MAX)).len, LONGEST + 13);
        let error = FilePath::new(&long, format_args!("y")).map(|path| path.len);
        assert_eq!(error, Err(Errno(libc::ENAMETOOLONG)));
    }
}
