//! Managed objects: all that open a name get one object, an error names what else the segment holds, and the other
//! processes survive a death.

mod support;

use shmkey::{
    Attachment, Condvar, Contents, ErrorKind::*, Key, Latest, Mutex, Place, Ring, Segment,
    Semaphore,
};
use std::{
    collections::HashMap,
    env,
    fs::{self, File},
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use support::{
    AGES, Environment, Helper, NOW, SOON, create_segment, do_task, fails, in_child, kind,
    private_memory, private_segment, say, says, status_of_child, wait_for_line,
};
use tempfile::TempDir;

/// Offsets in a header: the state, who creates it, the file that its place was, and the name.
const STATE: usize = 24;
const MIXED: usize = 28;
const CREATOR: usize = 32;
const FILE: usize = 96;
const NAME: usize = 128;
/// A state: its creator has begun it.
const BEING_MADE: [u8; 4] = 1_u32.to_ne_bytes();

type Four = [u64; 4];

fn four(name: &str) -> Mutex<Four> {
    Mutex::open(name, [0; 4]).unwrap()
}

fn number(test: &Environment, value: u64) -> Mutex<u64> {
    Mutex::open(test.name(), value).unwrap()
}

fn memory_of(test: &Environment) -> Attachment {
    Segment::open(test.key()).unwrap().attach().unwrap()
}

fn at(memory: &Arc<Attachment>, offset: usize) -> Place {
    Place::within(Arc::clone(memory), offset)
}

#[test]
fn helper_process() {
    do_task(&[
        ("lock and die", lock_and_die),
        ("lock and wait for it", lock_and_wait_for_it),
        ("wait for the lock", wait_for_the_lock),
        ("count", count),
        ("echo", echo),
        ("use without barriers", use_without_barriers),
    ]);
}

/// Locks a mutex and waits with it, in a process that has opened nothing else.
fn use_without_barriers(name: &str) {
    const GET_REGISTRATIONS: i32 = 1 << 9;
    let mutex = four(name);
    let condvar = Condvar::open(format!("{name} other").as_str()).unwrap();
    drop(condvar.wait_timeout(mutex.lock().unwrap(), NOW));
    condvar.remove().unwrap();
    // SAFETY: takes no memory.
    let registered = unsafe { libc::syscall(libc::SYS_membarrier, GET_REGISTRATIONS, 0, 0) };
    // Before Linux 6.3, the kernel does not say.
    assert!(registered <= 0, "{registered:#x}");
    say("used");
}

/// The interrupts of `membarrier(2)` would slow it down.
#[test]
fn a_process_that_has_only_locks_takes_part_in_no_barrier() {
    let test = Environment::with_names(&["other"]);
    let mut helper = test.helper("use without barriers").expecting("used");
    assert!(helper.child.wait().unwrap().success());
}

fn lock_and_die(name: &str) {
    let mutex = four(name);
    let mut guard = mutex.lock().unwrap();
    guard.set([7; 4]);
    say("locked");
    wait_for_line();
}

fn lock_and_wait_for_it(name: &str) {
    let mutex = four(name);
    let _guard = mutex.lock().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| mutex.lock().map(drop));
        say("locked");
        wait_for_line();
    });
}

fn wait_for_the_lock(name: &str) {
    let mutex = four(name);
    say("waiting");
    let _ = mutex.lock();
}

fn count(name: &str) {
    let mutex = four(name);
    say("ready");
    wait_for_line();
    for _ in 0..20_000 {
        let mut guard = mutex.lock().unwrap();
        assert!(!guard.owner_died());
        guard.update(|value| {
            assert!(value.iter().all(|&part| part == value[0]));
            *value = value.map(|part| part + 1);
        });
    }
    say("done");
    wait_for_line();
}

fn echo(name: &str) {
    let ping = Semaphore::open(format!("{name} ping").as_str(), 0).unwrap();
    let pong = Semaphore::open(format!("{name} pong").as_str(), 0).unwrap();
    loop {
        ping.wait_timeout(AGES).unwrap();
        pong.post().unwrap();
    }
}

#[test]
fn all_who_open_a_name_have_one_value() {
    let test = Environment::new();
    let (one, two) = (number(&test, 41), number(&test, 0));
    one.lock().unwrap().update(|value| *value += 1);
    assert_eq!(two.lock().unwrap().get(), 42);
    fails(Semaphore::open(test.name(), 0), WrongKind);
    one.remove().unwrap();
    assert_eq!(number(&test, 7).lock().unwrap().get(), 7);
}

#[test]
fn threads_that_open_at_once_make_an_object_once() {
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
fn the_bytes_of_another_program_are_named_and_stay() {
    let test = Environment::new();
    let hello = |size, offset, expected| {
        let foreign = create_segment(test.key(), size);
        let memory = foreign.attach().unwrap();
        memory.write_at(offset, b"hello").unwrap();
        let error = fails(Mutex::<u64>::open(test.name(), 0), expected);
        says(&error.to_string(), "segment … take another name");
        assert_eq!(&memory.get::<[u8; 5]>(offset).unwrap(), b"hello");
        foreign.remove().unwrap();
    };
    for size in [2000, 1032, 1024] {
        hello(size, 0, Foreign);
    }
    hello(2000, 100, Foreign);
    hello(100, 95, Truncated);
}

#[test]
fn another_layout_is_refused() {
    let test = Environment::new();
    let _mutex = number(&test, 0);
    fails(Mutex::<u32>::open(test.name(), 0), WrongLayout);
    fails(Mutex::<[u64; 9]>::open(test.name(), [0; 9]), WrongLayout);
    let named = Place::named(test.name()).layout("temperature");
    fails(Mutex::<u64>::open(named, 0), WrongLayout);
    Mutex::<u64>::open(test.key(), 0).expect("the key of a name is the same place");
}

#[test]
fn each_damage_to_a_header_is_named() {
    let test = Environment::new();
    drop(number(&test, 0));
    let memory = memory_of(&test);
    let right = memory.get::<[u8; 512]>(0).unwrap();
    for (offset, bytes, expected) in [
        (8, &[1, 2, 3, 4][..], WrongMachine),
        (8, &[0, 0, 0, 0], Damaged),
        (12, &[32, 0, 0, 0], WrongMachine),
        (16, &[1, 0, 0, 0], WrongVersion),
        (20, &[9, 0, 0, 0], WrongKind),
        (STATE, &[9, 0, 0, 0], Damaged),
        (56, &[9, 0, 0, 0], WrongLayout),
        (80, &[0xff; 4], Damaged),
        (84, &[0xff; 4], Damaged),
        (FILE, &[1], KeyCollision),
        (NAME, b"another name", KeyCollision),
        (0, b"SHMKEY", Foreign),
    ] {
        memory.write_at(offset, bytes).unwrap();
        let opened = Mutex::<u64>::open(test.name(), 0);
        assert_eq!(kind(opened), expected, "at {offset}");
        memory.set(0, right).unwrap();
    }
    number(&test, 0);
}

/// A creator that comes to its end while others still look at it has created the object all the same.
#[test]
fn nothing_is_made_twice() {
    for round in 0..500 {
        let memory = private_memory(8192);
        thread::scope(|scope| {
            for _ in 0..9 {
                scope.spawn(|| Semaphore::open(at(&memory, 0), 0).unwrap().post().unwrap());
            }
        });
        let value = Semaphore::open(at(&memory, 0), 0).unwrap().value();
        assert_eq!(value, 9, "round {round}");
    }
}

/// Where process ids of several namespaces meet, no holder that may be live loses its lock: not to a thread of
/// the same process, although no other process has the segment attached.
#[test]
fn a_thread_does_not_take_another_one_for_dead() {
    let memory = private_memory(8192);
    let mutex = Mutex::<u64>::open(at(&memory, 0), 0).unwrap();
    memory.set(MIXED, 1_u32).unwrap();
    let guard = mutex.lock().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| fails(mutex.lock_timeout(SOON), TimedOut));
    });
    drop(guard);
    // A holder that is certainly gone is dead.
    thread::scope(|scope| {
        scope.spawn(|| std::mem::forget(mutex.lock().unwrap()));
    });
    assert!(mutex.lock_timeout(AGES).unwrap().owner_died());
}

#[test]
fn a_refused_place_creates_nothing() {
    let test = Environment::new();
    let place = || Place::named(test.name());
    let long = "x".repeat(200);
    for refused in [
        place().layout(&long),
        place().mode(0o400),
        Place::key(Key::PRIVATE),
    ] {
        fails(Semaphore::open(refused.clone(), 0), InvalidArgument);
        assert!(Semaphore::open(refused.create(false), 0).is_err());
    }
    fails(Segment::open(test.key()), KeyNotFound);
}

#[test]
fn an_object_whose_creator_died_is_created_anew() {
    let test = Environment::new();
    drop(number(&test, 5));
    let memory = memory_of(&test);
    // As if its creator, a thread that has ended, had come as far as this.
    memory.write_at(STATE, &BEING_MADE).unwrap();
    memory.set(CREATOR, 0x3f_ffff_u64 | 77 << 22).unwrap();
    memory.write_at(512, &[0xaa; 64]).unwrap();
    memory.write_at(1024, &[0xaa; 8]).unwrap();
    assert_eq!(number(&test, 6).lock().unwrap().get(), 6);
}

#[test]
fn a_live_creator_is_waited_for() {
    let test = Environment::new();
    drop(number(&test, 5));
    let memory = memory_of(&test);
    memory.write_at(STATE, &BEING_MADE).unwrap();
    let start = Instant::now();
    let place = Place::named(test.name()).timeout(SOON);
    fails(Mutex::<u64>::open(place, 0), TimedOut);
    assert!(start.elapsed() >= SOON);
    thread::scope(|scope| {
        scope.spawn(|| number(&test, 0));
        memory.set(STATE, 2_u32).unwrap();
    });
}

#[test]
fn an_existing_object_can_be_asked_for() {
    let test = Environment::new();
    let existing = || Place::named(test.name()).create(false).timeout(SOON);
    fails(Semaphore::open(existing(), 1), KeyNotFound);
    Semaphore::open(test.name(), 3).unwrap();
    assert_eq!(Semaphore::open(existing(), 1).unwrap().value(), 3);
    fails(Semaphore::open("", 1), EmptyName);
    fails(Semaphore::open("x".repeat(257), 1), InvalidArgument);
}

#[test]
fn objects_lie_side_by_side_in_a_segment() {
    let memory = private_memory(8192);
    let mutex = Mutex::<u64>::open(at(&memory, 0), 1).unwrap();
    let semaphore = Semaphore::open(at(&memory, 2048), 2).unwrap();
    let last = Semaphore::open(at(&memory, 8192 - 1024), 3).unwrap();
    mutex.lock().unwrap().set(10);
    semaphore.post().unwrap();
    assert_eq!((semaphore.value(), last.value()), (3, 3));
    let again = Mutex::<u64>::open(at(&memory, 0), 0).unwrap();
    assert_eq!(again.lock().unwrap().get(), 10);
    for offset in [1, 32, 8192, usize::MAX - 63, 8192 - 960] {
        let refused = kind(Semaphore::open(at(&memory, offset), 0));
        assert!(matches!(refused, OutOfRange | InvalidArgument), "{offset}");
    }
}

#[test]
fn processes_lock_in_turn() {
    let test = Environment::new();
    let mutex = four(test.name());
    let mut helpers: Vec<Helper> = (0..3).map(|_| test.helper("count")).collect();
    helpers.iter_mut().for_each(|helper| helper.expect("ready"));
    helpers.iter_mut().for_each(Helper::send_line);
    helpers.iter_mut().for_each(|helper| helper.expect("done"));
    assert_eq!(mutex.lock().unwrap().get(), [60_000; 4]);
}

#[test]
fn a_waiter_learns_that_the_owner_was_killed() {
    let test = Environment::new();
    let mutex = four(test.name());
    let mut helper = test.helper("lock and die").expecting("locked");
    fails(mutex.lock_timeout(NOW), WouldBlock);
    fails(mutex.lock_timeout(SOON), TimedOut);
    thread::scope(|scope| {
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
    assert!(!mutex.lock_timeout(NOW).unwrap().owner_died());
}

#[test]
fn a_value_that_was_not_repaired_stays_locked() {
    let test = Environment::new();
    let mutex = four(test.name());
    test.helper("lock and die").expecting("locked").kill();
    drop(mutex.lock_timeout(NOW).unwrap());
    let error = fails(mutex.lock(), NotRecoverable);
    assert_eq!(error.errno(), libc::ENOTRECOVERABLE);
}

#[test]
fn a_thread_does_not_wait_for_itself() {
    let test = Environment::new();
    let (mutex, again) = (number(&test, 0), number(&test, 0));
    let guard = mutex.lock().unwrap();
    fails(again.lock(), Deadlock);
    drop(guard);
    drop(again.lock().unwrap());
}

#[test]
fn a_childs_copy_of_a_guard_unlocks_nothing() {
    let test = Environment::new();
    let mutex = number(&test, 0);
    let guard = mutex.lock().unwrap();
    in_child(|| {
        drop(guard);
        fails(mutex.lock_timeout(NOW), WouldBlock);
    });
}

#[test]
fn a_semaphore_wakes_another_process() {
    let test = Environment::new();
    let there = Semaphore::open(test.named("ping"), 0).unwrap();
    let back = Semaphore::open(test.named("pong"), 0).unwrap();
    let _echo = test.helper("echo");
    for round in 0..2000 {
        there.post().unwrap();
        back.wait_timeout(AGES).unwrap();
        if round % 500 == 0 {
            thread::sleep(SOON); // now the other process sleeps
        }
    }
    assert_eq!((there.value(), back.value()), (0, 0));
    fails(back.try_wait(), WouldBlock);
    fails(back.wait_timeout(SOON), TimedOut);
}

#[test]
fn a_semaphore_has_a_largest_count() {
    let test = Environment::new();
    let semaphore = Semaphore::open(test.name(), Semaphore::MAX).unwrap();
    assert_eq!(fails(semaphore.post(), Overflow).errno(), libc::EOVERFLOW);
    assert_eq!(semaphore.value(), Semaphore::MAX);
    fails(Semaphore::open(test.name(), u32::MAX), Overflow);
}

/// Sets a limit of this process to 0.
fn forbid(resource: libc::__rlimit_resource_t) {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel reads the limit.
    unsafe { libc::setrlimit(resource, &none) };
}

#[test]
fn a_segment_that_cannot_be_attached_is_removed_again() {
    let test = Environment::new();
    in_child(|| {
        forbid(libc::RLIMIT_AS);
        fails(Semaphore::open(test.name(), 0), OutOfMemory);
    });
    fails(Segment::open(test.key()), KeyNotFound);
}

/// A thread that has waited for long is next. It is killed together with the owner: neither its turn nor the
/// lock is lost.
#[test]
fn the_next_owner_may_die_with_the_owner() {
    let test = Environment::new();
    let mutex = four(test.name());
    let mut helper = test.helper("lock and wait for it").expecting("locked");
    thread::sleep(Duration::from_millis(60)); // longer than a few slices
    helper.kill();
    let mut guard = mutex.lock_timeout(AGES).unwrap();
    assert!(guard.owner_died());
    guard.mark_consistent();
}

/// The same where the owner has unlocked: a thread that only tries gets a free lock, too.
#[test]
fn the_next_owner_may_die_before_its_turn() {
    let test = Environment::new();
    let mutex = four(test.name());
    let guard = mutex.lock().unwrap();
    let mut helper = test.helper("wait for the lock").expecting("waiting");
    thread::sleep(Duration::from_millis(60));
    helper.kill();
    drop(guard);
    for _ in 0..100 {
        drop(mutex.lock_timeout(NOW).unwrap());
    }
}

/// A process that has no descriptors left can still find out which holders are live, and leaves no mark that
/// keeps others from it.
#[test]
fn locking_needs_no_descriptor() {
    let test = Environment::new();
    let mutex = four(test.name());
    in_child(|| {
        forbid(libc::RLIMIT_NOFILE);
        drop(mutex.lock_timeout(NOW).unwrap());
    });
    let memory = mutex.segment().attach().unwrap();
    assert_eq!(memory.get::<u32>(MIXED).unwrap(), 0);
}

/// Removes the segment under a key at the end of a test.
struct Gone(Key);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = Segment::open(self.0).map(|segment| segment.remove());
    }
}

/// Two files of one directory whose inode numbers agree in the 16 bits that a key has of them.
fn two_files_with_one_key() -> Option<(TempDir, [PathBuf; 2])> {
    // tmpfs numbers its files one after the other, so that the 65,536th has the same low 16 bits.
    let Ok(directory) = tempfile::tempdir_in("/dev/shm") else {
        support::needs::skip("two_files_with_one_key", "tmpfs at /dev/shm");
        return None;
    };
    let paths = ["one", "other"].map(|name| directory.path().join(name));
    let inode = |path: &Path| File::create(path).unwrap().metadata().unwrap().ino();
    let first = inode(&paths[0]);
    for _ in 0..300_000 {
        if inode(&paths[1]) & 0xffff == first & 0xffff {
            return Some((directory, paths));
        }
        fs::remove_file(&paths[1]).unwrap();
    }
    support::needs::skip("two_files_with_one_key", "a tmpfs that counts its files up");
    None
}

#[test]
fn two_files_with_one_key_share_no_object() {
    let Some((directory, [one, other])) = two_files_with_one_key() else {
        return;
    };
    let key = Key::from_path(&one, 7).unwrap();
    assert_eq!(key, Key::from_path(&other, 7).unwrap());
    let _gone = Gone(key);
    let place = |path| Place::path(path, 7).unwrap();
    let mutex = Mutex::<u64>::open(place(&one), 1).unwrap();
    let error = fails(Mutex::<u64>::open(place(&other), 1), KeyCollision);
    assert_eq!(error.errno(), libc::ENOTUNIQ);
    fails(
        Mutex::<u64>::open(place(&other).create(false), 1),
        KeyCollision,
    );
    // Also where what is there is too small.
    fails(Ring::open(place(&other), 100_000), KeyCollision);
    // The same file by another way, and 8 bits of the project id.
    let link = directory.path().join("link");
    symlink(&one, &link).unwrap();
    Mutex::<u64>::open(Place::path(&link, 0x107).unwrap(), 0).unwrap();
    let contents = mutex.segment().contents().unwrap().unwrap();
    assert!(contents.file != 0 && contents.name.is_empty());
    mutex.remove().unwrap();
}

/// A key as a number finds any object; an object that was created so belongs to no file.
#[test]
fn a_key_as_a_number_is_of_any_file() {
    let Some((_directory, files)) = two_files_with_one_key() else {
        return;
    };
    let key = Key::from_path(&files[0], 7).unwrap();
    let _gone = Gone(key);
    let place = |file| Place::path(file, 7).unwrap();
    let mutex = Mutex::<u64>::open(place(&files[0]), 1).unwrap();
    Mutex::<u64>::open(Place::key(key), 0).unwrap();
    mutex.remove().unwrap();
    let semaphore = Semaphore::open(Place::key(key), 5).unwrap();
    for file in &files {
        assert_eq!(Semaphore::open(place(file), 0).unwrap().value(), 5);
    }
    semaphore.remove().unwrap();
}

/// A name and a file in a directory that give the same key: the name, the key and the file.
fn name_and_file_with_one_key(directory: &Path) -> (String, Key, PathBuf) {
    let low = |key: Key| key.as_raw() & 0xff_ffff;
    let files: HashMap<i32, PathBuf> = (0..256)
        .map(|n| {
            let path = directory.join(n.to_string());
            File::create(&path).unwrap();
            (low(Key::from_path(&path, 1).unwrap()), path)
        })
        .collect();
    // The top byte is the project id.
    let found = (0..).find_map(|n| {
        let name = format!("{} {n}", directory.display());
        let key = Key::from_name(&name).unwrap();
        let file = files.get(&low(key))?.clone();
        (key.as_raw() >> 24 != 0).then_some((name, key, file))
    });
    found.unwrap()
}

#[test]
fn a_name_and_a_path_with_one_key_share_no_object() {
    let directory = tempfile::tempdir().unwrap();
    let (name, key, file) = name_and_file_with_one_key(directory.path());
    let project = key.as_raw() >> 24;
    assert_eq!(Key::from_path(&file, project).unwrap(), key);
    let _gone = Gone(key);
    let by_path = || Place::path(&file, project).unwrap();
    let named = Mutex::<u64>::open(name.as_str(), 0).unwrap();
    fails(Mutex::<u64>::open(by_path(), 0), KeyCollision);
    Mutex::<u64>::open(key, 0).unwrap();
    named.remove().unwrap();
    Mutex::<u64>::open(by_path(), 0).unwrap();
    fails(Mutex::<u64>::open(name.as_str(), 0), KeyCollision);
}

/// The number by which a header knows a file: FNV-1a of its device, inode and project id.
fn number_of_file(path: &Path, project: u8) -> u64 {
    let about = fs::metadata(path).unwrap();
    let bytes = [about.dev().to_le_bytes(), about.ino().to_le_bytes()];
    let bytes = bytes.into_iter().flatten().chain([project]);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Programs of other languages and versions come to the same number.
#[test]
fn the_header_keeps_which_file_it_was() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let place = || Place::path(file.path(), 0x1207).unwrap();
    let _gone = Gone(Key::from_path(file.path(), 7).unwrap());
    let mutex = Mutex::<u64>::open(place(), 0).unwrap();
    let number = number_of_file(file.path(), 7);
    let memory = mutex.segment().attach().unwrap();
    assert_eq!(memory.get::<u64>(FILE).unwrap(), number);
    let mut bytes = vec![0; Contents::LEN];
    memory.read_at(0, &mut bytes[..1024]).unwrap();
    assert_eq!(Contents::of(&bytes).unwrap().file, number);
    Mutex::<u64>::open(place(), 0).unwrap();
    for other in [1, number ^ 1, number.swap_bytes(), u64::MAX] {
        memory.set(FILE, other).unwrap();
        fails(Mutex::<u64>::open(place(), 0), KeyCollision);
    }
    // Opened by a key as a number first: the file is unknown.
    memory.set(FILE, 0_u64).unwrap();
    Mutex::<u64>::open(place(), 0).unwrap();
    fails(Place::path("/no such file", 7), PathNotFound);
    fails(Place::path(file.path(), 0x1200), ProjectIdZero);
}

#[test]
fn each_kind_of_object_says_whether_it_was_removed() {
    let test = Environment::new();
    let name = test.named("latest");
    let mutex = Mutex::<u64>::open(test.named("mutex"), 1).unwrap();
    let semaphore = Semaphore::open(test.named("semaphore"), 0).unwrap();
    let latest = Latest::<u64>::open(&name).unwrap();
    let reader = Latest::<u64>::open(Place::named(&name).read_only(true)).unwrap();
    let ring = Ring::open(test.named("ring"), 64).unwrap();
    let segments = [
        mutex.segment(),
        semaphore.segment(),
        latest.segment(),
        ring.segment(),
    ];
    for removed in [false, true] {
        if removed {
            segments
                .iter()
                .for_each(|segment| segment.remove().unwrap());
        }
        assert_eq!(mutex.is_removed().unwrap(), removed);
        assert_eq!(semaphore.is_removed().unwrap(), removed);
        assert_eq!(latest.is_removed().unwrap(), removed);
        assert_eq!(reader.is_removed().unwrap(), removed);
        assert_eq!(ring.is_removed().unwrap(), removed);
        let text = fails(semaphore.wait_timeout(SOON), TimedOut).to_string();
        assert_eq!(text.contains("has been removed"), removed, "{text}");
    }
}

#[test]
fn a_removed_object_stays_beside_the_one_that_replaces_it() {
    let test = Environment::new();
    let old = number(&test, 1);
    old.remove().unwrap();
    let new = number(&test, 2);
    assert!(old.is_removed().unwrap() && !new.is_removed().unwrap());
    assert_eq!(old.lock().unwrap().get(), 1);
    assert_eq!(new.lock().unwrap().get(), 2);
}

#[test]
fn a_process_without_rights_learns_that_a_segment_was_removed() {
    let segment = private_segment(8192);
    let memory = Arc::new(segment.attach().unwrap());
    let semaphore = Semaphore::open(at(&memory, 1024), 0).unwrap();
    assert!(!semaphore.is_removed().unwrap() && !memory.is_removed().unwrap());
    segment.set_mode(0).unwrap();
    let ask = || {
        status_of_child(|| {
            // SAFETY: these change nothing but the child, which may not become that user if it is not root's.
            let _ = unsafe { libc::setgid(65534) + libc::setuid(65534) };
            semaphore
                .is_removed()
                .map_or_else(|error| error.errno(), i32::from)
        })
    };
    let before = ask();
    segment.remove().unwrap();
    assert_eq!((before, ask()), (0, 1));
    assert!(semaphore.is_removed().unwrap() && memory.is_removed().unwrap());
}

/// Detached by another part of the program, a segment that was removed is destroyed, and its id may be given
/// again.
#[test]
fn an_attachment_survives_that_its_segment_is_destroyed() {
    let segment = private_segment(8192);
    let memory = std::mem::ManuallyDrop::new(segment.attach().unwrap());
    segment.remove().unwrap();
    // SAFETY: no code uses that memory from now on.
    assert_eq!(unsafe { libc::shmdt(memory.as_ptr().cast()) }, 0);
    assert!(memory.is_removed().unwrap());
    let others: Vec<Segment> = (0..3).map(|_| private_segment(8192)).collect();
    assert!(others.iter().all(|other| other.id() != segment.id()));
    assert!(memory.is_removed().unwrap());
}

/// A process that waits for the creator of an object that is removed opens what others open now.
#[test]
fn an_object_that_is_removed_before_it_is_made_is_not_waited_for() {
    let test = Environment::new();
    drop(number(&test, 5));
    let old = Segment::open(test.key()).unwrap();
    let memory = old.attach().unwrap();
    memory.write_at(STATE, &BEING_MADE).unwrap(); // by this thread, which lives
    thread::scope(|scope| {
        let opener = scope.spawn(|| Mutex::<u64>::open(test.name(), 6));
        while old.status().unwrap().nattch < 2 {
            thread::yield_now();
        }
        old.remove().unwrap();
        let mutex = opener.join().unwrap().expect("it is created again");
        assert_eq!(mutex.lock().unwrap().get(), 6);
        assert_ne!(mutex.segment().id(), old.id());
    });
}

/// The id that was found can be another segment's by the time that it is attached: the first one was removed,
/// and the kernel has given its id again. Here, strace gives it.
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
        let small = private_segment(size);
        let output = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e"])
            .arg(format!("inject=shmget:retval={}", small.id()))
            .arg(env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "a_segment_that_turns_out_smaller_is_not_used",
            ])
            .env(INNER, "1")
            // The probe of the kernel, too, would get that id.
            .env("SHMKEY_BACKEND", "kernel")
            .output()
            .unwrap();
        says(
            &String::from_utf8_lossy(&output.stdout),
            &format!("opened: {expected}"),
        );
        assert!(output.status.success(), "{}", output.status);
    }
}

#[test]
fn the_owner_of_a_segment_can_be_expected() {
    let test = Environment::new();
    let owned = |uid| Place::named(test.name()).owner(uid);
    let existing = |uid| Semaphore::open(owned(uid).create(false), 1);
    let semaphore = Semaphore::open(test.name(), 1).unwrap();
    let me = semaphore.segment().status().unwrap().uid;
    Semaphore::open(owned(me), 1).unwrap();
    fails(Semaphore::open(owned(me + 1), 1), InvalidArgument);
    let error = fails(existing(me + 1), PermissionDenied);
    assert_eq!(error.errno(), libc::EPERM);
    says(&error.to_string(), &format!("uid {me}"));
    // The owner alone proves nothing: the creator can give the segment away, and still write it.
    semaphore.segment().set_mode(0o666).unwrap();
    semaphore.segment().set_owner(Some(me + 1), None).unwrap();
    assert_eq!(existing(me + 1).is_ok(), me == 0); // root is trusted
    fails(existing(me), PermissionDenied);
    semaphore.remove().unwrap();
}
