//! What is acquired and dropped on the spot, or set up and never used, is a mistake: compilers say so.

mod support;

use std::{collections::BTreeSet, env, fs, path::Path, process::Command};
use support::Artifacts;

/// The lines of a program that a compiler complains of, as its messages say: `FILE:LINE:COLUMN: …`.
fn complaints(compiler: &mut Command, source: &Path, said_of: &str) -> BTreeSet<usize> {
    let output = compiler.arg(source).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let start = format!("{}:", source.display());
    said.lines()
        .filter(|line| line.contains(said_of))
        .filter_map(|line| line.strip_prefix(&start)?.split(':').next()?.parse().ok())
        .collect()
}

/// Writes a program of these lines, after a beginning and before an end, and says where they are.
fn write(source: &Path, beginning: &str, lines: &[&str], end: &str) -> BTreeSet<usize> {
    let first = beginning.lines().count() + 1;
    fs::write(source, format!("{beginning}{}\n{end}", lines.join("\n"))).unwrap();
    (first..first + lines.len()).collect()
}

#[test]
fn rust_says_what_is_not_used() {
    let artifacts = Artifacts::shared();
    let lines = [
        "mutex.lock()?;",
        "mutex.try_lock()?;",
        "mutex.lock_timeout(Duration::ZERO)?;",
        "latest.publisher()?;",
        "ring.sender()?;",
        "ring.receiver()?;",
        "sender.try_reserve(8)?;",
        "sender.try_reserve(8)?.commit();",
        "receiver.try_peek()?;",
        "receiver.try_peek()?.release();",
        "receiver.iter();",
        "Place::named(\"x\").mode(0o660);",
        "Place::named(\"x\").create(false);",
        "Ring::options();",
        "Segment::options();",
        "AttachOptions::new();",
        "segment.attach()?;",
        "Key::from_raw(1);",
    ];
    let beginning = "#![warn(unused_must_use)]
use shmkey::*;
use std::time::Duration;
pub fn used(
    mutex: Mutex<u64>, latest: Latest<u64>, ring: Ring, segment: Segment,
    mut sender: Sender, mut receiver: Receiver,
) -> Result<(), Error> {
";
    let source = artifacts.directory().join("unused.rs");
    let expected = write(&source, beginning, &lines, "Ok(())\n}\n");
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let library = artifacts.built("libshmkey.rlib");
    rustc
        .args(["--edition=2024", "--crate-type=lib", "--emit=metadata"])
        .args(["--error-format=short", "-o"])
        .arg(artifacts.directory().join("unused.rmeta"))
        .arg(format!("--extern=shmkey={}", library.display()))
        // Where this test is, its dependencies are, too.
        .arg("-L")
        .arg(env::current_exe().unwrap().parent().unwrap());
    assert_eq!(complaints(&mut rustc, &source, "unused"), expected);
}

#[test]
fn c_and_cpp_say_what_is_not_used() {
    let artifacts = Artifacts::shared();
    let lines = [
        "shm_open_name(\"x\", 1, 0);",
        "shm_open_key(\"x\", 1, 1, 0);",
        "shm_open_private(1, 0);",
        "shm_attach(1, 0);",
        "shm_mutex_open(\"x\", 1, NULL, 0);",
        "shm_semaphore_open_at(&place, 1, 0);",
        "shm_latest_open_at(&place, 1, NULL, 0);",
        "shm_ring_open(\"x\", 64, 0, 0);",
        "shm_mutex_lock(mutex, -1);",
        "shm_semaphore_wait(semaphore, -1);",
        "shm_ring_reserve(ring, 8, &slot, -1);",
        "shm_ring_peek(ring, &message, -1);",
        "shm_ring_recv(ring, buffer, 8, -1);",
        "shm_ring_send(ring, buffer, 8, -1);",
        "shm_ring_send_batch(ring, NULL, 0, -1);",
        "shm_ring_commit(ring, &slot, 8);",
        "shm_ring_release(ring, &message);",
        "shm_ring_dropped(ring);",
        "shm_semaphore_value(semaphore);",
        "shm_mutex_data(mutex);",
        "shm_mutex_id(mutex);",
        "shm_latest_read(latest, buffer);",
        "shm_latest_publish(latest, buffer);",
        "shm_get_status(1, NULL);",
        "shm_set_mode(1, 0600);",
        "shm_set_owner(1, 0, 0);",
    ];
    let beginning = "#include <shmkey.h>
void use(
    struct shm_mutex *mutex, struct shm_semaphore *semaphore, struct shm_latest *latest, struct shm_ring *ring);
void use(
    struct shm_mutex *mutex, struct shm_semaphore *semaphore, struct shm_latest *latest, struct shm_ring *ring)
{
struct shm_place place = SHMKEY_PLACE_INIT;
struct shm_slot slot;
struct shm_message message;
char buffer[8];
";
    for (compiler, file) in [("gcc", "unused.c"), ("g++", "unused.cpp")] {
        let source = artifacts.directory().join(file);
        let expected = write(&source, beginning, &lines, "}\n");
        let mut command = Command::new(compiler);
        let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
        command.args(["-c", "-o", "/dev/null", "-I"]).arg(include);
        assert_eq!(
            complaints(&mut command, &source, "unused-result"),
            expected,
            "{compiler}"
        );
    }
}
