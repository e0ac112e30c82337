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
use support::{Artifacts, Ending, Environment, Process};

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

/// A situation with the drop-in preloaded, and these variables.
fn situation(test: &Environment, words: &[&str], variables: &[(&str, &str)]) -> Command {
    let (artifacts, program) = linked();
    let mut command = artifacts.command(program);
    artifacts.preload(&mut command);
    command.current_dir(test.path()).args(words);
    for variable in [
        "SHMKEY_TRACE",
        "SHMKEY_TRACE_FORMAT",
        "SHMKEY_TRACE_REPORTER",
    ] {
        command.env_remove(variable);
    }
    command.envs(variables.iter().copied());
    command
}

/// Runs it to its good end.
fn run_to_success(command: Command) -> Ending {
    let ending = Process::run("trace", command, b"").unwrap();
    assert_ne!(
        ending.status.code(),
        Some(77),
        "this machine does not allow it"
    );
    let said = String::from_utf8_lossy(&ending.stdout);
    assert!(ending.status.success(), "{:?}: {said}", ending.status);
    ending
}

/// The lines that a situation gives on standard error, without the process' id.
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

#[track_caller]
fn expect(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "no \"{part}\" in: {line}");
    }
}

#[test]
fn the_end_tells_what_is_left() {
    let all = trace_of(&["untidy"]);
    let ids: Vec<&str> = all
        .iter()
        .filter(|line| line.starts_with("shmget"))
        .map(|line| id_in(line))
        .collect();
    let end = all.join("\n");
    for id in &ids[..2] {
        expect(
            &end,
            &[&format!("ends with the segment {id} still attached at 0x")],
        );
    }
    expect(
        &end,
        &[
            &format!("leaves behind the segment {} (key 0x73", ids[0]),
            ", 1000 bytes, mode 0640), which no other process has attached",
            &format!(
                "leaves behind the segment {} (500 bytes, mode 0600)",
                ids[1]
            ),
            &format!("shmkey remove {}, ipcrm -m {}", ids[1], ids[1]),
            "ends and leaves 2 segments behind",
        ],
    );
    assert!(!end.contains(&format!("leaves behind the segment {}", ids[2])));
    Segment::from_id(ids[1].parse().unwrap()).remove().unwrap();
    assert!(!end.contains("nattch"));
}

#[test]
fn the_end_tells_who_has_it_attached() {
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
    expect(
        &text,
        &[&format!(
            "1000 bytes, mode 0600), which is attached by process {other}; it is in use; once no \
             process needs its content, remove it: "
        )],
    );
}

#[test]
fn the_end_of_a_program_with_very_many() {
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

#[test]
fn json_is_a_valid_object_a_line() {
    let test = Environment::new();
    let file = test.path().join("of %p.json");
    let json = [
        ("SHMKEY_TRACE", file.to_str().unwrap()),
        ("SHMKEY_TRACE_FORMAT", "json"),
    ];
    let ending = run_to_success(situation(&test, &["too-small"], &json));
    assert!(ending.stderr.is_empty());
    let files: Vec<PathBuf> = fs::read_dir(test.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let events = events(&fs::read_to_string(&files[0]).unwrap());
    let pid = events[0]["pid"].as_u64().unwrap();
    assert!(files[0].ends_with(format!("of {pid}.json")), "{files:?}");

    let failure = &events[3];
    assert_eq!(failure["event"], "call");
    assert_eq!(failure["call"], "shmget");
    assert_eq!(failure["arguments"]["size"], 1024);
    assert_eq!(failure["arguments"]["flags"], 0o600);
    assert_eq!(failure["result"], -1);
    assert_eq!(failure["errno"], libc::EINVAL);
    assert_eq!(failure["errno_name"], "EINVAL");
    expect(failure["explanation"].as_str().unwrap(), &["has 512 bytes"]);
    assert!(failure["duration_ns"].as_u64().is_some());
    assert!(failure["time"].as_f64().unwrap() > 1.7e9);
    assert_eq!(failure["tid"], pid);

    let success = &events[1];
    assert!(success["result"].as_i64().unwrap() >= 0);
    assert_eq!(success["errno"], Value::Null);
    assert_eq!(success["explanation"], Value::Null);
    assert_eq!(events[0]["words"], "\"shmfile\", project 115 ('s')");
    assert_eq!(events.last().unwrap()["event"], "exit");
    assert_eq!(events.last().unwrap()["segments"], 0);
    expect_fields_of_exit(events.last().unwrap());
}

/// They are the same, whichever side reports the end.
#[track_caller]
fn expect_fields_of_exit(event: &Value) {
    let mut fields: Vec<&String> = event.as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(
        fields,
        [
            "attachments",
            "called",
            "event",
            "library",
            "pid",
            "segments",
            "signal",
            "status",
            "time"
        ]
    );
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

#[test]
fn threads_and_processes_write_whole_lines() {
    let test = Environment::new();
    let file = test.path().join("trace");
    let trace = [("SHMKEY_TRACE", file.to_str().unwrap())];
    run_to_success(situation(&test, &["crowd"], &trace));
    let text = fs::read(&file).unwrap();
    let calls = lines(&text);
    let calls = calls
        .iter()
        .filter(|line| line.starts_with("shmget(key 0x7b5a1234"));
    assert_eq!(calls.clone().count(), 4 * 4 * 200);
    assert!(
        calls
            .clone()
            .all(|line| line.contains("ask to create it (IPC_CREAT)"))
    );

    // Each process has a file of its own.
    let file = test.path().join("trace.%p");
    let trace = [("SHMKEY_TRACE", file.to_str().unwrap())];
    run_to_success(situation(&test, &["crowd"], &trace));
    let own = fs::read_dir(test.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let own: Vec<PathBuf> = own
        .filter(|path| path.to_str().unwrap().contains("trace."))
        .collect();
    assert_eq!(own.len(), 4, "{own:?}");
    for file in own {
        let pid = file.extension().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        assert!(
            text.lines()
                .all(|line| line.starts_with(&format!("shmkey[{pid}]")))
        );
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
fn off_means_nothing_at_all() {
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
fn a_program_may_close_what_it_does_not_know() {
    let test = Environment::new();
    let file = test.path().join("trace");
    // A file is opened again; its number is not taken for the one that the program has made of it.
    let trace = [("SHMKEY_TRACE", file.to_str().unwrap())];
    run_to_success(situation(&test, &["closer"], &trace));
    let all = lines(&fs::read(&file).unwrap());
    assert_eq!(failed(&all).len(), 4, "{all:#?}");
    assert_eq!(fs::read(test.path().join("own")).unwrap(), b"");
    // Standard error is still there under its own number.
    let ending = run_to_success(situation(&test, &["closer"], &[("SHMKEY_TRACE", "1")]));
    let all = lines(&ending.stderr);
    assert_eq!(failed(&all).len(), 4, "{all:#?}");
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
fn a_trace_that_cannot_be_had_is_said_once() {
    let test = Environment::new();
    let ending = run_to_success(situation(
        &test,
        &["no-key"],
        &[("SHMKEY_TRACE", "/no/such/place")],
    ));
    assert_eq!(
        String::from_utf8(ending.stderr).unwrap(),
        "shmkey: cannot trace to \"/no/such/place\": ENOENT\n"
    );
}

#[test]
fn a_trace_that_cannot_be_had_names_the_error() {
    let test = Environment::new();
    fs::write(test.path().join("file"), "").unwrap();
    for (path, name) in [("./", "EISDIR"), ("./file/below", "ENOTDIR")] {
        let ending = run_to_success(situation(&test, &["no-key"], &[("SHMKEY_TRACE", path)]));
        let said = String::from_utf8(ending.stderr).unwrap();
        assert!(said.ends_with(&format!(": {name}\n")), "{said}");
    }
}

#[test]
fn a_word_that_is_no_path_makes_no_file() {
    let test = Environment::new();
    let ending = run_to_success(situation(&test, &["no-key"], &[("SHMKEY_TRACE", "true")]));
    let said = String::from_utf8(ending.stderr).unwrap();
    expect(
        &said,
        &["shmkey: cannot trace to \"true\": it has to be 1, stderr, or a path with a / in it"],
    );
    assert!(!test.path().join("true").exists());
}

/// The reader of the FIFO has gone, and no process waits for another.
#[test]
fn a_fifo_that_nobody_reads_any_more_stops_nobody() {
    let test = Environment::new();
    let fifo = test.path().join("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
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

/// A clock that another preloaded library keeps in a segment.
#[test]
fn a_clock_that_makes_traced_calls_itself_does_no_harm() {
    let (artifacts, program) = linked();
    let test = Environment::new();
    let (source, library) = (test.path().join("clock.c"), test.path().join("clock.so"));
    let clock = r"
        #include <sys/shm.h>
        #include <time.h>
        int clock_gettime(clockid_t clock, struct timespec *time)
        {
            (void) clock;
            shmget(0x7b5a1234, 1, 0600);
            time->tv_sec = time->tv_nsec = 0;
            return 0;
        }";
    fs::write(&source, clock).unwrap();
    let built = Command::new(artifacts.compiler().unwrap())
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    assert!(built.unwrap().success());
    let mut command = Command::new(program);
    let dropin = artifacts.built("libshmkey_dropin.so");
    command
        .current_dir(test.path())
        .arg("no-key")
        .env("SHMKEY_TRACE", "1")
        .env(
            "LD_PRELOAD",
            format!("{}:{}", dropin.display(), library.display()),
        );
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
        let program = artifacts
            .directory()
            .join(format!("linked-{library}-{}", options.len()));
        artifacts
            .link("tests/c/trace.c", Some(library), options, &program)
            .unwrap();
        let test = Environment::new();
        let mut command = artifacts.command(&program);
        command
            .current_dir(test.path())
            .arg("too-small")
            .env("SHMKEY_TRACE", "1");
        let all = lines(&run_to_success(command).stderr);
        assert_eq!(all.len(), 6, "{all:#?}");
        expect(&all[3], &["has 512 bytes, and 1024 were requested"]);
    }
}
