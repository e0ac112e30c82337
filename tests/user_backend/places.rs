//! The places of a namespace: full file systems, other file systems, a directory that is removed, and processes that
//! have changed their root directory or their user.

use crate::{
    namespace::*,
    needs,
    support::{Helper, fork_child, status_of, wait_for_line},
};
use shmkey_core::{
    backend, explain,
    sys::{self, Errno},
};
use std::{fs, os::unix::fs::symlink, path::Path, ptr};

tasks! {
    a_child_in_a_chroot_detaches_without_harm
    a_child_of_another_user_detaches_without_harm
    a_fork_in_a_chroot_shares_the_attachments
    a_last_detach_in_a_chroot_leaves_no_file
    a_directory_that_is_removed_is_made_again
    a_process_without_descriptors_gets_an_error
    a_process_without_address_space_gets_an_error
    a_small_limit_on_files_is_an_error_and_no_signal
    limits_are_read_from_a_file
    texts_name_the_directory_and_its_limits
    ;
    a_full_file_system_is_an_error
    another_file_system_works
    say_what_process_1_has_attached
    an_attachment_is_found
    say_why_nothing_is_created
}

fn directory() -> String {
    std::env::var("SHMKEY_DIR").unwrap()
}

fn a_child_in_a_chroot_detaches_without_harm() {
    needs!(ROOT);
    let id = private(100);
    let memory = attach(id);
    let child = fork_child(|| {
        change_root();
        assert!(get(5, 1, CREATE | 0o600).is_err());
        detach(memory);
        0
    });
    assert_eq!(status_of(child), 0);
    assert_eq!(nattch(id), 1);
}

fn change_root() {
    // SAFETY: the path is a C string.
    assert_eq!(unsafe { libc::chroot(c"/proc/self/fdinfo".as_ptr()) }, 0);
}

fn a_child_of_another_user_detaches_without_harm() {
    needs!(ROOT);
    let id = private(100);
    let memory = attach(id);
    let child = fork_child(|| {
        // SAFETY: changes the child's user.
        assert_eq!(unsafe { libc::setuid(65534) }, 0);
        let grandchild = fork_child(|| {
            detach(memory);
            0
        });
        assert_eq!(status_of(grandchild), 0);
        detach(memory);
        0
    });
    assert_eq!(status_of(child), 0);
    assert_eq!(nattch(id), 1);
}

fn a_fork_in_a_chroot_shares_the_attachments() {
    needs!(ROOT);
    let id = private(100);
    let child = fork_child(|| {
        let memory = attach(id);
        change_root();
        let grandchild = fork_and_pause(|| {});
        detach(memory);
        std::thread::sleep(std::time::Duration::from_millis(50));
        kill(grandchild);
        0
    });
    assert_eq!(status_of(child), 0);
    assert_eq!(nattch(id), 0);
    backend::remove(id).unwrap();
}

fn a_last_detach_in_a_chroot_leaves_no_file() {
    needs!(ROOT);
    let id = private(100);
    let child = fork_child(|| {
        let memory = attach(id);
        backend::remove(id).unwrap();
        change_root();
        detach(memory);
        0
    });
    assert_eq!(status_of(child), 0);
    // The child could not remove it.
    backend::remove(private(1)).unwrap();
    assert_eq!(files(directory().as_ref()), ["table"]);
}

fn a_directory_that_is_removed_is_made_again() {
    let id = get(7, 100, CREATE | 0o600).unwrap();
    let memory = attach(id);
    fs::remove_dir_all(directory()).unwrap();
    // A lookup trusts the last check of the directory for 4 ms.
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(fails(get(7, 0, 0)), libc::ENOENT);
    assert_eq!(fails(try_attach(id, 0)), libc::EINVAL);
    let other = get(7, 200, CREATE | 0o600).unwrap();
    assert_eq!(stat(other).shm_segsz, 200);
    // SAFETY: the segment's memory stays.
    unsafe { memory.write(1) };
    let again = attach(other);
    detach(memory);
    assert_eq!(nattch(other), 1);
    detach(again);
}

fn set_limit(resource: u32, limit: u64) {
    let mut limits = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel reads and writes one pair of limits.
    unsafe {
        assert_eq!(libc::getrlimit(resource, &mut limits), 0);
        limits.rlim_cur = limit;
        assert_eq!(libc::setrlimit(resource, &limits), 0);
    }
}

fn a_process_without_descriptors_gets_an_error() {
    let id = private(100);
    let memory = attach(id);
    crate::support::directory(); // while there are descriptors, which it needs
    set_limit(libc::RLIMIT_NOFILE, 0);
    assert_eq!(fails(try_attach(id, 0)), libc::EMFILE);
    assert_eq!(fails(get(5, 1, CREATE | 0o600)), libc::EMFILE);
    // The child shares the attachment, because the fork cannot open the segment's file.
    let child = fork_child(|| {
        detach(memory);
        0
    });
    assert_eq!(status_of(child), 0);
    set_limit(libc::RLIMIT_NOFILE, 100);
    assert_eq!(nattch(id), 1);
    detach(memory);
    assert_eq!(nattch(id), 0);
}

fn a_process_without_address_space_gets_an_error() {
    let id = private(64 << 20);
    set_limit(libc::RLIMIT_AS, 32 << 20);
    assert_eq!(fails(try_attach(id, 0)), libc::ENOMEM);
    set_limit(libc::RLIMIT_AS, libc::RLIM_INFINITY);
    assert_eq!(nattch(id), 0);
    assert_eq!(stat(id).shm_lpid, 0);
}

fn a_small_limit_on_files_is_an_error_and_no_signal() {
    private(1);
    set_limit(libc::RLIMIT_FSIZE, 1 << 20);
    private(1 << 20);
    assert_eq!(fails(get(5, (1 << 20) + 1, CREATE | 0o600)), libc::ENOMEM);
    assert_eq!(backend::usage().unwrap().1.used_ids, 2);
}

fn limits_are_read_from_a_file() {
    fs::write(
        format!("{}/limits", directory()),
        "shmmni 2\nshmmax 8192\nshmall 3\n",
    )
    .unwrap();
    let limits = backend::limits().unwrap();
    assert_eq!((limits.shmmni, limits.shmmax, limits.shmall), (2, 8192, 3));
    assert_eq!(fails(get(5, 8193, CREATE | 0o600)), libc::EINVAL);
    let id = private(8192);
    assert_eq!(fails(get(5, 8192, CREATE | 0o600)), libc::ENOSPC);
    private(1);
    assert_eq!(fails(get(5, 1, CREATE | 0o600)), libc::ENOSPC);
    backend::remove(id).unwrap();
    private(1);
}

fn texts_name_the_directory_and_its_limits() {
    let why = |size, errno| {
        let call = explain::Call::Get {
            key: 5,
            size,
            flags: CREATE,
        };
        explain::why(call, Errno(errno))
            .text(&explain::names::SYSTEM_V)
            .to_string()
    };
    fs::write(format!("{}/limits", directory()), "shmmni 1\n").unwrap();
    let id = private(1);
    let text = why(1, libc::ENOSPC);
    assert!(
        text.starts_with("1 of 1 segment (shmmni of the file limits in"),
        "{text}"
    );
    backend::remove(id).unwrap();
    let text = why(1, libc::ENOSPC);
    assert!(
        text.contains("too little free space") && text.contains(&directory()),
        "{text}"
    );
    let text = explain::Removal { id, in_use: false }.to_string();
    assert!(!text.contains("ipcrm"), "{text}");
}

const SMALL: &str = "mount -t tmpfs -o size=2m,mode=700 none \"$SHMKEY_TEST_NAME\" && exec \"$@\"";

#[test]
fn a_full_file_system_is_an_error_and_never_a_signal() {
    needs!(NAMESPACES);
    let test = Namespace::new();
    let mount = ["unshare", "--mount", "sh", "-c", SMALL, "sh"];
    test.run_within(&mount, "a_full_file_system_is_an_error");
}

/// Fills a file system of 2 MiB.
fn a_full_file_system_is_an_error() {
    // The kernel also returns ENOMEM for a segment that is larger than the memory.
    assert_eq!(fails(get(5, 4 << 20, CREATE | 0o600)), libc::ENOMEM);
    assert_eq!(fails(get(5, 0, 0)), libc::ENOENT);
    let mut ids = Vec::new();
    let full = loop {
        match get(libc::IPC_PRIVATE, 64 << 10, 0o600) {
            Ok(id) => ids.push(id),
            Err(errno) => break errno,
        }
    };
    assert_eq!(full, Errno(libc::ENOSPC));
    assert!(ids.len() >= 20, "{}", ids.len());
    while get(libc::IPC_PRIVATE, 1, 0o600).is_ok() {}
    for &id in &ids {
        // The records of the first attachments got their space with the first segment.
        let memory = attach(id);
        // SAFETY: the segment is attached, and has that many bytes.
        unsafe { ptr::write_bytes(memory, 1, 64 << 10) };
        detach(memory);
        backend::remove(id).unwrap();
    }
    let id = private(1 << 20);
    // SAFETY: as above.
    unsafe { ptr::write_bytes(attach(id), 1, 1 << 20) };
}

#[test]
fn a_full_file_system_without_a_table_is_an_error() {
    needs!(NAMESPACES);
    let test = Namespace::new();
    let full = SMALL.replace("size=2m", "size=16k");
    let mount = ["unshare", "--mount", "sh", "-c", &full, "sh"];
    test.run_within(&mount, "another_file_system_works");
}

/// Uses a namespace on any file system. If that is too small for a table, expects ENOMEM.
fn another_file_system_works() {
    let id = match get(5, 100_000, CREATE | 0o600) {
        Ok(id) => id,
        Err(errno) => return assert_eq!(errno, Errno(libc::ENOMEM)),
    };
    let memory = attach(id);
    let child = fork_and_pause(|| {});
    assert_eq!(nattch(id), 2);
    kill(child);
    assert_eq!(nattch(id), 1);
    let child = fork_and_pause(|| detach(memory));
    wait_until("the child detaches", || nattch(id) == 1);
    kill(child);
    backend::remove(id).unwrap();
    assert_eq!(nattch(id), 1);
    detach(memory);
    assert_eq!(fails(backend::stat(id)), libc::EINVAL);
    assert_eq!(files(directory().as_ref()), ["table"]);
}

#[test]
fn a_disk_works() {
    Namespace::within("/var/tmp").run("another_file_system_works");
}

#[test]
fn overlayfs_works() {
    needs!(NAMESPACES);
    // On overlayfs, the locks are on `/dev/zero`.
    let mount = "mount -t tmpfs none /mnt && mkdir /mnt/l /mnt/u /mnt/w && \
                 mount -t overlay -o lowerdir=/mnt/l,upperdir=/mnt/u,workdir=/mnt/w none \
                 \"$SHMKEY_TEST_NAME\" && exec \"$@\"";
    let within = ["unshare", "--mount", "sh", "-c", mount, "sh"];
    for task in [
        "another_file_system_works",
        "what_is_left_of_an_attachment_behind_its_replaced_start_is_detached",
    ] {
        Namespace::new().run_within(&within, task);
    }
}

/// Prints the status of a segment, as process 1 of a PID namespace.
fn say_what_process_1_has_attached() {
    assert_eq!(process_id(), 1);
    let id = get(7, 100, CREATE | 0o600).unwrap();
    attach(id);
    let record = stat(id);
    println!("\nattached {} {}", record.shm_nattch, record.shm_lpid);
    wait_for_line();
}

#[test]
fn two_processes_with_the_id_1_are_distinguished() {
    needs!(NAMESPACES);
    let test = Namespace::new();
    let within = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let mut one = test.start_within(&within, "say_what_process_1_has_attached");
    assert_eq!(one.line_after("attached "), "1 1");
    let mut other = test.start_within(&within, "say_what_process_1_has_attached");
    assert_eq!(other.line_after("attached "), "2 1");
    one.kill();
    let mut third = test.start_within(&within, "say_what_process_1_has_attached");
    wait_until("the first has ended", || {
        !one.child.try_wait().is_ok_and(|ended| ended.is_none())
    });
    assert!(third.line_after("attached ").ends_with(" 1"));
}

/// Runs a task in a directory that is named so.
fn start_in(directory: &str, task: &str) -> Helper {
    let directory = format!("SHMKEY_DIR={directory}");
    Helper::start(&["env", "SHMKEY_BACKEND=user", &directory], task, "")
}

fn an_attachment_is_found() {
    let id = private(100);
    let memory = attach(id);
    let found = sys::attached_at(memory as usize).unwrap();
    assert_eq!(found.map(|mapping| mapping.id), Some(id));
    detach(memory);
}

#[test]
fn an_attachment_is_found_however_its_directory_is_named() {
    let test = Namespace::new();
    let parent = test.path().display();
    fs::create_dir(test.path().join("d")).unwrap();
    symlink(test.path(), test.path().join("link")).unwrap();
    for name in ["d", "d/", "d//", "./d", "d/.", "d/../d", "link/d"] {
        start_in(&format!("{parent}/{name}"), "an_attachment_is_found").finish();
    }
}

#[test]
fn a_slash_behind_a_symbolic_link_does_not_make_it_a_directory() {
    let test = Namespace::new();
    fs::create_dir(test.path().join("d")).unwrap();
    symlink("d", test.path().join("link")).unwrap();
    let link = format!("{}/link/", test.path().display());
    let why = start_in(&link, "say_why_nothing_is_created").line_after("why ");
    assert!(why.contains("symbolic link"), "{why}");
    assert!(files(&test.path().join("d")).is_empty());
}

fn say_why_nothing_is_created() {
    let errno = get(5, 100, CREATE | 0o600).unwrap_err();
    let call = explain::Call::Get {
        key: 5,
        size: 100,
        flags: CREATE,
    };
    let why = explain::why(call, errno);
    println!("\nwhy {} {}", errno.0, why.text(&explain::names::SYSTEM_V));
}

#[test]
fn a_relative_directory_is_refused_and_explained() {
    let why = start_in("here", "say_why_nothing_is_created").line_after("why ");
    assert!(why.starts_with(&format!("{} ", libc::EINVAL)), "{why}");
    assert!(why.contains("SHMKEY_DIR is not an absolute path"), "{why}");
    assert!(!Path::new("here").exists());
}
