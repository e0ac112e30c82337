//! `put` and `get` of latest values, and `--format`.

mod support;

use serde_json::{Value, json};
use shmkey::{Latest, Place};
use std::{
    io::{Seek, Write},
    thread,
};
use support::{
    Name, PublicCopy, listed_id, may_make_namespaces, refusal, run, said, shmkey, skipped,
};

const FORMAT: &str = "u32 f64 char[16]";

/// Returns the name of a new latest value of this size.
fn latest(size: &str) -> Name {
    let name = Name::new();
    shmkey(&["create", "--latest", size, "--name", &name.0]);
    name
}

/// Runs `put`, and returns its error message.
fn put(name: &Name, options: &[&str], input: &[u8]) -> String {
    let output = run(&[&["put", &name.0], options].concat(), input);
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_value_is_published_and_read_as_text() {
    let name = latest(FORMAT);
    assert_eq!(put(&name, &["--format", FORMAT], b"7 21.5 Oslo\n"), "");
    let get = ["get", &name.0, "--format", FORMAT];
    assert_eq!(shmkey(&get), "7 21.5 Oslo\n");
    let json: Value = serde_json::from_str(&shmkey(&[&get[..], &["--json"]].concat())).unwrap();
    assert_eq!(json, json!({ "version": 1, "value": [7, 21.5, "Oslo"] }));
    assert_eq!(
        put(&name, &["--format", FORMAT], b"8 -1e300 \"New York\""),
        ""
    );
    assert_eq!(shmkey(&get), "8 -1e300 \"New York\"\n");
    let contents = &listed_id(name.segment().id())["contents"];
    assert_eq!(
        (&contents["version"], &contents["value_size"]),
        (&json!(2), &json!(32))
    );
}

#[test]
fn a_value_is_published_and_read_as_bytes() {
    let name = latest("4");
    assert_eq!(put(&name, &[], b"\0\xff\n1"), "");
    assert_eq!(run(&["get", &name.0], b"").stdout, b"\0\xff\n1");
    assert_eq!(
        run(&["get", &name.0, "--lines"], b"").stdout,
        b"\0\xff\n1\n"
    );
    for wrong in [&b""[..], b"123", b"12345"] {
        let why = put(&name, &[], wrong);
        assert!(
            why.contains("has 4 bytes") && why.contains("nothing was published"),
            "{why}"
        );
    }
    assert_eq!(put(&name, &["--lines"], b"1234\n5678\n"), "");
    assert_eq!(run(&["get", &name.0], b"").stdout, b"5678");
    let why = put(&name, &["--lines"], b"aaaa\nbbb\n");
    assert!(why.contains("published before it: 1 line"), "{why}");
}

#[test]
fn each_newer_value_is_waited_for() {
    let name = latest("u64");
    let value = Latest::<u64>::open(name.0.as_str()).unwrap();
    let why = refusal(&["get", &name.0, "--timeout", "0"]);
    assert!(why.contains("EAGAIN"), "{why}");
    let get = [
        "get",
        &name.0,
        "--format",
        "u64",
        "--count",
        "2",
        "--timeout",
        "forever",
    ];
    thread::scope(|scope| {
        let reader = scope.spawn(|| shmkey(&get));
        let mut publisher = value.publisher().unwrap();
        let mut last = 0;
        // It reads one of these, and then a newer one.
        while !reader.is_finished() {
            last += 1;
            publisher.publish(last).unwrap();
            thread::yield_now();
        }
        let text = reader.join().unwrap();
        let read: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
        assert!(
            matches!(read[..], [first, second] if first < second && second <= last),
            "{read:?}"
        );
        let why = put(&name, &["--format", "u64"], b"1");
        assert!(why.contains("EBUSY"), "{why}");
    });
    let follow = [
        "get",
        &name.0,
        "--format",
        "u64",
        "--follow",
        "--timeout",
        "0",
    ];
    let newest = value.read().unwrap().unwrap();
    assert_eq!(shmkey(&follow), format!("{newest}\n"));
}

#[test]
fn a_value_of_a_program_with_a_layout() {
    let name = Name::new();
    let place = Place::named(&name.0).layout("position");
    let program = Latest::<[f32; 2]>::open(&place).unwrap();
    program.publisher().unwrap().publish([52.5, 13.4]).unwrap();
    assert_eq!(
        shmkey(&["get", &name.0, "--format", "f32[2]"]),
        "52.5 13.4\n"
    );
    let id = program.segment().id().to_string();
    let done = run(&["put", &id, "--format", "f32,f32"], b"1 2");
    assert!(done.status.success());
    assert_eq!(program.read().unwrap(), Some([1.0, 2.0]));
    let created = Name::new();
    shmkey(&[
        "create", "--latest", "8", "--layout", "position", "--name", &created.0,
    ]);
    Latest::<[f32; 2]>::open(Place::named(&created.0).create(false).layout("position")).unwrap();
}

#[test]
fn what_does_not_fit_the_format_is_not_published() {
    let name = latest("u16 char[2]");
    for (format, input, why) in [
        (
            "u16",
            "1",
            "the format takes 2 bytes, and a value has 4 bytes",
        ),
        (
            "u16 char[2]",
            "65536 a",
            "\"65536\" is not a number that u16 can hold",
        ),
        ("u16 char[2]", "1 abc", "char[2] has no room for \"abc\""),
        ("u16 char[2]", "1", "takes 2 words, and the input has 1"),
        ("u16 char[2]", "1 \"a", "no closing quotation mark"),
    ] {
        let said = put(&name, &["--format", format], input.as_bytes());
        assert!(said.contains(why), "{said}");
    }
    let latest = Latest::<[u8; 4]>::open(name.0.as_str()).unwrap();
    assert_eq!(latest.version(), 0);
    for wrong in ["", "u33", "u8[0]", "char["] {
        assert_eq!(
            run(&["get", &name.0, "--format", wrong], b"").status.code(),
            Some(2),
            "{wrong}"
        );
    }
    assert!(refusal(&["get", &name.0, "--format", "u64"]).contains("takes 8 bytes"));
    assert!(refusal(&["get", &name.0, "--oldest"]).contains("not for a latest value"));
    assert_eq!(run(&["get", &name.0, "--json"], b"").status.code(), Some(2));
}

/// Another process can have written anything.
#[test]
fn text_has_no_characters_that_a_terminal_acts_on() {
    let name = latest("12");
    let program = Latest::<[u8; 12]>::open(name.0.as_str()).unwrap();
    program
        .publisher()
        .unwrap()
        .publish(*b"\x1b[31m\xff\"a\n\0bc")
        .unwrap();
    let text = shmkey(&["get", &name.0, "--format", "char[12]"]);
    assert_eq!(text, "\"\\x1b[31m\\xff\\\"a\\x0a\"\n");
    assert_eq!(put(&name, &["--format", "char[12]"], text.as_bytes()), "");
    assert_eq!(program.read().unwrap(), Some(*b"\x1b[31m\xff\"a\n\0\0\0"));
}

#[test]
fn messages_and_bytes_of_segments_have_formats() {
    let name = Name::new();
    shmkey(&["create", "--ring", "--size", "4096", "--name", &name.0]);
    assert_eq!(put(&name, &["--lines", "--format", "u16"], b"1\n2\n"), "");
    let why = put(&name, &["--lines", "--format", "u16"], b"3\nx\n");
    assert!(
        why.contains("\"x\" is not a number") && why.contains("sent before it: 1 line"),
        "{why}"
    );
    let get = ["get", &name.0, "--format", "u16"];
    assert_eq!(shmkey(&[&get[..], &["--count", "2"]].concat()), "1\n2\n");
    assert_eq!(
        shmkey(&[&get[..], &["--json"]].concat()),
        "{\"value\":[3]}\n"
    );
    assert_eq!(put(&name, &[], b"abc"), "");
    assert!(refusal(&get).contains("takes 2 bytes, and the message has 3 bytes"));
    let bytes = Name::new();
    bytes.create("16");
    assert_eq!(put(&bytes, &["-s", "8", "--format", "u8[3]"], b"1 2 3"), "");
    assert_eq!(
        shmkey(&["get", &bytes.0, "-s", "8", "--format", "u8 u16"]),
        "1 3\n"
    );
}

#[test]
fn read_permission_is_enough_to_read() {
    if skipped("root", may_make_namespaces()) {
        return;
    }
    let (name, copy) = (Name::new(), PublicCopy::new());
    shmkey(&[
        "create", "--latest", "u32", "--name", &name.0, "--mode", "0604",
    ]);
    assert_eq!(put(&name, &["--format", "u32"], b"7"), "");
    let get = ["get", &name.0, "--format", "u32"];
    assert_eq!(said(&mut copy.unprivileged(&get)), "7\n");
    let input = tempfile::tempfile().unwrap();
    (&input).write_all(b"8").unwrap();
    (&input).rewind().unwrap();
    let mut publish = copy.unprivileged(&["put", &name.0, "--format", "u32"]);
    let why = publish.stdin(input).output().unwrap();
    assert_eq!(why.status.code(), Some(1));
    let why = String::from_utf8_lossy(&why.stderr).into_owned();
    assert!(why.contains("EACCES"), "{why}");
}
