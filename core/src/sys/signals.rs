//! Blocking signals.

/// A thread's signal mask, as the kernel has it.
#[derive(Clone, Copy, Debug)]
pub struct SignalMask(u64);

/// Blocks all signals of this thread. Returns the mask that it had.
pub fn block_signals() -> SignalMask {
    change(libc::SIG_BLOCK, SignalMask(u64::MAX))
}

/// Gives this thread a signal mask.
pub fn restore_signals(mask: SignalMask) {
    change(libc::SIG_SETMASK, mask);
}

fn change(how: libc::c_int, mask: SignalMask) -> SignalMask {
    let mut old = SignalMask(0);
    // SAFETY: the kernel reads one mask and writes another, of 8 bytes each. It cannot fail for these arguments.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            how,
            &raw const mask.0,
            &raw mut old.0,
            size_of::<u64>(),
        )
    };
    old
}
