//! All that is known of the segments of this machine, gathered from the kernel and `/proc`.

use crate::{
    attached::{Attached, Attachments},
    objects::{self, Seen},
    process::{self, Census, Named},
};
use shmkey::{Contents, Error, ErrorKind, Life, Segment, Status};
use std::{collections::HashMap, fs, time::Duration};

/// A segment, and those who have to do with it.
#[derive(Clone, Debug)]
pub struct Fact {
    /// As it was before it was looked into.
    pub status: Status,
    pub creator: Named,
    /// The process that attached or detached it last; `None` if none has.
    pub last: Option<Named>,
    /// How long ago that was.
    pub idle: Option<Duration>,
    /// As far as they could be found.
    pub attached: Vec<Attached>,
    /// What it holds, as far as it was looked into.
    pub seen: Seen,
    /// How much of it is in memory, and how much is swapped out, in bytes.
    pub resident: Option<u64>,
    pub swapped: Option<u64>,
}

/// All segments, and what the kernel allows.
pub struct Facts {
    pub segments: Vec<Fact>,
    pub limits: Limits,
    /// How much was found out.
    pub look: Look,
    /// How many processes could not be asked what they have attached.
    pub unseen: usize,
}

/// The kernel's limits, by its own names; `None` if `/proc` does not tell.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many segments there may be.
    pub shmmni: Option<u64>,
    /// The largest segment, in bytes.
    pub shmmax: Option<u64>,
    /// How many pages all segments may have together.
    pub shmall: Option<u64>,
    /// The size of a page, in bytes.
    pub page: u64,
}

/// How much to find out. Less is faster, and changes less: see `objects`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// What the kernel says.
    Outside,
    /// And the objects near the beginning of segments, where that is possible without attaching.
    Through,
    /// And the objects at the beginning of segments, near it if that is possible without attaching.
    /// A segment that no process has attached is attached only if it may have been made for an object.
    Inside,
    /// The same, and further behind.
    Closely,
    /// The same; and every segment is attached that can only be read that way.
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
            limits: Limits::read(),
            look,
            unseen,
        })
    }

    /// The segments, and the processes that have them attached: looked at again if one was missed that attached or
    /// detached in between.
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

    /// How many pages all segments have together.
    pub fn pages(&self) -> u64 {
        let page = self.limits.page;
        let sizes = self.segments.iter().map(|fact| fact.status.size as u64);
        sizes.map(|size| size.div_ceil(page)).sum()
    }

    /// How many bytes they have. Segments without memory behind them can be more than there is.
    pub fn bytes(&self) -> u128 {
        let sizes = self.segments.iter().map(|fact| fact.status.size as u128);
        sizes.sum()
    }

    /// Whether for some segment fewer processes were found than have it attached.
    pub fn is_partial(&self) -> bool {
        self.segments.iter().any(|fact| fact.hidden() > 0)
    }
}

impl Fact {
    fn new(
        status: Status,
        attached: Vec<Attached>,
        memory: Option<(u64, u64)>,
        census: &mut Census,
    ) -> Fact {
        let creator = census.at(status.cpid, status.changed_at);
        let last_use = status.attached_at.max(status.detached_at);
        let last = last_use.map(|_| census.at(status.lpid, last_use));
        let (resident, swapped) = memory.unzip();
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

    /// Gathers what is known of one segment.
    pub fn of(id: i32, look: Look) -> Result<Option<Fact>, Error> {
        let facts = Facts::gather(Look::Outside)?;
        let found = facts.segments.into_iter().find(|fact| fact.status.id == id);
        Ok(found.map(|mut fact| {
            fact.look_inside(look);
            fact
        }))
    }

    /// Finds out what it holds.
    pub fn look_inside(&mut self, look: Look) {
        let memory = self.resident.zip(self.swapped);
        let memory = memory.map(|(resident, swapped)| resident.saturating_add(swapped));
        self.seen = objects::look(&self.status, &self.attached, look, memory);
        self.learn_creator();
    }

    /// The kernel records the creator's id, which a younger process can have now. An object's header
    /// identifies its maker exactly: if that is the creator, it also shows whether the creator is live.
    pub fn learn_creator(&mut self) {
        let Some(maker) = self.object().map(|object| object.maker) else {
            return;
        };
        let creator = &mut self.creator;
        if creator.pid as u32 == maker.id && maker.life != Life::Unknown {
            let is_alive = maker.life == Life::Alive;
            creator.name = is_alive.then(|| process::name_of(creator.pid)).flatten();
            creator.life = maker.life;
        }
    }

    /// The object that it begins with.
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

    /// Returns what it keeps for a process that comes later, in words.
    pub fn data(&self) -> Option<&'static str> {
        self.seen.objects.iter().find_map(objects::Found::data)
    }

    /// Returns whether this process is its last user, because it has attached it to read what it holds.
    pub fn is_looked_at(&self) -> bool {
        self.seen.attached || self.last.is_some() && self.status.lpid == std::process::id() as i32
    }

    /// Returns whether no process has it attached and its creator is dead; `None` if that is unknown.
    pub fn orphan(&self) -> Option<bool> {
        match (self.status.nattch, self.creator.life) {
            (1.., _) | (0, Life::Alive) => Some(false),
            (0, Life::Dead) => Some(true),
            (0, Life::Unknown) => None,
        }
    }

    pub fn is_orphan(&self) -> bool {
        self.orphan() == Some(true)
    }

    /// Whether this process may remove it.
    pub fn is_ours(&self) -> bool {
        is_ours(&self.status)
    }

    /// Whether it is made of huge pages; `None` if no process was found that has it attached, for only
    /// then the kernel tells.
    pub fn huge(&self) -> Option<bool> {
        self.attached.first().map(|attached| attached.huge)
    }

    /// How long ago it was created, or its owner or mode last changed.
    pub fn age(&self) -> Option<Duration> {
        self.status.changed_at?.elapsed().ok()
    }

    /// How many of those who have it attached were not found.
    pub fn hidden(&self) -> u64 {
        let found: u64 = self.attached.iter().map(|attached| attached.areas).sum();
        self.status.nattch.saturating_sub(found)
    }
}

/// How a segment is, from the kernel alone; `None` if there is none.
pub fn status(id: i32) -> Result<Option<Status>, Error> {
    match Segment::from_id(id).status() {
        Ok(status) => Ok(Some(status)),
        Err(error) if is_gone(error.kind()) => Ok(None),
        // Its mode keeps even its owner from asking.
        Err(_) => Ok(Segment::list()?.into_iter().find(|status| status.id == id)),
    }
}

/// Whether something failed because there is no such segment any more.
pub fn is_gone(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NoSuchSegment | ErrorKind::Removed)
}

/// Whether this process may remove a segment.
pub fn is_ours(status: &Status) -> bool {
    let us = uzers::get_effective_uid();
    us == 0 || [status.uid, status.cuid].contains(&us)
}

/// Returns how much of a segment is swapped out, in bytes; `None` if the kernel does not say.
pub fn swapped(id: i32) -> Option<u64> {
    memory_use().get(&id).map(|&(_, swapped)| swapped)
}

/// How much of each segment is in memory and swapped out, by id.
pub fn memory_use() -> HashMap<i32, (u64, u64)> {
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
                (number(rss)?, number(swap)?),
            ))
        })
        .collect()
}

impl Limits {
    fn read() -> Limits {
        let limit = |name| {
            let text = fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?;
            text.trim().parse().ok()
        };
        Limits {
            shmmni: limit("shmmni"),
            shmmax: limit("shmmax"),
            shmall: limit("shmall"),
            page: process::page_size(),
        }
    }
}
