//! `remove` removes what its arguments name, and nothing else.

mod support;

use shmkey::{Key, Latest, Place, Ring, Segment};
use std::{os::unix::process::CommandExt, process::Command, sync::Arc};
use support::{Child, Name, alone, listed, refusal, shmkey};

fn create(name: &Name) -> i32 {
    shmkey(&["create", "--size", "100", "--name", &name.0])
        .trim()
        .parse()
        .unwrap()
}

#[test]
fn by_id_key_or_name() {
    for how in 0..3 {
        let name = Name::new();
        let id = create(&name);
        let key = Key::from_name(&name.0).unwrap().to_string();
        let target = [id.to_string(), key, name.0.clone()][how].clone();
        assert_eq!(
            shmkey(&["remove", "--dry-run", &target]),
            format!("would remove {id}\n")
        );
        assert_eq!(shmkey(&["remove", &target]), format!("removed {id}\n"));
        assert!(refusal(&["remove", &target]).contains("there is no segment"));
    }
}

#[test]
fn what_is_in_use_is_removed_by_its_id_only() {
    let name = Name::new();
    let id = create(&name);
    let _attached = Segment::from_id(id).attach().unwrap();
    let why = refusal(&["remove", &name.0]);
    assert!(
        why.contains("is attached by") && why.contains(&format!("shmkey remove {id}")),
        "{why}"
    );
    shmkey(&["remove", &id.to_string()]);
}

/// It goes on after what it cannot remove, and says so at the end.
#[test]
fn some_of_several() {
    let name = Name::new();
    let id = create(&name);
    let output = support::run(&["remove", "name:there is none", &id.to_string()], b"");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("removed {id}\n")
    );
}

#[test]
fn a_command_line_that_makes_no_sense() {
    for arguments in [
        &["remove"][..],
        &["remove", "--older-than", "1h"],
        &["remove", "--orphans", "7"],
        &["remove", "--with-data", "7"],
        &["remove", "--owner", "root", "7"],
        &["remove", "--mine"],
    ] {
        assert_eq!(
            support::run(arguments, b"").status.code(),
            Some(2),
            "{arguments:?}"
        );
    }
}

/// A private segment that is made by a process, which then attaches it or not.
fn private(attach: bool) -> Child {
    Child::new(move || {
        let segment = Segment::options()
            .create(true)
            .size(100)
            .open(Key::PRIVATE)
            .unwrap();
        if attach {
            std::mem::forget(segment.attach().unwrap());
        }
    })
}

fn ids() -> Vec<i64> {
    let mut ids: Vec<i64> = listed(&[])
        .iter()
        .map(|one| one["id"].as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    ids
}

/// The id of a segment that was not there before.
fn new_id(before: &[i64]) -> i64 {
    let now = ids();
    let new: Vec<&i64> = now.iter().filter(|id| !before.contains(id)).collect();
    assert_eq!(new.len(), 1);
    *new[0]
}

#[test]
fn orphans_and_nothing_else() {
    alone(|| {
        // Its creator lives; it is attached; it is attached, and its creator is dead.
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
        shmkey(&["remove", "--orphans", "--yes"]);
        assert_eq!(ids(), before);
        assert_eq!(
            shmkey(&["remove", "--orphans"]),
            "There are no orphans to remove.\n"
        );
    });
}

/// In a script, which cannot be asked, nothing is removed that was not agreed to.
#[test]
fn without_a_terminal_it_wants_a_yes() {
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

/// What was listed is what the advice removes.
#[test]
fn orphans_that_were_chosen() {
    alone(|| {
        for key in [0x11, 0x12, -3] {
            let options = Segment::options();
            Child::new(move || drop(options.create(true).size(1).open(Key::from_raw(key)))).kill();
        }
        let id = Segment::open(Key::from_raw(0x12)).unwrap().id();
        // SAFETY: all zero is a record of users and modes.
        let mut record: libc::shmid_ds = unsafe { std::mem::zeroed() };
        record.shm_perm.uid = 65_534;
        // SAFETY: the record is this one.
        let done = unsafe { libc::shmctl(id, libc::IPC_SET, &mut record) };
        assert_eq!(done, 0);

        for (filter, left) in [("--owner 65534", 2), ("--key 0x00000011", 1), ("--mine", 0)] {
            let arguments: Vec<&str> = filter.split(' ').collect();
            let list = shmkey(&[&["list"][..], &arguments].concat());
            let advice = format!("shmkey remove --orphans {filter} removes it.");
            assert!(list.contains(&advice), "{list}");
            let remove = [&["remove", "--orphans", "--yes"][..], &arguments].concat();
            assert!(shmkey(&remove).contains("Removed 1 segment."));
            assert_eq!(ids().len(), left);
        }
        let list = shmkey(&["list"]);
        assert!(!list.contains("remove --orphans"), "{list}");
    });
}

/// Data that was left for a process that comes later is not removed with the rest.
#[test]
fn data_for_a_later_process_is_kept() {
    alone(|| {
        let names: Vec<Name> = (0..6).map(|_| Name::new()).collect();
        let id = |number: usize| {
            let key = Key::from_name(&names[number].0).unwrap();
            Segment::open(key).ok().map(|segment| segment.id())
        };
        let within = Key::from_name(&names[5].0).unwrap();
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
            let segment = Segment::options().create(true).size(100_000).open(within);
            let memory = Arc::new(segment.unwrap().attach().unwrap());
            let ring = Ring::open(Place::within(memory, 8192), 100).unwrap();
            ring.sender().unwrap().send(b"undelivered").unwrap();
        })
        .kill();
        let kept = [0, 2, 5].map(|number| id(number).unwrap());
        let list = shmkey(&["list"]);
        assert!(
            list.contains("4 orphans:") && list.contains("2 orphans that hold data"),
            "{list}"
        );
        assert!(
            list.contains("orphan, undelivered messages")
                && list.contains("orphan, a published value"),
            "{list}"
        );
        assert!(
            list.contains("shmkey remove --orphans --with-data"),
            "{list}"
        );
        let said = shmkey(&["remove", "--orphans", "--dry-run"]);
        assert!(said.ends_with("3 segments would be removed.\n"), "{said}");
        let said = shmkey(&["remove", "--orphans", "--yes"]);
        assert!(said.contains("--with-data"), "{said}");
        let mut left: Vec<i32> = (0..6).filter_map(id).collect();
        left.sort_unstable();
        assert_eq!(left, kept);
        shmkey(&["remove", "--orphans", "--with-data", "--yes"]);
        assert_eq!(ids().len(), 0);
    });
}

/// A copy of the command in a folder from which every user may run it.
struct Everybodys(tempfile::TempDir);

impl Everybodys {
    fn new() -> Everybodys {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
        // By another process: children of other tests would inherit a copy that is being written, and
        // no other user could run it then.
        said(
            Command::new("cp")
                .arg(env!("CARGO_BIN_EXE_shmkey"))
                .arg(folder.path()),
        );
        Everybodys(folder)
    }

    /// What it prints for an unprivileged user.
    fn said(&self, arguments: &[&str]) -> String {
        const UNPRIVILEGED: u32 = 65_534;
        let mut command = Command::new(self.0.path().join("shmkey"));
        said(command.args(arguments).uid(UNPRIVILEGED).gid(UNPRIVILEGED))
    }
}

/// What removing leaves alone, listing does not advise to remove: also if it has not looked.
#[test]
fn data_is_left_alone_in_words() {
    alone(|| {
        let name = Name::new();
        Child::new(|| {
            let ring = shmkey::Ring::open(name.0.as_str(), 64).unwrap();
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
        assert!(shmkey(&["remove", "--orphans", "--yes", "--with-data"]).contains("Removed 1 "));
    });
}

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{why}");
    String::from_utf8(output.stdout).unwrap()
}

/// Nothing is removed if it is unknown whether the creator is live.
#[test]
fn no_orphan_is_guessed() {
    let program = Everybodys::new();
    let path = program.0.path().join("shmkey");
    let path = path.to_str().unwrap();
    alone(|| {
        // Others' processes are hidden, and the creator lives.
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

/// A user other than root removes its own orphans, and leaves those of others alone.
#[test]
fn orphans_of_an_ordinary_user() {
    let program = Everybodys::new();
    let as_nobody = |arguments: &[&str]| program.said(arguments);
    alone(|| {
        let maker = private(false);
        let roots = new_id(&[]);
        maker.kill();
        let _used = private(true);
        as_nobody(&["create", "--size", "100"]);
        assert_eq!(listed(&["--orphans"]).len(), 2);
        let said = as_nobody(&["remove", "--orphans", "--yes"]);
        assert!(
            said.contains("1 orphan of other users left alone"),
            "{said}"
        );
        assert!(said.contains("Removed 1 segment."), "{said}");
        assert_eq!(listed(&["--orphans"])[0]["id"], roots);
        // What it may not see, it says.
        let said = as_nobody(&["list"]);
        assert!(
            said.contains("1 unseen") && said.contains("run shmkey as root"),
            "{said}"
        );
    });
}
