//! A child that makes one instruction at a time.

use std::ptr;

/// Forks a child that prepares, stops, and then acts.
pub fn start(prepare: impl Fn(), act: impl Fn()) -> Result<libc::pid_t, String> {
    // SAFETY: this process has no other thread that could hold a lock of the allocator's; the one
    // that waits for signals holds none.
    let child = unsafe { libc::fork() };
    if child == 0 {
        prepare();
        // SAFETY: asks to be traced, stops, and ends without the destructors that are the parent's.
        unsafe {
            libc::ptrace(libc::PTRACE_TRACEME, 0, ptr::null_mut::<libc::c_void>(), 0);
            libc::raise(libc::SIGSTOP);
            act();
            libc::_exit(0);
        }
    }
    match wait_for(child)? {
        status if libc::WIFSTOPPED(status) => Ok(child),
        status => Err(format!("the child did not stop: status {status:#x}")),
    }
}

/// One instruction. False if that was the last.
pub fn step(child: libc::pid_t) -> Result<bool, String> {
    // SAFETY: the child is stopped and traced by this thread.
    unsafe {
        libc::ptrace(
            libc::PTRACE_SINGLESTEP,
            child,
            ptr::null_mut::<libc::c_void>(),
            0,
        )
    };
    match wait_for(child)? {
        status if libc::WIFSTOPPED(status) => Ok(true),
        status if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 => Ok(false),
        status => Err(format!("the child ended by itself: status {status:#x}")),
    }
}

fn wait_for(child: libc::pid_t) -> Result<i32, String> {
    let mut status = 0;
    // SAFETY: the status is ours to write.
    match unsafe { libc::waitpid(child, &mut status, 0) } {
        id if id == child => Ok(status),
        _ => Err(format!("waitpid: {}", std::io::Error::last_os_error())),
    }
}

/// Kills the child.
pub fn kill(child: libc::pid_t) -> Result<(), String> {
    // SAFETY: the child is stopped and not yet waited for.
    unsafe { libc::kill(child, libc::SIGKILL) };
    wait_for(child).map(drop)
}
