//! Reading a segment without filling it: a page that was never written holds zeroes, and reading it
//! through an attachment allocates memory for it, as if it had been written.
//!
//! The pages that have memory, or are swapped out, are found in one of two ways:
//!
//! - `lseek(SEEK_DATA)` on the attachment's entry in `/proc/self/map_files`, which needs
//!   CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE. It tells all of them.
//! - `mincore(2)`, which takes a page that is swapped out for one that was never written. So it is
//!   believed only while the kernel says that nothing of the segment is swapped out.
//!
//! `/proc/self/pagemap` and `PAGEMAP_SCAN` do not help: they show which pages this process has touched,
//! and it has touched no page of a segment that it has just attached.

use crate::{attached, facts, process};
use shmkey::{Attachment, Error, Segment};
use std::{fs::File, io, ops::Range, os::fd::AsRawFd};

/// An attachment for reading, of which only what has memory is touched.
pub struct Sparse {
    memory: Attachment,
    size: usize,
    page: usize,
    how: How,
}

/// How to find the pages that have memory.
enum How {
    Seek(File),
    Mincore,
    /// There is no way: all pages are read.
    Unknown,
}

impl Sparse {
    /// Attaches a segment for reading.
    pub fn attach(segment: &Segment) -> Result<Sparse, Error> {
        let memory = segment.attach_read_only()?;
        let size = memory.size()?;
        let how = How::of(&memory);
        Ok(Sparse {
            memory,
            size,
            page: process::page_size() as usize,
            how,
        })
    }

    pub fn size(&self) -> usize {
        self.size
    }

    /// Copies bytes out, from `offset` on, as many as `bytes` has.
    pub fn read_at(&self, offset: usize, bytes: &mut [u8]) -> Result<(), Error> {
        let data = self.data(offset..offset.saturating_add(bytes.len()));
        self.read_data(&data, offset, bytes)
    }

    /// The same, where it is known already which parts have memory.
    pub fn read_data(
        &self,
        data: &[Range<usize>],
        offset: usize,
        bytes: &mut [u8],
    ) -> Result<(), Error> {
        let end = offset.saturating_add(bytes.len());
        if end > self.size {
            // Fails, and says why.
            return self.memory.read_at(offset, bytes);
        }
        bytes.fill(0);
        for data in data {
            let (from, to) = (data.start.max(offset), data.end.min(end));
            if from < to {
                self.memory
                    .read_at(from, &mut bytes[from - offset..to - offset])?;
            }
        }
        Ok(())
    }

    /// The parts of a range that have memory or are swapped out, in order, each in this range.
    pub fn data(&self, range: Range<usize>) -> Vec<Range<usize>> {
        let range = range.start.min(self.size)..range.end.min(self.size);
        if range.is_empty() {
            return Vec::new();
        }
        let found = match &self.how {
            How::Seek(file) => sought(file, &range),
            How::Mincore => self.resident(&range),
            How::Unknown => None,
        };
        found.unwrap_or_else(|| vec![range])
    }

    /// Returns `None` if it is unknown.
    fn resident(&self, range: &Range<usize>) -> Option<Vec<Range<usize>>> {
        let page = self.page;
        let start = range.start - range.start % page;
        let mut pages = vec![0u8; (range.end - start).div_ceil(page)];
        // Before and after: what is swapped out in between is missed by neither.
        let is_swapped = || facts::swapped(self.memory.id()) != Some(0);
        if is_swapped() {
            return None;
        }
        let (from, len) = (self.memory.as_ptr().wrapping_add(start), range.end - start);
        // SAFETY: touches no memory of the segment, and writes a byte for each page of the range.
        let done = unsafe { libc::mincore(from.cast(), len, pages.as_mut_ptr()) };
        if done != 0 || is_swapped() {
            return None;
        }
        let mut found: Vec<Range<usize>> = Vec::new();
        for (number, _) in pages
            .iter()
            .enumerate()
            .filter(|(_, state)| **state & 1 != 0)
        {
            let at = start + number * page;
            let part = at.max(range.start)..(at + page).min(range.end);
            match found.last_mut() {
                Some(last) if last.end == part.start => last.end = part.end,
                _ => found.push(part),
            }
        }
        Some(found)
    }
}

impl How {
    fn of(memory: &Attachment) -> How {
        let Some(area) = attached::own_area(memory.as_ptr() as usize) else {
            return How::Unknown;
        };
        match File::open(format!("/proc/self/map_files/{}", area.range)) {
            Ok(file) => How::Seek(file),
            // Of huge pages, mincore tells only those that this process has touched.
            Err(_) if area.is_usual() => How::Mincore,
            Err(_) => How::Unknown,
        }
    }
}

/// Returns the parts of a file that have data; `None` if that is unknown.
fn sought(file: &File, range: &Range<usize>) -> Option<Vec<Range<usize>>> {
    let mut found = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let Some(start) = seek(file, at, libc::SEEK_DATA).ok()? else {
            break;
        };
        let end = seek(file, start.max(at), libc::SEEK_HOLE).ok()??;
        // A file system that knows of neither may answer anything.
        if start < at || end <= start {
            return None;
        }
        if start < range.end {
            found.push(start..end.min(range.end));
        }
        at = end;
    }
    Some(found)
}

/// `None` if there is nothing behind the offset.
fn seek(file: &File, offset: usize, whence: libc::c_int) -> io::Result<Option<usize>> {
    let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
    // SAFETY: moves the position of our own file, and touches no memory.
    match unsafe { libc::lseek(file.as_raw_fd(), offset, whence) } {
        -1 => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
            error => Err(error),
        },
        place => Ok(usize::try_from(place).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shmkey::Key;

    const PAGE: usize = 4096;

    /// Whether it finds what was written, and gives nothing else memory.
    fn expect_sparse(choose: impl Fn(&Attachment) -> How) {
        let options = Segment::options()
            .create(true)
            .remove_on_drop(true)
            .size(64 * PAGE + 2); // no object's, so that no other test looks into it
        let segment = options.open(Key::PRIVATE).unwrap();
        let writer = segment.attach().unwrap();
        writer.write_at(3 * PAGE + 5, b"three").unwrap();
        writer.write_at(64 * PAGE, b"!").unwrap();
        let mut sparse = Sparse::attach(&segment).unwrap();
        sparse.how = choose(&sparse.memory);
        let resident = || facts::memory_use()[&segment.id()].0 as usize;
        // A page that is huge, if the system makes them, is data as a whole.
        let before = resident();
        let mut bytes = vec![1; sparse.size()];
        sparse.read_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes[3 * PAGE + 5..][..5], b"three");
        assert_eq!(bytes[64 * PAGE], b'!');
        assert_eq!(bytes.iter().filter(|&&byte| byte != 0).count(), 6);
        let mut part = [1; 10];
        sparse.read_at(3 * PAGE, &mut part).unwrap();
        assert_eq!(&part, b"\0\0\0\0\0three");
        assert!(sparse.read_at(64 * PAGE, &mut part).is_err());
        assert_eq!(resident(), before);
    }

    #[test]
    fn only_what_has_memory_is_read() {
        expect_sparse(How::of);
        expect_sparse(|_| How::Mincore);
    }

    #[test]
    fn root_seeks() {
        // SAFETY: takes nothing, and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            use std::io::Write;
            let _ = writeln!(io::stderr(), "test root_seeks ... skipped: needs root");
            return;
        }
        expect_sparse(|memory| {
            let how = How::of(memory);
            assert!(matches!(how, How::Seek(_)));
            how
        });
    }

    /// Where it is unknown, all is read.
    #[test]
    fn what_cannot_be_told_is_read() {
        let options = Segment::options()
            .create(true)
            .remove_on_drop(true)
            .size(2 * PAGE);
        let segment = options.open(Key::PRIVATE).unwrap();
        segment.attach().unwrap().write_at(PAGE, b"x").unwrap();
        let mut sparse = Sparse::attach(&segment).unwrap();
        sparse.how = How::Unknown;
        let mut bytes = [0; 2];
        sparse.read_at(PAGE, &mut bytes).unwrap();
        assert_eq!(&bytes, b"x\0");
    }
}
