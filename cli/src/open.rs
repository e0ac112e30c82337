//! Opens the object that a segment begins with.

use crate::{backend, output::Failure, sparse::Sparse, target::Target, words};
use shmkey::{Contents, ErrorKind, Holding, Key, Place, Segment};

/// A kind of object that a command works on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A mutex or a reader-writer lock.
    Lock,
    Semaphore,
}

impl Kind {
    fn is_of(self, contents: &Contents) -> bool {
        match self {
            Kind::Lock => matches!(
                contents.holding,
                Holding::Mutex { .. } | Holding::RwLock { .. }
            ),
            Kind::Semaphore => matches!(contents.holding, Holding::Semaphore { .. }),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Lock => "mutex or reader-writer lock",
            Kind::Semaphore => "semaphore",
        }
    }

    /// Returns the options that create one.
    fn created_by(self) -> &'static str {
        match self {
            Kind::Lock => "--mutex or --rwlock",
            Kind::Semaphore => "--semaphore COUNT",
        }
    }
}

/// Returns the segment, and the object that it begins with, which must be of this kind.
pub fn expect(target: &Target, kind: Kind) -> Result<(Segment, Contents), Failure> {
    let shmkey = backend::command();
    let segment = match target.find() {
        Err(error) if error.kind() == ErrorKind::KeyNotFound => {
            return Err(Failure::Because(format!(
                "there is no segment {target} ({shmkey} list shows all, and {shmkey} create {} creates one under a name)",
                kind.created_by()
            )));
        }
        _ => Segment::from_id(target.status()?.id),
    };
    match contents(&segment)? {
        Some(contents) if kind.is_of(&contents) => Ok((segment, contents)),
        Some(contents) => Err(Failure::Because(format!(
            "the segment {target} holds a {}, not a {}; {}",
            words::kind(&contents),
            kind.name(),
            used_by(&contents, shmkey)
        ))),
        None => Err(Failure::Because(format!(
            "the segment {target} holds no {}, and no other object at its beginning ({shmkey} show {} shows what it holds)",
            kind.name(),
            segment.id()
        ))),
    }
}

/// Returns how the command uses an object, as a clause.
fn used_by(contents: &Contents, shmkey: &str) -> String {
    let what = match contents.holding {
        Holding::Mutex { .. } | Holding::RwLock { .. } => "lock locks it",
        Holding::Semaphore { .. } => "wait lowers its count, and post raises it",
        Holding::Latest { .. } => "get reads it, and put publishes it",
        Holding::Ring { .. } | Holding::Broadcast { .. } => {
            "get receives its messages, and put sends them"
        }
        _ => "show shows its state",
    };
    format!("{shmkey} {what}")
}

/// Returns the object that a segment begins with.
pub fn contents(segment: &Segment) -> Result<Option<Contents>, Failure> {
    let memory = Sparse::attach(segment)?;
    let mut bytes = vec![0; memory.size().min(Contents::LEN)];
    memory.read_at(0, &mut bytes)?;
    Ok(Contents::of(&bytes))
}

/// Returns the place of the object that a segment begins with, with the object's layout name.
pub fn place(segment: &Segment, contents: &Contents) -> Result<Place, Failure> {
    let memory = match segment.attach() {
        // This is enough for a subscriber of a lossy broadcast.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => segment.attach_read_only()?,
        attached => attached?,
    };
    let layout = String::from_utf8_lossy(&contents.layout);
    let named = Place::named(&contents.name).create(false).layout(&layout);
    // Errors then name the object. Another segment may have the name since.
    if !contents.name.is_empty()
        && Segment::open(Key::from_name(&contents.name)?)
            .is_ok_and(|other| other.id() == segment.id())
    {
        return Ok(named);
    }
    let place = Place::within(memory.into(), 0).create(false);
    Ok(place.layout(&layout))
}
