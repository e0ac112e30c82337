//! What the README shows in C, in C++ and on the command line is what happens. (Its Rust is run as a
//! documentation test.) And the files that `Cargo.toml` speaks of are there.

mod support;

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};
use support::Artifacts;

/// The blocks of a language, each with the line of text before it.
fn blocks(language: &str) -> Vec<(String, String)> {
    let readme = include_str!("../README.md");
    let mut found = Vec::new();
    let mut before = "";
    let mut lines = readme.lines();
    while let Some(line) = lines.next() {
        match line.strip_prefix("```") {
            Some(tag) => {
                let block: Vec<&str> = lines.by_ref().take_while(|&line| line != "```").collect();
                if tag == language {
                    found.push((before.to_owned(), block.join("\n") + "\n"));
                }
            }
            None if !line.is_empty() => before = line,
            None => {}
        }
    }
    found
}

/// The name of the user who runs this.
fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}

/// Runs a block of `$ command` lines, and compares what they print with the lines in between.
fn run_console(block: &str, directory: &Path) {
    let mut commands: Vec<(&str, String)> = Vec::new();
    for line in block.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push((command, String::new())),
            None => {
                let expected = &mut commands.last_mut().expect("a command comes first").1;
                *expected += line;
                *expected += "\n";
            }
        }
    }
    for (command, expected) in commands {
        if command.starts_with("cargo ") {
            continue; // Cargo has built the libraries already
        }
        let output = Command::new("sh")
            .args(["-c", &format!("{{ {command}; }} 2>&1")])
            .current_dir(directory)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{command}: {said}");
        // The README's examples were run by root.
        let said = said.replace(&format!(" ({})", user()), " (root)");
        assert_eq!(
            without_numbers(&said),
            without_numbers(&expected),
            "{command}"
        );
    }
}

/// The same with a # for each number in the lines of a trace: ids, keys and times differ.
fn without_numbers(text: &str) -> String {
    let is_part = |character: char| character.is_ascii_alphanumeric();
    let mut same = String::new();
    for line in text.split_inclusive('\n') {
        if !line.starts_with("shmkey[") {
            same += line;
            continue;
        }
        for word in line.split_inclusive(|character| !is_part(character)) {
            let end = word.trim_end_matches(|character| !is_part(character));
            match end.contains(|character: char| character.is_ascii_digit()) {
                true => same += &format!("#{}", &word[end.len()..]),
                false => same += word,
            }
        }
    }
    same
}

#[test]
fn the_command_lines_print_what_they_show() {
    let artifacts = Artifacts::shared();
    let directory = tempfile::tempdir_in(support::directory()).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for shared in ["include", "c_examples"] {
        symlink(root.join(shared), directory.path().join(shared)).unwrap();
    }
    fs::create_dir(directory.path().join("target")).unwrap();
    symlink(
        artifacts.directory(),
        directory.path().join("target/release"),
    )
    .unwrap();
    let (c, cpp) = (blocks("c"), blocks("cpp"));
    assert_eq!((c.len(), cpp.len()), (5, 1));
    for (before, source) in c.iter().chain(&cpp) {
        let name = before.rsplit(' ').next().unwrap().trim_matches(['`', ':']);
        assert!(name.ends_with(".c") || name.ends_with(".cpp"), "{name}");
        // A name of this run's own, so that runs side by side do not meet.
        fs::write(directory.path().join(name), own(source)).unwrap();
    }
    let consoles = blocks("console");
    assert_eq!(consoles.len(), 7);
    for (_, block) in &consoles {
        run_console(&own(block), directory.path());
    }
}

/// The same with a segment's name that nobody else uses, and its key.
fn own(text: &str) -> String {
    let name = format!("hello {}", std::process::id());
    let key = |name: &str| shmkey::Key::from_name(name).unwrap().to_string();
    let mut text = text
        .replace("\"hello\"", &format!("\"{name}\""))
        .replace(&key("hello"), &key(&name));
    for object in ["ring", "lines", "position", "news", "total", "orders"] {
        let shown = format!("\"hello {object}\"");
        text = text.replace(&shown, &format!("\"{name} {object}\""));
    }
    text
}

#[test]
fn the_table_of_costs_names_its_command() {
    let readme = include_str!("../README.md");
    let table = readme.split("## What it costs").nth(1).unwrap();
    assert!(table.contains("`cargo run --release -p shmkey-bench`"));
    assert!(table.contains("| attach and detach, 4 KiB: C |"));
}

#[test]
fn the_files_that_cargo_toml_names_exist() {
    let text = include_str!("../Cargo.toml");
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !"/._-".contains(c));
    let files: Vec<&str> = words.filter(|word| word.ends_with(".rs")).collect();
    assert!(!files.is_empty());
    for file in files {
        let path = file.trim_start_matches('/');
        assert!(Path::new(path).exists(), "{file}");
    }
}
