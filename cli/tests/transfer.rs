//! `create`, `put`, `get`, `dump`: bytes in, and the same bytes out.

mod support;

use shmkey::{Broadcast, Mutex, Place, Ring, Segment, Semaphore};
use std::{sync::Arc, thread, time::Duration};
use support::{Name, alone, listed_id, refusal, run, shmkey};

#[test]
fn bytes_of_a_segment() {
    let name = Name::new();
    let id = shmkey(&[
        "create", "--size", "1KiB", "--name", &name.0, "--mode", "640",
    ]);
    let status = Segment::from_id(id.trim().parse().unwrap())
        .status()
        .unwrap();
    assert_eq!((status.size, status.mode), (1024, 0o640));
    assert!(
        run(&["put", &name.0, "--offset", "0x10"], b"hello\0\xff")
            .status
            .success()
    );
    let bytes = run(&["get", &name.0, "-s", "16", "-n", "7"], b"").stdout;
    assert_eq!(bytes, b"hello\0\xff");
    let dump = shmkey(&["dump", &name.0, "-s", "16", "-n", "16"]);
    assert_eq!(
        dump,
        "00000010  68 65 6c 6c 6f 00 ff 00  00 00 00 00 00 00 00 00  |hello...........|\n00000020\n"
    );
    assert_eq!(run(&["dump", "--raw", &name.0], b"").stdout.len(), 1024);
    let file = tempfile::NamedTempFile::new().unwrap();
    shmkey(&["dump", &name.0, "-o", file.path().to_str().unwrap()]);
    assert_eq!(&std::fs::read(file.path()).unwrap()[16..21], b"hello");
}

/// To read what was never written gives it no memory, and gives zeroes.
#[test]
fn what_has_no_memory_gets_none() {
    const SIZE: usize = 32 << 20;
    let name = Name::new();
    name.create("32MiB");
    let resident = || {
        let id = name.segment().id();
        listed_id(id)["rss"].as_u64().unwrap()
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    let expect_unchanged = |expected: &[u8]| {
        let before = resident();
        shmkey(&["dump", &name.0]);
        assert_eq!(run(&["dump", "--raw", &name.0], b"").stdout, expected);
        assert_eq!(run(&["get", &name.0], b"").stdout, expected);
        shmkey(&["dump", &name.0, "-o", file.path().to_str().unwrap()]);
        assert_eq!(std::fs::read(file.path()).unwrap(), expected);
        assert_eq!(resident(), before);
    };
    let mut bytes = vec![0; SIZE];
    assert_eq!(resident(), 0);
    expect_unchanged(&bytes);
    bytes[20 << 20..][..5].copy_from_slice(b"hello");
    run(&["put", &name.0, "--offset", "20MiB"], b"hello");
    expect_unchanged(&bytes);
}

#[test]
fn too_much_is_refused_and_nothing_written() {
    let name = Name::new();
    name.create("8");
    let output = run(&["put", &name.0, "--offset", "1"], &[b'x'; 8]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("7 bytes"));
    assert_eq!(run(&["get", &name.0], b"").stdout, [0; 8]);
    for beyond in [["-s", "9"], ["-n", "9"], ["-s", "99999999999"]] {
        let arguments = [&["dump", &name.0][..], &beyond].concat();
        assert!(refusal(&arguments).contains("has 8 bytes"));
    }
}

#[test]
fn one_byte_is_no_bytes() {
    let name = Name::new();
    let id = name.create("1");
    let said = refusal(&["dump", &name.0, "-s", "9"]);
    assert!(said.contains("has 1 byte, "), "{said}");
    let said = shmkey(&["show", &id]);
    assert!(said.contains("1 byte\n"), "{said}");
}

#[test]
fn messages_of_a_ring() {
    let name = Name::new();
    shmkey(&["create", "--size", "4096", "--name", &name.0, "--ring"]);
    assert!(
        run(&["put", &name.0, "--lines"], b"one\n\ntwo")
            .status
            .success()
    );
    assert!(run(&["put", &name.0], b"three\nfour").status.success());
    assert_eq!(run(&["get", &name.0], b"").stdout, b"one");
    assert_eq!(
        run(&["get", &name.0, "--lines", "--count", "3"], b"").stdout,
        b"\ntwo\nthree\nfour\n"
    );
    // Its senders have ended.
    assert!(refusal(&["get", &name.0, "--timeout", "0"]).contains("EPIPE"));
    let none = ["get", &name.0, "--follow", "--timeout", "0"];
    assert_eq!(shmkey(&none), "");
    // It is a ring like any other.
    let ring = Ring::open(name.0.as_str(), 4096).unwrap();
    ring.sender().unwrap().send(b"from Rust").unwrap();
    assert_eq!(run(&["get", &name.0], b"").stdout, b"from Rust");
    let _receiver = ring.receiver().unwrap();
    assert!(refusal(&["get", &name.0]).contains("EBUSY"));
}

#[test]
fn several_scripts_send_to_a_ring_for_many_senders() {
    let (one, many) = (Name::new(), Name::new());
    let create = |name: &Name, options: &[&str]| {
        let usual = ["create", "--ring", "--size", "64", "--name", &name.0];
        shmkey(&[&usual, options].concat());
    };
    create(&one, &[]);
    create(&many, &["--many-senders", "--drop-oldest"]);
    let both = Ring::options().many_senders(true).drop_oldest(true);
    let both = both.open(many.0.as_str(), 64).unwrap();
    let single = Ring::open(one.0.as_str(), 64).unwrap();
    let _senders = (both.sender().unwrap(), single.sender().unwrap());
    assert!(refusal(&["put", &one.0]).contains("EBUSY"));
    // There is room for one of these.
    for line in [[b'a'; 60], [b'b'; 60]] {
        let put = run(&["put", &many.0, "--timeout", "0"], &line);
        assert!(put.status.success(), "{put:?}");
    }
    assert_eq!(run(&["get", &many.0], b"").stdout, [b'b'; 60]);
}

/// The first `put` has ended when the second one begins, and a sender that is killed ends nothing either.
#[test]
fn follow_receives_from_one_sender_after_another() {
    let name = Name::new();
    shmkey(&["create", "--size", "4096", "--name", &name.0, "--ring"]);
    thread::scope(|scope| {
        let follower = scope.spawn(|| {
            let all = ["get", &name.0, "--follow", "--lines", "--timeout", "2s"];
            shmkey(&all)
        });
        for line in [b"one", b"two"] {
            assert!(run(&["put", &name.0], line).status.success());
            thread::sleep(std::time::Duration::from_millis(100));
        }
        // SAFETY: the child sends and ends at once, without its destructors, as if it was killed.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let mut sender = Ring::open(name.0.as_str(), 4096).unwrap().sender().unwrap();
            let sent = sender.send(b"three").is_ok();
            // SAFETY: as above.
            unsafe { libc::_exit(i32::from(!sent)) };
        }
        // SAFETY: a child of this process.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        assert!(run(&["put", &name.0], b"four").status.success());
        assert_eq!(follower.join().unwrap(), "one\ntwo\nthree\nfour\n");
    });
}

/// An empty ring has room for a message of its capacity, wherever the last one ended.
#[test]
fn messages_of_more_than_half_the_capacity() {
    let name = Name::new();
    shmkey(&["create", "--size", "4K", "--name", &name.0, "--ring"]);
    for (byte, len) in [(b'a', 3000), (b'b', 3000), (b'c', 4096)] {
        let message = vec![byte; len];
        let put = run(&["put", &name.0], &message);
        assert!(put.status.success(), "{put:?}");
        assert_eq!(run(&["get", &name.0], b"").stdout, message);
    }
}

#[test]
fn messages_of_a_broadcast() {
    let name = Name::new();
    shmkey(&["create", "--size", "4096", "--name", &name.0, "--broadcast"]);
    let put = run(&["put", &name.0, "--lines"], b"one\n\ntwo");
    assert!(put.status.success());
    let all = [
        "get",
        &name.0,
        "--oldest",
        "--follow",
        "--lines",
        "--timeout",
        "0",
    ];
    for _ in 0..2 {
        assert_eq!(run(&all, b"").stdout, b"one\n\ntwo\n", "each reads all");
    }
    assert!(refusal(&["get", &name.0, "--timeout", "0"]).contains("EPIPE"));
    let news = Broadcast::open(name.0.as_str(), 4096).unwrap();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            thread::spawn({
                let name = name.0.clone();
                move || shmkey(&["get", &name])
            })
        })
        .collect();
    while news.subscribers() < 2 {
        thread::yield_now();
    }
    let shown = shmkey(&["show", &name.0]);
    assert!(shown.contains("3 published, 2 subscribers"), "{shown}");
    assert!(
        shown.contains("the publisher waits for the slowest subscriber"),
        "{shown}"
    );
    let object = &listed_id(news.segment().id())["contents"];
    assert_eq!(
        (&object["kind"], object["published"].as_u64()),
        (&"broadcast".into(), Some(3))
    );
    assert_eq!(object["subscribers"].as_array().unwrap().len(), 2);
    let _publisher = news.publisher().unwrap().publish(b"from Rust");
    for reader in readers {
        assert_eq!(reader.join().unwrap(), "from Rust");
    }
}

#[test]
fn what_was_missed_of_a_broadcast_is_counted() {
    let name = Name::new();
    shmkey(&[
        "create",
        "--size",
        "640",
        "--name",
        &name.0,
        "--broadcast",
        "--lossy",
    ]);
    let news = Broadcast::open(name.0.as_str(), 0).unwrap();
    assert!(news.is_lossy());
    let reader = thread::spawn({
        let name = name.0.clone();
        move || run(&["get", &name, "--lines", "--count", "2"], b"")
    });
    while news.subscribers() < 1 {
        thread::yield_now();
    }
    // It has the first message in hand, or is still asleep; in any case more follow than there is room for.
    let mut publisher = news.publisher().unwrap();
    let batch = [&b"text"[..]; 50];
    publisher.publish_batch(&batch).unwrap();
    publisher.publish_batch(&batch).unwrap();
    let output = reader.join().unwrap();
    assert_eq!(output.stdout, b"text\ntext\n");
    let why = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.success(), why.is_empty());
    assert!(
        why.is_empty() || why.contains("overwritten before they were received"),
        "{why}"
    );
}

#[test]
fn one_end_waits_for_the_next_at_the_other() {
    let name = Name::new();
    shmkey(&["create", "--size", "64", "--name", &name.0, "--ring"]);
    let lines: String = (0..20)
        .map(|number| format!("line {number:10}\n"))
        .collect();
    thread::scope(|scope| {
        let put = scope.spawn(|| run(&["put", &name.0, "--lines"], lines.as_bytes()));
        // Each is another receiver, and soon there is no room without them.
        for line in lines.lines() {
            assert_eq!(shmkey(&["get", &name.0]), line);
        }
        assert!(put.join().unwrap().status.success());
        // No process sends now, but another will.
        let get = scope.spawn(|| shmkey(&["get", &name.0]));
        thread::sleep(Duration::from_millis(100));
        assert!(run(&["put", &name.0], b"late").status.success());
        assert_eq!(get.join().unwrap(), "late");
    });
}

#[test]
fn what_is_no_place_for_bytes() {
    let name = Name::new();
    let semaphore = Semaphore::open(name.0.as_str(), 1).unwrap();
    let why = refusal(&["put", &name.0]);
    assert!(
        why.contains("holds a semaphore") && why.contains("--force"),
        "{why}"
    );
    assert!(refusal(&["get", &name.0]).contains("--raw"));
    assert!(
        run(&["get", "--raw", &name.0], b"")
            .stdout
            .starts_with(b"shmkey\r\n")
    );
    assert_eq!(semaphore.value(), 1);
}

#[test]
fn what_exists_is_not_made_again() {
    let name = Name::new();
    let create = ["create", "--size", "10", "--name", &name.0];
    let id = shmkey(&create);
    assert!(refusal(&create).contains("--existing"));
    assert!(refusal(&create).contains("attached by no process"));
    assert_eq!(shmkey(&[&create[..], &["--existing"]].concat()), id);
    let key = name.key().to_string();
    assert!(refusal(&["create", "--size", "10", "--key", &key]).contains("--existing"));
}

/// A ring takes messages; an offset asks for its bytes.
#[test]
fn a_ring_is_not_written_over_without_force() {
    let name = Name::new();
    let ring = Ring::open(name.0.as_str(), 64).unwrap();
    let refused = run(&["put", &name.0, "--offset", "0"], b"x");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--force"));
    assert_eq!(ring.used(), 0);
}

/// What is written over an object destroys it, wherever the object lies.
#[test]
fn no_object_is_written_over_without_force() {
    let name = Name::new();
    name.create("64KiB");
    let memory = Arc::new(name.segment().attach().unwrap());
    let mutex = Mutex::<u64>::open(Place::within(memory, 8192), 7).unwrap();
    let put = |offset: &str, more: &[&str]| {
        let arguments = [&["put", &name.0, "--offset", offset], more].concat();
        run(&arguments, &[b'x'; 8])
    };
    assert!(
        put("8184", &[]).status.success(),
        "it ends before the mutex"
    );
    let refused = put("8185", &[]);
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(why.contains("holds a mutex at 8192"), "{why}");
    assert_eq!(mutex.lock().unwrap().get(), 7);
    assert!(put("8192", &["--force"]).status.success());
    assert_eq!(
        &run(&["get", &name.0, "-s", "8192", "-n", "8"], b"").stdout,
        b"xxxxxxxx"
    );
}

/// An error names the object by its name.
#[test]
fn an_error_names_the_ring() {
    alone(|| {
        shmkey(&["create", "--ring", "--size", "4K", "--name", "orders"]);
        let output = run(&["get", "orders", "--timeout", "0"], b"");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("there is no message"), "{said}");
        assert!(said.contains("ring \"orders\" (id "), "{said}");
    });
}
