//! What users of `ipcs`, `ipcrm`, `ipcmk`, `chmod` and `chown` expect: permissions, owners, limits, semaphore arrays
//! and message queues.

mod support;

use serde_json::Value;
use shmkey::{Key, Segment};
use std::process::Command;
use support::{Name, PublicCopy, alone, listed_id, refusal, run, shmkey};

fn create(name: &Name) -> Segment {
    name.create("100");
    name.segment()
}

#[test]
fn chmod_changes_all_that_are_named() {
    let names = [Name::new(), Name::new()];
    let segments = names.each_ref().map(create);
    shmkey(&["chmod", "640", &names[0].0, &segments[1].id().to_string()]);
    for segment in segments {
        assert_eq!(segment.status().unwrap().mode, 0o640);
    }
}

/// A mode may keep the owner from reading, and the owner can change it back.
#[test]
fn chmod_needs_no_read_permission() {
    let name = Name::new();
    let segment = create(&name);
    for mode in ["0", "600"] {
        shmkey(&["chmod", mode, &segment.id().to_string()]);
        assert_eq!(listed_id(segment.id())["mode_text"], format!("{mode:0>4}"));
    }
}

#[test]
fn chmod_goes_on_after_a_segment_that_does_not_exist() {
    let name = Name::new();
    let segment = create(&name);
    assert!(refusal(&["chmod", "644", "name:no such", &name.0]).contains("there is no segment"));
    assert_eq!(segment.status().unwrap().mode, 0o644);
    for mode in ["1000", "u+r", "8", ""] {
        assert_eq!(run(&["chmod", mode, &name.0], b"").status.code(), Some(2));
    }
}

#[test]
fn chown_changes_owner_group_or_both() {
    alone(|| {
        let name = Name::new();
        let segment = create(&name);
        for (to, uid, gid) in [
            ("7", 7, 0),
            (":8", 7, 8),
            ("root:root", 0, 0),
            ("4000000:4000001", 4_000_000, 4_000_001),
        ] {
            shmkey(&["chown", to, &name.0]);
            let status = segment.status().unwrap();
            assert_eq!((status.uid, status.gid, status.cuid), (uid, gid, 0), "{to}");
            assert_eq!(status.mode, 0o600);
        }
        let said = String::from_utf8(run(&["chown", "no-such-user", &name.0], b"").stderr).unwrap();
        assert!(said.contains("there is no user \"no-such-user\""), "{said}");
    });
}

#[test]
fn only_the_owner_the_creator_and_root_may_change() {
    alone(|| {
        let name = Name::new();
        let segment = create(&name);
        let copy = PublicCopy::new();
        for (command, to) in [("chmod", "666"), ("chown", "65534")] {
            let id = segment.id().to_string();
            let output = copy.unprivileged(&[command, to, &id]).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(said.contains("EPERM"), "{said}");
            assert_eq!(segment.status().unwrap().mode, 0o600);
        }
    });
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&shmkey(arguments)).unwrap()
}

/// Two numbers of an object of JSON.
fn two<'a>(of: &'a Value, names: [&str; 2]) -> [&'a Value; 2] {
    names.map(|name| &of[name])
}

/// The numbers of `ipcs -u`.
#[test]
fn limits_say_what_is_in_use() {
    alone(|| {
        let memory = support::create(Key::from_raw(5), 5 * 4096)
            .attach()
            .unwrap();
        memory.write_at(0, &[1; 4097]).unwrap();
        shmkey(&["create", "--semaphores", "3"]);
        shmkey(&["create", "--messages"]);
        let seen = json(&["limits", "--json"]);
        assert_eq!(two(&seen["segments"], ["count", "pages"]), [1, 5]);
        assert_eq!(seen["segments"]["resident_pages"], 2);
        assert_eq!(two(&seen["semaphores"], ["arrays", "count"]), [1, 3]);
        assert_eq!(two(&seen["messages"], ["queues", "bytes"]), [1, 0]);
        let text = shmkey(&["limits"]);
        assert!(text.contains("2 (8 KiB)"), "{text}");
        assert!(text.contains("pages swapped out"), "{text}");
        assert!(text.contains("  <1  semmni"), "{text}");
    });
}

/// An existing array has as many semaphores as it has.
#[test]
fn create_says_how_many_semaphores_an_existing_array_has() {
    alone(|| {
        let create = |count| {
            [
                "create",
                "--semaphores",
                count,
                "--key",
                "0x11",
                "--existing",
            ]
        };
        let id = shmkey(&create("3"));
        assert_eq!(shmkey(&create("2")), id);
        let why = refusal(&create("4"));
        assert!(why.contains("has 3 semaphores"), "{why}");
    });
}

/// The numbers of `ipcs -l`.
#[test]
fn limits_agree_with_the_kernel() {
    let seen = json(&["limits", "--json"]);
    let file = |name: &str| std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap();
    for (kind, name) in [
        ("segments", "shmmni"),
        ("segments", "shmall"),
        ("messages", "msgmax"),
    ] {
        assert_eq!(seen[kind][name].to_string(), file(name).trim());
    }
    let four = ["semmsl", "semmns", "semopm", "semmni"];
    let four = four.map(|name| seen["semaphores"][name].to_string());
    let sem = file("sem");
    assert_eq!(four.to_vec(), sem.split_whitespace().collect::<Vec<_>>());
}

/// The lines of `ipcs` for one kind: key, id, owner, permissions, and two numbers.
fn ipcs(kind: &str) -> Vec<Vec<String>> {
    let output = Command::new("ipcs").arg(kind).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("0x"));
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    lines.map(words).collect()
}

/// As the columns of ours have it.
fn ours(kind: &str, columns: &str) -> Vec<Vec<String>> {
    let text = shmkey(&["list", kind, "--csv", "--columns", columns]);
    let lines = text.lines().skip(1);
    let words = |line: &str| line.split(',').map(str::to_owned).collect();
    lines.map(words).collect()
}

/// Two arrays and two queues, under the same keys.
fn create_others() {
    for key in ["0x11", "0x12"] {
        shmkey(&["create", "--semaphores", "3", "--key", key, "--mode", "640"]);
        shmkey(&["create", "--messages", "--key", key]);
    }
}

#[test]
fn semaphore_arrays_and_message_queues_are_those_of_ipcs() {
    alone(|| {
        create_others();
        let theirs = |kind| {
            let mut all = ipcs(kind);
            for line in &mut all {
                line[3] = format!("0{}", line[3]);
            }
            all
        };
        let semaphores = ours("--semaphores", "key,id,owner,mode,semaphores");
        assert_eq!(semaphores, theirs("-s"));
        let messages = ours("--messages", "key,id,owner,mode,size,messages");
        assert_eq!(messages, theirs("-q"));
    });
}

#[test]
fn all_three_kinds_are_in_one_list() {
    alone(|| {
        create_others();
        let all = json(&["--json", "--all"]);
        let kinds = ["segments", "semaphores", "messages"];
        let count = kinds.map(|kind| all[kind].as_array().unwrap().len());
        assert_eq!(count, [0, 2, 2]);
        let text = shmkey(&["list", "--all"]);
        assert!(text.contains("2 semaphore arrays."), "{text}");
        assert!(text.contains("2 message queues."), "{text}");
        let chosen = json(&["list", "--json", "--messages", "--key", "0x12"]);
        assert_eq!(chosen["messages"][0]["key"], 0x12);
    });
}

/// Ids of the three kinds are separate number spaces: 0 is the first of each.
#[test]
fn one_kind_is_removed_and_the_others_stay() {
    alone(|| {
        let made: Vec<String> = [
            &["--size", "9"][..],
            &["--semaphores", "2"],
            &["--messages"],
        ]
        .iter()
        .map(|kind| shmkey(&[&["create", "--key", "0x9"][..], kind].concat()))
        .collect();
        assert!(made.iter().all(|id| *id == made[0]), "{made:?}");
        let id = made[0].trim();
        let left = || ["-m", "-s", "-q"].map(|kind| ipcs(kind).len());
        let said = shmkey(&["remove", "--semaphores", "--dry-run", id]);
        assert_eq!(said, format!("would remove semaphore array {id}\n"));
        assert_eq!(left(), [1, 1, 1]);
        shmkey(&["remove", "--semaphores", id]);
        assert_eq!(left(), [1, 0, 1]);
        shmkey(&["remove", "--messages", "0x9"]);
        assert_eq!(left(), [1, 0, 0]);
        assert!(refusal(&["remove", "--messages", id]).contains("there is no message queue"));
        shmkey(&["remove", id]);
        assert_eq!(left(), [0, 0, 0]);
    });
}

#[test]
fn show_has_the_values_of_semaphores() {
    alone(|| {
        let id = shmkey(&["create", "--semaphores", "2"]);
        let id: i32 = id.trim().parse().unwrap();
        // SAFETY: SETVAL takes a number.
        assert_eq!(unsafe { libc::semctl(id, 1, 16, 7) }, 0);
        let text = shmkey(&["show", "--semaphores", &id.to_string()]);
        let us = std::process::id();
        assert!(text.contains("0: value 0\n"), "{text}");
        assert!(
            text.contains(&format!("1: value 7, last changed by {us}\n")),
            "{text}"
        );
        let id = shmkey(&["create", "--messages"]);
        let text = shmkey(&["show", "--messages", id.trim()]);
        assert!(
            text.contains("last sent") && text.contains("never"),
            "{text}"
        );
    });
}
