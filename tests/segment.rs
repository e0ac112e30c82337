//! Segments in Rust: what the documentation of each function says, and what happens when several do
//! it at once.

mod support;

use shmkey::{AttachOptions, ErrorKind::*, Key, Segment, SegmentOptions};
use shmkey_core::backend;
use std::{
    ffi::CString,
    io,
    path::Path,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};
use support::{
    Environment, Helper, create_segment, do_task, fails, in_child, private_segment, say, says,
};

#[test]
fn a_key_of_a_path_is_what_ftok_makes() {
    let test = Environment::new();
    let file = test.path().join("shmfile");
    let fixed = ["/", "/dev/null", "/proc"].map(Path::new);
    for path in [test.path(), &file].into_iter().chain(fixed) {
        let c_path = CString::new(path.to_str().unwrap()).unwrap();
        for proj_id in [1, 65, 115, 255, -1, 257, i32::MAX, i32::MIN + 1] {
            // SAFETY: the path is a C string.
            let theirs = unsafe { libc::ftok(c_path.as_ptr(), proj_id) };
            assert_eq!(Key::from_path(path, proj_id).unwrap().as_raw(), theirs);
        }
    }
}

#[test]
fn a_segment_is_created_once_and_found_by_its_key() {
    let test = Environment::new();
    let key = test.keys.writer_reader;
    fails(Segment::open(key), KeyNotFound);
    let created = create_segment(key, 5000);
    let status = created.status().unwrap();
    assert_eq!((status.size, status.mode, status.key), (5000, 0o600, key));
    let again = create_segment(key, 5000);
    assert_eq!(
        (created.id(), created.id()),
        (again.id(), Segment::open(key).unwrap().id())
    );
    created.remove().unwrap();
    fails(again.status(), NoSuchSegment);
    fails(again.remove(), NoSuchSegment);
    fails(again.attach(), NoSuchSegment);
    test.expect_gone(key).unwrap();
}

#[test]
fn options_that_cannot_be_met_are_refused() {
    let test = Environment::new();
    let key = test.keys.writer_reader;
    let create = || Segment::options().create(true);
    fails(create().open(key), BadSize);
    fails(create().size(usize::MAX).open(key), BadSize);
    fails(create().size(1).mode(1000).open(key), InvalidArgument);
    test.expect_gone(key).unwrap();
    let created = create_segment(key, 5000);
    let error = fails(create().exclusive(true).size(5000).open(key), AlreadyExists);
    assert_eq!(error.errno(), libc::EEXIST);
    says(&error.to_string(), &created.id().to_string());
    let error = fails(create().size(5001).open(key), TooSmall);
    assert_eq!(error.errno(), libc::EINVAL);
    says(&error.to_string(), "5001 bytes…5000 bytes");
}

/// Opening asks an existing segment for no rights: its mode decides when it is attached.
#[test]
fn the_mode_is_that_of_the_creation() {
    let test = Environment::new();
    let open = |mode| {
        let options = Segment::options().create(true).size(1).mode(mode);
        options.open(test.keys.writer_reader).unwrap()
    };
    let (created, opened) = (open(0o640), open(0o777));
    assert_eq!(created.id(), opened.id());
    assert_eq!(opened.status().unwrap().mode, 0o640);
}

#[test]
fn a_mode_that_keeps_the_owner_out_is_refused() {
    let create = |mode| Segment::options().size(1).mode(mode).open(Key::PRIVATE);
    for mode in [0, 0o100, 0o066, 0o177] {
        let error = fails(create(mode), InvalidArgument);
        says(&error.to_string(), "0600");
    }
    for mode in [0o400, 0o200] {
        create(mode).unwrap().remove().unwrap();
    }
}

#[test]
fn mode_and_owner_can_be_changed() {
    let segment = private_segment(1);
    let before = segment.status().unwrap();
    segment.set_mode(0o640).unwrap();
    assert_eq!(segment.status().unwrap().mode, 0o640);
    segment.set_mode(0).unwrap(); // and back, though it cannot be read
    segment.set_mode(0o600).unwrap();
    segment.set_owner(None, Some(before.gid)).unwrap();
    segment.set_owner(None, None).unwrap();
    let after = segment.status().unwrap();
    let expected = (0o600, before.uid, before.gid);
    assert_eq!((after.mode, after.uid, after.gid), expected);
    fails(segment.set_mode(0o1000), InvalidArgument);
    let none = Segment::from_id(-1);
    fails(none.set_mode(0o600), NoSuchSegment);
    fails(none.set_owner(None, None), NoSuchSegment);
}

#[test]
fn the_status_of_a_new_segment_names_its_creator() {
    let status = private_segment(5000).status().unwrap();
    let me = std::process::id() as i32;
    assert_eq!((status.nattch, status.cpid, status.lpid), (0, me, 0));
    assert_eq!((status.attached_at, status.detached_at), (None, None));
    let age = SystemTime::now().duration_since(status.changed_at.unwrap());
    assert!(age.unwrap_or_default() < Duration::from_secs(60));
    // SAFETY: these functions take nothing and cannot fail.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    assert_eq!((status.uid, status.cuid), (uid, uid));
    assert_eq!((status.gid, status.cgid), (gid, gid));
}

#[test]
fn the_status_follows_attaching_and_removal() {
    // In a process of its own: children that other tests start have its attachments for a moment.
    in_child(|| {
        let segment = private_segment(5000);
        let memory = segment.attach().unwrap();
        let twice = segment.attach_read_only().unwrap();
        let attached = segment.status().unwrap();
        assert_eq!(
            (attached.nattch, attached.lpid),
            (2, std::process::id() as i32)
        );
        assert!(attached.attached_at.is_some());
        drop(twice);
        segment.remove().unwrap();
        segment.remove().unwrap();
        let removed = segment.status().unwrap();
        assert!(removed.removed && removed.key.is_private() && removed.detached_at.is_some());
        assert_eq!(removed.nattch, 1);
        let nothing = std::ptr::null_mut();
        // SAFETY: this command uses no buffer.
        let locked = unsafe { backend::control(segment.id(), libc::SHM_LOCK, nothing) };
        if locked.is_ok() {
            assert!(segment.status().unwrap().locked);
        }
        memory.detach().unwrap();
        fails(segment.status(), NoSuchSegment);
    });
}

#[test]
fn the_list_agrees_with_proc() {
    let segments: Vec<Segment> = (1..20)
        .map(|pages| private_segment(pages * 4096 - 7))
        .collect();
    let memory = segments[3].attach().unwrap();
    let list = Segment::list().unwrap();
    let proc_list = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    for segment in &segments {
        let listed = list.iter().find(|status| status.id == segment.id());
        assert_eq!(listed, Some(&segment.status().unwrap()));
        let mut lines = proc_list
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        let line = lines
            .find(|line| line[1] == segment.id().to_string())
            .unwrap();
        let status = listed.unwrap();
        assert_eq!(
            (line[3], line[6]),
            (&*status.size.to_string(), &*status.nattch.to_string())
        );
    }
    drop(memory);
}

#[test]
fn no_access_goes_beyond_the_end() {
    let segment = private_segment(5000);
    let memory = segment.attach().unwrap();
    assert_eq!(memory.size().unwrap(), 5000);
    memory.write_at(4995, b"12345").unwrap();
    memory.write_at(5000, b"").unwrap();
    // The page goes on behind the segment's end.
    let max = usize::MAX;
    for (offset, len) in [
        (4996, 5),
        (5000, 1),
        (5001, 0),
        (max, 1),
        (max, 0),
        (0, 5001),
    ] {
        let mut buffer = vec![7; len];
        let error = fails(memory.read_at(offset, &mut buffer), OutOfRange);
        assert_eq!(error.errno(), libc::EINVAL);
        assert!(buffer.iter().all(|&byte| byte == 7));
        fails(memory.write_at(offset, &buffer), OutOfRange);
    }
    assert_eq!(&memory.get::<[u8; 5]>(4995).unwrap(), b"12345");
}

#[test]
fn a_read_only_attachment_reads_only() {
    let segment = private_segment(100);
    let memory = segment.attach().unwrap();
    let reader = segment.attach_read_only().unwrap();
    assert!(memory.is_writable() && !reader.is_writable());
    memory.write_at(0, b"x").unwrap();
    assert_eq!(reader.get::<u8>(0).unwrap(), b'x');
    assert_eq!(
        fails(reader.write_at(0, b"y"), ReadOnly).errno(),
        libc::EACCES
    );
}

#[test]
fn an_address_that_is_in_use_or_on_no_page_is_refused() {
    let segment = private_segment(5000);
    let first = segment.attach().unwrap();
    let address = first.as_ptr() as usize;
    let attach_at = |address| AttachOptions::new().address(address).attach(&segment);
    fails(attach_at(address), InvalidArgument);
    fails(attach_at(address + 1), InvalidArgument);
    drop(first);
    // Another thread's allocation may have taken the place since; then it is refused, and never replaced.
    match attach_at(address) {
        Ok(memory) => assert_eq!(memory.as_ptr() as usize, address),
        Err(error) => assert_eq!(error.kind(), InvalidArgument),
    }
}

#[test]
fn huge_pages_and_prefaulting_are_used_where_they_exist() {
    for size in [100, 2 << 20, (5 << 20) + 4097] {
        let segment = private_segment(size);
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
    let pool = SegmentOptions::new().huge_page_pool(true).size(2 << 20);
    match pool.remove_on_drop(true).open(Key::PRIVATE) {
        Ok(segment) => drop(segment.attach().unwrap()),
        Err(error) => assert!(
            [OutOfMemory, PermissionDenied].contains(&error.kind()),
            "{error}"
        ),
    }
}

/// Under a sanitizer or Miri this finds accesses that race; everywhere it finds bytes that no thread wrote.
#[test]
fn threads_may_write_while_others_read() {
    let segment = private_segment(4096);
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
fn an_attachment_outlives_its_segment_and_crosses_threads() {
    let memory = private_segment(100).attach().unwrap();
    let write = move || memory.write_at(0, b"still here").map(|()| memory);
    let memory = thread::spawn(write).join().unwrap().unwrap();
    assert_eq!(&memory.get::<[u8; 10]>(0).unwrap(), b"still here");
}

#[test]
fn dropping_removes_only_what_this_process_created() {
    let test = Environment::new();
    let key = test.keys.writer_reader;
    let options = Segment::options().create(true).size(100);
    let options = options.remove_on_drop(true);
    let creator = options.open(key).unwrap();
    drop(options.open(key).unwrap());
    assert_eq!(Segment::open(key).unwrap().id(), creator.id());
    let mut creator = Some(creator);
    in_child(|| drop(creator.take()));
    assert_eq!(
        Segment::open(key).unwrap().id(),
        creator.as_ref().unwrap().id()
    );
    drop(creator);
    test.expect_gone(key).unwrap();
}

#[test]
fn ids_that_no_segment_has_are_errors() {
    for id in [i32::MIN, -1, 0x7fff_ffff, 0x7fff_8000] {
        let segment = Segment::from_id(id);
        assert!(segment.status().is_err() && segment.attach().is_err());
        assert!(segment.remove().is_err());
    }
}

#[test]
fn an_error_is_an_io_error_too() {
    let error = Segment::from_id(-1).remove().unwrap_err();
    let text = error.to_string();
    let io: io::Error = error.into();
    assert_eq!(io.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(io.to_string(), text);
}

#[test]
fn threads_that_open_or_create_at_once_get_one_segment() {
    const THREADS: usize = 8;
    let test = Environment::new();
    let key = test.keys.writer_reader;
    for round in 0..300 {
        let barrier = Barrier::new(THREADS);
        let options = Segment::options().create(true).size(1000 + round);
        let open = |removes: bool| {
            barrier.wait();
            let segment = options.clone().remove_on_drop(removes).open(key).unwrap();
            assert_eq!(segment.status().unwrap().size, 1000 + round);
            barrier.wait(); // all have looked before one removes
            segment.id()
        };
        let ids: Vec<i32> = thread::scope(|scope| {
            let start = |n| scope.spawn(move || open(n % 2 == 0));
            let threads: Vec<_> = (0..THREADS).map(start).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|&id| id == ids[0]), "{ids:?}");
        let _ = Segment::open(key).map(|segment| segment.remove());
    }
}

#[test]
fn helper_process() {
    do_task(&[("open", open_again_and_again)]);
}

/// Opens or creates a segment for each line of its input, larger each time, and prints its id.
fn open_again_and_again(name: &str) {
    let key = Key::from_name(name).unwrap();
    for (round, _) in io::stdin().lines().enumerate() {
        let segment = create_segment(key, 1000 + round);
        assert_eq!(segment.status().unwrap().size, 1000 + round);
        say(&format!("id {}", segment.id()));
    }
}

#[test]
fn processes_that_open_or_create_at_once_get_one_segment() {
    let test = Environment::new();
    let mut helpers: Vec<Helper> = (0..4).map(|_| test.helper("open")).collect();
    for _ in 0..100 {
        helpers.iter_mut().for_each(Helper::send_line);
        let id = helpers[0].line_after("id ");
        helpers[1..]
            .iter_mut()
            .for_each(|helper| helper.expect(&format!("id {id}")));
        Segment::open(test.key()).unwrap().remove().unwrap();
    }
}
