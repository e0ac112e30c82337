//! The time slice of the bridge's threads.
//!
//! A message passes through several threads, each of which does little and then sleeps. On a busy processor, a woken
//! thread waits until the slice of the running one ends, unless its own slice is shorter. So the bridge's threads have
//! short slices. Source: `sched_setattr(2)`; Linux 6.12 and later support this for threads without a real-time policy.

use std::io;

/// The shortest slice that Linux accepts.
const SLICE_NS: u64 = 100_000;

/// Gives this thread, and those that it starts from now on, a short slice. Its policy and its nice value stay.
///
/// # Errors
/// Those of `sched_setattr(2)`. Linux before 6.12 ignores the slice.
pub fn shorten() -> io::Result<()> {
    let mut attributes = attributes()?;
    if ![libc::SCHED_OTHER, libc::SCHED_BATCH].contains(&(attributes.sched_policy as i32)) {
        return Ok(()); // the user has chosen another policy
    }
    attributes.sched_runtime = SLICE_NS;
    // SAFETY: the kernel reads the attributes, whose size they contain.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Returns the attributes of this thread.
fn attributes() -> io::Result<libc::sched_attr> {
    let size = size_of::<libc::sched_attr>() as u32;
    // SAFETY: the structure has only numbers, which may be zero.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most `size` bytes.
    let result = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    if result == 0 {
        attributes.size = size;
        Ok(attributes)
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn threads_that_are_started_later_have_the_slice_and_the_old_nice_value() {
        let before = attributes().unwrap();
        shorten().unwrap();
        let later = thread::spawn(|| attributes().unwrap()).join().unwrap();
        assert_eq!(later.sched_policy, before.sched_policy);
        assert_eq!(later.sched_nice, before.sched_nice);
        // A kernel without slices shows 0.
        let has_slices = before.sched_runtime != 0;
        assert_eq!(later.sched_runtime, if has_slices { SLICE_NS } else { 0 });
    }
}
