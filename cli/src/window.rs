//! A window of bytes of a segment, which remembers when each byte changed.

use crate::{dump, screen, sparse::Sparse};
use anstyle::AnsiColor;
use ratatui::{
    style::{Modifier, Style},
    text::{Line, Span},
};
use shmkey::Error;
use std::time::Instant;

/// Bytes that follow each other, as they were last read.
#[derive(Default)]
pub struct Window {
    pub offset: usize,
    bytes: Vec<u8>,
    changed: Vec<Option<Instant>>,
}

/// Returns how many bytes of a segment of this size fit into a line of this width.
pub fn row(width: usize, size: usize) -> usize {
    let fits = |row: usize| digits(size) + 4 * row + row.div_ceil(8) + 4 <= width;
    let rows = [64, 32, 16, 8, 4, 2];
    rows.into_iter().find(|&row| fits(row)).unwrap_or(1)
}

/// Returns how many digits an offset has.
fn digits(size: usize) -> usize {
    format!("{size:x}").len().max(8)
}

impl Window {
    /// Reads `len` bytes from `offset` on. Returns how many of the bytes that the window had before have changed.
    pub fn look(
        &mut self,
        memory: &Sparse,
        offset: usize,
        len: usize,
        now: Instant,
    ) -> Result<u64, Error> {
        let mut next = Window {
            offset,
            bytes: vec![0; len],
            changed: vec![None; len],
        };
        memory.read_at(offset, &mut next.bytes)?;
        let mut changes = 0;
        for place in 0..len {
            let Some(before) = self.place(offset + place) else {
                continue;
            };
            next.changed[place] = self.changed[before];
            if next.bytes[place] != self.bytes[before] {
                next.changed[place] = Some(now);
                changes += 1;
            }
        }
        *self = next;
        Ok(changes)
    }

    /// Moves the window, without updating the bytes that it had before.
    pub fn shift(&mut self, memory: &Sparse, offset: usize, len: usize) -> Result<(), Error> {
        let mut next = Window::default();
        next.look(memory, offset, len, Instant::now())?;
        for place in 0..len {
            if let Some(before) = self.place(offset + place) {
                next.bytes[place] = self.bytes[before];
                next.changed[place] = self.changed[before];
            }
        }
        *self = next;
        Ok(())
    }

    /// Returns the place in the window of a byte of the segment.
    fn place(&self, offset: usize) -> Option<usize> {
        let place = offset.checked_sub(self.offset)?;
        (place < self.bytes.len()).then_some(place)
    }

    pub fn end(&self) -> usize {
        self.offset + self.bytes.len()
    }

    /// Returns lines of `row` bytes each: the offset, the bytes in hexadecimal, the text.
    pub fn lines(&self, row: usize, size: usize, now: Instant) -> Vec<Line<'static>> {
        let digits = digits(size);
        let starts = (0..self.bytes.len()).step_by(row);
        starts
            .map(|start| {
                let offset = self.offset + start;
                let mut spans = vec![Span::styled(format!("{offset:0digits$x} "), dim())];
                for place in start..start + row {
                    let gap = if (place - start) % 8 == 0 { "  " } else { " " };
                    spans.push(gap[usize::from(place == start)..].into());
                    spans.push(match self.bytes.get(place) {
                        Some(byte) => Span::styled(format!("{byte:02x}"), self.style(place, now)),
                        None => "  ".into(),
                    });
                }
                spans.push("  ".into());
                for place in start..(start + row).min(self.bytes.len()) {
                    let character = dump::character(self.bytes[place]);
                    spans.push(Span::styled(character.to_string(), self.style(place, now)));
                }
                spans.into()
            })
            .collect()
    }

    fn style(&self, place: usize, now: Instant) -> Style {
        let age = self.changed[place].map(|changed| now.saturating_duration_since(changed));
        match age.and_then(|age| screen::lit(AnsiColor::Yellow, age)) {
            Some(lit) => screen::style(lit),
            None if self.bytes[place] == 0 => dim(),
            None => Style::new(),
        }
    }
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shmkey::Segment;
    use std::time::Duration;

    #[test]
    fn changed_bytes_are_bright() {
        let segment = Segment::options()
            .create(true)
            .size(64)
            .open(shmkey::Key::PRIVATE);
        let memory = segment.unwrap();
        let writer = memory.attach().unwrap();
        let reader = Sparse::attach(&memory).unwrap();
        memory.remove().unwrap();
        let mut window = Window::default();
        let now = Instant::now();
        assert_eq!(window.look(&reader, 0, 32, now).unwrap(), 0);
        writer.write_at(17, b"hello").unwrap();
        assert_eq!(window.look(&reader, 16, 32, now).unwrap(), 5);
        let lit = |window: &Window, now| {
            let lines = window.lines(16, 64, now);
            let spans = lines.iter().flat_map(|line| line.spans.clone());
            let bright = spans.filter(|span| span.style.add_modifier.contains(Modifier::REVERSED));
            bright
                .map(|span| span.content.to_string())
                .collect::<String>()
        };
        assert_eq!(lit(&window, now), "68656c6c6fhello");
        assert_eq!(lit(&window, now + Duration::from_secs(1)), "");

        // A shift does not update the bytes.
        writer.write_at(17, b"HELLO").unwrap();
        window.shift(&reader, 8, 32).unwrap();
        assert_eq!(lit(&window, now), "68656c6c6fhello");
        assert_eq!(window.end(), 40);
    }

    #[test]
    fn a_line_fits() {
        for size in [1, usize::MAX] {
            for width in 24..400 {
                let row = row(width, size);
                let window = Window {
                    offset: size - 1,
                    bytes: vec![0],
                    changed: vec![None],
                };
                let line = &window.lines(row, size, Instant::now())[0];
                // The text of a full row is longer by row - 1 characters.
                assert!(line.width() + row - 1 <= width, "{width}: {row}");
            }
        }
        assert_eq!(row(80, 4096), 16);
        assert_eq!(row(200, 4096), 32);
    }
}
