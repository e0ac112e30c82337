//! `shmkey dump`.

use crate::{
    output::{Failure, of_file},
    sparse::Sparse,
    target::Target,
    words,
};
use anstyle::Style;
use clap::Args;
use shmkey::Segment;
use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
};

#[derive(Args)]
pub struct Options {
    /// The segment: an id, a key or a name
    #[arg(allow_negative_numbers = true, add = crate::complete::segments())]
    segment: Target,
    /// Begin at this offset: 4096, 0x1000, 4K, 1MiB
    #[arg(long, short = 's', value_name = "BYTES", value_parser = crate::create::bytes, default_value = "0")]
    offset: usize,
    /// Show this many bytes [default: all]
    #[arg(long, short = 'n', value_name = "BYTES", value_parser = crate::create::bytes)]
    length: Option<usize>,
    /// Print the bytes unchanged instead of in hexadecimal
    #[arg(long)]
    raw: bool,
    /// Write the bytes unchanged into this file
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let id = options.segment.status()?.id;
    let memory = Sparse::attach(&Segment::from_id(id))?;
    let (from, to) = range(&memory, options.offset, options.length)?;
    if let Some(path) = &options.output {
        let failed = |error: io::Error| Failure::Because(of_file(path, &error));
        let mut file = File::create(path).map_err(failed)?;
        return pieces(&memory, from, to, |_, bytes| {
            file.write_all(bytes).map_err(failed)
        });
    }
    let mut out = io::BufWriter::new(anstream::stdout());
    if options.raw {
        let mut out = io::stdout().lock();
        pieces(&memory, from, to, |_, bytes| Ok(out.write_all(bytes)?))?;
        return Ok(out.flush()?);
    }
    let mut rows = Rows::default();
    pieces(&memory, from, to, |offset, bytes| {
        Ok(out.write_all(rows.picture(offset, bytes, to).as_bytes())?)
    })?;
    writeln!(out, "{to:08x}")?;
    Ok(out.flush()?)
}

/// Returns the offsets of the first byte and behind the last.
pub fn range(
    memory: &Sparse,
    from: usize,
    length: Option<usize>,
) -> Result<(usize, usize), Failure> {
    let size = memory.size();
    match length.map_or(Some(size), |length| from.checked_add(length)) {
        Some(to) if from <= to && to <= size => Ok((from, to)),
        _ => Err(Failure::Because(format!(
            "the range ends beyond the segment, which has {}, {} of them from the offset on",
            words::count(size as u64, "byte"),
            size.saturating_sub(from)
        ))),
    }
}

/// Reads the bytes between two offsets, in pieces of whole rows.
pub fn pieces(
    memory: &Sparse,
    from: usize,
    to: usize,
    mut take: impl FnMut(usize, &[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    const PIECE: usize = 64 << 10;
    // Finds the pages that have memory for many pages at once, but not long before they are read: the answer becomes
    // outdated.
    const BLOCK: usize = 64 << 20;
    let mut buffer = vec![0; PIECE];
    for start in (from..to).step_by(BLOCK) {
        let end = start.saturating_add(BLOCK).min(to);
        let data = memory.data(start..end);
        for at in (start..end).step_by(PIECE) {
            let bytes = &mut buffer[..(end - at).min(PIECE)];
            memory.read_data(&data, at, bytes)?;
            take(at, bytes)?;
        }
    }
    Ok(())
}

/// The number of bytes in a row.
pub const ROW: usize = 16;

/// Rows of hexadecimal digits and text. `*` stands for rows that equal the one before.
#[derive(Default)]
struct Rows {
    last: Vec<u8>,
    repeated: bool,
}

impl Rows {
    fn picture(&mut self, offset: usize, bytes: &[u8], end: usize) -> String {
        let mut text = String::new();
        for (number, row) in bytes.chunks(ROW).enumerate() {
            let at = offset + number * ROW;
            let is_last = at + row.len() == end;
            if row == self.last && !is_last {
                if !self.repeated {
                    text.push_str("*\n");
                }
                self.repeated = true;
                continue;
            }
            self.repeated = false;
            self.last = row.to_vec();
            text.push_str(&picture(at, row));
        }
        text
    }
}

/// A row: its offset, its bytes in hexadecimal, and as text.
fn picture(offset: usize, row: &[u8]) -> String {
    let dim = Style::new().dimmed();
    let mut hex = String::new();
    for place in 0..ROW {
        if place == ROW / 2 {
            hex.push(' ');
        }
        match row.get(place) {
            Some(0) => hex += &format!(" {dim}00{dim:#}"),
            Some(byte) => hex += &format!(" {byte:02x}"),
            None => hex += "   ",
        }
    }
    let text: String = row.iter().map(|&byte| character(byte)).collect();
    format!("{dim}{offset:08x}{dim:#} {hex}  |{text}|\n")
}

/// Returns a byte as a character, or `.` if it is not printable ASCII.
pub fn character(byte: u8) -> char {
    match byte {
        b' '..=b'~' => byte.into(),
        _ => '.',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_rows_are_left_out() {
        let mut bytes = vec![0; 64];
        bytes[..5].copy_from_slice(b"hello");
        bytes.extend(b"!");
        let text = Rows::default().picture(0, &bytes, bytes.len());
        let text = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(
            text,
            "00000000  68 65 6c 6c 6f 00 00 00  00 00 00 00 00 00 00 00  |hello...........|\n\
             00000010  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|\n\
             *\n\
             00000040  21                                                |!|\n"
        );
    }
}
