//! What the README and the guide in `docs/` show in C, in C++ and on the command line is what happens. (Their
//! Rust is run as documentation tests: see `src/lib.rs`.) Their links lead somewhere, and so do the files that
//! `Cargo.toml` names.

mod support;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};
use support::Artifacts;

/// The README and the pages of the guide.
fn pages() -> Vec<PathBuf> {
    let guide = fs::read_dir("docs").unwrap();
    let mut pages: Vec<PathBuf> = guide
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .chain(["README.md".into()])
        .collect();
    pages.sort();
    pages
}

/// These, and the documents for contributors.
fn documents() -> impl Iterator<Item = PathBuf> {
    let others = ["ARCHITECTURE", "CONTRIBUTING", "SECURITY", "RELEASING"];
    let others = others.map(|name| format!("{name}.md").into());
    pages().into_iter().chain(others)
}

/// A block of code in a page.
struct Block {
    /// What stands behind the backquotes: `c`, `console`, ...
    language: String,
    /// The last line of text in front of it.
    before: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut before = "";
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let text: Vec<&str> = lines.by_ref().take_while(|&line| line != "```").collect();
            found.push(Block {
                language: language.to_owned(),
                before: before.to_owned(),
                text: text.join("\n") + "\n",
            });
        } else if !line.is_empty() {
            before = line;
        }
    }
    found
}

/// The name of the file that a line of text announces: "The sender, `sender.c`:".
fn file_name(before: &str) -> &str {
    let name = before.rsplit(' ').next().unwrap().trim_matches(['`', ':']);
    assert!(name.ends_with(".c") || name.ends_with(".cpp"), "{before}");
    name
}

/// The name of the user who runs this.
fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    let name = String::from_utf8_lossy(&output.stdout);
    name.trim_end().to_owned()
}

/// Runs a block of `$ command` lines, and compares what they print with the lines in between.
fn run_console(block: &str, directory: &Path) {
    for session in block.split("$ ").filter(|session| !session.is_empty()) {
        let (command, expected) = session.split_once('\n').unwrap();
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
        // The pages show what root sees.
        let said = said.replace(&format!(" ({})", user()), " (root)");
        assert_eq!(
            without_numbers(&said),
            without_numbers(expected),
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
            if end.contains(|character: char| character.is_ascii_digit()) {
                same += &format!("#{}", &word[end.len()..]);
            } else {
                same += word;
            }
        }
    }
    same
}

/// The same with names of segments that no other process uses, and the keys that they give. In the pages, the
/// name of a segment is `"hello"`, or `"hello"` and one more word.
fn own(text: &str) -> String {
    let names: BTreeSet<&str> = text
        .split('"')
        .filter(|quoted| is_segment_name(quoted))
        .collect();
    let mut own = text.to_owned();
    for name in names {
        let unique = name.replacen("hello", &format!("hello {}", std::process::id()), 1);
        let key = |name: &str| shmkey::Key::from_name(name).unwrap().to_string();
        own = own
            .replace(&format!("\"{name}\""), &format!("\"{unique}\""))
            .replace(&key(name), &key(&unique));
    }
    own
}

fn is_segment_name(quoted: &str) -> bool {
    let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase());
    let more = quoted.strip_prefix("hello ");
    quoted == "hello" || more.is_some_and(|more| !more.is_empty() && is_word(more))
}

/// A folder that looks like the sources of shmkey after `cargo build --release`.
fn sources(artifacts: &Artifacts) -> tempfile::TempDir {
    let directory = tempfile::tempdir_in(support::directory()).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for shared in ["include", "c_examples"] {
        symlink(root.join(shared), directory.path().join(shared)).unwrap();
    }
    let target = directory.path().join("target");
    fs::create_dir(&target).unwrap();
    symlink(artifacts.directory(), target.join("release")).unwrap();
    directory
}

#[test]
fn the_command_lines_print_what_they_show() {
    let artifacts = Artifacts::shared();
    let (mut programs, mut consoles) = (0, 0);
    for page in pages() {
        println!("{}:", page.display());
        let directory = sources(&artifacts);
        // Segments of this run's own, so that runs side by side do not meet.
        let page = own(&fs::read_to_string(page).unwrap());
        for block in blocks(&page) {
            match block.language.as_str() {
                "c" | "cpp" => {
                    let file = directory.path().join(file_name(&block.before));
                    fs::write(file, block.text).unwrap();
                    programs += 1;
                }
                "console" => {
                    run_console(&block.text, directory.path());
                    consoles += 1;
                }
                // Documentation tests; what needs an installed library (.ci/install) or the Python package
                // (python/tests/test_guide.py); what is only shown.
                "rust" | "sh" | "cmake" | "python" | "toml" | "text" => {}
                other => panic!("no test runs a block of {other:?}"),
            }
        }
    }
    println!("{programs} programs, {consoles} consoles");
    assert!(programs >= 8 && consoles >= 8);
}

#[test]
fn documentation_tests_run_the_rust_of_every_page() {
    let library = include_str!("../src/lib.rs");
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        if blocks(&text).iter().any(|block| block.language == "rust") {
            let included = format!("include_str!(\"../{}\")", page.display());
            assert!(library.contains(&included), "{included}");
        }
    }
}

/// A lock is held after EOWNERDEAD, too, so a program that compares the result with 0 never unlocks it.
#[test]
fn no_example_takes_a_recovered_lock_for_one_that_it_does_not_hold() {
    let folders = ["docs", "c_examples", "man", "include", "cli/man"];
    let files = folders.iter().flat_map(|folder| {
        let files = fs::read_dir(folder).unwrap();
        files.map(|file| file.unwrap().path())
    });
    for file in files.chain(documents()).filter(|file| file.is_file()) {
        let Ok(text) = fs::read_to_string(&file) else {
            continue; // a picture
        };
        for call in ["shm_mutex_lock(", "shm_rwlock_read(", "shm_rwlock_write("] {
            for (at, _) in text.match_indices(call) {
                let line = text[at..].lines().next().unwrap();
                let is_compared = line.contains(" == 0") || line.contains(" != 0");
                assert!(!is_compared, "{}: {line}", file.display());
            }
        }
    }
}

/// The targets of the links in a text: `[words](target)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1);
    targets.filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

/// What GitHub makes of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars()
        .filter(|character| character.is_alphanumeric() || " -_".contains(*character))
        .map(|character| if character == ' ' { '-' } else { character })
        .collect()
}

/// The headings of a page, as a link has them.
fn anchors(page: &str) -> Vec<String> {
    page.lines()
        .filter(|line| line.starts_with('#'))
        .map(anchor)
        .collect()
}

#[test]
fn the_links_lead_to_files_and_headings() {
    for page in documents() {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text).filter(|link| !link.starts_with("http")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => text.clone(),
                _ => fs::read_to_string(page.parent().unwrap().join(file)).unwrap_or_default(),
            };
            let is_there =
                heading.is_empty() || anchors(&target).iter().any(|anchor| anchor == heading);
            assert!(!target.is_empty() && is_there, "{}: {link}", page.display());
        }
    }
}

/// NAME stands for any; what is not in a folder of the sources is built, or the reader's own.
fn is_path_of_ours(quoted: &str) -> bool {
    let folder = quoted.split('/').next().unwrap_or_default();
    let is_path = quoted.contains('/') && !quoted.contains([' ', '*', '(', '$', '\n']);
    let is_folder = !["", "target"].contains(&folder) && Path::new(folder).is_dir();
    is_path && is_folder && !quoted.contains("NAME")
}

#[test]
fn the_files_that_the_documents_name_exist() {
    for page in documents() {
        let text = fs::read_to_string(&page).unwrap();
        let quoted = text.split('`').skip(1).step_by(2);
        for path in quoted.filter(|quoted| is_path_of_ours(quoted)) {
            assert!(Path::new(path).exists(), "{}: {path}", page.display());
        }
    }
}

#[test]
fn the_readme_is_short_and_leads_to_every_page_of_the_guide() {
    let readme = fs::read_to_string("README.md").unwrap();
    let lines = readme.lines().count();
    assert!(lines <= 250, "{lines} lines");
    for page in pages() {
        let page = page.display().to_string();
        assert!(
            page == "README.md" || readme.contains(&format!("]({page})")),
            "{page}"
        );
    }
}

#[test]
fn the_tables_of_costs_name_their_commands() {
    let page = fs::read_to_string("docs/performance.md").unwrap();
    let tables = page.lines().filter(|line| line.contains("(quartiles)"));
    assert!(tables.count() >= 3);
    for command in ["", " list", " locks", " --features peers,aeron -- sync"] {
        assert!(
            page.contains(&format!("shmkey-bench{command}")),
            "{command}"
        );
    }
}

#[test]
fn the_files_that_cargo_toml_names_exist() {
    let text = include_str!("../Cargo.toml");
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !"/._-".contains(c));
    let files: Vec<&str> = words
        .filter(|word| word.ends_with(".rs") && !word.ends_with("docs.rs"))
        .collect();
    assert!(!files.is_empty());
    for file in files {
        let path = file.trim_start_matches('/');
        assert!(Path::new(path).exists(), "{file}");
    }
}
