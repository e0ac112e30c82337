//! `shmkey post` and `shmkey wait`.

use crate::{
    open::{self, Kind},
    output::{self, Failure},
    target::Target,
    waiting::Waiting,
    words,
};
use clap::Args;
use shmkey::{ErrorKind, Place, Semaphore};

#[derive(Args)]
pub struct Post {
    /// The semaphore: the id, the key or the name of its segment
    #[arg(allow_negative_numbers = true, add = crate::complete::segments())]
    segment: Target,
    /// Raise the count by this number
    #[arg(default_value_t = 1)]
    count: u32,
}

#[derive(Args)]
pub struct Wait {
    /// The semaphore: the id, the key or the name of its segment
    #[arg(allow_negative_numbers = true, add = crate::complete::segments())]
    segment: Target,
    #[command(flatten)]
    waiting: Waiting,
}

fn open(target: &Target) -> Result<Semaphore, Failure> {
    let (segment, contents) = open::expect(target, Kind::Semaphore)?;
    let place = match target {
        Target::Name(name) => Place::named(name).create(false),
        _ => open::place(&segment, &contents)?,
    };
    let layout = String::from_utf8_lossy(&contents.layout);
    Ok(Semaphore::open(place.layout(&layout), 0)?)
}

pub fn post(options: &Post) -> Result<(), Failure> {
    let semaphore = open(&options.segment)?;
    if options.count > Semaphore::MAX - semaphore.value() {
        return Err(Failure::Because(format!(
            "the count of the semaphore is {}, and the largest is {}; nothing was posted",
            semaphore.value(),
            Semaphore::MAX
        )));
    }
    for posted in 0..options.count {
        semaphore.post().map_err(|error| {
            let before = words::count(posted.into(), "time");
            Failure::Because(format!(
                "{} (posted before it: {before})",
                output::why(&error)
            ))
        })?;
    }
    Ok(())
}

pub fn wait(options: &Wait) -> Result<(), Failure> {
    let semaphore = open(&options.segment)?;
    let taken = semaphore.wait_timeout(options.waiting.timeout());
    taken.map_err(|error| match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => options.waiting.late(output::why(&error)),
        _ => error.into(),
    })
}
