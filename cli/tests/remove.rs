//! `remove` removes what its arguments name, and nothing else.

mod support;

use shmkey::{Key, Latest, Place, Ring, Segment};
use std::{process::Command, sync::Arc};
use support::{Child, Name, PublicCopy, alone, create, listed, refusal, said, shmkey};

#[test]
fn segments_are_removed_by_id_key_or_name() {
    for how in 0..3 {
        let name = Name::new();
        let id = name.create("100");
        let target = [id.clone(), name.key().to_string(), name.0.clone()][how].clone();
        let said = shmkey(&["remove", "--dry-run", &target]);
        assert_eq!(said, format!("would remove {id}\n"));
        assert_eq!(shmkey(&["remove", &target]), format!("removed {id}\n"));
        assert!(refusal(&["remove", &target]).contains("there is no segment"));
    }
}

#[test]
fn a_segment_in_use_is_removed_by_its_id_only_and_once() {
    let name = Name::new();
    let id = name.create("100");
    let _attached = name.segment().attach().unwrap();
    let why = refusal(&["remove", &name.0]);
    let advice = format!("shmkey remove {id}");
    assert!(
        why.contains("is attached by") && why.contains(&advice),
        "{why}"
    );
    let first = shmkey(&["remove", &id]);
    assert!(
        first.starts_with(&format!("removed {id}; its memory is freed when")),
        "{first}"
    );
    let again = shmkey(&["remove", &id]);
    assert!(
        again.starts_with(&format!("{id} was already removed; its memory")),
        "{again}"
    );
}

#[test]
fn remove_goes_on_after_a_segment_that_does_not_exist() {
    let name = Name::new();
    let id = name.create("100");
    let output = support::run(&["remove", "name:there is none", &id], b"");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, format!("removed {id}\n"));
}

#[test]
fn options_that_do_not_go_together_are_a_usage_error() {
    for arguments in [
        &["remove"][..],
        &["remove", "--older-than", "1h"],
        &["remove", "--orphans", "7"],
        &["remove", "--orphans", "--owner", "no such user"],
        &["remove", "--with-data", "7"],
        &["remove", "--owner", "root", "7"],
        &["remove", "--mine"],
        &["create", "--size", "10", "--mode", "0"],
        &["create", "--name", "x", "--mutex", "--lossy"],
        &["create", "--name", "x", "--size", "64", "--ring", "--lossy"],
        &["create", "--name", "x", "--size", "64", "--project", "5"],
        &["create", "--key", "1", "--size", "64", "--project", "5"],
        &["create", "--name", "x", "--messages", "--lossy"],
        &["create", "--name", "x", "--mutex", "--many-senders"],
        &["create", "--size", "64", "--broadcast", "--drop-oldest"],
        &["get", "7", "--json", "--length", "1"],
        &["get", "7", "--json", "--raw"],
    ] {
        let code = support::run(arguments, b"").status.code();
        assert_eq!(code, Some(2), "{arguments:?}");
    }
}

/// A process that has created a private segment, and attached it or not.
fn private(attach: bool) -> Child {
    Child::new(move || {
        let segment = create(Key::PRIVATE, 100);
        if attach {
            std::mem::forget(segment.attach().unwrap());
        }
    })
}

fn ids() -> Vec<i64> {
    let all = listed(&[]);
    all.iter().map(|one| one["id"].as_i64().unwrap()).collect()
}

/// The id of a segment that was not there before.
fn new_id(before: &[i64]) -> i64 {
    let now = ids();
    let new: Vec<&i64> = now.iter().filter(|id| !before.contains(id)).collect();
    assert_eq!(new.len(), 1);
    *new[0]
}

#[test]
fn orphans_are_removed_and_nothing_else() {
    alone(|| {
        // No orphans: the creator is live; it is attached; it is attached, and its creator is dead.
        let _unused = private(false);
        let _used = private(true);
        let before = ids();
        let maker = private(false);
        let kept = new_id(&before);
        let _user = Child::new(move || {
            std::mem::forget(Segment::from_id(kept as i32).attach().unwrap());
        });
        maker.kill();
        let before = ids();
        let maker = private(true);
        let orphan = new_id(&before);
        maker.kill();

        assert_eq!(listed(&["--orphans"])[0]["id"], orphan);
        assert_eq!(
            shmkey(&["remove", "--orphans", "--older-than", "1h"]),
            "There are no orphans to remove.\n"
        );
        let said = shmkey(&["remove", "--orphans", "--dry-run"]);
        assert!(said.ends_with("1 segment would be removed.\n"), "{said}");
        assert_eq!(listed(&[]).len(), 4);
        let said = shmkey(&["remove", "--orphans", "--yes"]);
        assert_eq!(said, format!("removed {orphan}\n"));
        assert_eq!(ids(), before);
        assert_eq!(
            shmkey(&["remove", "--orphans"]),
            "There are no orphans to remove.\n"
        );
    });
}

/// shmkey cannot ask without a terminal.
#[test]
fn without_a_terminal_orphans_are_removed_only_with_yes() {
    alone(|| {
        private(false).kill();
        let output = support::run(&["remove", "--orphans"], b"y\n");
        assert_eq!(output.status.code(), Some(1));
        let why = String::from_utf8(output.stderr).unwrap();
        assert!(
            why.contains("nothing was removed") && why.contains("--yes"),
            "{why}"
        );
        assert_eq!(ids().len(), 1);
        shmkey(&["remove", "--orphans", "--yes"]);
        assert_eq!(ids().len(), 0);
    });
}

/// The command that `list` advises removes the orphans that are listed.
#[test]
fn the_advice_has_the_filters_of_the_list() {
    alone(|| {
        for key in [0x11, 0x12, -3] {
            Child::new(move || drop(create(Key::from_raw(key), 1))).kill();
        }
        let segment = Segment::open(Key::from_raw(0x12)).unwrap();
        segment.set_owner(Some(65_534), None).unwrap();

        for (filter, left) in [("--owner 65534", 2), ("--key 0x00000011", 1), ("--mine", 0)] {
            let arguments: Vec<&str> = filter.split(' ').collect();
            let list = shmkey(&[&["list"][..], &arguments].concat());
            let advice = format!("shmkey remove --orphans {filter} removes it.");
            assert!(list.contains(&advice), "{list}");
            let remove = [&["remove", "--orphans", "--yes"][..], &arguments].concat();
            assert!(shmkey(&remove).starts_with("removed "));
            assert_eq!(ids().len(), left);
        }
        let list = shmkey(&["list"]);
        assert!(!list.contains("remove --orphans"), "{list}");
    });
}

/// Leaves six segments behind: a ring with a message, an empty ring, a value whose publisher has released its role, one
/// whose publisher is dead, no value, and a ring with a message inside a segment.
fn leave_data(names: &[Name; 6]) {
    Child::new(|| {
        let ring = |number: usize| Ring::open(names[number].0.as_str(), 100).unwrap();
        ring(0).sender().unwrap().send(b"undelivered").unwrap();
        ring(1);
        let latest = |number: usize| Latest::<u64>::open(names[number].0.as_str()).unwrap();
        latest(2).publisher().unwrap().publish(7).unwrap();
        let mut killed = latest(3).publisher().unwrap();
        killed.publish(7).unwrap();
        std::mem::forget(killed);
        latest(4);
        let memory = Arc::new(create(names[5].key(), 100_000).attach().unwrap());
        let ring = Ring::open(Place::within(memory, 8192), 100).unwrap();
        ring.sender().unwrap().send(b"undelivered").unwrap();
    })
    .kill();
}

#[test]
fn orphans_with_data_are_removed_only_with_data() {
    alone(|| {
        let names = [(); 6].map(|()| Name::new());
        leave_data(&names);
        let kept = [0, 2, 5].map(|number| i64::from(names[number].segment().id()));
        let list = shmkey(&["list"]);
        for text in [
            "4 orphans:",
            "2 orphans hold data",
            "orphan, undelivered messages",
            "orphan, a published value",
            "shmkey remove --orphans --with-data",
        ] {
            assert!(list.contains(text), "{text}: {list}");
        }
        let said = shmkey(&["remove", "--orphans", "--dry-run"]);
        assert!(said.ends_with("3 segments would be removed.\n"), "{said}");
        let said = shmkey(&["remove", "--orphans", "--yes"]);
        assert!(said.contains("--with-data"), "{said}");
        let mut left = ids();
        left.sort_unstable();
        assert_eq!(left, kept);
        shmkey(&["remove", "--orphans", "--with-data", "--yes"]);
        assert_eq!(ids().len(), 0);
    });
}

/// What scripts use one after the other is in use, although no process has it attached in between.
#[test]
fn mutexes_and_semaphores_of_scripts_are_removed_only_with_data() {
    alone(|| {
        shmkey(&["create", "--mutex", "--name", "a lock"]);
        shmkey(&["create", "--semaphore", "1", "--name", "slots"]);
        let said = shmkey(&["remove", "--orphans", "--yes"]);
        assert!(
            said.contains("2 orphans left alone") && said.contains("a semaphore's count"),
            "{said}"
        );
        assert_eq!(ids().len(), 2);
        shmkey(&["remove", "--orphans", "--with-data", "--yes"]);
        assert_eq!(ids().len(), 0);
    });
}

/// What a lock protects outlives its owner: the next one learns of the death, and repairs it.
#[test]
fn locks_of_dead_owners_are_removed_only_with_data_unless_they_are_lost() {
    alone(|| {
        let names = [(); 3].map(|()| Name::new());
        let [mutex, writer, reader] = [0, 1, 2].map(|number| names[number].0.as_str());
        Child::new(|| {
            let lock = shmkey::Mutex::<u64>::open(mutex, 0).unwrap();
            std::mem::forget(lock.lock().unwrap());
            let lock = shmkey::RwLock::<u64>::open(writer, 0).unwrap();
            std::mem::forget(lock.write().unwrap());
            let lock = shmkey::RwLock::<u64>::open(reader, 0).unwrap();
            std::mem::forget(lock.read().unwrap());
        })
        .kill();
        let said = shmkey(&["remove", "--orphans", "--yes"]);
        assert!(said.contains("(a reader-writer lock, a mutex)"), "{said}");
        assert_eq!(ids().len(), 3);
        Child::new(|| {
            let lock = shmkey::Mutex::<u64>::open(mutex, 0).unwrap();
            drop(lock.lock().unwrap());
        })
        .kill();
        shmkey(&["remove", "--orphans", "--yes"]);
        assert_eq!(ids().len(), 2);
        shmkey(&["remove", "--orphans", "--with-data", "--yes"]);
        assert_eq!(ids().len(), 0);
    });
}

/// `list --no-contents` does not know what an orphan holds, and says so.
#[test]
fn orphans_with_data_are_reported() {
    alone(|| {
        let name = Name::new();
        Child::new(|| {
            let ring = Ring::open(name.0.as_str(), 64).unwrap();
            let mut sender = ring.sender().unwrap();
            sender.send(b"undelivered").unwrap();
        })
        .kill();
        let text = shmkey(&["list", "--no-contents"]);
        assert!(
            text.contains("removes it, unless it holds data for a later process."),
            "{text}"
        );
        let text = shmkey(&["remove", "--orphans", "--yes"]);
        assert!(
            text.contains(
                "1 orphan left alone, because it holds data for a later process (undelivered \
                 messages): "
            ) && text.contains("; --with-data removes it, too."),
            "{text}"
        );
        let all = ["remove", "--orphans", "--yes", "--with-data"];
        assert!(shmkey(&all).starts_with("removed "));
    });
}

/// Nothing is removed if it is unknown whether the creator is live.
#[test]
fn orphans_of_unknown_creators_stay() {
    let program = PublicCopy::new();
    let path = program.path();
    alone(|| {
        // /proc hides the processes of other users, and the creator is live.
        let _maker = Child::new(|| {
            let options = Segment::options().create(true).mode(0o666).size(100);
            options.open(Key::PRIVATE).unwrap();
        });
        for hidden in [1, 2] {
            let mount = format!("mount -t proc -o hidepid={hidden} proc /proc");
            let as_other = format!("setpriv --reuid 65534 --regid 65534 --clear-groups {path}");
            let script = format!(
                "{mount} && {as_other} list --json && {as_other} list && {as_other} remove \
                 --orphans --yes"
            );
            let text = said(Command::new("unshare").args(["-m", "sh", "-c", &script]));
            assert!(text.contains("\"orphan\":null"), "{text}");
            assert!(
                text.contains("(?)") && text.contains("it is unknown whether"),
                "{text}"
            );
        }
        assert_eq!(listed(&[]).len(), 1);
        // The numbers in /proc are those of another PID namespace.
        let script = format!("{path} create --size 10 && {path} remove --orphans --yes");
        let text = said(Command::new("unshare").args(["-p", "-f", "sh", "-c", &script]));
        assert!(text.contains("There are no orphans to remove"), "{text}");
        assert_eq!(listed(&[]).len(), 2);
    });
}

/// Users who may not remove a segment read who may.
#[test]
fn advice_to_remove_is_for_those_who_may() {
    let program = PublicCopy::new();
    alone(|| {
        let name = Name::new();
        name.create("100");
        let _attached = name.segment().attach().unwrap();
        for arguments in [
            &["create", "--size", "100", "--name", &name.0][..],
            &["remove", &name.0],
        ] {
            let output = program.unprivileged(arguments).output().unwrap();
            let why = String::from_utf8(output.stderr).unwrap();
            let owners = "; only its owner, its creator and root can remove it";
            assert!(why.contains(owners), "{why}");
            assert!(refusal(arguments).contains("removes it"));
        }
    });
}

/// A user other than root removes its own orphans, and leaves those of others alone.
#[test]
fn orphans_of_an_ordinary_user() {
    let program = PublicCopy::new();
    let unprivileged = |arguments: &[&str]| said(&mut program.unprivileged(arguments));
    alone(|| {
        let maker = private(false);
        let roots = new_id(&[]);
        maker.kill();
        let _used = private(true);
        unprivileged(&["create", "--size", "100"]);
        assert_eq!(listed(&["--orphans"]).len(), 2);
        let said = unprivileged(&["remove", "--orphans", "--yes"]);
        assert!(
            said.contains("1 orphan of other users left alone"),
            "{said}"
        );
        assert!(said.contains("\nremoved "), "{said}");
        assert_eq!(listed(&["--orphans"])[0]["id"], roots);
        let said = unprivileged(&["list"]);
        assert!(
            said.contains("1 unseen") && said.contains("run shmkey as root"),
            "{said}"
        );
    });
}
