//! The segments of this namespace, with what the kernel and `/proc` show of them.

use crate::{
    attached::{Attached, Attachments},
    backend as namespace,
    objects::{self, Seen},
    process::{self, Census, Named},
};
use shmkey::{Contents, Error, ErrorKind, Life, Segment, Status};
use shmkey_core::backend::{self, Limits};
use std::{collections::HashMap, fs, time::Duration};

/// A segment, and the processes that created and use it.
#[derive(Clone, Debug)]
pub struct Fact {
    /// The status before shmkey looked into the segment.
    pub status: Status,
    pub creator: Named,
    /// The process that attached or detached it last; `None` if none has.
    pub last: Option<Named>,
    /// How long ago it was last attached or detached.
    pub idle: Option<Duration>,
    /// The processes that were found to have it attached.
    pub attached: Vec<Attached>,
    /// The objects that were found in it.
    pub seen: Seen,
    /// How much of it is in memory, and how much is swapped out, in bytes.
    pub resident: Option<u64>,
    pub swapped: Option<u64>,
}

/// All segments, and the limits of the kernel.
pub struct Facts {
    pub segments: Vec<Fact>,
    /// `None` if they are unknown.
    pub limits: Option<Limits>,
    /// How the segments were looked into.
    pub look: Look,
    /// How many processes there are whose memory maps cannot be read.
    pub unseen: usize,
}

/// How to look into segments. Each way finds more than the one before, is slower, and may change more: see `objects`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Not at all.
    Outside,
    /// Finds objects near the beginning, without attaching the segment.
    Through,
    /// The same; attaches a segment that cannot be read otherwise, if its size is possible for an object.
    Inside,
    /// The same, and searches more of the segment.
    Closely,
    /// The same; attaches every segment that cannot be read otherwise.
    Everything,
}

impl Facts {
    pub fn gather(look: Look) -> Result<Facts, Error> {
        let (statuses, mut attachments) = Facts::consistent()?;
        let unseen = attachments.unseen;
        let mut census = Census::default();
        let memory = memory_use();
        let segments = statuses
            .into_iter()
            .map(|status| {
                let attached = attachments.take(status.id);
                let memory = memory.get(&status.id).copied();
                let mut fact = Fact::new(status, attached, memory, &mut census);
                fact.look_inside(look);
                fact
            })
            .collect();
        Ok(Facts {
            segments,
            limits: backend::limits().ok(),
            look,
            unseen,
        })
    }

    /// Lists the segments and their users, again if a process attached or detached a segment in between.
    fn consistent() -> Result<(Vec<Status>, Attachments), Error> {
        const TRIES: usize = 4;
        let mut statuses = Segment::list()?;
        let mut attachments = Attachments::of(&statuses);
        for _ in 1..TRIES {
            if !attachments.misses(&statuses) {
                break;
            }
            let now = Segment::list()?;
            if now == statuses {
                break;
            }
            statuses = now;
            attachments = Attachments::of(&statuses);
        }
        Ok((statuses, attachments))
    }

    /// Returns how many pages all segments have together.
    pub fn pages(&self) -> u64 {
        let page = process::page_size();
        let sizes = self.segments.iter().map(|fact| fact.status.size as u64);
        sizes.map(|size| size.div_ceil(page)).sum()
    }

    /// Returns how many bytes all segments have together, which can be more than 64 bits count.
    pub fn bytes(&self) -> u128 {
        let sizes = self.segments.iter().map(|fact| fact.status.size as u128);
        sizes.sum()
    }

    /// Returns whether not all processes were found that have segments attached.
    pub fn is_partial(&self) -> bool {
        self.segments.iter().any(|fact| fact.hidden() > 0)
    }
}

impl Fact {
    fn new(
        status: Status,
        attached: Vec<Attached>,
        memory: Option<(u64, Option<u64>)>,
        census: &mut Census,
    ) -> Fact {
        let creator = census.at(status.cpid, status.changed_at);
        let last_use = status.attached_at.max(status.detached_at);
        let last = last_use.map(|_| census.at(status.lpid, last_use));
        let (resident, swapped) = memory.unzip();
        let swapped = swapped.flatten();
        Fact {
            idle: last_use.and_then(|time| time.elapsed().ok()),
            status,
            creator,
            last,
            attached,
            seen: Seen::default(),
            resident,
            swapped,
        }
    }

    /// Returns a segment by its id; `None` if there is none.
    pub fn of(id: i32, look: Look) -> Result<Option<Fact>, Error> {
        let facts = Facts::gather(Look::Outside)?;
        let found = facts.segments.into_iter().find(|fact| fact.status.id == id);
        Ok(found.map(|mut fact| {
            fact.look_inside(look);
            fact
        }))
    }

    /// Finds the objects in the segment.
    pub fn look_inside(&mut self, look: Look) {
        let memory = self.resident.zip(self.swapped);
        let memory = memory.map(|(resident, swapped)| resident.saturating_add(swapped));
        self.seen = objects::look(&self.status, &self.attached, look, memory);
        self.learn_creator();
    }

    /// The kernel records the creator's id, which a younger process can have now. An object's header
    /// identifies its creator exactly: if that is the creator, it also shows whether the creator is live.
    pub fn learn_creator(&mut self) {
        let Some(known) = self.object().map(|object| object.creator) else {
            return;
        };
        let creator = &mut self.creator;
        if creator.pid as u32 == known.id && known.life != Life::Unknown {
            let is_live = known.life == Life::Live;
            creator.name = is_live.then(|| process::name_of(creator.pid)).flatten();
            creator.life = known.life;
        }
    }

    /// Returns the object that the segment begins with.
    pub fn object(&self) -> Option<&Contents> {
        let first = self.seen.objects.first();
        first
            .filter(|found| found.offset == 0)
            .map(|found| &found.contents)
    }

    /// Returns whether it is a token of life: the library makes one in a process that shares objects with
    /// processes of other PID namespaces, and the kernel destroys it when that process ends.
    pub fn is_token(&self) -> bool {
        let status = &self.status;
        status.removed && status.size == 1 && status.nattch > 0
    }

    /// Returns what it holds for a later process, in words.
    pub fn data(&self) -> Option<&'static str> {
        self.seen.objects.iter().find_map(objects::Found::data)
    }

    /// Returns whether shmkey is the last user, because it attached the segment to read it.
    pub fn is_looked_at(&self) -> bool {
        self.seen.attached || self.last.is_some() && self.status.lpid == std::process::id() as i32
    }

    /// Returns whether no process has it attached and its creator is dead; `None` if that is unknown.
    pub fn orphan(&self) -> Option<bool> {
        match (self.status.nattch, self.creator.life) {
            (1.., _) | (0, Life::Live) => Some(false),
            (0, Life::Dead) => Some(true),
            (0, Life::Unknown) => None,
        }
    }

    pub fn is_orphan(&self) -> bool {
        self.orphan() == Some(true)
    }

    /// Returns whether this process may remove it.
    pub fn is_ours(&self) -> bool {
        is_ours(&self.status)
    }

    /// Returns whether it has huge pages; `None` if no process was found that has it attached, because only the memory
    /// maps of a process show it.
    pub fn huge(&self) -> Option<bool> {
        self.attached.first().map(|attached| attached.huge)
    }

    /// Returns how long ago it was created, or its owner or mode last changed.
    pub fn age(&self) -> Option<Duration> {
        self.status.changed_at?.elapsed().ok()
    }

    /// Returns how many of its attachments were not found.
    pub fn hidden(&self) -> u64 {
        let found: u64 = self.attached.iter().map(|attached| attached.areas).sum();
        self.status.nattch.saturating_sub(found)
    }
}

/// Returns the status of a segment; `None` if there is no such segment.
pub fn status(id: i32) -> Result<Option<Status>, Error> {
    match Segment::from_id(id).status() {
        Ok(status) => Ok(Some(status)),
        Err(error) if is_gone(error.kind()) => Ok(None),
        // IPC_STAT needs read permission, which the mode may deny even to the owner; the list does not.
        Err(_) => Ok(Segment::list()?.into_iter().find(|status| status.id == id)),
    }
}

/// Returns whether an error says that the segment does not exist.
pub fn is_gone(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NoSuchSegment | ErrorKind::Removed)
}

/// Returns whether this process may remove a segment.
pub fn is_ours(status: &Status) -> bool {
    let us = uzers::get_effective_uid();
    us == 0 || [status.uid, status.cuid].contains(&us)
}

/// Returns how many bytes of a segment are swapped out; `None` if the kernel does not show it.
pub fn swapped(id: i32) -> Option<u64> {
    memory_use().get(&id).and_then(|&(_, swapped)| swapped)
}

/// Returns how many bytes of each segment are in memory and swapped out, by id. A file does not show the latter.
pub fn memory_use() -> HashMap<i32, (u64, Option<u64>)> {
    if namespace::is_user() {
        let space = namespace::space();
        return space.map(|(id, bytes)| (id, (bytes, None))).collect();
    }
    let text = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    let mut lines = text.lines();
    let names: Vec<&str> = lines
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
        .collect();
    let column = |name| names.iter().position(|&found| found == name);
    let (Some(id), Some(rss), Some(swap)) = (column("shmid"), column("rss"), column("swap")) else {
        return HashMap::new();
    };
    lines
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let number = |column: usize| fields.get(column)?.parse::<u64>().ok();
            Some((
                i32::try_from(number(id)?).ok()?,
                (number(rss)?, number(swap)),
            ))
        })
        .collect()
}
