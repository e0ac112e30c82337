//! Shared memory between processes: System V segments with checked results and explained errors, and the
//! synchronisation between processes that System V lacks. C and C++ programs use the same objects through
//! `include/shmkey.h` and `include/shmkey.hpp`, and Python programs through the package in `python/`.
//!
//! A message from one process to another. Both are in one program here; either could be a C program:
//!
//! ```
//! # fn main() -> Result<(), shmkey::Error> {
//! # let name = format!("front page {}", std::process::id());
//! # let name = name.as_str();
//! # /*
//! let name = "orders";
//! # */
//! let ring = shmkey::Ring::open(name, 65536)?; // the first process that opens the name creates the ring
//! ring.sender()?.send(b"two large, one small")?;
//!
//! let mut order = [0; 100];
//! let len = ring.receiver()?.recv(&mut order)?;
//! assert_eq!(&order[..len], b"two large, one small");
//! ring.remove()?; // the ring stays until a process removes it
//! # Ok(())
//! # }
//! ```
//!
//! # What to use
//!
//! | to | see |
//! |---|---|
//! | send messages that all arrive, in order | [`Ring`], [`TypedRing`] |
//! | send messages to several processes, each of which receives all of them | [`Broadcast`] |
//! | publish a value to readers that need only the newest | [`Latest`] |
//! | share a value that one thread at a time may change | [`Mutex`] |
//! | share a value that many threads read and few change | [`RwLock`] |
//! | wait until a value in a mutex has changed | [`Condvar`] |
//! | wait for one of several objects; by a descriptor; in a task of tokio | [`wait_any`]; [`Receiver::fd`]; `tokio::Async` with the feature `tokio` |
//! | count events or resources, and wait for them | [`Semaphore`] |
//! | end a wait, by a signal or from another thread | [`Canceller`], [`Interrupted`](ErrorKind::Interrupted) |
//! | choose where an object is (name, file, key, or offset in a segment), its mode and a timeout | [`Place`] |
//! | share a struct of your own | [`plain!`], [`Plain`], and `Pod` with the feature `bytemuck` |
//! | share plain bytes | [`Key`], [`Segment`], [`SegmentOptions`] |
//! | attach a segment, read and write it | [`Attachment`], [`AttachOptions`] |
//! | list segments, and inspect objects without opening them | [`Segment::list`], [`Status`], [`Contents`] |
//! | handle a failure | [`Error`], [`ErrorKind`] |
//! | port C code line by line | [`sysv`] |
//!
//! # Layers
//!
//! ```text
//!    C, C++ and Python programs    Rust programs, the command `shmkey`
//!           │                                   │
//!  src/     ▼                                   │
//!         capi      the C ABI: checks arguments, calls, translates the result
//!           │                                   │
//!           └───────────────┬───────────────────┘
//!                           ▼
//!         tokio     Async: objects in tasks of tokio
//!         object    Mutex, RwLock, Condvar, Semaphore, Latest, Ring, Broadcast: the header, opening, roles, handles;
//!                   one file per kind
//!         segment   Key, Segment, Attachment, Status
//!         error     one error type; one table of kind, errno and text
//!         holder    a number for each thread and process, and the liveness check
//!                           │
//!  core/                    ▼          ┌──── dropin/: the five names of libc
//!         sync      algorithms over shared words: mutex, rwlock, condvar, semaphore, latest, ring, broadcast, waiting
//!         explain   why a call failed: the facts behind an errno
//!         sysv      ftok, shmget, shmat, shmdt, shmctl with C's conventions
//!         backend   where segments are: System V in the kernel, or files in a directory
//!         copy      copies to and from memory that other processes write
//!         sys       every system call, and every file below /proc
//! ```
//!
//! A layer uses only the layers below it, and a concept has the same file name in each: `core/src/sync/ring/`,
//! `src/object/ring/`, `src/capi/ring.rs`. `ARCHITECTURE.md` follows a call and a message through the layers.
//!
//! # Conventions
//!
//! - *Waiting*: every call that can wait has three forms. `lock` waits without limit. `try_lock` does not wait, and
//!   fails with [`WouldBlock`](ErrorKind::WouldBlock) if it would have to. `lock_timeout` fails with
//!   [`TimedOut`](ErrorKind::TimedOut) after the timeout, on the monotonic clock; a timeout of zero is `try_lock`.
//! - *Creating*: `open` creates an object that is missing, with mode 0600, unless [`Place::create`] and
//!   [`Place::mode`] say otherwise.
//! - *Threads*: every type can be shared between threads or sent to another one, with two exceptions: one thread at a
//!   time uses an end of a ring or a broadcast, and the guard of a lock or a ring's slot stays in its thread.
//! - *Fork*: a child inherits what its parent has attached, and the kernel counts that as another attachment. It has
//!   none of its parent's locks and roles, and does not remove the segments that its parent removes on drop.
//! - *Signals*: attaching, detaching and removing take no lock and allocate nothing, even if they fail. A signal
//!   handler must not use objects, but it may end a wait by a [`Canceller`].
//! - *Panics*: the library does not panic, on any input. (Tokio panics if its runtime lacks what `tokio::Async` needs.)
//!   *Output*: the library prints nothing.
//! - *Systems*: Linux on 64-bit processors.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("shmkey needs Linux on a 64-bit processor");

pub mod capi;
mod error;
mod hash;
mod holder;
mod kind;
mod memory;
mod object;
mod plain;
mod presence;
mod segment;
#[cfg(feature = "tokio")]
pub mod tokio;

use shmkey_core::{backend, copy, explain, sync, sys};

#[doc(inline)]
pub use shmkey_core::sysv;

#[doc(hidden)] // for the command and the Python package
pub use error::language;
pub use error::{Error, ErrorKind};
pub use object::{
    broadcast::{
        Broadcast, BroadcastMessage, BroadcastMessages, BroadcastOptions, BroadcastPublisher,
        BroadcastSlot, Subscriber,
    },
    condvar::{Condvar, WaitError, WaitTimeoutResult},
    contents::{Contents, Holding, Life, Party},
    interrupt::Canceller,
    latest::{Latest, Newer, Publisher},
    mutex::{Mutex, MutexGuard},
    place::Place,
    ring::{
        Message, MessageReader, Messages, Receiver, Ring, RingOptions, Sender, Slot, SlotWriter,
        TypedReceiver, TypedRing, TypedSender, Values,
    },
    rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard},
    semaphore::Semaphore,
    several::{Waitable, wait_any},
};
pub use plain::Plain;
#[cfg(feature = "bytemuck")]
pub use plain::Pod;
pub use segment::{
    Segment, SegmentOptions,
    attachment::{AttachOptions, Attachment},
    key::Key,
    status::Status,
};

/// The Rust code of the README and the guide, run as documentation tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    mod readme {}
    #[doc = include_str!("../docs/rust.md")]
    mod rust {}
    #[doc = include_str!("../docs/objects.md")]
    mod objects {}
    #[doc = include_str!("../docs/waiting.md")]
    mod waiting {}
}
