//! The pairs on raw segments, and what the pairs on objects have in common with them.

use super::{Pairing, Run, contains, stop, wait_for};
use crate::support::{Process, Random, Result};
use shmkey::{Error, Key, Segment};
use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

/// A line from the writer's standard input to the reader's standard output.
pub(super) fn writer_reader(pairing: &Pairing) -> Result<Vec<u8>> {
    let run = Run::new(pairing, |keys| keys.writer_reader);
    let mut values = pairing.values(1024);
    if pairing.thorough && !pairing.writer.is_plain() {
        // Ours may fill the segment to the last byte, without a NUL. (fgets needs room for one.)
        values.push(Random::new().text(1024));
    }
    for value in &values {
        write_line(&run, value)?;
        read_lines(&run, &[value])?;
    }
    Ok(values.into_iter().next().unwrap_or_default())
}

pub(super) fn write_line(run: &Run, value: &[u8]) -> Result<()> {
    let line = [value, &b"\n"[..]].concat();
    let printed = [b"Write Data: Data written in memory: ", &line[..]].concat();
    run.writer(&[], &line)?.finish()?.expect(printed)
}

pub(super) fn read_lines(run: &Run, values: &[&[u8]]) -> Result<()> {
    run.read(&[])?.expect(lines_read(values))?;
    run.gone()
}

pub(super) fn lines_read(values: &[&[u8]]) -> Vec<u8> {
    let line = |value: &&[u8]| [b"Data read from memory: ", *value, b"\n"].concat();
    values.iter().flat_map(line).collect()
}

pub(super) const MESSAGE: &str = "Hello from the other side!";

/// What the server prints before it has its answer.
pub(super) const SERVER_PRINTS: &str =
    "Data written in memory: Hello from the other side!\nWaiting for client...\n";

pub(super) fn start_server(run: &Run) -> Result<Process> {
    let server = run.writer(&[], b"")?;
    server.wait_until("wait for a client", |out| out == SERVER_PRINTS.as_bytes())?;
    Ok(server)
}

/// A server that waits for a client.
pub(super) fn server_client(pairing: &Pairing) -> Result<Vec<u8>> {
    let run = Run::new(pairing, |keys| keys.server_client);
    let server = start_server(&run)?;
    run.read(&[])?.expect(lines_read(&[MESSAGE.as_bytes()]))?;
    server.finish()?.expect(SERVER_PRINTS)?;
    run.gone()?;
    Ok(MESSAGE.into())
}

/// A whole structure.
pub(super) fn write_struct_read_struct(pairing: &Pairing) -> Result<Vec<u8>> {
    let run = Run::new(pairing, |keys| keys.record);
    let mut crossed = Vec::new();
    for name in pairing.values(32) {
        let (id, temperature) = write_struct(&run, &name)?;
        let numbers = format!("id: {id}\ntemperature: {temperature:.6}\nname: ");
        let printed = [numbers.as_bytes(), &name, b"\n"].concat();
        run.read(&["shmfile"])?.expect(printed)?;
        run.gone()?;
        if crossed.is_empty() {
            crossed = [format!("{id}, {temperature}, ").as_bytes(), &name].concat();
        }
    }
    Ok(crossed)
}

/// Has a structure with random numbers written, and returns these.
pub(super) fn write_struct(run: &Run, name: &[u8]) -> Result<(i32, f64)> {
    let mut random = Random::new();
    let id = random.next() as i32;
    let temperature = f64::from(random.next() as i32) / 1000.0;
    let mut writer = run
        .pairing
        .programs
        .command(run.pairing.pair.writer, run.pairing.writer)?;
    writer.args([id.to_string(), temperature.to_string()]);
    writer.args([OsStr::from_bytes(name), OsStr::new("shmfile")]);
    writer.current_dir(run.environment.path());
    Process::run("write_struct", writer, b"")?.expect("")?;
    Ok((id, temperature))
}

/// Two messages in turn: first one after the other, where each output is known, then both programs at once.
pub(super) fn sender_receiver(pairing: &Pairing) -> Result<Vec<u8>> {
    let junk = |key: Key| {
        let segment = Segment::options().create(true).size(1024).open(key)?;
        let bytes = Random::new().line_bytes(1024);
        segment.attach()?.write_at(0, &bytes)
    };
    let first = |key: Key| Segment::open(key)?.attach_read_only()?.get::<u8>(0);
    let run = Run::new(pairing, |keys| keys.sender_receiver);
    newest(&run)?;
    invalid_message(&run, junk)?;
    both_at_once(&run, |key| {
        first(key).is_ok_and(|byte| b"CZ".contains(&byte))
    })?;
    Ok(b"CIEPLO, ZIMNO".into())
}

/// The receiver sees the sender's last message, as often as it looks.
pub(super) fn newest(run: &Run) -> Result<()> {
    for (count, last) in [("1", "CIEPLO"), ("2", "ZIMNO")] {
        run.write(&[count, "0"])?.expect("")?;
        let printed = format!("Received: {last}\n").repeat(3);
        run.read(&["3", "0"])?.expect(printed)?;
        run.gone()?;
    }
    Ok(())
}

/// Other bytes in the place of a message.
pub(super) fn invalid_message(
    run: &Run,
    store: impl Fn(Key) -> std::result::Result<(), Error>,
) -> Result<()> {
    store(run.key).map_err(|error| error.to_string())?;
    run.read(&["1", "0"])?.expect("Error: Invalid message\n")?;
    run.gone()
}

/// The receiver is given time to see both messages, and prints little besides.
pub(super) fn both_at_once(run: &Run, has_sent: impl Fn(Key) -> bool) -> Result<()> {
    let Pairing { writer, reader, .. } = *run.pairing;
    let sender = run.writer(&["1000000", "0.01"], b"")?;
    wait_for("send a message", || has_sent(run.key))?;
    let receiver = run.reader(&["1000000", "0.003"])?;
    receiver.wait_until("see both messages", |out| {
        contains(out, b"Received: CIEPLO\n") && contains(out, b"Received: ZIMNO\n")
    })?;
    stop(sender, writer)?;
    let out = stop(receiver, reader)?;
    // A plain program copies byte by byte without a lock: once in a long while it meets the other.
    let mut torn = usize::from(writer.is_plain() || reader.is_plain());
    for line in out.split_inclusive(|&byte| byte == b'\n') {
        match line {
            b"Received: CIEPLO\n" | b"Received: ZIMNO\n" => {}
            b"Error: Invalid message\n" if torn > 0 => torn -= 1,
            _ => return Err(format!("the receiver printed \"{}\"", line.escape_ascii())),
        }
    }
    if reader.is_plain() {
        Ok(())
    } else {
        run.gone()
    }
}
