//! Waits for a ring, a semaphore and a socket at once, with `poll(2)`. A child sends to all three.

mod support;

use shmkey::{Error, ErrorKind, Key, Place, Receiver, Ring, Segment, Semaphore};
use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    process::ExitCode,
    sync::Arc,
};
use support::{StopSignals, fork, wait_for};

/// A segment has a ring, and behind it a semaphore.
const CAPACITY: usize = 4096;
const COUNT_AT: usize = 8192;
const SIZE: usize = 16384;

fn main() -> ExitCode {
    support::end("event_loop", run())
}

/// What the parent has received.
#[derive(Default)]
struct Received {
    messages: usize,
    counts: usize,
    bytes: usize,
    ring_ended: bool,
    socket_ended: bool,
}

fn run() -> support::Outcome {
    let signals = StopSignals::hold();
    let segment = Segment::options().size(SIZE).open(Key::PRIVATE)?;
    let shared = Arc::new(support::attach(&segment)?);
    let ring = Ring::open(Place::within(Arc::clone(&shared), 0), CAPACITY);
    let semaphore = Semaphore::open(Place::within(shared, COUNT_AT), 0);
    segment.remove()?;
    let (ring, semaphore) = (ring?, semaphore?);
    drop(signals);

    let (mut ours, mut theirs) = UnixStream::pair()?;
    match fork()? {
        None => {
            let mut sender = ring.sender()?;
            semaphore.post()?;
            sender.send(b"one")?;
            theirs.write_all(b"hello")?;
            semaphore.post()?;
            sender.send_batch(&[b"two", b"three"])?;
        }
        Some(child) => {
            drop(theirs);
            let received = run_loop(&mut ring.receiver()?, &semaphore, &mut ours)?;
            let Received {
                messages,
                counts,
                bytes,
                ..
            } = received;
            let text = format!("Received: {messages} messages, {counts} counts, {bytes} bytes\n");
            io::stdout().write_all(text.as_bytes())?;
            wait_for(child)?;
        }
    }
    Ok(())
}

fn run_loop(
    receiver: &mut Receiver,
    semaphore: &Semaphore,
    socket: &mut UnixStream,
) -> Result<Received, Box<dyn std::error::Error>> {
    socket.set_nonblocking(true)?;
    let mut received = Received::default();
    while !received.ring_ended || !received.socket_ended {
        // After the end, the descriptor stays readable, so it is no longer polled.
        let of_ring = if received.ring_ended {
            -1
        } else {
            receiver.fd()?.as_raw_fd()
        };
        let of_socket = if received.socket_ended {
            -1
        } else {
            socket.as_raw_fd()
        };
        let ready = poll([of_ring, semaphore.fd()?.as_raw_fd(), of_socket])?;
        if ready[0] {
            received.receive(receiver)?;
        }
        if ready[1] {
            received.take(semaphore)?;
        }
        if ready[2] {
            match socket.read(&mut [0; 64])? {
                0 => received.socket_ended = true,
                len => received.bytes += len,
            }
        }
    }
    // The counts that the child posted before it closed the ring.
    received.take(semaphore)?;
    Ok(received)
}

impl Received {
    /// Receives all messages that are in the ring: its descriptor stays readable until a call would block.
    fn receive(&mut self, receiver: &mut Receiver) -> Result<(), Error> {
        loop {
            match receiver.try_recv(&mut [0; CAPACITY]) {
                Ok(_) => self.messages += 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Closed => {
                    self.ring_ended = true;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn take(&mut self, semaphore: &Semaphore) -> Result<(), Error> {
        loop {
            match semaphore.try_wait() {
                Ok(()) => self.counts += 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Waits until a descriptor is readable. Returns for each whether it is.
fn poll(descriptors: [RawFd; 3]) -> io::Result<[bool; 3]> {
    let mut polled = descriptors.map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    // SAFETY: the kernel writes the three elements.
    if unsafe { libc::poll(polled.as_mut_ptr(), 3, -1) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(polled.map(|one| one.revents != 0))
}
