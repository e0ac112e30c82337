//! Files: their identity, for `ftok(3)`, and reading small ones below `/proc`.

use super::{Errno, errno::check};
use core::{
    ffi::{CStr, c_char, c_int},
    fmt::{self, Write as _},
    mem::MaybeUninit,
};

/// A file's identity: its device and its inode number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    pub device: u64,
    pub inode: u64,
}

impl FileId {
    /// Returns the key that `ftok(3)` makes from this file: from bit 0 on, the low 16 bits of the inode number, the low
    /// 8 of the device, and the low 8 of the project id.
    #[inline]
    pub fn ftok(self, proj_id: c_int) -> c_int {
        let key = (self.inode & 0xffff) as u32
            | ((self.device & 0xff) as u32) << 16
            | ((proj_id as u32) & 0xff) << 24;
        key as c_int
    }
}

/// Identifies the file that `path` leads to, following symbolic links.
#[inline]
pub fn file_id(path: &CStr) -> Result<FileId, Errno> {
    // SAFETY: a CStr is a readable, NUL-terminated string.
    unsafe { file_id_at(path.as_ptr()) }
}

/// Does the same for a pointer from a C program. The kernel reads the path, and returns `EFAULT` for an invalid
/// pointer.
///
/// # Safety
/// None for this process's memory, which is not written; the function is `unsafe` because the meaning of the call
/// depends on a raw pointer.
#[inline]
pub unsafe fn file_id_at(path: *const c_char) -> Result<FileId, Errno> {
    // SAFETY: the caller's promise.
    unsafe { stat_at(libc::AT_FDCWD.into(), path, 0) }
}

/// # Safety
/// As for `file_id_at`.
#[inline]
unsafe fn stat_at(
    directory: libc::c_long,
    path: *const c_char,
    flags: c_int,
) -> Result<FileId, Errno> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel checks the path's address, and writes one `stat`, for which there is room.
    check(unsafe {
        libc::syscall(
            libc::SYS_newfstatat,
            directory,
            path,
            stat.as_mut_ptr(),
            flags,
        )
    })?;
    // SAFETY: the call succeeded, so the kernel has filled the structure.
    let stat = unsafe { stat.assume_init() };
    Ok(FileId {
        device: stat.st_dev,
        inode: stat.st_ino,
    })
}

/// An open file; dropping it closes it.
#[derive(Debug)]
pub struct Descriptor(pub(super) libc::c_long);

impl Descriptor {
    /// Opens a file or a directory for reading.
    pub fn open(path: &CStr) -> Result<Descriptor, Errno> {
        let flags = libc::O_RDONLY | libc::O_CLOEXEC;
        // SAFETY: the path is a C string.
        check(unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0) })
            .map(Descriptor)
    }

    /// Identifies the open file.
    pub fn id(&self) -> Result<FileId, Errno> {
        // SAFETY: the path is a C string.
        unsafe { stat_at(self.0, c"".as_ptr(), libc::AT_EMPTY_PATH) }
    }

    /// Returns the path of the open file, cut if it does not fit into the buffer. Needs `/proc`.
    pub fn path<'a>(&self, buffer: &'a mut [u8]) -> Result<&'a [u8], Errno> {
        // Not `self`, which is the first thread: it has no files once it has ended.
        let link = Path::new(format_args!("/proc/thread-self/fd/{}", self.0));
        read_link(link.ok_or(Errno(libc::ENAMETOOLONG))?.as_c_str(), buffer)
    }

    /// Reads the next bytes, at most as many as fit into the buffer. Returns their number, 0 at the end.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.fill(libc::SYS_read, buffer)
    }

    /// Reads the next entries of a directory, as many as fit. Returns their size in bytes, 0 at the end.
    pub fn read_directory(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.fill(libc::SYS_getdents64, buffer)
    }

    fn fill(&self, call: libc::c_long, buffer: &mut [u8]) -> Result<usize, Errno> {
        // SAFETY: with both calls the kernel writes at most the buffer's length into it.
        let read = unsafe { libc::syscall(call, self.0, buffer.as_mut_ptr(), buffer.len()) };
        check(read).map(|len| len as usize)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // Its owner no longer has it if it is negative.
        if self.0 >= 0 {
            // SAFETY: no other code has the descriptor.
            unsafe { libc::syscall(libc::SYS_close, self.0) };
        }
    }
}

/// Returns the target of a symbolic link, cut if it does not fit into the buffer.
pub fn read_link<'a>(path: &CStr, buffer: &'a mut [u8]) -> Result<&'a [u8], Errno> {
    // SAFETY: the path is a C string, and the kernel writes at most the buffer's length into it.
    let len = check(unsafe {
        libc::syscall(
            libc::SYS_readlinkat,
            libc::AT_FDCWD,
            path.as_ptr(),
            buffer.as_mut_ptr(),
            buffer.len(),
        )
    })?;
    Ok(&buffer[..len as usize])
}

/// A path that is formatted without allocating.
pub struct Path {
    /// The text, and at least one zero behind it.
    text: [u8; 96],
    len: usize,
}

impl Path {
    /// Formats a path; `None` if it is too long.
    pub fn new(parts: fmt::Arguments<'_>) -> Option<Path> {
        let (text, len) = ([0; 96], 0);
        let mut path = Path { text, len };
        path.write_fmt(parts).ok()?;
        Some(path)
    }

    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.text).unwrap_or_default()
    }
}

impl fmt::Write for Path {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self
            .text
            .get_mut(self.len..95)
            .and_then(|room| room.get_mut(..text.len()));
        room.ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}
