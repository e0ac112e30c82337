//! What `--json` prints. The names and their meaning stay; new ones may be added. `shmkey-list(1)` describes them:
//! `cli/man/list.md`.

use crate::{
    backend::Namespace,
    facts::{Fact, Facts},
    others::Entry,
    process::{self, Named},
    words,
};
use serde::Serialize;
use serde_json::Value;
use shmkey::{Contents, Holding, Key, Life, Party};
use std::time::SystemTime;

/// Makes an object of JSON with these names and values.
macro_rules! object {
    ($($name:ident: $value:expr),* $(,)?) => {{
        // The type of a field is a parameter of the same name, so that no list of types is needed.
        #[allow(non_camel_case_types)]
        let object = {
            #[derive(serde::Serialize)]
            struct Object<$($name),*> {
                $($name: $name),*
            }
            Object { $($name: $value),* }
        };
        object
    }};
}
pub(crate) use object;

/// The names of both objects in one.
#[derive(Serialize)]
struct Joined<A, B> {
    #[serde(flatten)]
    first: A,
    #[serde(flatten)]
    second: B,
}

#[derive(Serialize)]
struct List<A, B, N> {
    schema: u32,
    #[serde(flatten)]
    namespace: N,
    #[serde(flatten)]
    segments: Option<A>,
    #[serde(skip_serializing_if = "Option::is_none")]
    semaphores: Option<Vec<B>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<B>>,
}

/// The sums over all segments.
#[derive(Serialize)]
pub struct Totals {
    pub segments: u64,
    pub bytes: u128,
    pub pages: u64,
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
    let others = |all: Option<Vec<Entry>>| all.map(|all| all.iter().map(other).collect());
    line(&List {
        schema: 1,
        namespace: namespace(),
        segments: segments.map(|(facts, totals)| {
            object! {
                segments: facts.segments.iter().map(segment).collect::<Vec<_>>(),
                totals: totals,
                limits: object! {
                    shmmni: facts.limits.map(|limits| limits.shmmni),
                    shmmax: facts.limits.map(|limits| limits.shmmax),
                    shmall: facts.limits.map(|limits| limits.shmall),
                    page_size: process::page_size(),
                },
                complete: !facts.is_partial(),
            }
        }),
        semaphores: others(semaphores),
        messages: others(messages),
    })
}

/// Returns which namespace the segments are in.
pub fn namespace() -> impl Serialize {
    let namespace = Namespace::current();
    object! {
        backend: namespace.backend(),
        directory: namespace.directory().map(|path| path.to_string_lossy().into_owned()),
        ipc_namespace: namespace.ipc(),
    }
}

/// Returns a value as one line of JSON.
pub fn line(value: &impl Serialize) -> String {
    // Only maps with other keys than texts, and writers that fail, make this an error.
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}

/// Returns a segment as an object of JSON.
pub fn segment(fact: &Fact) -> impl Serialize {
    let status = &fact.status;
    let attached = fact.attached.iter().map(|attached| {
        object! {
            pid: attached.pid,
            name: attached.name.clone(),
            times: attached.times,
            areas: attached.areas,
            read_only: attached.read_only,
        }
    });
    let within = fact.seen.objects.iter().filter(|found| found.offset > 0);
    let within = within.map(|found| Joined {
        first: object! { offset: found.offset },
        second: contents(&found.contents),
    });
    object! {
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
        creator: process(&fact.creator),
        last: fact.last.as_ref().map(process),
        attached: attached.collect::<Vec<_>>(),
        unseen: fact.hidden(),
        closed: fact.seen.closed,
        looked_at: fact.is_looked_at(),
        data: fact.data().filter(|_| fact.is_orphan()),
        token: fact.is_token(),
        contents: fact.object().map(contents),
        within: within.collect::<Vec<_>>(),
    }
}

/// Returns a semaphore array or a message queue as an object of JSON.
pub fn other(entry: &Entry) -> impl Serialize + use<> {
    let pid = |named: &Option<Named>| named.as_ref().map_or(0, |named| named.pid);
    let detail = if entry.kind.semaphores {
        value(object! { nsems: entry.count, otime: seconds(entry.used_at) })
    } else {
        value(object! {
            qnum: entry.count,
            cbytes: entry.bytes,
            qbytes: entry.limit,
            lspid: pid(&entry.sender),
            lrpid: pid(&entry.receiver),
            stime: seconds(entry.sent_at),
            rtime: seconds(entry.received_at),
        })
    };
    Joined {
        first: object! {
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
        },
        second: detail,
    }
}

fn contents(contents: &Contents) -> impl Serialize + use<> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Joined {
        first: object! {
            name: text(&contents.name),
            layout: text(&contents.layout),
            ready: contents.ready,
            creator: party(&contents.creator),
            created: seconds(contents.created_at),
            size: contents.size,
        },
        second: holding(&contents.holding),
    }
}

fn holding(holding: &Holding) -> Value {
    let role = |role: &Option<Party>| role.as_ref().map(party);
    match holding {
        Holding::Mutex {
            owner,
            suspect,
            lost,
        } => value(object! { kind: "mutex", owner: role(owner), suspect: suspect, lost: lost }),
        Holding::Semaphore { value: count } => value(object! { kind: "semaphore", value: count }),
        Holding::Latest {
            version,
            value_size,
            publisher,
        } => value(object! {
            kind: "latest",
            version: version,
            value_size: value_size,
            publisher: role(publisher),
        }),
        Holding::Ring {
            capacity,
            used,
            dropped,
            many_senders,
            drops_oldest,
            senders,
            receiver,
            sending,
        } => value(object! {
            kind: "ring",
            capacity: capacity,
            used: used,
            dropped: dropped,
            many_senders: many_senders,
            drops_oldest: drops_oldest,
            senders: senders.iter().map(party).collect::<Vec<_>>(),
            receiver: role(receiver),
            sending: role(sending),
        }),
        Holding::RwLock {
            writer,
            next,
            readers,
            suspect,
            lost,
        } => value(object! {
            kind: "rwlock",
            writer: role(writer),
            next: role(next),
            readers: readers.iter().map(party).collect::<Vec<_>>(),
            suspect: suspect,
            lost: lost,
        }),
        Holding::Condvar {
            notifications,
            waited_for,
        } => value(object! {
            kind: "condvar",
            notifications: notifications,
            waited_for: waited_for,
        }),
        Holding::Broadcast {
            capacity,
            used,
            published,
            lossy,
            publisher,
            subscribers,
        } => value(object! {
            kind: "broadcast",
            capacity: capacity,
            used: used,
            published: published,
            lossy: lossy,
            publisher: role(publisher),
            subscribers: subscribers.iter().map(party).collect::<Vec<_>>(),
        }),
        _ => value(object! { kind: "unknown" }),
    }
}

fn value(object: impl Serialize) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

fn process(named: &Named) -> impl Serialize + use<> {
    object! { pid: named.pid, life: life(named.life), name: named.name.clone() }
}

fn party(party: &Party) -> impl Serialize + use<> {
    object! { id: party.id, life: life(party.life), elsewhere: party.elsewhere }
}

/// `0x4102002f`; `None` for no key.
fn key_hex(key: Key) -> Option<String> {
    (!key.is_private()).then(|| words::key(key))
}

fn life(life: Life) -> &'static str {
    match life {
        Life::Live => "live",
        Life::Dead => "dead",
        Life::Unknown => "unknown",
    }
}

fn seconds(time: Option<SystemTime>) -> u64 {
    let since = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_secs())
}
