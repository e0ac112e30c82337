//! The results as Markdown tables.

use crate::{
    placement::Placement,
    schedule::{Against, Entry, Goal, Group, Sample},
    stopwatch::quartiles,
};
use std::fmt::{self, Write};

/// The number of runs that quartiles need.
const ENOUGH: usize = 5;

impl Entry {
    /// Returns the runs that count, and the placement of the CPUs in them: near if there are enough such runs, and
    /// else the most frequent one.
    pub fn counting(&self) -> (Placement, Vec<Sample>) {
        let in_placement = |placement| {
            let here = |sample: &&Sample| sample.placement == placement;
            let samples = self.samples.iter().filter(here);
            samples.copied().collect::<Vec<_>>()
        };
        let near = in_placement(Placement::Near);
        if near.len() >= ENOUGH {
            return (Placement::Near, near);
        }
        let all = [
            Placement::Far,
            Placement::Siblings,
            Placement::Moved,
            Placement::Near,
        ];
        all.map(|placement| (placement, in_placement(placement)))
            .into_iter()
            .max_by_key(|(_, samples)| samples.len())
            .expect("there are four")
    }

    /// Returns the quartiles of the nanoseconds.
    pub fn nanoseconds(&self) -> Option<[f64; 3]> {
        quartiles_of(&self.counting().1, |sample| Some(sample.nanoseconds))
    }
}

impl Goal {
    /// Returns the quartiles of the goal's ratio, or of its nanoseconds.
    pub fn reached(&self, entry: &Entry, group: &Group) -> Option<[f64; 3]> {
        let (_, samples) = entry.counting();
        match self.against {
            Against::Nanoseconds => quartiles_of(&samples, |sample| Some(sample.nanoseconds)),
            Against::Bare => {
                quartiles_of(&samples, |sample| Some(sample.nanoseconds / sample.bare))
            }
            Against::Peer(name) => {
                let peer = |entry: &&Entry| entry.name == name;
                ratio_to_fastest(&samples, group.entries.iter().filter(peer))
            }
            Against::FastestPeer => {
                let peer = |entry: &&Entry| !entry.name.starts_with("shmkey::");
                ratio_to_fastest(&samples, group.entries.iter().filter(peer))
            }
        }
    }
}

/// Returns the quartiles of the ratio to the fastest of the peers in the same pass.
fn ratio_to_fastest<'a>(
    samples: &[Sample],
    peers: impl Iterator<Item = &'a Entry>,
) -> Option<[f64; 3]> {
    let theirs: Vec<Sample> = peers.flat_map(|peer| peer.counting().1).collect();
    quartiles_of(samples, |ours| {
        let same_pass = theirs.iter().filter(|their| their.pass == ours.pass);
        let fastest = same_pass.map(|their| their.nanoseconds).reduce(f64::min)?;
        Some(ours.nanoseconds / fastest)
    })
}

fn quartiles_of(samples: &[Sample], value: impl Fn(&Sample) -> Option<f64>) -> Option<[f64; 3]> {
    let values: Vec<f64> = samples.iter().filter_map(value).collect();
    (!values.is_empty()).then(|| quartiles(values))
}

/// Returns a table for each group.
pub fn table(groups: &[Group]) -> String {
    let mut text = String::new();
    for group in groups {
        write_group(&mut text, group).expect("writing to a string does not fail");
    }
    text
}

fn write_group(text: &mut String, group: &Group) -> fmt::Result {
    writeln!(text, "### {}\n", group.title)?;
    writeln!(
        text,
        "| | median (quartiles) | × bare | runs | target | reached | met |"
    )?;
    writeln!(text, "|---|--:|--:|--:|---|--:|---|")?;
    for entry in &group.entries {
        write_entry(text, entry, group)?;
    }
    writeln!(text)
}

fn write_entry(text: &mut String, entry: &Entry, group: &Group) -> fmt::Result {
    let (placement, samples) = entry.counting();
    let bare = quartiles_of(&samples, |sample| Some(sample.nanoseconds / sample.bare));
    let (Some(time), Some([_, bare, _])) = (entry.nanoseconds(), bare) else {
        let failure = entry.failure.as_ref().map(ToString::to_string);
        let why = failure.unwrap_or("no run".into());
        return writeln!(text, "| {} | not measured: {why} | | | | | |", entry.name);
    };
    write!(text, "| {} | {} | ", entry.name, Times(time))?;
    write!(text, "{} | {}", significant(bare), samples.len())?;
    if placement != Placement::Near {
        write!(text, " {placement}")?;
    }
    if let Some(failure) = &entry.failure {
        write!(text, ", then: {failure}")?;
    }
    write!(text, " |")?;
    if entry.goals.is_empty() {
        return writeln!(text, " | | |");
    }
    for (number, goal) in entry.goals.iter().enumerate() {
        if number > 0 {
            write!(text, "| | | | |")?;
        }
        writeln!(text, " {} |", goal_cells(goal, entry, group))?;
    }
    Ok(())
}

fn goal_cells(goal: &Goal, entry: &Entry, group: &Group) -> String {
    let at_most = goal.at_most;
    let target = match goal.against {
        Against::Bare => format!("≤ {at_most} × bare"),
        Against::Peer(name) => format!("≤ {at_most} × {name}"),
        Against::FastestPeer => format!("≤ {at_most} × the fastest peer"),
        Against::Nanoseconds => format!("≤ {}", Nanoseconds(at_most)),
    };
    let Some(reached) = goal.reached(entry, group) else {
        return format!("{target} | not measured |");
    };
    let [lower, median, upper] = reached;
    let value = match goal.against {
        Against::Nanoseconds => Nanoseconds(median).to_string(),
        _ => format!(
            "**{}** ({} to {})",
            significant(median),
            significant(lower),
            significant(upper)
        ),
    };
    let met = if median <= at_most { "yes" } else { "no" };
    format!("{target} | {value} | {met}")
}

/// A Markdown table, row by row.
pub struct Table {
    text: String,
}

impl Table {
    /// Makes a table whose first column is text, and whose other columns are numbers.
    pub fn new<const N: usize>(columns: [&str; N]) -> Table {
        let mut table = Table {
            text: String::new(),
        };
        table.row(columns.map(str::to_owned));
        table.text += "|---|";
        table.text += &"--:|".repeat(N - 1);
        table.text += "\n";
        table
    }

    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.text += &format!("| {} |\n", cells.join(" | "));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Median and quartiles.
struct Times([f64; 3]);

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [lower, median, upper] = self.0;
        let (unit, scale) = unit(median);
        let [lower, median, upper] = [lower, median, upper].map(|time| significant(time / scale));
        write!(f, "{median} {unit} ({lower} to {upper})")
    }
}

/// A time with its unit.
pub struct Nanoseconds(pub f64);

impl fmt::Display for Nanoseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, scale) = unit(self.0);
        write!(f, "{} {unit}", significant(self.0 / scale))
    }
}

fn unit(nanoseconds: f64) -> (&'static str, f64) {
    if nanoseconds < 1e3 {
        ("ns", 1.0)
    } else {
        ("µs", 1e3)
    }
}

/// Formats a number with three digits.
pub fn significant(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
