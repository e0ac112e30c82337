//! Tells `shmkey trace` that a process has this library in it.
//!
//! The library makes its system calls directly, and not through libc's functions, where the drop-in
//! would see them. So its calls are not traced, and the report of `shmkey trace` has to name this as
//! the reason. `shmkey trace` names a file in SHMKEY_TRACE_REPORTER; when this library is loaded, it
//! appends a line to that file: `library PID`, and the numbers of its PID and IPC namespaces. The four
//! calls are not slowed by it.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::MetadataExt,
};

/// Calls `start` when the library is loaded.
#[used]
#[unsafe(link_section = ".init_array")]
pub(crate) static START: extern "C" fn() = start;

extern "C" fn start() {
    // SAFETY: getauxval takes a number and reads what the kernel gave this process.
    let is_privileged = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
    // A program with more rights than its caller does not follow the environment.
    if !is_privileged && let Some(mut file) = reporter() {
        let namespace = |name| fs::metadata(name).map_or(0, |file| file.ino());
        let (pid, ipc) = (
            namespace("/proc/self/ns/pid"),
            namespace("/proc/self/ns/ipc"),
        );
        let line = format!("library {} {pid} {ipc}\n", std::process::id());
        // One write is one line. If it fails, the report lacks the reason, and the program goes on.
        let _ = file.write(line.as_bytes());
    }
}

/// Opens the file that `shmkey trace` reads: the drop-in's `notes` say what the five numbers are.
fn reporter() -> Option<File> {
    let text = std::env::var("SHMKEY_TRACE_REPORTER").ok()?;
    let mut words = text.split(' ').map(|word| word.parse::<u64>().ok());
    let mut number = || words.next().flatten();
    let (process, descriptor) = (number()?, number()?);
    let identity = (number()?, number()?);
    let is_it = |file: &fs::Metadata| (file.dev(), file.ino()) == identity;
    // The command alone has it open.
    let path = format!("/proc/{process}/fd/{descriptor}");
    // No other file is opened.
    fs::metadata(&path).ok().filter(is_it)?;
    let file = OpenOptions::new().append(true).open(path).ok()?;
    file.metadata()
        .is_ok_and(|found| is_it(&found))
        .then_some(file)
}
