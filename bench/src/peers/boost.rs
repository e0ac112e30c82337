//! Boost.Interprocess: its message_queue.

use super::{Channel, Receiver, Sender};
use crate::processes::Failure;
use std::{
    ffi::{CString, c_char, c_void},
    process,
    ptr::NonNull,
};

// SAFETY: as boost.cpp defines them.
unsafe extern "C" {
    fn shmkey_bench_boost_new(name: *const c_char, messages: usize, size: usize) -> *mut c_void;
    fn shmkey_bench_boost_free(queue: *mut c_void);
    fn shmkey_bench_boost_send(queue: *mut c_void, text: *const u8, size: usize, sleeps: bool);
    fn shmkey_bench_boost_receive(queue: *mut c_void, text: *mut u8, room: usize, sleeps: bool);
}

/// A queue. Its ends try again and again, or sleep when they have to wait.
pub struct Boost<const SLEEPS: bool>(NonNull<c_void>);

// SAFETY: the queue may be used by any number of threads.
unsafe impl<const SLEEPS: bool> Sync for Boost<SLEEPS> {}

impl<const SLEEPS: bool> Channel for Boost<SLEEPS> {
    type Sender<'a> = &'a Self;
    type Receiver<'a> = &'a Self;

    fn new(size: usize, capacity: usize) -> Result<Self, Failure> {
        let name = CString::new(format!("shmkey-bench-{}", process::id()))?;
        // SAFETY: the name is a C string.
        let queue = unsafe { shmkey_bench_boost_new(name.as_ptr(), capacity / size, size) };
        Ok(Boost(
            NonNull::new(queue).ok_or("Boost could not make its queue")?,
        ))
    }
    fn sender(&self) -> &Self {
        self
    }
    fn receiver(&self) -> &Self {
        self
    }
}

impl<const SLEEPS: bool> Drop for Boost<SLEEPS> {
    fn drop(&mut self) {
        // SAFETY: `new` has made it, and its only owner is dropped.
        unsafe { shmkey_bench_boost_free(self.0.as_ptr()) };
    }
}

impl<const SLEEPS: bool> Sender for &Boost<SLEEPS> {
    fn send(&mut self, message: &[u8]) {
        let queue = self.0.as_ptr();
        // SAFETY: the queue lives, and the message has that many bytes.
        unsafe { shmkey_bench_boost_send(queue, message.as_ptr(), message.len(), SLEEPS) };
    }
}

impl<const SLEEPS: bool> Receiver for &Boost<SLEEPS> {
    fn recv(&mut self, message: &mut [u8]) {
        let queue = self.0.as_ptr();
        // SAFETY: the queue lives, and there is room for that many bytes.
        unsafe { shmkey_bench_boost_receive(queue, message.as_mut_ptr(), message.len(), SLEEPS) };
    }
}
