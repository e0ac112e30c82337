//! What the library costs over the bare calls.

use crate::{
    dropin,
    pairs::{MANY_ROUNDS, Pair},
};
use shmkey::{Key, Segment, capi};
use std::{
    ffi::CString,
    hint::black_box,
    io::{self, IsTerminal, Write},
    os::unix::ffi::OsStrExt,
    path::Path,
    ptr,
};

/// Measures, and prints the table.
pub fn print() -> Result<(), Box<dyn std::error::Error>> {
    let file = tempfile::NamedTempFile::new()?;
    let mut pairs = [
        attaching(4 << 10)?,
        attaching(1 << 20)?,
        opening(file.path())?,
        creating(file.path())?,
        dropin::opening()?,
    ];

    println!("| what | bare calls | shmkey | ratio (quartiles) |");
    println!("|---|--:|--:|--:|");
    for pair in pairs.iter_mut().flatten() {
        if io::stderr().is_terminal() {
            eprint!("\r\x1b[Kmeasuring {}", pair.name);
            io::stderr().flush()?;
        }
        let result = pair.measure(MANY_ROUNDS);
        if io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
        println!("{result}");
    }
    Ok(())
}

/// Attach and detach, as often as wanted.
fn attaching(size: usize) -> Result<Vec<Pair>, shmkey::Error> {
    let segment = Segment::options()
        .size(size)
        .remove_on_drop(true)
        .open(Key::PRIVATE)?;
    let id = segment.id();
    let bare = move || {
        // SAFETY: nothing is replaced, and what is attached here is detached here, and
        // not used in between.
        unsafe {
            let memory = libc::shmat(black_box(id), ptr::null(), 0);
            assert_ne!(memory as isize, -1);
            assert_eq!(libc::shmdt(memory), 0);
        }
    };
    let through_c = move || {
        let memory = capi::shm_attach(black_box(id), 0);
        assert!(!memory.is_null());
        // SAFETY: nothing refers to what was attached just now.
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

/// Open a segment that exists, by path and project id.
fn opening(path: &Path) -> Result<Vec<Pair>, Box<dyn std::error::Error>> {
    const SIZE: usize = 4096;
    let c_path = CString::new(path.as_os_str().as_bytes())?;
    let key = Key::from_path(path, 1)?;
    let segment = Segment::options()
        .create(true)
        .size(SIZE)
        .remove_on_drop(true)
        .open(key)?;
    let for_c = c_path.clone();
    let bare = {
        let path = c_path.clone();
        move || {
            // SAFETY: the path is a C string.
            let id = unsafe {
                libc::shmget(libc::ftok(path.as_ptr(), 1), SIZE, libc::IPC_CREAT | 0o600)
            };
            assert!(black_box(id) >= 0);
        }
    };
    let through_c = move || {
        // SAFETY: the path is a C string.
        let id = unsafe { capi::shm_open_key(for_c.as_ptr(), 1, SIZE, libc::IPC_CREAT | 0o600) };
        assert!(black_box(id) >= 0);
    };
    let path = path.to_owned();
    let through_rust = move || {
        let _ = segment.id(); // stays until the end
        let opened = Key::from_path(&path, 1)
            .and_then(|key| Segment::options().create(true).size(SIZE).open(key));
        assert!(black_box(opened).is_ok());
    };
    Ok(vec![
        Pair::new("open by path and id: C".into(), bare.clone(), through_c),
        Pair::new("open by path and id: Rust".into(), bare, through_rust),
    ])
}

/// Create a segment by path and project id, and remove it.
fn creating(path: &Path) -> Result<Vec<Pair>, Box<dyn std::error::Error>> {
    const SIZE: usize = 4096;
    let c_path = CString::new(path.as_os_str().as_bytes())?;
    let bare = {
        let path = c_path.clone();
        move || {
            // SAFETY: the path is a C string, and IPC_RMID uses no buffer.
            unsafe {
                let id = libc::shmget(libc::ftok(path.as_ptr(), 2), SIZE, libc::IPC_CREAT | 0o600);
                assert_eq!(libc::shmctl(id, libc::IPC_RMID, ptr::null_mut()), 0);
            }
        }
    };
    let through_c = move || {
        // SAFETY: the path is a C string.
        let id = unsafe { capi::shm_open_key(c_path.as_ptr(), 2, SIZE, libc::IPC_CREAT | 0o600) };
        assert_eq!(capi::shm_remove(id), 0);
    };
    let path = path.to_owned();
    let through_rust = move || {
        let removed = Key::from_path(&path, 2)
            .and_then(|key| Segment::options().create(true).size(SIZE).open(key))
            .and_then(|segment| segment.remove());
        assert!(removed.is_ok());
    };
    Ok(vec![
        Pair::new(
            "create by path and id, and remove: C".into(),
            bare.clone(),
            through_c,
        ),
        Pair::new(
            "create by path and id, and remove: Rust".into(),
            bare,
            through_rust,
        ),
    ])
}
