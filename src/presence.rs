//! Tells `shmkey trace` that a process has this library in it.
//!
//! The library makes its system calls directly, and not through libc's functions, where the drop-in
//! would see them. So its calls are not traced, and the report of `shmkey trace` has to name this as
//! the reason. `shmkey trace` names a socket in SHMKEY_TRACE_REPORTER; when this library is loaded, it
//! sends a datagram there: `library PID`, and the numbers of its PID and IPC namespaces. The four calls
//! are not slowed by it.

use std::{
    fs,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::MetadataExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

/// Calls `start` when the library is loaded.
#[used]
#[unsafe(link_section = ".init_array")]
pub(crate) static START: extern "C" fn() = start;

extern "C" fn start() {
    // SAFETY: getauxval takes a number and reads what the kernel gave this process.
    let is_privileged = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
    // A program with more rights than its caller does not follow the environment.
    if !is_privileged && let Some(reporter) = reporter() {
        let namespace = |name| fs::metadata(name).map_or(0, |file| file.ino());
        let (pid, ipc) = (
            namespace("/proc/self/ns/pid"),
            namespace("/proc/self/ns/ipc"),
        );
        let note = format!("library {} {pid} {ipc}\n", std::process::id());
        // If it cannot be sent, the report lacks the reason, and the program continues.
        let _ = UnixDatagram::unbound().and_then(|socket| {
            socket.set_write_timeout(Some(Duration::from_millis(100)))?;
            socket.send_to_addr(note.as_bytes(), &reporter)
        });
    }
}

/// Returns the socket that `shmkey trace` reads, from the three numbers that the drop-in's `Reporter` describes.
fn reporter() -> Option<SocketAddr> {
    let text = std::env::var("SHMKEY_TRACE_REPORTER").ok()?;
    let socket = text.split(' ').nth(1)?.parse::<u64>().ok()?;
    SocketAddr::from_abstract_name(format!("shmkey-trace-{socket:016x}")).ok()
}
