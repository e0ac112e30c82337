//! Plays the same situations on both backends, and compares the transcripts line by line. Only the documented
//! differences are allowed.

use super::{
    DROPIN, documented,
    play::{self, Side, Transcript},
    support::needs::{self, IPC_NAMESPACE, ROOT},
    table::{self, Situation},
};
use libtest_mimic::{Failed, Trial};
use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{LazyLock, OnceLock},
};

/// A situation that was played on both sides.
pub struct Played {
    pub situation: Situation,
    pub kernel: Transcript,
    pub user: Transcript,
}

/// Returns the situations that this user can play. Reports the others as skipped.
pub fn playable() -> &'static [Situation] {
    static PLAYABLE: LazyLock<Vec<Situation>> = LazyLock::new(|| {
        let missing = needs::missing(&[ROOT]);
        let mut all = table::all();
        all.retain(|situation| match missing {
            Some(missing) if situation.needs_root() => {
                needs::skip(&situation.name, missing);
                false
            }
            _ => true,
        });
        all
    });
    &PLAYABLE
}

/// Returns the transcripts of all situations on the kernel.
pub fn on_kernel() -> Result<&'static [Transcript], String> {
    static TRANSCRIPTS: LazyLock<Result<Vec<Transcript>, String>> =
        LazyLock::new(|| play_all(&Side::Kernel(DROPIN.clone())));
    TRANSCRIPTS.as_deref().map_err(String::clone)
}

fn play_all(side: &Side) -> Result<Vec<Transcript>, String> {
    play::play(side, &playable().iter().collect::<Vec<_>>())
}

static PLAYED: OnceLock<Result<Vec<Played>, String>> = OnceLock::new();

/// Returns all situations with their transcripts on both backends.
fn played() -> Result<&'static [Played], String> {
    let play = || -> Result<Vec<Played>, String> {
        let user = play_all(&Side::User(DROPIN.clone()))?;
        let both = on_kernel()?.iter().zip(user);
        let all = playable().iter().zip(both);
        let all = all.map(|(situation, (kernel, user))| Played {
            situation: situation.clone(),
            kernel: kernel.clone(),
            user,
        });
        Ok(all.collect())
    };
    PLAYED.get_or_init(play).as_deref().map_err(String::clone)
}

/// The tests of the table.
pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial(
            "every statement of every situation is understood",
            understood,
        ),
        trial("the drop-in on the kernel answers as libc does", as_libc),
        trial("every documented difference is one", documented_exist),
    ];
    for subject in table::subjects() {
        let name = format!("the user backend answers as the kernel does: {subject}");
        trials.push(trial(&name, move || as_kernel(subject)));
    }
    trials
}

/// Returns a test that needs an IPC namespace of its own.
pub fn trial(name: &str, test: impl FnOnce() -> Result<(), Failed> + Send + 'static) -> Trial {
    let named = name.to_owned();
    Trial::test(name, move || match needs::missing(&[IPC_NAMESPACE]) {
        Some(missing) => {
            needs::skip(&named, missing);
            Ok(())
        }
        None => test(),
    })
}

/// Words in the answer to a statement that the stage or the actor does not understand or cannot perform.
const MISUNDERSTOOD: [&str; 9] = [
    "not called",
    "not done",
    "unknown verb",
    "no actor",
    "no name",
    "nothing to do",
    "no answer",
    "died",
    "the stage",
];

fn understood() -> Result<(), Failed> {
    let mut wrong = String::new();
    for (situation, transcript) in playable().iter().zip(on_kernel()?) {
        for line in transcript {
            let answer = line
                .split_once(" → ")
                .map_or(line.as_str(), |(_, answer)| answer);
            if MISUNDERSTOOD.iter().any(|words| answer.contains(words)) {
                writeln!(wrong, "{}: {line}", situation.name)?;
            }
        }
        if transcript.len() != situation.statements.len() {
            writeln!(wrong, "{}: {} lines", situation.name, transcript.len())?;
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.into())
    }
}

fn as_libc() -> Result<(), Failed> {
    let libc = play_all(&Side::Libc)?;
    let mut text = String::new();
    for ((situation, libc), kernel) in playable().iter().zip(&libc).zip(on_kernel()?) {
        text += &report(situation, libc, kernel);
    }
    if text.is_empty() {
        Ok(())
    } else {
        Err(text.into())
    }
}

fn as_kernel(subject: &str) -> Result<(), Failed> {
    let documented = documented::all();
    let mut text = String::new();
    let all = played()?
        .iter()
        .filter(|played| played.situation.subject == subject);
    for Played {
        situation,
        kernel,
        user,
    } in all
    {
        let expected = documented.iter().find(|entry| entry.name == situation.name);
        let is = lines_that_differ(kernel, user);
        if is != expected.map_or(&[][..], |entry| &entry.lines) {
            text += &report(situation, kernel, user);
        }
    }
    if text.is_empty() {
        Ok(())
    } else {
        Err(text.into())
    }
}

fn documented_exist() -> Result<(), Failed> {
    let played = played()?;
    let mut text = String::new();
    for entry in documented::all() {
        let found = played
            .iter()
            .find(|played| played.situation.name == entry.name);
        match found {
            Some(played) if played.kernel != played.user => {}
            Some(_) => writeln!(text, "no difference any more: {}", entry.name)?,
            None if needs::missing(&[ROOT]).is_some() => {}
            None => writeln!(text, "no such situation: {}", entry.name)?,
        }
        if entry.reason.is_empty() {
            writeln!(text, "without a reason: {}", entry.name)?;
        }
    }
    if text.is_empty() {
        Ok(())
    } else {
        Err(text.into())
    }
}

/// Returns the lines that differ, each after a sign.
pub fn lines_that_differ(one: &Transcript, other: &Transcript) -> Vec<String> {
    let mut lines = Vec::new();
    for index in 0..one.len().max(other.len()) {
        let (one, other) = (one.get(index), other.get(index));
        if one != other {
            lines.extend(one.map(|line| format!("- {line}")));
            lines.extend(other.map(|line| format!("+ {line}")));
        }
    }
    lines
}

/// Returns all lines, with signs before those that differ; an empty text if none differs.
pub fn report(situation: &Situation, one: &Transcript, other: &Transcript) -> String {
    if one == other {
        return String::new();
    }
    let mut text = format!("\n== {}\n", situation.name);
    for index in 0..one.len().max(other.len()) {
        match (one.get(index), other.get(index)) {
            (Some(one), Some(other)) if one == other => text += &format!("  {one}\n"),
            (one, other) => {
                one.iter().for_each(|line| text += &format!("- {line}\n"));
                other.iter().for_each(|line| text += &format!("+ {line}\n"));
            }
        }
    }
    text
}

/// Prints a table of the subjects, if the situations were played.
pub fn summarize() {
    let Some(Ok(played)) = PLAYED.get() else {
        return;
    };
    let mut rows: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    let mut sum = [0; 3];
    for Played {
        situation,
        kernel,
        user,
    } in played
    {
        let row = rows.entry(&situation.subject).or_default();
        for counts in [row, &mut sum] {
            counts[0] += 1;
            counts[1] += usize::from(kernel == user);
            counts[2] += usize::from(kernel != user);
        }
    }
    println!("\n| subject | situations | equal | different |\n|---|--:|--:|--:|");
    for subject in table::subjects() {
        let [all, equal, different] = rows.get(subject).copied().unwrap_or_default();
        println!("| {subject} | {all} | {equal} | {different} |");
    }
    println!("| all | {} | {} | {} |", sum[0], sum[1], sum[2]);
}
