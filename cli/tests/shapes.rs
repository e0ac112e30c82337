//! The shapes of the list: columns, CSV, JSON, ids only, widths; and what shells complete.

mod support;

use serde_json::Value;
use shmkey::{Mutex, Ring};
use std::process::Command;
use support::{Child, Name, alone, refusal, run, shmkey};

/// Runs shmkey with a variable in its environment.
fn with_variable(name: &str, value: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shmkey"));
    let output = command.args(arguments).env(name, value).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn key(name: &Name) -> String {
    name.key().to_string()
}

#[test]
fn sizes_are_for_people_unless_bytes_are_asked_for() {
    let name = Name::new();
    name.create("3GiB");
    let columns = ["--columns", "size", "--key", &key(&name)];
    assert!(shmkey(&[&["list"][..], &columns].concat()).starts_with(" size\n3 GiB\n"));
    let exact = shmkey(&[&["list", "--bytes"][..], &columns].concat());
    assert!(exact.starts_with("      size\n3221225472\n"), "{exact}");
}

#[test]
fn chosen_columns_come_in_the_order_given() {
    let name = Name::new();
    let id = name.create("10");
    let key = key(&name);
    let csv = ["list", "--csv", "--key", &key, "--columns"];
    let text = shmkey(&[&csv[..], &["mode,id,key,nattch"]].concat());
    assert_eq!(text, format!("mode,id,key,nattch\n0600,{id},{key},0\n"));
    let output = run(&[&csv[..], &["id,colour"]].concat(), b"");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("there is no column \"colour\"; the columns are id, key, size,"),
        "{said}"
    );
}

#[test]
fn csv_has_exact_numbers_and_quotes_names() {
    let name = Name(format!("a,\"b\" {}", Name::new().0));
    let ring = Ring::open(name.0.as_str(), 4096).unwrap();
    let size = ring.segment().status().unwrap().size;
    let text = shmkey(&[
        "list",
        "--csv",
        "--key",
        &key(&name),
        "--columns",
        "size,object",
    ]);
    let quoted = name.0.replace('"', "\"\"");
    assert_eq!(
        text,
        format!("size,object\n{size},\"ring \"\"{quoted}\"\"\"\n")
    );
}

#[test]
fn quiet_prints_ids_only() {
    let name = Name::new();
    let id = name.create("10");
    for arguments in [&["list", "-q"][..], &["-q"], &["--quiet"]] {
        let text = shmkey(&[arguments, &["--key", &key(&name)]].concat());
        assert_eq!(text, format!("{id}\n"));
    }
    for together in [
        ["-q", "--json"],
        ["-q", "--csv"],
        ["--json", "--csv"],
        ["-q", "--all"],
    ] {
        let code = run(&[&["list"][..], &together].concat(), b"").status.code();
        assert_eq!(code, Some(2), "{together:?}");
    }
}

#[test]
fn json_may_stand_before_the_command_or_without_one() {
    let name = Name::new();
    let id = name.create("10");
    let key = key(&name);
    for arguments in [&["--json"][..], &["--json", "list"], &["list", "--json"]] {
        let text = shmkey(&[arguments, &["--key", &key]].concat());
        let list: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(list["segments"][0]["key_hex"], key);
        assert_eq!(list["segments"][0]["id"].to_string(), id);
    }
    let shown: Value = serde_json::from_str(&shmkey(&["--json", "show", &id])).unwrap();
    assert_eq!(shown["id"].to_string(), id);
    // A command that has no such option refuses it.
    assert_eq!(run(&["--json", "remove", &id], b"").status.code(), Some(2));
}

#[test]
fn show_takes_several_segments() {
    let names = [Name::new(), Name::new()];
    let ids = names.each_ref().map(|name| name.create("10"));
    let text = shmkey(&["show", &ids[0], &ids[1]]);
    let shown = text.lines().filter_map(|line| line.strip_prefix("id "));
    let shown: Vec<&str> = shown.map(str::trim).collect();
    assert_eq!(shown, ids);
    let text = shmkey(&["show", "--json", &ids[0], &ids[1]]);
    for (line, id) in text.lines().zip(&ids) {
        let shown: Value = serde_json::from_str(line).unwrap();
        assert_eq!(shown["id"].to_string(), *id);
    }
    assert!(refusal(&["show", "name:no such", &ids[0]]).contains("no segment"));
}

#[test]
fn times_are_in_the_time_zone_of_the_user() {
    let name = Name::new();
    let id = name.create("10");
    for (zone, shown) in [("XYZ-3", "XYZ"), ("UTC", "UTC")] {
        let text = with_variable("TZ", zone, &["show", &id]);
        assert!(text.contains(&format!(" {shown} (")), "{text}");
    }
    let hour = |zone| {
        let text = with_variable(
            "TZ",
            zone,
            &["list", "--csv", "--columns", "ctime", "--key", &key(&name)],
        );
        text.lines().nth(1).unwrap()[11..13].parse::<u32>().unwrap()
    };
    assert_eq!((hour("UTC") + 3) % 24, hour("XYZ-3"));
}

/// The word for no process is no user's name.
#[test]
fn no_process_is_a_dash() {
    alone(|| {
        let name = Name::new();
        name.create("10");
        let text = shmkey(&["list", "--csv", "--columns", "attached,used"]);
        assert_eq!(text, "attached,used\n-,-\n");
        assert!(
            !shmkey(&["list"]).contains("nobody") && !shmkey(&["show", &name.0]).contains("nobody")
        );
    });
}

/// What a shell offers behind these words.
fn complete(words: &[&str]) -> Vec<String> {
    let arguments = [&["--", "shmkey"][..], words].concat();
    let text = with_variable("SHMKEY_COMPLETE", "fish", &arguments);
    let first = |line: &str| line.split('\t').next().unwrap_or_default().to_owned();
    text.lines().map(first).collect()
}

#[test]
fn ids_keys_and_names_are_completed_without_attaching() {
    let name = Name(Name::new().0.replace(' ', "-"));
    let _user = Child::new(|| std::mem::forget(Mutex::<u64>::open(name.0.as_str(), 1).unwrap()));
    let segment = name.segment();
    let before = segment.status().unwrap();
    for command in ["show", "remove", "dump", "watch", "put"] {
        let offered = complete(&[command, ""]);
        for word in [segment.id().to_string(), key(&name), name.0.clone()] {
            assert!(offered.contains(&word), "{command} {word}: {offered:?}");
        }
    }
    assert!(complete(&["trace", "en"]).contains(&"env".to_owned()));
    assert!(complete(&["sh"]).contains(&"show".to_owned()));
    assert_eq!(segment.status().unwrap(), before);
}

/// No process has it attached, so shmkey could only read it by attaching it.
#[test]
fn completion_attaches_nothing() {
    alone(|| {
        let name = Name::new();
        let mutex = Mutex::<u64>::open(name.0.as_str(), 1).unwrap();
        let segment = mutex.segment();
        drop(mutex);
        let before = segment.status().unwrap();
        assert!(complete(&["show", ""]).contains(&segment.id().to_string()));
        assert_eq!(segment.status().unwrap(), before);
    });
}
