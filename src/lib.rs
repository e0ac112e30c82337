//! Shared memory between processes: System V segments with checked results and explained errors, and the
//! synchronisation that System V lacks. For Rust here; for C and C++ by `include/shmkey.h`.
//!
//! Two processes, here in one program, that exchange a message. Either could be written in C:
//!
//! ```
//! # fn main() -> Result<(), shmkey::Error> {
//! # let name = format!("front page {}", std::process::id());
//! # let name = name.as_str();
//! // let name = "orders";
//! let ring = shmkey::Ring::open(name, 65536)?; // the first process that opens it creates it
//! ring.sender()?.send(b"two large, one small")?;
//!
//! let mut order = [0; 100];
//! let len = ring.receiver()?.recv(&mut order)?;
//! assert_eq!(&order[..len], b"two large, one small");
//! ring.remove()?; // it stays until a process removes it
//! # Ok(())
//! # }
//! ```
//!
//! # What to use
//!
//! | to | see |
//! |---|---|
//! | send messages, all of which arrive in order | [`Ring`], [`TypedRing`] |
//! | publish a value of which readers want the newest | [`Latest`] |
//! | have a value that one thread of one process changes at a time | [`Mutex`] |
//! | count, and wait | [`Semaphore`] |
//! | say where such an object is: name, file, key or offset, mode, timeout | [`Place`] |
//! | put a struct of your own into an object | [`plain!`], [`Plain`], and `Pod` with the feature `bytemuck` |
//! | share plain bytes | [`Key`], [`Segment`], [`SegmentOptions`] |
//! | attach them, read and write | [`Attachment`], [`AttachOptions`] |
//! | list segments, and look at objects without taking part | [`Segment::list`], [`Status`], [`Contents`] |
//! | understand a failure | [`Error`], [`ErrorKind`] |
//! | port C code line by line | [`sysv`] |
//!
//! # Layers
//!
//! ```text
//!    C and C++ programs            Rust programs, the command `shmkey`
//!           │                                   │
//!  src/     ▼                                   │
//!         capi      the C ABI: checks arguments, calls, translates the result
//!           │                                   │
//!           └───────────────┬───────────────────┘
//!                           ▼
//!         object    Mutex, Semaphore, Latest, Ring: the header, opening, roles, handles; one file per kind
//!         segment   Key, Segment, Attachment, Status
//!         error     one error type; one table of kind, errno and text
//!         holder    threads and processes as numbers, and the liveness check; hash, kind, plain: small parts
//!                           │
//!  core/                    ▼          ┌──── dropin/: the five names of libc
//!         sync      algorithms over shared words: mutex, semaphore, latest, ring, waiting
//!         explain   why a call failed: the facts behind an errno
//!         sysv      ftok, shmget, shmat, shmdt, shmctl with C's conventions
//!         backend   where segments are: System V in the kernel
//!         copy      copies to and from memory that other processes write
//!         sys       every system call, and every file below /proc
//! ```
//!
//! A layer uses the layers below it, and nothing above. The same concept has the same file name in each layer:
//! `core/src/sync/ring/`, `src/object/ring/`, `src/capi/ring.rs`. `ARCHITECTURE.md` follows a call and a message through them.
//!
//! # Conventions
//!
//! - *Waiting*: every call that can wait has three forms: `lock` waits without limit, `try_lock` does not wait and
//!   returns [`WouldBlock`](ErrorKind::WouldBlock), and `lock_timeout` waits at most a time on the monotonic clock
//!   and returns [`TimedOut`](ErrorKind::TimedOut). A time of zero is one try.
//! - *Options*: what happens if an object is missing ([`Place::create`]), its permissions ([`Place::mode`]) and the
//!   options of its kind are separate.
//! - *Threads*: every type can be sent to another thread and be shared, except the two ends of a ring, which one
//!   thread uses at a time, and the guard of a mutex, a slot and a message, which stay in their thread.
//! - *Fork*: a child inherits what is attached, and the kernel counts it. It has none of its parent's locks and roles,
//!   and removes no segment that its parent removes on drop.
//! - *Signals*: attaching, detaching and removing neither lock nor allocate, also if they fail. Objects are not for
//!   signal handlers.
//! - *Panics*: none, on any input. *Output*: none.
//! - *Systems*: Linux on 64-bit processors.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("shmkey needs Linux on a 64-bit processor");

pub mod capi;
mod error;
mod hash;
mod holder;
mod kind;
mod object;
mod plain;
mod presence;
mod segment;

use shmkey_core::{backend, copy, explain, sync, sys};

#[doc(inline)]
pub use shmkey_core::sysv;

pub use error::{Error, ErrorKind};
pub use object::{
    contents::{Contents, Holding, Life, Party},
    latest::{Latest, Publisher},
    mutex::{Mutex, MutexGuard},
    place::Place,
    ring::{
        Message, MessageReader, Messages, Receiver, Ring, RingOptions, Sender, Slot, SlotWriter,
        TypedReceiver, TypedRing, TypedSender, Values,
    },
    semaphore::Semaphore,
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

/// The Rust of the README and of the guide, run as documentation tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    mod readme {}
    #[doc = include_str!("../docs/rust.md")]
    mod rust {}
    #[doc = include_str!("../docs/waiting.md")]
    mod waiting {}
}
