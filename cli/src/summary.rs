//! What stands below the table of `shmkey list`.

use crate::{
    backend::{self, Namespace},
    facts::{Fact, Facts, Look},
    json,
    list::Filter,
    output, words,
};
use shmkey_core::backend::Limits;
use std::collections::BTreeSet;

/// Returns the number of segments, where they are, the limits, the orphans, and what could not be found out.
pub fn summary(facts: &Facts, totals: &json::Totals, filter: &Filter) -> String {
    let mut text = String::new();
    let (all, shown) = (totals.segments, facts.segments.len() as u64);
    let segments = words::count(all, "segment");
    let size = words::size(totals.bytes.try_into().unwrap_or(u64::MAX));
    text += &match (all, shown) {
        (0, _) => "There are no segments.\n".to_owned(),
        _ if all == shown => format!("{segments}, {size}.\n"),
        _ => format!("{shown} of {segments}; all of them have {size} together.\n"),
    };
    text += &output::note(&format!("Backend: {}.", Namespace::current()));
    let limits = limits(facts, totals);
    if !limits.is_empty() {
        text += &output::note(&format!("Limits: {}.", limits.join("; ")));
    }
    text + &orphans(facts, filter) + &looked_at(facts) + &unknown(facts)
}

/// `4 of 4096 segments (shmmni), 1%`.
fn limits(facts: &Facts, totals: &json::Totals) -> Vec<String> {
    let limit = |used: u64, limit: u64, what: &str, name: &str| {
        let percent = words::percent(used, limit);
        let limit = words::count(limit, what);
        format!("{used} of {limit} ({name}), {percent}%")
    };
    let Some(Limits { shmmni, shmall, .. }) = facts.limits else {
        return Vec::new();
    };
    let pages = if words::unlimited(shmall) {
        format!("{}, no limit (shmall)", words::count(totals.pages, "page"))
    } else {
        limit(totals.pages, shmall, "page", "shmall")
    };
    vec![limit(totals.segments, shmmni, "segment", "shmmni"), pages]
}

fn orphans(facts: &Facts, filter: &Filter) -> String {
    let orphans = facts.segments.iter().filter(|fact| fact.is_orphan());
    let (data, orphans): (Vec<&Fact>, Vec<&Fact>) = orphans.partition(|fact| fact.data().is_some());
    let command = format!(
        "{} remove --orphans{}",
        backend::command(),
        filter.arguments()
    );
    let mut text = String::new();
    if !orphans.is_empty() {
        let mut those = removal(&orphans, &command);
        if facts.look == Look::Outside || orphans.iter().any(|fact| fact.seen.unread) {
            those += &format!(", unless {} data for a later process", they_hold(&orphans));
        }
        let creators = if orphans.len() == 1 {
            "its creator is"
        } else {
            "their creators are"
        };
        text += &output::note(&format!(
            "{}: no process has {} attached, and {creators} dead; {those}.",
            words::count(orphans.len() as u64, "orphan"),
            them(&orphans),
        ));
    }
    if !data.is_empty() {
        let those = removal(&data, &format!("{command} --with-data"));
        let hold = hold(&data);
        text += &output::note(&format!(
            "{} {hold} data for a later process ({}); {those}, too.",
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

/// Returns which user can remove these, and how.
fn removal(segments: &[&Fact], command: &str) -> String {
    let ours = segments.iter().filter(|fact| fact.is_ours()).count();
    match ours {
        0 if segments.len() == 1 => "its owner and root can remove it".to_owned(),
        0 => "their owners and root can remove them".to_owned(),
        _ if ours == segments.len() => format!("{command} removes {}", them(segments)),
        1 => format!("{command} removes the one that is yours"),
        _ => format!("{command} removes the {ours} that are yours"),
    }
}

/// `undelivered messages, a published value`.
pub fn kinds_of_data(segments: &[&Fact]) -> String {
    let kinds: BTreeSet<&str> = segments.iter().filter_map(|fact| fact.data()).collect();
    kinds.into_iter().rev().collect::<Vec<_>>().join(", ")
}

fn looked_at(facts: &Facts) -> String {
    let looked_at = facts.segments.iter().filter(|fact| fact.is_looked_at());
    let looked_at: Vec<&Fact> = looked_at.collect();
    if looked_at.is_empty() {
        return String::new();
    }
    output::note(&format!(
        "{} looked at: shmkey attached {} to read {}, which counts as the last use; --no-contents avoids that.",
        words::count(looked_at.len() as u64, "segment"),
        them(&looked_at),
        them(&looked_at),
    ))
}

/// What could not be found out.
fn unknown(facts: &Facts) -> String {
    let mut text = unseen(facts);
    let closed = facts.segments.iter().filter(|fact| fact.seen.closed);
    let closed: Vec<&Fact> = closed.collect();
    if !closed.is_empty() {
        text += &output::note(&format!(
            "{} may hold an object, but you have no permission to read {}.",
            words::count(closed.len() as u64, "segment"),
            them(&closed),
        ));
    }
    text
}

/// Returns that some of the processes that have segments attached were not found, and why, if that is known.
pub fn unseen(facts: &Facts) -> String {
    let is_root = uzers::get_effective_uid() == 0;
    let why = match facts.unseen as u64 {
        _ if !facts.is_partial() => return String::new(),
        0 => "they are in another container, or were started or ended at the same time".to_owned(),
        unseen => {
            let remedy = if is_root {
                ""
            } else {
                "; run shmkey as root to see all"
            };
            let processes = words::count(unseen, "process");
            format!("you have no permission to look at {processes}{remedy}")
        }
    };
    output::note(&format!(
        "Not all processes that have segments attached were found: {why}."
    ))
}
