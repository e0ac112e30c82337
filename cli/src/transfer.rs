//! `shmkey put` and `shmkey get`: bytes from standard input into a segment, a ring, a broadcast or a latest value, and from
//! there to standard output.

mod latest;

use crate::{
    dump,
    facts::{Fact, Look},
    format::Format,
    open::{contents, place},
    output::{self, Failure},
    sparse::Sparse,
    target::Target,
    waiting::timeout,
    words,
};
use clap::Args;
use serde_json::json;
use shmkey::{Broadcast, Contents, Error, ErrorKind, Holding, Ring, Segment};
use std::{
    borrow::Cow,
    io::{self, BufRead, Read, Write},
    thread,
    time::{Duration, Instant},
};

#[derive(Args)]
pub struct Put {
    /// The segment: an id, a key or a name
    #[arg(allow_negative_numbers = true, add = crate::complete::segments())]
    segment: Target,
    /// Begin at this offset: 4096, 0x1000, 4K, 1MiB
    #[arg(long, short = 's', value_name = "BYTES", value_parser = crate::create::bytes)]
    offset: Option<usize>,
    /// Send or publish each line, without its newline, instead of all input as one message or value
    #[arg(long, conflicts_with = "offset")]
    lines: bool,
    /// The input is text, in this format: "u32 f64 char[16]"
    ///
    /// Send, publish or write the structure in C that has members of these types. shmkey-get(1) describes formats.
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Wait at most this long for room in the ring or broadcast, and for a receiver: 10 (seconds), 500ms, 0, forever
    #[arg(long, value_name = "TIME", value_parser = timeout, default_value = "10s")]
    timeout: Duration,
    /// Write even if that overwrites an object, such as a mutex or a ring, and destroys it
    #[arg(long, conflicts_with = "lines")]
    force: bool,
}

#[derive(Args)]
pub struct Get {
    /// The segment: an id, a key or a name
    #[arg(allow_negative_numbers = true, add = crate::complete::segments())]
    segment: Target,
    /// Begin at this offset: 4096, 0x1000, 4K, 1MiB
    #[arg(long, short = 's', value_name = "BYTES", value_parser = crate::create::bytes)]
    offset: Option<usize>,
    /// Copy this many bytes [default: all]
    #[arg(long, short = 'n', value_name = "BYTES", value_parser = crate::create::bytes)]
    length: Option<usize>,
    /// Receive this many messages, or read this many values, each newer than the one before [default: 1]
    #[arg(long, short, value_name = "NUMBER", conflicts_with = "follow")]
    count: Option<u64>,
    /// Receive messages or newer values until none comes within the timeout, also from senders that begin later
    #[arg(long, short)]
    follow: bool,
    /// End each message or value with a newline
    #[arg(long)]
    lines: bool,
    /// Begin with the oldest message that is still in the broadcast, instead of the next one
    #[arg(long)]
    oldest: bool,
    /// Print a line of text for each message or value, in this format: "u32 f64 char[16]"
    #[arg(long, value_name = "FORMAT", conflicts_with_all = ["length", "raw"])]
    format: Option<Format>,
    /// Print a JSON object for each message or value, described in shmkey-get(1)
    #[arg(long, requires = "format", conflicts_with_all = ["length", "raw"])]
    json: bool,
    /// Wait at most this long for each message or value, and for a sender or publisher: 10 (seconds), 500ms, 0, forever
    /// [default: 10s; with --follow, forever]
    #[arg(long, value_name = "TIME", value_parser = timeout)]
    timeout: Option<Duration>,
    /// Copy the bytes of an object, its header included
    #[arg(long, conflicts_with_all = ["count", "follow", "lines", "oldest"])]
    raw: bool,
}

pub fn put(options: &Put) -> Result<(), Failure> {
    let segment = Segment::from_id(options.segment.status()?.id);
    if !options.force && options.offset.is_none() {
        match contents(&segment)? {
            Some(contents) if has_messages(&contents) => {
                return send(options, &segment, &contents);
            }
            Some(contents) => {
                return match value_size(&contents) {
                    Some(size) => latest::put(options, segment.id(), &contents, size),
                    None => Err(destroys(&words::kind(&contents))),
                };
            }
            None => {}
        }
    }
    if options.lines {
        let why =
            "--lines is for a ring, a broadcast and a latest value, and this segment holds none";
        return Err(Failure::Because(why.to_owned()));
    }
    write(options, &segment)
}

pub fn get(options: &Get) -> Result<(), Failure> {
    let segment = Segment::from_id(options.segment.status()?.id);
    let contents = if options.raw {
        None
    } else {
        contents(&segment)?
    };
    match contents {
        Some(contents) if has_messages(&contents) => receive(options, &segment, &contents),
        Some(contents) => match value_size(&contents) {
            Some(size) => latest::get(options, segment.id(), &contents, size),
            None => {
                let object = words::kind(&contents);
                let why = format!("this segment holds a {object}; --raw copies its bytes");
                Err(Failure::Because(why))
            }
        },
        None if options.lines || options.follow || options.oldest || options.count.is_some() => {
            let why = "--lines, --follow, --oldest and --count are for a ring, a broadcast and a latest \
                       value, and this segment holds none";
            Err(Failure::Because(why.to_owned()))
        }
        None => read(options, &segment),
    }
}

fn has_messages(contents: &Contents) -> bool {
    matches!(
        contents.holding,
        Holding::Ring { .. } | Holding::Broadcast { .. }
    )
}

/// Returns the size of the value, if the object is a latest value.
fn value_size(contents: &Contents) -> Option<usize> {
    match contents.holding {
        Holding::Latest { value_size, .. } => Some(value_size as usize),
        _ => None,
    }
}

impl Put {
    /// Returns a message or a value: the input, or the structure that it describes.
    fn encoded<'a>(&self, input: &'a [u8]) -> Result<Cow<'a, [u8]>, String> {
        match &self.format {
            Some(format) => format.bytes(input).map(Cow::Owned),
            None => Ok(Cow::Borrowed(input)),
        }
    }

    /// Returns how many bytes of input are enough to see that a message or a value of this size is too long. A number
    /// in a text can have any number of zeros and spaces before it.
    fn most(&self, size: u64) -> u64 {
        if self.format.is_some() {
            u64::MAX
        } else {
            size.saturating_add(2)
        }
    }
}

impl Get {
    /// Writes a message or a value as the options say. A latest value has a version.
    fn write(&self, bytes: &[u8], version: Option<i64>) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match &self.format {
            Some(format) => {
                format
                    .expect_size(
                        if version.is_some() {
                            "the value"
                        } else {
                            "the message"
                        },
                        bytes.len(),
                    )
                    .map_err(Failure::Because)?;
                writeln!(out, "{}", self.line(format, bytes, version))?;
            }
            None => out.write_all(bytes)?,
        }
        if self.lines && self.format.is_none() {
            out.write_all(b"\n")?;
        }
        Ok(out.flush()?)
    }

    fn line(&self, format: &Format, bytes: &[u8], version: Option<i64>) -> String {
        if !self.json {
            return format.text(bytes);
        }
        let mut object = json!({ "value": format.json(bytes) });
        if let Some(version) = version {
            object["version"] = version.into();
        }
        object.to_string()
    }

    /// Returns how many messages or values to write.
    fn number(&self) -> u64 {
        if self.follow {
            u64::MAX
        } else {
            self.count.unwrap_or(1)
        }
    }

    /// Returns how long to wait for each of them.
    fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(if self.follow {
            Duration::MAX
        } else {
            Duration::from_secs(10)
        })
    }
}

fn destroys(object: &str) -> Failure {
    Failure::Because(format!(
        "this segment holds a {object}, which would be destroyed for the processes that use it; --force writes all the \
         same"
    ))
}

fn write(options: &Put, segment: &Segment) -> Result<(), Failure> {
    let memory = segment.attach()?;
    let offset = options.offset.unwrap_or(0);
    let room = memory.size()?.saturating_sub(offset);
    let mut input = Vec::new();
    // One byte more shows that the input is too large.
    io::stdin()
        .lock()
        .take(options.most(room as u64))
        .read_to_end(&mut input)?;
    let bytes = options.encoded(&input).map_err(Failure::Because)?;
    if bytes.len() > room {
        return Err(Failure::Because(format!(
            "the input has more than {}, the room from the offset to the end of the segment; nothing was written",
            words::count(room as u64, "byte")
        )));
    }
    let range = offset as u64..(offset + bytes.len()) as u64;
    if !options.force
        && let Some(fact) = Fact::of(segment.id(), Look::Everything)?
        && let Some(found) = fact
            .seen
            .objects
            .iter()
            .find(|found| found.overlaps(&range))
    {
        return Err(destroys(&words::kind_at(found)));
    }
    Ok(memory.write_at(offset, &bytes)?)
}

fn read(options: &Get, segment: &Segment) -> Result<(), Failure> {
    let memory = Sparse::attach(segment)?;
    let length = options.format.as_ref().map(Format::size).or(options.length);
    let (from, to) = dump::range(&memory, options.offset.unwrap_or(0), length)?;
    if options.format.is_some() {
        let mut value = Vec::new();
        dump::pieces(&memory, from, to, |_, bytes| {
            value.extend_from_slice(bytes);
            Ok(())
        })?;
        return options.write(&value, None);
    }
    let mut out = io::stdout().lock();
    dump::pieces(&memory, from, to, |_, bytes| Ok(out.write_all(bytes)?))?;
    Ok(out.flush()?)
}

fn send(options: &Put, segment: &Segment, contents: &Contents) -> Result<(), Failure> {
    let place = place(segment, contents)?;
    match contents.holding {
        Holding::Broadcast { capacity, .. } => {
            let mut publisher = Broadcast::open(place, 0)?.publisher()?;
            let publish = |message: &[u8], time| publisher.publish_timeout(message, time);
            send_all(options, "broadcast", capacity, publish)
        }
        Holding::Ring { capacity, .. } => {
            let mut sender = Ring::open(place, 0)?.sender()?;
            let send = |message: &[u8], time| sender.send_timeout(message, time);
            send_all(options, "ring", capacity, send)
        }
        _ => Ok(()),
    }
}

fn send_all(
    options: &Put,
    what: &str,
    capacity: u64,
    mut send: impl FnMut(&[u8], Duration) -> Result<(), Error>,
) -> Result<(), Failure> {
    let mut input = io::stdin().lock();
    // Enough to see that a message is too long.
    let most = options.most(capacity);
    if !options.lines {
        let mut text = Vec::new();
        input.take(most).read_to_end(&mut text)?;
        let message = options.encoded(&text).map_err(Failure::Because)?;
        if message.len() as u64 > capacity {
            return Err(Failure::Because(format!(
                "the input is longer than {capacity} bytes, the capacity of the {what}; nothing was sent"
            )));
        }
        return Ok(send_one(&mut send, &message, options.timeout)?);
    }
    let (mut line, mut sent) = (Vec::new(), 0);
    while input.by_ref().take(most).read_until(b'\n', &mut line)? > 0 {
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let failed = |why: String| {
            let lines = words::count(sent, "line");
            Failure::Because(format!("{why} (sent before it: {lines})"))
        };
        let message = options.encoded(text).map_err(failed)?;
        if message.len() as u64 > capacity {
            return Err(failed(format!(
                "line {} is longer than {capacity} bytes, the capacity of the {what}",
                sent + 1
            )));
        }
        send_one(&mut send, &message, options.timeout)
            .map_err(|error| failed(output::why(&error)))?;
        sent += 1;
        line.clear();
    }
    Ok(())
}

fn send_one(
    mut send: impl FnMut(&[u8], Duration) -> Result<(), Error>,
    message: &[u8],
    timeout: Duration,
) -> Result<(), Error> {
    let mut patience = Patience::new(timeout);
    loop {
        match send(message, patience.left()) {
            Err(error) if patience.is_worth(&error) => {}
            result => return result,
        }
    }
}

/// The time left to wait for another process to take a free role: the processes of a script take it in turn.
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

    /// Returns whether to try again after this error, after a short sleep.
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
    let what = match contents.holding {
        Holding::Broadcast { .. } => "broadcast",
        _ => "ring",
    };
    if options.offset.is_some() || options.length.is_some() {
        return Err(Failure::Because(format!(
            "the messages of a {what} have no offset; --raw copies its bytes"
        )));
    }
    let place = place(segment, contents)?;
    // Released only when it is written: if standard output is closed, the message stays.
    if what == "ring" {
        if options.oldest {
            return Err(Failure::Because(
                "a ring has one receiver, which begins with the oldest message; \
                 --oldest is for a broadcast"
                    .to_owned(),
            ));
        }
        let mut receiver = Ring::open(place, 0)?.receiver()?;
        receiver.set_keep_waiting(options.follow);
        return receive_all(options, |time, write| {
            let message = receiver.peek_timeout(time)?;
            Ok(write(&message.to_vec()).and_then(|()| Ok(message.release()?)))
        });
    }
    let news = Broadcast::open(place, 0)?;
    let mut subscriber = if options.oldest {
        news.subscribe_from_oldest()?
    } else {
        news.subscribe()?
    };
    subscriber.set_keep_waiting(options.follow);
    receive_all(options, |time, write| {
        let message = subscriber.peek_timeout(time)?;
        Ok(write(&message.to_vec()).and_then(|()| Ok(message.release()?)))
    })?;
    match subscriber.missed() {
        0 => Ok(()),
        missed => Err(Failure::Because(format!(
            "the publisher was faster: {} overwritten before they were received",
            match missed {
                1 => "1 message was".to_owned(),
                _ => format!("{missed} messages were"),
            }
        ))),
    }
}

/// Writes a message.
type WriteOne<'a> = dyn FnMut(&[u8]) -> Result<(), Failure> + 'a;

/// Writes as many messages as were asked for. `next` waits for a message and has it written.
fn receive_all(
    options: &Get,
    mut next: impl FnMut(Duration, &mut WriteOne) -> Result<Result<(), Failure>, Error>,
) -> Result<(), Failure> {
    let mut write = |message: &[u8]| options.write(message, None);
    let (mut left, timeout) = (options.number(), options.timeout());
    let is_end = |error: &Error| {
        options.follow && matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
    };
    let mut patience = Patience::new(timeout);
    while left > 0 {
        match next(patience.left(), &mut write) {
            Ok(written) => written?,
            Err(error) if is_end(&error) => break,
            Err(error) if patience.is_worth(&error) => continue,
            Err(error) => return Err(error.into()),
        }
        left -= 1;
        patience = Patience::new(timeout);
    }
    Ok(())
}
