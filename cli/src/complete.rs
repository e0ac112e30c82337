//! What shells complete, asked for at each press of the key: `SHMKEY_COMPLETE=bash shmkey -- words`.
//!
//! Completing changes nothing: no segment is attached for it. So a name is offered if a process that this one may
//! look at has the segment attached.

use crate::{
    facts::{Facts, Look},
    list::Kind,
    words,
};
use clap_complete::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};
use shmkey::Key;
use std::{collections::BTreeSet, env, ffi::OsStr, fs, os::unix::fs::PermissionsExt};

/// The variable that the scripts for shells set.
pub const VARIABLE: &str = "SHMKEY_COMPLETE";

/// Ids, keys and names of segments; behind `--semaphores` or `--messages`, ids and keys of those.
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
        let object = fact.seen.objects.first().map(words::kind_at);
        let size = words::size(status.size as u64);
        let what = object.map_or(size.clone(), |object| format!("{object}, {size}"));
        let what = format!("{what}, of {}", words::user(status.uid));
        let mut offer = |text: String| {
            found.push(CompletionCandidate::new(text).help(Some(what.clone().into())))
        };
        offer(status.id.to_string());
        if !status.key.is_private() {
            offer(words::key(status.key));
        }
        let name = fact
            .object()
            .map(|object| String::from_utf8_lossy(&object.name).into_owned());
        if let Some(name) = name.filter(|name| is_plain(name, status.key)) {
            offer(name);
        }
    }
    found
}

/// Whether a name stands for this key, and no shell makes anything else of it.
fn is_plain(name: &str, key: Key) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./+".contains(&byte);
    let is_name = matches!(name.parse(), Ok(crate::target::Target::Name(_)));
    is_name && name.bytes().all(is_word) && Key::from_name(name).ok() == Some(key)
}

fn others(kind: Kind) -> Vec<CompletionCandidate> {
    let mut found = Vec::new();
    for one in kind.list().unwrap_or_default() {
        let what = format!("{} of {}", kind.name(), words::user(one.uid));
        let mut offer = |text: String| {
            found.push(CompletionCandidate::new(text).help(Some(what.clone().into())))
        };
        offer(one.id.to_string());
        if !one.key.is_private() {
            offer(words::key(one.key));
        }
    }
    found
}

/// Programs in the folders of PATH.
pub fn programs() -> ArgValueCompleter {
    ArgValueCompleter::new(|word: &OsStr| {
        let word = word.to_string_lossy();
        let folders = env::var_os("PATH").unwrap_or_default();
        let entries = env::split_paths(&folders)
            .filter_map(|folder| fs::read_dir(folder).ok())
            .flatten()
            .flatten();
        let names: BTreeSet<String> = entries
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let metadata = fs::metadata(entry.path()).ok()?;
                let runs = metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
                (runs && name.starts_with(&*word)).then_some(name)
            })
            .collect();
        names.into_iter().map(CompletionCandidate::new).collect()
    })
}
