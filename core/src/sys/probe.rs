//! Whether the kernel answers the four System V calls for shared memory.

use super::{
    Errno,
    errno::check,
    mapping::map_shared,
    memory::{page_size, release},
    shm::{shmat, shmctl, shmdt, shmget},
    signals::{block_signals, restore_signals},
};
use core::{
    ffi::{c_int, c_void},
    mem::MaybeUninit,
    ptr,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

/// The answer to a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    Answers,
    /// A call does not exist, is forbidden, or kills the caller.
    Refuses,
}

/// Makes the four calls with arguments that have no effect: the kernel answers `EINVAL` to each.
pub fn probe_here() -> Probe {
    // SAFETY: without SHM_REMAP, an attach replaces nothing, and there is no segment −1.
    let attached = unsafe { shmat(-1, ptr::null(), 0) }.map(drop);
    // SAFETY: no segment is attached at an odd address.
    let detached = unsafe { shmdt(ptr::without_provenance(1)) };
    let mut record = MaybeUninit::<libc::shmid_ds>::uninit();
    // SAFETY: IPC_STAT writes at most one shmid_ds. (There is no segment −1, but valgrind checks the buffer.)
    let controlled = unsafe { shmctl(-1, libc::IPC_STAT, record.as_mut_ptr().cast()) }.map(drop);
    let created = shmget(libc::IPC_PRIVATE, 0, 0).map(drop);
    if [attached, detached, controlled, created]
        .iter()
        .all(|&answer| answer == Err(Errno(libc::EINVAL)))
    {
        Probe::Answers
    } else {
        Probe::Refuses
    }
}

/// Does the same in a child, which the calls may kill. The program gets no `SIGCHLD`, and its `wait` does not see the
/// child, because the child has no exit signal. A thread that waits with `__WALL` or `__WCLONE` does, and may be the one
/// that gets its status; so the answer is in memory that both share.
///
/// The child has a copy of the memory: of processes that share it, kernels before Linux 5.16 kill all if one
/// dies of a signal that dumps core, as `SIGSYS` does.
pub fn probe_in_child() -> Probe {
    let Ok(page) = map_shared(page_size()) else {
        return Probe::Refuses;
    };
    // SAFETY: it begins with zeroes, and stays until the end of this function.
    let answer = unsafe { &*page.cast::<AtomicU32>() };
    let no_flags = 0 as libc::c_ulong;
    // The child keeps them blocked: a signal for the whole process group must not run the program's handler there. A
    // filter's SIGSYS kills it all the same.
    let mask = block_signals();
    // SAFETY: without flags and a stack, the child runs on a copy of this memory.
    let child = check(unsafe { libc::syscall(libc::SYS_clone, no_flags, 0, 0, 0, 0) });
    if child == Ok(0) {
        in_child(answer);
    }
    restore_signals(mask);
    if let Ok(child) = child {
        wait_for(child as c_int);
    }
    // Relaxed: the child has ended. What cannot be probed is not used. (Under qemu, which makes no child without an exit
    // signal, this is so.)
    let has_answered = answer.load(Relaxed) == ANSWERED;
    // SAFETY: the page was mapped above, and is not used again.
    unsafe { release(page, page_size()) };
    if has_answered {
        Probe::Answers
    } else {
        Probe::Refuses
    }
}

/// What the child stores if the kernel answers each call.
const ANSWERED: u32 = 1;

/// Probes, and ends this process. It makes system calls only.
fn in_child(answer: &AtomicU32) -> ! {
    /// The kernel's `struct sigaction`, with the signal's default action.
    static DEFAULT: [u64; 4] = [0; 4];
    // Zero for a core file, and one byte also keeps a program that collects core files from starting.
    let no_core = libc::rlimit {
        rlim_cur: 1,
        rlim_max: 1,
    };
    // SAFETY: these change this process alone, which has no other thread; the pointers are valid.
    unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            0,
            libc::RLIMIT_CORE,
            &raw const no_core,
            ptr::null_mut::<libc::rlimit>(),
        );
        libc::syscall(
            libc::SYS_rt_sigaction,
            libc::SIGSYS,
            DEFAULT.as_ptr(),
            ptr::null_mut::<u64>(),
            size_of::<u64>(),
        );
    }
    if probe_here() == Probe::Answers {
        answer.store(ANSWERED, Relaxed);
    }
    loop {
        // SAFETY: ends this process.
        unsafe { libc::syscall(libc::SYS_exit_group, 0) };
    }
}

/// Waits for the child to end. Another thread may have got its status.
fn wait_for(child: c_int) {
    let nothing = ptr::null_mut::<c_void>();
    let wait = || {
        // SAFETY: without a place for them, the kernel writes neither the status nor the usage.
        check(unsafe { libc::syscall(libc::SYS_wait4, child, nothing, libc::__WALL, nothing) })
    };
    while wait() == Err(Errno(libc::EINTR)) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_answers() {
        assert_eq!(probe_here(), Probe::Answers);
    }

    #[test]
    fn this_kernel_answers_a_child() {
        assert_eq!(probe_in_child(), Probe::Answers);
    }
}
