//! Other processes that a test needs: the test's own program, started again with a task in its
//! environment, and children made by `fork`.

use super::{environment, processes};
use std::{
    env,
    io::{BufRead, BufReader, Write},
    panic::{self, AssertUnwindSafe},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

const TASK: &str = "SHMKEY_TEST_TASK";
const NAME: &str = "SHMKEY_TEST_NAME";

/// A copy of this program that does a task and prints a line at each step.
pub struct Helper {
    pub child: Child,
    input: ChildStdin,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Helper {
    /// Starts one directly, or by a program and its arguments, such as `unshare --pid`.
    pub fn start(within: &[&str], task: &str, name: &str) -> Helper {
        let mut command = match within {
            // Not by its path: Cargo may have built another one there since.
            [] => Command::new("/proc/self/exe"),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(env::current_exe().unwrap());
                command
            }
        };
        let mut child = command
            .args(["--exact", "--nocapture", "helper_process"])
            .env(TASK, task)
            .env(NAME, name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Helper {
            child,
            input,
            lines,
        }
    }

    /// Waits until it says this.
    pub fn expect(&mut self, word: &str) {
        let mut lines = self.lines.by_ref().map(Result::unwrap);
        assert!(lines.any(|line| line == word), "no \"{word}\"");
    }

    /// The same, once it has said this.
    pub fn expecting(mut self, word: &str) -> Helper {
        self.expect(word);
        self
    }

    /// Waits for a line that begins so, and returns the rest.
    pub fn line_after(&mut self, start: &str) -> String {
        let mut lines = self.lines.by_ref().map(Result::unwrap);
        let rest = lines.find_map(|line| line.strip_prefix(start).map(str::to_owned));
        rest.unwrap_or_else(|| panic!("no line begins with \"{start}\""))
    }

    /// Sends it a line, which ends its [`wait_for_line`].
    pub fn send_line(&mut self) {
        writeln!(self.input).unwrap();
    }

    /// Waits for the end of a task that says "done".
    #[track_caller]
    pub fn finish(mut self) {
        self.expect("done");
        assert!(self.child.wait().unwrap().success());
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // `unshare` has killed its child, which has closed its end of the pipe when it is gone.
        self.lines.by_ref().for_each(drop);
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Prints a word for [`Helper::expect`].
pub fn say(word: &str) {
    println!("\n{word}");
    std::io::stdout().flush().unwrap();
}

/// Waits until the test calls [`Helper::send_line`], or ends.
pub fn wait_for_line() {
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// What a helper does: the name of the task, and a function that takes the name of the object.
pub type Task<'a> = (&'a str, fn(&str));

/// Does the task of this process, if it is a helper.
pub fn do_task(tasks: &[Task]) {
    if let Some((task, name)) = helper_task() {
        let found = tasks.iter().find(|(known, _)| *known == task);
        let (_, act) = found.unwrap_or_else(|| panic!("no task is called {task}"));
        end_in_time();
        act(&name);
    }
}

/// Has a signal end this process after ten minutes, so that a test does not wait for it for ever.
fn end_in_time() {
    // SAFETY: only sets a timer.
    unsafe { libc::alarm(600) };
}

/// Runs a task, which says "done", in a process of its own, because it changes that process and starts threads. A child
/// made by `fork` starts none: another thread may have had a lock of the standard library during the fork, and the child
/// would wait for ever for it. The task gets `argument` in place of a name.
#[track_caller]
pub fn in_another_process(task: &str, argument: &str) {
    Helper::start(&[], task, argument).finish();
}

/// Does the same for each error number with which `futex_waitv` can be refused. It is the argument.
#[track_caller]
pub fn in_processes_without_futex_waitv(task: &str) {
    for errno in [libc::ENOSYS, libc::EPERM] {
        in_another_process(task, &errno.to_string());
    }
}

/// Has a child made by `fork` do something. Fails if the child panics.
#[track_caller]
pub fn in_child(act: impl FnOnce()) {
    let status = status_of_child(|| {
        act();
        0
    });
    assert_eq!(status, 0, "the child has panicked");
}

/// Has a child made by `fork` do something, and returns the status that it returns, or 101 after a panic.
pub fn status_of_child(act: impl FnOnce() -> i32) -> i32 {
    status_of(fork_child(act))
}

/// Makes a child by `fork`, and returns its process id. The child calls `act`, and ends with the status that it
/// returns, or 101 after a panic.
pub fn fork_child(act: impl FnOnce() -> i32) -> libc::pid_t {
    // SAFETY: the child calls `act`, and ends without returning to the caller.
    let child = with_locks(|| unsafe { libc::fork() });
    if child == 0 {
        end_in_time();
        let status = panic::catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            let text = format!("in a child: {text}\n");
            // Past the test harness, which would keep it in the child's memory, and past the lock of `io::stderr`.
            // SAFETY: the text has this length.
            unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
            101
        });
        // SAFETY: ends this process, without the destructors that are the parent's.
        unsafe { libc::_exit(status) };
    }
    // What the child has dropped is still this process's own.
    std::mem::forget(act);
    child
}

/// Lets the parent trace this process, which stops until the parent continues it.
pub fn stop_for_tracer() {
    // SAFETY: asks to be traced, and stops.
    unsafe {
        libc::ptrace(
            libc::PTRACE_TRACEME,
            0,
            std::ptr::null_mut::<libc::c_void>(),
            0,
        );
        libc::raise(libc::SIGSTOP);
    }
}

/// Calls `fork`, which makes a child, while this thread has all locks of the tests' support. A child would wait for
/// ever for a lock that another thread of its parent had during the fork.
pub fn with_locks(fork: impl FnOnce() -> libc::pid_t) -> libc::pid_t {
    super::directory();
    // In the order in which the end of this process takes them.
    let _locks = (processes::running(), environment::in_use());
    fork()
}

/// Waits for a child that ends by itself, and returns its status.
pub fn status_of(child: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: the status is this process's to write.
    let ended = unsafe { libc::waitpid(child, &mut status, 0) };
    assert!(ended == child && libc::WIFEXITED(status), "{status:#x}");
    libc::WEXITSTATUS(status)
}

/// The task of this process and the name of its object, if it is a helper. Its program has a test called
/// `helper_process` that asks for it.
pub fn helper_task() -> Option<(String, String)> {
    Some((env::var(TASK).ok()?, env::var(NAME).ok()?))
}
