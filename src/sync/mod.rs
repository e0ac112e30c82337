//! Synchronisation between processes: what plain shared memory leaves out.
//!
//! Everything here works on memory that it is given, made of atomics, and knows nothing of segments.
//! `cfg(loom)` builds the same source on loom's atomics, for the package `models`.

mod area;
mod atomic;
mod claim;
mod counter;
mod lock;
#[cfg(loom)]
mod loom;
pub(crate) mod newest;
mod ready;
pub(crate) mod ring;
mod sleepers;
pub(crate) mod wait;
mod watch;

#[cfg(loom)]
pub(crate) use self::loom::let_them_look;
pub(crate) use area::{Area, Buffer, Source};
pub(crate) use atomic::AtomicU32;
#[cfg(loom)]
pub(crate) use atomic::AtomicU64;
pub(crate) use claim::Claim;
pub(crate) use counter::{Counter, MAX as COUNTER_MAX};
pub(crate) use lock::{Acquired, Condition, Lock, Refused, Threads};
pub(crate) use ready::{MAGIC, READY, Ready, State};
pub(crate) use wait::{Deadline, Sleep};
