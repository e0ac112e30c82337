//! Formats paths, users, counts and sizes for people.

use super::Names;
use crate::sys;
use core::fmt::{self, Write as _};

/// A path in quotation marks, escaped so that it stays on one line, and shortened to 125 characters.
pub struct ShownPath<'a>(pub &'a [u8]);

impl fmt::Display for ShownPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const END: usize = 60;
        // Bytes that are not UTF-8 show as the replacement character.
        let characters = || {
            self.0.utf8_chunks().flat_map(|chunk| {
                let bad = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
                chunk.valid().chars().chain(bad)
            })
        };
        let count = characters().count();
        f.write_char('"')?;
        for (index, character) in characters().enumerate() {
            if count > 2 * END && (END..count - END).contains(&index) {
                if index == END {
                    f.write_str(" ... ")?;
                }
                continue;
            }
            write!(f, "{}", character.escape_debug())?;
        }
        f.write_char('"')
    }
}

/// A user's id, and the name if `/etc/passwd` has one. In a user namespace, one number stands for all
/// outside users that have no id in it.
pub struct User(pub u32);

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if sys::knows_user(self.0) == Some(false) {
            return write!(
                f,
                "a user that this namespace does not know (shown as uid {})",
                self.0
            );
        }
        write!(f, "uid {}", self.0)?;
        match sys::user_name(self.0, &mut [0; 32]) {
            Some(name) => write!(f, " ({})", name.escape_debug()),
            None => Ok(()),
        }
    }
}

/// A number of bytes.
pub struct Bytes(pub usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Count(self.0 as u64, "byte").fmt(f)
    }
}

/// A number with a noun whose plural ends in s: `1 byte`, `2 bytes`.
pub struct Count(pub u64, pub &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count(number, what) = *self;
        let ending = if number == 1 { "" } else { "s" };
        write!(f, "{number} {what}{ending}")
    }
}

/// The verb that agrees with a number.
pub(super) fn are(number: u64) -> &'static str {
    if number == 1 { "is" } else { "are" }
}

/// A number of KiB, in the largest unit that loses little of it.
pub(super) struct Kib(pub u64);

impl fmt::Display for Kib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A unit fits if the number is a multiple of it, or at least ten times as large.
        let fits = |unit: u64| self.0 >= 10 * unit || self.0 >= unit && self.0.is_multiple_of(unit);
        match self.0 {
            kib if fits(1 << 20) => write!(f, "{} GiB", kib >> 20),
            kib if fits(1 << 10) => write!(f, "{} MiB", kib >> 10),
            kib => write!(f, "{kib} KiB"),
        }
    }
}

/// How many times a segment is attached.
pub struct Times(pub u64);

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("nowhere"),
            1 => f.write_str("once"),
            n => Count(n, "time").fmt(f),
        }
    }
}

/// A mode that is probably a mistake in a C program: see [`ModeDoubt::of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModeDoubt {
    mode: u32,
    /// The decimal number whose low nine bits are the mode; `None` if the mode is 0.
    decimal: Option<u32>,
}

impl ModeDoubt {
    /// Returns the probable mistake in a mode that does not let the owner read and write. In C, 666
    /// without a leading 0 is a decimal number, 01232 in octal, which gives `IPC_CREAT` and the mode
    /// 0232. Flags without permission bits give the mode 0000.
    pub fn of(mode: u32) -> Option<ModeDoubt> {
        let mode = mode & 0o777;
        if mode & 0o600 == 0o600 {
            return None;
        }
        // The decimal numbers 600 to 777 have one more bit than a mode: that of IPC_CREAT.
        let number = mode + 0o1000;
        let decimal = is_usual(number).then_some(number);
        (mode == 0 || decimal.is_some()).then_some(ModeDoubt { mode, decimal })
    }
}

/// Returns whether a number's decimal digits are those of a common mode: the owner may read and write,
/// the group may do no more than the owner, and others no more than the group.
fn is_usual(number: u32) -> bool {
    let digits = [number / 100, number / 10 % 10, number % 10];
    matches!(digits[0], 6 | 7)
        && digits.iter().all(|&digit| digit < 8)
        && digits.windows(2).all(|pair| pair[1] & !pair[0] == 0)
}

impl ModeDoubt {
    /// Returns the mistake, and what to write instead.
    pub fn text(self, names: &'static Names) -> impl fmt::Display {
        DoubtText(self, names)
    }
}

struct DoubtText(ModeDoubt, &'static Names);

impl fmt::Display for DoubtText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DoubtText(ModeDoubt { mode, decimal }, names) = *self;
        match decimal {
            Some(number) => write!(
                f,
                "the mode {mode:04o} comes from the decimal number {number}: write 0{number} for \
                 an octal number in C"
            ),
            None => write!(
                f,
                "the mode 0000 comes from flags without permission bits; add them, as in {}",
                names.usual_mode
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_on_one_short_line() {
        let shown = |path: &[u8]| ShownPath(path).to_string();
        assert_eq!(shown(b"/tmp/a \"b\"\n"), r#""/tmp/a \"b\"\n""#);
        assert_eq!(shown(b"/a\xff/b"), "\"/a\u{fffd}/b\"");
        let long = shown("/\u{fc}".repeat(500).as_bytes());
        assert_eq!(long.chars().count(), 2 + 120 + 5);
    }

    #[test]
    fn sizes_and_users_are_readable() {
        assert_eq!(Bytes(1).to_string(), "1 byte");
        assert_eq!(Count(0, "page").to_string(), "0 pages");
        assert_eq!(Kib(4).to_string(), "4 KiB");
        assert_eq!(Kib(2048).to_string(), "2 MiB");
        assert_eq!(Kib(2049).to_string(), "2049 KiB");
        assert_eq!(Kib(20_000).to_string(), "19 MiB");
        assert_eq!(Kib(12 << 20).to_string(), "12 GiB");
        assert_eq!(User(0).to_string(), "uid 0 (root)");
        assert_eq!(User(4_000_000_123).to_string(), "uid 4000000123");
    }

    #[test]
    fn a_mode_written_in_decimal_is_detected() {
        let number = |mode| ModeDoubt::of(mode).and_then(|doubt| doubt.decimal);
        for decimal in [600, 640, 644, 660, 664, 666, 700, 750, 755, 770, 775, 777] {
            assert_eq!(number(decimal & 0o777), Some(decimal));
        }
        // These let the owner read and write, or do not come from a decimal number.
        for mode in [
            0o600, 0o644, 0o666, 0o777, 0o400, 0o440, 0o444, 0o220, 0o066,
        ] {
            assert_eq!(ModeDoubt::of(mode), None, "{mode:o}");
        }
        assert_eq!(number(0), None);
        assert!(ModeDoubt::of(0).is_some());
    }
}
