//! Shared memory between processes: System V segments with checked results and explained errors, and the
//! synchronisation that System V lacks. For Rust here; for C and C++ by `include/shmkey.h`.
//!
//! A *segment* is memory that several processes can *attach*; the kernel keeps it until a process *removes* it.
//! Processes find it by a *key* that they agree on, and the kernel gives it an *id*. Most programs need no more
//! than an *object* in a segment, which every process opens by the same name: a [`Mutex`] around a value, a
//! [`Semaphore`], the [`Latest`] value of something, or a [`Ring`] of messages.
//!
//! ```
//! use shmkey::Mutex;
//!
//! shmkey::plain! {
//!     /// What the processes share.
//!     #[derive(Debug, PartialEq)]
//!     struct Visits {
//!         count: u64,
//!         last: u64, // in seconds since 1970
//!     }
//! }
//!
//! # fn main() -> Result<(), shmkey::Error> {
//! let name = "visits";
//! # let name = format!("the crate's own mutex {}", std::process::id());
//! // Every process does this; the first one creates the mutex.
//! let visits = Mutex::open(name, Visits { count: 0, last: 0 })?;
//! visits.lock()?.update(|visits| visits.count += 1);
//! assert_eq!(visits.lock()?.get().count, 1);
//!
//! // A segment outlives its processes; one of them removes it.
//! visits.remove()?;
//! # Ok(())
//! # }
//! ```
//!
//! A segment without an object is bytes, as every System V program sees them:
//!
//! ```
//! use shmkey::{Key, Segment};
//!
//! # fn main() -> Result<(), shmkey::Error> {
//! let key = Key::from_name("the crate's own example")?;
//! # let key = Key::from_name(format!("the crate's own example {}", std::process::id()))?;
//! let segment = Segment::options().create(true).size(4096).open(key)?;
//! let memory = segment.attach()?;
//! memory.write_at(0, b"hello")?;
//!
//! let mut greeting = [0; 5];
//! memory.read_at(0, &mut greeting)?;
//! assert_eq!(&greeting, b"hello");
//! segment.remove()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Overview
//!
//! | to | see |
//! |---|---|
//! | name a segment | [`Key`] |
//! | create, open, remove it | [`Segment`], [`SegmentOptions`] |
//! | attach it, read and write | [`Attachment`], [`AttachOptions`] |
//! | get its status, or list all | [`Status`], [`Segment::list`] |
//! | share a value that one thread of one process changes at a time | [`Mutex`] |
//! | notify another process and wait for it | [`Semaphore`] |
//! | publish and read the newest value of something | [`Latest`] |
//! | send messages, all of which are received | [`Ring`], [`TypedRing`] |
//! | put a struct of your own there | [`plain!`], [`Plain`] |
//! | say where an object lies and how it is opened | [`Place`] |
//! | read what a segment holds without using it | [`Contents`] |
//! | handle a failure | [`Error`], [`ErrorKind`] |
//! | port C code line by line | [`sysv`] |
//! | call the library from C | `include/shmkey.h`, generated from the module [`capi`] |
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
//!         object    Mutex, Semaphore, Latest, Ring: header, opening, roles, handles; one file per kind
//!         segment   Key, Segment, Attachment, Status
//!         error     one error type; one table of kind, errno and text
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
//! *Waiting*: every call that can wait has three forms: `lock` waits without limit, `try_lock` does not wait and
//! returns [`WouldBlock`](ErrorKind::WouldBlock), and `lock_timeout` waits at most a time on the monotonic clock
//! and returns [`TimedOut`](ErrorKind::TimedOut). A time of zero is one try.
//!
//! *Options*: every method of [`SegmentOptions`], [`AttachOptions`], [`RingOptions`] and [`Place`] takes the
//! options and returns them. What happens if an object is missing ([`Place::create`]), its permissions
//! ([`Place::mode`]) and the options of its kind are separate.
//!
//! *Threads*: every type can go to another thread and be used by several at once, with these exceptions: one
//! thread at a time uses an end of a ring; the guard of a mutex and a slot stay in their thread. *Fork*: a child
//! inherits what is attached, and the kernel counts it; it has none of its parent's roles, and dropping a segment
//! removes it in the process only that has created it. *Signals*: attaching, detaching and removing neither lock
//! nor allocate, also when they fail; objects are not for signal handlers. *Panics*: none, on any input. *Output*:
//! none.
//!
//! Linux on 64-bit processors.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("shmkey needs Linux on a 64-bit processor");

pub mod capi;
mod error;
mod object;
mod presence;
mod segment;

use shmkey_core::{backend, copy, explain, sync, sys};

#[doc(inline)]
pub use shmkey_core::sysv;

pub use error::{Error, ErrorKind};
#[cfg(feature = "bytemuck")]
pub use object::plain::Pod;
pub use object::{
    contents::{Contents, Holding, Life, Party},
    latest::{Latest, Publisher},
    mutex::{Mutex, MutexGuard},
    place::Place,
    plain::Plain,
    ring::{
        Message, MessageReader, Messages, Receiver, Ring, RingOptions, Sender, Slot, SlotWriter,
        TypedReceiver, TypedRing, TypedSender, Values,
    },
    semaphore::Semaphore,
};
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
