//! Where segments live.
//!
//! A backend keeps one contract: that of `shmget(2)`, `shmat(2)`, `shmdt(2)` and `shmctl(2)`, with
//! Linux' error numbers. Everything above (segments, the C API, the drop-in) calls these functions
//! and does not ask which backend answers. The kernel's System V IPC is the one there is; another
//! takes its place beside it, and the choice between them here.
//!
//! `semaphores` and `messages` are the other two kinds of System V IPC, which have ids of their own: what the command
//! needs to list and remove them. They are always the kernel's.

mod kernel;
pub mod messages;
pub mod semaphores;

pub use kernel::IPC_INFO;
pub use kernel::{
    Limits, Occupant, Usage, find, is_removed, limits, remove, set, stat, stat_at, usage,
};
pub use kernel::{SHM_DEST, SHM_INFO, SHM_LOCKED, SHM_STAT, SHM_STAT_ANY};
pub use kernel::{attach, control, create_or_get, detach};
