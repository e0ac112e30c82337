//! The segments attached in a process, read from `/proc/PID/maps`.
//!
//! The kernel shows an attached segment as a mapping named `/SYSV` and the key in hexadecimal, with the segment's
//! id as inode number (`proc(5)`). So an attach records nothing, and attachments that other code made (a library, the
//! parent before `fork`, plain `shmat`) are found, too.
//!
//! A process whose segments are files looks for mappings of these files instead: `s.` and the id, in a directory that it
//! names once.

use super::{
    Errno,
    file::Path,
    lines::{for_each_line, for_each_number},
};
use core::{
    cell::UnsafeCell,
    ffi::c_int,
    ops::ControlFlow,
    sync::atomic::{
        AtomicUsize,
        Ordering::{Acquire, Release},
    },
};

/// The directory of the segments' files.
struct Directory {
    text: UnsafeCell<[u8; 512]>,
    /// The length of the text; 0 if none is named.
    len: AtomicUsize,
}

// SAFETY: the text is written once, before `len` says so.
unsafe impl Sync for Directory {}

static DIRECTORY: Directory = Directory {
    text: UnsafeCell::new([0; 512]),
    len: AtomicUsize::new(0),
};

/// Says that segments are files in a directory. Only the first call has an effect, and no other thread may make it at the
/// same time.
pub fn name_segment_files(directory: &[u8]) {
    // Acquire: pairs with the release below.
    if DIRECTORY.len.load(Acquire) != 0 || directory.len() > 512 {
        return;
    }
    // SAFETY: no thread reads the text before `len` is set, and the caller makes sure that no other one writes it.
    let text = unsafe { &mut *DIRECTORY.text.get() };
    text[..directory.len()].copy_from_slice(directory);
    // Release: pairs with the acquire in `segment_files`.
    DIRECTORY.len.store(directory.len(), Release);
}

/// Returns the directory of the segments' files; `None` if the kernel has the segments.
fn segment_files() -> Option<&'static [u8]> {
    // Acquire: pairs with the release in `name_segment_files`.
    match DIRECTORY.len.load(Acquire) {
        0 => None,
        // SAFETY: it was written before `len`, and is never written again.
        len => unsafe { (*DIRECTORY.text.get()).get(..len) },
    }
}

/// Calls `each` with the line of each mapping of this process, until it breaks.
fn for_each_mapping(mut each: impl FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), Errno> {
    let mut is_empty = true;
    let read = for_each_line(c"/proc/self/maps", |line| {
        is_empty = false;
        each(line)
    });
    if is_empty {
        // `self` is the first thread, whose file is empty once it has ended. It is read first because emulators
        // have only that file.
        for_each_line(c"/proc/thread-self/maps", each)
    } else {
        read
    }
}

/// A segment attached at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    pub start: usize,
    pub id: c_int,
    /// The bytes mapped: the segment's size in whole pages.
    pub len: usize,
    pub writable: bool,
}

/// Finds the segment that is attached at exactly `addr`. `Ok(None)` if there is none.
pub fn attached_at(addr: usize) -> Result<Option<Mapping>, Errno> {
    find_attachment(|mapping| mapping.start == addr)
}

/// Finds the first wanted attachment, in the order of addresses.
pub fn find_attachment(mut wanted: impl FnMut(&Mapping) -> bool) -> Result<Option<Mapping>, Errno> {
    let mut found: Option<Mapping> = None;
    // An attachment has several lines if madvise or mprotect was called for a part of it: it is complete once a line
    // does not continue it.
    let mut complete = false;
    for_each_mapping(|line| {
        let area = Area::parse(line);
        if let (Some(mapping), Some(area)) = (&mut found, &area)
            && area.start == mapping.start + mapping.len
            && area.id == mapping.id
            && area.offset == mapping.len
        {
            mapping.len += area.end - area.start;
            mapping.writable &= area.writable;
            return ControlFlow::Continue(());
        }
        if found.as_ref().is_some_and(&mut wanted) {
            complete = true;
            return ControlFlow::Break(());
        }
        found = area.filter(|area| area.offset == 0).map(|area| Mapping {
            start: area.start,
            id: area.id,
            len: area.end - area.start,
            writable: area.writable,
        });
        ControlFlow::Continue(())
    })?;
    // An attachment in the last line is complete at the end.
    Ok(found.filter(|mapping| complete || wanted(mapping)))
}

/// Calls `each` with all attachments, in the order of addresses.
pub fn for_each_attachment(mut each: impl FnMut(&Mapping)) -> Result<(), Errno> {
    find_attachment(|mapping| {
        each(mapping);
        false
    })
    .map(drop)
}

/// A mapping where a segment was attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub start: usize,
    pub end: usize,
    /// It has the bytes that the attachment had there.
    pub is_of_segment: bool,
}

/// Calls `each` with what is mapped in the range of an attachment of a segment. `each` may unmap it.
pub fn for_each_part(
    start: usize,
    len: usize,
    id: c_int,
    mut each: impl FnMut(Part),
) -> Result<(), Errno> {
    let end = start.saturating_add(len);
    for_each_mapping(|line| {
        if let Some((from, to)) = bounds(line)
            && from < end
            && start < to
        {
            let (area, offset) = (Area::parse(line), from.checked_sub(start));
            let of_segment = area.filter(|area| area.id == id && Some(area.offset) == offset);
            each(Part {
                start: from,
                end: to.min(end),
                is_of_segment: of_segment.is_some(),
            });
        }
        ControlFlow::Continue(())
    })
}

/// Returns the number of this process's mappings, and the bounds of the first one that overlaps a range.
pub fn mappings_in(start: usize, len: usize) -> Result<(u64, Option<(usize, usize)>), Errno> {
    let end = start.saturating_add(len);
    let (mut count, mut first) = (0, None);
    for_each_mapping(|line| {
        count += 1;
        if let Some((from, to)) = bounds(line)
            && from < end
            && start < to
            && first.is_none()
        {
            first = Some((from, to));
        }
        ControlFlow::Continue(())
    })?;
    Ok((count, first))
}

/// Returns the address at which a process has the first byte of a segment attached. `None` also if that is
/// unknown.
#[inline(never)] // frees its stack space before other functions are called
pub fn attached_in(pid: c_int, id: c_int) -> Option<usize> {
    let of_process = Path::new(format_args!("/proc/{pid}/maps"))?;
    let mut found = attached_in_file(&of_process, id);
    if found == Found::Nothing {
        // The file of a process is its first thread's, which is empty once that thread has ended.
        let tasks = Path::new(format_args!("/proc/{pid}/task"))?;
        let _ = for_each_number(tasks.as_c_str(), |tid| {
            if let Some(of_thread) = Path::new(format_args!("/proc/{pid}/task/{tid}/maps")) {
                found = attached_in_file(&of_thread, id);
            }
            if found == Found::Nothing {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
    }
    match found {
        Found::At(address) => Some(address),
        Found::Nothing | Found::Others => None,
    }
}

/// What was found in a file of mappings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    /// No line; also if the file cannot be read.
    Nothing,
    /// Only other mappings.
    Others,
    /// The segment, attached at this address.
    At(usize),
}

fn attached_in_file(path: &Path, id: c_int) -> Found {
    let mut found = Found::Nothing;
    let _ = for_each_line(path.as_c_str(), |line| match Area::parse(line) {
        Some(area) if area.id == id && area.offset == 0 => {
            found = Found::At(area.start);
            ControlFlow::Break(())
        }
        _ => {
            found = Found::Others;
            ControlFlow::Continue(())
        }
    });
    found
}

/// Parses `start-end …`.
fn bounds(line: &[u8]) -> Option<(usize, usize)> {
    let field = line.split(|&byte| byte == b' ').next()?;
    let (start, end) = core::str::from_utf8(field).ok()?.split_once('-')?;
    Some((
        usize::from_str_radix(start, 16).ok()?,
        usize::from_str_radix(end, 16).ok()?,
    ))
}

/// A line of `/proc/self/maps` that belongs to a System V segment.
struct Area {
    start: usize,
    end: usize,
    writable: bool,
    offset: usize,
    id: c_int,
}

impl Area {
    /// Parses `start-end perms offset dev inode   path`; `None` for lines of other files.
    fn parse(line: &[u8]) -> Option<Area> {
        match segment_files() {
            Some(directory) => Area::parse_file(line, directory),
            None => Area::parse_kernel(line),
        }
    }

    /// Parses a line whose path is that of a segment's file in the directory. The kernel adds ` (deleted)` if the segment
    /// is gone.
    fn parse_file(line: &[u8], directory: &[u8]) -> Option<Area> {
        let (start, end) = bounds(line)?;
        let slash = line.iter().position(|&byte| byte == b'/')?;
        let (fields, path) = line.split_at(slash);
        let name = path.strip_prefix(directory)?.strip_prefix(b"/s.")?;
        let name = name.split(|&byte| byte == b' ').next()?;
        let mut fields = core::str::from_utf8(fields)
            .ok()?
            .split_ascii_whitespace()
            .skip(1);
        let perms = fields.next()?;
        Some(Area {
            start,
            end,
            writable: perms.as_bytes().get(1) == Some(&b'w'),
            offset: usize::from_str_radix(fields.next()?, 16).ok()?,
            id: core::str::from_utf8(name).ok()?.parse().ok()?,
        })
    }

    /// Parses a line whose path is `/SYSVkey (deleted)`.
    fn parse_kernel(line: &[u8]) -> Option<Area> {
        let (start, end) = bounds(line)?;
        let line = core::str::from_utf8(line).ok()?;
        let mut fields = line.split_ascii_whitespace().skip(1);
        let perms = fields.next()?;
        let offset = fields.next()?;
        let _device = fields.next()?;
        let inode = fields.next()?;
        let key = fields.next()?.strip_prefix("/SYSV")?;
        // The kernel shows segments as deleted files, which excludes a real file of this name.
        if fields.next()? != "(deleted)" {
            return None;
        }
        if key.len() != 8 || !key.bytes().all(|b| b.is_ascii_hexdigit()) || !perms.ends_with('s') {
            return None;
        }
        Some(Area {
            start,
            end,
            writable: perms.as_bytes().get(1) == Some(&b'w'),
            offset: usize::from_str_radix(offset, 16).ok()?,
            // An inode number is unsigned; an id is a non-negative int.
            id: c_int::try_from(inode.parse::<u64>().ok()?).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend;

    /// Runs in the second thread of a process whose first thread ends.
    extern "C" fn stay(_: *mut libc::c_void) -> *mut libc::c_void {
        loop {
            // SAFETY: takes nothing, and waits for a signal.
            unsafe { libc::pause() };
        }
    }

    #[test]
    fn an_attachment_is_found_after_the_first_thread_has_ended() {
        let id = backend::create_or_get(libc::IPC_PRIVATE, 100, 0o600).unwrap();
        // SAFETY: the kernel chooses the address, so no mapping is replaced.
        let memory = unsafe { backend::attach(id, core::ptr::null(), 0) }.unwrap();
        backend::remove(id).unwrap();
        // SAFETY: the child starts a thread and ends its first one; it never returns.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let mut thread = 0;
            // SAFETY: the arguments are valid; SYS_exit ends this thread alone.
            unsafe {
                libc::pthread_create(&mut thread, core::ptr::null(), stay, core::ptr::null_mut());
                libc::syscall(libc::SYS_exit, 0);
            }
        }
        while !std::fs::read(format!("/proc/{child}/maps")).is_ok_and(|maps| maps.is_empty()) {
            std::thread::yield_now();
        }
        let found = attached_in(child, id);
        // SAFETY: the child is this process's own, and nothing uses the memory.
        unsafe {
            libc::kill(child, libc::SIGKILL);
            libc::waitpid(child, core::ptr::null_mut(), 0);
            backend::detach(memory).unwrap();
        }
        assert_eq!(found, Some(memory as usize));
    }

    #[test]
    fn only_lines_of_files_in_the_directory_are_parsed() {
        let parsed = |line: &[u8]| Area::parse_file(line, b"/dev/shm/a b").map(|area| area.id);
        let start = "7f0000000000-7f0000001000 rw-s 00000000 00:01 7   ";
        let line = |path: &str| parsed(format!("{start}{path}").as_bytes());
        assert_eq!(line("/dev/shm/a b/s.32771"), Some(32771));
        assert_eq!(line("/dev/shm/a b/s.32771 (deleted)"), Some(32771));
        for other in [
            "/dev/shm/a b/table",
            "/dev/shm/a b/s.x",
            "/dev/shm/s.1",
            "[heap]",
        ] {
            assert_eq!(line(other), None, "{other}");
        }
    }

    #[test]
    fn only_lines_of_segments_are_parsed() {
        let area = Area::parse(
            b"7f0000000000-7f0000001000 rw-s 00000000 00:01 32771    /SYSV0000002a (deleted)",
        )
        .unwrap();
        assert_eq!(
            (area.start, area.end, area.id),
            (0x7f00_0000_0000, 0x7f00_0000_1000, 32771)
        );
        assert!(area.writable);
        for other in [
            &b"7f0000000000-7f0000001000 rw-p 00000000 00:01 32771    /SYSV0000002a (deleted)"[..],
            b"7f0000000000-7f0000001000 rw-s 00000000 00:01 32771    /home/me/SYSV",
            b"7f0000000000-7f0000001000 rw-s 00000000 00:01 32771    /SYSV42 (deleted)",
            b"7f0000000000-7f0000001000 rw-s 00000000 08:01 32771    /SYSV0000002a",
            b"7f0000000000-7f0000001000 rw-p 00000000 00:00 0",
            b"7f0000000000 rw-s",
            b"\xff\xfe",
            b"",
        ] {
            assert!(Area::parse(other).is_none());
        }
    }
}
