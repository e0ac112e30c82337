//! The two sides of each kind of object, in every two languages. `tests/c/peer.c`, `tests/cpp/peer.cpp`, `tests/python/peer.py`
//! and `peer.rs` have the roles of the sides, with the same names.

use crate::{
    PROGRAMS,
    support::{self, Environment, Form, PEER, Process, Random},
    trial,
};
use libtest_mimic::Trial;
use shmkey::{Mutex, Place, RwLock, Semaphore};
use std::{env, os::unix::process::ExitStatusExt, process::Command, sync::LazyLock};

/// The roles of the two sides of an object, which both work to the end, and the number of their turns.
const PAIRS: [(&str, [&str; 2], u64); 8] = [
    ("reader-writer lock", ["lock count", "lock count"], 1000),
    ("condition variable", ["turns", "turns"], 1000),
    ("mutex", ["mutex count", "mutex count"], 2000),
    ("semaphore", ["semaphore first", "semaphore second"], 300),
    ("latest", ["latest publish", "latest read"], 1000),
    ("ring", ["ring send", "ring receive"], 1000),
    ("ring of many", ["many send", "many receive"], 1000),
    (
        "broadcast",
        ["broadcast publish", "broadcast receive"],
        1000,
    ),
];

/// The first side is killed when it has printed "ready", and the other one continues. The last column says whether the
/// other one is started before that.
const DEATHS: [(&str, [&str; 2], bool); 12] = [
    (
        "lock, writer",
        ["lock writer victim", "lock survivor"],
        false,
    ),
    ("lock, reader", ["lock reader victim", "lock count"], true),
    (
        "condition variable, waiter",
        ["turns victim", "turns survivor"],
        false,
    ),
    ("mutex, owner", ["mutex victim", "mutex survivor"], false),
    (
        "semaphore, waiter",
        ["semaphore victim", "semaphore survivor"],
        false,
    ),
    (
        "latest, publisher",
        ["latest publisher victim", "latest reader survivor"],
        false,
    ),
    (
        "latest, reader",
        ["latest reader victim", "latest publish"],
        true,
    ),
    (
        "ring, sender",
        ["ring sender victim", "ring receiver survivor"],
        false,
    ),
    (
        "ring, receiver",
        ["ring receiver victim", "ring sender survivor"],
        true,
    ),
    (
        "ring of many, sender",
        ["many victim", "many survivor"],
        false,
    ),
    (
        "broadcast, publisher",
        [
            "broadcast publisher victim",
            "broadcast subscriber survivor",
        ],
        false,
    ),
    (
        "broadcast, subscriber",
        [
            "broadcast subscriber victim",
            "broadcast publisher survivor",
        ],
        true,
    ),
];

/// 16 processes at once: the role of the first one, the role of the others, and the number of their turns.
const CROWDS: [(&str, [&str; 2], u64); 6] = [
    ("reader-writer lock", ["lock count", "lock count"], 200),
    ("mutex", ["mutex count", "mutex count"], 500),
    ("semaphore", ["semaphore share", "semaphore share"], 500),
    ("latest", ["latest publish", "latest read"], 2000),
    ("ring of many", ["many receive", "many send"], 100),
    (
        "broadcast",
        ["broadcast publish", "broadcast receive"],
        1000,
    ),
];

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    let forms = Form::with_python(&Form::PEERS);
    for &one in &forms {
        for &other in forms.iter().filter(|&&other| one.meets(other)) {
            let both = format!("{} and {}", one.name(), other.name());
            trials.extend(PAIRS.map(|(object, roles, count)| {
                let name = format!("peers: {object}: {both}");
                trial(name, &[one, other], move || {
                    together(&[(one, roles[0]), (other, roles[1])], count)
                })
            }));
            trials.extend(DEATHS.map(|(object, roles, at_once)| {
                let name = format!("peers: {object} dies: {both}");
                trial(name, &[one, other], move || {
                    death((one, roles[0]), (other, roles[1]), at_once)
                })
            }));
        }
    }
    trials.extend(CROWDS.map(|(object, [first, others], count)| {
        let name = format!("peers: {object}: 16 processes at once");
        trial(name, &Form::PEERS, move || {
            let role = |i| if i == 0 { first } else { others };
            let crowd: Vec<_> = (0..16).map(|i| (Form::PEERS[i % 4], role(i))).collect();
            together(&crowd, count)
        })
    }));
    let name = "peers: ring: 16 processes at once".to_owned();
    trials.push(trial(name, &Form::PEERS, eight_rings));
    trials
}

fn start(
    (form, role): (Form, &str),
    environment: &Environment,
    count: u64,
    number: usize,
) -> support::Result<Process> {
    static SEED: LazyLock<u64> = LazyLock::new(Random::seed_of_run);
    let mut command = if form == Form::Rust {
        let this = env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(this);
        command.env("SHMKEY_PEER", role);
        command
    } else {
        let mut command = PROGRAMS.command(PEER, form)?;
        command.arg(role);
        command
    };
    command.args([environment.name(), &SEED.to_string(), &count.to_string()]);
    command.arg(number.to_string());
    Process::start(&format!("{role} in {}", form.name()), command, b"")
}

/// An environment, with the names that the peers make of its name.
fn environment() -> Environment {
    Environment::with_names(&["ping", "pong", "plain"])
}

/// Runs all of these peers at once, to their end, and checks what they have left in the object.
fn together(peers: &[(Form, &str)], count: u64) -> support::Result<()> {
    let environment = environment();
    let senders = peers.len() as u64 - 1;
    let mut running = Vec::new();
    for (number, &peer) in peers.iter().enumerate() {
        let count = match peer.1 {
            "many receive" => count * senders,
            _ => count,
        };
        // The publisher waits for this many subscribers.
        let number = match peer.1 {
            "broadcast publish" => peers.len() - 1,
            _ => number,
        };
        running.push(start(peer, &environment, count, number)?);
    }
    for process in running {
        process.finish()?.expect("")?;
    }
    let name = environment.name();
    let counted = peers.len() as u64 * count;
    match peers[0].1 {
        "mutex count" => {
            let place = Place::named(name).layout("a value");
            let mutex = Mutex::<[u64; 25]>::open(place, [0; 25]).unwrap();
            expect_number("the mutex", mutex.lock().unwrap().get()[0], counted)
        }
        "lock count" => {
            let place = Place::named(name).layout("a value");
            let lock = RwLock::<[u64; 25]>::open(place, [0; 25]).unwrap();
            expect_number("the lock", lock.read().unwrap().get()[0], counted)
        }
        "semaphore share" => {
            let tokens = Semaphore::open(name, 9).unwrap();
            expect_number("the semaphore", tokens.value().into(), 3)
        }
        _ => Ok(()),
    }
}

/// Kills the victim, and runs the survivor to its end.
fn death(victim: (Form, &str), survivor: (Form, &str), at_once: bool) -> support::Result<()> {
    let environment = environment();
    let count = 200;
    let dying = start(victim, &environment, count, 1)?;
    let survive = || start(survivor, &environment, count, 2);
    let early = if at_once { Some(survive()?) } else { None };
    let is_ready = |said: &[u8]| said.windows(6).any(|word| word == b"ready\n");
    dying.wait_until("say that it is ready", is_ready)?;
    dying.signal(libc::SIGKILL);
    let end = dying.finish()?;
    end.expect_end(|status| status.signal() == Some(libc::SIGKILL))?;
    let other = match early {
        Some(early) => early,
        None => survive()?,
    };
    other.finish()?.expect("")
}

/// Runs a sender and a receiver for each of eight rings.
fn eight_rings() -> support::Result<()> {
    let rings: Vec<Environment> = (0..8).map(|_| Environment::new()).collect();
    let mut running = Vec::new();
    for (i, ring) in rings.iter().enumerate() {
        let (one, other) = (Form::PEERS[i % 4], Form::PEERS[(i / 2 + i) % 4]);
        for peer in [(one, "ring send"), (other, "ring receive")] {
            running.push(start(peer, ring, 500, i)?);
        }
    }
    for process in running {
        process.finish()?.expect("")?;
    }
    Ok(())
}

fn expect_number(what: &str, is: u64, should_be: u64) -> support::Result<()> {
    if is == should_be {
        return Ok(());
    }
    Err(format!("{what} has {is} and should have {should_be}"))
}
