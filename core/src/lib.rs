//! The part of shmkey that touches the kernel and shared bytes. The crate `shmkey` and its drop-in are built on it;
//! to other programs it promises nothing.
//!
//! ```text
//! sysv       the five calls of C, to the letter
//! sync       mutex, semaphore, latest value and ring: algorithms over shared words
//! explain    why a call failed: the facts behind an error number
//! backend    where segments live: System V in the kernel, or files in a directory
//! copy       copies bytes that other processes may write at the same time
//! sys        every system call, and every file below /proc
//! ```
//!
//! Each module uses those below it, and none above.
//!
//! The crate uses neither Rust's standard library nor an allocator: the drop-in runs in programs that may have
//! replaced libc's allocator, and its calls are allowed in signal handlers.
//!
//! # Models
//!
//! loom runs `sync` in every interleaving of its threads, with every value that the memory model allows a
//! load to return:
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --release -p shmkey-core
//! ```
//!
//! The models in `models` use the source of `sync` on loom's atomics. A model has neither processes nor a
//! kernel: `sync/loom.rs` sleeps and wakes in the kernel's place. A sleep has no end there, so a missed wake-up
//! shows as a deadlock. Processes are killed by the test `torture` of the package `shmkey`.

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
mod models;
