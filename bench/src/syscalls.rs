//! The system calls on the fast paths, counted by strace: once around, and a million times.

use crate::{ours, processes::Failure};
use std::{collections::BTreeMap, env, fs, process::Command};

/// The sub-command that strace watches.
pub const HIDDEN: &str = "fast-path";
const OFTEN: u64 = 1_000_000;

/// Prints a table.
pub fn print() -> Result<(), Failure> {
    println!("| fast path | system calls, once | {OFTEN} times | in the loop |");
    println!("|---|--:|--:|---|");
    for path in ours::FAST_PATHS {
        let (once, often) = (watch(path.name, 1)?, watch(path.name, OFTEN)?);
        let more = often.iter().filter_map(|(name, &count)| {
            let more = count.saturating_sub(*once.get(name).unwrap_or(&0));
            (more > 0).then(|| format!("{more} {name}"))
        });
        let more: Vec<String> = more.collect();
        let more = if more.is_empty() {
            "none".into()
        } else {
            more.join(", ")
        };
        let sum = |calls: &Calls| calls.values().sum::<u64>();
        println!(
            "| {} | {} | {} | {more} |",
            path.name,
            sum(&once),
            sum(&often)
        );
    }
    Ok(())
}

/// Walks one path so many times.
pub fn walk(path: &str, count: u64) -> Result<(), Failure> {
    let path = ours::FAST_PATHS.iter().find(|known| known.name == path);
    let path = path.ok_or("there is no such path")?;
    (path.walk)(count)
}

/// How often each was called.
type Calls = BTreeMap<String, u64>;

/// What strace counts while a process of this program walks the path.
fn watch(path: &str, count: u64) -> Result<Calls, Failure> {
    let table = tempfile::NamedTempFile::new()?;
    let status = Command::new("strace")
        .args(["-f", "-c", "-U", "calls,name", "-o"])
        .arg(table.path())
        .arg(env::current_exe()?)
        .args([HIDDEN, path, &count.to_string()])
        .status()
        .map_err(|error| format!("strace: {error}"))?;
    if !status.success() {
        return Err(format!("strace: {status}").into());
    }
    let table = fs::read_to_string(table.path())?;
    let row = |line: &str| {
        let (count, name) = line.trim().split_once(char::is_whitespace)?;
        Some((name.trim().to_owned(), count.parse().ok()?))
    };
    Ok(table
        .lines()
        .filter_map(row)
        .filter(|(name, _)| name != "total")
        .collect())
}
