//! What the machine itself can do: flags, bytes beside a flag, and the futex.
//!
//! These carry one message at a time and trust that it is answered before the next; good for a
//! round trip and nothing else.

use super::{Channel, Duplex, Receiver, Sender};
use crate::processes::{Failure, Memory, Shared};
use std::{
    hint, ptr,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

/// A flag in a cache line of its own for each direction: what the ratios are taken to.
pub struct Flag(Shared<AtomicU64>);

/// An end of a flag, and how often it has been used.
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

/// One flag, in one cache line, for both directions.
pub struct OneFlag(Shared<AtomicU64>);

impl Duplex for OneFlag {
    type End<'a> = OneFlagEnd<'a>;

    fn new(_: usize, _: usize) -> Result<OneFlag, Failure> {
        Ok(OneFlag(Shared::new()?))
    }
    fn end(&self, _: usize) -> OneFlagEnd<'_> {
        OneFlagEnd(&self.0, 0)
    }
}

/// An end of it; sends and receipts count alike, as they alternate.
pub struct OneFlagEnd<'a>(&'a AtomicU64, u64);

impl Sender for OneFlagEnd<'_> {
    #[inline]
    fn send(&mut self, _: &[u8]) {
        self.1 += 1;
        self.0.store(self.1, Ordering::Release);
    }
}

impl Receiver for OneFlagEnd<'_> {
    #[inline]
    fn recv(&mut self, _: &mut [u8]) {
        self.1 += 1;
        wait_for(self.0, self.1);
    }
}

/// A flag and room for a message behind it, one for both directions. At offset 8 a short message
/// shares the flag's cache line.
pub struct Mailbox<const OFFSET: usize> {
    memory: Memory,
    size: usize,
}

impl<const OFFSET: usize> Duplex for Mailbox<OFFSET> {
    type End<'a> = MailboxEnd<'a, OFFSET>;

    fn new(size: usize, _: usize) -> Result<Self, Failure> {
        let memory = Memory::new(OFFSET + size)?;
        Ok(Mailbox { memory, size })
    }
    fn end(&self, _: usize) -> MailboxEnd<'_, OFFSET> {
        MailboxEnd {
            // SAFETY: the memory begins with the flag, zero at first, and outlives the end.
            flag: unsafe { &*self.memory.as_ptr().cast() },
            text: self.memory.as_ptr().wrapping_add(OFFSET),
            size: self.size,
            uses: 0,
        }
    }
}

pub struct MailboxEnd<'a, const OFFSET: usize> {
    flag: &'a AtomicU64,
    text: *mut u8,
    size: usize,
    uses: u64,
}

impl<const OFFSET: usize> Sender for MailboxEnd<'_, OFFSET> {
    #[inline]
    fn send(&mut self, message: &[u8]) {
        assert!(message.len() <= self.size);
        // SAFETY: the memory has room for `size` bytes, and is ours until the flag says otherwise.
        unsafe { ptr::copy_nonoverlapping(message.as_ptr(), self.text, message.len()) };
        self.uses += 1;
        self.flag.store(self.uses, Ordering::Release);
    }
}

impl<const OFFSET: usize> Receiver for MailboxEnd<'_, OFFSET> {
    #[inline]
    fn recv(&mut self, message: &mut [u8]) {
        assert!(message.len() <= self.size);
        self.uses += 1;
        wait_for(self.flag, self.uses);
        // SAFETY: as in `send`.
        unsafe { ptr::copy_nonoverlapping(self.text, message.as_mut_ptr(), message.len()) };
    }
}

/// A number that one sleeps on until the other has raised it; it is woken only if it says that it
/// sleeps.
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
