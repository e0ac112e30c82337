//! The example programs, alone and in pairs of a writer and a reader. Each function runs a program or a
//! pair in given forms, checks what they print, and returns what crossed.

mod objects;
mod raw;

pub use objects::{DYING_CLIENT, dying_client, record, server_and_dying_client};

use super::{Environment, Form, Process, Programs, Random, Result};
use shmkey::{Key, Segment};
use std::{
    os::unix::process::ExitStatusExt,
    process::Command,
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

/// The pairs of programs: on raw segments, where ours meet plain System V programs, and on objects.
pub const PAIRS: [Pair; 9] = [
    Pair {
        writer: "raw/writer",
        reader: "raw/reader",
        forms: &Form::ALL,
        run: raw::writer_reader,
    },
    Pair {
        writer: "raw/server",
        reader: "raw/client",
        forms: &Form::ALL,
        run: raw::server_client,
    },
    Pair {
        writer: "raw/write_struct",
        reader: "raw/read_struct",
        forms: &Form::ALL,
        run: raw::write_struct_read_struct,
    },
    Pair {
        writer: "raw/sender",
        reader: "raw/receiver",
        forms: &Form::ALL,
        run: raw::sender_receiver,
    },
    Pair {
        writer: "writer",
        reader: "reader",
        forms: &Form::OURS,
        run: objects::writer_reader,
    },
    Pair {
        writer: "server",
        reader: "client",
        forms: &Form::OURS,
        run: objects::server_client,
    },
    Pair {
        writer: "write_struct",
        reader: "read_struct",
        forms: &Form::OURS,
        run: objects::write_struct_read_struct,
    },
    Pair {
        writer: "sender",
        reader: "receiver",
        forms: &Form::OURS,
        run: objects::sender_receiver,
    },
    Pair {
        writer: "ring_sender",
        reader: "ring_receiver",
        forms: &Form::OURS,
        run: objects::ring_sender_receiver,
    },
];

/// A program that runs alone.
pub struct Single {
    pub program: &'static str,
    pub prints: &'static str,
}

/// The programs that fork.
pub const SINGLES: [Single; 2] = [
    Single {
        program: "shared_memory",
        prints: "Child wrote: Hello from child!\nParent read: Hello from child!\n",
    },
    Single {
        program: "parent_child",
        prints: "Parent writes message\nChild reads: Hello from parent via shared memory\n",
    },
];

/// A pair of programs, and the form of each.
pub struct Pairing<'a> {
    pub programs: &'a Programs,
    pub pair: &'a Pair,
    pub writer: Form,
    pub reader: Form,
    /// One value is enough to look at; the tests want every kind.
    pub thorough: bool,
}

impl Pairing<'_> {
    /// Runs both programs, and returns what crossed.
    pub fn run(&self) -> Result<Vec<u8>> {
        (self.pair.run)(self)
    }

    fn command(
        &self,
        name: &'static str,
        form: Form,
        environment: &Environment,
    ) -> Result<Command> {
        let mut command = self.programs.command(name, form)?;
        command.current_dir(environment.path());
        Ok(command)
    }

    fn writer(&self, environment: &Environment) -> Result<Command> {
        self.command(self.pair.writer, self.writer, environment)
    }

    fn reader(&self, environment: &Environment) -> Result<Command> {
        self.command(self.pair.reader, self.reader, environment)
    }

    /// The same with arguments.
    fn writer_with(&self, arguments: &[&str], environment: &Environment) -> Result<Command> {
        let mut command = self.writer(environment)?;
        command.args(arguments);
        Ok(command)
    }

    fn reader_with(&self, arguments: &[&str], environment: &Environment) -> Result<Command> {
        let mut command = self.reader(environment)?;
        command.args(arguments);
        Ok(command)
    }

    fn values(&self, room: usize) -> Vec<Vec<u8>> {
        let mut values = Random::new().lines(room).to_vec();
        if !self.thorough {
            values.truncate(1);
        }
        values
    }
}

/// Runs a program that forks.
pub fn single(programs: &Programs, single: &Single, form: Form) -> Result<()> {
    let environment = Environment::new();
    let mut command = programs.command(single.program, form)?;
    command.current_dir(environment.path());
    Process::run(single.program, command, b"")?.expect(single.program, single.prints.as_bytes())?;
    environment.expect_gone(environment.keys.parent_child)
}

/// The race at full speed. Returns its table: whatever plain memory has torn, the others have not.
pub fn race(programs: &Programs, form: Form, count: u64) -> Result<String> {
    let mut command = programs.command("race", form)?;
    command.arg(count.to_string());
    let ending = Process::run("race", command, b"")?;
    ending.expect_end("race", |status| status.success())?;
    let table = String::from_utf8_lossy(&ending.stdout).into_owned();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect())
        .collect();
    let count = count.to_string();
    let is_row = |row: &[&str], name| row.len() == 4 && row[0] == name && row[1] == count;
    match &rows[..] {
        [plain, latest, ring]
            if is_row(plain, "memcpy")
                && is_row(latest, "Latest")
                && is_row(ring, "Ring")
                && latest[2] == "0"
                && ring[2] == "0" =>
        {
            Ok(table)
        }
        _ => Err(format!("race printed \"{table}\"")),
    }
}

/// Ends an endless program. Ours clean up and end well; the plain ones die of the signal.
fn stop(process: Process, name: &str, form: Form) -> Result<Vec<u8>> {
    process.signal(libc::SIGTERM);
    let ending = process.finish()?;
    ending.expect_end(name, |status| match form.is_plain() {
        true => status.signal() == Some(libc::SIGTERM),
        false => status.success(),
    })?;
    Ok(ending.stdout)
}

/// Waits until a process has the segment under a key attached.
fn wait_for_attached(key: Key) -> Result<()> {
    wait_for("attach its segment", || {
        let status = Segment::open(key).and_then(|segment| segment.status());
        status.is_ok_and(|status| status.nattch > 0)
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

/// Removes what may be there still: whether a sender is the last one out depends on who is faster.
fn remove_left(key: Key) {
    if let Ok(segment) = Segment::open(key) {
        let _ = segment.remove();
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
