//! Reads a segment without allocating memory. A page that was never written holds zeros, and reading it through an
//! attachment would allocate memory for it.
//!
//! There are two ways to find the pages that have memory or are swapped out:
//!
//! - `lseek(SEEK_DATA)` on the attachment's entry in `/proc/self/map_files`, which finds all of them, and needs
//!   CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE.
//! - `mincore(2)`, which does not distinguish a swapped page from one that was never written. So it is used only while
//!   no page of the segment is swapped out.
//!
//! `/proc/self/pagemap` and `PAGEMAP_SCAN` do not help: they show which pages this process has touched, and it has
//! touched none of a segment that it has just attached.

use crate::{attached, facts, process};
use shmkey::{Attachment, Error, Segment};
use std::{fs::File, io, ops::Range, os::fd::AsRawFd};

/// An attachment for reading, through which only pages are read that have memory.
pub struct Sparse {
    memory: Attachment,
    size: usize,
    page: usize,
    how: How,
}

/// How the pages are found that have memory.
enum How {
    Seek(File),
    Mincore,
    /// They cannot be found: all pages are read.
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

    /// Fills `bytes` from `offset` on.
    pub fn read_at(&self, offset: usize, bytes: &mut [u8]) -> Result<(), Error> {
        let data = self.data(offset..offset.saturating_add(bytes.len()));
        self.read_data(&data, offset, bytes)
    }

    /// The same, with the parts that have memory: see [`Sparse::data`].
    pub fn read_data(
        &self,
        data: &[Range<usize>],
        offset: usize,
        bytes: &mut [u8],
    ) -> Result<(), Error> {
        let end = offset.saturating_add(bytes.len());
        if end > self.size {
            // Returns the error.
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

    /// Returns the parts of a range that have memory or are swapped out, in order.
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

    /// Returns these parts by mincore; `None` if they are unknown.
    fn resident(&self, range: &Range<usize>) -> Option<Vec<Range<usize>>> {
        let page = self.page;
        let start = range.start - range.start % page;
        let mut pages = vec![0u8; (range.end - start).div_ceil(page)];
        // Before and after mincore: a page that is swapped out in between is noticed.
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
            // mincore reports only those huge pages that this process has touched.
            Err(_) if area.is_usual() => How::Mincore,
            Err(_) => How::Unknown,
        }
    }
}

/// Returns the parts of a file that have data; `None` if they are unknown.
fn sought(file: &File, range: &Range<usize>) -> Option<Vec<Range<usize>>> {
    let mut found = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let Some(start) = seek(file, at, libc::SEEK_DATA).ok()? else {
            break;
        };
        let end = seek(file, start.max(at), libc::SEEK_HOLE).ok()??;
        // A file system without holes may return any offset.
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

/// Returns the offset that was found; `None` if there is none up to the end of the file.
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

    /// Asserts that it reads what was written, and allocates no memory.
    fn expect_sparse(choose: impl Fn(&Attachment) -> How) {
        let options = Segment::options()
            .create(true)
            .remove_on_drop(true)
            .size(64 * PAGE + 2); // not the size of an object, so that no other test reads it
        let segment = options.open(Key::PRIVATE).unwrap();
        let writer = segment.attach().unwrap();
        writer.write_at(3 * PAGE + 5, b"three").unwrap();
        writer.write_at(64 * PAGE, b"!").unwrap();
        let mut sparse = Sparse::attach(&segment).unwrap();
        sparse.how = choose(&sparse.memory);
        let resident = || facts::memory_use()[&segment.id()].0 as usize;
        // If the system uses huge pages, all of such a page has memory.
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
    fn only_pages_that_have_memory_are_read() {
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

    #[test]
    fn all_pages_are_read_if_it_is_unknown_which_have_memory() {
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
