//! `shmkey remove`.

use crate::{
    facts::{Fact, Facts, Look, is_gone, is_ours, status},
    list,
    output::{self, Failure, complain},
    target::Target,
    words,
};
use clap::{ArgGroup, Args};
use shmkey::Segment;
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
        value_hint = clap::ValueHint::Other
    )]
    segments: Vec<Target>,
    /// All that nobody uses and whose creator has ended. On a terminal it asks first; in a script,
    /// without a terminal, it does not. What shmkey create has made is one of them until a program
    /// uses it
    #[arg(long)]
    orphans: bool,
    /// Only those that have been there for so long, since they were created or their owner or mode
    /// was changed: 90s, 10min, 2h, 1day
    #[arg(long, value_name = "TIME", value_parser = time, requires = "orphans", conflicts_with = "segments")]
    older_than: Option<Duration>,
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
    let fact = Fact::of(id)?;
    Ok(fact.map_or("somebody".to_owned(), |fact| list::users(&fact)))
}

/// Removes what nobody uses any more.
fn orphans(options: &Options) -> Result<(), Failure> {
    // To look inside would be to use them.
    let facts = Facts::gather(Look::Outside)?;
    let unclear = facts.segments.iter().filter(|fact| fact.orphan().is_none());
    let unclear = unclear.count() as u64;
    if unclear > 0 {
        output::print(&output::note(&format!(
            "{} that nobody uses left alone: it cannot be told whether their creators live.",
            words::count(unclear, "segment")
        )))?;
    }
    let old_enough = |fact: &Fact| match options.older_than {
        Some(least) => fact.age().is_some_and(|age| age >= least),
        None => true,
    };
    let (mine, others): (Vec<Fact>, Vec<Fact>) = facts
        .segments
        .into_iter()
        .filter(|fact| fact.is_orphan() && !fact.status.removed && old_enough(fact))
        .partition(Fact::is_ours);
    if !others.is_empty() {
        let orphans = words::count(others.len() as u64, "orphan");
        output::print(&output::note(&format!(
            "{orphans} of other users left alone."
        )))?;
    }
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
    if !options.yes && io::stdin().is_terminal() && !agrees()? {
        return output::print("Nothing was removed.\n");
    }
    // Somebody looks, who cannot be asked.
    if !options.yes && !io::stdin().is_terminal() && io::stdout().is_terminal() {
        return Err(Failure::Because(
            "nothing was removed, as nobody can be asked; say --yes".to_owned(),
        ));
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
