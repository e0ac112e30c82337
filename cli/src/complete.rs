//! Completions. A shell runs `SHMKEY_COMPLETE=bash shmkey -- words` each time its user presses the key.
//!
//! Completing attaches no segment. So it offers the name of a segment only if it can read the name through a process
//! that has the segment attached.

use crate::{
    backend::{self, Choice},
    child::is_program,
    facts::{Facts, Look},
    list::Kind,
    words,
};
use clap::ValueEnum;
use clap_complete::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};
use shmkey::Key;
use std::{collections::BTreeSet, env, ffi::OsStr, fs};

/// The variable that the scripts for shells set.
pub const VARIABLE: &str = "SHMKEY_COMPLETE";

/// Offers the segments of the backend that the command line names.
pub fn choose_backend() {
    if env::var_os(VARIABLE).is_none() {
        return;
    }
    let words = env::args_os().filter_map(|word| word.into_string().ok());
    let words: Vec<String> = words.collect();
    for (place, word) in words.iter().enumerate() {
        let value = match word.strip_prefix("--backend") {
            Some("") => words.get(place + 1).map(String::as_str),
            Some(value) => value.strip_prefix('='),
            None => None,
        };
        if let Some(Ok(choice)) = value.map(|value| Choice::from_str(value, false)) {
            backend::choose(choice);
        }
    }
}

/// Completes ids, keys and names of segments; after `--semaphores` or `--messages`, ids and keys of these.
pub fn segments() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let has = |option: &str| env::args_os().any(|argument| argument == option);
        let kind = Kind {
            semaphores: has("--semaphores"),
            messages: has("--messages"),
        };
        if kind.is_other() {
            others(kind)
        } else {
            facts()
        }
    })
}

fn facts() -> Vec<CompletionCandidate> {
    let Ok(facts) = Facts::gather(Look::Through) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for fact in &facts.segments {
        let status = &fact.status;
        let mut what = words::size(status.size as u64);
        if let Some(object) = fact.seen.objects.first() {
            what = format!("{}, {what}", words::kind_at(object));
        }
        what += &format!(", of {}", words::user(status.uid));
        found.extend(id_and_key(status.id, status.key, &what));
        let name = fact
            .object()
            .map(|object| String::from_utf8_lossy(&object.name));
        let name = name.filter(|name| is_plain(name, status.key));
        found.extend(name.map(|name| candidate(name.into_owned(), &what)));
    }
    found
}

fn candidate(text: String, what: &str) -> CompletionCandidate {
    CompletionCandidate::new(text).help(Some(what.to_owned().into()))
}

fn id_and_key(id: i32, key: Key, what: &str) -> impl Iterator<Item = CompletionCandidate> {
    let key = (!key.is_private()).then(|| words::key(key));
    let texts = [Some(id.to_string()), key].into_iter().flatten();
    texts.map(move |text| candidate(text, what))
}

/// Returns whether a name makes this key, and has no character that is special to a shell.
fn is_plain(name: &str, key: Key) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./+".contains(&byte);
    let is_name = matches!(name.parse(), Ok(crate::target::Target::Name(_)));
    is_name && name.bytes().all(is_word) && Key::from_name(name).ok() == Some(key)
}

fn others(kind: Kind) -> Vec<CompletionCandidate> {
    let mut found = Vec::new();
    for one in kind.list().unwrap_or_default() {
        let what = format!("{} of {}", kind.name(), words::user(one.uid));
        found.extend(id_and_key(one.id, one.key, &what));
    }
    found
}

/// Completes programs in the directories of PATH.
pub fn programs() -> ArgValueCompleter {
    ArgValueCompleter::new(|word: &OsStr| {
        let word = word.to_string_lossy();
        let path = env::var_os("PATH").unwrap_or_default();
        let entries = env::split_paths(&path)
            .filter_map(|directory| fs::read_dir(directory).ok())
            .flatten()
            .flatten();
        let names: BTreeSet<String> = entries
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                (name.starts_with(&*word) && is_program(&entry.path())).then_some(name)
            })
            .collect();
        names.into_iter().map(CompletionCandidate::new).collect()
    })
}
