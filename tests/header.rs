//! `include/shmkey.h` is what `src/capi` says, and every compiler takes it without a warning.

mod api;
mod support;

use std::{env, fs, path::Path, process::Command};

const HEADER: &str = "include/shmkey.h";

/// The files of `src/capi` in the order in which a reader needs them.
const SOURCES: &str = "constants place open attach status interrupt semaphore mutex condvar rwlock latest ring broadcast several failure process version";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn generate() -> String {
    let config = cbindgen::Config::from_file(root().join("cbindgen.toml")).expect("cbindgen.toml");
    let copies = tempfile::tempdir().expect("a temporary directory");
    let mut builder = cbindgen::Builder::new().with_config(config);
    for name in SOURCES.split(' ') {
        let file = format!("{name}.rs");
        let source = fs::read_to_string(root().join("src/capi").join(&file));
        // cbindgen does not know an attribute with a condition.
        let conditional = "#[cfg_attr(feature = \"capi\", unsafe(no_mangle))]";
        let source = source.expect("src/capi is readable");
        let copy = copies.path().join(file);
        let plain = source.replace(conditional, "#[unsafe(no_mangle)]");
        fs::write(&copy, plain).expect("a temporary file");
        builder = builder.with_src(copy);
    }
    let mut header = Vec::new();
    let bindings = builder.generate().expect("src/capi is readable");
    bindings.write(&mut header);
    String::from_utf8(header).expect("a header is text")
}

#[test]
fn the_header_is_what_the_source_says() {
    let made = generate();
    let path = root().join(HEADER);
    if env::var_os("BLESS").is_some() {
        // At once, because the other tests include it at the same time.
        let new = path.with_extension("h.new");
        fs::write(&new, &made).expect("the folder is writable");
        fs::rename(&new, &path).expect("the header is writable");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let command = "BLESS=1 cargo test --test header";
    assert!(
        kept == made,
        "{HEADER} is not what src/capi says; run: {command}"
    );
}

/// A program that includes the header twice, and uses it.
const PROGRAM: &str = r#"#include <shmkey.h>
#include <shmkey.h>
static int objects(void) {
    struct shm_mutex *mutex = shm_mutex_open("mutex", sizeof(int), NULL, 0600);
    static const struct shm_place file = SHMKEY_PLACE_FILE("file", 1);
    struct shm_place place = SHMKEY_PLACE_SEGMENT(1, 64);
    shm_semaphore *semaphore = shm_semaphore_open_at(&file, 0, SHMKEY_CREATE | 0600);
    shm_rwlock *lock = shm_rwlock_open("lock", sizeof(int), "an int", SHMKEY_CREATE | 0600);
    struct shm_condvar *condvar = shm_condvar_open_at(&place, 0);
    shm_latest *latest = shm_latest_open_at(&place, sizeof(int), "an int", SHMKEY_READ_ONLY);
    shm_ring *ring = shm_ring_open("ring", 1000, SHMKEY_MANY_SENDERS | SHMKEY_DROP_OLDEST, SHMKEY_CREATE | 0600);
    struct shm_broadcast *broadcast = shm_broadcast_open_at(&place, 1000, SHMKEY_LOSSY, SHMKEY_READ_ONLY);
    struct shm_bytes bytes = {"a", 1};
    struct shm_message message;
    int value = 0;
    int64_t version = shm_latest_read_newer(latest, 0, &value, SHMKEY_MILLISECONDS(1));
    ptrdiff_t sent = shm_ring_send_batch(ring, &bytes, 1, SHMKEY_FOREVER);
    ptrdiff_t size = shm_ring_peek(ring, &message, SHMKEY_NO_WAIT);
    place.owner = 0;
    place.timeout = SHMKEY_SECONDS(0.5);
    value += shm_mutex_lock(mutex, SHMKEY_FOREVER) + shm_mutex_unlock(mutex);
    value += shm_semaphore_post(semaphore) + shm_semaphore_wait(semaphore, 0);
    value += shm_rwlock_read(lock, SHMKEY_NO_WAIT) + shm_rwlock_unlock(lock);
    value += shm_condvar_wait(condvar, mutex, SHMKEY_FOREVER) + shm_condvar_notify_all(condvar);
    shm_condvar_close(condvar);
    shm_rwlock_close(lock);
    shm_mutex_close(mutex);
    shm_semaphore_close(semaphore);
    shm_latest_close(latest);
    value += shm_broadcast_subscribe(broadcast, SHMKEY_FROM_OLDEST);
    shm_ring_close(ring);
    shm_broadcast_close(broadcast);
    return value + (version > 0) + (sent == 1) + (size == 1);
}
int main(void) {
    struct shm_status status;
    size_t size;
    int id = shm_open_key("file", 1, 100, 0600);
    void *memory = shm_attach(id, 0);
    if (shm_get_status(id, &status) != 0 || shm_attached_size(memory, &size) != 0) {
        return shm_last_error()[0];
    }
    return objects() + shm_detach(memory) + shm_remove(id) + SHMKEY_VERSION_MAJOR + shm_version()[0];
}
"#;

/// Compiles a program with all warnings, each of which is an error.
#[track_caller]
fn compile(compiler: &str, options: &[&str], program: &str) {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("program");
    fs::write(&source, program).unwrap();
    let mut command = Command::new(compiler);
    command.args(["-Wall", "-Wextra", "-Werror", "-c", "-o", "/dev/null", "-I"]);
    command
        .arg(root().join("include"))
        .args(options)
        .arg(&source);
    support::compile(command).unwrap();
}

/// Compiles the program as C99, C11, C17, C++17 and C++20.
fn compile_by_all_standards(c: &str, cpp: &str) {
    let warnings = ["-Wpedantic", "-Wconversion", "-Wshadow", "-Wundef"];
    let of_c = ["-x", "c", "-Wstrict-prototypes", "-Wmissing-prototypes"];
    for standard in ["-std=c99", "-std=c11", "-std=c17"] {
        compile(c, &[&warnings[..], &of_c, &[standard]].concat(), PROGRAM);
    }
    for standard in ["-std=c++17", "-std=c++20"] {
        compile(
            cpp,
            &[&warnings[..], &["-x", "c++", standard]].concat(),
            PROGRAM,
        );
    }
}

#[test]
fn gcc_takes_the_header_without_a_warning() {
    compile_by_all_standards("gcc", "g++");
}

#[test]
fn clang_takes_the_header_without_a_warning() {
    needs!(CLANGXX);
    compile_by_all_standards("clang", "clang++");
}

/// These have no result that is a failure.
const CANNOT_FAIL: [&str; 4] = [
    "shm_last_error",
    "shm_last_failure",
    "shm_this_process",
    "shm_version",
];

/// What the comment of a function does not say: each argument; the result; each error; and which threads and
/// signal handlers may call it.
fn missing<'item>(item: &'item api::Item, function: &'item api::Function) -> Vec<&'item str> {
    let is_void = function.result.trim_end() == "void";
    let mut labels: Vec<&str> = function
        .parameters
        .iter()
        .map(|(_, name)| &**name)
        .collect();
    labels.push("Threads");
    if !is_void {
        labels.push("Returns");
    }
    if !is_void && !CANNOT_FAIL.contains(&&*item.name) {
        labels.push("Errors");
    }
    let is_said = |label: &str| {
        let start = format!("{label}: ");
        item.comment.iter().any(|line| line.starts_with(&start))
    };
    labels.into_iter().filter(|label| !is_said(label)).collect()
}

/// A reader who searches for a function finds all of it in its own comment, which begins with a verb in the third
/// person.
#[test]
fn each_comment_stands_alone() {
    let mut wrong = Vec::new();
    for item in api::items() {
        let Some(function) = item.function() else {
            assert!(!item.comment.is_empty() || item.name.starts_with("SHMKEY_"));
            continue;
        };
        let missing = missing(&item, function);
        let verb = item.comment[0].split(' ').next().unwrap_or_default();
        let is_verb = verb.ends_with('s') && verb.starts_with(|c: char| c.is_uppercase());
        if !missing.is_empty() || !is_verb {
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

#[test]
fn the_example_at_the_top_compiles() {
    let preface = api::preface();
    let example = preface.iter().filter_map(|line| line.strip_prefix("    "));
    let (includes, body): (Vec<&str>, Vec<&str>) =
        example.partition(|line| line.starts_with("#include"));
    assert_eq!(
        (includes.len(), body.len()),
        (2, 5),
        "{includes:?} {body:?}"
    );
    let (includes, body) = (includes.join("\n"), body.join("\n"));
    let program = format!("{includes}\nint main(void) {{\n{body}\n}}\n");
    compile("gcc", &["-x", "c"], &program);
}
