//! The manual pages of section 3 are the comments of `include/shmkey.h`, laid out: `man/*.3`.

mod api;

use api::{Function, Item, Kind};
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
};

/// When this version came about, for the foot of each page.
const DATE: &str = "2026-11-21";

/// The pages: name, what it says in one line, and the declarations that it is about. A word that ends in `*` is for
/// all that begin so. The first function is the page's own; the others refer to it.
const PAGES: [(&str, &str, &str); 21] = [
    (
        "shm_open_key",
        "open, create and remove a segment",
        "shm_open_key shm_open_name shm_open_key_number shm_open_private shm_remove \
         SHMKEY_CREATE SHMKEY_EXCLUSIVE",
    ),
    (
        "shm_attach",
        "attach and detach a segment",
        "shm_attach shm_attach_at shm_attach_huge shm_detach shm_attached_size shm_prefault \
         SHMKEY_READ_ONLY",
    ),
    (
        "shm_get_status",
        "what the kernel knows of a segment",
        "shm_get_status shm_status",
    ),
    (
        "shm_set_mode",
        "change the mode and the owner of a segment",
        "shm_set_mode shm_set_owner",
    ),
    (
        "shm_place",
        "where an object lies, and how long to wait",
        "shm_place SHMKEY_PLACE_* SHMKEY_ANY_OWNER SHMKEY_FOREVER SHMKEY_NO_WAIT \
         SHMKEY_SECONDS SHMKEY_MILLISECONDS SHMKEY_MICROSECONDS",
    ),
    (
        "shm_semaphore_open",
        "a counting semaphore in shared memory",
        "shm_semaphore shm_semaphore_*",
    ),
    (
        "shm_mutex_open",
        "a robust mutex around bytes in shared memory",
        "shm_mutex shm_mutex_*",
    ),
    (
        "shm_condvar_open",
        "wait until bytes that a mutex protects have changed",
        "shm_condvar shm_condvar_*",
    ),
    (
        "shm_rwlock_open",
        "a robust reader-writer lock around bytes in shared memory",
        "shm_rwlock shm_rwlock_*",
    ),
    (
        "shm_latest_open",
        "the newest value of something in shared memory",
        "shm_latest shm_latest_*",
    ),
    (
        "shm_ring_open",
        "messages from process to process through shared memory",
        "shm_ring shm_ring_open* SHMKEY_MANY_SENDERS SHMKEY_DROP_OLDEST shm_ring_begin_* \
         shm_ring_end_* shm_ring_capacity shm_ring_used shm_ring_dropped shm_ring_id \
         shm_ring_removed shm_ring_set_interruptible shm_ring_canceller shm_ring_close",
    ),
    (
        "shm_ring_send",
        "send messages through a ring",
        "shm_ring_send* shm_bytes shm_slot shm_ring_reserve shm_ring_commit shm_ring_abort",
    ),
    (
        "shm_ring_recv",
        "receive messages from a ring",
        "shm_ring_recv* shm_message shm_ring_peek shm_ring_release shm_ring_set_keep_waiting shm_ring_fd",
    ),
    (
        "shm_broadcast_open",
        "messages from one process to several subscribers through shared memory",
        "shm_broadcast shm_broadcast_open* SHMKEY_LOSSY shm_broadcast_capacity shm_broadcast_used \
         shm_broadcast_subscribers shm_broadcast_id shm_broadcast_removed \
         shm_broadcast_set_interruptible shm_broadcast_canceller shm_broadcast_close",
    ),
    (
        "shm_broadcast_publish",
        "publish messages to several subscribers",
        "shm_broadcast_publish* shm_broadcast_begin_publishing shm_broadcast_end_publishing \
         shm_broadcast_reserve shm_broadcast_commit shm_broadcast_abort",
    ),
    (
        "shm_broadcast_subscribe",
        "subscribe to messages, and receive them",
        "shm_broadcast_subscribe shm_broadcast_unsubscribe SHMKEY_FROM_OLDEST shm_broadcast_recv* \
         shm_broadcast_peek shm_broadcast_release shm_broadcast_missed \
         shm_broadcast_fd shm_broadcast_set_keep_waiting",
    ),
    (
        "shm_cancel",
        "end a wait from another thread or a signal handler",
        "shm_cancel shm_canceller",
    ),
    (
        "shm_wait_any",
        "wait for one of several objects",
        "shm_wait_any shm_waitable",
    ),
    (
        "shm_last_error",
        "why the last call failed, in words",
        "shm_last_error shm_last_failure shm_failure shm_failure_text",
    ),
    (
        "shm_this_process",
        "a number of the calling process",
        "shm_this_process",
    ),
    (
        "shm_version",
        "the version of shmkey",
        "shm_version SHMKEY_VERSION_MAJOR SHMKEY_VERSION_MINOR SHMKEY_VERSION_PATCH",
    ),
];

fn is_about(words: &str, name: &str) -> bool {
    words
        .split_whitespace()
        .any(|word| match word.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => word == name,
        })
}

#[test]
fn every_declaration_is_in_one_page() {
    for item in api::items() {
        let pages: Vec<&str> = PAGES
            .iter()
            .filter(|(_, _, words)| is_about(words, &item.name))
            .map(|(page, _, _)| *page)
            .collect();
        assert_eq!(pages.len(), 1, "{} is in these pages: {pages:?}", item.name);
    }
}

/// The pages in `man/` that are made from the header.
fn kept(folder: &Path) -> BTreeMap<String, String> {
    let files = fs::read_dir(folder)
        .expect("man/ is there")
        .map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                path,
            )
        })
        .filter(|(name, _)| name.ends_with(".3") && name != "shmkey.3")
        .map(|(name, path)| (name, fs::read_to_string(path).unwrap()))
        .collect()
}

#[test]
fn the_pages_are_what_the_header_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    let (made, kept) = (pages(), kept(&folder));
    if env::var_os("BLESS").is_some() {
        for name in kept.keys().filter(|&name| !made.contains_key(name)) {
            fs::remove_file(folder.join(name)).unwrap();
        }
        for (name, text) in &made {
            fs::write(folder.join(name), text).unwrap();
        }
        return;
    }
    let names: BTreeSet<&String> = made.keys().chain(kept.keys()).collect();
    let differ = names
        .into_iter()
        .filter(|&name| made.get(name) != kept.get(name));
    let differ: Vec<&String> = differ.collect();
    let command = "BLESS=1 cargo test --test manual";
    assert!(
        differ.is_empty(),
        "{differ:?} of man/ are not what include/shmkey.h says; run: {command}"
    );
}

/// The page of what all functions have in common is written by hand, and refers to the others.
#[test]
fn the_common_page_lists_the_others() {
    let common = include_str!("../man/shmkey.3");
    for (page, summary, _) in PAGES {
        let entry = format!(".TP\n.BR {page} (3)\n{summary}\n");
        assert!(common.contains(&entry), "man/shmkey.3 has no {entry:?}");
    }
}

/// All files of section 3 that are made from the header.
fn pages() -> BTreeMap<String, String> {
    let items = api::items();
    let mut files = BTreeMap::new();
    for (page, summary, words) in PAGES {
        let mut about: Vec<&Item> = items
            .iter()
            .filter(|item| is_about(words, &item.name))
            .collect();
        about.sort_by_key(|item| match item.kind {
            Kind::Opaque => 0,
            Kind::Struct { .. } if item.name == page => 0,
            Kind::Constant | Kind::Macro { .. } => 1,
            _ => 2,
        });
        files.insert(format!("{page}.3"), one_page(page, summary, &about));
        for item in about.iter().filter(|item| item.function().is_some()) {
            files
                .entry(format!("{}.3", item.name))
                .or_insert_with(|| format!(".so man3/{page}.3\n"));
        }
    }
    files
}

fn title(page: &str) -> String {
    format!(
        ".\\\" Made from include/shmkey.h by tests/manual.rs; changes made here are lost.\n\
         .TH {} 3 {DATE} \"shmkey {}\" \"Library Functions Manual\"\n",
        page.to_uppercase(),
        env!("CARGO_PKG_VERSION")
    )
}

fn one_page(page: &str, summary: &str, about: &[&Item]) -> String {
    let functions: Vec<(&Item, &Function)> = about
        .iter()
        .filter_map(|item| Some((*item, item.function()?)))
        .collect();
    // The page's own function comes first, whatever stands before it in the header.
    let mut names: Vec<&str> = functions.iter().map(|(item, _)| &*item.name).collect();
    names.sort_by_key(|&name| name != page);
    if names.is_empty() {
        names.push(page);
    }

    let mut text = title(page);
    text += &format!(".SH NAME\n{} \\- {summary}\n", names.join(", "));
    text += ".SH LIBRARY\nshmkey\n.RI ( libshmkey \", \" \\-lshmkey )\n";
    text += ".SH SYNOPSIS\n.nf\n.B #include <shmkey.h>\n.P\n";
    for (item, function) in &functions {
        text += &synopsis(&item.name, function);
    }
    text += ".fi\n.SH DESCRIPTION\n";
    let (mut results, mut errors) = (String::new(), String::new());
    for item in about {
        let blocks = blocks(item);
        match &item.kind {
            Kind::Opaque => text += &described(&blocks),
            Kind::Constant => text += &format!(".TP\n.B {}\n{}", item.name, described(&blocks)),
            Kind::Macro { head, .. } => text += &format!(".TP\n.B {head}\n{}", described(&blocks)),
            Kind::Struct { definition, .. } => {
                text += &format!(".SS struct {}\n{}.P\n.EX\n", item.name, described(&blocks));
                for line in definition {
                    text += &(escaped(line) + "\n");
                }
                text += ".EE\n";
            }
            Kind::Function(_) => {
                let mut head = String::new();
                if about.len() > 1 {
                    text += &format!(".SS {}()\n", item.name);
                    head = format!(".TP\n.BR {} ()\n", item.name);
                }
                for (index, block) in blocks.iter().enumerate() {
                    let Block { label, lines } = block;
                    match label.as_deref() {
                        Some("Returns") => {
                            results += &head;
                            results += &capitalised(&prose(lines));
                        }
                        Some("Errors") => errors += &(head.clone() + &prose(lines)),
                        _ => {
                            if label.is_none() && index > 0 {
                                text += ".P\n";
                            }
                            text += &described(std::slice::from_ref(block));
                        }
                    }
                }
            }
        }
    }
    if !results.is_empty() {
        text += &format!(".SH RETURN VALUE\n{results}");
    }
    if !errors.is_empty() {
        text += &format!(".SH ERRORS\n{errors}");
    }
    // shmkey(3) lists all pages.
    text + ".SH SEE ALSO\n.BR shmkey (3) ,\n.BR shmkey (7)\n"
}

/// A prototype, broken where a parameter would go beyond the line.
fn synopsis(name: &str, function: &Function) -> String {
    const WIDTH: usize = 72;
    let mut line = format!("{}{name}(", function.result);
    let indent = " ".repeat(line.len().min(28));
    let mut text = String::new();
    let mut pieces = String::new(); // of a line that is begun: what .BI has so far
    let mut width = line.len();
    for (index, (kind, parameter)) in function.parameters.iter().enumerate() {
        let last = index + 1 == function.parameters.len();
        let length = kind.len() + parameter.len() + 2;
        if index > 0 && width + length > WIDTH {
            text += &format!(".BI{pieces} \"{}\"\n", line.trim_end());
            pieces.clear();
            line = indent.clone();
            width = indent.len();
        }
        pieces += &format!(" \"{line}{kind}\" {parameter}");
        line = if last { String::new() } else { ", ".to_owned() };
        width += length;
    }
    if function.parameters.is_empty() {
        line += "void";
    }
    format!("{text}.BI{pieces} \"{line});\"\n")
}

/// A part of a comment: a paragraph, or what is said under a label, such as a parameter's name.
struct Block {
    label: Option<String>,
    lines: Vec<String>,
}

fn blocks(item: &Item) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut fresh = true;
    for line in &item.comment {
        if line.is_empty() {
            fresh = true;
        } else if let Some((label, rest)) = labelled(line, item) {
            blocks.push(Block {
                label: Some(label.to_owned()),
                lines: vec![rest.to_owned()],
            });
            fresh = false;
        } else if fresh {
            blocks.push(Block {
                label: None,
                lines: vec![line.clone()],
            });
            fresh = false;
        } else {
            blocks.last_mut().unwrap().lines.push(line.clone());
        }
    }
    blocks
}

/// Whether a line begins with names of parameters, or with one of the words that these comments have.
fn labelled<'line>(line: &'line str, item: &Item) -> Option<(&'line str, &'line str)> {
    let (label, rest) = line.split_once(": ")?;
    let known = |word: &str| {
        ["Returns", "Errors", "Threads", "Memory", "result", "errors"].contains(&word)
            || item
                .function()
                .is_some_and(|function| function.parameters.iter().any(|(_, name)| name == word))
    };
    label.split(", ").all(known).then_some((label, rest))
}

fn described(blocks: &[Block]) -> String {
    let mut text = String::new();
    for (index, Block { label, lines }) in blocks.iter().enumerate() {
        match label {
            None if index == 0 => {}
            None => text += ".P\n",
            Some(label) => text += &format!(".TP\n.I {label}\n"),
        }
        text += &prose(lines);
    }
    text
}

/// Lines of a comment, with the names in them set in bold: `shmget(2)`, `EINVAL`, `IPC_CREAT`.
fn prose(lines: &[String]) -> String {
    let mut text = String::new();
    for line in lines {
        let mut rest = line.trim();
        let mut made = String::new();
        while !rest.is_empty() {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            if length == 0 {
                // Something between words.
                let length = rest.find(is_word).unwrap_or(rest.len());
                let (between, after) = rest.split_at(length);
                made += &escaped(between);
                rest = after;
                continue;
            }
            let (word, after) = rest.split_at(length);
            let quoted = made.ends_with('`') && after.starts_with('`');
            let called = after.starts_with("()")
                || (after.starts_with('(')
                    && after[2..].starts_with(')')
                    && after[1..2].parse::<u8>().is_ok());
            if quoted {
                made.pop();
                made += &format!("\\fI{word}\\fP");
                rest = &after[1..];
                continue;
            }
            made += &if called || is_constant(word) {
                format!("\\fB\\%{word}\\fP") // not to be broken
            } else {
                word.to_owned()
            };
            rest = after;
        }
        // A line must not look like a request.
        if made.starts_with(['.', '\'']) {
            made.insert_str(0, "\\&");
        }
        text += &(made + "\n");
    }
    text
}

/// An error number, a flag or another constant.
fn is_constant(word: &str) -> bool {
    let upper = word
        .bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    upper && (word.contains('_') || (word.starts_with('E') && word.len() > 3))
}

/// Escapes characters that roff interprets, or replaces by typographic ones.
fn escaped(text: &str) -> String {
    let mut made = String::new();
    let mut before = ' ';
    for character in text.chars() {
        match character {
            '\\' => made += "\\e",
            '^' => made += "\\(ha",
            '~' => made += "\\(ti",
            // A minus or an option, and not a hyphen.
            '-' if !before.is_alphanumeric() => made += "\\-",
            _ => made.push(character),
        }
        before = character;
    }
    made
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        // Names stay as they are.
        Some(_) if text.starts_with("shm_") => text.to_owned(),
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}
