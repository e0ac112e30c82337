//! Other processes that a test needs: the test's own program, started again with a task in its
//! environment.

use shmkey::{Key, Segment};
use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// A name that no other test and no other run has, whose segment goes when this is dropped.
pub struct Name(pub String);

impl Name {
    pub fn new() -> Name {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = Name(format!("test {} {next}", std::process::id()));
        super::watch(name.key());
        name
    }

    /// A name and others that begin with it, such as `NAME ring`.
    pub fn family(members: &[&str]) -> Vec<Name> {
        let first = Name::new();
        let others = members.iter().map(|member| {
            let name = Name(format!("{} {member}", first.0));
            super::watch(name.key());
            name
        });
        let others: Vec<Name> = others.collect();
        [first].into_iter().chain(others).collect()
    }

    pub fn key(&self) -> Key {
        Key::from_name(&self.0).unwrap()
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if let Ok(segment) = Segment::open(self.key()) {
            let _ = segment.remove();
        }
    }
}

const TASK: &str = "SHMKEY_TEST_TASK";
const NAME: &str = "SHMKEY_TEST_NAME";

/// A copy of this program that does a task and says so, line by line.
pub struct Helper {
    pub child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Helper {
    pub fn start(task: &str, name: &Name) -> Helper {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "helper_process"])
            .env(TASK, task)
            .env(NAME, &name.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Helper { child, lines }
    }

    pub fn expect(&mut self, word: &str) {
        assert!(
            self.lines.any(|line| line.unwrap() == word),
            "no \"{word}\""
        );
    }

    pub fn tell(&mut self) {
        writeln!(self.child.stdin.as_mut().unwrap()).unwrap();
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn say(word: &str) {
    println!("\n{word}");
    std::io::stdout().flush().unwrap();
}

pub fn wait_to_be_told() {
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// What this process is to do, and with what name, if it is a helper. The program has a test called
/// `helper_process` that asks for it.
pub fn helper_task() -> Option<(String, String)> {
    Some((env::var(TASK).ok()?, env::var(NAME).ok()?))
}
