//! A program that shmkey runs. shmkey passes signals on to it, and the program decides whether they end it.

use crate::{output, words};
use std::{
    env,
    ffi::OsStr,
    fs, io, mem,
    os::unix::{
        ffi::OsStrExt,
        fs::PermissionsExt,
        process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, ExitStatus},
    ptr,
    sync::atomic::{
        AtomicBool, AtomicI32,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// As in env(1), nohup(1) and timeout(1): shmkey has failed, the program cannot be run, or there is none of this name.
pub const NOT_POSSIBLE: u8 = 125;
pub const NOT_RUNNABLE: u8 = 126;
pub const NOT_FOUND: u8 = 127;

/// Returns whether a path names a regular file that at least one user may execute.
pub fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Returns the file of a program, as a shell finds it; or the exit status, and why it cannot be run.
pub fn find(name: &OsStr) -> Result<PathBuf, (u8, String)> {
    let shown = words::plain(&name.to_string_lossy());
    if name.as_bytes().contains(&b'/') {
        let path = PathBuf::from(name);
        return match fs::metadata(&path) {
            Err(error) => Err((code_of(&error), output::of_file(&path, &error))),
            Ok(_) if is_program(&path) => Ok(path),
            Ok(_) => Err((
                NOT_RUNNABLE,
                format!("{shown} is not an executable program"),
            )),
        };
    }
    let path = env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|path| is_program(path))
        .ok_or_else(|| (NOT_FOUND, format!("there is no program {shown} in PATH")))
}

/// Returns the exit status for a program that did not start.
pub fn code_of(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::NotFound => NOT_FOUND,
        _ => NOT_RUNNABLE,
    }
}

/// Returns the exit status of a program, or 128 plus the signal that killed it.
pub fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or(status.signal().map(|signal| 128 + signal))
        .and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The program that runs; 0 if none does.
static CHILD: AtomicI32 = AtomicI32::new(0);

/// Whether SIGPIPE was ignored when shmkey was started.
static PIPES_IGNORED: AtomicBool = AtomicBool::new(false);

/// Runs before Rust's runtime, which ignores SIGPIPE before `main`.
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
    // The terminal sends its signals to the program, too. An alarm is only for this process.
    if by_kernel && signal != libc::SIGALRM {
        return;
    }
    // Acquire: pairs with the Release in `start`.
    let child = CHILD.load(Acquire);
    if child > 0 {
        // SAFETY: kill takes two numbers, and may be called in a signal handler.
        unsafe { libc::kill(child, signal) };
    }
}

/// Starts the program, and passes signals on to it from now on. The program inherits the signal mask and the ignored
/// signals with which shmkey was started.
pub fn start(command: &mut Command) -> io::Result<Child> {
    // Blocked, so that no signal is lost before the id of the child is known.
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
            // Release: pairs with the Acquire in `pass_on`; the id itself is all that is passed.
            CHILD.store(child.id() as i32, Release);
        }
        child
    })
}

/// Calls a function while all signals are blocked in this thread, with the mask of before. A thread that the function
/// starts inherits the blocked signals.
pub fn while_blocked<T>(what: impl FnOnce(libc::sigset_t) -> T) -> T {
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
pub fn ended() {
    // Release: as in `start`.
    CHILD.store(0, Release);
}

/// Installs the handlers. The program does not inherit them, unlike ignored signals.
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
