//! Reading files below `/proc` and `/sys`, line by line or number by number. Allocates nothing, because callers may
//! be signal handlers, or have no memory left.

use super::{Errno, file::Descriptor};
use core::{
    ffi::{CStr, c_int},
    ops::ControlFlow,
    str,
};

/// The part of a line that is read, in bytes; nothing that callers look for is further behind.
const LINE: usize = 1024;

/// Calls `each` with each line of a file, until it breaks. Cuts lines that are longer than `LINE`.
pub fn for_each_line(path: &CStr, each: impl FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), Errno> {
    let file = Descriptor::open(path)?;
    split(|buffer| file.read(buffer), each)
}

/// Does the same for the text that `read` returns piece by piece.
#[inline(never)] // frees its stack space before other functions are called
fn split(
    mut read: impl FnMut(&mut [u8]) -> Result<usize, Errno>,
    mut each: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), Errno> {
    let mut buffer = [0; LINE];
    let (mut len, mut in_long_line) = (0, false);
    loop {
        let more = read(&mut buffer[len..])?;
        len += more;
        let mut rest = &buffer[..len];
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            let tail = core::mem::take(&mut in_long_line);
            if !tail && each(line).is_break() {
                return Ok(());
            }
        }
        // The last line may have no newline.
        if more == 0 {
            if !rest.is_empty() && !in_long_line {
                let _ = each(rest);
            }
            return Ok(());
        }
        if rest.len() == LINE {
            if !in_long_line && each(rest).is_break() {
                return Ok(());
            }
            in_long_line = true;
            len = 0;
        } else {
            let start = len - rest.len();
            len = rest.len();
            buffer.copy_within(start..start + len, 0);
        }
    }
}

/// Calls `each` with the name of each entry of a directory that is a number, until it breaks.
#[inline(never)] // frees its stack space before other functions are called
pub fn for_each_number(
    path: &CStr,
    mut each: impl FnMut(c_int) -> ControlFlow<()>,
) -> Result<(), Errno> {
    let directory = Descriptor::open(path)?;
    let mut buffer = [0; 512];
    loop {
        let mut entries = match directory.read_directory(&mut buffer)? {
            0 => return Ok(()),
            len => &buffer[..len],
        };
        // A struct linux_dirent64: its length in bytes 16 and 17, its name from byte 19 on.
        while let Some(&[low, high]) = entries.get(16..18) {
            let len = usize::from(u16::from_ne_bytes([low, high]));
            let name = entries.get(19..len).unwrap_or_default();
            let name = CStr::from_bytes_until_nul(name).unwrap_or_default();
            let number = str::from_utf8(name.to_bytes())
                .ok()
                .and_then(|name| name.parse().ok());
            if number.is_some_and(|number| each(number).is_break()) {
                return Ok(());
            }
            // An entry of length 0, which the kernel never writes, must not repeat for ever.
            entries = entries.get(len.max(1)..).unwrap_or_default();
        }
    }
}

/// Returns the number behind a name, in a file of lines such as `CommitLimit:   12342044 kB`.
pub fn number_after(path: &CStr, name: &str) -> Option<u64> {
    word_after(path, name, 0, |word| word.parse().ok())
}

/// Parses a word behind a name in such a file, after skipping this many words.
pub fn word_after<T>(
    path: &CStr,
    name: &str,
    skip: usize,
    parse: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    let mut found = None;
    for_each_line(path, |line| match line.strip_prefix(name.as_bytes()) {
        Some(rest) => {
            let words = str::from_utf8(rest).unwrap_or_default();
            let word = words.split_ascii_whitespace().nth(skip);
            found = word.and_then(&parse);
            ControlFlow::Break(())
        }
        None => ControlFlow::Continue(()),
    })
    .ok()?;
    found
}

/// Returns the number that a file such as `/proc/sys/vm/max_map_count` begins with.
pub fn number_in(path: &CStr) -> Option<u64> {
    let mut start = [0; 64];
    let len = Descriptor::open(path).ok()?.read(&mut start).ok()?;
    let text = str::from_utf8(&start[..len]).ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the lengths of a text's lines if `read` returns pieces of this length.
    fn lines(mut text: &[u8], piece: usize) -> Vec<usize> {
        let mut lengths = Vec::new();
        let read = |buffer: &mut [u8]| {
            let (now, later) = text.split_at(text.len().min(buffer.len()).min(piece));
            buffer[..now.len()].copy_from_slice(now);
            text = later;
            Ok(now.len())
        };
        let each = |line: &[u8]| {
            lengths.push(line.len());
            ControlFlow::Continue(())
        };
        split(read, each).unwrap();
        lengths
    }

    #[test]
    fn lines_of_any_length_are_split() {
        for piece in [1, 2, 1000, LINE, 10 * LINE] {
            assert_eq!(lines(b"", piece), []);
            assert_eq!(lines(b"a\n\nbcd", piece), [1, 0, 3]);
            for long in [LINE - 2, LINE - 1, LINE, LINE + 1, 2 * LINE, 3 * LINE + 7] {
                let line = "x".repeat(long);
                let text = format!("ab\n{line}\ncd\n{line}\nef");
                let shown = long.min(LINE);
                assert_eq!(
                    lines(text.as_bytes(), piece),
                    [2, shown, 2, shown, 2],
                    "{long}"
                );
            }
        }
    }

    #[test]
    fn numbers_are_found() {
        assert!(number_after(c"/proc/meminfo", "MemTotal:").unwrap() > 0);
        assert_eq!(number_after(c"/proc/meminfo", "NoSuchThing:"), None);
        assert!(number_in(c"/proc/sys/vm/max_map_count").unwrap() > 0);
        assert_eq!(number_in(c"/no/such/file"), None);
    }
}
