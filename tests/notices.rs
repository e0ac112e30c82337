//! `THIRD-PARTY` has the notices of whatever is linked into the libraries and the command: those of
//! Rust itself, which are kept in `packaging/`, and those that come with the packages, as Cargo has
//! them. Who hands out a binary has to hand these out, too.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
    process::Command,
};

const KEPT: &str = "THIRD-PARTY";

/// What is installed, and for which system: what is linked depends on it.
const MADE: [&str; 3] = ["shmkey", "shmkey-dropin", "shmkey-cli"];
const SYSTEM: &str = "x86_64-unknown-linux-gnu";

/// Licenses whose notices a package may come with, the first one of them being enough.
const LICENSES: [&str; 4] = ["MIT", "Zlib", "BSL-1.0", "Apache-2.0"];

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Names and versions of the packages that are linked: not those that are only needed to build.
fn linked() -> BTreeSet<(String, String)> {
    let mut arguments = vec!["tree", "--prefix=none", "--edges=normal,no-proc-macro"];
    arguments.extend(["--target", SYSTEM]);
    arguments.extend(MADE.iter().flat_map(|package| ["-p", package]));
    cargo(&arguments)
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.split_once(' ')?;
            let version = rest.split(' ').next()?.strip_prefix('v')?;
            (!name.starts_with("shmkey")).then(|| (name.to_owned(), version.to_owned()))
        })
        .collect()
}

/// The license to go by, and its notice.
fn notice(folder: &Path, expression: &str) -> (&'static str, String) {
    let words: Vec<&str> = expression.split([' ', '/', '(', ')']).collect();
    let license = LICENSES
        .into_iter()
        .find(|license| words.contains(license))
        .unwrap_or_else(|| panic!("{}: the license {expression}", folder.display()));
    let marks = match license {
        "BSL-1.0" => "BOOST".to_owned(),
        _ => license.split('-').next().unwrap().to_uppercase(),
    };
    let files: BTreeSet<String> = fs::read_dir(folder)
        .expect("the package is here")
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    // LICENSE-MIT; or LICENSE, LICENCE or LICENSE.txt, which has the only one, or all.
    let is_license = |file: &&String| file.to_uppercase().starts_with("LICEN");
    let file = files
        .iter()
        .filter(is_license)
        .find(|file| file.to_uppercase().ends_with(&marks))
        .or_else(|| {
            let mut general = files.iter().filter(is_license);
            general.find(|file| !file.contains(['-', '_']))
        })
        .unwrap_or_else(|| panic!("{}: no file has {license}", folder.display()));
    let mut text = String::new();
    for file in ["COPYRIGHT", "NOTICE", file] {
        if files.contains(file) {
            text += fs::read_to_string(folder.join(file)).unwrap().trim_end();
            text += "\n\n";
        }
    }
    let lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
    (
        license,
        lines.join("\n").trim_start_matches('\n').to_owned(),
    )
}

fn notices() -> String {
    let metadata = cargo(&[
        "metadata",
        "--format-version=1",
        "--filter-platform",
        SYSTEM,
    ]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages: BTreeMap<(&str, &str), &Value> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let name = package["name"].as_str().unwrap();
            ((name, package["version"].as_str().unwrap()), package)
        })
        .collect();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, version) in &linked() {
        let package = packages[&(&**name, &**version)];
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        let expression = package["license"].as_str().unwrap_or_default();
        let (license, text) = notice(manifest.parent().unwrap(), expression);
        let title = format!("{name} {version} ({license})");
        texts.entry(text).or_default().push(title);
    }
    let mut sections: Vec<String> = texts
        .into_iter()
        .map(|(text, titles)| format!("{}\n\n{text}\n", titles.join("\n")))
        .collect();
    sections.sort();
    sections.insert(0, include_str!("../packaging/rust-notices").to_owned());
    let rule = format!("\n{}\n\n", "=".repeat(80));
    sections.join(&rule)
}

#[test]
fn the_notices_are_those_of_what_is_linked() {
    let made = notices();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(KEPT);
    if env::var_os("BLESS").is_some() {
        fs::write(&path, &made).expect("the notices are writable");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "{KEPT} is not what Cargo.lock says: BLESS=1 cargo test --test notices"
    );
}
