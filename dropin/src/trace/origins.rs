//! Where keys come from: the last few results of `ftok` in this process.
//!
//! A key that leads nowhere is explained by the file that it was made from, and the key −1 by the
//! file that was not there. Nobody waits here: a result that comes while another thread, or the one
//! that a signal handler has interrupted, is busy with the same place is not kept, and one that is
//! looked for then is not found.

use super::words::Project;
use crate::{explain::ShownPath, sys::Errno};
use core::{
    cell::UnsafeCell,
    ffi::c_int,
    fmt,
    sync::atomic::{
        AtomicBool, AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// A call of `ftok`.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    key: c_int,
    proj_id: c_int,
    /// Why it failed; 0 if it did not.
    errno: c_int,
    path: [u8; PATH],
    len: usize,
}

/// As much of a path as is kept; of a longer one, none.
const PATH: usize = 120;

struct Slot {
    busy: AtomicBool,
    origin: UnsafeCell<Option<Origin>>,
}

// SAFETY: only who has set `busy` uses the cell.
unsafe impl Sync for Slot {}

static SLOTS: [Slot; 8] = [const {
    Slot {
        busy: AtomicBool::new(false),
        origin: UnsafeCell::new(None),
    }
}; 8];
static NEXT: AtomicUsize = AtomicUsize::new(0);

impl Slot {
    /// Does something with what is there, unless it is in use.
    fn with<T>(&self, work: impl FnOnce(&mut Option<Origin>) -> T) -> Option<T> {
        // Acquire: what the last one wrote here is seen.
        if self.busy.swap(true, Acquire) {
            return None;
        }
        // SAFETY: `busy` was not set, and now keeps others out until it is cleared below.
        let answer = work(unsafe { &mut *self.origin.get() });
        // Release: the next one sees what was written.
        self.busy.store(false, Release);
        Some(answer)
    }
}

/// Keeps a result of `ftok`.
pub(super) fn remember(key: c_int, path: &[u8], proj_id: c_int, errno: Option<Errno>) {
    let mut origin = Origin {
        key,
        proj_id,
        errno: errno.map_or(0, |errno| errno.0),
        path: [0; PATH],
        len: path.len(),
    };
    let Some(place) = origin.path.get_mut(..path.len()) else {
        return;
    };
    place.copy_from_slice(path);
    // Relaxed: the number says nothing of other memory.
    let next = NEXT.fetch_add(1, Relaxed) % SLOTS.len();
    SLOTS[next].with(|slot| *slot = Some(origin));
}

/// The latest call of `ftok` that gave a key.
pub(super) fn of(key: c_int) -> Option<Origin> {
    // Relaxed: as above.
    let next = NEXT.load(Relaxed);
    (1..=SLOTS.len()).find_map(|back| {
        let slot = &SLOTS[next.wrapping_sub(back) % SLOTS.len()];
        slot.with(|origin| *origin)?
            .filter(|origin| origin.key == key)
    })
}

/// What is to be added to an explanation.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = ShownPath(&self.path[..self.len]);
        let project = Project(self.proj_id);
        match self.errno {
            0 => write!(
                f,
                "; here ftok({path}, project {project}) has made this key: another file, another project, and a file that was \
                 deleted and made again under the same name, give another one"
            ),
            errno => write!(
                f,
                "; in this process ftok({path}, project {project}) has failed with {}",
                Errno(errno).name().unwrap_or("an error")
            ),
        }
    }
}
