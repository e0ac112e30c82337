//! What the tests of the command share: running it, segments that go away again, children that live
//! until they are killed, and IPC namespaces of their own.

#![allow(dead_code)] // each test uses a part

use serde_json::Value;
use shmkey::Segment;
use std::{
    io::Write,
    process::{Command, Output, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

/// What the command printed, if it did what it should.
pub fn shmkey(arguments: &[&str]) -> String {
    let output = run(arguments, b"");
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// What it complained of, if it failed as it should.
pub fn refusal(arguments: &[&str]) -> String {
    let output = run(arguments, b"");
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Runs it with this input.
pub fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_shmkey"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that does not read it ends earlier.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// The segments that it lists.
pub fn listed(arguments: &[&str]) -> Vec<Value> {
    let text = shmkey(&[&["list", "--json"], arguments].concat());
    let list: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(list["schema"], 1);
    list["segments"].as_array().unwrap().clone()
}

/// One of them.
pub fn listed_id(id: i32) -> Value {
    let found = listed(&[]).into_iter().find(|one| one["id"] == id);
    found.unwrap_or_else(|| panic!("{id} is not listed"))
}

/// A name that no other test uses. Dropping it removes the segment.
pub struct Name(pub String);

impl Name {
    pub fn new() -> Name {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        Name(format!("command {} {number}", std::process::id()))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let key = shmkey::Key::from_name(&self.0).unwrap();
        if let Ok(segment) = Segment::open(key) {
            let _ = segment.remove();
        }
    }
}

/// Returns whether a test is to be skipped because it needs something that is not there, and says so past
/// the test harness, which hides what a test prints. Panics if `CI` is set: it leaves nothing out.
pub fn skipped(need: &str, is_there: bool) -> bool {
    if !is_there {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("this one");
        assert!(
            std::env::var_os("CI").is_none(),
            "{test} needs {need}, and CI is set"
        );
        // In one piece, because other tests write at the same time.
        let line = format!("test {test} ... skipped: needs {need}\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    !is_there
}

/// Returns whether this process is root, and may make namespaces, which root of a container may not.
pub fn may_make_namespaces() -> bool {
    static ALLOWED: LazyLock<bool> = LazyLock::new(|| {
        // SAFETY: takes nothing, and cannot fail.
        let is_root = unsafe { libc::geteuid() } == 0;
        is_root && succeeds("unshare", &["--ipc", "--mount", "--pid", "--fork", "true"])
    });
    *ALLOWED
}

/// Returns whether a program is there and ends well.
pub fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A process that has done something, and then waits to be killed.
pub struct Child(i32);

impl Child {
    /// `act` makes system calls and touches what it has itself: this process has other threads. It
    /// is done when this returns.
    pub fn new(act: impl FnOnce()) -> Child {
        let mut ends = [0; 2];
        // SAFETY: the kernel writes two numbers.
        let made = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) };
        assert_eq!(made, 0);
        // SAFETY: the child does what its caller promises, and does not return.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: ends with its parent, and takes nothing.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            act();
            // SAFETY: writes one byte, and then waits for ever.
            unsafe {
                libc::write(ends[1], b"!".as_ptr().cast(), 1);
                loop {
                    libc::pause();
                }
            }
        }
        assert!(pid > 0);
        let mut byte = 0u8;
        // SAFETY: both are this process' own; one byte is read into one.
        unsafe {
            libc::close(ends[1]);
            assert_eq!(libc::read(ends[0], (&raw mut byte).cast(), 1), 1);
            libc::close(ends[0]);
        }
        Child(pid)
    }

    pub fn pid(&self) -> i32 {
        self.0
    }

    /// Kills it, and waits until it is gone.
    pub fn kill(self) {}
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: it is a child of this process that was not waited for.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

/// Runs a test on a thread that has an IPC namespace of its own, which is empty at first. Skips the test
/// where that is not allowed.
pub fn alone(test: impl FnOnce() + Send) {
    if skipped("root and namespaces", may_make_namespaces()) {
        return;
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: concerns this thread, and the children that it starts.
            let done = unsafe { libc::unshare(libc::CLONE_NEWIPC) };
            assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
            test();
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}
