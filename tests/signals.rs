//! SIGINT and SIGTERM at the worst moments: right after a program has created or attached its segment.

mod support;

use shmkey::{Ring, Segment};
use std::process::Command;
use support::{Environment, Form, Process, Programs};

/// The segments that no process has attached and none finds by a key, whose creator is dead.
fn orphans() -> Vec<i32> {
    let gone = |pid: i32| !std::path::Path::new(&format!("/proc/{pid}")).exists();
    let all = Segment::list().unwrap();
    let orphans = all
        .iter()
        .filter(|s| s.key.is_private() && s.nattch == 0 && gone(s.cpid));
    orphans.map(|s| s.id).collect()
}

#[test]
fn nothing_is_left_behind() {
    needs!(STRACE);
    let programs = Programs::new().expect("the programs can be built");
    for form in [Form::CSo, Form::Rust] {
        for program in [
            "shared_memory",
            "parent_child",
            "raw/server",
            "raw/sender",
            "raw/receiver",
            "reader",
            "server",
            "sender",
            "receiver",
            "ring_sender",
            "ring_receiver",
        ] {
            for call in ["shmget", "shmat"] {
                for signal in ["SIGINT", "SIGTERM", "SIGHUP"] {
                    let what = format!("{program} as {}, {signal} in {call}", form.name());
                    interrupt(&programs, program, form, call, signal)
                        .unwrap_or_else(|error| panic!("{what}: {error}"));
                }
            }
        }
    }
}

/// A program that gets a signal right after its first call of that name.
fn interrupted(
    programs: &Programs,
    program: &'static str,
    form: Form,
    call: &str,
    signal: &str,
    test: &Environment,
) -> support::Result<Command> {
    let mut command = Command::new("strace");
    command
        .args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "trace=shmget,shmat",
            "-e",
        ])
        .arg(format!("inject={call}:signal={signal}:when=1"))
        .arg(programs.command(program, form)?.get_program())
        .env("LD_LIBRARY_PATH", programs.artifacts().directory())
        .current_dir(test.path());
    Ok(command)
}

fn interrupt(
    programs: &Programs,
    program: &'static str,
    form: Form,
    call: &str,
    signal: &str,
) -> support::Result<()> {
    let test = Environment::new();
    let before = orphans();
    let command = interrupted(programs, program, form, call, signal, &test)?;
    Process::run(program, command, b"")?;
    for key in [
        test.keys.writer_reader,
        test.keys.parent_child,
        test.keys.server_client,
        test.keys.sender_receiver,
        test.keys.ring,
    ] {
        test.expect_gone(key)?;
    }
    let left: Vec<i32> = orphans()
        .into_iter()
        .filter(|id| !before.contains(id))
        .collect();
    match left.is_empty() {
        true => Ok(()),
        false => Err(format!("left behind: {left:?}")),
    }
}

/// The line that a writer was given is in the segment as a whole.
#[test]
fn a_line_is_written_or_not() {
    needs!(STRACE);
    let programs = Programs::new().expect("the programs can be built");
    for form in [Form::CSo, Form::Rust] {
        for call in ["shmget", "shmat"] {
            let mut line = [0; 13];
            let test = written(&programs, "raw/writer", form, call);
            let memory = Segment::open(test.keys.writer_reader)
                .unwrap()
                .attach()
                .unwrap();
            memory.read_at(0, &mut line).unwrap();
            assert_eq!(&line, b"a whole line\0", "{} {call}", form.name());

            let test = written(&programs, "writer", form, call);
            let ring = Ring::open(test.keys.writer_reader, 0).unwrap();
            let len = ring.receiver().unwrap().try_recv(&mut line).unwrap();
            assert_eq!(&line[..len], b"a whole line", "{} {call}", form.name());
        }
    }
}

/// Where a writer has been, with a signal in a call.
fn written(programs: &Programs, writer: &'static str, form: Form, call: &str) -> Environment {
    let test = Environment::new();
    let command = interrupted(programs, writer, form, call, "SIGINT", &test).unwrap();
    Process::run(writer, command, b"a whole line\n").unwrap();
    test
}
