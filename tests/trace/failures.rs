//! Every failure is provoked in earnest, and explained by the facts that were at hand.

use super::{
    expect, failed, id_in, lines, run_to_success, situation,
    support::{Environment, Process},
    trace_of,
};
use crate::needs;
use shmkey::{ErrorKind, Key, Segment};
use std::fs;

/// The lines of failures.
fn failures(words: &[&str]) -> Vec<String> {
    let all = trace_of(words);
    let failed = failed(&all);
    assert!(!failed.is_empty(), "{all:#?}");
    failed
}

#[test]
fn einval_a_segment_that_is_too_small() {
    let failed = failures(&["too-small"]);
    expect(
        &failed[0],
        &[
            "shmget(key 0x73",
            ", 1024 bytes, if mode 0600 is allowed) failed (",
            "µs): EINVAL: the segment with this key (id ",
            ") has 512 bytes, and 1024 were requested",
        ],
    );
}

#[test]
fn einval_sizes_that_cannot_be() {
    let failed = failures(&["bad-sizes"]);
    expect(
        &failed[0],
        &["0 bytes", "a segment of 0 bytes cannot be created"],
    );
    expect(&failed[1], &["looks like a negative number"]);
    expect(&failed[2], &["this system has no huge pages of 8 KiB"]);
}

#[test]
fn einval_a_size_beyond_the_limit() {
    needs!(NAMESPACES);
    let failed = failures(&["beyond-shmmax"]);
    expect(
        &failed[0],
        &[
            "8193 bytes",
            "kernel.shmmax allows a segment to have 8192 bytes",
        ],
    );
}

#[test]
fn einval_ids_and_addresses_that_are_none() {
    let failed = failures(&["no-id"]);
    expect(&failed[0], &["id -1", "what a failed shmget returns"]);
    expect(&failed[1], &["there is no segment with this id"]);
    expect(&failed[2], &["an id is never negative"]);
    expect(&failed[3], &["unknown command 77", "no such command"]);
    let failed = failures(&["bad-addresses"]);
    expect(&failed[0], &["is not a multiple of ", "the size of a page"]);
    expect(
        &failed[1],
        &["the addresses from 0x", " are mapped already"],
    );
    expect(&failed[2], &["SHM_REMAP needs an address"]);
    expect(&failed[3], &["which shmat returns on failure"]);
    expect(&failed[4], &["inside of an attachment of the segment "]);
    expect(&failed[5], &["EFAULT: the buffer's address is invalid"]);
    expect(&failed[6], &["no segment is attached at this address"]);
    expect(
        &failed[7],
        &["ftok(a path that cannot be read, project 1)", "EFAULT"],
    );
}

#[test]
fn einval_an_id_whose_place_is_taken() {
    needs!(NAMESPACES);
    for line in failures(&["place-taken"]) {
        expect(
            &line,
            &[
                "EINVAL",
                "the segment 32768 has its place in the kernel's table, so the segment with this \
                 id was destroyed",
            ],
        );
    }
}

#[test]
fn eexist() {
    let failed = failures(&["exists"]);
    expect(
        &failed[0],
        &[
            "create, only if there is none yet, mode 0600",
            "EEXIST: a segment with this key exists (id ",
        ],
    );
}

/// Nothing says that a segment is to be removed but where its users are named, and only then.
#[test]
fn eexist_and_einval_say_who_uses_the_segment() {
    let of = |words: &[&str]| -> Vec<String> {
        let failed = failures(words);
        failed
            .into_iter()
            .filter(|line| line.starts_with("shmget"))
            .collect()
    };
    for line in of(&["exists"]).iter().chain(&of(&["too-small"])) {
        expect(
            line,
            &[
                "; the segment ",
                " belongs to uid ",
                ", was created by this process and never attached; its creator may still need it",
            ],
        );
        assert!(!line.contains("ipcrm"), "{line}");
    }
    let in_use = of(&["exists-in-use"]);
    assert_eq!(in_use.len(), 2);
    for line in in_use {
        expect(
            &line,
            &[
                ", was created and last used by this process, and is attached once; it is in use, \
                 so end the programs",
            ],
        );
        assert!(!line.contains("ipcrm"), "{line}");
    }
    let orphaned = of(&["exists-orphaned"]);
    assert_eq!(orphaned.len(), 2);
    for line in orphaned {
        expect(
            &line,
            &[
                ", was created and last used by process ",
                " (dead), and no process has it attached; if its content is not needed, remove it \
                 (ipcrm -m ",
            ],
        );
    }
}

#[test]
fn einval_a_key_in_the_place_of_an_id() {
    let all = trace_of(&["keys-and-ids"]);
    let created: Vec<(&str, &str)> = all
        .iter()
        .filter(|line| line.contains(" = id "))
        .map(|line| (&line["shmget(key ".len()..][..10], id_in(line)))
        .collect();
    let [.., (plain, first), (negative, second), (digits, third)] = &created[..] else {
        panic!("{all:#?}");
    };
    let number = i32::from_str_radix(&plain[2..], 16).unwrap();
    let failed = failed(&all);
    let key = |number: i32, key: &str, id: &str| {
        format!(
            "EINVAL: no segment has the id {number}: {number} is the key {key} of the segment \
             with the id {id}"
        )
    };
    for line in &failed[..3] {
        expect(line, &[&key(number, plain, first)]);
    }
    expect(
        &failed[3],
        &["EINVAL: this number is the id of a segment; shmdt takes the address"],
    );
    expect(
        &failed[4],
        &[
            "ENOENT: there is no segment with this key",
            &format!("; {first} is the id of a segment: pass an id to shmat"),
        ],
    );
    expect(&failed[5], &[&key(-number, negative, second)]);
    let by_digits = format!(
        "the segment with the id {third} has the key {digits}, and {number} without 0x is another \
         number"
    );
    assert_eq!(
        *digits,
        format!(
            "{:#010x}",
            i64::from_str_radix(&number.to_string(), 16).unwrap()
        )
    );
    expect(&failed[6], &["EINVAL: no segment has the id ", &by_digits]);
    expect(
        &failed[7],
        &["ENOENT: there is no segment with this key", &by_digits],
    );
}

#[test]
fn a_mode_without_its_leading_0() {
    let all = trace_of(&["decimal-modes"]);
    let decimal =
        "the mode 0232 comes from the decimal number 666: write 0666 for an octal number in C";
    let none =
        "the mode 0000 comes from flags without permission bits; add them, as in IPC_CREAT | 0600";
    let created: Vec<&String> = all.iter().filter(|line| line.contains(" = id ")).collect();
    expect(
        created[0],
        &["create, mode 0232) = id ", &format!("; note: {decimal}")],
    );
    expect(
        created[1],
        &["create, mode 0000) = id ", &format!("; note: {none}")],
    );
    for line in &created[2..] {
        assert!(!line.contains("note"), "{line}");
    }
    let failed = failed(&all);
    expect(
        &failed[0],
        &["shmat", "EACCES", "has mode 0232", &format!("; {decimal}")],
    );
    expect(
        &failed[1],
        &["shmat", "EACCES", "has mode 0000", &format!("; {none}")],
    );
    expect(
        &failed[2],
        &[
            "shmget",
            "EACCES",
            "has mode 0400",
            "; the mode 0204 comes from the decimal number 644",
        ],
    );
}

#[test]
fn two_files_that_give_one_key() {
    let all = trace_of(&["one-key-of-two-files"]);
    let ftok: Vec<&String> = all.iter().filter(|line| line.starts_with("ftok")).collect();
    let path = |line: &str| line.split('"').nth(1).unwrap().to_owned();
    let (first, second) = (path(ftok[0]), path(ftok[2]));
    for line in [ftok[0], ftok[1], ftok[3]] {
        assert!(!line.contains("note"), "{line}");
    }
    let both = format!(
        "ftok(\"{second}\", project 77 ('M')) and ftok(\"{first}\", project 77 ('M')) give one \
         key, though the files differ"
    );
    expect(ftok[2], &["; note: ", &both]);
    let shmget: Vec<&String> = all
        .iter()
        .filter(|line| line.starts_with("shmget"))
        .collect();
    expect(shmget[0], &[" = id ", "; note: ", &both]);
    expect(shmget[1], &["EEXIST: ", &both]);
}

#[test]
fn enoent_of_a_file_that_was_replaced() {
    // Other programs' segments have keys of the same project, too, and the kernel lists them first.
    let test = Environment::new();
    let alike = Key::from_path(test.path().join("shmfile"), i32::from(b's')).unwrap();
    let _others = [1, 2].map(|inode| {
        Segment::options()
            .create(true)
            .size(10)
            .remove_on_drop(true)
            .open(Key::from_raw(alike.as_raw() ^ inode))
            .unwrap()
    });
    let all = trace_of(&["replaced"]);
    let key = |line: &String| {
        line.split_once(" = key ")
            .unwrap()
            .1
            .split(' ')
            .next()
            .unwrap()
            .to_owned()
    };
    let ftok: Vec<&String> = all.iter().filter(|line| line.starts_with("ftok")).collect();
    let (before, now) = (key(ftok[0]), key(ftok[1]));
    let old = all
        .iter()
        .find(|line| line.contains(" = id "))
        .map(|line| id_in(line))
        .unwrap();
    let failed = failed(&all);
    expect(
        &failed[0],
        &[
            "here ftok(\"shmfile\", project 115 ('s')) has made this key of a file that was \
             replaced since: it was inode ",
            &format!("is there now, which gives the key {now}"),
        ],
    );
    expect(
        ftok[1],
        &[&format!(
            "; note: the same call gave the key {before} before, and the file was replaced since: "
        )],
    );
    expect(
        &failed[1],
        &[&format!(
            "; the segment {old} has the key {before}: if ftok made both keys from one path, its \
             file was replaced"
        )],
    );
    expect(
        &failed[1],
        &[
            " segments whose keys differ from this one in these bits alone, it is one that this \
             process created",
        ],
    );
    expect(
        &failed[2],
        &["has made this key of a file that was deleted since"],
    );
}

/// Without the trace, too: by what the kernel knows.
#[test]
fn the_library_tells_of_a_file_that_was_replaced() {
    let test = Environment::new();
    // No other test has this project.
    let path = test.path().join("shmfile");
    let key = |path| Key::from_path(path, 0xee).unwrap();
    let before = Segment::options()
        .create(true)
        .size(10)
        .remove_on_drop(true)
        .open(key(&path))
        .unwrap();
    let old = key(&path);
    fs::write(test.path().join("another"), "").unwrap();
    fs::rename(test.path().join("another"), &path).unwrap();
    let new = key(&path);
    let said = Segment::open(new).unwrap_err().to_string();
    expect(
        &said,
        &[&format!(
            "; the segment {} has the key {old}: if ftok made both keys from one path, its file \
             was replaced after that segment was created (the low 16 bits of its inode number \
             were {:#06x} and are {:#06x} now)",
            before.id(),
            old.as_raw() & 0xffff,
            new.as_raw() & 0xffff
        )],
    );
    drop(before);
    let said = Segment::open(new).unwrap_err().to_string();
    assert!(!said.contains(&old.to_string()), "{said}");
}

/// The rest takes looks at other segments and processes, which would slow the program down each time.
#[test]
fn a_program_that_asks_again_and_again_is_told_the_rest_now_and_then() {
    let failed = failures(&["asks-again"]);
    let told = |line: &&String| line.contains("; the segment ");
    assert!(told(&&failed[0]), "{}", failed[0]);
    assert_eq!(failed.len(), 200);
    assert!(failed.iter().filter(told).count() <= 100);
    for line in failed {
        expect(
            &line,
            &["ENOENT: there is no segment with this key; start the program"],
        );
    }
}

#[test]
fn enoent_in_another_ipc_namespace() {
    needs!(NAMESPACES);
    let failed = failures(&["namespace-of-its-own"]);
    expect(
        &failed[0],
        &[
            "ENOENT",
            "; this process has another IPC namespace than process ",
        ],
    );
    let failed = failures(&["namespace-of-another"]);
    expect(
        &failed[0],
        &[
            "ENOENT",
            "; process 2 has another IPC namespace than this process, as in a container",
        ],
    );
}

#[test]
fn enoent() {
    let failed = failures(&["no-key"]);
    expect(
        &failed[0],
        &[
            "ENOENT: there is no segment with this key",
            "ftok(\"shmfile\", project 115 ('s')) has made this key",
        ],
    );
    expect(
        &failed[1],
        &["key 0x7b5a1234", "there is no segment with this key"],
    );
    assert!(!failed[1].contains("ftok"), "{}", failed[1]);
}

#[test]
fn enoent_the_key_of_a_failed_ftok() {
    needs!(NAMESPACES);
    let all = trace_of(&["key-of-failed-ftok"]);
    expect(&all[0], &["key 0xffffffff", "most likely a failed ftok"]);
    assert!(!all[0].contains("in this process"), "{}", all[0]);
    expect(
        &all[1],
        &[
            "ftok(\"no such directory/file\", project 65 ('A')) failed",
            "ENOENT: the file does not exist",
        ],
    );
    expect(
        &all[2],
        &[
            "most likely a failed ftok",
            "in this process ftok(\"no such directory/file\", project 65 ('A')) has failed with \
             ENOENT",
        ],
    );
    expect(
        &all[3],
        &["create, mode 0600) = id ", "; note: the key 0xffffffff"],
    );
}

#[test]
fn eacces_and_eperm_of_a_strangers_segment() {
    needs!(ROOT);
    let failed = failures(&["stranger"]);
    for line in &failed[..3] {
        expect(
            line,
            &[
                "EACCES",
                "belongs to uid 0 (root) and has mode 0600: uid 65534 (nobody), neither its owner \
                 nor in its group, may do nothing with it",
            ],
        );
    }
    expect(
        &failed[3],
        &[
            "remove) failed",
            "EPERM: only the owner (uid 0 (root))",
            "this process runs as uid 65534 (nobody)",
        ],
    );
}

/// A mode that allows it, or does not count, is not blamed.
#[test]
fn eacces_by_a_filter() {
    let failed = failures(&["filtered-access"]);
    expect(
        &failed[0],
        &["EACCES", "mode 0666, which allows ", "seccomp filter"],
    );
}

#[test]
fn eacces_and_eperm_of_root_by_a_filter() {
    needs!(ROOT);
    let failed = failures(&["filtered-root"]);
    expect(
        &failed[0],
        &[
            "EACCES",
            "mode 0600, which does not apply to uid 0 (root), who has CAP_IPC_OWNER",
            "seccomp filter",
        ],
    );
    expect(&failed[1], &["EPERM: a seccomp filter is installed"]);
}

#[test]
fn eacces_names_the_class_and_the_right() {
    needs!(ROOT);
    let failed = failures(&["classes"]);
    expect(
        &failed[0],
        &["as a member of its group 1234, may do nothing with it, and this call wants to read it"],
    );
    expect(
        &failed[1],
        &["who owns or created it, may do nothing with it"],
    );
    expect(
        &failed[2],
        &["may read and write it, and this call wants to read, write and execute it"],
    );
    expect(
        &failed[3],
        &["EPERM: only the owner", "(with CAP_IPC_LOCK)"],
    );
    expect(
        &failed[4],
        &[
            "EPERM: the address 0x10 is below 0x",
            "CAP_SYS_RAWIO",
            "(vm.mmap_min_addr)",
        ],
    );
}

#[test]
fn eacces_blames_no_mode_that_allows_it() {
    needs!(ROOT);
    let failed = failures(&["toggled"]);
    for line in &failed {
        assert!(
            line.contains("has mode 0600: uid 65534")
                || line.contains("has mode 0666, which allows"),
            "{line}"
        );
    }
}

#[test]
fn eacces_in_a_user_namespace() {
    needs!(NAMESPACES);
    let failed = failures(&["unknown-owner"]);
    let stranger = "a user that this namespace does not know (shown as uid 65534)";
    expect(
        &failed[0],
        &["EACCES", &format!("belongs to {stranger}"), ": uid 7"],
    );
    expect(
        &failed[1],
        &[
            "EPERM: only the owner",
            stranger,
            "this process runs as uid 7",
        ],
    );
}

#[test]
fn enomem_of_locking() {
    needs!(ROOT);
    let failed = failures(&["locked"]);
    expect(
        &failed[0],
        &[
            "ENOMEM: the segment's 2 MiB and the memory that uid 65534 (nobody) has locked",
            "exceed 3 MiB",
        ],
    );
}

#[test]
fn odd_arguments() {
    let failed = failures(&["odd-arguments"]);
    for (line, parts) in failed.iter().zip([
        &[
            "the addresses of a process end at 0x7ffffffff000, unless",
            "five levels",
        ][..],
        &[
            "the addresses of a process end at 0x",
            "the segment at 0xffff800000000000 would reach beyond",
        ],
        &["this address rounded down to a page is 0"],
        &["EFAULT: the buffer is NULL"],
        &[
            "EFAULT: the buffer's address is invalid, or this process may not write to the \
            memory there",
        ],
        &[
            "EFAULT: the buffer's address is invalid, or this process may not read the memory \
            there",
        ],
        &["no segment has the index 32000"],
        &["uid 4294967295 does not exist"],
        &["ENOENT: the path is empty"],
        &[
            "huge pages of 16 GiB, mode 0600) failed",
            "no huge pages of 16 GiB",
        ],
    ]) {
        expect(line, parts);
    }
    assert_eq!(failed.len(), 10);
}

#[test]
fn enospc() {
    needs!(NAMESPACES);
    let failed = failures(&["too-many"]);
    expect(
        &failed[0],
        &[
            "ENOSPC: 3 of 3 segments (kernel.shmmni) are in use; free space on the disk does not \
             matter; 1 of them is an orphan (no process has it attached, and its creator is dead; \
             shmkey list shows it): remove it",
        ],
    );
    let failed = failures(&["too-many-pages"]);
    expect(
        &failed[0],
        &[
            "ENOSPC: 3 of 5 pages of shared memory (kernel.shmall) are in use, and 3 more are too \
             many; free space on the disk does not matter; none is known to be an orphan",
        ],
    );
}

#[test]
fn eidrm() {
    needs!(NAMESPACES);
    let failed = failures(&["removed"]);
    assert!(
        failed
            .iter()
            .any(|line| line.contains("EIDRM: the segment was removed while the call was running")),
        "{failed:#?}"
    );
}

#[test]
fn enomem() {
    let failed = failures(&["address-space"]);
    expect(
        &failed[0],
        &[
            "ENOMEM: the segment's 64 MiB do not fit into the address space",
            "may have 32 MiB (RLIMIT_AS",
        ],
    );
    let failed = failures(&["huge-pages"]);
    expect(
        &failed[0],
        &[
            "huge pages of 2 MiB, mode 0600",
            "ENOMEM: the segment needs 2097152 huge pages of 2 MiB, and ",
        ],
    );
    // A machine that promises memory without limit does not fail.
    let test = Environment::new();
    let command = situation(&test, &["memory"], &[("SHMKEY_TRACE", "1")]);
    let ending = Process::run("trace", command, b"").unwrap();
    if ending.status.code() != Some(77) {
        expect(
            &lines(&ending.stderr)[0],
            &["ENOMEM: 65536 GiB were requested"],
        );
    }
}

#[test]
fn enosys_and_eperm_by_a_filter() {
    for (errno, name) in [(libc::ENOSYS, "ENOSYS"), (libc::EPERM, "EPERM")] {
        let mut all = trace_of(&["filtered", &errno.to_string()]);
        assert_eq!(
            all.pop().unwrap(),
            "ends; which segments it leaves behind is unknown"
        );
        assert_eq!(all.len(), 4, "{all:#?}");
        for line in all {
            expect(
                &line,
                &[name, ": a seccomp filter is installed for this process"],
            );
        }
    }
}

#[test]
fn nothing_is_guessed_when_nothing_can_be_read() {
    needs!(NAMESPACES);
    let failed = failures(&["blind"]);
    expect(
        &failed[0],
        &[
            "ENOSYS",
            "which of these is unknown, because /proc cannot be read",
        ],
    );
}

#[test]
fn nothing_is_guessed_when_a_record_cannot_be_read() {
    let failed = failures(&["half-blind"]);
    expect(&failed[0], &["EINVAL", "which of these is unknown"]);
    expect(&failed[1], &["EEXIST: a segment with this key existed"]);
    expect(&failed[2], &["EINVAL", "which of these is unknown"]);
}

/// The library's own errors say the same.
#[test]
fn the_library_gives_the_same_explanation() {
    let test = Environment::new();
    let key = test.keys.writer_reader;
    let cause = |error: shmkey::Error| {
        let text = error.to_string();
        text.split_once("): ")
            .expect("a call comes first")
            .1
            .to_owned()
    };
    // What follows tells of segments that other tests create and remove.
    let ours = cause(Segment::open(key).unwrap_err());
    let ours = ours.split_inclusive("; ").take(2).collect::<String>();
    let traced = run_to_success(situation(&test, &["no-key"], &[("SHMKEY_TRACE", "1")]));
    expect(&lines(&traced.stderr)[1], &[&ours]);

    let ours = cause(Segment::from_id(-1).attach().unwrap_err());
    let traced = run_to_success(situation(&test, &["no-id"], &[("SHMKEY_TRACE", "1")]));
    expect(&lines(&traced.stderr)[0], &[&ours]);

    let number = 0x4000_0000 | key.as_raw() & 0xffff;
    let segment = Segment::options()
        .create(true)
        .size(1)
        .remove_on_drop(true)
        .open(Key::from_raw(number))
        .unwrap();
    let error = Segment::from_id(number).remove().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSuchSegment);
    assert_eq!(error.errno(), libc::EINVAL);
    expect(
        &error.to_string(),
        &[&format!(
            "no segment has the id {number}: {number} is the key {number:#010x} of the segment \
             with the id {}",
            segment.id()
        )],
    );

    let ours = cause(Segment::from_id(0x7fff_fff1).attach().unwrap_err());
    expect(&lines(&traced.stderr)[1], &[&ours]);
}
