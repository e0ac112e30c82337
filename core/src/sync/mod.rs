//! Synchronisation between processes: what plain shared memory leaves out.
//!
//! Everything here works on memory that it is given, made of atomics, and knows nothing of segments.
//! `cfg(loom)` builds the same source on loom's atomics, for the models.

mod area;
mod atomic;
mod claim;
mod counter;
mod lock;
#[cfg(loom)]
mod loom;
pub mod newest;
mod ready;
pub mod ring;
mod sleepers;
pub mod wait;
mod watch;

#[cfg(loom)]
pub use self::loom::let_them_look;
pub use area::{Area, Buffer, Source};
pub use atomic::AtomicU32;
#[cfg(loom)]
pub use atomic::AtomicU64;
pub use claim::Claim;
pub use counter::{Counter, MAX as COUNTER_MAX};
pub use lock::{Acquired, Condition, Lock, Refused, Threads};
pub use ready::{MAGIC, READY, Ready, State};
pub use wait::{Deadline, Sleep};
