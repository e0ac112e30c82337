//! A program that runs, with a deadline for everything that is expected of it.

use super::Result;
use shmkey::Segment;
use std::{
    io::{Read, Write},
    mem,
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How long a program may take before the test gives up: far longer than it needs on a slow and busy machine, where a
/// program under valgrind takes a minute.
const PATIENCE: Duration = Duration::from_secs(240);

/// A child process whose output is collected while it runs. It is killed when this is dropped, and
/// when this process dies.
pub struct Process {
    name: String,
    child: Child,
    stdout: Output,
    stderr: Output,
}

/// How a process ended.
pub struct Ending {
    name: String,
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Process {
    /// Starts a program and gives it its standard input.
    pub fn start(name: &str, mut command: Command, input: &[u8]) -> Result<Process> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // SAFETY: between fork and exec this makes one system call, which allocates and locks
        // nothing.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        // Held while the child starts, so that none starts unnoticed.
        let mut running = self::running();
        let mut child = command
            .spawn()
            .map_err(|error| format!("{name} does not start: {error} ({command:?})"))?;
        running.push(child.id());
        drop(running);
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ends without reading its input is judged by its output.
            let _ = stdin.write_all(input);
        }
        Ok(Process {
            name: name.to_owned(),
            stdout: Output::collect(child.stdout.take()),
            stderr: Output::collect(child.stderr.take()),
            child,
        })
    }

    /// Runs a program to its end.
    pub fn run(name: &str, command: Command, input: &[u8]) -> Result<Ending> {
        Process::start(name, command, input)?.finish()
    }

    /// Waits until the output so far satisfies a condition.
    pub fn wait_until(&self, what: &str, condition: impl Fn(&[u8]) -> bool) -> Result<()> {
        if self.stdout.wait_until(|bytes, _| condition(bytes)) {
            return Ok(());
        }
        Err(format!(
            "{} did not {what}; it printed \"{}\" and on stderr \"{}\"",
            self.name,
            self.stdout.so_far().escape_ascii(),
            self.stderr.so_far().escape_ascii()
        ))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: the child has not been waited for, so its id is still its own.
        unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
    }

    /// Kills it, and waits for its end. It may have printed something.
    pub fn kill(self) -> Result<()> {
        self.signal(libc::SIGKILL);
        self.finish().map(drop)
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Result<Ending> {
        let ended = |_: &[u8], closed: bool| closed;
        let in_time = self.stdout.wait_until(ended) && self.stderr.wait_until(ended);
        let status = in_time.then(|| wait(&mut self.child)).flatten();
        match status {
            Some(status) => Ok(Ending {
                name: mem::take(&mut self.name),
                status,
                stdout: self.stdout.so_far(),
                stderr: self.stderr.so_far(),
            }),
            None => Err(format!("{} did not end within {PATIENCE:?}", self.name)),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let mut running = self::running();
        let _ = self.child.wait();
        running.retain(|&id| id != self.child.id());
    }
}

/// The processes that run, by their ids.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

pub(super) fn running() -> MutexGuard<'static, Vec<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills all processes, and keeps others from being started. What they have created and cannot be
/// found by a key goes with them.
pub(super) fn kill_all() {
    let running = self::running();
    for &id in running.iter() {
        // SAFETY: the child is waited for under the lock only, so its id is still its own; that a
        // signal comes too late does no harm.
        unsafe { libc::kill(id as libc::pid_t, libc::SIGKILL) };
    }
    let all = Segment::list().unwrap_or_default();
    for status in all
        .iter()
        .filter(|status| running.contains(&(status.cpid as u32)))
    {
        let _ = Segment::from_id(status.id).remove();
    }
    mem::forget(running);
}

/// Waits for a process that has closed its output, and so is about to end.
fn wait(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_micros(200)),
            _ => return None,
        }
    }
}

impl Ending {
    /// Expects that it succeeded and printed exactly this.
    pub fn expect(&self, stdout: impl AsRef<[u8]>) -> Result<()> {
        self.expect_end(ExitStatus::success)?;
        self.expect_that(self.stdout == stdout.as_ref(), stdout.as_ref(), "nothing")
    }

    /// Expects that it failed, printed exactly this, and said why.
    pub fn expect_failure(&self, stdout: impl AsRef<[u8]>, why: &str) -> Result<()> {
        let said = String::from_utf8_lossy(&self.stderr).contains(why);
        let failed = self.status.code() == Some(1) && self.stdout == stdout.as_ref();
        self.expect_that(failed && said, stdout.as_ref(), why)
    }

    /// Expects that it ended like this, and wrote nothing to standard error.
    pub fn expect_end(&self, end: impl Fn(&ExitStatus) -> bool) -> Result<()> {
        let mut lines = self.stderr.split(|&byte| byte == b'\n');
        let quiet = lines.all(is_about_valgrind);
        self.expect_that(end(&self.status) && quiet, &self.stdout, "nothing")
    }

    fn expect_that(&self, right: bool, stdout: &[u8], stderr: &str) -> Result<()> {
        if right {
            return Ok(());
        }
        Err(format!(
            "{} ended with {}, printed \"{}\" and \"{}\" on stderr; expected were \"{}\" and \"{stderr}\"",
            self.name,
            self.status,
            self.stdout.escape_ascii(),
            self.stderr.escape_ascii(),
            stdout.escape_ascii()
        ))
    }
}

/// Whether a line is empty, or valgrind's remark on a system call that is newer than it is: `--PID-- …`. What it
/// says of a program begins with `==PID==`.
fn is_about_valgrind(line: &[u8]) -> bool {
    let rest = line.strip_prefix(b"--").unwrap_or(line);
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    line.is_empty() || rest.len() < line.len() && digits > 0 && rest[digits..].starts_with(b"-- ")
}

/// What a process has written to one stream so far, collected by a thread.
struct Output(Arc<(Mutex<Collected>, Condvar)>);

#[derive(Default)]
struct Collected {
    bytes: Vec<u8>,
    closed: bool,
}

impl Output {
    fn collect(stream: Option<impl Read + Send + 'static>) -> Output {
        let shared = Arc::<(Mutex<Collected>, Condvar)>::default();
        let ours = Arc::clone(&shared);
        thread::spawn(move || {
            let (collected, news) = &*ours;
            let mut piece = [0; 4096];
            if let Some(mut stream) = stream {
                while let Ok(len @ 1..) = stream.read(&mut piece) {
                    collected
                        .lock()
                        .unwrap()
                        .bytes
                        .extend_from_slice(&piece[..len]);
                    news.notify_all();
                }
            }
            collected.lock().unwrap().closed = true;
            news.notify_all();
        });
        Output(shared)
    }

    fn so_far(&self) -> Vec<u8> {
        self.0.0.lock().unwrap().bytes.clone()
    }

    /// Waits for a condition on what was written and whether the stream is closed. False if it never comes
    /// true.
    fn wait_until(&self, condition: impl Fn(&[u8], bool) -> bool) -> bool {
        let (collected, news) = &*self.0;
        let guard = collected.lock().unwrap();
        let (guard, _) = news
            .wait_timeout_while(guard, PATIENCE, |c| {
                !c.closed && !condition(&c.bytes, c.closed)
            })
            .unwrap();
        condition(&guard.bytes, guard.closed)
    }
}
