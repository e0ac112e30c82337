//! Whether a library can be preloaded into a program.

use super::{NOT_RUNNABLE, Refusal};
use std::{
    ffi::{CString, OsStr},
    fs::{self, File},
    io::Read,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
};

/// Returns an error if a program cannot be traced.
pub(super) fn expect_traceable(path: &Path) -> Result<(), Refusal> {
    let start = start_of(path);
    // The interpreter of a script is traced.
    if let Some(line) = start.strip_prefix(b"#!") {
        let end = line.iter().position(|&byte| byte == b'\n');
        let line = line[..end.unwrap_or(line.len())].trim_ascii_start();
        let word = line
            .split(u8::is_ascii_whitespace)
            .next()
            .unwrap_or_default();
        let interpreter = Path::new(OsStr::from_bytes(word));
        expect_no_more_rights(interpreter)?;
        return judge(path, &start_of(interpreter));
    }
    expect_no_more_rights(path)?;
    // The dynamic linker is linked statically, but preloads libraries into the program that it runs.
    if is_dynamic_linker(path) {
        return Ok(());
    }
    judge(path, &start)
}

fn is_dynamic_linker(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    [&b"ld-linux"[..], b"ld-musl", b"ld.so", b"ld64.so"]
        .iter()
        .any(|start| name.starts_with(start))
}

fn expect_no_more_rights(path: &Path) -> Result<(), Refusal> {
    if !has_more_rights(path) {
        return Ok(());
    }
    Err(Refusal(
        NOT_RUNNABLE,
        format!(
            "{} runs with rights that you do not have (set-user-id, set-group-id or capabilities), and the system preloads \
             nothing into such a program; trace it as the user whose rights it gets",
            path.display()
        ),
    ))
}

/// Returns the first 64 KiB of a file, which contain its headers; nothing if it cannot be read.
fn start_of(path: &Path) -> Vec<u8> {
    let mut start = Vec::new();
    if let Ok(file) = File::open(path) {
        let _ = file.take(64 << 10).read_to_end(&mut start);
    }
    start
}

fn judge(path: &Path, start: &[u8]) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(Refusal(NOT_RUNNABLE, format!("{} {why}", path.display())));
    let this = start_of(Path::new("/proc/self/exe"));
    match Elf::parse(start) {
        // Unreadable or missing: starting the program returns the error.
        None => Ok(()),
        Some(elf) if Elf::parse(&this).is_some_and(|this| this.machine != elf.machine) => refuse(
            "is a program for another kind of processor or of another width, into which this drop-in cannot be preloaded; \
             build the drop-in for that kind",
        ),
        Some(elf) if !elf.has_interpreter => refuse(
            "is linked statically, so no library can be preloaded into it; link it with libshmkey_dropin.a before libc and set \
             SHMKEY_TRACE=1, or watch it with strace -e trace=%ipc",
        ),
        Some(_) => Ok(()),
    }
}

/// The relevant headers of an ELF file; see elf(5).
struct Elf {
    /// The class and the machine.
    machine: (u8, [u8; 2]),
    /// Whether the program needs a dynamic linker.
    has_interpreter: bool,
}

impl Elf {
    /// Parses 64-bit files in the byte order of this machine. Others are for another machine, of which no more is
    /// needed.
    fn parse(start: &[u8]) -> Option<Elf> {
        const PT_INTERP: u32 = 3;
        let half = |at: usize| Some(u16::from_ne_bytes(start.get(at..at + 2)?.try_into().ok()?));
        let word = |at: usize| Some(u32::from_ne_bytes(start.get(at..at + 4)?.try_into().ok()?));
        let long = |at: usize| Some(u64::from_ne_bytes(start.get(at..at + 8)?.try_into().ok()?));
        if !start.starts_with(b"\x7fELF") {
            return None;
        }
        let (table, size, count) = (long(32)? as usize, half(54)?.into(), half(56)?.into());
        let has_interpreter = (0..count).any(|index: usize| {
            let header = index.checked_mul(size).and_then(|at| at.checked_add(table));
            header.and_then(word) == Some(PT_INTERP)
        });
        Some(Elf {
            machine: (start[4], start[18..20].try_into().ok()?),
            has_interpreter,
        })
    }
}

/// Returns whether the program gets rights that this user does not have.
fn has_more_rights(path: &Path) -> bool {
    let Ok(file) = fs::metadata(path) else {
        return false;
    };
    if gives_no_rights(path) {
        return false;
    }
    // SAFETY: these take nothing and cannot fail.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    file.mode() & libc::S_ISUID != 0 && file.uid() != user
        || file.mode() & libc::S_ISGID != 0 && file.gid() != group
        || user != 0 && has_capabilities(path)
}

/// Returns whether programs in this place get no more rights than their user: the file system is mounted with nosuid,
/// or this process has set no_new_privs.
fn gives_no_rights(path: &Path) -> bool {
    // SAFETY: asks for a number.
    if unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) } == 1 {
        return true;
    }
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: a structure of numbers.
    let mut system: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: a C string, and there is room for one statvfs.
    let read = unsafe { libc::statvfs(path.as_ptr(), &mut system) } == 0;
    read && system.f_flag & libc::ST_NOSUID != 0
}

fn has_capabilities(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    let name = c"security.capability";
    // SAFETY: two C strings; with a size of 0, nothing is written.
    unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0) > 0 }
}
