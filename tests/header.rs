//! `include/shmkey.h` is what `src/capi` says, and every compiler takes it without a warning.

mod api;
mod support;

use std::{env, fs, path::Path, process::Command};

const HEADER: &str = "include/shmkey.h";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn generate() -> String {
    let config = cbindgen::Config::from_file(root().join("cbindgen.toml")).expect("cbindgen.toml");
    let copies = tempfile::tempdir().expect("a temporary directory");
    let mut builder = cbindgen::Builder::new().with_config(config);
    // In the order in which a reader needs them.
    for file in [
        "constants",
        "place",
        "open",
        "attach",
        "status",
        "semaphore",
        "mutex",
        "latest",
        "ring",
        "failure",
        "process",
        "version",
    ] {
        let source = fs::read_to_string(root().join(format!("src/capi/{file}.rs")));
        let copy = copies.path().join(format!("{file}.rs"));
        // cbindgen does not know an attribute with a condition.
        let source = source.expect("src/capi is readable").replace(
            "#[cfg_attr(feature = \"capi\", unsafe(no_mangle))]",
            "#[unsafe(no_mangle)]",
        );
        fs::write(&copy, source).expect("a temporary file");
        builder = builder.with_src(copy);
    }
    let mut header = Vec::new();
    builder
        .generate()
        .expect("src/capi is readable")
        .write(&mut header);
    String::from_utf8(header).expect("a header is text")
}

#[test]
fn the_header_is_what_the_source_says() {
    let made = generate();
    let path = root().join(HEADER);
    if env::var_os("BLESS").is_some() {
        fs::write(&path, &made).expect("the header is writable");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "{HEADER} is not what src/capi says; run: BLESS=1 cargo test --test header"
    );
}

/// Compiles a program that includes the header, twice, and uses it, as C99, C11, C17 and C++17.
fn compiles_without_a_warning(c: &str, cpp: &str) {
    const WARNINGS: [&str; 7] = [
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Wconversion",
        "-Wshadow",
        "-Wundef",
        "-Werror",
    ];
    const PROGRAM: &str = "
        #include <shmkey.h>
        #include <shmkey.h>
        static int objects(void) {
            struct shm_mutex *mutex = shm_mutex_open(\"mutex\", sizeof(int), NULL, 0600);
            static const struct shm_place file = SHMKEY_PLACE_FILE(\"file\", 1);
            struct shm_place place = SHMKEY_PLACE_SEGMENT(1, 64);
            shm_semaphore *semaphore = shm_semaphore_open_at(&file, 0, SHMKEY_CREATE | 0600);
            shm_latest *latest = shm_latest_open_at(&place, sizeof(int), \"an int\", SHMKEY_READ_ONLY);
            shm_ring *ring =
                shm_ring_open(\"ring\", 1000, SHMKEY_MANY_SENDERS | SHMKEY_DROP_OLDEST, SHMKEY_CREATE | 0600);
            struct shm_bytes bytes = {\"a\", 1};
            struct shm_message message;
            int value = 0;
            int64_t version = shm_latest_read_newer(latest, 0, &value, SHMKEY_MILLISECONDS(1));
            ptrdiff_t sent = shm_ring_send_batch(ring, &bytes, 1, SHMKEY_FOREVER);
            ptrdiff_t size = shm_ring_peek(ring, &message, SHMKEY_NO_WAIT);
            place.owner = 0;
            place.timeout = SHMKEY_SECONDS(0.5);
            value += shm_mutex_lock(mutex, SHMKEY_FOREVER) + shm_mutex_unlock(mutex);
            value += shm_semaphore_post(semaphore) + shm_semaphore_wait(semaphore, 0);
            shm_mutex_close(mutex);
            shm_semaphore_close(semaphore);
            shm_latest_close(latest);
            shm_ring_close(ring);
            return value + (version > 0) + (sent == 1) + (size == 1);
        }
        int main(void) {
            struct shm_status status;
            size_t size;
            int id = shm_open_key(\"file\", 1, 100, 0600);
            void *memory = shm_attach(id, 0);
            if (shm_get_status(id, &status) != 0 || shm_attached_size(memory, &size) != 0) {
                return shm_last_error()[0];
            }
            return objects() + shm_detach(memory) + shm_remove(id) + SHMKEY_VERSION_MAJOR
                + shm_version()[0];
        }
    ";
    let directory = tempfile::tempdir().unwrap();
    for (compiler, language, standard) in [
        (c, "c", "c99"),
        (c, "c", "c11"),
        (c, "c", "c17"),
        (cpp, "c++", "c++17"),
        (cpp, "c++", "c++20"),
    ] {
        let source = directory.path().join("program");
        fs::write(&source, format!("{}\n", PROGRAM.trim())).unwrap();
        let mut command = Command::new(compiler);
        command
            .args(WARNINGS)
            .args([
                "-x",
                language,
                &format!("-std={standard}"),
                "-c",
                "-o",
                "/dev/null",
            ])
            .arg("-I")
            .arg(root().join("include"))
            .arg(&source);
        if language == "c" {
            command.args(["-Wstrict-prototypes", "-Wmissing-prototypes"]);
        }
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("{compiler}: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && said.is_empty(),
            "{command:?}: {said}"
        );
    }
}

/// A reader who searches for a function finds all of it in its own comment: what it does, in the third
/// person; each argument; the result; each error; and which threads may call it, and signal handlers.
#[test]
fn each_comment_stands_alone() {
    let mut wrong = Vec::new();
    for item in api::items() {
        let Some(function) = item.function() else {
            assert!(!item.comment.is_empty() || item.name.starts_with("SHMKEY_"));
            continue;
        };
        let labelled = |label: &str| {
            let mut lines = item.comment.iter();
            lines.any(|line| line.starts_with(&format!("{label}: ")))
        };
        let text = item.comment.join(" ");
        let verb = text.split(' ').next().unwrap_or_default();
        let mut missing: Vec<&str> = function
            .parameters
            .iter()
            .map(|(_, name)| &**name)
            .filter(|name| !labelled(name))
            .collect();
        let is_void = function.result.trim_end() == "void";
        // These have no result, or none that is a failure.
        let cannot_fail = is_void
            || [
                "shm_last_error",
                "shm_last_failure",
                "shm_this_process",
                "shm_version",
            ]
            .contains(&&*item.name);
        missing.extend(["Threads"].iter().filter(|label| !labelled(label)));
        missing.extend(
            ["Returns"]
                .iter()
                .filter(|label| !is_void && !labelled(label)),
        );
        missing.extend(
            ["Errors"]
                .iter()
                .filter(|label| !cannot_fail && !labelled(label)),
        );
        if !missing.is_empty()
            || !verb.ends_with('s')
            || !verb.starts_with(|c: char| c.is_uppercase())
        {
            wrong.push(format!("{}: {verb:?}, without {missing:?}", item.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_preface_is_short() {
    let preface = api::preface();
    assert!(preface.len() <= 15, "{} lines", preface.len());
}

/// The example at the top of the header is a program.
#[test]
fn the_headers_own_example_compiles() {
    let header = include_str!("../include/shmkey.h");
    let comment = header.split("*/").next().unwrap();
    let example = || {
        comment
            .lines()
            .filter_map(|line| line.strip_prefix(" *     "))
    };
    let (includes, body): (Vec<&str>, Vec<&str>) =
        example().partition(|line| line.starts_with("#include"));
    assert!(
        includes.len() == 2 && body.len() == 5,
        "{includes:?} {body:?}"
    );
    let program = format!(
        "{}\nint main(void) {{\n{}\n}}\n",
        includes.join("\n"),
        body.join("\n")
    );
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("example.c");
    fs::write(&source, program).unwrap();
    let output = Command::new("gcc")
        .args(["-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I"])
        .arg(root().join("include"))
        .arg(&source)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn gcc_takes_the_header_without_a_warning() {
    compiles_without_a_warning("gcc", "g++");
}

#[test]
fn clang_takes_the_header_without_a_warning() {
    needs!(CLANGXX);
    compiles_without_a_warning("clang", "clang++");
}
