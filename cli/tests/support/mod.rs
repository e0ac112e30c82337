//! Shared by the tests of the command: running it, segments that are removed at the end, children that live until they
//! are killed, and IPC namespaces.

#![allow(dead_code)] // each test uses a part

use serde_json::Value;
use shmkey::{Key, Segment};
use std::{
    io::Write,
    os::unix::process::CommandExt,
    process::{Command, Output, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

/// Runs the command, and returns what it prints. Panics if it fails.
pub fn shmkey(arguments: &[&str]) -> String {
    let output = run(arguments, b"");
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the command, which must fail with status 1, and returns its error message.
pub fn refusal(arguments: &[&str]) -> String {
    let output = run(arguments, b"");
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Runs the command with this standard input.
pub fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_shmkey"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input may have ended.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// Returns the segments that `shmkey list --json` lists.
pub fn listed(arguments: &[&str]) -> Vec<Value> {
    let text = shmkey(&[&["list", "--json"], arguments].concat());
    let list: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(list["schema"], 1);
    list["segments"].as_array().unwrap().clone()
}

/// Returns one of them.
pub fn listed_id(id: i32) -> Value {
    let found = listed(&[]).into_iter().find(|one| one["id"] == id);
    found.unwrap_or_else(|| panic!("{id} is not listed"))
}

/// Creates a segment that stays until it is removed.
pub fn create(key: Key, size: usize) -> Segment {
    let options = Segment::options().create(true).size(size);
    options.open(key).unwrap()
}

/// Creates a private segment. Dropping it removes it.
pub fn private(size: usize) -> Segment {
    let options = Segment::options().create(true).remove_on_drop(true);
    options.size(size).open(Key::PRIVATE).unwrap()
}

/// A copy of the command in a directory from which every user may run it.
pub struct PublicCopy(tempfile::TempDir);

impl PublicCopy {
    pub fn new() -> PublicCopy {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
        // By another process: children of other tests would inherit the descriptor of a copy that is being written,
        // and no process could run it then.
        let from = env!("CARGO_BIN_EXE_shmkey");
        said(Command::new("cp").arg(from).arg(folder.path()));
        PublicCopy(folder)
    }

    pub fn path(&self) -> String {
        self.0.path().join("shmkey").to_str().unwrap().to_owned()
    }

    /// The command for an unprivileged user.
    pub fn unprivileged(&self, arguments: &[&str]) -> Command {
        const UNPRIVILEGED: u32 = 65_534;
        let mut command = Command::new(self.path());
        command.args(arguments).uid(UNPRIVILEGED).gid(UNPRIVILEGED);
        command
    }
}

/// Returns what a command prints. Panics if it fails.
pub fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {why}");
    String::from_utf8(output.stdout).unwrap()
}

/// A name that no other test uses. Dropping it removes the segment.
pub struct Name(pub String);

impl Name {
    pub fn new() -> Name {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        Name(format!("command {} {number}", std::process::id()))
    }

    pub fn key(&self) -> Key {
        Key::from_name(&self.0).unwrap()
    }

    /// Returns the segment that has this name.
    pub fn segment(&self) -> Segment {
        Segment::open(self.key()).unwrap()
    }

    /// Creates a segment with this name by the command, and returns its id.
    pub fn create(&self, size: &str) -> String {
        let id = shmkey(&["create", "--size", size, "--name", &self.0]);
        id.trim().to_owned()
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if let Ok(segment) = Segment::open(self.key()) {
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

/// A child process that does something, and then waits until it is killed.
pub struct Child(i32);

impl Child {
    /// Returns when `act` has returned in the child. `act` makes only system calls and uses no locks of this process,
    /// which has other threads.
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
        // SAFETY: both are this process's own; one byte is read into one.
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
