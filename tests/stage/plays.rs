//! The plays: one function for each program or pair of programs. Each takes who plays which part,
//! and says what crossed.

use super::{Form, Process, Random, Result, Sandbox, Troupe};
use shmkey::{Key, Segment};
use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt, process::ExitStatusExt},
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// A play for two.
pub struct Pair {
    pub writer: &'static str,
    pub reader: &'static str,
    pub play: fn(&Cast) -> Result<Vec<u8>>,
}

/// The pairs of programs.
pub const PAIRS: [Pair; 4] = [
    Pair {
        writer: "writer",
        reader: "reader",
        play: writer_reader,
    },
    Pair {
        writer: "server",
        reader: "client",
        play: server_client,
    },
    Pair {
        writer: "write_struct",
        reader: "read_struct",
        play: write_struct_read_struct,
    },
    Pair {
        writer: "sender",
        reader: "receiver",
        play: sender_receiver,
    },
];

/// A program that plays alone.
pub struct Solo {
    pub program: &'static str,
    pub prints: &'static str,
}

/// The programs that fork.
pub const SOLOS: [Solo; 2] = [
    Solo {
        program: "shared_memory",
        prints: "Child wrote: Hello from child!\nParent read: Hello from child!\n",
    },
    Solo {
        program: "parent_child",
        prints: "Parent writes message\nChild reads: Hello from parent via shared memory\n",
    },
];

/// Who plays.
pub struct Cast<'a> {
    pub troupe: &'a Troupe,
    pub writer: Form,
    pub reader: Form,
    /// One value is enough to look at; the tests want every kind.
    pub thorough: bool,
}

impl Cast<'_> {
    fn command(&self, name: &'static str, form: Form, sandbox: &Sandbox) -> Result<Command> {
        let mut command = self.troupe.command(name, form)?;
        command.current_dir(sandbox.path());
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

/// Plays alone.
pub fn solo(troupe: &Troupe, solo: &Solo, form: Form) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let mut command = troupe.command(solo.program, form)?;
    command.current_dir(sandbox.path());
    Process::run(solo.program, command, b"")?.expect(solo.program, solo.prints.as_bytes())?;
    sandbox.expect_gone(sandbox.keys.parent_child)
}

/// A line from the writer's standard input to the reader's standard output.
fn writer_reader(cast: &Cast) -> Result<Vec<u8>> {
    let sandbox = Sandbox::new()?;
    let mut values = cast.values(1024);
    if cast.thorough && !cast.writer.is_plain() {
        // Ours may fill the segment to the last byte, without a NUL. (fgets needs room for one.)
        values.push(Random::new().text(1024));
    }
    for value in &values {
        let writer = cast.command("writer", cast.writer, &sandbox)?;
        let reader = cast.command("reader", cast.reader, &sandbox)?;
        let line = [value, &b"\n"[..]].concat();
        Process::run("writer", writer, &line)?.expect(
            "writer",
            &[b"Write Data: Data written in memory: ", &line[..]].concat(),
        )?;
        Process::run("reader", reader, b"")?
            .expect("reader", &[b"Data read from memory: ", &line[..]].concat())?;
        sandbox.expect_gone(sandbox.keys.writer_reader)?;
    }
    Ok(values.into_iter().next().unwrap_or_default())
}

/// A server that waits for a client.
fn server_client(cast: &Cast) -> Result<Vec<u8>> {
    const MESSAGE: &str = "Hello from the other side!";
    let sandbox = Sandbox::new()?;
    let server = cast.command("server", cast.writer, &sandbox)?;
    let client = cast.command("client", cast.reader, &sandbox)?;
    let says = format!("Data written in memory: {MESSAGE}\nWaiting for client...\n");

    let server = Process::start("server", server, b"")?;
    server.wait_until("wait for a client", |out| out == says.as_bytes())?;
    Process::run("client", client, b"")?.expect(
        "client",
        format!("Data read from memory: {MESSAGE}\n").as_bytes(),
    )?;
    server.finish()?.expect("server", says.as_bytes())?;
    sandbox.expect_gone(sandbox.keys.server_client)?;
    Ok(MESSAGE.into())
}

/// A whole structure.
fn write_struct_read_struct(cast: &Cast) -> Result<Vec<u8>> {
    let sandbox = Sandbox::new()?;
    let mut random = Random::new();
    let mut crossed = Vec::new();
    for name in cast.values(32) {
        let id = random.next() as i32;
        let temperature = f64::from(random.next() as i32) / 1000.0;
        let prints = [
            format!("id: {id}\ntemperature: {temperature:.6}\nname: ").as_bytes(),
            &name,
            b"\n",
        ]
        .concat();

        let mut writer = cast.command("write_struct", cast.writer, &sandbox)?;
        writer
            .args([id.to_string(), temperature.to_string()])
            .args([OsStr::from_bytes(&name), OsStr::new("shmfile")]);
        let mut reader = cast.command("read_struct", cast.reader, &sandbox)?;
        reader.arg("shmfile");
        Process::run("write_struct", writer, b"")?.expect("write_struct", b"")?;
        Process::run("read_struct", reader, b"")?.expect("read_struct", &prints)?;
        sandbox.expect_gone(sandbox.keys.record)?;
        if crossed.is_empty() {
            crossed = [format!("{id}, {temperature}, ").as_bytes(), &name].concat();
        }
    }
    Ok(crossed)
}

/// Two messages in turn: first one after the other, where each output is known, then both programs
/// at once.
fn sender_receiver(cast: &Cast) -> Result<Vec<u8>> {
    let sandbox = Sandbox::new()?;
    let program = |name, form, arguments: [&str; 2]| {
        let mut command = cast.command(name, form, &sandbox)?;
        command.args(arguments);
        Ok::<_, String>(command)
    };

    for (count, last) in [("1", "CIEPLO"), ("2", "ZIMNO")] {
        let sender = program("sender", cast.writer, [count, "0"])?;
        let receiver = program("receiver", cast.reader, ["3", "0"])?;
        Process::run("sender", sender, b"")?.expect("sender", b"")?;
        Process::run("receiver", receiver, b"")?.expect(
            "receiver",
            format!("Received: {last}\n").repeat(3).as_bytes(),
        )?;
        sandbox.expect_gone(sandbox.keys.sender_receiver)?;
    }

    invalid_message(cast, &sandbox)?;

    // The receiver is given time to see both messages, and whatever it says besides would be wrong.
    let sender = program("sender", cast.writer, ["1000000", "0.01"])?;
    let receiver = program("receiver", cast.reader, ["1000000", "0.003"])?;
    let sender = Process::start("sender", sender, b"")?;
    let first_byte = wait_for_content(sandbox.keys.sender_receiver)?;
    if !b"CZ".contains(&first_byte) {
        return Err(format!(
            "the sender stored something that begins with {first_byte:#x}"
        ));
    }
    let receiver = Process::start("receiver", receiver, b"")?;
    receiver.wait_until("see both messages", |out| {
        contains(out, b"Received: CIEPLO\n") && contains(out, b"Received: ZIMNO\n")
    })?;
    stop(sender, "sender", cast.writer)?;
    let out = stop(receiver, "receiver", cast.reader)?;
    for line in out.split_inclusive(|&byte| byte == b'\n') {
        if line != b"Received: CIEPLO\n" && line != b"Received: ZIMNO\n" {
            return Err(format!("the receiver printed \"{}\"", line.escape_ascii()));
        }
    }
    if !cast.reader.is_plain() {
        sandbox.expect_gone(sandbox.keys.sender_receiver)?;
    }
    Ok(b"CIEPLO, ZIMNO".into())
}

/// A segment with something else in it.
fn invalid_message(cast: &Cast, sandbox: &Sandbox) -> Result<()> {
    let junk = Random::new().line_bytes(1024);
    let mut receiver = cast.command("receiver", cast.reader, sandbox)?;
    receiver.args(["1", "0"]);
    let store = || -> std::result::Result<(), shmkey::Error> {
        let segment = Segment::options()
            .create(true)
            .size(1024)
            .open(sandbox.keys.sender_receiver)?;
        segment.attach()?.write_at(0, &junk)
    };
    store().map_err(|error| error.to_string())?;
    Process::run("receiver", receiver, b"")?.expect("receiver", b"Error: Invalid message\n")?;
    sandbox.expect_gone(sandbox.keys.sender_receiver)
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

/// Waits until there is a segment under a key and something in it.
fn wait_for_content(key: Key) -> Result<u8> {
    let first_byte = || {
        let memory = Segment::open(key).ok()?.attach_read_only().ok()?;
        let mut byte = [0];
        memory.read_at(0, &mut byte).ok()?;
        (byte != [0]).then_some(byte[0])
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if let Some(byte) = first_byte() {
            return Ok(byte);
        }
        thread::sleep(Duration::from_millis(1));
    }
    Err("the sender stored nothing".into())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
