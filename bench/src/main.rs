//! The cost of the library, as ratios to the alternatives, measured in one run.
//!
//! | command | measures |
//! |---|---|
//! | `shmkey-bench` | the functions beside the bare calls below them |
//! | `shmkey-bench sync` | the objects beside those of other libraries |
//! | `shmkey-bench locks` | hand-over, idle waiters, and failed tries, beside pthread's and POSIX' locks |
//! | `shmkey-bench backends` | the user backend beside the kernel's System V shared memory |
//! | `shmkey-bench list` | the command's list of 4,000 segments beside `lsipc` and `ipcs` |
//! | `shmkey-bench syscalls` | the system calls that the fast paths make: none |
//!
//! `cargo run --release -p shmkey-bench -- sync` measures the peers that build quickly, and
//! `cargo run --release -p shmkey-bench --features peers,aeron -- sync` all of them. Cargo.toml says what each needs.

mod backends;
mod calls;
mod dropin;
mod latest;
mod listing;
mod locks;
mod nameless;
mod ours;
mod pairs;
mod peers;
mod placement;
mod plot;
mod processes;
mod progress;
mod report;
mod roundtrip;
mod schedule;
mod stopwatch;
mod streaming;
mod suite;
mod syscalls;

use lexopt::prelude::*;
use locks::Locks;
use processes::{Cpus, Failure};
use schedule::Plan;
use std::{num::NonZeroUsize, path::PathBuf, process::ExitCode, time::Duration};

const USAGE: &str = "\
usage: shmkey-bench [calls]              the functions beside bare calls
       shmkey-bench sync [OPTIONS]       Ring, Latest, Mutex and Semaphore beside their peers
       shmkey-bench locks [OPTIONS]      Mutex, Semaphore, RwLock, Condvar: hand-over, waiting, and failed tries
       shmkey-bench backends             the user backend beside the kernel's System V shared memory
       shmkey-bench list                 the list of 4,000 segments beside lsipc's and ipcs' (needs root)
       shmkey-bench syscalls             the system calls on the fast paths (needs strace)
       shmkey-bench placement            how near the two CPUs are, once a second

options of sync:
  --runs N         the number of runs of each that must count (default 7)
  --only TEXT      only the groups whose title contains TEXT; may be repeated
  --plot FILE      also draw the results into this SVG file
  --cpus A,B       the two CPUs (default: the first two allowed)
  --near LOW..HIGH the bare round trip that counts as near, in nanoseconds (default 75..190)
  --patience S     how long to wait until the CPUs are near, in seconds (default 60)

options of locks:
  --rounds N       the number of rounds of half a second for each lock in each hand-over (default 5)
  --only TEXT      only the tables whose title contains TEXT; may be repeated
";

fn main() -> ExitCode {
    match Command::parse().and_then(Command::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

enum Command {
    Help,
    Backends,
    /// What `Backends` starts for each backend.
    BackendWorker,
    Calls,
    List,
    Locks(Locks),
    Sync(Sync),
    Placement,
    Syscalls,
    /// What `Syscalls` watches: the name of a fast path, and a number of operations.
    FastPath(String, u64),
}

struct Sync {
    plan: Plan,
    only: Vec<String>,
    plot: Option<PathBuf>,
}

impl Command {
    fn parse() -> Result<Command, Failure> {
        let mut arguments = lexopt::Parser::from_env();
        let command = match arguments.next()? {
            None => Command::Calls,
            Some(Short('h') | Long("help")) => Command::Help,
            Some(Value(name)) => match name.to_str() {
                Some("backends") => Command::Backends,
                Some(backends::worker::HIDDEN) => Command::BackendWorker,
                Some("calls") => Command::Calls,
                Some("list") => Command::List,
                Some("locks") => return Ok(Command::Locks(Locks::parse(arguments)?)),
                Some("sync") => return Ok(Command::Sync(Sync::parse(arguments)?)),
                Some("placement") => Command::Placement,
                Some("syscalls") => Command::Syscalls,
                Some(syscalls::HIDDEN) => {
                    Command::FastPath(arguments.value()?.parse()?, arguments.value()?.parse()?)
                }
                _ => return Err(Value(name).unexpected().into()),
            },
            Some(other) => return Err(other.unexpected().into()),
        };
        match arguments.next()? {
            None => Ok(command),
            Some(other) => Err(other.unexpected().into()),
        }
    }

    fn run(self) -> Result<(), Failure> {
        match self {
            Command::Help => print!("{USAGE}"),
            Command::Backends => backends::print()?,
            Command::BackendWorker => backends::worker::work()?,
            Command::Calls => calls::print()?,
            Command::List => listing::print()?,
            Command::Locks(locks) => locks.print()?,
            Command::Sync(sync) => sync.run()?,
            Command::Placement => placement::watch(Cpus::first_two()?)?,
            Command::Syscalls => syscalls::print()?,
            Command::FastPath(path, count) => syscalls::walk(&path, count)?,
        }
        Ok(())
    }
}

impl Locks {
    fn parse(mut arguments: lexopt::Parser) -> Result<Locks, Failure> {
        let mut locks = Locks {
            rounds: 5,
            only: Vec::new(),
        };
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("rounds") => {
                    let rounds: NonZeroUsize = arguments.value()?.parse()?;
                    locks.rounds = rounds.get();
                }
                Long("only") => locks.only.push(arguments.value()?.string()?),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(locks)
    }
}

impl Sync {
    fn parse(mut arguments: lexopt::Parser) -> Result<Sync, Failure> {
        let mut sync = Sync {
            plan: Plan {
                cpus: Cpus::first_two()?,
                runs: 7,
                near: placement::NEAR,
                patience: Duration::from_secs(60),
            },
            only: Vec::new(),
            plot: None,
        };
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("runs") => sync.plan.runs = arguments.value()?.parse()?,
                Long("only") => sync.only.push(arguments.value()?.string()?),
                Long("plot") => sync.plot = Some(arguments.value()?.into()),
                Long("patience") => {
                    sync.plan.patience = Duration::from_secs(arguments.value()?.parse()?);
                }
                Long("cpus") => {
                    let text = arguments.value()?.string()?;
                    let (one, other) = text.split_once(',').ok_or("--cpus needs A,B")?;
                    sync.plan.cpus = Cpus(one.parse()?, other.parse()?);
                }
                Long("near") => {
                    let text = arguments.value()?.string()?;
                    let (low, high) = text.split_once("..").ok_or("--near needs LOW..HIGH")?;
                    sync.plan.near = low.parse()?..=high.parse()?;
                }
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(sync)
    }

    fn run(self) -> Result<(), Failure> {
        let mut groups = suite::groups();
        if !self.only.is_empty() {
            groups.retain(|group| self.only.iter().any(|only| group.title.contains(only)));
        }
        let gave_up = self.plan.measure(&mut groups)?;
        if gave_up {
            println!(
                "The CPUs were not near each other for long. Runs in other places are labelled.\n"
            );
        }
        print!("{}", report::table(&groups));
        if let Some(file) = self.plot {
            std::fs::write(&file, plot::svg(&groups))
                .map_err(|error| format!("{}: {error}", file.display()))?;
        }
        Ok(())
    }
}
