//! `shmkey show`.

use crate::{
    facts::{Fact, Look},
    json, list,
    objects::Found,
    output::{self, Failure},
    target::Target,
    words,
};
use anstyle::Style;
use clap::Args;
use shmkey::{Contents, Holding};
use std::time::SystemTime;

#[derive(Args)]
pub struct Options {
    /// The segment: its id, its key or its name
    #[arg(value_hint = clap::ValueHint::Other, allow_negative_numbers = true)]
    segment: Target,
    #[command(flatten)]
    looking: list::Looking,
    /// Look for objects also in a segment that can only be read by attaching it, and was not made for
    /// one: the kernel then records shmkey as its last user
    #[arg(long, conflicts_with = "no_contents")]
    contents: bool,
    /// For programs: one JSON object, described in shmkey-list(1)
    #[arg(long)]
    json: bool,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let look = if options.contents {
        Look::Everything
    } else {
        Look::Closely
    };
    let fact = find(&options.segment, options.looking.or(look))?;
    if options.json {
        return output::print(&json::segment(&fact));
    }
    let lines = lines(&fact);
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let bold = Style::new().bold();
    let room = output::width().map_or(usize::MAX, |all| all.saturating_sub(width + 2));
    let mut text = String::new();
    for (name, what) in &lines {
        let mut what = words::wrapped(what, room).into_iter();
        let first = what.next().unwrap_or_default();
        text += &format!("{bold}{name:<width$}{bold:#}  {first}\n");
        for more in what {
            text += &format!("{:width$}  {more}\n", "");
        }
    }
    output::print(&text)
}

/// The segment that is meant, and all that can be found out about it.
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
    let when = |time: Option<SystemTime>| {
        let Some(time) = time else {
            return "never".to_owned();
        };
        match time.elapsed() {
            Ok(ago) => format!("{} ({} ago)", words::moment(time), words::span(ago)),
            Err(_) => words::moment(time),
        }
    };
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
        ("used by", list::users(fact)),
        ("created by", words::process(&fact.creator)),
        ("last used by", last_user(fact)),
        ("attached", when(status.attached_at)),
        ("detached", when(status.detached_at)),
        ("changed", when(status.changed_at)),
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
            "yes: its memory goes when the last process lets go of it".to_owned(),
        ));
    }
    if status.locked {
        lines.push(("locked", "yes: it is never swapped out".to_owned()));
    }
    if let Some(huge) = fact.huge() {
        lines.push(("huge pages", if huge { "yes" } else { "no" }.to_owned()));
    }
    if fact.is_orphan() {
        let mut what =
            "yes: no process has it attached, and the process that created it has ended".to_owned();
        if let Some(data) = fact.data() {
            what += &format!("; but it holds {data}");
        }
        let remedy = match fact.is_ours() {
            true => format!("shmkey remove {} removes it", status.id),
            false => "its owner, its creator and root can remove it".to_owned(),
        };
        lines.push(("orphan", format!("{what}; {remedy}")));
    }
    lines.extend(holds(fact));
    lines
}

fn last_user(fact: &Fact) -> String {
    let last = fact.last.as_ref();
    let last = last.map_or("nobody".to_owned(), words::process);
    match fact.is_looked_at() {
        true => format!("{last}; and now by shmkey, to see what it holds"),
        false => last,
    }
}

fn key(fact: &Fact) -> String {
    match fact.status.key.is_private() {
        true if fact.status.removed => "none: it has been removed".to_owned(),
        true => "none: it is private, and found by its id only".to_owned(),
        false => words::key(fact.status.key),
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
    match (status.cuid, status.cgid) == (status.uid, status.gid) {
        true => owner,
        false => format!(
            "{owner}; created by {} (uid {}, gid {})",
            words::user(status.cuid),
            status.cuid,
            status.cgid
        ),
    }
}

/// `the owner reads and writes, others read`.
fn permissions(mode: u32) -> String {
    let may = |bits: u32| match bits & 0o6 {
        0o6 => Some("read and write"),
        0o4 => Some("read"),
        0o2 => Some("write"),
        _ => None,
    };
    let who = [("its owner", 6), ("its group", 3), ("all others", 0)];
    let said: Vec<String> = who
        .into_iter()
        .filter_map(|(who, shift)| Some(format!("{who} may {}", may(mode >> shift)?)))
        .collect();
    match said.is_empty() {
        true => "nobody may use it, but for root".to_owned(),
        false => said.join(", "),
    }
}

/// What it holds.
fn holds(fact: &Fact) -> Vec<(&'static str, String)> {
    let objects = &fact.seen.objects;
    if fact.is_token() {
        let what = list::holds(fact);
        return vec![(
            "holds",
            format!("{what}: it shows other PID namespaces that this process is live"),
        )];
    }
    if fact.seen.closed {
        return vec![("holds", "you may not look into it".to_owned())];
    }
    if fact.seen.unread {
        let command = format!("shmkey show --contents {}", fact.status.id);
        let why = "unknown, because it can only be read by attaching it";
        return vec![("holds", format!("{why}; {command} attaches it"))];
    }
    objects.iter().flat_map(object).collect()
}

/// What is known of an object.
fn object(found: &Found) -> Vec<(&'static str, String)> {
    let contents: &Contents = &found.contents;
    let someone = |party: &Option<_>| party.as_ref().map_or("nobody".to_owned(), words::party);
    let mut lines = vec![
        ("holds", words::kind_at(found)),
        ("state", words::state(contents)),
        ("made by", words::party(&contents.maker)),
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
            lines.push(("publisher", someone(publisher)));
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
                format!("{capacity} bytes, of which {used} in use"),
            ));
            let who: Vec<String> = senders.iter().map(words::party).collect();
            let who = match who.is_empty() {
                true => "nobody".to_owned(),
                false => who.join(", "),
            };
            let kind = if *many_senders { " (one of many)" } else { "" };
            lines.push(("sender", format!("{who}{kind}")));
            if *many_senders {
                let lock = sending.as_ref().map_or("free".to_owned(), |thread| {
                    format!("held by {}", words::party(thread))
                });
                lines.push(("senders' lock", lock));
            }
            lines.push(("receiver", someone(receiver)));
            if *drops_oldest {
                lines.push(("when full", "the oldest message is dropped".to_owned()));
            }
        }
        _ => {}
    }
    lines
}
