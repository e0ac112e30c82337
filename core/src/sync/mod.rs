//! Synchronisation between processes: the objects' algorithms.
//!
//! They work on memory made of atomics that the caller passes, and do not know about segments. `cfg(loom)` builds the
//! same source on loom's atomics, for the models.

mod area;
mod atomic;
pub mod broadcast;
mod claim;
mod condvar;
mod interrupt;
pub mod keep;
pub mod latest;
#[cfg(loom)]
mod loom;
mod mutex;
mod pollers;
mod ready;
pub mod ring;
mod rwlock;
mod semaphore;
mod sleepers;
pub mod wait;
mod watch;
mod wish;

#[cfg(loom)]
pub use self::loom::{drain, let_them_look, poll};
pub use area::{Area, Buffer, Source};
pub use atomic::{AtomicU32, AtomicU64, heavy_barrier};
pub use claim::Claim;
pub use condvar::{Condvar, WaitError, Waited};
pub use interrupt::Interrupt;
pub use mutex::{Acquired, Condition, LockError, Mutex, Threads};
pub use ready::{MAGIC, READY, Ready, State};
pub use rwlock::{READERS, RwLock, Seen as RwLockSeen};
pub use semaphore::{MAX as SEMAPHORE_MAX, Semaphore};
pub use wait::{Deadline, Ended, Inquiry, Sleep};
