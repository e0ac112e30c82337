//! The time after which the kernel gives up a connection whose bytes are not acknowledged.
//!
//! With `lowlatency`, Zenoh ends a silent connection only when no thread is waiting for room in its socket. TCP would
//! let that thread wait for a quarter of an hour after the link was cut, and would resume only minutes after the link
//! is restored. Zenoh has no option for that, so the bridge sets `TCP_USER_TIMEOUT` (`tcp(7)`) of its sockets.

use std::{fs, io, thread, time::Duration};

/// The lease of a link in `network::DEFAULTS`.
const MILLISECONDS: libc::c_uint = 4000;
/// How often the thread looks for new sockets.
const PERIOD: Duration = Duration::from_secs(1);

/// Starts a thread that limits all connections of this process, until the process ends.
///
/// # Errors
/// If the thread cannot be started.
pub fn limit() -> io::Result<()> {
    let all = || -> io::Result<()> {
        for entry in fs::read_dir("/proc/self/fd")?.flatten() {
            if let Some(socket) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            {
                limit_one(socket);
            }
        }
        Ok(())
    };
    let thread = thread::Builder::new().name("sockets".to_owned());
    thread.spawn(move || {
        loop {
            let _ = all(); // without /proc, the limit is TCP's own
            thread::sleep(PERIOD);
        }
    })?;
    Ok(())
}

/// Limits a connection, or those that a socket accepts. Does nothing if the descriptor is no TCP socket.
fn limit_one(descriptor: libc::c_int) {
    let (value, size) = (MILLISECONDS, size_of::<libc::c_uint>() as libc::socklen_t);
    // SAFETY: the kernel reads a number of this size. It refuses descriptors of other kinds.
    unsafe {
        libc::setsockopt(
            descriptor,
            libc::IPPROTO_TCP,
            libc::TCP_USER_TIMEOUT,
            (&raw const value).cast(),
            size,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        net::{TcpListener, TcpStream},
        os::fd::AsRawFd,
    };

    fn limit_of(socket: &impl AsRawFd) -> libc::c_uint {
        let (mut value, mut size) = (0, size_of::<libc::c_uint>() as libc::socklen_t);
        let (to, len) = ((&raw mut value).cast(), &raw mut size);
        let (level, name) = (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT);
        // SAFETY: the kernel writes a number of this size.
        let result = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, to, len) };
        assert_eq!(result, 0);
        value
    }

    #[test]
    fn connections_that_are_made_and_accepted_have_the_limit() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        limit().unwrap();
        for socket in [listener.as_raw_fd(), ours.as_raw_fd()] {
            while limit_of(&socket) != MILLISECONDS {
                thread::sleep(Duration::from_millis(10));
            }
        }
        let _second = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_, (accepted, _)) = (listener.accept().unwrap(), listener.accept().unwrap());
        assert_eq!(limit_of(&accepted), MILLISECONDS);
    }
}
