//! `shmkey`: lists the System V shared memory segments of this machine, shows what they hold and which processes
//! have them attached, and creates, fills, watches and removes them. Locks mutexes, and uses other objects in segments.

mod attached;
mod backend;
mod change;
mod child;
mod columns;
mod complete;
mod create;
mod dump;
mod facts;
mod format;
mod json;
mod limits;
mod list;
mod lock;
mod manual;
mod map;
mod objects;
mod open;
mod others;
mod output;
mod process;
mod quoting;
mod remove;
mod screen;
mod semaphore;
mod show;
mod sized;
mod sparse;
mod summary;
mod table;
mod target;
mod top;
mod trace;
mod transfer;
mod waiting;
mod watch;
mod window;
mod words;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::CompleteEnv;
use shmkey::language;
use std::{env, ffi::OsString, os::unix::ffi::OsStrExt, process::ExitCode};

/// List, inspect, fill, watch and remove System V shared memory
///
/// A segment is memory that processes attach. It stays when they end, until it is removed. Without a command, shmkey
/// lists all segments.
#[derive(Parser)]
#[command(name = "shmkey", version, after_help = AFTER, subcommand_help_heading = "Commands")]
struct Arguments {
    /// Where the segments are
    ///
    /// auto takes the kernel if it provides System V shared memory, and else the directory SHMKEY_DIR. Without this
    /// option, the variable SHMKEY_BACKEND decides. Semaphore arrays and message queues are always the kernel's.
    #[arg(long, global = true, value_name = "WHERE", value_enum)]
    backend: Option<backend::Choice>,
    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER: &str = "\
A SEGMENT is an id (32770), a key (0x4102002f), or the name that a key was made from (orders). A prefix (id:, key: or \
name:) says which, where a word could be either.

The options of shmkey list work without a command, too: shmkey --json.

man shmkey lists the options of ipcs, ipcrm, ipcmk and lsipc, and what replaces them.

Exit status: 0 for success, 1 for a failure, 2 for a usage error. The manual pages of lock, wait and trace describe \
others.";

#[derive(Subcommand)]
enum Command {
    /// List segments: owner, attached processes, creator, object and state
    ///
    /// Also lists semaphore arrays and message queues, with --all, --semaphores or --messages.
    ///
    /// If you have permission, shmkey reads the objects in a segment through a process that has the segment attached.
    /// Otherwise it attaches a segment that may hold an object. That counts as the last use; the list shows
    /// the use before it, and notes "looked at".
    List(list::Options),
    /// Show all details of segments, semaphore arrays or message queues
    ///
    /// Searches for objects at multiples of 64 bytes, in the pages that a process which has the segment attached has in
    /// memory: at most 16384 pages, in the first 64 GiB. shmkey list searches fewer pages.
    Show(show::Options),
    /// Show the bytes of a segment
    ///
    /// A page that was never written holds zeros, and reading it allocates no memory. The exceptions are huge pages,
    /// and, for users other than root, segments that are partly swapped out.
    Dump(dump::Options),
    /// Show the limits of the kernel, and how much of them is in use
    Limits(limits::Options),
    /// Create a segment, or an object in a segment, and print its id
    ///
    /// The segment stays when shmkey ends. It counts as an orphan until a process attaches it. For example, shmkey create
    /// --name orders --ring --size 64K creates a ring named orders.
    Create(create::Options),
    /// Change the permission bits of segments
    ///
    /// The kernel checks the bits when a process attaches the segment; a process that has it attached keeps its access.
    /// Only the owner, the creator and root may change them.
    Chmod(change::Mode),
    /// Change the owner and the group of segments
    ///
    /// Only the owner, the creator and root may change them. The creator stays the same, and keeps its rights.
    Chown(change::Owner),
    /// Copy standard input into a segment, send it to a ring or a broadcast, or publish it as a latest value
    Put(transfer::Put),
    /// Copy bytes of a segment, messages of a ring or a broadcast, or a latest value to standard output
    ///
    /// Reading a page that was never written allocates no memory, as for shmkey-dump(1).
    Get(transfer::Get),
    /// Raise the count of a semaphore, and wake the processes that wait for it
    Post(semaphore::Post),
    /// Wait until the count of a semaphore is not 0, and lower it by one
    ///
    /// A process that ends does not restore the count: shmkey post raises it again.
    Wait(semaphore::Wait),
    /// Run a command while a mutex is locked, as flock(1) does with a file
    ///
    /// Waits for the lock, runs the command, unlocks the mutex when the command has ended, and returns its exit status.
    Lock(lock::Options),
    /// Show the list of segments, and keep it up to date
    Top(top::Options),
    /// Show the bytes of a segment as they change, and highlight changes
    Watch(watch::Options),
    /// Draw which process has which segment attached
    Map(map::Options),
    /// Run a program, and explain its shared memory calls
    ///
    /// Prints each call that the program makes, why a call failed, and which segments the program leaves behind.
    Trace(trace::TraceOptions),
    /// Remove segments, semaphore arrays or message queues
    ///
    /// The key of a removed segment is free at once. Its memory is freed when the last process detaches it.
    Remove(remove::Options),
    /// Write the manual pages and the completions into a folder, for packaging
    // Under a name that clap does not suggest for a mistyped command.
    #[command(hide = true, name = "packaging-files")]
    PackagingFiles(manual::Options),
}

fn main() -> ExitCode {
    language::choose(&language::COMMAND);
    complete::choose_backend();
    CompleteEnv::with_factory(Arguments::command)
        .var(complete::VARIABLE)
        .complete();
    let arguments = Arguments::parse_from(with_command(env::args_os().collect()));
    if let Some(backend) = arguments.backend {
        backend::choose(backend);
    }
    if let Err(failure) = backend::check() {
        return failure.report();
    }
    let done = match arguments.command {
        None => list::run(&list::Options::default()),
        Some(Command::List(options)) => list::run(&options),
        Some(Command::Show(options)) => show::run(&options),
        Some(Command::Dump(options)) => dump::run(&options),
        Some(Command::Limits(options)) => limits::run(&options),
        Some(Command::Create(options)) => create::run(&options),
        Some(Command::Chmod(options)) => change::mode(&options),
        Some(Command::Chown(options)) => change::owner_and_group(&options),
        Some(Command::Put(options)) => transfer::put(&options),
        Some(Command::Get(options)) => transfer::get(&options),
        Some(Command::Post(options)) => semaphore::post(&options),
        Some(Command::Wait(options)) => semaphore::wait(&options),
        Some(Command::Lock(options)) => return lock::run(&options),
        Some(Command::Top(options)) => top::run(&options),
        Some(Command::Watch(options)) => watch::run(&options),
        Some(Command::Map(options)) => map::run(&options),
        Some(Command::Remove(options)) => remove::run(&options),
        Some(Command::Trace(options)) => return trace::run(&options),
        Some(Command::PackagingFiles(options)) => manual::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Puts the command first: `shmkey --json show 7` is `shmkey show --json 7`, and options without a command are those
/// of `list`. `--backend` stays before it.
fn with_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let is_option = |argument: &OsString| argument.as_bytes().starts_with(b"-");
    let mut first = 1;
    while let Some(argument) = arguments.get(first) {
        first += match argument.as_bytes() {
            b"--backend" => 2,
            other if other.starts_with(b"--backend=") => 1,
            _ => break,
        };
    }
    let own = ["-h", "--help", "-V", "--version"];
    match (arguments.get(first), arguments.get(first + 1)) {
        (Some(json), Some(command)) if json == "--json" && !is_option(command) => {
            arguments.swap(first, first + 1);
        }
        (Some(option), _) if is_option(option) && !own.iter().any(|own| option == own) => {
            arguments.insert(first, "list".into());
        }
        _ => {}
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_comes_first() {
        for (given, meant) in [
            ("", ""),
            ("--json", "list --json"),
            ("--json list --all", "list --json --all"),
            ("--json --all", "list --json --all"),
            ("-q --orphans", "list -q --orphans"),
            ("--help", "--help"),
            ("show --json 7", "show --json 7"),
            ("--backend user", "--backend user"),
            ("--backend user --json", "--backend user list --json"),
            (
                "--backend=user --json show 7",
                "--backend=user show --json 7",
            ),
            ("--json --backend user", "list --json --backend user"),
            ("list --backend user", "list --backend user"),
        ] {
            let words = |text: &str| -> Vec<OsString> {
                let all = ["shmkey"].into_iter().chain(text.split_whitespace());
                all.map(OsString::from).collect()
            };
            assert_eq!(with_command(words(given)), words(meant));
        }
    }
}
