//! A directory that several users share: file permissions keep them apart.

use crate::{
    namespace::*,
    needs,
    support::{fork_child, status_of},
};
use shmkey_core::{
    backend::{self, SHM_DEST},
    sys::Errno,
};
use std::{
    fs::{self, File, OpenOptions},
    io::ErrorKind,
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    ptr,
};

tasks! {
    two_users_find_and_attach_each_others_segments
    only_its_creator_removes_a_segment
    file_permissions_keep_other_users_out
    a_user_outside_of_the_group_cannot_enter
    what_another_user_has_detached_last_its_creator_collects
    a_child_keeps_what_it_shares_inside_what_it_has_attached_anew
    an_entry_with_another_owner_than_its_file_is_refused
    what_root_gives_away_is_attached_by_its_new_owner
    an_owner_that_the_user_namespace_does_not_know_is_refused
    a_segment_whose_file_was_removed_has_no_owner_to_set
    a_umask_that_excludes_the_owner_has_no_effect
}

/// Two users, and the groups that they are in.
const ONE: u32 = 1001;
const OTHER: u32 = 1002;

fn directory() -> PathBuf {
    std::env::var_os("SHMKEY_DIR").unwrap().into()
}

/// Lets other users make files in the directory.
fn share(mode: u32) {
    fs::set_permissions(directory(), fs::Permissions::from_mode(mode)).unwrap();
}

fn become_user(user: u32) {
    // SAFETY: changes this process, which has one thread.
    unsafe {
        assert_eq!(libc::setgroups(0, ptr::null()), 0);
        assert_eq!(libc::setgid(user), 0);
        assert_eq!(libc::setuid(user), 0);
    }
}

/// Has a child do something as a user, to its end.
#[track_caller]
fn as_user(user: u32, act: impl FnOnce()) {
    let child = fork_child(|| {
        become_user(user);
        act();
        0
    });
    assert_eq!(status_of(child), 0);
}

fn two_users_find_and_attach_each_others_segments() {
    needs!(ROOT);
    share(0o1777);
    // SAFETY: the segments are attached where these bytes are read and written.
    as_user(ONE, || unsafe {
        attach(get(7, 100, CREATE | 0o666).unwrap()).write(1);
    });
    as_user(OTHER, || {
        let id = get(7, 100, 0o600).unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { attach(id).read() }, 1);
        assert_eq!((stat(id).shm_perm.cuid, nattch(id)), (ONE, 1));
        get(8, 100, CREATE | 0o666).unwrap();
    });
    as_user(ONE, || {
        detach(attach(get(8, 100, 0o600).unwrap()));
        assert_eq!(backend::usage().unwrap().1.used_ids, 2);
    });
    let table = fs::metadata(directory().join("table")).unwrap();
    assert_eq!((table.uid(), table.mode() & 0o777), (ONE, 0o666));
}

fn only_its_creator_removes_a_segment() {
    needs!(ROOT);
    share(0o1777);
    as_user(ONE, || _ = get(7, 100, CREATE | 0o666).unwrap());
    let file = directory().join("s.0");
    as_user(OTHER, || {
        let id = get(7, 100, 0o600).unwrap();
        assert_eq!(fails(backend::remove(id)), libc::EPERM);
        let refused = fs::remove_file(&file).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
        assert!(fs::rename(&file, directory().join("s.9")).is_err());
    });
    as_user(ONE, || backend::remove(get(7, 100, 0).unwrap()).unwrap());
    assert_eq!(files(&directory()), ["table"]);
}

fn file_permissions_keep_other_users_out() {
    needs!(ROOT);
    share(0o1777);
    as_user(ONE, || _ = get(7, 100, CREATE | 0o600).unwrap());
    as_user(ONE, || _ = get(8, 100, CREATE | 0o644).unwrap());
    as_user(OTHER, || {
        let may_open = |id, is_written| {
            let file = directory().join(format!("s.{id}"));
            let opened = OpenOptions::new().read(true).write(is_written).open(file);
            opened.map_err(|error| assert_eq!(error.kind(), ErrorKind::PermissionDenied))
        };
        assert!(may_open(0, false).is_err() && may_open(0, true).is_err());
        assert!(may_open(1, false).is_ok() && may_open(1, true).is_err());
        assert_eq!(fails(get(7, 100, 0o600)), libc::EACCES);
        assert_eq!(fails(try_attach(0, 0)), libc::EACCES);
        assert_eq!(fails(backend::stat(0)), libc::EACCES);
        assert_eq!(fails(try_attach(1, 0)), libc::EACCES);
        detach(try_attach(1, libc::SHM_RDONLY).unwrap());
    });
}

fn a_user_outside_of_the_group_cannot_enter() {
    needs!(ROOT);
    chown(directory(), None, Some(ONE)).unwrap();
    share(0o1770);
    as_user(ONE, || detach(attach(get(7, 100, CREATE | 0o666).unwrap())));
    as_user(OTHER, || {
        assert_eq!(fails(get(7, 100, 0)), libc::EACCES);
        assert_eq!(fails(try_attach(0, 0)), libc::EACCES);
        assert!(File::open(directory().join("table")).is_err());
    });
    let table = fs::metadata(directory().join("table")).unwrap();
    assert_eq!((table.gid(), table.mode() & 0o777), (ONE, 0o660));
}

fn what_another_user_has_detached_last_its_creator_collects() {
    needs!(ROOT);
    share(0o1777);
    let one = fork_and_pause(|| {
        become_user(ONE);
        attach(get(7, 100, CREATE | 0o666).unwrap());
        backend::remove(0).unwrap();
    });
    wait_until("it is removed", || {
        backend::stat(0).is_ok_and(|record| u32::from(record.shm_perm.mode) & SHM_DEST != 0)
    });
    let other = fork_child(|| {
        become_user(OTHER);
        let memory = attach(0);
        wait_until("the creator has died", || nattch(0) == 1);
        detach(memory);
        assert_eq!(fails(backend::stat(0)), libc::EINVAL);
        0
    });
    wait_until("both have attached it", || nattch(0) == 2);
    kill(one);
    assert_eq!(status_of(other), 0);
    // Only the file's owner and root may remove it.
    let is_there = || Path::exists(&directory().join("s.0"));
    assert!(is_there());
    as_user(ONE, || _ = private(1));
    assert!(!is_there());
}

fn a_child_keeps_what_it_shares_inside_what_it_has_attached_anew() {
    needs!(ROOT);
    share(0o1777);
    let page = shmkey_core::sys::page_size();
    let large = get(7, 4 * page, CREATE | 0o666).unwrap();
    let outer = attach(large);
    let within = outer.wrapping_add(2 * page);
    // SAFETY: no code uses these bytes of the larger segment.
    let inner = unsafe { backend::attach(private(page), within.cast(), libc::SHM_REMAP) };
    assert_eq!(inner, Ok(within.cast()));
    // SAFETY: the smaller segment is attached there.
    unsafe { within.write(5) };
    as_user(ONE, || {
        // This user can open the file of the larger segment only.
        let child = fork_child(|| {
            // SAFETY: as above; it is mapped, or the test ends here.
            assert_eq!(unsafe { within.read() }, 5);
            detach(outer);
            // SAFETY: as above.
            assert_eq!(unsafe { within.read() }, 5);
            0
        });
        assert_eq!(status_of(child), 0);
        assert_eq!(nattch(large), 2);
    });
    assert_eq!(nattch(large), 1);
}

fn an_entry_with_another_owner_than_its_file_is_refused() {
    needs!(ROOT);
    share(0o1777);
    as_user(ONE, || {
        let memory = attach(get(7, 100, CREATE | 0o666).unwrap());
        let table = directory().join("table");
        let table = OpenOptions::new().write(true).open(table).unwrap();
        // The owner and the creator in the first entry.
        for offset in [36, 44] {
            let at = (192 << 10) + offset;
            table.write_all_at(&OTHER.to_ne_bytes(), at).unwrap();
        }
        detach(memory);
    });
    as_user(OTHER, || {
        let id = get(7, 100, 0o600).unwrap();
        assert_eq!(stat(id).shm_perm.uid, ONE);
        assert_eq!(fails(try_attach(id, 0)), libc::EIDRM);
        fs::metadata(directory().join("s.0")).unwrap();
    });
}

fn set(id: i32, mut record: libc::shmid_ds) -> Result<i32, Errno> {
    // SAFETY: the command reads such a record.
    unsafe { backend::control(id, libc::IPC_SET, (&raw mut record).cast()) }
}

/// Gives a segment to a user and the group with the same number.
fn give(id: i32, user: u32) -> Result<i32, Errno> {
    let mut record = stat(id);
    (record.shm_perm.uid, record.shm_perm.gid) = (user, user);
    set(id, record)
}

fn what_root_gives_away_is_attached_by_its_new_owner() {
    needs!(ROOT);
    share(0o1777);
    let id = get(7, 100, CREATE | 0o600).unwrap();
    assert_eq!(give(id, ONE), Ok(0));
    for user in [ONE, 0] {
        as_user(user, || {
            assert_eq!(stat(id).shm_perm.uid, ONE);
            detach(attach(id));
        });
    }
}

fn an_owner_that_the_user_namespace_does_not_know_is_refused() {
    needs!(ROOT);
    share(0o1777);
    let id = get(7, 100, CREATE | 0o600).unwrap();
    let child = fork_child(|| {
        // SAFETY: this process has one thread. In the new namespace, it knows no user.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWUSER) }, 0);
        // SAFETY: takes nothing.
        let me = unsafe { libc::geteuid() };
        assert_eq!(fails(give(id, me)), libc::EINVAL);
        0
    });
    assert_eq!(status_of(child), 0);
    detach(attach(id));
}

fn a_segment_whose_file_was_removed_has_no_owner_to_set() {
    needs!(ROOT);
    share(0o1777);
    let id = get(7, 100, CREATE | 0o600).unwrap();
    let keeps_it = attach(id);
    let record = stat(id);
    fs::remove_file(directory().join(format!("s.{id}"))).unwrap();
    assert_eq!(fails(set(id, record)), libc::EIDRM);
    detach(keeps_it);
}

fn a_umask_that_excludes_the_owner_has_no_effect() {
    needs!(ROOT);
    share(0o1777);
    for mask in [0o777, 0o700, 0o400, 0o200, 0o100] {
        let private = directory().join(format!("{mask:o}"));
        let use_it = |mask| {
            // SAFETY: this process has one thread.
            unsafe {
                libc::umask(mask);
                std::env::set_var("SHMKEY_DIR", &private);
            }
            let id = get(7, 100, CREATE | 0o600).unwrap();
            let memory = attach(id);
            let child = fork_and_pause(|| {});
            assert_eq!(nattch(id), 2);
            kill(child);
            detach(memory);
        };
        as_user(ONE, || use_it(mask));
        as_user(ONE, || use_it(0o22));
    }
}
