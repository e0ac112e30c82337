//! `shmkey put` and `shmkey get`: bytes from standard input into a segment or a ring, and out of them
//! to standard output.

use crate::{
    dump,
    output::{self, Failure},
    sparse::Sparse,
    target::Target,
    words,
};
use clap::Args;
use shmkey::{Contents, Error, ErrorKind, Holding, Place, Ring, Segment, Sender};
use std::{
    io::{self, BufRead, Read, Write},
    thread,
    time::{Duration, Instant},
};

#[derive(Args)]
pub struct Put {
    /// The segment: its id, its key or its name
    #[arg(value_hint = clap::ValueHint::Other, allow_negative_numbers = true)]
    segment: Target,
    /// Begin here: bytes, or with a unit as in 4K
    #[arg(long, short = 's', value_name = "BYTES", value_parser = crate::create::bytes)]
    offset: Option<usize>,
    /// Send each line as a message of its own, without its end; else all of the input is one
    #[arg(long, conflicts_with = "offset")]
    lines: bool,
    /// Wait so long for room in a ring, also while nobody receives: 10s, 500ms, 0, forever
    #[arg(long, value_name = "TIME", value_parser = timeout, default_value = "10s")]
    timeout: Duration,
    /// Also where an object of this library lies: write over its bytes
    #[arg(long, conflicts_with = "lines")]
    raw: bool,
}

#[derive(Args)]
pub struct Get {
    /// The segment: its id, its key or its name
    #[arg(value_hint = clap::ValueHint::Other, allow_negative_numbers = true)]
    segment: Target,
    /// Begin here: bytes, or with a unit as in 4K
    #[arg(long, short = 's', value_name = "BYTES", value_parser = crate::create::bytes)]
    offset: Option<usize>,
    /// So many bytes; all unless told otherwise
    #[arg(long, short = 'n', value_name = "BYTES", value_parser = crate::create::bytes)]
    length: Option<usize>,
    /// Receive so many messages of a ring; one unless told otherwise
    #[arg(long, short, value_name = "NUMBER", conflicts_with = "follow")]
    count: Option<u64>,
    /// Receive until all senders have ended
    #[arg(long, short)]
    follow: bool,
    /// End each message with a new line
    #[arg(long)]
    lines: bool,
    /// Wait so long for each message, also while nobody sends: 10s, 500ms, 0, forever
    #[arg(long, value_name = "TIME", value_parser = timeout, default_value = "10s")]
    timeout: Duration,
    /// Also where an object of this library lies: copy its bytes as they lie there
    #[arg(long, conflicts_with_all = ["count", "follow", "lines"])]
    raw: bool,
}

pub fn put(options: &Put) -> Result<(), Failure> {
    let segment = Segment::from_id(options.segment.status()?.id);
    match holds(&segment, options.raw)? {
        Some(contents) => send(options, &segment, &contents),
        None if options.lines => Err(Failure::Because(
            "this segment holds no ring, so there is nowhere to send lines to".to_owned(),
        )),
        None => write(options, &segment),
    }
}

pub fn get(options: &Get) -> Result<(), Failure> {
    let segment = Segment::from_id(options.segment.status()?.id);
    match holds(&segment, options.raw)? {
        Some(contents) => receive(options, &segment, &contents),
        None if options.lines || options.follow || options.count.is_some() => {
            Err(Failure::Because(
                "this segment holds no ring, so there are no messages to receive".to_owned(),
            ))
        }
        None => read(options, &segment),
    }
}

/// The ring that a segment holds; `None` if its bytes are to be copied as they lie.
fn holds(segment: &Segment, raw: bool) -> Result<Option<Contents>, Failure> {
    let contents = match raw {
        true => None,
        false => {
            let memory = Sparse::attach(segment)?;
            let mut bytes = vec![0; memory.size().min(Contents::LEN)];
            memory.read_at(0, &mut bytes)?;
            Contents::of(&bytes)
        }
    };
    match contents {
        Some(contents) if !matches!(contents.holding, Holding::Ring { .. }) => {
            Err(Failure::Because(format!(
                "this segment holds a {}; --raw copies its bytes all the same",
                words::kind(&contents)
            )))
        }
        contents => Ok(contents),
    }
}

fn write(options: &Put, segment: &Segment) -> Result<(), Failure> {
    let memory = segment.attach()?;
    let offset = options.offset.unwrap_or(0);
    let room = memory.size()?.saturating_sub(offset);
    let mut bytes = Vec::new();
    // One more shows that there is too much; then nothing is written.
    io::stdin()
        .lock()
        .take(room as u64 + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() > room {
        return Err(Failure::Because(format!(
            "the input has more than the {} that there is room for; nothing was written",
            words::count(room as u64, "byte")
        )));
    }
    Ok(memory.write_at(offset, &bytes)?)
}

fn read(options: &Get, segment: &Segment) -> Result<(), Failure> {
    let memory = Sparse::attach(segment)?;
    let (from, to) = dump::range(&memory, options.offset.unwrap_or(0), options.length)?;
    let mut out = io::stdout().lock();
    dump::pieces(&memory, from, to, |_, bytes| Ok(out.write_all(bytes)?))?;
    Ok(out.flush()?)
}

/// The ring in a segment, whatever its layout is called.
fn ring(segment: &Segment, contents: &Contents) -> Result<Ring, Failure> {
    let memory = segment.attach()?;
    let layout = String::from_utf8_lossy(&contents.layout);
    let place = Place::within(memory.into(), 0)
        .create(false)
        .layout(&layout);
    Ok(Ring::open(place, 0)?)
}

fn send(options: &Put, segment: &Segment, contents: &Contents) -> Result<(), Failure> {
    if options.offset.is_some() {
        return Err(Failure::Because(
            "a ring takes messages, which have no offset; --raw writes over its bytes".to_owned(),
        ));
    }
    let mut sender = ring(segment, contents)?.sender()?;
    let mut input = io::stdin().lock();
    let capacity = match contents.holding {
        Holding::Ring { capacity, .. } => capacity,
        _ => u64::MAX,
    };
    // Of a message that is longer no more needs to be known.
    let most = capacity.saturating_add(2);
    if !options.lines {
        let mut message = Vec::new();
        input.take(most).read_to_end(&mut message)?;
        if message.len() as u64 > capacity {
            return Err(Failure::Because(format!(
                "the input is longer than the {capacity} bytes that a message in this ring may have; nothing was sent"
            )));
        }
        return Ok(send_one(&mut sender, &message, options.timeout)?);
    }
    let (mut line, mut sent) = (Vec::new(), 0);
    while input.by_ref().take(most).read_until(b'\n', &mut line)? > 0 {
        let message = line.strip_suffix(b"\n").unwrap_or(&line);
        let failed = |why: String| {
            let lines = words::count(sent, "line");
            Failure::Because(format!("{why}; {lines} before it went out"))
        };
        if message.len() as u64 > capacity {
            return Err(failed(format!(
                "line {} is longer than the {capacity} bytes that a message in this ring may have",
                sent + 1
            )));
        }
        send_one(&mut sender, message, options.timeout)
            .map_err(|error| failed(output::why(&error)))?;
        sent += 1;
        line.clear();
    }
    Ok(())
}

fn send_one(sender: &mut Sender, message: &[u8], timeout: Duration) -> Result<(), Error> {
    let mut patience = Patience::new(timeout);
    loop {
        match sender.send_timeout(message, patience.left()) {
            Err(error) if patience.is_worth(&error) => {}
            result => return result,
        }
    }
}

/// How long to wait for another to take the part of one that has ended, as processes in a script do
/// one after the other.
struct Patience(Option<Instant>);

impl Patience {
    fn new(timeout: Duration) -> Patience {
        Patience(Instant::now().checked_add(timeout))
    }

    fn left(&self) -> Duration {
        self.0.map_or(Duration::MAX, |end| {
            end.saturating_duration_since(Instant::now())
        })
    }

    /// Whether to try again after this error; if so, some time has passed.
    fn is_worth(&mut self, error: &Error) -> bool {
        const PAUSE: Duration = Duration::from_millis(20);
        let ended = matches!(error.kind(), ErrorKind::Closed | ErrorKind::PeerDied);
        let left = self.left();
        if !ended || left.is_zero() {
            return false;
        }
        thread::sleep(left.min(PAUSE));
        true
    }
}

fn receive(options: &Get, segment: &Segment, contents: &Contents) -> Result<(), Failure> {
    if options.offset.is_some() || options.length.is_some() {
        return Err(Failure::Because(
            "a ring has messages, which have no offset; --raw copies its bytes".to_owned(),
        ));
    }
    let ring = ring(segment, contents)?;
    let mut receiver = ring.receiver()?;
    let mut out = io::stdout().lock();
    let mut left = match options.follow {
        true => u64::MAX,
        false => options.count.unwrap_or(1),
    };
    let mut patience = Patience::new(options.timeout);
    while left > 0 {
        let message = match receiver.peek_timeout(patience.left()) {
            Ok(message) => message,
            Err(error) if options.follow && error.kind() == ErrorKind::Closed => break,
            Err(error) if patience.is_worth(&error) => continue,
            Err(error) => return Err(error.into()),
        };
        // Released only when it is written: should nobody read, it is still there.
        out.write_all(&message.to_vec())?;
        if options.lines {
            out.write_all(b"\n")?;
        }
        out.flush()?;
        message.release()?;
        left -= 1;
        patience = Patience::new(options.timeout);
    }
    Ok(())
}

fn timeout(text: &str) -> Result<Duration, String> {
    match text {
        "forever" => Ok(Duration::MAX),
        "0" => Ok(Duration::ZERO),
        _ => humantime::parse_duration(text)
            .map_err(|_| format!("{text} is no time: say 10s, 500ms, 0 or forever")),
    }
}
