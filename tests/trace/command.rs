//! `shmkey trace`: it passes on what the program is to hear and how it ends, and tells what those
//! have left that could not say so.

use super::{
    events, expect, expect_fields_of_exit, id_in, lines, linked,
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

/// The same with a situation.
fn command_trace(test: &Environment, options: &[&str], words: &[&str]) -> Ending {
    let (_, program) = linked();
    let mut command = shmkey_trace(options);
    command.current_dir(test.path()).arg(program).args(words);
    run(command)
}

#[test]
fn the_command_traces_and_passes_the_status_on() {
    let test = Environment::new();
    let ending = command_trace(&test, &[], &["too-small"]);
    assert!(ending.status.success());
    let all = lines(&ending.stderr);
    expect(&all[3], &["has 512 bytes, and 1024 were requested"]);
    assert_eq!(
        all.last().unwrap(),
        "has ended and has left no segment behind"
    );

    let ending = command_trace(&test, &[], &["exit-at-once", "3"]);
    assert_eq!(ending.status.code(), Some(3));
    let all = lines(&ending.stderr);
    expect(
        &all[2],
        &[
            "has left behind the segment ",
            "1000 bytes",
            "no process has attached",
        ],
    );
    expect(
        &all[3],
        &["has ended with status 3 and has left 1 segment behind"],
    );
}

#[test]
fn the_command_tells_what_a_killed_program_has_left() {
    let test = Environment::new();
    let ending = command_trace(&test, &[], &["killed", "9"]);
    assert_eq!(
        ending.status.code(),
        Some(128 + 9),
        "{:?}",
        ending.status.signal()
    );
    let all = lines(&ending.stderr);
    let id = Segment::open(test.keys.writer_reader).unwrap().id();
    expect(
        &all[2],
        &[
            &format!(
                "has left behind the segment {id} (key {}",
                test.keys.writer_reader
            ),
            &format!("shmkey remove {id}"),
        ],
    );
    assert_eq!(
        all[3],
        "was killed by SIGKILL (signal 9) and has left 1 segment behind"
    );
}

#[test]
fn the_command_tells_what_a_child_has_left_that_could_not() {
    for signal in ["9", "0"] {
        let test = Environment::new();
        let ending = command_trace(&test, &[], &["killed-child", signal]);
        assert!(ending.status.success());
        let all = lines(&ending.stderr);
        let id: i32 = id_in(&all[0]).parse().unwrap();
        Segment::from_id(id).remove().unwrap();
        expect(
            &all[1],
            &[&format!("has left behind the segment {id} (1000 bytes")],
        );
        expect(
            &all[2],
            &["has ended; with the processes it started, it has left 1 segment behind"],
        );
    }
}

#[test]
fn the_command_does_not_speak_for_another_namespace() {
    needs!(NAMESPACES);
    let test = Environment::new();
    let all = lines(&command_trace(&test, &[], &["apart"]).stderr);
    expect(&all[2], &["leaves behind the segment 0 (key "]);
    expect(&all[3], &["ends and leaves 1 segment behind"]);
    expect(
        &all[4],
        &["what was created in another IPC namespace cannot be seen from here"],
    );
}

/// Without `/proc`, a process cannot tell its IPC namespace, which need not be another one.
#[test]
fn an_unknown_namespace_is_not_another_one() {
    needs!(ROOT, PERL);
    let create = "shmget(0, 1000, 0600)";
    for script in [
        format!("chroot('.'); {create};"),
        format!("if (fork) {{ wait }} else {{ chroot('.'); {create} }}"),
        // It is the command that tells what this one leaves.
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
        expect(last, &["left 1 segment behind"]);
        assert!(!last.contains("another"), "{last}");
    }
}

/// A shell's script below `shmkey trace`.
fn traced_script(options: &[&str], script: &str) -> Command {
    let mut command = shmkey_trace(options);
    command.args(["sh", "-c", script]);
    command
}

#[test]
fn the_command_says_that_nothing_was_traced() {
    let ending = run(traced_script(&[], "exit 3"));
    assert_eq!(ending.status.code(), Some(3));
    assert_eq!(
        lines(&ending.stderr),
        ["has ended with status 3 and has left no segment behind; no call was traced"]
    );
}

/// The library makes system calls directly, however a program got it; what it leaves is still reported.
#[test]
fn the_command_says_that_the_library_is_not_traced() {
    let (artifacts, situations) = linked();
    let test = Environment::new();
    let why = "no call was traced, because it is linked with the library shmkey";
    let create = |test: &Environment, program: &Path| {
        let mut command = shmkey_trace(&[]);
        // A child, which the command cannot know as its own.
        let script = r#"echo line | "$0" > /dev/null; :"#;
        command.args(["sh", "-c", script]).arg(program);
        command.current_dir(test.path());
        let ending = run(command);
        lines(&ending.stderr).concat()
    };
    for library in ["libshmkey.so", "libshmkey.a"] {
        let program = artifacts.directory().join(format!("traced-{library}"));
        let source = "c_examples/writer.c";
        artifacts
            .link(source, Some(library), &[], &program)
            .unwrap();
        let said = create(&test, &program);
        expect(&said, &[why, "has left 1 segment behind"]);
        let left = Segment::open(test.keys.writer_reader).unwrap();
        left.remove().unwrap();
    }
    // A Rust program: the command is one.
    let rust = artifacts.built("shmkey");
    expect(&create(&test, &rust), &[why]);
    // A program that is not linked with it runs one that is.
    let mut command = shmkey_trace(&["--json"]);
    let script = r#""$0" too-small; "$1" > /dev/null"#;
    command
        .args(["sh", "-c", script])
        .arg(situations)
        .arg(&rust);
    command.current_dir(test.path());
    let events = events(&String::from_utf8(run(command).stderr).unwrap());
    let last = events.last().unwrap();
    assert_eq!(
        (&last["called"], &last["library"]),
        (&true.into(), &true.into())
    );
    let said = lines(&command_trace(&test, &[], &["too-small"]).stderr);
    assert!(!said.last().unwrap().contains("library"));
}

#[test]
fn the_command_hands_down_no_descriptor() {
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
        all.last().unwrap(),
        "has ended and has left no segment behind"
    );
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
        let script = format!(
            "trap 'exit 7' {name}; echo; i=0; while [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done"
        );
        let mut command = traced_script(&[], &script);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        // A shell that puts a job into the background has it ignore some, and that is inherited.
        let heed = move || {
            // SAFETY: gives a signal back its default.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
            Ok(())
        };
        // SAFETY: the closure makes one system call.
        unsafe { command.pre_exec(heed) };
        let mut child = command.spawn().unwrap();
        let mut byte = [0];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut byte)
            .unwrap();
        // SAFETY: sends a signal to a child that was not waited for.
        unsafe { libc::kill(child.id() as i32, signal) };
        let ending = child.wait_with_output().unwrap();
        assert_eq!(ending.status.code(), Some(7), "{name}");
    }
}

#[test]
fn the_command_passes_on_how_broken_pipes_are_taken() {
    let (artifacts, _) = linked();
    for (first, ignored) in [("trap '' PIPE", true), ("trap - PIPE", false)] {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!(
                "{first}; exec \"$1\" trace grep SigIgn: /proc/self/status"
            ))
            .arg("sh")
            .arg(artifacts.built("shmkey"));
        let ending = run(command);
        let said = String::from_utf8(ending.stdout).unwrap();
        let set = u64::from_str_radix(said.trim_start_matches("SigIgn:").trim(), 16).unwrap();
        assert_eq!(set & 1 << (libc::SIGPIPE - 1) != 0, ignored, "{said}");
    }
}

#[test]
fn the_command_runs_nothing_without_a_place_for_the_trace() {
    for file in ["/no/such/place/file", "/no/such/place/%p"] {
        let ending = run(traced_script(&["-o", file], "echo ran"));
        assert_eq!(ending.status.code(), Some(125));
        assert!(ending.stdout.is_empty());
        let said = String::from_utf8(ending.stderr).unwrap();
        expect(&said, &[&format!("shmkey: {file}: No such file")]);
    }
}

#[test]
fn the_command_writes_json_to_a_file() {
    let test = Environment::new();
    let ending = command_trace(&test, &["--json", "--output", "1"], &["killed", "15"]);
    assert_eq!(ending.status.code(), Some(128 + 15));
    assert!(ending.stderr.is_empty());
    let events = events(&fs::read_to_string(test.path().join("1")).unwrap());
    let last = events.last().unwrap();
    assert_eq!(
        (&last["event"], &last["signal"]),
        (&Value::from("exit"), &Value::from(15))
    );
    assert_eq!(last["status"], Value::Null);
    assert_eq!(last["segments"], 1);
    assert_eq!(last["called"], true);
    expect_fields_of_exit(last);
    assert_eq!(events[events.len() - 2]["event"], "left");
    assert_eq!(events[events.len() - 2]["bytes"], 1000);
}

#[test]
fn the_command_says_what_cannot_be_traced() {
    let (artifacts, _) = linked();
    let test = Environment::new();
    let static_program = artifacts.directory().join("static");
    artifacts
        .link(
            "tests/c/trace.c",
            None,
            &["-static", "-pthread"],
            &static_program,
        )
        .unwrap();
    for (program, status, words) in [
        (
            "no-such-program-anywhere",
            127,
            "there is no program no-such-program-anywhere in PATH",
        ),
        ("/no/such/file", 127, "No such file"),
        ("/etc/passwd", 126, "is not an executable program"),
        (
            static_program.to_str().unwrap(),
            126,
            "is linked statically",
        ),
    ] {
        let mut command = shmkey_trace(&[program]);
        command.current_dir(test.path());
        let ending = run(command);
        assert_eq!(ending.status.code(), Some(status), "{program}");
        expect(
            &String::from_utf8(ending.stderr).unwrap(),
            &["shmkey: ", words],
        );
    }
    let mut command = shmkey_trace(&["true"]);
    command.env("SHMKEY_DROPIN", "/no/such/library.so");
    let ending = run(command);
    assert_eq!(ending.status.code(), Some(125));
    expect(
        &String::from_utf8(ending.stderr).unwrap(),
        &["SHMKEY_DROPIN is /no/such/library.so"],
    );
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

/// Has a program's descriptor lead to a file of this process.
fn redirect(command: &mut Command, descriptor: RawFd, to: &impl AsRawFd) {
    let to = to.as_raw_fd();
    let redirect = move || {
        // SAFETY: both numbers are descriptors of the child.
        match unsafe { libc::dup2(to, descriptor) } {
            -1 => Err(std::io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    // SAFETY: the closure makes one system call.
    unsafe { command.pre_exec(redirect) };
}

#[test]
fn the_command_says_1_byte() {
    let mut command = traced_script(&[], r#""$0" create -s 1 > /dev/null; :"#);
    command.arg(linked().0.built("shmkey"));
    let all = lines(&run(command).stderr);
    let id = all[0].split(' ').nth(5).unwrap().parse().unwrap();
    Segment::from_id(id).remove().unwrap();
    expect(&all[0], &[" (1 byte, mode 0600), which no process"]);
}

/// A script whose first word is the program with the situations: it makes a call.
const FAILS_WITH_3: &str = r#""$0" no-key; exit 3"#;

#[test]
fn the_command_does_not_wait_for_a_pipe_that_is_not_read() {
    let test = Environment::new();
    let (_, program) = linked();
    let (_reader, writer) = full_pipe();
    let mut command = traced_script(&[], FAILS_WITH_3);
    command.current_dir(test.path()).arg(program);
    redirect(&mut command, 2, &writer);
    assert_eq!(run(command).status.code(), Some(3));
}

#[test]
fn the_command_says_how_many_lines_were_lost() {
    let test = Environment::new();
    let (_, program) = linked();
    let mut command = traced_script(&[], r#""$0" too-small; :"#);
    command.current_dir(test.path()).arg(program);
    // The last line is the command's own.
    let all = lines(&run(command).stderr).len() - 1;
    let (mut reader, writer) = full_pipe();
    // The pipe is emptied after the lines of the trace were lost, and before the command has its say.
    let mut command = traced_script(&[], r#""$0" too-small; head -c 65536 | wc -c"#);
    command.current_dir(test.path()).arg(program);
    redirect(&mut command, 0, &reader);
    redirect(&mut command, 2, &writer);
    assert_eq!(run(command).stdout, b"65536\n");
    drop(writer);
    let mut said = Vec::new();
    reader.read_to_end(&mut said).unwrap();
    let lost = format!("; {all} lines of the trace were lost");
    expect(&lines(&said).concat(), &[&lost]);
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
    expect(all.last().unwrap(), &["it has left 100 segments behind"]);
}

#[test]
fn the_command_is_not_stopped_by_its_terminal_in_the_background() {
    let test = Environment::new();
    let (_, program) = linked();
    let mut ends = [-1; 2];
    // SAFETY: there is room for two descriptors, which become those of the files.
    let (mut screen, terminal) = unsafe {
        let [screen, terminal] = &mut ends;
        let (none, default) = (ptr::null_mut(), ptr::null());
        assert_eq!(
            libc::openpty(screen, terminal, none, default, ptr::null()),
            0
        );
        (File::from_raw_fd(*screen), File::from_raw_fd(*terminal))
    };
    let script = r#"stty tostop < /dev/tty; set -m; "$@" 2> /dev/tty & wait $!; echo status $?"#;
    let mut command = Command::new("sh");
    command.current_dir(test.path()).args(["-c", script, "sh"]);
    let traced = traced_script(&[], FAILS_WITH_3);
    command.arg(traced.get_program()).args(traced.get_args());
    command.arg(program);
    let number = terminal.as_raw_fd();
    let control = move || {
        // SAFETY: begins a session, and gives it the terminal.
        match unsafe { libc::setsid() + libc::ioctl(number, libc::TIOCSCTTY, 0) } {
            -1 => Err(std::io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    // SAFETY: the closure makes two system calls.
    unsafe { command.pre_exec(control) };
    let ending = run(command);
    assert_eq!(String::from_utf8_lossy(&ending.stdout), "status 3\n");
    set_nonblocking(&screen, true);
    let mut said = [0; 4096];
    let len = screen.read(&mut said).unwrap();
    let said = String::from_utf8_lossy(&said[..len]);
    expect(
        &said,
        &["has ended with status 3 and has left no segment behind"],
    );
}

#[test]
fn the_command_does_not_die_of_the_limit_on_file_sizes() {
    let test = Environment::new();
    let (_, program) = linked();
    let mut command = traced_script(&["-o", "trace"], FAILS_WITH_3);
    command.current_dir(test.path()).arg(program);
    let limit = || {
        let none = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: the kernel reads the limit.
        unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &none) };
        Ok(())
    };
    // SAFETY: the closure makes one system call.
    unsafe { command.pre_exec(limit) };
    let ending = run(command);
    assert_eq!(ending.status.code(), Some(3));
    let said = String::from_utf8(ending.stderr).unwrap();
    expect(
        &said,
        &["the trace cannot be written to ", "File too large"],
    );
}
