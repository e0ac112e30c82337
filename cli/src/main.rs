//! `shmkey`: the System V shared memory segments of this machine: listed, looked into, watched, filled
//! and removed.

mod attached;
mod create;
mod dump;
mod facts;
mod json;
mod list;
#[cfg(test)]
mod manual;
mod map;
mod objects;
mod output;
mod process;
mod remove;
mod screen;
mod show;
mod sparse;
mod table;
mod target;
mod top;
mod trace;
mod transfer;
mod watch;
mod window;
mod words;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Shared memory segments: see who uses them and what is in them, fill them, remove what is left over.
///
/// A segment is a piece of memory that several programs share. It stays when they end, until
/// somebody removes it. Without a command, all segments are listed.
#[derive(Parser)]
#[command(name = "shmkey", version, after_help = AFTER, subcommand_help_heading = "Commands")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER: &str = "\
A SEGMENT is given by its id (32770), its key (0x4102002f) or the name that its key was made from
(orders). id:, key: or name: in front says which it is, should that be in doubt.

Exit status: 0 done; 1 something could not be done, and it was said why; 2 the command line makes
no sense.";

#[derive(Subcommand)]
enum Command {
    /// List all segments: who uses them, who made them, what they hold
    ///
    /// What a segment holds is read through a process that has it attached, if this user may do that. A
    /// segment that may hold an object, and cannot be read that way, is attached for a moment, which the
    /// kernel records as its last use: the list shows the use before, and notes "looked at".
    #[command(after_long_help = format!("The object that --json prints:\n\n{}", json::SCHEMA))]
    List(list::Options),
    /// Show all that is known of one segment
    ///
    /// Searches for objects at the beginning of the segment, and at multiples of 64 bytes in the pages that
    /// a process which has it attached has in memory: at most 16384 pages, in the first 64 GiB. Otherwise
    /// the same as shmkey list.
    Show(show::Options),
    /// Show the bytes of a segment
    ///
    /// A page that was never written holds zeroes, and reading it allocates no memory. The exceptions are
    /// huge pages, and, for users other than root, segments that are partly swapped out.
    Dump(dump::Options),
    /// Make a segment, and print its id
    ///
    /// It stays when this has ended, and so counts as an orphan until a program uses it.
    Create(create::Options),
    /// Copy bytes from standard input into a segment or a ring
    Put(transfer::Put),
    /// Copy bytes out of a segment or a ring to standard output
    ///
    /// For pages that were never written, see shmkey-dump(1).
    Get(transfer::Get),
    /// The list, live
    Top(top::Options),
    /// Watch a segment: what changes lights up
    Watch(watch::Options),
    /// Draw which process has which segment
    Map(map::Options),
    /// Run a program, and tell each shared memory call it makes, why those that fail do so, and what it
    /// leaves behind
    #[command(after_long_help = trace::MORE)]
    Trace(trace::TraceOptions),
    /// Remove segments; their memory goes when the last process has let go of them
    Remove(remove::Options),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        None => list::run(&list::Options::default()),
        Some(Command::List(options)) => list::run(&options),
        Some(Command::Show(options)) => show::run(&options),
        Some(Command::Dump(options)) => dump::run(&options),
        Some(Command::Create(options)) => create::run(&options),
        Some(Command::Put(options)) => transfer::put(&options),
        Some(Command::Get(options)) => transfer::get(&options),
        Some(Command::Top(options)) => top::run(&options),
        Some(Command::Watch(options)) => watch::run(&options),
        Some(Command::Map(options)) => map::run(&options),
        Some(Command::Remove(options)) => remove::run(&options),
        Some(Command::Trace(options)) => return trace::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
