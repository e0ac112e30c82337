//! Segments in Rust: what the documentation of each function says, and what happens when several do
//! it at once.

mod support;

use shmkey::{AttachOptions, Attachment, ErrorKind, Key, Segment, SegmentOptions};
use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};
use support::{Environment, kind};

fn private(size: usize) -> Segment {
    support::directory(); // cleans up when this process is stopped
    let options = Segment::options().size(size).remove_on_drop(true);
    options.open(Key::PRIVATE).unwrap()
}

#[test]
fn a_key_of_a_path_is_what_ftok_makes() {
    let test = Environment::new();
    let file = test.path().join("shmfile");
    for path in [
        test.path(),
        &file,
        "/".as_ref(),
        "/dev/null".as_ref(),
        "/proc".as_ref(),
    ] {
        let c_path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        for proj_id in [1, 65, 115, 255, -1, 257, i32::MAX, i32::MIN + 1] {
            // SAFETY: the path is a C string.
            let theirs = unsafe { libc::ftok(c_path.as_ptr(), proj_id) };
            assert_eq!(Key::from_path(path, proj_id).unwrap().as_raw(), theirs);
        }
    }
}

#[test]
fn the_options_create_and_open() {
    let test = Environment::new();
    let key = test.keys.writer_reader;
    assert_eq!(kind(Segment::open(key)), ErrorKind::KeyNotFound);
    let created = Segment::options()
        .create(true)
        .size(5000)
        .open(key)
        .unwrap();
    let status = created.status().unwrap();
    assert_eq!((status.size, status.mode, status.key), (5000, 0o600, key));
    let again = Segment::options()
        .create(true)
        .size(5000)
        .open(key)
        .unwrap();
    assert_eq!(created.id(), again.id());
    assert_eq!(Segment::open(key).unwrap().id(), created.id());

    let exclusive = Segment::options().exclusive(true).size(5000).open(key);
    let error = exclusive.unwrap_err();
    assert_eq!(
        (error.kind(), error.errno()),
        (ErrorKind::AlreadyExists, libc::EEXIST)
    );
    assert!(
        error.to_string().contains(&created.id().to_string()),
        "{error}"
    );

    let error = Segment::options()
        .create(true)
        .size(5001)
        .open(key)
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.errno()),
        (ErrorKind::TooSmall, libc::EINVAL)
    );
    assert!(error.to_string().contains("5000 bytes"), "{error}");
    assert!(error.to_string().contains("5001 bytes"), "{error}");

    created.remove().unwrap();
    assert_eq!(kind(again.status()), ErrorKind::NoSuchSegment);
    assert_eq!(kind(again.remove()), ErrorKind::NoSuchSegment);
    assert_eq!(kind(again.attach()), ErrorKind::NoSuchSegment);
    assert_eq!(
        kind(Segment::options().create(true).open(key)),
        ErrorKind::BadSize
    );
    assert_eq!(
        kind(Segment::options().create(true).size(usize::MAX).open(key)),
        ErrorKind::BadSize
    );
    assert_eq!(
        kind(Segment::options().create(true).size(1).mode(1000).open(key)),
        ErrorKind::InvalidArgument
    );
    test.expect_gone(key).unwrap();
}

#[test]
fn the_mode_is_for_the_creator_alone_unless_asked_otherwise() {
    let test = Environment::new();
    let key = test.keys.writer_reader;
    let created = Segment::options()
        .create(true)
        .size(1)
        .mode(0o640)
        .open(key)
        .unwrap();
    assert_eq!(created.status().unwrap().mode, 0o640);
    // Opening asks an existing segment for nothing: its mode decides when it is attached.
    let opened = Segment::options()
        .create(true)
        .size(1)
        .mode(0o777)
        .open(key)
        .unwrap();
    assert_eq!(
        (opened.id(), opened.status().unwrap().mode),
        (created.id(), 0o640)
    );
}

#[test]
fn a_mode_that_keeps_the_owner_out_is_refused() {
    for mode in [0, 0o100, 0o066, 0o177] {
        let refused = Segment::options().size(1).mode(mode).open(Key::PRIVATE);
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{mode:o}");
        assert!(error.to_string().contains("0600"), "{error}");
    }
    for mode in [0o400, 0o200] {
        let segment = Segment::options().size(1).mode(mode).open(Key::PRIVATE);
        segment.unwrap().remove().unwrap();
    }
}

#[test]
fn mode_and_owner_can_be_changed() {
    let segment = private(1);
    let before = segment.status().unwrap();
    segment.set_mode(0o640).unwrap();
    assert_eq!(segment.status().unwrap().mode, 0o640);
    segment.set_mode(0).unwrap(); // and back, though it cannot be read
    segment.set_mode(0o600).unwrap();
    segment.set_owner(None, Some(before.gid)).unwrap();
    segment.set_owner(None, None).unwrap();
    let after = segment.status().unwrap();
    assert_eq!(
        (after.mode, after.uid, after.gid),
        (0o600, before.uid, before.gid)
    );
    assert_eq!(kind(segment.set_mode(0o1000)), ErrorKind::InvalidArgument);
    let none = Segment::from_id(-1);
    assert_eq!(kind(none.set_mode(0o600)), ErrorKind::NoSuchSegment);
    assert_eq!(kind(none.set_owner(None, None)), ErrorKind::NoSuchSegment);
}

#[test]
fn the_status_tells_what_happened() {
    let segment = private(5000);
    let before = segment.status().unwrap();
    let me = std::process::id() as i32;
    assert_eq!((before.nattch, before.cpid, before.lpid), (0, me, 0));
    assert_eq!((before.attached_at, before.detached_at), (None, None));
    let age = SystemTime::now().duration_since(before.changed_at.unwrap());
    assert!(age.unwrap_or_default() < Duration::from_secs(60));
    // SAFETY: these functions take nothing and cannot fail.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    assert_eq!(
        (before.uid, before.cuid, before.gid, before.cgid),
        (uid, uid, gid, gid)
    );

    let memory = segment.attach().unwrap();
    let twice = segment.attach_read_only().unwrap();
    let attached = segment.status().unwrap();
    assert_eq!((attached.nattch, attached.lpid), (2, me));
    assert!(attached.attached_at.is_some());
    drop(twice);
    segment.remove().unwrap();
    segment.remove().unwrap();
    let removed = segment.status().unwrap();
    assert!(removed.removed && removed.key.is_private() && removed.detached_at.is_some());
    assert_eq!(removed.nattch, 1);
    // SAFETY: SHM_LOCK uses no buffer.
    let locked = unsafe { libc::shmctl(segment.id(), 11, std::ptr::null_mut()) };
    if locked == 0 {
        assert!(segment.status().unwrap().locked);
    }
    memory.detach().unwrap();
    assert_eq!(kind(segment.status()), ErrorKind::NoSuchSegment);
}

#[test]
fn the_list_has_it_and_agrees_with_proc() {
    let segments: Vec<Segment> = (1..20).map(|pages| private(pages * 4096 - 7)).collect();
    let memory = segments[3].attach().unwrap();
    let list = Segment::list().unwrap();
    let proc_list = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    for segment in &segments {
        let listed = list
            .iter()
            .find(|status| status.id == segment.id())
            .unwrap();
        assert_eq!(listed, &segment.status().unwrap());
        let line = proc_list
            .lines()
            .find(|line| line.split_whitespace().nth(1) == Some(&segment.id().to_string()))
            .unwrap();
        let field = |n: usize| line.split_whitespace().nth(n).unwrap();
        assert_eq!(field(3), listed.size.to_string());
        assert_eq!(field(6), listed.nattch.to_string());
    }
    drop(memory);
}

#[test]
fn bytes_go_in_and_come_out_and_nothing_outside() {
    let segment = private(5000);
    let memory = segment.attach().unwrap();
    assert_eq!(memory.size().unwrap(), 5000);
    memory.write_at(4995, b"12345").unwrap();
    memory.write_at(5000, b"").unwrap();
    let mut bytes = [0; 5];
    memory.read_at(4995, &mut bytes).unwrap();
    assert_eq!(&bytes, b"12345");

    // The page goes on behind the segment's end, but the segment does not.
    for (offset, len) in [
        (4996, 5),
        (5000, 1),
        (5001, 0),
        (usize::MAX, 1),
        (usize::MAX, 0),
        (0, 5001),
    ] {
        let mut buffer = vec![7; len];
        let error = memory.read_at(offset, &mut buffer).unwrap_err();
        assert_eq!(
            (error.kind(), error.errno()),
            (ErrorKind::OutOfRange, libc::EINVAL)
        );
        assert!(buffer.iter().all(|&byte| byte == 7));
        assert_eq!(
            kind(memory.write_at(offset, &buffer)),
            ErrorKind::OutOfRange
        );
    }
    memory.read_at(4995, &mut bytes).unwrap();
    assert_eq!(&bytes, b"12345");
}

#[test]
fn a_read_only_attachment_reads_only() {
    let segment = private(100);
    let memory = segment.attach().unwrap();
    let reader = segment.attach_read_only().unwrap();
    assert!(memory.is_writable() && !reader.is_writable());
    memory.write_at(0, b"x").unwrap();
    let mut byte = [0];
    reader.read_at(0, &mut byte).unwrap();
    assert_eq!(&byte, b"x");
    let error = reader.write_at(0, b"y").unwrap_err();
    assert_eq!(
        (error.kind(), error.errno()),
        (ErrorKind::ReadOnly, libc::EACCES)
    );
}

#[test]
fn it_attaches_where_it_is_told() {
    let segment = private(5000);
    let first = segment.attach().unwrap();
    let address = first.as_ptr() as usize;
    let attach_at = |address| AttachOptions::new().address(address).attach(&segment);
    assert_eq!(kind(attach_at(address)), ErrorKind::InvalidArgument);
    assert_eq!(kind(attach_at(address + 1)), ErrorKind::InvalidArgument);
    drop(first);
    // Another thread's allocation may have taken the place since; then it is refused, and never
    // replaced.
    match attach_at(address) {
        Ok(memory) => assert_eq!(memory.as_ptr() as usize, address),
        Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidArgument),
    }
}

#[test]
fn huge_pages_and_prefaulting_are_taken_where_they_are_to_be_had() {
    for size in [100, 2 << 20, (5 << 20) + 4097] {
        let segment = private(size);
        for read_only in [false, true] {
            let memory = AttachOptions::new()
                .read_only(read_only)
                .huge_pages(true)
                .prefault(true)
                .attach(&segment)
                .unwrap();
            if size >= 2 << 20 {
                assert_eq!(memory.as_ptr() as usize % (2 << 20), 0);
            }
            assert_eq!(memory.size().unwrap(), size);
            memory.read_at(size - 1, &mut [0]).unwrap();
        }
    }
    let pages = SegmentOptions::new()
        .huge_page_pool(true)
        .size(2 << 20)
        .remove_on_drop(true)
        .open(Key::PRIVATE);
    match pages {
        Ok(segment) => drop(segment.attach().unwrap()),
        Err(error) => assert!(
            [ErrorKind::OutOfMemory, ErrorKind::PermissionDenied].contains(&error.kind()),
            "{error}"
        ),
    }
}

/// Under a sanitizer or Miri this finds accesses that race; everywhere it finds bytes that come
/// from nowhere.
#[test]
fn threads_may_write_while_others_read() {
    let segment = private(4096);
    let memory = segment.attach().unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for pattern in [0x11_u8, 0x22] {
            let (memory, stop) = (&memory, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    memory.write_at(100, &[pattern; 1000]).unwrap();
                }
            });
        }
        let mut bytes = [0; 1200];
        for _ in 0..2000 {
            memory.read_at(0, &mut bytes).unwrap();
            assert!(bytes[..100].iter().chain(&bytes[1100..]).all(|&b| b == 0));
            assert!(bytes.iter().all(|b| [0, 0x11, 0x22].contains(b)));
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn an_attachment_outlives_the_segment_and_crosses_threads() {
    let memory: Attachment = {
        let segment = private(100);
        segment.attach().unwrap()
    };
    let memory = thread::spawn(move || {
        memory.write_at(0, b"still here").unwrap();
        memory
    })
    .join()
    .unwrap();
    let mut text = [0; 10];
    memory.read_at(0, &mut text).unwrap();
    assert_eq!(&text, b"still here");
}

#[test]
fn only_the_creator_removes_on_drop_and_not_its_child() {
    let test = Environment::new();
    let key = test.keys.writer_reader;
    let options = {
        Segment::options()
            .create(true)
            .size(100)
            .remove_on_drop(true)
    };
    let creator = options.open(key).unwrap();
    drop(options.open(key).unwrap());
    assert_eq!(Segment::open(key).unwrap().id(), creator.id());

    // SAFETY: the child drops a handle and ends, and neither allocates nor locks.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(creator);
        // SAFETY: ends this process, without the destructors that are the parent's.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: waits for the child, without asking for its status.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    assert_eq!(Segment::open(key).unwrap().id(), creator.id());
    drop(creator);
    test.expect_gone(key).unwrap();
}

#[test]
fn ids_that_never_were_are_errors() {
    // Ids that never were, of every shape.
    for id in [i32::MIN, -1, 0x7fff_ffff, 0x7fff_8000] {
        let segment = Segment::from_id(id);
        assert!(
            segment.status().is_err() && segment.attach().is_err() && segment.remove().is_err()
        );
    }
}

#[test]
fn an_error_is_an_io_error_too() {
    let error = Segment::from_id(-1).remove().unwrap_err();
    let text = error.to_string();
    let io: std::io::Error = error.into();
    assert_eq!(io.kind(), std::io::ErrorKind::InvalidInput);
    assert_eq!(io.to_string(), text);
}

/// Threads of one process open or create one key at the same moment, again and again.
#[test]
fn threads_that_open_or_create_at_once_get_one_segment() {
    const THREADS: usize = 8;
    let test = Environment::new();
    let key = test.keys.writer_reader;
    for round in 0..300 {
        let barrier = Barrier::new(THREADS);
        let size = 1000 + round;
        let ids: Vec<i32> = thread::scope(|scope| {
            let open = |careful: bool| {
                barrier.wait();
                let segment = Segment::options()
                    .create(true)
                    .size(size)
                    .remove_on_drop(careful)
                    .open(key)
                    .unwrap();
                assert_eq!(segment.status().unwrap().size, size);
                barrier.wait(); // all have looked before one removes
                segment.id()
            };
            let threads: Vec<_> = (0..THREADS)
                .map(|n| scope.spawn(move || open(n % 2 == 0)))
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|&id| id == ids[0]), "{ids:?}");
        if let Ok(segment) = Segment::open(key) {
            segment.remove().unwrap();
        }
    }
}

/// The same with processes: this test starts itself several times, and each copy opens when the
/// first one says to.
#[test]
fn processes_that_open_or_create_at_once_get_one_segment() {
    const COPIES: usize = 4;
    const ROUNDS: usize = 100;
    const KEY: &str = "SHMKEY_TEST_OPEN_THIS_KEY";
    if let Ok(key) = env::var(KEY) {
        let key = Key::from_raw(key.parse().unwrap());
        for line in std::io::stdin().lines() {
            let size = line.unwrap().parse().unwrap();
            let segment = Segment::options()
                .create(true)
                .size(size)
                .open(key)
                .unwrap();
            println!(
                "\nanswer {} {}",
                segment.id(),
                segment.status().unwrap().size
            );
            std::io::stdout().flush().unwrap();
        }
        return;
    }
    let test = Environment::new();
    let key = test.keys.writer_reader;
    let mut copies: Vec<_> = (0..COPIES)
        .map(|_| {
            let mut copy = Command::new(env::current_exe().unwrap())
                .args([
                    "--exact",
                    "--nocapture",
                    "processes_that_open_or_create_at_once_get_one_segment",
                ])
                .env(KEY, key.as_raw().to_string())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let out = BufReader::new(copy.stdout.take().unwrap());
            (copy, out.lines())
        })
        .collect();
    for round in 0..ROUNDS {
        let size = 1000 + round;
        for (copy, _) in &mut copies {
            writeln!(copy.stdin.as_mut().unwrap(), "{size}").unwrap();
        }
        let answers: Vec<String> = copies
            .iter_mut()
            .map(|(_, lines)| {
                lines
                    .map(Result::unwrap)
                    .find(|line| line.starts_with("answer "))
                    .unwrap()
            })
            .collect();
        assert!(
            answers.iter().all(|answer| answer == &answers[0]),
            "{answers:?}"
        );
        assert!(answers[0].ends_with(&format!(" {size}")), "{answers:?}");
        Segment::open(key).unwrap().remove().unwrap();
    }
    for (mut copy, lines) in copies {
        drop(copy.stdin.take());
        lines.for_each(drop);
        assert!(copy.wait().unwrap().success());
    }
}
