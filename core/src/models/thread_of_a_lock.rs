//! The threads that use a lock in the models.

use crate::sync::Threads;
use loom::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Acquire},
};

/// A thread of a model. Threads with numbers from [`DEAD`] on are dead.
pub struct Thread(pub u64);

pub const DEAD: u64 = 400;

impl Threads for Thread {
    fn is_mine(&self, owner: u64) -> bool {
        owner == self.0
    }

    fn is_dead(&self, owner: u64) -> bool {
        owner >= DEAD
    }

    fn seems_dead(&self, owner: u64) -> bool {
        self.is_dead(owner)
    }
}

/// A thread that finds another one dead only after its death. The second field counts the deaths: the thread [`DEAD`]
/// dies first, and `DEAD + 8` second.
pub struct Witness(pub u64, pub Arc<AtomicU64>);

impl Threads for Witness {
    fn is_mine(&self, owner: u64) -> bool {
        owner == self.0
    }

    fn is_dead(&self, owner: u64) -> bool {
        // Acquire: when the kernel reports a death, all that the thread wrote is visible.
        owner >= DEAD && self.1.load(Acquire) > (owner - DEAD) / 8
    }

    fn seems_dead(&self, owner: u64) -> bool {
        self.is_dead(owner)
    }
}
