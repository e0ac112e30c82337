//! `lock`, `post` and `wait`: mutexes and semaphores between processes of a shell.

mod support;

use shmkey::{Condvar, Mutex, Place, Semaphore};
use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Output, Stdio},
    thread,
};
use support::{Name, listed_id, refusal, run, shmkey};

/// Runs the command, which must fail with this status, and returns its error message.
fn fails(status: i32, arguments: &[&str]) -> String {
    let output = run(arguments, b"");
    let why = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {why}");
    why
}

/// Returns the name of a new mutex that protects no bytes.
fn mutex() -> Name {
    let name = Name::new();
    shmkey(&["create", "--mutex", "--name", &name.0]);
    name
}

fn semaphore(count: &str) -> Name {
    let name = Name::new();
    shmkey(&["create", "--semaphore", count, "--name", &name.0]);
    name
}

/// Returns the name of a new reader-writer lock that protects no bytes.
fn rwlock() -> Name {
    let name = Name::new();
    shmkey(&["create", "--rwlock", "--name", &name.0]);
    name
}

/// Returns the arguments that run a script of a shell while the mutex is locked.
fn script<'a>(name: &'a Name, text: &'a str) -> [&'a str; 6] {
    ["lock", &name.0, "--", "sh", "-c", text]
}

fn start(arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shmkey"));
    command
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Starts a command with the lock that prints a line when it runs, and then runs until it is killed.
fn holder(name: &Name) -> Child {
    let mut child = start(&script(name, "echo runs; exec sleep 1000"));
    let mut line = String::new();
    // One byte at a time: the rest of the output stays in the pipe.
    BufReader::with_capacity(1, child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "runs\n");
    child
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn processes_exclude_each_other() {
    let (name, file) = (mutex(), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(file.path(), "0\n").unwrap();
    let path = file.path().display();
    let add = format!("read count < {path}; sleep 0.01; echo $((count + 1)) > {path}");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5).for_each(|_| drop(shmkey(&script(&name, &add)))));
        }
    });
    assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "20\n");
}

#[test]
fn the_exit_status_is_that_of_the_command() {
    let name = mutex();
    assert_eq!(shmkey(&["lock", &name.0, "echo", "-n", "--", "x"]), "-- x");
    assert_eq!(run(&script(&name, "exit 3"), b"").status.code(), Some(3));
    assert_eq!(
        run(&script(&name, "kill -9 $$"), b"").status.code(),
        Some(137)
    );
    for (status, program, why) in [
        (
            127,
            "no such program",
            "there is no program no such program in PATH",
        ),
        (
            127,
            "/no such program",
            "/no such program: No such file or directory",
        ),
        (126, "/", "/ is not an executable program"),
    ] {
        let said = fails(status, &["lock", &name.0, program]);
        assert_eq!(said, format!("shmkey: {why}\n"));
    }
    fails(2, &["lock", &name.0]);
    // Each has unlocked it, and none of them left it inconsistent.
    assert_eq!(said(&run(&["lock", &name.0, "true"], b"")), "");
}

#[test]
fn a_lock_that_is_held_ends_the_wait() {
    let name = mutex();
    let program = Mutex::<[u8; 0]>::open(name.0.as_str(), []).unwrap();
    let guard = program.lock().unwrap();
    let holder = format!("process {}", std::process::id());
    for (options, status, errno) in [
        (&["--nonblock"][..], 124, "EAGAIN"),
        (&["-n", "-E", "7"], 7, "EAGAIN"),
        (&["--timeout", "0"], 124, "EAGAIN"),
        (&["--timeout", "0.01"], 124, "ETIMEDOUT"),
        (&["-w", "10ms", "--conflict-exit-code", "0"], 0, "ETIMEDOUT"),
    ] {
        let why = fails(
            status,
            &[&["lock", &name.0], options, &["--", "echo", "ran"]].concat(),
        );
        assert!(why.contains(errno) && why.contains(&holder), "{why}");
        assert!(
            why.starts_with(&format!("shmkey: mutex \"{}\"", name.0)),
            "{why}"
        );
    }
    drop(guard);
    assert_eq!(
        shmkey(&["lock", &name.0, "-n", "--", "echo", "ran"]),
        "ran\n"
    );
    assert!(fails(2, &["lock", &name.0, "-w", "soon", "true"]).contains("10 (seconds)"));
}

#[test]
fn a_killed_shmkey_frees_the_lock_and_ends_its_command() {
    let name = mutex();
    let mut first = holder(&name);
    let waiting = start(&script(&name, "echo died=$SHMKEY_OWNER_DIED"));
    first.kill().unwrap();
    // The command has its standard output open as long as it runs.
    let rest = first.stdout.take().unwrap().read_to_end(&mut Vec::new());
    assert_eq!(rest.unwrap(), 0);
    first.wait().unwrap();
    let second = waiting.wait_with_output().unwrap();
    assert_eq!(second.stdout, b"died=1\n");
    assert!(
        said(&second).contains("died while it had the lock"),
        "{}",
        said(&second)
    );
    assert!(said(&second).contains(&name.0));
    let third = run(&script(&name, "echo died=$SHMKEY_OWNER_DIED"), b"");
    assert_eq!(
        (&third.stdout[..], said(&third)),
        (&b"died=\n"[..], String::new())
    );
}

#[test]
fn the_command_gets_the_signals_of_shmkey_which_then_unlocks() {
    let name = mutex();
    let text = "trap 'exit 5' TERM; echo runs; while :; do sleep 0.01; done";
    let mut child = start(&script(&name, text));
    let mut line = [0; 5];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut line)
        .unwrap();
    // SAFETY: it is a child that was not waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGTERM) }, 0);
    assert_eq!(child.wait().unwrap().code(), Some(5));
    assert_eq!(said(&run(&["lock", &name.0, "true"], b"")), "");
}

#[test]
fn a_mutex_with_a_value_is_the_mutex_of_programs() {
    let name = Name::new();
    shmkey(&[
        "create", "--mutex", "--size", "16", "--layout", "pair", "--name", &name.0,
    ]);
    let place = Place::named(&name.0).create(false).layout("pair");
    let program = Mutex::<[u64; 2]>::open(place, [0; 2]).unwrap();
    program.lock().unwrap().set([7, 8]);
    let child = holder(&name);
    assert!(
        program
            .try_lock()
            .unwrap_err()
            .to_string()
            .contains(&child.id().to_string())
    );
    let contents = &listed_id(program.segment().id())["contents"];
    assert_eq!(
        contents["owner"]["id"].as_u64(),
        Some(child.id().into()),
        "{contents}"
    );
    let mut child = child;
    child.kill().unwrap();
    child.wait().unwrap();
    shmkey(&["lock", &program.segment().id().to_string(), "true"]);
    let guard = program.lock().unwrap();
    assert!(!guard.owner_died());
    assert_eq!(guard.get(), [7, 8]);
}

#[test]
fn a_lost_mutex_is_not_locked() {
    let name = mutex();
    let mut child = holder(&name);
    child.kill().unwrap();
    child.wait().unwrap();
    let program = Mutex::<[u8; 0]>::open(name.0.as_str(), []).unwrap();
    drop(program.lock().unwrap());
    let why = fails(125, &["lock", &name.0, "echo", "ran"]);
    assert!(
        why.contains("ENOTRECOVERABLE") && why.contains("shmkey remove"),
        "{why}"
    );
}

#[test]
fn a_removed_mutex_excludes_no_process() {
    let name = mutex();
    let mut child = holder(&name);
    let waiting = start(&["lock", &name.0, "echo", "ran"]);
    let segment = name.segment();
    // It sleeps only while it waits for the lock.
    let sleeps = |pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.contains(") S ")
    };
    while segment.status().unwrap().nattch < 2 || !sleeps(waiting.id()) {
        thread::yield_now();
    }
    segment.remove().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), &output.stdout[..]),
        (Some(125), &b""[..])
    );
    assert!(said(&output).contains("was removed"), "{}", said(&output));
}

#[test]
fn a_semaphore_is_posted_and_waited_for() {
    let name = semaphore("1");
    let program = Semaphore::open(name.0.as_str(), 0).unwrap();
    shmkey(&["wait", &name.0]);
    assert_eq!(program.value(), 0);
    let why = fails(124, &["wait", &name.0, "--nonblock"]);
    let object = format!("shmkey: semaphore \"{}\" (id ", name.0);
    assert!(
        why.starts_with(&object) && why.ends_with("(wait: EAGAIN)\n"),
        "{why}"
    );
    assert!(fails(3, &["wait", &name.0, "-w", "0.01", "-E", "3"]).contains("ETIMEDOUT"));
    let waiting = start(&["wait", &name.0]);
    shmkey(&["post", &name.0]);
    assert!(waiting.wait_with_output().unwrap().status.success());
    shmkey(&["post", &name.0, "3"]);
    shmkey(&["post", &name.0, "0"]);
    assert_eq!(program.value(), 3);
    assert_eq!(listed_id(program.segment().id())["contents"]["value"], 3);
    shmkey(&[
        "create",
        "--semaphore",
        "9",
        "--name",
        &name.0,
        "--existing",
    ]);
    assert_eq!(program.value(), 3);
}

#[test]
fn a_count_has_a_largest_value() {
    let name = semaphore("2147483646");
    let why = refusal(&["post", &name.0, "2"]);
    assert!(
        why.contains("is 2147483646, and the largest is 2147483647"),
        "{why}"
    );
    shmkey(&["post", &name.0]);
    fails(2, &["post", &name.0, "-1"]);
    assert!(
        refusal(&["create", "--semaphore", "2147483648", "--name", "too many"])
            .contains("EOVERFLOW")
    );
}

#[test]
fn commands_share_a_reader_writer_lock_and_exclude_others() {
    let name = rwlock();
    let shared = ["lock", "--shared", &name.0, "-n", "--"];
    let inner = [
        env!("CARGO_BIN_EXE_shmkey"),
        "lock",
        "-s",
        &name.0,
        "-n",
        "--",
        "echo",
        "both",
    ];
    assert_eq!(shmkey(&[&shared[..], &inner].concat()), "both\n");
    let writer = [
        env!("CARGO_BIN_EXE_shmkey"),
        "lock",
        &name.0,
        "-n",
        "--",
        "echo",
        "ran",
    ];
    assert!(fails(124, &[&shared[..], &writer].concat()).contains("EAGAIN"));
    let reader = [&["lock", &name.0, "--"][..], &inner].concat();
    assert!(fails(124, &reader).contains("EAGAIN"));
    assert_eq!(
        shmkey(&["lock", &name.0, "-n", "--", "echo", "ran"]),
        "ran\n"
    );
}

#[test]
fn a_reader_learns_of_a_dead_writer_until_a_writer_has_run() {
    let name = rwlock();
    let mut writer = holder(&name);
    writer.kill().unwrap();
    writer.wait().unwrap();
    let script = "echo died=$SHMKEY_OWNER_DIED";
    let reader = ["lock", "--shared", &name.0, "--", "sh", "-c", script];
    let first = run(&reader, b"");
    assert_eq!(first.stdout, b"died=1\n");
    assert!(said(&first).contains("until a command without --shared has run"));
    assert_eq!(
        shmkey(&["lock", &name.0, "--", "sh", "-c", script]),
        "died=1\n"
    );
    assert_eq!(shmkey(&reader), "died=\n");
    let mutex = mutex();
    let why = fails(125, &["lock", "--shared", &mutex.0, "true"]);
    assert!(
        why.contains("--shared is for a reader-writer lock"),
        "{why}"
    );
}

#[test]
fn what_is_no_mutex_or_no_semaphore() {
    let (mutex, semaphore, bytes) = (mutex(), semaphore("1"), Name::new());
    bytes.create("4096");
    let why = fails(125, &["lock", &semaphore.0, "true"]);
    assert!(
        why.contains("not a mutex or reader-writer lock; shmkey wait"),
        "{why}"
    );
    for command in ["post", "wait"] {
        let why = refusal(&[command, &mutex.0]);
        assert!(why.contains("not a semaphore; shmkey lock"), "{why}");
        assert!(refusal(&[command, &bytes.0]).contains("holds no semaphore"));
        let why = refusal(&[command, "no such name"]);
        assert!(
            why.contains("named \"no such name\"") && why.contains("--semaphore COUNT"),
            "{why}"
        );
        assert!(refusal(&[command, "2147483647"]).contains("there is no segment"));
    }
    assert!(fails(125, &["lock", &bytes.0, "true"]).contains("holds no mutex or reader-writer"));
    assert!(fails(125, &["lock", "no such name", "true"]).contains("shmkey create --mutex"));
}

#[test]
fn objects_are_created_under_names() {
    for (kind, needs) in [
        (
            &["--mutex"][..],
            "needs a name, by which processes open it: use --name or --path",
        ),
        (&["--rwlock"], "needs a name"),
        (&["--semaphore", "1"], "needs a key"),
        (&["--condvar"], "needs a key"),
        (&["--latest", "4"], "needs a name"),
    ] {
        let why = refusal(&[&["create"], kind].concat());
        assert!(why.contains(needs), "{why}");
        fails(
            2,
            &[&["create", "--semaphores", "1", "--name", "x"], kind].concat(),
        );
        fails(
            2,
            &[&["create", "--ring", "--size", "64", "--name", "x"], kind].concat(),
        );
    }
    let condvar = Name::new();
    let id = shmkey(&["create", "--condvar", "--name", &condvar.0]);
    let program = Condvar::open(condvar.0.as_str()).unwrap();
    assert_eq!(id.trim(), program.segment().id().to_string());
    let name = mutex();
    let create = ["create", "--mutex", "--name", &name.0];
    assert!(refusal(&create).contains("--existing"));
    let id = shmkey(&[&create[..], &["--existing"]].concat());
    assert_eq!(id.trim(), name.segment().id().to_string());
    let other = [&create[..], &["--existing", "--size", "8"]].concat();
    assert!(refusal(&other).contains("EPROTO"));
}
