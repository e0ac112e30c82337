//! Tests that the situations find defects: each defect of `defects.txt` is planted in a copy of the user backend, and
//! the suite must fail.
//!
//! ```text
//! == What goes wrong
//! core/src/backend/user/FILE.rs
//! - a part of the file, which occurs once
//! + the text that replaces it
//! ```
//!
//! `\n` stands for the end of a line. By default, a random sample of the defects is planted; `SHMKEY_DEFECTS=N` sets
//! the size of the sample, and `--ignored` plants all defects.

use super::{
    build_dropin, compare, documented,
    play::{self, Side, Transcript},
    random,
    support::Random,
    table::Situation,
};
use libtest_mimic::{Failed, Trial};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The size of the sample, unless `SHMKEY_DEFECTS` sets it.
const SAMPLE: usize = 2;

/// The number of situations that are played before they are compared.
const AT_A_TIME: usize = 120;

/// A part of a file of the user backend, and the text that replaces it.
#[derive(Clone)]
struct Defect {
    name: String,
    file: String,
    text: String,
    instead: String,
}

fn all() -> Vec<Defect> {
    let mut all: Vec<Defect> = Vec::new();
    for line in include_str!("defects.txt").lines() {
        if let Some(name) = line.strip_prefix("== ") {
            all.push(Defect {
                name: name.to_owned(),
                file: String::new(),
                text: String::new(),
                instead: String::new(),
            });
        } else if let Some(defect) = all.last_mut() {
            match (line.strip_prefix("- "), line.strip_prefix('+')) {
                (Some(text), _) => defect.text = text.replace("\\n", "\n"),
                (_, Some(instead)) => {
                    let instead = instead.strip_prefix(' ').unwrap_or_default();
                    defect.instead = instead.replace("\\n", "\n");
                }
                _ if line.starts_with("core/") => defect.file = line.to_owned(),
                _ => {}
            }
        }
    }
    all
}

pub fn trials() -> Vec<Trial> {
    let sample = || {
        let asked = env::var("SHMKEY_DEFECTS").ok();
        let size = asked.and_then(|asked| asked.parse().ok()).unwrap_or(SAMPLE);
        let (mut random, mut all) = (Random::seeded(Random::seed_of_run()), all());
        while all.len() > size {
            all.swap_remove(random.below(all.len()));
        }
        find(&all)
    };
    vec![
        Trial::test("every planted defect can be planted", can_be_planted),
        compare::trial("the suite finds a sample of the planted defects", sample),
        compare::trial("the suite finds every planted defect", || find(&all()))
            .with_ignored_flag(true),
    ]
}

/// Fails if a defect's text does not occur exactly once.
fn can_be_planted() -> Result<(), Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lost: Vec<String> = all()
        .iter()
        .filter_map(|defect| planted(root, defect).err())
        .collect();
    if lost.is_empty() {
        Ok(())
    } else {
        Err(lost.join("\n").into())
    }
}

/// Returns a file with the defect in it.
fn planted(root: &Path, defect: &Defect) -> Result<String, String> {
    let Defect {
        name,
        file,
        text,
        instead,
    } = defect;
    let source = fs::read_to_string(root.join(file));
    let source = source.map_err(|error| format!("{name}: {file}: {error}"))?;
    match source.matches(text.as_str()).count() {
        1 => Ok(source.replacen(text.as_str(), instead, 1)),
        count => Err(format!("{name}: {file} has {count} times: {text}")),
    }
}

/// Plants these defects one at a time, and fails if the suite does not find each.
fn find(defects: &[Defect]) -> Result<(), Failed> {
    let copy = copy()?;
    let right = build_dropin(&copy, "defective.so")?;
    if let Some(by) = seen(&Side::Defective(right)) {
        return Err(format!("without a defect, this differs: {by}").into());
    }
    let mut missed = Vec::new();
    for defect in defects {
        let source = planted(&copy, defect)?;
        let file = copy.join(&defect.file);
        let right = fs::read_to_string(&file)?;
        fs::write(&file, source)?;
        let built = build_dropin(&copy, "defective.so");
        fs::write(&file, right)?;
        let dropin = built.map_err(|error| format!("{}: {error}", defect.name))?;
        match seen(&Side::Defective(dropin)) {
            Some(by) => println!("found: {}: {by}", defect.name),
            None => missed.push(defect.name.clone()),
        }
    }
    let found = defects.len() - missed.len();
    println!("{found} of {} planted defects were found", defects.len());
    if missed.is_empty() {
        Ok(())
    } else {
        Err(format!("not found: {missed:#?}").into())
    }
}

/// Returns the name of a situation whose transcript is wrong on this side, if there is one.
fn seen(side: &Side) -> Option<String> {
    let documented = documented::all();
    let situations = compare::playable();
    let kernel = compare::on_kernel().expect("the kernel answers");
    for (some, kernel) in situations.chunks(AT_A_TIME).zip(kernel.chunks(AT_A_TIME)) {
        let some: Vec<_> = some.iter().collect();
        let Ok(played) = play::play(side, &some) else {
            return Some("the stages end".to_owned());
        };
        let differs = |situation: &Situation, kernel: &Transcript, user: &Transcript| {
            let expected = documented.iter().find(|entry| entry.name == situation.name);
            compare::lines_that_differ(kernel, user)
                != expected.map_or(&[][..], |entry| &entry.lines)
        };
        for ((situation, kernel), user) in some.iter().zip(kernel).zip(&played) {
            if !differs(situation, kernel, user) {
                continue;
            }
            // Played again, because a busy machine can make a situation differ once.
            match play::play(side, &[situation]) {
                Ok(again) if !differs(situation, kernel, &again[0]) => {}
                _ => return Some(situation.name.clone()),
            }
        }
    }
    let Side::Defective(dropin) = side else {
        return None;
    };
    let sides = [Side::Kernel(dropin.clone()), side.clone()];
    random::search(&sides, 1, 100)
        .err()
        .map(|_| "random situations".to_owned())
}

/// Copies the sources of the drop-in into a directory, which later runs use again with what they have built there.
fn copy() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("defects");
    copy_folder(&root.join("core"), &copy.join("core"))?;
    copy_folder(&root.join("dropin"), &copy.join("dropin"))?;
    copy_file(&root.join("Cargo.lock"), &copy.join("Cargo.lock"))?;
    let manifest = fs::read_to_string(root.join("Cargo.toml"));
    let manifest = manifest.map_err(|error| error.to_string())?;
    let (_, rest) = manifest
        .split_once("[workspace.package]")
        .ok_or("no workspace")?;
    let (shared, _) = rest.split_once("[lib]").ok_or("no library")?;
    let manifest = format!(
        "[workspace]\nmembers = [\"core\", \"dropin\"]\nresolver = \"3\"\n[workspace.package]{shared}"
    );
    write(&copy.join("Cargo.toml"), manifest.as_bytes())?;
    Ok(copy)
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), String> {
    fs::create_dir_all(to).map_err(|error| error.to_string())?;
    for entry in fs::read_dir(from).map_err(|error| error.to_string())? {
        let entry = entry.map_err(|error| error.to_string())?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &to)?
        } else {
            copy_file(&path, &to)?
        }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> Result<(), String> {
    let bytes = fs::read(from).map_err(|error| format!("{}: {error}", from.display()))?;
    write(to, &bytes)
}

/// Writes a file unless it has these bytes already, so that Cargo does not build it again.
fn write(file: &Path, bytes: &[u8]) -> Result<(), String> {
    if fs::read(file).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(file, bytes).map_err(|error| format!("{}: {error}", file.display()))
}
