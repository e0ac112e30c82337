//! What is attached in this process, as `/proc/self/maps` tells it.
//!
//! The kernel shows an attached segment as a mapping named `/SYSV` plus the key in hexadecimal,
//! with the segment's id in the place of the inode number (`proc(5)`). So nothing has to be
//! recorded when a segment is attached, and attachments made by others (a library, a parent before
//! `fork`, plain `shmat`) are found as well.

use super::Errno;
use core::ffi::c_int;
use std::{
    fs::File,
    io::{BufRead, BufReader},
};

/// One segment attached at one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub id: c_int,
    /// The bytes mapped: the segment's size in whole pages.
    pub len: usize,
    pub writable: bool,
}

/// Finds the segment that is attached at exactly `addr`. `Ok(None)` if there is none.
pub(crate) fn attached_at(addr: usize) -> Result<Option<Mapping>, Errno> {
    let file = File::open("/proc/self/maps").map_err(|e| io_errno(&e))?;
    let mut found: Option<(Mapping, usize)> = None;
    for line in BufReader::with_capacity(16 << 10, file).split(b'\n') {
        let line = line.map_err(|e| io_errno(&e))?;
        let Some(area) = Area::parse(&line) else {
            if found.is_some() {
                break;
            }
            continue;
        };
        // One attachment can stand in several lines, when advice or protection was given for a part
        // of it.
        match &mut found {
            None if area.start == addr && area.offset == 0 => {
                let mapping = Mapping {
                    id: area.id,
                    len: area.end - area.start,
                    writable: area.writable,
                };
                found = Some((mapping, area.end));
            }
            Some((mapping, end))
                if area.start == *end && area.id == mapping.id && area.offset == mapping.len =>
            {
                mapping.len += area.end - area.start;
                mapping.writable &= area.writable;
                *end = area.end;
            }
            None => {}
            Some(_) => break,
        }
    }
    Ok(found.map(|(mapping, _)| mapping))
}

fn io_errno(error: &std::io::Error) -> Errno {
    Errno(error.raw_os_error().unwrap_or(libc::EIO))
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
    /// Parses `start-end perms offset dev inode   /SYSVkey (deleted)`; everything else is `None`.
    fn parse(line: &[u8]) -> Option<Area> {
        let line = core::str::from_utf8(line).ok()?;
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let perms = fields.next()?;
        let offset = fields.next()?;
        let _device = fields.next()?;
        let inode = fields.next()?;
        let key = fields.next()?.strip_prefix("/SYSV")?;
        // Always shown so, because no such file exists; a real file of this name is not.
        if fields.next()? != "(deleted)" {
            return None;
        }
        if key.len() != 8 || !key.bytes().all(|b| b.is_ascii_hexdigit()) || !perms.ends_with('s') {
            return None;
        }
        Some(Area {
            start: usize::from_str_radix(start, 16).ok()?,
            end: usize::from_str_radix(end, 16).ok()?,
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

    #[test]
    fn a_segment_is_told_from_everything_else() {
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
