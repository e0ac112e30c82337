//! What a program unmaps, protects and maps inside an attachment.

use crate::{
    namespace::{self, *},
    support::{fork_child, status_of},
};
use shmkey_core::{backend, sys};
use std::{
    ptr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

tasks! {
    what_is_mapped_inside_an_attachment_outlives_it
    what_is_mapped_over_its_first_page_outlives_it
    a_child_has_what_is_mapped_inside_an_attachment
    what_a_child_shares_counts_until_both_have_detached_it
    parts_of_other_protection_are_detached
    an_attachment_without_access_is_found_and_detached
    parts_are_detached_where_others_end_behind_it
    what_is_free_behind_an_attachment_stays_free
    what_was_attached_inside_an_attachment_is_detached_for_itself
    what_a_child_maps_in_place_of_a_shared_attachment_stays
    a_child_shares_an_attachment_of_which_a_part_was_unmapped
    what_a_fork_prepares_in_a_hole_of_an_attachment_stays
    a_child_has_what_is_mapped_inside_an_inner_attachment
    what_is_left_of_an_attachment_behind_its_replaced_start_is_detached
    what_has_replaced_an_attachment_that_a_child_shares_stays
}

/// Attaches a segment with free addresses behind it. Neither the kernel nor libc uses these addresses by itself, so no
/// other thread gets memory where a test has unmapped some.
fn attach(id: i32) -> *mut u8 {
    static NEXT: AtomicUsize = AtomicUsize::new(0x1000_0000_0000);
    let address = ptr::without_provenance(NEXT.fetch_add(1 << 20, Relaxed));
    // SAFETY: nothing is replaced.
    unsafe { backend::attach(id, address, 0) }.unwrap().cast()
}

/// Maps memory of this process's own over pages of an attachment, and writes to it.
fn map_over(memory: *mut u8, pages: usize) -> *mut u8 {
    let flags = libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: these pages of the segment are not used.
    unsafe {
        let mapped = libc::mmap(memory.cast(), pages * 4096, 3, flags, -1, 0);
        assert_eq!(mapped, memory.cast());
        memory.write(5);
    }
    memory
}

fn is_mapped(memory: *const u8) -> bool {
    sys::is_mapped(memory.cast(), 4096)
}

fn what_is_mapped_inside_an_attachment_outlives_it() {
    let id = private(5 * 4096);
    let memory = attach(id);
    let other = map_over(memory.wrapping_add(4096), 2);
    detach(memory);
    // SAFETY: it is mapped, or the test ends here.
    assert_eq!(unsafe { other.read() }, 5);
    for (page, stays) in [(0, false), (1, true), (2, true), (3, false), (4, false)] {
        assert_eq!(is_mapped(memory.wrapping_add(page * 4096)), stays, "{page}");
    }
    assert_eq!(nattch(id), 0);
    assert_eq!(fails(try_detach(memory)), libc::EINVAL);
}

fn what_is_mapped_over_its_first_page_outlives_it() {
    let id = private(3 * 4096);
    let memory = attach(id);
    map_over(memory, 1);
    detach(memory);
    // SAFETY: as above.
    assert_eq!(unsafe { memory.read() }, 5);
    assert!(!is_mapped(memory.wrapping_add(4096)));
    assert_eq!(nattch(id), 0);
}

fn a_child_has_what_is_mapped_inside_an_attachment() {
    let id = private(3 * 4096);
    let memory = attach(id);
    let other = map_over(memory.wrapping_add(4096), 1);
    let child = fork_child(|| {
        // SAFETY: the segment, and what is mapped inside, are the child's, too.
        unsafe {
            memory.write(7);
            assert_eq!(other.read(), 5);
            detach(memory);
            assert_eq!(other.read(), 5);
        }
        0
    });
    assert_eq!(status_of(child), 0);
    // SAFETY: the segment is attached.
    assert_eq!(unsafe { memory.read() }, 7);
    assert_eq!(nattch(id), 1);
    detach(memory);
    assert_eq!(nattch(id), 0);
}

fn what_a_child_shares_counts_until_both_have_detached_it() {
    let id = private(3 * 4096);
    let memory = attach(id);
    map_over(memory.wrapping_add(4096), 1);
    let child = fork_and_pause(|| {});
    assert_eq!(nattch(id), 1);
    detach(memory);
    assert_eq!(nattch(id), 1, "the child has it");
    backend::remove(id).unwrap();
    assert_eq!(nattch(id), 1, "removed, and the child has it");
    kill(child);
    assert_eq!(fails(backend::stat(id)), libc::EINVAL);
}

fn protect(memory: *mut u8, pages: usize, protection: i32) {
    // SAFETY: no access that the new protection forbids follows.
    let protected = unsafe { libc::mprotect(memory.cast(), pages * 4096, protection) };
    assert_eq!(protected, 0);
}

fn parts_of_other_protection_are_detached() {
    let id = private(4 * 4096);
    let memory = attach(id);
    protect(memory.wrapping_add(4096), 1, libc::PROT_NONE);
    protect(memory.wrapping_add(2 * 4096), 1, libc::PROT_READ);
    assert_eq!(nattch(id), 1);
    let child = fork_and_pause(|| assert_eq!(nattch(id), 2));
    kill(child);
    detach(memory);
    for page in 0..4 {
        assert!(!is_mapped(memory.wrapping_add(page * 4096)), "{page}");
    }
    assert_eq!(nattch(id), 0);
}

fn an_attachment_without_access_is_found_and_detached() {
    let id = private(4096);
    let memory = attach(id);
    protect(memory, 1, libc::PROT_NONE);
    let found = sys::attached_at(memory as usize).unwrap();
    assert_eq!(found.map(|mapping| mapping.id), Some(id));
    detach(memory);
    assert!(!is_mapped(memory));
}

fn what_is_free_behind_an_attachment_stays_free() {
    let room = attach(private(2 * 4096));
    let child = fork_child(|| i32::from(is_mapped(room.wrapping_add(2 * 4096))));
    assert_eq!(status_of(child), 0);
    assert!(!is_mapped(room.wrapping_add(2 * 4096)));
    detach(room);
    for page in 0..8 {
        assert!(!is_mapped(room.wrapping_add(page * 4096)), "{page}");
    }
}

fn parts_are_detached_where_others_end_behind_it() {
    let room = attach(private(2 * 4096));
    let behind = map_over(room.wrapping_add(4096), 4);
    detach(room);
    assert!(!is_mapped(room));
    // SAFETY: it is mapped, or the test ends here.
    assert_eq!(unsafe { behind.read() }, 5);
    assert!(is_mapped(behind.wrapping_add(3 * 4096)));
}

/// Attaches a segment in place of what is mapped at an address.
fn attach_over(id: i32, memory: *mut u8) -> *mut u8 {
    // SAFETY: no code uses what is replaced.
    let attached = unsafe { backend::attach(id, memory.cast(), libc::SHM_REMAP) };
    assert_eq!(attached, Ok(memory.cast()));
    memory
}

fn unmap(memory: *mut u8, pages: usize) {
    // SAFETY: these pages of the segment are not used any more.
    assert_eq!(unsafe { libc::munmap(memory.cast(), pages * 4096) }, 0);
}

fn what_was_attached_inside_an_attachment_is_detached_for_itself() {
    let (large, small) = (private(8 * 4096), private(2 * 4096));
    let outer = attach(large);
    let inner = attach_over(small, outer.wrapping_add(2 * 4096));
    detach(inner);
    for page in 0..8 {
        let is_outer = !(2..4).contains(&page);
        assert_eq!(
            is_mapped(outer.wrapping_add(page * 4096)),
            is_outer,
            "{page}"
        );
    }
    assert_eq!((nattch(large), nattch(small)), (1, 0));
    let behind = map_over(inner, 1);
    detach(outer);
    // SAFETY: it is mapped, or the test ends here.
    assert_eq!(unsafe { behind.read() }, 5);
    assert!(!is_mapped(outer) && !is_mapped(outer.wrapping_add(7 * 4096)));
    assert_eq!(nattch(large), 0);
}

fn a_child_shares_an_attachment_of_which_a_part_was_unmapped() {
    let id = private(3 * 4096);
    let memory = attach(id);
    unmap(memory.wrapping_add(4096), 1);
    let child = fork_child(|| {
        assert!(!is_mapped(memory.wrapping_add(4096)));
        // SAFETY: the child has what its parent has of the segment.
        unsafe { memory.wrapping_add(2 * 4096).write(7) };
        assert_eq!(nattch(id), 1);
        detach(memory);
        assert!(!is_mapped(memory.wrapping_add(2 * 4096)));
        0
    });
    assert_eq!(status_of(child), 0);
    assert_eq!(nattch(id), 1);
    detach(memory);
    assert_eq!(nattch(id), 0);
}

fn what_a_fork_prepares_in_a_hole_of_an_attachment_stays() {
    let large = namespace::attach(private(64 * 4096));
    let others = [10, 11, 12, 13, 14, 15].map(|byte| {
        let memory = namespace::attach(private(4096));
        // SAFETY: the segment is attached there.
        unsafe { memory.write(byte) };
        (memory, byte)
    });
    // The pages that the fork prepares for the others are likely to get into this hole.
    unmap(large.wrapping_add(8 * 4096), 32);
    let child = fork_child(|| {
        for (memory, byte) in others {
            // SAFETY: the child has it, too.
            assert_eq!(unsafe { memory.read() }, byte);
            detach(memory);
        }
        0
    });
    assert_eq!(status_of(child), 0);
}

fn a_child_has_what_is_mapped_inside_an_inner_attachment() {
    let (large, small) = (private(8 * 4096), private(3 * 4096));
    let outer = attach(large);
    let inner = attach_over(small, outer.wrapping_add(2 * 4096));
    let other = map_over(inner.wrapping_add(4096), 1);
    let child = fork_child(|| {
        // SAFETY: the child has it, too.
        assert_eq!(unsafe { other.read() }, 5);
        detach(outer);
        detach(inner);
        // SAFETY: as above.
        assert_eq!(unsafe { other.read() }, 5);
        0
    });
    assert_eq!(status_of(child), 0);
    assert_eq!((nattch(large), nattch(small)), (1, 1));
}

fn what_is_left_of_an_attachment_behind_its_replaced_start_is_detached() {
    let (long, short) = (private(3 * 4096), private(4096));
    let start = attach(long);
    let rest = start.wrapping_add(4096);
    // SAFETY: the longer segment is attached there.
    unsafe { rest.write(7) };
    attach_over(short, start);
    let detach_both = |others: u64| {
        assert_eq!((nattch(long), nattch(short)), (1 + others, 1 + others));
        // SAFETY: the rest is attached, or the test ends here.
        assert_eq!(unsafe { rest.read() }, 7);
        detach(start);
        assert_eq!((nattch(long), nattch(short)), (1 + others, others));
        assert!(!is_mapped(start) && is_mapped(rest));
        detach(start);
        assert!(!is_mapped(rest));
        assert_eq!(fails(try_detach(start)), libc::EINVAL);
        0
    };
    assert_eq!(status_of(fork_child(|| detach_both(1))), 0);
    detach_both(0);
    assert_eq!((nattch(long), nattch(short)), (0, 0));
}

fn what_a_child_maps_in_place_of_a_shared_attachment_stays() {
    let id = private(2 * 4096);
    let memory = attach(id);
    // An attachment with a hole is shared.
    unmap(memory.wrapping_add(4096), 1);
    let child = fork_child(|| {
        unmap(memory, 1);
        map_over(memory, 1);
        assert_eq!(fails(try_detach(memory)), libc::EINVAL);
        // SAFETY: it is mapped, or the test ends here.
        assert_eq!(unsafe { memory.read() }, 5);
        0
    });
    assert_eq!(status_of(child), 0);
    detach(memory);
    assert_eq!(nattch(id), 0);
}

fn what_has_replaced_an_attachment_that_a_child_shares_stays() {
    let memory = attach(private(3 * 4096));
    // A child shares an attachment in which there is something else.
    map_over(memory.wrapping_add(4096), 1);
    let child = fork_and_pause(|| {});
    map_over(memory, 3);
    assert_eq!(fails(try_detach(memory)), libc::EINVAL);
    assert!((0..3).all(|page| is_mapped(memory.wrapping_add(page * 4096))));
    kill(child);
}
