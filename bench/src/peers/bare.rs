//! The limits of the machine: flags, bytes beside a flag, and the futex.
//!
//! These carry one message at a time, and rely on an answer before the next one: they can measure a round trip and
//! nothing else.

use super::{Channel, Duplex, Receiver, Sender};
use crate::processes::{Failure, Memory, Shared};
use std::{
    hint, ptr,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

/// A flag in a cache line of its own. The bare round trip, which results are divided by, has one for each direction.
pub struct Flag(Shared<AtomicU64>);

/// An end of a flag, and the number of its uses.
pub struct FlagEnd<'a>(&'a AtomicU64, u64);

impl Channel for Flag {
    type Sender<'a> = FlagEnd<'a>;
    type Receiver<'a> = FlagEnd<'a>;

    fn new(_: usize, _: usize) -> Result<Flag, Failure> {
        Ok(Flag(Shared::new()?))
    }
    fn sender(&self) -> FlagEnd<'_> {
        FlagEnd(&self.0, 0)
    }
    fn receiver(&self) -> FlagEnd<'_> {
        FlagEnd(&self.0, 0)
    }
}

impl Sender for FlagEnd<'_> {
    #[inline]
    fn send(&mut self, _: &[u8]) {
        self.1 += 1;
        self.0.store(self.1, Ordering::Release);
    }
}

impl Receiver for FlagEnd<'_> {
    #[inline]
    fn recv(&mut self, _: &mut [u8]) {
        self.1 += 1;
        wait_for(self.0, self.1);
    }
}

/// Spins until the flag has this value.
#[inline]
fn wait_for(flag: &AtomicU64, value: u64) {
    while flag.load(Ordering::Acquire) != value {
        hint::spin_loop();
    }
}

/// One flag for both directions: an end counts what it sends and what it receives alike, because they alternate.
impl Duplex for Flag {
    type End<'a> = FlagEnd<'a>;

    fn new(_: usize, _: usize) -> Result<Flag, Failure> {
        Ok(Flag(Shared::new()?))
    }
    fn end(&self, _: usize) -> FlagEnd<'_> {
        FlagEnd(&self.0, 0)
    }
}

/// `COUNT` flags, each with room for a message at `OFFSET`, that both directions use in turn. At offset 8, a short
/// message shares the flag's cache line. A ring, which moves through its memory, does at least as much as several.
pub struct Mailbox<const OFFSET: usize, const COUNT: usize = 1> {
    memory: Memory,
    size: usize,
}

impl<const OFFSET: usize, const COUNT: usize> Mailbox<OFFSET, COUNT> {
    /// Returns the distance from one flag to the next, in bytes.
    fn stride(size: usize) -> usize {
        (OFFSET + size).next_multiple_of(64)
    }
}

impl<const OFFSET: usize, const COUNT: usize> Duplex for Mailbox<OFFSET, COUNT> {
    type End<'a> = MailboxEnd<'a, OFFSET, COUNT>;

    fn new(size: usize, _: usize) -> Result<Self, Failure> {
        let memory = Memory::new(COUNT * Self::stride(size))?;
        Ok(Mailbox { memory, size })
    }
    fn end(&self, _: usize) -> MailboxEnd<'_, OFFSET, COUNT> {
        MailboxEnd {
            mailbox: self,
            uses: 0,
        }
    }
}

pub struct MailboxEnd<'a, const OFFSET: usize, const COUNT: usize> {
    mailbox: &'a Mailbox<OFFSET, COUNT>,
    uses: u64,
}

impl<'a, const OFFSET: usize, const COUNT: usize> MailboxEnd<'a, OFFSET, COUNT> {
    /// Returns the next flag, and the address of its message.
    #[inline]
    fn next(&mut self) -> (&'a AtomicU64, *mut u8) {
        self.uses += 1;
        let number = self.uses as usize % COUNT;
        let stride = Mailbox::<OFFSET, COUNT>::stride(self.mailbox.size);
        let flag = self.mailbox.memory.as_ptr().wrapping_add(number * stride);
        // SAFETY: the memory has room for `COUNT` messages, each with a flag in front, which is 0 at first; and it
        // outlives the end.
        (unsafe { &*flag.cast() }, flag.wrapping_add(OFFSET))
    }
}

impl<const OFFSET: usize, const COUNT: usize> Sender for MailboxEnd<'_, OFFSET, COUNT> {
    #[inline]
    fn send(&mut self, message: &[u8]) {
        assert!(message.len() <= self.mailbox.size);
        let (flag, text) = self.next();
        // SAFETY: the memory has room for `size` bytes, and the other end leaves it alone until the flag changes.
        unsafe { ptr::copy_nonoverlapping(message.as_ptr(), text, message.len()) };
        flag.store(self.uses, Ordering::Release);
    }
}

impl<const OFFSET: usize, const COUNT: usize> Receiver for MailboxEnd<'_, OFFSET, COUNT> {
    #[inline]
    fn recv(&mut self, message: &mut [u8]) {
        assert!(message.len() <= self.mailbox.size);
        let (flag, text) = self.next();
        wait_for(flag, self.uses);
        // SAFETY: as in `send`.
        unsafe { ptr::copy_nonoverlapping(text, message.as_mut_ptr(), message.len()) };
    }
}

/// A number that the receiver sleeps on until the sender raises it. The sender wakes it only if it is asleep.
pub struct Futex(Shared<(AtomicU32, AtomicU32)>);

pub struct FutexEnd<'a> {
    number: &'a AtomicU32,
    asleep: &'a AtomicU32,
    uses: u32,
}

impl Channel for Futex {
    type Sender<'a> = FutexEnd<'a>;
    type Receiver<'a> = FutexEnd<'a>;

    fn new(_: usize, _: usize) -> Result<Futex, Failure> {
        Ok(Futex(Shared::new()?))
    }
    fn sender(&self) -> FutexEnd<'_> {
        FutexEnd {
            number: &self.0.0,
            asleep: &self.0.1,
            uses: 0,
        }
    }
    fn receiver(&self) -> FutexEnd<'_> {
        self.sender()
    }
}

impl Sender for FutexEnd<'_> {
    #[inline]
    fn send(&mut self, _: &[u8]) {
        self.uses += 1;
        self.number.store(self.uses, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) != 0 {
            // SAFETY: the number lives as long as the end.
            unsafe { libc::syscall(libc::SYS_futex, self.number, libc::FUTEX_WAKE, 1) };
        }
    }
}

impl Receiver for FutexEnd<'_> {
    #[inline]
    fn recv(&mut self, _: &mut [u8]) {
        let before = self.uses;
        self.uses += 1;
        if self.number.load(Ordering::SeqCst) == self.uses {
            return;
        }
        self.asleep.store(1, Ordering::SeqCst);
        while self.number.load(Ordering::SeqCst) != self.uses {
            let for_ever = ptr::null::<libc::timespec>();
            let op = libc::FUTEX_WAIT;
            // SAFETY: the number lives as long as the end; there is no time-out.
            unsafe { libc::syscall(libc::SYS_futex, self.number, op, before, for_ever) };
        }
        self.asleep.store(0, Ordering::Relaxed);
    }
}
