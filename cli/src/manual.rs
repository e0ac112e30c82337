//! `shmkey packaging-files`: writes the manual pages and the completions, for packaging. Names, options and descriptions
//! come from the command line parser; the other sections come from `cli/man`, which has a file for each page.

use crate::{
    Arguments, complete,
    output::{Failure, each, of_file},
};
use clap::{Args, Command, CommandFactory};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use clap_mangen::Man;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

#[derive(Args)]
pub struct Options {
    /// The folder
    folder: PathBuf,
}

/// The date in the pages: the day on which their text last changed.
const DATE: &str = "2026-11-27";

macro_rules! sections {
    ($($command:literal),* $(,)?) => {
        [$(($command, include_str!(concat!("../man/", $command, ".md")))),*]
    };
}

/// The sections that are written by hand, by the name of the command.
const SECTIONS: [(&str, &str); 18] = sections![
    "shmkey", "chmod", "chown", "create", "dump", "get", "limits", "list", "lock", "map", "post",
    "put", "remove", "show", "top", "trace", "wait", "watch",
];

pub fn run(options: &Options) -> Result<(), Failure> {
    let mut files = pages();
    files.extend(completions());
    each(&files, |(name, text)| {
        let path = options.folder.join(name);
        let failed = |error| Failure::Because(of_file(&path, &error));
        fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(failed)?;
        fs::write(&path, text).map_err(failed)?;
        Ok(String::new())
    })
}

/// The scripts that ask the command what to complete.
fn completions() -> Vec<(String, Vec<u8>)> {
    let shells: [(&dyn EnvCompleter, &str); 3] = [
        (&Bash, "shmkey.bash"),
        (&Zsh, "_shmkey"),
        (&Fish, "shmkey.fish"),
    ];
    let script = |(shell, file): (&dyn EnvCompleter, &str)| {
        let mut text = Vec::new();
        let name = "shmkey";
        let written = shell.write_registration(complete::VARIABLE, name, name, name, &mut text);
        debug_assert!(written.is_ok(), "writing into memory does not fail");
        (format!("completions/{file}"), text)
    };
    shells.into_iter().map(script).collect()
}

/// A page for the command, and one for each of its own.
fn pages() -> Vec<(String, Vec<u8>)> {
    let command = Arguments::command().disable_help_subcommand(true);
    let of = command
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    let mut pages: Vec<_> = of
        .map(|command| page(command.clone(), Some("shmkey")))
        .collect();
    pages.push(page(command, None));
    pages
}

fn page(command: Command, above: Option<&str>) -> (String, Vec<u8>) {
    let by_hand = SECTIONS.iter().find(|(of, _)| *of == command.get_name());
    let by_hand = by_hand.map_or("", |(_, text)| text);
    let name = above.map_or(String::new(), |above| format!("{above}-")) + command.get_name();
    let version = env!("CARGO_PKG_VERSION");
    let command = command
        .version(version)
        .disable_version_flag(above.is_some())
        .display_name(name.clone())
        .bin_name(name.replace('-', " "));
    let man = Man::new(command)
        .title(name.to_uppercase())
        .date(DATE)
        .source(format!("shmkey {version}"))
        .manual("User Commands");
    let mut text = Vec::new();
    let written = (|| -> io::Result<()> {
        man.render_title(&mut text)?;
        man.render_name_section(&mut text)?;
        man.render_synopsis_section(&mut text)?;
        man.render_description_section(&mut text)?;
        man.render_options_section(&mut text)?;
        if above.is_none() {
            man.render_subcommands_section(&mut text)?;
        }
        Ok(())
    })();
    debug_assert!(written.is_ok(), "writing into memory does not fail");
    text.extend(roff(by_hand).trim_end().bytes());
    // SEE ALSO is the last section.
    let see_also = above.map_or("", |_| ", shmkey(1), shmget(2), shmctl(2), sysvipc(7)");
    text.extend(format!("{see_also}\n").bytes());
    (format!("man/{name}.1"), text)
}

/// Turns the Markdown of `cli/man` into roff. A line is a heading (`##`, `###`), the first of an item (``- `term`:
/// text``), a line of an example (indented by four spaces), or text; an empty line separates paragraphs.
fn roff(markdown: &str) -> String {
    let mut text = String::new();
    let mut lines = markdown.lines().peekable();
    while let Some(line) = lines.next() {
        let item = line
            .strip_prefix("- `")
            .and_then(|item| item.split_once("`: "));
        if let Some(title) = line.strip_prefix("## ") {
            text += &format!(".SH {}\n", escaped(title));
        } else if let Some(title) = line.strip_prefix("### ") {
            text += &format!(".SS {}\n", escaped(title));
        } else if let Some((term, what)) = item {
            text += &format!(".TP\n.B {}\n{}\n", escaped(term), escaped(what));
        } else if let Some(example) = line.strip_prefix("    ") {
            text += &format!(".RS 4\n.nf\n{}\n", escaped(example));
            while let Some(example) = lines.next_if(|line| line.starts_with("    ")) {
                text += &format!("{}\n", escaped(example.trim_start()));
            }
            text += ".fi\n.RE\n";
        } else if !line.is_empty() {
            text += &format!("{}\n", escaped(line.trim_start()));
        } else if lines
            .peek()
            .is_some_and(|next| !next.starts_with(['#', '-']))
        {
            text += ".PP\n";
        }
    }
    text
}

/// Text that roff prints unchanged.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) {
        format!("\\&{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn texts() -> Vec<(String, String)> {
        let text = |(name, text)| (name, String::from_utf8(text).unwrap());
        pages().into_iter().map(text).collect()
    }

    #[test]
    fn roff_has_headings_items_examples_and_paragraphs() {
        let text =
            "## A-B\nText\n\nmore \\n\n\n- `-x`: What\n  it does.\n\n    run\n    .two\n\n### C\n";
        let expected = ".SH A\\-B\nText\n.PP\nmore \\en\n.TP\n.B \\-x\nWhat\nit does.\n.PP\n.RS 4\n.nf\nrun\n\\&.two\n\
                        .fi\n.RE\n.SS C\n";
        assert_eq!(roff(text), expected);
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_page_has_exit_status_and_examples() {
        let pages = texts();
        assert_eq!(pages.len(), SECTIONS.len());
        for (name, text) in pages {
            for section in [
                "NAME",
                "SYNOPSIS",
                "DESCRIPTION",
                "OPTIONS",
                "EXIT STATUS",
                "EXAMPLES",
            ] {
                let heading = format!("\n.SH {section}\n");
                assert!(text.contains(&heading), "{name} has no {section}");
            }
        }
    }

    /// The command understands each line of the examples that runs it.
    #[test]
    fn examples_are_command_lines() {
        let mut tried = 0;
        for (name, text) in texts() {
            let examples = text.split("\n.SH EXAMPLES\n").nth(1).unwrap_or_default();
            let examples = examples.split("\n.SH ").next().unwrap_or_default();
            let examples = examples.replace("\\-", "-");
            let commands = examples.lines().flat_map(|line| line.split(" | "));
            for command in commands.filter(|command| command.starts_with("shmkey")) {
                let words = command
                    .split(' ')
                    .take_while(|word| !matches!(*word, "<" | ">" | "&"));
                let words: Vec<_> = words.map(Into::into).collect();
                let parsed = Arguments::try_parse_from(crate::with_command(words));
                assert!(parsed.is_ok(), "{name}: {command}: {:?}", parsed.err());
                tried += 1;
            }
        }
        assert!(tried >= SECTIONS.len());
    }

    #[test]
    fn the_manual_lists_every_column() {
        let list = &texts()
            .into_iter()
            .find(|(name, _)| name == "man/shmkey-list.1")
            .unwrap()
            .1;
        let named = |title: &str| {
            let item = format!(".B {title}\n");
            assert!(list.contains(&item), "{title}");
        };
        let segments = crate::columns::SEGMENTS
            .iter()
            .map(|field| field.column.title);
        let others = [crate::others::SEMAPHORES, crate::others::MESSAGES];
        let others = others.into_iter().flatten().map(|field| field.column.title);
        segments.chain(others).for_each(named);
    }

    #[test]
    fn completions_ask_the_command() {
        for (name, text) in completions() {
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains(complete::VARIABLE), "{name}");
        }
    }

    /// A text that is broken into lines by hand is broken a second time in a narrower terminal.
    #[test]
    fn help_texts_leave_the_breaking_of_lines_to_the_terminal() {
        let command = Arguments::command();
        let mut commands: Vec<Command> = command.get_subcommands().cloned().collect();
        commands.push(command);
        for command in commands {
            let of_arguments = command.get_arguments().flat_map(|argument| {
                [
                    argument.get_help().cloned(),
                    argument.get_long_help().cloned(),
                ]
            });
            let about = [
                command.get_about(),
                command.get_long_about(),
                command.get_after_help(),
            ];
            let texts = about
                .into_iter()
                .map(Option::<&_>::cloned)
                .chain(of_arguments);
            for text in texts.flatten().map(|text| text.to_string()) {
                assert!(!text.replace("\n\n", "").contains('\n'), "{text}");
            }
        }
    }
}
