//! The pairs on objects: also with the reader first, and with either side stopped or killed.

use super::{
    PAIRS, Pairing, Run,
    raw::{
        self, MESSAGE, SERVER_PRINTS, both_at_once, invalid_message, lines_read, newest,
        read_lines, start_server, write_line, write_struct,
    },
    remove_left, stop, wait_for, wait_for_attached,
};
use crate::support::{
    AGES, Form, Helper, Process, Programs, Random, Result,
    record::{RECORD_LAYOUT, Record},
    say, wait_for_line,
};
use bytemuck::Zeroable;
use shmkey::{Error, Key, Latest, Place, Ring, Segment};
use std::{
    path::Path,
    process::{Command, ExitStatus},
    sync::Arc,
};

fn in_words<T>(result: std::result::Result<T, Error>) -> Result<T> {
    result.map_err(|error| error.to_string())
}

/// The same as on raw segments, but the reader waits if it comes first, and no line is lost if writers come first.
pub(super) fn writer_reader(pairing: &Pairing) -> Result<Vec<u8>> {
    let crossed = raw::writer_reader(pairing)?;
    let run = Run::new(pairing, |keys| keys.writer_reader);
    if pairing.thorough {
        readers_that_end_early(&run)?;
    }
    let reader = run.waiting_reader(&[])?;
    write_line(&run, &crossed)?;
    reader.finish()?.expect(lines_read(&[&crossed]))?;
    run.gone()?;
    if pairing.thorough {
        several_lines(&run)?;
    }
    Ok(crossed)
}

/// A reader that gets SIGTERM, and one that is killed.
fn readers_that_end_early(run: &Run) -> Result<()> {
    let stopped = run.waiting_reader(&[])?;
    stopped.signal(libc::SIGTERM);
    let ending = stopped.finish()?;
    ending.expect_failure("", "stopped by a signal before a line came")?;
    run.gone()?;
    run.waiting_reader(&[])?.kill()
}

/// Several lines, one of which needs most of the room; bytes of all kinds, NUL as well; and a line that is too
/// long, which leaves nothing behind.
fn several_lines(run: &Run) -> Result<()> {
    let mut values = Random::new().lines(1000).to_vec();
    values.push(Random::new().line_bytes(5000));
    values.push(b"\0 in the middle \0".to_vec());
    for value in &values {
        write_line(run, value)?;
    }
    let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    read_lines(run, &values)?;
    let too_long = [&Random::new().text(10_000)[..], b"\n"].concat();
    let writer = run.writer(&[], &too_long)?;
    writer
        .finish()?
        .expect_failure("Write Data: ", "EMSGSIZE")?;
    run.gone()
}

/// The same; and each learns of the other's death.
pub(super) fn server_client(pairing: &Pairing) -> Result<Vec<u8>> {
    let crossed = raw::server_client(pairing)?;
    if !pairing.thorough {
        return Ok(crossed);
    }
    let run = Run::new(pairing, |keys| keys.server_client);
    let reads = format!("Data read from memory: {MESSAGE}\n");
    let alone = "start the program that creates it first";
    run.read(&[])?.expect_failure("", alone)?;

    // A server that is killed: its message arrives all the same, and the client cleans up.
    start_server(&run)?.kill()?;
    run.read(&[])?
        .expect_failure(&reads, "the server was killed")?;
    run.gone()?;

    // Another server in its place; and a third one, which is one too many.
    start_server(&run)?.kill()?;
    let server = start_server(&run)?;
    run.write(&[])?.expect_failure("", "EBUSY")?;
    run.read(&[])?.expect(&reads)?;
    server.finish()?.expect(SERVER_PRINTS)?;
    run.gone()?;

    let stopped = start_server(&run)?;
    stopped.signal(libc::SIGINT);
    let ending = stopped.finish()?;
    ending.expect_failure(SERVER_PRINTS, "stopped by a signal before a client came")?;
    run.gone()?;
    Ok(crossed)
}

/// The task of [`dying_client`].
pub const DYING_CLIENT: &str = "a client that dies";

/// A server whose client is killed before it answers.
pub fn server_and_dying_client(programs: &Programs, form: Form) -> Result<()> {
    let pair = PAIRS.iter().find(|pair| pair.writer == "server");
    let pairing = Pairing {
        programs,
        pair: pair.ok_or("there is no server")?,
        writer: form,
        reader: form,
        thorough: true,
    };
    let run = Run::new(&pairing, |keys| keys.server_client);
    let server = start_server(&run)?;
    let directory = run.environment.path().display().to_string();
    Helper::start(&[], DYING_CLIENT, &directory)
        .expecting("ready")
        .kill();
    let ending = server.finish()?;
    ending.expect_failure(SERVER_PRINTS, "the client was killed before it answered")?;
    run.gone()
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
    let _roles = in_words(open())?;
    say("ready");
    wait_for_line();
    Ok(())
}

/// A structure with a field of every kind, as the latest value.
pub(super) fn write_struct_read_struct(pairing: &Pairing) -> Result<Vec<u8>> {
    let run = Run::new(pairing, |keys| keys.record);
    let mut crossed = Vec::new();
    for name in pairing.values(32) {
        // Twice: the newer one is the one to be seen.
        write_struct(&run, b"older")?;
        let (id, temperature) = write_struct(&run, &name)?;
        let record = in_words(newest_record(run.key, &mut 0))?;
        if (record.id, record.temperature) != (id, temperature) || !record.name.starts_with(&name) {
            return Err(format!("write_struct wrote {record:?}"));
        }
        read_struct(&run, &record)?;
        if crossed.is_empty() {
            crossed = [format!("{id}, {temperature}, ").as_bytes(), &name].concat();
        }
    }
    if pairing.thorough {
        random_records(&run)?;
        reader_that_waits(&run)?;
    }
    Ok(crossed)
}

fn newest_record(key: Key, seen: &mut u64) -> std::result::Result<Record, Error> {
    let place = Place::key(key).create(false).layout(RECORD_LAYOUT);
    let latest = Latest::<shmkey::Pod<Record>>::open(place)?;
    Ok(latest.wait_newer_timeout(seen, AGES)?.0)
}

/// Any bits in any field.
fn random_records(run: &Run) -> Result<()> {
    let publish = |record| {
        let latest = Latest::open(Place::key(run.key).layout(RECORD_LAYOUT))?;
        latest.publisher()?.publish(shmkey::Pod(record))
    };
    for _ in 0..3 {
        let record = random_record();
        in_words(publish(record))?;
        read_struct(run, &record)?;
    }
    Ok(())
}

/// A reader that waits for the next record.
fn reader_that_waits(run: &Run) -> Result<()> {
    write_struct(run, b"one")?;
    let mut seen = 0;
    let one = in_words(newest_record(run.key, &mut seen))?;
    let reader = run.reader(&["shmfile", "2"])?;
    reader.wait_until("print the first", |out| out == one.lines())?;
    write_struct(run, b"another")?;
    let other = newest_record(run.key, &mut seen);
    let ending = reader.finish()?;
    match other {
        Ok(other) => ending.expect([one.lines(), other.lines()].concat())?,
        // The reader was faster, and has removed it.
        Err(_) => ending.expect_end(ExitStatus::success)?,
    }
    run.gone()
}

fn read_struct(run: &Run, record: &Record) -> Result<()> {
    run.read(&["shmfile"])?.expect(record.lines())?;
    run.gone()
}

/// A record of random bytes, but for its name, which ends somewhere.
fn random_record() -> Record {
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
    let published = |key: Key| {
        Segment::open(key).is_ok() && open(key).is_ok_and(|latest| latest.version() != 0)
    };
    let run = Run::new(pairing, |keys| keys.sender_receiver);
    newest(&run)?;
    invalid_message(&run, junk)?;

    let receiver = run.waiting_reader(&["1", "0"])?;
    run.write(&["1", "0"])?.expect("")?;
    receiver.finish()?.expect("Received: CIEPLO\n")?;
    remove_left(run.key);

    // A sender that is killed leaves what it has published, and another one can take its place.
    let sender = run.writer(&["1000", "60"], b"")?;
    wait_for("publish", || published(run.key))?;
    sender.kill()?;
    run.write(&["2", "0"])?.expect("")?;
    run.read(&["1", "0"])?.expect("Received: ZIMNO\n")?;
    run.gone()?;

    both_at_once(&run, published)?;
    Ok(b"CIEPLO, ZIMNO".into())
}

/// What the receiver prints of so many messages, an even number.
fn received(count: usize) -> String {
    "Received: CIEPLO\nReceived: ZIMNO\n".repeat(count / 2)
}

/// Every message, in turn, in whichever order the two begin, and however fast each is.
pub(super) fn ring_sender_receiver(pairing: &Pairing) -> Result<Vec<u8>> {
    let run = Run::new(pairing, |keys| keys.ring);
    let count = if pairing.thorough { 5000 } else { 500 };
    for sender_first in [true, false] {
        more_than_fits(&run, count, sender_first)?;
    }
    if pairing.thorough {
        // What was sent stays when the sender has ended.
        run.write(&["20", "0"])?.expect("")?;
        run.read(&["20", "0"])?.expect(received(20))?;
        run.gone()?;
        killed_sender(&run)?;
        killed_receiver(&run)?;
        both_stopped(&run)?;
    }
    Ok(format!("{count} messages, each in its turn").into())
}

/// More messages than the ring has room for. The receiver ends because the sender does.
fn more_than_fits(run: &Run, count: usize, sender_first: bool) -> Result<()> {
    let sender = || run.writer(&[&count.to_string(), "0"], b"");
    let receiver = || run.reader(&[]);
    let attached = |process| wait_for_attached(run.key, 1).map(|()| process);
    let (sender, receiver) = if sender_first {
        (attached(sender()?)?, receiver()?)
    } else {
        let receiver = attached(receiver()?)?;
        (sender()?, receiver)
    };
    sender.finish()?.expect("")?;
    receiver.finish()?.expect(received(count))?;
    run.gone()
}

/// All that a killed sender has sent arrives, and the receiver learns of its death.
fn killed_sender(run: &Run) -> Result<()> {
    let sender = run.writer(&["10", "60"], b"")?;
    let receiver = run.reader(&[])?;
    wait_for_first(&receiver)?;
    sender.kill()?;
    let ending = receiver.finish()?;
    ending.expect_failure("Received: CIEPLO\n", "the sender was killed")?;
    run.gone()
}

/// The sender learns of a receiver's death when the ring is full.
fn killed_receiver(run: &Run) -> Result<()> {
    let receiver = run.waiting_reader(&["10", "60"])?;
    let sender = run.writer(&["1000", "0"], b"")?;
    wait_for_first(&receiver)?;
    receiver.kill()?;
    sender.finish()?.expect_failure("", "EOWNERDEAD")?;
    run.gone()
}

fn wait_for_first(receiver: &Process) -> Result<()> {
    receiver.wait_until("receive a message", |out| out == b"Received: CIEPLO\n")
}

/// Both get SIGTERM, the sender before it has filled the ring, which has room for the messages of 6 seconds.
fn both_stopped(run: &Run) -> Result<()> {
    let sender = run.writer(&["1000000", "0.1"], b"")?;
    let receiver = run.reader(&[])?;
    let two = received(2);
    receiver.wait_until("receive two messages", |out| {
        out.starts_with(two.as_bytes())
    })?;
    stop(receiver, run.pairing.reader)?;
    stop(sender, run.pairing.writer)?;
    run.gone()
}

/// Three readers, each of which prints every headline; one of them in the publisher's form.
pub(super) fn news_and_readers(pairing: &Pairing) -> Result<Vec<u8>> {
    let run = Run::new(pairing, |keys| keys.news);
    let count = if pairing.thorough { 2000 } else { 200 };
    // The publisher begins between them. There is room for few headlines: it waits for the slowest reader.
    let early = run.reader(&[])?;
    let publisher = run.writer(&[&count.to_string(), "0"], b"")?;
    let late = run.reader(&[])?;
    let last = run.start("news_reader", pairing.writer, &[], b"")?;
    publisher.finish()?.expect("")?;
    for reader in [early, late, last] {
        reader.finish()?.expect(headlines(count))?;
    }
    run.gone()?;
    if pairing.thorough {
        killed_reader(&run)?;
        killed_publisher(&run)?;
    }
    Ok(format!("{count} headlines, each to three readers").into())
}

/// Two workers share the jobs, one of them in the form of the program that adds them; a third one was killed while it
/// waited.
pub(super) fn jobs_and_workers(pairing: &Pairing) -> Result<Vec<u8>> {
    let run = Run::new(pairing, |keys| keys.jobs);
    let count = if pairing.thorough { 2000 } else { 200 };
    let last = run.start("worker", pairing.writer, &[], b"")?;
    let [worker, killed] = [run.reader(&[])?, run.reader(&[])?];
    // In C, each of the two objects has the segment attached.
    let times = |form| if form == Form::Rust { 1 } else { 2 };
    wait_for_attached(run.key, times(pairing.writer) + 2 * times(pairing.reader))?;
    killed.kill()?;
    let jobs = run.writer(&[&count.to_string(), "0"], b"")?;
    jobs.finish()?.expect("")?;
    let mut done = Vec::new();
    for worker in [worker, last] {
        let ending = worker.finish()?;
        done.extend(numbers(&ending.stdout)?);
        ending.expect(&ending.stdout)?;
    }
    done.sort_unstable();
    if !done.iter().copied().eq(1..=count) {
        return Err(format!(
            "{count} jobs were added, and these were done: {done:?}"
        ));
    }
    run.gone()?;
    Ok(format!("{count} jobs, each to one of two workers").into())
}

/// Returns the numbers of the jobs that a worker has printed.
fn numbers(out: &[u8]) -> Result<Vec<u64>> {
    let number = |line: &str| line.strip_prefix("Job ")?.parse().ok();
    let text = String::from_utf8_lossy(out);
    let numbers: Option<Vec<u64>> = text.lines().map(number).collect();
    numbers.ok_or_else(|| format!("a worker printed {text}"))
}

fn headlines(count: usize) -> String {
    (1..=count)
        .map(|number| format!("Read: Headline {number}\n"))
        .collect()
}

fn wait_for_headline(reader: &Process) -> Result<()> {
    reader.wait_until("read a headline", |out| out == b"Read: Headline 1\n")
}

/// The publisher does not wait for a reader that is dead, and the others miss nothing.
fn killed_reader(run: &Run) -> Result<()> {
    let readers = [run.reader(&[])?, run.reader(&[])?];
    let slow = run.reader(&["9", "60"])?;
    let publisher = run.writer(&["1000", "0"], b"")?;
    wait_for_headline(&slow)?;
    slow.kill()?;
    publisher.finish()?.expect("")?;
    for reader in readers {
        reader.finish()?.expect(headlines(1000))?;
    }
    run.gone()
}

/// All that a killed publisher has published arrives, and the readers learn of its death.
fn killed_publisher(run: &Run) -> Result<()> {
    let readers = [run.reader(&[])?, run.reader(&[])?, run.reader(&[])?];
    let publisher = run.writer(&["10", "60"], b"")?;
    for reader in &readers {
        wait_for_headline(reader)?;
    }
    publisher.kill()?;
    for reader in readers {
        let ending = reader.finish()?;
        ending.expect_failure(headlines(1), "the publisher was killed")?;
    }
    run.gone()
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
    Process::run("record", Command::new(&program), b"")?.expect(record_layout())
}
