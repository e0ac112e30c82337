//! Signals while the program runs: it decides what becomes of those that are to end it.

use std::{
    io, mem,
    os::unix::process::CommandExt,
    process::{Child, Command},
    ptr,
    sync::atomic::{
        AtomicBool, AtomicI32,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// The program that runs; 0 if none does.
static CHILD: AtomicI32 = AtomicI32::new(0);

/// Whether broken pipes were ignored when this program was started.
static PIPES_IGNORED: AtomicBool = AtomicBool::new(false);

/// Rust has broken pipes ignored before `main`, so this looks before that.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    // SAFETY: a structure of numbers and an address that may be NULL.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: there is room for one sigaction, and nothing is changed.
    unsafe { libc::sigaction(libc::SIGPIPE, ptr::null(), &mut action) };
    // Relaxed: there is one thread yet.
    PIPES_IGNORED.store(action.sa_sigaction == libc::SIG_IGN, Relaxed);
}

const PASSED_ON: [libc::c_int; 9] = [
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGWINCH,
    libc::SIGCONT,
];

extern "C" fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel hands a handler of this kind the signal's story.
    let by_kernel = unsafe { (*info).si_code } == libc::SI_KERNEL;
    // What the terminal sends reaches the program by itself. An alarm was set for this process.
    if by_kernel && signal != libc::SIGALRM {
        return;
    }
    // Acquire: as where it is stored.
    let child = CHILD.load(Acquire);
    if child > 0 {
        // SAFETY: kill takes two numbers, and may be called in a signal handler.
        unsafe { libc::kill(child, signal) };
    }
}

/// Starts the program, to which signals are passed on from now on. It finds signals as this process
/// has found them.
pub(super) fn start(command: &mut Command) -> io::Result<Child> {
    // None is lost between here and the moment when it is known whom to pass it on to.
    while_blocked(|before| {
        handle();
        // Relaxed: it was stored by this thread.
        let pipes = if PIPES_IGNORED.load(Relaxed) {
            libc::SIG_IGN
        } else {
            libc::SIG_DFL
        };
        // SAFETY: what runs between fork and exec are two system calls.
        unsafe {
            command.pre_exec(move || {
                libc::signal(libc::SIGPIPE, pipes);
                libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut());
                Ok(())
            });
        }
        let child = command.spawn();
        if let Ok(child) = &child {
            // Release: nothing is handed over but the number itself; as `pass_on` acquires it.
            CHILD.store(child.id() as i32, Release);
        }
        child
    })
}

/// Calls a function while this thread takes no signals, and tells it which it took before. A thread that
/// it starts takes none.
pub(super) fn while_blocked<T>(what: impl FnOnce(libc::sigset_t) -> T) -> T {
    // SAFETY: two sets of signals, which these calls fill.
    let (mut all, mut before): (libc::sigset_t, libc::sigset_t) =
        unsafe { (mem::zeroed(), mem::zeroed()) };
    // SAFETY: both sets are there.
    unsafe {
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &all, &mut before);
    }
    let answer = what(before);
    // SAFETY: the set was filled above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut()) };
    answer
}

/// The program has ended.
pub(super) fn ended() {
    // Release: as above.
    CHILD.store(0, Release);
}

/// Handlers, unlike ignored signals, are not inherited by the program.
fn handle() {
    for signal in PASSED_ON {
        // SAFETY: structures of numbers and addresses that may be NULL; the handler does nothing
        // that a signal handler may not do; one that was ignored stays so, as nohup(1) wants it.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            libc::sigaction(signal, ptr::null(), &mut action);
            if action.sa_sigaction != libc::SIG_IGN {
                let handler: extern "C" fn(_, _, _) = pass_on;
                action.sa_sigaction = handler as libc::sighandler_t;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
                libc::sigaction(signal, &action, ptr::null_mut());
            }
        }
    }
}
