//! The tutorials' sender and receiver at full speed: how many messages are torn in plain memory, in
//! a latest value and in a ring: race [COUNT]

mod support;

use shmkey::{Attachment, Error, Key, Latest, Place, Ring, Segment};
use std::{
    array, env,
    io::{self, IsTerminal, Write},
    os::unix::process::parent_id,
    process::{self, ExitCode},
    ptr,
    sync::Arc,
    time::{Duration, Instant},
};
use support::{StopSignals, fork};

const LENGTH: usize = 256;
const CAPACITY: usize = 65536;
const SIZE: usize = CAPACITY / 4 * 5 + 2560;

type Message = [u8; LENGTH];
type Send<'a> = Box<dyn FnMut(&Message) -> Result<(), Error> + 'a>;
type Receive<'a> = Box<dyn FnMut(&mut Message) -> Result<(), Error> + 'a>;

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let count = match arguments.next() {
        Some(count) => support::number(&count, "0123456789"),
        None => Some(10_000_000),
    };
    match (count, arguments.next()) {
        (Some(count), None) => support::end("race", run(count)),
        _ => support::usage("race [COUNT]"),
    }
}

fn run(count: u64) -> support::Outcome {
    println(format!(
        "{:<8} {:>12} {:>12} {:>9}",
        "through", "received", "torn", "seconds"
    ))?;
    race("memcpy", count, |memory| {
        // With a message in it from the beginning.
        memory.write_at(0, &messages()[0])?;
        Ok(memory)
    })?;
    let mut torn = race("Latest", count, |memory| {
        Latest::open(Place::within(memory, 0))
    })?;
    torn += race("Ring", count, |memory| {
        Ring::open(Place::within(memory, 0), CAPACITY)
    })?;
    match torn {
        0 => Ok(()),
        _ => Err("a latest value or a ring has given a torn message".into()),
    }
}

/// One way to bring messages from one process to another.
trait Way {
    fn sender(&self) -> Result<Send<'_>, Error>;
    fn receiver(&self) -> Result<Receive<'_>, Error>;

    /// Whether a message is one of the two.
    fn is_whole(&self, message: &Message, _number: u64) -> bool {
        messages().contains(message)
    }
}

/// Plain memory, copied byte for byte.
impl Way for Arc<Attachment> {
    fn sender(&self) -> Result<Send<'_>, Error> {
        Ok(Box::new(|message| self.write_at(0, message)))
    }

    fn receiver(&self) -> Result<Receive<'_>, Error> {
        Ok(Box::new(|message| self.read_at(0, message)))
    }
}

impl Way for Latest<Message> {
    fn sender(&self) -> Result<Send<'_>, Error> {
        let mut publisher = self.publisher()?;
        Ok(Box::new(move |message| publisher.publish(*message)))
    }

    fn receiver(&self) -> Result<Receive<'_>, Error> {
        self.wait_newer_timeout(&mut 0, Duration::from_secs(60))?;
        Ok(Box::new(|message| {
            if let Some(newest) = self.read()? {
                *message = newest;
            }
            Ok(())
        }))
    }
}

impl Way for Ring {
    fn sender(&self) -> Result<Send<'_>, Error> {
        let mut sender = Ring::sender(self)?;
        Ok(Box::new(move |message| sender.send(message)))
    }

    fn receiver(&self) -> Result<Receive<'_>, Error> {
        let mut receiver = Ring::receiver(self)?;
        Ok(Box::new(move |message| receiver.recv(message).map(drop)))
    }

    /// Every message arrives, in order.
    fn is_whole(&self, message: &Message, number: u64) -> bool {
        *message == messages()[(number % 2) as usize]
    }
}

/// Runs a sender and a receiver, and prints a line of the table. Returns how many messages were torn.
fn race<W: Way>(
    name: &str,
    count: u64,
    open: impl FnOnce(Arc<Attachment>) -> Result<W, Error>,
) -> Result<u64, Box<dyn std::error::Error>> {
    // The segment is removed before the fork, so the kernel destroys it when the last process ends, even if that is
    // killed.
    let signals = StopSignals::hold();
    let segment = Segment::options().size(SIZE).open(Key::PRIVATE)?;
    let way = support::attach(&segment).and_then(|memory| open(Arc::new(memory)));
    segment.remove()?;
    let way = way?;
    drop(signals);

    let parent = process::id();
    let Some(child) = fork()? else {
        let ended = send_for_ever(&way, parent);
        support::end("race", ended.map_err(Into::into));
        process::exit(1);
    };
    let begin = Instant::now();
    let torn = receive_all(name, &way, count);
    let seconds = begin.elapsed().as_secs_f64();
    // SAFETY: a child that has not been waited for is still this one.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, ptr::null_mut(), 0);
    }
    let torn = torn?;
    println(format!("{name:<8} {count:>12} {torn:>12} {seconds:>9.2}"))?;
    Ok(torn)
}

/// The sender: a child that runs until its parent ends.
fn send_for_ever(way: &impl Way, parent: u32) -> Result<(), Error> {
    let mut send = way.sender()?;
    let messages = messages();
    while parent_id() == parent {
        for _ in 0..512 {
            send(&messages[0])?;
            send(&messages[1])?;
        }
    }
    Ok(())
}

/// The receiver. Returns how many messages were torn.
fn receive_all(name: &str, way: &impl Way, count: u64) -> Result<u64, Error> {
    let show_progress = io::stderr().is_terminal();
    let mut receive = way.receiver()?;
    let mut message = [0; LENGTH];
    let mut torn = 0;
    for number in 0..count {
        receive(&mut message)?;
        torn += u64::from(!way.is_whole(&message, number));
        if show_progress && number % 65536 == 0 {
            eprint!("\r{name}: {:.0} % ", number as f64 * 100.0 / count as f64);
        }
    }
    if show_progress {
        eprint!("\r{:20}\r", "");
    }
    Ok(torn)
}

/// CIEPLO repeated, and ZIMNO repeated.
fn messages() -> &'static [Message; 2] {
    static MESSAGES: std::sync::LazyLock<[Message; 2]> = std::sync::LazyLock::new(|| {
        [&b"CIEPLO"[..], b"ZIMNO"].map(|word| array::from_fn(|i| word[i % word.len()]))
    });
    &MESSAGES
}

fn println(line: String) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}
