//! `list` and `show`: what they say is what the kernel says, and what is true.

mod support;

use serde_json::Value;
use shmkey::{Condvar, Key, Latest, Mutex, Place, Ring, RwLock, Segment, Semaphore};
use std::{collections::BTreeMap, fs, process::Command, sync::Arc};
use support::{
    Child, Name, alone, create, listed, listed_id, may_make_namespaces, private, refusal, shmkey,
};

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
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    lines.map(words).collect()
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
fn list_agrees_with_the_kernel_and_ipcs() {
    alone(|| {
        assert_eq!(expect_all_agree(), 0);
        assert!(shmkey(&[]).starts_with("There are no segments."));
        // By another process: what this one has attached is also attached, for a moment, by the children that other
        // tests fork.
        let _user = Child::new(|| {
            let segment = create(Key::PRIVATE, 10_000);
            let attached = segment.attach().unwrap();
            attached.write_at(0, &[1; 9000]).unwrap();
            segment.remove().unwrap();
            std::mem::forget(attached);
        });
        // SAFETY: locks a segment, with no buffer.
        let lock = |id| unsafe { libc::shmctl(id, libc::SHM_LOCK, std::ptr::null_mut()) };
        assert_eq!(lock(create(Key::PRIVATE, 1).id()), 0);
        let other = create(Key::from_raw(-2), 77);
        other.set_mode(0o604).unwrap();
        other.set_owner(Some(65_534), Some(70_000)).unwrap();
        assert_eq!(expect_all_agree(), 3);
        for key in 1..=3997 {
            create(Key::from_raw(key), key as usize);
        }
        assert_eq!(expect_all_agree(), 4000);
        assert_eq!(listed(&["--owner", "65534"]).len(), 1);
        assert_eq!(listed(&["--key", "0x10"]).len(), 1);
        assert_eq!(listed(&["--orphans"]).len(), 0, "their creator is live");
        let text = shmkey(&["list", "--key", "0x10"]);
        assert!(
            text.contains("1 of 4000 segments; all of them have "),
            "{text}"
        );
    });
}

#[test]
fn users_creator_and_last_user() {
    let name = Name::new();
    let maker = Child::new(|| drop(create(name.key(), 4096)));
    let segment = name.segment();
    let writer = Child::new(|| {
        std::mem::forget((segment.attach().unwrap(), segment.attach().unwrap()));
    });
    let reader = Child::new(|| std::mem::forget(segment.attach_read_only().unwrap()));
    let seen = listed_id(segment.id());
    assert_eq!(seen["creator"]["pid"], maker.pid());
    assert_eq!(seen["creator"]["life"], "live");
    assert_eq!(seen["last"]["pid"], reader.pid());
    assert_eq!((&seen["nattch"], &seen["unseen"]), (&3.into(), &0.into()));
    for (child, times, read_only) in [(&writer, 2, false), (&reader, 1, true)] {
        let mut all = seen["attached"].as_array().unwrap().iter();
        let found = all.find(|one| one["pid"] == child.pid()).unwrap();
        assert_eq!(
            (&found["times"], &found["read_only"]),
            (&times.into(), &read_only.into())
        );
    }
    let text = shmkey(&["show", &name.0]);
    let users = format!("{} ", writer.pid());
    assert!(text.contains(&users) && text.contains("×2"), "{text}");
    let map = shmkey(&["map"]);
    assert!(map.contains('●') && map.contains('○'), "{map}");
}

#[test]
fn a_segment_becomes_an_orphan() {
    let name = Name::new();
    let maker = Child::new(|| drop(create(name.key(), 4096)));
    let segment = name.segment();
    let user = Child::new(|| std::mem::forget(segment.attach().unwrap()));
    let dead = format!("{} (dead)", maker.pid());
    maker.kill();
    let seen = listed_id(segment.id());
    assert_eq!(seen["creator"]["life"], "dead");
    assert_eq!(seen["orphan"], false, "it is in use");
    user.kill();
    assert_eq!(listed_id(segment.id())["orphan"], true);
    assert!(shmkey(&["show", &name.0]).contains(&dead));
    assert!(shmkey(&["list", "--orphans"]).contains("orphan"));
}

/// What the list says of the object that a segment begins with.
fn contents(name: &Name) -> Value {
    listed_id(name.segment().id())["contents"].clone()
}

#[test]
fn mutexes_and_semaphores_are_shown() {
    let names = [Name::new(), Name::new()];
    let mutex = Mutex::<u64>::open(names[0].0.as_str(), 7).unwrap();
    assert_eq!(contents(&names[0])["kind"], "mutex");
    assert_eq!(contents(&names[0])["owner"], Value::Null);
    let owner = Child::new(|| std::mem::forget(mutex.lock().unwrap()));
    assert_eq!(contents(&names[0])["owner"]["id"], owner.pid());
    assert_eq!(contents(&names[0])["owner"]["life"], "live");
    let locked = format!("locked by {} (dead)", owner.pid());
    owner.kill();
    assert_eq!(contents(&names[0])["owner"]["life"], "dead");
    let list = shmkey(&["list"]);
    assert!(list.contains(&locked), "{list}");

    let semaphore = Semaphore::open(names[1].0.as_str(), 3).unwrap();
    semaphore.post().unwrap();
    assert_eq!(contents(&names[1])["value"], 4);
}

#[test]
fn reader_writer_locks_and_condition_variables_are_shown() {
    let names = [Name::new(), Name::new()];
    let lock = RwLock::<u64>::open(names[0].0.as_str(), 7).unwrap();
    let shown = |text: &str| {
        let show = shmkey(&["show", &names[0].0]);
        assert!(show.contains(text), "{show}");
    };
    shown("free");
    let reader = lock.read().unwrap();
    shown("locked for reading by ");
    assert_eq!(contents(&names[0])["kind"], "rwlock");
    assert_eq!(contents(&names[0])["writer"], Value::Null);
    drop(reader);
    let writer = Child::new(|| std::mem::forget(lock.write().unwrap()));
    assert_eq!(contents(&names[0])["writer"]["id"], writer.pid());
    let locked = format!("locked for writing by {} (dead)", writer.pid());
    writer.kill();
    shown(&locked);
    drop(lock.read().unwrap());
    shown("free, inconsistent");
    drop(lock.write().unwrap());
    shown("value lost");

    let condvar = Condvar::open(names[1].0.as_str()).unwrap();
    condvar.notify_one();
    condvar.notify_all();
    assert_eq!(contents(&names[1])["kind"], "condvar");
    assert_eq!(contents(&names[1])["notifications"], 2);
    assert_eq!(contents(&names[1])["waited_for"], false);
}

#[test]
fn latest_values_and_rings_are_shown() {
    let names = [Name::new(), Name::new()];
    let us = std::process::id();
    let latest = Latest::<[u8; 100]>::open(names[0].0.as_str()).unwrap();
    assert_eq!(contents(&names[0])["version"], 0);
    let mut publisher = latest.publisher().unwrap();
    publisher.publish([1; 100]).unwrap();
    let seen = contents(&names[0]);
    assert_eq!(
        (&seen["version"], &seen["value_size"]),
        (&1.into(), &100.into())
    );
    assert_eq!(seen["publisher"]["id"], us);
    assert_eq!(seen["name"], names[0].0.as_str());

    let ring = Ring::open(names[1].0.as_str(), 1000).unwrap();
    let mut sender = ring.sender().unwrap();
    sender.send(&[0; 492]).unwrap();
    let seen = contents(&names[1]);
    assert_eq!(
        (&seen["capacity"], &seen["used"]),
        (&1000.into(), &512.into())
    );
    assert_eq!(seen["senders"][0]["id"], us);
    assert_eq!(seen["receiver"], Value::Null);
    assert!(shmkey(&["show", &names[1].0]).contains("51% full"));
}

/// A segment is read through a process that has it attached; a segment that holds no object is not attached.
#[test]
fn listing_changes_nothing() {
    let names = [Name::new(), Name::new()];
    let _user = Child::new(|| {
        std::mem::forget(Ring::open(names[0].0.as_str(), 1000).unwrap());
        create(names[1].key(), 4096);
    });
    let look = || {
        names
            .each_ref()
            .map(|name| name.segment().status().unwrap())
    };
    let before = look();
    let list = shmkey(&["list"]);
    assert!(list.contains(&names[0].0), "{list}");
    shmkey(&["map"]);
    assert_eq!(look(), before);
}

/// Creates a locked mutex at 64 and a ring at 1 MiB.
fn create_objects_within(segment: &Segment) {
    let memory = Arc::new(segment.attach().unwrap());
    let place = |offset| Place::within(Arc::clone(&memory), offset);
    let mutex = Mutex::<u64>::open(place(64), 7).unwrap();
    std::mem::forget(mutex.lock().unwrap());
    // Neither of these is an object: a message that is a copy of a header, and the first bytes of one.
    let mut header = [0; 1024];
    memory.read_at(64, &mut header).unwrap();
    let ring = Ring::open(place(1 << 20), 8192).unwrap();
    ring.sender().unwrap().send(&header).unwrap();
    memory
        .write_at(4096, b"shmkey\r\n and nothing else")
        .unwrap();
    std::mem::forget((mutex, ring, memory));
}

#[test]
fn objects_within_a_segment_are_found_without_attaching_it() {
    let segment = private(1 << 30);
    let id = segment.id();
    let user = Child::new(|| create_objects_within(&segment));
    let before = (segment.status().unwrap(), resident(id));
    let seen = listed_id(id);
    assert_eq!(seen["contents"], Value::Null);
    let within = seen["within"].as_array().unwrap().iter();
    let within: Vec<_> = within.map(|one| (&one["offset"], &one["kind"])).collect();
    let expected = [
        (&64.into(), &"mutex".into()),
        (&(1 << 20).into(), &"ring".into()),
    ];
    assert_eq!(within, expected);
    assert_eq!(seen["within"][0]["owner"]["id"], user.pid());
    expect_both_objects(&["show", &id.to_string()]);
    assert!(shmkey(&["map"]).contains("2 objects"));
    assert_eq!((segment.status().unwrap(), resident(id)), before);
}

fn expect_both_objects(arguments: &[&str]) -> String {
    let text = shmkey(arguments);
    assert!(
        text.contains("mutex at 64") && text.contains("ring at 1048576"),
        "{text}"
    );
    text
}

#[test]
fn objects_within_an_unused_segment_are_found_on_request() {
    let segment = private(1 << 30);
    let id = segment.id().to_string();
    Child::new(|| create_objects_within(&segment)).kill();
    let before = segment.status().unwrap();
    let text = shmkey(&["show", &id]);
    assert!(
        text.contains(&format!("shmkey show --contents {id}")),
        "{text}"
    );
    assert_eq!(listed_id(segment.id())["within"], Value::Array(Vec::new()));
    assert_eq!(segment.status().unwrap(), before);
    let text = expect_both_objects(&["show", "--contents", &id]);
    assert!(text.contains("; since then shmkey"), "{text}");
    assert_ne!(segment.status().unwrap().lpid, before.lpid);
}

/// How much of a segment is in memory, in bytes.
fn resident(id: i32) -> i64 {
    kernel()[&id.into()]["rss"]
}

/// shmkey can read a segment that no process has attached only by attaching it: it says so, and has an option that
/// avoids it.
#[test]
fn looked_at_is_said_and_can_be_avoided() {
    alone(|| {
        let name = Name::new();
        let segment = Ring::open(name.0.as_str(), 100).unwrap().segment();
        let empty = create(Key::PRIVATE, 6401);
        let look = || (segment.status().unwrap(), empty.status().unwrap());
        let before = look();
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
        // A segment to which no process has written holds no object: there is nothing to read.
        assert_eq!(listed_id(empty.id())["looked_at"], false);
        assert_eq!(look().1, before.1);
        let list = shmkey(&["list"]);
        assert!(
            list.contains("looked at") && list.contains("--no-contents"),
            "{list}"
        );
    });
}

/// The kernel records the id of the creator, which another process can have now. The header of an object tells the two
/// processes apart.
#[test]
fn a_reused_process_id_is_not_the_creator() {
    if support::skipped("root and namespaces", may_make_namespaces()) {
        return;
    }
    let path = env!("CARGO_BIN_EXE_shmkey");
    let name = Name::new().0.clone();
    let script = format!(
        "{path} create --ring --size 64 --name '{name}' > /dev/null & maker=$!
        wait $maker; sleep 0.1
        while [ \"$young\" != $maker ]; do
            echo $((maker - 1)) > /proc/sys/kernel/ns_last_pid; sleep 1000 & young=$!
        done
        {path} list --json"
    );
    // In a PID namespace of its own, in which it may choose the next id.
    let mut command = Command::new("unshare");
    command.args(["--ipc", "--pid", "--fork", "--mount-proc", "--kill-child"]);
    let text = support::said(command.args(["bash", "-c", &script]));
    let list: Value = serde_json::from_str(&text).unwrap();
    let seen = &list["segments"][0];
    assert_eq!(seen["creator"]["pid"], seen["contents"]["creator"]["id"]);
    assert_eq!(seen["contents"]["creator"]["life"], "dead");
    assert_eq!(seen["creator"]["life"], "dead");
    assert_eq!(seen["orphan"], true);
}

#[test]
fn a_holder_in_another_pid_namespace_is_marked() {
    alone(|| {
        let name = Name::new();
        let mutex = Mutex::<u64>::open(name.0.as_str(), 0).unwrap();
        let _guard = mutex.lock().unwrap();
        let path = env!("CARGO_BIN_EXE_shmkey");
        let run = |within: &[&str], arguments: &[&str]| {
            let all = [within, &[path], arguments].concat();
            support::said(Command::new(all[0]).args(&all[1..]))
        };
        let elsewhere = ["unshare", "--pid", "--fork", "--mount-proc"];
        let id = mutex.segment().id().to_string();
        for arguments in [&["list"][..], &["show", &id]] {
            let marked = "in another PID namespace)";
            assert!(!run(&[], arguments).contains(marked));
            let text = run(&elsewhere, arguments);
            assert!(text.contains(marked), "{text}");
        }
        for (within, expected) in [(&[][..], false), (&elsewhere, true)] {
            let shown: Value =
                serde_json::from_str(&run(within, &["show", "--json", &id])).unwrap();
            assert_eq!(shown["contents"]["owner"]["elsewhere"], expected);
        }
    });
}

/// Creates and attaches what the library keeps to show other PID namespaces that this process is live.
fn create_token() -> Segment {
    let token = create(Key::PRIVATE, 1);
    std::mem::forget(token.attach().unwrap());
    token
}

#[test]
fn tokens_are_named() {
    alone(|| {
        create(Key::PRIVATE, 1);
        let child = Child::new(|| create_token().remove().unwrap());
        let text = shmkey(&["list"]);
        assert!(
            text.contains(&format!("token of process {}", child.pid())),
            "{text}"
        );
        let tokens: Vec<Value> = listed(&[]).iter().map(|one| one["token"].clone()).collect();
        assert_eq!(tokens, [Value::from(false), Value::from(true)]);
    });
}

/// A process that is killed before it has removed its token leaves an orphan.
#[test]
fn a_token_left_behind_is_an_orphan() {
    alone(|| {
        Child::new(|| drop(create_token())).kill();
        assert!(shmkey(&["remove", "--orphans", "--yes"]).contains("removed "));
    });
}

/// `list --json` and /proc/sysvipc/shm write keys as signed numbers.
#[test]
fn a_negative_number_is_a_key() {
    let raw = -0x3800_0000 | (std::process::id() as i32 & 0xff_ffff);
    let options = Segment::options().create(true).remove_on_drop(true);
    let segment = options.size(10).open(Key::from_raw(raw)).unwrap();
    let key = listed_id(segment.id())["key"].to_string();
    assert_eq!(key, raw.to_string());
    let id = segment.id().to_string();
    for arguments in [
        &["show", "--", &key][..],
        &["show", &key],
        &["show", &format!("key:{key}")],
    ] {
        let text = shmkey(arguments);
        let words: Vec<&str> = text.split_whitespace().take(2).collect();
        assert_eq!(words, ["id", &id], "{text}");
    }
    assert_eq!(listed(&["--key", &key])[0]["id"], segment.id());
    assert_eq!(listed(&[&format!("--key={key}")])[0]["id"], segment.id());
}

/// A number without a sign is an id; the error says whether it is also the key of a segment.
#[test]
fn a_key_given_as_an_id_is_recognised() {
    let raw = 0x4800_0000 | (std::process::id() as i32 & 0xff_ffff);
    let options = Segment::options().create(true).remove_on_drop(true);
    let segment = options.size(10).open(Key::from_raw(raw)).unwrap();
    for command in ["show", "remove", "dump", "get"] {
        let why = refusal(&[command, &raw.to_string()]);
        let advice = format!(
            "the key {raw:#010x} of the segment with id {}",
            segment.id()
        );
        assert!(why.contains(&advice), "{why}");
    }
}

#[test]
fn control_characters_in_a_name_are_escaped() {
    let name = Name(format!("\x1b[2J\x07\n{}", Name::new().0));
    let _ring = Ring::open(name.0.as_str(), 100).unwrap();
    for arguments in [&["list"][..], &["map"], &["show", &name.0]] {
        let text = shmkey(arguments);
        assert!(!text.contains('\x1b') && !text.contains('\x07'), "{text}");
        assert!(text.contains("\\u{1b}[2J"), "{text}");
    }
}

/// The kernel counts areas of memory, and one attachment can have several.
#[test]
fn an_attachment_in_several_areas_counts_once() {
    let segment = private(8 * 4096);
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
    assert_eq!((&seen["nattch"], &seen["unseen"]), (&3.into(), &0.into()));
    let attached = &seen["attached"][0];
    assert_eq!(
        (&attached["times"], &attached["areas"]),
        (&1.into(), &3.into())
    );
}

/// Starts a second thread, and lets SIGUSR1 end the thread that receives it.
fn survive_the_first_thread() {
    extern "C" fn stay(_: *mut libc::c_void) -> *mut libc::c_void {
        loop {
            // SAFETY: waits for a signal that ends the process.
            unsafe { libc::pause() };
        }
    }
    extern "C" fn leave(_: libc::c_int) {
        // SAFETY: ends this thread, and only it.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
    let mut thread = 0;
    // SAFETY: a thread that touches nothing, and a handler that does nothing but end another.
    unsafe {
        let (no, none) = (std::ptr::null(), std::ptr::null_mut());
        assert_eq!(libc::pthread_create(&mut thread, no, stay, none), 0);
        let leave = leave as extern "C" fn(libc::c_int) as libc::sighandler_t;
        libc::signal(libc::SIGUSR1, leave);
    }
}

#[test]
fn a_process_without_its_first_thread_is_live() {
    let name = Name::new();
    let maker = Child::new(|| {
        std::mem::forget(create(name.key(), 4096).attach().unwrap());
        survive_the_first_thread();
    });
    let pid = maker.pid();
    // SAFETY: to the first thread of our own child.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, pid, pid, libc::SIGUSR1) };
    assert_eq!(sent, 0);
    let state = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    while !state().contains(") Z ") {
        std::thread::yield_now();
    }
    let id = name.segment().id();
    let seen = listed_id(id);
    assert_eq!(seen["creator"]["life"], "live");
    assert_eq!(
        (&seen["attached"][0]["pid"], &seen["unseen"]),
        (&pid.into(), &0.into())
    );
    drop(maker);
    assert_eq!(listed_id(id)["creator"]["life"], "dead");
}

/// The options of `--sort` are the names of columns.
#[test]
fn the_list_is_sorted_by_its_columns() {
    alone(|| {
        let often = private(100);
        let _never = private(200);
        let _attached = often.attach().unwrap();
        for column in ["id", "key", "size", "owner", "attached", "age", "used"] {
            assert_eq!(listed(&["--sort", column]).len(), 2, "{column}");
        }
        let sorted = listed(&["--sort", "attached", "--reverse"]);
        assert_eq!(sorted[1]["id"], often.id());
    });
}

#[test]
fn an_error_about_a_file_names_it_and_the_reason() {
    let private = private(100);
    let id = private.id().to_string();
    let file = "/no such directory/file";
    for arguments in [
        &["map", "--svg", file][..],
        &["dump", &id, "--output", file],
    ] {
        let why = format!("shmkey: {file}: No such file or directory\n");
        assert_eq!(refusal(arguments), why);
    }
}
