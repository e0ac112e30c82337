//! The list for programs. The names and their meaning stay; new ones may be added. `shmkey-list(1)` describes them:
//! `cli/man/list.roff`.

use crate::{
    facts::{Fact, Facts},
    others::{Detail, Entry},
    process::Named,
    words,
};
use serde::Serialize;
use shmkey::{Contents, Holding, Key, Life, Party};
use std::time::SystemTime;

#[derive(Serialize)]
struct List<'a> {
    schema: u32,
    #[serde(flatten)]
    segments: Option<Segments<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    semaphores: Option<Vec<Other>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<Other>>,
}

#[derive(Serialize)]
struct Segments<'a> {
    segments: Vec<Segment>,
    totals: &'a Totals,
    limits: Limits,
    complete: bool,
}

/// A semaphore array or a message queue.
#[derive(Serialize)]
struct Other {
    id: i32,
    key: i32,
    key_hex: Option<String>,
    mode: u32,
    mode_text: String,
    uid: u32,
    gid: u32,
    cuid: u32,
    cgid: u32,
    owner: String,
    ctime: u64,
    #[serde(flatten)]
    detail: Parts,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Parts {
    Semaphores {
        nsems: u64,
        otime: u64,
    },
    Messages {
        qnum: u64,
        cbytes: u64,
        qbytes: u64,
        lspid: i32,
        lrpid: i32,
        stime: u64,
        rtime: u64,
    },
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
    key_hex: Option<String>,
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

/// Returns what was listed as one line of JSON.
pub fn list(
    segments: Option<&(Facts, Totals)>,
    semaphores: Option<Vec<Entry>>,
    messages: Option<Vec<Entry>>,
) -> String {
    let others = |all: Option<Vec<Entry>>| all.map(|all| all.iter().map(Other::of).collect());
    line(&List {
        schema: 1,
        segments: segments.map(|(facts, totals)| Segments {
            segments: facts.segments.iter().map(Segment::of).collect(),
            totals,
            limits: Limits {
                shmmni: facts.limits.shmmni,
                shmmax: facts.limits.shmmax,
                shmall: facts.limits.shmall,
                page_size: facts.limits.page,
            },
            complete: !facts.is_partial(),
        }),
        semaphores: others(semaphores),
        messages: others(messages),
    })
}

/// Returns a semaphore array or a message queue as one line of JSON.
pub fn other(entry: &Entry) -> String {
    line(&Other::of(entry))
}

/// Returns one segment as one line of JSON.
pub fn segment(fact: &Fact) -> String {
    line(&Segment::of(fact))
}

/// Returns a value as one line of JSON.
pub fn line(value: &impl Serialize) -> String {
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
            key_hex: key_hex(status.key),
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

impl Other {
    fn of(entry: &Entry) -> Other {
        let pid = |named: &Option<Named>| named.as_ref().map_or(0, |named| named.pid);
        Other {
            id: entry.id,
            key: entry.key.as_raw(),
            key_hex: key_hex(entry.key),
            mode: entry.mode,
            mode_text: format!("{:04o}", entry.mode),
            uid: entry.uid,
            gid: entry.gid,
            cuid: entry.cuid,
            cgid: entry.cgid,
            owner: words::user(entry.uid),
            ctime: seconds(entry.changed_at),
            detail: match &entry.detail {
                Detail::Semaphores { count, operated_at } => Parts::Semaphores {
                    nsems: *count,
                    otime: seconds(*operated_at),
                },
                Detail::Messages {
                    messages,
                    bytes,
                    limit,
                    sent_at,
                    received_at,
                    sender,
                    receiver,
                } => Parts::Messages {
                    qnum: *messages,
                    cbytes: *bytes,
                    qbytes: *limit,
                    lspid: pid(sender),
                    lrpid: pid(receiver),
                    stime: seconds(*sent_at),
                    rtime: seconds(*received_at),
                },
            },
        }
    }
}

/// `0x4102002f`; `None` for no key.
fn key_hex(key: Key) -> Option<String> {
    (!key.is_private()).then(|| words::key(key))
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
