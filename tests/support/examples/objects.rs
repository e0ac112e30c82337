//! The pairs on objects: also with the reader first, and with either side stopped or killed.

use super::{
    PAIRS, Pairing,
    raw::{
        self, MESSAGE, both_at_once, invalid_message, lines_read, newest, read_lines, server_says,
        start_server, write_line, write_struct,
    },
    remove_left, stop, wait_for, wait_for_attached,
};
use crate::support::{
    Environment, Form, Helper, Process, Programs, Random, Result,
    record::{RECORD_LAYOUT, Record},
    say, wait_to_be_told,
};
use bytemuck::Zeroable;
use shmkey::{Error, Key, Latest, Place, Ring, Segment};
use std::{path::Path, process::Command, sync::Arc, time::Duration};

/// The same as on raw segments, but the reader waits if it comes first, and no line is lost if writers come first.
pub(super) fn writer_reader(pairing: &Pairing) -> Result<Vec<u8>> {
    let crossed = raw::writer_reader(pairing)?;
    let environment = Environment::new();
    let key = environment.keys.writer_reader;

    if pairing.thorough {
        // A reader that gets SIGTERM, and one that is killed.
        let stopped = Process::start("reader", pairing.reader(&environment)?, b"")?;
        wait_for_attached(key)?;
        stopped.signal(libc::SIGTERM);
        stopped
            .finish()?
            .expect_failure("reader", b"", "told to stop before a line came")?;
        environment.expect_gone(key)?;
        let killed = Process::start("reader", pairing.reader(&environment)?, b"")?;
        wait_for_attached(key)?;
        killed.kill()?;
    }

    // The reader first.
    let reader = Process::start("reader", pairing.reader(&environment)?, b"")?;
    wait_for_attached(key)?;
    write_line(pairing, &environment, &crossed)?;
    reader
        .finish()?
        .expect("reader", &lines_read(&[&crossed]))?;
    environment.expect_gone(key)?;
    if !pairing.thorough {
        return Ok(crossed);
    }

    // Several lines, one of which needs most of the room; bytes of all kinds, NUL as well.
    let mut values = Random::new().lines(1000).to_vec();
    values.push(Random::new().line_bytes(5000));
    values.push(b"\0 in the middle \0".to_vec());
    for value in &values {
        write_line(pairing, &environment, value)?;
    }
    let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    read_lines(pairing, &environment, &values)?;

    // A line that is too long leaves nothing behind.
    let too_long = [&Random::new().text(10_000)[..], b"\n"].concat();
    Process::run("writer", pairing.writer(&environment)?, &too_long)?.expect_failure(
        "writer",
        b"Write Data: ",
        "EMSGSIZE",
    )?;
    environment.expect_gone(key)?;
    Ok(crossed)
}

/// The same; and each is notified if the other dies.
pub(super) fn server_client(pairing: &Pairing) -> Result<Vec<u8>> {
    let crossed = raw::server_client(pairing)?;
    if !pairing.thorough {
        return Ok(crossed);
    }
    let environment = Environment::new();
    let key = environment.keys.server_client;
    let says = server_says();
    let reads = format!("Data read from memory: {MESSAGE}\n");

    // No other process is there.
    Process::run("client", pairing.reader(&environment)?, b"")?.expect_failure(
        "client",
        b"",
        "start the program that creates it first",
    )?;

    // A server that is killed: its message arrives all the same, and the client cleans up.
    start_server(pairing, &environment)?.kill()?;
    Process::run("client", pairing.reader(&environment)?, b"")?.expect_failure(
        "client",
        reads.as_bytes(),
        "the server was killed",
    )?;
    environment.expect_gone(key)?;

    // Another server in its place; and a third one, which is one too many.
    start_server(pairing, &environment)?.kill()?;
    let server = start_server(pairing, &environment)?;
    Process::run("server", pairing.writer(&environment)?, b"")?
        .expect_failure("server", b"", "EBUSY")?;
    Process::run("client", pairing.reader(&environment)?, b"")?
        .expect("client", reads.as_bytes())?;
    server.finish()?.expect("server", says.as_bytes())?;
    environment.expect_gone(key)?;

    // A server that gets SIGTERM.
    let server = start_server(pairing, &environment)?;
    server.signal(libc::SIGINT);
    server.finish()?.expect_failure(
        "server",
        says.as_bytes(),
        "told to stop before a client came",
    )?;
    environment.expect_gone(key)?;
    Ok(crossed)
}

/// The task of [`dying_client`].
pub const DYING_CLIENT: &str = "a client that dies";

/// A server whose client is killed before it answers.
pub fn server_and_dying_client(programs: &Programs, form: Form) -> Result<()> {
    let environment = Environment::new();
    let pair = PAIRS.iter().find(|pair| pair.writer == "server");
    let pairing = Pairing {
        programs,
        pair: pair.ok_or("there is no server")?,
        writer: form,
        reader: form,
        thorough: true,
    };
    let server = start_server(&pairing, &environment)?;
    let directory = environment.path().display().to_string();
    let mut client = Helper::start(&[], DYING_CLIENT, &directory);
    client.expect("ready");
    client.kill();
    server.finish()?.expect_failure(
        "server",
        server_says().as_bytes(),
        "the client was killed before it answered",
    )?;
    environment.expect_gone(environment.keys.server_client)
}

/// Acts as the client until it is killed.
pub fn dying_client(directory: &str) -> Result<()> {
    let open = || -> std::result::Result<_, Error> {
        let segment = Segment::open(Key::from_path(directory, i32::from(b'C'))?)?;
        let memory = Arc::new(segment.attach()?);
        let messages = Ring::open(Place::within(Arc::clone(&memory), 0), 1024)?;
        let answers = Ring::open(Place::within(memory, 4096), 1024)?;
        Ok((messages.receiver()?, answers.sender()?))
    };
    let parts = open().map_err(|error| error.to_string())?;
    say("ready");
    wait_to_be_told();
    drop(parts);
    Ok(())
}

/// A structure with a field of every kind, as the latest value.
pub(super) fn write_struct_read_struct(pairing: &Pairing) -> Result<Vec<u8>> {
    let environment = Environment::new();
    let key = environment.keys.record;
    let read = |seen: &mut u64| -> std::result::Result<Record, Error> {
        let place = Place::key(key).create(false).layout(RECORD_LAYOUT);
        let latest = Latest::<shmkey::Pod<Record>>::open(place)?;
        Ok(latest.wait_newer_timeout(seen, Duration::from_secs(60))?.0)
    };
    let mut crossed = Vec::new();
    for name in pairing.values(32) {
        // Twice: the newer one is the one to be seen.
        write_struct(pairing, &environment, b"older")?;
        let (id, temperature) = write_struct(pairing, &environment, &name)?;
        let record = read(&mut 0).map_err(|error| error.to_string())?;
        if (record.id, record.temperature) != (id, temperature) || !record.name.starts_with(&name) {
            return Err(format!("write_struct wrote {record:?}"));
        }
        read_struct(pairing, &environment, &record)?;
        if crossed.is_empty() {
            crossed = [format!("{id}, {temperature}, ").as_bytes(), &name].concat();
        }
    }
    if !pairing.thorough {
        return Ok(crossed);
    }

    // Any bits in any field.
    for _ in 0..3 {
        let record = random_record();
        let publish = || -> std::result::Result<(), Error> {
            let latest = Latest::open(Place::key(key).layout(RECORD_LAYOUT))?;
            latest.publisher()?.publish(shmkey::Pod(record))
        };
        publish().map_err(|error| error.to_string())?;
        read_struct(pairing, &environment, &record)?;
    }

    // A reader that waits for the next.
    write_struct(pairing, &environment, b"one")?;
    let mut seen = 0;
    let one = read(&mut seen).map_err(|error| error.to_string())?;
    let reader = pairing.reader_with(&["shmfile", "2"], &environment)?;
    let reader = Process::start("read_struct", reader, b"")?;
    reader.wait_until("print the first", |out| out == one.lines())?;
    write_struct(pairing, &environment, b"another")?;
    let other = read(&mut seen).map_err(|error| error.to_string());
    let ending = reader.finish()?;
    match other {
        Ok(other) => ending.expect("read_struct", &[one.lines(), other.lines()].concat())?,
        // The reader was faster, and has removed it.
        Err(_) => ending.expect_end("read_struct", |status| status.success())?,
    }
    environment.expect_gone(key)?;
    Ok(crossed)
}

pub(super) fn read_struct(
    pairing: &Pairing,
    environment: &Environment,
    record: &Record,
) -> Result<()> {
    let reader = pairing.reader_with(&["shmfile"], environment)?;
    Process::run("read_struct", reader, b"")?.expect("read_struct", &record.lines())?;
    environment.expect_gone(environment.keys.record)
}

/// A record of random bytes, but for its name, which ends somewhere.
pub(super) fn random_record() -> Record {
    let mut random = Random::new();
    let mut record = Record::zeroed();
    for byte in bytemuck::bytes_of_mut(&mut record) {
        *byte = random.next() as u8;
    }
    record.name = [0; 32];
    let len = random.below(32);
    record.name[..len].copy_from_slice(&random.line_bytes(len));
    record
}

/// The same as a latest value.
pub(super) fn sender_receiver(pairing: &Pairing) -> Result<Vec<u8>> {
    let open = |key: Key| Latest::<[u8; 32]>::open(Place::key(key).layout("message"));
    let junk = |key: Key| {
        let mut message = [0; 32];
        message.copy_from_slice(&Random::new().line_bytes(32));
        open(key)?.publisher()?.publish(message)
    };
    let environment = Environment::new();
    let key = environment.keys.sender_receiver;
    newest(pairing, &environment)?;
    invalid_message(pairing, &environment, key, junk)?;

    // The receiver first, which waits.
    let receiver = pairing.reader_with(&["1", "0"], &environment)?;
    let receiver = Process::start("receiver", receiver, b"")?;
    wait_for_attached(key)?;
    let sender = pairing.writer_with(&["1", "0"], &environment)?;
    Process::run("sender", sender, b"")?.expect("sender", b"")?;
    receiver
        .finish()?
        .expect("receiver", b"Received: CIEPLO\n")?;
    remove_left(key);

    // A sender that is killed leaves what it has published, and another one can take its place.
    let published = |key: Key| {
        Segment::open(key).is_ok() && open(key).is_ok_and(|latest| latest.version() != 0)
    };
    let sender = pairing.writer_with(&["1000", "60"], &environment)?;
    let sender = Process::start("sender", sender, b"")?;
    wait_for("publish", || published(key))?;
    sender.kill()?;
    let sender = pairing.writer_with(&["2", "0"], &environment)?;
    Process::run("sender", sender, b"")?.expect("sender", b"")?;
    let receiver = pairing.reader_with(&["1", "0"], &environment)?;
    Process::run("receiver", receiver, b"")?.expect("receiver", b"Received: ZIMNO\n")?;
    environment.expect_gone(key)?;

    both_at_once(pairing, &environment, key, published)?;
    Ok(b"CIEPLO, ZIMNO".into())
}

/// Every message, in turn, in whichever order the two begin, and however fast each is.
pub(super) fn ring_sender_receiver(pairing: &Pairing) -> Result<Vec<u8>> {
    let environment = Environment::new();
    let key = environment.keys.ring;
    let all = |count: usize| "Received: CIEPLO\nReceived: ZIMNO\n".repeat(count / 2);
    let start = |name, command| Process::start(name, command, b"");
    let count = if pairing.thorough { "5000" } else { "500" };
    let prints = all(count.parse().unwrap_or_default());

    // More than the ring has room for, by a sender that comes first and one that comes second. The
    // receiver ends because the sender does.
    let sender = start(
        "ring_sender",
        pairing.writer_with(&[count, "0"], &environment)?,
    )?;
    wait_for_attached(key)?;
    let receiver = start("ring_receiver", pairing.reader(&environment)?)?;
    sender.finish()?.expect("ring_sender", b"")?;
    receiver
        .finish()?
        .expect("ring_receiver", prints.as_bytes())?;
    environment.expect_gone(key)?;

    let receiver = start("ring_receiver", pairing.reader(&environment)?)?;
    wait_for_attached(key)?;
    let sender = start(
        "ring_sender",
        pairing.writer_with(&[count, "0"], &environment)?,
    )?;
    sender.finish()?.expect("ring_sender", b"")?;
    receiver
        .finish()?
        .expect("ring_receiver", prints.as_bytes())?;
    environment.expect_gone(key)?;
    if !pairing.thorough {
        return Ok(format!("{count} messages, each in its turn").into());
    }

    // What was sent stays when the sender has ended.
    let sender = pairing.writer_with(&["20", "0"], &environment)?;
    Process::run("ring_sender", sender, b"")?.expect("ring_sender", b"")?;
    let receiver = pairing.reader_with(&["20", "0"], &environment)?;
    Process::run("ring_receiver", receiver, b"")?.expect("ring_receiver", all(20).as_bytes())?;
    environment.expect_gone(key)?;

    // A sender that is killed: all that it has sent arrives, and the receiver is notified.
    let sender = start(
        "ring_sender",
        pairing.writer_with(&["10", "60"], &environment)?,
    )?;
    let receiver = start("ring_receiver", pairing.reader(&environment)?)?;
    receiver.wait_until("receive a message", |out| out == b"Received: CIEPLO\n")?;
    sender.kill()?;
    receiver.finish()?.expect_failure(
        "ring_receiver",
        b"Received: CIEPLO\n",
        "the sender was killed",
    )?;
    environment.expect_gone(key)?;

    // A receiver that is killed: the sender is notified when the ring is full.
    let receiver = start(
        "ring_receiver",
        pairing.reader_with(&["10", "60"], &environment)?,
    )?;
    wait_for_attached(key)?;
    let sender = start(
        "ring_sender",
        pairing.writer_with(&["1000", "0"], &environment)?,
    )?;
    receiver.wait_until("receive a message", |out| out == b"Received: CIEPLO\n")?;
    receiver.kill()?;
    sender
        .finish()?
        .expect_failure("ring_sender", b"", "EOWNERDEAD")?;
    environment.expect_gone(key)?;

    // Both, told to stop.
    let sender = start(
        "ring_sender",
        pairing.writer_with(&["1000000", "0.01"], &environment)?,
    )?;
    let receiver = start("ring_receiver", pairing.reader(&environment)?)?;
    receiver.wait_until("receive two messages", |out| {
        out.starts_with(all(2).as_bytes())
    })?;
    stop(receiver, "ring_receiver", pairing.reader)?;
    stop(sender, "ring_sender", pairing.writer)?;
    environment.expect_gone(key)?;
    Ok(format!("{count} messages, each in its turn").into())
}

/// What `tests/c/record.c` prints, from Rust: each field's name, offset and size.
pub fn record_layout() -> String {
    use std::mem::offset_of;
    fn size<T, F>(_: fn(&T) -> &F) -> usize {
        size_of::<F>()
    }
    macro_rules! lines {
        ($($($field:ident).+)*) => {
            [$((
                concat!($(stringify!($field), "."),+),
                offset_of!(Record, $($field).+),
                size(|record: &Record| &record.$($field).+),
            )),*]
        };
    }
    let lines = lines! {
        taken serial temperature place place.latitude place.longitude id pressure humidity altitude
        wind earlier trend battery name
    };
    let mut text: String = lines
        .iter()
        .map(|(name, offset, size)| format!("{} {offset} {size}\n", name.trim_end_matches('.')))
        .collect();
    text += &format!("{} {RECORD_LAYOUT}\n", size_of::<Record>());
    text
}

/// `struct record` lies in memory alike in C and Rust.
pub fn record(programs: &Programs, directory: &Path) -> Result<()> {
    let program = directory.join("record-layout");
    let artifacts = programs.artifacts();
    artifacts.link("tests/c/record.c", None, &[], &program)?;
    Process::run("record", Command::new(&program), b"")?
        .expect("record", record_layout().as_bytes())
}
