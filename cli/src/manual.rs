//! The manual pages of the command, and what shells complete, are made from its own description and
//! checked in. `BLESS=1 cargo test -p shmkey-cli manual` writes them anew.

use crate::Arguments;
use clap::{Command, CommandFactory, ValueHint};
use clap_complete::{Shell, generate};
use clap_mangen::Man;
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The date in the pages: that of the last change of what they say.
const DATE: &str = "2026-11-25";

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
        text.extend(positional(shell).bytes());
        expect(&Path::new("completions").join(file), &text);
    }
}

/// What its generator leaves out for bash and fish: what is to be completed where no option is. They
/// offer files there, but segments are none, and what `trace` runs is a command.
fn positional(shell: Shell) -> String {
    let command = Arguments::command();
    let hinted = |hint: ValueHint| -> Vec<&str> {
        let subcommands = command.get_subcommands().filter(|subcommand| {
            let mut positionals = subcommand.get_positionals();
            positionals.any(|argument| argument.get_value_hint() == hint)
        });
        subcommands.map(Command::get_name).collect()
    };
    let segments = hinted(ValueHint::Other);
    assert_eq!(hinted(ValueHint::CommandWithArguments), ["trace"]);
    match shell {
        Shell::Bash => format!(
            r#"
_shmkey_positional() {{
    _shmkey "$@"
    [[ $2 != -* ]] || return 0
    case ${{COMP_WORDS[1]}} in
        trace) [[ $3 != trace && $3 != --json ]] || COMPREPLY=($(compgen -c -- "$2")) ;;
        {}) [[ $3 == -* ]] || compopt +o default +o bashdefault ;;
    esac
}}
complete -F _shmkey_positional -o bashdefault -o default shmkey
"#,
            segments.join(" | ")
        ),
        Shell::Fish => format!(
            r#"complete -c shmkey -n "__fish_shmkey_using_subcommand {}" -f
complete -c shmkey -n "__fish_shmkey_using_subcommand trace" -f -a "(__fish_complete_subcommand --fcs-skip=2)"
"#,
            segments.join(" ")
        ),
        _ => String::new(),
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
