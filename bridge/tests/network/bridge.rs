//! Starts bridges, and uses the objects at both ends.

use super::machines::Machine;
use shmkey::{Error, ErrorKind, Receiver, Ring, Sender};
use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// How long a test waits for an event before it fails.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The address of the other machine.
pub const THERE: &str = "tcp/10.77.1.2:7447";

/// A running bridge, and its log.
pub struct Bridge {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Bridge {
    /// Starts a bridge on a machine, with options that are separated by spaces.
    pub fn start(machine: &Machine, options: &str) -> Bridge {
        let mut command = machine.command(Path::new(env!("CARGO_BIN_EXE_shmkey-bridge")));
        command
            .args(options.split_whitespace())
            .args(["--name", machine.name]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = collect(child.stderr.take().unwrap());
        Bridge { child, log }
    }

    /// Starts a bridge that publishes an object `here`, and one that subscribes to it `there`. Both serve their counters.
    pub fn both(here: &Machine, there: &Machine, name: &str, options: &str) -> (Bridge, Bridge) {
        let subscriber = format!("--metrics --subscribe {name} --listen {THERE}");
        let publisher = format!("--metrics --publish {name} --connect {THERE} {options}");
        let subscriber = Bridge::start(there, &subscriber);
        (Bridge::start(here, &publisher), subscriber)
    }

    /// Returns how many bytes of memory the bridge has.
    pub fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim()
            .trim_end_matches(" kB")
            .parse::<usize>()
            .unwrap()
            << 10
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the bridge logs a line with this text.
    pub fn expect(&self, text: &str) {
        wait_until(
            || self.log().contains(text),
            || format!("{text:?} in:\n{}", self.log()),
        );
    }

    /// Waits until the bridge logs an error with this text.
    pub fn expect_error(&self, text: &str) {
        let is_error = |line: &str| line.contains(" ERROR ") && line.contains(text);
        wait_until(
            || self.log().lines().any(is_error),
            || format!("the error {text:?} in:\n{}", self.log()),
        );
    }

    /// Kills the bridge by SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until the bridge ends by itself.
    pub fn ended(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Ends the bridge by SIGTERM.
    pub fn terminate(mut self) -> ExitStatus {
        // SAFETY: the child has not been waited for, so the id is its own.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        self.child.wait().unwrap()
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns what `--status` prints about the bridge on a machine.
pub fn status(machine: &Machine) -> String {
    let mut command = machine.command(Path::new(env!("CARGO_BIN_EXE_shmkey-bridge")));
    let output = command.arg("--status").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until a counter of the first object in the status of a machine has a value for which `holds` is true.
pub fn expect_counter(machine: &Machine, name: &str, holds: impl Fn(u64) -> bool) {
    let value = |status: &str| {
        let status = status.replace("waiting bytes", "waiting-bytes");
        let mut lines = status.lines().map(str::split_whitespace);
        // The line of the object begins with the direction, and that of the names does not.
        let at = lines.next()?.position(|counter| counter == name)? + 1;
        lines.next()?.nth(at)?.parse().ok()
    };
    wait_until(
        || value(&status(machine)).is_some_and(&holds),
        || format!("another value of {name} in:\n{}", status(machine)),
    );
}

/// Collects the lines that a program writes.
pub fn collect(output: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let collected = Arc::new(Mutex::new(String::new()));
    let copy = Arc::clone(&collected);
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            *copy.lock().unwrap() += &format!("{line}\n");
        }
    });
    collected
}

/// Waits until a condition holds. If it never does, `what` describes it.
pub fn wait_until(mut holds: impl FnMut() -> bool, what: impl Fn() -> String) {
    let end = Instant::now() + PATIENCE;
    let mut pause = Duration::from_micros(50);
    while !holds() {
        assert!(Instant::now() < end, "waited for {}", what());
        thread::sleep(pause);
        pause = (2 * pause).min(Duration::from_millis(20));
    }
}

pub const CAPACITY: usize = 1 << 16;

/// Takes the sender's role of a ring on a machine.
pub fn sender(machine: &Machine, name: &str) -> Sender {
    machine.run(|| Ring::open(name, CAPACITY).unwrap().sender().unwrap())
}

/// Takes the receiver's role of a ring on a machine. The receiver keeps waiting while there is no sender.
pub fn receiver(machine: &Machine, name: &str) -> Receiver {
    let mut receiver = machine.run(|| Ring::open(name, CAPACITY).unwrap().receiver().unwrap());
    receiver.set_keep_waiting(true);
    receiver
}

/// Sends these numbers. While no bridge has the receiver's role, sending to a full ring fails, and is tried again.
pub fn send(sender: &mut Sender, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let mut sent = sender.send_timeout(&number.to_le_bytes(), PATIENCE);
        while let Err(ErrorKind::Closed | ErrorKind::PeerDied) = sent.as_ref().map_err(Error::kind)
        {
            thread::sleep(Duration::from_millis(10));
            sent = sender.send_timeout(&number.to_le_bytes(), PATIENCE);
        }
        sent.unwrap();
    }
}

/// Receives a number.
pub fn next(receiver: &mut Receiver) -> u64 {
    let mut number = [0; 8];
    receiver.recv_timeout(&mut number, PATIENCE).unwrap();
    u64::from_le_bytes(number)
}

/// Receives exactly these numbers, in order.
pub fn expect(receiver: &mut Receiver, numbers: std::ops::Range<u64>) {
    for number in numbers {
        assert_eq!(next(receiver), number);
    }
}
