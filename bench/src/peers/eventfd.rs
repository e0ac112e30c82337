//! An eventfd, which a process polls before it reads it, as an event loop does. It carries no message.

use super::{Channel, Receiver, Sender};
use crate::processes::Failure;
use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsRawFd, FromRawFd, RawFd},
};

pub struct EventFd(File);

impl Channel for EventFd {
    type Sender<'a> = &'a File;
    type Receiver<'a> = Polled<'a>;

    fn new(_: usize, _: usize) -> Result<EventFd, Failure> {
        // SAFETY: takes no memory.
        let made = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK) };
        if made < 0 {
            return Err(io::Error::last_os_error().into());
        }
        // SAFETY: it is open, and nothing else has it.
        Ok(EventFd(unsafe { File::from_raw_fd(made) }))
    }
    fn sender(&self) -> &File {
        &self.0
    }
    fn receiver(&self) -> Polled<'_> {
        Polled(&self.0)
    }
}

impl Sender for &File {
    #[inline]
    fn send(&mut self, _: &[u8]) {
        self.write_all(&1_u64.to_ne_bytes())
            .expect("the count is low");
    }
}

pub struct Polled<'a>(&'a File);

impl Receiver for Polled<'_> {
    #[inline]
    fn recv(&mut self, _: &mut [u8]) {
        poll(self.0.as_raw_fd());
        self.0.read_exact(&mut [0; 8]).expect("it is readable");
    }
}

/// Waits until a descriptor is readable.
#[inline]
pub fn poll(fd: RawFd) {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: the kernel writes the one element.
    unsafe { libc::poll(&mut poll, 1, -1) };
}
