//! Hostile changes of a namespace. They may cause errors, but no crash and no hang, and no file outside of the
//! namespace may be used.

use crate::{
    namespace::*,
    needs,
    support::{Random, fork_child, status_of},
};
use shmkey_core::{backend, sys::Errno};
use std::{
    ffi::CString,
    fs::{self, File, OpenOptions},
    os::fd::AsRawFd,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, PermissionsExt, symlink},
        net::UnixListener,
    },
    path::Path,
};

tasks! {
    random_bytes_in_the_table_do_no_harm
    random_numbers_in_the_header_do_no_harm
    a_file_that_took_a_segments_place_is_refused
    a_short_segment_is_refused
    a_lock_without_a_holder_is_taken_over
    a_lock_of_a_dead_process_with_the_same_slot_is_taken_over
    a_truncated_table_is_not_accessed
    a_table_full_of_removed_segments_does_not_hold_up_a_call
    a_segment_with_too_many_locks_to_ask_for_does_not_hold_up_a_call
    ;
    create_and_say
}

/// Creates a segment, and prints the error number, or 0.
fn create_and_say() {
    let created = get(7, 100, CREATE | 0o600);
    println!("\nresult {}", created.map_or_else(|errno| errno.0, |_| 0));
}

fn result_in(test: &Namespace, directory: &Path) -> i32 {
    let directory = format!("SHMKEY_DIR={}", directory.display());
    let mut helper = test.start_within(&["env"], "create_and_say");
    helper.kill();
    let program = ["env", "SHMKEY_BACKEND=user", &directory];
    let mut helper = crate::support::Helper::start(&program, "create_and_say", "");
    helper.line_after("result ").parse().unwrap()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn directories_that_others_can_change_are_refused() {
    let test = Namespace::new();
    let directory = test.path().join("d");
    assert_eq!(result_in(&test, &directory), 0, "made by the library");
    for (bits, expected) in [
        (0o755, 0),
        (0o770, libc::EACCES),
        (0o777, libc::EACCES),
        (0o1777, 0),
        (0o700, 0),
    ] {
        mode(&directory, bits);
        assert_eq!(result_in(&test, &directory), expected, "{bits:o}");
    }
}

#[test]
fn what_is_not_a_directory_is_refused() {
    let test = Namespace::new();
    let (directory, link, file) = ["d", "l", "f"].map(|name| test.path().join(name)).into();
    fs::create_dir(&directory).unwrap();
    symlink(&directory, &link).unwrap();
    File::create(&file).unwrap();
    assert_eq!(result_in(&test, &link), libc::ENOTDIR);
    assert_eq!(result_in(&test, &file), libc::ENOTDIR);
    assert_eq!(result_in(&test, Path::new("/nowhere/at/all")), libc::ENOENT);
    assert!(files(&directory).is_empty());
}

#[test]
fn a_directory_of_another_user_is_refused() {
    needs!(ROOT);
    let test = Namespace::new();
    let directory = test.path().join("d");
    fs::create_dir(&directory).unwrap();
    std::os::unix::fs::chown(&directory, Some(65534), None).unwrap();
    assert_eq!(result_in(&test, &directory), libc::EACCES);
}

#[test]
fn a_table_that_still_has_its_makers_name_loses_that_name() {
    let test = Namespace::new();
    let directory = test.path().join("d");
    assert_eq!(result_in(&test, &directory), 0);
    // SAFETY: takes nothing, and cannot fail.
    let user = unsafe { libc::geteuid() };
    let old = directory.join(format!("new.{user}"));
    fs::hard_link(directory.join("table"), old).unwrap();
    assert_eq!(result_in(&test, &directory), 0);
    assert_eq!(files(&directory), ["s.0", "table"]);
}

#[test]
fn a_table_of_the_wrong_kind_or_size_is_refused() {
    let test = Namespace::new();
    let directory = test.path().join("d");
    let table = directory.join("table");
    let other = test.path().join("other");
    assert_eq!(result_in(&test, &directory), 0);
    let whole = fs::metadata(&table).unwrap().len();
    let attempts: [(&str, &dyn Fn()); 7] = [
        ("a symbolic link", &|| symlink(&other, &table).unwrap()),
        ("a hard link", &|| fs::hard_link(&other, &table).unwrap()),
        ("a fifo", &|| make_fifo(&table)),
        ("a directory", &|| fs::create_dir(&table).unwrap()),
        ("a socket", &|| drop(UnixListener::bind(&table).unwrap())),
        ("an empty file", &|| drop(File::create(&table).unwrap())),
        ("zeroes", &|| {
            File::create(&table).unwrap().set_len(whole).unwrap()
        }),
    ];
    for (what, make) in attempts {
        let _ = fs::remove_file(&table).or_else(|_| fs::remove_dir(&table));
        File::create(&other).unwrap().set_len(whole).unwrap();
        make();
        let result = result_in(&test, &directory);
        assert!(
            [libc::EACCES, libc::EINVAL].contains(&result),
            "{what}: {result}"
        );
        assert!(
            fs::read(&other).unwrap().iter().all(|&byte| byte == 0),
            "{what}"
        );
    }
}

fn make_fifo(path: &Path) {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the path is a C string.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

#[test]
fn a_table_of_another_format_is_refused() {
    let test = Namespace::new();
    let directory = test.path().join("d");
    for (what, offset) in [
        ("magic", 0),
        ("byte order", 8),
        ("version", 12),
        ("page size", 16),
    ] {
        let _ = fs::remove_dir_all(&directory);
        assert_eq!(result_in(&test, &directory), 0);
        let table = OpenOptions::new()
            .write(true)
            .open(directory.join("table"))
            .unwrap();
        table.write_all_at(&[0xee], offset).unwrap();
        assert_eq!(result_in(&test, &directory), libc::EINVAL, "{what}");
    }
}

fn segment_file(id: i32) -> String {
    format!("{}/s.{id}", std::env::var("SHMKEY_DIR").unwrap())
}

fn a_file_that_took_a_segments_place_is_refused() {
    let id = private(8192);
    let path = segment_file(id);
    fs::rename(&path, format!("{path}.old")).unwrap();
    fs::write(&path, [0; 8192]).unwrap();
    assert_eq!(fails(try_attach(id, 0)), libc::EIDRM);
    fs::remove_file(&path).unwrap();
    symlink(format!("{path}.old"), &path).unwrap();
    assert_eq!(fails(try_attach(id, 0)), libc::EIDRM);
    fs::remove_file(&path).unwrap();
    assert_eq!(fails(try_attach(id, 0)), libc::EIDRM);
    make_fifo(path.as_ref());
    assert_eq!(fails(try_attach(id, 0)), libc::EIDRM);
    backend::remove(id).unwrap();
}

fn a_short_segment_is_refused() {
    let id = private(8192);
    let file = OpenOptions::new()
        .write(true)
        .open(segment_file(id))
        .unwrap();
    file.set_len(4096).unwrap();
    assert_eq!(fails(try_attach(id, 0)), libc::EIDRM);
    backend::remove(id).unwrap();
}

/// Opens the table's file, as another process can.
fn table() -> File {
    let path = format!("{}/table", std::env::var("SHMKEY_DIR").unwrap());
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap()
}

fn a_lock_without_a_holder_is_taken_over() {
    let id = get(7, 100, CREATE | 0o600).unwrap();
    // Words of the lock, whose holder has the slot 0x1233, which is free, or 0x7ffe, which has never been used.
    for word in [0x1234_u32, 0x7fff, 0x9234] {
        table().write_all_at(&word.to_ne_bytes(), 64).unwrap();
        assert_eq!(nattch(id), 0, "{word:x}");
        detach(attach(id));
    }
}

/// This process has the slot of a process that died with the lock, and finds a segment without taking the lock.
fn a_lock_of_a_dead_process_with_the_same_slot_is_taken_over() {
    let child = fork_child(|| get(7, 100, CREATE | 0o600).unwrap());
    assert_eq!(status_of(child), 0);
    // The first slot that this process tries, plus 1.
    let word = std::process::id() % 0x7fff + 1;
    table().write_all_at(&word.to_ne_bytes(), 64).unwrap();
    assert_eq!(get(7, 100, 0).unwrap(), 0);
    let mut word = [0; 4];
    table().read_exact_at(&mut word, 64).unwrap();
    assert_eq!(u32::from_ne_bytes(word) & 0x7fff, 0, "it is free");
}

/// Makes random calls, and ignores their results.
fn call(random: &mut Random) {
    let key = random.below(4) as i32 + 1;
    let id = match random.below(3) {
        0 => random.below(1 << 16) as i32,
        _ => get(key, 4096, CREATE | 0o600).unwrap_or(0),
    };
    if let Ok(memory) = try_attach(id, 0) {
        let _ = backend::stat(id);
        if random.below(2) == 0 {
            let _ = backend::remove(id);
        }
        let _ = try_detach(memory);
    }
    let _ = backend::usage();
    let _ = backend::stat_at(random.below(64) as i32);
}

/// Has children make random calls while this process writes to the table.
fn scribble(rounds: usize, mut write: impl FnMut(&File, &mut Random)) {
    let seed = Random::seed_of_run();
    for round in 0..rounds {
        private(1);
        let children: Vec<_> = (0..2)
            .map(|child| {
                fork_child(|| {
                    let mut random = Random::seeded(seed + child + 10 * round as u64);
                    (0..60).for_each(|_| call(&mut random));
                    0
                })
            })
            .collect();
        let (file, mut random) = (table(), Random::seeded(seed + round as u64));
        for _ in 0..300 {
            write(&file, &mut random);
        }
        for child in children {
            assert_eq!(status_of(child), 0, "round {round}");
        }
        // The next round has a table of its own.
        fs::remove_dir_all(std::env::var("SHMKEY_DIR").unwrap()).unwrap();
        assert_eq!(
            get(9, 1, CREATE | 0o600).map_err(|Errno(errno)| errno),
            Ok(0)
        );
    }
}

fn random_bytes_in_the_table_do_no_harm() {
    scribble(8, |file, random| {
        // The lock's word is left alone: with a wrong one, each call could wait for some seconds.
        let start = [128, 4096, 64 << 10, 192 << 10, (192 << 10) + (4 << 20)][random.below(5)];
        let offset = start + random.below(4096) as u64;
        let bytes: [u8; 4] = std::array::from_fn(|_| random.below(256) as u8);
        file.write_all_at(&bytes, offset).unwrap();
    });
}

fn random_numbers_in_the_header_do_no_harm() {
    scribble(4, |file, random| {
        let offset = 128 + 4 * random.below(40) as u64;
        let number = [0, 1, 2, 0x7fff, 0x8000, 0xffff, u32::MAX - 1, u32::MAX][random.below(8)];
        file.write_all_at(&number.to_ne_bytes(), offset).unwrap();
    });
}

fn a_truncated_table_is_not_accessed() {
    let id = private(100);
    let memory = attach(id);
    let path = Path::new(&std::env::var("SHMKEY_DIR").unwrap()).join("table");
    let table = OpenOptions::new().write(true).open(path);
    table.unwrap().set_len(0).unwrap();
    // The library checks the table's size at most every 4 ms.
    std::thread::sleep(std::time::Duration::from_millis(50));
    detach(memory);
    assert_eq!(fails(try_attach(id, 0)), libc::EINVAL);
    assert_eq!(fails(get(5, 100, CREATE | 0o600)), libc::EINVAL);
}

/// Fills the table with copies of its first segment in one ring, each with a chain of copies of the first attachment, as
/// many as there can be.
fn fill(table: &File) {
    let (count, most) = (1_u32 << 15, 1_u32 << 17);
    let (entries_at, records_at) = (192 << 10, (192 << 10) + (4 << 20));
    let (mut entry, mut record) = ([0; 128], [0; 64]);
    table.read_exact_at(&mut entry, entries_at).unwrap();
    table.read_exact_at(&mut record, records_at).unwrap();
    let (mut entries, mut records) = (Vec::new(), Vec::new());
    for index in 0..count {
        let [before, behind] = [count - 1, 1].map(|step| (index + step) % count + 1);
        entry[108..112].copy_from_slice(&before.to_ne_bytes());
        entry[112..116].copy_from_slice(&behind.to_ne_bytes());
        entries.extend_from_slice(&entry);
    }
    for next in 2..most + 2 {
        record[24..28].copy_from_slice(&(next % (most + 1)).to_ne_bytes());
        records.extend_from_slice(&record);
    }
    table.write_all_at(&records, records_at).unwrap();
    table.write_all_at(&entries, entries_at).unwrap();
    for (offset, number) in [(216, count), (220, most), (236, most)] {
        table.write_all_at(&number.to_ne_bytes(), offset).unwrap();
    }
}

/// To look at all attachments of all segments would take half an hour.
fn a_table_full_of_removed_segments_does_not_hold_up_a_call() {
    let id = private(100);
    attach(id);
    backend::remove(id).unwrap();
    fill(&table());
    backend::usage().unwrap();
}

/// Locks bytes of a file, no two of them adjacent.
fn lock_bytes(file: &File, count: i64) {
    for index in 0..count {
        // SAFETY: integers, for which zeroes are valid.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        lock.l_type = libc::F_WRLCK as _;
        (lock.l_start, lock.l_len) = (2 * index, 1);
        // SAFETY: the lock is read.
        let locked = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) };
        assert_eq!(locked, 0);
    }
}

/// It would take many seconds to ask for the locks of all these attachments.
fn a_segment_with_too_many_locks_to_ask_for_does_not_hold_up_a_call() {
    let id = private(100);
    attach(id);
    let directory = std::env::var("SHMKEY_DIR").unwrap();
    let path = format!("{directory}/s.{id}");
    let file = OpenOptions::new().write(true).open(path).unwrap();
    lock_bytes(&file, 30_000);
    let (table, most, records_at) = (table(), 1_u32 << 17, (192 << 10) + (4 << 20));
    let mut record = [0; 64];
    table.read_exact_at(&mut record, records_at).unwrap();
    // An attachment that has ended.
    record[..8].copy_from_slice(&(1_u64 << 40 | 1).to_ne_bytes());
    let mut records = Vec::new();
    for next in 2..most + 2 {
        record[24..28].copy_from_slice(&(next % (most + 1)).to_ne_bytes());
        records.extend_from_slice(&record);
    }
    table.write_all_at(&records, records_at).unwrap();
    for offset in [220, 236] {
        table.write_all_at(&most.to_ne_bytes(), offset).unwrap();
    }
    assert_ne!(nattch(id), 0, "what was not asked for counts");
}
