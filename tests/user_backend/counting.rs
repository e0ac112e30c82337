//! `shm_nattch`, the last process, the times, and removal, after all that a process can do to its attachments.

use crate::{namespace::*, support::Helper};
use shmkey_core::backend::{self, SHM_DEST};
use std::{process::Command, ptr, sync::Barrier, thread};

tasks! {
    threads_count_together
    children_count_on_their_own
    a_child_counts_though_its_parent_detaches_at_once
    executed_programs_do_not_count
    a_dead_process_does_not_count_and_is_the_last_process
    an_attach_after_a_death_sets_the_last_process
    closing_all_descriptors_changes_nothing
    an_attachment_that_is_unmapped_does_not_count
    memory_in_place_of_an_attachment_is_not_detached
    a_removed_segment_stays_until_the_last_detach
    a_removed_segment_goes_with_its_last_process
    ids_are_those_that_the_kernel_gives
    a_mapping_excluded_from_children_does_not_count_there
    handlers_attach_while_the_program_forks
    threads_of_a_child_made_by_clone_start_over_once
    a_thousand_attachments_of_a_segment_are_inherited
    a_death_is_noticed_by_the_attach_that_follows_a_fork
    an_attachment_inside_another_outlives_it
    a_child_has_no_descriptor_of_what_another_thread_creates
    ;
    count_and_wait
}

fn threads_count_together() {
    let id = private(100);
    let all: Vec<_> = (0..4)
        .map(|_| thread::spawn(move || attach(id) as usize))
        .collect();
    let all: Vec<_> = all
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    assert_eq!(nattch(id), 4);
    for address in all {
        thread::spawn(move || detach(address as *mut u8))
            .join()
            .unwrap();
    }
    assert_eq!(nattch(id), 0);
}

fn children_count_on_their_own() {
    let id = private(8192);
    let memory = attach(id);
    let child = fork_and_pause(|| {
        assert_eq!(nattch(id), 2);
        // SAFETY: the segment is attached, and has that many bytes.
        unsafe { memory.write(1) };
    });
    // SAFETY: as above.
    wait_until(
        "the child writes",
        || unsafe { memory.read_volatile() } == 1,
    );
    assert_eq!(nattch(id), 2);
    detach(memory);
    assert_eq!(nattch(id), 1);
    kill(child);
    assert_eq!(nattch(id), 0);
}

fn a_child_counts_though_its_parent_detaches_at_once() {
    let id = private(100);
    let memory = attach(id);
    backend::remove(id).unwrap();
    let child = fork_and_pause(|| {});
    detach(memory);
    assert_eq!(nattch(id), 1);
    kill(child);
    assert_eq!(fails(backend::stat(id)), libc::EINVAL);
}

fn executed_programs_do_not_count() {
    let id = private(100);
    let memory = attach(id);
    let mut child = Command::new("sleep").arg("100").spawn().unwrap();
    assert_eq!(nattch(id), 1);
    child.kill().unwrap();
    child.wait().unwrap();
    let (read, write) = pipe();
    let child = crate::support::fork_child(|| {
        let program = [
            c"sh".as_ptr(),
            c"-c".as_ptr(),
            c"echo; sleep 100".as_ptr(),
            ptr::null(),
        ];
        // SAFETY: the arguments are C strings, and the list ends with NULL.
        unsafe {
            libc::dup2(write, 1);
            libc::execvp(program[0], program.as_ptr())
        }
    });
    let mut byte = [0_u8];
    // SAFETY: one byte fits.
    unsafe { libc::read(read, byte.as_mut_ptr().cast(), 1) };
    assert_eq!(nattch(id), 1, "after exec");
    kill(child);
    detach(memory);
}

fn pipe() -> (i32, i32) {
    let mut ends = [0; 2];
    // SAFETY: there is room for the two ends.
    unsafe { libc::pipe(ends.as_mut_ptr()) };
    (ends[0], ends[1])
}

fn a_dead_process_does_not_count_and_is_the_last_process() {
    let id = private(100);
    let memory = attach(id);
    let child = fork_and_pause(|| _ = attach(id));
    wait_until("the child attaches", || nattch(id) == 3);
    kill(child);
    let record = stat(id);
    assert_eq!((record.shm_nattch, record.shm_lpid), (1, child));
    assert!(record.shm_dtime >= record.shm_atime);
    detach(memory);
    assert_eq!(stat(id).shm_lpid, process_id());
}

fn an_attach_after_a_death_sets_the_last_process() {
    let id = private(100);
    let child = fork_and_pause(|| _ = attach(id));
    wait_until("the child attaches", || nattch(id) == 1);
    kill(child);
    let memory = attach(id);
    assert_eq!(stat(id).shm_lpid, process_id());
    detach(memory);
}

fn closing_all_descriptors_changes_nothing() {
    let id = private(100);
    let memory = attach(id);
    // SAFETY: this process uses no descriptor above those of the standard streams from here on.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    assert_eq!(nattch(id), 1);
    let other = attach(id);
    assert_eq!(nattch(id), 2);
    detach(memory);
    detach(other);
    assert_eq!(nattch(id), 0);
}

fn an_attachment_that_is_unmapped_does_not_count() {
    let id = private(100);
    let memory = attach(id);
    // SAFETY: the memory is not used again.
    unsafe { libc::munmap(memory.cast(), 4096) };
    assert_eq!(nattch(id), 0);
    assert_eq!(fails(try_detach(memory)), libc::EINVAL);
}

fn memory_in_place_of_an_attachment_is_not_detached() {
    let id = private(8192);
    let memory = attach(id);
    // SAFETY: the segment's memory is replaced, and not used again.
    let other = unsafe {
        let flags = libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        libc::mmap(memory.cast(), 8192, 3, flags, -1, 0)
    };
    assert_eq!(fails(try_detach(memory)), libc::EINVAL);
    // SAFETY: the other mapping is still there.
    unsafe { other.cast::<u8>().write(1) };
    assert_eq!(nattch(id), 0);
}

fn a_removed_segment_stays_until_the_last_detach() {
    let id = get(42, 100, CREATE | 0o600).unwrap();
    let memory = attach(id);
    backend::remove(id).unwrap();
    assert_eq!(fails(get(42, 0, 0)), libc::ENOENT);
    let again = get(42, 100, CREATE | libc::IPC_EXCL | 0o600).unwrap();
    assert_ne!(again, id);
    let record = stat(id);
    assert_eq!(u32::from(record.shm_perm.mode) & SHM_DEST, SHM_DEST);
    let other = attach(id);
    assert_eq!(nattch(id), 2);
    detach(memory);
    detach(other);
    let file = format!("s.{id}");
    assert!(!files(directory().as_ref()).contains(&file), "its memory");
    assert_eq!(fails(backend::stat(id)), libc::EINVAL);
    assert_eq!(fails(try_attach(id, 0)), libc::EINVAL);
    backend::remove(again).unwrap();
    assert_eq!(files(directory().as_ref()), ["table"]);
}

fn directory() -> String {
    std::env::var("SHMKEY_DIR").unwrap()
}

fn a_removed_segment_goes_with_its_last_process() {
    let id = private(1 << 20);
    let child = fork_and_pause(|| _ = attach(id));
    wait_until("the child attaches", || nattch(id) == 1);
    backend::remove(id).unwrap();
    kill(child);
    // Creating another segment destroys it.
    backend::remove(private(1)).unwrap();
    assert_eq!(files(directory().as_ref()), ["table"]);
}

fn ids_are_those_that_the_kernel_gives() {
    for index in 0..64 {
        let id = private(1);
        assert_eq!(id, index);
        backend::remove(id).unwrap();
    }
    // The first index again, with the next sequence number.
    let id = private(1);
    assert_eq!((id, stat(id).shm_perm.__seq), (1 << 15, 1));
}

fn a_mapping_excluded_from_children_does_not_count_there() {
    let id = private(100);
    let memory = attach(id);
    shmkey_core::sys::keep_from_children(memory.cast(), 4096).unwrap();
    let child = fork_and_pause(|| {
        assert_eq!(fails(try_detach(memory)), libc::EINVAL);
        assert_eq!(nattch(id), 1);
        private(1);
    });
    wait_until("the child has looked", || {
        backend::usage().unwrap().1.used_ids == 2
    });
    assert_eq!(nattch(id), 1);
    kill(child);
}

/// The segment that the signal handler attaches.
static SEGMENT: std::sync::atomic::AtomicI32 = std::sync::atomic::AtomicI32::new(0);

extern "C" fn attach_and_detach(_: i32) {
    let id = SEGMENT.load(std::sync::atomic::Ordering::Relaxed);
    if let Ok(memory) = try_attach(id, 0) {
        let _ = try_detach(memory);
    }
}

fn handlers_attach_while_the_program_forks() {
    let id = private(100);
    SEGMENT.store(id, std::sync::atomic::Ordering::Relaxed);
    let memory = attach(id);
    let every = libc::timeval {
        tv_sec: 0,
        tv_usec: 200,
    };
    let timer = libc::itimerval {
        it_interval: every,
        it_value: every,
    };
    let handler: extern "C" fn(i32) = attach_and_detach;
    // SAFETY: the handler makes only calls that are safe in a signal handler.
    unsafe {
        libc::signal(libc::SIGALRM, handler as usize);
        libc::setitimer(libc::ITIMER_REAL, &timer, ptr::null_mut());
    }
    for _ in 0..200 {
        let child = crate::support::fork_child(|| {
            detach(memory);
            0
        });
        wait_for(child);
        detach(attach(id));
    }
    // SAFETY: stops the timer.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &std::mem::zeroed(), ptr::null_mut()) };
    // Another thread may still be in the handler.
    wait_until("the handler has ended", || nattch(id) == 1);
}

fn wait_for(child: i32) {
    let mut status = 0;
    // SAFETY: there is room for the status.
    while unsafe { libc::waitpid(child, &mut status, 0) } != child {}
    assert_eq!(status, 0);
}

/// Attaches the segment under the key 7, and prints how often it is attached.
fn count_and_wait() {
    let id = get(7, 100, CREATE | 0o600).unwrap();
    attach(id);
    println!("\nattached {}", nattch(id));
    crate::support::wait_for_line();
}

#[test]
fn processes_of_one_directory_meet_and_those_of_two_do_not() {
    let (one, other) = (Namespace::new(), Namespace::new());
    let count = |helper: &mut Helper| helper.line_after("attached ");
    let mut first = one.start("count_and_wait");
    assert_eq!(count(&mut first), "1");
    let mut second = one.start("count_and_wait");
    assert_eq!(count(&mut second), "2");
    let mut third = other.start("count_and_wait");
    assert_eq!(count(&mut third), "1");
    first.kill();
    let mut fourth = one.start("count_and_wait");
    assert_eq!(count(&mut fourth), "2");
}

fn threads_of_a_child_made_by_clone_start_over_once() {
    let inherited = attach(private(100)) as usize;
    let start = &*Box::leak(Box::new(Barrier::new(8)));
    let attach_and_detach = || {
        start.wait();
        let id = private(100);
        let memory = attach(id);
        assert_eq!(nattch(id), 1);
        detach(memory);
        backend::remove(id).unwrap();
    };
    for _ in 0..100 {
        // SAFETY: the child, a copy of this process, starts threads that call this library, and ends.
        let child = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) } as i32;
        if child == 0 {
            let threads = [(); 8].map(|()| thread::spawn(attach_and_detach));
            let is_done = threads.map(|thread| thread.join().is_ok()) == [true; 8];
            let is_detached = try_detach(inherited as *mut u8).is_ok();
            // SAFETY: ends this process.
            unsafe { libc::_exit(i32::from(!is_done || !is_detached)) };
        }
        let mut status = -1;
        // SAFETY: waits for a child of this process; there is room for its status.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
    }
}

fn has_a_segments_file_open() -> bool {
    (0..100).any(|number| {
        let path = std::fs::read_link(format!("/proc/self/fd/{number}"));
        path.is_ok_and(|path| path.to_string_lossy().contains("/s."))
    })
}

fn a_child_has_no_descriptor_of_what_another_thread_creates() {
    // Reserving the space takes most of the time.
    let creating = thread::spawn(|| {
        for _ in 0..30 {
            backend::remove(private(16 << 20)).unwrap();
        }
    });
    while !creating.is_finished() {
        let child = crate::support::fork_child(|| i32::from(has_a_segments_file_open()));
        wait_for(child);
    }
    creating.join().unwrap();
    assert!(!has_a_segments_file_open());
}

fn a_thousand_attachments_of_a_segment_are_inherited() {
    let id = private(100);
    let all = [(); 1000].map(|()| attach(id));
    let child = fork_and_pause(|| assert_eq!(nattch(id), 2000));
    kill(child);
    assert_eq!(nattch(id), 1000);
    all.into_iter().for_each(detach);
    assert_eq!(nattch(id), 0);
}

fn a_death_is_noticed_by_the_attach_that_follows_a_fork() {
    let id = private(100);
    attach(id);
    let child = fork_and_pause(|| {});
    kill(child);
    let again = attach(id);
    assert_ne!(stat(id).shm_dtime, 0);
    assert_eq!(stat(id).shm_lpid, process_id());
    detach(again);
}

fn an_attachment_inside_another_outlives_it() {
    let page = shmkey_core::sys::page_size();
    let (large, small) = (private(4 * page), private(page));
    let outer = attach(large);
    let within = outer.wrapping_add(2 * page);
    // SAFETY: no code uses these bytes of the larger segment.
    let inner = unsafe { backend::attach(small, within.cast(), libc::SHM_REMAP) };
    assert_eq!(inner.unwrap(), within.cast());
    detach(outer);
    assert_eq!((nattch(large), nattch(small)), (0, 1));
    // SAFETY: the smaller segment is attached.
    unsafe { within.write(1) };
    detach(within);
    assert_eq!(nattch(small), 0);
}
