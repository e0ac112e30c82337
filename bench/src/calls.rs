//! The cost of the library over the bare calls.

use crate::{
    dropin,
    pairs::{self, Pair},
    processes::Failure,
};
use shmkey::{Key, Segment, capi};
use std::{ffi::CString, hint::black_box, os::unix::ffi::OsStrExt, path::Path, ptr};

/// Enough rounds to show a difference of some thousandths.
const ROUNDS: usize = 2001;

/// Measures, and prints the table.
pub fn print() -> Result<(), Failure> {
    let file = tempfile::NamedTempFile::new()?;
    let pairs = [
        attaching(4 << 10)?,
        attaching(1 << 20)?,
        opening(file.path(), false)?,
        opening(file.path(), true)?,
        dropin::opening()?,
    ];
    println!("| what | bare calls | shmkey | ratio (quartiles) |");
    pairs::print(ROUNDS, pairs.into_iter().flatten())
}

/// Returns pairs that attach and detach a segment of this size.
fn attaching(size: usize) -> Result<Vec<Pair>, Failure> {
    let segment = Segment::options()
        .size(size)
        .remove_on_drop(true)
        .open(Key::PRIVATE)?;
    let id = segment.id();
    let bare = move || {
        // SAFETY: the kernel chooses the address, and nothing uses the memory before it is detached.
        unsafe {
            let memory = libc::shmat(black_box(id), ptr::null(), 0);
            assert_ne!(memory as isize, -1);
            assert_eq!(libc::shmdt(memory), 0);
        }
    };
    let through_c = move || {
        let memory = capi::shm_attach(black_box(id), 0);
        assert!(!memory.is_null());
        // SAFETY: nothing refers to the memory.
        assert_eq!(unsafe { capi::shm_detach(memory) }, 0);
    };
    let through_rust = move || {
        let attached = segment.attach();
        assert!(black_box(attached).is_ok());
    };
    let what = format!("attach and detach, {} KiB", size >> 10);
    Ok(vec![
        Pair::new(format!("{what}: bare calls twice"), bare, bare),
        Pair::new(format!("{what}: C"), bare, through_c),
        Pair::new(format!("{what}: Rust"), bare, through_rust),
    ])
}

/// Returns pairs that open a segment by path and project id: one that exists, or one that they create and remove.
fn opening(path: &Path, removes: bool) -> Result<Vec<Pair>, Failure> {
    const SIZE: usize = 4096;
    const FLAGS: libc::c_int = libc::IPC_CREAT | 0o600;
    let (what, proj_id) = if removes {
        ("create by path and id, and remove", 2)
    } else {
        ("open by path and id", 1)
    };
    let path_for_c = CString::new(path.as_os_str().as_bytes())?;
    let key = Key::from_path(path, proj_id)?;
    let options = Segment::options().create(true).size(SIZE);
    let kept = Segment::options()
        .create(true)
        .size(SIZE)
        .remove_on_drop(true);
    let existing = (!removes).then(|| kept.open(key)).transpose()?;
    let bare = {
        let path = path_for_c.clone();
        move || {
            // SAFETY: the path is a C string, and IPC_RMID uses no buffer.
            unsafe {
                let id = libc::shmget(libc::ftok(path.as_ptr(), proj_id), SIZE, FLAGS);
                assert!(black_box(id) >= 0);
                assert!(!removes || libc::shmctl(id, libc::IPC_RMID, ptr::null_mut()) == 0);
            }
        }
    };
    let through_c = move || {
        // SAFETY: the path is a C string.
        let id = unsafe { capi::shm_open_key(path_for_c.as_ptr(), proj_id, SIZE, FLAGS) };
        assert!(black_box(id) >= 0);
        assert!(!removes || capi::shm_remove(id) == 0);
    };
    let path = path.to_owned();
    let through_rust = move || {
        let _ = &existing; // until the last measurement
        let opened = Key::from_path(&path, proj_id).and_then(|key| options.open(key));
        let segment = black_box(opened).expect("the file exists");
        assert!(!removes || segment.remove().is_ok());
    };
    Ok(vec![
        Pair::new(format!("{what}: C"), bare.clone(), through_c),
        Pair::new(format!("{what}: Rust"), bare, through_rust),
    ])
}
