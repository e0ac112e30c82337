//! Each failure is provoked, and explained by what is known of it.

use super::{
    failed, id_in, lines, run_to_success, says, situation, support::Environment, trace_of,
};
use crate::{
    needs,
    support::{Process, create_segment, fails},
};
use shmkey::{ErrorKind, Key, Segment};
use std::fs;

/// The lines of failures of a situation.
fn failures(situation: &str) -> Vec<String> {
    let all = trace_of(&[situation]);
    let failed = failed(&all);
    assert!(!failed.is_empty(), "{all:#?}");
    failed
}

/// Expects one of these lines for each failure of a situation. `…` stands for what lies between two parts.
#[track_caller]
fn explains(situation: &str, expected: &str) {
    expect_lines(&failures(situation), expected);
}

#[track_caller]
fn expect_lines(failed: &[String], expected: &str) {
    let expected: Vec<&str> = expected.trim().lines().collect();
    assert_eq!(failed.len(), expected.len(), "{failed:#?}");
    for (line, parts) in failed.iter().zip(expected) {
        says(line, parts);
    }
}

#[test]
fn einval_of_a_segment_that_is_too_small() {
    explains(
        "too-small",
        "shmget(key 0x73…, 1024 bytes, if mode 0600 is allowed) failed (…µs): EINVAL: the segment with this key \
         (id …) has 512 bytes, and 1024 were requested",
    );
}

#[test]
fn einval_of_sizes_that_cannot_be() {
    let expected = "
        0 bytes…a segment of 0 bytes cannot be created
        looks like a negative number
        this system has no huge pages of 8 KiB";
    explains("bad-sizes", expected);
}

#[test]
fn einval_of_a_size_beyond_the_limit() {
    needs!(NAMESPACES);
    explains(
        "beyond-shmmax",
        "8193 bytes…kernel.shmmax allows a segment to have 8192 bytes",
    );
}

#[test]
fn einval_of_ids_that_no_segment_has() {
    let expected = "
        id -1…what a failed shmget returns
        unknown flags 04000000…there is no segment with this id
        an id is never negative
        unknown command 77…no such command";
    explains("no-id", expected);
}

#[test]
fn einval_of_addresses_that_cannot_be() {
    let expected = r#"
        is not a multiple of …the size of a page
        the addresses from 0x…are mapped already
        SHM_REMAP needs an address
        which shmat returns on failure
        inside an attachment of the segment
        EFAULT: the buffer's address is invalid
        no segment is attached at this address
        ftok(a path that cannot be read, project 1)…EFAULT"#;
    explains("bad-addresses", expected);
}

#[test]
fn einval_of_an_id_whose_place_is_taken() {
    needs!(NAMESPACES);
    let expected = "EINVAL…the segment 32768 has its place in the kernel's table, so the segment with this id was \
        destroyed";
    explains("place-taken", &format!("{expected}\n{expected}"));
}

/// Runs a situation in which shmget fails so many times, and expects these words of each failure, and the advice to
/// remove the segment only where its users are known to have ended.
#[track_caller]
fn names_users(situation: &str, times: usize, users: &str, is_orphan: bool) {
    let mut failed = failures(situation);
    failed.retain(|line| line.starts_with("shmget"));
    assert_eq!(failed.len(), times, "{failed:#?}");
    for line in failed {
        says(
            &line,
            &format!("; the segment … belongs to uid … was created {users}"),
        );
        assert_eq!(line.contains("ipcrm"), is_orphan, "{line}");
    }
}

#[test]
fn eexist_and_einval_name_the_users_of_the_segment() {
    let never_attached = "by this process and never attached; its creator may still need it";
    names_users("exists", 1, never_attached, false);
    names_users("too-small", 1, never_attached, false);
    let in_use =
        "and last used by this process, and is attached once; it is in use, so end the programs";
    names_users("exists-in-use", 2, in_use, false);
    let orphan = "and last used by process …(dead), and no process has it attached; if its content is not needed, \
        remove it (ipcrm -m ";
    names_users("exists-orphaned", 2, orphan, true);
}

#[test]
fn eexist_names_the_segment() {
    explains(
        "exists",
        "create, only if there is none yet, mode 0600…EEXIST: a segment with this key exists (id ",
    );
}

/// The key and the id of each segment that was created.
fn created(all: &[String]) -> Vec<(&str, &str)> {
    let created = all.iter().filter(|line| line.contains(" = id "));
    created
        .map(|line| (&line["shmget(key ".len()..][..10], id_in(line)))
        .collect()
}

#[test]
fn einval_of_a_key_in_the_place_of_an_id() {
    let all = trace_of(&["keys-and-ids"]);
    let [.., (plain, first), (negative, second), (digits, third)] = created(&all)[..] else {
        panic!("{all:#?}");
    };
    let number = i32::from_str_radix(&plain[2..], 16).unwrap();
    let in_hexadecimal = i64::from_str_radix(&number.to_string(), 16).unwrap();
    assert_eq!(digits, format!("{in_hexadecimal:#010x}"));
    let is_key = |number: i32, key: &str, id: &str| {
        format!(
            "EINVAL: no segment has the id {number}: {number} is the key {key} of the segment with the id {id}"
        )
    };
    let of_first = is_key(number, plain, first);
    let by_digits = format!(
        "the segment with the id {third} has the key {digits}, and {number} without 0x is another number"
    );
    let expected = [
        [&*of_first; 3].join("\n"),
        "EINVAL: this number is the id of a segment; pass the address that shmat".to_owned(),
        format!(
            "ENOENT: there is no segment with this key…; {first} is the id of a segment: pass an id to shmat"
        ),
        is_key(-number, negative, second),
        format!("EINVAL: no segment has the id …{by_digits}"),
        format!("ENOENT: there is no segment with this key…{by_digits}"),
    ];
    expect_lines(&failed(&all), &expected.join("\n"));
}

#[test]
fn a_mode_without_its_leading_0_is_noted() {
    let all = trace_of(&["decimal-modes"]);
    let decimal =
        "the mode 0232 comes from the decimal number 666: write 0666 for an octal number in C";
    let none =
        "the mode 0000 comes from flags without permission bits; add them, as in IPC_CREAT | 0600";
    let mut created = all.iter().filter(|line| line.contains(" = id "));
    let mut created_with = |note: &str| says(created.next().unwrap(), note);
    created_with(&format!("create, mode 0232) = id …; note: {decimal}"));
    created_with(&format!("create, mode 0000) = id …; note: {none}"));
    assert!(created.all(|line| !line.contains("note")), "{all:#?}");
    let expected = format!(
        "shmat…EACCES…has mode 0232…; {decimal}
         shmat…EACCES…has mode 0000…; {none}
         shmget…EACCES…has mode 0400…; the mode 0204 comes from the decimal number 644"
    );
    expect_lines(&failed(&all), &expected);
}

#[test]
fn two_files_that_give_one_key_are_noted() {
    let all = trace_of(&["one-key-of-two-files"]);
    let calls =
        |call: &str| -> Vec<&String> { all.iter().filter(|line| line.starts_with(call)).collect() };
    let (ftok, shmget) = (calls("ftok"), calls("shmget"));
    let path = |line: &str| line.split('"').nth(1).unwrap().to_owned();
    let (first, second) = (path(ftok[0]), path(ftok[2]));
    for line in [ftok[0], ftok[1], ftok[3]] {
        assert!(!line.contains("note"), "{line}");
    }
    let both = format!(
        "ftok(\"{second}\", project 77 ('M')) and ftok(\"{first}\", project 77 ('M')) give one key, though the \
         files differ"
    );
    says(ftok[2], &format!("; note: …{both}"));
    says(shmget[0], &format!(" = id …; note: …{both}"));
    says(shmget[1], &format!("EEXIST: …{both}"));
}

#[test]
fn enoent_of_a_file_that_was_replaced() {
    // Other programs' segments have keys of the same project, too, and the kernel lists them first. Their inodes are far
    // from those of this test, which the file system may number one after the other.
    let test = Environment::new();
    let alike = test.keys.writer_reader.as_raw();
    let others = [0x5000, 0x6000].map(|inode| create_segment(Key::from_raw(alike ^ inode), 10));
    let all = trace_of(&["replaced"]);
    let ftok: Vec<&String> = all.iter().filter(|line| line.starts_with("ftok")).collect();
    let key = |line: &str| line.split_once(" = key ").unwrap().1[..10].to_owned();
    let (before, now) = (key(ftok[0]), key(ftok[1]));
    let old = all.iter().find(|line| line.contains(" = id ")).unwrap();
    let old = id_in(old);
    says(
        ftok[1],
        &format!(
            "; note: the same call gave the key {before} before, and the file was replaced since: "
        ),
    );
    let replaced = "here ftok(\"shmfile\", project 115 ('s')) has made this key of a file that was replaced since: it \
        was inode ";
    let alike = "segments whose keys differ from this one in these bits alone, it is one that this process created";
    let made_both = "if ftok made both keys from one path, its file was replaced";
    let expected = [
        format!("{replaced}…is there now, which gives the key {now}"),
        format!("; the segment {old} has the key {before}: {made_both}…{alike}"),
        "has made this key of a file that was deleted since".to_owned(),
    ];
    expect_lines(&failed(&all), &expected.join("\n"));
    others.iter().for_each(|other| other.remove().unwrap());
}

/// By what the kernel knows, without the trace.
#[test]
fn the_library_notes_a_file_that_was_replaced() {
    let test = Environment::new();
    // No other test has this project.
    let path = test.path().join("shmfile");
    let key = |path| Key::from_path(path, 0xee).unwrap();
    let old = key(&path);
    let before = create_segment(old, 10);
    fs::write(test.path().join("another"), "").unwrap();
    fs::rename(test.path().join("another"), &path).unwrap();
    let new = key(&path);
    let error = Segment::open(new).unwrap_err().to_string();
    let expected = format!(
        "; the segment {} has the key {old}: if ftok made both keys from one path, its file was replaced after \
         that segment was created (the low 16 bits of its inode number were {:#06x} and are {:#06x} now)",
        before.id(),
        old.as_raw() & 0xffff,
        new.as_raw() & 0xffff
    );
    says(&error, &expected);
    before.remove().unwrap();
    let error = Segment::open(new).unwrap_err().to_string();
    assert!(!error.contains(&old.to_string()), "{error}");
}

/// The rest takes looks at other segments and processes, which would slow the program down each time.
#[test]
fn a_call_that_fails_again_and_again_is_explained_at_length_now_and_then() {
    let failed = failures("asks-again");
    let at_length = |line: &&String| line.contains("; the segment ");
    assert!(at_length(&&failed[0]), "{}", failed[0]);
    assert_eq!(failed.len(), 200);
    assert!(failed.iter().filter(at_length).count() <= 100);
    for line in failed {
        says(
            &line,
            "ENOENT: there is no segment with this key; start the program",
        );
    }
}

#[test]
fn enoent_in_another_ipc_namespace() {
    needs!(NAMESPACES);
    let failed = failures("namespace-of-its-own");
    says(
        &failed[0],
        "ENOENT…; this process has another IPC namespace than process ",
    );
    let other = "ENOENT…; process 2 has another IPC namespace than this process, as in a container";
    explains("namespace-of-another", other);
}

#[test]
fn enoent_says_where_the_key_comes_from() {
    let failed = failures("no-key");
    let expected = "
        ENOENT: there is no segment with this key…ftok(\"shmfile\", project 115 ('s')) has made this key
        key 0x7b5a1234…there is no segment with this key";
    expect_lines(&failed, expected);
    assert!(!failed[1].contains("ftok"), "{}", failed[1]);
}

#[test]
fn enoent_of_the_key_of_a_failed_ftok() {
    needs!(NAMESPACES);
    let all = trace_of(&["key-of-failed-ftok"]);
    assert!(!all[0].contains("in this process"), "{}", all[0]);
    let expected = r#"
        key 0xffffffff…most likely a failed ftok
        ftok("no such directory/file", project 65 ('A')) failed…ENOENT: the file does not exist
        most likely a failed ftok…in this process ftok("no such directory/file", project 65 ('A')) has failed with ENOENT
        create, mode 0600) = id …; note: the key 0xffffffff"#;
    expect_lines(&all[..4], expected);
}

#[test]
fn eacces_and_eperm_of_a_strangers_segment() {
    needs!(ROOT);
    let access = "EACCES…belongs to uid 0 (root) and has mode 0600: uid 65534 (nobody), neither its owner nor in \
        its group, may do nothing with it\n";
    let removal = "remove) failed…EPERM: only the owner (uid 0 (root))…this process runs as uid 65534 (nobody)";
    explains("stranger", &(access.repeat(3) + removal));
}

/// A mode that allows it, or does not count, is not blamed.
#[test]
fn eacces_by_a_filter() {
    explains(
        "filtered-access",
        "EACCES…mode 0666, which allows …seccomp filter",
    );
}

#[test]
fn eacces_and_eperm_of_root_by_a_filter() {
    needs!(ROOT);
    let expected = "
        EACCES…mode 0600, which does not apply to uid 0 (root), who has CAP_IPC_OWNER…seccomp filter
        EPERM: a seccomp filter is installed";
    explains("filtered-root", expected);
}

#[test]
fn eacces_names_the_class_and_the_right() {
    needs!(ROOT);
    let expected = "
        as a member of its group 1234, may do nothing with it, and this call wants to read it
        who owns or created it, may do nothing with it
        may read and write it, and this call wants to read, write and execute it
        EPERM: only the owner…(with CAP_IPC_LOCK)
        EPERM: the address 0x10 is below 0x…CAP_SYS_RAWIO…(vm.mmap_min_addr)";
    explains("classes", expected);
}

#[test]
fn eacces_blames_no_mode_that_allows_it() {
    needs!(ROOT);
    for line in failures("toggled") {
        let is_right = ["has mode 0600: uid 65534", "has mode 0666, which allows"];
        assert!(is_right.iter().any(|part| line.contains(part)), "{line}");
    }
}

#[test]
fn eacces_in_a_user_namespace() {
    needs!(NAMESPACES);
    let stranger = "a user that this namespace does not know (shown as uid 65534)";
    let expected = format!(
        "EACCES…belongs to {stranger}…: uid 7
         EPERM: only the owner…{stranger}…this process runs as uid 7"
    );
    explains("unknown-owner", &expected);
}

#[test]
fn enomem_of_locking() {
    needs!(ROOT);
    explains(
        "locked",
        "ENOMEM: the segment's 2 MiB and the memory that uid 65534 (nobody) has locked…exceed 3 MiB",
    );
}

#[test]
fn odd_arguments_are_named() {
    let expected = "
        the addresses of a process end at 0x7ffffffff000, unless…five levels
        the addresses of a process end at 0x…the segment at 0xffff800000000000 would reach beyond
        this address rounded down to a page is 0
        EFAULT: the buffer is NULL
        EFAULT: the buffer's address is invalid, or this process may not write to the memory there
        EFAULT: the buffer's address is invalid, or this process may not read the memory there
        no segment has the index 32000
        uid 4294967295 does not exist
        ENOENT: the path is empty
        huge pages of 16 GiB, mode 0600) failed…no huge pages of 16 GiB";
    explains("odd-arguments", expected);
}

#[test]
fn enospc_counts_segments_pages_and_orphans() {
    needs!(NAMESPACES);
    explains(
        "too-many",
        "ENOSPC: 3 of 3 segments (kernel.shmmni) are in use; free space on the disk does not matter; 1 of them is \
         an orphan (no process has it attached, and its creator is dead; shmkey list shows it): remove it",
    );
    explains(
        "too-many-pages",
        "ENOSPC: 3 of 5 pages of shared memory (kernel.shmall) are in use, and 3 more are too many; free space on \
         the disk does not matter; none is known to be an orphan",
    );
}

#[test]
fn eidrm_of_a_segment_that_was_removed_during_the_call() {
    needs!(NAMESPACES);
    let failed = failures("removed");
    let expected = "EIDRM: the segment was removed while the call was running";
    assert!(
        failed.iter().any(|line| line.contains(expected)),
        "{failed:#?}"
    );
}

#[test]
fn enomem_names_what_does_not_fit() {
    explains(
        "address-space",
        "ENOMEM: the segment's 64 MiB do not fit into the address space…may have 32 MiB (RLIMIT_AS",
    );
    explains(
        "huge-pages",
        "huge pages of 2 MiB, mode 0600…ENOMEM: the segment needs 2097152 huge pages of 2 MiB, and ",
    );
    // A machine that promises memory without limit does not fail.
    let test = Environment::new();
    let command = situation(&test, &["memory"], &[("SHMKEY_TRACE", "1")]);
    let ending = Process::run("trace", command, b"").unwrap();
    if ending.status.code() != Some(77) {
        says(
            &lines(&ending.stderr)[0],
            "ENOMEM: 65536 GiB were requested",
        );
    }
}

#[test]
fn enosys_and_eperm_by_a_filter() {
    for (errno, name) in [(libc::ENOSYS, "ENOSYS"), (libc::EPERM, "EPERM")] {
        let mut all = trace_of(&["filtered", &errno.to_string()]);
        let end = "ends; which segments it leaves behind is unknown";
        assert_eq!(all.pop().unwrap(), end);
        let line = format!("{name}…: a seccomp filter is installed for this process\n");
        expect_lines(&all, &line.repeat(4));
    }
}

#[test]
fn nothing_is_guessed_without_proc() {
    needs!(NAMESPACES);
    explains(
        "blind",
        "ENOSYS…which of these is unknown, because /proc cannot be read",
    );
}

#[test]
fn nothing_is_guessed_of_a_segment_whose_record_cannot_be_read() {
    let expected = "
        EINVAL…which of these is unknown
        EEXIST: a segment with this key existed
        EINVAL…which of these is unknown";
    explains("half-blind", expected);
}

/// Expects the cause in an error's text, behind the call, in a line of the trace.
#[track_caller]
fn expect_cause(error: &shmkey::Error, line: &str) {
    let text = error.to_string();
    let (_, cause) = text.split_once("): ").expect("a call comes first");
    // What follows tells of segments that other tests create and remove.
    let cause: String = cause.split_inclusive("; ").take(2).collect();
    says(line, &cause.replace("create(true)", "IPC_CREAT"));
}

#[test]
fn the_library_gives_the_same_explanation_with_names_of_its_own() {
    let test = Environment::new();
    let key = test.keys.writer_reader;
    let trace = |what| {
        let command = situation(&test, &[what], &[("SHMKEY_TRACE", "1")]);
        lines(&run_to_success(command).stderr)
    };
    expect_cause(&Segment::open(key).unwrap_err(), &trace("no-key")[1]);
    let of_ids = trace("no-id");
    for (id, line) in [(-1, &of_ids[0]), (0x7fff_fff1, &of_ids[1])] {
        expect_cause(&Segment::from_id(id).attach().unwrap_err(), line);
    }
}

#[test]
fn the_library_notes_a_key_in_the_place_of_an_id() {
    let test = Environment::new();
    let number = 0x4000_0000 | test.keys.writer_reader.as_raw() & 0xffff;
    let segment = create_segment(Key::from_raw(number), 1);
    let error = fails(Segment::from_id(number).remove(), ErrorKind::NoSuchSegment);
    let id = segment.id();
    segment.remove().unwrap();
    assert_eq!(error.errno(), libc::EINVAL);
    let expected = format!(
        "no segment has the id {number}: {number} is the key {number:#010x} of the segment with the id {id}"
    );
    says(&error.to_string(), &expected);
}
