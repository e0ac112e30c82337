//! A line of the trace, put together on the stack.

use core::fmt::{self, Write};

/// Room for nearly every line.
pub(super) const USUAL: usize = 1280;

/// Room for every line, and what a pipe takes in one piece (`PIPE_BUF`). What goes into one is bounded: three
/// paths, shortened, and a few sentences.
pub(super) const LONGEST: usize = 4 << 10;

pub(super) struct Line<const ROOM: usize> {
    text: [u8; ROOM],
    len: usize,
}

impl<const ROOM: usize> Line<ROOM> {
    pub fn new() -> Line<ROOM> {
        Line {
            text: [0; ROOM],
            len: 0,
        }
    }

    /// Returns the line with its end.
    pub fn finish(&mut self) -> &[u8] {
        self.text[self.len] = b'\n';
        &self.text[..=self.len]
    }
}

impl<const ROOM: usize> Write for Line<ROOM> {
    /// Takes all of a piece or nothing, and always leaves room for the line's end.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        if end >= ROOM {
            return Err(fmt::Error);
        }
        self.text[self.len..end].copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// Anything that can be shown, as a string of JSON (RFC 8259).
pub(super) struct Json<T>(pub T);

impl<T: fmt::Display> fmt::Display for Json<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        write!(Escaping(f), "{}", self.0)?;
        f.write_char('"')
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '"' | '\\' => write!(self.0, "\\{character}")?,
                '\0'..='\x1f' => write!(self.0, "\\u{:04x}", u32::from(character))?,
                _ => self.0.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// What may be absent, as JSON: `null` or the value.
pub(super) struct OrNull<T>(pub Option<T>);

impl<T: fmt::Display> fmt::Display for OrNull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("null"),
        }
    }
}

/// A duration as a person reads it.
pub(super) struct Duration(pub u64);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ns if ns < 1_000_000 => write!(f, "{}.{} \u{b5}s", ns / 1000, ns % 1000 / 100),
            ns => write!(f, "{}.{} ms", ns / 1_000_000, ns % 1_000_000 / 100_000),
        }
    }
}

/// Seconds since 1970, with microseconds.
pub(super) struct Time(pub u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:06}",
            self.0 / 1_000_000_000,
            self.0 % 1_000_000_000 / 1000
        )
    }
}
