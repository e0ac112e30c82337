//! `shmkey remove`.

use crate::{
    facts::{Fact, Facts, Look, is_gone, is_ours, status},
    list::{self, Filter},
    output::{self, Failure, complain},
    target::Target,
    words,
};
use clap::{ArgGroup, Args};
use shmkey::{Contents, Segment};
use std::{
    io::{self, BufRead, IsTerminal, Write},
    thread,
    time::Duration,
};

#[derive(Args)]
#[command(group(ArgGroup::new("what").required(true).args(["segments", "orphans"])))]
pub struct Options {
    /// The segments: ids, keys or names. One that is in use is removed by its id or key, but not by
    /// its name
    #[arg(
        value_name = "SEGMENT",
        required_unless_present = "orphans",
        conflicts_with = "filter",
        allow_negative_numbers = true,
        value_hint = clap::ValueHint::Other
    )]
    segments: Vec<Target>,
    /// All orphans: segments that no process has attached, and whose creator has ended. On a terminal
    /// it asks first; without one, --yes is needed. What shmkey create has made is an orphan until a
    /// program uses it. To see what they hold, they are attached for a moment
    #[arg(long)]
    orphans: bool,
    #[command(flatten)]
    filter: Filter,
    /// Only those that have been there for so long, since they were created or their owner or mode
    /// was changed: 90s, 10min, 2h, 1day
    #[arg(long, value_name = "TIME", value_parser = time, requires = "orphans", conflicts_with = "segments")]
    older_than: Option<Duration>,
    /// Also those that hold data for a later process: a ring with undelivered messages, a latest value
    /// that was published and whose publisher has released its role
    #[arg(long, requires = "orphans", conflicts_with = "segments")]
    with_data: bool,
    /// Only show what would be removed
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    match options.orphans {
        true => orphans(options),
        false => each(&options.segments, |target| one(target, options.dry_run)),
    }
}

/// Removes all, and goes on after what cannot be removed.
fn each<T>(
    all: &[T],
    mut remove: impl FnMut(&T) -> Result<String, Failure>,
) -> Result<(), Failure> {
    let mut failed = false;
    for one in all {
        match remove(one) {
            Ok(said) => output::print(&said)?,
            Err(Failure::Because(why)) => {
                complain(why);
                failed = true;
            }
            Err(failure) => return Err(failure),
        }
    }
    match failed {
        true => Err(Failure::Said),
        false => Ok(()),
    }
}

fn one(target: &Target, dry_run: bool) -> Result<String, Failure> {
    let status = target.status()?;
    let id = status.id;
    if status.nattch > 0 && matches!(target, Target::Name(_)) {
        return Err(Failure::Because(format!(
            "the segment {target} is in use by {}; shmkey remove {id} removes it all the same",
            users(id)?
        )));
    }
    if dry_run && !is_ours(&status) {
        return Err(Failure::Because(format!(
            "the segment {target} belongs to {}; only its owner, its creator and root can remove it",
            words::user(status.uid)
        )));
    }
    if dry_run {
        return Ok(format!("would remove {id}\n"));
    }
    let because = |error| Failure::Because(target.explain(error));
    Segment::from_id(id).remove().map_err(because)?;
    Ok(format!("removed {id}{}\n", rest(id)?))
}

/// What is to be said of one that was removed: who still has it. That can also be somebody who came
/// in the very moment.
fn rest(id: i32) -> Result<String, Failure> {
    Ok(match status(id)? {
        Some(status) if status.nattch > 0 => {
            format!("; its memory goes when it is let go of by {}", users(id)?)
        }
        _ => String::new(),
    })
}

fn users(id: i32) -> Result<String, Failure> {
    let fact = Fact::of(id, Look::Outside)?;
    Ok(fact.map_or("somebody".to_owned(), |fact| list::users(&fact)))
}

/// Removes what no process uses any more.
fn orphans(options: &Options) -> Result<(), Failure> {
    let mine = chosen(options)?;
    if mine.is_empty() {
        return output::print("There are no orphans to remove.\n");
    }
    let what = words::count(mine.len() as u64, "segment");
    if options.dry_run || !options.yes {
        let table = list::lines(&mine, output::width()).join("\n");
        output::print(&format!("{table}\n\n"))?;
    }
    if options.dry_run {
        return output::print(&format!("{what} would be removed.\n"));
    }
    if !options.yes {
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Err(Failure::Because(
                "nothing was removed: without a terminal to ask on, --yes is needed".to_owned(),
            ));
        }
        if !agrees()? {
            return output::print("Nothing was removed.\n");
        }
    }
    let mut removed = 0;
    let done = each(&mine, |fact| {
        let id = fact.status.id;
        if !still_orphan(fact)? {
            return Ok(format!("{id} is no orphan any more.\n"));
        }
        match Segment::from_id(id).remove() {
            // Somebody else has done it.
            Err(error) if is_gone(error.kind()) => return Ok(String::new()),
            done => done?,
        }
        removed += 1;
        Ok(match rest(id)? {
            rest if rest.is_empty() => rest,
            rest => format!("removed {id}{rest}\n"),
        })
    });
    output::print(&format!("Removed {}.\n", words::count(removed, "segment")))?;
    done
}

/// Returns the orphans to remove, and prints what is left alone.
fn chosen(options: &Options) -> Result<Vec<Fact>, Failure> {
    let mut unused = Facts::gather(Look::Outside)?.segments;
    options.filter.apply(&mut unused)?;
    let old_enough = |fact: &Fact| match options.older_than {
        Some(least) => fact.age().is_some_and(|age| age >= least),
        None => true,
    };
    unused.retain(|fact| fact.status.nattch == 0 && !fact.status.removed && old_enough(fact));
    for fact in &mut unused {
        // What cannot be removed anyway is not looked into; what was made for an object may name its
        // creator more exactly than the kernel.
        let is_likely = Contents::may_be_in(fact.status.size);
        if fact.is_ours() && (is_likely || fact.orphan() != Some(false) && !options.with_data) {
            fact.look_inside(Look::Everything);
        }
    }
    let left_alone = |what: String| output::print(&output::note(&what));
    let unclear = unused.iter().filter(|fact| fact.orphan().is_none());
    let unclear = unclear.count() as u64;
    if unclear > 0 {
        let creators = if unclear == 1 {
            "its creator lives"
        } else {
            "their creators live"
        };
        left_alone(format!(
            "{} left alone that no process uses: it is unknown whether {creators}.",
            words::count(unclear, "segment")
        ))?;
    }
    unused.retain(Fact::is_orphan);
    let (mut mine, others): (Vec<Fact>, Vec<Fact>) = unused.into_iter().partition(Fact::is_ours);
    if !others.is_empty() {
        let orphans = words::count(others.len() as u64, "orphan");
        left_alone(format!("{orphans} of other users left alone."))?;
    }
    if options.with_data {
        return Ok(mine);
    }
    let data: Vec<&Fact> = mine.iter().filter(|fact| fact.data().is_some()).collect();
    if !data.is_empty() {
        left_alone(format!(
            "{} left alone, because {} data for a later process ({}): {}; --with-data removes {}, too.",
            words::count(data.len() as u64, "orphan"),
            list::they_hold(&data),
            list::kinds_of_data(&data),
            ids(&data),
            list::them(&data),
        ))?;
    }
    let closed: Vec<&Fact> = mine.iter().filter(|fact| fact.seen.closed).collect();
    if !closed.is_empty() {
        left_alone(format!(
            "{} left alone, because you may not read what {}: {}; --with-data removes {}, too.",
            words::count(closed.len() as u64, "orphan"),
            list::they_hold(&closed),
            ids(&closed),
            list::them(&closed),
        ))?;
    }
    mine.retain(|fact| fact.data().is_none() && !fact.seen.closed);
    Ok(mine)
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

/// Whether nobody has come since it was listed. (Between this and the removal there is nothing that
/// could take long.) To remove it then would take its key away from those who use it.
fn still_orphan(fact: &Fact) -> Result<bool, Failure> {
    Ok(is_unused(fact)? || {
        // It may only have been looked at.
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
        .map_err(|_| format!("{text} is no time: say 90s, 10min, 2h or 1day"))
}
