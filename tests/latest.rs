//! The latest value: whole at any time, newest at any time, and left by a writer that dies.

mod support;

use shmkey::{Attachment, ErrorKind, Key, Latest, Mutex, Place, Ring, Segment, Semaphore};
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};
use support::{AGES, Environment, SOON, helper_task, kind, say, wait_to_be_told};

type Small = [u64; 8];
type Large = [u64; 2000];

/// Not a test of its own: what the helpers do.
#[test]
fn helper_process() {
    let Some((task, name)) = helper_task() else {
        return;
    };
    match task.as_str() {
        "publish" => {
            let latest = Latest::<Large>::open(name.as_str()).unwrap();
            let mut publisher = latest.publisher().unwrap();
            say("ready");
            for number in 1.. {
                publisher.publish([number; 2000]).unwrap();
            }
        }
        "publish one" => {
            let latest = Latest::<Small>::open(name.as_str()).unwrap();
            let mut publisher = latest.publisher().unwrap();
            publisher.publish([7; 8]).unwrap();
            say("published");
            wait_to_be_told();
            publisher.publish([8; 8]).unwrap();
            wait_to_be_told();
        }
        other => panic!("no such task: {other}"),
    }
}

/// A publisher whose role another one has taken over, however that came, does not write between that one's
/// values.
#[test]
fn a_publisher_notices_that_its_role_was_taken_over() {
    let test = Environment::new();
    let latest = Latest::<Small>::open(test.name()).unwrap();
    let memory = latest.segment().attach().unwrap();
    let words = || {
        let mut words = [0; 512];
        memory.read_at(512, &mut words).unwrap();
        words
    };
    let before = words();
    let mut first = latest.publisher().unwrap();
    let claim = words().iter().zip(before).position(|(a, b)| *a != b);
    let claim = 512 + claim.unwrap() / 8 * 8;
    first.publish([1; 8]).unwrap();
    memory.write_at(claim, &[0; 8]).unwrap();
    assert_eq!(kind(first.publish([2; 8])), ErrorKind::Busy);
    let mut second = latest.publisher().unwrap();
    memory.write_at(claim, &[0xff; 7]).unwrap();
    assert_eq!(kind(second.publish([3; 8])), ErrorKind::Busy);
    assert_eq!(kind(first.publish([4; 8])), ErrorKind::Busy);
    assert_eq!(latest.read().unwrap(), Some([1; 8]));
}

#[test]
fn the_newest_value_is_seen() {
    let test = Environment::new();
    let latest = Latest::<Small>::open(test.name()).unwrap();
    assert_eq!((latest.read().unwrap(), latest.version()), (None, 0));
    let mut seen = 0;
    assert_eq!(latest.read_newer(&mut seen).unwrap(), None);
    assert_eq!(
        kind(latest.wait_newer_timeout(&mut seen, Duration::ZERO)),
        ErrorKind::WouldBlock
    );
    let start = Instant::now();
    assert_eq!(
        kind(latest.wait_newer_timeout(&mut seen, SOON)),
        ErrorKind::TimedOut
    );
    assert!(start.elapsed() >= SOON);
    // Of an older segment, perhaps: there is nothing newer yet.
    assert_eq!(
        kind(latest.wait_newer_timeout(&mut 5, SOON)),
        ErrorKind::TimedOut
    );
    let mut publisher = latest.publisher().unwrap();
    assert_eq!(kind(latest.publisher()), ErrorKind::Busy);
    for number in 1..100 {
        publisher.publish([number; 8]).unwrap();
        assert_eq!(latest.read().unwrap(), Some([number; 8]));
        assert_eq!(latest.read_newer(&mut seen).unwrap(), Some([number; 8]));
        assert_eq!(latest.read_newer(&mut seen).unwrap(), None);
        assert_eq!((seen, latest.version()), (number, number));
    }
    drop(publisher);
    latest.publisher().unwrap().publish([0; 8]).unwrap();
    assert_eq!(latest.wait_newer_timeout(&mut seen, SOON).unwrap(), [0; 8]);
}

#[test]
fn a_sleeping_reader_is_woken() {
    let test = Environment::new();
    let latest = Latest::<Small>::open(test.name()).unwrap();
    let mut publisher = latest.publisher().unwrap();
    thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = 0;
                    for number in 1..=20 {
                        let value = latest.wait_newer_timeout(&mut seen, AGES).unwrap();
                        assert!(value[0] >= number);
                        if value[0] == 20 {
                            break;
                        }
                    }
                })
            })
            .collect();
        for number in 1..=20 {
            thread::sleep(Duration::from_millis(2));
            publisher.publish([number; 8]).unwrap();
        }
        readers
            .into_iter()
            .for_each(|reader| reader.join().unwrap());
    });
}

#[test]
fn no_value_is_torn() {
    let test = Environment::new();
    let latest = Latest::<Large>::open(test.name()).unwrap();
    let mut helper = test.helper("publish");
    helper.expect("ready");
    let mut last = 0;
    let mut changes = 0;
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        match latest.read() {
            Ok(Some(value)) => {
                assert!(value.iter().all(|&part| part == value[0]), "torn");
                assert!(value[0] >= last);
                changes += u64::from(value[0] > last);
                last = value[0];
            }
            Ok(None) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::Overtaken),
        }
    }
    assert!(changes > 10, "{changes}");
    // Killed in the middle of it, most likely: the last whole value stays.
    helper.kill();
    let value = latest.read().unwrap().unwrap();
    assert!(value.iter().all(|&part| part == value[0]) && value[0] >= last);
    assert_eq!(latest.read().unwrap().unwrap(), value);
    let mut publisher = latest.publisher().expect("its publisher is dead");
    publisher.publish([1; 2000]).unwrap();
    assert_eq!(latest.read().unwrap().unwrap(), [1; 2000]);
}

#[test]
fn small_values_are_not_torn_either() {
    let test = Environment::new();
    let latest = Latest::<Small>::open(test.name()).unwrap();
    let mut publisher = latest.publisher().unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1.. {
                publisher.publish([number; 8]).unwrap();
                if stop.load(Relaxed) {
                    break;
                }
            }
        });
        let mut last = 0;
        for _ in 0..300_000 {
            if let Some(value) = latest.read().unwrap() {
                assert!(value.iter().all(|&part| part == value[0]) && value[0] >= last);
                last = value[0];
            }
        }
        stop.store(true, Relaxed);
    });
}

#[test]
fn a_publisher_in_another_process_is_waited_for_and_followed() {
    let test = Environment::new();
    let latest = Latest::<Small>::open(test.name()).unwrap();
    let mut helper = test.helper("publish one");
    let mut seen = 0;
    assert_eq!(latest.wait_newer_timeout(&mut seen, AGES).unwrap(), [7; 8]);
    assert_eq!(kind(latest.publisher()), ErrorKind::Busy);
    helper.expect("published");
    helper.tell();
    assert_eq!(latest.wait_newer_timeout(&mut seen, AGES).unwrap(), [8; 8]);
    helper.kill();
    latest.publisher().unwrap().publish([9; 8]).unwrap();
    assert_eq!(latest.wait_newer_timeout(&mut seen, AGES).unwrap(), [9; 8]);
}

#[test]
fn a_value_of_another_size_is_another_layout() {
    let test = Environment::new();
    let latest = Latest::<[u8; 60]>::open(test.name()).unwrap();
    for other in [
        Latest::<[u8; 61]>::open(test.name()).map(drop),
        Latest::<[u8; 64]>::open(test.name()).map(drop),
        Latest::<[u8; 60]>::open(Place::named(test.name()).layout("another")).map(drop),
    ] {
        assert_eq!(kind(other), ErrorKind::WrongLayout);
    }
    let mut publisher = latest.publisher().unwrap();
    let value: [u8; 60] = std::array::from_fn(|i| i as u8);
    publisher.publish(value).unwrap();
    assert_eq!(latest.read().unwrap(), Some(value));
    let size = Segment::open(test.key()).unwrap().status().unwrap().size;
    assert_eq!(size, 1024 + 4 * 64 + 1);
}

#[test]
fn a_child_does_not_publish_for_its_parent() {
    let test = Environment::new();
    let latest = Latest::<Small>::open(test.name()).unwrap();
    let mut publisher = latest.publisher().unwrap();
    // SAFETY: the child makes system calls and compares numbers, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = publisher.publish([1; 8]).map_err(|e| e.kind()) == Err(ErrorKind::Busy);
        drop(publisher);
        // SAFETY: ends this process, without the destructors that are the parent's.
        unsafe { libc::_exit((!refused).into()) };
    }
    let mut status = 0;
    // SAFETY: the status is ours to write.
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!((status, latest.version()), (0, 0));
    publisher.publish([2; 8]).unwrap();
}

/// How many mappings of a segment this process can write, and how many it can only read.
fn mappings(segment: &Segment) -> (usize, usize) {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let id = segment.id().to_string();
    let rights: Vec<&str> = maps
        .lines()
        .filter_map(|line| {
            let parts: Vec<&str> = line.split_whitespace().collect();
            let file = parts.get(5).filter(|file| file.starts_with("/SYSV"));
            (file.is_some() && parts[4] == id).then(|| parts[1])
        })
        .collect();
    let writable = rights.iter().filter(|rights| rights.contains('w')).count();
    (writable, rights.len() - writable)
}

#[test]
fn a_reader_that_asks_for_it_cannot_write() {
    let test = Environment::new();
    let read_only = || Place::named(test.name()).read_only(true);
    assert_eq!(
        kind(Latest::<Small>::open(read_only())),
        ErrorKind::KeyNotFound
    );
    let writer = Latest::<Small>::open(test.name()).unwrap();
    let mut publisher = writer.publisher().unwrap();
    publisher.publish([1; 8]).unwrap();
    let reader = Latest::<Small>::open(read_only()).unwrap();
    assert_eq!(mappings(&writer.segment()), (1, 1));
    let by_key = Latest::<Small>::open(Place::key(test.key()).read_only(true)).unwrap();
    assert_eq!(mappings(&writer.segment()), (1, 2));
    let mut seen = 0;
    assert_eq!(by_key.read().unwrap(), Some([1; 8]));
    assert_eq!(reader.wait_newer_timeout(&mut seen, SOON).unwrap(), [1; 8]);
    assert_eq!(
        kind(reader.wait_newer_timeout(&mut seen, SOON)),
        ErrorKind::TimedOut
    );
    // Free, and not for this one.
    drop(publisher);
    let error = reader.publisher().map(drop).unwrap_err();
    assert_eq!(
        (error.kind(), error.errno()),
        (ErrorKind::ReadOnly, libc::EACCES)
    );
    assert!(error.to_string().contains("read_only"), "{error}");
    writer.publisher().unwrap().publish([2; 8]).unwrap();
    assert_eq!(reader.wait_newer_timeout(&mut seen, AGES).unwrap(), [2; 8]);
}

#[test]
fn a_reader_in_a_segment_writes_nothing() {
    let options = Segment::options().size(8192).remove_on_drop(true);
    let segment = options.open(Key::PRIVATE).unwrap();
    let memory: Arc<Attachment> = segment.attach().unwrap().into();
    let read: Arc<Attachment> = segment.attach_read_only().unwrap().into();
    let places = || {
        [
            Place::within(Arc::clone(&read), 64),
            Place::within(Arc::clone(&read), 64).read_only(true),
            Place::within(Arc::clone(&memory), 64).read_only(true),
        ]
    };
    // Nothing is there, and none of them makes it.
    for place in places() {
        let opened = Latest::<Small>::open(place.timeout(SOON));
        assert_eq!(kind(opened), ErrorKind::TimedOut);
    }
    let mut bytes = vec![1; 8192];
    memory.read_at(0, &mut bytes).unwrap();
    assert!(bytes.iter().all(|&byte| byte == 0));

    let writer = Latest::<Small>::open(Place::within(Arc::clone(&memory), 64)).unwrap();
    writer.publisher().unwrap().publish([3; 8]).unwrap();
    let mut before = vec![0; 8192];
    memory.read_at(0, &mut before).unwrap();
    for place in places() {
        let reader = Latest::<Small>::open(place).unwrap();
        assert_eq!(reader.read().unwrap(), Some([3; 8]));
        assert_eq!(
            kind(reader.wait_newer_timeout(&mut 1, SOON)),
            ErrorKind::TimedOut
        );
        assert_eq!(kind(reader.publisher().map(drop)), ErrorKind::ReadOnly);
    }
    memory.read_at(0, &mut bytes).unwrap();
    assert!(bytes == before, "what was read has changed");
}

/// What every use of it writes cannot be had for reading only, and that is said at once: neither
/// created, nor waited for.
#[test]
fn what_cannot_be_read_only_is_refused() {
    let test = Environment::new();
    let options = Segment::options().size(8192).remove_on_drop(true);
    let segment = options.open(Key::PRIVATE).unwrap();
    let read: Arc<Attachment> = segment.attach_read_only().unwrap().into();
    for place in [
        Place::named(test.name()).read_only(true),
        Place::key(test.key()).read_only(true),
        Place::within(Arc::clone(&read), 0),
        Place::within(Arc::clone(&read), 0).read_only(true),
    ] {
        let place = || place.clone().timeout(AGES);
        let refused = [
            Mutex::<u64>::open(place(), 0).map(drop),
            Semaphore::open(place(), 0).map(drop),
            Ring::open(place(), 64).map(drop),
            Ring::open(place(), 0).map(drop),
        ];
        for error in refused.map(Result::unwrap_err) {
            assert_eq!(
                (error.kind(), error.errno()),
                (ErrorKind::ReadOnly, libc::EACCES)
            );
        }
    }
    assert_eq!(kind(Segment::open(test.key())), ErrorKind::KeyNotFound);
}
