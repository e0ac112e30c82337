//! Keys and ids: numbers passed in place of each other, keys of files that were replaced, and segments
//! of another IPC namespace.

use super::Names;
use crate::{
    backend::{self, Occupant},
    sys,
};
use core::{ffi::c_int, fmt, ops::ControlFlow};

/// The value that each of the calls returns on failure, and that a program passes on if it does not
/// check the result.
pub(super) const FAILED: c_int = -1;

/// Returns the id of the segment with a key. Without flags, `shmget` needs no permission.
pub(super) fn holder(key: c_int) -> Option<c_int> {
    match key {
        libc::IPC_PRIVATE => None,
        key => backend::create_or_get(key, 0, 0).ok(),
    }
}

/// What a number is that was passed as an id or as a key, and that no segment has as such.
#[derive(Clone, Copy, Debug)]
pub enum Meant {
    /// The key of this segment.
    Key { key: c_int, holder: c_int },
    /// The digits are those of this segment's key in hexadecimal.
    Digits {
        number: c_int,
        key: c_int,
        holder: c_int,
    },
    /// An id.
    Id { id: c_int },
}

impl Meant {
    /// Returns what a number is that no segment has as its id.
    pub fn by_id(number: c_int) -> Option<Meant> {
        match holder(number) {
            // The result of a failed shmget, even if a segment has this number as its key.
            _ if number == FAILED => None,
            Some(holder) => Some(Meant::Key {
                key: number,
                holder,
            }),
            None => Meant::by_digits(number),
        }
    }

    /// Returns what a number is that no segment has as its key.
    #[inline(never)] // frees its stack space before other functions are called
    fn by_key(number: c_int) -> Option<Meant> {
        match backend::find(number) {
            Ok(Occupant::Holds(_)) => Some(Meant::Id { id: number }),
            _ => Meant::by_digits(number),
        }
    }

    fn by_digits(number: c_int) -> Option<Meant> {
        let key = as_hexadecimal(number)?;
        let holder = holder(key)?;
        Some(Meant::Digits {
            number,
            key,
            holder,
        })
    }
}

impl Meant {
    pub fn text(self, names: &'static Names) -> impl fmt::Display {
        MeantText(self, names)
    }
}

struct MeantText(Meant, &'static Names);

impl fmt::Display for MeantText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Meant::Key { key, holder } => {
                write!(
                    f,
                    "{key} is the key {key:#010x} of the segment with the id {holder}"
                )
            }
            Meant::Digits {
                number,
                key,
                holder,
            } => write!(
                f,
                "the segment with the id {holder} has the key {key:#010x}, and {number} without \
                 0x is another number"
            ),
            Meant::Id { id } => write!(f, "{id} is the id of a segment: {}", self.1.takes_id),
        }
    }
}

/// Returns the number whose hexadecimal digits are the decimal digits of this number.
fn as_hexadecimal(number: c_int) -> Option<c_int> {
    let (mut rest, mut answer) = (u32::try_from(number).ok()?, 0_u32);
    for place in 0.. {
        if rest == 0 {
            break;
        }
        // A key has at most eight digits.
        answer |= (rest % 10).checked_shl(4 * place)?;
        rest /= 10;
    }
    Some(answer as c_int)
}

/// `ENOENT`: no segment has this key.
#[derive(Clone, Copy, Debug)]
pub struct NoKey {
    key: c_int,
    /// Leave out the facts that are read from other segments and processes.
    brief: bool,
}

impl NoKey {
    pub fn new(key: c_int) -> NoKey {
        NoKey { key, brief: false }
    }

    pub fn key(&self) -> c_int {
        self.key
    }

    /// Returns the short form, for a program that retries in a loop.
    pub fn brief(self) -> NoKey {
        NoKey {
            brief: true,
            ..self
        }
    }

    pub fn text(self, names: &'static Names) -> impl fmt::Display {
        NoKeyText(self, names)
    }
}

struct NoKeyText(NoKey, &'static Names);

impl fmt::Display for NoKeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NoKeyText(NoKey { key, brief }, names) = *self;
        write!(
            f,
            "there is no segment with this key; start the program that creates it first, or \
             ask to create it ({})",
            names.create
        )?;
        if brief {
            return Ok(());
        }
        if let Some(meant) = Meant::by_key(key) {
            write!(f, "; {}", meant.text(names))?;
        }
        if let Some(earlier) = Earlier::of(key) {
            write!(f, "; {earlier}")?;
        }
        match Outside::find() {
            Some(outside) => write!(f, "; {outside}"),
            None => Ok(()),
        }
    }
}

/// A segment whose key differs only in the bits that `ftok` takes from a file's inode number.
struct Earlier {
    key: c_int,
    id: c_int,
    other: c_int,
    /// This process created the segment.
    own: bool,
    /// How many segments have such a key.
    count: usize,
}

impl Earlier {
    /// Returns the likeliest segment: one that this process created, and of several the newest.
    #[inline(never)] // as above
    fn of(key: c_int) -> Option<Earlier> {
        const INODE: c_int = 0xffff;
        // ftok never makes a key with the project id 0.
        if key as u32 >> 24 == 0 {
            return None;
        }
        let (highest, _) = backend::usage().ok()?;
        let this = sys::process_id();
        let mut count = 0;
        let (id, record) = (0..=highest)
            .filter_map(|index| backend::stat_at(index).ok())
            // A removed segment has the key 0.
            .filter(|(_, record)| sys::key_of(&record.shm_perm) & !INODE == key & !INODE)
            .inspect(|_| count += 1)
            .max_by_key(|(_, record)| (record.shm_cpid == this, record.shm_ctime))?;
        Some(Earlier {
            key,
            id,
            other: sys::key_of(&record.shm_perm),
            own: record.shm_cpid == this,
            count,
        })
    }
}

impl fmt::Display for Earlier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the segment {} has the key {:#010x}: if ftok made both keys from one path, its file \
             was replaced after that segment was created (the low 16 bits of its inode number \
             were {:#06x} and are {:#06x} now)",
            self.id,
            self.other,
            self.other & 0xffff,
            self.key & 0xffff
        )?;
        if self.count == 1 {
            return Ok(());
        }
        write!(
            f,
            "; of {} segments whose keys differ from this one in these bits alone, it is one that {}",
            self.count,
            if self.own {
                "this process created"
            } else {
                "was created or changed last"
            }
        )
    }
}

/// A process whose IPC namespace differs from that of this process.
enum Outside {
    /// Process 1, or the parent of this process: this process has left their namespace.
    Ours(c_int),
    Theirs(c_int),
}

impl Outside {
    /// Checks process 1, the parent, and a few other processes.
    #[inline(never)] // as above
    fn find() -> Option<Outside> {
        // A directory does not depend on IPC namespaces.
        if backend::chosen() == backend::Backend::User {
            return None;
        }
        const OTHERS: usize = 32;
        let here = sys::ipc_namespace()?;
        // A process whose namespace this process may not read does not count.
        let differs = |&pid: &c_int| sys::ipc_namespace_of(pid).is_some_and(|there| there != here);
        if let Some(pid) = [1, sys::parent_id()].into_iter().find(differs) {
            return Some(Outside::Ours(pid));
        }
        let (mut checked, mut found) = (0, None);
        let _ = sys::for_each_process(|pid| {
            checked += 1;
            // Kernel threads are in the initial namespace, and create no segments.
            let is_program = |&pid: &c_int| sys::Stat::of(pid).is_some_and(|stat| !stat.is_kernel);
            found = Some(pid).filter(differs).filter(is_program);
            if found.is_some() || checked == OTHERS {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        found.map(Outside::Theirs)
    }
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outside::Ours(pid) => write!(
                f,
                "this process has another IPC namespace than process {pid}, as in a container or \
                 under unshare --ipc, and cannot see the segments outside of it"
            ),
            Outside::Theirs(pid) => write!(
                f,
                "process {pid} has another IPC namespace than this process, as in a container, \
                 and this process cannot see its segments"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_as_hexadecimal() {
        assert_eq!(as_hexadecimal(41_020_047), Some(0x4102_0047));
        assert_eq!(as_hexadecimal(99_999_999), Some(0x9999_9999_u32 as c_int));
        assert_eq!(as_hexadecimal(7), Some(7));
        assert_eq!(as_hexadecimal(0), Some(0));
        assert_eq!(as_hexadecimal(-7), None);
        assert_eq!(as_hexadecimal(1_000_000_000), None);
    }
}
