//! Who owns a segment and which processes use it. Every text that advises to remove a segment states
//! this first.

use super::{
    files::RemoveCommand,
    names::Names,
    words::{Times, User},
};
use crate::{
    backend::{self, Occupant},
    sys,
};
use core::{ffi::c_int, fmt};

/// The fields of a segment's record that show which processes may need the segment. Whether these
/// processes are live is checked when the text is formatted.
#[derive(Clone, Copy, Debug)]
pub struct Ownership {
    id: c_int,
    owner: u32,
    creator: c_int,
    /// When it was created, or its owner or mode last changed, in seconds since 1970.
    changed: i64,
    /// The process that attached or detached it last, and when; 0 if no process has.
    user: c_int,
    used: i64,
    attached: u64,
    size: usize,
    /// It is known that only this process has it attached.
    is_here_only: bool,
}

impl Ownership {
    pub fn new(id: c_int, record: &libc::shmid_ds) -> Ownership {
        Ownership {
            id,
            owner: record.shm_perm.uid,
            creator: record.shm_cpid,
            changed: record.shm_ctime,
            user: record.shm_lpid,
            used: record.shm_atime.max(record.shm_dtime),
            attached: record.shm_nattch,
            size: record.shm_segsz,
            is_here_only: false,
        }
    }

    /// Reads the record of the segment with this id, and finds out whether only this process has it
    /// attached; `None` if it does not exist.
    pub fn of(id: c_int) -> Option<Ownership> {
        let Ok(Occupant::Holds(record)) = backend::find(id) else {
            return None;
        };
        let is_here_only = record.shm_nattch == 1
            && backend::counts_every_process()
            && sys::attached_in(sys::process_id(), id).is_some();
        Some(Ownership {
            is_here_only,
            ..Ownership::new(id, &record)
        })
    }

    /// Returns whether no process has it attached and its creator is dead; `None` if that is unknown.
    pub fn is_orphan(&self) -> Option<bool> {
        match self.attached {
            0 => sys::has_ended(self.creator, self.changed),
            _ => Some(false),
        }
    }

    /// Returns who owns it and which processes use it, and how to remove it if none does.
    pub fn text(self, names: &'static Names) -> impl fmt::Display {
        OwnershipText(self, names)
    }

    /// Returns which object of this library it holds. That is known only if this process, its creator or
    /// its last user has it attached, and the memory of that process can be read.
    #[inline(never)] // frees its stack space before other functions are called
    fn object(&self) -> Option<Object> {
        // Segments of objects have such sizes; see `Contents::may_be_in`.
        if self.size <= 1024 || self.size % 64 != 1 || self.attached == 0 {
            return None;
        }
        let mut start = [0; 24];
        [sys::process_id(), self.creator, self.user]
            .into_iter()
            .filter(|&pid| pid > 0)
            .any(|pid| {
                let address = sys::attached_in(pid, self.id);
                address.is_some_and(|address| {
                    sys::read_memory_of(pid, address, &mut start) == Ok(start.len())
                })
            })
            .then(|| Object::of(&start))
            .flatten()
    }
}

struct OwnershipText(Ownership, &'static Names);

/// `the segment 7 belongs to uid 0 (root), was created and last used by process 12 (dead), and ...; if ...`
impl fmt::Display for OwnershipText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OwnershipText(segment, names) = self;
        let Ownership { id, owner, .. } = *segment;
        let creator = Process(segment.creator, segment.changed);
        let user = Process(segment.user, segment.used);
        write!(f, "the segment {id} belongs to {}, was ", User(owner))?;
        // Two processes may have had the same id, one after the other.
        let same = segment.creator == segment.user && creator.has_ended() == user.has_ended();
        match (segment.used, same) {
            (0, _) => write!(f, "created by {creator} and never attached")?,
            (_, true) => write!(f, "created and last used by {user}")?,
            (_, false) => write!(f, "created by {creator} and last used by {user}")?,
        }
        if let Some(object) = segment.object() {
            write!(f, ", holds {}", object.0)?;
        }
        match segment.attached {
            0 if segment.used == 0 => {}
            0 => f.write_str(", and no process has it attached")?,
            count => write!(f, ", and is attached {}", Times(count))?,
        }
        f.write_str("; ")?;
        let remove = RemoveCommand(id, names);
        match segment.is_orphan() {
            Some(true) => write!(f, "if its content is not needed, remove it ({remove})"),
            Some(false) if segment.is_here_only => write!(
                f,
                "only this process has it attached; if its content is not needed, remove it ({remove})"
            ),
            Some(false) if segment.attached > 0 => {
                f.write_str("it is in use, so end the programs that use it before removing it")
            }
            Some(false) => f.write_str("its creator may still need it"),
            None => f.write_str("check which programs need it before removing it"),
        }
    }
}

/// The process that had an id at a time in seconds since 1970, and whether it is live.
struct Process(c_int, i64);

impl Process {
    fn has_ended(&self) -> Option<bool> {
        sys::has_ended(self.0, self.1)
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pid = self.0;
        if pid <= 0 {
            return f.write_str("a process of another PID namespace");
        }
        let ended = self.has_ended();
        if pid == sys::process_id() && ended != Some(true) {
            return f.write_str("this process");
        }
        let life = match ended {
            Some(true) => "dead",
            Some(false) => "live",
            None => "live or dead, unknown",
        };
        write!(f, "process {pid} ({life})")
    }
}

/// The kind of object that a segment holds.
struct Object(&'static str);

impl Object {
    /// Reads the kind from the first bytes of a segment; `None` if they are not those of an object.
    fn of(start: &[u8; 24]) -> Option<Object> {
        let (magic, rest) = start.split_first_chunk::<8>()?;
        let kind = rest.last_chunk::<4>()?;
        (magic == b"shmkey\r\n").then(|| {
            Object(match u32::from_ne_bytes(*kind) {
                1 => "a mutex",
                2 => "a semaphore",
                3 => "a latest value",
                4 => "a ring",
                5 => "a broadcast",
                6 => "a reader-writer lock",
                7 => "a condition variable",
                _ => "an object of shmkey",
            })
        })
    }
}

/// The number of segments that are known to be orphans, with a remedy.
pub(super) struct Orphans;

impl fmt::Display for Orphans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let highest = backend::usage().map_or(-1, |(highest, _)| highest);
        let count = (0..=highest)
            .filter_map(|index| backend::stat_at(index).ok())
            .filter(|(id, record)| Ownership::new(*id, record).is_orphan() == Some(true))
            .count();
        match count {
            0 => f.write_str(
                "none is known to be an orphan (no process has it attached, and its creator is \
                 dead), so raise the limit",
            ),
            1 => f.write_str(
                "1 of them is an orphan (no process has it attached, and its creator is dead; \
                 shmkey list shows it): remove it if its content is not needed, or raise the \
                 limit",
            ),
            count => write!(
                f,
                "{count} of them are orphans (no process has them attached, and their creators \
                 are dead; shmkey list shows them): remove those whose content is not needed, or \
                 raise the limit"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::names, *};
    use std::process::Command;

    fn expect(ownership: Ownership, part: &str) {
        let text = ownership.text(&names::SYSTEM_V).to_string();
        assert!(text.contains(part), "{text}");
    }

    #[test]
    fn a_process_is_shown_live_or_dead() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id() as c_int;
        let shown = || Process(pid, i64::MAX - 1).to_string();
        let live = shown();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(live, format!("process {pid} (live)"));
        assert_eq!(shown(), format!("process {pid} (dead)"));
    }

    #[test]
    fn the_remedy_depends_on_which_processes_use_the_segment() {
        let id = backend::create_or_get(libc::IPC_PRIVATE, 100, 0o600).unwrap();
        let now = || Ownership::of(id).unwrap();
        expect(
            now(),
            "was created by this process and never attached; its creator may still need it",
        );
        // SAFETY: the kernel chooses the address, so no mapping is replaced.
        let memory = unsafe { backend::attach(id, core::ptr::null(), 0) }.unwrap();
        expect(
            now(),
            "was created and last used by this process, and is attached once; only this process has it \
             attached; if its content is not needed, remove it (ipcrm -m",
        );
        // SAFETY: nothing uses the memory.
        unsafe { backend::detach(memory) }.unwrap();
        // Pretends that the creator was an earlier process with this id, which is dead.
        let mut ownership = now();
        (ownership.creator, ownership.changed) = (sys::process_id(), 1);
        expect(ownership, " (dead) and last used by this process, and no");
        expect(ownership, &format!("not needed, remove it (ipcrm -m {id})"));
        let text = ownership.text(&names::COMMAND).to_string();
        assert!(text.contains(&format!("(shmkey remove {id})")), "{text}");
        ownership.creator = 0;
        expect(ownership, "created by a process of another PID namespace");
        expect(ownership, "check which programs need it before removing");
        assert!(!now().text(&names::SYSTEM_V).to_string().contains("ipcrm"));
        backend::remove(id).unwrap();
    }
}
