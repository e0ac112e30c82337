//! The drop-in's trace: what it says, where it goes, and that it does no harm to what is traced.

mod command;
mod failures;
#[path = "../support/mod.rs"]
mod support;

use serde_json::Value;
use shmkey::Segment;
use std::{
    fs,
    io::Read,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, LazyLock},
};
use support::{Artifacts, Ending, Environment, Process, hosts::without_trace, says};

/// The libraries, and the program with the situations, on libc.
fn linked() -> &'static (Arc<Artifacts>, PathBuf) {
    static LINKED: LazyLock<(Arc<Artifacts>, PathBuf)> = LazyLock::new(|| {
        let artifacts = Artifacts::shared();
        let program = artifacts.directory().join("situations");
        artifacts
            .link("tests/c/trace.c", None, &["-pthread"], &program)
            .expect("the program can be linked");
        (artifacts, program)
    });
    &LINKED
}

/// A situation with the drop-in preloaded, and these variables. Situations are the kernel's, also where a filter forbids its
/// calls.
fn situation(test: &Environment, words: &[&str], variables: &[(&str, &str)]) -> Command {
    let (artifacts, program) = linked();
    let mut command = artifacts.command(program);
    artifacts.preload(&mut command);
    command.current_dir(test.path()).args(words);
    without_trace(&mut command);
    command.env("SHMKEY_BACKEND", "kernel");
    command.envs(variables.iter().copied());
    command
}

/// Runs a situation, which is to succeed.
fn run_to_success(command: Command) -> Ending {
    let ending = Process::run("trace", command, b"").unwrap();
    let (status, output) = (ending.status, String::from_utf8_lossy(&ending.stdout));
    assert_ne!(status.code(), Some(77), "this machine does not allow it");
    assert!(status.success(), "{status:?}: {output}");
    ending
}

/// The lines that a situation gives on standard error, without the process's id.
fn trace_of(words: &[&str]) -> Vec<String> {
    let test = Environment::new();
    lines(&run_to_success(situation(&test, words, &[("SHMKEY_TRACE", "1")])).stderr)
}

fn lines(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8(text.to_vec()).expect("UTF-8");
    assert!(text.ends_with('\n'), "{text}");
    text.lines()
        .map(|line| {
            let rest = line.strip_prefix("shmkey[").expect(line);
            let (pid, rest) = rest.split_once("] ").expect(line);
            assert!(pid.parse::<u32>().is_ok(), "{line}");
            rest.to_owned()
        })
        .collect()
}

/// The lines of failures.
fn failed(all: &[String]) -> Vec<String> {
    let failed = all.iter().filter(|line| line.contains(") failed ("));
    failed.cloned().collect()
}

/// The id that a line has as the result of its call.
fn id_in(line: &str) -> &str {
    let (_, rest) = line.split_once(" = id ").expect(line);
    rest.split(' ').next().unwrap()
}

/// The objects of a trace in JSON.
fn events(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

#[test]
fn the_end_names_what_is_left() {
    let all = trace_of(&["untidy"]);
    let created = all.iter().filter(|line| line.starts_with("shmget"));
    let ids: Vec<&str> = created.map(|line| id_in(line)).collect();
    let [first, second, removed] = ids[..] else {
        panic!("{all:#?}");
    };
    let end = all.join("\n");
    for id in [first, second] {
        says(
            &end,
            &format!("ends with the segment {id} still attached at 0x"),
        );
    }
    let with_key = "1000 bytes, mode 0640), which no other process has attached";
    says(
        &end,
        &format!("leaves behind the segment {first} (key 0x73…, {with_key}"),
    );
    says(
        &end,
        &format!("leaves behind the segment {second} (500 bytes, mode 0600)"),
    );
    says(&end, &format!("shmkey remove {second}, ipcrm -m {second}"));
    says(&end, "ends and leaves 2 segments behind");
    for absent in [&format!("leaves behind the segment {removed}"), "nattch"] {
        assert!(!end.contains(absent), "{end}");
    }
    Segment::from_id(second.parse().unwrap()).remove().unwrap();
}

#[test]
fn the_end_names_who_has_it_attached() {
    let test = Environment::new();
    let mut command = situation(&test, &["shared"], &[("SHMKEY_TRACE", "1")]);
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The creator ends, and its child lives until its input does.
    let input = child.stdin.take();
    let creator = child.id();
    assert!(child.wait().unwrap().success());
    drop(input);
    let mut text = Vec::new();
    child.stderr.take().unwrap().read_to_end(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let other = text
        .lines()
        .find(|line| line.contains("shmat("))
        .and_then(|line| line["shmkey[".len()..].split(']').next())
        .unwrap();
    assert_ne!(other, creator.to_string());
    let expected = format!(
        "1000 bytes, mode 0600), which is attached by process {other}; it is in use; once no process needs its \
         content, remove it: "
    );
    says(&text, &expected);
}

#[test]
fn the_end_names_each_of_2000_segments() {
    needs!(NAMESPACES);
    let all = trace_of(&["plenty"]);
    let count = |part: &str| all.iter().filter(|line| line.contains(part)).count();
    assert_eq!(count("still attached at 0x"), 2000);
    assert_eq!(
        count("(1 byte, mode 0600), which no other process has attached"),
        2000
    );
    assert_eq!(all.last().unwrap(), "ends and leaves 2000 segments behind");
}

/// The events of a trace in JSON that is written to one file for each process.
fn events_of_too_small() -> Vec<Value> {
    let test = Environment::new();
    let file = test.path().join("of %p.json");
    let json = [
        ("SHMKEY_TRACE", file.to_str().unwrap()),
        ("SHMKEY_TRACE_FORMAT", "json"),
    ];
    let ending = run_to_success(situation(&test, &["too-small"], &json));
    assert!(ending.stderr.is_empty());
    let files = files_of(&test, "of ");
    assert_eq!(files.len(), 1, "{files:?}");
    let events = events(&fs::read_to_string(&files[0]).unwrap());
    let pid = &events[0]["pid"];
    assert!(files[0].ends_with(format!("of {pid}.json")), "{files:?}");
    events
}

/// The files in the directory of a test whose names begin so.
fn files_of(test: &Environment, start: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(test.path()).unwrap().map(Result::unwrap);
    let named = entries.filter(|entry| entry.file_name().to_str().unwrap().starts_with(start));
    named.map(|entry| entry.path()).collect()
}

#[test]
fn json_has_an_object_for_each_call() {
    let events = events_of_too_small();
    let failure = &events[3];
    for (field, value) in [
        ("event", Value::from("call")),
        ("call", "shmget".into()),
        ("result", (-1).into()),
        ("errno", libc::EINVAL.into()),
        ("errno_name", "EINVAL".into()),
        ("tid", failure["pid"].clone()),
    ] {
        assert_eq!(failure[field], value, "{field}");
    }
    assert_eq!(failure["arguments"]["size"], 1024);
    assert_eq!(failure["arguments"]["flags"], 0o600);
    says(failure["explanation"].as_str().unwrap(), "has 512 bytes");
    assert!(failure["duration_ns"].is_u64());
    assert!(failure["time"].as_f64().unwrap() > 1.7e9);

    let success = &events[1];
    assert!(success["result"].as_i64().unwrap() >= 0);
    assert_eq!(
        (&success["errno"], &success["explanation"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(events[0]["words"], "\"shmfile\", project 115 ('s')");
}

#[test]
fn json_has_an_object_for_the_end() {
    let events = events_of_too_small();
    let end = events.last().unwrap();
    assert_eq!(
        (&end["event"], &end["segments"]),
        (&"exit".into(), &0.into())
    );
    expect_fields_of_exit(end);
}

/// They are the same whether the drop-in or the command reports the end.
#[track_caller]
fn expect_fields_of_exit(event: &Value) {
    let mut fields: Vec<&str> = event
        .as_object()
        .unwrap()
        .keys()
        .map(|key| &**key)
        .collect();
    fields.sort();
    let expected = "attachments called event library pid segments signal status time";
    assert_eq!(fields.join(" "), expected);
}

/// Every situation that needs no rights, and a path of strange characters.
#[test]
fn all_json_is_valid() {
    for words in [
        &["no-key"][..],
        &["no-id"],
        &["bad-addresses"],
        &["bad-sizes"],
        &["filtered", "1"],
    ] {
        let test = Environment::new();
        let json = [("SHMKEY_TRACE", "stderr"), ("SHMKEY_TRACE_FORMAT", "json")];
        let ending = run_to_success(situation(&test, words, &json));
        for event in events(&String::from_utf8(ending.stderr).unwrap()) {
            assert!(event["event"].is_string(), "{event}");
        }
    }
}

/// Runs 4 processes of 4 threads that make 200 calls each, with a trace to this file.
fn trace_crowd(test: &Environment, file: &str) {
    let file = test.path().join(file);
    let trace = [("SHMKEY_TRACE", file.to_str().unwrap())];
    run_to_success(situation(test, &["crowd"], &trace));
}

#[test]
fn threads_and_processes_write_whole_lines() {
    let test = Environment::new();
    trace_crowd(&test, "trace");
    let all = lines(&fs::read(test.path().join("trace")).unwrap());
    let calls = all
        .iter()
        .filter(|line| line.starts_with("shmget(key 0x7b5a1234"));
    let whole = calls.filter(|line| line.contains("ask to create it (IPC_CREAT)"));
    assert_eq!(whole.count(), 4 * 4 * 200);
}

#[test]
fn each_process_has_a_file_of_its_own() {
    let test = Environment::new();
    trace_crowd(&test, "trace.%p");
    let files = files_of(&test, "trace.");
    assert_eq!(files.len(), 4, "{files:?}");
    for file in files {
        let start = format!("shmkey[{}]", file.extension().unwrap().display());
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.lines().all(|line| line.starts_with(&start)));
        assert_eq!(
            text.lines().filter(|line| line.contains("shmget")).count(),
            800
        );
    }
}

#[test]
fn a_call_in_a_signal_handler_is_traced() {
    let all = trace_of(&["handler"]);
    let count = |call: &str| all.iter().filter(|line| line.starts_with(call)).count();
    assert_eq!(count("ftok(\"no such file\", project 1) failed"), 3000);
    assert!(count("shmget(key 0x7b5a1234") > 0);
}

#[test]
fn without_a_trace_nothing_is_opened_or_written() {
    let test = Environment::new();
    let descriptors = |command| {
        let ending = run_to_success(command);
        let count = String::from_utf8(ending.stdout).unwrap();
        (count.parse::<u32>().unwrap(), ending.stderr.is_empty())
    };
    let mut without = situation(&test, &["descriptors"], &[]);
    without.env_remove("LD_PRELOAD");
    // Some may be inherited.
    let (inherited, _) = descriptors(without);
    for value in [None, Some(""), Some("0")] {
        let variables: Vec<_> = value
            .map(|value| ("SHMKEY_TRACE", value))
            .into_iter()
            .collect();
        let command = situation(&test, &["descriptors"], &variables);
        assert_eq!(descriptors(command), (inherited, true), "{value:?}");
    }
    let command = situation(&test, &["descriptors"], &[("SHMKEY_TRACE", "1")]);
    assert_eq!(descriptors(command), (inherited, false));
}

#[test]
fn a_program_may_close_all_descriptors() {
    let test = Environment::new();
    let file = test.path().join("trace");
    // A file is opened again, and its old number is not taken for it: the program has a file of that number.
    let trace = [("SHMKEY_TRACE", file.to_str().unwrap())];
    run_to_success(situation(&test, &["closer"], &trace));
    // Standard error is still there under its own number.
    let to_stderr = run_to_success(situation(&test, &["closer"], &[("SHMKEY_TRACE", "1")]));
    for trace in [fs::read(&file).unwrap(), to_stderr.stderr] {
        let all = lines(&trace);
        assert_eq!(failed(&all).len(), 4, "{all:#?}");
    }
    assert_eq!(fs::read(test.path().join("own")).unwrap(), b"");
}

#[test]
fn a_program_does_not_die_of_an_unread_trace() {
    let test = Environment::new();
    let (artifacts, program) = linked();
    // The shell's end of the pipe is closed before the program begins.
    let script = r#"exec 3>&1
        { sleep 0.2; LD_PRELOAD="$1" "$2" unheard 2>&1 >&3; echo "status $?" >&3; } | true"#;
    let mut command = Command::new("sh");
    command
        .current_dir(test.path())
        .env("SHMKEY_TRACE", "1")
        .arg("-c")
        .arg(script)
        .arg("sh")
        .arg(artifacts.built("libshmkey_dropin.so"))
        .arg(program);
    let ending = Process::run("unheard", command, b"").unwrap();
    assert_eq!(String::from_utf8_lossy(&ending.stdout), "status 0\n");
}

#[test]
fn a_trace_that_cannot_be_written_is_reported_once() {
    let test = Environment::new();
    fs::write(test.path().join("file"), "").unwrap();
    for (place, why) in [
        ("/no/such/place", "ENOENT"),
        ("./", "EISDIR"),
        ("./file/below", "ENOTDIR"),
        ("true", "it has to be 1, stderr, or a path with a / in it"),
    ] {
        let ending = run_to_success(situation(&test, &["no-key"], &[("SHMKEY_TRACE", place)]));
        let text = String::from_utf8(ending.stderr).unwrap();
        assert_eq!(
            text,
            format!("shmkey: cannot trace to \"{place}\": {why}\n")
        );
    }
    assert!(!test.path().join("true").exists());
}

/// The reader of the FIFO has ended, and no process waits for another one.
#[test]
fn a_fifo_without_a_reader_stops_no_program() {
    let test = Environment::new();
    let fifo = test.path().join("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    let trace = [("SHMKEY_TRACE", fifo.to_str().unwrap())];
    let mut command = situation(&test, &["closer-that-waits"], &trace);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut reader = fs::File::open(&fifo).unwrap();
    reader.read_exact(&mut [0; 100]).unwrap();
    // The end of its input: it has closed its descriptors.
    while reader.read(&mut [0; 1000]).unwrap() > 0 {}
    drop(reader);
    drop(child.stdin.take());
    for _ in 0..300 {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    child.kill().unwrap();
    panic!("it waits for a reader");
}

/// The clock of another preloaded library, which keeps it in a segment.
const CLOCK: &str = "
    #include <sys/shm.h>
    #include <time.h>
    int clock_gettime(clockid_t clock, struct timespec *time)
    {
        (void) clock;
        shmget(0x7b5a1234, 1, 0600);
        time->tv_sec = time->tv_nsec = 0;
        return 0;
    }";

#[test]
fn a_clock_may_make_traced_calls_itself() {
    let (artifacts, program) = linked();
    let test = Environment::new();
    let (source, library) = (test.path().join("clock.c"), test.path().join("clock.so"));
    fs::write(&source, CLOCK).unwrap();
    let options = ["-shared", "-fPIC"];
    artifacts
        .link_files(&[&source], None, &options, &library)
        .unwrap();
    let mut command = Command::new(program);
    let dropin = artifacts.built("libshmkey_dropin.so");
    let preload = format!("{}:{}", dropin.display(), library.display());
    command.current_dir(test.path()).arg("no-key");
    command.env("SHMKEY_TRACE", "1").env("LD_PRELOAD", preload);
    let all = lines(&run_to_success(command).stderr);
    assert_eq!(failed(&all).len(), 2, "{all:#?}");
}

#[test]
fn a_program_that_is_linked_with_the_drop_in_is_traced() {
    let (artifacts, _) = linked();
    for (library, options) in [
        ("libshmkey_dropin.so", &["-pthread"][..]),
        ("libshmkey_dropin.a", &["-pthread"]),
        ("libshmkey_dropin.a", &["-pthread", "-static"]),
    ] {
        let name = format!("linked-{library}-{}", options.len());
        let program = artifacts.directory().join(name);
        let source = "tests/c/trace.c";
        artifacts
            .link(source, Some(library), options, &program)
            .unwrap();
        let test = Environment::new();
        let mut command = artifacts.command(&program);
        command
            .current_dir(test.path())
            .arg("too-small")
            .env("SHMKEY_TRACE", "1");
        let all = lines(&run_to_success(command).stderr);
        assert_eq!(all.len(), 6, "{all:#?}");
        says(&all[3], "has 512 bytes, and 1024 were requested");
    }
}
