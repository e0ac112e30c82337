//! `shmkey trace`: it passes signals to the program and returns its status, and reports what processes have left
//! that could not report it themselves.

use super::{
    events, expect_fields_of_exit, id_in, lines, linked, says,
    support::{Ending, Environment, Process},
};
use crate::needs;
use serde_json::Value;
use shmkey::Segment;
use std::{
    fs::{self, File},
    io::{PipeReader, PipeWriter, Read, Write, pipe},
    os::{
        fd::{AsRawFd, FromRawFd, RawFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    path::Path,
    process::{Command, Stdio},
    ptr, thread,
    time::Duration,
};

/// `shmkey trace`.
fn shmkey_trace(options: &[&str]) -> Command {
    let (artifacts, _) = linked();
    let mut command = artifacts.command(&artifacts.built("shmkey"));
    command.arg("trace").args(options);
    command
}

fn run(command: Command) -> Ending {
    Process::run("shmkey trace", command, b"").unwrap()
}

/// The same with a situation of `tests/c/trace.c`.
fn command_trace(test: &Environment, options: &[&str], words: &[&str]) -> Ending {
    let (_, program) = linked();
    let mut command = shmkey_trace(options);
    command.current_dir(test.path()).arg(program).args(words);
    run(command)
}

#[test]
fn the_command_traces_a_program() {
    let test = Environment::new();
    let ending = command_trace(&test, &[], &["too-small"]);
    assert!(ending.status.success());
    let all = lines(&ending.stderr);
    says(&all[3], "has 512 bytes, and 1024 were requested");
    assert_eq!(
        all[all.len() - 1],
        "has ended and has left no segment behind"
    );
}

#[test]
fn the_command_returns_the_programs_status() {
    let test = Environment::new();
    let ending = command_trace(&test, &[], &["exit-at-once", "3"]);
    assert_eq!(ending.status.code(), Some(3));
    let all = lines(&ending.stderr);
    says(
        &all[2],
        "has left behind the segment …1000 bytes…no process has attached",
    );
    says(
        &all[3],
        "has ended with status 3 and has left 1 segment behind",
    );
}

#[test]
fn the_command_reports_what_a_killed_program_has_left() {
    let test = Environment::new();
    let ending = command_trace(&test, &[], &["killed", "9"]);
    assert_eq!(
        ending.status.code(),
        Some(128 + 9),
        "{:?}",
        ending.status.signal()
    );
    let all = lines(&ending.stderr);
    let key = test.keys.writer_reader;
    let id = Segment::open(key).unwrap().id();
    let left = format!("has left behind the segment {id} (key {key}…shmkey remove {id}");
    says(&all[2], &left);
    assert_eq!(
        all[3],
        "was killed by SIGKILL (signal 9) and has left 1 segment behind"
    );
}

#[test]
fn the_command_reports_what_a_killed_child_has_left() {
    for signal in ["9", "0"] {
        let test = Environment::new();
        let ending = command_trace(&test, &[], &["killed-child", signal]);
        assert!(ending.status.success());
        let all = lines(&ending.stderr);
        let id: i32 = id_in(&all[0]).parse().unwrap();
        Segment::from_id(id).remove().unwrap();
        says(
            &all[1],
            &format!("has left behind the segment {id} (1000 bytes"),
        );
        says(
            &all[2],
            "has ended; with the processes it started, it has left 1 segment behind",
        );
    }
}

#[test]
fn the_command_reports_nothing_of_another_namespace() {
    needs!(NAMESPACES);
    let test = Environment::new();
    let all = lines(&command_trace(&test, &[], &["apart"]).stderr);
    says(&all[2], "leaves behind the segment 0 (key ");
    says(&all[3], "ends and leaves 1 segment behind");
    says(
        &all[4],
        "what was created in another IPC namespace cannot be seen from here",
    );
}

/// Without `/proc`, a process cannot find out its IPC namespace, which need not be another one.
#[test]
fn an_unknown_namespace_is_not_another_one() {
    needs!(ROOT, PERL);
    let create = "shmget(0, 1000, 0600)";
    for script in [
        format!("chroot('.'); {create};"),
        format!("if (fork) {{ wait }} else {{ chroot('.'); {create} }}"),
        // The command reports what this process leaves.
        format!("chroot('.'); {create}; kill(9, $$);"),
    ] {
        let test = Environment::new();
        let mut command = shmkey_trace(&[]);
        command.current_dir(test.path());
        command.args(["perl", "-e", &script]);
        let all = lines(&run(command).stderr);
        let id = id_in(&all[0]);
        Segment::from_id(id.parse().unwrap()).remove().unwrap();
        let mentions = format!("behind the segment {id} (");
        let count = all.iter().filter(|line| line.contains(&mentions)).count();
        assert_eq!(count, 1, "{all:#?}");
        let last = all.last().unwrap();
        says(last, "left 1 segment behind");
        assert!(!last.contains("another"), "{last}");
    }
}

/// A shell's script that `shmkey trace` runs.
fn traced_script(options: &[&str], script: &str) -> Command {
    let mut command = shmkey_trace(options);
    command.args(["sh", "-c", script]);
    command
}

#[test]
fn the_command_reports_that_nothing_was_traced() {
    let ending = run(traced_script(&[], "exit 3"));
    assert_eq!(ending.status.code(), Some(3));
    assert_eq!(
        lines(&ending.stderr),
        ["has ended with status 3 and has left no segment behind; no call was traced"]
    );
}

const NOT_TRACED: &str = "no call was traced, because it is linked with the library shmkey";

/// What the command reports of a program that reads a line from a pipe. It is a child of a shell, which the
/// command cannot recognise as its own.
fn report_of_child(test: &Environment, program: &Path) -> String {
    let mut command = traced_script(&[], r#"echo line | "$0" > /dev/null; :"#);
    command.arg(program).current_dir(test.path());
    lines(&run(command).stderr).concat()
}

/// The library makes system calls directly; what its users leave is reported.
#[test]
fn the_command_reports_that_the_library_is_not_traced() {
    let (artifacts, _) = linked();
    let test = Environment::new();
    for library in ["libshmkey.so", "libshmkey.a"] {
        let program = artifacts.directory().join(format!("traced-{library}"));
        let source = "c_examples/writer.c";
        artifacts
            .link(source, Some(library), &[], &program)
            .unwrap();
        let report = report_of_child(&test, &program);
        says(&report, &format!("has left 1 segment behind…{NOT_TRACED}"));
        let left = Segment::open(test.keys.writer_reader).unwrap();
        left.remove().unwrap();
    }
    // The command itself is a program in Rust.
    says(
        &report_of_child(&test, &artifacts.built("shmkey")),
        NOT_TRACED,
    );
}

#[test]
fn the_command_reports_a_user_of_the_library_among_others() {
    let (artifacts, situations) = linked();
    let test = Environment::new();
    let script = r#""$0" too-small; "$1" > /dev/null"#;
    let mut command = traced_script(&["--json"], script);
    command.arg(situations).arg(artifacts.built("shmkey"));
    command.current_dir(test.path());
    let events = events(&String::from_utf8(run(command).stderr).unwrap());
    let end = events.last().unwrap();
    assert_eq!(
        (&end["called"], &end["library"]),
        (&true.into(), &true.into())
    );
    let report = lines(&command_trace(&test, &[], &["too-small"]).stderr);
    assert!(!report.last().unwrap().contains("library"));
}

#[test]
fn the_program_inherits_no_descriptor_of_the_command() {
    let numbers = |mut command: Command| {
        command.env_remove("LD_PRELOAD");
        String::from_utf8(run(command).stdout).unwrap()
    };
    let mut untraced = Command::new("ls");
    untraced.arg("/proc/self/fd");
    let mut traced = shmkey_trace(&[]);
    traced.args(["ls", "/proc/self/fd"]);
    assert_eq!(numbers(traced), numbers(untraced));
}

#[test]
fn a_program_that_becomes_another_user_is_reported() {
    needs!(ROOT, PERL);
    let script = "$) = $( = 65534; $> = $< = 65534; shmctl(shmget(0, 1000, 0600), 0, 0);";
    let mut command = shmkey_trace(&[]);
    command.args(["perl", "-e", script]);
    let all = lines(&run(command).stderr);
    assert_eq!(
        all[all.len() - 1],
        "has ended and has left no segment behind"
    );
}

/// Has a command give a signal its default first. A shell that puts a job into the background has it ignore
/// some, and that is inherited.
fn heed(command: &mut Command, signal: i32) {
    let heed = move || {
        // SAFETY: gives a signal back its default.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        Ok(())
    };
    // SAFETY: the closure makes one system call.
    unsafe { command.pre_exec(heed) };
}

#[test]
fn the_command_passes_signals_on() {
    for (name, signal) in [
        ("USR1", libc::SIGUSR1),
        ("USR2", libc::SIGUSR2),
        ("ALRM", libc::SIGALRM),
        ("INT", libc::SIGINT),
        ("QUIT", libc::SIGQUIT),
        ("TERM", libc::SIGTERM),
    ] {
        let wait = "i=0; while [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done";
        let mut command = traced_script(&[], &format!("trap 'exit 7' {name}; echo; {wait}"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        heed(&mut command, signal);
        let mut child = command.spawn().unwrap();
        let output = child.stdout.as_mut().unwrap();
        output.read_exact(&mut [0]).unwrap();
        // SAFETY: sends a signal to a child that was not waited for.
        unsafe { libc::kill(child.id() as i32, signal) };
        let ending = child.wait_with_output().unwrap();
        assert_eq!(ending.status.code(), Some(7), "{name}");
    }
}

#[test]
fn the_program_inherits_whether_sigpipe_is_ignored() {
    let (artifacts, _) = linked();
    for (trap, ignored) in [("trap '' PIPE", true), ("trap - PIPE", false)] {
        let script = format!("{trap}; exec \"$0\" trace grep SigIgn: /proc/self/status");
        let mut command = Command::new("sh");
        command.args(["-c", &script]).arg(artifacts.built("shmkey"));
        let line = String::from_utf8(run(command).stdout).unwrap();
        let set = u64::from_str_radix(line.trim_start_matches("SigIgn:").trim(), 16).unwrap();
        assert_eq!(set & 1 << (libc::SIGPIPE - 1) != 0, ignored, "{line}");
    }
}

/// Expects that a command ends with this status, prints nothing, and says why.
#[track_caller]
fn expect_refusal(command: Command, status: i32, why: &str) {
    let ending = run(command);
    assert_eq!(
        (ending.status.code(), &ending.stdout[..]),
        (Some(status), &b""[..])
    );
    says(&String::from_utf8(ending.stderr).unwrap(), why);
}

#[test]
fn the_command_runs_nothing_without_a_place_for_the_trace() {
    for file in ["/no/such/place/file", "/no/such/place/%p"] {
        let command = traced_script(&["-o", file], "echo ran");
        expect_refusal(command, 125, &format!("shmkey: {file}: No such file"));
    }
}

#[test]
fn the_command_writes_json_to_a_file() {
    let test = Environment::new();
    let ending = command_trace(&test, &["--json", "--output", "1"], &["killed", "15"]);
    assert_eq!(ending.status.code(), Some(128 + 15));
    assert!(ending.stderr.is_empty());
    let events = events(&fs::read_to_string(test.path().join("1")).unwrap());
    let [.., left, end] = &events[..] else {
        panic!("{events:#?}");
    };
    assert_eq!(
        (&left["event"], &left["bytes"]),
        (&"left".into(), &1000.into())
    );
    assert_eq!(
        (&end["event"], &end["signal"]),
        (&"exit".into(), &15.into())
    );
    assert_eq!(
        (&end["segments"], &end["called"]),
        (&1.into(), &true.into())
    );
    assert_eq!(end["status"], Value::Null);
    expect_fields_of_exit(end);
}

#[test]
fn the_command_says_what_cannot_be_traced() {
    let (artifacts, _) = linked();
    let all_static = artifacts.directory().join("static");
    let options = ["-static", "-pthread"];
    artifacts
        .link("tests/c/trace.c", None, &options, &all_static)
        .unwrap();
    for (program, status, why) in [
        (
            "no-such-program",
            127,
            "there is no program no-such-program in PATH",
        ),
        ("/no/such/file", 127, "No such file"),
        ("/etc/passwd", 126, "is not an executable program"),
        (all_static.to_str().unwrap(), 126, "is linked statically"),
    ] {
        expect_refusal(shmkey_trace(&[program]), status, &format!("shmkey: …{why}"));
    }
    let mut command = shmkey_trace(&["true"]);
    command.env("SHMKEY_DROPIN", "/no/such/library.so");
    expect_refusal(command, 125, "SHMKEY_DROPIN is /no/such/library.so");
}

/// Sets whether writers and readers of a file wait.
fn set_nonblocking(file: &impl AsRawFd, nonblocking: bool) {
    let flags = if nonblocking { libc::O_NONBLOCK } else { 0 };
    // SAFETY: sets flags of an open descriptor.
    let set = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags) };
    assert_eq!(set, 0);
}

/// A pipe that takes no more bytes.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    set_nonblocking(&writer, true);
    while writer.write(&[b'-'; 4096]).is_ok() {}
    set_nonblocking(&writer, false);
    (reader, writer)
}

/// The result of a system call in a child, before it becomes the program.
fn checked(result: i32) -> std::io::Result<()> {
    match result {
        -1 => Err(std::io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Has a program's descriptor lead to a file of this process.
fn redirect(command: &mut Command, descriptor: RawFd, to: &impl AsRawFd) {
    let to = to.as_raw_fd();
    // SAFETY: the closure makes one system call; both numbers are descriptors of the child.
    unsafe { command.pre_exec(move || checked(libc::dup2(to, descriptor))) };
}

#[test]
fn a_segment_of_one_byte_has_1_byte() {
    let mut command = traced_script(&[], r#""$0" create -s 1 > /dev/null; :"#);
    command.arg(linked().0.built("shmkey"));
    let all = lines(&run(command).stderr);
    let id = all[0].split(' ').nth(5).unwrap().parse().unwrap();
    Segment::from_id(id).remove().unwrap();
    says(&all[0], " (1 byte, mode 0600), which no process");
}

/// Runs a script whose first word is the program with the situations.
fn traced_situation(test: &Environment, options: &[&str], script: &str) -> Command {
    let mut command = traced_script(options, script);
    command.current_dir(test.path()).arg(&linked().1);
    command
}

const FAILS_WITH_3: &str = r#""$0" no-key; exit 3"#;

#[test]
fn the_command_does_not_wait_for_a_pipe_that_is_not_read() {
    let test = Environment::new();
    let (_reader, writer) = full_pipe();
    let mut command = traced_situation(&test, &[], FAILS_WITH_3);
    redirect(&mut command, 2, &writer);
    assert_eq!(run(command).status.code(), Some(3));
}

#[test]
fn the_command_says_how_many_lines_were_lost() {
    let test = Environment::new();
    let command = traced_situation(&test, &[], r#""$0" too-small; :"#);
    // The last line is the command's own.
    let all = lines(&run(command).stderr).len() - 1;
    let (mut reader, writer) = full_pipe();
    // The pipe is emptied after the lines of the trace were lost, and before the command reports.
    let script = r#""$0" too-small; head -c 65536 | wc -c"#;
    let mut command = traced_situation(&test, &[], script);
    redirect(&mut command, 0, &reader);
    redirect(&mut command, 2, &writer);
    assert_eq!(run(command).stdout, b"65536\n");
    drop(writer);
    let mut said = Vec::new();
    reader.read_to_end(&mut said).unwrap();
    let lost = format!("; {all} lines of the trace were lost");
    says(&lines(&said).concat(), &lost);
}

#[test]
fn the_command_writes_all_to_a_pipe_that_does_not_block() {
    let (mut reader, writer) = pipe().unwrap();
    // SAFETY: sets the size of a pipe.
    let size = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, 4096) };
    assert_eq!(size, 4096);
    set_nonblocking(&writer, true);
    let script =
        r#"i=0; while [ $i -lt 100 ]; do "$0" create -s 1000 > /dev/null; i=$((i+1)); done"#;
    let mut command = traced_script(&[], script);
    command.arg(linked().0.built("shmkey"));
    redirect(&mut command, 2, &writer);
    let process = Process::start("shmkey trace", command, b"").unwrap();
    drop(writer);
    let (mut said, mut piece) = (Vec::new(), [0; 4096]);
    while let len @ 1.. = reader.read(&mut piece).unwrap() {
        said.extend_from_slice(&piece[..len]);
        // The command is ahead of this.
        thread::sleep(Duration::from_millis(10));
    }
    process.finish().unwrap();
    let all = lines(&said);
    let left = all.iter().filter_map(|line| {
        let rest = line.strip_prefix("has left behind the segment ")?;
        rest.split(' ').next()?.parse().ok()
    });
    let removed = left.map(|id| Segment::from_id(id).remove().unwrap());
    assert_eq!(removed.count(), 100);
    says(all.last().unwrap(), "it has left 100 segments behind");
}

/// The two ends of a pseudoterminal: the screen, and the terminal.
fn pseudoterminal() -> (File, File) {
    let (mut screen, mut terminal) = (-1, -1);
    let (none, default) = (ptr::null_mut(), ptr::null());
    // SAFETY: there is room for two descriptors, which become those of the files.
    unsafe {
        let made = libc::openpty(&mut screen, &mut terminal, none, default, ptr::null());
        assert_eq!(made, 0);
        (File::from_raw_fd(screen), File::from_raw_fd(terminal))
    }
}

#[test]
fn the_command_is_not_stopped_by_its_terminal_in_the_background() {
    let test = Environment::new();
    let (mut screen, terminal) = pseudoterminal();
    let script = r#"stty tostop < /dev/tty; set -m; "$@" 2> /dev/tty & wait $!; echo status $?"#;
    let mut command = Command::new("sh");
    command.current_dir(test.path()).args(["-c", script, "sh"]);
    let traced = traced_situation(&test, &[], FAILS_WITH_3);
    command.arg(traced.get_program()).args(traced.get_args());
    let number = terminal.as_raw_fd();
    // SAFETY: begins a session, and gives it the terminal: two system calls.
    let control =
        move || checked(unsafe { libc::setsid() + libc::ioctl(number, libc::TIOCSCTTY, 0) });
    // SAFETY: as above.
    unsafe { command.pre_exec(control) };
    assert_eq!(run(command).stdout, b"status 3\n");
    set_nonblocking(&screen, true);
    let mut said = [0; 4096];
    let len = screen.read(&mut said).unwrap();
    let said = String::from_utf8_lossy(&said[..len]);
    says(
        &said,
        "has ended with status 3 and has left no segment behind",
    );
}

#[test]
fn the_command_survives_the_limit_on_file_sizes() {
    let test = Environment::new();
    let mut command = traced_situation(&test, &["-o", "trace"], FAILS_WITH_3);
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the closure makes one system call, which reads the limit.
    unsafe { command.pre_exec(move || checked(libc::setrlimit(libc::RLIMIT_FSIZE, &none))) };
    let ending = run(command);
    assert_eq!(ending.status.code(), Some(3));
    let said = String::from_utf8(ending.stderr).unwrap();
    says(&said, "the trace cannot be written to …File too large");
}
