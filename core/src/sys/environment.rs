//! Variables of the environment.

use super::Errno;
use core::ffi::CStr;

/// Returns whether this program has rights that its caller may not have. Such a program ignores the environment.
fn is_privileged() -> bool {
    // SAFETY: getauxval takes a number and reads what the kernel gave this process.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Copies a variable of the environment; `None` if it is not set, or if this program must ignore it. Returns
/// `ENAMETOOLONG` if it does not fit into the buffer.
///
/// As `getenv(3)`, it must not run while another thread changes the environment.
pub fn variable<'a>(name: &CStr, buffer: &'a mut [u8]) -> Result<Option<&'a [u8]>, Errno> {
    if is_privileged() {
        return Ok(None);
    }
    // SAFETY: the name is a C string.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    if value.is_null() {
        return Ok(None);
    }
    // SAFETY: an answer that is not NULL is a C string, and stays until the environment is changed.
    let value = unsafe { CStr::from_ptr(value) }.to_bytes();
    let copy = buffer.get_mut(..value.len());
    let copy = copy.ok_or(Errno(libc::ENAMETOOLONG))?;
    copy.copy_from_slice(value);
    Ok(Some(copy))
}
