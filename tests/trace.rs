//! What the drop-in's trace says: every failure is provoked in earnest, and explained by the facts
//! that were at hand.

mod stage;

use serde_json::Value;
use shmkey::Segment;
use stage::{Artifacts, Ending, Process, Sandbox};
use std::{
    fs,
    io::Read,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, LazyLock},
};

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
fn situation(sandbox: &Sandbox, words: &[&str], variables: &[(&str, &str)]) -> Command {
    let (artifacts, program) = linked();
    let mut command = artifacts.command(program);
    artifacts.preload(&mut command);
    command.current_dir(sandbox.path()).args(words);
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
fn play(command: Command) -> Ending {
    let ending = Process::run("trace", command, b"").unwrap();
    assert_ne!(
        ending.status.code(),
        Some(77),
        "this machine does not allow it: see the reason why this test is ignored"
    );
    let said = String::from_utf8_lossy(&ending.stdout);
    assert!(ending.status.success(), "{:?}: {said}", ending.status);
    ending
}

/// The lines that a situation gives on standard error, without the process' id.
fn trace_of(words: &[&str]) -> Vec<String> {
    let sandbox = Sandbox::new().unwrap();
    lines(&play(situation(&sandbox, words, &[("SHMKEY_TRACE", "1")])).stderr)
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
fn failures(words: &[&str]) -> Vec<String> {
    let all = trace_of(words);
    let failed = failed(&all);
    assert!(!failed.is_empty(), "{all:#?}");
    failed
}

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
fn einval_a_segment_that_is_too_small() {
    let failed = failures(&["too-small"]);
    expect(
        &failed[0],
        &[
            "shmget(key 0x73",
            ", 1024 bytes, if mode 0600 is allowed) failed (",
            "µs): EINVAL: the segment under this key (id ",
            ") has 512 bytes, and 1024 were asked for",
        ],
    );
}

#[test]
fn einval_sizes_that_cannot_be() {
    let failed = failures(&["bad-sizes"]);
    expect(
        &failed[0],
        &["0 bytes", "a segment of 0 bytes cannot be created"],
    );
    expect(&failed[1], &["looks like a negative number"]);
    expect(&failed[2], &["this system has no huge pages of 8 KiB"]);
}

#[test]
#[ignore = "needs root, for an IPC namespace with limits of its own"]
fn einval_a_size_beyond_the_limit() {
    let failed = failures(&["beyond-shmmax"]);
    expect(
        &failed[0],
        &["8193 bytes", "kernel.shmmax allows has 8192 bytes"],
    );
}

#[test]
fn einval_ids_and_addresses_that_are_none() {
    let failed = failures(&["no-id"]);
    expect(&failed[0], &["id -1", "what a failed shmget returns"]);
    expect(&failed[1], &["there is no segment with this id"]);
    expect(&failed[2], &["an id is never negative"]);
    expect(&failed[3], &["unknown command 77", "no such command"]);
    let failed = failures(&["bad-addresses"]);
    expect(&failed[0], &["is not a multiple of ", "the size of a page"]);
    expect(&failed[1], &["something is mapped there already, from 0x"]);
    expect(&failed[2], &["(SHM_REMAP) needs an address"]);
    expect(&failed[3], &["what a failed shmat returns"]);
    expect(&failed[4], &["inside of an attachment of the segment "]);
    expect(&failed[5], &["EFAULT: the buffer's address leads nowhere"]);
    expect(&failed[6], &["no segment is attached at this address"]);
    expect(
        &failed[7],
        &["ftok(a path that cannot be read, project 1)", "EFAULT"],
    );
}

#[test]
#[ignore = "needs root, for an IPC namespace of its own"]
fn einval_an_id_whose_place_is_taken() {
    for line in failures(&["place-taken"]) {
        expect(
            &line,
            &[
                "EINVAL",
                "the segment 32768 has its place, so the one with this id was removed",
            ],
        );
    }
}

#[test]
fn eexist() {
    let failed = failures(&["exists"]);
    expect(
        &failed[0],
        &[
            "create, only if there is none yet, mode 0600",
            "EEXIST: a segment with this key exists (id ",
        ],
    );
}

#[test]
fn enoent() {
    let failed = failures(&["no-key"]);
    expect(
        &failed[0],
        &[
            "ENOENT: there is no segment with this key",
            "ftok(\"shmfile\", project 115 ('s')) has made this key",
        ],
    );
    expect(
        &failed[1],
        &["key 0x7b5a1234", "there is no segment with this key"],
    );
    assert!(!failed[1].contains("ftok"), "{}", failed[1]);
}

#[test]
#[ignore = "needs root, for an IPC namespace of its own"]
fn enoent_the_key_of_a_failed_ftok() {
    let all = trace_of(&["key-of-failed-ftok"]);
    expect(&all[0], &["key 0xffffffff", "most likely a failed ftok"]);
    assert!(!all[0].contains("in this process"), "{}", all[0]);
    expect(
        &all[1],
        &[
            "ftok(\"no such directory/file\", project 65 ('A')) failed",
            "ENOENT: there is no such file",
        ],
    );
    expect(
        &all[2],
        &[
            "most likely a failed ftok",
            "in this process ftok(\"no such directory/file\", project 65 ('A')) has failed with ENOENT",
        ],
    );
    expect(
        &all[3],
        &["create, mode 0600) = id ", "; note: the key 0xffffffff"],
    );
}

#[test]
#[ignore = "needs root, to become another user"]
fn eacces_and_eperm_of_a_strangers_segment() {
    let failed = failures(&["stranger"]);
    for line in &failed[..3] {
        expect(
            line,
            &[
                "EACCES",
                "belongs to uid 0 (root) and has mode 0600: uid 65534 (nobody), neither its owner nor in its group, may do nothing with it",
            ],
        );
    }
    expect(
        &failed[3],
        &[
            "remove) failed",
            "EPERM: only the owner (uid 0 (root))",
            "this is uid 65534 (nobody)",
        ],
    );
}

/// A mode that allows it, or does not count, is not blamed.
#[test]
fn eacces_by_a_filter() {
    let failed = failures(&["filtered-access"]);
    expect(
        &failed[0],
        &["EACCES", "mode 0666, which now allows ", "seccomp filter"],
    );
}

#[test]
#[ignore = "needs root, whom no mode keeps out"]
fn eacces_and_eperm_of_root_by_a_filter() {
    let failed = failures(&["filtered-root"]);
    expect(
        &failed[0],
        &[
            "EACCES",
            "mode 0600, which does not count for uid 0 (root), who has CAP_IPC_OWNER",
            "seccomp filter",
        ],
    );
    expect(&failed[1], &["EPERM: a seccomp filter is installed"]);
}

#[test]
#[ignore = "needs root, to become another user in another group"]
fn eacces_names_the_class_and_the_right() {
    let failed = failures(&["classes"]);
    expect(
        &failed[0],
        &["as a member of its group 1234, may do nothing with it, and this call asks to read it"],
    );
    expect(
        &failed[1],
        &["who owns or created it, may do nothing with it"],
    );
    expect(
        &failed[2],
        &["may read and write it, and this call asks to read, write and execute it"],
    );
    expect(
        &failed[3],
        &["EPERM: only the owner", "(with CAP_IPC_LOCK)"],
    );
    expect(
        &failed[4],
        &[
            "EPERM: the address 0x10 is below 0x",
            "CAP_SYS_RAWIO",
            "(vm.mmap_min_addr)",
        ],
    );
}

#[test]
#[ignore = "needs root, to become another user"]
fn eacces_blames_no_mode_that_allows_it() {
    let failed = failures(&["toggled"]);
    for line in &failed {
        assert!(
            line.contains("has mode 0600: uid 65534")
                || line.contains("has mode 0666, which now allows"),
            "{line}"
        );
    }
}

#[test]
#[ignore = "needs root, to make a segment of a user whom a namespace does not know"]
fn eacces_in_a_user_namespace() {
    let failed = failures(&["unknown-owner"]);
    let stranger = "a user that this namespace does not know (shown as uid 65534)";
    expect(
        &failed[0],
        &["EACCES", &format!("belongs to {stranger}"), ": uid 7"],
    );
    expect(
        &failed[1],
        &["EPERM: only the owner", stranger, "this is uid 7"],
    );
}

#[test]
#[ignore = "needs root, to become a user who may lock little"]
fn enomem_of_locking() {
    let failed = failures(&["locked"]);
    expect(
        &failed[0],
        &[
            "ENOMEM: the segment's 2 MiB, with what uid 65534 (nobody) has locked already",
            "more than 3 MiB",
        ],
    );
}

#[test]
fn odd_arguments() {
    let failed = failures(&["odd-arguments"]);
    for (line, parts) in failed.iter().zip([
        &["the addresses of a process end at 0x7ffffffff000, unless", "five levels"][..],
        &["the addresses of a process end at 0x", "the segment at 0xffff800000000000 would not"],
        &["rounded down to a page, this address is 0"],
        &["EFAULT: the buffer is NULL"],
        &["EFAULT: the buffer's address leads nowhere, or to memory that this process may not write"],
        &["EFAULT: the buffer's address leads nowhere, or to memory that this process may not read"],
        &["no segment has the index 32000"],
        &["uid 4294967295 is no user"],
        &["ENOENT: the path is empty"],
        &["huge pages of 16 GiB, mode 0600) failed", "no huge pages of 16 GiB"],
    ]) {
        expect(line, parts);
    }
    assert_eq!(failed.len(), 10);
}

#[test]
#[ignore = "needs root, for an IPC namespace with limits of its own"]
fn enospc() {
    let failed = failures(&["too-many"]);
    expect(
        &failed[0],
        &["ENOSPC: 3 of 3 segments (kernel.shmmni) are in use; this is not about the disk"],
    );
    let failed = failures(&["too-many-pages"]);
    expect(
        &failed[0],
        &[
            "ENOSPC: 3 of 5 pages of shared memory (kernel.shmall) are in use, and 3 more are too many",
        ],
    );
}

#[test]
#[ignore = "needs root, for an IPC namespace of its own"]
fn eidrm() {
    let failed = failures(&["removed"]);
    assert!(
        failed.iter().any(|line| line.contains(
            "EIDRM: the segment was removed at this very moment, while the call was under way"
        )),
        "{failed:#?}"
    );
}

#[test]
fn enomem() {
    let failed = failures(&["address-space"]);
    expect(
        &failed[0],
        &[
            "ENOMEM: this process may have 32 MiB of addresses (RLIMIT_AS",
            "the segment's 64 MiB do not fit",
        ],
    );
    let failed = failures(&["huge-pages"]);
    expect(
        &failed[0],
        &[
            "huge pages of 2 MiB, mode 0600",
            "ENOMEM: huge pages of 2 MiB: 2097152 needed, ",
        ],
    );
    // A machine that promises memory without limit does not fail.
    let sandbox = Sandbox::new().unwrap();
    let command = situation(&sandbox, &["memory"], &[("SHMKEY_TRACE", "1")]);
    let ending = Process::run("trace", command, b"").unwrap();
    if ending.status.code() != Some(77) {
        expect(
            &lines(&ending.stderr)[0],
            &["ENOMEM: 65536 GiB were asked for"],
        );
    }
}

#[test]
fn enosys_and_eperm_by_a_filter() {
    for (errno, name) in [(libc::ENOSYS, "ENOSYS"), (libc::EPERM, "EPERM")] {
        let mut all = trace_of(&["filtered", &errno.to_string()]);
        assert_eq!(
            all.pop().unwrap(),
            "ends; what it leaves behind cannot be told"
        );
        assert_eq!(all.len(), 4, "{all:#?}");
        for line in all {
            expect(
                &line,
                &[name, ": a seccomp filter is installed for this process"],
            );
        }
    }
}

#[test]
#[ignore = "needs root, to do without /proc"]
fn nothing_is_guessed_when_nothing_can_be_read() {
    let failed = failures(&["blind"]);
    expect(
        &failed[0],
        &[
            "ENOSYS",
            "which of these cannot be told, because /proc cannot be read",
        ],
    );
}

#[test]
fn nothing_is_guessed_when_a_record_cannot_be_read() {
    let failed = failures(&["half-blind"]);
    expect(&failed[0], &["EINVAL", "which of these cannot be told"]);
    expect(&failed[1], &["EEXIST: a segment with this key existed"]);
    expect(&failed[2], &["EINVAL", "which of these cannot be told"]);
}

/// The library's own errors say the same.
#[test]
fn the_library_gives_the_same_explanation() {
    let sandbox = Sandbox::new().unwrap();
    let key = sandbox.keys.writer_reader;
    let cause = |error: shmkey::Error| {
        let text = error.to_string();
        text.split_once("): ")
            .expect("a call comes first")
            .1
            .to_owned()
    };
    let ours = cause(Segment::open(key).unwrap_err());
    let traced = play(situation(&sandbox, &["no-key"], &[("SHMKEY_TRACE", "1")]));
    expect(&lines(&traced.stderr)[1], &[&ours]);

    let ours = cause(Segment::from_id(-1).attach().unwrap_err());
    let traced = play(situation(&sandbox, &["no-id"], &[("SHMKEY_TRACE", "1")]));
    expect(&lines(&traced.stderr)[0], &[&ours]);

    let ours = cause(Segment::from_id(0x7fff_fff1).attach().unwrap_err());
    expect(&lines(&traced.stderr)[1], &[&ours]);
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
            ", 1000 bytes, mode 0640), which nobody else has attached",
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
    let sandbox = Sandbox::new().unwrap();
    let mut command = situation(&sandbox, &["shared"], &[("SHMKEY_TRACE", "1")]);
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
            "1000 bytes, mode 0600), which is attached by process {other}; if nobody"
        )],
    );
}

#[test]
fn json_is_a_valid_object_a_line() {
    let sandbox = Sandbox::new().unwrap();
    let file = sandbox.path().join("of %p.json");
    let json = [
        ("SHMKEY_TRACE", file.to_str().unwrap()),
        ("SHMKEY_TRACE_FORMAT", "json"),
    ];
    let ending = play(situation(&sandbox, &["too-small"], &json));
    assert!(ending.stderr.is_empty());
    let files: Vec<PathBuf> = fs::read_dir(sandbox.path())
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

/// They are the same, whoever tells of the end.
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
        let sandbox = Sandbox::new().unwrap();
        let json = [("SHMKEY_TRACE", "stderr"), ("SHMKEY_TRACE_FORMAT", "json")];
        let ending = play(situation(&sandbox, words, &json));
        for event in events(&String::from_utf8(ending.stderr).unwrap()) {
            assert!(event["event"].is_string(), "{event}");
        }
    }
}

#[test]
fn threads_and_processes_write_whole_lines() {
    let sandbox = Sandbox::new().unwrap();
    let file = sandbox.path().join("trace");
    let trace = [("SHMKEY_TRACE", file.to_str().unwrap())];
    play(situation(&sandbox, &["crowd"], &trace));
    let text = fs::read(&file).unwrap();
    let calls = lines(&text);
    let calls = calls
        .iter()
        .filter(|line| line.starts_with("shmget(key 0x7b5a1234"));
    assert_eq!(calls.clone().count(), 4 * 4 * 200);
    assert!(
        calls
            .clone()
            .all(|line| line.ends_with("ask to create it (IPC_CREAT)"))
    );

    // Each process has a file of its own.
    let file = sandbox.path().join("trace.%p");
    let trace = [("SHMKEY_TRACE", file.to_str().unwrap())];
    play(situation(&sandbox, &["crowd"], &trace));
    let own = fs::read_dir(sandbox.path())
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
    let sandbox = Sandbox::new().unwrap();
    let descriptors = |command| {
        let ending = play(command);
        let count = String::from_utf8(ending.stdout).unwrap();
        (count.parse::<u32>().unwrap(), ending.stderr.is_empty())
    };
    let mut without = situation(&sandbox, &["descriptors"], &[]);
    without.env_remove("LD_PRELOAD");
    // Some may be inherited.
    let (inherited, _) = descriptors(without);
    for value in [None, Some(""), Some("0")] {
        let variables: Vec<_> = value
            .map(|value| ("SHMKEY_TRACE", value))
            .into_iter()
            .collect();
        let command = situation(&sandbox, &["descriptors"], &variables);
        assert_eq!(descriptors(command), (inherited, true), "{value:?}");
    }
    let command = situation(&sandbox, &["descriptors"], &[("SHMKEY_TRACE", "1")]);
    assert_eq!(descriptors(command), (inherited + 1, false));
}

#[test]
fn a_program_may_close_what_it_does_not_know() {
    let sandbox = Sandbox::new().unwrap();
    let file = sandbox.path().join("trace");
    // A file is opened again; its number is not taken for the one that the program has made of it.
    let trace = [("SHMKEY_TRACE", file.to_str().unwrap())];
    play(situation(&sandbox, &["closer"], &trace));
    let all = lines(&fs::read(&file).unwrap());
    assert_eq!(failed(&all).len(), 4, "{all:#?}");
    assert_eq!(fs::read(sandbox.path().join("own")).unwrap(), b"");
    // Standard error is still there under its own number.
    let ending = play(situation(&sandbox, &["closer"], &[("SHMKEY_TRACE", "1")]));
    let all = lines(&ending.stderr);
    assert_eq!(failed(&all).len(), 4, "{all:#?}");
    assert_eq!(fs::read(sandbox.path().join("own")).unwrap(), b"");
}

#[test]
fn a_program_does_not_die_of_an_unread_trace() {
    let sandbox = Sandbox::new().unwrap();
    let (artifacts, program) = linked();
    // The shell's end of the pipe is closed before the program begins.
    let mut command = Command::new("sh");
    command
        .current_dir(sandbox.path())
        .env("SHMKEY_TRACE", "1")
        .arg("-c")
        .arg(r#"exec 3>&1; { sleep 0.2; LD_PRELOAD="$1" "$2" unheard 2>&1 >&3; echo "status $?" >&3; } | true"#)
        .arg("sh")
        .arg(artifacts.built("libshmkey_dropin.so"))
        .arg(program);
    let ending = Process::run("unheard", command, b"").unwrap();
    assert_eq!(String::from_utf8_lossy(&ending.stdout), "status 0\n");
}

#[test]
fn a_trace_that_cannot_be_had_is_said_once() {
    let sandbox = Sandbox::new().unwrap();
    let ending = play(situation(
        &sandbox,
        &["no-key"],
        &[("SHMKEY_TRACE", "/no/such/place")],
    ));
    assert_eq!(
        String::from_utf8(ending.stderr).unwrap(),
        "shmkey: cannot trace to \"/no/such/place\": ENOENT\n"
    );
}

#[test]
fn a_word_that_is_no_path_makes_no_file() {
    let sandbox = Sandbox::new().unwrap();
    let ending = play(situation(
        &sandbox,
        &["no-key"],
        &[("SHMKEY_TRACE", "true")],
    ));
    let said = String::from_utf8(ending.stderr).unwrap();
    expect(
        &said,
        &["shmkey: cannot trace to \"true\": it has to be 1, stderr, or a path with a / in it"],
    );
    assert!(!sandbox.path().join("true").exists());
}

/// Whoever has read the FIFO has gone, and nobody waits for another.
#[test]
fn a_fifo_that_nobody_reads_any_more_stops_nobody() {
    let sandbox = Sandbox::new().unwrap();
    let fifo = sandbox.path().join("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let trace = [("SHMKEY_TRACE", fifo.to_str().unwrap())];
    let mut command = situation(&sandbox, &["closer-that-waits"], &trace);
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
    let sandbox = Sandbox::new().unwrap();
    let (source, library) = (
        sandbox.path().join("clock.c"),
        sandbox.path().join("clock.so"),
    );
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
        .current_dir(sandbox.path())
        .arg("no-key")
        .env("SHMKEY_TRACE", "1")
        .env(
            "LD_PRELOAD",
            format!("{}:{}", dropin.display(), library.display()),
        );
    let all = lines(&play(command).stderr);
    assert_eq!(failed(&all).len(), 2, "{all:#?}");
}

#[test]
fn a_program_that_is_linked_with_the_drop_in_is_traced() {
    let (artifacts, _) = linked();
    for (library, options) in [
        ("libshmkey_dropin.so", &["-pthread"][..]),
        ("libshmkey_dropin.a", &["-pthread"]),
        (
            "libshmkey_dropin.a",
            &["-pthread", "-static", "-Wl,--no-warnings"],
        ),
    ] {
        let program = artifacts
            .directory()
            .join(format!("linked-{library}-{}", options.len()));
        artifacts
            .link("tests/c/trace.c", Some(library), options, &program)
            .unwrap();
        let sandbox = Sandbox::new().unwrap();
        let mut command = artifacts.command(&program);
        command
            .current_dir(sandbox.path())
            .arg("too-small")
            .env("SHMKEY_TRACE", "1");
        let all = lines(&play(command).stderr);
        assert_eq!(all.len(), 6, "{all:#?}");
        expect(&all[3], &["has 512 bytes, and 1024 were asked for"]);
    }
}

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
fn command_trace(sandbox: &Sandbox, options: &[&str], words: &[&str]) -> Ending {
    let (_, program) = linked();
    let mut command = shmkey_trace(options);
    command.current_dir(sandbox.path()).arg(program).args(words);
    run(command)
}

#[test]
fn the_command_traces_and_passes_the_status_on() {
    let sandbox = Sandbox::new().unwrap();
    let ending = command_trace(&sandbox, &[], &["too-small"]);
    assert!(ending.status.success());
    let all = lines(&ending.stderr);
    expect(&all[3], &["has 512 bytes, and 1024 were asked for"]);
    assert_eq!(
        all.last().unwrap(),
        "has ended and has left no segment behind"
    );

    let ending = command_trace(&sandbox, &[], &["exit-at-once", "3"]);
    assert_eq!(ending.status.code(), Some(3));
    let all = lines(&ending.stderr);
    expect(
        &all[2],
        &[
            "has left behind the segment ",
            "1000 bytes",
            "nobody has attached",
        ],
    );
    expect(
        &all[3],
        &["has ended with status 3 and has left 1 segment behind"],
    );
}

#[test]
fn the_command_tells_what_a_killed_program_has_left() {
    let sandbox = Sandbox::new().unwrap();
    let ending = command_trace(&sandbox, &[], &["killed", "9"]);
    assert_eq!(
        ending.status.code(),
        Some(128 + 9),
        "{:?}",
        ending.status.signal()
    );
    let all = lines(&ending.stderr);
    let id = Segment::open(sandbox.keys.writer_reader).unwrap().id();
    expect(
        &all[2],
        &[
            &format!(
                "has left behind the segment {id} (key {}",
                sandbox.keys.writer_reader
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
        let sandbox = Sandbox::new().unwrap();
        let ending = command_trace(&sandbox, &[], &["killed-child", signal]);
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
#[ignore = "needs root, for an IPC namespace of its own"]
fn the_command_does_not_speak_for_another_namespace() {
    let sandbox = Sandbox::new().unwrap();
    let all = lines(&command_trace(&sandbox, &[], &["apart"]).stderr);
    expect(&all[2], &["leaves behind the segment 0 (key "]);
    expect(&all[3], &["ends and leaves 1 segment behind"]);
    expect(
        &all[4],
        &["what was created in another IPC namespace cannot be seen from here"],
    );
}

#[test]
#[ignore = "needs root, for an IPC namespace of its own"]
fn the_end_of_a_program_with_very_many() {
    let all = trace_of(&["plenty"]);
    let count = |part: &str| all.iter().filter(|line| line.contains(part)).count();
    assert_eq!(count("still attached at 0x"), 2000);
    assert_eq!(
        count("(1 byte, mode 0600), which nobody else has attached"),
        2000
    );
    assert_eq!(all.last().unwrap(), "ends and leaves 2000 segments behind");
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
    let sandbox = Sandbox::new().unwrap();
    let ending = command_trace(&sandbox, &["--json", "--output", "1"], &["killed", "15"]);
    assert_eq!(ending.status.code(), Some(128 + 15));
    assert!(ending.stderr.is_empty());
    let events = events(&fs::read_to_string(sandbox.path().join("1")).unwrap());
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
    let sandbox = Sandbox::new().unwrap();
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
        ("/etc/passwd", 126, "is no program that can be run"),
        (
            static_program.to_str().unwrap(),
            126,
            "is linked statically",
        ),
    ] {
        let mut command = shmkey_trace(&[program]);
        command.current_dir(sandbox.path());
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
