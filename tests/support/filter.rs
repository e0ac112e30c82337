//! Filters of system calls (seccomp), for the calls that a kernel or a sandbox may lack.

/// Installs a filter in this thread, and in those that it starts. It cannot be removed.
pub fn install_filter(program: &mut [libc::sock_filter]) {
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the kernel copies the program, which has this length.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(
            libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const filter),
            0
        );
    }
}

/// Has `futex_waitv(2)` fail with this errno.
pub fn refuse_futex_waitv(errno: i32) {
    let one = |code, jf, k| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf,
        k,
    };
    install_filter(&mut [
        one(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        one(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            1,
            libc::SYS_futex_waitv as u32,
        ),
        one(
            libc::BPF_RET | libc::BPF_K,
            0,
            libc::SECCOMP_RET_ERRNO | errno as u32,
        ),
        one(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ]);
}
