//! What a test needs of the machine. A test whose need is not met says so and is skipped; where the
//! variable `CI` is set it fails instead, so that nothing is left out unnoticed.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Write},
    process::{Command, Stdio},
    ptr,
    sync::{Mutex, PoisonError},
    thread,
};

/// Something that not every machine has.
#[derive(Clone, Copy)]
pub struct Need {
    name: &'static str,
    is_met: fn(&Need) -> bool,
}

/// The rights of root, and of all users: root of a user namespace that knows root only has neither.
pub const ROOT: Need = Need {
    name: "root",
    is_met: |_| {
        let users = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        // SAFETY: takes nothing, and cannot fail.
        (unsafe { libc::geteuid() }) == 0 && users.split_whitespace().eq(["0", "0", "4294967295"])
    },
};

/// Root that may make namespaces, which root of a container may not.
pub const NAMESPACES: Need = Need {
    name: "root and namespaces",
    is_met: |_| {
        let unshare = ["--ipc", "--mount", "--pid", "--fork", "true"];
        (ROOT.is_met)(&ROOT) && succeeds("unshare", &unshare)
    },
};

/// A kernel that tells a process's namespaces without `/proc`.
pub const NAMESPACES_WITHOUT_PROC: Need = Need {
    name: "Linux 6.11",
    is_met: |_| {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut numbers = release.split('.').map(|number| number.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        (next(), next()) >= (6, 11)
    },
};

/// An IPC namespace, which a user namespace gives without the rights of root.
pub const IPC_NAMESPACE: Need = Need {
    name: "an IPC namespace of its own",
    is_met: |_| {
        succeeds("unshare", &["--ipc", "true"]) || succeeds("unshare", &["--user", "--ipc", "true"])
    },
};

/// Tracing a child by `ptrace(2)`, which qemu does not emulate for programs of other processors.
pub const PTRACE: Need = Need {
    name: "ptrace",
    is_met: |_| {
        let none = ptr::null_mut::<libc::c_void>();
        // SAFETY: lets the parent trace the child, which ends at once.
        let trace = || unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, none, 0) };
        super::status_of_child(|| i32::from(trace() != 0)) == 0
    },
};

/// A C compiler.
pub const C_COMPILER: Need = Need {
    name: "a C compiler",
    is_met: |_| super::working_compiler().is_some(),
};

/// Options of valgrind for programs that access no invalid memory and leak none.
pub const UNDER_VALGRIND: [&str; 5] = [
    "valgrind",
    "--quiet",
    "--error-exitcode=99",
    "--leak-check=full",
    "--errors-for-leak-kinds=definite,indirect,possible",
];

pub const GXX: Need = program("g++");
pub const CLANGXX: Need = program("clang++");
pub const PERL: Need = program("perl");
pub const STRACE: Need = program("strace");
pub const VALGRIND: Need = program("valgrind");

/// An interpreter of Python whose package `shmkey` is the one of this repository, which the variable `SHMKEY_PYTHON`
/// names. `.ci/python` makes one.
pub const PYTHON: Need = Need {
    name: "SHMKEY_PYTHON=path/of/an/interpreter/with/the/package (see .ci/python)",
    is_met: |_| python().is_some_and(|python| succeeds(&python, &["-c", "import shmkey"])),
};

/// Returns the interpreter of Python that is named; `None` if none is, or the name is empty.
pub fn python() -> Option<String> {
    let python = env::var("SHMKEY_PYTHON").ok();
    python.filter(|python| !python.is_empty())
}

/// Returns whether the pairings with Python are left out on purpose, by `SHMKEY_PYTHON=`: `.ci/python` runs them.
pub fn is_without_python() -> bool {
    env::var_os("SHMKEY_PYTHON").is_some_and(|python| python.is_empty())
}

const fn program(name: &'static str) -> Need {
    Need {
        name,
        is_met: |need| {
            let version = if need.name == "strace" {
                "-V"
            } else {
                "--version"
            };
            succeeds(need.name, &[version])
        },
    }
}

/// Whether a program is there and ends well.
pub fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Names the first need that is not met, if there is one.
pub fn missing(needs: &[Need]) -> Option<&'static str> {
    static MET: Mutex<BTreeMap<&str, bool>> = Mutex::new(BTreeMap::new());
    let mut met = MET.lock().unwrap_or_else(PoisonError::into_inner);
    let mut is_met = |need: &Need| {
        let looked_at = met.entry(need.name);
        *looked_at.or_insert_with(|| (need.is_met)(need))
    };
    let missing = needs.iter().find(|need| !is_met(need));
    missing.map(|need| need.name)
}

/// Says that something is skipped and why, past the test harness, which hides what a test prints. Panics if
/// `CI` is set.
pub fn skip(what: &str, missing: &str) {
    assert!(
        env::var_os("CI").is_none(),
        "{what} needs {missing}, and CI is set"
    );
    // In one piece, because other tests write at the same time.
    let line = format!("test {what} ... skipped: needs {missing}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Returns whether this test is to be skipped because a need is not met.
pub fn skipped(needs: &[Need]) -> bool {
    let missing = missing(needs);
    if let Some(missing) = missing {
        skip(thread::current().name().unwrap_or("this one"), missing);
    }
    missing.is_some()
}

/// Ends a test that needs something that is not there: `needs!(ROOT, PERL)`.
#[macro_export]
macro_rules! needs {
    ($($need:ident),+) => {
        if $crate::support::needs::skipped(&[$($crate::support::needs::$need),+]) {
            return;
        }
    };
}
