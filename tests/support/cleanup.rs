//! Everything that a test or the demonstration makes on this machine, and how it goes away: at the
//! end of the process, and when SIGINT, SIGTERM or SIGHUP ends it early.

use super::{processes, sandbox};
use shmkey::{Key, Segment};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::exit,
    sync::{LazyLock, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// The directory in which all others are made.
static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).expect("these signals can be caught");
    let directory = tempfile::Builder::new()
        .prefix("shmkey-")
        .tempdir()
        .expect("a temporary directory can be made")
        .keep();
    let to_remove = directory.clone();
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            processes::kill_all();
            sandbox::close_all();
            // Other threads of this process, and compilers that were started, go on for a moment.
            for _ in 0..50 {
                let _ = fs::remove_dir_all(&to_remove);
                thread::sleep(Duration::from_millis(2));
                remove_own_segments();
            }
            exit(128 + signal);
        }
    });
    // SAFETY: the function has C's calling convention, and may run at the process' end.
    unsafe { libc::atexit(remove_directory) };
    directory
});

/// The directory in which all others are made. The first call has the process clean up after itself
/// from then on.
pub fn directory() -> &'static Path {
    &DIRECTORY
}

/// Segments that may be created by others on this process' behalf, and go with it all the same.
static WATCHED: Mutex<Vec<Key>> = Mutex::new(Vec::new());

/// Has the segment under this key removed when this process is stopped.
pub fn watch(key: Key) {
    directory();
    let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    if !watched.contains(&key) {
        watched.push(key);
    }
}

extern "C" fn remove_directory() {
    // Registered after the directory was made, so this makes none.
    let _ = fs::remove_dir_all(directory());
}

/// Removes the segments that this very process has created, and those it has others create.
fn remove_own_segments() {
    let me = std::process::id() as i32;
    let all = Segment::list().unwrap_or_default();
    for status in all.iter().filter(|status| status.cpid == me) {
        let _ = Segment::from_id(status.id).remove();
    }
    for &key in WATCHED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
    {
        if let Ok(segment) = Segment::open(key) {
            let _ = segment.remove();
        }
    }
}
