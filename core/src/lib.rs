//! The part of shmkey that touches the kernel and shared bytes. The crate `shmkey` and its drop-in are built on it;
//! to other programs it promises nothing.
//!
//! ```text
//! sysv       the five calls of C, to the letter
//! sync       mutual exclusion, waiting and passing on of values and messages, over shared words
//! explain    why a call failed: the facts behind an error number
//! backend    where segments live: System V in the kernel
//! copy       reading and writing of bytes that other processes write at the same time
//! sys        every system call, and every file below /proc
//! ```
//!
//! Each uses what is below it, and nothing above.
//!
//! It uses neither Rust's standard library nor an allocator. The drop-in lives in programs that may have
//! replaced libc's allocator, and its calls are allowed in signal handlers.
//!
//! # Models
//!
//! loom runs `sync` in every interleaving of its threads, with every value that the memory model lets a
//! load see:
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --release -p shmkey-core
//! ```
//!
//! The models are in `models`, and use the source of `sync` on loom's atomics. A model has no processes and
//! no kernel: what a kernel does, sleeping and waking, is in `sync/loom.rs`, and there a sleep has no end. So
//! a missed wake-up shows as a deadlock. Deaths are in the test `torture` of the package `shmkey`.

#![cfg_attr(not(any(test, loom)), no_std)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("shmkey needs Linux on a 64-bit processor");

pub mod backend;
pub mod copy;
pub mod explain;
pub mod sync;
pub mod sys;
pub mod sysv;

#[cfg(all(test, loom))]
mod models {
    mod claim;
    mod condvar;
    mod latest;
    mod mutex;
    mod ready;
    mod ring;
    mod rwlock;
    mod semaphore;
}
