//! Synchronisation between processes: what plain shared memory leaves out.

mod counter;
mod lock;
pub(crate) mod wait;

pub(crate) use counter::{Counter, MAX as COUNTER_MAX};
pub(crate) use lock::{Acquired, Lock, Refused};
pub(crate) use wait::Deadline;
