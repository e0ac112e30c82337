//! `list` and `show`: what they say is what the kernel says, and what is true.

mod support;

use serde_json::Value;
use shmkey::{Key, Latest, Mutex, Place, Ring, Segment, Semaphore};
use std::{collections::BTreeMap, fs, process::Command, sync::Arc};
use support::{Child, Name, alone, listed, listed_id, may_make_namespaces, refusal, shmkey};

/// The kernel's own list, a line by its id.
fn kernel() -> BTreeMap<i64, BTreeMap<String, i64>> {
    let text = fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    let number = |name: &str, text: &str| match name {
        "perms" => i64::from_str_radix(text, 8).unwrap(),
        _ => text.parse().unwrap(),
    };
    let lines = lines.map(|line| -> BTreeMap<String, i64> {
        let fields = line.split_whitespace().zip(&names);
        fields
            .map(|(text, name)| (name.to_string(), number(name, text)))
            .collect()
    });
    lines.map(|line| (line["shmid"], line)).collect()
}

/// What a segment is in our list, as the kernel's list has it.
fn as_kernel(segment: &Value) -> BTreeMap<String, i64> {
    let number = |name: &str| segment[name].as_i64().unwrap();
    let flag = |name: &str, bits: i64| if segment[name] == true { bits } else { 0 };
    let perms = number("mode") | flag("removed", 0o1000) | flag("locked", 0o2000);
    let same = [
        "key", "size", "cpid", "lpid", "nattch", "uid", "gid", "cuid", "cgid", "atime", "dtime",
        "ctime", "rss", "swap",
    ];
    let mut fields: BTreeMap<String, i64> = same
        .iter()
        .map(|&name| (name.to_owned(), number(name)))
        .collect();
    fields.insert("shmid".to_owned(), number("id"));
    fields.insert("perms".to_owned(), perms);
    fields
}

/// The lines of `ipcs -m`, as they follow from our list.
fn as_ipcs(segment: &Value) -> Vec<String> {
    let number = |name: &str| segment[name].as_i64().unwrap();
    let mut fields = vec![
        format!("{:#010x}", number("key") as u32),
        number("id").to_string(),
        // ipcs cuts long names.
        segment["owner"]
            .as_str()
            .unwrap()
            .chars()
            .take(10)
            .collect(),
        format!("{:o}", number("mode")),
        number("size").to_string(),
        number("nattch").to_string(),
    ];
    fields.extend((segment["removed"] == true).then(|| "dest".to_owned()));
    fields.extend((segment["locked"] == true).then(|| "locked".to_owned()));
    fields
}

fn ipcs() -> Vec<Vec<String>> {
    let output = Command::new("ipcs").arg("-m").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("0x"));
    lines
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect()
}

/// Compares all three lists, which must not change in between.
fn expect_all_agree() -> usize {
    let ours = listed(&[]);
    let kernel = kernel();
    let ipcs = ipcs();
    assert_eq!(ours.len(), kernel.len());
    assert_eq!(ours.len(), ipcs.len());
    for segment in &ours {
        assert_eq!(as_kernel(segment), kernel[&segment["id"].as_i64().unwrap()]);
        assert!(ipcs.contains(&as_ipcs(segment)), "{:?}", as_ipcs(segment));
    }
    ours.len()
}

#[test]
fn it_agrees_with_the_kernel_and_ipcs_from_none_to_thousands() {
    alone(|| {
        assert_eq!(expect_all_agree(), 0);
        assert!(shmkey(&[]).starts_with("There are no segments."));
        // By a process of its own: what this one has attached is also attached, for a moment, by the
        // children that other tests fork.
        let _user = Child::new(|| {
            let segment = Segment::options()
                .create(true)
                .size(10_000)
                .open(Key::PRIVATE);
            let attached = segment.unwrap().attach().unwrap();
            attached.write_at(0, &[1; 9000]).unwrap();
            Segment::from_id(attached.id()).remove().unwrap();
            std::mem::forget(attached);
        });
        let locked = Segment::options()
            .create(true)
            .size(1)
            .open(Key::PRIVATE)
            .unwrap();
        // SAFETY: locks a segment, with no buffer.
        let done = unsafe { libc::shmctl(locked.id(), libc::SHM_LOCK, std::ptr::null_mut()) };
        assert_eq!(done, 0);
        let other = Segment::options()
            .create(true)
            .size(77)
            .mode(0o640)
            .open(Key::from_raw(-2));
        // SAFETY: all zero is a record of users and modes.
        let mut record: libc::shmid_ds = unsafe { std::mem::zeroed() };
        record.shm_perm.uid = 65_534;
        record.shm_perm.gid = 70_000;
        record.shm_perm.mode = 0o604;
        // SAFETY: the record is this one.
        let done = unsafe { libc::shmctl(other.unwrap().id(), libc::IPC_SET, &mut record) };
        assert_eq!(done, 0);
        assert_eq!(expect_all_agree(), 3);
        for key in 1..=3997 {
            Segment::options()
                .create(true)
                .size(key as usize)
                .open(Key::from_raw(key))
                .unwrap();
        }
        assert_eq!(expect_all_agree(), 4000);
        assert_eq!(listed(&["--owner", "65534"]).len(), 1);
        assert_eq!(listed(&["--key", "0x10"]).len(), 1);
        assert_eq!(listed(&["--orphans"]).len(), 0, "this process lives");
    });
}

#[test]
fn who_uses_and_who_made_a_segment() {
    let name = Name::new();
    let key = Key::from_name(&name.0).unwrap();
    let maker = Child::new(|| {
        Segment::options()
            .create(true)
            .size(4096)
            .open(key)
            .unwrap();
    });
    let segment = Segment::open(key).unwrap();
    let writer = Child::new(|| {
        std::mem::forget((segment.attach().unwrap(), segment.attach().unwrap()));
    });
    let reader = Child::new(|| std::mem::forget(segment.attach_read_only().unwrap()));
    let seen = listed_id(segment.id());
    assert_eq!(seen["creator"]["pid"], maker.pid());
    assert_eq!(seen["creator"]["life"], "alive");
    assert_eq!(seen["last"]["pid"], reader.pid());
    assert_eq!(seen["nattch"], 3);
    assert_eq!(seen["unseen"], 0);
    let of = |pid: i32| {
        let all = seen["attached"].as_array().unwrap();
        all.iter().find(|one| one["pid"] == pid).cloned().unwrap()
    };
    assert_eq!(
        (&of(writer.pid())["times"], &of(writer.pid())["read_only"]),
        (&2.into(), &false.into())
    );
    assert_eq!(
        (&of(reader.pid())["times"], &of(reader.pid())["read_only"]),
        (&1.into(), &true.into())
    );
    let text = shmkey(&["show", &name.0]);
    assert!(
        text.contains(&format!("{} ", writer.pid())) && text.contains("×2"),
        "{text}"
    );
    let map = shmkey(&["map"]);
    assert!(map.contains('●') && map.contains('○'), "{map}");
    let dead = maker.pid();
    maker.kill();
    assert_eq!(listed_id(segment.id())["creator"]["life"], "dead");
    assert_eq!(listed_id(segment.id())["orphan"], false, "it is in use");
    writer.kill();
    reader.kill();
    assert_eq!(listed_id(segment.id())["orphan"], true);
    assert!(shmkey(&["show", &name.0]).contains(&format!("{dead} (dead)")));
    assert!(shmkey(&["list", "--orphans"]).contains("orphan"));
}

#[test]
fn what_a_managed_segment_holds() {
    let names: Vec<Name> = (0..4).map(|_| Name::new()).collect();
    let id = |name: &Name| {
        Segment::open(Key::from_name(&name.0).unwrap())
            .unwrap()
            .id()
    };
    let state = |name: &Name| listed_id(id(name))["contents"].clone();

    let mutex = Mutex::<u64>::open(names[0].0.as_str(), 7).unwrap();
    assert_eq!(state(&names[0])["kind"], "mutex");
    assert_eq!(state(&names[0])["owner"], Value::Null);
    let owner = Child::new(|| std::mem::forget(mutex.lock().unwrap()));
    assert_eq!(state(&names[0])["owner"]["id"], owner.pid());
    assert_eq!(state(&names[0])["owner"]["life"], "alive");
    let dead = owner.pid();
    owner.kill();
    assert_eq!(state(&names[0])["owner"]["life"], "dead");
    let line = shmkey(&["list"]);
    assert!(line.contains(&format!("locked by {dead} (dead)")), "{line}");

    let semaphore = Semaphore::open(names[1].0.as_str(), 3).unwrap();
    semaphore.post().unwrap();
    assert_eq!(state(&names[1])["value"], 4);

    let latest = Latest::<[u8; 100]>::open(names[2].0.as_str()).unwrap();
    assert_eq!(state(&names[2])["version"], 0);
    let mut publisher = latest.publisher().unwrap();
    publisher.publish([1; 100]).unwrap();
    let seen = state(&names[2]);
    assert_eq!(
        (&seen["version"], &seen["value_size"]),
        (&1.into(), &100.into())
    );
    assert_eq!(seen["publisher"]["id"], std::process::id());
    assert_eq!(seen["name"], names[2].0.as_str());

    let ring = Ring::open(names[3].0.as_str(), 1000).unwrap();
    let mut sender = ring.sender().unwrap();
    sender.send(&[0; 492]).unwrap();
    let seen = state(&names[3]);
    assert_eq!(
        (&seen["capacity"], &seen["used"]),
        (&1000.into(), &504.into())
    );
    assert_eq!(seen["senders"][0]["id"], std::process::id());
    assert_eq!(seen["receiver"], Value::Null);
    assert!(shmkey(&["show", &names[3].0]).contains("50% full"));
}

/// Looking at what another process has attached leaves no trace; a segment that holds no object is not attached.
#[test]
fn looking_changes_nothing() {
    let names = [Name::new(), Name::new()];
    let keys = names
        .each_ref()
        .map(|name| Key::from_name(&name.0).unwrap());
    let _user = Child::new(|| {
        std::mem::forget(Ring::open(names[0].0.as_str(), 1000).unwrap());
        Segment::options()
            .create(true)
            .size(4096)
            .open(keys[1])
            .unwrap();
    });
    let look = || keys.map(|key| Segment::open(key).unwrap().status().unwrap());
    let before = look();
    let list = shmkey(&["list"]);
    assert!(list.contains(&names[0].0), "{list}");
    shmkey(&["map"]);
    assert_eq!(look(), before);
}

/// Objects that lie behind the beginning of a segment are found without attaching it.
#[test]
fn objects_anywhere_in_a_segment() {
    let segment = Segment::options()
        .create(true)
        .remove_on_drop(true)
        .size(1 << 30)
        .open(Key::PRIVATE)
        .unwrap();
    let id = segment.id();
    let user = Child::new(|| {
        let memory = Arc::new(segment.attach().unwrap());
        let place = |offset| Place::within(Arc::clone(&memory), offset);
        let mutex = Mutex::<u64>::open(place(64), 7).unwrap();
        std::mem::forget(mutex.lock().unwrap());
        // What is sent is no object, even if it looks like one.
        let mut header = [0; 1024];
        memory.read_at(64, &mut header).unwrap();
        let ring = Ring::open(place(1 << 20), 8192).unwrap();
        ring.sender().unwrap().send(&header).unwrap();
        memory
            .write_at(4096, b"shmkey\r\n and nothing else")
            .unwrap();
        std::mem::forget((mutex, ring, memory));
    });
    let before = (segment.status().unwrap(), resident(id));
    let seen = listed_id(id);
    assert_eq!(seen["contents"], Value::Null);
    let within = seen["within"].as_array().unwrap();
    assert_eq!(within.len(), 2, "{within:?}");
    assert_eq!(
        (&within[0]["offset"], &within[0]["kind"]),
        (&64.into(), &"mutex".into())
    );
    assert_eq!(within[0]["owner"]["id"], user.pid());
    assert_eq!(
        (&within[1]["offset"], &within[1]["kind"]),
        (&(1 << 20).into(), &"ring".into())
    );
    let text = shmkey(&["show", &id.to_string()]);
    assert!(
        text.contains("mutex at 64") && text.contains("ring at 1048576"),
        "{text}"
    );
    assert!(shmkey(&["map"]).contains("2 objects"));
    assert_eq!((segment.status().unwrap(), resident(id)), before);

    // If no process has it attached, it is attached only on request.
    user.kill();
    let before = segment.status().unwrap();
    let text = shmkey(&["show", &id.to_string()]);
    assert!(
        text.contains(&format!("shmkey show --contents {id}")),
        "{text}"
    );
    assert_eq!(listed_id(id)["within"], Value::Array(Vec::new()));
    assert_eq!(segment.status().unwrap(), before);
    let text = shmkey(&["show", "--contents", &id.to_string()]);
    assert!(
        text.contains("mutex at 64") && text.contains("ring at 1048576"),
        "{text}"
    );
    assert!(text.contains("and now shmkey"), "{text}");
    assert_ne!(segment.status().unwrap().lpid, before.lpid);
}

/// How much of a segment is in memory, in bytes.
fn resident(id: i32) -> i64 {
    kernel()[&id.into()]["rss"]
}

/// A segment that no process has attached can only be looked into by attaching it: that is said, and
/// can be avoided.
#[test]
fn what_was_looked_at_is_marked() {
    alone(|| {
        let name = Name::new();
        let segment = Ring::open(name.0.as_str(), 100).unwrap().segment();
        let empty = Segment::options()
            .create(true)
            .size(6401)
            .open(Key::PRIVATE);
        let empty = empty.unwrap();
        let before = (segment.status().unwrap(), empty.status().unwrap());
        let look = || (segment.status().unwrap(), empty.status().unwrap());
        for command in [
            &["list"][..],
            &["list", "--json"],
            &["map"],
            &["show", &name.0],
        ] {
            let text = shmkey(&[command, &["--no-contents"]].concat());
            assert!(!text.contains("ring"), "{text}");
            assert_eq!(look(), before);
        }
        let seen = listed_id(segment.id());
        assert_eq!(seen["contents"]["kind"], "ring");
        assert_eq!(seen["looked_at"], true);
        assert_eq!(seen["lpid"], before.0.lpid, "as it was before");
        assert_ne!(look().0.lpid, before.0.lpid);
        // What was never written holds nothing, without a look.
        assert_eq!(listed_id(empty.id())["looked_at"], false);
        assert_eq!(look().1, before.1);
        let list = shmkey(&["list"]);
        assert!(
            list.contains("looked at") && list.contains("--no-contents"),
            "{list}"
        );
        empty.remove().unwrap();
    });
}

/// The kernel keeps the number of the creator, which another process can have now. The header of an
/// object tells them apart.
#[test]
fn a_creator_whose_number_was_given_away() {
    if support::skipped("root and namespaces", may_make_namespaces()) {
        return;
    }
    let path = env!("CARGO_BIN_EXE_shmkey");
    let name = Name::new();
    let script = format!(
        "{path} create --ring --size 64 --name '{}' > /dev/null & maker=$!; wait $maker; sleep 0.1
        while [ \"$young\" != $maker ]; do
            echo $((maker - 1)) > /proc/sys/kernel/ns_last_pid; sleep 1000 & young=$!
        done
        {path} list --json",
        name.0
    );
    // In a PID namespace of its own, whose numbers it may give away.
    let output = Command::new("unshare")
        .args([
            "--ipc",
            "--pid",
            "--fork",
            "--mount-proc",
            "--kill-child",
            "bash",
            "-c",
            &script,
        ])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let list: Value = serde_json::from_str(&text).unwrap();
    let seen = &list["segments"][0];
    assert_eq!(seen["creator"]["pid"], seen["contents"]["maker"]["id"]);
    assert_eq!(seen["contents"]["maker"]["life"], "dead");
    assert_eq!(seen["creator"]["life"], "dead");
    assert_eq!(seen["orphan"], true);
}

/// A holder's id may be that of another PID namespace, and a token of life is no riddle.
#[test]
fn holders_elsewhere_and_tokens() {
    alone(|| {
        let name = Name::new();
        let mutex = Mutex::<u64>::open(name.0.as_str(), 0).unwrap();
        let _guard = mutex.lock().unwrap();
        let child = Child::new(|| {
            let token = Segment::options().size(1).open(Key::PRIVATE).unwrap();
            std::mem::forget(token.attach().unwrap());
            token.remove().unwrap();
        });
        let path = env!("CARGO_BIN_EXE_shmkey");
        let run = |within: &[&str], arguments: &[&str]| {
            let all = [within, &[path], arguments].concat();
            let output = Command::new(all[0]).args(&all[1..]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let elsewhere = ["unshare", "--pid", "--fork", "--mount-proc"];
        let id = mutex.segment().id().to_string();
        for arguments in [&["list"][..], &["show", &id]] {
            let marked = "in another PID namespace)";
            assert!(!run(&[], arguments).contains(marked));
            let text = run(&elsewhere, arguments);
            assert!(text.contains(marked), "{text}");
        }
        let owner = |within: &[&str]| {
            let shown: Value =
                serde_json::from_str(&run(within, &["show", "--json", &id])).unwrap();
            shown["contents"]["owner"]["elsewhere"].clone()
        };
        assert_eq!((owner(&[]), owner(&elsewhere)), (false.into(), true.into()));

        let text = run(&[], &["list"]);
        let of_child = format!("token of process {}", child.pid());
        assert!(text.contains(&of_child), "{text}");
        let list: Value = serde_json::from_str(&run(&[], &["list", "--json"])).unwrap();
        let tokens = list["segments"].as_array().unwrap().iter();
        let tokens: Vec<&Value> = tokens.map(|segment| &segment["token"]).collect();
        assert_eq!(tokens, [&Value::from(false), &Value::from(true)]);
    });
}

/// A process that was killed while it made its token has left an orphan.
#[test]
fn a_token_left_behind_is_an_orphan() {
    alone(|| {
        Child::new(|| {
            let token = Segment::options().size(1).open(Key::PRIVATE).unwrap();
            std::mem::forget(token.attach().unwrap());
        })
        .kill();
        assert!(shmkey(&["remove", "--orphans", "--yes"]).contains("Removed 1 segment"));
    });
}

/// `list --json` and /proc/sysvipc/shm write keys as signed numbers, and programs as decimal ones.
#[test]
fn keys_as_they_are_written_elsewhere() {
    let raw = -0x3800_0000 | (std::process::id() as i32 & 0xff_ffff);
    let positive = raw & 0x7fff_ffff;
    let open = |raw| {
        Segment::options()
            .create(true)
            .remove_on_drop(true)
            .size(10)
            .open(Key::from_raw(raw))
            .unwrap()
    };
    let segment = open(raw);
    let id = segment.id().to_string();
    let key = listed_id(segment.id())["key"].to_string();
    assert_eq!(key, raw.to_string());
    for arguments in [
        &["show", "--", &key][..],
        &["show", &key],
        &["show", &format!("key:{key}")],
    ] {
        let text = shmkey(arguments);
        let mut words = text.split_whitespace();
        assert_eq!(
            (words.next(), words.next()),
            (Some("id"), Some(&*id)),
            "{text}"
        );
    }
    assert_eq!(listed(&["--key", &key])[0]["id"], segment.id());
    assert_eq!(listed(&[&format!("--key={key}")])[0]["id"], segment.id());

    // A number without a sign is an id; if there is none, it may be a key.
    let segment = open(positive);
    for command in ["show", "remove", "dump", "get"] {
        let why = refusal(&[command, &positive.to_string()]);
        assert!(
            why.contains(&format!("the segment with id {}", segment.id()))
                && why.contains(&format!("is the key {positive:#010x}")),
            "{why}"
        );
    }
}

/// Names come from other programs, which may be hostile to a terminal.
#[test]
fn nothing_in_a_name_reaches_the_terminal() {
    let name = Name(format!("\x1b[2J\x07\n{}", Name::new().0));
    let _ring = Ring::open(name.0.as_str(), 100).unwrap();
    for text in [
        shmkey(&["list"]),
        shmkey(&["map"]),
        shmkey(&["show", &name.0]),
    ] {
        assert!(!text.contains('\x1b') && !text.contains('\x07'), "{text}");
        assert!(text.contains("\\u{1b}[2J"), "{text}");
    }
}

/// What the kernel counts are areas of memory, and one attachment can have several.
#[test]
fn what_was_split_is_one_attachment() {
    let segment = Segment::options()
        .create(true)
        .remove_on_drop(true)
        .size(8 * 4096)
        .open(Key::PRIVATE)
        .unwrap();
    let _user = Child::new(|| {
        let memory = segment.attach().unwrap();
        // SAFETY: one page in the middle of eight that are there.
        let done = unsafe {
            let page = memory.as_ptr().add(3 * 4096).cast();
            libc::mprotect(page, 4096, libc::PROT_READ)
        };
        assert_eq!(done, 0);
        std::mem::forget(memory);
    });
    let seen = listed_id(segment.id());
    assert_eq!(seen["nattch"], 3);
    assert_eq!(seen["unseen"], 0);
    assert_eq!(seen["attached"][0]["times"], 1);
    assert_eq!(seen["attached"][0]["areas"], 3);
}

#[test]
fn a_process_lives_on_without_its_first_thread() {
    extern "C" fn stay(_: *mut libc::c_void) -> *mut libc::c_void {
        loop {
            // SAFETY: waits for a signal that ends it.
            unsafe { libc::pause() };
        }
    }
    extern "C" fn leave(_: libc::c_int) {
        // SAFETY: ends this thread, and only it.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
    let name = Name::new();
    let key = Key::from_name(&name.0).unwrap();
    let maker = Child::new(|| {
        let segment = Segment::options().create(true).size(4096).open(key);
        std::mem::forget(segment.unwrap().attach().unwrap());
        let mut thread = 0;
        // SAFETY: a thread that touches nothing, and a handler that does nothing but end another.
        unsafe {
            let (no, none) = (std::ptr::null(), std::ptr::null_mut());
            assert_eq!(libc::pthread_create(&mut thread, no, stay, none), 0);
            let leave = leave as extern "C" fn(libc::c_int) as libc::sighandler_t;
            libc::signal(libc::SIGUSR1, leave);
        }
    });
    let pid = maker.pid();
    // SAFETY: to the first thread of our own child.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, pid, pid, libc::SIGUSR1) };
    assert_eq!(sent, 0);
    let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    while !state().contains(") Z ") {
        std::thread::yield_now();
    }
    let id = Segment::open(key).unwrap().id();
    let seen = listed_id(id);
    assert_eq!(seen["creator"]["life"], "alive");
    assert_eq!(seen["attached"][0]["pid"], pid);
    assert_eq!(seen["unseen"], 0);
    drop(maker);
    assert_eq!(listed_id(id)["creator"]["life"], "dead");
}
