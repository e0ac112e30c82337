//! SIGINT, SIGTERM and SIGHUP right after a program has created or attached its segment.

mod support;

use shmkey::{Place, Ring, Segment};
use std::{
    io::Read,
    path::Path,
    process::{Command, Stdio},
};
use support::{Environment, Form, Process, Programs};

/// The segments that no process has attached, whose creator is dead and that have no key.
fn orphans() -> Vec<i32> {
    let all = Segment::list().unwrap();
    let is_dead = |pid: i32| !Path::new(&format!("/proc/{pid}")).exists();
    let orphans = all
        .iter()
        .filter(|status| status.key.is_private() && status.nattch == 0 && is_dead(status.cpid));
    orphans.map(|status| status.id).collect()
}

const PROGRAMS: [&str; 15] = [
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
    "news",
    "news_reader",
    "jobs",
    "worker",
];

/// The signal comes while it waits.
#[test]
fn the_collector_ends_by_ctrl_c_and_removes_its_ring() {
    let programs = Programs::new().expect("the programs can be built");
    for form in [Form::CSo, Form::Rust] {
        for signal in [libc::SIGINT, libc::SIGTERM] {
            let test = Environment::new();
            let mut command = programs.command("collector", form).unwrap();
            let mut collector = command
                .arg(test.name())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let place = || Place::named(test.name()).create(false);
            let open = || Ring::options().many_senders(true).open(place(), 4096);
            let ring = loop {
                if let Ok(ring) = open() {
                    break ring;
                }
            };
            ring.sender().unwrap().send(b"one").unwrap();
            let mut line = [0; 4];
            let stdout = collector.stdout.as_mut().unwrap();
            stdout.read_exact(&mut line).unwrap();
            assert_eq!(&line, b"one\n");
            // SAFETY: sends a signal to a process that this test has started.
            unsafe { libc::kill(collector.id() as i32, signal) };
            let ended = collector.wait_with_output().unwrap();
            assert!(ended.status.success(), "{}: {ended:?}", form.name());
            assert_eq!(ended.stdout, b"The collector has ended.\n");
            assert_eq!(ended.stderr, b"");
            assert_eq!(open().unwrap_err().errno(), libc::ENOENT);
        }
    }
}

#[test]
fn a_program_that_gets_a_signal_leaves_nothing_behind() {
    needs!(STRACE);
    let programs = Programs::new().expect("the programs can be built");
    for form in [Form::CSo, Form::Rust] {
        for program in PROGRAMS {
            for call in ["shmget", "shmat"] {
                for signal in ["SIGINT", "SIGTERM", "SIGHUP"] {
                    let before = orphans();
                    let test = interrupt(&programs, program, form, call, signal, b"");
                    let gone = test
                        .keys
                        .all()
                        .into_iter()
                        .try_for_each(|key| test.expect_gone(key));
                    let what = format!("{program} as {}, {signal} in {call}", form.name());
                    gone.unwrap_or_else(|error| panic!("{what}: {error}"));
                    let mut after = orphans();
                    after.retain(|id| !before.contains(id));
                    assert!(after.is_empty(), "{what}: left behind: {after:?}");
                }
            }
        }
    }
}

/// Runs a program that gets a signal right after its first call of that name. Returns where it has run.
fn interrupt(
    programs: &Programs,
    program: &'static str,
    form: Form,
    call: &str,
    signal: &str,
    input: &[u8],
) -> Environment {
    let test = Environment::new();
    let mut command = Command::new("strace");
    command.args([
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=shmget,shmat",
        "-e",
    ]);
    command.arg(format!("inject={call}:signal={signal}:when=1"));
    command.arg(programs.command(program, form).unwrap().get_program());
    command.env("LD_LIBRARY_PATH", programs.artifacts().directory());
    command.current_dir(test.path());
    Process::run(program, command, input).unwrap();
    test
}

/// The line of a writer is in the segment as a whole.
#[test]
fn a_writer_that_gets_a_signal_writes_its_whole_line() {
    needs!(STRACE);
    let programs = Programs::new().expect("the programs can be built");
    for form in [Form::CSo, Form::Rust] {
        for call in ["shmget", "shmat"] {
            let written =
                |writer| interrupt(&programs, writer, form, call, "SIGINT", b"a whole line\n");
            let test = written("raw/writer");
            let segment = Segment::open(test.keys.writer_reader).unwrap();
            let line = segment.attach().unwrap().get::<[u8; 13]>(0).unwrap();
            assert_eq!(&line, b"a whole line\0", "{} {call}", form.name());

            let test = written("writer");
            let ring = Ring::open(test.keys.writer_reader, 0).unwrap();
            let mut line = Vec::new();
            ring.receiver().unwrap().try_recv_vec(&mut line).unwrap();
            assert_eq!(line, b"a whole line", "{} {call}", form.name());
        }
    }
}
