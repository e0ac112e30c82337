//! Opening and removing segments.

use super::failure::{keeping_errno, or_minus_one};
use crate::{
    Error, ErrorKind, Key, Segment, backend,
    sys::{self, Errno, FileId},
};
use core::ffi::{CStr, c_char, c_int};

/// The flags that shmget(2) knows, with its permission bits.
const GET_FLAGS: c_int =
    0o777 | libc::IPC_CREAT | libc::IPC_EXCL | libc::SHM_HUGETLB | libc::SHM_NORESERVE;
/// Where SHM_HUGE_2MB, SHM_HUGE_1GB and the like have their bits.
const HUGE_SIZE: c_int = libc::MAP_HUGE_MASK << libc::MAP_HUGE_SHIFT;

/// Opens or creates the segment that a path and a project id name: ftok(3) and shmget(2) in one,
/// checked.
///
/// path: a file that exists; equal files give equal keys, and the file's content plays no part.
/// NULL makes a private segment, as shm_open_private() does, and then proj_id is not used.
/// proj_id: a character or 1 to 255; its low 8 bits count and cannot all be 0.
/// size: in bytes, 1 to the limit shmmax, for a segment that is created; the bytes of a new segment
/// are 0. A segment that exists must have at least as many; 0 takes it as it is.
/// flags: exactly shmget's, from <sys/shm.h>: IPC_CREAT, IPC_EXCL, SHM_HUGETLB (with a page size of
/// <linux/shm.h>, if wanted), SHM_NORESERVE, and the permission bits, such as 0600. These are octal: 666
/// without the leading 0 is 01232, which is IPC_CREAT and the mode 0232. As with shmget(2), that is not
/// refused; the text of the EACCES that attaching then gives says so. When many processes create the
/// same key at once, one segment is created and all get it.
///
/// Returns: the id, 0 or more, a real System V id; or -1. The segment belongs to nobody: it stays
/// until shm_remove().
/// Errors: ENOENT no such file, or no such segment and no IPC_CREAT; EINVAL proj_id 0, size 0 or
/// beyond shmmax, a segment that is smaller than size, flags that nobody defined; EEXIST with
/// IPC_CREAT | IPC_EXCL; EACCES the file or the segment does not allow it; ENOSPC the limit shmmni
/// or shmall (not the disk); ENOMEM; EPERM SHM_HUGETLB without the privilege; EFAULT a path that
/// points nowhere; ENOSYS no System V shared memory here; and stat(2)'s.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_open_key(
    path: *const c_char,
    proj_id: c_int,
    size: usize,
    flags: c_int,
) -> c_int {
    if path.is_null() {
        return shm_open_private(size, flags);
    }
    // SAFETY: file_at accepts every pointer.
    let file = unsafe { file_at(path, proj_id) };
    or_minus_one(file.and_then(|file| open(Key::from_raw(file.ftok(proj_id)), size, flags)))
}

/// Opens or creates the segment that a name stands for. No file is needed: the name's bytes are
/// hashed to a positive key, the same in every program that uses this library, in C or Rust. Two
/// names share a key once in 2^31 pairs.
///
/// name: 1 to 4095 bytes and a NUL; any bytes.
/// size, flags, result: as for shm_open_key(), with which it also shares its errors; EINVAL also
/// for an empty name, ENAMETOOLONG for one that is too long, EFAULT for NULL and for a pointer that
/// leads nowhere.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_open_name(name: *const c_char, size: usize, flags: c_int) -> c_int {
    or_minus_one(keeping_errno(|| {
        let mut buffer = [0; NAME_MAX + 1];
        // SAFETY: read_name accepts every pointer.
        let key = Key::from_name(unsafe { read_name(name, &mut buffer) }?)?;
        open(key, size, flags)
    }))
}

/// Opens or creates the segment with a key that was agreed on otherwise, such as a number in an old
/// program's header. Every number is a key, -1 too; 0 is IPC_PRIVATE and makes a new segment.
///
/// size, flags, result, errors: as for shm_open_key().
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub extern "C" fn shm_open_raw(key: c_int, size: usize, flags: c_int) -> c_int {
    or_minus_one(open(Key::from_raw(key), size, flags))
}

/// Creates a segment without a key. Others reach it by its id, or have it attached when fork(2)
/// makes them.
///
/// size, flags, result, errors: as for shm_open_key(); IPC_CREAT and IPC_EXCL are understood.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub extern "C" fn shm_open_private(size: usize, flags: c_int) -> c_int {
    or_minus_one(open(Key::PRIVATE, size, flags))
}

/// Removes a segment: its key is free at once, and its memory goes when the last process detaches
/// it. Those who have it attached notice nothing.
///
/// Returns: 0, or -1.
/// Errors: EINVAL no such id; EIDRM it has been removed and destroyed; EPERM only its owner, its
/// creator or root may.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub extern "C" fn shm_remove(id: c_int) -> c_int {
    or_minus_one(Segment::from_id(id).remove().map(|()| 0))
}

fn open(key: Key, size: usize, flags: c_int) -> Result<c_int, Error> {
    let known = match flags & libc::SHM_HUGETLB {
        0 => GET_FLAGS,
        _ => GET_FLAGS | HUGE_SIZE,
    };
    if flags & !known != 0 {
        return Err(Error::undefined_flags("shmget", flags & !known));
    }
    backend::create_or_get(key.as_raw(), size, flags)
        .map_err(|errno| Error::open(errno, key, size, flags))
}

/// The file that a key is to be made from.
///
/// # Safety
/// None for this process' memory; the path means something only if it is a string.
pub(super) unsafe fn file_at(path: *const c_char, proj_id: c_int) -> Result<FileId, Error> {
    if proj_id & 0xff == 0 {
        return Err(Error::project_id_zero(proj_id));
    }
    // SAFETY: the kernel reads the path, with its own checks.
    match unsafe { sys::file_id_at(path) } {
        Ok(file) => Ok(file),
        Err(errno) => {
            // A copy: the string may lie in shared memory.
            let mut buffer = [0; NAME_MAX + 1];
            // SAFETY: read_name accepts every pointer.
            let read = unsafe { read_name(path, &mut buffer) }.map(<[u8]>::len);
            // The string's NUL is in the buffer, too.
            let text = read
                .ok()
                .and_then(|len| CStr::from_bytes_with_nul(&buffer[..=len]).ok());
            Err(Error::ftok(errno, text.unwrap_or(c"..."), proj_id))
        }
    }
}

/// Longest name in bytes.
pub(super) const NAME_MAX: usize = 4095;

/// Reads a string that may not be there. The kernel does the reading, a page at a time, so that the
/// end of memory behind the string does no harm.
///
/// # Safety
/// None for this process' memory; the bytes read mean something only if the caller passed a string.
pub(super) unsafe fn read_name(
    name: *const c_char,
    buffer: &mut [u8; NAME_MAX + 1],
) -> Result<&[u8], Error> {
    const PAGE: usize = 4096;
    let bad = || Error::bad_pointer("open by name", "the name is NULL or points nowhere");
    if name.is_null() {
        return Err(bad());
    }
    let mut len = 0;
    while len < buffer.len() {
        let from = name.cast::<u8>().wrapping_add(len);
        let piece = (PAGE - from as usize % PAGE).min(buffer.len() - len);
        match sys::read_foreign(from, &mut buffer[len..len + piece]) {
            Ok(0) => return Err(bad()),
            Ok(read) => {
                if let Some(end) = buffer[len..len + read].iter().position(|&byte| byte == 0) {
                    return Ok(&buffer[..len + end]);
                }
                len += read;
            }
            Err(errno @ Errno(libc::EMFILE | libc::ENFILE)) => {
                return Err(Error::new(ErrorKind::Other, errno.0, "open by name"));
            }
            Err(_) => return Err(bad()),
        }
    }
    Err(Error::name_too_long())
}
