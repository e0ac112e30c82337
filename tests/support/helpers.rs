//! Other processes that a test needs: the test's own program, started again with a task in its
//! environment.

use std::{
    env,
    io::{BufRead, BufReader, Write},
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

    /// Lets it continue after [`wait_to_be_told`].
    pub fn tell(&mut self) {
        writeln!(self.input).unwrap();
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

pub fn wait_to_be_told() {
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// The task of this process and the name of its object, if it is a helper. Its program has a test called
/// `helper_process` that asks for it.
pub fn helper_task() -> Option<(String, String)> {
    Some((env::var(TASK).ok()?, env::var(NAME).ok()?))
}
