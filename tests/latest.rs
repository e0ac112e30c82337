//! The latest value: whole at any time, newest at any time, and left by a writer that dies.

mod support;

use shmkey::{Attachment, ErrorKind::*, Latest, Mutex, Place, Ring, Segment, Semaphore};
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};
use support::{
    AGES, Environment, NOW, SOON, do_task, fails, in_child, private_segment, say, says,
    wait_for_line,
};

type Small = [u64; 8];
type Large = [u64; 2000];

fn open(test: &Environment) -> Latest<Small> {
    Latest::open(test.name()).unwrap()
}

fn is_whole(value: &[u64]) -> bool {
    value.iter().all(|&part| part == value[0])
}

#[test]
fn helper_process() {
    do_task(&[("publish", publish), ("publish one", publish_one)]);
}

fn publish(name: &str) {
    let latest = Latest::<Large>::open(name).unwrap();
    let mut publisher = latest.publisher().unwrap();
    say("ready");
    for number in 1.. {
        publisher.publish([number; 2000]).unwrap();
    }
}

fn publish_one(name: &str) {
    let latest = Latest::<Small>::open(name).unwrap();
    let mut publisher = latest.publisher().unwrap();
    publisher.publish([7; 8]).unwrap();
    say("published");
    wait_for_line();
    publisher.publish([8; 8]).unwrap();
    wait_for_line();
}

/// It does not write between the values of the publisher that has its role now.
#[test]
fn a_publisher_notices_that_its_role_was_taken_over() {
    let test = Environment::new();
    let latest = open(&test);
    let memory = latest.segment().attach().unwrap();
    let words = || memory.get::<[u8; 512]>(512).unwrap();
    let before = words();
    let mut first = latest.publisher().unwrap();
    let claim = words().iter().zip(before).position(|(a, b)| *a != b);
    let claim = 512 + claim.unwrap() / 8 * 8;
    first.publish([1; 8]).unwrap();
    memory.write_at(claim, &[0; 8]).unwrap();
    fails(first.publish([2; 8]), Busy);
    let mut second = latest.publisher().unwrap();
    memory.write_at(claim, &[0xff; 7]).unwrap();
    fails(second.publish([3; 8]), Busy);
    fails(first.publish([4; 8]), Busy);
    assert_eq!(latest.read().unwrap(), Some([1; 8]));
}

#[test]
fn a_reader_sees_the_newest_value() {
    let test = Environment::new();
    let latest = open(&test);
    assert_eq!((latest.read().unwrap(), latest.version()), (None, 0));
    let mut seen = 0;
    assert_eq!(latest.read_newer(&mut seen).unwrap(), None);
    fails(latest.wait_newer_timeout(&mut seen, NOW), WouldBlock);
    let start = Instant::now();
    fails(latest.wait_newer_timeout(&mut seen, SOON), TimedOut);
    assert!(start.elapsed() >= SOON);
    // A version of an older segment, perhaps: there is nothing newer yet.
    fails(latest.wait_newer_timeout(&mut 5, SOON), TimedOut);
    let mut publisher = latest.publisher().unwrap();
    fails(latest.publisher(), Busy);
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
    let latest = open(&test);
    let mut publisher = latest.publisher().unwrap();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut seen = 0;
                while seen < 20 {
                    let before = seen;
                    let value = latest.wait_newer_timeout(&mut seen, AGES).unwrap();
                    assert!(value[0] > before);
                }
            });
        }
        for number in 1..=20 {
            thread::sleep(Duration::from_millis(2));
            publisher.publish([number; 8]).unwrap();
        }
    });
}

#[test]
fn no_large_value_is_torn() {
    let test = Environment::new();
    let latest = Latest::<Large>::open(test.name()).unwrap();
    let mut helper = test.helper("publish").expecting("ready");
    let (mut last, mut changes) = (0, 0);
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        match latest.read() {
            Ok(Some(value)) => {
                assert!(is_whole(&value) && value[0] >= last);
                changes += u64::from(value[0] > last);
                last = value[0];
            }
            Ok(None) => {}
            Err(error) => assert_eq!(error.kind(), Overtaken),
        }
    }
    assert!(changes > 10, "{changes}");
    // Most likely it is killed while it publishes: the last whole value stays.
    helper.kill();
    let value = latest.read().unwrap().unwrap();
    assert!(is_whole(&value) && value[0] >= last);
    assert_eq!(latest.read().unwrap().unwrap(), value);
    let mut publisher = latest.publisher().expect("its publisher is dead");
    publisher.publish([1; 2000]).unwrap();
    assert_eq!(latest.read().unwrap().unwrap(), [1; 2000]);
}

#[test]
fn no_small_value_is_torn() {
    let test = Environment::new();
    let latest = open(&test);
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
                assert!(is_whole(&value) && value[0] >= last);
                last = value[0];
            }
        }
        stop.store(true, Relaxed);
    });
}

#[test]
fn a_publisher_in_another_process_is_waited_for_and_succeeded() {
    let test = Environment::new();
    let latest = open(&test);
    let mut helper = test.helper("publish one");
    let mut seen = 0;
    assert_eq!(latest.wait_newer_timeout(&mut seen, AGES).unwrap(), [7; 8]);
    fails(latest.publisher(), Busy);
    helper.expect("published");
    helper.send_line();
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
        fails(other, WrongLayout);
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
    let latest = open(&test);
    let mut publisher = Some(latest.publisher().unwrap());
    in_child(|| {
        let mut copy = publisher.take().unwrap();
        fails(copy.publish([1; 8]), Busy);
    });
    assert_eq!(latest.version(), 0);
    publisher.unwrap().publish([2; 8]).unwrap();
}

/// Returns how many mappings of a segment this process can write, and how many it can only read.
fn mappings(segment: &Segment) -> (usize, usize) {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    // A segment of the kernel has its id as inode number; one of the user backend is a file with the id in its name.
    let id = segment.id().to_string();
    let file = format!("/s.{id}");
    let (mut writable, mut read_only) = (0, 0);
    for line in maps.lines() {
        let mut parts = line.split_whitespace().skip(1);
        let rights = parts.next().unwrap();
        let is_of_kernel = line.contains(" /SYSV") && parts.nth(2) == Some(&id);
        if is_of_kernel || line.ends_with(&file) {
            *if rights.contains('w') {
                &mut writable
            } else {
                &mut read_only
            } += 1;
        }
    }
    (writable, read_only)
}

#[test]
fn a_read_only_reader_cannot_write() {
    let test = Environment::new();
    let read_only = || Place::named(test.name()).read_only(true);
    fails(Latest::<Small>::open(read_only()), KeyNotFound);
    let writer = open(&test);
    let mut publisher = writer.publisher().unwrap();
    publisher.publish([1; 8]).unwrap();
    let reader = Latest::<Small>::open(read_only()).unwrap();
    assert_eq!(mappings(&writer.segment()), (1, 1));
    let by_key = Latest::<Small>::open(Place::key(test.key()).read_only(true)).unwrap();
    assert_eq!(mappings(&writer.segment()), (1, 2));
    let mut seen = 0;
    assert_eq!(by_key.read().unwrap(), Some([1; 8]));
    assert_eq!(reader.wait_newer_timeout(&mut seen, SOON).unwrap(), [1; 8]);
    fails(reader.wait_newer_timeout(&mut seen, SOON), TimedOut);
    // The role is free, and not for this reader.
    drop(publisher);
    let error = fails(reader.publisher(), ReadOnly);
    assert_eq!(error.errno(), libc::EACCES);
    says(&error.to_string(), "read_only");
    writer.publisher().unwrap().publish([2; 8]).unwrap();
    assert_eq!(reader.wait_newer_timeout(&mut seen, AGES).unwrap(), [2; 8]);
}

/// Bytes of a segment, attached to write and to read.
fn attached_twice() -> [Arc<Attachment>; 2] {
    let segment = private_segment(8192);
    let (memory, read) = (segment.attach(), segment.attach_read_only());
    [memory, read].map(|attached| Arc::new(attached.unwrap()))
}

#[test]
fn a_read_only_reader_in_a_segment_writes_nothing() {
    let [memory, read] = attached_twice();
    let places = || {
        [(&read, false), (&read, true), (&memory, true)]
            .map(|(memory, only)| Place::within(Arc::clone(memory), 64).read_only(only))
    };
    for place in places() {
        fails(Latest::<Small>::open(place.timeout(SOON)), KeyNotFound);
    }
    let bytes = || memory.get::<[u8; 8192]>(0).unwrap();
    assert!(
        bytes().iter().all(|&byte| byte == 0),
        "none of them creates it"
    );
    let writer = Latest::<Small>::open(Place::within(Arc::clone(&memory), 64)).unwrap();
    writer.publisher().unwrap().publish([3; 8]).unwrap();
    let before = bytes();
    for place in places() {
        let reader = Latest::<Small>::open(place).unwrap();
        assert_eq!(reader.read().unwrap(), Some([3; 8]));
        fails(reader.wait_newer_timeout(&mut 1, SOON), TimedOut);
        fails(reader.publisher(), ReadOnly);
    }
    assert!(bytes() == before, "what was read has changed");
}

/// Each use of these objects writes, so the call fails at once: it neither creates anything nor waits.
#[test]
fn only_a_latest_value_can_be_read_only() {
    let test = Environment::new();
    let [_, read] = attached_twice();
    for place in [
        Place::named(test.name()).read_only(true),
        Place::key(test.key()).read_only(true),
        Place::within(Arc::clone(&read), 0),
        Place::within(Arc::clone(&read), 0).read_only(true),
    ] {
        let place = || place.clone().timeout(AGES);
        for refused in [
            Mutex::<u64>::open(place(), 0).map(drop),
            Semaphore::open(place(), 0).map(drop),
            Ring::open(place(), 64).map(drop),
            Ring::open(place(), 0).map(drop),
        ] {
            assert_eq!(fails(refused, ReadOnly).errno(), libc::EACCES);
        }
    }
    fails(Segment::open(test.key()), KeyNotFound);
}
