//! The constants of opening and waiting.

use core::ffi::c_int;

/// A flag of opening: creates the segment or the object if it does not exist, with the permission bits
/// that are given beside it, as in SHMKEY_CREATE | 0600. The value is that of IPC_CREAT.
pub const SHMKEY_CREATE: c_int = 1 << 9;
/// A flag of opening a segment, beside SHMKEY_CREATE: fails with EEXIST if the segment exists. The value
/// is that of IPC_EXCL.
pub const SHMKEY_EXCLUSIVE: c_int = 1 << 10;
/// A flag of attaching a segment and of opening a latest value or a lossy broadcast: this process cannot write it. The
/// value is that of SHM_RDONLY.
pub const SHMKEY_READ_ONLY: c_int = 1 << 12;

/// A timeout: waits until the event happens, however long that takes.
pub const SHMKEY_FOREVER: i64 = -1;
/// A timeout: tries once and does not wait. The call fails with EAGAIN if it would have to wait.
pub const SHMKEY_NO_WAIT: i64 = 0;

/// For the member owner of struct shm_place: the segment may belong to any user. For shm_set_owner():
/// leaves the user or the group unchanged.
pub const SHMKEY_ANY_OWNER: u32 = 0xffff_ffff;

const _: () = assert!(
    SHMKEY_CREATE == libc::IPC_CREAT
        && SHMKEY_EXCLUSIVE == libc::IPC_EXCL
        && SHMKEY_READ_ONLY == libc::SHM_RDONLY
);
