//! Messages between two machines, which are network and IPC namespaces with a cable between them: through the bridge,
//! and by Zenoh alone.
//!
//! `cargo run --release --example bench` as root. It starts its own programs for each side, in turns, and prints a
//! table with the medians of several turns. Each sender copies a message out of a buffer of its own, and each receiver
//! into one.

#[path = "../tests/network/machines.rs"]
#[allow(dead_code)] // the tests use more of it
mod machines;
mod sides;

use machines::Machine;
use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

const ADDRESS: &str = "tcp/10.77.1.2:7447";
const SIZES: [usize; 4] = [64, 1024, 16 << 10, 256 << 10];
/// The longest message of Zenoh's low latency, which does not split messages.
const LONGEST_LOW_LATENCY: usize = 60 << 10;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("side") => sides::run(&arguments[1..]),
        turns => compare(turns.and_then(|turns| turns.parse().ok()).unwrap_or(5)),
    }
}

/// A way to carry messages.
#[derive(Clone, Copy)]
enum Way {
    Bridge,
    Zenoh,
    ZenohLowLatency,
}

impl Way {
    fn can_carry(self, size: usize) -> bool {
        !matches!(self, Way::ZenohLowLatency) || size <= LONGEST_LOW_LATENCY
    }
}

const WAYS: [(Way, &str); 3] = [
    (Way::Bridge, "through the bridge"),
    (Way::Zenoh, "Zenoh alone"),
    (Way::ZenohLowLatency, "Zenoh alone, low latency"),
];

fn compare(turns: usize) {
    for (title, one, other) in [
        ("messages in one direction", "send", "count"),
        ("round trip", "ping", "pong"),
    ] {
        println!(
            "\n| {title}, µs each | {} |",
            SIZES.map(size_text).join(" | ")
        );
        println!("|---|{}", "--:|".repeat(SIZES.len()));
        let mut results = [const { Vec::new() }; 3];
        for size in SIZES {
            let mut times = [const { Vec::new() }; 3];
            for _ in 0..turns {
                let ways = WAYS.iter().zip(&mut times);
                for (way, times) in ways.filter(|(way, _)| way.0.can_carry(size)) {
                    let time = measure(way.0, one, other, size);
                    eprintln!("{title}, {}, {}: {time:.3} µs", size_text(size), way.1);
                    times.push(time);
                }
            }
            for (times, results) in times.iter_mut().zip(&mut results) {
                times.sort_by(f64::total_cmp);
                results.push(times.get(times.len() / 2).copied());
            }
        }
        let cell = |time: Option<f64>| time.map_or("–".to_owned(), |time| format!("{time:.2}"));
        for ((_, name), medians) in WAYS.iter().zip(&results) {
            let cells: Vec<_> = medians.iter().map(|&time| cell(time)).collect();
            println!("| {name} | {} |", cells.join(" | "));
        }
        for ((_, name), medians) in WAYS.iter().zip(&results).skip(1) {
            let pairs = results[0].iter().zip(medians);
            let ratio = pairs.map(|(bridge, zenoh)| Some((*bridge)? / (*zenoh)?));
            let cells: Vec<_> = ratio.map(cell).collect();
            println!("| bridge / {name} | {} |", cells.join(" | "));
        }
        std::io::stdout().flush().unwrap();
    }
}

fn size_text(size: usize) -> String {
    if size < 1024 {
        format!("{size} B")
    } else {
        format!("{} KiB", size >> 10)
    }
}

/// Measures once. Returns microseconds for each message, or round trip.
fn measure(way: Way, one: &str, other: &str, size: usize) -> f64 {
    let (here, there) = Machine::pair();
    let this = env::current_exe().unwrap();
    let of_bridge = matches!(way, Way::Bridge);
    let tool = if of_bridge { "ring" } else { "zenoh" };
    let side = |machine: &Machine, role: &str| {
        let mut command = machine.command(&this);
        command.args(["side", tool, role, &size.to_string(), ADDRESS]);
        command.arg(if matches!(way, Way::ZenohLowLatency) {
            "low"
        } else {
            "default"
        });
        Side::start(command)
    };
    let mut receiver = side(&there, other);
    receiver.expect("ready");
    let bridges = of_bridge.then(|| {
        let bridge = bridge(&this);
        [
            start_bridge(
                &bridge,
                &there,
                ["--listen", ADDRESS],
                ["--subscribe", "out"],
                ["--publish", "back"],
            ),
            start_bridge(
                &bridge,
                &here,
                ["--connect", ADDRESS],
                ["--publish", "out"],
                ["--subscribe", "back"],
            ),
        ]
    });
    let mut sender = side(&here, one);
    let time = if one == "ping" {
        sender.number()
    } else {
        receiver.number()
    };
    drop((sender, receiver, bridges));
    time
}

/// Returns the path of the bridge, which Cargo builds beside the examples.
fn bridge(this: &Path) -> PathBuf {
    this.parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("shmkey-bridge")
}

fn start_bridge(
    program: &Path,
    machine: &Machine,
    options: [&str; 2],
    more: [&str; 2],
    most: [&str; 2],
) -> Side {
    let mut command = machine.command(program);
    command
        .args(options)
        .args(more)
        .args(most)
        .args(["--log", "warn", "--name", machine.name]);
    Side::start(command)
}

/// A program of one side, which is killed in the end.
struct Side {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Side {
    fn start(mut command: Command) -> Side {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Side { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn expect(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }

    fn number(&mut self) -> f64 {
        self.line().parse().expect("a number of microseconds")
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
