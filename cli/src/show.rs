//! `shmkey show`.

use crate::{
    backend, columns,
    facts::{Fact, Look},
    json,
    list::{self, Kind},
    objects::Found,
    others::{self, Entry},
    output::{self, Failure},
    target::Target,
    words,
};
use anstyle::Style;
use clap::Args;
use shmkey::{Contents, Holding, Party};
use std::time::SystemTime;

#[derive(Args)]
pub struct Options {
    /// The segments: ids, keys or names
    #[arg(value_name = "SEGMENT", required = true, allow_negative_numbers = true, add = crate::complete::segments())]
    segments: Vec<Target>,
    #[command(flatten)]
    kind: Kind,
    #[command(flatten)]
    looking: list::Looking,
    /// Attach a segment, if need be, to look for objects
    ///
    /// Without this option, shmkey attaches only a segment that may have been created for an object. shmkey becomes
    /// the last user of a segment that it attaches.
    #[arg(long, conflicts_with = "no_contents")]
    contents: bool,
    /// Print a JSON object for each segment on a line; shmkey-list(1) describes it
    #[arg(long)]
    json: bool,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let look = if options.contents {
        Look::Everything
    } else {
        Look::Closely
    };
    let mut gap = "";
    output::each(&options.segments, |target| {
        let (text, json) = if options.kind.is_other() {
            let entry = options.kind.find(target)?;
            (page(&other(&entry)), json::line(&json::other(&entry)))
        } else {
            let fact = find(target, options.looking.or(look))?;
            (page(&lines(&fact)), json::line(&json::segment(&fact)))
        };
        if options.json {
            return Ok(json);
        }
        Ok(std::mem::replace(&mut gap, "\n").to_owned() + &text)
    })
}

/// Returns lines of a name and a text each, aligned.
fn page(lines: &[(&'static str, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let bold = Style::new().bold();
    let room = output::width().map_or(usize::MAX, |all| all.saturating_sub(width + 2));
    let mut text = String::new();
    for (name, what) in lines {
        let mut what = words::wrapped(what, room).into_iter();
        let first = what.next().unwrap_or_default();
        text += &format!("{bold}{name:<width$}{bold:#}  {first}\n");
        for more in what {
            text += &format!("{:width$}  {more}\n", "");
        }
    }
    text
}

/// Returns what can be found out about a segment.
fn find(target: &Target, look: Look) -> Result<Fact, Failure> {
    let because = |error| Failure::Because(target.explain(error));
    let segment = target.find().map_err(because)?;
    let gone = || Failure::Because(target.missing());
    Fact::of(segment.id(), look)
        .map_err(because)?
        .ok_or_else(gone)
}

fn lines(fact: &Fact) -> Vec<(&'static str, String)> {
    let status = &fact.status;
    let mut lines = vec![
        ("id", status.id.to_string()),
        ("key", key(fact)),
        (
            "size",
            match status.size {
                0..1024 => words::count(status.size as u64, "byte"),
                size => format!("{size} bytes ({})", words::size(size as u64)),
            },
        ),
        ("owner", owner(fact)),
        (
            "mode",
            format!("{:04o}: {}", status.mode, permissions(status.mode)),
        ),
        ("attached by", columns::users(fact).unwrap_or_else(none)),
        ("creator", words::process(&fact.creator)),
        ("last user", last_user(fact)),
        ("last attached", when(status.attached_at)),
        ("last detached", when(status.detached_at)),
        ("last changed", when(status.changed_at)),
    ];
    if let (Some(resident), Some(swapped)) = (fact.resident, fact.swapped) {
        let swapped = match swapped {
            0 => String::new(),
            swapped => format!(", {} swapped out", words::size(swapped)),
        };
        lines.push(("in memory", format!("{}{swapped}", words::size(resident))));
    }
    if status.removed {
        lines.push((
            "removed",
            "yes: its memory is freed when the last process detaches it".to_owned(),
        ));
    }
    if status.locked {
        let effect = if backend::is_user() {
            "yes, without effect: the user backend locks no memory"
        } else {
            "yes: it is never swapped out"
        };
        lines.push(("locked", effect.to_owned()));
    }
    if let Some(huge) = fact.huge() {
        lines.push(("huge pages", if huge { "yes" } else { "no" }.to_owned()));
    }
    if fact.is_orphan() {
        let data = fact.data().map(|data| format!(" It holds {data}."));
        let remedy = if fact.is_ours() {
            format!("{} remove {} removes it.", backend::command(), status.id)
        } else {
            "Its owner, its creator and root can remove it.".to_owned()
        };
        let what = "yes: no process has it attached, and its creator is dead.";
        let data = data.unwrap_or_default();
        lines.push(("orphan", format!("{what}{data} {remedy}")));
    }
    lines.extend(holds(fact));
    lines
}

fn none() -> String {
    "-".to_owned()
}

/// `2026-11-21 13:00:00 CET (2 h ago)`.
fn when(time: Option<SystemTime>) -> String {
    let Some(time) = time else {
        return "never".to_owned();
    };
    match time.elapsed() {
        Ok(ago) => format!("{} ({} ago)", words::moment(time), words::span(ago)),
        Err(_) => words::moment(time),
    }
}

/// What is known of a semaphore array or a message queue.
fn other(entry: &Entry) -> Vec<(&'static str, String)> {
    let user = |uid, gid| format!("{} (uid {uid}, gid {gid})", words::user(uid));
    let mut lines = vec![
        ("id", entry.id.to_string()),
        ("key", words::key(entry.key)),
        ("owner", user(entry.uid, entry.gid)),
        ("creator", user(entry.cuid, entry.cgid)),
        (
            "mode",
            format!("{:04o}: {}", entry.mode, permissions(entry.mode)),
        ),
        ("last changed", when(entry.changed_at)),
    ];
    if entry.kind.semaphores {
        lines.push(("last operation", when(entry.used_at)));
        lines.push(("semaphores", entry.count.to_string()));
        lines.extend(semaphores(entry));
    } else {
        let process = |named: &Option<_>| named.as_ref().map_or_else(none, words::process);
        lines.extend([
            ("last sent", when(entry.sent_at)),
            ("last sender", process(&entry.sender)),
            ("last received", when(entry.received_at)),
            ("last receiver", process(&entry.receiver)),
            ("messages", entry.count.to_string()),
            ("bytes", format!("{} of {}", entry.bytes, entry.limit)),
        ]);
    }
    lines
}

/// A line for each semaphore of an array.
fn semaphores(entry: &Entry) -> Vec<(&'static str, String)> {
    let all = match others::semaphores_of(entry) {
        Ok(all) => all,
        Err(Failure::Because(why)) => return vec![("values", format!("unknown: {why}"))],
        Err(_) => return Vec::new(),
    };
    let semaphore = |(number, semaphore): (usize, others::Semaphore)| {
        let (growth, zero) = semaphore.waiting;
        let mut text = format!("{number}: value {}", semaphore.value);
        let pid = (semaphore.pid != 0).then(|| format!("last changed by {}", semaphore.pid));
        let growth = (growth > 0).then(|| format!("{growth} waiting for it to grow"));
        let zero = (zero > 0).then(|| format!("{zero} waiting for 0"));
        for part in [pid, growth, zero].into_iter().flatten() {
            text += &format!(", {part}");
        }
        ("semaphore", text)
    };
    all.into_iter().enumerate().map(semaphore).collect()
}

fn last_user(fact: &Fact) -> String {
    let last = fact.last.as_ref().map_or_else(none, words::process);
    let since = "; since then shmkey, which attached the segment to read it";
    last + if fact.is_looked_at() { since } else { "" }
}

fn key(fact: &Fact) -> String {
    if !fact.status.key.is_private() {
        words::key(fact.status.key)
    } else if fact.status.removed {
        "none: the segment is removed".to_owned()
    } else {
        "none: the segment is private, and processes open it by its id".to_owned()
    }
}

fn owner(fact: &Fact) -> String {
    let status = &fact.status;
    let owner = format!(
        "{} (uid {}, gid {})",
        words::user(status.uid),
        status.uid,
        status.gid
    );
    if (status.cuid, status.cgid) == (status.uid, status.gid) {
        return owner;
    }
    format!(
        "{owner}; created by {} (uid {}, gid {})",
        words::user(status.cuid),
        status.cuid,
        status.cgid
    )
}

/// `the owner reads and writes, others read`.
fn permissions(mode: u32) -> String {
    let may = |bits: u32| match bits & 0o6 {
        0o6 => Some("read and write"),
        0o4 => Some("read"),
        0o2 => Some("write"),
        _ => None,
    };
    let who = [("the owner", 6), ("the group", 3), ("others", 0)];
    let said: Vec<String> = who
        .into_iter()
        .filter_map(|(who, shift)| Some(format!("{who} may {}", may(mode >> shift)?)))
        .collect();
    if said.is_empty() {
        "only root may use it".to_owned()
    } else {
        said.join(", ")
    }
}

/// What objects it holds.
fn holds(fact: &Fact) -> Vec<(&'static str, String)> {
    let objects = &fact.seen.objects;
    if fact.is_token() {
        let what = columns::object(fact);
        return vec![(
            "object",
            format!("{what}: it shows other PID namespaces that this process is live"),
        )];
    }
    if fact.seen.closed {
        return vec![(
            "object",
            "unknown: you have no permission to read the segment".to_owned(),
        )];
    }
    if fact.seen.unread {
        let command = format!("{} show --contents {}", backend::command(), fact.status.id);
        let why = "unknown: shmkey cannot read the segment without attaching it";
        return vec![("object", format!("{why}; {command} attaches it"))];
    }
    objects.iter().flat_map(object).collect()
}

/// What is known of an object.
fn object(found: &Found) -> Vec<(&'static str, String)> {
    let contents: &Contents = &found.contents;
    let holder = |party: &Option<_>| party.as_ref().map_or_else(none, words::party);
    let all = |parties: &[Party]| {
        let all: Vec<String> = parties.iter().map(words::party).collect();
        if all.is_empty() {
            none()
        } else {
            all.join(", ")
        }
    };
    let mut lines = vec![
        ("object", words::kind_at(found)),
        ("state", words::state(contents)),
        ("created by", words::party(&contents.creator)),
    ];
    if !contents.layout.is_empty() {
        let layout = String::from_utf8_lossy(&contents.layout);
        lines.push(("layout", words::plain(&layout)));
    }
    match &contents.holding {
        Holding::Latest {
            value_size,
            publisher,
            ..
        } => {
            lines.push(("value", words::count(u64::from(*value_size), "byte")));
            lines.push(("publisher", holder(publisher)));
        }
        Holding::RwLock {
            writer,
            next,
            readers,
            ..
        } => {
            lines.push(("writer", holder(writer)));
            lines.push(("next", holder(next)));
            lines.push(("readers", all(readers)));
        }
        Holding::Ring {
            capacity,
            used,
            many_senders,
            drops_oldest,
            senders,
            receiver,
            sending,
            ..
        } => {
            lines.push((
                "capacity",
                format!("{capacity} bytes, {used} of them in use"),
            ));
            let title = if *many_senders { "senders" } else { "sender" };
            lines.push((title, all(senders)));
            if *many_senders {
                let lock = sending.as_ref().map_or("free".to_owned(), |thread| {
                    format!("held by {}", words::party(thread))
                });
                lines.push(("lock of senders", lock));
            }
            lines.push(("receiver", holder(receiver)));
            if *drops_oldest {
                lines.push(("when full", "the oldest message is dropped".to_owned()));
            }
        }
        Holding::Broadcast {
            capacity,
            used,
            lossy,
            publisher,
            subscribers,
            ..
        } => {
            lines.push((
                "capacity",
                format!("{capacity} bytes, {used} of them in use"),
            ));
            lines.push(("publisher", holder(publisher)));
            lines.push(("subscribers", all(subscribers)));
            let full = if *lossy {
                "the oldest messages are overwritten"
            } else {
                "the publisher waits for the slowest subscriber"
            };
            lines.push(("when full", full.to_owned()));
        }
        _ => {}
    }
    lines
}
