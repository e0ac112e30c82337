//! Keys: what processes agree on to find the same segment.

use crate::{
    Error,
    hash::fnv1a,
    sys::{self, FileId},
};
use core::{ffi::CStr, fmt, mem::MaybeUninit, slice};
use std::{ffi::CString, os::unix::ffi::OsStrExt, path::Path};

/// What processes agree on to find the same segment: a number of 32 bits, the key of `shmget(2)`.
///
/// ```
/// use shmkey::Key;
///
/// # fn main() -> Result<(), shmkey::Error> {
/// let key = Key::from_name("prices")?; // the same in every process; no file is needed
/// assert_eq!(key.to_string(), "0x43167fe1"); // as ipcs(1) shows it
///
/// let file = Key::from_path("/tmp", 65)?; // what ftok(3) returns
/// assert_eq!(file, Key::from_path("/tmp/.", 65)?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[must_use = "a key does nothing until a segment is opened with it"]
pub struct Key(i32);

impl Key {
    /// The key of a segment without one (`IPC_PRIVATE`): each open with it creates another segment. Other
    /// processes reach it by its id, or inherit the attachment.
    pub const PRIVATE: Key = Key(libc::IPC_PRIVATE);

    /// Returns the key that `ftok(3)` makes from an existing file and a project id, bit for bit: the low 16 bits of the
    /// file's inode number, the low 8 of its device number, the low 8 of `proj_id`. The file's contents do not matter;
    /// a file that is deleted and created again gives another key.
    ///
    /// Two files can have the same key, because it holds only 16 bits of the inode number.
    /// [`Key::from_name`] uses 31, and needs no file. A key does not say which file it was made from; an
    /// object that is opened by [`Place::path`](crate::Place::path) records the file, and opening it by
    /// another file fails.
    ///
    /// # Errors
    /// [`ProjectIdZero`](crate::ErrorKind::ProjectIdZero) (`EINVAL`) if the low 8 bits of `proj_id` are 0,
    /// for which POSIX leaves `ftok` unspecified, and which can give `IPC_PRIVATE`;
    /// [`PathNotFound`](crate::ErrorKind::PathNotFound) (`ENOENT`) if there is no such file, for which
    /// `ftok` returns −1, which programs then use as a key; other errors of `stat(2)`.
    pub fn from_path(path: impl AsRef<Path>, proj_id: i32) -> Result<Key, Error> {
        file_of(path.as_ref(), proj_id).map(|file| Key(file.ftok(proj_id)))
    }

    /// Returns the key of a name: any bytes, at least one. It is the same in every process and every
    /// program that uses this library, and positive, so it is neither `IPC_PRIVATE` nor what a failed
    /// `ftok` returns.
    ///
    /// It is the 64-bit FNV-1a hash of the bytes, its upper half combined with its lower half by exclusive
    /// or, without the topmost bit; 1 if that is 0. About one pair of names in 2³¹ has the same key. Source:
    /// Fowler, Noll, Vo, `draft-eastlake-fnv`.
    ///
    /// # Errors
    /// [`EmptyName`](crate::ErrorKind::EmptyName) (`EINVAL`) for an empty name.
    pub fn from_name(name: impl AsRef<[u8]>) -> Result<Key, Error> {
        let name = name.as_ref();
        if name.is_empty() {
            return Err(Error::empty_name());
        }
        let hash = fnv1a(name.iter().copied());
        let folded = (hash ^ (hash >> 32)) as u32 & 0x7fff_ffff;
        Ok(Key(folded.max(1) as i32))
    }

    /// Returns the key with this number. Every number is a key; 0 is [`Key::PRIVATE`].
    pub const fn from_raw(key: i32) -> Key {
        Key(key)
    }

    /// Returns the number, as `shmget(2)` takes it.
    #[must_use]
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    /// Returns whether this is [`Key::PRIVATE`].
    #[must_use]
    pub const fn is_private(self) -> bool {
        self.0 == Key::PRIVATE.0
    }
}

/// Returns the file that a key is made from.
pub(crate) fn file_of(path: &Path, proj_id: i32) -> Result<FileId, Error> {
    /// The length of the longest path, with its NUL, that is copied to the stack and not to the heap.
    const SHORT: usize = 256;
    let path = path.as_os_str().as_bytes();
    let mut short = [const { MaybeUninit::<u8>::uninit() }; SHORT];
    if path.len() < SHORT {
        // SAFETY: there is room for the path and a NUL, and all of these bytes are written
        // before they are read.
        let c_path = unsafe {
            let start = short.as_mut_ptr().cast::<u8>();
            start.copy_from_nonoverlapping(path.as_ptr(), path.len());
            start.add(path.len()).write(0);
            slice::from_raw_parts(start, path.len() + 1)
        };
        let c_path = CStr::from_bytes_with_nul(c_path).map_err(|_| Error::path_with_nul())?;
        return file_of_c_path(c_path, proj_id);
    }
    let path = CString::new(path).map_err(|_| Error::path_with_nul())?;
    file_of_c_path(&path, proj_id)
}

#[inline]
fn file_of_c_path(path: &CStr, proj_id: i32) -> Result<FileId, Error> {
    if proj_id & 0xff == 0 {
        return Err(Error::project_id_zero(proj_id));
    }
    sys::file_id(path).map_err(|errno| Error::ftok(errno, path, proj_id))
}

/// Writes the key as `ipcs(1)` does: `0x4102002f`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn keys_of_names_are_what_they_were_in_every_release() {
        for (name, key) in [
            ("a", 0x2962_30c0),
            ("prices", 0x4316_7fe1),
            ("shmkey", 0x3ed0_0ace),
        ] {
            assert_eq!(Key::from_name(name).unwrap().as_raw(), key, "{name}");
        }
    }

    #[test]
    fn what_ftok_accepts_and_makes_no_key_is_an_error() {
        let kind = |key: Result<Key, Error>| key.unwrap_err().kind();
        assert_eq!(kind(Key::from_path("/tmp", 0)), ErrorKind::ProjectIdZero);
        assert_eq!(
            kind(Key::from_path("/tmp", 0x1200)),
            ErrorKind::ProjectIdZero
        );
        assert_eq!(
            kind(Key::from_path("/no such file", 1)),
            ErrorKind::PathNotFound
        );
        assert_eq!(kind(Key::from_path("", 1)), ErrorKind::PathNotFound);
        assert_eq!(
            kind(Key::from_path("/tmp\0x", 1)),
            ErrorKind::InvalidArgument
        );
        assert_eq!(kind(Key::from_name("")), ErrorKind::EmptyName);
    }

    #[test]
    fn a_path_may_be_longer_than_the_stack_buffer() {
        let long = format!("/tmp{}", "/.".repeat(400));
        assert_eq!(
            Key::from_path(long, 7).unwrap(),
            Key::from_path("/tmp", 7).unwrap()
        );
    }
}
