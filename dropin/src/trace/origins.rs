//! Where keys come from: the last results of `ftok` in this process, and the files that they were made
//! from.
//!
//! A key that leads nowhere is explained by the file that it was made from, and the key −1 by the
//! file that was not there; two files that give one key are noticed, and so is a file that was
//! replaced. No thread waits here: while another thread, or the one that a signal handler has
//! interrupted, uses a place, a result for that place is not kept, and none is found there.

use super::words::Project;
use crate::{
    explain::ShownPath,
    sys::{self, Errno, FileId},
};
use core::{
    cell::UnsafeCell,
    ffi::{CStr, c_int},
    fmt,
    sync::atomic::{
        AtomicBool, AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// A call of `ftok`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    key: c_int,
    proj_id: c_int,
    /// Why it failed; 0 if it did not.
    errno: c_int,
    /// The file that the path led to, if it is known.
    file: Option<FileId>,
    /// With a NUL behind it.
    path: [u8; PATH],
}

/// As much of a path as is kept, with its NUL; of a longer one, none.
const PATH: usize = 121;

impl Origin {
    /// Describes a call of `ftok` and its result. `None` if the path is too long to be kept.
    pub fn new(path: &[u8], proj_id: c_int, result: Result<c_int, Errno>) -> Option<Origin> {
        let mut origin = Origin {
            key: result.unwrap_or(-1),
            proj_id,
            errno: result.err().map_or(0, |errno| errno.0),
            file: None,
            path: [0; PATH],
        };
        let (place, _nul) = origin.path.split_at_mut(PATH - 1);
        place.get_mut(..path.len())?.copy_from_slice(path);
        // Another file may be there by now, which has not given this key.
        let now = origin.file_now().ok();
        origin.file = now.filter(|file| origin.errno == 0 && file.ftok(proj_id) == origin.key);
        Some(origin)
    }

    fn path(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.path).unwrap_or_default()
    }

    /// Returns the file that the path leads to now.
    fn file_now(&self) -> Result<FileId, Errno> {
        sys::file_id(self.path())
    }

    /// Returns whether both calls gave one key of two files.
    fn collides(&self, other: &Origin) -> bool {
        self.key == other.key
            && self.path != other.path
            && self
                .file
                .is_some_and(|file| other.file.is_some_and(|other| other != file))
    }
}

struct Slot {
    busy: AtomicBool,
    origin: UnsafeCell<Option<Origin>>,
}

// SAFETY: only who has set `busy` uses the cell.
unsafe impl Sync for Slot {}

static SLOTS: [Slot; 64] = [const {
    Slot {
        busy: AtomicBool::new(false),
        origin: UnsafeCell::new(None),
    }
}; 64];
static NEXT: AtomicUsize = AtomicUsize::new(0);

impl Slot {
    /// Calls a function with what is there, unless it is in use.
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

/// Keeps a call of `ftok`. Returns a doubt if an earlier call gives a reason for one.
#[inline(never)] // so that its room on the stack is free again while others are in use
pub(super) fn remember(origin: &Origin) -> Option<Doubt> {
    let doubt = latest(|other| origin.collides(other)).map(|other| Doubt::Shared(*origin, other));
    let doubt = doubt.or_else(|| {
        let before = latest(|other| {
            origin.path == other.path && origin.proj_id == other.proj_id && other.file.is_some()
        })?;
        (origin.file.is_some() && before.key != origin.key)
            .then_some(Doubt::Replaced(before, *origin))
    });
    // The same call again takes no place of another.
    if of(origin.key).as_ref() != Some(origin) {
        // Relaxed: the number says nothing of other memory.
        let next = NEXT.fetch_add(1, Relaxed) % SLOTS.len();
        SLOTS[next].with(|slot| *slot = Some(*origin));
    }
    doubt
}

/// Returns the latest call of `ftok` that gave a key.
#[inline(never)] // so that its room on the stack is free again while others are in use
pub(super) fn of(key: c_int) -> Option<Origin> {
    latest(|origin| origin.key == key)
}

/// Returns the doubt about a key that two files have given.
#[inline(never)] // so that its room on the stack is free again while others are in use
pub(super) fn shared(key: c_int) -> Option<Doubt> {
    let origin = of(key)?;
    latest(|other| origin.collides(other)).map(|other| Doubt::Shared(origin, other))
}

/// Returns the latest call of `ftok` that is wanted.
fn latest(wanted: impl Fn(&Origin) -> bool) -> Option<Origin> {
    // Relaxed: as above.
    let next = NEXT.load(Relaxed);
    (1..=SLOTS.len()).find_map(|back| {
        let slot = &SLOTS[next.wrapping_sub(back) % SLOTS.len()];
        slot.with(|origin| origin.as_ref().filter(|origin| wanted(origin)).copied())?
    })
}

/// What is to be added to the explanation of a key that leads nowhere.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = Ftok(self);
        if self.errno != 0 {
            let name = Errno(self.errno).name().unwrap_or("an error");
            return write!(f, "; in this process {call} has failed with {name}");
        }
        write!(f, "; here {call} has made this key")?;
        match (self.file, self.file_now()) {
            (Some(then), Ok(now)) if then != now => write!(
                f,
                " of a file that was replaced since: it was {}, and {} is there now, which gives \
                 the key {:#010x}",
                Inode(then),
                Inode(now),
                now.ftok(self.proj_id)
            ),
            (Some(_), Err(Errno(libc::ENOENT))) => {
                f.write_str(" of a file that was deleted since; made again, it gives another key")
            }
            _ => f.write_str(
                ": another file, another project, and a file that was deleted and made again \
                 under the same name, give another one",
            ),
        }
    }
}

/// What two calls of `ftok` say together.
pub(super) enum Doubt {
    /// One key of two files.
    Shared(Origin, Origin),
    /// Two keys of one path: the earlier call first.
    Replaced(Origin, Origin),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::Shared(one, other) => write!(
                f,
                "{} and {} give one key, though the files differ (ftok takes 16 bits of an inode \
                 number), so both lead to one segment; use another project, or names instead of \
                 files",
                Ftok(one),
                Ftok(other)
            ),
            Doubt::Replaced(then, now) => write!(
                f,
                "the same call gave the key {:#010x} before, and the file was replaced since: a \
                 program that has made its key of the earlier one does not meet this program",
                then.key
            )
            .and_then(|()| match (then.file, now.file) {
                (Some(then), Some(now)) => write!(f, " ({}, now {})", Inode(then), Inode(now)),
                _ => Ok(()),
            }),
        }
    }
}

/// `ftok("shmfile", project 115 ('s'))`
struct Ftok<'a>(&'a Origin);

impl fmt::Display for Ftok<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = ShownPath(self.0.path().to_bytes());
        write!(f, "ftok({path}, project {})", Project(self.0.proj_id))
    }
}

/// `inode 12 of device 8:1`
struct Inode(FileId);

impl fmt::Display for Inode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FileId { device, inode } = self.0;
        let (major, minor) = (libc::major(device), libc::minor(device));
        write!(f, "inode {inode} of device {major}:{minor}")
    }
}
