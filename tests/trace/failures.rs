//! Every failure is provoked in earnest, and explained by the facts that were at hand.

use super::{
    expect, failed, lines, play, situation,
    stage::{Process, Sandbox},
    trace_of,
};
use shmkey::Segment;

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
            "µs): EINVAL: the segment under this key (id ",
            ") has 512 bytes, and 1024 were asked for",
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
#[ignore = "needs root, for an IPC namespace with limits of its own"]
fn einval_a_size_beyond_the_limit() {
    let failed = failures(&["beyond-shmmax"]);
    expect(
        &failed[0],
        &["8193 bytes", "kernel.shmmax allows has 8192 bytes"],
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
    expect(&failed[1], &["something is mapped there already, from 0x"]);
    expect(&failed[2], &["(SHM_REMAP) needs an address"]);
    expect(&failed[3], &["what a failed shmat returns"]);
    expect(&failed[4], &["inside of an attachment of the segment "]);
    expect(&failed[5], &["EFAULT: the buffer's address leads nowhere"]);
    expect(&failed[6], &["no segment is attached at this address"]);
    expect(
        &failed[7],
        &["ftok(a path that cannot be read, project 1)", "EFAULT"],
    );
}

#[test]
#[ignore = "needs root, for an IPC namespace of its own"]
fn einval_an_id_whose_place_is_taken() {
    for line in failures(&["place-taken"]) {
        expect(
            &line,
            &[
                "EINVAL",
                "the segment 32768 has its place, so the one with this id was removed",
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
#[ignore = "needs root, for an IPC namespace of its own"]
fn enoent_the_key_of_a_failed_ftok() {
    let all = trace_of(&["key-of-failed-ftok"]);
    expect(&all[0], &["key 0xffffffff", "most likely a failed ftok"]);
    assert!(!all[0].contains("in this process"), "{}", all[0]);
    expect(
        &all[1],
        &[
            "ftok(\"no such directory/file\", project 65 ('A')) failed",
            "ENOENT: there is no such file",
        ],
    );
    expect(
        &all[2],
        &[
            "most likely a failed ftok",
            "in this process ftok(\"no such directory/file\", project 65 ('A')) has failed with ENOENT",
        ],
    );
    expect(
        &all[3],
        &["create, mode 0600) = id ", "; note: the key 0xffffffff"],
    );
}

#[test]
#[ignore = "needs root, to become another user"]
fn eacces_and_eperm_of_a_strangers_segment() {
    let failed = failures(&["stranger"]);
    for line in &failed[..3] {
        expect(
            line,
            &[
                "EACCES",
                "belongs to uid 0 (root) and has mode 0600: uid 65534 (nobody), neither its owner nor in its group, may do nothing with it",
            ],
        );
    }
    expect(
        &failed[3],
        &[
            "remove) failed",
            "EPERM: only the owner (uid 0 (root))",
            "this is uid 65534 (nobody)",
        ],
    );
}

/// A mode that allows it, or does not count, is not blamed.
#[test]
fn eacces_by_a_filter() {
    let failed = failures(&["filtered-access"]);
    expect(
        &failed[0],
        &["EACCES", "mode 0666, which now allows ", "seccomp filter"],
    );
}

#[test]
#[ignore = "needs root, whom no mode keeps out"]
fn eacces_and_eperm_of_root_by_a_filter() {
    let failed = failures(&["filtered-root"]);
    expect(
        &failed[0],
        &[
            "EACCES",
            "mode 0600, which does not count for uid 0 (root), who has CAP_IPC_OWNER",
            "seccomp filter",
        ],
    );
    expect(&failed[1], &["EPERM: a seccomp filter is installed"]);
}

#[test]
#[ignore = "needs root, to become another user in another group"]
fn eacces_names_the_class_and_the_right() {
    let failed = failures(&["classes"]);
    expect(
        &failed[0],
        &["as a member of its group 1234, may do nothing with it, and this call asks to read it"],
    );
    expect(
        &failed[1],
        &["who owns or created it, may do nothing with it"],
    );
    expect(
        &failed[2],
        &["may read and write it, and this call asks to read, write and execute it"],
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
#[ignore = "needs root, to become another user"]
fn eacces_blames_no_mode_that_allows_it() {
    let failed = failures(&["toggled"]);
    for line in &failed {
        assert!(
            line.contains("has mode 0600: uid 65534")
                || line.contains("has mode 0666, which now allows"),
            "{line}"
        );
    }
}

#[test]
#[ignore = "needs root, to make a segment of a user whom a namespace does not know"]
fn eacces_in_a_user_namespace() {
    let failed = failures(&["unknown-owner"]);
    let stranger = "a user that this namespace does not know (shown as uid 65534)";
    expect(
        &failed[0],
        &["EACCES", &format!("belongs to {stranger}"), ": uid 7"],
    );
    expect(
        &failed[1],
        &["EPERM: only the owner", stranger, "this is uid 7"],
    );
}

#[test]
#[ignore = "needs root, to become a user who may lock little"]
fn enomem_of_locking() {
    let failed = failures(&["locked"]);
    expect(
        &failed[0],
        &[
            "ENOMEM: the segment's 2 MiB, with what uid 65534 (nobody) has locked already",
            "more than 3 MiB",
        ],
    );
}

#[test]
fn odd_arguments() {
    let failed = failures(&["odd-arguments"]);
    for (line, parts) in failed.iter().zip([
        &["the addresses of a process end at 0x7ffffffff000, unless", "five levels"][..],
        &["the addresses of a process end at 0x", "the segment at 0xffff800000000000 would not"],
        &["rounded down to a page, this address is 0"],
        &["EFAULT: the buffer is NULL"],
        &["EFAULT: the buffer's address leads nowhere, or to memory that this process may not write"],
        &["EFAULT: the buffer's address leads nowhere, or to memory that this process may not read"],
        &["no segment has the index 32000"],
        &["uid 4294967295 is no user"],
        &["ENOENT: the path is empty"],
        &["huge pages of 16 GiB, mode 0600) failed", "no huge pages of 16 GiB"],
    ]) {
        expect(line, parts);
    }
    assert_eq!(failed.len(), 10);
}

#[test]
#[ignore = "needs root, for an IPC namespace with limits of its own"]
fn enospc() {
    let failed = failures(&["too-many"]);
    expect(
        &failed[0],
        &["ENOSPC: 3 of 3 segments (kernel.shmmni) are in use; this is not about the disk"],
    );
    let failed = failures(&["too-many-pages"]);
    expect(
        &failed[0],
        &[
            "ENOSPC: 3 of 5 pages of shared memory (kernel.shmall) are in use, and 3 more are too many",
        ],
    );
}

#[test]
#[ignore = "needs root, for an IPC namespace of its own"]
fn eidrm() {
    let failed = failures(&["removed"]);
    assert!(
        failed.iter().any(|line| line.contains(
            "EIDRM: the segment was removed at this very moment, while the call was under way"
        )),
        "{failed:#?}"
    );
}

#[test]
fn enomem() {
    let failed = failures(&["address-space"]);
    expect(
        &failed[0],
        &[
            "ENOMEM: this process may have 32 MiB of addresses (RLIMIT_AS",
            "the segment's 64 MiB do not fit",
        ],
    );
    let failed = failures(&["huge-pages"]);
    expect(
        &failed[0],
        &[
            "huge pages of 2 MiB, mode 0600",
            "ENOMEM: huge pages of 2 MiB: 2097152 needed, ",
        ],
    );
    // A machine that promises memory without limit does not fail.
    let sandbox = Sandbox::new().unwrap();
    let command = situation(&sandbox, &["memory"], &[("SHMKEY_TRACE", "1")]);
    let ending = Process::run("trace", command, b"").unwrap();
    if ending.status.code() != Some(77) {
        expect(
            &lines(&ending.stderr)[0],
            &["ENOMEM: 65536 GiB were asked for"],
        );
    }
}

#[test]
fn enosys_and_eperm_by_a_filter() {
    for (errno, name) in [(libc::ENOSYS, "ENOSYS"), (libc::EPERM, "EPERM")] {
        let mut all = trace_of(&["filtered", &errno.to_string()]);
        assert_eq!(
            all.pop().unwrap(),
            "ends; what it leaves behind cannot be told"
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
#[ignore = "needs root, to do without /proc"]
fn nothing_is_guessed_when_nothing_can_be_read() {
    let failed = failures(&["blind"]);
    expect(
        &failed[0],
        &[
            "ENOSYS",
            "which of these cannot be told, because /proc cannot be read",
        ],
    );
}

#[test]
fn nothing_is_guessed_when_a_record_cannot_be_read() {
    let failed = failures(&["half-blind"]);
    expect(&failed[0], &["EINVAL", "which of these cannot be told"]);
    expect(&failed[1], &["EEXIST: a segment with this key existed"]);
    expect(&failed[2], &["EINVAL", "which of these cannot be told"]);
}

/// The library's own errors say the same.
#[test]
fn the_library_gives_the_same_explanation() {
    let sandbox = Sandbox::new().unwrap();
    let key = sandbox.keys.writer_reader;
    let cause = |error: shmkey::Error| {
        let text = error.to_string();
        text.split_once("): ")
            .expect("a call comes first")
            .1
            .to_owned()
    };
    let ours = cause(Segment::open(key).unwrap_err());
    let traced = play(situation(&sandbox, &["no-key"], &[("SHMKEY_TRACE", "1")]));
    expect(&lines(&traced.stderr)[1], &[&ours]);

    let ours = cause(Segment::from_id(-1).attach().unwrap_err());
    let traced = play(situation(&sandbox, &["no-id"], &[("SHMKEY_TRACE", "1")]));
    expect(&lines(&traced.stderr)[0], &[&ours]);

    let ours = cause(Segment::from_id(0x7fff_fff1).attach().unwrap_err());
    expect(&lines(&traced.stderr)[1], &[&ours]);
}
