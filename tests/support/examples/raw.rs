//! The pairs on raw segments, and what the pairs on objects have in common with them.

use super::{Pairing, contains, stop, wait_for};
use crate::support::{Environment, Process, Random, Result};
use shmkey::{Error, Key, Segment};
use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

/// A line from the writer's standard input to the reader's standard output.
pub(super) fn writer_reader(pairing: &Pairing) -> Result<Vec<u8>> {
    let environment = Environment::new();
    let mut values = pairing.values(1024);
    if pairing.thorough && !pairing.writer.is_plain() {
        // Ours may fill the segment to the last byte, without a NUL. (fgets needs room for one.)
        values.push(Random::new().text(1024));
    }
    for value in &values {
        write_line(pairing, &environment, value)?;
        read_lines(pairing, &environment, &[value])?;
    }
    Ok(values.into_iter().next().unwrap_or_default())
}

pub(super) fn write_line(pairing: &Pairing, environment: &Environment, value: &[u8]) -> Result<()> {
    let line = [value, &b"\n"[..]].concat();
    Process::run("writer", pairing.writer(environment)?, &line)?.expect(
        "writer",
        &[b"Write Data: Data written in memory: ", &line[..]].concat(),
    )
}

pub(super) fn read_lines(
    pairing: &Pairing,
    environment: &Environment,
    values: &[&[u8]],
) -> Result<()> {
    Process::run("reader", pairing.reader(environment)?, b"")?
        .expect("reader", &lines_read(values))?;
    environment.expect_gone(environment.keys.writer_reader)
}

pub(super) fn lines_read(values: &[&[u8]]) -> Vec<u8> {
    let line = |value: &&[u8]| [b"Data read from memory: ", *value, b"\n"].concat();
    values.iter().flat_map(line).collect()
}

pub(super) const MESSAGE: &str = "Hello from the other side!";

/// What the server says until it has its answer.
pub(super) fn server_says() -> String {
    format!("Data written in memory: {MESSAGE}\nWaiting for client...\n")
}

pub(super) fn start_server(pairing: &Pairing, environment: &Environment) -> Result<Process> {
    let server = Process::start("server", pairing.writer(environment)?, b"")?;
    let says = server_says();
    server.wait_until("wait for a client", |out| out == says.as_bytes())?;
    Ok(server)
}

/// A server that waits for a client.
pub(super) fn server_client(pairing: &Pairing) -> Result<Vec<u8>> {
    let environment = Environment::new();
    let server = start_server(pairing, &environment)?;
    Process::run("client", pairing.reader(&environment)?, b"")?.expect(
        "client",
        format!("Data read from memory: {MESSAGE}\n").as_bytes(),
    )?;
    server
        .finish()?
        .expect("server", server_says().as_bytes())?;
    environment.expect_gone(environment.keys.server_client)?;
    Ok(MESSAGE.into())
}

/// A whole structure.
pub(super) fn write_struct_read_struct(pairing: &Pairing) -> Result<Vec<u8>> {
    let environment = Environment::new();
    let mut crossed = Vec::new();
    for name in pairing.values(32) {
        let (id, temperature) = write_struct(pairing, &environment, &name)?;
        let prints = [
            format!("id: {id}\ntemperature: {temperature:.6}\nname: ").as_bytes(),
            &name,
            b"\n",
        ]
        .concat();
        let reader = pairing.reader_with(&["shmfile"], &environment)?;
        Process::run("read_struct", reader, b"")?.expect("read_struct", &prints)?;
        environment.expect_gone(environment.keys.record)?;
        if crossed.is_empty() {
            crossed = [format!("{id}, {temperature}, ").as_bytes(), &name].concat();
        }
    }
    Ok(crossed)
}

/// Has a structure with random numbers written, and returns these.
pub(super) fn write_struct(
    pairing: &Pairing,
    environment: &Environment,
    name: &[u8],
) -> Result<(i32, f64)> {
    let mut random = Random::new();
    let id = random.next() as i32;
    let temperature = f64::from(random.next() as i32) / 1000.0;
    let mut writer = pairing.writer(environment)?;
    writer
        .args([id.to_string(), temperature.to_string()])
        .args([OsStr::from_bytes(name), OsStr::new("shmfile")]);
    Process::run("write_struct", writer, b"")?.expect("write_struct", b"")?;
    Ok((id, temperature))
}

/// Two messages in turn: first one after the other, where each output is known, then both programs
/// at once.
pub(super) fn sender_receiver(pairing: &Pairing) -> Result<Vec<u8>> {
    let key = |environment: &Environment| environment.keys.sender_receiver;
    let junk = |key: Key| {
        let segment = Segment::options().create(true).size(1024).open(key)?;
        segment
            .attach()?
            .write_at(0, &Random::new().line_bytes(1024))
    };
    let first = |key: Key| {
        let mut byte = [0];
        Segment::open(key)?
            .attach_read_only()?
            .read_at(0, &mut byte)?;
        Ok::<_, Error>(byte)
    };
    let environment = Environment::new();
    newest(pairing, &environment)?;
    invalid_message(pairing, &environment, key(&environment), junk)?;
    both_at_once(pairing, &environment, key(&environment), |key| {
        first(key).is_ok_and(|byte| b"CZ".contains(&byte[0]))
    })?;
    Ok(b"CIEPLO, ZIMNO".into())
}

/// The receiver sees the sender's last message, as often as it looks.
pub(super) fn newest(pairing: &Pairing, environment: &Environment) -> Result<()> {
    for (count, last) in [("1", "CIEPLO"), ("2", "ZIMNO")] {
        let sender = pairing.writer_with(&[count, "0"], environment)?;
        let receiver = pairing.reader_with(&["3", "0"], environment)?;
        Process::run("sender", sender, b"")?.expect("sender", b"")?;
        Process::run("receiver", receiver, b"")?.expect(
            "receiver",
            format!("Received: {last}\n").repeat(3).as_bytes(),
        )?;
        environment.expect_gone(environment.keys.sender_receiver)?;
    }
    Ok(())
}

/// Something else in the place of a message.
pub(super) fn invalid_message(
    pairing: &Pairing,
    environment: &Environment,
    key: Key,
    store: impl Fn(Key) -> std::result::Result<(), Error>,
) -> Result<()> {
    let receiver = pairing.reader_with(&["1", "0"], environment)?;
    store(key).map_err(|error| error.to_string())?;
    Process::run("receiver", receiver, b"")?.expect("receiver", b"Error: Invalid message\n")?;
    environment.expect_gone(key)
}

/// The receiver is given time to see both messages, and says little besides.
pub(super) fn both_at_once(
    pairing: &Pairing,
    environment: &Environment,
    key: Key,
    has_sent: impl Fn(Key) -> bool,
) -> Result<()> {
    let sender = pairing.writer_with(&["1000000", "0.01"], environment)?;
    let receiver = pairing.reader_with(&["1000000", "0.003"], environment)?;
    let sender = Process::start("sender", sender, b"")?;
    wait_for("send a message", || has_sent(key))?;
    let receiver = Process::start("receiver", receiver, b"")?;
    receiver.wait_until("see both messages", |out| {
        contains(out, b"Received: CIEPLO\n") && contains(out, b"Received: ZIMNO\n")
    })?;
    stop(sender, "sender", pairing.writer)?;
    let out = stop(receiver, "receiver", pairing.reader)?;
    // A plain program copies byte by byte without a lock: once in a long while it meets the other.
    let mut torn = usize::from(pairing.writer.is_plain() || pairing.reader.is_plain());
    for line in out.split_inclusive(|&byte| byte == b'\n') {
        match line {
            b"Received: CIEPLO\n" | b"Received: ZIMNO\n" => {}
            b"Error: Invalid message\n" if torn > 0 => torn -= 1,
            _ => return Err(format!("the receiver printed \"{}\"", line.escape_ascii())),
        }
    }
    if !pairing.reader.is_plain() {
        environment.expect_gone(key)?;
    }
    Ok(())
}
