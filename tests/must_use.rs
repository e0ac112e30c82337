//! A compiler warns of what is acquired and dropped at once, or set up and never used.

mod support;

use std::{collections::BTreeSet, fs, path::Path, process::Command};
use support::Artifacts;

/// A function around the lines.
const RUST: &str = "#![warn(unused_must_use)]
use shmkey::*;
use std::time::Duration;
pub fn used(
    mutex: Mutex<u64>, latest: Latest<u64>, ring: Ring, segment: Segment,
    mut sender: Sender, mut receiver: Receiver,
) -> Result<(), Error> {
";

const RUST_LINES: &str = r#"mutex.lock()?;
mutex.try_lock()?;
mutex.lock_timeout(Duration::ZERO)?;
latest.publisher()?;
ring.sender()?;
ring.receiver()?;
sender.try_reserve(8)?;
sender.try_reserve(8)?.commit();
receiver.try_peek()?;
receiver.try_peek()?.release();
receiver.iter();
Place::named("x").mode(0o660);
Place::named("x").create(false);
Ring::options();
Segment::options();
AttachOptions::new();
segment.attach()?;
Key::from_raw(1);
"#;

const C: &str = "#include <shmkey.h>
struct objects {
struct shm_mutex *mutex; struct shm_semaphore *semaphore; struct shm_latest *latest; struct shm_ring *ring;
struct shm_rwlock *lock; struct shm_condvar *condvar;
struct shm_broadcast *broadcast;
};
void use(struct objects *o);
void use(struct objects *o)
{
struct shm_place place = SHMKEY_PLACE_INIT;
struct shm_slot slot;
struct shm_message message;
char buffer[8];
";

const C_LINES: &str = r#"shm_open_name("x", 1, 0);
shm_open_key("x", 1, 1, 0);
shm_open_private(1, 0);
shm_attach(1, 0);
shm_mutex_open("x", 1, NULL, 0);
shm_semaphore_open_at(&place, 1, 0);
shm_latest_open_at(&place, 1, NULL, 0);
shm_ring_open("x", 64, 0, 0);
shm_mutex_lock(o->mutex, -1);
shm_rwlock_read(o->lock, -1);
shm_rwlock_write(o->lock, -1);
shm_condvar_wait(o->condvar, o->mutex, -1);
shm_semaphore_wait(o->semaphore, -1);
shm_ring_reserve(o->ring, 8, &slot, -1);
shm_ring_peek(o->ring, &message, -1);
shm_ring_recv(o->ring, buffer, 8, -1);
shm_ring_send(o->ring, buffer, 8, -1);
shm_ring_send_batch(o->ring, NULL, 0, -1);
shm_ring_commit(o->ring, &slot, 8);
shm_ring_release(o->ring, &message);
shm_ring_dropped(o->ring);
shm_broadcast_subscribe(o->broadcast, 0);
shm_broadcast_publish(o->broadcast, buffer, 8, -1);
shm_semaphore_value(o->semaphore);
shm_mutex_data(o->mutex);
shm_mutex_id(o->mutex);
shm_latest_read(o->latest, buffer);
shm_latest_publish(o->latest, buffer);
shm_get_status(1, NULL);
shm_set_mode(1, 0600);
shm_set_owner(1, 0, 0);
"#;

/// Expects a warning of each line, and of no other, in messages such as `FILE:LINE:COLUMN: warning: …`.
#[track_caller]
fn expect_warnings(compiler: &mut Command, source: &Path, parts: [&str; 3], kind: &str) {
    fs::write(source, parts.concat()).unwrap();
    let first = parts[0].lines().count() + 1;
    let output = compiler.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let start = format!("{}:", source.display());
    let warnings = said.lines().filter(|line| line.contains(kind));
    let lines: BTreeSet<usize> = warnings
        .filter_map(|line| line.strip_prefix(&start)?.split(':').next()?.parse().ok())
        .collect();
    let expected = first..first + parts[1].lines().count();
    assert_eq!(lines, expected.collect(), "{compiler:?}: {said}");
}

#[test]
fn rust_warns_of_what_is_not_used() {
    let artifacts = Artifacts::shared();
    let source = artifacts.directory().join("unused.rs");
    let mut rustc = artifacts.rustc(&source);
    rustc.arg("--error-format=short");
    expect_warnings(
        &mut rustc,
        &source,
        [RUST, RUST_LINES, "Ok(())\n}\n"],
        "unused",
    );
}

#[test]
fn c_and_cpp_warn_of_what_is_not_used() {
    let artifacts = Artifacts::shared();
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    for (compiler, file) in [("gcc", "unused.c"), ("g++", "unused.cpp")] {
        let source = artifacts.directory().join(file);
        let mut command = Command::new(compiler);
        command.args(["-c", "-o", "/dev/null", "-I"]).arg(&include);
        expect_warnings(
            command.arg(&source),
            &source,
            [C, C_LINES, "}\n"],
            "unused-result",
        );
    }
}
