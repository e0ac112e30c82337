//! Reserving space in files, so that no later access fails because the file system is full.

use crate::sys::{self, Descriptor, Errno};

/// How many bytes one call reserves. On some file systems, a signal ends `fallocate(2)` and undoes its work: in a
/// program with a fast timer, one call would never finish a large file.
const STEP: u64 = 8 << 20;

/// Reserves space for a range of a file. Returns `ENOSPC` if too little is free, and `ENOMEM` if the whole file
/// system is too small, or if the process may not write files that large (`RLIMIT_FSIZE`).
pub(super) fn reserve(file: &Descriptor, start: u64, len: u64) -> Result<(), Errno> {
    let end = start.checked_add(len).ok_or(Errno(libc::ENOMEM))?;
    // Beyond this limit, the kernel would send SIGXFSZ.
    if end > sys::file_size_limit() {
        return Err(Errno(libc::ENOMEM));
    }
    // Checked first: otherwise the steps would use up the free space before one of them fails.
    let (total, free) = file.room()?;
    if len > total {
        return Err(Errno(libc::ENOMEM));
    } else if len > free {
        return Err(Errno(libc::ENOSPC));
    }
    let mut position = start;
    while position < end {
        let step = STEP.min(end - position);
        match file.allocate(position, step) {
            Ok(()) => position += step,
            Err(Errno(libc::EINTR)) => {}
            Err(Errno(libc::EOPNOTSUPP | libc::ENOSYS)) => return write(file, position, end),
            Err(errno) => return Err(translated(errno)),
        }
    }
    Ok(())
}

/// Does the same on a file system without `fallocate(2)`, by writing zeroes to a range that is not yet in use.
fn write(file: &Descriptor, mut position: u64, end: u64) -> Result<(), Errno> {
    static ZEROES: [u8; 4096] = [0; 4096];
    while position < end {
        let len = (end - position).min(ZEROES.len() as u64) as usize;
        match file.write_at(&ZEROES[..len], position) {
            Ok(0) => return Err(Errno(libc::ENOSPC)),
            Ok(written) => position += written as u64,
            Err(Errno(libc::EINTR)) => {}
            Err(errno) => return Err(translated(errno)),
        }
    }
    Ok(())
}

/// Returns the error with which `shmget(2)` reports this one.
fn translated(errno: Errno) -> Errno {
    match errno.0 {
        libc::ENOSPC | libc::EDQUOT => Errno(libc::ENOSPC),
        libc::EFBIG => Errno(libc::ENOMEM),
        _ => errno,
    }
}
