//! The state that this process keeps for itself: where the table is mapped, its slot, and its attachments.
//!
//! A lock of this process protects it. A thread blocks all signals while it holds that lock, so a signal handler can
//! make any call. `fork` takes the lock, too (see `fork`), so no child begins in the middle of a change.

use super::{
    attachments::Attachments, directory::Access, holding::Holding, layout::Pid, limits::Limits,
    path::FilePath, unfinished::Unfinished,
};
use crate::sys::{self, FileId, SignalMask, futex};
use core::{
    cell::UnsafeCell,
    ops::{Deref, DerefMut},
    sync::atomic::{
        AtomicU32, AtomicU64, AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
    time::Duration,
};

/// The part that every thread may read without the lock.
pub(super) struct Public {
    /// The address at which the table is mapped, or was mapped; 0 if it never was. Once set, it never changes.
    pub base: AtomicUsize,
    /// 1 if the table is mapped there.
    pub is_mapped: AtomicU32,
    /// When the table was last found to be in its directory, by `sys::about_now`.
    pub checked: AtomicU64,
    /// The device and the inode number of the table's file.
    pub device: AtomicU64,
    pub inode: AtomicU64,
}

pub(super) static PUBLIC: Public = Public {
    base: AtomicUsize::new(0),
    is_mapped: AtomicU32::new(0),
    checked: AtomicU64::new(0),
    device: AtomicU64::new(0),
    inode: AtomicU64::new(0),
};

/// The part that only the holder of the lock may use.
pub(super) struct Private {
    /// The namespace's directory; `None` before the first use.
    pub directory: Option<FilePath>,
    pub access: Access,
    /// This process's slot, and its generation.
    pub slot: u32,
    pub slot_generation: u32,
    /// Where the locks of the namespace are.
    pub holding: Holding,
    /// The address of a page that holds the slot's lock; 0 if the table's mapping holds it.
    pub slot_page: usize,
    /// A count that increases when this process maps a table, or unmaps that of its parent. An attachment of an
    /// earlier era has no record in the mapped table.
    pub era: u32,
    /// This process, as it stands in the table; `Pid::NONE` until `Own::pid` has asked the kernel.
    pub pid: Pid,
    pub limits: Limits,
    pub attachments: Attachments,
    pub unfinished: Unfinished,
    /// During a fork: the signal mask that the forking thread had before.
    pub mask_of_fork: Option<SignalMask>,
    /// During a fork: the address of a page that holds the lock of the child's slot, and that slot with its
    /// generation.
    pub spare_table: usize,
    pub spare_slot: (u32, u32),
}

struct Process {
    /// 0 if it is free, 1 if it is held, 2 if it is held and threads may sleep until it is free.
    lock: AtomicU32,
    private: UnsafeCell<Private>,
}

// SAFETY: only the holder of the lock uses `private`.
unsafe impl Sync for Process {}

static PROCESS: Process = Process {
    lock: AtomicU32::new(0),
    private: UnsafeCell::new(Private {
        directory: None,
        access: Access {
            is_shared: false,
            common: 0o600,
            owner: 0,
            group: 0,
        },
        slot: 0,
        slot_generation: 0,
        holding: Holding::ITSELF,
        slot_page: 0,
        era: 0,
        pid: Pid::NONE,
        limits: Limits::DEFAULT,
        attachments: Attachments::EMPTY,
        unfinished: Unfinished::NONE,
        mask_of_fork: None,
        spare_table: 0,
        spare_slot: (0, 0),
    }),
};

/// The lock of this process, held. Dropping it releases the lock and restores the signal mask.
pub(super) struct Own {
    mask: SignalMask,
}

impl Own {
    /// Blocks all signals of this thread, and waits for the lock.
    pub(super) fn lock() -> Own {
        let mask = sys::block_signals();
        // After that: a signal handler may make a child that runs no handlers.
        super::mark::watch();
        acquire(&PROCESS.lock);
        Own { mask }
    }

    /// Returns whether a thread holds the lock.
    #[cfg(test)]
    pub(super) fn is_locked() -> bool {
        PROCESS.lock.load(Relaxed) != 0
    }

    /// Keeps the lock held during `fork(2)`, until `after_fork`.
    pub(super) fn keep_for_fork(mut self) {
        self.mask_of_fork = Some(self.mask);
        core::mem::forget(self);
    }

    /// Returns the lock that `keep_for_fork` has kept held.
    pub(super) fn after_fork() -> Own {
        // SAFETY: this thread holds the lock, or is the copy of the one that does.
        let private = unsafe { &mut *PROCESS.private.get() };
        let mask = private.mask_of_fork.take();
        Own {
            mask: mask.unwrap_or_else(sys::block_signals),
        }
    }

    /// Takes the lock in a child whose parent has not prepared the fork. The lock's word is a copy of the parent's,
    /// so its value does not count.
    pub(super) fn seize() -> Own {
        let mask = sys::block_signals();
        // Relaxed: any other thread of the child waits in `mark::begin_anew`.
        PROCESS.lock.store(1, Relaxed);
        Own { mask }
    }

    /// Returns this process, as it stands in the table.
    pub(super) fn pid(&mut self) -> Pid {
        if self.pid == Pid::NONE {
            self.pid = Pid::new(sys::process_id(), sys::namespaces());
        }
        self.pid
    }
}

impl Deref for Own {
    type Target = Private;

    fn deref(&self) -> &Private {
        // SAFETY: this thread holds the lock.
        unsafe { &*PROCESS.private.get() }
    }
}

impl DerefMut for Own {
    fn deref_mut(&mut self) -> &mut Private {
        // SAFETY: this thread holds the lock, and there is one `Own` for each time that it is held.
        unsafe { &mut *PROCESS.private.get() }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // Release: pairs with the acquire of the next holder.
        if PROCESS.lock.swap(0, Release) == 2 {
            futex::wake_own(&PROCESS.lock);
        }
        sys::restore_signals(self.mask);
    }
}

fn acquire(lock: &AtomicU32) {
    // Acquire, here and below: pairs with the release of the last holder.
    if lock.compare_exchange(0, 1, Acquire, Relaxed).is_ok() {
        return;
    }
    while lock.swap(2, Acquire) != 0 {
        futex::wait_own(lock, 2, Duration::from_millis(100));
    }
}

/// Returns the directory that this process uses; `None` before the first use.
pub(super) fn known_directory() -> Option<FilePath> {
    Own::lock().directory
}

/// Returns the identity of the mapped table's file.
pub(super) fn mapped_file() -> FileId {
    // Relaxed: only the lock's holder compares it with a file, and the lock orders the two.
    FileId {
        device: PUBLIC.device.load(Relaxed),
        inode: PUBLIC.inode.load(Relaxed),
    }
}
