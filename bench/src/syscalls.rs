//! The system calls on the fast paths, counted by strace: for one operation, and for a million.

use crate::{ours, processes::Failure};
use std::{collections::BTreeMap, env, fs, process::Command};

/// The subcommand that strace watches.
pub const HIDDEN: &str = "fast-path";
const OFTEN: u64 = 1_000_000;

/// Prints a table.
pub fn print() -> Result<(), Failure> {
    println!("| fast path | system calls, once | {OFTEN} times | in the loop |");
    println!("|---|--:|--:|---|");
    for path in ours::fast_paths() {
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

/// Repeats the operation of a fast path.
pub fn walk(path: &str, count: u64) -> Result<(), Failure> {
    let mut paths = ours::fast_paths().into_iter();
    let path = paths.find(|known| known.name == path);
    let path = path.ok_or("there is no such path")?;
    (path.walk)(count)
}

/// How many times each system call was made.
type Calls = BTreeMap<String, u64>;

/// Returns what strace counts while another process of this program walks the path.
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
