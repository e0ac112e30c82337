//! The namespace that the command shows: System V IPC in the kernel, or the user backend's directory.

use crate::output::Failure;
use clap::ValueEnum;
use shmkey_core::backend::{self, Backend};
use std::{
    env, fmt, fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// What provides the segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Choice {
    /// System V IPC in the kernel
    Kernel,
    /// A directory of files
    User,
    /// The kernel, or a directory where the kernel does not provide System V shared memory
    Auto,
}

/// The variable that `--backend` sets, also for the programs that shmkey runs.
const VARIABLE: &str = "SHMKEY_BACKEND";

/// Set if `--backend` was given although the variable was set.
static OVERRIDDEN: OnceLock<()> = OnceLock::new();

/// Makes this process, and the programs that it runs, use a backend.
pub fn choose(choice: Choice) {
    if env::var_os(VARIABLE).is_some() {
        let _ = OVERRIDDEN.set(());
    }
    let name = match choice {
        Choice::Kernel => "kernel",
        Choice::User => "user",
        Choice::Auto => "auto",
    };
    // SAFETY: called at the beginning of `main`, when there is no other thread.
    unsafe { env::set_var(VARIABLE, name) };
}

/// Returns a usage error if the variable has an unknown value.
pub fn check() -> Result<(), Failure> {
    if backend::is_valid_choice() {
        return Ok(());
    }
    let value = env::var_os(VARIABLE).unwrap_or_default();
    Err(Failure::Usage(format!(
        "{VARIABLE} is {}, but must be kernel, user or auto",
        crate::words::plain(&value.to_string_lossy())
    )))
}

/// The namespace to which the ids of segments belong.
pub enum Namespace {
    /// The inode number of an IPC namespace.
    Kernel(Option<u64>),
    Directory(PathBuf),
}

impl Namespace {
    pub fn current() -> Namespace {
        match backend::chosen() {
            Backend::Kernel => Namespace::Kernel(crate::process::our_ipc_namespace()),
            Backend::User => Namespace::Directory(directory()),
        }
    }

    /// Returns the name of the backend.
    pub fn backend(&self) -> &'static str {
        match self {
            Namespace::Kernel(_) => "kernel",
            Namespace::Directory(_) => "user",
        }
    }

    pub fn ipc(&self) -> Option<u64> {
        match self {
            Namespace::Kernel(number) => *number,
            Namespace::Directory(_) => None,
        }
    }

    pub fn directory(&self) -> Option<&Path> {
        match self {
            Namespace::Kernel(_) => None,
            Namespace::Directory(path) => Some(path),
        }
    }
}

/// `kernel, IPC namespace 4026531839`, `user, directory /dev/shm/shmkey-0`.
impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.backend())?;
        match self {
            Namespace::Kernel(Some(number)) => write!(f, ", IPC namespace {number}"),
            Namespace::Kernel(None) => Ok(()),
            Namespace::Directory(path) => write!(f, ", directory {}", path.display()),
        }
    }
}

/// Returns how a user begins a command for the same segments: without the option, it could act on those of the other
/// backend, among which the same ids occur.
pub fn command() -> &'static str {
    match backend::chosen() {
        Backend::Kernel if OVERRIDDEN.get().is_some() => "shmkey --backend kernel",
        Backend::Kernel => "shmkey",
        Backend::User => "shmkey --backend user",
    }
}

/// Returns whether segments are files.
pub fn is_user() -> bool {
    backend::chosen() == Backend::User
}

fn directory() -> PathBuf {
    let path = backend::directory();
    // It fails for a path that is relative or too long, with which every call fails, too.
    path.map_or_else(
        |_| PathBuf::new(),
        |path| Path::new(std::ffi::OsStr::from_bytes(path.as_bytes())).to_owned(),
    )
}

/// Returns the file of a segment of the user backend.
pub fn file(id: i32) -> Option<fs::Metadata> {
    fs::symlink_metadata(directory().join(format!("s.{id}"))).ok()
}

/// Returns how many bytes each segment of the user backend takes in memory or on the disk, by id.
pub fn space() -> impl Iterator<Item = (i32, u64)> {
    let entries = fs::read_dir(directory()).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let name = entry.file_name();
        let id = name.to_str()?.strip_prefix("s.")?.parse().ok()?;
        Some((id, entry.metadata().ok()?.blocks() * 512))
    })
}

/// Returns the device of the user backend's files as `/proc/PID/maps` shows it. On some file systems, stat(2) returns
/// another one.
pub fn device() -> Option<String> {
    let table = fs::File::open(directory().join("table")).ok()?;
    crate::attached::device_of(&table)
}
