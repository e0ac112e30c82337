//! The command on the user backend, whose namespace is a directory, beside the kernel's.

mod support;

use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};
use support::{may_make_namespaces, refusal, run, said, shmkey, skipped};

/// A namespace of the user backend.
struct Namespace(tempfile::TempDir);

impl Namespace {
    fn new() -> Namespace {
        Namespace(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    /// The command, or another program, with this namespace.
    fn program(&self, words: &[&str]) -> Command {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env("SHMKEY_DIR", self.path());
        command.env("SHMKEY_BACKEND", "user");
        command
    }

    /// Runs the command, and returns what it prints.
    fn shmkey(&self, arguments: &[&str]) -> String {
        said(&mut self.program(&[&[env!("CARGO_BIN_EXE_shmkey")], arguments].concat()))
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.shmkey(&["list", "--json"])).unwrap()
    }
}

#[test]
fn a_list_says_where_the_segments_are() {
    let namespace = Namespace::new();
    let line = format!("Backend: user, directory {}.", namespace.path());
    for command in ["list", "limits"] {
        let said = namespace
            .shmkey(&[command])
            .replace(" of the segments:", ":");
        assert!(said.contains(&line), "{said}");
    }
    let list = namespace.json();
    assert_eq!(list["backend"], "user");
    assert_eq!(list["directory"], namespace.path());
    assert!(list["ipc_namespace"].is_null());
    let kernel: Value = serde_json::from_str(&shmkey(&["--backend", "kernel", "--json"])).unwrap();
    assert_eq!(kernel["backend"], "kernel");
    assert!(kernel["ipc_namespace"].is_u64() && kernel["directory"].is_null());
}

#[test]
fn the_option_overrides_the_variable() {
    let namespace = Namespace::new();
    let list = namespace.shmkey(&["--backend", "kernel", "list", "--json"]);
    assert!(list.contains(r#""backend":"kernel""#), "{list}");
    let list = namespace.shmkey(&["list", "--json", "--backend=auto"]);
    assert!(list.contains(r#""backend":"kernel""#), "{list}");
    let mut wrong = namespace.program(&[env!("CARGO_BIN_EXE_shmkey"), "list"]);
    let output = wrong.env("SHMKEY_BACKEND", "usr").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(why.contains("SHMKEY_BACKEND is usr"), "{why}");
    assert_eq!(run(&["--backend", "usr"], b"").status.code(), Some(2));
}

#[test]
fn every_command_refuses_a_directory_that_cannot_be_used() {
    let namespace = Namespace::new();
    let file = format!("{}/file", namespace.path());
    fs::write(&file, "").unwrap();
    for (directory, reason) in [
        (file.as_str(), "is not a directory"),
        ("relative", "is not an absolute path"),
        ("/nonexistent/directory", "cannot be made"),
        ("/proc/directory", "a file system that holds no such files"),
    ] {
        let refused = |arguments: &[&str]| {
            let words = [&[env!("CARGO_BIN_EXE_shmkey")], arguments].concat();
            let mut command = namespace.program(&words);
            let output = command.env("SHMKEY_DIR", directory).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{arguments:?} {directory}");
            assert!(output.stdout.is_empty(), "{arguments:?} {directory}");
            String::from_utf8(output.stderr).unwrap()
        };
        let why = refused(&["list"]);
        assert!(why.contains(reason), "{why}");
        assert_eq!(refused(&["limits"]), why);
        assert_eq!(refused(&["limits", "--json"]), why);
        for command in ["show", "remove"] {
            let why = refused(&[command, "7"]);
            assert!(why.contains(reason), "{why}");
        }
    }
}

/// A command without the option could act on the kernel's segments, among which the same ids occur.
#[test]
fn advice_names_the_backend_on_which_it_works() {
    let namespace = Namespace::new();
    let id = namespace.shmkey(&["create", "--size", "100"]);
    let list = namespace.shmkey(&["list"]);
    let advice = "shmkey --backend user remove --orphans removes it";
    assert!(list.contains(advice), "{list}");
    let shown = namespace.shmkey(&["show", id.trim()]);
    for command in ["remove", "show --contents"] {
        let advice = format!("shmkey --backend user {command} {}", id.trim());
        assert!(shown.contains(&advice), "{shown}");
    }
}

#[test]
fn the_advice_of_an_error_names_the_backend_on_which_it_works() {
    let namespace = Namespace::new();
    let id = namespace.shmkey(&["create", "--size", "100", "--name", "orders"]);
    let id = id.trim();
    for (backend, line, advice) in [
        (
            "user",
            "create --size 100 --name orders",
            format!("remove {id} removes it"),
        ),
        ("user", "lock nothing true", "create --mutex".to_owned()),
        ("user", "lock orders true", format!("show {id} shows")),
        ("user", "show nothing", "list shows all".to_owned()),
        ("user", "top", "list".to_owned()),
        ("user", "watch orders", format!("dump {id}")),
        ("kernel", "show nothing", "list shows all".to_owned()),
    ] {
        let words = format!(
            "{} --backend {backend} {line}",
            env!("CARGO_BIN_EXE_shmkey")
        );
        let words: Vec<&str> = words.split(' ').collect();
        let output = namespace.program(&words).output().unwrap();
        let why = String::from_utf8(output.stderr).unwrap();
        let advice = format!("shmkey --backend {backend} {advice}");
        assert!(why.contains(&advice), "{line}: {why}");
    }
}

#[test]
fn the_backends_have_separate_segments() {
    let namespace = Namespace::new();
    let name = support::Name::new();
    let id = namespace.shmkey(&["create", "--size", "100", "--name", &name.0]);
    let why = refusal(&["--backend", "kernel", "show", &name.0]);
    assert!(why.contains("there is no segment"), "{why}");
    let shown = namespace.shmkey(&["show", &name.0]);
    assert!(shown.contains("100 bytes"), "{shown}");
    assert_eq!(namespace.shmkey(&["list", "-q"]), id);
    namespace.shmkey(&["remove", &name.0]);
    assert_eq!(namespace.shmkey(&["list", "-q"]), "");
}

#[test]
fn a_process_that_has_a_segment_attached_is_found() {
    let namespace = Namespace::new();
    namespace.shmkey(&["create", "--mutex", "--name", "held"]);
    let shmkey = env!("CARGO_BIN_EXE_shmkey");
    let mut lock = namespace.program(&[shmkey, "lock", "held", "sh", "-c", "echo held; read end"]);
    let lock = lock.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = lock.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let list = namespace.json();
    drop(holder.stdin.take());
    assert!(holder.wait().is_ok());
    let segment = &list["segments"][0];
    assert_eq!(segment["nattch"], 1);
    assert_eq!(segment["attached"][0]["pid"], holder.id(), "{segment}");
    assert_eq!(segment["unseen"], 0);
    assert_eq!(
        segment["contents"]["owner"]["id"].as_u64(),
        Some(holder.id().into())
    );
    let after = namespace.json();
    assert_eq!(after["segments"][0]["nattch"], 0);
}

#[test]
fn the_creator_in_another_pid_namespace_is_unknown() {
    if skipped("root and namespaces", may_make_namespaces()) {
        return;
    }
    let namespace = Namespace::new();
    namespace.shmkey(&["create", "--size", "100"]);
    let shmkey = env!("CARGO_BIN_EXE_shmkey");
    let elsewhere = |arguments: &[&str]| {
        let unshare = ["unshare", "--pid", "--fork", "--mount-proc", shmkey];
        said(&mut namespace.program(&[&unshare, arguments].concat()))
    };
    let list: Value = serde_json::from_str(&elsewhere(&["list", "--json"])).unwrap();
    assert_eq!(list["segments"][0]["creator"]["life"], "unknown");
    assert!(list["segments"][0]["orphan"].is_null());
    elsewhere(&["remove", "--orphans", "--yes"]);
    assert_eq!(namespace.json()["segments"][0]["orphan"], true);
    namespace.shmkey(&["remove", "--orphans", "--yes"]);
    assert!(namespace.json()["segments"].as_array().unwrap().is_empty());
}
