//! `shmkey list`.

use crate::{
    columns::{self, Form},
    create,
    facts::{Fact, Facts, Look},
    json, others,
    output::{self, Failure},
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
#[derive(Args, Clone, Copy, Default)]
#[group(id = "kind", multiple = false)]
pub struct Kind {
    /// Semaphore arrays, not segments
    #[arg(long)]
    pub semaphores: bool,
    /// Message queues, not segments
    #[arg(long)]
    pub messages: bool,
}

/// What is printed of each, and how.
#[derive(Args, Default)]
struct Shape {
    #[command(flatten)]
    table: Table,
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
    /// Sort by this
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
    /// Only those that this user owns: a name or a number
    #[arg(long, value_name = "USER")]
    pub owner: Option<String>,
    /// Only those that you own
    #[arg(long, conflicts_with = "owner")]
    pub mine: bool,
    /// Only the one with this key, such as 0x4102002f
    #[arg(long, value_name = "KEY", value_parser = create::key, allow_negative_numbers = true)]
    pub key: Option<Key>,
}

/// Whether to look into segments.
#[derive(Args, Clone, Copy, Default)]
pub struct Looking {
    /// Do not look for objects in segments, so that shmkey attaches none
    ///
    /// Without this option, shmkey attaches a segment that may hold an object and that it cannot read through a
    /// process that has it attached. The kernel then records shmkey as its last user.
    #[arg(long)]
    pub no_contents: bool,
}

impl Looking {
    /// Returns how to look: in the given way, unless the options say otherwise.
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
    /// By nattch, how often it is attached
    Users,
    /// The oldest first
    Age,
    /// The last one used first
    Used,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let (choice, shape) = (&options.choice, &options.form);
    if choice.orphans && (options.all || options.kind.semaphores || options.kind.messages) {
        return Err(Failure::Usage(
            "--orphans is for segments only: the kernel does not record the creators of semaphore \
             arrays and message queues"
                .to_owned(),
        ));
    }
    if options.all && (shape.quiet || shape.table.csv || !shape.table.columns.is_empty()) {
        return Err(Failure::Usage(
            "--all has three lists with ids and columns of their own: -q, --csv and --columns \
             need one of them (--semaphores, --messages, or neither for segments)"
                .to_owned(),
        ));
    }
    let is_for_segments = !options.kind.semaphores && !options.kind.messages;
    let mut facts = None;
    if is_for_segments {
        let mut all = Facts::gather(options.looking.or(Look::Inside))?;
        let totals = json::Totals::of(&all);
        choice.apply(&mut all.segments)?;
        facts = Some((all, totals));
    }
    let kind = |wanted, list: fn() -> _| (wanted || options.all).then(list).transpose();
    let semaphores = kind(options.kind.semaphores, others::semaphores)?;
    let messages = kind(options.kind.messages, others::messages)?;
    let semaphores = semaphores.map(|all| choice.others(all)).transpose()?;
    let messages = messages.map(|all| choice.others(all)).transpose()?;
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
    for (all, fields, what) in [
        (semaphores, others::SEMAPHORES, "semaphore array"),
        (messages, others::MESSAGES, "message queue"),
    ] {
        let Some(all) = all else { continue };
        let ids = || all.iter().map(|one| one.id).collect();
        parts.push(shape.print(fields, &all, ids, || match all.len() as u64 {
            0 => format!("There are no {what}s.\n"),
            count => format!("{}.\n", words::count(count, what)),
        })?);
    }
    output::print(&parts.join("\n"))
}

/// The table, or CSV.
#[derive(Args, Clone, Default)]
struct Table {
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
        let Table {
            columns: names,
            csv,
            bytes,
        } = &self.table;
        let chosen = columns::chosen(fields, names)?;
        let form = Form {
            bytes: *bytes || *csv,
            seconds: *csv,
        };
        if *csv {
            return Ok(columns::csv(&chosen, all, form));
        }
        let mut text = String::new();
        if !all.is_empty() {
            let named = !names.is_empty();
            let lines = columns::table(&chosen, all, form, named, output::width());
            text = lines.into_iter().map(line).collect();
            text.push('\n');
        }
        Ok(text + &summary())
    }
}

impl Choice {
    /// Leaves the segments that were chosen, and orders them.
    pub fn apply(&self, segments: &mut Vec<Fact>) -> Result<(), Failure> {
        self.filter.apply(segments)?;
        segments.retain(|fact| !self.orphans || fact.is_orphan());
        sort(segments, self);
        Ok(())
    }

    /// Leaves the semaphore arrays or message queues that were chosen, and orders them.
    fn others(&self, mut all: Vec<others::Entry>) -> Result<Vec<others::Entry>, Failure> {
        let is_chosen = self.filter.test()?;
        all.retain(|one| is_chosen(one.uid, one.key));
        all.sort_by_key(|one| one.id);
        match self.sort {
            // No process has them attached.
            Sort::Id | Sort::Users => {}
            Sort::Key => all.sort_by_key(|one| one.key.as_raw() as u32),
            Sort::Size => all.sort_by_key(|one| Reverse(one.size())),
            Sort::Owner => all.sort_by_cached_key(|one| words::user(one.uid)),
            Sort::Age => all.sort_by_key(|one| one.changed_at),
            Sort::Used => all.sort_by_key(|one| Reverse(one.used_at())),
        }
        if self.reverse {
            all.reverse();
        }
        Ok(all)
    }
}

impl Filter {
    /// Leaves the segments that were chosen.
    pub fn apply(&self, segments: &mut Vec<Fact>) -> Result<(), Failure> {
        let is_chosen = self.test()?;
        segments.retain(|fact| is_chosen(fact.status.uid, fact.status.key));
        Ok(())
    }

    /// Returns what tells by owner and key whether one is chosen.
    fn test(&self) -> Result<impl Fn(u32, Key) -> bool, Failure> {
        let owner = match &self.owner {
            _ if self.mine => Some(uzers::get_effective_uid()),
            Some(owner) => Some(uid(owner).map_err(Failure::Because)?),
            None => None,
        };
        let key = self.key;
        Ok(
            move |uid, of| {
                owner.is_none_or(|owner| uid == owner) && key.is_none_or(|key| of == key)
            },
        )
    }

    /// Returns it as command line arguments, to put behind a command.
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
    let unknown = || format!("there is no user {}", words::plain(owner));
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
