//! An actor as a process: it forks, executes a program, becomes another user, and ends.

use super::{
    actor::{ACTORS, ARGUMENT, Actor, FIRST_SOCKET, failed, returned},
    names::number,
};
use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    fs, mem, ptr,
};

/// Performs a verb. `None` if the verb is not one of these.
pub fn perform(actor: &Actor, verb: &str, words: &[&str]) -> Option<String> {
    let index = || {
        words
            .first()
            .and_then(|name| index_of(name))
            .unwrap_or(actor.index)
    };
    Some(match verb {
        // SAFETY: the child continues as another actor, in the only thread that a child has.
        "fork" => forked(unsafe { libc::fork() }, index()),
        // SAFETY: the same, without the handlers of `pthread_atfork`.
        "raw-fork" => forked(
            unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) } as c_int,
            index(),
        ),
        "fork-exit" => fork_exit(),
        "vfork-exec" => vfork_exec(index()),
        "spawn" => spawn(index()),
        "exec" => exec(actor.index),
        // SAFETY: these end the process.
        "exit" => unsafe { libc::exit(0) },
        // SAFETY: as above.
        "end" => unsafe { libc::_exit(0) },
        "closefrom" => close_all(),
        "as" => become_user(words),
        "drop" => drop_capabilities(words),
        "chroot" => change_root(words),
        "umask" => mask(words),
        "rlimit" => limit(words),
        "state" => state(),
        "reap" => reap(),
        _ => return None,
    })
}

/// Returns the index of an actor's name.
pub fn index_of(name: &str) -> Option<usize> {
    let letter = *name.as_bytes().first().filter(|_| name.len() == 1)?;
    let index = usize::from(letter.checked_sub(b'A')?);
    (index < ACTORS).then_some(index)
}

fn forked(result: c_int, index: usize) -> String {
    match result {
        0 => Actor::new(index).act(),
        -1 => failed(),
        pid => format!("ok #{pid}"),
    }
}

/// `fork-exit`: makes a child that ends at once.
fn fork_exit() -> String {
    // SAFETY: the child ends at once.
    match unsafe { libc::fork() } {
        // SAFETY: ends the child.
        0 => unsafe { libc::_exit(0) },
        -1 => failed(),
        pid => {
            // SAFETY: waits for a child of this process, and writes no status.
            unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
            format!("ok #{pid}")
        }
    }
}

/// The arguments that make this program an actor.
struct Program {
    arguments: [CString; 3],
}

const OWN_PROGRAM: &CStr = c"/proc/self/exe";

impl Program {
    fn new(index: usize) -> Program {
        let index = index.to_string();
        let arguments = ["conformance", ARGUMENT, &index];
        Program {
            arguments: arguments.map(|text| CString::new(text).expect("no zero")),
        }
    }

    fn arguments(&self) -> [*const c_char; 4] {
        let [program, word, index] = &self.arguments;
        [program.as_ptr(), word.as_ptr(), index.as_ptr(), ptr::null()]
    }
}

unsafe extern "C" {
    static environ: *const *const c_char;
}

fn exec(index: usize) -> String {
    let program = Program::new(index);
    // SAFETY: the lists end with a null pointer.
    unsafe { libc::execve(OWN_PROGRAM.as_ptr(), program.arguments().as_ptr(), environ) };
    failed()
}

/// `vfork-exec NAME`: makes a child that shares this process's memory until it executes a program.
fn vfork_exec(index: usize) -> String {
    extern "C" fn child(arguments: *mut c_void) -> c_int {
        // SAFETY: the lists end with a null pointer; the parent waits.
        unsafe {
            libc::execve(OWN_PROGRAM.as_ptr(), arguments.cast(), environ);
            libc::_exit(127)
        }
    }
    let program = Program::new(index);
    let arguments = program.arguments();
    let mut stack = vec![0u8; 64 << 10];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let top = stack.as_mut_ptr_range().end;
    // SAFETY: the child has a stack of its own, and the parent waits until it has left the shared memory.
    let pid = unsafe {
        let top = top.sub(top as usize % 16);
        libc::clone(
            child,
            top.cast(),
            flags,
            arguments.as_ptr().cast_mut().cast(),
        )
    };
    if pid == -1 {
        failed()
    } else {
        format!("ok #{pid}")
    }
}

/// `spawn NAME`: makes a child by `posix_spawn(3)`.
fn spawn(index: usize) -> String {
    let program = Program::new(index);
    let arguments = program.arguments();
    let mut pid = 0;
    // SAFETY: the lists end with a null pointer.
    let error = unsafe {
        libc::posix_spawn(
            &mut pid,
            OWN_PROGRAM.as_ptr(),
            ptr::null(),
            ptr::null(),
            arguments.as_ptr().cast(),
            environ.cast(),
        )
    };
    if error == 0 {
        format!("ok #{pid}")
    } else {
        super::actor::errno_name(error)
    }
}

/// `closefrom`: closes all descriptors except the sockets of the actors.
fn close_all() -> String {
    let (first, last) = (FIRST_SOCKET as u32, FIRST_SOCKET as u32 + ACTORS as u32);
    // SAFETY: an actor needs no other descriptor.
    unsafe {
        libc::syscall(libc::SYS_close_range, 0, first - 1, 0);
        libc::syscall(libc::SYS_close_range, last, u32::MAX, 0);
    }
    "ok".to_owned()
}

/// `as UID:GID[,GID…]`: becomes another user with these groups.
fn become_user(words: &[&str]) -> String {
    let become_user = || {
        let (uid, groups) = words.first()?.split_once(':')?;
        let uid: libc::uid_t = uid.parse().ok()?;
        let groups: Option<Vec<libc::gid_t>> =
            groups.split(',').map(|group| group.parse().ok()).collect();
        let groups = groups?;
        let gid = *groups.first()?;
        // SAFETY: passes numbers, and a list of this length.
        let ok = unsafe {
            libc::setgroups(groups.len() - 1, groups[1..].as_ptr()) == 0
                && libc::setresgid(gid, gid, gid) == 0
                && libc::setresuid(uid, uid, uid) == 0
        };
        Some(if ok { "ok".to_owned() } else { failed() })
    };
    become_user().unwrap_or_else(|| "not done: as UID:GID".to_owned())
}

/// `drop CAPABILITY …`: drops these effective and permitted capabilities, which are numbers.
fn drop_capabilities(words: &[&str]) -> String {
    // Version 3 has two words for each of the effective, permitted and inheritable sets.
    let mut header = [0x2008_0522_u32, 0];
    let mut sets = [0u32; 6];
    // SAFETY: the arrays have the sizes of that version.
    unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr()) };
    for word in words {
        let bit = number(word).unwrap_or(0) as u32;
        for set in 0..2 {
            sets[(bit / 32 * 3) as usize + set] &= !(1 << (bit % 32));
        }
    }
    // SAFETY: as above.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_mut_ptr(), sets.as_ptr()) };
    returned(result as c_int)
}

/// `chroot DIRECTORY`.
fn change_root(words: &[&str]) -> String {
    let path = CString::new(*words.first().unwrap_or(&"/proc/sys")).expect("no zero");
    // SAFETY: a path that ends with a zero.
    returned(unsafe { libc::chroot(path.as_ptr()) | libc::chdir(c"/".as_ptr()) })
}

/// `umask MODE`.
fn mask(words: &[&str]) -> String {
    let mode = u32::from_str_radix(words.first().unwrap_or(&"0"), 8).unwrap_or(0);
    // SAFETY: a number.
    unsafe { libc::umask(mode) };
    "ok".to_owned()
}

/// `rlimit NAME VALUE`: sets a soft limit.
fn limit(words: &[&str]) -> String {
    let which = match words.first() {
        Some(&"as") => libc::RLIMIT_AS,
        Some(&"nofile") => libc::RLIMIT_NOFILE,
        Some(&"fsize") => libc::RLIMIT_FSIZE,
        Some(&"memlock") => libc::RLIMIT_MEMLOCK,
        _ => return "not done: no such limit".to_owned(),
    };
    let value = number(words.get(1).unwrap_or(&"0")).unwrap_or(0) as libc::rlim_t;
    let limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: if value == 0 || which == libc::RLIMIT_MEMLOCK {
            value
        } else {
            libc::RLIM_INFINITY
        },
    };
    // SAFETY: reads the limit.
    returned(unsafe { libc::setrlimit(which, &limit) })
}

/// `state`: returns what the calls must not change: open descriptors, threads, signals, the working directory,
/// children.
fn state() -> String {
    let count = |path| fs::read_dir(path).map_or(0, |entries| entries.count());
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let mut lines = status.lines();
        let found = lines.find_map(|line| line.strip_prefix(name));
        found
            .unwrap_or_default()
            .trim()
            .trim_start_matches('0')
            .to_owned()
    };
    let cwd = fs::read_link("/proc/self/cwd").is_ok();
    format!(
        "ok descriptors={} threads={} blocked={:?} pending={:?} caught={:?} cwd={cwd} {}",
        count("/proc/self/fd"),
        count("/proc/self/task"),
        field("SigBlk:"),
        field("SigPnd:"),
        field("SigCgt:"),
        reap()
    )
}

/// `reap`: returns a child that has ended, if there is one.
fn reap() -> String {
    let mut status = mem::MaybeUninit::<c_int>::uninit();
    // SAFETY: there is room for the status of a child.
    match unsafe { libc::waitpid(-1, status.as_mut_ptr(), libc::WNOHANG | libc::__WALL) } {
        -1 => format!("reap={}", failed()),
        0 => "reap=none".to_owned(),
        pid => format!("reap=#{pid}"),
    }
}
