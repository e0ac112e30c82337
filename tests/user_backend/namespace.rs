//! A namespace of the user backend for one test, and the calls in it.
//!
//! A process chooses its backend and its directory once. So each test runs as a task of another process, whose
//! environment names both.

use crate::support::Helper;
use shmkey_core::{
    backend,
    sys::{self, Errno},
};
use std::{fs, path::Path, ptr};
use tempfile::TempDir;

/// A directory that is a namespace.
pub struct Namespace(TempDir);

impl Namespace {
    pub fn new() -> Namespace {
        Namespace::within("/dev/shm")
    }

    pub fn within(parent: &str) -> Namespace {
        let parent = if Path::new(parent).is_dir() {
            parent.into()
        } else {
            std::env::temp_dir()
        };
        let mut directory = tempfile::Builder::new();
        Namespace(directory.prefix("shmkey-test-").tempdir_in(parent).unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Starts a process that runs a task in this namespace.
    pub fn start(&self, task: &str) -> Helper {
        self.start_within(&[], task)
    }

    /// Does the same through another program, such as `unshare`, with its arguments.
    pub fn start_within(&self, within: &[&str], task: &str) -> Helper {
        let directory = format!("SHMKEY_DIR={}", self.path().display());
        let mut program = within.to_vec();
        program.extend(["env", "SHMKEY_BACKEND=user", &directory]);
        Helper::start(&program, task, self.path().to_str().unwrap())
    }

    /// Runs a task in a process, and waits for its end.
    #[track_caller]
    pub fn run(&self, task: &str) {
        self.run_within(&[], task);
    }

    #[track_caller]
    pub fn run_within(&self, within: &[&str], task: &str) {
        self.start_within(within, task).finish();
    }
}

/// Returns the names of the files in a directory, sorted.
pub fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub const CREATE: i32 = libc::IPC_CREAT;

pub fn get(key: i32, size: usize, flags: i32) -> Result<i32, Errno> {
    backend::create_or_get(key, size, flags)
}

/// Creates a segment under no key.
#[track_caller]
pub fn private(size: usize) -> i32 {
    get(libc::IPC_PRIVATE, size, 0o600).unwrap()
}

pub fn try_attach(id: i32, flags: i32) -> Result<*mut u8, Errno> {
    // SAFETY: without SHM_REMAP, attaching replaces nothing.
    unsafe { backend::attach(id, ptr::null(), flags) }.map(<*mut _>::cast)
}

#[track_caller]
pub fn attach(id: i32) -> *mut u8 {
    try_attach(id, 0).unwrap()
}

pub fn try_detach(address: *mut u8) -> Result<(), Errno> {
    // SAFETY: the tests no longer use the memory.
    unsafe { backend::detach(address.cast()) }
}

#[track_caller]
pub fn detach(address: *mut u8) {
    try_detach(address).unwrap();
}

#[track_caller]
pub fn stat(id: i32) -> libc::shmid_ds {
    backend::stat(id).unwrap()
}

#[track_caller]
pub fn nattch(id: i32) -> u64 {
    stat(id).shm_nattch
}

pub fn fails<T>(result: Result<T, Errno>) -> i32 {
    result.map(drop).unwrap_err().0
}

/// Waits until a condition holds.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..5000 {
        if holds() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("never: {what}");
}

/// Forks a child, which calls `act` and then waits until it is killed.
pub fn fork_and_pause(act: impl FnOnce()) -> i32 {
    crate::support::fork_child(|| {
        // SAFETY: has the kernel kill this child when its parent ends.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        act();
        loop {
            // SAFETY: waits for a signal.
            unsafe { libc::pause() };
        }
    })
}

/// Kills a child, and waits for its end.
pub fn kill(child: i32) {
    // SAFETY: the child is this process's own, and not yet waited for.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, ptr::null_mut(), 0);
    }
}

pub fn process_id() -> i32 {
    sys::process_id()
}
