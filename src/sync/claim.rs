//! A part that one process plays at a time: the sender, the receiver, the writer.

use crate::sys::Task;
use core::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// Who plays a part, as it lies in a segment: the number of a process, or 0. It may hold anything: a
/// number that is nobody's is a dead process'.
#[repr(transparent)]
pub(crate) struct Claim(AtomicU64);

impl Claim {
    /// Takes the part for the calling process, `me`, if nobody has it who lives. Asked twice, the
    /// same process is refused, too.
    pub fn take(&self, me: Task, is_dead: impl Fn(Task) -> bool) -> bool {
        // Acquire: with the number comes the namespace of whoever it is.
        let holder = self.0.load(Acquire);
        if holder != 0 && !is_dead(Task::from_bits(holder)) {
            return false;
        }
        // Acquire: what the last one did in its part is seen. Release: whoever sees this number sees
        // what its process wrote before, its namespaces.
        self.0
            .compare_exchange(holder, me.bits(), AcqRel, Relaxed)
            .is_ok()
    }

    /// Gives the part back, if this process has it.
    pub fn release(&self, me: Task) {
        // Release: whoever takes it next sees what was done. Relaxed: else there is nothing to see.
        let _ = self.0.compare_exchange(me.bits(), 0, Release, Relaxed);
    }

    /// Who has it.
    #[inline]
    pub fn holder(&self) -> Option<Task> {
        // Acquire: as in `take`.
        match self.0.load(Acquire) {
            0 => None,
            bits => Some(Task::from_bits(bits)),
        }
    }
}
