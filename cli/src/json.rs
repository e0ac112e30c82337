//! The list for programs. The names and their meaning stay; new ones may be added. See
//! `shmkey-list(1)`, which is made from [`SCHEMA`].

use crate::{
    facts::{Fact, Facts},
    process::Named,
    words,
};
use serde::Serialize;
use shmkey::{Contents, Holding, Life, Party};
use std::time::SystemTime;

/// What the fields mean.
pub const SCHEMA: &str = "\
schema: 1, as long as these names mean this.
segments: a list, an object for each:
  id, key (a signed number, as in /proc/sysvipc/shm; 0 for none), size (bytes), nattch (how many times it is attached),
  mode (permission bits, as a number) and mode_text (\"0600\"),
  uid, gid, cuid, cgid (owner and creator), owner (the user's name, or its number),
  cpid, lpid (who created it; who attached or detached it last),
  atime, dtime, ctime (last attached, detached, changed: seconds since 1970; 0 for never),
  rss, swap (bytes in memory, bytes swapped out; null if unknown),
  removed, locked (true or false), orphan, huge (null if unknown),
  creator, last: pid, life (\"alive\", \"dead\", \"unknown\"), name (null unless alive); last is
    null if nobody has used it,
  attached: a list of pid, name, times, areas (of memory, which nattch counts), read_only;
  unseen: how many of nattch are not in it,
  closed: it may hold something, and could not be looked into,
  looked_at: it was attached to see what it holds, and so shmkey is its last user now; lpid, last, atime and dtime are
    what they were before,
  data: of an orphan, what it keeps for a later process (\"undelivered messages\", \"a published value\"); null if nothing,
  token: it is a token of life of its creator, a process that shares objects with other PID namespaces,
  contents: null, or what a managed segment holds: kind (\"mutex\", \"semaphore\", \"latest\",
    \"ring\"), name, layout, ready, maker (id, life, elsewhere), made (seconds since 1970), size (bytes), and
    of a mutex: owner (null or id, life, elsewhere), suspect, lost;
    of a semaphore: value;
    of a latest value: version, value_size, publisher;
    of a ring: capacity, used, dropped, many_senders, drops_oldest, senders, receiver,
      sending (the thread that holds the senders' lock, null or id, life, elsewhere);
    elsewhere: the id is not known to be one of this PID namespace.
  within: a list of the objects that were found behind its beginning: offset (bytes), and what contents has. Pages are
    searched that are in the memory of a process that has the segment attached: list searches 64 of them in the first
    GiB, show 16384 in the first 64 GiB.
totals: segments, bytes, pages of all segments, whatever was filtered.
limits: shmmni (segments), shmmax (bytes of one), shmall (pages of all), page_size (bytes);
  null if unknown.
complete: whether all who have a segment attached were found.";

#[derive(Serialize)]
struct List<'a> {
    schema: u32,
    segments: Vec<Segment>,
    totals: &'a Totals,
    limits: Limits,
    complete: bool,
}

/// What all segments are together.
#[derive(Serialize)]
pub struct Totals {
    pub segments: u64,
    pub bytes: u128,
    pub pages: u64,
}

#[derive(Serialize)]
struct Limits {
    shmmni: Option<u64>,
    shmmax: Option<u64>,
    shmall: Option<u64>,
    page_size: u64,
}

#[derive(Serialize)]
struct Segment {
    id: i32,
    key: i32,
    size: usize,
    nattch: u64,
    mode: u32,
    mode_text: String,
    uid: u32,
    gid: u32,
    cuid: u32,
    cgid: u32,
    owner: String,
    cpid: i32,
    lpid: i32,
    atime: u64,
    dtime: u64,
    ctime: u64,
    rss: Option<u64>,
    swap: Option<u64>,
    removed: bool,
    locked: bool,
    orphan: Option<bool>,
    huge: Option<bool>,
    creator: Process,
    last: Option<Process>,
    attached: Vec<Attached>,
    unseen: u64,
    closed: bool,
    looked_at: bool,
    data: Option<&'static str>,
    token: bool,
    contents: Option<Object>,
    within: Vec<Within>,
}

#[derive(Serialize)]
struct Within {
    offset: u64,
    #[serde(flatten)]
    object: Object,
}

#[derive(Serialize)]
struct Process {
    pid: i32,
    life: &'static str,
    name: Option<String>,
}

#[derive(Serialize)]
struct Attached {
    pid: i32,
    name: String,
    times: u64,
    areas: u64,
    read_only: bool,
}

#[derive(Serialize)]
struct Object {
    name: String,
    layout: String,
    ready: bool,
    maker: Someone,
    made: u64,
    size: u64,
    #[serde(flatten)]
    holding: Kind,
}

#[derive(Serialize)]
struct Someone {
    id: u32,
    life: &'static str,
    elsewhere: bool,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Kind {
    Mutex {
        owner: Option<Someone>,
        suspect: bool,
        lost: bool,
    },
    Semaphore {
        value: u32,
    },
    Latest {
        version: u64,
        value_size: u32,
        publisher: Option<Someone>,
    },
    Ring {
        capacity: u64,
        used: u64,
        dropped: u64,
        many_senders: bool,
        drops_oldest: bool,
        senders: Vec<Someone>,
        receiver: Option<Someone>,
        sending: Option<Someone>,
    },
    Unknown,
}

impl Totals {
    pub fn of(facts: &Facts) -> Totals {
        Totals {
            segments: facts.segments.len() as u64,
            bytes: facts.bytes(),
            pages: facts.pages(),
        }
    }
}

/// The list as one line of JSON.
pub fn list(facts: &Facts, totals: &Totals) -> String {
    line(&List {
        schema: 1,
        segments: facts.segments.iter().map(Segment::of).collect(),
        totals,
        limits: Limits {
            shmmni: facts.limits.shmmni,
            shmmax: facts.limits.shmmax,
            shmall: facts.limits.shmall,
            page_size: facts.limits.page,
        },
        complete: !facts.is_partial(),
    })
}

/// One segment as one line of JSON.
pub fn segment(fact: &Fact) -> String {
    line(&Segment::of(fact))
}

fn line(value: &impl Serialize) -> String {
    // Only maps with other keys than texts, and writers that fail, make this an error.
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}

impl Segment {
    fn of(fact: &Fact) -> Segment {
        let status = &fact.status;
        Segment {
            id: status.id,
            key: status.key.as_raw(),
            size: status.size,
            nattch: status.nattch,
            mode: status.mode,
            mode_text: format!("{:04o}", status.mode),
            uid: status.uid,
            gid: status.gid,
            cuid: status.cuid,
            cgid: status.cgid,
            owner: words::user(status.uid),
            cpid: status.cpid,
            lpid: status.lpid,
            atime: seconds(status.attached_at),
            dtime: seconds(status.detached_at),
            ctime: seconds(status.changed_at),
            rss: fact.resident,
            swap: fact.swapped,
            removed: status.removed,
            locked: status.locked,
            orphan: fact.orphan(),
            huge: fact.huge(),
            creator: Process::of(&fact.creator),
            last: fact.last.as_ref().map(Process::of),
            attached: fact
                .attached
                .iter()
                .map(|attached| Attached {
                    pid: attached.pid,
                    name: attached.name.clone(),
                    times: attached.times,
                    areas: attached.areas,
                    read_only: attached.read_only,
                })
                .collect(),
            unseen: fact.hidden(),
            closed: fact.seen.closed,
            looked_at: fact.is_looked_at(),
            data: fact.data().filter(|_| fact.is_orphan()),
            token: fact.is_token(),
            contents: fact.object().map(Object::of),
            within: fact
                .seen
                .objects
                .iter()
                .filter(|found| found.offset > 0)
                .map(|found| Within {
                    offset: found.offset,
                    object: Object::of(&found.contents),
                })
                .collect(),
        }
    }
}

impl Process {
    fn of(named: &Named) -> Process {
        Process {
            pid: named.pid,
            life: life(named.life),
            name: named.name.clone(),
        }
    }
}

impl Someone {
    fn of(party: &Party) -> Someone {
        Someone {
            id: party.id,
            life: life(party.life),
            elsewhere: party.elsewhere,
        }
    }
}

impl Object {
    fn of(contents: &Contents) -> Object {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Object {
            name: text(&contents.name),
            layout: text(&contents.layout),
            ready: contents.ready,
            maker: Someone::of(&contents.maker),
            made: seconds(contents.made_at),
            size: contents.size,
            holding: Kind::of(&contents.holding),
        }
    }
}

impl Kind {
    fn of(holding: &Holding) -> Kind {
        let someone = |party: &Option<Party>| party.as_ref().map(Someone::of);
        match holding {
            Holding::Mutex {
                owner,
                suspect,
                lost,
            } => Kind::Mutex {
                owner: someone(owner),
                suspect: *suspect,
                lost: *lost,
            },
            Holding::Semaphore { value } => Kind::Semaphore { value: *value },
            Holding::Latest {
                version,
                value_size,
                publisher,
            } => Kind::Latest {
                version: *version,
                value_size: *value_size,
                publisher: someone(publisher),
            },
            Holding::Ring {
                capacity,
                used,
                dropped,
                many_senders,
                drops_oldest,
                senders,
                receiver,
                sending,
            } => Kind::Ring {
                capacity: *capacity,
                used: *used,
                dropped: *dropped,
                many_senders: *many_senders,
                drops_oldest: *drops_oldest,
                senders: senders.iter().map(Someone::of).collect(),
                receiver: someone(receiver),
                sending: someone(sending),
            },
            _ => Kind::Unknown,
        }
    }
}

fn life(life: Life) -> &'static str {
    match life {
        Life::Alive => "alive",
        Life::Dead => "dead",
        Life::Unknown => "unknown",
    }
}

fn seconds(time: Option<SystemTime>) -> u64 {
    time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok())
        .map_or(0, |time| time.as_secs())
}
