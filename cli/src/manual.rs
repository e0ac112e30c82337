//! The manual pages of the command, and what shells complete, are made from its own description and
//! checked in. `BLESS=1 cargo test -p shmkey-cli manual` writes them anew.

use crate::Arguments;
use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate};
use clap_mangen::Man;
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The date in the pages: that of the last change of what they say.
const DATE: &str = "2026-11-21";

#[test]
fn the_description_makes_sense() {
    Arguments::command().debug_assert();
}

#[test]
fn manual_pages_say_what_the_command_says() {
    let mut pages = Vec::new();
    let command = Arguments::command().disable_help_subcommand(true);
    collect(command, None, &mut pages);
    for (name, text) in pages {
        expect(&Path::new("man").join(format!("{name}.1")), &text);
    }
}

#[test]
fn shells_complete_what_the_command_knows() {
    for (shell, file) in [
        (Shell::Bash, "shmkey.bash"),
        (Shell::Zsh, "_shmkey"),
        (Shell::Fish, "shmkey.fish"),
    ] {
        let mut text = Vec::new();
        generate(shell, &mut Arguments::command(), "shmkey", &mut text);
        expect(&Path::new("completions").join(file), &text);
    }
}

/// A page for the command, and one for each of its own.
fn collect(command: Command, above: Option<&str>, pages: &mut Vec<(String, Vec<u8>)>) {
    let name = match above {
        Some(above) => format!("{above}-{}", command.get_name()),
        None => command.get_name().to_owned(),
    };
    let version = env!("CARGO_PKG_VERSION");
    let command = command
        .version(version)
        .display_name(name.clone())
        .bin_name(name.replace('-', " "));
    for each in command.get_subcommands() {
        collect(each.clone(), Some(&name), pages);
    }
    let mut text = Vec::new();
    let page = Man::new(command)
        .title(name.to_uppercase())
        .date(DATE)
        .source(format!("shmkey {version}"))
        .manual("User Commands");
    page.render(&mut text).unwrap();
    pages.push((name, text));
}

/// Compares a file of the repository with what it should be, or writes it.
fn expect(path: &Path, wanted: &[u8]) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if env::var_os("BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, wanted).unwrap();
    }
    let there = fs::read(&path).unwrap_or_default();
    assert!(
        there == wanted,
        "{} is out of date; BLESS=1 cargo test -p shmkey-cli writes it anew",
        path.display()
    );
}
