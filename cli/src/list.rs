//! `shmkey list`.

use crate::{
    create,
    facts::{Fact, Facts, Look},
    json,
    output::{self, Failure},
    table::{self, Cell, Column},
    words,
};
use anstyle::{AnsiColor, Style};
use clap::{Args, ValueEnum};
use shmkey::{Key, Life};
use std::{cmp::Reverse, collections::BTreeSet};

#[derive(Args, Default)]
pub struct Options {
    #[command(flatten)]
    pub choice: Choice,
    #[command(flatten)]
    pub looking: Looking,
    /// For programs: one JSON object, described in shmkey-list(1)
    #[arg(long)]
    pub json: bool,
}

/// Which segments, in which order.
#[derive(Args, Clone, Default)]
pub struct Choice {
    /// Order by this
    #[arg(long, value_name = "WHAT", value_enum, default_value = "id")]
    pub sort: Sort,
    /// The other way round
    #[arg(long, short)]
    pub reverse: bool,
    #[command(flatten)]
    pub filter: Filter,
    /// Only those that no process uses, and whose creator has ended
    #[arg(long)]
    pub orphans: bool,
}

/// Which segments.
#[derive(Args, Clone, Default)]
#[group(id = "filter", multiple = true)]
pub struct Filter {
    /// Only those of this user: a name or a number
    #[arg(long, value_name = "USER")]
    pub owner: Option<String>,
    /// Only mine
    #[arg(long, conflicts_with = "owner")]
    pub mine: bool,
    /// Only the one under this key, such as 0x4102002f
    #[arg(long, value_name = "KEY", value_parser = create::key, allow_negative_numbers = true)]
    pub key: Option<Key>,
}

/// Whether to look into segments.
#[derive(Args, Clone, Copy, Default)]
pub struct Looking {
    /// Do not look for what segments hold. Without this, a segment that may hold an object, and
    /// that cannot be read through a process that has it attached, is attached for a moment: the kernel
    /// then records shmkey as its last user
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
    /// How many times it is attached
    Users,
    /// The oldest first
    Age,
    /// What was used last comes first
    Used,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let mut facts = Facts::gather(options.looking.or(Look::Inside))?;
    let totals = json::Totals::of(&facts);
    options.choice.apply(&mut facts.segments)?;
    if options.json {
        return output::print(&json::list(&facts, &totals));
    }
    let mut text = String::new();
    if !facts.segments.is_empty() {
        for line in lines(&facts.segments, output::width()) {
            text += &line;
            text.push('\n');
        }
        text.push('\n');
    }
    text += &summary(&facts, &totals, &options.choice.filter);
    output::print(&text)
}

impl Choice {
    /// Leaves the segments that were chosen, and orders them.
    pub fn apply(&self, segments: &mut Vec<Fact>) -> Result<(), Failure> {
        self.filter.apply(segments)?;
        segments.retain(|fact| !self.orphans || fact.is_orphan());
        sort(segments, self);
        Ok(())
    }
}

impl Filter {
    /// Leaves the segments that were chosen.
    pub fn apply(&self, segments: &mut Vec<Fact>) -> Result<(), Failure> {
        let owner = match &self.owner {
            _ if self.mine => Some(uzers::get_effective_uid()),
            Some(owner) => Some(uid(owner)?),
            None => None,
        };
        segments.retain(|fact| {
            owner.is_none_or(|uid| fact.status.uid == uid)
                && self.key.is_none_or(|key| fact.status.key == key)
        });
        Ok(())
    }

    /// Returns it as command line arguments, to put behind a command.
    fn arguments(&self) -> String {
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

fn uid(owner: &str) -> Result<u32, Failure> {
    let named = || uzers::get_user_by_name(owner).map(|user| user.uid());
    let unknown = || Failure::Because(format!("there is no user {}", words::plain(owner)));
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

pub const COLUMNS: [Column; 11] = [
    Column::right("id", 0),
    Column::left("key", 3),
    Column::right("bytes", 0),
    Column::left("owner", 2).cut_to(8),
    Column::left("mode", 5),
    Column::left("used by", 0).cut_to(12),
    Column::left("created by", 1).cut_to(14),
    Column::right("age", 4),
    Column::right("last used", 6),
    Column::left("holds", 1).cut_to(10),
    Column::left("note", 0),
];

/// The table of some segments.
pub fn lines(segments: &[Fact], width: Option<usize>) -> Vec<String> {
    let rows: Vec<Vec<Cell>> = segments.iter().map(row).collect();
    table::lines(&COLUMNS, &rows, width)
}

/// What the table says of a segment.
pub fn row(fact: &Fact) -> Vec<Cell> {
    let status = &fact.status;
    let span = |time: Option<_>| time.map(words::span).unwrap_or_default();
    let texts = [
        status.id.to_string(),
        words::key(status.key),
        status.size.to_string(),
        words::user(status.uid),
        format!("{:04o}", status.mode),
        users(fact),
        words::process(&fact.creator),
        span(fact.age()),
        fact.idle.map_or("never".to_owned(), words::span),
        holds(fact),
        note(fact),
    ];
    let mut row: Vec<Cell> = texts.into_iter().map(Cell::from).collect();
    row[5].style = match status.nattch {
        0 => Style::new().dimmed(),
        _ => AnsiColor::Green.on_default(),
    };
    if fact.creator.life == Life::Dead {
        row[6].style = Style::new().dimmed();
    }
    row[9].style = AnsiColor::Cyan.on_default();
    row[10].style = match (status.removed, fact.is_orphan()) {
        (true, _) => AnsiColor::Red.on_default(),
        (_, true) => AnsiColor::Yellow.on_default(),
        _ => Style::new(),
    };
    row
}

/// `orphan, published value, looked at`.
fn note(fact: &Fact) -> String {
    let mut notes = words::flags(fact);
    notes.extend(fact.data().filter(|_| fact.is_orphan()));
    notes.extend(fact.is_looked_at().then_some("looked at"));
    notes.join(", ")
}

/// `2: 4242 writer, 4243 reader`.
pub fn users(fact: &Fact) -> String {
    if fact.status.nattch == 0 {
        return "nobody".to_owned();
    }
    let mut who: Vec<String> = fact
        .attached
        .iter()
        .map(|attached| {
            let times = match attached.times {
                0 | 1 => String::new(),
                times => format!(" ×{times}"),
            };
            format!("{} {}{times}", attached.pid, words::plain(&attached.name))
        })
        .collect();
    match fact.hidden() {
        0 => {}
        hidden if who.is_empty() => who.push(format!("{hidden} unseen")),
        hidden => who.push(format!("and {hidden} unseen")),
    }
    who.join(", ")
}

/// `ring "orders": 37% full`; `mutex at 64: free; ring at 4096: empty`.
pub fn holds(fact: &Fact) -> String {
    if fact.is_token() {
        return match fact.creator.pid {
            0 => "token of a process in another container".to_owned(),
            pid => format!("token of process {pid}"),
        };
    }
    if fact.seen.closed {
        return "(you may not look)".to_owned();
    }
    let said = fact.seen.objects.iter().map(|found| {
        let kind = words::kind_at(found);
        format!("{kind}: {}", words::state(&found.contents))
    });
    said.collect::<Vec<_>>().join("; ")
}

/// What is below the table.
pub fn summary(facts: &Facts, totals: &json::Totals, filter: &Filter) -> String {
    let mut text = String::new();
    let (all, shown) = (totals.segments, facts.segments.len() as u64);
    let segments = words::count(all, "segment");
    let size = words::size(totals.bytes.try_into().unwrap_or(u64::MAX));
    text += &match (all, shown) {
        (0, _) => "There are no segments.\n".to_owned(),
        _ if all == shown => format!("{segments}, {size}.\n"),
        _ => format!("{shown} of {segments}; all together {size}.\n"),
    };
    let mut limits = Vec::new();
    let limit = |used: u64, limit: u64, what: &str, name: &str| {
        let percent = words::percent(used, limit);
        let limit = words::count(limit, what);
        format!("{used} of {limit} ({name}), {percent}%")
    };
    if let Some(shmmni) = facts.limits.shmmni {
        limits.push(limit(all, shmmni, "segment", "shmmni"));
    }
    if let Some(shmall) = facts.limits.shmall {
        // The usual limit stands for none, and its digits say nothing.
        limits.push(match shmall {
            0..0x1_0000_0000_0000 => limit(totals.pages, shmall, "page", "shmall"),
            _ => format!(
                "{}, without a limit (shmall)",
                words::count(totals.pages, "page")
            ),
        });
    }
    if !limits.is_empty() {
        text += &output::note(&format!(
            "In use of what the kernel allows: {}.",
            limits.join("; ")
        ));
    }
    text + &orphans(facts, filter) + &looked_at(facts) + &unknown(facts)
}

fn orphans(facts: &Facts, filter: &Filter) -> String {
    let orphans = facts.segments.iter().filter(|fact| fact.is_orphan());
    let (data, orphans): (Vec<&Fact>, Vec<&Fact>) = orphans.partition(|fact| fact.data().is_some());
    let command = format!("shmkey remove --orphans{}", filter.arguments());
    let mut text = String::new();
    if !orphans.is_empty() {
        let mut those = removal(&orphans, &command);
        if facts.look == Look::Outside || orphans.iter().any(|fact| fact.seen.unread) {
            those += &format!(", unless {} data for a later process", they_hold(&orphans));
        }
        let them = them(&orphans);
        text += &output::note(&format!(
            "{}: no process has {them} attached, and the process that created {them} has ended; {those}.",
            words::count(orphans.len() as u64, "orphan"),
        ));
    }
    if !data.is_empty() {
        let those = removal(&data, &format!("{command} --with-data"));
        let hold = hold(&data);
        text += &output::note(&format!(
            "{} that {hold} data for a later process ({}); {those}, too.",
            words::count(data.len() as u64, "orphan"),
            kinds_of_data(&data),
        ));
    }
    text
}

pub fn them(segments: &[&Fact]) -> &'static str {
    if segments.len() == 1 { "it" } else { "them" }
}

fn hold(segments: &[&Fact]) -> &'static str {
    if segments.len() == 1 { "holds" } else { "hold" }
}

/// `it holds`.
pub fn they_hold(segments: &[&Fact]) -> String {
    let they = if segments.len() == 1 { "it" } else { "they" };
    format!("{they} {}", hold(segments))
}

/// Who can remove these, and how.
fn removal(segments: &[&Fact], command: &str) -> String {
    let ours = segments.iter().filter(|fact| fact.is_ours()).count();
    match ours {
        0 if segments.len() == 1 => "root and its owner can remove it".to_owned(),
        0 => "root and their owners can remove them".to_owned(),
        _ if ours == segments.len() => format!("{command} removes {}", them(segments)),
        1 => format!("{command} removes the one that is yours"),
        _ => format!("{command} removes those {ours} that are yours"),
    }
}

/// `undelivered messages, a published value`.
pub fn kinds_of_data(segments: &[&Fact]) -> String {
    let kinds: BTreeSet<&str> = segments.iter().filter_map(|fact| fact.data()).collect();
    kinds.into_iter().rev().collect::<Vec<_>>().join(", ")
}

fn looked_at(facts: &Facts) -> String {
    let looked_at = facts.segments.iter().filter(|fact| fact.is_looked_at());
    match looked_at.count() as u64 {
        0 => String::new(),
        count => output::note(&format!(
            "{} looked at: attached by shmkey for a moment, which the kernel records as the last use; --no-contents avoids that.",
            words::count(count, "segment")
        )),
    }
}

/// What could not be found out.
fn unknown(facts: &Facts) -> String {
    let mut text = unseen(facts);
    let closed = facts
        .segments
        .iter()
        .filter(|fact| fact.seen.closed)
        .count() as u64;
    if closed > 0 {
        text += &output::note(&format!(
            "{} may hold something, and you may not look into {}.",
            words::count(closed, "segment"),
            if closed == 1 { "it" } else { "them" },
        ));
    }
    text
}

/// That some users were not found, and why, as far as that is known.
pub fn unseen(facts: &Facts) -> String {
    let is_root = uzers::get_effective_uid() == 0;
    let why = match facts.unseen as u64 {
        _ if !facts.is_partial() => return String::new(),
        0 => "they are in another container, or come and go too quickly".to_owned(),
        unseen => {
            let remedy = if is_root {
                ""
            } else {
                "; run it as root to see all"
            };
            let processes = words::count(unseen, "process");
            format!("{processes} may not be looked at{remedy}")
        }
    };
    output::note(&format!("Not all users were found: {why}."))
}
