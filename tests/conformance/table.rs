//! The situations, which are written in a small language in the files of `situations/`, one for each subject.
//!
//! ```text
//! == The owner reads a segment of mode MODE
//! each MODE 400 000
//! A as 1001:1001; A get K 4096 creat+MODE = x
//! A at x 0 rdonly = p       # a comment
//! ```
//!
//! A statement is `ACTOR VERB …`, where the actor is a process with a name from A to H, or a verb of the [stage]
//! itself. `= x` names the result of the statement: a segment, an address or a process. With a line `each`, there is
//! a situation for each of its values; with several such lines, one for each combination of values.
//!
//! [stage]: crate::stage

use std::fmt;

/// A sequence of statements in a namespace of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Situation {
    pub subject: String,
    pub name: String,
    pub statements: Vec<String>,
}

/// The subjects, and their files.
const SUBJECTS: [(&str, &str); 16] = [
    ("creation", include_str!("situations/creation.txt")),
    ("lookup", include_str!("situations/lookup.txt")),
    ("permissions", include_str!("situations/permissions.txt")),
    ("attach", include_str!("situations/attach.txt")),
    ("detach", include_str!("situations/detach.txt")),
    ("memory", include_str!("situations/memory.txt")),
    ("removal", include_str!("situations/removal.txt")),
    ("processes", include_str!("situations/processes.txt")),
    ("status", include_str!("situations/status.txt")),
    ("times", include_str!("situations/times.txt")),
    ("set", include_str!("situations/set.txt")),
    ("lock", include_str!("situations/lock.txt")),
    ("limits", include_str!("situations/limits.txt")),
    ("pointers", include_str!("situations/pointers.txt")),
    ("ids", include_str!("situations/ids.txt")),
    ("surroundings", include_str!("situations/surroundings.txt")),
];

/// Returns the subjects, in the order in which they are played.
pub fn subjects() -> impl Iterator<Item = &'static str> {
    SUBJECTS.iter().map(|(subject, _)| *subject)
}

/// Returns all situations, with one for each combination of values.
pub fn all() -> Vec<Situation> {
    let of_subject = |(subject, text): &(&str, &str)| read(subject, text);
    SUBJECTS.iter().flat_map(of_subject).collect()
}

/// Reads a file of situations.
pub fn read(subject: &str, text: &str) -> Vec<Situation> {
    let mut written: Vec<(Situation, Vec<Each>)> = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(name) = line.strip_prefix("== ") {
            let situation = Situation {
                subject: subject.to_owned(),
                name: name.to_owned(),
                statements: Vec::new(),
            };
            written.push((situation, Vec::new()));
        } else if let Some((situation, eaches)) = written.last_mut() {
            if let Some(each) = line.strip_prefix("each ") {
                let mut words = each.split_whitespace().map(str::to_owned);
                let variable = words.next().unwrap_or_default();
                eaches.push((variable, words.collect()));
                continue;
            }
            let statements = line.split(';').map(str::trim);
            let statements = statements.filter(|statement| !statement.is_empty());
            situation.statements.extend(statements.map(str::to_owned));
        }
    }
    written
        .iter()
        .flat_map(|(situation, eaches)| expand(situation, eaches))
        .collect()
}

/// A variable and its values.
type Each = (String, Vec<String>);

/// Returns a situation for each combination of values.
fn expand(situation: &Situation, eaches: &[Each]) -> Vec<Situation> {
    let Some(((variable, values), rest)) = eaches.split_first() else {
        return vec![situation.clone()];
    };
    let with = |value: &String| {
        let name = match situation.name.split_once(variable.as_str()) {
            Some((before, after)) => format!("{before}{value}{after}"),
            None => format!("{} [{variable} {value}]", situation.name),
        };
        // A value has no spaces: `stat_x` stands for `stat x`.
        let value = value.replace('_', " ");
        let replace = |statement: &String| statement.replace(variable.as_str(), &value);
        let one = Situation {
            name,
            statements: situation.statements.iter().map(replace).collect(),
            ..situation.clone()
        };
        expand(&one, rest)
    };
    values.iter().flat_map(with).collect()
}

impl Situation {
    /// Returns whether the verb of a statement, or its first word, is this one.
    pub fn uses(&self, verb: &str) -> bool {
        let mut statements = self.statements.iter();
        statements.any(|statement| {
            statement
                .split_whitespace()
                .take(2)
                .any(|word| word == verb)
        })
    }

    /// Returns whether only root can play the situation.
    pub fn needs_root(&self) -> bool {
        const OF_ROOT: [&str; 5] = ["as", "limit", "chroot", "drop", "pid-namespace"];
        OF_ROOT.iter().any(|verb| self.uses(verb))
    }
}

impl fmt::Display for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "== {}", self.name)?;
        let mut statements = self.statements.iter();
        statements.try_for_each(|statement| writeln!(f, "{statement}"))
    }
}
