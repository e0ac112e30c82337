//! Opening and removing segments.

use super::{
    SHMKEY_ANY_OWNER,
    failure::{keeping_errno, or_minus_one},
};
use crate::{
    Error, ErrorKind, Key, Segment, backend,
    sys::{self, Errno, FileId},
};
use core::ffi::{CStr, c_char, c_int, c_uint};

/// The flags that shmget(2) knows, with its permission bits.
const GET_FLAGS: c_int =
    0o777 | libc::IPC_CREAT | libc::IPC_EXCL | libc::SHM_HUGETLB | libc::SHM_NORESERVE;
/// The position of the bits of SHM_HUGE_2MB, SHM_HUGE_1GB and the like.
const HUGE_SIZE: c_int = libc::MAP_HUGE_MASK << libc::MAP_HUGE_SHIFT;

/// Opens or creates the segment that belongs to a path and a project id: ftok(3) and shmget(2) in one call. To
/// open one by a key that is a number, see shm_open_key_number().
///
/// path: a file that exists. All paths of one file give the same key; the file's content does not matter. NULL
/// creates a segment without a key, as shm_open_private() does, and proj_id is not used.
/// proj_id: a character or 1 to 255. Only its low 8 bits are used, and they must not all be 0.
/// size: in bytes. A new segment has exactly this size, 1 to the limit shmmax, and its bytes are 0. A segment
/// that exists must have at least this size; 0 accepts any.
/// flags: SHMKEY_CREATE with permission bits, as in SHMKEY_CREATE | 0600, creates the segment if it does not
/// exist; 0 opens one that exists. The other flags of shmget(2) are accepted, too. Permission bits are octal:
/// 666 without the leading 0 is 01232, which is SHMKEY_CREATE and the mode 0232.
///
/// Returns: the segment's id, 0 or more, as shmat(2), ipcs(1) and other processes use it; or -1. The segment
/// belongs to no process: it stays until shm_remove().
/// Errors: ENOENT the file does not exist, or the segment does not exist and flags has no SHMKEY_CREATE; EINVAL the low
/// 8 bits of proj_id are 0, size is 0 or larger than shmmax, the segment is smaller than size, the mode lets the owner
/// of a new segment neither read nor write it, or flags has an undefined bit; EEXIST the segment exists and flags has
/// SHMKEY_EXCLUSIVE; EACCES the mode of the segment, or of a directory in path, does not allow it; ENOSPC the limit
/// shmmni or shmall is reached (no disk is full); ENOMEM there is not enough memory; EPERM flags has SHM_HUGETLB, which
/// needs a privilege; EFAULT path is an invalid pointer; ENOSYS this system has no System V shared memory; and those of
/// stat(2).
/// Threads: any, also in a signal handler.
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

/// Opens or creates the segment that belongs to a name. No file is needed: the library hashes the name to a key
/// from 1 to 2147483647, which is the same in every program. About one pair of names in 2^31 has the same key.
///
/// name: 1 to 4095 bytes of any value, and a NUL.
/// size: in bytes. A new segment has exactly this size, 1 to the limit shmmax, and its bytes are 0. A segment
/// that exists must have at least this size; 0 accepts any.
/// flags: SHMKEY_CREATE with permission bits, as in SHMKEY_CREATE | 0600, creates the segment if it does not
/// exist; 0 opens one that exists. The other flags of shmget(2) are accepted, too.
///
/// Returns: the segment's id, 0 or more; or -1. The segment belongs to no process: it stays until
/// shm_remove().
/// Errors: ENOENT the segment does not exist and flags has no SHMKEY_CREATE; EINVAL the name is empty, size is 0 or
/// larger than shmmax, the segment is smaller than size, the mode lets the owner of a new segment neither read nor
/// write it, or flags has an undefined bit; ENAMETOOLONG the name has more than 4095 bytes; EFAULT the name is NULL or
/// an invalid pointer; EEXIST the segment exists and flags has SHMKEY_EXCLUSIVE; EACCES its mode does not allow it;
/// ENOSPC the limit shmmni or shmall is reached; ENOMEM there is not enough memory; EPERM flags has SHM_HUGETLB, which
/// needs a privilege; ENOSYS this system has no System V shared memory.
/// Threads: any; not in a signal handler.
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

/// Opens or creates the segment with this key, a number, such as one in the header file of an existing program.
/// To make the key from a path and a project id, see shm_open_key().
///
/// key: any number; 0 is IPC_PRIVATE and creates a segment without a key. -1 is a key, too: check the result
/// of ftok(3) before you pass it.
/// size: in bytes. A new segment has exactly this size, 1 to the limit shmmax, and its bytes are 0. A segment
/// that exists must have at least this size; 0 accepts any.
/// flags: SHMKEY_CREATE with permission bits, as in SHMKEY_CREATE | 0600, creates the segment if it does not
/// exist; 0 opens one that exists. The other flags of shmget(2) are accepted, too.
///
/// Returns: the segment's id, 0 or more; or -1. The segment belongs to no process: it stays until
/// shm_remove().
/// Errors: ENOENT the segment does not exist and flags has no SHMKEY_CREATE; EINVAL size is 0 or larger than shmmax,
/// the segment is smaller than size, the mode lets the owner of a new segment neither read nor write it, or flags has
/// an undefined bit; EEXIST the segment exists and flags has SHMKEY_EXCLUSIVE; EACCES its mode does not allow it;
/// ENOSPC the limit shmmni or shmall is reached; ENOMEM there is not enough memory; EPERM flags has SHM_HUGETLB, which
/// needs a privilege; ENOSYS this system has no System V shared memory.
/// Threads: any, also in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub extern "C" fn shm_open_key_number(key: c_int, size: usize, flags: c_int) -> c_int {
    or_minus_one(open(Key::from_raw(key), size, flags))
}

/// Creates a segment without a key. Other processes reach it by its id, or inherit it attached by fork(2).
///
/// size: in bytes, 1 to the limit shmmax. The bytes are 0.
/// flags: permission bits, such as 0600, and SHM_HUGETLB, SHM_NORESERVE of shmget(2). SHMKEY_CREATE and
/// SHMKEY_EXCLUSIVE change nothing.
///
/// Returns: the segment's id, 0 or more; or -1. The segment belongs to no process: it stays until
/// shm_remove().
/// Errors: EINVAL size is 0 or larger than shmmax, the mode lets the owner neither read nor write the segment, or flags
/// has an undefined bit; ENOSPC the limit shmmni or shmall is reached; ENOMEM there is not enough memory; EPERM flags
/// has SHM_HUGETLB, which needs a privilege; ENOSYS this system has no System V shared memory.
/// Threads: any, also in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub extern "C" fn shm_open_private(size: usize, flags: c_int) -> c_int {
    or_minus_one(open(Key::PRIVATE, size, flags))
}

/// Removes a segment: its key is free at once, and its memory is freed when the last process detaches it. Processes
/// that have it attached can continue to use it.
///
/// id: as an open function returned it, in this process or in another.
///
/// Returns: 0; or -1.
/// Errors: EINVAL no segment has this id; EIDRM the segment is removed and destroyed during the call (one that was
/// destroyed before gives EINVAL); EPERM the user of this process is neither the owner, the creator nor root.
/// Threads: any, also in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub extern "C" fn shm_remove(id: c_int) -> c_int {
    or_minus_one(Segment::from_id(id).remove().map(|()| 0))
}

/// Changes the permission bits of a segment. They decide what can be attached from now on; what is attached
/// stays attached. The kernel sets owner and mode in one call, so this reads the owner first; if another
/// process changes the owner in between, that change is lost.
///
/// id: as an open function returned it, in this process or in another.
/// mode: as chmod(2) has it, 0 to 0777: 4 reads, 2 writes.
///
/// Returns: 0; or -1.
/// Errors: EINVAL mode is larger than 0777, or no segment has this id; EIDRM the segment is removed and destroyed
/// during the call (one that was destroyed before gives EINVAL); EPERM the user of this process is neither the owner,
/// the creator nor root; EACCES only before Linux 4.17, the mode does not let this process read.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub extern "C" fn shm_set_mode(id: c_int, mode: c_uint) -> c_int {
    or_minus_one(keeping_errno(|| {
        Segment::from_id(id).set_mode(mode).map(|()| 0)
    }))
}

/// Changes the owner of a segment, its group or both. The creator keeps the owner's rights. The kernel sets
/// owner and mode in one call, so this reads the mode first; if another process changes the mode in between,
/// that change is lost.
///
/// id: as an open function returned it, in this process or in another.
/// uid: the new owner's user id; SHMKEY_ANY_OWNER, or -1 as for chown(2), leaves it unchanged.
/// gid: the new group id; SHMKEY_ANY_OWNER, or -1, leaves it unchanged.
///
/// Returns: 0; or -1.
/// Errors: EINVAL no segment has this id, or this user namespace does not know the user or the group; EIDRM the segment
/// is removed and destroyed during the call (one that was destroyed before gives EINVAL); EPERM the user of this
/// process is neither the owner, the creator nor root; EACCES only before Linux 4.17, the mode does not let this
/// process read.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub extern "C" fn shm_set_owner(id: c_int, uid: u32, gid: u32) -> c_int {
    let change = |number| (number != SHMKEY_ANY_OWNER).then_some(number);
    or_minus_one(keeping_errno(|| {
        let segment = Segment::from_id(id);
        segment.set_owner(change(uid), change(gid)).map(|()| 0)
    }))
}

fn open(key: Key, size: usize, flags: c_int) -> Result<c_int, Error> {
    let known = match flags & libc::SHM_HUGETLB {
        0 => GET_FLAGS,
        _ => GET_FLAGS | HUGE_SIZE,
    };
    if flags & !known != 0 {
        return Err(Error::undefined_flags("shmget", flags & !known));
    }
    let creates = flags & libc::IPC_CREAT != 0 || key.is_private();
    if creates && flags & 0o600 == 0 {
        return Err(Error::no_access("shmget", (flags & 0o777) as u32));
    }
    backend::create_or_get(key.as_raw(), size, flags)
        .map_err(|errno| Error::open(errno, key.as_raw(), size, flags))
}

/// Finds the file that a key is made from.
///
/// # Safety
/// Every pointer is sound: the kernel reads the path. The result is right only if the path is a string.
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

/// The length of the longest name in bytes.
pub(super) const NAME_MAX: usize = 4095;

/// Reads a string at an address that may be bad. The kernel reads it, one page at a time, so unmapped memory
/// behind the string does no harm.
///
/// # Safety
/// Every pointer is sound: the kernel reads the bytes. The result is right only if the caller passed a string.
pub(super) unsafe fn read_name(
    name: *const c_char,
    buffer: &mut [u8; NAME_MAX + 1],
) -> Result<&[u8], Error> {
    const PAGE: usize = 4096;
    let bad = || Error::bad_pointer("open by name", "the name is NULL or an invalid pointer");
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
