//! Plays situations on a backend, and returns their transcripts.

use super::table::Situation;
use std::{
    env, fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// The environment variable that makes this program a stage.
pub const BASE: &str = "SHMKEY_CONFORMANCE_STAGES";
pub const BACKEND: &str = "SHMKEY_BACKEND";

/// The environment variable that sets how long a stage waits for an answer, in milliseconds.
pub const PATIENCE: &str = "SHMKEY_CONFORMANCE_PATIENCE";

/// The software that answers the calls.
#[derive(Clone, Debug)]
pub enum Side {
    /// libc, on the kernel's segments.
    Libc,
    /// A drop-in, on the kernel's segments.
    Kernel(PathBuf),
    /// A drop-in, on the user backend.
    User(PathBuf),
    /// A drop-in with a planted defect, on the user backend. It may not answer at all.
    Defective(PathBuf),
}

/// The results of a situation: a line for each statement.
pub type Transcript = Vec<String>;

/// The largest number of situations that one process plays.
const BATCH: usize = 24;

/// Plays all these situations, and returns a transcript for each.
pub fn play(side: &Side, situations: &[&Situation]) -> Result<Vec<Transcript>, String> {
    let transcripts = Mutex::new(vec![Transcript::new(); situations.len()]);
    // The situations that wait for the next second are played at the same time, each by a process of its own.
    let all = 0..situations.len();
    let (waiting, others): (Vec<usize>, Vec<usize>) =
        all.partition(|&index| situations[index].uses("tick"));
    let mut batches: Vec<&[usize]> = waiting.chunks(1).collect();
    let alone = batches.len();
    batches.extend(others.chunks(BATCH));
    let next = AtomicUsize::new(0);
    let cores = thread::available_parallelism().map_or(2, usize::from);
    let work = || -> Result<(), String> {
        loop {
            let taken = next.fetch_add(1, Ordering::Relaxed);
            let Some(batch) = batches.get(taken) else {
                return Ok(());
            };
            let played: Vec<&Situation> = batch.iter().map(|&index| situations[index]).collect();
            for (&index, transcript) in batch.iter().zip(play_batch(side, &played)?) {
                transcripts.lock().expect("no panic")[index] = transcript;
            }
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..alone + cores).map(|_| scope.spawn(work)).collect();
        let ends = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        ends.collect::<Result<(), String>>()
    })?;
    Ok(transcripts.into_inner().expect("no panic"))
}

/// Has one process play these situations, one after the other.
fn play_batch(side: &Side, situations: &[&Situation]) -> Result<Vec<Transcript>, String> {
    let mut command = command(side);
    let mut process = command
        .spawn()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let text: String = situations
        .iter()
        .map(|situation| situation.to_string())
        .collect();
    let mut input = process.stdin.take().expect("a pipe");
    input
        .write_all(text.as_bytes())
        .map_err(|error| format!("the stage: {error}"))?;
    drop(input);
    let output = process
        .wait_with_output()
        .map_err(|error| format!("the stage: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut transcripts: Vec<Transcript> = Vec::new();
    for line in said.lines() {
        if line.starts_with("== ") {
            transcripts.push(Transcript::new());
        } else if let Some(transcript) = transcripts.last_mut() {
            transcript.push(line.to_owned());
        }
    }
    if transcripts.len() == situations.len() && output.status.success() {
        Ok(transcripts)
    } else {
        Err(format!(
            "the stages ended with {}, and said: {said}",
            output.status
        ))
    }
}

/// Returns the command that plays the situations on its standard input.
fn command(side: &Side) -> Command {
    let mut command = Command::new("/proc/self/exe");
    // The environment is the same on each side.
    command.env_clear();
    command.env(BASE, base());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let (dropin, backend) = match side {
        Side::Libc => (None, "kernel"),
        Side::Kernel(dropin) => (Some(dropin), "kernel"),
        Side::User(dropin) | Side::Defective(dropin) => (Some(dropin), "user"),
    };
    if matches!(side, Side::Defective(_)) {
        command.env(PATIENCE, "2000");
    }
    command.env(BACKEND, backend);
    if let Some(dropin) = dropin {
        command.env("LD_PRELOAD", dropin);
    }
    command
}

/// Returns a directory that every user can enter, for the drop-in and the directories of the stages. It is in
/// `/dev/shm` if that exists.
pub fn base() -> &'static Path {
    static BASE: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() {
            memory.to_owned()
        } else {
            env::temp_dir()
        };
        let mut builder = tempfile::Builder::new();
        let made = builder.prefix("conformance-").tempdir_in(parent);
        let made = made.expect("a directory can be made");
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(made.path(), mode).expect("its owner");
        made
    });
    BASE.path()
}

/// Removes the directory. No situation can be played afterwards.
pub fn clear() {
    let _ = fs::remove_dir_all(base());
}
