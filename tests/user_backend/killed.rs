//! A process is killed before and after each of its system calls. The namespace stays usable, and other processes
//! remove what the dead one has left.

use crate::namespace::*;
use shmkey_core::backend;
use std::{ptr, time::Instant};

tasks! {
    a_process_killed_while_it_creates_leaves_nothing
    a_process_killed_while_it_attaches_leaves_nothing
    a_process_killed_while_it_detaches_leaves_nothing
    a_process_killed_while_it_removes_leaves_nothing
    a_process_killed_while_it_changes_the_owner_leaves_nothing
    a_process_killed_while_it_forks_leaves_nothing
    a_process_killed_at_its_first_call_leaves_nothing
}

/// Runs a child up to its n-th stop at a system call, and kills it there. Returns false if it has ended before that.
pub fn kill_at(n: usize, act: &dyn Fn()) -> bool {
    // SAFETY: no other thread of this process holds a lock that the child needs.
    let child = unsafe { libc::fork() };
    if child == 0 {
        crate::support::stop_for_tracer();
        act();
        // SAFETY: the child ends without running exit handlers of the parent.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    for _ in 0..=n {
        // SAFETY: this process has made the child, and this thread traces it.
        unsafe {
            libc::waitpid(child, &mut status, 0);
            if libc::WIFSTOPPED(status) {
                libc::ptrace(
                    libc::PTRACE_SYSCALL,
                    child,
                    ptr::null_mut::<libc::c_void>(),
                    0,
                );
            }
        }
        if !libc::WIFSTOPPED(status) {
            assert!(
                libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
                "{status:x}"
            );
            return false;
        }
    }
    // SAFETY: as above.
    unsafe {
        libc::waitpid(child, &mut status, 0);
        libc::kill(child, libc::SIGKILL);
        if libc::WIFSTOPPED(status) {
            libc::waitpid(child, &mut status, 0);
        }
    }
    !libc::WIFEXITED(status)
}

/// Kills a child at each of its system calls in turn, and calls `check` after each.
fn at_each_call(act: impl Fn(), check: impl Fn(usize)) {
    let mut n = 0;
    while kill_at(n, &act) {
        let start = Instant::now();
        check(n);
        assert!(start.elapsed().as_secs() < 4, "a hang after stop {n}");
        n += 1;
        assert!(n < 1000, "it never ends");
    }
    println!("killed at {n} stops");
    assert!(n > 10, "{n}");
    check(n);
}

/// Checks that a segment can be created, attached and removed, and that only the table and the files of `others` are
/// left.
fn is_usable(others: &[String]) {
    let id = get(99, 5000, CREATE | libc::IPC_EXCL | 0o600).unwrap();
    let memory = attach(id);
    assert_eq!(nattch(id), 1);
    // SAFETY: the segment is attached, and has that many bytes.
    unsafe { memory.write(1) };
    detach(memory);
    backend::remove(id).unwrap();
    let (_, usage) = backend::usage().unwrap();
    assert_eq!(usage.used_ids as usize, others.len());
    let mut expected = others.to_vec();
    expected.push("table".into());
    assert_eq!(
        files(std::env::var("SHMKEY_DIR").unwrap().as_ref()),
        expected
    );
}

fn a_process_killed_while_it_creates_leaves_nothing() {
    private(1);
    let before: Vec<_> = vec!["s.0".into()];
    at_each_call(
        || _ = get(42, 10_000, CREATE | 0o600),
        |_| {
            if let Ok(id) = get(42, 10_000, 0o600) {
                detach(attach(id));
                backend::remove(id).unwrap();
            }
            is_usable(&before);
        },
    );
}

fn a_process_killed_while_it_attaches_leaves_nothing() {
    let id = private(10_000);
    at_each_call(
        || _ = try_attach(id, 0),
        |n| {
            assert_eq!(nattch(id), 0, "stop {n}");
            is_usable(&[format!("s.{id}")]);
        },
    );
}

fn a_process_killed_while_it_detaches_leaves_nothing() {
    at_each_call(
        || {
            let id = get(42, 10_000, CREATE | 0o600).unwrap();
            let memory = attach(id);
            backend::remove(id).unwrap();
            detach(memory);
        },
        |_| {
            if let Ok(id) = get(42, 0, 0) {
                backend::remove(id).unwrap();
            }
            is_usable(&[]);
        },
    );
}

fn a_process_killed_while_it_removes_leaves_nothing() {
    get(41, 100, CREATE | 0o600).unwrap();
    at_each_call(
        || {
            let id = get(42, 10_000, CREATE | 0o600).unwrap();
            backend::remove(id).unwrap();
        },
        |_| {
            if let Ok(id) = get(42, 0, 0) {
                backend::remove(id).unwrap();
            }
            is_usable(&["s.0".into()]);
        },
    );
}

fn a_process_killed_while_it_changes_the_owner_leaves_nothing() {
    let id = get(42, 100, CREATE | 0o600).unwrap();
    at_each_call(
        || {
            let mut record = stat(id);
            record.shm_perm.mode = 0o640;
            backend::set(id, &record).unwrap();
        },
        |_| {
            assert_eq!(get(42, 100, 0), Ok(id));
            assert!([0o600, 0o640].contains(&stat(id).shm_perm.mode));
            is_usable(&[format!("s.{id}")]);
        },
    );
}

fn a_process_killed_while_it_forks_leaves_nothing() {
    let id = private(10_000);
    let memory = attach(id);
    at_each_call(
        || {
            // SAFETY: the child ends at once.
            let child = unsafe { libc::fork() };
            if child == 0 {
                detach(memory);
                // SAFETY: ends the child.
                unsafe { libc::_exit(0) };
            }
            // SAFETY: the child is this process's own.
            unsafe { libc::waitpid(child, ptr::null_mut(), 0) };
        },
        |n| {
            // A grandchild may end later than the child.
            wait_until(&format!("1 is attached, stop {n}"), || nattch(id) == 1);
            is_usable(&[format!("s.{id}")]);
        },
    );
}

/// The call also makes the table, because the parent has made no call yet.
fn a_process_killed_at_its_first_call_leaves_nothing() {
    let directory = std::env::var("SHMKEY_DIR").unwrap();
    at_each_call(
        || _ = get(42, 100, CREATE | 0o600),
        |n| {
            let checker = crate::support::fork_child(|| {
                if let Ok(id) = get(42, 0, 0) {
                    backend::remove(id).unwrap();
                }
                is_usable(&[]);
                0
            });
            assert_eq!(crate::support::status_of(checker), 0, "stop {n}");
            std::fs::remove_dir_all(&directory).unwrap();
        },
    );
}
