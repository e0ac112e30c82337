//! The example programs, alone and in pairs of a writer and a reader. Each function runs a program or a
//! pair in given forms, checks what they print, and returns what crossed.

mod objects;
mod raw;

pub use objects::{DYING_CLIENT, dying_client, record, server_and_dying_client};

use super::{Ending, Environment, Form, Keys, Process, Programs, Random, Result};
use shmkey::{Key, Segment};
use std::{
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    thread,
    time::{Duration, Instant},
};

/// Two programs that share memory.
pub struct Pair {
    pub writer: &'static str,
    pub reader: &'static str,
    /// The forms in which both exist.
    pub forms: &'static [Form],
    run: fn(&Pairing) -> Result<Vec<u8>>,
}

/// The pairs of programs on raw segments, where ours meet plain System V programs.
const RAW: &[Form] = &Form::ALL;
/// The pairs on objects.
const OBJECTS: &[Form] = &Form::OURS;

pub const PAIRS: [Pair; 11] = [
    pair("raw/writer", "raw/reader", RAW, raw::writer_reader),
    pair("raw/server", "raw/client", RAW, raw::server_client),
    pair(
        "raw/write_struct",
        "raw/read_struct",
        RAW,
        raw::write_struct_read_struct,
    ),
    pair("raw/sender", "raw/receiver", RAW, raw::sender_receiver),
    pair("writer", "reader", OBJECTS, objects::writer_reader),
    pair("server", "client", OBJECTS, objects::server_client),
    pair(
        "write_struct",
        "read_struct",
        OBJECTS,
        objects::write_struct_read_struct,
    ),
    pair("sender", "receiver", OBJECTS, objects::sender_receiver),
    pair(
        "ring_sender",
        "ring_receiver",
        OBJECTS,
        objects::ring_sender_receiver,
    ),
    pair("news", "news_reader", OBJECTS, objects::news_and_readers),
    pair("jobs", "worker", OBJECTS, objects::jobs_and_workers),
];

const fn pair(
    writer: &'static str,
    reader: &'static str,
    forms: &'static [Form],
    run: fn(&Pairing) -> Result<Vec<u8>>,
) -> Pair {
    Pair {
        writer,
        reader,
        forms,
        run,
    }
}

/// A program that runs alone.
pub struct Single {
    pub program: &'static str,
    pub forms: &'static [Form],
    pub prints: &'static str,
}

/// The programs that fork.
pub const SINGLES: [Single; 3] = [
    Single {
        program: "shared_memory",
        forms: &Form::ALL,
        prints: "Child wrote: Hello from child!\nParent read: Hello from child!\n",
    },
    Single {
        program: "parent_child",
        forms: &Form::ALL,
        prints: "Parent writes message\nChild reads: Hello from parent via shared memory\n",
    },
    Single {
        program: "event_loop",
        forms: OBJECTS,
        prints: "Received: 3 messages, 2 counts, 5 bytes\n",
    },
];

/// A pair of programs, and the form of each.
pub struct Pairing<'a> {
    pub programs: &'a Programs,
    pub pair: &'a Pair,
    pub writer: Form,
    pub reader: Form,
    /// Whether to try each kind of value and of end, as the tests do, or one.
    pub thorough: bool,
}

impl Pairing<'_> {
    /// Runs both programs, and returns what crossed.
    pub fn run(&self) -> Result<Vec<u8>> {
        (self.pair.run)(self)
    }

    fn values(&self, room: usize) -> Vec<Vec<u8>> {
        let mut values = Random::new().lines(room).to_vec();
        if !self.thorough {
            values.truncate(1);
        }
        values
    }
}

/// A pairing that runs in an environment, and the key of its segment.
struct Run<'a> {
    pairing: &'a Pairing<'a>,
    environment: Environment,
    key: Key,
}

impl<'a> Run<'a> {
    fn new(pairing: &'a Pairing, key: fn(&Keys) -> Key) -> Run<'a> {
        let environment = Environment::new();
        let key = key(&environment.keys);
        Run {
            pairing,
            environment,
            key,
        }
    }

    fn start(
        &self,
        name: &'static str,
        form: Form,
        arguments: &[&str],
        input: &[u8],
    ) -> Result<Process> {
        let mut command = self.pairing.programs.command(name, form)?;
        command.current_dir(self.environment.path()).args(arguments);
        Process::start(name, command, input)
    }

    /// Starts the writer.
    fn writer(&self, arguments: &[&str], input: &[u8]) -> Result<Process> {
        let Pairing { pair, writer, .. } = self.pairing;
        self.start(pair.writer, *writer, arguments, input)
    }

    /// Starts the reader.
    fn reader(&self, arguments: &[&str]) -> Result<Process> {
        let Pairing { pair, reader, .. } = self.pairing;
        self.start(pair.reader, *reader, arguments, b"")
    }

    /// Runs the writer.
    fn write(&self, arguments: &[&str]) -> Result<Ending> {
        self.writer(arguments, b"")?.finish()
    }

    /// Runs the reader.
    fn read(&self, arguments: &[&str]) -> Result<Ending> {
        self.reader(arguments)?.finish()
    }

    /// Starts the reader, and waits until it has its segment attached.
    fn waiting_reader(&self, arguments: &[&str]) -> Result<Process> {
        let reader = self.reader(arguments)?;
        wait_for_attached(self.key, 1)?;
        Ok(reader)
    }

    /// Expects that the segment was removed.
    fn gone(&self) -> Result<()> {
        self.environment.expect_gone(self.key)
    }
}

/// Runs a program that forks.
pub fn single(programs: &Programs, single: &Single, form: Form) -> Result<()> {
    let environment = Environment::new();
    let mut command = programs.command(single.program, form)?;
    command.current_dir(environment.path());
    Process::run(single.program, command, b"")?.expect(single.prints)?;
    environment.expect_gone(environment.keys.parent_child)
}

/// The race at full speed. Returns its table: plain memory may tear messages, and the objects may not.
pub fn race(programs: &Programs, form: Form, count: u64) -> Result<String> {
    let mut command = programs.command("race", form)?;
    command.arg(count.to_string());
    let ending = Process::run("race", command, b"")?;
    ending.expect_end(ExitStatus::success)?;
    let table = String::from_utf8_lossy(&ending.stdout).into_owned();
    let count = count.to_string();
    let mut rows = table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut is_row = |name, torn: Option<&str>| {
        let row = rows.next().unwrap_or_default();
        row.len() == 4 && row[..2] == [name, &*count] && torn.is_none_or(|torn| row[2] == torn)
    };
    if is_row("memcpy", None) && is_row("Latest", Some("0")) && is_row("Ring", Some("0")) {
        return Ok(table);
    }
    Err(format!("race printed \"{table}\""))
}

/// Ends an endless program. Ours clean up and end well; the plain ones die of the signal.
fn stop(process: Process, form: Form) -> Result<Vec<u8>> {
    process.signal(libc::SIGTERM);
    let ending = process.finish()?;
    ending.expect_end(|status| {
        if form.is_plain() {
            status.signal() == Some(libc::SIGTERM)
        } else {
            status.success()
        }
    })?;
    Ok(ending.stdout)
}

/// Waits until a process has the segment under a key attached.
/// Waits until the segment is attached so many times.
fn wait_for_attached(key: Key, times: u64) -> Result<()> {
    wait_for("attach its segment", || {
        let status = Segment::open(key).and_then(|segment| segment.status());
        status.is_ok_and(|status| status.nattch >= times)
    })
}

fn wait_for(what: &str, condition: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if condition() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Err(format!("the program did not {what}"))
}

/// Removes a segment that may be left: whether a sender is the last to end depends on which program is faster.
fn remove_left(key: Key) {
    if let Ok(segment) = Segment::open(key) {
        let _ = segment.remove();
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
