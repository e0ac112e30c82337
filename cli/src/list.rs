//! `shmkey list`.

use crate::{
    columns::{self, Form},
    create,
    facts::{Fact, Facts, Look},
    json, others,
    output::{self, Failure},
    quoting::in_quotes,
    summary, words,
};
use clap::{Args, ValueEnum};
use shmkey::Key;
use std::cmp::Reverse;

#[derive(Args, Default)]
pub struct Options {
    #[command(flatten)]
    kind: Kind,
    /// List segments, semaphore arrays and message queues
    #[arg(long, short, conflicts_with = "kind")]
    all: bool,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    looking: Looking,
    #[command(flatten)]
    form: Shape,
}

/// Which kind of System V IPC: shared memory segments, unless an option says otherwise. Each has ids of its own.
#[derive(Args, Clone, Copy, Debug, Default)]
#[group(id = "kind", multiple = false)]
pub struct Kind {
    /// Semaphore arrays instead of segments
    #[arg(long)]
    pub semaphores: bool,
    /// Message queues instead of segments
    #[arg(long)]
    pub messages: bool,
}

/// The form of the list.
#[derive(Args, Default)]
struct Shape {
    /// Show these columns, in this order; shmkey-list(1) names all of them
    #[arg(
        long,
        value_name = "NAME,...",
        value_delimiter = ',',
        conflicts_with = "json"
    )]
    columns: Vec<String>,
    /// Print CSV: sizes in bytes, ages in seconds
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Show exact sizes in bytes
    #[arg(long, conflicts_with = "json")]
    bytes: bool,
    /// Print one JSON object for programs; shmkey-list(1) describes it
    #[arg(long)]
    json: bool,
    /// Print ids only, one on each line
    #[arg(long, short, conflicts_with_all = ["json", "csv", "columns", "bytes"])]
    quiet: bool,
}

/// Which segments, in which order.
#[derive(Args, Clone, Default)]
pub struct Choice {
    /// Sort by this column
    #[arg(long, value_name = "WHAT", value_enum, default_value = "id")]
    pub sort: Sort,
    /// Reverse the order
    #[arg(long, short)]
    pub reverse: bool,
    #[command(flatten)]
    pub filter: Filter,
    /// Only orphans: segments that no process has attached and whose creator is dead
    #[arg(long)]
    pub orphans: bool,
}

/// Which segments.
#[derive(Args, Clone, Default)]
#[group(id = "filter", multiple = true)]
pub struct Filter {
    /// Only those that this user owns, given by name or number
    #[arg(long, value_name = "USER")]
    pub owner: Option<String>,
    /// Only those that you own
    #[arg(long, conflicts_with = "owner")]
    pub mine: bool,
    /// Only the one that has this key, such as 0x4102002f
    #[arg(long, value_name = "KEY", value_parser = create::key, allow_negative_numbers = true)]
    pub key: Option<Key>,
}

/// Whether to look into segments.
#[derive(Args, Clone, Copy, Default)]
pub struct Looking {
    /// Do not look for objects in segments, so that shmkey attaches none
    ///
    /// Without this option, shmkey attaches a segment that may hold an object, if it cannot read the segment through a
    /// process that has it attached. shmkey is then its last user.
    #[arg(long)]
    pub no_contents: bool,
}

impl Looking {
    /// Returns `look`, or with `--no-contents` that the contents are left alone.
    pub fn or(self, look: Look) -> Look {
        if self.no_contents {
            Look::Outside
        } else {
            look
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    #[default]
    Id,
    Key,
    Size,
    Owner,
    /// How often it is attached, the most often first
    #[value(alias = "attached")]
    Users,
    /// The oldest first
    Age,
    /// The most recently used first
    Used,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    check(options)?;
    let (kind, choice, shape) = (options.kind, &options.choice, &options.form);
    let mut facts = None;
    if !kind.is_other() {
        let mut all = Facts::gather(options.looking.or(Look::Inside))?;
        let totals = json::Totals::of(&all);
        choice.apply(&mut all.segments)?;
        facts = Some((all, totals));
    }
    let others = |wanted: bool, kind: Kind| {
        let all = (wanted || options.all).then(|| choice.others(kind.list()?));
        all.transpose()
    };
    let semaphores = others(kind.semaphores, Kind::SEMAPHORES)?;
    let messages = others(kind.messages, Kind::MESSAGES)?;
    if shape.json {
        return output::print(&json::list(facts.as_ref(), semaphores, messages));
    }
    let mut parts = Vec::new();
    if let Some((facts, totals)) = &facts {
        let ids = || facts.segments.iter().map(|fact| fact.status.id).collect();
        parts.push(shape.print(columns::SEGMENTS, &facts.segments, ids, || {
            summary::summary(facts, totals, &choice.filter)
        })?);
    }
    for (kind, fields, all) in [
        (Kind::SEMAPHORES, others::SEMAPHORES, semaphores),
        (Kind::MESSAGES, others::MESSAGES, messages),
    ] {
        let Some(all) = all else { continue };
        let what = kind.name();
        let ids = || all.iter().map(|one| one.id).collect();
        parts.push(shape.print(fields, &all, ids, || match all.len() as u64 {
            0 => format!("There are no {what}s.\n"),
            count => format!("{}.\n", words::count(count, what)),
        })?);
    }
    output::print(&parts.join("\n"))
}

/// Returns an error for options that do not go together.
fn check(options: &Options) -> Result<(), Failure> {
    let shape = &options.form;
    let why = if options.choice.orphans && (options.all || options.kind.is_other()) {
        "--orphans works for segments only: the kernel does not record which process created a \
         semaphore array or a message queue"
    } else if options.all && (shape.quiet || shape.csv || !shape.columns.is_empty()) {
        "--all prints three lists, each with ids and columns of its own: use -q, --csv or \
         --columns with --semaphores, with --messages, or without both for segments"
    } else {
        return Ok(());
    };
    Err(Failure::Usage(why.to_owned()))
}

impl Shape {
    fn print<T>(
        &self,
        fields: &'static [columns::Field<T>],
        all: &[T],
        ids: impl FnOnce() -> Vec<i32>,
        summary: impl FnOnce() -> String,
    ) -> Result<String, Failure> {
        let line = |text: String| text + "\n";
        if self.quiet {
            let ids = ids().into_iter();
            return Ok(ids.map(|id| line(id.to_string())).collect());
        }
        let chosen = columns::chosen(fields, &self.columns)?;
        let form = Form {
            bytes: self.bytes || self.csv,
            seconds: self.csv,
        };
        if self.csv {
            return Ok(columns::csv(&chosen, all, form));
        }
        let mut text = String::new();
        if !all.is_empty() {
            let named = !self.columns.is_empty();
            let lines = columns::table(&chosen, all, form, named, output::width());
            text = lines.into_iter().map(line).collect();
            text.push('\n');
        }
        Ok(text + &summary())
    }
}

impl Choice {
    /// Keeps the segments that were chosen, and sorts them.
    pub fn apply(&self, segments: &mut Vec<Fact>) -> Result<(), Failure> {
        self.filter.apply(segments)?;
        segments.retain(|fact| !self.orphans || fact.is_orphan());
        sort(segments, self);
        Ok(())
    }

    /// Keeps the semaphore arrays or message queues that were chosen, and sorts them.
    fn others(&self, mut all: Vec<others::Entry>) -> Result<Vec<others::Entry>, Failure> {
        let is_chosen = self.filter.test()?;
        all.retain(|one| is_chosen(one.uid, one.key));
        all.sort_by_key(|one| one.id);
        match self.sort {
            // No process has them attached.
            Sort::Id | Sort::Users => {}
            Sort::Key => all.sort_by_key(|one| one.key.as_raw() as u32),
            Sort::Size => all.sort_by_key(|one| Reverse((one.bytes, one.count))),
            Sort::Owner => all.sort_by_cached_key(|one| words::user(one.uid)),
            Sort::Age => all.sort_by_key(|one| one.changed_at),
            Sort::Used => all.sort_by_key(|one| Reverse(one.used_at)),
        }
        if self.reverse {
            all.reverse();
        }
        Ok(all)
    }
}

impl Filter {
    /// Keeps the segments that were chosen.
    pub fn apply(&self, segments: &mut Vec<Fact>) -> Result<(), Failure> {
        let is_chosen = self.test()?;
        segments.retain(|fact| is_chosen(fact.status.uid, fact.status.key));
        Ok(())
    }

    /// Returns a function of owner and key that says whether an entry is chosen.
    fn test(&self) -> Result<impl Fn(u32, Key) -> bool, Failure> {
        let owner = match &self.owner {
            _ if self.mine => Some(uzers::get_effective_uid()),
            Some(owner) => Some(uid(owner).map_err(Failure::Usage)?),
            None => None,
        };
        let key = self.key;
        Ok(
            move |uid, of| {
                owner.is_none_or(|owner| uid == owner) && key.is_none_or(|key| of == key)
            },
        )
    }

    /// Returns the options as they are written on a command line, with a space before each.
    pub fn arguments(&self) -> String {
        let mut text = String::new();
        if let Some(owner) = &self.owner {
            text += &format!(" --owner {}", words::plain(owner));
        }
        if self.mine {
            text += " --mine";
        }
        if let Some(key) = self.key {
            text += &format!(" --key {key}");
        }
        text
    }
}

pub fn uid(owner: &str) -> Result<u32, String> {
    let named = || uzers::get_user_by_name(owner).map(|user| user.uid());
    let unknown = || format!("there is no user {}", in_quotes(owner.as_bytes()));
    owner.parse().ok().or_else(named).ok_or_else(unknown)
}

fn sort(segments: &mut [Fact], choice: &Choice) {
    segments.sort_by_key(|fact| fact.status.id);
    match choice.sort {
        Sort::Id => {}
        Sort::Key => segments.sort_by_key(|fact| fact.status.key.as_raw() as u32),
        Sort::Size => segments.sort_by_key(|fact| Reverse(fact.status.size)),
        Sort::Owner => segments.sort_by_cached_key(|fact| words::user(fact.status.uid)),
        Sort::Users => segments.sort_by_key(|fact| Reverse(fact.status.nattch)),
        Sort::Age => segments.sort_by_key(|fact| fact.status.changed_at),
        // Those that were never used come last.
        Sort::Used => segments.sort_by_key(|fact| (fact.idle.is_none(), fact.idle)),
    }
    if choice.reverse {
        segments.reverse();
    }
}
