//! `shmkey remove`.

use crate::{
    backend,
    columns::{self, Form},
    facts::{Fact, Facts, Look, is_gone, is_ours, status},
    list::{Filter, Kind},
    output::{self, Failure},
    summary,
    target::Target,
    words,
};
use clap::{ArgGroup, Args};
use shmkey::{Contents, Segment, Status};
use std::{
    io::{self, BufRead, IsTerminal, Write},
    thread,
    time::Duration,
};

#[derive(Args)]
#[command(group(ArgGroup::new("what").required(true).args(["segments", "orphans"])))]
pub struct Options {
    /// The segments: ids, keys or names
    ///
    /// A segment that a process has attached is removed by its id or its key, but not by its name.
    #[arg(
        value_name = "SEGMENT",
        required_unless_present = "orphans",
        conflicts_with = "filter",
        allow_negative_numbers = true,
        add = crate::complete::segments()
    )]
    segments: Vec<Target>,
    #[command(flatten)]
    kind: Kind,
    /// Remove all orphans: segments that no process has attached and whose creator is dead
    ///
    /// On a terminal, shmkey asks first; otherwise it needs --yes. It attaches segments that may hold an object, to see
    /// whether they hold data for a later process. A segment created by shmkey create is an orphan until a process
    /// attaches it.
    #[arg(long, conflicts_with = "kind")]
    orphans: bool,
    #[command(flatten)]
    filter: Filter,
    /// Only orphans that were created or changed (owner, mode) at least this long ago: 90s, 10min, 2h, 1day
    #[arg(long, value_name = "TIME", value_parser = time, requires = "orphans", conflicts_with = "segments")]
    older_than: Option<Duration>,
    /// Also remove orphans that hold data for a later process: messages, a value, a count, a lock, a condition variable
    ///
    /// A published value counts as data if its publisher has released its role.
    #[arg(long, requires = "orphans", conflicts_with = "segments")]
    with_data: bool,
    /// Print what would be removed, and remove nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Remove without asking
    #[arg(long, short)]
    yes: bool,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    if options.orphans {
        return orphans(options);
    }
    let dry_run = options.dry_run;
    output::each(&options.segments, |target| {
        if options.kind.is_other() {
            other(options.kind, target, dry_run)
        } else {
            one(target, dry_run)
        }
    })
}

/// Removes a semaphore array or a message queue.
fn other(kind: Kind, target: &Target, dry_run: bool) -> Result<String, Failure> {
    let entry = kind.find(target)?;
    let (what, id) = (kind.name(), entry.id);
    if dry_run {
        let us = uzers::get_effective_uid();
        if us != 0 && ![entry.uid, entry.cuid].contains(&us) {
            return Err(Failure::Because(not_yours(
                &format!("the {what}"),
                target,
                entry.uid,
            )));
        }
        return Ok(format!("would remove {what} {id}\n"));
    }
    kind.remove(id)?;
    Ok(format!("removed {what} {id}\n"))
}

fn not_yours(what: &str, target: &Target, owner: u32) -> String {
    format!(
        "{what} {target} belongs to {}; {OTHERS}",
        words::user(owner)
    )
}

const OTHERS: &str = "only its owner, its creator and root can remove it";

/// Returns the command that removes a segment, or who can remove it if this process cannot.
pub fn removal(status: &Status) -> String {
    if is_ours(status) {
        format!("{} remove {} removes it", backend::command(), status.id)
    } else {
        OTHERS.to_owned()
    }
}

fn one(target: &Target, dry_run: bool) -> Result<String, Failure> {
    let status = target.status()?;
    let id = status.id;
    if status.nattch > 0 && matches!(target, Target::Name(_)) {
        return Err(Failure::Because(format!(
            "the segment {target} is attached by {}, so its name is not enough to remove it; {}",
            users(id)?,
            removal(&status)
        )));
    }
    if dry_run && !is_ours(&status) {
        return Err(Failure::Because(not_yours(
            "the segment",
            target,
            status.uid,
        )));
    }
    if status.removed {
        return Ok(format!("{id} was already removed{}\n", rest(id)?));
    }
    if dry_run {
        return Ok(format!("would remove {id}\n"));
    }
    let because = |error| Failure::Because(target.explain(error));
    Segment::from_id(id).remove().map_err(because)?;
    Ok(format!("removed {id}{}\n", rest(id)?))
}

/// Returns which processes still have a removed segment attached, in words.
fn rest(id: i32) -> Result<String, Failure> {
    Ok(match status(id)? {
        Some(status) if status.nattch > 0 => {
            let users = users(id)?;
            format!("; its memory is freed when the last of these processes detaches it: {users}")
        }
        _ => String::new(),
    })
}

fn users(id: i32) -> Result<String, Failure> {
    let fact = Fact::of(id, Look::Outside)?;
    let users = fact.as_ref().and_then(columns::users);
    Ok(users.unwrap_or_else(|| "another process".to_owned()))
}

/// Removes the orphans.
fn orphans(options: &Options) -> Result<(), Failure> {
    let mine = chosen(options)?;
    if mine.is_empty() {
        return output::print("There are no orphans to remove.\n");
    }
    let what = words::count(mine.len() as u64, "segment");
    if options.dry_run || !options.yes {
        let fields = columns::usual_of(columns::SEGMENTS);
        let form = Form::default();
        let table = columns::table(&fields, &mine, form, false, output::width()).join("\n");
        output::print(&format!("{table}\n\n"))?;
    }
    if options.dry_run {
        return output::print(&format!("{what} would be removed.\n"));
    }
    if !options.yes {
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Err(Failure::Because(
                "nothing was removed: where shmkey cannot ask on a terminal, it needs --yes"
                    .to_owned(),
            ));
        }
        if !agrees()? {
            return output::print("Nothing was removed.\n");
        }
    }
    output::each(&mine, |fact| {
        let id = fact.status.id;
        if !still_orphan(fact)? {
            return Ok(format!("{id} is no longer an orphan\n"));
        }
        match Segment::from_id(id).remove() {
            // Another process has removed it.
            Err(error) if is_gone(error.kind()) => Ok(format!("{id} was already removed\n")),
            done => {
                done?;
                Ok(format!("removed {id}{}\n", rest(id)?))
            }
        }
    })
}

/// Returns the orphans to remove, and prints how many are left alone and why.
fn chosen(options: &Options) -> Result<Vec<Fact>, Failure> {
    let mut unused = Facts::gather(Look::Outside)?.segments;
    options.filter.apply(&mut unused)?;
    let old_enough = |fact: &Fact| match options.older_than {
        Some(least) => fact.age().is_some_and(|age| age >= least),
        None => true,
    };
    unused.retain(|fact| fact.status.nattch == 0 && !fact.status.removed && old_enough(fact));
    for fact in &mut unused {
        // A header identifies the creator more exactly than the kernel. Segments that will not be removed are not read.
        let is_likely = Contents::may_be_in(fact.status.size);
        if fact.is_ours() && (is_likely || fact.orphan() != Some(false) && !options.with_data) {
            fact.look_inside(Look::Everything);
        }
    }
    let left_alone = |what: String| output::print(&output::note(&what));
    let unclear: Vec<&Fact> = unused
        .iter()
        .filter(|fact| fact.orphan().is_none())
        .collect();
    if !unclear.is_empty() {
        let creators = if unclear.len() == 1 {
            "its creator is live"
        } else {
            "their creators are live"
        };
        left_alone(format!(
            "{} left alone, which no process has attached: it is unknown whether {creators}.",
            words::count(unclear.len() as u64, "segment")
        ))?;
    }
    unused.retain(Fact::is_orphan);
    let (mut mine, others): (Vec<Fact>, Vec<Fact>) = unused.into_iter().partition(Fact::is_ours);
    if !others.is_empty() {
        let orphans = words::count(others.len() as u64, "orphan");
        left_alone(format!("{orphans} of other users left alone."))?;
    }
    if !options.with_data {
        let data = |fact: &&Fact| fact.data().is_some();
        leave_alone(&mine, data, |data| {
            let kinds = summary::kinds_of_data(data);
            format!(
                "{} data for a later process ({kinds})",
                summary::they_hold(data)
            )
        })?;
        leave_alone(
            &mine,
            |fact| fact.seen.closed,
            |closed| {
                format!(
                    "you have no permission to read what {}",
                    summary::they_hold(closed)
                )
            },
        )?;
        mine.retain(|fact| fact.data().is_none() && !fact.seen.closed);
    }
    Ok(mine)
}

/// Prints which orphans are left alone, and why.
fn leave_alone(
    all: &[Fact],
    which: impl Fn(&&Fact) -> bool,
    why: impl Fn(&[&Fact]) -> String,
) -> Result<(), Failure> {
    let orphans: Vec<&Fact> = all.iter().filter(which).collect();
    if orphans.is_empty() {
        return Ok(());
    }
    output::print(&output::note(&format!(
        "{} left alone, because {}: {}; --with-data removes {}, too.",
        words::count(orphans.len() as u64, "orphan"),
        why(&orphans),
        ids(&orphans),
        summary::them(&orphans),
    )))
}

/// `ids 7, 32770`.
fn ids(segments: &[&Fact]) -> String {
    let ids = segments.iter().map(|fact| fact.status.id.to_string());
    let ids = ids.collect::<Vec<_>>().join(", ");
    match segments.len() {
        1 => format!("id {ids}"),
        _ => format!("ids {ids}"),
    }
}

/// Returns whether no process has attached the segment since it was listed: the key of a segment in use must not be
/// freed. A process that attaches it between this check and the removal is not noticed.
fn still_orphan(fact: &Fact) -> Result<bool, Failure> {
    Ok(is_unused(fact)? || {
        // Another shmkey may have it attached for a moment, to read it.
        thread::sleep(Duration::from_millis(5));
        is_unused(fact)?
    })
}

fn is_unused(fact: &Fact) -> Result<bool, Failure> {
    let now = status(fact.status.id)?;
    Ok(now.is_some_and(|now| now.nattch == 0 && now.cpid == fact.status.cpid))
}

fn agrees() -> Result<bool, Failure> {
    let mut out = io::stderr();
    write!(out, "Remove all of these? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "expected a duration such as 90s, 10min, 2h or 1day".to_owned())
}
