//! System V shared memory for Rust and C.
//!
//! A *segment* is a piece of memory that several processes can *attach*; the kernel keeps it until
//! somebody *removes* it. Processes find it by a *key* that they agree on, and the kernel gives it
//! an *id*. This crate is those three ideas with every result checked, and memory access that stays
//! sound while other processes write:
//!
//! ```
//! use shmkey::{Key, Segment};
//!
//! # fn main() -> Result<(), shmkey::Error> {
//! let key = Key::from_name("the crate's own example")?;
//! # let key = Key::from_name(format!("the crate's own example {}", std::process::id()))?;
//!
//! // Any number of processes do this at once; one creates the segment, and all of them get it.
//! let segment = Segment::options().create(true).size(4096).open(key)?;
//! let memory = segment.attach()?;
//! memory.write_at(0, b"hello")?;
//!
//! let mut greeting = [0; 5];
//! memory.read_at(0, &mut greeting)?;
//! assert_eq!(&greeting, b"hello");
//!
//! // Nobody else does it: a segment outlives its processes.
//! segment.remove()?;
//! # Ok(())
//! # }
//! ```
//!
//! # The map
//!
//! | to | see |
//! |---|---|
//! | name a segment | [`Key`] |
//! | create, open, remove it | [`Segment`], [`SegmentOptions`] |
//! | attach it, read and write | [`Attachment`], [`AttachOptions`] |
//! | ask about it, or list all | [`Status`], [`Segment::list`] |
//! | have a value that one thread of one process changes at a time | [`Mutex`] |
//! | wait for each other | [`Semaphore`] |
//! | see the newest value of something | [`Latest`] |
//! | send messages, all of which arrive | [`Ring`] |
//! | say where such an object lies | [`Place`] |
//! | look at one without taking part | [`Contents`] |
//! | understand a failure | [`Error`], [`ErrorKind`] |
//! | port C code line by line | [`sysv`] |
//! | call it from C | `include/shmkey.h`, made from the module `capi` |
//!
//! # Conventions
//!
//! *Threads*: every type may go to another thread and be used by several at once, but for the two
//! ends of a ring, which one thread uses at a time, and the guard of a mutex, a slot and a message,
//! which stay where they are. *Fork*: a child inherits what is attached, and the kernel counts it; a
//! segment that is to be removed when its creator drops it is left alone by the creator's children,
//! and so is the part that it plays in an object. *Signals*: attaching, detaching and removing
//! neither lock nor allocate, also if they fail; objects are not for signal handlers. *Panics*: none, on
//! any input. *Output*: none.
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

/// The README's Rust, run as a documentation test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
