//! Finds the objects in a segment: at its beginning, and at multiples of 64 bytes (`Place::within`).
//!
//! Looking changes as little as the kernel allows. Attaching a segment changes its last user and its time of last use;
//! reading a page that was never written allocates memory. So shmkey reads a segment through the processes that have it
//! attached, in pages that they have in memory; and attaches it only if it cannot read the memory of such a process.

use crate::{
    attached::Attached,
    facts::Look,
    process::{self, Memory},
    sparse::Sparse,
};
use shmkey::{Contents, Error, Holding, Segment, Status};
use std::{collections::BTreeMap, ops::Range};

/// An object in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub offset: u64,
    pub contents: Contents,
}

impl Found {
    /// Returns whether a range of bytes of the segment overlaps the object.
    pub fn overlaps(&self, range: &Range<u64>) -> bool {
        let len = self.contents.size.saturating_add(BEFORE_PAYLOAD);
        self.offset < range.end && range.start < self.offset.saturating_add(len)
    }

    /// Returns what the object holds for a later process, in words.
    pub fn data(&self) -> Option<&'static str> {
        match &self.contents.holding {
            Holding::Ring { used: 1.., .. } => Some("undelivered messages"),
            Holding::Latest {
                version: 1..,
                publisher: None,
                ..
            } => Some("a published value"),
            Holding::Broadcast {
                published: 1..,
                publisher: None,
                ..
            } => Some("published messages"),
            // Scripts use these one after the other, and no process has them in between.
            Holding::Semaphore { .. } => Some("a semaphore's count"),
            // The next owner of one whose owner is dead repairs the value. One that is lost can only be removed.
            Holding::Mutex { lost: false, .. } => Some("a mutex"),
            Holding::RwLock { lost: false, .. } => Some("a reader-writer lock"),
            Holding::Condvar { .. } => Some("a condition variable"),
            _ => None,
        }
    }
}

/// What was found in a segment.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Sorted by offset.
    pub objects: Vec<Found>,
    /// The segment may hold an object, and this process has no permission to read it.
    pub closed: bool,
    /// The segment was not read, because that needs an attachment.
    pub unread: bool,
    /// shmkey has attached the segment to read it, so the kernel records shmkey as its last user.
    pub attached: bool,
}

/// How much of a segment is searched: this many pages that have memory, in this many bytes from the beginning.
struct Bounds {
    pages: usize,
    span: u64,
}

impl Look {
    fn bounds(self) -> Bounds {
        match self {
            Look::Outside | Look::Through | Look::Inside => Bounds {
                pages: 64,
                span: 1 << 30,
            },
            Look::Closely | Look::Everything => Bounds {
                pages: 1 << 14,
                span: 1 << 36,
            },
        }
    }
}

/// Finds the objects in a segment, of which `memory` bytes are in memory or swapped out.
pub fn look(status: &Status, attached: &[Attached], look: Look, memory: Option<u64>) -> Seen {
    let mut seen = Seen::default();
    // No process has ever written to the segment.
    if look == Look::Outside || memory == Some(0) {
        return seen;
    }
    let size = status.size as u64;
    let is_likely = Contents::may_be_in(status.size);
    let peers = Peers::of(attached);
    if !peers.0.is_empty() {
        seen.objects = peers.search(size, is_likely, &look.bounds());
    } else if look == Look::Through || !is_likely && look != Look::Everything {
        seen.unread = true;
    } else {
        let found = attach(status.id, &look.bounds());
        seen.closed = found.is_err();
        seen.attached = found.is_ok();
        seen.objects = found.unwrap_or_default();
    }
    seen
}

/// Attaches a segment and searches it.
fn attach(id: i32, bounds: &Bounds) -> Result<Vec<Found>, Error> {
    let memory = Sparse::attach(&Segment::from_id(id))?;
    let mut search = Search::new(memory.size() as u64, |offset, len| {
        let mut bytes = vec![0; len];
        memory.read_at(offset as usize, &mut bytes).ok()?;
        Some(bytes)
    });
    // In steps, so that no more is asked for than is searched.
    const STEP: usize = 64 << 20;
    let page = process::page_size() as usize;
    let end = memory.size().min(bounds.span as usize);
    let parts = (0..end).step_by(STEP);
    let data = parts.flat_map(|start| memory.data(start..start.saturating_add(STEP).min(end)));
    let pages = data.flat_map(|data| (data.start..data.end).step_by(page));
    pages
        .take(bounds.pages)
        .for_each(|page| search.page(page as u64));
    Ok(search.found)
}

/// Processes that have a segment attached, and whose memory this process may read.
struct Peers<'a>(Vec<(&'a Attached, u64, Memory)>);

impl Peers<'_> {
    fn of(attached: &[Attached]) -> Peers<'_> {
        // A few of many processes have the pages in memory that all of them use.
        const MOST: usize = 4;
        let readable = attached
            .iter()
            .filter_map(|attached| Some((attached, attached.address?, Memory::of(attached.pid)?)));
        Peers(readable.take(MOST).collect())
    }

    fn search(&self, size: u64, is_likely: bool, bounds: &Bounds) -> Vec<Found> {
        let page = process::page_size();
        // For the offset of each page, a process that has the page in memory.
        let mut pages: BTreeMap<u64, usize> = BTreeMap::new();
        for (number, (attached, address, memory)) in self.0.iter().enumerate() {
            let span = attached.len.min(bounds.span);
            let touched = memory.touched(*address, span, bounds.pages);
            pages.extend(touched.into_iter().map(|offset| (offset, number)));
        }
        // The kernel may have reclaimed the page of the header; reading it can cost one page of memory.
        if is_likely {
            pages.entry(0).or_insert(0);
        }
        let mut search = Search::new(size, |offset, len| {
            let holder = pages.get(&(offset - offset % page))?;
            let (attached, address, memory) = self.0.get(*holder)?;
            let is_mapped = offset + len as u64 <= attached.len;
            is_mapped.then(|| memory.read(address + offset, len))?
        });
        pages
            .keys()
            .take(bounds.pages)
            .for_each(|&page| search.page(page));
        search.found
    }
}

/// A search from the beginning to the end of a segment.
struct Search<R> {
    size: u64,
    read: R,
    found: Vec<Found>,
    /// Where the next object can begin: objects do not overlap.
    next: u64,
}

/// The first bytes of each object, and its alignment.
const MAGIC: &[u8] = b"shmkey\r\n";
const ALIGN: usize = 64;
/// The bytes that an object takes before its payload.
const BEFORE_PAYLOAD: u64 = 1024;
/// The bytes that are read of each object. Only a reader-writer lock has more that count, and reading more could
/// allocate a page.
const SHORT: usize = 1536;
/// A limit on the objects of one segment, whose contents may be hostile.
const MOST: usize = 1000;

impl<R: FnMut(u64, usize) -> Option<Vec<u8>>> Search<R> {
    fn new(size: u64, read: R) -> Search<R> {
        Search {
            size,
            read,
            found: Vec::new(),
            next: 0,
        }
    }

    /// Searches a page, which begins at this offset of the segment.
    fn page(&mut self, at: u64) {
        let end = self.size.min(at + process::page_size());
        if end <= self.next || self.found.len() >= MOST {
            return;
        }
        let Some(bytes) = (self.read)(at, (end - at) as usize) else {
            return;
        };
        for (number, piece) in bytes.chunks(ALIGN).enumerate() {
            let offset = at + (number * ALIGN) as u64;
            if offset >= self.next && piece.starts_with(MAGIC) {
                self.object(offset);
            }
        }
    }

    /// Adds the object at this offset, if there is one.
    fn object(&mut self, offset: u64) {
        let room = self.size - offset;
        let mut look = |len: usize| {
            let len = room.min(len as u64) as usize;
            (self.read)(offset, len).and_then(|bytes| Contents::of(&bytes))
        };
        let contents = match look(SHORT) {
            Some(short) if matches!(short.holding, Holding::RwLock { .. }) => look(Contents::LEN),
            short => short,
        };
        let Some(contents) = contents else {
            return;
        };
        let len = contents.size.checked_add(BEFORE_PAYLOAD);
        match len.and_then(|len| len.checked_add(offset)) {
            Some(end) if end <= self.size => self.next = end,
            // The segment was created for this object, whose header is damaged.
            _ if offset == 0 => {}
            _ => return,
        }
        self.found.push(Found { offset, contents });
    }
}
