//! Managed objects: one call opens them for all, whatever is wrong is named, and a death is
//! survived.

mod support;

use shmkey::{
    Attachment, Contents, ErrorKind, Key, Latest, Mutex, Place, Ring, Segment, Semaphore,
};
use std::{
    collections::HashMap,
    env,
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::Path,
    process::Command,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use support::{AGES, Environment, Helper, SOON, helper_task, kind, say, wait_to_be_told};

/// Not a test of its own: what the helpers do.
#[test]
fn helper_process() {
    let Some((task, name)) = helper_task() else {
        return;
    };
    match task.as_str() {
        "lock and die" => {
            let mutex = Mutex::<[u64; 4]>::open(name.as_str(), [0; 4]).unwrap();
            let mut guard = mutex.lock().unwrap();
            guard.set([7; 4]);
            say("locked");
            wait_to_be_told();
        }
        "lock and wait for it" => {
            let mutex = Mutex::<[u64; 4]>::open(name.as_str(), [0; 4]).unwrap();
            let _guard = mutex.lock().unwrap();
            thread::scope(|scope| {
                scope.spawn(|| mutex.lock().map(drop));
                say("locked");
                wait_to_be_told();
            });
        }
        "wait for the lock" => {
            let mutex = Mutex::<[u64; 4]>::open(name.as_str(), [0; 4]).unwrap();
            say("waiting");
            let _ = mutex.lock();
        }
        "count" => {
            let mutex = Mutex::<[u64; 4]>::open(name.as_str(), [0; 4]).unwrap();
            say("ready");
            wait_to_be_told();
            for _ in 0..20_000 {
                let mut guard = mutex.lock().unwrap();
                assert!(!guard.owner_died());
                guard.update(|value| {
                    assert!(value.iter().all(|&part| part == value[0]));
                    *value = value.map(|part| part + 1);
                });
            }
            say("done");
            wait_to_be_told();
        }
        "echo" => {
            let ping = Semaphore::open(format!("{name} ping").as_str(), 0).unwrap();
            let pong = Semaphore::open(format!("{name} pong").as_str(), 0).unwrap();
            loop {
                ping.wait_timeout(AGES).unwrap();
                pong.post().unwrap();
            }
        }
        other => panic!("no task {other}"),
    }
}

#[test]
fn all_who_open_it_have_one_value() {
    let test = Environment::new();
    let one = Mutex::<u64>::open(test.name(), 41).unwrap();
    let two = Mutex::<u64>::open(test.name(), 0).unwrap();
    one.lock().unwrap().update(|value| *value += 1);
    assert_eq!(two.lock().unwrap().get(), 42);
    assert_eq!(kind(Semaphore::open(test.name(), 0)), ErrorKind::WrongKind);
    one.remove().unwrap();
    let fresh = Mutex::<u64>::open(test.name(), 7).unwrap();
    assert_eq!(fresh.lock().unwrap().get(), 7);
}

#[test]
fn many_that_open_at_once_find_it_made_once() {
    for round in 0..100 {
        let test = Environment::new();
        thread::scope(|scope| {
            for n in 0..8 {
                let name = test.name();
                scope.spawn(move || {
                    let mutex = Mutex::<[u64; 100]>::open(name, [n; 100]).unwrap();
                    let value = mutex.lock().unwrap().get();
                    assert!(value.iter().all(|&part| part == value[0]), "round {round}");
                });
            }
        });
    }
}

#[test]
fn whatever_else_lies_there_is_named() {
    let test = Environment::new();
    let open = || Mutex::<u64>::open(test.name(), 0);
    let segment = |size| {
        Segment::options()
            .create(true)
            .size(size)
            .open(test.key())
            .unwrap()
    };
    let write = |segment: &Segment, offset, bytes: &[u8]| {
        segment.attach().unwrap().write_at(offset, bytes).unwrap();
    };

    // Created by another program, of any size.
    for size in [2000, 1032, 1024] {
        let foreign = segment(size);
        write(&foreign, 0, b"hello");
        assert_eq!(kind(open()), ErrorKind::Foreign, "{size}");
        foreign.remove().unwrap();
    }
    let foreign = segment(2000);
    write(&foreign, 100, b"hello");
    assert_eq!(kind(open()), ErrorKind::Foreign);
    let mut text = [0; 5];
    foreign.attach().unwrap().read_at(100, &mut text).unwrap();
    assert_eq!(&text, b"hello", "the bytes of another program stay");
    foreign.remove().unwrap();
    let short = segment(100);
    assert_eq!(kind(open()), ErrorKind::Truncated);
    short.remove().unwrap();

    // Made by us, and of another layout.
    let mutex = open().unwrap();
    assert_eq!(
        kind(Mutex::<u32>::open(test.name(), 0)),
        ErrorKind::WrongLayout
    );
    assert_eq!(
        kind(Mutex::<[u64; 9]>::open(test.name(), [0; 9])),
        ErrorKind::WrongLayout
    );
    let named = Place::named(test.name()).layout("temperature");
    assert_eq!(kind(Mutex::<u64>::open(named, 0)), ErrorKind::WrongLayout);
    Mutex::<u64>::open(test.key(), 0).expect("the key of a name is the same place");
    drop(mutex);

    // Each damage on its own, from a header that is right.
    let segment = Segment::open(test.key()).unwrap();
    let memory = segment.attach().unwrap();
    let mut right = [0; 512];
    memory.read_at(0, &mut right).unwrap();
    for (offset, bytes, expected) in [
        (8, &[1, 2, 3, 4][..], ErrorKind::WrongMachine),
        (8, &[0, 0, 0, 0], ErrorKind::Damaged),
        (12, &[32, 0, 0, 0], ErrorKind::WrongMachine),
        (16, &[1, 0, 0, 0], ErrorKind::WrongVersion),
        (20, &[9, 0, 0, 0], ErrorKind::WrongKind),
        (24, &[9, 0, 0, 0], ErrorKind::Damaged),
        (56, &[9, 0, 0, 0], ErrorKind::WrongLayout),
        (80, &[0xff; 4], ErrorKind::Damaged),
        (84, &[0xff; 4], ErrorKind::Damaged),
        (96, &[1], ErrorKind::KeyCollision),
        (128, b"another name", ErrorKind::KeyCollision),
        (0, b"SHMKEY", ErrorKind::Foreign),
    ] {
        memory.write_at(offset, bytes).unwrap();
        let error = open().unwrap_err();
        assert_eq!(error.kind(), expected, "at {offset}: {error}");
        memory.write_at(0, &right).unwrap();
    }
    open().unwrap();
}

/// A maker that comes to its end and dies while others still look at it is done all the same.
#[test]
fn nothing_is_made_twice() {
    for round in 0..500 {
        let segment = private();
        let memory: Arc<Attachment> = segment.attach().unwrap().into();
        let place = || Place::within(Arc::clone(&memory), 0);
        let threads: Vec<_> = (0..9)
            .map(|_| {
                let place = place();
                thread::spawn(move || Semaphore::open(place, 0).unwrap().post().unwrap())
            })
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert_eq!(
            Semaphore::open(place(), 0).unwrap().value(),
            9,
            "round {round}"
        );
    }
}

fn private() -> Segment {
    Segment::options()
        .size(8192)
        .remove_on_drop(true)
        .open(Key::PRIVATE)
        .unwrap()
}

/// Where numbers of several namespaces meet, nothing is taken from a holder that may be live: not from a
/// thread of this process, although no other process has the segment attached.
#[test]
fn threads_of_one_process_are_not_each_others_dead() {
    let segment = private();
    let memory: Arc<Attachment> = segment.attach().unwrap().into();
    let place = || Place::within(Arc::clone(&memory), 0);
    let mutex = Mutex::<u64>::open(place(), 0).unwrap();
    memory.write_at(28, &1_u32.to_ne_bytes()).unwrap(); // mixed
    let guard = mutex.lock().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(kind(mutex.lock_timeout(SOON)), ErrorKind::TimedOut));
    });
    drop(guard);
    // But a holder that is certainly gone is dead.
    thread::scope(|scope| {
        scope.spawn(|| std::mem::forget(mutex.lock().unwrap()));
    });
    assert!(mutex.lock_timeout(AGES).unwrap().owner_died());
}

#[test]
fn what_is_refused_leaves_nothing_behind() {
    let test = Environment::new();
    let place = || Place::named(test.name());
    let long = "x".repeat(200);
    for refused in [
        place().layout(&long),
        place().mode(0o400),
        Place::key(Key::PRIVATE),
    ] {
        assert_eq!(
            kind(Semaphore::open(refused.clone(), 0)),
            ErrorKind::InvalidArgument
        );
        assert!(Semaphore::open(refused.create(false), 0).is_err());
    }
    assert_eq!(kind(Segment::open(test.key())), ErrorKind::KeyNotFound);
}

#[test]
fn a_maker_that_died_is_followed_by_another() {
    let test = Environment::new();
    let mutex = Mutex::<u64>::open(test.name(), 5).unwrap();
    let memory = Segment::open(test.key()).unwrap().attach().unwrap();
    // As if its maker, a thread that is no more, had come as far as this.
    memory.write_at(24, &1_u32.to_ne_bytes()).unwrap();
    memory
        .write_at(32, &(0x3f_ffff_u64 | 77 << 22).to_ne_bytes())
        .unwrap();
    memory.write_at(512, &[0xaa; 64]).unwrap();
    memory.write_at(1024, &[0xaa; 8]).unwrap();
    drop(mutex);
    let mutex = Mutex::<u64>::open(test.name(), 6).unwrap();
    assert_eq!(mutex.lock().unwrap().get(), 6);
}

#[test]
fn a_maker_that_lives_is_waited_for() {
    let test = Environment::new();
    drop(Mutex::<u64>::open(test.name(), 5).unwrap());
    let memory = Segment::open(test.key()).unwrap().attach().unwrap();
    memory.write_at(24, &1_u32.to_ne_bytes()).unwrap();
    let start = Instant::now();
    let place = Place::named(test.name()).timeout(SOON);
    assert_eq!(kind(Mutex::<u64>::open(place, 0)), ErrorKind::TimedOut);
    assert!(start.elapsed() >= SOON);
    thread::scope(|scope| {
        scope.spawn(|| Mutex::<u64>::open(test.name(), 0).unwrap());
        memory.write_at(24, &2_u32.to_ne_bytes()).unwrap();
    });
}

#[test]
fn existing_objects_can_be_asked_for() {
    let test = Environment::new();
    let existing = || Place::named(test.name()).create(false).timeout(SOON);
    assert_eq!(kind(Semaphore::open(existing(), 1)), ErrorKind::KeyNotFound);
    Semaphore::open(test.name(), 3).unwrap();
    assert_eq!(Semaphore::open(existing(), 1).unwrap().value(), 3);
    assert_eq!(kind(Semaphore::open("", 1)), ErrorKind::EmptyName);
    assert_eq!(
        kind(Semaphore::open("x".repeat(257).as_str(), 1)),
        ErrorKind::InvalidArgument
    );
}

#[test]
fn objects_lie_side_by_side_in_a_segment() {
    let segment = private();
    let memory: Arc<Attachment> = segment.attach().unwrap().into();
    let at = |offset| Place::within(Arc::clone(&memory), offset);
    let mutex = Mutex::<u64>::open(at(0), 1).unwrap();
    let semaphore = Semaphore::open(at(2048), 2).unwrap();
    let last = Semaphore::open(at(8192 - 1024), 3).unwrap();
    mutex.lock().unwrap().set(10);
    semaphore.post().unwrap();
    assert_eq!((semaphore.value(), last.value()), (3, 3));
    assert_eq!(
        Mutex::<u64>::open(at(0), 0).unwrap().lock().unwrap().get(),
        10
    );
    for offset in [1, 32, 8192, usize::MAX - 63, 8192 - 960] {
        assert!(matches!(
            kind(Semaphore::open(at(offset), 0)),
            ErrorKind::OutOfRange | ErrorKind::InvalidArgument
        ));
    }
}

#[test]
fn processes_take_turns() {
    let test = Environment::new();
    let mutex = Mutex::<[u64; 4]>::open(test.name(), [0; 4]).unwrap();
    let mut helpers: Vec<Helper> = (0..3).map(|_| test.helper("count")).collect();
    helpers.iter_mut().for_each(|helper| helper.expect("ready"));
    helpers.iter_mut().for_each(Helper::tell);
    helpers.iter_mut().for_each(|helper| helper.expect("done"));
    assert_eq!(mutex.lock().unwrap().get(), [60_000; 4]);
}

#[test]
fn a_killed_owner_is_noticed() {
    let test = Environment::new();
    let mutex = Mutex::<[u64; 4]>::open(test.name(), [0; 4]).unwrap();
    let mut helper = test.helper("lock and die");
    helper.expect("locked");
    assert_eq!(
        kind(mutex.lock_timeout(Duration::ZERO)),
        ErrorKind::WouldBlock
    );
    assert_eq!(kind(mutex.lock_timeout(SOON)), ErrorKind::TimedOut);
    thread::scope(|scope| {
        // One sleeps already, and one comes later.
        let sleeper = scope.spawn(|| {
            let mut guard = mutex.lock_timeout(AGES).unwrap();
            assert!(guard.owner_died());
            assert_eq!(guard.get(), [7; 4]);
            guard.mark_consistent();
        });
        thread::sleep(SOON);
        helper.kill();
        sleeper.join().unwrap();
    });
    assert!(!mutex.lock_timeout(Duration::ZERO).unwrap().owner_died());

    let mut helper = test.helper("lock and die");
    helper.expect("locked");
    helper.kill();
    drop(mutex.lock_timeout(Duration::ZERO).unwrap()); // not repaired
    let error = mutex.lock().unwrap_err();
    assert_eq!(
        (error.kind(), error.errno()),
        (ErrorKind::NotRecoverable, libc::ENOTRECOVERABLE)
    );
}

#[test]
fn a_thread_does_not_wait_for_itself() {
    let test = Environment::new();
    let mutex = Mutex::<u64>::open(test.name(), 0).unwrap();
    let guard = mutex.lock().unwrap();
    let again = Mutex::<u64>::open(test.name(), 0).unwrap();
    assert_eq!(kind(again.lock()), ErrorKind::Deadlock);
    drop(guard);
    drop(again.lock().unwrap());
}

#[test]
fn a_childs_copy_of_a_guard_is_nothing() {
    let test = Environment::new();
    let mutex = Mutex::<u64>::open(test.name(), 0).unwrap();
    let guard = mutex.lock().unwrap();
    // SAFETY: the child asks for a lock and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(guard);
        let refused = matches!(mutex.lock_timeout(Duration::ZERO), Err(e) if e.kind() == ErrorKind::WouldBlock);
        // SAFETY: ends this process, without the destructors that are the parent's.
        unsafe { libc::_exit(if refused { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: the status is ours to write.
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(status, 0);
}

#[test]
fn a_semaphore_wakes_another_process() {
    let test = Environment::new();
    let there = Semaphore::open(test.named("ping").as_str(), 0).unwrap();
    let back = Semaphore::open(test.named("pong").as_str(), 0).unwrap();
    let _echo = test.helper("echo");
    for round in 0..2000 {
        there.post().unwrap();
        back.wait_timeout(AGES).unwrap();
        if round % 500 == 0 {
            thread::sleep(SOON); // now the other sleeps
        }
    }
    assert_eq!((there.value(), back.value()), (0, 0));
    assert_eq!(kind(back.try_wait()), ErrorKind::WouldBlock);
    assert_eq!(kind(back.wait_timeout(SOON)), ErrorKind::TimedOut);
}

#[test]
fn a_semaphore_has_a_largest_count() {
    let test = Environment::new();
    let semaphore = Semaphore::open(test.name(), Semaphore::MAX).unwrap();
    let error = semaphore.post().unwrap_err();
    assert_eq!(
        (error.kind(), error.errno()),
        (ErrorKind::Overflow, libc::EOVERFLOW)
    );
    assert_eq!(semaphore.value(), Semaphore::MAX);
    assert_eq!(
        kind(Semaphore::open(test.name(), u32::MAX)),
        ErrorKind::Overflow
    );
}

/// A segment is created, and cannot be attached: then it goes again.
#[test]
fn what_cannot_be_attached_is_not_left_behind() {
    let test = Environment::new();
    // SAFETY: the child limits itself, makes system calls, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: the kernel reads the limit.
        unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) };
        let kind = Semaphore::open(test.name(), 0).map_err(|error| error.kind());
        // SAFETY: ends this process, without the destructors that are the parent's.
        unsafe { libc::_exit((kind.err() != Some(ErrorKind::OutOfMemory)).into()) };
    }
    let mut status = 0;
    // SAFETY: the status is ours to write.
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(status, 0);
    assert_eq!(kind(Segment::open(test.key())), ErrorKind::KeyNotFound);
}

/// A thread that has waited for long is next. It is killed together with the owner: neither its turn
/// nor the lock is lost.
#[test]
fn whoever_is_next_may_die_with_the_owner() {
    let test = Environment::new();
    let mutex = Mutex::<[u64; 4]>::open(test.name(), [0; 4]).unwrap();
    let mut helper = test.helper("lock and wait for it");
    helper.expect("locked");
    thread::sleep(Duration::from_millis(60)); // longer than a few slices
    helper.kill();
    let mut guard = mutex.lock_timeout(AGES).unwrap();
    assert!(guard.owner_died());
    guard.mark_consistent();
}

/// The same, and the owner has unlocked: a free lock is free also for those who only try.
#[test]
fn whoever_is_next_may_die_before_its_turn() {
    let test = Environment::new();
    let mutex = Mutex::<[u64; 4]>::open(test.name(), [0; 4]).unwrap();
    let guard = mutex.lock().unwrap();
    let mut helper = test.helper("wait for the lock");
    helper.expect("waiting");
    thread::sleep(Duration::from_millis(60));
    helper.kill();
    drop(guard);
    for _ in 0..100 {
        drop(mutex.lock_timeout(Duration::ZERO).unwrap());
    }
}

/// A process that has no descriptors left can still tell who lives, and does not spoil it for others.
#[test]
fn no_descriptors_are_needed_to_take_part() {
    let test = Environment::new();
    let mutex = Mutex::<[u64; 4]>::open(test.name(), [0; 4]).unwrap();
    let memory = mutex.segment().attach().unwrap();
    // SAFETY: the child limits itself, asks for a lock, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: the kernel reads the limit.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
        let locked = mutex.lock_timeout(Duration::ZERO).is_ok();
        // SAFETY: ends this process, without the destructors that are the parent's.
        unsafe { libc::_exit((!locked).into()) };
    }
    let mut status = 0;
    // SAFETY: the status is ours to write.
    unsafe { libc::waitpid(child, &mut status, 0) };
    let mut mixed = [0xff; 4];
    memory.read_at(28, &mut mixed).unwrap();
    assert_eq!((status, mixed), (0, [0; 4]));
}

/// A name and the segment's key, so that the segment goes with the test.
struct Gone(Key);

impl Drop for Gone {
    fn drop(&mut self) {
        if let Ok(segment) = Segment::open(self.0) {
            let _ = segment.remove();
        }
    }
}

/// A key has 16 bits of an inode number. Two files that share them share nothing else.
#[test]
fn two_files_with_one_key_are_distinguished() {
    // tmpfs numbers its files one after the other, so that the 65,536th has the same low 16 bits.
    let Ok(directory) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("not tried: there is no tmpfs at /dev/shm");
        return;
    };
    let (one, other) = (directory.path().join("one"), directory.path().join("other"));
    let inode = |path: &Path| File::create(path).unwrap().metadata().unwrap().ino();
    let first = inode(&one);
    let collides = (0..300_000).any(|_| {
        let same = inode(&other) & 0xffff == first & 0xffff;
        if !same {
            fs::remove_file(&other).unwrap();
        }
        same
    });
    if !collides {
        eprintln!("not tried: /dev/shm uses the numbers of its files again");
        return;
    }
    let key = Key::from_path(&one, 7).unwrap();
    assert_eq!(key, Key::from_path(&other, 7).unwrap());
    let _gone = Gone(key);
    let place = |path| Place::path(path, 7).unwrap();

    let mutex = Mutex::<u64>::open(place(&one), 1).unwrap();
    let error = Mutex::<u64>::open(place(&other), 1).unwrap_err();
    assert_eq!(
        (error.kind(), error.errno()),
        (ErrorKind::KeyCollision, libc::ENOTUNIQ)
    );
    assert_eq!(
        kind(Mutex::<u64>::open(place(&other).create(false), 1)),
        ErrorKind::KeyCollision
    );
    assert_eq!(
        kind(Ring::open(place(&other), 100_000)),
        ErrorKind::KeyCollision,
        "also where what is there is too small"
    );
    // The same file by another way, and 8 bits of the project id.
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&one, &link).unwrap();
    Mutex::<u64>::open(Place::path(&link, 0x107).unwrap(), 0).unwrap();
    // A number meets anything, as it always did.
    Mutex::<u64>::open(Place::key(key), 0).unwrap();
    let contents = mutex.segment().contents().unwrap().unwrap();
    assert!(contents.file != 0 && contents.name.is_empty());
    mutex.remove().unwrap();
    let semaphore = Semaphore::open(Place::key(key), 5).unwrap();
    assert_eq!(Semaphore::open(place(&one), 0).unwrap().value(), 5);
    assert_eq!(Semaphore::open(place(&other), 0).unwrap().value(), 5);
    semaphore.remove().unwrap();
}

/// A name and a path that give the same key are two, also when the name was first.
#[test]
fn a_name_and_a_path_with_one_key_are_distinguished() {
    let directory = tempfile::tempdir().unwrap();
    let files: HashMap<i32, _> = (0..256)
        .map(|n| {
            let path = directory.path().join(n.to_string());
            File::create(&path).unwrap();
            let key = Key::from_path(&path, 1).unwrap();
            (key.as_raw() & 0xff_ffff, path)
        })
        .collect();
    // The top byte is the project id.
    let (name, key, file) = (0..)
        .find_map(|n| {
            let name = format!("{} {n}", directory.path().display());
            let key = Key::from_name(&name).unwrap();
            let file = files.get(&(key.as_raw() & 0xff_ffff))?;
            (key.as_raw() >> 24 != 0).then_some((name, key, file))
        })
        .unwrap();
    let project = key.as_raw() >> 24;
    assert_eq!(Key::from_path(file, project).unwrap(), key);
    let _gone = Gone(key);
    let by_path = || Place::path(file, project).unwrap();
    let named = Mutex::<u64>::open(name.as_str(), 0).unwrap();
    assert_eq!(
        kind(Mutex::<u64>::open(by_path(), 0)),
        ErrorKind::KeyCollision
    );
    Mutex::<u64>::open(key, 0).unwrap();
    named.remove().unwrap();
    Mutex::<u64>::open(by_path(), 0).unwrap();
    assert_eq!(
        kind(Mutex::<u64>::open(name.as_str(), 0)),
        ErrorKind::KeyCollision
    );
}

/// What the header keeps of a file is written down: programs of other languages and versions come to
/// the same number.
#[test]
fn the_header_keeps_which_file_it_was() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let place = || Place::path(file.path(), 0x1207).unwrap();
    let _gone = Gone(Key::from_path(file.path(), 7).unwrap());
    let mutex = Mutex::<u64>::open(place(), 0).unwrap();
    let about = fs::metadata(file.path()).unwrap();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let bytes = [about.dev().to_le_bytes(), about.ino().to_le_bytes()];
    for byte in bytes.into_iter().flatten().chain([7]) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let memory = mutex.segment().attach().unwrap();
    let mut kept = [0; 8];
    memory.read_at(96, &mut kept).unwrap();
    assert_eq!(u64::from_ne_bytes(kept), hash);
    let mut bytes = vec![0; Contents::LEN];
    memory.read_at(0, &mut bytes[..1024]).unwrap();
    assert_eq!(Contents::of(&bytes).unwrap().file, hash);
    Mutex::<u64>::open(place(), 0).unwrap();
    for other in [1, hash ^ 1, hash.swap_bytes(), u64::MAX] {
        memory.write_at(96, &other.to_ne_bytes()).unwrap();
        assert_eq!(
            kind(Mutex::<u64>::open(place(), 0)),
            ErrorKind::KeyCollision
        );
    }
    // Opened by a number first: the file is unknown.
    memory.write_at(96, &[0; 8]).unwrap();
    Mutex::<u64>::open(place(), 0).unwrap();
    assert_eq!(
        kind(Place::path("/no such file", 7).map(drop)),
        ErrorKind::PathNotFound
    );
    assert_eq!(
        kind(Place::path(file.path(), 0x1200).map(drop)),
        ErrorKind::ProjectIdZero
    );
}

/// A process that has an object open can ask whether it was removed; one that opens it anew has another.
#[test]
fn a_removed_object_says_so() {
    let test = Environment::new();
    let names = ["mutex", "semaphore", "latest", "ring"].map(|kind| test.named(kind));
    let name = |n: usize| names[n].as_str();
    let mutex = Mutex::<u64>::open(name(0), 1).unwrap();
    let semaphore = Semaphore::open(name(1), 0).unwrap();
    let latest = Latest::<u64>::open(name(2)).unwrap();
    let reader = Latest::<u64>::open(Place::named(name(2)).read_only(true)).unwrap();
    let ring = Ring::open(name(3), 64).unwrap();
    let removed = || {
        [
            mutex.is_removed().unwrap(),
            semaphore.is_removed().unwrap(),
            latest.is_removed().unwrap(),
            reader.is_removed().unwrap(),
            ring.is_removed().unwrap(),
        ]
    };
    assert_eq!(removed(), [false; 5]);
    let error = semaphore.wait_timeout(SOON).unwrap_err().to_string();
    assert!(!error.contains("has been removed"), "{error}");
    for name in &names {
        let key = Key::from_name(name).unwrap();
        Segment::open(key).unwrap().remove().unwrap();
    }
    assert_eq!(removed(), [true; 5]);
    let anew = Mutex::<u64>::open(name(0), 2).unwrap();
    assert!(!anew.is_removed().unwrap() && mutex.is_removed().unwrap());
    assert_eq!(mutex.lock().unwrap().get(), 1);
    let error = semaphore.wait_timeout(SOON).unwrap_err().to_string();
    assert!(error.contains("has been removed"), "{error}");
}

#[test]
fn a_removed_segment_says_so_to_those_who_have_it_attached() {
    let segment = private();
    let memory: Arc<Attachment> = segment.attach().unwrap().into();
    let place = Place::within(Arc::clone(&memory), 1024);
    let semaphore = Semaphore::open(place, 0).unwrap();
    assert!(!semaphore.is_removed().unwrap() && !memory.is_removed().unwrap());

    // A process that has it attached and may not read its status any more, nor anything else of it.
    // SAFETY: the kernel writes and reads one structure, which is made of integers.
    unsafe {
        let mut status: libc::shmid_ds = std::mem::zeroed();
        assert_eq!(libc::shmctl(segment.id(), libc::IPC_STAT, &mut status), 0);
        status.shm_perm.mode = 0;
        assert_eq!(libc::shmctl(segment.id(), libc::IPC_SET, &mut status), 0);
    }
    let before = in_child_without_rights(|| semaphore.is_removed().map_err(|error| error.errno()));
    segment.remove().unwrap();
    let after = in_child_without_rights(|| semaphore.is_removed().map_err(|error| error.errno()));
    assert_eq!((before, after), (0, 1));
    assert!(semaphore.is_removed().unwrap() && memory.is_removed().unwrap());

    // Destroyed, as it was detached behind its users' backs; and its id is perhaps given again.
    // SAFETY: nothing uses that memory from now on.
    assert_eq!(unsafe { libc::shmdt(memory.as_ptr().cast()) }, 0);
    assert!(memory.is_removed().unwrap());
    // Nor does their end detach what is attached at that address by then.
    std::mem::forget(semaphore);
    let memory = std::mem::ManuallyDrop::new(memory);
    let others: Vec<Segment> = (0..3).map(|_| private()).collect();
    assert!(others.iter().all(|other| other.id() != segment.id()));
    assert!(memory.is_removed().unwrap());
}

/// What a child says as a user without rights (if this one may become that): 0 no, 1 yes, or an errno.
fn in_child_without_rights(ask: impl Fn() -> Result<bool, i32>) -> i32 {
    // SAFETY: the child makes system calls and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: these change nothing but the child; and it ends without the parent's destructors.
        unsafe {
            libc::setgid(65534);
            libc::setuid(65534);
            libc::_exit(ask().map_or_else(|errno| errno, i32::from));
        }
    }
    let mut status = 0;
    // SAFETY: the status is ours to write.
    unsafe { libc::waitpid(child, &mut status, 0) };
    libc::WEXITSTATUS(status)
}

/// A process that waits for the maker of an object does not go on waiting when that is removed: it
/// opens what others open now.
#[test]
fn an_object_that_is_removed_before_it_is_made_is_not_waited_for() {
    let test = Environment::new();
    drop(Mutex::<u64>::open(test.name(), 5).unwrap());
    let old = Segment::open(test.key()).unwrap();
    let memory = old.attach().unwrap();
    memory.write_at(24, &1_u32.to_ne_bytes()).unwrap(); // by this thread, which lives
    thread::scope(|scope| {
        let opener = scope.spawn(|| Mutex::<u64>::open(test.name(), 6));
        while old.status().unwrap().nattch < 2 {
            thread::yield_now();
        }
        old.remove().unwrap();
        let mutex = opener.join().unwrap().expect("it is made anew");
        assert_eq!(mutex.lock().unwrap().get(), 6);
        assert_ne!(mutex.segment().id(), old.id());
    });
}

/// The id that was found can be another segment's by the time that it is attached: the first one was
/// removed, and the kernel has given its id again. Here, strace gives it.
#[test]
fn a_segment_that_turns_out_smaller_is_not_used() {
    needs!(STRACE);
    const INNER: &str = "SHMKEY_TEST_SMALLER";
    if env::var_os(INNER).is_some() {
        let opened = Mutex::open("an id that was given again", [1_u8; 100_000]);
        println!("\nopened: {:?}", kind(opened));
        return;
    }
    for (size, expected) in [(1, "Truncated"), (4096, "OutOfRange")] {
        let small = Segment::options()
            .size(size)
            .remove_on_drop(true)
            .open(Key::PRIVATE);
        let small = small.unwrap();
        let output = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e"])
            .arg(format!("inject=shmget:retval={}", small.id()))
            .arg(env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("a_segment_that_turns_out_smaller_is_not_used")
            .env(INNER, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains(&format!("opened: {expected}")),
            "{}: {text}",
            output.status
        );
    }
}

/// A segment of another user's is refused before anything in it is used.
#[test]
fn the_owner_of_a_segment_can_be_expected() {
    let test = Environment::new();
    let place = || Place::named(test.name());
    let semaphore = Semaphore::open(place(), 1).unwrap();
    let me = semaphore.segment().status().unwrap().uid;
    Semaphore::open(place().owner(me), 1).unwrap();
    let created = Semaphore::open(place().owner(me + 1), 1);
    assert_eq!(kind(created), ErrorKind::InvalidArgument);
    let opened = Semaphore::open(place().owner(me + 1).create(false), 1).unwrap_err();
    assert_eq!(opened.kind(), ErrorKind::PermissionDenied);
    assert_eq!(opened.errno(), libc::EPERM);
    assert!(
        opened.to_string().contains(&format!("uid {me}")),
        "{opened}"
    );
    // The owner alone proves nothing: the creator can give the segment away, and still write it.
    semaphore.segment().set_mode(0o666).unwrap();
    semaphore.segment().set_owner(Some(me + 1), None).unwrap();
    let given = Semaphore::open(place().owner(me + 1).create(false), 1);
    assert_eq!(given.is_ok(), me == 0, "{given:?}"); // root is trusted
    let mine = Semaphore::open(place().owner(me).create(false), 1);
    assert_eq!(kind(mine), ErrorKind::PermissionDenied);
    semaphore.remove().unwrap();
}
